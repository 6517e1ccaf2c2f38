"""The command that shows the whole loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import viewcov
from viewcov.options import Jobs, Json, PartFile
from viewcov.output import say
from viewcov.workflows.demo import DemoOptions, show_if_possible


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
    from viewcov.workflows.summary import headline

    say("\n".join(headline(summary)))
    say(f"report: {out / 'report.html'}")
    show_if_possible(out)
