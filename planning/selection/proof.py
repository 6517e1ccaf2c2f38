"""Branch and bound for covering a share of the weight: how many views are needed, and such views."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array

from viewcov.inspection.arrays import Floats, Ints
from viewcov.planning.clock import over
from viewcov.planning.selection.annealing import anneal_cover
from viewcov.planning.selection.problem import CoverProblem, is_cover
from viewcov.planning.selection.relaxation import CoverRelaxation, OutOfTimeError, RelaxedCover

log = logging.getLogger(__name__)

_Limits = dict[int, tuple[float, float]]
"""Least and most views of some of the sets, by their numbers."""

_MARGIN = 1e-6
"""A node is closed only if it falls short of the target by more than this share: the solver's tolerances."""

_BRANCHES_TRIED = 5
_ROUNDING_MOVES = 3000
_LARGEST_SET = 0.7
"""Sets of more than this share of the views are not branched on: their sum is nearly the number of views."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """When to stop proving.

    Nodes are counted, so that the outcome does not depend on the machine; time may cut it short.
    """

    max_nodes: int = 400
    """Nodes in all."""

    time_limit_s: float = np.inf
    """Seconds from the making of this object."""

    nodes: int = 0
    """Nodes so far."""

    started: float = field(default_factory=time.monotonic)
    """Reading of the monotonic clock."""

    @property
    def until(self) -> float:
        """Reading of the monotonic clock when the time is up."""
        return self.started + self.time_limit_s

    @property
    def spent(self) -> bool:
        """Whether it is time to stop."""
        return self.nodes >= self.max_nodes or over(self.until)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Node:
    limits: _Limits
    relaxed: RelaxedCover


def prove_cover(
    relaxation: CoverRelaxation, chosen: Ints, *, target: float, num_views: int, budget: Budget, seed: int = 0
) -> tuple[Ints, int]:
    """A cover no larger than ``chosen`` and a number of views that no cover falls below.

    For n from ``num_views`` on it is asked whether n views can cover the target: the largest share that the
    relaxation lets n views cover is split by cases until each falls short of the target, which proves that
    more views are needed, or a cover of n views turns up, which is then a smallest one. Cases are "at most m"
    and "more than m" views of a set of views that see much the same surface; single views would be no use to
    split on, as there is always another one like it. The relaxation is that of a problem of demand 1, ``num_views`` is
    proven to be a lower bound, and the budget is for all numbers of views together.
    """
    if time.monotonic() + _seconds_for_sets(relaxation.problem) >= budget.until:
        return chosen, num_views
    sets = view_sets(relaxation.problem)
    while num_views < len(chosen) and not budget.spent:
        search = _Search(relaxation, sets, target=target, num_views=num_views, seed=seed)
        try:
            found, closed = search.run(budget)
        except OutOfTimeError:
            break
        if found is not None:
            return found, num_views
        if not closed:
            break
        num_views += 1
        log.info("no %d views can cover the target (%d nodes so far)", num_views - 1, budget.nodes)
    return chosen, num_views


class _Search:
    """Whether ``num_views`` views can cover the target."""

    def __init__(
        self, relaxation: CoverRelaxation, sets: list[Ints], *, target: float, num_views: int, seed: int
    ) -> None:
        self._problem, self._relaxation, self._sets = relaxation.problem, relaxation, sets
        self._target, self._num_views, self._seed = target, num_views, seed
        self._share = target / self._problem.coverable_weight
        self._until = np.inf
        starts = np.concatenate([[0], np.cumsum([len(members) for members in sets])])
        columns = np.concatenate(sets) if sets else np.empty(0, dtype=np.int64)
        self._sum_of = csr_array((np.ones(len(columns)), columns, starts), shape=(len(sets), self._problem.num_views))
        self._tried: set[bytes] = set()

    def run(self, budget: Budget) -> tuple[Ints | None, bool]:
        """A cover, if one was found, and whether all cases were closed."""
        self._until = budget.until
        root = self._solve({}, max_rounds=200)
        if root is None:
            return None, True
        open_nodes = [_Node(limits={}, relaxed=root)]
        while open_nodes and not budget.spent:
            node = open_nodes.pop()
            budget.nodes += 1
            found = self._rounded(node.relaxed.chosen)
            if found is not None:
                return found, False
            children = self._split(node)
            if children is None:
                return None, False
            # The more promising case is gone into first: there a cover is met soonest, if there is one.
            open_nodes += sorted(children, key=lambda child: child.relaxed.value)
        return None, not open_nodes

    def _solve(self, limits: _Limits, *, max_rounds: int) -> RelaxedCover | None:
        """The relaxation with those limits, None if it falls short of the target."""
        self._relaxation.limit(limits, self._sets)
        enough = self._share - _MARGIN
        found = self._relaxation.most(self._num_views, enough=enough, max_rounds=max_rounds, until=self._until)
        return None if found is None or found.value < self._share - _MARGIN else found

    def _rounded(self, chosen: Floats) -> Ints | None:
        """A cover near the relaxed one, if a short search finds any."""
        largest = np.sort(np.argsort(-chosen, kind="stable")[: self._num_views])
        if largest.tobytes() in self._tried:
            return None
        self._tried.add(largest.tobytes())
        if not is_cover(self._problem, largest, target=self._target):
            largest = anneal_cover(
                self._problem,
                largest,
                target=self._target,
                num_moves=_ROUNDING_MOVES,
                seed=self._seed,
                until=self._until,
            )
        return largest if is_cover(self._problem, largest, target=self._target) else None

    def _split(self, node: _Node) -> list[_Node] | None:
        """The open cases that the node falls into; None if there is no set to split on."""
        best: tuple[float, list[tuple[_Limits, RelaxedCover | None]]] | None = None
        for number in self._promising(node.relaxed.chosen):
            cases = self._cases(node.limits, number, float(node.relaxed.chosen[self._sets[number]].sum()))
            tried = [(limits, self._solve(limits, max_rounds=1)) for limits in cases]
            room = node.relaxed.value - self._share + _MARGIN
            drops = [room if case is None else max(node.relaxed.value - case.value, 1e-3 * room) for _, case in tried]
            score = math.prod(drops)
            if best is None or score > best[0]:
                best = score, tried
            if all(case is None for _, case in tried):
                break
        if best is None:
            return None
        children = []
        for limits, case in best[1]:
            solved = None if case is None else self._solve(limits, max_rounds=6)
            if solved is not None:
                children.append(_Node(limits=limits, relaxed=solved))
        return children

    def _promising(self, chosen: Floats) -> list[int]:
        """Sets of different sizes whose sums are farthest from whole numbers."""
        sums = self._sum_of @ chosen
        away = np.abs(sums - np.round(sums))
        worst = np.argsort(-away, kind="stable")[: 6 * _BRANCHES_TRIED]
        worst = worst[away[worst] > 1e-6]
        sizes = np.array([len(self._sets[number]) for number in worst])
        by_size = worst[np.argsort(sizes, kind="stable")]
        spread = np.unique(np.linspace(0, len(by_size) - 1, min(_BRANCHES_TRIED, len(by_size))).round().astype(int))
        return [int(number) for number in by_size[spread]]

    def _cases(self, limits: _Limits, number: int, total: float) -> list[_Limits]:
        low, high = limits.get(number, (-np.inf, np.inf))
        below, above = math.floor(total), math.floor(total) + 1
        return [{**limits, number: (low, float(below))}, {**limits, number: (float(above), high)}]


def _seconds_for_sets(problem: CoverProblem) -> float:
    """About how long `view_sets` takes, which no clock ends: as measured on 1,000 to 3,000 views."""
    seen_by = np.asarray(problem.visible.sum(axis=0))
    return 1.1e-8 * float(seen_by @ seen_by) + 1.3e-7 * problem.num_views**2


def view_sets(problem: CoverProblem) -> list[Ints]:
    """Nested sets of views that see much the same rows: the inner nodes of a tree by average linkage.

    The distance of two views is one minus the weight that both see over the weight that either sees
    (Jaccard). Single views are sets too; sets of more than ``_LARGEST_SET`` of all views are left out.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    num_views = problem.num_views
    sets = [np.array([view]) for view in range(num_views)]
    if num_views < 3:
        return sets
    seen = problem.visible
    weighted = csr_array((problem.weight[seen.indices], seen.indices, seen.indptr), shape=seen.shape)
    both = np.asarray((weighted @ seen.T).todense())
    alone = both.diagonal()
    either = alone[:, None] + alone[None, :] - both
    distance = 1.0 - np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    distance = np.clip((distance + distance.T) / 2.0, 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average")
    for first, second, *_ in tree:
        sets.append(np.concatenate([sets[int(first)], sets[int(second)]]))
    return [members for members in sets if len(members) <= max(1.0, _LARGEST_SET * num_views)]
