"""The views of a plan, chosen by rows of the surface, looked at on the whole of it, and proven to be few."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.inspection.arrays import Ints
from viewcov.inspection.rig.requirements import weighted_areas_mm2
from viewcov.planning.candidates.pool import CandidatePool
from viewcov.planning.clock import left_s, over, part_way
from viewcov.planning.live import tell
from viewcov.planning.options import PlanningOptions
from viewcov.planning.rows import CONFIDENCE, Drawn, Rows
from viewcov.planning.selection.problem import TOLERANCE, CoverProblem, greedy_cover, prune_cover
from viewcov.planning.selection.proof import Budget
from viewcov.planning.selection.relaxation import LowerBound, largest_views_bound
from viewcov.planning.selection.smallest_cover import (
    Cover,
    fullest_cover,
    most_covered,
    proven_bound,
    small_cover,
    smallest_cover,
)
from viewcov.planning.view_moves import refine_views
from viewcov.planning.whole_surface import WholeSurface

log = logging.getLogger(__name__)

_TESTS_PER_VIEW, _LEAST_TESTS, _MOST_TESTS = 60, 1000, 8000
"""Visibility tests for moving the views of a first choice: on the machined block 150 views become 126 with 20 each,
and 116 with 44, after which nothing helps any more."""

_PROOF_SHARE = 0.5
"""Of the time that is left once the views are looked from; what comes before is to ask what is coverable at all."""

_NEW_ROWS = 2000
"""Elements that become rows at once, of those that the views of a cover of all rows miss."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChosenViews:
    """A cover by views of a pool."""

    cover: Cover
    """The views, and how few could do."""

    rows: CoverProblem
    """What they were chosen by."""

    target: float
    """Weight of the rows that they were to cover."""

    most_coverage: float
    """Share of the coverable weight that no choice of so many views exceeds."""

    confidence: float = 1.0
    """Of the bound and of that share; 1 where all elements prove them."""

    unasked: float = 0.0
    """Weight that there had been no time to ask about when the bound was proven, which so does not speak of it."""


def quick_choice(pool: CandidatePool, setup: Setup, options: PlanningOptions, *, until: float = np.inf) -> Ints:
    """Some of the candidates that do what the options ask for; none if nothing is coverable."""
    problem = _by_area(pool, setup)
    if not problem.coverable_weight > 0:
        return np.empty(0, dtype=np.int64)
    budget = _budget(0, until)
    if options.num_views is not None:
        views, _ = fullest_cover(problem, num_views=options.num_views, budget=budget, effort=0.2, seed=options.seed)
        return views.views
    target = options.coverage * problem.coverable_weight
    return small_cover(problem, target=target, budget=budget, effort=0.2, seed=options.seed)


def moved_choice(
    pool: CandidatePool, setup: Setup, views: Ints, options: PlanningOptions, *, until: float = np.inf
) -> tuple[CandidatePool, Ints]:
    """The views moved to where they see more: the candidates with these poses, and which of them are chosen."""
    if options.refine == 0:
        return pool, views
    most_tests = min(max(_LEAST_TESTS, _TESTS_PER_VIEW * len(views)), _MOST_TESTS)
    refined = refine_views(
        pool,
        views,
        VisibilityTester(setup),
        target=None if options.num_views is not None else options.coverage * _by_area(pool, setup).coverable_weight,
        seed=options.seed,
        max_tests=most_tests if options.refine is None else options.refine,
        until=until,
    )
    return refined.pool, refined.views


def _by_area(pool: CandidatePool, setup: Setup) -> CoverProblem:
    weight = weighted_areas_mm2(setup.surface, setup.requirements)
    return CoverProblem(visible=pool.visible, weight=weight, demand=setup.requirements.views_per_element)


def choose_views(
    whole: WholeSurface,
    first: Ints,
    drawn: Drawn,
    options: PlanningOptions,
    *,
    look_s: float = 0.0,
    until: float = np.inf,
) -> ChosenViews:
    """The views that the options ask for, of all candidates of the surface.

    Parameters
    ----------
    whole
        The surface, all candidates of which are tested on the rows.
    first
        A choice to begin with.
    drawn
        Rows to choose by and for the bound.
    look_s
        Seconds that looking from the views takes.
    until
        Reading of the monotonic clock when searching and proving end.
    """
    budget = _budget(options.max_nodes, until)
    if options.num_views is None and options.coverage == 1.0:
        return _full(whole, first, drawn.chosen_by.element_idx, options, budget)
    sampled = drawn.chosen_by.num_draws is not None
    # Where the views are looked from before the proof, that has as long as the search for them.
    searched = part_way(until - look_s, 0.5) if sampled else until
    return _partial(whole, first, drawn, options, budget, until=searched)


def _budget(max_nodes: int, until: float) -> Budget:
    return Budget(max_nodes=max_nodes, time_limit_s=left_s(until))


