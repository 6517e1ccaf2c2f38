"""The viewpoints of a plan in a shorter order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from viewcov.inspection.errors import InputError
from viewcov.inspection.plan import InspectionPlan
from viewcov.planning.figures import ReorderFigures
from viewcov.planning.options import RouteOptions
from viewcov.planning.route.exact import prove_route
from viewcov.planning.route.order import motion_times_s, route_cost, short_route
from viewcov.planning.route.times_csv import read_times_csv

DEFAULTS = RouteOptions()
"""An open route from wherever is best."""


def reordered(plan: InspectionPlan, options: RouteOptions = DEFAULTS) -> tuple[InspectionPlan, ReorderFigures]:
    """The plan with its viewpoints in the shortest order found, ids kept, and figures of the route.

    Raises
    ------
    InputError
        If the file of times does not fit the plan, or there is no viewpoint ``start``.
    """
    ids = [view.id for view in plan.viewpoints]
    motion, closed, start = plan.rig.motion, options.closed, options.start
    cost = motion_times_s(plan.viewpoints, motion) if options.times is None else read_times_csv(options.times, ids)
    if start is not None and start not in ids:
        raise InputError(
            "start", "no such viewpoint", expected=f"one of the plan's {len(ids)} ids", found=repr(start),
            remedy="see the plan's viewpoints",
        )  # fmt: skip
    first = None if start is None else ids.index(start)
    before = route_cost(cost, np.arange(len(ids)), closed=closed) if ids else 0.0
    order = short_route(cost, closed=closed, start=first, seed=options.seed)
    order, bound = prove_route(cost, order, closed=closed, start=first, time_limit_s=options.time_limit_s)
    moving = route_cost(cost, order, closed=closed) if ids else 0.0
    stops = len(ids) * motion.stop_s
    figures = ReorderFigures(
        viewpoints=len(ids),
        route_s=moving + stops,
        route_bound_s=bound.seconds + stops,
        route_bound=bound.name,
        route_gap=(moving - bound.seconds) / moving if moving > 0 else 0.0,
        route_before_s=before + stops,
    )
    asked = {"closed": closed, "start": start, "seed": options.seed}
    made = {**plan.made, "route": asked | figures.model_dump(mode="json")}
    return replace(plan, viewpoints=tuple(plan.viewpoints[place] for place in order), made=made), figures
