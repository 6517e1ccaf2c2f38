"""The commands about what comes in: check, synthesize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import viewcov
from viewcov.inspection.records import AtLeastOne, Count, Share
from viewcov.options import Json, PlanFile, RigName, ScaleMm, Seed, Units
from viewcov.output import say


def check(
    path: Annotated[str, Parameter(help="Part, rig, plan, image, or folder of an inspection or data set.")],
    /,
    *,
    rig: RigName = "paper",
    units: Units = None,
    scale_mm: ScaleMm = None,
    json: Json = False,
) -> bool:
    """Say what is wrong with a part, rig, plan, inspection, data set or image.

    Example: viewcov check housing.stl --units inch --rig cell.toml
    """
    report = viewcov.check(path, units=units, scale_mm=scale_mm, rig=rig)
    say(report.to_json() if json else _check_lines(report), json=json)
    return report.ok


def synthesize(
    plan: PlanFile,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of the data set.")],
    num_defective: Annotated[Count, Parameter(help="Defective instances.")] = 1,
    num_good: Annotated[Count, Parameter(help="Instances without defects.")] = 0,
    num_defects: Annotated[
        tuple[AtLeastOne, AtLeastOne], Parameter(help="Fewest and most defects of a defective instance.")
    ] = (30, 40),
    splits: Annotated[
        tuple[Share, Share, Share], Parameter(help="Shares of the instances for training, validation, test.")
    ] = (0.0, 0.0, 1.0),
    num_samples: Annotated[AtLeastOne, Parameter(help="Light paths per pixel.")] = 16,
    seed: Seed = 0,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Render inspections of defective and good instances along a plan, with masks and 3D truth.

    Example: viewcov synthesize plan.json --out twin --instances 8 --split 0.5 0.25 0.25
    """
    dataset = viewcov.synthesize(
        viewcov.read_plan(plan),
        out,
        num_defective=num_defective,
        num_good=num_good,
        num_defects=num_defects,
        splits=splits,
        num_samples=num_samples,
        seed=seed,
        progress=progress,
    )
    views = sum(len(folder.plan().viewpoints) for folder in dataset.inspections())
    say({"dataset": str(out), "inspections": len(dataset.splits), "images": views, "splits": dataset.splits}, json=json)


def _check_lines(report: Any) -> str:
    head = f"{report.path}: {report.kind}, {'ok' if report.ok else 'not ok'}"
    lines = [f"  {f.severity}: {f.name} ({f.count}): {f.remedy}" for f in report.findings]
    return "\n".join([head, *lines])
