"""Charts of the figures that a run gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from viewcov.viewer.figures import GRID, INK, MUTED, Sheet

BLUE, TEAL, ORANGE, GREY = "#3b6fb6", "#1f8a70", "#e0903a", "#9aa3ae"
_LINES = (BLUE, ORANGE, TEAL, "#b04a8c", "#7a5fc0", "#6b8e23")
_SIZE = (1000, 560)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of an area with its 95 % interval."""

    name: str
    """What it is the share for, such as a model."""

    value: float
    """From 0 to 1."""

    interval: tuple[float, float] | None = None
    """Ends of the 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCurve:
    """Probability of detection over defect size."""

    name: str
    """Whose, such as a model's."""

    size_mm: Sequence[float]
    """Sizes, rising."""

    pod: Sequence[float]
    """Probability at each size, 0 to 1."""

    lower: Sequence[float] | None = None
    """Lower 95 % confidence bound at each size."""

    a90_mm: float | None = None
    """Size that is found with probability 0.9."""

    a90_95_mm: float | None = None
    """Size for which the lower bound reaches 0.9."""


def waterfall_chart(
    path: str | Path,
    surviving_mm2: Mapping[str, float],
    inspected_area_mm2: float,
    *,
    title: str = "Area that survives each test",
    size_px: tuple[int, int] = _SIZE,
) -> None:
    """Write a PNG of the area left after each test, in the order of the tests, and what each one takes.

    ``surviving_mm2`` maps a test to the area that passes it and all before it in at least one view.
    """
    if not inspected_area_mm2 > 0:
        raise ValueError(f"inspected_area_mm2 must be positive, got {inspected_area_mm2}")
    names = ["inspected", *surviving_mm2]
    areas = [float(inspected_area_mm2), *(float(area) for area in surviving_mm2.values())]
    sheet, axes = _chart(title, size_px, left=230, right=440)
    rows = np.arange(len(names))
    colours = [GREY] + [BLUE] * (len(names) - 2) + [TEAL] * (len(names) > 1)
    before = [areas[0], *areas[:-1]]
    axes.barh(rows, before, color="#f3d9c0", height=0.66)
    axes.barh(rows, areas, color=colours, height=0.66)
    for row, (area, earlier) in enumerate(zip(areas, before, strict=True)):
        lost = f"  (−{_mm2(earlier - area)})" if row and earlier - area >= 0.5 else ""
        text = f"{area / areas[0]:.1%}   {_mm2(area)} mm²{lost}".replace("%", " %")
        axes.text(1.01 * areas[0], row, text, va="center", fontsize=sheet.points(23), color=INK)
    axes.set_yticks(rows, [name.replace("_", " ") for name in names])
    axes.set(xlim=(0, areas[0]), ylim=(len(names) - 0.45, -0.55))
    axes.set_xlabel("area; pale: lost in this test", fontsize=sheet.points(23), color=MUTED)
    axes.set_xticks(np.linspace(0, areas[0], 5), ["0", "25 %", "50 %", "75 %", "100 %"])
    sheet.save(path)


def coverage_chart(
    path: str | Path,
    curves: Mapping[str, ArrayLike],
    *,
    goal: float | None = None,
    title: str = "Coverage with each further view",
    size_px: tuple[int, int] = _SIZE,
) -> None:
    """Write a PNG of the covered share over the number of views.

    ``curves`` maps a name to shares, from 0 to 1, after 0, 1, 2, ... views; ``goal`` is drawn as a line.
    """
    sheet, axes = _chart(title, size_px)
    for k, (name, shares) in enumerate(curves.items()):
        values = np.asarray(shares, dtype=np.float64)
        dots = "o" if len(values) <= 40 else None
        axes.plot(
            np.arange(len(values)), values, color=_LINES[k % len(_LINES)], lw=sheet.points(3.5), label=name,
            marker=dots, ms=sheet.points(7), drawstyle="default",
        )  # fmt: skip
    if goal is not None:
        axes.axhline(goal, color=INK, lw=sheet.points(2), ls=(0, (4, 3)), label=f"goal {_share(goal)}")
    axes.set(ylim=(0, 1.02), xlim=(0, None))
    _finish(sheet, axes, x="number of views", y="share of the coverable area", rising=True)
    axes.xaxis.set_major_locator(_locator(8, integer=True))
    sheet.save(path)


