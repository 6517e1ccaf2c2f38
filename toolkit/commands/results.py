"""The commands about what was found: cover, fuse, compare, view, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import viewcov
from viewcov.coverage.effective.rules import Rule
from viewcov.inspection.errors import InputError
from viewcov.inspection.records import Share
from viewcov.options import Inspection, Jobs, Json, ModelNames, Out, Required, Seed
from viewcov.output import say


def cover(
    inspection: Inspection,
    /,
    *,
    models: ModelNames,
    out: Out = None,
    coverage: Required = None,
    seed: Seed = 0,
    jobs: Jobs = 2,
    json: Json = False,
    progress: bool = False,
) -> bool:
    """Measure what the models really find: effective visual coverage of an inspection or data set with truth.

    Example: viewcov cover twin --model plain stack --out results
    """
    from viewcov.workflows.results import write_cover

    folders = viewcov.open_inspections(inspection)
    result = viewcov.cover(folders, models, seed=seed, jobs=jobs, progress=progress)
    write_cover(out or inspection / "results", result)
    figures = result.to_json()
    say(figures, json=json)
    return coverage is None or all(row["coverage"] >= coverage for row in figures["variants"].values())


def fuse(
    inspection: Inspection,
    /,
    *,
    models: ModelNames,
    rule: Annotated[Rule, Parameter(help="How the evidence of the views is put together.")] = "log_odds",
    threshold: Annotated[
        Share | None, Parameter(help="Fused probability of a defect; the model's own for the rule if not given.")
    ] = None,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Fuse the evidence of all views into 3D defects.

    Example: viewcov fuse twin/defective-001 --model stack --rule noisy_or
    """
    from viewcov.workflows.results import write_fused

    figures: dict[str, Any] = {}
    for folder in viewcov.open_inspections(inspection):
        for name in models:
            result = viewcov.fuse(folder, name, rule=rule, threshold=threshold, progress=progress)
            write_fused(folder, result)
            figures.setdefault(folder.name, {})[name] = result.to_json()
    say(figures, json=json)


def compare(
    results: Annotated[list[Path], Parameter(help="Files or folders that evaluate, cover, fuse or demo wrote.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="PNG of the difference on the surface.")] = None,
    json: Json = False,
) -> None:
    """Set the figures of several results side by side.

    Example: viewcov compare results/plain results/stack --out difference.png
    """
    if len(results) < 2:
        raise InputError(
            "compare", "too few results", expected="at least two", found=str(len(results)), remedy="name two results"
        )
    say(viewcov.compare(results, picture=out), json=json)


def view(result: Annotated[Path, Parameter(help="A .vtp file, or a folder with results.")], /) -> None:
    """Show a result in a window.

    Example: viewcov view demo/results
    """
    from viewcov.viewer.window import has_display
    from viewcov.workflows.results import result_files

    files = result_files(result)
    if not has_display():
        raise InputError(
            result, "there is no display", expected="an X server at DISPLAY", found="none",
            remedy="use 'viewcov report', or open the .vtp in ParaView",
        )  # fmt: skip
    viewcov.view(*files)


def report(
    result: Annotated[Path, Parameter(help="Folder of a demo, inspection or data set with results.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="The page; report.html in the folder if not given.")] = None,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Write the HTML report of a demo, or of an inspection's or data set's results.

    Example: viewcov report twin --out twin.html
    """
    say({"report": str(viewcov.report(result, out, progress=progress))}, json=json)
