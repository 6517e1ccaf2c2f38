"""The commands that make, measure and hand on plans."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

import viewcov
from viewcov.inspection.records import AtLeastOne, Count, NotNegative, PositiveShare
from viewcov.options import Jobs, Json, Out, PartFile, PlanFile, Required, RigName, ScaleMm, Seed, Units
from viewcov.output import say
from viewcov.workflows.convert import ConvertOptions

log = logging.getLogger(__name__)

Closed = Annotated[bool, Parameter(help="Return to the first viewpoint in the end.")]


def plan(
    part: PartFile,
    /,
    *,
    out: Annotated[Path, Parameter(help="Where to write the plan.")] = Path("plan.json"),
    rig: RigName = "paper",
    units: Units = None,
    scale_mm: ScaleMm = None,
    coverage: Annotated[PositiveShare, Parameter(help="Share of the coverable area that the plan must cover.")] = 0.99,
    num_views: Annotated[
        AtLeastOne | None, Parameter(help="Use this many views and cover as much as they can.")
    ] = None,
    overlap: Annotated[
        AtLeastOne | None, Parameter(help="Views that must see each element; from the rig's requirements if not given.")
    ] = None,
    objective: Annotated[
        Literal["views", "cycle"], Parameter(help="Have few viewpoints, or need little time for moving and stopping.")
    ] = "views",
    closed: Closed = False,
    face_weights: Annotated[
        dict[Count, NotNegative] | None, Parameter(help="How much a CAD face counts, 0 to leave it out.")
    ] = None,
    candidates: Annotated[
        Path | None, Parameter(help="Viewpoints to choose from as well: a plan, CSV or any format of 'convert'.")
    ] = None,
    num_candidates: Annotated[
        AtLeastOne | None, Parameter(help="Most viewpoints to choose from; by the part's size if not given.")
    ] = None,
    time_limit_s: Annotated[NotNegative, Parameter(help="Seconds for the proof.")] = 120.0,
    seed: Seed = 0,
    jobs: Jobs = 2,
    json: Json = False,
    progress: bool = False,
) -> bool:
    """Choose viewpoints for a part and write them as an inspection plan.

    Example: viewcov plan housing.step --rig paper-quarter --coverage 0.95 --out plan.json
    """
    options = viewcov.PlanningOptions(
        coverage=coverage,
        num_views=num_views,
        objective=objective,
        closed=closed,
        overlap=overlap,
        seed=seed,
        num_candidates=num_candidates,
        time_limit_s=time_limit_s,
    )
    loaded_rig = viewcov.load_rig(rig)
    requirements = loaded_rig.requirements
    if face_weights:
        weights = {int(face): float(weight) for face, weight in face_weights.items()}
        requirements = replace(requirements, face_weights=tuple(weights.items()))
    loaded = viewcov.load_part(part, units=units, scale_mm=scale_mm)
    for finding in loaded.findings:
        level = logging.WARNING if finding.severity == "warning" else logging.INFO
        log.log(level, "%s: %s (%d): %s", part, finding.name, finding.count, finding.remedy)
    extra = viewcov.import_viewpoints(candidates).viewpoints if candidates else ()
    result = viewcov.plan_views(loaded, loaded_rig, requirements, options, extra=extra, jobs=jobs, progress=progress)
    viewcov.write_plan(out, result.plan)
    say(result.figures, json=json)
    return num_views is not None or result.figures["coverage"] >= coverage - 1e-9


def route(
    plan: PlanFile,
    /,
    *,
    out: Annotated[Path, Parameter(help="Where to write the plan in its new order.")],
    times: Annotated[
        Path | None, Parameter(help="CSV of seconds from each viewpoint to each other, as a robot's simulator gives.")
    ] = None,
    closed: Closed = False,
    start: Annotated[str | None, Parameter(help="Viewpoint to begin with; wherever is best if not given.")] = None,
    time_limit_s: Annotated[NotNegative, Parameter(help="Seconds for the proof.")] = 60.0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Put the viewpoints of a plan into the shortest order and prove how short any order is.

    Example: viewcov route plan.json --times robot.csv --closed --out ordered.json
    """
    plan_in_order, figures = viewcov.route(
        viewcov.read_plan(plan), times=times, closed=closed, start=start, time_limit_s=time_limit_s, seed=seed
    )
    viewcov.write_plan(out, plan_in_order)
    say(figures, json=json)


def evaluate(
    plan: PlanFile,
    /,
    *,
    out: Out = None,
    coverage: Required = None,
    num_draws: Annotated[
        Count, Parameter(help="Draws of pose noise to measure coverage under, each one an evaluation more.")
    ] = 0,
    noise_mm: Annotated[NotNegative, Parameter(help="Pose noise of the camera centre: mm, 1 sigma, each axis.")] = 0.5,
    noise_deg: Annotated[NotNegative, Parameter(help="Pose noise of the rotation: degrees, 1 sigma, each axis.")] = 0.1,
    noise_seed: Seed = 0,
    jobs: Jobs = 2,
    json: Json = False,
    progress: bool = False,
) -> bool:
    """Measure the geometric coverage of any plan: areas, reasons for what is left out, and what would mend it.

    --json and the files of --out add what each view contributes, coverage against the number of views, and the
    viewpoints to add with their poses.

    Example: viewcov evaluate plan.json --coverage 0.95 --out results
    """
    result = viewcov.evaluate_plan(
        viewcov.read_plan(plan),
        num_draws=num_draws,
        noise_mm=noise_mm,
        noise_deg=noise_deg,
        noise_seed=noise_seed,
        jobs=jobs,
        progress=progress,
    )
    if out is not None:
        from viewcov.workflows.results import write_geometric

        write_geometric(out, result)
    say(result.to_json() if json else result.headline(), json=json)
    return coverage is None or result.coverage.coverage >= coverage


def convert(
    source: Annotated[Path, Parameter(help="Plan or poses, in any format that --to knows.")],
    /,
    *,
    options: ConvertOptions,
    out: Annotated[Path, Parameter(help="File to write; for colmap a folder.")],
    jobs: Jobs = 2,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Write a plan for COLMAP, nerfstudio, BOP, ROS or as a table, or make one of poses from there.

    Example: viewcov convert plan.json --to colmap --out model
    """
    say(viewcov.convert(source, out, options, jobs=jobs, progress=progress), json=json)
