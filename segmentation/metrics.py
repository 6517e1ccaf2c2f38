"""How well a model finds defects: pixels, defects and false alarms, from whole-number sums over a split.

Zero rules: a ratio whose denominator is 0 is undefined and given as None, never as 0 or 1. Sums run over the
whole split, so an image without defects does not count as a perfect one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.files import read_levels
from viewcov.inspection.folder import Dataset, InspectionFolder, Split
from viewcov.segmentation.images import check_same_size, read_labelled, required_views
from viewcov.segmentation.models import SegmentationModel
from viewcov.segmentation.prediction import predict_image, stored_prediction

NUM_BINS = 1024
"""Thresholds are multiples of 1 / NUM_BINS; a power of two, so that binning float32 values is exact."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelCounts:
    """Pixels of a split by what they are and what they were taken for."""

    true_positive: int
    """Defective, found."""

    false_positive: int
    """Good, taken for defective."""

    false_negative: int
    """Defective, missed."""

    true_negative: int
    """Good, left alone."""

    @property
    def precision(self) -> float | None:
        """Share of the found pixels that are defective; None if none was found."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """Share of the defective pixels that were found; None if there is none."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None if nothing is defective and nothing was found."""
        return _ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def iou(self) -> float | None:
        """Intersection over union of defective and found; None if both are empty."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive + self.false_negative)


class ScoreHistogram:
    """Probabilities of defective and good pixels, counted in bins: every threshold from one pass.

    Memory does not grow with the number of images, and the counts at a multiple of 1 / NUM_BINS are exact.
    """

    def __init__(self) -> None:
        self._defective = np.zeros(NUM_BINS, dtype=np.int64)
        self._good = np.zeros(NUM_BINS, dtype=np.int64)

    def add(self, probability: NDArray[np.float32], defective: Bools) -> None:
        """Count an image: probability in [0, 1] and mask, of the same shape; raises ValueError if not."""
        if probability.shape != defective.shape or not ((probability >= 0) & (probability <= 1)).all():
            raise ValueError(
                f"probability must lie in [0, 1] and have shape {defective.shape}, "
                f"got {probability.min()} to {probability.max()} and {probability.shape}"
            )
        bins = np.minimum((probability * np.float32(NUM_BINS)).astype(np.int64), NUM_BINS - 1)
        self._defective += np.bincount(bins[defective], minlength=NUM_BINS)
        self._good += np.bincount(bins[~defective], minlength=NUM_BINS)

    def counts(self, bin_idx: int) -> PixelCounts:
        """The counts where a pixel is found if its probability is at least ``bin_idx / NUM_BINS``."""
        return PixelCounts(
            true_positive=int(self._defective[bin_idx:].sum()),
            false_positive=int(self._good[bin_idx:].sum()),
            false_negative=int(self._defective[:bin_idx].sum()),
            true_negative=int(self._good[:bin_idx].sum()),
        )

    def f1_curve(self) -> Floats:
        """F1 at the thresholds 1 / NUM_BINS ... (NUM_BINS - 1) / NUM_BINS; NaN where undefined."""
        found_defective = _sums_from(self._defective)
        found = found_defective + _sums_from(self._good)
        denominator = found + self._defective.sum()  # 2 tp + fp + fn
        curve = np.full(NUM_BINS, np.nan)
        np.divide(2.0 * found_defective, denominator, out=curve, where=denominator > 0)
        return curve[1:]

    def best(self) -> tuple[float, float] | None:
        """Threshold of the best F1 and that F1; None without a defective pixel or if none can be found.

        Of equally good thresholds it is the middle one, which is the furthest from both kinds of mistake.
        """
        curve = self.f1_curve()
        if self._defective.sum() == 0 or not curve.max() > 0:
            return None
        best = np.flatnonzero(curve == curve.max())
        bin_idx = int(best[len(best) // 2]) + 1
        return bin_idx / NUM_BINS, float(curve[bin_idx - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFindings:
    """What was found of one image's defects, and what was found where there is none."""

    defect_ids: tuple[int, ...]
    """Numbers of the defects in the image."""

    found_ids: tuple[int, ...]
    """Those with at least one found pixel."""

    num_false_alarms: int
    """8-connected components of found pixels that touch no defective pixel."""


def image_findings(found: Bools, labels: NDArray[np.integer]) -> ImageFindings:
    """Compare found pixels with the defect number at each pixel (0 = good), both of shape (height, width)."""
    from scipy import ndimage

    components, num_components = ndimage.label(found, structure=_EIGHT_NEIGHBOURS)
    touching = np.unique(components[labels > 0])
    return ImageFindings(
        defect_ids=tuple(int(i) for i in np.unique(labels[labels > 0])),
        found_ids=tuple(int(i) for i in np.unique(labels[(labels > 0) & found])),
        num_false_alarms=int(num_components - np.count_nonzero(touching)),
    )


