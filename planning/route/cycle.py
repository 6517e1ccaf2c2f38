"""Least cycle time: views of a cover exchanged for others so that motion and stops together take less."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints
from viewcov.planning.clock import over
from viewcov.planning.route.order import improve_route, route_cost, short_route
from viewcov.planning.selection.problem import TOLERANCE, CoverProblem, is_cover

ROUNDS = 60
"""Times that a part of the route is torn out and planned anew."""

LARGEST_RUIN = 12
"""Most views that are torn out at once."""

TRIES = 20
"""Views that are tried, in each step, for making two or more others superfluous."""

LEAST_GAIN = 1e-7
"""Relative saving below which a change is not worth it; single-precision times are no more accurate."""


def cycle_time_s(order: Ints, times_s: Floats | Floats32, stop_s: float, *, closed: bool = False) -> float:
    """Seconds for the views in this order: motion from one to the next, and a stop at each."""
    sub = np.asarray(times_s[np.ix_(order, order)], dtype=np.float64)
    return route_cost(sub, np.arange(len(order)), closed=closed) + stop_s * len(order)


def shorten_cycle(cycle: Cycle, chosen: Ints, *, seed: int = 0) -> Ints:
    """Views that reach the target too, in the order of their route, and never take longer than ``chosen`` in its order.

    A local search drops views, exchanges one for another that stands better on the way, and adds one that
    makes several superfluous, for as long as that saves time. Then views around a random one are torn out, the
    cover is repaired with those of most newly covered weight per second, and improved in the same way; the
    result is kept if it takes less (ruin and recreate, Schrimpf et al. 2000). No optimality is claimed.
    Deterministic for a seed.

    Raises
    ------
    ValueError
        If the ``chosen`` views do not reach the target.
    """
    if not is_cover(cycle.problem, chosen, target=cycle.target):
        covered = cycle.problem.covered_weight(chosen)
        raise ValueError(f"chosen must cover at least {cycle.target:g}, got {covered:g}")
    rng = np.random.default_rng(seed)
    given = np.array(chosen, dtype=np.int64)
    best = cycle.improved(min(given, cycle.routed(given), key=cycle.seconds))
    for _ in range(ROUNDS if len(best) else 0):
        if cycle.spent():
            break
        other = cycle.improved(cycle.repaired(cycle.torn(best, rng), rng))
        if len(other) <= cycle.most_views and cycle.seconds(other) < cycle.seconds(best) * (1.0 - LEAST_GAIN):
            best = other
    return min(best, cycle.routed(best), key=cycle.seconds)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cycle:
    """What a cycle must cover, and the steps of the search for it. Orders are shape (K,), indices of candidates."""

    problem: CoverProblem
    """Of V candidate views."""

    times_s: Floats | Floats32
    """Shape (V, V): seconds of motion from row to column, at least 0 and 0 on the diagonal; need not be symmetric."""

    stop_s: float
    """Seconds that each view takes besides."""

    closed: bool = False
    """Whether the camera returns to the first view."""

    target: float
    """Weight that the views must cover."""

    most_views: float = np.inf
    """Views that may be taken; no fewer than the search begins with."""

    until: float = np.inf
    """Reading of the monotonic clock when the search ends with the best order found."""

    @cached_property
    def views_of_row(self) -> csr_array:
        """Shape (R, V): the visibility turned round."""
        return csr_array(self.problem.visible.T)

    @property
    def needed(self) -> float:
        """Covered weight that counts as reaching the target; stricter than the verifier, for rounding."""
        return self.target * (1.0 - 0.5 * TOLERANCE)

    def spent(self) -> bool:
        """Whether the time is up."""
        return over(self.until)

    def seconds(self, order: Ints) -> float:
        """Cycle time of an order."""
        return cycle_time_s(order, self.times_s, self.stop_s, closed=self.closed)

    def routed(self, views: Ints) -> Ints:
        """The views in a short order."""
        return views[short_route(self._times_among(views), closed=self.closed)]

    def _times_among(self, views: Ints) -> Floats:
        return np.asarray(self.times_s[np.ix_(views, views)], dtype=np.float64)

    def improved(self, order: Ints) -> Ints:
        """The order after steps that each save time and keep the target."""
        while True:
            shorter = order[improve_route(self._times_among(order), np.arange(len(order)), closed=self.closed)]
            order = min(order, shorter, key=self.seconds)
            following = None if self.spent() else self._step(order)
            if following is None or self.seconds(following) >= self.seconds(order):
                return order
            order = following

    def _step(self, order: Ints) -> Ints | None:
        """The best single drop or exchange, or else an addition that pays; None if nothing saves time."""
        if not len(order):
            return None
        places = _Places(self.times_s, order, closed=self.closed)
        counts = self.problem.counts(order)
        saving = places.saving()
        covered = self._covered_after_exchange(order, counts)
        allowed = covered >= self.needed
        allowed[:, order] = False
        least = LEAST_GAIN * self.seconds(order)
        change = np.where(allowed, places.exchange(saving), np.inf)
        lost = self._losses(order, counts)
        may_drop = self.problem.covered_weight(order) - lost >= self.needed
        drop = np.where(may_drop, -saving - self.stop_s, np.inf)
        if drop.min() < -least and drop.min() <= change.min():
            return np.delete(order, int(np.argmin(drop)))
        if change.min() < -least:
            place, view = np.unravel_index(int(np.argmin(change)), change.shape)
            return self._inserted(np.delete(order, int(place)), int(view))
        return self._paying_addition(order, allowed, saving, places.cheapest_insertion(), least)

    def _losses(self, order: Ints, counts: Ints) -> Floats:
        """Weight that each view alone keeps covered, shape (K,)."""
        return np.asarray(self.problem.visible[order] @ (self.problem.weight * (counts == self.problem.demand)))

    def _covered_after_exchange(self, order: Ints, counts: Ints) -> Floats:
        """Weight covered with view u (column) added and the view at a place (row) dropped, shape (K, V).

        Rows that need the dropped view are kept if the added one sees them, and rows that the added view would
        complete are not if the dropped one is among their views.
        """
        problem, demand = self.problem, self.problem.demand
        short = problem.weight * (counts == demand - 1)
        shared = problem.weight * (counts == demand) - short
        seen = csr_array(problem.visible[order] * shared[None])
        seen.eliminate_zeros()
        lost = self._losses(order, counts)
        both = (seen @ self.views_of_row).toarray()
        return both + (problem.covered_weight(order) + problem.visible @ short)[None] - lost[:, None]

    def _paying_addition(self, order: Ints, allowed: Bools, saving: Floats, added: Floats, least: float) -> Ints | None:
        """The order with a view more and several less, if that saves time with one of the promising views.

        Their promise is the time of up to three views that each would be superfluous then, though perhaps not
        all together, less the time that the new view takes.
        """
        worth = np.sort(np.where(allowed, saving[:, None] + self.stop_s, 0.0), axis=0)[-3:].sum(axis=0)
        promise = worth - added - self.stop_s
        promise[order] = -np.inf
        now = self.seconds(order)
        for view in np.argsort(-promise, kind="stable")[:TRIES]:
            if promise[view] <= least:
                break
            other = self._pruned(self._inserted(order, int(view)), keep=int(view))
            if self.seconds(other) < now - least and len(other) <= self.most_views:
                return other
        return None

    def _inserted(self, order: Ints, view: int) -> Ints:
        """The order with the view where it costs least."""
        if not len(order):
            return np.array([view], dtype=np.int64)
        places = _Places(self.times_s, order, closed=self.closed, views=np.array([view]))
        place = int(np.argmin(places.insertion()))
        return np.insert(order, (place + 1) % (len(order) + 1), view)

    def _pruned(self, order: Ints, *, keep: int | None = None) -> Ints:
        """The order without superfluous views, those first whose dropping saves most."""
        while len(order):
            places, counts = _Places(self.times_s, order, closed=self.closed), self.problem.counts(order)
            spare = self.problem.covered_weight(order) - self._losses(order, counts) >= self.needed
            worth = np.where(spare & (order != keep), places.saving() + self.stop_s, 0.0)
            if worth.max() <= 0.0:
                break
            order = np.delete(order, int(np.argmax(worth)))
        return order

    def torn(self, order: Ints, rng: np.random.Generator) -> Ints:
        """The order without a random view and those that it reaches soonest, at most half of all."""
        most = min(LARGEST_RUIN, max(1, len(order) // 2))
        soonest = np.argsort(self.times_s[order[rng.integers(len(order))], order], kind="stable")
        return np.delete(order, soonest[: rng.integers(1, most + 1)])

    def repaired(self, order: Ints, rng: np.random.Generator) -> Ints:
        """The order with views added until it reaches the target, then pruned; each choice somewhat random."""
        problem = self.problem
        luck = rng.uniform(0.5, 1.5, problem.num_views)
        weight = np.where(problem.coverable, problem.weight, 0.0)
        while (covered := problem.covered_weight(order)) < self.needed:
            gain = problem.visible @ (weight * (problem.counts(order) < problem.demand))
            gain[order] = 0.0
            seconds = np.zeros(problem.num_views)
            if len(order):
                seconds = _Places(self.times_s, order, closed=self.closed).cheapest_insertion()
            useful = np.minimum(gain, max(self.target - covered, 1e-300)) * luck
            # A rig that moves and stops in no time pays only in views.
            view = int(np.argmax(useful / (seconds + self.stop_s + 1e-9)))
            order = self._inserted(order, view)
        return self._pruned(order)


class _Places:
    """What views cost on the way of an order. An open one returns over a place that costs nothing.

    With M = K gaps of a closed order and K + 1 of an open one, gap g lies between the places g and g + 1.
    """

    def __init__(self, times_s: Floats | Floats32, order: Ints, *, closed: bool, views: Ints | None = None) -> None:
        columns = slice(None) if views is None else views
        # Motion from each place to each view, and from each view to each place, shape (M, V).
        self._leave: NDArray[Any] = times_s[order][:, columns]
        self._reach: NDArray[Any] = times_s[:, order].T[:, columns]
        self._among: NDArray[Any] = times_s[np.ix_(order, order)]
        if not closed:
            self._leave = np.pad(self._leave, ((0, 1), (0, 0)))
            self._reach = np.pad(self._reach, ((0, 1), (0, 0)))
            self._among = np.pad(self._among, (0, 1))
        self._num, self._gaps = len(order), len(self._among)
        here = np.arange(self._gaps)
        self._after, self._before = (here + 1) % self._gaps, (here - 1) % self._gaps
        self._step = self._among[here, self._after]

    def insertion(self) -> Floats:
        """Seconds that each view adds in each gap, shape (M, V)."""
        return np.asarray(self._leave + self._reach[self._after] - self._step[:, None])

    def cheapest_insertion(self) -> Floats:
        """Seconds that each view adds in its best gap, shape (V,)."""
        return np.asarray(self.insertion().min(axis=0))

    def saving(self) -> Floats:
        """Seconds of motion that dropping the view at each place saves, shape (K,)."""
        bridged = self._step[self._before] + self._step - self._among[self._before, self._after]
        return np.asarray(bridged[: self._num])

    def exchange(self, saving: Floats) -> Floats:
        """Seconds of motion more with a view (column) instead of that at a place (row), shape (K, V).

        The new view goes where it costs least: into the dropped one's place or into any other gap.
        """
        if self._gaps == 1:
            return np.zeros_like(self._leave)
        insertion = self.insertion()
        gaps = np.argpartition(insertion, min(2, self._gaps - 1), axis=0)[:3]
        costs = np.take_along_axis(insertion, gaps, axis=0)
        change = np.empty((self._num, insertion.shape[1]))
        for place in range(self._num):
            before, after = self._before[place], self._after[place]
            instead = self._leave[before] + self._reach[after] - self._among[before, after]
            # Both gaps beside the dropped view are gone; one of the three best is neither.
            elsewhere = np.where((gaps != before) & (gaps != place), costs, np.inf).min(axis=0)
            change[place] = np.minimum(instead, elsewhere) - saving[place]
        return change
