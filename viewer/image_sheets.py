"""Contact sheets of views: what the camera saw, what is true, what a model says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Bools, Floats32
from viewcov.viewer.figures import Sheet
from viewcov.viewer.palette import INK, MUTED, PREDICTION, TRUTH, rgb

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
    size_px: tuple[int, int] = (1600, 800),
) -> None:
    """Write a PNG with all images in a grid, true defects outlined, predicted ones tinted and outlined.

    Parameters
    ----------
    images
        One a cell, in reading order; those of other proportions are centred in their cell.
    path
        The PNG, replaced in one step.
    title
        Heading.
    threshold
        Probability from which a pixel counts as predicted.
    size_px
        Width and height of the picture.
    """
    if not images:
        raise ValueError("images must not be empty")
    sheet = Sheet(*size_px)
    unit = sheet.unit
    sheet.heading(title)
    _draw_key(sheet, images, threshold)
    proportion = float(np.median([image.image.shape[1] / image.image.shape[0] for image in images]))
    num_columns = _columns(len(images), proportion, sheet)
    num_rows = -(-len(images) // num_columns)
    gap = 14 * unit
    width = (size_px[0] - gap * (num_columns + 1)) / num_columns
    height = (size_px[1] - _TOP * unit - gap * num_rows) / num_rows - _CAPTION * unit
    for k, image in enumerate(images):
        row, column = divmod(k, num_columns)
        left = gap + column * (width + gap)
        top = _TOP * unit + row * (height + _CAPTION * unit + gap)
        scale = min(width / image.image.shape[1], height / image.image.shape[0])
        shown = (max(1, round(image.image.shape[1] * scale)), max(1, round(image.image.shape[0] * scale)))
        panel = sheet.panel(round(left + (width - shown[0]) / 2), round(top), _toned(image, threshold, shown))
        _outline(panel, image.mask, shown, TRUTH, sheet)
        if image.probability is not None:
            _outline(panel, image.probability >= threshold, shown, PREDICTION, sheet)
        caption = sheet.text(
            left + width / 2, round(top) + shown[1] + 5 * unit, image.title, size=17, ha="center", color=MUTED
        )
        sheet.fit(caption, width)
    sheet.save(path)


def _columns(num: int, proportion: float, sheet: Sheet) -> int:
    """The number of columns that leaves the images largest."""
    best, largest = 1, 0.0
    for columns in range(1, num + 1):
        rows = -(-num // columns)
        width = sheet.width_px / columns
        height = max(1.0, (sheet.height_px - _TOP * sheet.unit) / rows - _CAPTION * sheet.unit)
        size = min(width, height * proportion)
        if size > largest * 1.001:
            best, largest = columns, size
    return best


def _toned(image: SheetImage, threshold: float, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at its place's size, tinted where the model's probability is high."""
    grey = _resized(np.clip(image.image, 0, 1), size_px)[..., None] * 255.0
    picture = np.repeat(grey, 3, axis=2)
    if image.probability is not None:
        probability = _resized(image.probability, size_px)
        strength = 0.55 * np.clip(probability / max(threshold, 1e-9), 0, 1)[..., None] ** 3
        picture += strength * (np.array(rgb(PREDICTION)) - picture)
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)


def _resized(values: NDArray[Any], size_px: tuple[int, int]) -> NDArray[np.float64]:
    from PIL import Image

    enlarged = size_px[0] > values.shape[1]
    how = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    resized = Image.fromarray(np.asarray(values, dtype=np.float32)).resize(size_px, how)
    return np.asarray(resized, dtype=np.float64)


def _outline(axes: Any, mask: NDArray[np.bool_] | None, size_px: tuple[int, int], colour: str, sheet: Sheet) -> None:
    if mask is None or not mask.any():
        return
    framed = np.pad(mask, 1).astype(np.float64)  # A mask that reaches the border is closed along it.
    height, width = mask.shape
    x = (np.arange(-1, width + 1) + 0.5) * size_px[0] / width
    y = (np.arange(-1, height + 1) + 0.5) * size_px[1] / height
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
        sheet.figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(14 * sheet.unit / sheet.width_px, 1 - 52 * sheet.unit / sheet.height_px),
            ncols=len(handles),
            frameon=False,
            fontsize=sheet.points(18),
            labelcolor=INK,
            borderaxespad=0,
            handlelength=1.4,
        )
