"""Pictures of numbers on the part's surface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.part import triangle_areas, triangle_normals
from viewcov.viewer import palette
from viewcov.viewer.figures import SIZE_PX, Sheet, draw_scale_bar, draw_triad, wrapped
from viewcov.viewer.layers import Layer
from viewcov.viewer.markers import Marker, draw_markers, ring_handles
from viewcov.viewer.offscreen import WHOLE_PART, Mesh, View, draw_views
from viewcov.viewer.palette import INK, MUTED, rgb
from viewcov.viewer.words import percent

_NOTHING, _EXCLUDED, _HATCH = rgb(palette.NOTHING), rgb(palette.EXCLUDED), 0.68
_LEGEND = 0.19
"""Share of the width that the legend takes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Painted:
    """Elements with their colours, and the legend that explains them."""

    colour: NDArray[np.float64]
    """Shape (E, 3), 0 to 255."""

    nothing: Bools
    """Shape (E,): without a value, drawn hatched."""

    entries: list[tuple[str, str | None]]
    """Text and colour of each swatch, ``None`` for the hatched one."""

    scale: tuple[Any, Any, str] | None
    """Map and norm of the colour bar, where there is one, and which of its ends are open."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """From where a heatmap shows the surface, at which size, and what it points at."""

    views: Sequence[View] = ()
    """What ``draw_views`` gave for the same mesh at the size ``panel_size`` gives; the whole part if not given."""

    markers: Sequence[Marker] = ()
    """Places on the surface to be pointed at. One that no view shows is dashed in the first."""

    size_px: tuple[int, int] = SIZE_PX
    """Width and height of the picture."""


def heatmap(
    mesh: Mesh, values: ArrayLike, layer: Layer, path: str | Path, *, title: str = "", look: Look = Look()
) -> None:
    """Write a PNG of values on the surface, seen from several directions at the same scale.

    ``values`` have shape (E,). Where the layer says that there is nothing, they are hatched in grey and never in a
    colour of the scale. Elements that are not to be inspected are drawn nearly white; shares in the legend are shares
    of the others' area. The file has at most 195 kB.

    Raises
    ------
    ValueError
        If a shape or a value does not fit.
    ViewcovError
        If nothing can be drawn off-screen here.
    """
    numbers, num_elements, size_px = layer.values(values), len(mesh.faces), look.size_px
    if numbers.shape != (num_elements,):
        raise ValueError(f"values must have shape ({num_elements},), got {numbers.shape}")
    left_out = ~np.asarray(getattr(mesh, "inspected", np.ones(num_elements, dtype=bool)))
    painted = _paint(numbers, triangle_areas(np.asarray(mesh.vertices_mm)[mesh.faces]), left_out, layer)

    sheet = Sheet(*size_px)
    width, height = panel_size(size_px, len(WHOLE_PART))
    drawn = look.views or draw_views(mesh, WHOLE_PART, width_px=width, height_px=height)
    sheet.heading(title or layer.title)
    for axes, view in draw_panels(sheet, drawn, lambda view: paint_view(mesh, view, painted.colour, painted.nothing)):
        draw_markers(axes, sheet, view, look.markers, views=drawn)
    legend_left = round((1 - _LEGEND) * size_px[0])
    top = 96 * sheet.unit
    heading = sheet.text(legend_left, top, wrapped(layer.label, 25), size=19, weight="bold")
    top += heading.get_window_extent(sheet.canvas.get_renderer()).height + 18 * sheet.unit
    if painted.scale is not None:
        top = _draw_colour_bar(sheet, *painted.scale, legend_left, top)
    rings = ring_handles(sheet, drawn, look.markers)
    sheet.legend([*(_swatch(sheet, *entry) for entry in painted.entries), *rings], legend_left, top)
    sheet.save(path)


def draw_panels(
    sheet: Sheet, views: Sequence[View], paint: Callable[[View], NDArray[np.uint8]]
) -> Iterator[tuple[Any, View]]:
    """The views side by side with triad, scale and caption; yields each one's axes to draw more on."""
    left = margin = _margin((sheet.width_px, sheet.height_px))
    for view in views:
        image = paint(view)
        axes = sheet.panel(left, 62 * sheet.unit, image)
        draw_triad(axes, view, sheet)
        draw_scale_bar(axes, view, sheet)
        middle = left + image.shape[1] / 2
        sheet.text(middle, (800 - 36) * sheet.unit, view.name, size=19, color=MUTED, ha="center")
        yield axes, view
        left += image.shape[1] + margin


