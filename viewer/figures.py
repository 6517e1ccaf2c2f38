"""Blank pictures of an exact size in pixels, what all of them share, and small PNG files."""

from __future__ import annotations

import io
import logging
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.files import replacing
from viewcov.viewer.offscreen import View
from viewcov.viewer.palette import AXES, INK, MUTED, PAPER

log = logging.getLogger(__name__)

SIZE_PX = (1600, 800)
"""Width and height of a picture, if not said otherwise."""

MAX_BYTES = 195_000
"""Pictures are written with fewer colours until their file is no larger."""

_DPI = 100


class Sheet:
    """A white picture with places given in pixels from the top left corner.

    Fonts grow with the height: sizes are given for a picture of 800 pixels.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width_px, self.height_px = width_px, height_px
        self.figure = Figure(figsize=(width_px / _DPI, height_px / _DPI), dpi=_DPI, facecolor=PAPER)
        self.canvas = FigureCanvasAgg(self.figure)
        self.unit = height_px / 800
        """Pixels per pixel of a picture 800 high."""

    def points(self, pixels: float) -> float:
        """A length in pixels of an 800 high picture as points, for fonts and line widths."""
        return pixels * self.unit * 72 / _DPI

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Axes over a rectangle in pixels."""
        w, h = self.width_px, self.height_px
        return self.figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))

    def panel(self, left: float, top: float, pixels: NDArray[np.uint8]) -> Any:
        """Axes that hold a picture, shape (H, W, 3), one to one, with its pixel coordinates."""
        height, width = pixels.shape[:2]
        axes = self.axes(left, top, width, height)
        axes.imshow(pixels, extent=(0, width, height, 0), interpolation="none", aspect="auto")
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(height, 0))
        return axes

    def text(self, left: float, top: float, text: str, *, size: float, **options: Any) -> Any:
        """Text with its top left corner at a place in pixels; ``size`` in pixels of an 800 high picture."""
        options = {"ha": "left", "va": "top", "color": INK, **options}
        return self.figure.text(
            left / self.width_px, 1 - top / self.height_px, plain(text), fontsize=self.points(size), **options
        )

    def heading(self, text: str, *, size: float = 27) -> None:
        """What the picture shows, at its top."""
        self.fit(self.text(24 * self.unit, 16 * self.unit, text, size=size, weight="bold"), 0.95 * self.width_px)

    def colour_bar(self, mappable: Any, left: float, top: float, **options: Any) -> Any:
        """A colour bar over 360 pixels of a picture 800 high."""
        axes = self.axes(left, top, 28 * self.unit, 360 * self.unit)
        bar = self.figure.colorbar(mappable, cax=axes, **options)
        bar.ax.tick_params(labelsize=self.points(18), length=self.points(4), color=MUTED, labelcolor=INK)
        bar.ax.minorticks_off()
        bar.outline.set(edgecolor=MUTED, linewidth=self.points(1))
        return bar

    def width_of(self, text: Any) -> float:
        """Width in pixels that a text takes."""
        return float(text.get_window_extent(self.canvas.get_renderer()).width)

    def fit(self, text: Any, width: float) -> None:
        """Make a text that is wider than ``width`` pixels smaller, down to half its size, then shorter."""
        taken = self.width_of(text)
        if taken > width:
            text.set_fontsize(text.get_fontsize() * max(0.5, width / taken))
        words = text.get_text()
        while len(words) > 4 and self.width_of(text) > width:
            words = words[:-2]
            text.set_text(words.rstrip() + "…")

    def legend(self, handles: Sequence[Any], left: float, top: float, *, columns: int = 1) -> None:
        """What handles of matplotlib mean, from a place in pixels; long labels in several lines."""
        for handle in handles:
            handle.set_label(wrapped(handle.get_label(), 24 if columns == 1 else 80))
        self.figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(left / self.width_px, 1 - top / self.height_px),
            ncols=columns, frameon=False, fontsize=self.points(18), labelcolor=INK, borderaxespad=0, borderpad=0,
            handlelength=1.4, handleheight=1.2, labelspacing=0.9, alignment="left",
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write the picture; see ``write_png``."""
        self.canvas.draw()
        write_png(path, np.asarray(self.canvas.buffer_rgba())[..., :3].copy())


def wrapped(text: str, width: int) -> str:
    """The text with its lines broken between words after so many letters."""
    return "\n".join(line for part in plain(text).split("\n") for line in textwrap.wrap(part, width))


def plain(text: str) -> str:
    """Text that matplotlib draws as it stands: a dollar sign would start a formula."""
    return text.replace("$", r"\$")


def write_png(path: str | Path, pixels: NDArray[np.uint8]) -> None:
    """Write colours, shape (H, W, 3), as a PNG as true as ``MAX_BYTES`` allow, at worst with 20 colours."""
    for reduced in _reduced(pixels):
        buffer = io.BytesIO()
        reduced.save(buffer, format="PNG", optimize=True)
        data = buffer.getvalue()
        if len(data) <= MAX_BYTES:
            break
    else:
        log.warning("%s has %d bytes, more than the %d aimed at", path, len(data), MAX_BYTES)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _reduced(pixels: NDArray[np.uint8]) -> Iterator[Any]:
    """The picture as it is, then with ever fewer colours."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    yield picture
    for bits in (6, 5):  # Off by at most 2 and 4 levels of 255: smooth shading compresses, nothing is seen of it.
        step = 255 / (2**bits - 1)
        yield Image.fromarray(np.rint(np.rint(pixels / step) * step).astype(np.uint8))
    for num_colours in (256, 64, 32, 20):
        yield picture.quantize(num_colours, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)


def draw_triad(axes: Any, view: View, sheet: Sheet) -> None:
    """The directions of the part's axes in the lower left corner of a panel."""
    length = 38 * sheet.unit
    height = view.element_idx.shape[0] / view.oversampling
    origin = np.array([length * 1.35, height - length * 1.35])
    # Farthest first, so that the axis towards the viewer is on top.
    for k in np.argsort(-view.axes[2]):
        tip = origin + length * view.axes[:2, k]
        colour = AXES[k]
        axes.plot(*zip(origin, tip, strict=True), color=colour, lw=sheet.points(3), solid_capstyle="round", zorder=5)
        label = origin + (length + 11 * sheet.unit) * view.axes[:2, k]
        axes.text(*label, "xyz"[k], color=colour, fontsize=sheet.points(16), ha="center", va="center", zorder=6)


def draw_scale_bar(axes: Any, view: View, sheet: Sheet) -> None:
    """A bar of a round length in mm in the lower right corner of a panel: the projection is parallel."""
    mm_per_px = view.mm_per_px * view.oversampling
    height, width = (n / view.oversampling for n in view.element_idx.shape)
    aim = 0.2 * width * mm_per_px
    decade = 10.0 ** np.floor(np.log10(aim))
    length_mm = max(step * decade for step in (1, 2, 5) if step * decade <= aim)
    right, y = width - 12 * sheet.unit, height - 16 * sheet.unit
    left, tick = right - length_mm / mm_per_px, 6 * sheet.unit
    axes.plot(
        [left, left, left, right, right, right],
        [y - tick, y + tick, y, y, y - tick, y + tick],
        color=INK,
        lw=sheet.points(2),
        solid_capstyle="butt",
    )
    axes.text(
        (left + right) / 2, y - 8 * sheet.unit, f"{length_mm:g} mm",
        ha="center", va="bottom", fontsize=sheet.points(16), color=INK,
    )  # fmt: skip
