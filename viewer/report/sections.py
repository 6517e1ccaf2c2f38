"""The sections of the report, each made from its part of ``summary.json``; empty where that is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from viewcov.viewer.report.cards import COLOURS, mapping, of, points_text
from viewcov.viewer.report.html import (
    Bar,
    Markup,
    Quantity,
    Tone,
    bars,
    chip,
    escape,
    facts,
    interval_text,
    label,
    number,
    percent,
    records,
    table,
)

Summary = Mapping[str, Any]

MAX_DEFECTS = 200
"""More rows than this are left to the result files."""

_SHARES = ("coverage", "most_coverage", "gap")
_STATUS = {
    "optimal": "no plan with fewer views reaches this coverage with the candidates tried",
    "feasible": "a plan with fewer views may exist; the bound says how many at least",
}


def seen_share(summary: Summary) -> float | None:
    """Geometric coverage with the denominator of effective coverage: all of the surface to be inspected."""
    values = {**mapping(summary.get("plan")), **mapping(summary.get("geometric"))}
    covered, inspected = values.get("covered_area_mm2"), values.get("inspected_area_mm2")
    return covered / inspected if covered is not None and inspected else None


def effective(summary: Summary) -> str:
    """What each model finds, beside what the camera sees."""
    variants = mapping(of(summary, "effective", "variants"))
    if not variants:
        return ""
    lines = []
    seen = seen_share(summary)
    if seen is not None:
        lines.append(Bar(name="geometric", share=seen, text=percent(seen), colour="#9aa3ae"))
    for k, (name, variant) in enumerate(variants.items()):
        share, interval = of(variant, "coverage"), of(variant, "interval")
        if share is None:
            continue
        between = (interval[0], interval[1]) if interval_text(interval) else None
        text = f"[{interval_text(interval)}]" if between else ""
        colour = COLOURS[k % len(COLOURS)]
        lines.append(Bar(name=name, share=share, text=percent(share), detail=text, interval=between, colour=colour))
    rows = [
        [
            name,
            Quantity(percent(of(variant, "coverage"))),
            interval_text(of(variant, "interval")) or None,
            of(variant, "num_defects"),
            of(variant, "num_found"),
            of(variant, "false_alarms_per_part"),
        ]
        for name, variant in variants.items()
    ]
    header = [
        "model",
        "effective coverage",
        "95 % interval",
        "defects planted",
        "defects found",
        "false alarms per part",
    ]
    return (
        "<p>Geometric coverage says where a defect could be seen. Effective coverage says where this model "
        "finds it: defects were planted over the whole surface, and the fused views "
        "of the model found or missed them. "
        "Both are shares of all of the surface to be inspected; whiskers are 95 % intervals.</p>"
        + bars(lines)
        + _paired(mapping(of(summary, "effective", "paired")))
        + '<h3 class="sub">Planted and found</h3>'
        + table(header, rows, caption="False alarms belong beside any share of defects found.")
        + _curves(variants)
    )


def _paired(paired: Mapping[str, Any]) -> str:
    if paired.get("difference") is None:
        return ""
    interval = paired.get("interval")
    points = paired["difference"]
    text = (
        f"On the same defects, <b>{escape(paired.get('second', 'the second'))}</b> covers "
        f"{abs(100 * points):.1f} percentage points {'less' if points < 0 else 'more'} than "
        f"<b>{escape(paired.get('first', 'the first'))}</b>"
    )
    shown = True
    if points_text(interval):
        assert interval is not None
        shown = not interval[0] <= 0 <= interval[1]
        text += f" (95 % interval {escape(points_text(interval))})"
    text += "." if shown else "; the interval contains zero, so the difference may be chance."
    only = [paired.get("only_first"), paired.get("only_second")]
    if None not in only:
        text += (
            f" Defects that only {escape(paired.get('first'))} found: {escape(number(only[0]))}; "
            f"only {escape(paired.get('second'))}: {escape(number(only[1]))}."
        )
    return f'<div class="statement{"" if shown else " open"}">{text}</div>'


def _curves(variants: Mapping[str, Any]) -> str:
    curves = {name: dict(of(v, "curve")) for name, v in variants.items() if of(v, "curve")}
    if not curves:
        return ""
    levels = sorted({p for curve in curves.values() for p in curve})
    step = max(1, -(-len(levels) // 12))
    kept = [p for k, p in enumerate(levels) if k % step == 0 or k == len(levels) - 1]
    rows = [
        [f"at least {100 * p:.3g} %", *(Quantity(percent(curve.get(p))) for curve in curves.values())] for p in kept
    ]
    header = ["probability of detection", *curves]
    return '<h3 class="sub">Share of the surface by probability of detection</h3>' + table(header, rows)


def segmentation(summary: Summary) -> str:
    """Pixel figures of the models."""
    models = mapping(summary.get("segmentation"))
    rows = [{"model": name, **mapping(values)} for name, values in models.items()]
    if not rows:
        return ""
    caption = "On single images: a pixel is a defect where its probability reaches the threshold."
    return records(rows, first=("model", "precision", "recall", "f1", "threshold"), caption=caption)


def fusion(summary: Summary) -> str:
    """Rules of fusion against the views alone."""
    rows: list[list[Any]] = []
    best: list[int] = []
    for model, rules in mapping(summary.get("fusion")).items():
        start = len(rows)
        for key, against in (("single_view", "what it shows"), ("single_view_of_all", "all defects")):
            single = mapping(of(rules, key))
            for which, name in (("mean", "mean view"), ("best", "best view")):
                if which in single:
                    rows.append([model, f"{name} against {against}", *_scores(single[which])])
        for rule, values in mapping(rules).items():
            if not rule.startswith("single_view"):
                rows.append([model, f"fused: {rule.replace('_', ' ')}", *_scores(values)])
        scores = [row[4] for row in rows[start:] if row[4] is not None]
        best += [k for k in range(start, len(rows)) if scores and rows[k][4] == max(scores)]
    if not rows:
        return ""
    header = ["model", "evidence", "precision", "recall", "F1", "threshold"]
    caption = "On the surface. Bold: the highest F1 of each model."
    return table(header, rows, caption=caption, best=best)


def _scores(values: Any) -> list[Any]:
    return [of(values, key) for key in ("precision", "recall", "f1", "threshold")]


def defects(summary: Summary) -> str:
    """The list of 3D defects."""
    found = summary.get("defects")
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ""
    if not found:
        return "<p>No defect was reported on this part.</p>"
    rows = [_defect(mapping(one)) for one in found[:MAX_DEFECTS]]
    first = (
        "id",
        "kind",
        "center_mm",
        "area_mm2",
        "extent_mm",
        "max_probability",
        "mean_probability",
        "views",
        "true",
    )
    more = len(found) - len(rows)
    caption = "Places are in the part's CAD frame, in mm. " + (f"{more} more are in the result files." if more else "")
    return records(rows, first=first, caption=caption)


def _defect(one: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key, value in one.items():
        if key.endswith("_mm") and isinstance(value, Sequence) and not isinstance(value, str):
            row[key] = ", ".join(f"{x:.1f}" for x in value).replace("-", "−")
        elif isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 6:
            row[key] = Markup(f"{len(value)}: " + escape(", ".join(str(part) for part in value[:4])) + ", …")
        elif key in ("found", "true", "is_true") and value is not None:
            row[key] = Markup(chip("yes", "good") if value else chip("no", "bad"))
        else:
            row[key] = value
    row.setdefault("kind", "unknown")
    return row


def plan(summary: Summary) -> str:
    """Figures of the plan."""
    values = mapping(summary.get("plan"))
    if not values:
        return ""
    meaning = {
        "viewpoints": "camera positions",
        "coverage": "covered share of the coverable area",
        "covered_area_mm2": "seen well enough by at least one view",
        "coverable_area_mm2": "what some allowed view could see well enough",
        "inspected_area_mm2": "what is to be inspected",
        "most_coverage": "no plan of as many views from these candidates covers more",
        "lower_bound": "no plan from these candidates has fewer views",
        "bound": "what proves that",
        "gap": "how far the plan may be from the fewest views",
        "route_s": "estimated time for the camera's moves and stops",
        "route_bound_s": "no order of these views takes less",
        "route_bound": "what proves that",
    }
    rows = []
    for key, value in values.items():
        shown: Any = Quantity(percent(value)) if key in _SHARES else value
        said = _STATUS.get(str(value), "") if key == "status" else meaning.get(key, "")
        rows.append([label(key), Quantity(number(value)) if _plain_number(key, value) else shown, said])
    return table(["figure", "value", "meaning"], rows)


def _plain_number(key: str, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and key not in _SHARES


def part(summary: Summary) -> str:
    """The part and what was found in its file."""
    values = mapping(summary.get("part"))
    if not values:
        return ""
    rows = [(label(key), value) for key, value in values.items() if key != "findings"]
    tones: dict[Any, Tone] = {"error": "bad", "warning": "warn", "note": "plain"}
    findings = [
        [
            Markup(chip(str(of(f, "severity")), tones.get(of(f, "severity"), "plain"))),
            label(str(of(f, "name") or "")),
            of(f, "count"),
            of(f, "remedy"),
        ]
        for f in values.get("findings") or []
    ]
    header = ["severity", "finding", "count", "what was done, or can be"]
    below = '<h3 class="sub">Findings in the file</h3>' + table(header, findings) if findings else ""
    return facts(rows) + below


def notes(summary: Summary) -> str:
    """Limitations and notes."""
    lines = summary.get("notes")
    if not isinstance(lines, Sequence) or isinstance(lines, str) or not lines:
        return ""
    return '<ul class="notes">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def about(summary: Summary) -> str:
    """Times, versions and seeds."""
    columns = []
    seconds = mapping(summary.get("seconds"))
    if seconds:
        rows = [
            [label(name), Quantity(f"{value:,.1f}") if value is not None else None] for name, value in seconds.items()
        ]
        columns.append(table(["stage", "seconds"], rows))
    for key, name in (("versions", "version"), ("seeds", "seed")):
        values = mapping(summary.get(key))
        if values:
            columns.append(table(["of", name], [[label(str(k)), Quantity(v)] for k, v in values.items()]))
    return f'<div class="columns">{"".join(f"<div>{column}</div>" for column in columns)}</div>' if columns else ""