def panel_size(size_px: tuple[int, int], num_views: int) -> tuple[int, int]:
    """Width and height in pixels of one view in a heatmap of this size."""
    width = ((1 - _LEGEND) * size_px[0] - _margin(size_px) * (num_views + 1)) / num_views
    return max(16, int(width)), max(16, int(size_px[1] * (800 - 62 - 44) / 800))


def _margin(size_px: tuple[int, int]) -> int:
    return max(4, round(size_px[1] / 50))


def _paint(values: Floats, area_mm2: Floats, excluded: Bools, layer: Layer) -> _Painted:
    nothing = np.isnan(values) & ~excluded
    known = ~np.isnan(values) & ~excluded
    total = max(float(area_mm2[~excluded].sum()), 1e-300)
    colour = np.empty((len(values), 3))
    entries: list[tuple[str, str | None]] = []
    scale = None
    safe = np.where(np.isnan(values), 0.0, values)
    if layer.kind in ("category", "label"):
        colours = np.array([rgb(one) for one in _colours(values, layer)], dtype=np.float64)
        colour[:] = colours[safe.astype(np.int64) % len(colours)]
        entries += _classes(values, np.where(known, area_mm2, 0.0) / total, layer)
    else:
        scale = _scale(values[known], layer)
        colour[:] = np.asarray(scale[0](scale[1](safe)))[:, :3] * 255
    colour[nothing], colour[excluded] = _NOTHING, _EXCLUDED
    if nothing.any():
        entries.append((f"{layer.nothing}\n({percent(float(area_mm2[nothing].sum() / total))})", None))
    if excluded.any():
        entries.append(("not to be inspected", palette.EXCLUDED))
    return _Painted(colour=colour, nothing=nothing, entries=entries, scale=scale)


def _colours(values: Floats, layer: Layer) -> Sequence[str]:
    """The colour of each class."""
    if layer.kind == "label":
        return palette.CATEGORIES
    num = len(layer.categories)
    colours = layer.colours or [palette.CATEGORIES[k % len(palette.CATEGORIES)] for k in range(num)]
    if num == 0 or len(colours) != num:
        raise ValueError(f"colours must be one a category of layer {layer.name!r}, got {len(colours)} for {num}")
    known = values[~np.isnan(values)]
    if known.size and (known.min() < 0 or known.max() >= num or (known % 1).any()):
        raise ValueError(f"values must be whole numbers from 0 to {num - 1}, or NaN")
    return colours


def _classes(values: Floats, share: Floats, layer: Layer) -> Iterator[tuple[str, str]]:
    """Swatches of the classes, where they are many of those that occur, each with its share of the area."""
    if layer.kind == "label":
        if share[~np.isnan(values)].any():
            yield f"one colour each\n({percent(float(share.sum()))})", palette.CATEGORIES[0]
        return
    for k, (name, colour) in enumerate(zip(layer.categories, _colours(values, layer), strict=True)):
        if (values == k).any() or (k != layer.blank and len(layer.categories) <= 4):
            yield f"{name}\n({percent(float(share[values == k].sum()))})", colour


