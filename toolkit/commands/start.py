"""The commands to start with: demo, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import viewcov
from viewcov.options import Jobs, Json, PartFile, RigName, ScaleMm, Units
from viewcov.output import say
from viewcov.workflows.demo import DemoOptions


def demo(
    part: PartFile = "builtin:clutch-half",
    /,
    *,
    options: DemoOptions,
    out: Annotated[Path, Parameter(help="Folder of the demo; run again, it continues there.")] = Path("demo"),
    jobs: Jobs = 2,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Run the whole loop on a part: plan, twin, segmentation, coverage, fusion, report.

    Example: viewcov demo housing.step --instances 2 --out housing
    """
    summary = viewcov.demo(part, out, options, jobs=jobs, progress=progress)
    if json:
        say(summary, json=True)
        return
    from viewcov.viewer.result_files import surface_files
    from viewcov.workflows.summary import headline

    say("\n".join(headline(summary)))
    say(f"report: {out / 'report.html'}")
    viewcov.view(*surface_files(out / "results"))


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
