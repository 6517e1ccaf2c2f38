"""How well a model finds defects: pixels, defects and false alarms, from whole-number sums over a split.

Zero rules: a ratio whose denominator is 0 is undefined and given as None, never as 0 or 1. Sums run over the
whole split, so an image without defects does not count as a perfect one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints
from viewcov.inspection.files import read_levels
from viewcov.inspection.folder import Dataset, Split
from viewcov.inspection.predictions import ModelName, PixelThreshold
from viewcov.inspection.records import Count, FileRecord, Known, NotNegative, Record, Sha256
from viewcov.segmentation.images import (
    LabelledImage,
    Sample,
    SampleSet,
    check_same_size,
    read_labelled,
    samples_of,
)
from viewcov.segmentation.models import SegmentationModel
from viewcov.segmentation.options import TestOptions
from viewcov.segmentation.prediction import predict_image, stored_prediction

_DEFAULTS = TestOptions()

NUM_BINS = 1024
"""Thresholds are multiples of 1 / NUM_BINS; a power of two, so that binning float32 values is exact."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


class PixelFigures(Record):
    """Pixels of a split by what they are and what they were taken for."""

    true_positive: Count
    """Defective, found."""

    false_positive: Count
    """Good, taken for defective."""

    false_negative: Count
    """Defective, missed."""

    true_negative: Count
    """Good, left alone."""

    precision: Known = None
    """Share of the found pixels that are defective; None if none was found."""

    recall: Known = None
    """Share of the defective pixels that were found; None if there is none."""

    f1: Known = None
    """Harmonic mean of precision and recall; None if nothing is defective and nothing was found."""

    iou: Known = None
    """Intersection over union of defective and found; None if both are empty."""

    f1_max: Known = None
    """The best F1 that any threshold reaches: optimistic, as chosen on this split."""

    f1_max_threshold: Known = None
    """That threshold."""

    @classmethod
    def of(cls, counts: Ints, best: tuple[float, float] | None = None) -> PixelFigures:
        """The figures that follow from the four counts, shape (4,), and the best threshold with its F1."""
        tp, fp, fn, tn = (int(count) for count in counts)
        threshold, f1_max = best or (None, None)
        return cls(
            true_positive=tp,
            false_positive=fp,
            false_negative=fn,
            true_negative=tn,
            precision=_ratio(tp, tp + fp),
            recall=_ratio(tp, tp + fn),
            f1=_ratio(2 * tp, 2 * tp + fp + fn),
            iou=_ratio(tp, tp + fp + fn),
            f1_max=f1_max,
            f1_max_threshold=threshold,
        )


class FoundFigures(Record):
    """Defects and how many of them were found."""

    count: Count
    """All."""

    found: Count
    """Those with at least one found pixel."""

    recall: Known
    """Their share; None without a defect."""


class AlarmFigures(Record):
    """Components of found pixels that touch no defect."""

    count: Count
    """All."""

    per_image: NotNegative
    """Their mean number in an image."""

    good_images: Count
    """Images without a defect."""

    good_images_with_alarm: Count
    """Those of them with at least one."""


class SegmentationFigures(FileRecord):
    """How well a model finds the defects of a split, image by image."""

    REMEDY: ClassVar[str] = "measure again with 'viewcov test'"

    schema_version: Literal["viewcov-segmentation/1"] = "viewcov-segmentation/1"

    model: ModelName
    """The model's name."""

    weights_sha256: Sha256
    """SHA-256 of its weights."""

    split: Split
    """Where it was measured."""

    inspections: Count
    """Instances in the split."""

    images: Count
    """Images of them."""

    threshold: PixelThreshold
    """Probability from which a pixel is found."""

    pixels: PixelFigures
    """Pixel by pixel, at that threshold."""

    defects: FoundFigures
    """A defect counts once in each image that shows it."""

    instances: FoundFigures
    """A defect with a label number counts once in its inspection, and is found if it is in any image."""

    false_alarms: AlarmFigures
    """What was found where there is nothing."""

    seconds: NotNegative
    """Time that it took."""


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


def defect_numbers(sample: Sample, defective: Bools) -> NDArray[np.integer]:
    """The defect number at each pixel: the sample's label image, or else the mask's 8-connected components.

    Raises
    ------
    InputError
        If the label image is broken or of another size.
    """
    from scipy import ndimage

    if sample.labels is None:
        numbers, _ = ndimage.label(defective, structure=_EIGHT_NEIGHBOURS)
        return np.asarray(numbers)
    labels = read_levels(sample.labels)
    check_same_size(sample.labels, labels.shape, defective.shape, sample.image)
    return labels


def test_model(
    model: SegmentationModel,
    data: Dataset | SampleSet,
    options: TestOptions = _DEFAULTS,  # noqa: PT028
    *,
    progress: bool = False,  # noqa: PT028
) -> SegmentationFigures:
    """Figures of a model on a split; None where undefined.

    Predictions that the same weights left in the inspections' folders are used, others are made.

    Raises
    ------
    InputError
        If the split has no images or one cannot be read, all of which is looked at first.
    """
    start = time.perf_counter()
    samples = (samples_of(data) if isinstance(data, Dataset) else data).samples(options.split)
    threshold = options.threshold or model.threshold
    totals = _Totals()
    for sample in tqdm(samples, desc=f"test {model.name}", unit="image", disable=not progress):
        image = read_labelled(sample)
        stored = stored_prediction(model, *sample.view) if sample.view else None
        totals.add(sample, image, predict_image(model, image.grey, options) if stored is None else stored, threshold)
    return SegmentationFigures(
        model=model.name,
        weights_sha256=model.weights_sha256,
        split=options.split,
        inspections=len({sample.instance for sample in samples}),
        images=len(samples),
        threshold=threshold,
        pixels=PixelFigures.of(totals.counts, totals.histogram.best()),
        defects=_found(sum(len(f.defect_ids) for f in totals.findings), sum(len(f.found_ids) for f in totals.findings)),
        instances=_found(len(totals.seen), len(totals.hit)),
        false_alarms=_alarms(totals.findings),
        seconds=round(time.perf_counter() - start, 3),
    )


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


@dataclass(slots=True)
class _Totals:
    """Sums over the images of a split."""

    histogram: ScoreHistogram = field(default_factory=ScoreHistogram)
    counts: Ints = field(default_factory=lambda: np.zeros(4, dtype=np.int64))
    findings: list[ImageFindings] = field(default_factory=list)
    seen: set[tuple[str, int]] = field(default_factory=set)
    hit: set[tuple[str, int]] = field(default_factory=set)

    def add(self, sample: Sample, image: LabelledImage, probability: Floats32, threshold: float) -> None:
        found = probability >= threshold
        self.histogram.add(probability, image.defective)
        self.counts += _count(found, image.defective)
        self.findings.append(image_findings(found, defect_numbers(sample, image.defective)))
        if sample.labels is not None:
            self.seen.update((sample.instance, i) for i in self.findings[-1].defect_ids)
            self.hit.update((sample.instance, i) for i in self.findings[-1].found_ids)


def _found(num: int, num_found: int) -> FoundFigures:
    return FoundFigures(count=num, found=num_found, recall=_ratio(num_found, num))


def _alarms(findings: list[ImageFindings]) -> AlarmFigures:
    total = sum(f.num_false_alarms for f in findings)
    good = [f for f in findings if not f.defect_ids]
    return AlarmFigures(
        count=total,
        per_image=total / len(findings),
        good_images=len(good),
        good_images_with_alarm=sum(f.num_false_alarms > 0 for f in good),
    )
