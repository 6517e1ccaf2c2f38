"""The sections of the report, each made from its part of the content; empty where that is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from viewcov.coverage.effective.figures import (
    DefectCounts,
    DefectFigures,
    EffectiveFigures,
    MeanScores,
    PairedDifference,
)
from viewcov.viewer.report.blocks import Block, Cell, Chip, Kept, Points, Quantity, Table, Text, Tone
from viewcov.viewer.report.content import Content, FusionFigures
from viewcov.viewer.report.ladder import OF
from viewcov.viewer.words import counted, fixed, interval, mm2, number, percent, points, sure

MAX_DEFECTS = 200
"""More rows than this are left to the result files."""

_MAX_LEVELS, _MAX_VIEWS = 10, 3
_STATUS = {
    "optimal": "no plan with fewer views covers as much with the candidates tried",
    "feasible": "a plan with fewer views may exist; the bound says how many at least",
}


def effective(content: Content) -> Iterator[Block]:
    """What each model finds of planted defects, and how models differ."""
    figures = content.effective
    if figures is None:
        return
    on = f"{counted(len(figures.inspections), 'inspection')}" + (
        f" of the {figures.split} split" if figures.split else ""
    )
    yield Text(
        f"Defects were planted over the whole surface of {on}, and the fused views of each model (rule "
        f"{_words(figures.rule)}) found or missed them. {percent(figures.seen_area_mm2 / figures.inspected_area_mm2)} "
        f"{OF} appears in some image; elsewhere nothing can be found."
    )
    for pair in figures.paired:
        yield _paired(pair)
    yield Text("Planted and found", "heading")
    yield Table(
        title="Planted and found",
        header=["model", "effectively covered", "95 % interval", "planted", "found", "false alarms", "threshold"],
        rows=[
            [
                name, Quantity(percent(row.effective_coverage)), Kept(interval(row.interval.low, row.interval.high)),
                Quantity(number(row.num_defects)), Quantity(number(row.num_found)),
                Quantity(fixed(row.false_alarms.per_part, 2)), Quantity(fixed(row.threshold, 3)),
            ]
            for name, row in figures.models.items()
        ],
        caption="False alarms are those per part: they belong beside any share of defects found.",
    )  # fmt: skip
    yield from _pod_areas(figures)


def _paired(pair: PairedDifference) -> Text:
    low, high = pair.interval.low, pair.interval.high
    less = "less" if pair.difference < 0 else "more"
    text = (
        f"On the same defects, {pair.model} finds {abs(100 * pair.difference):.1f} percentage points {less} than "
        f"{pair.minus} (95 % interval {points(low, high)})"
    )
    open_ = low <= 0 <= high
    text += "; the interval contains zero, so the difference may be chance." if open_ else "."
    text += f" Only {pair.minus} found {number(pair.only_minus)}; only {pair.model} found {number(pair.only_model)}."
    return Text(text, "open" if open_ else "sure")


def _pod_areas(figures: EffectiveFigures) -> Iterator[Block]:
    """How much of the surface reaches which probability of detection, by the fitted model."""
    curves = {name: dict(row.pod_map.curve) for name, row in figures.models.items()}
    levels = sorted({p for curve in curves.values() for p in curve})
    if not levels:
        return
    kept = levels[:: -(-len(levels) // _MAX_LEVELS)]
    size = number(next(iter(figures.models.values())).pod_map.size_mm, 2)
    yield Text(f"Surface by probability of detection (PoD) of a defect of {size} mm", "heading")
    yield Table(
        title="Surface by probability of detection",
        header=["PoD of at least", *curves],
        rows=[
            [fixed(p, 2), *(Quantity(percent(curve.get(p))) for curve in curves.values())] for p in kept
        ],
        caption=f"Shares {OF}, by the hit/miss model fitted to the planted defects: a model of what the estimate "
        "counts, not the estimate.",
    )  # fmt: skip


def defects(content: Content) -> Iterator[Block]:
    """The list of 3D defects of one inspection by one model."""
    of = content.reported
    if of is None:
        return
    who = f"on {of.inspection}, by model {of.model} with rule {_words(of.rule)}"
    if not of.defects:
        yield Text(f"No defect was reported {who}.")
        return
    known = any(defect.true is not None for defect in of.defects)
    header = ["no.", "place, mm", "area, mm²", "length, mm", "probability", "seen best in views"]
    yield Text(f"{counted(len(of.defects), 'defect')} reported {who}.")
    more = len(of.defects) - MAX_DEFECTS
    yield Table(
        title="Reported defects",
        header=[*header, "planted"] if known else header,
        rows=[_defect(one, known=known) for one in of.defects[:MAX_DEFECTS]],
        caption="Places are in the part's CAD frame; the probability is the mean over the defect."
        + (f" {more} more are in fused.json." if more > 0 else ""),
    )


def _defect(one: DefectFigures, *, known: bool) -> list[Cell]:
    views = ", ".join(one.views[:_MAX_VIEWS])
    more = len(one.views) - _MAX_VIEWS
    row: list[Cell] = [
        Quantity(one.id), Kept(", ".join(fixed(x, 1) for x in one.center_mm)), Quantity(fixed(one.area_mm2, 2)),
        Quantity(fixed(one.extent_mm, 1)), Quantity(fixed(one.mean_probability, 3)),
        (views + (f" and {more} more" if more > 0 else "")) or "none by itself, only all together",
    ]  # fmt: skip
    if known:
        row.append(None if one.true is None else Chip("yes", "good") if one.true else Chip("no", "bad"))
    return row


def fusion(content: Content) -> Iterator[Block]:
    """Rules of fusion against the views alone."""
    rows: list[list[Cell]] = []
    best: set[int] = set()
    for model, figures in content.fusion.items():
        fair: dict[int, float] = {}
        for name, of_all, scores, threshold in _evidence(figures):
            if of_all and scores.f1 is not None:
                fair[len(rows)] = scores.f1
            parts = (scores.precision, scores.recall, scores.f1)
            rows.append([model, name, *(Quantity(fixed(x, 3)) for x in parts), Quantity(fixed(threshold, 3))])
        best |= {k for k, f1 in fair.items() if f1 == max(fair.values())}
    if rows:
        yield Table(
            title="Fused views against single views",
            header=["model", "evidence", "precision", "recall", "F1", "threshold"],
            rows=rows,
            best=frozenset(best),
            caption="On the surface. Bold: the highest F1 of each model against all planted defects; what a view shows "
            "is fewer defects, so those rows do not compare.",
        )


def _evidence(figures: FusionFigures) -> Iterator[tuple[str, bool, DefectCounts | MeanScores, float | None]]:
    """Name, whether it is measured against all defects, scores, threshold."""
    for views, against, of_all in (
        (figures.in_view, "what it shows", False), (figures.of_all, "all defects", True),
    ):  # fmt: skip
        if views is not None:
            yield f"mean view against {against}", of_all, views.mean, None
            yield f"best view against {against}", of_all, views.best, None
    for rule, counts in figures.rules.items():
        yield f"fused: {_words(rule)}", True, counts, counts.threshold


def segmentation(content: Content) -> Iterator[Block]:
    """Figures of the models on single images."""
    if content.segmentation:
        yield Table(
            title="Models on single images",
            header=["model", "images", "threshold", "precision", "recall", "F1", "defects found", "false alarms"],
            rows=[
                [
                    name, Quantity(number(row.images)),
                    *(Quantity(fixed(x, 3)) for x in (row.threshold, row.precision, row.recall, row.f1)),
                    Quantity(percent(row.defect_recall)), Quantity(fixed(row.false_alarms_per_image, 2)),
                ]
                for name, row in content.segmentation.items()
            ],
            caption="A pixel is a defect where its probability reaches the threshold; precision, recall and F1 count "
            "pixels, false alarms are those per image.",
        )  # fmt: skip


def plan(content: Content) -> Iterator[Block]:
    """Figures of the plan that its file keeps."""
    figures = content.plan
    if figures is None:
        return
    proof = f"{figures.bound}{sure(figures.confidence)}"
    rows = [
        ("viewpoints", number(figures.viewpoints), "camera positions"),
        ("fewest possible", number(figures.lower_bound), f"no plan from these candidates has fewer ({proof})"),
        ("gap", percent(figures.gap), _STATUS.get(figures.status, figures.status)),
        ("coverable", percent(figures.coverable_share), OF),
        ("not searched", percent(figures.unsearched_share), "may be coverable: the search for candidates ended before"),
        ("covered", percent(figures.covered_share), OF),
        ("target", percent(figures.coverage), "what is covered of the coverable, by weight of CAD faces"),
        ("most possible", percent(figures.most_coverage), "no plan of as many views covers more of the coverable"),
        ("route", f"{number(figures.route_s)} s", "estimated time for the camera's moves and stops"),
        ("shortest possible", f"{number(figures.route_bound_s)} s", f"no order takes less ({figures.route_bound})"),
    ]
    yield Table(
        title="Figures of the plan", header=["figure", "value", "meaning"],
        rows=[[name, Quantity(value), meaning] for name, value, meaning in rows],
    )  # fmt: skip


def part(content: Content) -> Iterator[Block]:
    """The part and what was found in its file."""
    values = content.part
    if values is None:
        return
    rows = {
        "file": values.source, "triangles": number(values.triangles), "CAD faces": number(values.cad_faces),
        "area": mm2(values.area_mm2), "largest extent": f"{number(values.largest_extent_mm)} mm",
    }  # fmt: skip
    yield Table(title="The part", header=["of the part", ""], rows=[[name, value] for name, value in rows.items()])
    tones: dict[str, Tone] = {"error": "bad", "warning": "warn"}
    found: list[list[Cell]] = [
        [Chip(f.severity, tones.get(f.severity, "plain")), _words(f.name), Quantity(number(f.count)), f.remedy]
        for f in values.findings
    ]
    if found:
        header = ["severity", "finding", "count", "what was done, or can be"]
        yield Text("Findings in the file", "heading")
        yield Table(title="Findings in the part's file", header=header, rows=found)


def notes(content: Content) -> Sequence[Block]:
    """Limitations and notes."""
    return [Points(content.notes)] if content.notes else []


def about(content: Content) -> Iterator[Block]:
    """Times, versions and seeds."""
    seconds = {_words(name): Quantity(fixed(value, 1)) for name, value in content.seconds.items()}
    yield from _pairs("Seconds", "stage", seconds)
    yield from _pairs("Versions", "of", content.versions)
    yield from _pairs("Seeds", "of", {name: str(seed) for name, seed in content.seeds.items()})
    yield from _pairs("Weights", "model", {name: f"{sha[:16]}…" for name, sha in content.models.items()})


def _pairs(title: str, what: str, values: Mapping[str, str]) -> Iterator[Block]:
    if values:
        yield Table(title=title, header=[what, title.lower()], rows=[[name, value] for name, value in values.items()])


def _words(key: str) -> str:
    return key.replace("_", " ").replace("-", " ")
