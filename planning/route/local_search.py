"""Short closed tours by local search, compiled; `viewcov.planning.route.order` turns routes into closed tours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.planning.clock import over

NUM_NEIGHBOURS = 10
"""Cheapest places after each place that moves try."""

LONGEST_KICK = 50
"""Most places in either of the two stretches that a kick exchanges."""

STRETCH = 500_000
"""Places times kicks between two looks at the clock."""


class _Search(NamedTuple):
    """The state of the local search; its arrays change in place."""

    cost: Floats
    neighbours: Ints
    tour: Ints
    place: Ints
    """Position of each place in the tour."""
    ahead: Floats
    """Cost of the first n steps of the tour, shape (N + 1,)."""
    back: Floats
    """Cost of the same steps the other way."""
    queue: Ints
    """Places from which moves are to be tried; the first `count` entries are valid."""
    queued: Bools
    touched: Ints
    """Places whose steps the last move has changed."""
    scratch: Ints
    tolerance: float


def iterated_tour(
    cost: Floats, tour: Ints, *, kicks: int, rng: np.random.Generator, slack: float = 0.0, until: float = np.inf
) -> Ints:
    """The closed tour after local search and random kicks, never costlier than ``tour``; shape (N,).

    The local search turns stretches round (2-opt) and exchanges neighbouring stretches (the pure 3-opt move),
    with lists of neighbours and a queue of places worth trying (Bentley 1992). A kick exchanges two random
    neighbouring stretches (a double bridge, which turns nothing round and so suits asymmetric costs), and the
    search goes on from what the local search makes of it unless that is too costly (iterated local search,
    Johnson and McGeoch 1997). The best tour met is returned; the same seed gives the same. By ``slack`` a tour may be
    costlier than the one before the kick at first, which sinks to zero evenly. There are fewer kicks if the monotonic
    clock reads ``until`` before.
    """
    num = len(cost)
    tour = np.array(tour, dtype=np.int64)
    if num < 3:
        return tour
    if num == 3:
        return min(tour, tour[::-1].copy(), key=lambda each: tour_cost(cost, each))
    search = _Search(
        cost=np.ascontiguousarray(cost, dtype=np.float64),
        neighbours=_cheapest_successors(cost, min(NUM_NEIGHBOURS, num - 1)),
        tour=tour,
        place=np.empty(num, dtype=np.int64),
        ahead=np.empty(num + 1),
        back=np.empty(num + 1),
        queue=np.arange(num),
        queued=np.ones(num, dtype=np.bool_),
        touched=np.empty(6, dtype=np.int64),
        scratch=np.empty(num, dtype=np.int64),
        # The prefix sums' rounding stays far below this.
        tolerance=1e-12 * num * float(np.abs(cost).max()),
    )
    longest = min(LONGEST_KICK, (num - 1) // 3)
    where = np.stack([rng.integers(high, size=kicks) for high in (num, longest, longest)], axis=1)
    _settle(search)
    best, costs = search.tour.copy(), np.full(2, search.ahead[num])
    slacks = np.maximum(slack * (1.0 - np.arange(kicks) / max(kicks, 1)), search.tolerance)
    stretch = STRETCH // num + 1
    for first in range(0, kicks, stretch):
        if over(until):
            break
        _kick(search, where[first : first + stretch], slacks[first : first + stretch], best, costs)
    return best


def tour_cost(cost: Floats, tour: Ints) -> float:
    """Sum of ``cost`` over the steps of the closed tour."""
    return float(cost[tour, np.roll(tour, -1)].sum())


def _cheapest_successors(cost: Floats, num: int) -> Ints:
    """For each place the ``num`` others that are cheapest to go to, cheapest first; shape (N, num)."""
    others = np.array(cost, dtype=np.float64)
    np.fill_diagonal(others, np.inf)
    return np.ascontiguousarray(np.argsort(others, axis=1, kind="stable")[:, :num].astype(np.int64))


@njit(cache=True, nogil=True)
def _settle(search):  # type: ignore[no-untyped-def]
    """Improve the tour in place until no move helps."""
    num = len(search.tour)
    _measure(search)
    # Turning a stretch changes asymmetric costs all along it, beyond the places that are queued.
    while _improve(search, num):
        for place in range(num):
            _push(search, place, place)


@njit(cache=True, nogil=True)
def _kick(search, kicks, slacks, best, costs):  # type: ignore[no-untyped-def]
    """Kick the tour and improve it in place; each kick is a position and two lengths less one.

    ``best`` and ``costs``, those of the tour and of the best, are kept up to date.
    """
    tour, num = search.tour, len(search.tour)
    kept = tour.copy()
    now, least = costs
    for kick in range(len(kicks)):
        first = kicks[kick, 0]
        middle = first + 1 + kicks[kick, 1]
        last = middle + 1 + kicks[kick, 2]
        _exchange(tour, first, middle, last, search.scratch)
        _measure(search)
        seam = first + last - middle
        count = 0
        for position in (first, first + 1, seam, seam + 1, last, last + 1):
            count = _push(search, count, tour[position % num])
        _improve(search, count)
        if search.ahead[num] <= now + slacks[kick]:
            now = search.ahead[num]
            kept[:] = tour
            if now < least:
                least = now
                best[:] = tour
        else:
            tour[:] = kept
    costs[:] = now, least


@njit(cache=True, nogil=True)
def _measure(search):  # type: ignore[no-untyped-def]
    """Update places and sums of steps after a change of the tour."""
    cost, tour = search.cost, search.tour
    num = len(tour)
    search.ahead[0] = search.back[0] = 0.0
    for position in range(num):
        here, after = tour[position], tour[0 if position + 1 == num else position + 1]
        search.place[here] = position
        search.ahead[position + 1] = search.ahead[position] + cost[here, after]
        search.back[position + 1] = search.back[position] + cost[after, here]


@njit(cache=True, nogil=True)
def _push(search, count, item):  # type: ignore[no-untyped-def]
    """Queue a place unless it is queued; the new number of queued places."""
    if search.queued[item]:
        return count
    search.queued[item] = True
    search.queue[count] = item
    return count + 1


@njit(cache=True, nogil=True)
def _improve(search, count):  # type: ignore[no-untyped-def]
    """Apply moves from the ``count`` queued places until none helps; whether one did."""
    improved = False
    while count > 0:
        count -= 1
        base = search.queue[count]
        search.queued[base] = False
        while True:
            changed = _turn(search, base)
            if changed == 0:
                changed = _shift(search, base)
            if changed == 0:
                break
            _measure(search)
            for which in range(changed):
                count = _push(search, count, search.touched[which])
            improved = True
    return improved


@njit(cache=True, nogil=True)
def _turn(search, base):  # type: ignore[no-untyped-def]
    """Apply a 2-opt move with the new step base -> near, if one helps; the number of touched places.

    A stretch turned round costs the difference of its sums backwards and forwards where costs are asymmetric.
    """
    cost, tour, num = search.cost, search.tour, len(search.tour)
    at = search.place[base]
    before, after = tour[(at - 1) % num], tour[(at + 1) % num]
    for near in search.neighbours[base]:
        to = search.place[near]
        # base [after ... near] beyond  becomes  base [near ... after] beyond.
        beyond = tour[(to + 1) % num]
        change = cost[base, near] + cost[after, beyond] - cost[base, after] - cost[near, beyond]
        first = (at + 1) % num
        if change + _turning(search, first, to) < -search.tolerance:
            _reverse(tour, first, to)
            _touch(search, (base, after, near, beyond, base, near))
            return 4
        # before [base ... last] near  becomes  before [last ... base] near.
        last = tour[(to - 1) % num]
        change = cost[base, near] + cost[before, last] - cost[before, base] - cost[last, near]
        end = (to - 1) % num
        if change + _turning(search, at, end) < -search.tolerance:
            _reverse(tour, at, end)
            _touch(search, (base, before, near, last, base, near))
            return 4
    return 0


@njit(cache=True, nogil=True)
def _shift(search, base):  # type: ignore[no-untyped-def]
    """Apply a pure 3-opt move with the new step base -> near, if one helps; the number of touched places.

    base [after ... last] [near ... stop] beyond  becomes  base [near ... stop] [after ... last] beyond.
    Some base of a helpful move has positive gains after each of its steps (Lin and Kernighan 1973), so that
    the loops may end early.
    """
    cost, tour, num = search.cost, search.tour, len(search.tour)
    at = search.place[base]
    after = tour[(at + 1) % num]
    for near in search.neighbours[base]:
        gain = cost[base, after] - cost[base, near]
        if gain <= 0.0:
            break
        # Offsets are counted from base, round the end of the array.
        middle = (search.place[near] - 1 - at) % num
        last = tour[(at + middle) % num]
        gain += cost[last, near]
        for beyond in search.neighbours[last]:
            if gain <= cost[last, beyond]:
                break
            end = (search.place[beyond] - 1 - at) % num
            stop = tour[(at + end) % num]
            change = cost[last, beyond] + cost[stop, after] - cost[stop, beyond] - gain
            if end > middle and change < -search.tolerance:
                _exchange(tour, at, at + middle, at + end, search.scratch)
                _touch(search, (base, after, last, near, stop, beyond))
                return 6
    return 0


@njit(cache=True, nogil=True)
def _touch(search, places):  # type: ignore[no-untyped-def]
    for k in range(6):
        search.touched[k] = places[k]


@njit(cache=True, nogil=True)
def _turning(search, first, last):  # type: ignore[no-untyped-def]
    """What the steps from position ``first`` to ``last``, round the end if need be, cost more backwards."""
    ahead, back, num = search.ahead, search.back, len(search.tour)
    change = (back[last] - back[first]) - (ahead[last] - ahead[first])
    return change if last >= first else change + back[num] - ahead[num]


@njit(cache=True, nogil=True)
def _reverse(tour, first, last):  # type: ignore[no-untyped-def]
    """Turn round the stretch from position ``first`` to ``last``, round the end of the array if need be."""
    num = len(tour)
    for _ in range(((last - first) % num + 1) // 2):
        tour[first], tour[last] = tour[last], tour[first]
        first, last = (first + 1) % num, (last - 1) % num


@njit(cache=True, nogil=True)
def _exchange(tour, first, middle, last, scratch):  # type: ignore[no-untyped-def]
    """Swap the stretches from first + 1 to middle and from middle + 1 to last, positions modulo the length."""
    num = len(tour)
    length = last - first
    for offset in range(length):
        source = middle + 1 + offset
        if source > last:
            source -= length
        scratch[offset] = tour[source % num]
    for offset in range(length):
        tour[(first + 1 + offset) % num] = scratch[offset]
