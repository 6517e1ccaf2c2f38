"""The headline figures of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from viewcov.viewer.report.html import card, interval_text, number, percent

COLOURS = ("var(--blue)", "var(--orange)", "var(--teal)", "#b04a8c", "#7a5fc0")
"""One a model, the same in cards and bars."""


def of(value: Any, *keys: str) -> Any:
    """The value under nested keys; ``None`` where one of them is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it has keys, otherwise none."""
    return value if isinstance(value, Mapping) else {}


def cards(summary: Mapping[str, Any]) -> str:
    """The headline figures."""
    shown: list[str] = []
    num = of(summary, "plan", "viewpoints")
    if num is not None:
        bound = of(summary, "plan", "lower_bound")
        least = f" At least {number(bound)} are needed for this coverage." if bound is not None else ""
        shown.append(card("Viewpoints", number(num), "views", f"Camera positions, each with one image.{least}"))
    coverage = of(summary, "geometric", "coverage") or of(summary, "plan", "coverage")
    if coverage is not None:
        meaning = "Share of the coverable surface that at least one view shows sharply, finely and lit well enough."
        shown.append(card("Geometric coverage", *_value(coverage), meaning))
    variants = mapping(of(summary, "effective", "variants"))
    for k, (name, variant) in enumerate(list(variants.items())[:3]):
        if of(variant, "coverage") is None:
            continue
        meaning = "Share of defects, planted evenly over the surface to be inspected, that this model finds."
        shown.append(
            card(
                f"Effective coverage, {name}", *_value(variant["coverage"]), meaning,
                interval=interval_text(of(variant, "interval")), accent=COLOURS[k % len(COLOURS)],
            )
        )  # fmt: skip
    difference = of(summary, "effective", "paired", "difference")
    if difference is not None:
        first, second = (
            of(summary, "effective", "paired", "first"),
            of(summary, "effective", "paired", "second"),
        )
        meaning = f"How much more {second} finds than {first}, on the same planted defects."
        points = f"{100 * difference:+.1f}".replace("-", "−")
        between = points_text(of(summary, "effective", "paired", "interval"))
        shown.append(card("Paired difference", points, "points", meaning, interval=between, accent="var(--teal)"))
    found = summary.get("defects")
    if isinstance(found, Sequence) and not isinstance(found, str):
        meaning = "Places on the part where the fused views report a defect."
        shown.append(card("Defects reported", number(len(found)), "on this part", meaning, accent="var(--red)"))
    return f'<div class="cards">{"".join(shown)}</div>' if shown else ""


def _value(share: float) -> tuple[str, str]:
    return percent(share).removesuffix(" %"), "%"


def points_text(interval: Any) -> str:
    """Both ends of an interval of differences, in percentage points."""
    if not isinstance(interval, Sequence) or len(interval) != 2:
        return ""
    return " to ".join(f"{100 * end:+.1f}" for end in interval).replace("-", "−")
