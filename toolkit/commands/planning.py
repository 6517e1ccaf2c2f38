"""The commands that make plans: plan, route, convert."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from viewcov.inspection.errors import InputError
from viewcov.options import CoverageTarget, Jobs, Json, NumViews, Overlap, RigName, ScaleMm, Seed, TimeLimit, Units
from viewcov.output import say
from viewcov.planning.exchange.formats import Format

log = logging.getLogger(__name__)

Closed = Annotated[bool, Parameter(negative="", help="Return to the first viewpoint in the end.")]


def plan(
    part: str,
    /,
    *,
    out: Path = Path("plan.json"),
    rig: RigName = "paper",
    units: Units = None,
    scale_mm: ScaleMm = None,
    coverage: CoverageTarget = 0.99,
    views: NumViews = None,
    overlap: Overlap = None,
    objective: Annotated[
        Literal["views", "cycle"], Parameter(help="Have few viewpoints, or need little time for moving and stopping.")
    ] = "views",
    closed: Closed = False,
    face_weight: Annotated[
        list[str] | None,
        Parameter(negative="", help="FACE=WEIGHT: how much a CAD face counts, 0 to leave it out; several times."),
    ] = None,
    candidates: Annotated[
        Path | None, Parameter(help="Viewpoints to choose from as well: a plan, CSV or any format of 'convert'.")
    ] = None,
    num_candidates: Annotated[
        int | None, Parameter(help="Most viewpoints to choose from; by the part's size if not given.")
    ] = None,
    time_limit: TimeLimit = 120.0,
    seed: Seed = 0,
    jobs: Jobs = 2,
    json: Json = False,
) -> bool:
    """Choose viewpoints for a part and write them as an inspection plan."""
    from viewcov.inspection.loading.part_files import load_part
    from viewcov.inspection.plan import write_plan
    from viewcov.inspection.rig.rig import load_rig
    from viewcov.planning.exchange.plans import import_viewpoints
    from viewcov.planning.options import PlanningOptions
    from viewcov.planning.planner import plan_views

    options = PlanningOptions(
        coverage=coverage,
        num_views=views,
        objective=objective,
        closed=closed,
        overlap=overlap,
        seed=seed,
        num_candidates=num_candidates,
        time_limit_s=time_limit,
    )
    loaded_rig = load_rig(rig)
    weights = tuple(_face_and_weight(pair) for pair in face_weight or ())
    requirements = loaded_rig.requirements
    if weights:
        requirements = replace(requirements, face_weights=weights)
    loaded = load_part(part, units=units, scale_mm=scale_mm)
    for finding in loaded.findings:
        level = logging.WARNING if finding.severity == "warning" else logging.INFO
        log.log(level, "%s: %s (%d): %s", part, finding.name, finding.count, finding.remedy)
    extra = import_viewpoints(candidates).viewpoints if candidates else ()
    result = plan_views(loaded, loaded_rig, requirements, options, extra=extra, jobs=jobs, progress=True)
    write_plan(out, result.plan)
    say(result.figures, json=json)
    return views is not None or result.figures["coverage"] >= coverage - 1e-9


def _face_and_weight(pair: str) -> tuple[int, float]:
    face, separator, weight = pair.partition("=")
    try:
        value = float(weight)
        if separator and face.strip().isdigit() and 0.0 <= value < float("inf"):
            return int(face), value
    except ValueError:
        pass
    raise InputError(
        "--face-weight",
        "not a face and its weight",
        expected="FACE=WEIGHT, such as 12=3",
        found=repr(pair),
        remedy="give the number of the CAD face and a weight from 0",
    )


def route(
    plan: Path,
    /,
    *,
    out: Path,
    times: Annotated[
        Path | None, Parameter(help="CSV of seconds from each viewpoint to each other, as a robot's simulator gives.")
    ] = None,
    closed: Closed = False,
    start: Annotated[str | None, Parameter(help="Viewpoint to begin with; wherever is best if not given.")] = None,
    time_limit: TimeLimit = 60.0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Put the viewpoints of a plan into the shortest order and prove how short any order is."""
    from viewcov.inspection.plan import read_plan, write_plan
    from viewcov.planning.route.reorder import reordered

    plan_in_order, figures = reordered(
        read_plan(plan), times=times, closed=closed, start=start, time_limit_s=time_limit, seed=seed
    )
    write_plan(out, plan_in_order)
    say(figures, json=json)


def convert(
    source: Path,
    /,
    *,
    to: Annotated[Format, Parameter(help="Format to write.")],
    out: Annotated[Path, Parameter(help="File to write; for colmap a folder.")],
    source_format: Annotated[
        Format | None, Parameter(name="--from", help="Format of SOURCE; by name and content if not given.")
    ] = None,
    part: Annotated[str | None, Parameter(help="Part of poses that are no plan.")] = None,
    rig: Annotated[str | None, Parameter(help="Rig of poses that are no plan; paper if not given.")] = None,
    units: Units = None,
    scale_mm: ScaleMm = None,
    jobs: Jobs = 2,
    json: Json = False,
) -> None:
    """Write a plan for COLMAP, nerfstudio, BOP, ROS or as a table, or make one of poses from there."""
    from viewcov.workflows.convert import convert_file

    figures = convert_file(
        source,
        out,
        to=to,
        source_format=source_format,
        part=part,
        rig=rig,
        units=units,
        scale_mm=scale_mm,
        jobs=jobs,
    )
    say(figures, json=json)