def effective_chart(
    path: str | Path,
    geometric: float,
    variants: Sequence[Share],
    *,
    difference: Share | None = None,
    title: str = "Effective beside geometric coverage",
    size_px: tuple[int, int] = _SIZE,
) -> None:
    """Write a PNG with a bar for what the camera sees and one for what each model finds there.

    ``difference`` is the paired difference of two variants, with its interval, told below the bars.
    """
    sheet, axes = _chart(title, size_px, left=230, bottom=175 if difference else 120)
    rows = np.arange(1 + len(variants))
    seen = Share(name="geometric", value=geometric)
    for k, share in enumerate([seen, *variants]):
        axes.barh(k, share.value, color=GREY if k == 0 else _LINES[(k - 1) % len(_LINES)], height=0.6)
        end = share.value
        if share.interval is not None:
            low, high = share.interval
            axes.plot([low, high], [k, k], color=INK, lw=sheet.points(3))
            axes.plot([low, low, high, high], [k - 0.12, k + 0.12, np.nan, np.nan], color=INK, lw=sheet.points(3))
            axes.plot([high, high], [k - 0.12, k + 0.12], color=INK, lw=sheet.points(3))
            end = max(end, high)
        text = _share(share.value) + (f"  [{_share(share.interval)}]" if share.interval is not None else "")
        inside = end > 0.62
        axes.text(
            0.012 if inside else end + 0.012, k, text, va="center", fontsize=sheet.points(24),
            color="white" if inside else INK, weight="bold",
        )  # fmt: skip
    axes.set_yticks(rows, ["geometric", *(share.name for share in variants)])
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("share of the area; whiskers: 95 % interval", fontsize=sheet.points(23), color=MUTED)
    if difference is not None:
        text = f"{difference.name}: {100 * difference.value:+.1f} percentage points"
        if difference.interval is not None:
            low, high = difference.interval
            text += f", 95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
            text += " (no difference shown)" if low <= 0 <= high else ""
        place = sheet.text(24 * sheet.unit, 745 * sheet.unit, text.replace("-", "−"), size=25)
        sheet.fit(place, 0.95 * size_px[0])
    sheet.save(path)


def pod_chart(
    path: str | Path,
    curves: Sequence[PodCurve],
    *,
    title: str = "Probability of detection by defect size",
    size_px: tuple[int, int] = _SIZE,
) -> None:
    """Write a PNG of probability of detection over size, with lower bounds and a90, a90/95 where given."""
    sheet, axes = _chart(title, size_px)
    axes.axhline(0.9, color=MUTED, lw=sheet.points(1.5), ls=(0, (4, 3)))
    for k, curve in enumerate(curves):
        colour, label = _LINES[k % len(_LINES)], curve.name
        if curve.a90_mm is not None:
            label += f": a90 = {curve.a90_mm:.2g} mm"
        if curve.a90_95_mm is not None:
            label += f", a90/95 = {curve.a90_95_mm:.2g} mm"
            axes.plot([curve.a90_95_mm] * 2, [0, 0.9], color=colour, lw=sheet.points(1.5), ls=(0, (2, 2)))
        axes.plot(curve.size_mm, curve.pod, color=colour, lw=sheet.points(3.5), label=label)
        if curve.lower is not None:
            axes.fill_between(curve.size_mm, curve.lower, curve.pod, color=colour, alpha=0.18, lw=0)
    axes.set(ylim=(0, 1.02), xlim=(0, None))
    _finish(sheet, axes, x="defect size in mm", y="probability of detection", rising=True)
    sheet.save(path)


def share_curve_chart(
    path: str | Path,
    curves: Mapping[str, ArrayLike],
    *,
    title: str = "Area by probability of detection",
    size_px: tuple[int, int] = _SIZE,
) -> None:
    """Write a PNG of the share of the area where detection has probability p or more; rows: (p, share)."""
    sheet, axes = _chart(title, size_px)
    for k, (name, rows) in enumerate(curves.items()):
        points = np.asarray(rows, dtype=np.float64).reshape(-1, 2)
        axes.plot(points[:, 0], points[:, 1], color=_LINES[k % len(_LINES)], lw=sheet.points(3.5), label=name)
    axes.set(ylim=(0, 1.02), xlim=(0, 1))
    _finish(sheet, axes, x="probability of detection p", y="share of the area with at least p")
    sheet.save(path)


def _chart(
    title: str, size_px: tuple[int, int], *, left: float = 150, right: float = 40, bottom: float = 135
) -> tuple[Sheet, Any]:
    """A sheet with a heading and axes; margins in pixels of a picture 800 high."""
    sheet = Sheet(*size_px)
    unit = sheet.unit
    sheet.fit(sheet.text(24 * unit, 20 * unit, title, size=32, weight="bold"), 0.95 * size_px[0])
    width = size_px[0] - (left + right) * unit
    axes = sheet.axes(left * unit, 92 * unit, width, size_px[1] - (92 + bottom) * unit)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=GRID, lw=sheet.points(1.2))
    axes.tick_params(labelsize=sheet.points(24), color=GRID, labelcolor=INK, length=0, pad=sheet.points(8))
    for side, spine in axes.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=GREY, linewidth=sheet.points(1.2))
    return sheet, axes


def _finish(sheet: Sheet, axes: Any, *, x: str, y: str, rising: bool = False) -> None:
    axes.set_xlabel(x, fontsize=sheet.points(25), color=MUTED)
    axes.set_ylabel(y, fontsize=sheet.points(25), color=MUTED)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(
            fontsize=sheet.points(24),
            labelcolor=INK,
            framealpha=0.9,
            edgecolor="none",
            loc="lower right" if rising else "best",
        )


def _locator(num: int, *, integer: bool = False) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(num, integer=integer)


def _mm2(area: float) -> str:
    return f"{area:,.0f}".replace(",", "\u202f")


def _share(value: float | tuple[float, float]) -> str:
    if isinstance(value, tuple):
        return f"{100 * value[0]:.1f} to {100 * value[1]:.1f} %"
    return f"{100 * value:.1f} %"
