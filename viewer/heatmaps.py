"""Pictures of numbers on the part's surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.part import triangle_areas, triangle_normals
from viewcov.viewer.figures import INK, MUTED, Sheet, draw_scale_bar, draw_triad
from viewcov.viewer.markers import Marker, draw_marker_legend, draw_markers
from viewcov.viewer.offscreen import WHOLE_PART, Direction, Mesh, View, draw_views

Kind = Literal["continuous", "difference", "count", "states", "categories"]

STATES = ("unseen", "seen, below threshold", "effectively covered")
"""What the values 0, 1 and 2 of kind ``states`` mean."""

STATE_COLOURS = ("#b9bec6", "#e9a23b", "#1f8a70")
CATEGORY_COLOURS = (
    "#3b6fb6", "#e0903a", "#2f9e77", "#b04a8c", "#d9c23c",
    "#64b5e6", "#a0522d", "#7a5fc0", "#c8504b", "#6b8e23",
)  # fmt: skip

_UNSEEN, _HATCH = (210, 212, 217), 0.68
_EXCLUDED = (240, 241, 243)
_LEGEND = 0.19
"""Share of the width that the legend takes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Painted:
    """Elements with their colours, and the legend that explains them."""

    colour: NDArray[np.float64]
    """Shape (E, 3), 0 to 255."""

    unseen: Bools
    """Shape (E,): drawn hatched."""

    entries: list[tuple[str, str | None]]
    """Text and colour of each swatch, ``None`` for the hatched one."""

    colour_map: Any | None
    """Map and norm of the colour bar, where there is one."""

    norm: Any | None
    extend: str


def heatmap(
    mesh: Mesh,
    values: ArrayLike,
    path: str | Path,
    *,
    title: str,
    label: str,
    kind: Kind = "continuous",
    limits: tuple[float, float] | None = None,
    categories: Sequence[str] | None = None,
    colours: Sequence[str] | None = None,
    views: Sequence[Direction] | Sequence[View] = WHOLE_PART,
    markers: Sequence[Marker] = (),
    marker_label: str = "marked place",
    excluded: ArrayLike | None = None,
    size_px: tuple[int, int] = (1600, 800),
) -> None:
    """Write a PNG of values on the surface, seen from several directions at the same scale.

    Parameters
    ----------
    mesh
        A ``Surface``, or what ``read_vtp`` gives.
    values
        Shape (E,). NaN = unseen, which is drawn hatched in grey and never in a colour of the scale. Kind
        ``states`` takes 0, 1, 2 as ``STATES`` names them, kind ``categories`` indices of ``categories``.
    path
        The PNG, replaced in one step; at most 195 kB.
    title, label
        Heading of the picture, and of the legend; the label names the unit.
    kind
        ``continuous``, ``difference`` and ``count`` have a colour bar over fixed ``limits``, the others a
        swatch a category. The colours of ``difference`` run both ways from zero.
    limits
        Range of the colour bar; by default that of the values, for ``difference`` made symmetric.
    categories, colours
        Names of kinds ``categories`` and ``states``, and their colours (``#rrggbb``).
    views
        Directions, or what ``draw_views`` gave for the same mesh at the size ``panel_size`` gives.
    markers
        Places on the surface to be pointed at. One that no view shows is dashed in the first.
    marker_label
        What the legend calls them.
    excluded
        Shape (E,): elements that are not to be inspected, drawn nearly white; by default those that the
        part of a ``Surface`` excludes. Shares in the legend are shares of the other elements' area.
    size_px
        Width and height of the picture.

    Raises
    ------
    ValueError
        If a shape or a value does not fit.
    ViewcovError
        If nothing can be drawn off-screen here.
    """
    values = np.array(values, dtype=np.float64)
    num_elements = len(mesh.faces)
    if values.shape != (num_elements,):
        raise ValueError(f"values must have shape ({num_elements},), got {values.shape}")
    if excluded is None:
        excluded = ~np.asarray(getattr(mesh, "inspected", np.ones(num_elements, dtype=bool)))
    left_out = np.asarray(excluded, dtype=bool)
    if left_out.shape != values.shape:
        raise ValueError(f"excluded must have shape ({num_elements},), got {left_out.shape}")
    area_mm2 = triangle_areas(np.asarray(mesh.vertices_mm)[mesh.faces])
    painted = _paint(values, area_mm2, left_out, kind, limits, categories, colours)

    sheet = Sheet(*size_px)
    drawn = _as_views(mesh, views, size_px)
    sheet.fit(sheet.text(24 * sheet.unit, 16 * sheet.unit, title, size=27, weight="bold"), 0.96 * size_px[0])
    left = _margin(size_px)
    for view in drawn:
        image = paint_view(mesh, view, painted.colour, painted.unseen)
        axes = sheet.panel(left, 62 * sheet.unit, image)
        draw_triad(axes, view, sheet)
        draw_scale_bar(axes, view, sheet)
        draw_markers(axes, sheet, view, markers, others=drawn)
        middle = left + image.shape[1] / 2
        sheet.text(middle, (800 - 36) * sheet.unit, view.name, size=19, color=MUTED, ha="center")
        left += image.shape[1] + _margin(size_px)
    legend_left = round((1 - _LEGEND) * size_px[0])
    top = _draw_legend(sheet, painted, label, legend_left)
    draw_marker_legend(sheet, drawn, markers, marker_label, left=legend_left, top=top)
    sheet.save(path)


