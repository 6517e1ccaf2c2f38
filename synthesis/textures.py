"""Machining textures: what a part's surface finish looks like, sampled per instance.

Grooves much finer than a pixel cannot be seen, only their scatter; that is the material's roughness. Visible
texture is the coarser waviness, so its pitch follows the rig's sampling.
"""

from __future__ import annotations

import numpy as np

from viewcov.inspection.arrays import Floats32
from viewcov.inspection.lay import PROCESSES
from viewcov.inspection.records import Record
from viewcov.inspection.rig.material import Material
from viewcov.synthesis.options import FinishRanges

_ROWS = 1024
_COLUMNS_PER_STREAK = 24
_ROWS_PER_PITCH = 10
_FINEST_PITCH_MM = 0.22
_TYPICAL_AMPLITUDE_MM = 0.0045


class Texture(Record):
    """The finish of all faces of one process."""

    process: str
    """Which faces have it, one of ``lay.PROCESSES``."""

    pitch_mm: float
    """Distance between grooves, or the grain."""

    amplitude_mm: float
    """Height of the grooves from bottom to crest, or twice the grain's standard deviation."""

    streak_mm: float
    """Length along the lay over which a groove keeps its depth."""

    roughness_along: float
    """GGX alpha along the lay."""

    roughness_across: float
    """GGX alpha across the lay."""

    seed: int
    """Of the height tile."""

    @property
    def grooved(self) -> bool:
        """Whether there are grooves; else there is grain."""
        return PROCESSES[self.process].grooved

    @property
    def row_mm(self) -> float:
        """Spacing of the tile's rows (across the lay)."""
        return self.pitch_mm / _ROWS_PER_PITCH

    @property
    def column_mm(self) -> float:
        """Spacing of the tile's columns (along the lay)."""
        return self.streak_mm / _COLUMNS_PER_STREAK if self.grooved else self.row_mm

    @property
    def tile_mm(self) -> tuple[float, float]:
        """Size of the tile along and across the lay, after which it repeats."""
        return PROCESSES[self.process].columns * self.column_mm, _ROWS * self.row_mm

    def tile_around_mm(self, circumference_mm: float) -> float:
        """Length of the tile along the lay that closes around a face of rotation without a seam."""
        return circumference_mm / max(1, round(circumference_mm / self.tile_mm[0]))


class Finish(Record):
    """The finish of one instance: a texture for each process."""

    textures: tuple[Texture, ...]
    """In the order of ``lay.PROCESSES``."""


def sample_finish(
    rng: np.random.Generator, material: Material, ranges: FinishRanges | None = None, *, mm_per_px: float
) -> Finish:
    """A plausible finish of a machined part, different for each draw; the mean roughness is the material's.

    The visible pitch follows the sampling of the surface, ``mm_per_px``, from 0.22 mm on.
    """
    ranges = ranges or FinishRanges()
    spread = ranges.roughness_spread
    textures = []
    for name, process in PROCESSES.items():
        pitch = max(_FINEST_PITCH_MM, process.coarseness * mm_per_px * rng.uniform(*ranges.pitch_px))
        # Equal slopes look alike: the height grows with the pitch.
        slope = rng.uniform(*ranges.slope) * _TYPICAL_AMPLITUDE_MM / _FINEST_PITCH_MM
        rougher = rng.uniform(1.0 - spread, 1.0 + spread)
        across = rougher * rng.uniform(1.0 - 0.5 * spread, 1.0 + 0.5 * spread)
        metal = material.as_rough_as(rougher * material.roughness_along, across * material.roughness_across)
        if not process.grooved:
            metal = material.evenly_rough(rougher)
        textures.append(
            Texture(
                process=name,
                pitch_mm=float(pitch),
                amplitude_mm=float(slope * pitch),
                streak_mm=float(pitch * rng.uniform(10.0, 30.0) * process.streak),
                roughness_along=metal.roughness_along,
                roughness_across=metal.roughness_across,
                seed=int(rng.integers(2**31)),
            )
        )
    return Finish(textures=tuple(textures))


def height_tile(texture: Texture) -> Floats32:
    """Heights in mm, shape (rows across, columns along), that tile without a seam."""
    rng = np.random.default_rng(texture.seed)
    shape = (_ROWS, PROCESSES[texture.process].columns)
    long = float(_COLUMNS_PER_STREAK)
    if not texture.grooved:
        grain = _noise(rng, shape, 0.35 * _ROWS_PER_PITCH, 0.35 * _ROWS_PER_PITCH)
        return (0.5 * texture.amplitude_mm * grain).astype(np.float32)
    grooves = _ROWS // _ROWS_PER_PITCH
    row = np.arange(_ROWS)[:, None] / _ROWS * grooves
    # The feed is not steady: grooves wander by a part of the pitch and vary in depth.
    phase = row + 0.35 * _noise(rng, shape, 2.5 * _ROWS_PER_PITCH, 2.0 * long)
    cusp = (2.0 * (phase % 1.0) - 1.0) ** 2
    depth = np.clip(1.0 + 0.4 * _noise(rng, shape, 0.7 * _ROWS_PER_PITCH, long), 0.0, None)
    streaks = _noise(rng, shape, 0.12 * _ROWS_PER_PITCH, 1.5 * long)
    waves = _noise(rng, shape, 4.0 * _ROWS_PER_PITCH, 3.0 * long)
    fine = _noise(rng, shape, 0.1 * _ROWS_PER_PITCH, 0.1 * long)
    height = 0.6 * (cusp - 1 / 3) * depth + 0.25 * streaks + 0.6 * waves + 0.04 * fine
    return (texture.amplitude_mm * height).astype(np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, int], rows: float, columns: float) -> Floats32:
    """Smooth noise of mean 0 and deviation 1 that tiles; a Gaussian filter of so many rows and columns."""
    from scipy import fft

    spectrum = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    down = np.exp(-2.0 * (np.pi * rows * fft.fftfreq(shape[0])) ** 2).astype(np.float32)
    across = np.exp(-2.0 * (np.pi * columns * fft.rfftfreq(shape[1])) ** 2).astype(np.float32)
    spectrum *= down[:, None] * across
    spectrum[0, 0] = 0.0
    noise: Floats32 = fft.irfft2(spectrum, s=shape)
    return noise / noise.std()
