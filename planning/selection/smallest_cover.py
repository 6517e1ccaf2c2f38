"""The smallest cover that can be found, with a proven bound: everything about selection put together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viewcov.inspection.arrays import Ints
from viewcov.planning.clock import part_way
from viewcov.planning.selection.annealing import anneal_best, anneal_cover
from viewcov.planning.selection.integer_program import integer_cover, size_of
from viewcov.planning.selection.problem import TOLERANCE, CoverProblem, greedy_best, greedy_cover, is_cover, prune_cover
from viewcov.planning.selection.proof import Budget, prove_cover
from viewcov.planning.selection.reduction import merge_rows, reduce_cover
from viewcov.planning.selection.relaxation import (
    CoverRelaxation,
    LowerBound,
    OutOfTimeError,
    largest_views_bound,
    relaxed_bound,
)
from viewcov.planning.selection.weighting import updates_per_move, weighted_cover

_SEARCH_WORK = 5e9
"""Updates of gains that one annealing run may make: about five seconds."""

_LEAST_MOVES, _MOST_MOVES = 100, 100
"""Moves of one annealing run, whatever their work: at least for each view of the set, at most for each pair of its
views. Few views are soon exchanged for all others, and are the ones that see most, which makes their moves dear."""

_RUNS = 3
"""Of a local search, one from what the other found."""

_WEIGHTING_WORK, _BRIEF_WORK = 1.5e8, 1e7
"""Updates of scores that one run of row weighting may make: some five seconds, and a fraction of one."""

_WEIGHTING_MOVES = 2_000
"""Moves of such a run for each view there is, at most: few views are soon tried in all ways."""

_SMALL = 30_000
"""Entries of the largest integer program of a part of the weight that goes to HiGHS: it closes programs of 6,000 in
seconds, comes near with 20,000, and does not leave the root of those of surfaces, from 200,000 on."""

_NODES_FOR_ONE = 25
"""Nodes of those programs for each node of branch and bound that a budget has left."""

_PROVING = 0.75
"""Share of the time for a full cover that the integer program has; the search has the rest, if that proves nothing."""

_LEAST_S = 0.5
"""Seconds that the integer program of a full cover has in any case: on surfaces it is often solved in fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One of several runs of a local search."""

    effort: float
    seed: int
    left: int
    """Runs from this one on."""

    @classmethod
    def several(cls, effort: float, seed: int) -> list[_Run]:
        """Runs with seeds of their own."""
        return [cls(effort=effort, seed=seed + run, left=_RUNS - run) for run in range(_RUNS)]

    def end(self, until: float) -> float:
        """When to end, so that those after it have as much of the time until ``until``."""
        return part_way(until, 1.0 / self.left)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cover:
    """Views that cover the target, and how few could."""

    views: Ints
    """Shape (M,), ascending."""

    bound: LowerBound
    """No cover of the target is smaller."""


def smallest_cover(
    problem: CoverProblem,
    *,
    target: float,
    start: Ints | None = None,
    budget: Budget | None = None,
    effort: float = 1.0,
    seed: int = 0,
) -> Cover:
    """Few views that cover the weight ``target``, and a proof of how few could.

    To cover all that is coverable, row weighting finds a small cover of the reduced problem, which the integer
    programming solver HiGHS improves or proves. To cover less, annealing finds one, and branch and bound over the
    relaxation tells how far it is from the smallest or finds that; small problems go to HiGHS before. Large ones of
    demands above 1 have the bound of the relaxation.

    If ``start`` reaches the target, the cover is no larger than that. ``effort`` is the share of the usual
    local search that is done.

    The views depend on the seed and the budget's number of nodes; only where the time limit ends the search
    can they depend on the machine.

    Raises
    ------
    ValueError
        If all views together do not reach the target.
    """
    budget = Budget() if budget is None else budget
    merged, _ = merge_rows(problem, seed=seed)
    start = _start_of(merged, start, target)
    if len(start) == 0:
        return Cover(views=start, bound=LowerBound(num_views=0, name="largest views"))
    if _everything(merged, target):
        cover = _full_cover(merged, start, target=target, budget=budget, effort=effort, seed=seed)
    else:
        cover = _partial_cover(merged, start, target=target, budget=budget, effort=effort, seed=seed)
    assert is_cover(problem, cover.views, target=target)
    return cover


def small_cover(
    problem: CoverProblem,
    *,
    target: float,
    start: Ints | None = None,
    budget: Budget,
    effort: float = 1.0,
    seed: int = 0,
) -> Ints:
    """Few views that cover the weight ``target``, as of `smallest_cover`, by local search alone, without a proof."""
    merged, _ = merge_rows(problem, seed=seed)
    views = _start_of(merged, start, target)
    if _everything(merged, target):
        reduced = reduce_cover(merged)
        runs = _Run.several(effort, seed)
        found = _weighted(reduced.problem, _greedy_start(reduced.problem), until=budget.until, runs=runs)
        return np.sort(min(views, reduced.original(found), key=len))
    runs = _Run.several(effort, seed)
    return np.sort(_annealed(merged, views, target=target, until=budget.until, runs=runs))


def _everything(problem: CoverProblem, target: float) -> bool:
    return target >= problem.coverable_weight * (1.0 - TOLERANCE)


def _annealed(
    problem: CoverProblem, views: Ints, *, target: float, until: float, runs: Sequence[_Run], enough: int = 0
) -> Ints:
    """The cover made smaller by annealing, one run after the other, until it has no more than ``enough`` views."""
    for run in runs:
        if len(views) > enough:
            moves, end = _num_moves(problem, len(views), run.effort), run.end(until)
            views = anneal_cover(problem, views, target=target, num_moves=moves, seed=run.seed, until=end)
    return views


def _weighted(problem: CoverProblem, views: Ints, *, until: float, runs: Sequence[_Run], enough: int = 0) -> Ints:
    """The cover of everything made smaller by row weighting in the same way."""
    for run in runs:
        if len(views) > enough:
            moves, end = _weighting_moves(problem, run.effort * _WEIGHTING_WORK), run.end(until)
            views = weighted_cover(problem, views, num_moves=moves, seed=run.seed, until=end)
    return views


def _weighting_moves(problem: CoverProblem, work: float) -> int:
    return int(min(work / updates_per_move(problem), _WEIGHTING_MOVES * problem.num_views))


def _greedy_start(problem: CoverProblem) -> Ints:
    target = problem.coverable_weight
    return prune_cover(problem, greedy_cover(problem, target=target), target=target)


def _start_of(merged: CoverProblem, start: Ints | None, target: float) -> Ints:
    """The smaller of a greedy cover and a given one, if that is one."""
    first = prune_cover(merged, greedy_cover(merged, target=target), target=target)
    return first if start is None or not is_cover(merged, start, target=target) else min(start, first, key=len)


def fullest_cover(
    problem: CoverProblem,
    *,
    num_views: int,
    start: Ints | None = None,
    budget: Budget | None = None,
    effort: float = 1.0,
    seed: int = 0,
) -> tuple[Cover, float]:
    """At most ``num_views`` views that cover much weight, and the weight that no such views exceed.

    The cover's bound says how many views are needed at least to cover as much as these do. If ``start`` has no
    more than ``num_views`` views, the cover covers no less.
    """
    until = np.inf if budget is None else budget.until
    merged, _ = merge_rows(problem, seed=seed)
    views = greedy_best(merged, num_views=num_views)
    if start is not None and len(start) <= num_views:
        views = max(views, start, key=merged.covered_weight)
    everything = merged.coverable_weight
    if merged.covered_weight(views) >= everything * (1.0 - TOLERANCE):
        cover = smallest_cover(problem, target=everything, start=views, budget=budget, effort=effort, seed=seed)
        return cover, everything
    half = part_way(until, 0.5)
    for run in _Run.several(effort, seed):
        moves = _num_moves(merged, num_views, run.effort)
        views = anneal_best(merged, views, num_moves=moves, seed=run.seed, until=run.end(half))
    relaxation = CoverRelaxation(merged, seed=seed)
    most = _most_covered(relaxation, num_views, until)
    covered = merged.covered_weight(views)
    bound = relaxed_bound(merged, target=covered, relaxation=relaxation, until=until)
    return Cover(views=np.sort(views), bound=bound), max(most, covered)


def proven_bound(problem: CoverProblem, chosen: Ints, *, target: float, budget: Budget, seed: int = 0) -> LowerBound:
    """How many views cover the weight ``target`` at least, by branch and bound up to the number of ``chosen``."""
    if target <= 0:
        return LowerBound(num_views=0, name="largest views")
    merged, _ = merge_rows(problem, seed=seed)
    relaxation = CoverRelaxation(merged, seed=seed)
    bound = relaxed_bound(merged, target=target, relaxation=relaxation, until=_halfway(budget))
    if problem.demand > 1 or len(chosen) <= bound.num_views:
        return bound
    _, num_views = prove_cover(relaxation, chosen, target=target, num_views=bound.num_views, budget=budget, seed=seed)
    return LowerBound(num_views=num_views, name="branch and bound") if num_views > bound.num_views else bound


def most_covered(problem: CoverProblem, num_views: int, *, budget: Budget, seed: int = 0) -> float:
    """Weight that no choice of so many views exceeds, by the linear relaxation."""
    merged, _ = merge_rows(problem, seed=seed)
    return _most_covered(CoverRelaxation(merged, seed=seed), num_views, budget.until)


def _most_covered(relaxation: CoverRelaxation, num_views: int, until: float) -> float:
    everything = relaxation.problem.coverable_weight
    try:
        relaxed = relaxation.most(num_views, until=until)
    except OutOfTimeError:
        return everything
    assert relaxed is not None
    return min(relaxed.value, 1.0) * everything


def _partial_cover(
    problem: CoverProblem, start: Ints, *, target: float, budget: Budget, effort: float, seed: int
) -> Cover:
    first, *others = _Run.several(effort, seed)
    # One run before the bound, so that little time finds views at least.
    views = _annealed(problem, start, target=target, until=_halfway(budget), runs=[first])
    relaxation = CoverRelaxation(problem, seed=seed)
    bound = relaxed_bound(problem, target=target, relaxation=relaxation, until=_halfway(budget))
    enough = bound.num_views
    views = _annealed(problem, views, target=target, until=_halfway(budget), runs=others, enough=enough)
    if len(views) > enough and size_of(problem) <= _SMALL and not budget.spent:
        end = budget.until if problem.demand > 1 else _halfway(budget)
        nodes = _NODES_FOR_ONE * (budget.max_nodes - budget.nodes)
        views, least = integer_cover(problem, views, target=target, until=end, max_nodes=nodes)
        if least > bound.num_views:
            bound = LowerBound(num_views=least, name="integer program")
    if problem.demand > 1 or len(views) <= bound.num_views:
        return Cover(views=np.sort(views), bound=bound)
    views, num_views = prove_cover(
        relaxation, views, target=target, num_views=bound.num_views, budget=budget, seed=seed
    )
    if num_views > bound.num_views:
        bound = LowerBound(num_views=num_views, name="branch and bound")
    return Cover(views=np.sort(views), bound=bound)


def _halfway(budget: Budget) -> float:
    """Half of the time that is left, so that something is left for what comes after."""
    return part_way(budget.until, 0.5)


def _num_moves(problem: CoverProblem, size: int, effort: float) -> int:
    """Moves of one annealing run on a set of that size.

    An exchange changes three views, and each of their rows all views of the row.
    """
    updates = 3.0 * float(problem.visible.sum(axis=0) ** 2 @ np.ones(len(problem.weight))) / problem.num_views
    least, most = min(_LEAST_MOVES * size, 4_000), min(_MOST_MOVES * size**2, 50 * problem.num_views + 4_000)
    return int(effort * np.clip(_SEARCH_WORK / max(updates, 1.0), least, most))


def _full_cover(
    problem: CoverProblem, start: Ints, *, target: float, budget: Budget, effort: float, seed: int
) -> Cover:
    """A smallest cover of everything coverable, by integer programming on the reduced problem."""
    reduced = reduce_cover(problem)
    if not len(reduced.problem.weight):
        return _proven(reduced.forced)
    left, fixed = reduced.problem, len(reduced.forced)
    views, moves = _greedy_start(left), _weighting_moves(left, _BRIEF_WORK)
    views = weighted_cover(left, views, num_moves=moves, seed=seed, until=budget.until)
    end = max(part_way(budget.until, _PROVING), time.monotonic() + _LEAST_S)
    views, least = integer_cover(left, views, target=left.coverable_weight, until=end)
    views = _weighted(left, views, until=budget.until, runs=_Run.several(effort, seed), enough=least)
    start = min(start, reduced.original(views), key=len)
    if len(start) <= fixed + least:
        return _proven(start)
    bound = LowerBound(num_views=largest_views_bound(problem, target=target), name="largest views")
    if fixed + least >= bound.num_views:
        bound = LowerBound(num_views=fixed + least, name="integer program")
    return Cover(views=np.sort(start), bound=bound)


def _proven(views: Ints) -> Cover:
    return Cover(views=np.sort(views), bound=LowerBound(num_views=len(views), name="integer program"))
