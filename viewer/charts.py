"""Charts of the figures that a run gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from viewcov.viewer.figures import Sheet
from viewcov.viewer.palette import GREY, GRID, INK, MODELS, MUTED
from viewcov.viewer.words import percent

_SIZE = (1000, 560)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCurve:
    """Probability of detection over defect size."""

    name: str
    """Whose, such as a model's."""

    size_mm: Sequence[float]
    """Sizes, rising."""

    pod: Sequence[float]
    """Probability at each size, 0 to 1."""

    a90_mm: float | None = None
    """Size that is found with probability 0.9."""


def coverage_chart(
    path: str | Path,
    curves: Mapping[str, ArrayLike],
    *,
    coverable: float | None = None,
    size_px: tuple[int, int] = _SIZE,
) -> None:
    """Write a PNG of the covered share over the number of views.

    ``curves`` maps a name to shares, from 0 to 1, after 0, 1, 2, ... views; what is ``coverable`` is drawn as a line.
    """
    sheet, axes = _chart("Covered with each further view", size_px)
    for k, (name, shares) in enumerate(curves.items()):
        values = np.asarray(shares, dtype=np.float64)
        dots = "o" if len(values) <= 40 else None
        axes.plot(
            np.arange(len(values)), values, color=MODELS[k % len(MODELS)], lw=sheet.points(3.5), label=name,
            marker=dots, ms=sheet.points(7), drawstyle="default",
        )  # fmt: skip
    if coverable is not None:
        label = f"coverable {percent(coverable)}"
        axes.axhline(coverable, color=INK, lw=sheet.points(2), ls=(0, (4, 3)), label=label)
    axes.set(ylim=(0, 1.02), xlim=(0, None))
    _finish(sheet, axes, x="number of views", y="share of the area to be inspected", rising=True)
    axes.xaxis.set_major_locator(_locator(8, integer=True))
    sheet.save(path)


def pod_chart(path: str | Path, curves: Sequence[PodCurve], *, size_px: tuple[int, int] = _SIZE) -> None:
    """Write a PNG of probability of detection over size, with a90 where given."""
    sheet, axes = _chart("Probability of detection by defect size", size_px)
    axes.axhline(0.9, color=MUTED, lw=sheet.points(1.5), ls=(0, (4, 3)))
    for k, curve in enumerate(curves):
        colour, label = MODELS[k % len(MODELS)], curve.name
        if curve.a90_mm is not None:
            label += f": a90 = {curve.a90_mm:.2g} mm"
        axes.plot(curve.size_mm, curve.pod, color=colour, lw=sheet.points(3.5), label=label)
    axes.set(ylim=(0, 1.02), xlim=(0, None))
    _finish(sheet, axes, x="defect size in mm", y="probability of detection", rising=True)
    sheet.save(path)


def _chart(
    title: str, size_px: tuple[int, int], *, left: float = 150, right: float = 40, bottom: float = 135
) -> tuple[Sheet, Any]:
    """A sheet with a heading and axes; margins in pixels of a picture 800 high."""
    sheet = Sheet(*size_px)
    unit = sheet.unit
    sheet.heading(title, size=32)
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
