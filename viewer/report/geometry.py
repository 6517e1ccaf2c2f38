"""The section of the report on geometry: what the views cover, why the rest is lost, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator

from viewcov.coverage.geometric.figures import FixFigures, GeometricFigures, RobustnessFigures
from viewcov.coverage.ladder import LOSSES, RUNGS, Loss
from viewcov.viewer import palette
from viewcov.viewer.report.blocks import Bar, Bars, Block, Kept, Quantity, Table, Text
from viewcov.viewer.report.content import Content
from viewcov.viewer.report.ladder import OF
from viewcov.viewer.words import counted, fixed, mm2, number, percent

_MAX_FIXES, _MAX_NAMES, _MAX_VIEWS = 10, 20, 9


def geometric(content: Content) -> Iterator[Block]:
    """Losses, how many views inspect the surface, and what would change it."""
    figures = content.geometric
    if figures is None:
        return
    whole = max(figures.inspected_area_mm2, 1e-300)
    yield from _losses(figures, whole)
    if len(figures.k_coverage) > 2:
        lines = [
            Bar(name=f"{k} or more", share=area / whole, text=percent(area / whole), detail=mm2(area))
            for k, area in list(enumerate(figures.k_coverage))[1:_MAX_VIEWS]
        ]
        yield Text("Surface by the number of views that inspect it", "heading")
        yield Bars(lines)
    yield from _fixes(figures)
    if figures.redundant_views:
        names = figures.redundant_views
        shown = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
        yield Text(f"{counted(len(names), 'view')} could be left out without loss, each by itself: {shown}.")
    if figures.robustness is not None:
        yield from _robustness(figures.robustness, figures.coverable_share)


def _losses(figures: GeometricFigures, whole: float) -> Iterator[Block]:
    """Where the surface that is not covered goes, and how much of that no viewpoint could save."""
    lost = sorted(((area, loss) for loss, area in figures.uncovered.items() if area > 0), reverse=True)
    if not lost:
        return
    yield Text("What is lost, and why", "heading")
    yield Bars([
        Bar(
            name=LOSSES[loss], share=area / lost[0][0], text=percent(area / whole),
            detail=mm2(area) + _hopeless(figures, loss), colour=palette.LOSSES[loss],
        )
        for area, loss in lost
    ])  # fmt: skip
    yield Text(
        f"Shares {OF}. With the {RUNGS['covered']} {percent(figures.covered_share)} they make 100 %. The reason is "
        "what the most promising view of each place fails by.", "note",
    )  # fmt: skip


def _hopeless(figures: GeometricFigures, loss: Loss) -> str:
    area = figures.not_coverable.get(loss, 0.0)
    return f", {mm2(area)} of it from every viewpoint" if area > 0 else ""


def _fixes(figures: GeometricFigures) -> Iterator[Block]:
    """The viewpoints that would cover most of what is left out."""
    if not figures.fixes:
        return
    covered, rows = figures.covered_area_mm2, []
    for fix in figures.fixes[:_MAX_FIXES]:
        covered += fix.gained_area_mm2
        share = min(covered / max(figures.inspected_area_mm2, 1e-300), 1.0)
        mends = ", ".join(LOSSES[loss] for loss in fix.repairs)
        place = Kept(", ".join(fixed(row[3], 1) for row in fix.world_from_camera[:3]))
        rows.append([fix.id, place, Quantity(number(fix.gained_area_mm2)), Quantity(percent(share)), mends, _way(fix)])
    yield Text("Viewpoints that would cover more", "heading")
    yield Table(
        title="Viewpoints that would cover more",
        header=["viewpoint", "camera centre, mm", "gains, mm²", "covered with it", "what it mends", "way from a view"],
        rows=rows,
        caption=f"Each after those above it; shares {OF}. Poses are in geometric.json, the nearest viewpoint for each "
        "element in nearest.parquet.",
    )


def _way(fix: FixFigures) -> str:
    if fix.nearest_view is None or fix.distance_mm is None or fix.angle_deg is None:
        return "the plan has no view"
    return f"{number(fix.distance_mm)} mm and {number(fix.angle_deg)}° from {fix.nearest_view}"


def _robustness(values: RobustnessFigures, coverable_share: float) -> Iterator[Block]:
    """Coverage by cameras that do not stand exactly where they should, as shares of the inspected area."""
    shares = {
        "covered, mean of the draws": values.mean_coverage,
        "covered in 95 of 100 draws, at least": values.quantile_5_coverage,
        "covered, least of the draws": values.least_coverage,
        **{f"covered with a probability of at least {p}": share for p, share in values.share_by_probability.items()},
    }
    noise = f"{number(values.noise_mm)} mm and {number(values.noise_deg)}°"
    yield Text("When cameras do not stand exactly", "heading")
    yield Table(
        title="Coverage under pose noise",
        header=["under pose noise", f"share {OF}"],
        rows=[[name, Quantity(percent(share * coverable_share))] for name, share in shares.items()],
        caption=f"{counted(values.draws, 'draw')}: every camera shifted and turned, with standard deviations of "
        f"{noise} along each axis.",
    )
