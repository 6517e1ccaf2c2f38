"""Numbered rings around places on the surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from viewcov.inspection.arrays import Bools, Floats, locked_floats
from viewcov.viewer import palette
from viewcov.viewer.figures import Sheet, plain
from viewcov.viewer.offscreen import View
from viewcov.viewer.palette import MUTED, PAPER


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marker:
    """A place to point at, such as a defect."""

    point_mm: Floats
    """Shape (3,), in the CAD frame, on the surface."""

    label: str
    """Short text beside it, such as the defect's number."""

    colour: str = palette.FALSE
    """``#rrggbb``."""

    meaning: str = "marked place"
    """What the legend calls rings of this colour."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "point_mm", locked_floats(self.point_mm, name="point_mm", shape=(3,)))


def draw_markers(axes: Any, sheet: Sheet, view: View, markers: Sequence[Marker], *, views: Sequence[View]) -> None:
    """Rings with labels on a panel.

    A marker that the surface hides in this view is left out, unless none of the ``views`` shows it:
    then it is drawn dashed, where it would be behind the surface, in the first of them.
    """
    if not markers:
        return
    dashed = _hidden(views, markers) & (view is views[0])
    places = view.project(_points(markers))[:, :2]
    size = np.array(view.element_idx.shape[::-1]) / view.oversampling
    radius = 13 * sheet.unit
    drawn = [k for k, hidden in enumerate(_hidden([view], markers)) if dashed[k] or not hidden]
    taken = [np.array([*places[k] - radius, *places[k] + radius]) for k in drawn]
    for k in drawn:
        _draw_ring(axes, sheet, places[k], markers[k].colour, dashed=bool(dashed[k]))
        width = 11.5 * sheet.unit * len(markers[k].label) + 8 * sheet.unit
        box = _free_box(places[k], np.array([width, 24 * sheet.unit]), radius, taken, size)
        taken.append(box)
        _draw_label(axes, sheet, places[k], box, markers[k])


def ring_handles(sheet: Sheet, views: Sequence[View], markers: Sequence[Marker]) -> list[Any]:
    """What solid and dashed rings mean, for a legend."""
    from matplotlib.lines import Line2D

    if not markers:
        return []
    kinds = dict.fromkeys((marker.meaning, marker.colour) for marker in markers)
    kinds |= {("dashed: hidden in these views", MUTED): None} if _hidden(views, markers).any() else {}
    look = {"marker": "o", "ls": "", "mfc": "none", "ms": sheet.points(22), "mew": sheet.points(3)}
    return [Line2D([], [], mec=colour, label=text, **look) for text, colour in kinds]


def _points(markers: Sequence[Marker]) -> Floats:
    return np.stack([marker.point_mm for marker in markers])


def _hidden(views: Sequence[View], markers: Sequence[Marker]) -> Bools:
    """Which markers no view shows."""
    slack = [0.01 * view.mm_per_px * max(view.element_idx.shape) for view in views]
    shown = [view.unhidden(_points(markers), tolerance_mm=mm) for view, mm in zip(views, slack, strict=True)]
    return np.asarray(~np.any(shown, axis=0))


def _free_box(place: Floats, size: Floats, radius: float, taken: Sequence[Floats], panel: Floats) -> Floats:
    """The box (left, top, right, bottom) for a label near a place that overlaps least with those taken."""
    best, least = np.zeros(4), np.inf
    for reach in (1.3, 2.4, 3.8, 5.5):
        for angle in np.deg2rad([-45, -135, 45, 135, 0, 180, -90, 90]):
            toward = np.array([np.cos(angle), np.sin(angle)])
            middle = place + toward * (reach * radius + size / 2)
            box = np.concatenate([middle - size / 2, middle + size / 2])
            outside = np.maximum(0, -box[:2]).sum() + np.maximum(0, box[2:] - panel).sum()
            overlap = sum(_overlap(box, other) for other in taken)
            cost = overlap + 100 * outside * radius + 0.05 * reach * radius
            if cost < least:
                best, least = box, cost
    return best


def _overlap(box: Floats, other: Floats) -> float:
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))


def _draw_ring(axes: Any, sheet: Sheet, place: Floats, colour: str, *, dashed: bool) -> None:
    from matplotlib.patches import Circle

    style = (0, (2.2, 1.6)) if dashed else "solid"
    for line_colour, width in ((PAPER, 6), (colour, 3)):
        ring = Circle(
            tuple(place), 13 * sheet.unit, fill=False, ec=line_colour, lw=sheet.points(width), ls=style, zorder=8
        )
        axes.add_patch(ring)


def _draw_label(axes: Any, sheet: Sheet, place: Floats, box: Floats, marker: Marker) -> None:
    middle = (box[:2] + box[2:]) / 2
    away = middle - place
    start = place + away / np.linalg.norm(away) * 13 * sheet.unit
    axes.plot(*zip(start, middle, strict=True), color=marker.colour, lw=sheet.points(2), zorder=8)
    axes.text(
        *middle, plain(marker.label), color=PAPER, fontsize=sheet.points(17), weight="bold", ha="center", va="center",
        zorder=10, bbox={"boxstyle": "round,pad=0.25", "fc": marker.colour, "ec": PAPER, "lw": sheet.points(1.2)},
    )  # fmt: skip
