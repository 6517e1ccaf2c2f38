"""How much of the coverage stays when cameras do not stand exactly where the plan has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from viewcov.coverage.geometric.evaluation import GeometricCoverage
from viewcov.coverage.geometric.figures import RobustnessFigures
from viewcov.coverage.geometric.sightings import Watch
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.arrays import Floats
from viewcov.inspection.records import Jobs, NotNegative, Record, Seed
from viewcov.inspection.rig.requirements import weighted_areas_mm2
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint

PROBABILITIES = (1.0, 0.95, 0.9, 0.5)
"""Probabilities of being covered that the surface is divided by."""


class PoseNoise(Record):
    """Normally distributed errors of a camera's pose, independent for every view and axis."""

    position_mm: NotNegative = 0.5
    """Standard deviation of the camera centre along each axis."""

    rotation_deg: NotNegative = 0.1
    """Standard deviation of the rotation vector along each of the camera's axes."""

    seed: Seed = 0
    """Start of the random numbers; draw n is the same however many are drawn."""

    def disturbed(self, viewpoints: Sequence[Viewpoint], *, draw: int) -> list[Viewpoint]:
        """The viewpoints where draw number ``draw`` puts them."""
        errors = np.random.default_rng([self.seed, draw]).standard_normal((len(viewpoints), 2, 3))
        turns = Rotation.from_rotvec(np.deg2rad(self.rotation_deg) * errors[:, 1]).as_matrix()
        found = []
        for view, shift, turn in zip(viewpoints, self.position_mm * errors[:, 0], turns, strict=True):
            world_from_camera = view.world_from_camera.copy()
            world_from_camera[:3, 3] += shift
            world_from_camera[:3, :3] @= turn
            found.append(Viewpoint(id=view.id, world_from_camera=world_from_camera))
        return found


_USUAL = PoseNoise()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Robustness:
    """Coverage over draws of pose noise."""

    figures: RobustnessFigures
    """Of the whole surface."""

    probability: Floats
    """Shape (E,): share of the draws in which enough views inspect each element."""


def robustness(
    coverage: GeometricCoverage,
    rig: Rig,
    *,
    num_draws: int = 20,
    noise: PoseNoise = _USUAL,
    jobs: Jobs = 1,
    progress: bool = False,
) -> Robustness:
    """What is covered of the surface when all viewpoints are disturbed at once, by Monte Carlo.

    Costs as much as ``num_draws`` evaluations. Cameras, lights and the part are what they are without noise.

    Parameters
    ----------
    coverage
        Without noise: surface, requirements, viewpoints and the coverable area are taken from it.
    jobs
        Those of ``Workers``; the result does not depend on it.
    """
    if num_draws < 1:
        raise ValueError(f"num_draws must be at least 1, got {num_draws}")
    surface, limits = coverage.surface, coverage.requirements
    area = np.where(coverage.coverable, weighted_areas_mm2(surface, limits), 0.0)
    whole = area.sum() if area.any() else np.inf
    shares, times = np.zeros(num_draws), np.zeros(surface.num_elements, dtype=np.int64)
    with Watch(Setup(surface, rig, limits), jobs=jobs) as watch:
        draws = tqdm(range(num_draws), desc="pose noise", unit="draw", disable=not progress)
        disturbed = (noise.disturbed(coverage.viewpoints, draw=draw) for draw in range(num_draws))
        for draw, seen in zip(draws, watch.seen_from_each(disturbed), strict=True):
            covered = np.asarray(seen.sum(axis=0)) >= limits.views_per_element
            times += covered
            shares[draw] = area[covered].sum() / whole
    least = {level: level * num_draws - 1e-9 for level in PROBABILITIES}
    stays = {f"{level:g}": float(area[times >= num].sum() / whole) for level, num in least.items()}
    figures = RobustnessFigures(
        draws=num_draws, noise_mm=noise.position_mm, noise_deg=noise.rotation_deg, seed=noise.seed,
        mean_coverage=float(shares.mean()), least_coverage=float(shares.min()),
        quantile_5_coverage=float(np.quantile(shares, 0.05)),  # Linear between the draws.
        share_by_probability=stays, coverage_of_draws=tuple(shares.tolist()),
    )  # fmt: skip
    return Robustness(figures=figures, probability=times / num_draws)
