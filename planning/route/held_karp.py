"""Held and Karp's lower bound on closed tours, symmetric or not, compiled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from viewcov.inspection.arrays import Floats
from viewcov.planning.clock import over

ROUNDS = 3000
"""Steps of the subgradient ascent."""

PATIENCE = 20
"""Steps without a better bound after which the steps become shorter."""

STRETCH = 10_000_000
"""Entries of the costs that are looked at between two looks at the clock."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreeBound:
    """A lower bound on every closed tour, and the prices that prove it."""

    cost: float
    """No closed tour costs less."""

    leaving: Floats
    """Shape (N,): price of leaving each place; any prices prove some bound."""

    entering: Floats
    """Shape (N,): price of entering each place."""


def one_tree_bound(cost: Floats, *, upper: float, until: float = np.inf) -> TreeBound:
    """Held and Karp's bound (1970) on the cost of every closed tour through N >= 3 places.

    A tour is a 1-tree: a spanning tree of all places but one, plus a step out of that one and a step into it.
    Each of its steps is taken in the cheaper direction, and with prices u for leaving and v for entering a
    place, which every tour pays exactly once each,

        tour >= min over 1-trees of sum (cost_ij + u_i + v_j) - sum u - sum v.

    Subgradient ascent raises the right side towards its maximum, the linear relaxation of the (asymmetric)
    travelling salesman problem with all subtour constraints. Each step's bound holds up to rounding, for
    which a margin is taken off. ``cost`` is as in `short_route`, and need not be metric or positive; ``upper``, the
    cost of a known tour, sets the length of the steps only. The ascent ends early when the monotonic clock reads
    ``until``.
    """
    matrix = np.array(cost, dtype=np.float64)
    np.fill_diagonal(matrix, 0.0)
    symmetric = bool((matrix == matrix.T).all())
    # Rows: leaving, entering.
    price, best_price, along = np.zeros((3, 2, len(matrix)))
    pace = np.array([-np.inf, 1.0, 0.0])
    stretch = STRETCH // matrix.size + 1
    for done in range(0, ROUNDS, stretch):
        rounds = min(stretch, ROUNDS - done)
        if _ascend(matrix, upper, rounds, symmetric, price, best_price, along, pace) or over(until):
            break
    largest = float(np.abs(matrix).max() + np.abs(best_price).max(axis=1).sum())
    bound = float(pace[0]) - 1e-14 * len(matrix) * largest
    return TreeBound(cost=bound, leaving=best_price[0], entering=best_price[1])


@njit(cache=True, nogil=True)
def _ascend(cost, upper, rounds, symmetric, price, best_price, along, pace):  # type: ignore[no-untyped-def]
    """Steps along a mix of the last subgradients (Camerini et al. 1975), in place; whether no step can help any more.

    ``pace`` is the best bound so far, the scale of the steps and how many have brought nothing.
    """
    best, scale, stale = pace
    ended = False
    for _ in range(rounds):
        length, degree = _one_tree(cost, price)
        bound = length - price.sum()
        if bound > best:
            best, stale = bound, 0
            best_price[:] = price
        else:
            stale += 1
        excess = degree - 1.0
        if symmetric:
            # Directions are arbitrary: leaving and entering keep the same price.
            excess[:] = 0.5 * (excess[0] + excess[1])
        if (excess == 0.0).all():
            ended = True  # The 1-tree is a tour.
            break
        if stale >= PATIENCE:
            scale, stale = 0.9 * scale, 0
            price[:] = best_price
        along[:] = 0.3 * excess + 0.7 * along
        norm = (along**2).sum()
        if norm > 0.0:
            price += scale * max(upper - bound, 1e-6 * abs(upper)) / norm * along
    pace[:] = best, scale, stale
    return ended


@njit(cache=True, nogil=True)
def _one_tree(cost, price):  # type: ignore[no-untyped-def]
    """Cost of the cheapest 1-tree at these prices, and how often it leaves and enters each place, (2, N).

    Place 0 stands apart; Prim's algorithm spans the others.
    """
    num = len(cost)
    degree = np.zeros((2, num))
    reach = np.full(num, np.inf)
    tail, head = np.zeros(num, dtype=np.int64), np.zeros(num, dtype=np.int64)
    outside = np.ones(num, dtype=np.bool_)
    total, here = 0.0, 1
    outside[1] = False
    for _ in range(num - 2):
        following, least = -1, np.inf
        for place in range(1, num):
            if not outside[place]:
                continue
            go = cost[here, place] + price[0, here] + price[1, place]
            come = cost[place, here] + price[0, place] + price[1, here]
            if min(go, come) < reach[place]:
                reach[place] = min(go, come)
                tail[place], head[place] = (here, place) if go <= come else (place, here)
            if reach[place] < least:
                following, least = place, reach[place]
        here = following
        outside[here] = False
        total += least
        degree[0, tail[here]] += 1.0
        degree[1, head[here]] += 1.0
    return total + _join(cost, price, degree), degree


@njit(cache=True, nogil=True)
def _join(cost, price, degree):  # type: ignore[no-untyped-def]
    """Cost of the cheapest step out of place 0 and step into it, with different other ends."""
    out_cost, in_cost = cost[0] + price[0, 0] + price[1], cost[:, 0] + price[0] + price[1, 0]
    out_cost[0] = in_cost[0] = np.inf
    out, into = np.argmin(out_cost), np.argmin(in_cost)
    least_out, least_in = out_cost[out], in_cost[into]
    if out == into:
        out_cost[out] = in_cost[into] = np.inf
        other_out, other_in = np.argmin(out_cost), np.argmin(in_cost)
        if least_out + in_cost[other_in] < out_cost[other_out] + least_in:
            into, least_in = other_in, in_cost[other_in]
        else:
            out, least_out = other_out, out_cost[other_out]
    degree[0, 0] += 1.0
    degree[1, out] += 1.0
    degree[0, into] += 1.0
    degree[1, 0] += 1.0
    return least_out + least_in
