"""The viewpoints of a plan in a shorter order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from viewcov.inspection.errors import InputError
from viewcov.inspection.plan import InspectionPlan
from viewcov.planning.route.exact import prove_route
from viewcov.planning.route.order import motion_times_s, route_cost, short_route
from viewcov.planning.route.times_csv import read_times_csv


def reordered(
    plan: InspectionPlan,
    *,
    times: Path | None = None,
    closed: bool = False,
    start: str | None = None,
    time_limit_s: float = 60.0,
    seed: int = 0,
) -> tuple[InspectionPlan, dict[str, Any]]:
    """The plan with its viewpoints in the shortest order found, ids kept, and figures of the route.

    Parameters
    ----------
    times
        CSV of motion times (see `read_times_csv`); those of the rig's motion if not given.
    closed
        Whether the camera returns to its first viewpoint.
    start
        Id of the viewpoint to begin with.
    time_limit_s
        For proving that no order is shorter, or finding one; 0 leaves the bound of Held and Karp.

    Raises
    ------
    InputError
        If the file of times does not fit the plan, or there is no viewpoint ``start``.
    """
    ids = [view.id for view in plan.viewpoints]
    motion = plan.rig.motion
    cost = motion_times_s(plan.viewpoints, motion) if times is None else read_times_csv(times, ids)
    if start is not None and start not in ids:
        raise InputError(
            "start",
            "no such viewpoint",
            expected=f"one of the plan's {len(ids)} ids",
            found=repr(start),
            remedy="see the plan's viewpoints",
        )
    first = None if start is None else ids.index(start)
    before = route_cost(cost, np.arange(len(ids)), closed=closed) if ids else 0.0
    order = short_route(cost, closed=closed, start=first, seed=seed)
    order, bound = prove_route(cost, order, closed=closed, start=first, time_limit_s=time_limit_s)
    moving = route_cost(cost, order, closed=closed) if ids else 0.0
    stops = len(ids) * motion.stop_s
    figures = {
        "viewpoints": len(ids),
        "route_s": moving + stops,
        "route_bound_s": bound.seconds + stops,
        "route_bound": bound.name,
        # Of the motion alone: the stops are the same in any order.
        "route_gap": (moving - bound.seconds) / moving if moving > 0 else 0.0,
        "route_before_s": before + stops,
    }
    made = {**plan.made, "route": {"closed": closed, "start": start, "seed": seed, **figures}}
    return replace(plan, viewpoints=tuple(plan.viewpoints[place] for place in order), made=made), figures
