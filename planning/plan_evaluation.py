"""All that geometry says of a plan: what it covers, what would mend it, and how it bears errors of its poses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from viewcov.coverage.geometric.contributions import contributions
from viewcov.coverage.geometric.evaluation import GeometricCoverage, evaluate_viewpoints
from viewcov.coverage.geometric.figures import CoverableFrom, GeometricFigures
from viewcov.coverage.geometric.robustness import PoseNoise, Robustness, robustness
from viewcov.coverage.geometric.sightings import confirmed, seen_by
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.mapping.processes import kept_processes
from viewcov.inspection.mapping.workers import checked_jobs
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.records import AtLeastOne, Foreign, Jobs, Positive, Seed, Transform, checked
from viewcov.inspection.rig.inspected import surface_to_inspect
from viewcov.inspection.rig.requirements import weighted_areas_mm2
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import CandidateSearch, gather_candidates
from viewcov.planning.kept_pool import KeptPool, kept_pool
from viewcov.planning.options import EvaluationOptions
from viewcov.planning.repairs import Repairs, find_repairs
from viewcov.planning.rows import Rows

DEFAULTS = EvaluationOptions()
"""Without pose noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanEvaluation:
    """What a plan inspects and what would change it."""

    coverage: GeometricCoverage
    """Areas, and which views see what."""

    repairs: Repairs | None = None
    """What would cover more, if that was searched for."""

    robustness: Robustness | None = None
    """What cameras cover that do not stand exactly where they should, if that was asked for."""

    coverable_from: CoverableFrom
    """How it is known what is coverable."""

    def figures(self) -> GeometricFigures:
        """The figures alone, as in ``geometric.json``."""
        coverage, added = self.coverage, contributions(self.coverage)
        return GeometricFigures(
            **dict(coverage.areas),
            elements=coverage.surface.num_elements,
            viewpoints=len(coverage.viewpoints),
            coverable_from=self.coverable_from,
            waterfall=coverage.waterfall(),
            uncovered=coverage.uncovered(),
            not_coverable=coverage.uncovered(~coverage.coverable),
            k_coverage=tuple(coverage.k_coverage()),
            views=added.views,
            redundant_views=added.redundant,
            coverage_by_views=added.by_views,
            fixes=None if self.repairs is None else self.repairs.fixes,
            robustness=None if self.robustness is None else self.robustness.figures,
        )


@kept_processes()
def evaluate_plan(
    plan: InspectionPlan, options: EvaluationOptions = DEFAULTS, *, jobs: Jobs = 1, progress: bool = False
) -> PlanEvaluation:
    """What a plan inspects, what would mend it, and how well it bears errors of its poses.

    Coverable is what the plan covers and what enough candidates see of the rest: those that are kept beside the plan.
    Where there are none, or they were made for something else, candidates are searched for anew as planning would,
    which a warning tells. What would mend the plan is chosen from them.

    Parameters
    ----------
    plan
        Any: made by viewcov, by hand, or by another program.
    options
        Pose noise for robustness, if that is asked for.
    jobs
        Processes, or the address of a Dask scheduler; the result does not depend on it. A script that asks for several
        processes must guard its entry with ``if __name__ == "__main__"``.

    Raises
    ------
    InputError
        If the plan does not fit its part, or its candidates are damaged.

    Examples
    --------
    >>> from viewcov.inspection.plan import read_plan
    >>> found = evaluate_plan(read_plan("plan.json"), EvaluationOptions(num_draws=20))  # doctest: +SKIP
    >>> found.coverage.coverage, found.robustness.figures.quantile_5_coverage  # doctest: +SKIP
    """
    checked_jobs(jobs)
    rig, limits = plan.rig, plan.requirements
    made = checked(plan.made, _Made, where="the plan's 'made'", remedy="correct it, or plan again")
    surface = surface_to_inspect(plan.load_part(), rig, limits, edge_mm=made.measured_edge_mm)
    kept = kept_pool(plan, surface)
    pool = kept or _searched(plan, made, surface, jobs=jobs, progress=progress)
    known = None if kept is None else kept.rows_of(plan.viewpoints)
    setup = Setup(surface, rig, limits)
    alone = evaluate_viewpoints(setup, plan.viewpoints, known=known, progress=progress, jobs=jobs)
    seen = pool.visible
    left = np.flatnonzero(surface.inspected & ~alone.covered & ~pool.complete)
    if len(left):
        new = seen_by(pool.viewpoints, setup, among=left, jobs=jobs, progress=progress)
        seen = csr_array(seen.maximum(new))
    coverable = alone.covered | pool.coverable
    if kept is None:
        coverable |= confirmed(pool.viewpoints, seen, setup, by=jobs)[0]
    coverage = replace(alone, coverable=coverable)
    stays = None
    if options.num_draws > 0:
        noise = PoseNoise(position_mm=options.noise_mm, rotation_deg=options.noise_deg, seed=options.noise_seed)
        stays = robustness(coverage, rig, num_draws=options.num_draws, noise=noise, jobs=jobs, progress=progress)
    return PlanEvaluation(
        coverage=coverage,
        repairs=find_repairs(coverage, rig, pool.viewpoints, seen),
        robustness=stays,
        coverable_from="search" if kept is None else "pool",
    )


class _Asked(Foreign):
    edge_mm: Positive | None = None
    num_candidates: AtLeastOne | None = None


class _Given(Foreign):
    id: str
    world_from_camera: Transform


class _Made(Foreign):
    """Of a plan's ``made``, of which other programs and versions say other things."""

    seed: Seed = 0
    options: _Asked = _Asked()
    measured_edge_mm: Positive | None = None
    given_candidates: tuple[_Given, ...] = ()


def _searched(plan: InspectionPlan, made: _Made, surface: Surface, *, jobs: Jobs, progress: bool) -> KeptPool:
    """Candidates as planning finds them; what they see of the surface is not known yet."""
    weight = weighted_areas_mm2(surface, plan.requirements)
    searched = Rows.searched(weight, seed=made.seed).surface(surface, weight)
    extra = tuple(Viewpoint(id=v.id, world_from_camera=np.array(v.world_from_camera)) for v in made.given_candidates)
    search = CandidateSearch(num_candidates=made.options.num_candidates, extra=extra, seed=made.seed)
    pool = gather_candidates(searched, plan.rig, plan.requirements, search, jobs=jobs, progress=progress)
    nothing = np.zeros(surface.num_elements, dtype=bool)
    visible = csr_array((len(pool.viewpoints), surface.num_elements))
    return KeptPool(
        viewpoints=pool.viewpoints, visible=visible, complete=nothing, coverable=nothing, gathered=pool,
        measured=np.zeros(len(pool.viewpoints), dtype=bool),
    )  # fmt: skip
