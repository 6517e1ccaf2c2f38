"""The views of a plan: chosen from a pool, moved to where they see more, measured closely and completed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array, vstack

from viewcov.coverage.geometric.sightings import Watch, confirmed, seen_by
from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.inspection.arrays import Bools, Ints
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.requirements import Requirements, weighted_areas_mm2
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import CandidatePool
from viewcov.planning.options import PlanningOptions
from viewcov.planning.selection.problem import CoverProblem, greedy_cover, is_cover, prune_cover
from viewcov.planning.selection.proof import Budget
from viewcov.planning.selection.smallest_cover import Cover, fullest_cover, smallest_cover
from viewcov.planning.view_moves import refine_views

_TESTS_PER_VIEW, _LEAST_TESTS, _MOST_TESTS = 60, 1000, 8000
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
        most_tests = min(max(_LEAST_TESTS, _TESTS_PER_VIEW * len(first.views)), _MOST_TESTS)
        refined = refine_views(
            pool,
            first.views,
            VisibilityTester(Setup(surface, rig, requirements)),
            target=None if options.num_views is not None else options.coverage * problem.coverable_weight,
            seed=options.seed,
            max_tests=most_tests if options.refine is None else options.refine,
        )
        pool, start = refined.pool, refined.views
        problem = CoverProblem(visible=pool.visible, weight=weight, demand=demand)
    cover, most = _chosen(problem, start, options)
    return ChosenViews(pool=pool, problem=problem, cover=cover, most_coverage=most / problem.coverable_weight)


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredViews:
    """Views of a pool of V candidates, measured on E elements."""

    surface: Surface
    """The elements."""

    candidates: tuple[Viewpoint, ...]
    """All V."""

    problem: CoverProblem
    """What is coverable, and what the views cover of it.

    Rows of the views are complete; those of other candidates leave out what the views cover.
    """

    views: Ints
    """Shape (M,): which of the candidates."""

    complete: Bools
    """Shape (E,): elements that the rows of all candidates know; of the others, those of the views alone."""

    @property
    def coverage(self) -> float:
        """Share of the coverable weight that the views cover."""
        return self.problem.covered_weight(self.views) / self.problem.coverable_weight


def measured_on(
    surface: Surface,
    planned: MeasuredViews,
    rig: Rig,
    requirements: Requirements,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> MeasuredViews:
    """The views measured on another surface of the part, and what it shows to be coverable by all candidates.

    An element that the views leave out is coverable if enough candidates see it. Only the views are tested on all
    of the surface, the candidates on what the views leave. Where the requirements limit grey, it is that of all
    light, by way of other surfaces too; but the rows of other candidates have light straight from the ring.
    """
    candidates, views = planned.candidates, planned.views
    chosen, setup = [candidates[view] for view in views], Setup(surface, rig, requirements)
    with Watch(setup, jobs=jobs, gather=True) as watch:
        own = watch.seen_from(chosen, progress=progress)
    times = np.asarray(own.sum(axis=0))
    left = np.flatnonzero(surface.inspected & (times < requirements.views_per_element))
    others = seen_by(candidates, setup, among=left, jobs=jobs, progress=progress)
    others = _with_rows(others, views, csr_array(own.shape))
    coverable = confirmed(candidates, others, setup, counts=times, jobs=jobs, progress=progress)
    others.data *= coverable[others.indices]
    others.eliminate_zeros()
    problem = CoverProblem(
        visible=_with_rows(others, views, own),
        weight=weighted_areas_mm2(surface, requirements),
        demand=requirements.views_per_element,
    )
    complete = np.zeros(surface.num_elements, dtype=bool)
    complete[left] = True
    return replace(planned, surface=surface, problem=problem, complete=complete)


def completed(measured: MeasuredViews, rig: Rig, requirements: Requirements, *, share: float) -> MeasuredViews:
    """The views with as many others as it takes to cover the ``share`` of what is coverable; the same if none.

    Others are added greedily by what they newly cover; views that are no longer needed are left out again.
    """
    problem, views = measured.problem, measured.views
    if is_cover(problem, views, target=share * problem.coverable_weight):
        return measured
    with Watch(Setup(measured.surface, rig, requirements), gather=True) as watch:
        # Once measured, what was added may cover less than it seemed to.
        while not is_cover(problem, views, target=share * problem.coverable_weight):
            grown = greedy_cover(problem, target=share * problem.coverable_weight, start=views)
            added = grown[len(views) :]
            rows = watch.seen_from([measured.candidates[view] for view in added])
            visible, views = _with_rows(problem.visible, added, rows), grown
            problem = CoverProblem(visible=visible, weight=problem.weight, demand=problem.demand)
    views = prune_cover(problem, views, target=share * problem.coverable_weight)
    return replace(measured, problem=problem, views=views)


def _with_rows(visible: csr_array, places: Ints, rows: csr_array) -> csr_array:
    """The matrix with the rows at some places exchanged."""
    num = visible.shape[0]
    order = np.arange(num)
    order[places] = num + np.arange(len(places))
    return csr_array(csr_array(vstack([visible, rows], format="csr"))[order])
