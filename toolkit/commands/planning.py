"""The commands that make, measure and hand on plans."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import viewcov
from viewcov.inspection.records import Count, NotNegative
from viewcov.options import Jobs, Json, Out, PartFile, PlanFile, Required, RigName, ScaleMm, Units
from viewcov.output import say
from viewcov.planning.options import EvaluationOptions, PlanningOptions, RouteOptions
from viewcov.workflows.convert import ConvertOptions

log = logging.getLogger(__name__)


def plan(
    part: PartFile,
    /,
    *,
    options: PlanningOptions,
    out: Annotated[Path, Parameter(help="Where to write the plan.")] = Path("plan.json"),
    rig: RigName = "paper",
    units: Units = None,
    scale_mm: ScaleMm = None,
    face_weights: Annotated[
        dict[Count, NotNegative] | None, Parameter(help="How much a CAD face counts, 0 to leave it out.")
    ] = None,
    candidates: Annotated[
        Path | None, Parameter(help="Viewpoints to choose from as well: a plan, CSV or any format of 'convert'.")
    ] = None,
    jobs: Jobs = 2,
    json: Json = False,
    progress: bool = False,
) -> bool:
    """Choose viewpoints for a part and write them as an inspection plan.

    Example: viewcov plan housing.step --rig paper-quarter --coverage 0.95 --out plan.json
    """
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
    result.write(out)
    say(result.figures, json=json)
    return options.num_views is not None or result.figures.coverage >= options.coverage - 1e-9


def route(
    plan: PlanFile,
    /,
    *,
    options: RouteOptions,
    out: Annotated[Path, Parameter(help="Where to write the plan in its new order.")],
    json: Json = False,
) -> None:
    """Put the viewpoints of a plan into the shortest order and prove how short any order is.

    Example: viewcov route plan.json --times robot.csv --closed --out ordered.json
    """
    plan_in_order, figures = viewcov.route(viewcov.read_plan(plan), options)
    viewcov.write_plan(out, plan_in_order)
    say(figures, json=json)


def evaluate(
    plan: PlanFile,
    /,
    *,
    options: EvaluationOptions,
    out: Out = None,
    coverage: Required = None,
    jobs: Jobs = 2,
    json: Json = False,
    progress: bool = False,
) -> bool:
    """Measure the geometric coverage of any plan: areas, reasons for what is left out, and what would mend it.

    --json and the files of --out add what each view contributes, coverage against the number of views, and the
    viewpoints to add with their poses.

    Example: viewcov evaluate plan.json --coverage 0.95 --out results
    """
    result = viewcov.evaluate_plan(viewcov.read_plan(plan), options, jobs=jobs, progress=progress)
    if out is not None:
        from viewcov.workflows.results import write_geometric

        write_geometric(out, result)
    figures = result.figures()
    say(figures if json else figures.headline(), json=json)
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