def defect_numbers(folder: InspectionFolder, view_id: str, defective: Bools) -> NDArray[np.integer]:
    """The defect number at each pixel: the view's label image, or else the mask's 8-connected components.

    Raises
    ------
    InputError
        If the label image is broken or of another size.
    """
    from scipy import ndimage

    path = folder.label_path(view_id)
    if not path.is_file():
        numbers, _ = ndimage.label(defective, structure=_EIGHT_NEIGHBOURS)
        return np.asarray(numbers)
    labels = read_levels(path)
    check_same_size(path, labels.shape, folder.image_path(view_id), defective.shape)
    return labels


def test_model(
    model: SegmentationModel,
    dataset: Dataset,
    split: Split = "test",  # noqa: PT028
    *,
    progress: bool = False,  # noqa: PT028
) -> dict[str, Any]:
    """Figures of a model on a split: plain JSON values, None where undefined.

    Predictions that the same weights left in the inspections' folders are used, others are made.

    Returns
    -------
    dict
        ``pixels``: counts, precision, recall, F1 and IoU at the model's threshold, and the best F1 any
        threshold reaches (``f1_max``, optimistic: chosen on this split). ``defects``: a defect counts once in
        each image that shows it, and is found if one of its pixels is. ``instances``: a defect with a label
        number counts once in its inspection, and is found if it is in any image. ``false_alarms``: components
        of found pixels that touch no defect.

    Raises
    ------
    InputError
        If the split has no images or one cannot be read.
    """
    start = time.perf_counter()
    views = required_views(dataset, split)
    histogram, counts = ScoreHistogram(), np.zeros(4, dtype=np.int64)
    findings: list[ImageFindings] = []
    seen: set[tuple[str, int]] = set()
    hit: set[tuple[str, int]] = set()
    for folder, view_id in tqdm(views, desc=f"test {model.name}", unit="image", disable=not progress):
        image = read_labelled(folder, view_id)
        stored = stored_prediction(model, folder, view_id)
        probability = predict_image(model, image.levels / np.float32(255.0)) if stored is None else stored
        found = probability >= model.threshold
        histogram.add(probability, image.defective)
        counts += _count(found, image.defective)
        findings.append(image_findings(found, defect_numbers(folder, view_id, image.defective)))
        if folder.label_path(view_id).is_file():
            seen.update((folder.name, i) for i in findings[-1].defect_ids)
            hit.update((folder.name, i) for i in findings[-1].found_ids)
    return {
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "split": split,
        "inspections": len({folder.name for folder, _ in views}),
        "images": len(views),
        "threshold": model.threshold,
        "pixels": _pixel_figures(counts, histogram),
        "defects": _share_figures(sum(len(f.defect_ids) for f in findings), sum(len(f.found_ids) for f in findings)),
        "instances": _share_figures(len(seen), len(hit)),
        "false_alarms": _false_alarm_figures(findings),
        "seconds": round(time.perf_counter() - start, 3),
    }


# pytest would take an imported function of this name for a test.
test_model.__test__ = False  # type: ignore[attr-defined]


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None


def _sums_from(values: Ints) -> Ints:
    """Sum of the values from each index to the end."""
    return np.cumsum(values[::-1])[::-1]


def _count(found: Bools, defective: Bools) -> Ints:
    """True positive, false positive, false negative and true negative pixels, shape (4,)."""
    true_positive = np.count_nonzero(found & defective)
    false_positive = np.count_nonzero(found & ~defective)
    false_negative = np.count_nonzero(~found & defective)
    true_negative = np.count_nonzero(~(found | defective))
    return np.array([true_positive, false_positive, false_negative, true_negative])


def _pixel_figures(counts: Ints, histogram: ScoreHistogram) -> dict[str, Any]:
    tp, fp, fn, tn = (int(x) for x in counts)
    pixels = PixelCounts(true_positive=tp, false_positive=fp, false_negative=fn, true_negative=tn)
    best = histogram.best()
    return {
        "true_positive": tp,
        "false_positive": fp,
        "false_negative": fn,
        "true_negative": tn,
        "precision": pixels.precision,
        "recall": pixels.recall,
        "f1": pixels.f1,
        "iou": pixels.iou,
        "f1_max": best[1] if best else None,
        "f1_max_threshold": best[0] if best else None,
    }


def _share_figures(num: int, num_found: int) -> dict[str, Any]:
    return {"count": num, "found": num_found, "recall": _ratio(num_found, num)}


def _false_alarm_figures(findings: list[ImageFindings]) -> dict[str, Any]:
    total = sum(f.num_false_alarms for f in findings)
    good = [f for f in findings if not f.defect_ids]
    return {
        "count": total,
        "per_image": total / len(findings),
        "good_images": len(good),
        "good_images_with_alarm": sum(f.num_false_alarms > 0 for f in good),
    }
