"""Charts of the figures that a run gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from viewcov.coverage.effective.figures import PodBySize
from viewcov.viewer.figures import Sheet
from viewcov.viewer.palette import GREY, GRID, INK, MODELS, MUTED
from viewcov.viewer.words import percent

SIZE_PX = (1000, 560)
"""Width and height of a chart."""


def coverage_chart(path: str | Path, curves: Mapping[str, Sequence[float]], *, coverable: float) -> None:
    """Write a PNG of the covered share over the number of views.

    ``curves`` maps a name to shares, from 0 to 1, after 0, 1, 2, ... views; what is ``coverable`` is drawn as a line.
    """
    from matplotlib.ticker import MaxNLocator

    sheet, axes = _chart("Covered with each further view")
    for k, (name, shares) in enumerate(curves.items()):
        axes.plot(
            np.arange(len(shares)), shares, color=MODELS[k % len(MODELS)], lw=sheet.points(3.5), label=name,
            marker="o" if len(shares) <= 40 else None, ms=sheet.points(7),
        )  # fmt: skip
    label = f"coverable {percent(coverable)}"
    axes.axhline(coverable, color=INK, lw=sheet.points(2), ls=(0, (4, 3)), label=label)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    _finish(sheet, axes, x="number of views", y="share of the area to be inspected")
    sheet.save(path)


def pod_chart(path: str | Path, curves: Mapping[str, PodBySize]) -> None:
    """Write a PNG of probability of detection over size, by model, with a90 where known."""
    sheet, axes = _chart("Probability of detection by defect size")
    axes.axhline(0.9, color=MUTED, lw=sheet.points(1.5), ls=(0, (4, 3)))
    for k, (name, curve) in enumerate(curves.items()):
        label = name if curve.a90_mm is None else f"{name}: a90 = {curve.a90_mm:.2g} mm"
        axes.plot(curve.size_mm, curve.pod, color=MODELS[k % len(MODELS)], lw=sheet.points(3.5), label=label)
    _finish(sheet, axes, x="defect size in mm", y="probability of detection")
    sheet.save(path)


def _chart(title: str) -> tuple[Sheet, Any]:
    """A sheet with a heading and axes; margins in pixels of a picture 800 high."""
    sheet = Sheet(*SIZE_PX)
    unit = sheet.unit
    sheet.heading(title, size=32)
    axes = sheet.axes(150 * unit, 92 * unit, sheet.width_px - 190 * unit, sheet.height_px - 227 * unit)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=GRID, lw=sheet.points(1.2))
    axes.tick_params(labelsize=sheet.points(24), color=GRID, labelcolor=INK, length=0, pad=sheet.points(8))
    for side, spine in axes.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=GREY, linewidth=sheet.points(1.2))
    return sheet, axes


def _finish(sheet: Sheet, axes: Any, *, x: str, y: str) -> None:
    axes.set(ylim=(0, 1.02), xlim=(0, None))
    axes.set_xlabel(x, fontsize=sheet.points(25), color=MUTED)
    axes.set_ylabel(y, fontsize=sheet.points(25), color=MUTED)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.legend(fontsize=sheet.points(24), labelcolor=INK, framealpha=0.9, edgecolor="none", loc="lower right")
