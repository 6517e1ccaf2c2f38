"""Training crops: where they are taken and how they are varied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from viewcov.inspection.arrays import Bools, Floats32, Ints
from viewcov.inspection.records import AtLeastOne, NotNegative, Record, Rising, Share
from viewcov.segmentation.images import LabelledImage


class CropOptions(Record):
    """How training crops are taken and varied."""

    crop_px: Annotated[int, Field(ge=32, le=4096, multiple_of=32)] = 160
    """Side of the square crops; a multiple of 32."""

    positive_share: Share = 0.6
    """Share of the crops that are laid on a defect; the others lie anywhere."""

    centre_share: Share = 0.5
    """Middle share of a crop's side in which the defect's pixel lies: networks must see defects at every place."""

    min_grey: Share = 10.0 / 255.0
    """A grey value that counts as lit."""

    min_lit_share: Share = 0.25
    """Share of a crop's pixels that must be lit. Crops of the dark background teach nothing."""

    max_draws: AtLeastOne = 20
    """How often a crop is drawn anew until enough of it is lit; then the best of these is taken."""

    turned: bool = True
    """Turn crops by multiples of 90 degrees."""

    mirror_share: Share = 0.5
    """Share of the crops that are mirrored."""

    exposure_jitter: Annotated[tuple[float, float], Rising] = (-0.5, 1.0)
    """Range of the exposure ``alpha`` in ``x * 2**alpha``."""

    noise_levels: NotNegative = 3.0
    """Largest standard deviation of the added noise, in 8-bit grey levels."""

    blur_share: Share = 0.2
    """Share of the crops that are blurred by a 3 x 3 binomial kernel."""


class CropSampler:
    """Draws crops from images held in memory.

    Each crop depends on (seed, step, index) alone: it is the same however many processes draw, and a run
    that is taken up again at a step continues as if it had never stopped. No image may be smaller than a crop.
    """

    def __init__(self, images: Sequence[LabelledImage], options: CropOptions, *, seed: int) -> None:
        self._images = images
        self._options = options
        self._seed = seed
        self._defects = [
            (image_idx, pixels) for image_idx, image in enumerate(images) for pixels in _components(image.defective)
        ]

    def sample(self, step: int, index: int) -> tuple[Floats32, Bools, int]:
        """Grey values and mask of a step's crop, shape (crop_px, crop_px), and the index of its image."""
        rng = np.random.default_rng((self._seed, step, index))
        on_defect = bool(self._defects) and rng.random() < self._options.positive_share
        image_idx, row, column = self._draw(rng, on_defect=on_defect)
        side = self._options.crop_px
        window = (slice(row, row + side), slice(column, column + side))
        image = self._images[image_idx]
        grey = image.levels[window].astype(np.float32) / np.float32(255.0)
        return *varied(grey, image.defective[window], self._options, rng), image_idx

    def _draw(self, rng: np.random.Generator, *, on_defect: bool) -> tuple[int, int, int]:
        """Image index, first row and first column of a crop that is lit, or the best lit of those drawn."""
        options = self._options
        side = options.crop_px
        best, best_lit = (0, 0, 0), -1.0
        for _ in range(options.max_draws):
            if on_defect:
                # Defects are drawn alike, not pixels alike: a short scratch counts as much as a wide dent.
                image_idx, pixels = self._defects[rng.integers(len(self._defects))]
                edge = min(int(side * (1.0 - options.centre_share) / 2.0), side // 2 - 1)
                place = pixels[rng.integers(len(pixels))] - rng.integers(edge, side - edge, size=2)
            else:
                image_idx = int(rng.integers(len(self._images)))
                height, width = self._images[image_idx].levels.shape
                place = rng.integers((height - side + 1, width - side + 1))
            levels = self._images[image_idx].levels
            row, column = (int(x) for x in np.clip(place, 0, np.subtract(levels.shape, side)))
            lit = float(np.mean(levels[row : row + side, column : column + side] > options.min_grey * 255.0))
            if lit > best_lit:
                best, best_lit = (image_idx, row, column), lit
            if lit >= options.min_lit_share:
                break
        return best


def varied(grey: Floats32, defective: Bools, options: CropOptions, rng: np.random.Generator) -> tuple[Floats32, Bools]:
    """A square crop and its mask turned, mirrored, blurred, exposed and made noisy at random; same shape."""
    turns = int(rng.integers(4)) * options.turned
    grey, defective = np.rot90(grey, turns), np.rot90(defective, turns)
    if rng.random() < options.mirror_share:
        grey, defective = grey[:, ::-1], defective[:, ::-1]
    # In the order of a camera: the lens blurs, the exposure gathers, the sensor adds noise and saturates.
    if rng.random() < options.blur_share:
        grey = _blurred(grey)
    gain = np.float32(2.0 ** rng.uniform(*options.exposure_jitter))
    sigma = np.float32(rng.uniform(0.0, options.noise_levels) / 255.0)
    noise = rng.standard_normal(grey.shape, dtype=np.float32)
    exposed = np.minimum(grey * gain, np.float32(1.0)) + sigma * noise
    return np.clip(exposed, 0.0, 1.0), np.ascontiguousarray(defective)


def _blurred(grey: Floats32) -> Floats32:
    rows = np.pad(grey, ((1, 1), (0, 0)), mode="edge")
    grey = (rows[:-2] + 2 * rows[1:-1] + rows[2:]) / np.float32(4.0)
    columns = np.pad(grey, ((0, 0), (1, 1)), mode="edge")
    return (columns[:, :-2] + 2 * columns[:, 1:-1] + columns[:, 2:]) / np.float32(4.0)


def _components(defective: Bools) -> list[Ints]:
    """Row and column of the pixels, shape (N, 2), of each 8-connected component."""
    from scipy import ndimage

    numbers, _ = ndimage.label(defective, structure=np.ones((3, 3)))
    places = ndimage.value_indices(numbers, ignore_value=0)
    return [np.column_stack(places[number]) for number in sorted(places)]
