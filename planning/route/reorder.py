"""The viewpoints of a plan in a shorter order, by the rig's motion or by times from a robot's simulator."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_text
from viewcov.inspection.plan import InspectionPlan
from viewcov.planning.figures import ReorderFigures
from viewcov.planning.options import RouteOptions
from viewcov.planning.route.exact import prove_route
from viewcov.planning.route.order import motion_times_s, route_cost, short_route

DEFAULTS = RouteOptions()
"""An open route from wherever is best."""

SEARCH_SHARE = 0.5
"""Most of the time limit that the search for a short route may take; the proof has the rest."""


def reordered(
    plan: InspectionPlan, options: RouteOptions = DEFAULTS, *, started: float | None = None
) -> tuple[InspectionPlan, ReorderFigures]:
    """The plan with its viewpoints in the shortest order found, ids kept, and figures of the route.

    The time limit counts from the reading ``started`` of the monotonic clock, or from now.

    Raises
    ------
    InputError
        If the file of times does not fit the plan, or there is no viewpoint ``start``.
    """
    started = time.monotonic() if started is None else started
    search_until, until = (started + share * options.time_limit_s for share in (SEARCH_SHARE, 1.0))
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
    order = short_route(cost, closed=closed, start=first, seed=options.seed, until=search_until)
    order, bound = prove_route(cost, order, closed=closed, start=first, until=until)
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


def read_times_csv(path: str | Path, ids: Sequence[str]) -> Floats:
    """Seconds from each viewpoint to each other, shape (V, V), in the order of ``ids``.

    The file's first row names the viewpoints that motions end at, its first column those that they begin at,
    each in any order; the cell where both meet is not read. Times are seconds; the diagonal may be empty and
    counts as zero. Cells are separated by commas, or by semicolons, and then a comma may be the decimal sign.

    Raises
    ------
    InputError
        If the file is not such a table of exactly these viewpoints, or a time is negative or not finite.
    """
    rows = _rows(path)
    targets = [cell.strip() for cell in rows[0][1:]]
    sources = [row[0].strip() for row in rows[1:]]
    for names, line in ((targets, "first row"), (sources, "first column")):
        _check_ids(names, ids, where=f"{path}, {line}")
    column = {name: place for place, name in enumerate(targets, start=1)}
    row_of = dict(zip(sources, rows[1:], strict=True))
    times = np.zeros((len(ids), len(ids)))
    for begin, source in enumerate(ids):
        if len(row_of[source]) != len(rows[0]):
            raise InputError(
                f"{path}, row {source!r}", "wrong length", expected=f"{len(rows[0])} cells",
                found=f"{len(row_of[source])}", remedy="write one time for each viewpoint",
            )  # fmt: skip
        for end, target in enumerate(ids):
            if begin != end:
                where = f"{path}, from {source!r} to {target!r}"
                times[begin, end] = _seconds(row_of[source][column[target]], where=where)
    return times


def _rows(path: str | Path) -> list[list[str]]:
    text = read_text(path, "UTF-8 CSV")
    separator = ";" if ";" in text.split("\n", 1)[0] else ","
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row)]
    if not rows:
        raise InputError(
            path, "no times", expected="a row and a column of viewpoint ids and times in seconds",
            found="an empty file", remedy="export the times again",
        )  # fmt: skip
    return rows


def _check_ids(names: list[str], ids: Sequence[str], *, where: str) -> None:
    missing, extra = sorted(set(ids) - set(names)), sorted(set(names) - set(ids))
    twice = sorted({name for name in names if names.count(name) > 1})
    for what, which in (("viewpoints missing", missing), ("unknown viewpoints", extra), ("named twice", twice)):
        if which:
            more = f" and {len(which) - 3} more" if len(which) > 3 else ""
            raise InputError(
                where, what, expected=f"each of the plan's {len(ids)} viewpoints once",
                found=f"{', '.join(which[:3])}{more}", remedy="export the times for this plan",
            )  # fmt: skip


def _seconds(cell: str, *, where: str) -> float:
    try:
        seconds = float(cell.strip().replace(",", "."))
    except ValueError:
        seconds = np.nan
    if not (np.isfinite(seconds) and seconds >= 0.0):
        raise InputError(
            where, "not a time", expected="seconds, finite and not negative", found=repr(cell),
            remedy="correct it; a motion that cannot be made has no place in a plan",
        )  # fmt: skip
    return seconds
