"""The commands about what was found: cover, fuse, compare, view, report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

import viewcov
from viewcov.coverage.effective.options import CoverOptions, FuseOptions
from viewcov.inspection.errors import InputError
from viewcov.options import Inspection, Jobs, Json, ModelNames, OutFolder, Required
from viewcov.output import say

if TYPE_CHECKING:
    from viewcov.coverage.effective.figures import FusedFigures


def cover(
    inspection: Inspection,
    /,
    *,
    options: CoverOptions,
    models: ModelNames,
    out: OutFolder = None,
    coverage: Required = None,
    jobs: Jobs = 2,
    json: Json = False,
    progress: bool = False,
) -> bool:
    """Measure what the models really find: effective visual coverage of an inspection or data set with truth.

    Example: viewcov cover twin --model plain stack --out results
    """
    from viewcov.viewer.report.content import Content
    from viewcov.workflows.results import write_cover
    from viewcov.workflows.summary import headline

    result = viewcov.cover(inspection, models, options, jobs=jobs, progress=progress)
    write_cover(out or inspection / "results", result)
    figures = result.figures
    say(figures if json else "\n".join(headline(Content(effective=figures))), json=json)
    return coverage is None or all(row.effective_coverage >= coverage for row in figures.models.values())


def fuse(
    inspection: Inspection,
    /,
    *,
    options: FuseOptions,
    models: ModelNames,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Fuse the evidence of all views into 3D defects.

    Example: viewcov fuse twin/defective-001 --model stack --rule noisy_or
    """
    from viewcov.workflows.results import write_fused

    figures: dict[str, dict[str, FusedFigures]] = {}
    for folder in viewcov.open_inspections(inspection):
        for name in models:
            result = viewcov.fuse(folder, name, options, progress=progress)
            write_fused(result)
            figures.setdefault(folder.name, {})[result.figures.model] = result.figures
            if not json:
                say("\n".join(_defect_lines(result.figures)))
    if json:
        say(figures, json=True)


def _defect_lines(figures: FusedFigures) -> Iterator[str]:
    yield f"{figures.inspection}, {figures.model}: {len(figures.defects)} defects by {figures.rule}"
    for one in figures.defects:
        x, y, z = one.center_mm
        told = {True: ", true", False: ", false alarm", None: ""}[one.true]
        yield (
            f"  {one.id:>3}  {one.area_mm2:8.2f} mm2 at ({x:.1f}, {y:.1f}, {z:.1f}) mm, "
            f"probability {one.mean_probability:.2f}, views {' '.join(one.views) or 'none'}{told}"
        )


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
    say(viewcov.compare(results, picture=out), json=json)


def view(result: Annotated[Path, Parameter(help="A .vtp file, or a folder with results.")], /) -> None:
    """Show a result in a window.

    Example: viewcov view demo/results
    """
    from viewcov.viewer.result_files import surface_files
    from viewcov.viewer.window import has_display

    files = surface_files(result)
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
