"""Contact sheets of views: what the camera saw, what is true, what a model says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from viewcov.inspection.arrays import Bools, Floats32
from viewcov.viewer.figures import SIZE_PX, Sheet, plain
from viewcov.viewer.palette import MUTED, PREDICTION, TRUTH, rgb

_TOP, _CAPTION = 100, 30
"""Height of the heading and of a caption, in pixels of a picture 800 high."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SheetImage:
    """One view of a contact sheet."""

    title: str
    """Caption, such as the view's id."""

    image: Floats32
    """Shape (H, W), grey in [0, 1]."""

    probability: Floats32 | None = None
    """Shape (H, W): defect probability of a model."""

    mask: Bools | None = None
    """Shape (H, W): where a defect truly is."""

    def __post_init__(self) -> None:
        if self.image.ndim != 2:
            raise ValueError(f"image must have shape (height, width), got {self.image.shape}")
        for name in ("probability", "mask"):
            other = getattr(self, name)
            if other is not None and other.shape != self.image.shape:
                raise ValueError(f"{name} must have shape {self.image.shape} like its image, got {other.shape}")


def image_sheet(
    images: Sequence[SheetImage],
    path: str | Path,
    *,
    title: str = "",
    threshold: float = 0.5,
    size_px: tuple[int, int] = SIZE_PX,
) -> None:
    """Write a PNG with all images in a grid, true defects outlined, predicted ones tinted and outlined.

    Images are in reading order; those of other proportions are centred in their cell. A pixel is predicted where its
    probability reaches the threshold.
    """
    if not images:
        raise ValueError("images must not be empty")
    sheet = Sheet(*size_px)
    sheet.heading(title)
    _draw_key(sheet, images, threshold)
    proportion = float(np.median([image.image.shape[1] / image.image.shape[0] for image in images]))
    num_columns = _columns(len(images), proportion, sheet)
    edges = {"left": 0.01, "right": 0.99, "top": 1 - _TOP / 800, "bottom": 0.01, "wspace": 0.04, "hspace": 0.12}
    grid = sheet.figure.subplots(-(-len(images) // num_columns), num_columns, squeeze=False, gridspec_kw=edges)
    for axes, image in zip_longest(grid.flat, images):
        axes.set_axis_off()
        if image is not None:
            _draw(axes, image, threshold, sheet)
    sheet.save(path)


def _columns(num: int, proportion: float, sheet: Sheet) -> int:
    """The number of columns that leaves the images largest."""

    def size(columns: int) -> float:
        height = max(1.0, (sheet.height_px - _TOP * sheet.unit) / -(-num // columns) - _CAPTION * sheet.unit)
        return min(sheet.width_px / columns, height * proportion)

    return max(range(1, num + 1), key=size)


def _draw(axes: Any, image: SheetImage, threshold: float, sheet: Sheet) -> None:
    """The image, tinted where the model's probability is high, with outlines."""
    height, width = image.image.shape
    place = {"extent": (0, width, height, 0), "interpolation": "antialiased", "interpolation_stage": "data"}
    axes.imshow(image.image, cmap="gray", vmin=0.0, vmax=1.0, **place)
    if image.probability is not None:
        strength = 0.55 * np.clip(image.probability / max(threshold, 1e-9), 0, 1) ** 3
        tint = np.broadcast_to(np.array(rgb(PREDICTION)) / 255, (height, width, 3))
        axes.imshow(np.dstack([tint, strength]), extent=place["extent"])
        _outline(axes, image.probability >= threshold, PREDICTION, sheet)
    if image.mask is not None:
        _outline(axes, image.mask, TRUTH, sheet)
    axes.set_title(plain(image.title), fontsize=sheet.points(17), color=MUTED, pad=sheet.points(5))


def _outline(axes: Any, mask: Bools, colour: str, sheet: Sheet) -> None:
    if mask.any():
        framed = np.pad(mask, 1).astype(np.float64)  # A mask that reaches the border is closed along it.
        x, y = (np.arange(-1, n + 1) + 0.5 for n in mask.shape[::-1])
        axes.contour(x, y, framed, levels=[0.5], colors=[colour], linewidths=sheet.points(2))


def _draw_key(sheet: Sheet, images: Sequence[SheetImage], threshold: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    if any(image.mask is not None for image in images):
        handles.append(Line2D([], [], color=TRUTH, lw=sheet.points(3), label="true defect"))
    if any(image.probability is not None for image in images):
        label = f"predicted, probability at least {threshold:.2g}"
        handles.append(Patch(fc=PREDICTION + "80", ec=PREDICTION, lw=sheet.points(2), label=label))
    if handles:
        sheet.legend(handles, 14 * sheet.unit, 52 * sheet.unit, columns=len(handles))
