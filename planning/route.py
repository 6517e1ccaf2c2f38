"""The order in which the views are taken: a short open tour through the viewpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.viewpoint import Viewpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionModel:
    """How fast the camera is moved and how long it stays at each view.

    Translation and rotation run at the same time along the straight way; the robot's joints and the part in
    the way are not known here.
    """

    linear_mm_per_s: float = 250.0
    """Speed of the camera centre."""

    angular_deg_per_s: float = 60.0
    """Speed of rotation."""

    settle_s: float = 0.3
    """Waiting until vibrations have gone, at each view."""

    exposure_s: float = 0.1
    """Taking and transferring the images of one view."""

    def __post_init__(self) -> None:
        for name in ("linear_mm_per_s", "angular_deg_per_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("settle_s", "exposure_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")


def motion_times_s(viewpoints: Sequence[Viewpoint], motion: MotionModel = MotionModel()) -> Floats:
    """Seconds from each viewpoint to each other, shape (V, V): the slower of moving and turning."""
    if not viewpoints:
        return np.zeros((0, 0))
    centers = np.stack([view.center_mm for view in viewpoints])
    rotations = np.stack([view.world_from_camera[:3, :3] for view in viewpoints])
    distance = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    # The angle of R_a^T R_b follows from its trace, 1 + 2 cos(angle).
    trace = np.einsum("aij,bij->ab", rotations, rotations)
    angle = np.rad2deg(np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0)))
    times = np.maximum(distance / motion.linear_mm_per_s, angle / motion.angular_deg_per_s)
    np.fill_diagonal(times, 0.0)
    return times


def route_time_s(viewpoints: Sequence[Viewpoint], motion: MotionModel = MotionModel()) -> float:
    """Seconds to take all views in the order given: motion, settling and exposure."""
    times = motion_times_s(viewpoints, motion)
    stops = len(viewpoints) * (motion.settle_s + motion.exposure_s)
    return route_cost(times, np.arange(len(viewpoints))) + stops


def route_cost(cost: Floats, order: Ints) -> float:
    """Sum of ``cost[a, b]`` over the steps of an open tour."""
    return float(cost[order[:-1], order[1:]].sum())


def short_route(cost: Floats) -> Ints:
    """A short open tour through all places, shape (N,); start and end are free.

    The best of the nearest-neighbour tours from every start is improved by 2-opt (reversing a stretch) and
    or-opt (moving a stretch of up to three places) until neither helps. Deterministic.

    Parameters
    ----------
    cost
        Shape (N, N): cost from row to column; need not be symmetric.
    """
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1]:
        raise ValueError(f"cost must have shape (N, N), got {cost.shape}")
    if not np.isfinite(cost).all():
        raise ValueError(f"cost must be finite, got {np.count_nonzero(~np.isfinite(cost))} other values")
    if len(cost) < 3:
        return _cheaper_of_two(cost)
    tours = [nearest_neighbour(cost, start) for start in range(len(cost))]
    order = min(tours, key=lambda tour: route_cost(cost, tour))
    return improve_route(cost, order)


def _cheaper_of_two(cost: Floats) -> Ints:
    order = np.arange(len(cost))
    return order[::-1].copy() if len(cost) == 2 and cost[1, 0] < cost[0, 1] else order


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


def improve_route(cost: Floats, order: Ints) -> Ints:
    """The open tour after 2-opt and or-opt moves until none helps; never costlier than before."""
    order = np.array(order, dtype=np.int64)
    tolerance = 1e-12 * max(float(np.abs(cost).max()), 1e-300) * len(order)
    while True:
        gain, (first, last) = _best_reversal(cost, order)
        if gain > tolerance:
            order[first : last + 1] = order[first : last + 1][::-1].copy()
            continue
        moved = _improving_moves(cost, order, tolerance)
        if moved is None:
            return order
        order = moved


def _best_reversal(cost: Floats, order: Ints) -> tuple[float, tuple[int, int]]:
    """What reversing the best stretch saves, and that stretch (first and last position).

    The stretch's own cost differs backwards where the costs are not symmetric; prefix sums give both.
    """
    num = len(order)
    along = cost[order[:-1], order[1:]]
    forward = np.concatenate([[0.0], np.cumsum(along)])
    backward = np.concatenate([[0.0], np.cumsum(cost[order[1:], order[:-1]])])
    turned = (backward[None, :] - backward[:, None]) - (forward[None, :] - forward[:, None])
    # Entering from the place before `first` and leaving to the place after `last`; the ends are free.
    step = cost[np.ix_(order, order)]
    enter, leave = np.zeros((num, num)), np.zeros((num, num))
    enter[1:] = step[:-1, :] - along[:, None]
    leave[:, :-1] = step[:, 1:] - along[None, :]
    change = np.where(np.triu(np.ones((num, num), dtype=bool), k=1), enter + leave + turned, np.inf)
    best = int(np.argmin(change))
    return -float(change.flat[best]), (best // num, best % num)


def _improving_moves(cost: Floats, order: Ints, tolerance: float) -> Ints | None:
    """The tour after a sweep that moves each stretch of up to three places to where it costs least.

    None if no move saves more than the tolerance.
    """
    changed = False
    for length in range(1, min(3, len(order) - 1) + 1):
        for first in range(len(order) - length + 1):
            piece = order[first : first + length]
            rest = np.concatenate([order[:first], order[first + length :]])
            ways = [_gap_cost(cost, rest, piece)]
            here = ways[0][first]
            if length > 1:
                ways.append(_gap_cost(cost, rest, piece[::-1]))
            turned = int(np.argmin([way.min() for way in ways]))
            gap = int(np.argmin(ways[turned]))
            if here - ways[turned][gap] > tolerance:
                order = np.insert(rest, gap, piece[::-1] if turned else piece)
                changed = True
    return order if changed else None


def _gap_cost(cost: Floats, rest: Ints, piece: Ints) -> Floats:
    """What inserting ``piece`` into each gap of ``rest`` adds, shape (len(rest) + 1,); gap i lies before i."""
    added = np.full(len(rest) + 1, cost[piece[:-1], piece[1:]].sum())
    added[1:] += cost[rest, piece[0]]
    added[:-1] += cost[piece[-1], rest]
    added[1:-1] -= cost[rest[:-1], rest[1:]]
    return added
