"""Pictures of a plan: the part, the cameras around it and the order in which they are visited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Bools, Floats
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.viewer.figures import SIZE_PX, Sheet
from viewcov.viewer.heatmaps import draw_panels, paint_view, panel_size
from viewcov.viewer.offscreen import WHOLE_PART, Mesh, View, draw_views
from viewcov.viewer.palette import MUTED, ORDER, PAPER, PART, rgb
from viewcov.viewer.words import counted

_ALL_NUMBERED = 14
"""Plans of at most so many views have every camera numbered, others the first and the last."""


def plan_picture(
    mesh: Mesh, viewpoints: Sequence[Viewpoint], rig: Rig, path: str | Path, *, size_px: tuple[int, int] = SIZE_PX
) -> None:
    """Write a PNG of the part with its cameras and the route through them, coloured by order.

    Each camera is drawn with the directions of its frustum and its optical axis up to the focus distance;
    what the part hides is drawn faintly. ``viewpoints`` are in the order of the route.
    """
    if not viewpoints:
        raise ValueError("viewpoints must not be empty")
    sheet = Sheet(*size_px)
    sheet.heading(f"Plan of {counted(len(viewpoints), 'viewpoint')}")
    centers = np.stack([viewpoint.center_mm for viewpoint in viewpoints])
    width, height = panel_size(size_px, len(WHOLE_PART))
    drawn = draw_views(mesh, WHOLE_PART, width_px=width, height_px=height, extra_points_mm=centers, margin=0.06)
    grey = np.tile(np.array(rgb(PART), dtype=np.float64), (len(mesh.faces), 1))
    nothing = np.zeros(len(mesh.faces), dtype=bool)
    for axes, view in draw_panels(sheet, drawn, lambda view: paint_view(mesh, view, grey, nothing)):
        _draw_cameras(axes, sheet, view, viewpoints, rig)
    margin = round(size_px[1] / 50)
    _draw_order_legend(sheet, margin + len(WHOLE_PART) * (width + margin), len(viewpoints))
    sheet.save(path)


def _order_colours(num: int) -> NDArray[np.float64]:
    import matplotlib as mpl

    # The map's pale end would vanish on white.
    return np.asarray(mpl.colormaps[ORDER](np.linspace(0.0, 0.85, num)))[:, :3]


def _draw_cameras(axes: Any, sheet: Sheet, view: View, viewpoints: Sequence[Viewpoint], rig: Rig) -> None:
    colours = _order_colours(len(viewpoints))
    camera, unit = rig.camera, sheet.unit
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (camera.width_px, camera.height_px)
    rays = camera.rays(corners.astype(np.float64))
    length_mm = 26 * unit * view.mm_per_px * view.oversampling / np.linalg.norm(rays[:, :2], axis=1).max()
    length_mm = min(length_mm, 0.3 * camera.focus_distance_mm)
    centers = np.stack([viewpoint.center_mm for viewpoint in viewpoints])
    for k in range(len(viewpoints) - 1):
        _draw_line(axes, view, (centers[k], centers[k + 1]), {"color": colours[k], "lw": sheet.points(2), "alpha": 0.9})
    for viewpoint, colour in zip(viewpoints, colours, strict=True):
        focus = viewpoint.center_mm + viewpoint.forward * camera.focus_distance_mm
        thin = {"color": colour, "lw": sheet.points(1), "alpha": 0.35}
        _draw_line(axes, view, (viewpoint.center_mm, focus), thin)
        _draw_frustum(
            axes, sheet, view, transform_points(viewpoint.world_from_camera, rays * length_mm), viewpoint, colour
        )
    size = np.array(view.element_idx.shape[::-1]) / view.oversampling
    for k in range(len(viewpoints)):
        if len(viewpoints) > _ALL_NUMBERED and 0 < k < len(viewpoints) - 1:
            continue
        place = view.project(centers[k])[:2]
        outward = place - size / 2
        outward *= 17 * unit / max(float(np.linalg.norm(outward)), 1e-9)
        axes.text(
            *np.clip(place + outward, 14 * unit, size - 14 * unit), str(k + 1),
            fontsize=sheet.points(17), weight="bold", color=colours[k], ha="center", va="center", zorder=9,
            bbox={"boxstyle": "round,pad=0.12", "fc": PAPER, "ec": "none", "alpha": 0.8},
        )  # fmt: skip


def _draw_frustum(
    axes: Any, sheet: Sheet, view: View, base_mm: Floats, viewpoint: Viewpoint, colour: NDArray[np.float64]
) -> None:
    """The pyramid of a camera: its open sides as filled triangles, its edges as lines."""
    from matplotlib.patches import Polygon

    apex, base = view.project(viewpoint.center_mm), view.project(base_mm)
    hidden = not view.unhidden(viewpoint.center_mm[None], tolerance_mm=0.0)[0]
    order = 4 + 1 / (2 + np.arctan(apex[2] / 1000))  # The nearer the camera, the later it is drawn.
    alpha = 0.15 if hidden else 0.85
    for k in range(4):
        side = np.stack([apex[:2], base[k, :2], base[(k + 1) % 4, :2]])
        axes.add_patch(
            Polygon(side, fc=(*colour, 0.25 * alpha), ec=(*colour, alpha), lw=sheet.points(1.4), zorder=order)
        )
    axes.add_patch(
        Polygon(base[:, :2], fc=(*colour, 0.3 * alpha), ec=(*colour, alpha), lw=sheet.points(1.8), zorder=order)
    )


def _draw_line(axes: Any, view: View, ends_mm: tuple[Floats, Floats], look: dict[str, Any]) -> None:
    """A line in space with matplotlib's ``color``, ``lw``, ``alpha``; what the part hides of it is fainter."""
    start_mm, end_mm = ends_mm
    along = np.linspace(0.0, 1.0, 65)[:, None]
    points = start_mm + along * (end_mm - start_mm)
    pixels = view.project(points)[:, :2]
    fine = pixels * view.oversampling
    inside = ((fine >= 0) & (fine < np.array(view.element_idx.shape[::-1]))).all(axis=1)
    # Outside of the picture nothing hides anything.
    visible: Bools = view.unhidden(points, tolerance_mm=0.5) | ~inside
    changes = np.flatnonzero(np.diff(visible)) + 1
    for first, last in zip([0, *changes], [*changes, len(points)], strict=True):
        run = pixels[max(first - 1, 0) : last]
        alpha = look["alpha"] * (1.0 if visible[first] else 0.18)
        axes.plot(run[:, 0], run[:, 1], **{**look, "alpha": alpha}, solid_capstyle="round", zorder=3.5)


def _draw_order_legend(sheet: Sheet, left: float, num: int) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    unit = sheet.unit
    sheet.text(left, 96 * unit, "order of the route", size=20, weight="bold")
    norm = BoundaryNorm(np.arange(num + 1) + 0.5, num)
    bar = sheet.colour_bar(ScalarMappable(norm, ListedColormap(_order_colours(num))), left, 140 * unit)
    step = max(1, round(num / 8))
    ticks = sorted({1, *range(step, num + 1, step)} - ({num - 1} if step > 1 else set()) | {num})
    bar.set_ticks(ticks, labels=[str(k) for k in ticks])
    bar.ax.minorticks_off()
    bar.ax.invert_yaxis()
    notes = ("pyramid: camera, open", "towards what it sees", "thin line: optical axis", "up to the plane in focus")
    for k, line in enumerate(notes):
        width = sheet.width_px - left - 16 * unit
        sheet.fit(sheet.text(left, (528 + 25 * k) * unit, line, size=18, color=MUTED), width)