def panel_size(size_px: tuple[int, int], num_views: int) -> tuple[int, int]:
    """Width and height in pixels of one view in a heatmap of this size."""
    width = ((1 - _LEGEND) * size_px[0] - _margin(size_px) * (num_views + 1)) / num_views
    return max(16, int(width)), max(16, int(size_px[1] * (800 - 62 - 44) / 800))


def _margin(size_px: tuple[int, int]) -> int:
    return max(4, round(size_px[1] / 50))


def _as_views(mesh: Mesh, views: Sequence[Direction] | Sequence[View], size_px: tuple[int, int]) -> tuple[View, ...]:
    if not views:
        raise ValueError("views must not be empty")
    width, height = panel_size(size_px, len(views))
    drawn = tuple(view for view in views if isinstance(view, View))
    if not drawn:
        directions = [view for view in views if isinstance(view, Direction)]
        return draw_views(mesh, directions, width_px=width, height_px=height)
    for view in drawn:
        have = tuple(n // view.oversampling for n in view.element_idx.shape)
        if len(drawn) != len(views) or have != (height, width) or view.element_idx.max() >= len(mesh.faces):
            raise ValueError(f"views must be drawn from this mesh at {width} x {height} pixels, got {have[::-1]}")
    return drawn


def _paint(
    values: Floats,
    area_mm2: Floats,
    excluded: Bools,
    kind: Kind,
    limits: tuple[float, float] | None,
    categories: Sequence[str] | None,
    colours: Sequence[str] | None,
) -> _Painted:
    if kind == "states":
        wrong = ~np.isnan(values) & ~np.isin(values, (0, 1, 2))
        if wrong.any():
            raise ValueError(f"states must be 0, 1, 2 or NaN, got {values[wrong][0]:g}")
        values = np.where(values == 0, np.nan, values)
    unseen = np.isnan(values) & ~excluded
    shown = values[~np.isnan(values) & ~excluded]
    total = max(float(area_mm2[~excluded].sum()), 1e-300)
    colour = np.empty((len(values), 3))
    entries: list[tuple[str, str | None]] = []
    colour_map = norm = None
    extend = "neither"
    safe = np.where(np.isnan(values), 0.0, values)
    if kind in ("continuous", "difference", "count"):
        colour_map, norm, extend = _scale(shown, kind, limits)
        colour[:] = np.asarray(colour_map(norm(safe)))[:, :3] * 255
    else:
        names, palette = _palette(values, kind, categories, colours)
        colour[:] = np.array([_rgb(hex_colour) for hex_colour in palette])[safe.astype(np.int64)]
        for k, name in enumerate(names):
            if kind == "categories" or k > 0:
                entries.append((f"{name}\n({_percent(area_mm2[(values == k) & ~excluded].sum() / total)})", palette[k]))
    colour[unseen], colour[excluded] = _UNSEEN, _EXCLUDED
    if unseen.any() or kind != "categories":
        entries.append((f"unseen ({_percent(area_mm2[unseen].sum() / total)})", None))
    if excluded.any():
        entries.append(("not to be inspected", "#" + bytes(_EXCLUDED).hex()))
    return _Painted(colour=colour, unseen=unseen, entries=entries, colour_map=colour_map, norm=norm, extend=extend)


def _percent(share: float) -> str:
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    for digits in (1, 2, 3):  # Never round a little to nothing, or nearly all to all.
        text = f"{100 * share:.{digits}f} %"
        if float(text[:-2]) not in (0.0, 100.0):
            return text
    return "< 0.001 %" if share < 0.5 else "> 99.999 %"


def _scale(shown: Floats, kind: Kind, limits: tuple[float, float] | None) -> tuple[Any, Any, str]:
    """Colour map, norm and which ends of the colour bar are open."""
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm, Normalize

    found = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    if kind == "difference":
        found = (-max(map(abs, found)), max(map(abs, found)))
    low, high = limits if limits is not None else found
    if kind == "count":
        # One colour a count; with many of them, equal steps of whole counts.
        low, high = int(np.floor(low)), max(int(np.ceil(high)), int(np.floor(low)) + 1)
        step = max(1, -(-(high - low + 1) // 12))
        edges = np.arange(low, high + step, step) - 0.5
        edges = np.append(edges, edges[-1] + step) if edges[-1] < high else edges
        colour_map: Any = mpl.colormaps["viridis"].resampled(len(edges) - 1)
        norm: Any = BoundaryNorm(edges, len(edges) - 1, clip=True)
        high = float(edges[-1])
    else:
        if not low < high:
            low, high = low - 0.5, low + 0.5
        colour_map = mpl.colormaps["RdBu" if kind == "difference" else "viridis"]
        norm = Normalize(low, high, clip=True)
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    return colour_map, norm, ends[found[0] < low - 1e-12, found[1] > high + 1e-12]


def _palette(
    values: Floats, kind: Kind, categories: Sequence[str] | None, colours: Sequence[str] | None
) -> tuple[Sequence[str], Sequence[str]]:
    if categories is None and kind == "categories":
        raise ValueError("categories must be given for kind 'categories'")
    names = STATES if categories is None else categories
    default = STATE_COLOURS if kind == "states" else CATEGORY_COLOURS
    palette = [default[k % len(default)] for k in range(len(names))] if colours is None else colours
    if len(palette) != len(names):
        raise ValueError(f"colours must be {len(names)}, one a category, got {len(palette)}")
    seen = values[~np.isnan(values)]
    if seen.size and (seen.min() < 0 or seen.max() >= len(names) or (seen % 1).any()):
        raise ValueError(f"values must be whole numbers from 0 to {len(names) - 1}, or NaN")
    return names, palette


def _rgb(colour: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return tuple(255 * part for part in to_rgb(colour))


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
    ink = np.array(_rgb(INK))
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
        ahead, here = _shifted(axis, 1), _shifted(axis, 0)
        outline[here] |= back[here] != back[ahead]
        crease[here] |= (face[here] != face[ahead]) & ~back[here] & ~back[ahead]
        # A plane seen at a grazing angle changes depth evenly: only the second difference tells a jump.
        second = np.abs(np.diff(depth, n=2, axis=axis))
        solid = ~(back | np.roll(back, 1, axis) | np.roll(back, -1, axis))
        inner = (slice(1, -1), slice(None)) if axis == 0 else (slice(None), slice(1, -1))
        outline[inner] |= (second > jump_mm) & solid[inner]
    return outline, crease


def _shifted(axis: int, by: int) -> tuple[slice, slice]:
    part = slice(by, None) if by else slice(None, -1)
    return (part, slice(None)) if axis == 0 else (slice(None), part)


def _draw_legend(sheet: Sheet, painted: _Painted, label: str, left: int) -> float:
    unit, width = sheet.unit, sheet.width_px - left
    text_width = width - 16 * unit
    top = 96 * unit
    for line in sheet.wrapped(label, text_width, size=20, weight="bold"):
        top += 26 * unit
        sheet.fit(sheet.text(left, top - 26 * unit, line, size=20, weight="bold"), text_width)
    top += 16 * unit
    if painted.colour_map is not None:
        top = _draw_colour_bar(sheet, painted, left, top)
    for text, colour in painted.entries:
        lines = [part for line in text.split("\n") for part in sheet.wrapped(line, text_width - 42 * unit, size=19)]
        _draw_swatch(sheet, left, top, colour)
        for k, line in enumerate(lines):
            sheet.fit(sheet.text(left + 42 * unit, top + (1 + 24 * k) * unit, line, size=19), text_width - 42 * unit)
        top += (24 * max(1, len(lines)) + 16) * unit
    return top


def _draw_colour_bar(sheet: Sheet, painted: _Painted, left: float, top: float) -> float:
    from matplotlib.cm import ScalarMappable

    unit = sheet.unit
    axes = sheet.axes(left, top, 28 * unit, 360 * unit)
    mappable = ScalarMappable(norm=painted.norm, cmap=painted.colour_map)
    edges = getattr(painted.norm, "boundaries", None)
    options: dict[str, Any] = {}
    if edges is not None:
        options = {"ticks": (edges[:-1] + edges[1:]) / 2, "spacing": "uniform", "drawedges": len(edges) < 15}
    bar = sheet.figure.colorbar(mappable, cax=axes, extend=painted.extend, extendfrac=0.04, **options)
    if edges is not None:
        bar.set_ticklabels([_counts(lower, upper) for lower, upper in pairwise(edges)])
    bar.ax.tick_params(labelsize=sheet.points(18), length=sheet.points(4), color=MUTED, labelcolor=INK)
    bar.ax.minorticks_off()
    bar.outline.set(edgecolor=MUTED, linewidth=sheet.points(1))
    return top + 392 * unit


def _counts(lower: float, upper: float) -> str:
    first, last = round(lower + 0.5), round(upper - 0.5)
    return str(first) if first == last else f"{first}–{last}"


def _draw_swatch(sheet: Sheet, left: float, top: float, colour: str | None) -> None:
    axes = sheet.axes(left, top, 28 * sheet.unit, 24 * sheet.unit)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=MUTED, linewidth=sheet.points(1))
    if colour is not None:
        axes.set_facecolor(colour)
        return
    height, width = max(4, round(24 * sheet.unit)), max(4, round(28 * sheet.unit))
    row, column = np.indices((height, width))
    factor = np.where((row + column) % 9 < 2, _HATCH, 1.0)
    axes.imshow(np.uint8(factor[..., None] * np.array(_UNSEEN)), interpolation="none", aspect="auto")
