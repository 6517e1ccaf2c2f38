"""The commands that make something of a plan: convert, synthesize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import viewcov
from viewcov.options import Jobs, Json, PlanFile
from viewcov.output import say
from viewcov.synthesis.options import SynthesisOptions
from viewcov.workflows.convert import ConvertOptions


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


def synthesize(
    plan: PlanFile,
    /,
    *,
    options: SynthesisOptions,
    out: Annotated[Path, Parameter(help="Folder of the data set.")],
    jobs: Jobs = 1,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Render inspections of defective and good instances along a plan, with masks and 3D truth.

    Example: viewcov synthesize plan.json --out twin --instances 8 --split 0.5 0.25 0.25
    """
    dataset = viewcov.synthesize(viewcov.read_plan(plan), out, options, jobs=jobs, progress=progress)
    views = sum(len(folder.plan().viewpoints) for folder in dataset.inspections())
    say({"dataset": str(out), "inspections": len(dataset.splits), "images": views, "splits": dataset.splits}, json=json)
