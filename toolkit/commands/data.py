"""The commands about what comes in: check, synthesize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import viewcov
from viewcov.options import Json, PlanFile, RigName, ScaleMm, Units
from viewcov.output import say
from viewcov.synthesis.options import SynthesisOptions


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
    say(report if json else report.text, json=json)
    return report.ok


def synthesize(
    plan: PlanFile,
    /,
    *,
    options: SynthesisOptions,
    out: Annotated[Path, Parameter(help="Folder of the data set.")],
    json: Json = False,
    progress: bool = False,
) -> None:
    """Render inspections of defective and good instances along a plan, with masks and 3D truth.

    Example: viewcov synthesize plan.json --out twin --instances 8 --split 0.5 0.25 0.25
    """
    dataset = viewcov.synthesize(viewcov.read_plan(plan), out, options, progress=progress)
    views = sum(len(folder.plan().viewpoints) for folder in dataset.inspections())
    say({"dataset": str(out), "inspections": len(dataset.splits), "images": views, "splits": dataset.splits}, json=json)
