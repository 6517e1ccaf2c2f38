"""Files of one program made into those of another, by way of a plan."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from viewcov.inspection.errors import InputError
from viewcov.inspection.plan import InspectionPlan, read_plan
from viewcov.planning.exchange.formats import Format, locate

log = logging.getLogger(__name__)


def convert_file(
    source: Path,
    out: Path,
    *,
    to: Format,
    source_format: Format | None = None,
    part: str | None = None,
    rig: str | None = None,
    units: str | None = None,
    scale_mm: float | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Write a plan, or poses of another program on a part with a rig, in the wanted format, and say what was done.

    Parameters
    ----------
    part, rig, units, scale_mm
        Of poses from elsewhere, which do not say them; the rig is ``paper`` if not given. A plan has its own.
    jobs
        Processes for evaluating the plan, which a workbook needs for its reasons.
    """
    from viewcov.planning.exchange.plans import export_plan
    from viewcov.planning.plan_evaluation import evaluate_plan

    found, place = locate(source, source_format)
    if out.resolve() in (source.resolve(), place.resolve()):
        raise InputError(
            out, "would overwrite its source", expected="another path", found="the same", remedy="change --out"
        )
    if found == "plan":
        plan = _own_plan(place, part=part, rig=rig, units=units, scale_mm=scale_mm)
    else:
        plan = _foreign_plan(place, found, part=part, rig=rig, units=units, scale_mm=scale_mm)
    evaluation = evaluate_plan(plan, jobs=jobs, progress=True).coverage if to == "xlsx" else None
    export_plan(plan, out, to=to, evaluation=evaluation)
    return {"from": found, "to": to, "out": str(out), "viewpoints": len(plan.viewpoints)}


def _own_plan(path: Path, **said: str | float | None) -> InspectionPlan:
    for name, value in said.items():
        if value is not None:
            raise InputError(
                f"--{name.replace('_', '-')}", "a plan has its own", expected=f"poses that have no {name}",
                found=f"the plan {path}", remedy="leave the option out",
            )  # fmt: skip
    return read_plan(path)


def _foreign_plan(
    path: Path, fmt: Format, *, part: str | None, rig: str | None, units: str | None, scale_mm: float | None
) -> InspectionPlan:
    from viewcov.inspection.loading.part_files import load_part
    from viewcov.inspection.rig.rig import load_rig
    from viewcov.planning.exchange.plans import import_viewpoints, plan_from_views

    if part is None:
        raise InputError(
            path, f"poses ({fmt}) do not say their part", expected="--part PART", found="none",
            remedy="name the part, and the rig with --rig if it is not 'paper'",
        )  # fmt: skip
    views = import_viewpoints(path, fmt=fmt)
    if views.renamed:
        new, old = next(iter(views.renamed.items()))
        log.warning("%s: changed %d names to valid ids, such as %r to %s", path, len(views.renamed), old, new)
    loaded = load_part(part, units=units, scale_mm=scale_mm)
    for finding in loaded.findings:
        if finding.severity == "warning":
            log.warning("%s: %s (%d): %s", part, finding.name, finding.count, finding.remedy)
    return plan_from_views(views, loaded, load_rig(rig or "paper"), source=path)