def _scale(shown: Floats, layer: Layer) -> tuple[Any, Any, str]:
    """Colour map, norm and which ends of the colour bar are open."""
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm, Normalize

    found = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    low, high = layer.limits or ((0.0, 1.0) if layer.kind == "share" else found)
    if layer.kind == "count":
        # One colour a count; with many of them, equal steps of whole counts.
        low, high = int(np.floor(low)), max(int(np.ceil(high)), int(np.floor(low)) + 1)
        step = max(1, -(-(high - low + 1) // 12))
        edges = np.arange(low, high + step, step) - 0.5
        edges = np.append(edges, edges[-1] + step) if edges[-1] < high else edges
        colour_map: Any = mpl.colormaps[palette.SCALE].resampled(len(edges) - 1)
        norm: Any = BoundaryNorm(edges, len(edges) - 1, clip=True)
        high = float(edges[-1])
    else:
        if not low < high:
            low, high = low - 0.5, low + 0.5
        colour_map = mpl.colormaps[palette.SCALE]
        norm = Normalize(low, high, clip=True)
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    return colour_map, norm, ends[found[0] < low - 1e-12, found[1] > high + 1e-12]


def paint_view(mesh: Mesh, view: View, colour: Floats, hatched: Bools) -> NDArray[np.uint8]:
    """The view in the given element colours, shape (E, 3), shaded, with edges: (height, width, 3) picture."""
    ids = view.element_idx
    on_part = ids >= 0
    shown, place = np.unique(ids[on_part], return_inverse=True)
    normal = triangle_normals(np.asarray(mesh.vertices_mm)[np.asarray(mesh.faces)[shown]])
    light = -0.3 * view.axes[0] - 0.3 * view.axes[1] - view.axes[2]
    facing = np.abs(normal @ (light / np.linalg.norm(light)))  # A face turned inside out is shaded all the same.
    fine = np.full((*ids.shape, 3), 255.0)
    fine[on_part] = (colour[shown] * (0.8 + 0.2 * facing)[:, None])[place]

    row, column = np.indices(ids.shape)
    period = 9 * view.oversampling
    stripe = (row + column) % period < 2 * view.oversampling
    striped = np.zeros(ids.shape, dtype=bool)
    striped[on_part] = hatched[shown][place]
    fine[striped & stripe] *= _HATCH

    outline, crease = _edges(np.asarray(mesh.cad_face_idx), view)
    ink = np.array(rgb(INK))
    fine[crease] = 0.45 * fine[crease] + 0.55 * ink
    fine[outline] = 0.2 * fine[outline] + 0.8 * ink
    n = view.oversampling
    height, width = ids.shape[0] // n, ids.shape[1] // n
    coarse = fine[: height * n, : width * n].reshape(height, n, width, n, 3).mean(axis=(1, 3))
    return np.rint(coarse).astype(np.uint8)


def _edges(cad_face_idx: NDArray[np.integer], view: View) -> tuple[Bools, Bools]:
    """Fine pixels on outlines (to the background or to a surface behind) and between CAD faces."""
    ids = view.element_idx
    face: Ints = np.where(ids >= 0, cad_face_idx[ids].astype(np.int64), -1)
    back = ids < 0
    depth = np.where(back, 0.0, view.depth_mm)
    jump_mm = 0.02 * view.mm_per_px * max(ids.shape)
    outline, crease = np.zeros(ids.shape, dtype=bool), np.zeros(ids.shape, dtype=bool)
    for axis in (0, 1):
        o, c, b, f, d = (array.swapaxes(0, axis) for array in (outline, crease, back, face, depth))
        o[:-1] |= b[:-1] != b[1:]
        c[:-1] |= (f[:-1] != f[1:]) & ~b[:-1] & ~b[1:]
        # A plane seen at a grazing angle changes depth evenly: only the second difference tells a jump.
        o[1:-1] |= (np.abs(np.diff(d, n=2, axis=0)) > jump_mm) & ~(b[:-2] | b[1:-1] | b[2:])
    return outline, crease


def _draw_colour_bar(sheet: Sheet, colour_map: Any, norm: Any, extend: str, left: float, top: float) -> float:
    from matplotlib.cm import ScalarMappable

    edges = getattr(norm, "boundaries", None)
    options: dict[str, Any] = {}
    if edges is not None:
        options = {"ticks": (edges[:-1] + edges[1:]) / 2, "spacing": "uniform", "drawedges": len(edges) < 15}
    mappable = ScalarMappable(norm=norm, cmap=colour_map)
    bar = sheet.colour_bar(mappable, left, top, extend=extend, extendfrac=0.04, **options)
    if edges is not None:
        bar.set_ticklabels([_counts(lower, upper) for lower, upper in pairwise(edges)])
    return top + 392 * sheet.unit


def _counts(lower: float, upper: float) -> str:
    first, last = round(lower + 0.5), round(upper - 0.5)
    return str(first) if first == last else f"{first}–{last}"


def _swatch(sheet: Sheet, text: str, colour: str | None) -> Any:
    from matplotlib.patches import Patch

    hatch = {"hatch": "/////", "fc": palette.NOTHING} if colour is None else {"fc": colour}
    return Patch(label=text, ec=MUTED, lw=sheet.points(1), **hatch)
