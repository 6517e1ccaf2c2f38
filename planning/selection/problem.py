"""Choosing few of many candidate views: the problem, its verifier, greedy cover and redundancy pruning."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from viewcov.inspection.arrays import Bools, Floats, Ints

TOLERANCE = 1e-9
"""Relative rounding error forgiven when a covered weight is compared with a target."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CoverProblem:
    """Which views see which rows (elements or groups of them) and how much each row weighs."""

    visible: csr_array
    """Shape (V, R), sparse, float64: 1 where the view sees the row, nothing elsewhere."""

    weight: Floats
    """Shape (R,): weight of each row, such as its area in mm2."""

    demand: int = 1
    """A row counts as covered when at least this many chosen views see it."""

    def __post_init__(self) -> None:
        if self.visible.shape[1] != len(self.weight):
            raise ValueError(f"weight must have shape ({self.visible.shape[1]},), got {self.weight.shape}")
        if self.demand < 1:
            raise ValueError(f"demand must be at least 1, got {self.demand}")

    @property
    def num_views(self) -> int:
        """Number of candidate views."""
        return int(self.visible.shape[0])

    def rows_seen(self, view: int) -> Ints:
        """The rows that a view sees, shape (M,)."""
        start, end = self.visible.indptr[view : view + 2]
        return self.visible.indices[start:end].astype(np.int64)

    @cached_property
    def coverable(self) -> Bools:
        """Shape (R,): rows that all candidates together cover."""
        return np.asarray(self.visible.sum(axis=0)) > self.demand - 0.5

    @cached_property
    def coverable_weight(self) -> float:
        """Weight of the coverable rows."""
        return float(self.weight[self.coverable].sum())

    def counts(self, chosen: ArrayLike) -> Ints:
        """How many of the ``chosen`` views see each row, shape (R,)."""
        rows = self.visible[np.asarray(chosen, dtype=np.int64)].indices
        return np.bincount(rows, minlength=len(self.weight))

    def covered_weight(self, chosen: ArrayLike) -> float:
        """Weight of the rows that the ``chosen`` views cover."""
        return float(self.weight[self.counts(chosen) >= self.demand].sum())


def is_cover(problem: CoverProblem, chosen: ArrayLike, *, target: float) -> bool:
    """Whether the ``chosen`` views cover rows of at least the weight ``target``. The verifier of this module."""
    picked = np.zeros(problem.num_views)
    picked[np.asarray(chosen, dtype=np.int64)] = 1.0
    times_seen = problem.visible.T @ picked
    covered = problem.weight[times_seen > problem.demand - 0.5].sum()
    return bool(covered >= target * (1.0 - TOLERANCE))


class Tally:
    """How often each row is seen by a growing and shrinking set of views."""

    def __init__(self, problem: CoverProblem, chosen: ArrayLike = ()) -> None:
        self._problem = problem
        self._counts = problem.counts(chosen)

    @property
    def covered(self) -> float:
        """Weight of the covered rows, summed afresh so that no rounding errors build up."""
        return float(self._problem.weight[self._counts >= self._problem.demand].sum())

    def gain(self, view: int) -> float:
        """Weight of the rows that the view sees and that are seen too seldom so far."""
        rows = self._problem.rows_seen(view)
        return float(self._problem.weight[rows] @ (self._counts[rows] < self._problem.demand))

    def loss(self, view: int) -> float:
        """Weight that would no longer be covered without the view, which must be one of the set."""
        rows = self._problem.rows_seen(view)
        return float(self._problem.weight[rows] @ (self._counts[rows] == self._problem.demand))

    def add(self, view: int) -> None:
        """Take the view into the set."""
        self._counts[self._problem.rows_seen(view)] += 1

    def remove(self, view: int) -> None:
        """Take the view out of the set."""
        self._counts[self._problem.rows_seen(view)] -= 1


def greedy_cover(problem: CoverProblem, *, target: float, start: ArrayLike = ()) -> Ints:
    """Views that cover at least the weight ``target``, in the order of their choice, after those of ``start``.

    Each step takes the view with the largest weight of rows that are still seen too seldom; ties go to the
    lower index. For demand 1 that is at most 1 + ln(target / rest) times the fewest possible, where ``rest``
    is the weight missing to the target before the last step (Wolsey 1982), and so within H(n) for n rows of
    equal weight.

    Raises
    ------
    ValueError
        If all views together do not reach the target.
    """
    if target > problem.coverable_weight * (1.0 + TOLERANCE):
        raise ValueError(f"target must be at most the coverable {problem.coverable_weight:g}, got {target:g}")
    chosen = [int(view) for view in np.asarray(start, dtype=np.int64)]
    tally = Tally(problem, chosen)
    best_next = _lazy_greedy(problem, tally, taken=chosen)
    while tally.covered < target * (1.0 - TOLERANCE):
        chosen.append(next(best_next))
    return np.array(chosen, dtype=np.int64)


def greedy_best(problem: CoverProblem, *, num_views: int) -> Ints:
    """At most ``num_views`` views chosen greedily; fewer if no further one adds anything.

    For demand 1 they cover at least 1 - 1/e of what the best ``num_views`` views cover.
    """
    return np.fromiter(islice(_lazy_greedy(problem, Tally(problem)), num_views), dtype=np.int64)


def _lazy_greedy(problem: CoverProblem, tally: Tally, *, taken: Sequence[int] = ()) -> Iterator[int]:
    """The view of largest gain, again and again, added to the tally as it is given out.

    A gain only shrinks as views are added (submodularity), so an old gain bounds the new one and most need not
    be computed again (Minoux 1978).
    """
    gains = [float(gain) for gain in problem.visible @ problem.weight]
    # Where an element wants several views, those taken before still have a gain.
    without = set(taken)
    heap = [(-gain, view) for view, gain in enumerate(gains) if gain > 0 and view not in without]
    heapq.heapify(heap)
    while heap:
        _, view = heapq.heappop(heap)
        entry = (-tally.gain(view), view)
        if entry[0] == 0:
            continue
        if heap and entry > heap[0]:
            heapq.heappush(heap, entry)
            continue
        tally.add(view)
        yield view


def prune_cover(problem: CoverProblem, chosen: Ints, *, target: float) -> Ints:
    """The ``chosen`` views without those that the target does not need; order kept.

    The view whose removal loses least goes first, and all losses are weighed again after each removal.
    """
    kept = [int(view) for view in chosen]
    tally = Tally(problem, kept)
    while kept:
        losses = [tally.loss(view) for view in kept]
        least = int(np.argmin(losses))
        if tally.covered - losses[least] < target * (1.0 - TOLERANCE):
            break
        tally.remove(kept.pop(least))
    return np.array(kept, dtype=np.int64)
