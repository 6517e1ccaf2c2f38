"""The section of the report on geometric coverage: what is seen, why the rest is not, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from viewcov.viewer.report.cards import mapping, of
from viewcov.viewer.report.html import Bar, Quantity, bars, escape, label, number, percent, table

_REASONS = {
    "in_frame": "outside every image",
    "facing": "seen too obliquely",
    "unoccluded": "hidden by the part itself",
    "in_focus": "out of focus",
    "resolved": "sampled too coarsely",
    "lit": "not lit",
    "exposed": "too dark, too bright, or not in the light asked for",
}
_MAX_FIXES, _MAX_NAMES = 10, 20


def geometric(summary: Mapping[str, Any]) -> str:
    """Waterfall, reasons, how many views see the surface, and what would change it."""
    values = mapping(summary.get("geometric"))
    inspected = values.get("inspected_area_mm2") or of(summary, "part", "inspected_area_mm2")
    parts = []
    covered, coverable = values.get("covered_area_mm2"), values.get("coverable_area_mm2")
    if covered is not None and coverable is not None:
        total = f" The surface to be inspected has {_mm2(inspected)}." if inspected else ""
        parts.append(
            f"<p>{_mm2(covered)} of {_mm2(coverable)} that any allowed view could cover are "
            f"covered ({escape(percent(values.get('coverage')))}).{total}</p>"
        )
    waterfall = mapping(values.get("waterfall"))
    if waterfall and inspected:
        parts.append('<h3 class="sub">Area that survives each test</h3>' + bars(_waterfall(waterfall, inspected)))
    uncovered = {name: area for name, area in mapping(values.get("uncovered")).items() if area}
    if uncovered and inspected:
        longest = max(uncovered.values())
        lines = [
            Bar(
                name=_REASONS.get(name, label(name)), share=area / longest, text=f"{number(area)} mm²",
                detail=percent(area / inspected), colour="var(--orange)",
            )
            for name, area in sorted(uncovered.items(), key=lambda item: -item[1])
        ]  # fmt: skip
        parts.append('<h3 class="sub">Why the rest stays uncovered</h3>' + bars(lines))
        parts.append('<p class="note">The test that the most promising view of each place failed.</p>')
    views = values.get("k_coverage") or []
    if len(views) > 1 and inspected:
        lines = [
            Bar(
                name=f"{k} or more",
                share=area / inspected,
                text=percent(area / inspected),
                detail=f"{number(area)} mm²",
            )
            for k, area in list(enumerate(views))[1:9]
        ]
        parts.append('<h3 class="sub">Area by the number of views that see it</h3>' + bars(lines))
    parts += [_fixes(values), _redundant(values), _robustness(mapping(values.get("robustness")))]
    return "".join(parts)


def _fixes(values: Mapping[str, Any]) -> str:
    """The viewpoints that would cover most of what is left out."""
    coverable, covered = values.get("coverable_area_mm2"), values.get("covered_area_mm2")
    rows = []
    for fix in (values.get("fixes") or [])[:_MAX_FIXES]:
        gained, pose, nearest = of(fix, "gained_area_mm2"), of(fix, "world_from_camera"), of(fix, "nearest_view")
        covered = None if covered is None or gained is None else covered + gained
        place = None if pose is None else ", ".join(f"{row[3]:.1f}" for row in pose[:3]).replace("-", "−")
        moved = None
        if nearest is not None:
            moved = f"{number(of(fix, 'distance_mm'))} mm, {number(of(fix, 'angle_deg'))}°, {nearest}"
        rows.append(
            [
                of(fix, "id"),
                place,
                Quantity(number(gained)),
                Quantity(percent(covered / coverable)) if covered is not None and coverable else None,
                ", ".join(_REASONS.get(name, label(name)) for name in mapping(of(fix, "repairs"))),
                moved,
            ]
        )
    if not rows:
        return ""
    header = [
        "viewpoint",
        "camera centre, mm",
        "gains, mm²",
        "coverage with it",
        "what it mends",
        "from the nearest view",
    ]
    caption = "Each after those above it. Poses are in geometric.json, the nearest for each element in nearest.parquet."
    return '<h3 class="sub">Viewpoints that would cover more</h3>' + table(header, rows, caption=caption)


def _redundant(values: Mapping[str, Any]) -> str:
    """The views that the plan can do without."""
    names = values.get("redundant_views")
    if not names:
        return ""
    several = f"{len(names)} views" if len(names) > 1 else "One view"
    shown = escape(", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else ""))
    return f"<p>{several} could be left out without loss, each by itself: {shown}.</p>"


def _robustness(values: Mapping[str, Any]) -> str:
    """Coverage by cameras that do not stand exactly where they should."""
    if values.get("mean_coverage") is None:
        return ""
    rows = [
        [name, Quantity(percent(values.get(key)))]
        for key, name in (
            ("mean_coverage", "covered, mean of the draws"),
            ("quantile_5_coverage", "covered in 95 of 100 draws, at least"),
            ("least_coverage", "covered, least of the draws"),
        )
    ]
    rows += [
        [f"area covered with a probability of at least {level}", Quantity(percent(share))]
        for level, share in mapping(values.get("share_by_probability")).items()
    ]
    noise = f"{number(values.get('noise_mm'))} mm and {number(values.get('noise_deg'))}°"
    caption = (
        f"{number(values.get('draws'))} draws: every camera shifted and turned, with standard deviations of {noise} "
        "along each axis."
    )
    header = ["under pose noise", "share of the coverable area"]
    return '<h3 class="sub">When cameras do not stand exactly</h3>' + table(header, rows, caption=caption)


def _mm2(area: float) -> str:
    return f'<span class="keep">{escape(number(area))} mm²</span>'


def _waterfall(waterfall: Mapping[str, float], inspected: float) -> list[Bar]:
    lines = [
        Bar(
            name="to be inspected",
            share=1.0,
            text="100 %",
            detail=f"{number(inspected)} mm²",
            colour="#9aa3ae",
        )
    ]
    before = inspected
    for k, (name, area) in enumerate(waterfall.items()):
        lost = f", −{number(before - area)}" if before - area >= 0.5 else ""
        lines.append(
            Bar(
                name=label(name), share=area / inspected, text=percent(area / inspected),
                detail=f"{number(area)} mm²{lost}", before=before / inspected,
                colour="var(--teal)" if k == len(waterfall) - 1 else "var(--blue)",
            )
        )  # fmt: skip
        before = area
    return lines
