"""How well a model finds defects: pixels, defects and false alarms, from whole-number sums over a split.

Zero rules: a ratio whose denominator is 0 is undefined and given as None, never as 0 or 1. Sums run over the
whole split, so an image without defects does not count as a perfect one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints
from viewcov.inspection.files import read_levels
from viewcov.inspection.folder import Dataset, ModelName, PixelThreshold, Split
from viewcov.inspection.records import Count, FileRecord, Known, NotNegative, Record, Sha256
from viewcov.segmentation.images import LabelledImage, Sample, SampleSet, check_size, read_labelled, samples_of
from viewcov.segmentation.models import SegmentationModel
from viewcov.segmentation.options import TestOptions
from viewcov.segmentation.prediction import predict_image, stored_prediction

_DEFAULTS = TestOptions()

NUM_BINS = 1024
"""Thresholds are multiples of 1 / NUM_BINS; a power of two, so that binning float32 values is exact."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


class PixelFigures(Record):
    """Pixels of a split by what they are and what they were taken for, and the ratios that follow.

    ``f1_max`` is the best F1 that any threshold reaches: optimistic, as chosen on this split.
    """

    true_positive: Count
    false_positive: Count
    false_negative: Count
    true_negative: Count
    precision: Known
    recall: Known
    f1: Known
    iou: Known
    f1_max: Known
    f1_max_threshold: Known

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
    """How many defects there are, how many of them have a found pixel, and their share."""

    count: Count
    found: Count
    recall: Known


class AlarmFigures(Record):
    """Components of found pixels that touch no defect, in all images and in those without a defect."""

    count: Count
    per_image: NotNegative
    good_images: Count
    good_images_with_alarm: Count


class SegmentationFigures(FileRecord):
    """How well a model finds the defects of a split, image by image, at a threshold."""

    REMEDY: ClassVar[str] = "measure again with 'viewcov test'"

    schema_version: Literal["viewcov-segmentation/1"] = "viewcov-segmentation/1"
    model: ModelName
    weights_sha256: Sha256
    split: Split
    inspections: Count
    images: Count
    threshold: PixelThreshold
    pixels: PixelFigures

    defects: FoundFigures
    """A defect counts once in each image that shows it."""

    instances: FoundFigures
    """A defect with a label number counts once in its inspection, and is found if it is in any image."""

    false_alarms: AlarmFigures
    seconds: NotNegative


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
        found_defective, found_good = (np.cumsum(n[::-1])[::-1] for n in (self._defective, self._good))
        found = found_defective + found_good
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


class ImageFindings(NamedTuple):
    """Numbers of an image's defects, of those with a found pixel, and the found components that touch none."""

    defect_ids: tuple[int, ...]
    found_ids: tuple[int, ...]
    num_false_alarms: int


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
    """The defect number at each pixel: the sample's label image, or else the mask's 8-connected components."""
    from scipy import ndimage

    if sample.labels is None:
        numbers, _ = ndimage.label(defective, structure=_EIGHT_NEIGHBOURS)
        return np.asarray(numbers)
    labels = read_levels(sample.labels)
    check_size(sample.labels, labels.shape, defective.shape)
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


@dataclass(slots=True)
class _Totals:
    """Sums over the images of a split."""

    histogram: ScoreHistogram = field(default_factory=ScoreHistogram)
    counts: Ints = field(default_factory=lambda: np.zeros(4, dtype=np.int64))
    """True positive, false positive, false negative and true negative pixels."""

    findings: list[ImageFindings] = field(default_factory=list)
    seen: set[tuple[str, int]] = field(default_factory=set)
    hit: set[tuple[str, int]] = field(default_factory=set)

    def add(self, sample: Sample, image: LabelledImage, probability: Floats32, threshold: float) -> None:
        found = probability >= threshold
        self.histogram.add(probability, image.defective)
        true = image.defective
        kinds = found & true, found & ~true, ~found & true, ~(found | true)
        self.counts += [np.count_nonzero(kind) for kind in kinds]
        self.findings.append(image_findings(found, defect_numbers(sample, image.defective)))
        if sample.labels is not None:
            self.seen.update((sample.instance, i) for i in self.findings[-1].defect_ids)
            self.hit.update((sample.instance, i) for i in self.findings[-1].found_ids)


def _found(num: int, num_found: int) -> FoundFigures:
    return FoundFigures(count=num, found=num_found, recall=_ratio(num_found, num))


def _alarms(findings: list[ImageFindings]) -> AlarmFigures:
    total = sum(f.num_false_alarms for f in findings)
    good = [f.num_false_alarms for f in findings if not f.defect_ids]
    return AlarmFigures(
        count=total,
        per_image=total / len(findings),
        good_images=len(good),
        good_images_with_alarm=sum(num > 0 for num in good),
    )