def _full(whole: WholeSurface, first: Ints, elements: Ints, options: PlanningOptions, budget: Budget) -> ChosenViews:
    """Row generation: a smallest cover of some rows that covers everything is a smallest cover of everything.

    Whatever it misses becomes rows, and it is chosen anew.
    """
    start = first
    while True:
        problem = whole.rows(elements, whole.weight[elements])
        target = problem.coverable_weight
        if len(start):
            start = greedy_cover(problem, target=target, start=start)
        cover = smallest_cover(problem, target=target, start=start, budget=budget, seed=options.seed)
        tell(views=len(cover.views), bound=cover.bound.num_views)
        whole.look(cover.views)
        missed = (
            whole.coverable(cover.views, until=budget.until)
            & (whole.counts(cover.views) < whole.demand)
            & (whole.weight > 0)
        )
        if not missed.any() or over(budget.until):
            return ChosenViews(cover=cover, rows=problem, target=target, most_coverage=1.0)
        start = cover.views
        new = np.setdiff1d(np.flatnonzero(missed), elements, assume_unique=True)
        log.info("%d views miss %d of %d elements", len(start), missed.sum(), len(missed))
        new = np.random.default_rng(options.seed).permutation(new)[:_NEW_ROWS]
        elements = np.sort(np.concatenate([elements, new]))


def _partial(
    whole: WholeSurface,
    first: Ints,
    drawn: Drawn,
    options: PlanningOptions,
    budget: Budget,
    *,
    until: float,
) -> ChosenViews:
    """Views chosen by the rows, and a bound; where the rows are a sample, about the whole with confidence."""
    rows = drawn.chosen_by
    problem, sampled = whole.rows(rows.element_idx, rows.weight), rows.num_draws is not None
    if options.num_views is not None:
        cover, most = fullest_cover(problem, num_views=options.num_views, start=first, budget=budget, seed=options.seed)
        target, share = problem.covered_weight(cover.views), most / problem.coverable_weight
    else:
        target, share = options.coverage * problem.coverable_weight, 1.0
        start = prune_cover(problem, greedy_cover(problem, target=target, start=first), target=target)
        if sampled:
            some = _budget(0, until)
            views = small_cover(problem, target=target, start=start, budget=some, seed=options.seed)
            cover = Cover(views=views, bound=LowerBound(num_views=0, name="largest views"))
        else:
            cover = smallest_cover(problem, target=target, start=start, budget=budget, seed=options.seed)
    if sampled:
        tell("looking from the views", views=len(cover.views))
        whole.look(cover.views)
        tell("proving")
        cover, share = _bounded(whole, cover, drawn.bound_by, options, budget)
    return ChosenViews(
        cover=cover,
        rows=problem,
        target=target,
        most_coverage=share,
        confidence=CONFIDENCE if sampled else 1.0,
        unasked=whole.unasked_weight,
    )


def _bounded(
    whole: WholeSurface, cover: Cover, checked: Rows, options: PlanningOptions, budget: Budget
) -> tuple[Cover, float]:
    """The cover with a bound about the whole surface, and the share that no choice of so many views exceeds.

    The smallest of all choices that cover the share of the whole does not depend on the draws: how much of them it
    leaves out is known with confidence, and so how few views leave out no more.
    """
    everything = whole.problem(cover.views, until=part_way(budget.until, 1.0 - _PROOF_SHARE))
    problem = whole.rows(checked.element_idx, checked.weight)
    weight = float(whole.weight.sum())
    asked = options.coverage if options.num_views is None else _share(everything, cover.views)
    target = _least_covered(whole, everything, problem, checked, asked)
    bound = proven_bound(problem, cover.views, target=target, budget=budget, seed=options.seed)
    most = 1.0
    if options.num_views is not None:
        least = problem.coverable_weight - most_covered(problem, options.num_views, budget=budget, seed=options.seed)
        most = 1.0 - checked.least_missed(least / weight) * weight / everything.coverable_weight
    return replace(cover, bound=bound), max(most, _share(everything, cover.views))


def _least_covered(
    whole: WholeSurface, everything: CoverProblem, problem: CoverProblem, checked: Rows, share: float
) -> float:
    """Weight of the rows that the smallest of all choices that cover the share of the whole covers at least."""
    weight = float(whole.weight.sum())
    missed = checked.most_missed((1.0 - share) * everything.coverable_weight / weight) * weight
    return max(problem.coverable_weight - missed, 0.0)


def standing_bound(
    whole: WholeSurface, chosen: ChosenViews, views: Ints, checked: Rows, options: PlanningOptions
) -> LowerBound:
    """The bound of a choice, or a weak one where that is about more than turned out to be coverable since.

    Time that ends before it was asked what is coverable leaves out some of what the bound speaks of, and fewer views
    than it says may do for the rest.
    """
    bound = chosen.cover.bound
    if whole.unasked_weight <= chosen.unasked and bound.num_views <= len(views):
        return bound
    everything, problem = whole.problem(views), whole.rows(checked.element_idx, checked.weight)
    share = options.coverage if options.num_views is None else _share(everything, views)
    target = _least_covered(whole, everything, problem, checked, share)
    return LowerBound(num_views=largest_views_bound(problem, target=target), name="largest views")


def _share(problem: CoverProblem, views: Ints) -> float:
    return problem.covered_weight(views) / problem.coverable_weight


def completed(whole: WholeSurface, views: Ints, *, share: float, until: float = np.inf) -> Ints:
    """The views with as many others as it takes to cover the ``share`` of what is coverable.

    Others are added greedily by what they newly cover; views that are not needed are left out.
    """
    grown = views
    while True:
        whole.look(grown)
        problem = whole.problem(grown, until=until)
        target = share * problem.coverable_weight
        if problem.covered_weight(grown) >= target * (1.0 - TOLERANCE):
            break
        # Once looked from, what was added may cover less than it seemed to.
        grown = greedy_cover(problem, target=target, start=grown)
    # More of them than it takes, too, where less turns out to be coverable than it seemed.
    pruned = prune_cover(problem, grown, target=target)
    return views if len(pruned) == len(views) and grown is views else pruned
