"""The views of a plan, chosen from a pool of candidates and moved to where they see more."""

from __future__ import annotations

from dataclasses import dataclass

from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.inspection.arrays import Ints
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.requirements import Requirements, weighted_areas_mm2
from viewcov.inspection.rig.rig import Rig
from viewcov.planning.candidates.pool import CandidatePool
from viewcov.planning.options import PlanningOptions
from viewcov.planning.selection.problem import CoverProblem
from viewcov.planning.selection.proof import Budget
from viewcov.planning.selection.smallest_cover import Cover, fullest_cover, smallest_cover
from viewcov.planning.view_moves import refine_views

_TESTS_PER_VIEW, _MOST_TESTS = 60, 8000
"""Visibility tests for moving the views of a first choice: on the machined block 150 views become 126 with 20 each,
and 116 with 44, after which nothing helps any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChosenViews:
    """A cover by views of a pool."""

    pool: CandidatePool
    """The candidates, and after them the poses that views were moved to."""

    problem: CoverProblem
    """Of all of them: the weight is the area to be inspected, times the weight of its CAD face."""

    cover: Cover
    """The views, and the proof of how few could do, which speaks of the moved poses too."""

    most_coverage: float
    """Share of the coverable weight that no choice of so many views exceeds."""


def choose_views(
    pool: CandidatePool, surface: Surface, rig: Rig, requirements: Requirements, options: PlanningOptions
) -> ChosenViews | None:
    """The views that the options ask for, of those in the pool and poses near them; None if nothing is coverable.

    A first choice is moved to where it sees more, and the final one made among the candidates and these poses, so
    that its proof speaks of both.
    """
    weight = weighted_areas_mm2(surface, requirements)
    demand = requirements.views_per_element
    problem = CoverProblem(visible=pool.visible, weight=weight, demand=demand)
    if not problem.coverable_weight > 0:
        return None
    start = None
    if options.refine != 0:
        first, _ = _chosen(problem, None, options.model_copy(update={"max_nodes": 0}), effort=0.2)
        refined = refine_views(
            pool,
            first.views,
            VisibilityTester(Setup(surface, rig, requirements)),
            target=None if options.num_views is not None else options.coverage * problem.coverable_weight,
            seed=options.seed,
            max_tests=_tests(len(first.views)) if options.refine is None else options.refine,
        )
        pool, start = refined.pool, refined.views
        problem = CoverProblem(visible=pool.visible, weight=weight, demand=demand)
    cover, most = _chosen(problem, start, options)
    return ChosenViews(pool=pool, problem=problem, cover=cover, most_coverage=most / problem.coverable_weight)


def _tests(num_views: int) -> int:
    """Visibility tests for moving so many views."""
    return min(max(1000, _TESTS_PER_VIEW * num_views), _MOST_TESTS)


def _chosen(
    problem: CoverProblem, start: Ints | None, options: PlanningOptions, *, effort: float = 1.0
) -> tuple[Cover, float]:
    """The views, and the weight that no choice of so many views exceeds."""
    if options.num_views is not None:
        return fullest_cover(problem, num_views=options.num_views, start=start, effort=effort, seed=options.seed)
    target = options.coverage * problem.coverable_weight
    budget = Budget(max_nodes=options.max_nodes, time_limit_s=options.time_limit_s)
    cover = smallest_cover(problem, target=target, start=start, budget=budget, effort=effort, seed=options.seed)
    return cover, problem.coverable_weight
