"""The commands that make and measure plans: plan, route, evaluate."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

import viewcov
from viewcov.coverage.ladder import LOSSES
from viewcov.inspection.errors import InputError
from viewcov.inspection.records import Count, NotNegative
from viewcov.options import Jobs, Json, OutFolder, PartFile, PlanFile, Required, RigName, ScaleMm, Units
from viewcov.output import say
from viewcov.planning.clock import ended_by_interrupt
from viewcov.planning.options import EvaluationOptions, PlanningOptions, RouteOptions
from viewcov.viewer.words import counted, mm2, percent, sure

if TYPE_CHECKING:
    from viewcov.coverage.geometric.figures import GeometricFigures
    from viewcov.planning.figures import PlanFigures

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

    Ctrl-C ends the search and takes the best plan so far; a second one leaves without.

    Example: viewcov plan housing.step --rig paper-quarter --coverage 0.95 --out plan.json
    """
    started = time.monotonic()
    if out.is_dir():
        raise InputError(out, "is a folder", expected="a file to write", found="a folder", remedy="add a file's name")
    loaded_rig = viewcov.load_rig(rig)
    requirements = loaded_rig.requirements
    if face_weights:
        requirements = replace(requirements, face_weights=tuple(face_weights.items()))
    loaded = viewcov.load_part(part, units=units, scale_mm=scale_mm)
    for finding in loaded.findings:
        level = logging.WARNING if finding.severity == "warning" else logging.INFO
        log.log(level, "%s: %s (%d): %s", part, finding.name, finding.count, finding.remedy)
    views = viewcov.import_viewpoints(candidates).viewpoints if candidates else ()
    known = viewcov.KnownCandidates(views=tuple(views), plan=out)
    with ended_by_interrupt():
        result = viewcov.plan_views(
            loaded, loaded_rig, requirements, options, known=known, jobs=jobs, progress=progress, started=started
        )
    result.write(out)
    say(result.figures if json else _lines(result.figures, _of_plan(result.figures)), json=json)
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

    Ctrl-C ends the search and takes the best order so far.

    Example: viewcov route plan.json --times robot.csv --closed --out ordered.json
    """
    started = time.monotonic()
    with ended_by_interrupt():
        plan_in_order, figures = viewcov.route(viewcov.read_plan(plan), options, started=started)
    viewcov.write_plan(out, plan_in_order)
    say(figures, json=json)


def evaluate(
    plan: PlanFile,
    /,
    *,
    options: EvaluationOptions,
    out: OutFolder = None,
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
    say(figures if json else _lines(figures, _of_evaluation(figures)), json=json)
    return coverage is None or result.coverage.coverage >= coverage


def _lines(figures: PlanFigures | GeometricFigures, told: Iterable[tuple[str, str]]) -> str:
    """The rungs of the ladder, and what else people look for first."""
    from viewcov.viewer.report.content import Content
    from viewcov.workflows.summary import headline

    rows = [f"{name:<20}{text}" for name, text in told]
    return "\n".join([*headline(Content(areas=figures, viewpoints=figures.viewpoints)), *rows])


def _of_plan(figures: PlanFigures) -> Iterator[tuple[str, str]]:
    yield "of the coverable", f"{percent(figures.coverage)} covered, by weight of CAD faces"
    if figures.unsearched_share > 0:
        yield "not searched", f"{percent(figures.unsearched_share)}, of which some may be coverable: raise --time-limit"
    yield (
        "fewest possible",
        f"{counted(figures.lower_bound, 'view')} ({figures.bound}{sure(figures.confidence)}; {figures.status})",
    )
    yield "route", f"{figures.route_s:.1f} s; no order takes less than {figures.route_bound_s:.1f} s"
    yield "seconds", f"{figures.seconds:.1f}"


def _of_evaluation(figures: GeometricFigures) -> Iterator[tuple[str, str]]:
    yield "of the coverable", f"{percent(figures.coverage)} covered, by weight of CAD faces"
    for loss, area_mm2 in sorted(figures.uncovered.items(), key=lambda item: -item[1]):
        if area_mm2 > 0:
            beyond = figures.not_coverable.get(loss, 0.0)
            some = f", {percent(beyond / area_mm2)} of it coverable from nowhere" if beyond > 0 else ""
            yield "lost", f"{percent(area_mm2 / figures.inspected_area_mm2)} {LOSSES[loss]}{some}"
    if figures.redundant_views:
        of = counted(figures.viewpoints, "view")
        yield "redundant", f"{len(figures.redundant_views)} of {of}, each by itself"
    if figures.fixes:
        gained = sum(fix.gained_area_mm2 for fix in figures.fixes)
        yield "to add", f"{counted(len(figures.fixes), 'view')} for {mm2(gained)} more"
    if figures.robustness is not None:
        noise = figures.robustness
        said = f"{noise.noise_mm:g} mm and {noise.noise_deg:g} deg"
        yield "under pose noise", f"{percent(noise.mean_coverage)} of the coverable covered on average ({said})"
