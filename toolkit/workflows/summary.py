"""The figures of a run, gathered from its result files: the content of ``summary.json``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import ValidationError

from viewcov.coverage.effective.figures import DefectCounts, EffectiveFigures, FusedFigures, MeanScores, ViewScores
from viewcov.coverage.geometric.figures import GeometricFigures
from viewcov.coverage.ladder import RUNGS, Areas
from viewcov.inspection.folder import InspectionFolder, open_inspections
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.plan import InspectionPlan, read_plan
from viewcov.inspection.records import FileRecord
from viewcov.planning.figures import PlanFigures
from viewcov.viewer.report.content import Content, FusionFigures, PartFigures, RuleFigures, SingleViews
from viewcov.viewer.result_files import find_results
from viewcov.viewer.vtp import read_vtp
from viewcov.viewer.words import counted, interval, mm2, percent, points

SYNTHETIC = "Defects and images are synthetic: what is measured here holds for the twin's material, light and defects."
_EFFECTIVE = (
    "Effectively covered is an estimate from defects planted at sites spread evenly over the whole surface to be "
    "inspected, surface that no image shows included.",
    "Intervals are 95 %, by bootstrap over inspections and the defects on them; few inspections make them rough.",
)
_SINGLE = (
    "Single views are judged against the defects that each of them shows, and against all; the fused views against all."
)
_UNCONFIRMED = "Nothing confirms the reported defects: their number says nothing about false alarms or misses."


class Summary(Content, FileRecord):
    """``summary.json``: what the results of a demo, data set or inspection say together."""

    REMEDY: ClassVar[str] = "make it again with 'viewcov report' or 'viewcov demo'"

    schema_version: Literal["viewcov-summary/1"] = "viewcov-summary/1"


def inspections_under(root: Path) -> list[InspectionFolder]:
    """The inspections of a demo folder, a data set or an inspection; none in a mere folder of results."""
    dataset = root / "dataset" if (root / "dataset" / "dataset.json").is_file() else _owner(root)
    known = (dataset / "dataset.json").is_file() or (dataset / "plan.json").is_file()
    return open_inspections(dataset) if known else []


def plan_under(root: Path) -> InspectionPlan | None:
    """The plan of a demo folder, an inspection or its results, or the first one of a data set; None without any."""
    folder = _owner(root)
    if (folder / "plan.json").is_file():
        return read_plan(folder / "plan.json")
    inspections = inspections_under(root)
    return inspections[0].plan() if inspections else None


def _owner(root: Path) -> Path:
    """The folder above if results lie beside the plan that they were made for, else the folder itself.

    Results may lie beside any plan: it is theirs only if it is of their part.
    """
    above = root.parent / "plan.json"
    if (root / "plan.json").is_file() or not above.is_file():
        return root
    of_part = read_vtp(find_results(root)[0].vtp).metadata["part_sha256"]
    return root.parent if of_part == read_plan(above).part.sha256 else root


def summarise(root: Path) -> Summary:
    """What the result files under a demo folder, data set, inspection or folder of results say together.

    Raises
    ------
    InputError
        If there are no results, or a file of them does not fit.
    """
    told = [result.figures() for result in find_results(root)]
    geometric = next((one for one in told if isinstance(one, GeometricFigures)), None)
    effective = next((one for one in told if isinstance(one, EffectiveFigures)), None)
    fused = [one for one in told if isinstance(one, FusedFigures)]
    plan = plan_under(root)
    made = _plan_figures(plan)
    summary = Summary(
        part=_part(plan.load_part()) if plan else None,
        viewpoints=len(plan.viewpoints) if plan else geometric.viewpoints if geometric else None,
        areas=_areas(geometric, made, effective),
        plan=made,
        geometric=geometric,
        effective=effective,
        rule=effective.rule if effective else fused[0].rule if fused else None,
        planted=effective is not None or any(one.rules for one in fused),
        fusion={
            model: _fusion([one for one in fused if one.model == model and one.rules])
            for model in dict.fromkeys(one.model for one in fused if one.rules)
        },
        reported=fused[0] if fused else None,
    )
    return summary.model_copy(update={"notes": tuple(_notes(summary))})


def headline(summary: Content) -> Iterator[str]:
    """The figures that matter most, a line each: the rungs of the ladder, then models and fusion."""
    areas = summary.areas
    if areas is not None:
        of = "of the inspected surface"
        yield f"{'inspected':<20}{mm2(areas.inspected_area_mm2)}"
        yield f"{RUNGS['coverable']:<20}{percent(areas.coverable_share)} {of}"
        views = f" in {counted(summary.viewpoints, 'view')}" if summary.viewpoints else ""
        yield f"{RUNGS['covered']:<20}{percent(areas.covered_share)} {of}{views}"
    if summary.effective is not None:
        for name, row in summary.effective.models.items():
            ends = interval(row.interval.low, row.interval.high)
            alarms = f"{row.false_alarms.per_part:.1f} false alarms a part"
            yield f"{RUNGS['effectively_covered']:<20}{percent(row.effective_coverage)} [{ends}] {name}, {alarms}"
        for pair in summary.effective.paired:
            ends = points(pair.interval.low, pair.interval.high)
            yield f"{'difference':<20}{100 * pair.difference:+.1f} [{ends}] points, {pair.model} over {pair.minus}"
    for name, figures in summary.fusion.items():
        counts = figures.rules.get(summary.rule or "")
        if counts is not None and counts.f1 is not None:
            alone = figures.of_all.mean.f1 if figures.of_all else None
            views = f", {alone:.3f} mean single view" if alone is not None else ""
            yield f"{'3D defects':<20}F1 {counts.f1:.3f} fused{views}, {name}"
    if summary.reported is not None and not summary.planted:
        of_ = summary.reported
        yield f"{'3D defects':<20}{len(of_.defects)} reported on {of_.inspection}, {of_.model}"


def _plan_figures(plan: InspectionPlan | None) -> PlanFigures | None:
    """The figures that a plan keeps; none of plans that viewcov did not make, or an older one did."""
    try:
        return PlanFigures.model_validate(plan.made.get("figures")) if plan else None
    except ValidationError:
        return None


def _part(part: Part) -> PartFigures:
    return PartFigures(
        name=part.name,
        source=Path(part.source.path).name,
        sha256=part.source.sha256,
        triangles=len(part.faces),
        cad_faces=int(part.cad_face_idx.max()) + 1,
        area_mm2=part.area_mm2,
        largest_extent_mm=part.largest_extent_mm,
        findings=part.findings,
    )


def _areas(*sources: Areas | EffectiveFigures | None) -> Areas | None:
    """The geometric rungs, by the first of the sources that says them."""
    for source in sources:
        if isinstance(source, Areas):
            return Areas(**{name: getattr(source, name) for name in Areas.model_fields})
        if source is not None and source.coverable_area_mm2 is not None and source.covered_area_mm2 is not None:
            coverable, covered = source.coverable_area_mm2, source.covered_area_mm2
            return Areas.of(source.inspected_area_mm2, coverable, covered, covered / max(coverable, 1e-300))
    return None


def _fusion(inspections: Sequence[FusedFigures]) -> FusionFigures:
    """Figures of one model over inspections: counts add up, single views are averaged."""
    rules = {}
    for rule, high in inspections[0].thresholds.items():
        counts = [one.rules[rule] for one in inspections if rule in one.rules]
        if counts:
            total = sum(counts, DefectCounts())
            rules[rule] = RuleFigures(
                **{name: getattr(total, name) for name in DefectCounts.model_fields}, threshold=high
            )
    alone = [one.single_view for one in inspections if one.single_view]
    return FusionFigures(
        rules=rules,
        in_view=_single([views.in_view for views in alone if views.in_view]),
        of_all=_single([views.of_all for views in alone if views.of_all]),
    )


def _single(views: Sequence[ViewScores]) -> SingleViews | None:
    return SingleViews(
        mean=_mean([one.mean for one in views]), best=_mean([one.best for one in views])
    ) if views else None  # fmt: skip


def _mean(scores: Sequence[DefectCounts | MeanScores]) -> MeanScores:
    """Mean of each score over those that have it."""
    known = {
        name: [value for one in scores if (value := getattr(one, name)) is not None] for name in MeanScores.model_fields
    }
    return MeanScores(**{name: fmean(values) if values else None for name, values in known.items()})


def _notes(summary: Content) -> Iterator[str]:
    """What a reader must know, and what did not come out as one hopes; only about what is there."""
    if summary.planted:
        yield SYNTHETIC
    if summary.effective is not None:
        yield from _EFFECTIVE
    if any(figures.of_all for figures in summary.fusion.values()):
        yield _SINGLE
    if summary.reported is not None and not summary.planted:
        yield _UNCONFIRMED
    for model, figures in summary.fusion.items():
        fused, alone = figures.rules.get(summary.rule or ""), figures.in_view
        if fused and alone and fused.f1 is not None and alone.mean.f1 is not None and fused.f1 <= alone.mean.f1:
            yield (
                f"{model}: fusing the views ({summary.rule}, F1 {fused.f1:.3f}) is not better than the mean single "
                f"view against what it shows (F1 {alone.mean.f1:.3f})."
            )
    for pair in summary.effective.paired if summary.effective else ():
        if pair.interval.low <= 0.0 <= pair.interval.high:
            yield (
                f"The difference between {pair.model} and {pair.minus} is not distinguishable from none "
                f"({pair.only_model} defects found only by {pair.model}, {pair.only_minus} only by {pair.minus})."
            )
