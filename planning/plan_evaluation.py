"""All that geometry says of a plan: what it covers, what would mend it, and how it bears errors of its poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from viewcov.coverage.geometric.contributions import contributions
from viewcov.coverage.geometric.evaluation import GeometricCoverage, evaluate_viewpoints
from viewcov.coverage.geometric.robustness import PoseNoise, Robustness, robustness
from viewcov.coverage.geometric.sightings import confirmed, seen_by
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.plan import InspectionPlan
from viewcov.planning.candidates.pool import gather_candidates
from viewcov.planning.planner import planning_surface
from viewcov.planning.repairs import Repairs, find_repairs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanEvaluation:
    """What a plan inspects and what would change it."""

    coverage: GeometricCoverage
    """Areas, and which views see what."""

    repairs: Repairs | None = None
    """What would cover more, if that was searched for."""

    robustness: Robustness | None = None
    """What cameras cover that do not stand exactly where they should, if that was asked for."""

    def to_json(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        figures = self.coverage.to_json() | contributions(self.coverage).to_json()
        if self.repairs is not None:
            figures |= self.repairs.to_json()
        if self.robustness is not None:
            figures["robustness"] = self.robustness.to_json()
        return figures

    def headline(self) -> dict[str, Any]:
        """The figures without the long lists, for people."""
        figures = self.coverage.to_json()
        redundant = contributions(self.coverage).redundant
        figures["redundant"] = f"{len(redundant)} of {self.coverage.num_viewpoints} views, each by itself"
        if self.repairs is not None and self.repairs.fixes:
            fixes, gained_mm2 = self.repairs.fixes, self.repairs.gained_mm2
            figures["fixes"] = f"{len(fixes)} views to add, for {gained_mm2:,.1f} mm2 more"
        if self.robustness is not None:
            figures["robustness"] = self.robustness.to_json()
            del figures["robustness"]["coverage_of_draws"]
        return figures


def evaluate_plan(
    plan: InspectionPlan,
    *,
    num_draws: int = 0,
    noise_mm: float = 0.5,
    noise_deg: float = 0.1,
    noise_seed: int = 0,
    jobs: int = 1,
    progress: bool = False,
) -> PlanEvaluation:
    """What a plan inspects, what would mend it, and how well it bears errors of its poses.

    Coverable is what the plan covers and what enough candidates see of the rest; they come from the same search as
    those of planning. What would mend the plan is chosen from them.

    Parameters
    ----------
    plan
        Any: made by viewcov, by hand, or by another program.
    num_draws
        Draws of pose noise, each of which costs an evaluation; 0 for no robustness.
    noise_mm, noise_deg, noise_seed
        See `PoseNoise`.
    jobs
        Processes; the result does not depend on it.

    Raises
    ------
    InputError
        If an option is out of range, or the plan does not fit its part.

    Examples
    --------
    >>> from viewcov.inspection.plan import read_plan
    >>> found = evaluate_plan(read_plan("plan.json"), num_draws=20)  # doctest: +SKIP
    >>> found.coverage.coverage, found.robustness.quantile_5  # doctest: +SKIP
    """
    noise = _pose_noise(num_draws, noise_mm, noise_deg, noise_seed)
    rig, limits = plan.rig, plan.requirements
    surface = cut_surface(plan.load_part(), limits.element_edge_mm)
    coarse = planning_surface(surface.part, rig, limits)
    pool = gather_candidates(coarse, rig, limits, seed=int(plan.made.get("seed", 0)), jobs=jobs, progress=progress)
    alone = evaluate_viewpoints(surface, rig, limits, plan.viewpoints, progress=progress, jobs=jobs)
    left = np.flatnonzero(surface.inspected & ~alone.covered)
    seen = seen_by(pool.viewpoints, surface, rig, limits, among=left, jobs=jobs, progress=progress)
    coverable = alone.covered | confirmed(pool.viewpoints, seen, surface, rig, limits, jobs=jobs, progress=progress)
    coverage = replace(alone, coverable=coverable)
    repairs = find_repairs(coverage, rig, pool.viewpoints, seen)
    stays = None
    if num_draws > 0:
        stays = robustness(coverage, rig, num_draws=num_draws, noise=noise, jobs=jobs, progress=progress)
    return PlanEvaluation(coverage=coverage, repairs=repairs, robustness=stays)


def _pose_noise(num_draws: int, noise_mm: float, noise_deg: float, seed: int) -> PoseNoise:
    try:
        if num_draws < 0:
            raise ValueError(f"the number of draws must be at least 0, got {num_draws}")
        return PoseNoise(position_mm=noise_mm, rotation_deg=noise_deg, seed=seed)
    except ValueError as error:
        raise InputError(
            "pose noise", "an option is out of range", expected="numbers from 0", found=str(error),
            remedy="change the option",
        ) from None  # fmt: skip
