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
from viewcov.inspection.arrays import Floats, checked_count, checked_number
from viewcov.inspection.priority import weighted_areas_mm2
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint

PROBABILITIES = (1.0, 0.95, 0.9, 0.5)
"""Probabilities of being covered that the surface is divided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseNoise:
    """Normally distributed errors of a camera's pose, independent for every view and axis."""

    position_mm: float = 0.5
    """Standard deviation of the camera centre along each axis."""

    rotation_deg: float = 0.1
    """Standard deviation of the rotation vector along each of the camera's axes."""

    seed: int = 0
    """Start of the random numbers; draw n is the same however many are drawn."""

    def __post_init__(self) -> None:
        checked_number(self.position_mm, name="noise.position_mm", at_least=0.0)
        checked_number(self.rotation_deg, name="noise.rotation_deg", at_least=0.0)
        checked_count(self.seed, name="noise.seed", at_least=0)

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Robustness:
    """Coverage over N draws of pose noise."""

    noise: PoseNoise
    """What was drawn from."""

    coverage: Floats
    """Shape (N,): covered share of the area that counts as coverable without noise."""

    probability: Floats
    """Shape (E,): share of the draws in which enough views inspect each element."""

    share_by_probability: dict[float, float]
    """Share of the coverable area that is covered with at least each of ``PROBABILITIES``."""

    @property
    def mean(self) -> float:
        """Mean coverage."""
        return float(self.coverage.mean())

    @property
    def quantile_5(self) -> float:
        """Coverage that 5 % of the draws stay below, linear between the draws."""
        return float(np.quantile(self.coverage, 0.05))

    def figures(self) -> RobustnessFigures:
        """The figures alone."""
        return RobustnessFigures(
            draws=len(self.coverage), noise_mm=self.noise.position_mm, noise_deg=self.noise.rotation_deg,
            seed=self.noise.seed, mean_coverage=self.mean, quantile_5_coverage=self.quantile_5,
            least_coverage=float(self.coverage.min()),
            share_by_probability={f"{level:g}": share for level, share in self.share_by_probability.items()},
            coverage_of_draws=tuple(self.coverage.tolist()),
        )  # fmt: skip


def robustness(
    coverage: GeometricCoverage,
    rig: Rig,
    *,
    num_draws: int = 20,
    noise: PoseNoise = PoseNoise(),
    gather: bool = False,
    jobs: int = 1,
    progress: bool = False,
) -> Robustness:
    """What is covered of the surface when all viewpoints are disturbed at once, by Monte Carlo.

    Costs as much as ``num_draws`` evaluations. Cameras, lights and the part are what they are without noise.

    Parameters
    ----------
    coverage
        Without noise: surface, requirements, viewpoints and the coverable area are taken from it.
    rig
        What the views are taken with.
    gather
        As for ``evaluate_viewpoints``. Where grey is limited, light by way of other surfaces makes a draw twenty
        times as dear, and changes hardly an element; without noise, only the same choice gives the same coverage.
    jobs
        Processes; the result does not depend on it.
    """
    num_draws = checked_count(num_draws, name="num_draws", at_least=1)
    surface, limits = coverage.surface, coverage.requirements
    area = np.where(coverage.coverable, weighted_areas_mm2(surface, limits), 0.0)
    whole = area.sum() if area.any() else np.inf
    shares, times = np.zeros(num_draws), np.zeros(surface.num_elements, dtype=np.int64)
    with Watch(surface, rig, limits, jobs=jobs, gather=gather) as watch:
        for draw in tqdm(range(num_draws), desc="pose noise", unit="draw", disable=not progress):
            seen = watch.seen_from(noise.disturbed(coverage.viewpoints, draw=draw))
            covered = np.asarray(seen.sum(axis=0)) >= limits.views_per_element
            times += covered
            shares[draw] = area[covered].sum() / whole
    least = {level: level * num_draws - 1e-9 for level in PROBABILITIES}
    return Robustness(
        noise=noise,
        coverage=shares,
        probability=times / num_draws,
        share_by_probability={level: float(area[times >= num].sum() / whole) for level, num in least.items()},
    )
