"""A light: a list of weighted emitters with poses. Whoever asks for light takes any kind through that list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.poses import tangents

AMBIENT_SHARE = 0.003
"""Radiance of the room, from all sides, as a share of the light's: what is left under a shade or a closed door."""

MAX_REFLECTIONS = 3
"""On the way from a light to the camera, where light is predicted and where it is rendered."""

NUM_PIECES = 48
"""Of a light that is not made of single emitters."""

_CIRCLE = 64
_MANY = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Emitters:
    """M small flat pieces of a light, in the camera frame."""

    points_mm: Floats
    """Shape (M, 3): their middles."""

    normals: Floats
    """Shape (M, 3), unit length: where each shines most."""

    area_mm2: Floats
    """Shape (M,): what emits."""

    weight: Floats
    """Shape (M,): radiance, by that of the light."""

    exponent: Floats
    """Shape (M,): each one's intensity falls with cos(angle) to this power (1 = Lambertian)."""

    @classmethod
    def forward(cls, points_mm: Floats, area_mm2: Floats | float, *, exponent: float = 1.0) -> Emitters:
        """Equally bright ones at points (M, 3) that shine along +z of the camera frame."""
        each = np.ones(len(points_mm))
        return cls(
            points_mm=points_mm, normals=np.tile([0.0, 0.0, 1.0], (len(points_mm), 1)), area_mm2=area_mm2 * each,
            weight=each, exponent=exponent * each,
        )  # fmt: skip

    @property
    def radius_mm(self) -> Floats:
        """Shape (M,): of discs of the same area."""
        return np.sqrt(self.area_mm2 / np.pi)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiles:
    """The area of a light, cut into T tiles with K corners, between which the borders of shadows are followed.

    Edges run around the optical axis or straight away from it; along them, angle and area rise evenly.

    A line from the middle of the lens outwards passes a corner and ends between that corner's two guards on the
    light's outer border. What hides part of a light from a point that the camera sees comes in from there: a
    point that sees the guards sees the corner.
    """

    corners_mm: Floats
    """Shape (K, 3), camera frame."""

    corner_idx: Ints
    """Shape (T, 4): each tile's corners, in turn around it."""

    guard_idx: Ints
    """Shape (K, 2): corners that guard each corner."""

    piece_idx: Ints
    """Shape (T,): which of ``Light.pieces`` a tile is part of, as large a part as any other of its tiles."""


class Light(Protocol):
    """What a kind of light must tell, ``emitters``; the rest follows, and may be told better."""

    @property
    def radiance(self) -> float:
        """Emitted radiance in units of the camera's full scale: a white diffuser seen directly at exposure 1."""

    def __hash__(self) -> int:
        """Lights are frozen, so that what was worked out for one can be kept."""
        return object.__hash__(self)

    def emitters(self, num_samples: int) -> Emitters:
        """About so many emitters, or as many as there are: all of it is seen or hidden at its middle."""

    def emitters_mm(self, num_samples: int) -> Floats:
        """Where the emitters are, shape (M, 3), camera frame."""
        return self.emitters(num_samples).points_mm

    def tiles(self, cuts: int) -> Tiles | None:
        """All ``pieces`` cut into ``cuts`` x ``cuts`` tiles; None where shadows are known at emitters alone."""
        return None

    def pieces(self) -> Emitters:
        """Emitters small enough for a sum of as much of each as a point sees."""
        return self.emitters(NUM_PIECES)

    def samples(self, apart_mm: float) -> Emitters:
        """Emitters about so far apart, for sums over a narrow highlight."""
        area_mm2 = float(self.emitters(_MANY).area_mm2.sum())
        return self.emitters(max(1, int(np.ceil(area_mm2 / apart_mm**2))))

    @property
    def tube_mm(self) -> tuple[float, float, float]:
        """Inner and outer radius of a tube around the optical axis that holds the light, and where it ends ahead."""
        some = self.emitters(_MANY)
        aside, radius = np.hypot(some.points_mm[:, 0], some.points_mm[:, 1]), some.radius_mm
        ahead = some.points_mm[:, 2] + radius * np.hypot(some.normals[:, 0], some.normals[:, 1])
        return max(0.0, float((aside - radius).min())), float((aside + radius).max()), float(ahead.max())

    def mesh(self) -> tuple[Floats, Ints, Floats]:
        """What emits, for rendering: vertices (N, 3), camera frame, faces (F, 3) and their weights (F,)."""
        return discs(self.emitters(_MANY))


def circle() -> Floats:
    """Corners of a polygon on the unit circle, shape (N, 3), in the xy plane."""
    angle = 2.0 * np.pi * np.arange(_CIRCLE) / _CIRCLE
    return np.column_stack([np.cos(angle), np.sin(angle), np.zeros(_CIRCLE)])


def discs(emitters: Emitters) -> tuple[Floats, Ints, Floats]:
    """Emitters as discs: vertices (N, 3), faces (F, 3) that face along the normals, weights (F,)."""
    corner = np.concatenate([np.zeros((1, 3)), circle()])
    number = np.arange(_CIRCLE)
    fan = np.column_stack([np.zeros_like(number), number + 1, (number + 1) % _CIRCLE + 1])
    first, second = tangents(emitters.normals)
    flat = corner[:, :1] * first[:, None] + corner[:, 1:2] * second[:, None]
    vertices = emitters.points_mm[:, None] + emitters.radius_mm[:, None, None] * flat
    faces = len(corner) * np.arange(len(vertices))[:, None, None] + fan
    return vertices.reshape(-1, 3), faces.reshape(-1, 3), np.repeat(emitters.weight, _CIRCLE)
