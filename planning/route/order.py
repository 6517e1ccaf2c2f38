"""The order in which the views are taken: a short tour through the viewpoints, and how short it could be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.rig.motion import MotionModel
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.clock import over
from viewcov.planning.route.held_karp import one_tree_bound
from viewcov.planning.route.local_search import iterated_tour, tour_cost

RUNS = 4
"""Searches from different first tours, of which the best result counts."""

KICKS_PER_PLACE = 50
"""Kicks of each search, for each place."""

SLACK = 0.1
"""How much costlier a tour may become by a kick at first, as a share of the mean step."""

BLOCK = 512
"""Viewpoints whose times are computed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteBound:
    """No order of the views takes less motion."""

    seconds: float
    """The bound, without the stops."""

    name: Literal["Held-Karp 1-tree", "branch and cut", "all orders"]
    """What proves it."""


def motion_times_s(
    viewpoints: Sequence[Viewpoint], motion: MotionModel, *, dtype: type[np.float64] | type[np.float32] = np.float64
) -> Floats:
    """Seconds from each viewpoint to each other, shape (V, V): the slower of moving and turning.

    Computed in blocks, so that little more memory is taken than the result's.
    """
    num = len(viewpoints)
    times = np.zeros((num, num), dtype=dtype)
    if not num:
        return times  # type: ignore[return-value]
    centers = np.stack([view.center_mm for view in viewpoints])
    turned = np.stack([view.world_from_camera[:3, :3].ravel() for view in viewpoints])
    for first in range(0, num, BLOCK):
        rows = slice(first, first + BLOCK)
        # The Frobenius norm of R_a - R_b is 2 sqrt(2) sin(angle / 2).
        half_sine = np.minimum(cdist(turned[rows], turned) / np.sqrt(8.0), 1.0)
        times[rows] = motion.move_s(cdist(centers[rows], centers), np.rad2deg(2.0 * np.arcsin(half_sine)))
    np.fill_diagonal(times, 0.0)
    return times  # type: ignore[return-value]


def route_cost(cost: Floats, order: Ints, *, closed: bool = False) -> float:
    """Sum of ``cost[a, b]`` over the steps of a tour; a closed one returns from its end to its start."""
    back = cost[order[-1], order[0]] if closed and len(order) > 1 else 0.0
    return float(cost[order[:-1], order[1:]].sum() + back)


def short_route(
    cost: Floats, *, closed: bool = False, start: int | None = None, seed: int = 0, until: float = np.inf
) -> Ints:
    """A short tour through all places, shape (N,), usually within 1 % of the shortest for N up to 150.

    Nearest-neighbour tours from ``RUNS`` random places are improved by iterated local search (see
    `viewcov.planning.route.local_search.iterated_tour`), and the best is taken. The search runs on the costs plus the
    prices of Held and Karp's bound, which every tour pays alike: what is cheap then is nearly what belongs into
    a shortest tour (Helsgaun 2000). Deterministic for a seed, unless the time is up before.

    Parameters
    ----------
    cost
        Shape (N, N): cost from row to column; need not be symmetric. The diagonal is not used.
    closed
        Whether the tour returns to its start, for which the cost of the last step counts too.
    start
        The first place. Without it, an open tour starts and ends where it is cheapest, and a closed one is
        given from place 0.
    until
        Reading of the monotonic clock when the search ends with the best tour so far.
    """
    matrix = closed_costs(cost, closed=closed, start=start)
    num = len(matrix)
    if num < 2:
        return np.arange(len(cost))
    rng = np.random.default_rng(seed)
    first = nearest_neighbour(matrix, 0)
    length = tour_cost(matrix, first)
    search = matrix
    if num > 3:
        prices = one_tree_bound(matrix, upper=length, until=until)
        search = matrix + prices.leaving[:, None] + prices.entering[None]
    tours = []
    for _ in range(RUNS):
        tour = nearest_neighbour(search, int(rng.integers(num)))
        slack = SLACK * abs(length) / num
        tours.append(iterated_tour(search, tour, kicks=KICKS_PER_PLACE * num, rng=rng, slack=slack, until=until))
        if over(until):
            break
    best = min(tours, key=lambda tour: tour_cost(matrix, tour))
    return opened_tour(best, len(cost), start=start)


def improve_route(cost: Floats, order: Ints, *, closed: bool = False) -> Ints:
    """The tour after local search alone; never costlier than before."""
    matrix = closed_costs(cost, closed=closed, start=None)
    order = np.asarray(order, dtype=np.int64)
    tour = order if len(matrix) == len(order) else np.append(order, len(order))
    return opened_tour(iterated_tour(matrix, tour, kicks=0, rng=np.random.default_rng(0)), len(cost), start=None)


def route_bound(cost: Floats, order: Ints, *, closed: bool = False, start: int | None = None) -> RouteBound:
    """A proven lower bound on the motion of every tour of the kind that `short_route` seeks.

    It counts no stops, which are the same for every order of the same views. ``order``, a short tour, sets the pace
    of the ascent to the bound and proves nothing; the other parameters are those of `short_route`.
    """
    matrix = closed_costs(cost, closed=closed, start=start)
    if len(matrix) <= 3:
        best = short_route(cost, closed=closed, start=start)
        return RouteBound(seconds=route_cost(cost, best, closed=closed), name="all orders")
    bound = one_tree_bound(matrix, upper=route_cost(cost, order, closed=closed))
    return RouteBound(seconds=bound.cost, name="Held-Karp 1-tree")


def nearest_neighbour(cost: Floats, start: int) -> Ints:
    """The open tour that always goes on to the cheapest place not yet visited, shape (N,)."""
    order = np.empty(len(cost), dtype=np.int64)
    order[0] = start
    free = np.zeros(len(cost))
    free[start] = np.inf
    for step in range(1, len(cost)):
        order[step] = np.argmin(cost[order[step - 1]] + free)
        free[order[step]] = np.inf
    return order


def closed_costs(cost: Floats, *, closed: bool, start: int | None) -> Floats:
    """Costs whose closed tours cost as much as the tours asked for.

    The way back to a fixed start is free for an open tour; without a fixed start, a place more that costs
    nothing to reach or to leave stands last and joins the ends.
    """
    cost = np.asarray(cost, dtype=np.float64)
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1]:
        raise ValueError(f"cost must have shape (N, N), got {cost.shape}")
    if not np.isfinite(cost).all():
        raise ValueError(f"cost must be finite, got {np.count_nonzero(~np.isfinite(cost))} other values")
    if start is not None and not 0 <= start < len(cost):
        raise ValueError(f"start must be a place from 0 to {len(cost) - 1}, got {start}")
    if closed:
        return cost
    if start is None:
        return np.pad(cost, (0, 1))
    free = cost.copy()
    free[:, start] = 0.0
    return free


def opened_tour(tour: Ints, num: int, *, start: int | None) -> Ints:
    """The tour from its start on, without the place that `closed_costs` adds."""
    if len(tour) > num:
        return np.roll(tour, -int(np.flatnonzero(tour == num)[0]))[1:]
    return np.roll(tour, -int(np.flatnonzero(tour == (start or 0))[0])) if num else tour
