"""Files of one program made into those of another, by way of a plan."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import Field

from viewcov.inspection.errors import InputError
from viewcov.inspection.mapping.workers import checked_jobs
from viewcov.inspection.mesh.part import Unit
from viewcov.inspection.plan import InspectionPlan, read_plan
from viewcov.inspection.records import Jobs, Options, Positive, Record
from viewcov.planning.exchange.plans import FORMATS, Format, export_plan, import_viewpoints, locate, plan_from_views

log = logging.getLogger(__name__)


class ConvertOptions(Options):
    """From what and to what."""

    to: Format
    """Format to write."""

    source_format: Format | None = None
    """Format of the source; by name and content if not given."""

    part: str | None = None
    """Part of poses that are no plan, which has its own."""

    rig: str | None = None
    """Rig of poses that are no plan; paper if not given."""

    units: Unit | None = None
    """Unit of that part's mesh file if it states none."""

    scale_mm: Positive | None = None
    """Scale that part so that its largest extent becomes this many mm."""


class Converted(Record):
    """What was done."""

    source_format: Format = Field(serialization_alias="from")
    to: Format
    out: str
    viewpoints: int


def convert_file(
    source: str | Path, out: str | Path, options: ConvertOptions, *, jobs: Jobs = 1, progress: bool = False
) -> Converted:
    """Write a plan, or poses of another program on a part with a rig, in the wanted format.

    Source and out are files, for COLMAP folders. A workbook needs the plan evaluated for its reasons, by so many jobs.

    Raises
    ------
    InputError
        If the source cannot be read, lacks a part or rig or has its own, or does not fit into the format.
    """
    from viewcov.planning.plan_evaluation import evaluate_plan

    checked_jobs(jobs)
    source, out = Path(source), Path(out)
    found, place = locate(source, options.source_format)
    if out.resolve() in (source.resolve(), place.resolve()):
        raise InputError(
            out, "would overwrite its source", expected="another path", found="the same", remedy="change --out"
        )
    plan = _own_plan(place, options) if found == "plan" else _foreign_plan(place, found, options)
    evaluation = evaluate_plan(plan, jobs=jobs, progress=progress).coverage if FORMATS[options.to].is_measured else None
    export_plan(plan, out, to=options.to, evaluation=evaluation)
    return Converted(source_format=found, to=options.to, out=str(out), viewpoints=len(plan.viewpoints))


def _own_plan(path: Path, options: ConvertOptions) -> InspectionPlan:
    for name in ("part", "rig", "units", "scale_mm"):
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')}", "a plan has its own", expected=f"poses that have no {name}",
                found=f"the plan {path}", remedy="leave the option out",
            )  # fmt: skip
    return read_plan(path)


def _foreign_plan(path: Path, fmt: Format, options: ConvertOptions) -> InspectionPlan:
    from viewcov.inspection.loading.part_files import load_part
    from viewcov.inspection.rig.rig import load_rig

    if options.part is None:
        raise InputError(
            path, f"poses ({fmt}) do not say their part", expected="--part PART", found="none",
            remedy="name the part, and the rig with --rig if it is not 'paper'",
        )  # fmt: skip
    views = import_viewpoints(path, fmt=fmt)
    if views.renamed:
        new, old = next(iter(views.renamed.items()))
        log.warning("%s: changed %d names to valid ids, such as %r to %s", path, len(views.renamed), old, new)
    loaded = load_part(options.part, units=options.units, scale_mm=options.scale_mm)
    for finding in loaded.findings:
        if finding.severity == "warning":
            log.warning("%s: %s (%d): %s", options.part, finding.name, finding.count, finding.remedy)
    return plan_from_views(views, loaded, load_rig(options.rig or "paper"), source=path)
