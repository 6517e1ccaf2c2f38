from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import write_grey, write_levels
from viewcov.inspection.folder import Dataset, InspectionFolder, write_dataset
from viewcov.inspection.mesh.part import PartSource
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.records import read_record, write_record
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.segmentation import metrics
from viewcov.segmentation.cards import Architecture, ModelCard, Weights
from viewcov.segmentation.metrics import NUM_BINS, PixelFigures, ScoreHistogram, image_findings
from viewcov.segmentation.models import SegmentationModel
from viewcov.segmentation.options import TestOptions


class _NoNetwork:
    """Stands where a network would: predict_image is replaced in these tests."""


CARD = ModelCard(
    name="fake", exposures=(0,), threshold=0.5, architecture=Architecture(), weights=Weights(sha256="0" * 64)
)
MODEL = SegmentationModel(card=CARD, network=_NoNetwork())  # type: ignore[arg-type]


def brute_force_f1(probability: np.ndarray, defective: np.ndarray, threshold: float) -> float:
    tp = fp = fn = 0
    for p, d in zip(probability.ravel(), defective.ravel(), strict=True):
        tp += bool(p >= threshold and d)
        fp += bool(p >= threshold and not d)
        fn += bool(p < threshold and d)
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan")


BINS = (1, 2, 16, 17, 512, 1000, 1023)
# Many scores lie on thresholds themselves, where "at least" and "above" differ.
scores = st.one_of(st.sampled_from(BINS).map(lambda k: k / NUM_BINS), st.floats(0, 1, width=32))


@settings(deadline=None)
@given(st.lists(st.tuples(scores, st.booleans()), min_size=1, max_size=30))
def test_the_curve_is_that_of_counting_pixel_by_pixel(pixels: list[tuple[float, bool]]) -> None:
    probability = np.array([[p for p, _ in pixels]], dtype=np.float32)
    defective = np.array([[d for _, d in pixels]])
    histogram = ScoreHistogram()
    histogram.add(probability, defective)
    curve = histogram.f1_curve()
    assert curve.shape == (NUM_BINS - 1,)
    for bin_idx in BINS:
        expected = brute_force_f1(probability, defective, bin_idx / NUM_BINS)
        np.testing.assert_allclose(curve[bin_idx - 1], expected)
    best = histogram.best()
    if best is not None:
        threshold, f1 = best
        assert f1 == np.nanmax(curve)
        np.testing.assert_allclose(brute_force_f1(probability, defective, threshold), f1)
    else:
        assert not defective.any() or not np.nanmax(curve) > 0


def test_sums_over_images_are_those_of_one_large_image() -> None:
    rng = np.random.default_rng(0)
    images = [(rng.random((9, 11), dtype=np.float32), rng.random((9, 11)) < 0.2) for _ in range(5)]
    one, many = ScoreHistogram(), ScoreHistogram()
    for image in images:
        many.add(*image)
    one.add(np.concatenate([p for p, _ in images]), np.concatenate([d for _, d in images]))
    np.testing.assert_array_equal(one.f1_curve(), many.f1_curve())
    assert one.best() == many.best()


def test_of_equally_good_thresholds_the_middle_one_is_taken() -> None:
    histogram = ScoreHistogram()
    histogram.add(np.array([[0.25, 0.75]], dtype=np.float32), np.array([[False, True]]))
    threshold, f1 = histogram.best() or (0.0, 0.0)
    assert f1 == 1.0
    assert threshold == pytest.approx(0.5, abs=1 / NUM_BINS)


def test_ratios_without_a_denominator_are_none() -> None:
    nothing = PixelFigures.of(np.array([0, 0, 0, 9]))
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.iou) == (None, None, None, None)
    missed = PixelFigures.of(np.array([0, 0, 3, 9]))
    assert (missed.precision, missed.recall, missed.f1, missed.iou) == (None, 0.0, 0.0, 0.0)
    false = PixelFigures.of(np.array([0, 2, 0, 9]))
    assert (false.precision, false.recall, false.f1, false.iou) == (0.0, None, 0.0, 0.0)
    some = PixelFigures.of(np.array([3, 1, 2, 9]))
    assert (some.precision, some.recall, some.f1, some.iou) == (3 / 4, 3 / 5, 6 / 9, 3 / 6)


@pytest.mark.parametrize("wrong", [[[np.nan]], [[1.5]], [[0.5, 0.5]]])
def test_what_is_no_probability_of_the_pixels_is_refused(wrong: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="probability must lie in"):
        ScoreHistogram().add(np.array(wrong, dtype=np.float32), np.array([[True]]))


def test_without_defects_there_is_no_best_threshold() -> None:
    histogram = ScoreHistogram()
    histogram.add(np.full((3, 3), 0.7, dtype=np.float32), np.zeros((3, 3), dtype=bool))
    assert histogram.best() is None


def components(found: np.ndarray) -> list[set[tuple[int, int]]]:
    """8-connected components by flooding."""
    todo = {(int(r), int(c)) for r, c in np.argwhere(found)}
    result = []
    while todo:
        component, edge = set(), [todo.pop()]
        while edge:
            row, column = edge.pop()
            component.add((row, column))
            around = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & todo
            todo -= around
            edge.extend(around)
        result.append(component)
    return result


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_findings_are_those_of_flooding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = rng.random((9, 12)) < 0.25
    labels = rng.integers(1, 5, size=(9, 12)) * (rng.random((9, 12)) < 0.15)
    result = image_findings(found, labels.astype(np.uint16))
    assert result.defect_ids == tuple(sorted({int(n) for n in labels.ravel() if n}))
    assert result.found_ids == tuple(sorted({int(n) for n in labels[found] if n}))
    false = [c for c in components(found) if not any(labels[pixel] for pixel in c)]
    assert result.num_false_alarms == len(false)


def write_inspection(folder: InspectionFolder, labels: list[np.ndarray], *, numbered: bool = True) -> None:
    rig = load_rig("paper-quarter")
    views = tuple(Viewpoint.looking_at([0, 0, 99 + i], [0, 0, 0], id=f"v{i}") for i in range(len(labels)))
    source = PartSource(path="builtin:clutch-half", sha256="0" * 64)
    plan = InspectionPlan(part=source, rig=rig, requirements=rig.requirements, viewpoints=views)
    write_plan(folder.plan_path, plan)
    for view, label in zip(views, labels, strict=True):
        write_levels(folder.mask_path(view.id), np.where(label > 0, 255, 0).astype(np.uint8))
        if numbered:
            write_levels(folder.label_path(view.id), label.astype(np.uint16))


def test_the_figures_of_a_split_counted_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Views of one part: defect 1 is found in the first only, defect 2 never; the good view has an alarm.
    first, second, good = (np.zeros((8, 8), dtype=np.uint16) for _ in range(3))
    first[1, 1:4], second[1, 1:3], second[6, 6] = 1, 1, 2
    score_first, score_second, score_good = (np.full((8, 8), 0.1) for _ in range(3))
    score_first[1, 1:3] = 0.9  # Two of three pixels of defect 1.
    score_first[4, 4], score_first[5, 5] = 0.5, 0.8  # One alarm, 8-connected; 0.5 is at the threshold.
    score_good[7, 0] = 0.6
    folder = InspectionFolder(tmp_path / "a")
    write_inspection(folder, [first, second, good])
    for view_id, score in (("v0", score_first), ("v1", score_second), ("v2", score_good)):
        write_grey(folder.image_path(view_id), score)
    dataset = Dataset(root=tmp_path, splits={"a": "test"})
    write_dataset(dataset)
    # The images hold the scores themselves, up to eight bits; 128/255 stands for 0.5.
    monkeypatch.setattr(metrics, "predict_image", lambda model, image, options: np.asarray(image, dtype=np.float32))
    measured = metrics.test_model(MODEL, dataset)
    write_record(tmp_path / "figures.json", measured)
    assert read_record(tmp_path / "figures.json", metrics.SegmentationFigures) == measured
    figures = measured.model_dump(mode="json")
    assert (figures["images"], figures["inspections"], figures["split"]) == (3, 1, "test")
    pixels = figures["pixels"]
    names = ("true_positive", "false_positive", "false_negative", "true_negative")
    assert [pixels[name] for name in names] == [2, 3, 4, 192 - 9]
    assert pixels["precision"] == 2 / 5
    assert pixels["recall"] == 2 / 6
    assert pixels["f1"] == 4 / 11
    assert pixels["iou"] == 2 / 9
    assert pixels["f1_max"] == pytest.approx(4 / 8)  # Above 0.8 the alarms are gone.
    assert figures["defects"] == {"count": 3, "found": 1, "recall": 1 / 3}
    assert figures["instances"] == {"count": 2, "found": 1, "recall": 1 / 2}
    assert figures["false_alarms"] == {
        "count": 2,
        "per_image": 2 / 3,
        "good_images": 1,
        "good_images_with_alarm": 1,
    }


def test_without_label_images_the_components_of_the_mask_are_the_defects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros((8, 8), dtype=np.uint16)
    mask[1, 1], mask[2, 2], mask[6, 6] = 1, 1, 1  # Two, as corners touch.
    folder = InspectionFolder(tmp_path / "a")
    write_inspection(folder, [mask], numbered=False)
    write_grey(folder.image_path("v0"), np.where(mask > 0, 1.0, 0.0))
    dataset = Dataset(root=tmp_path, splits={"a": "validation"})
    monkeypatch.setattr(metrics, "predict_image", lambda model, image, options: np.asarray(image, dtype=np.float32))
    figures = metrics.test_model(MODEL, dataset, TestOptions(split="validation")).model_dump(mode="json")
    assert figures["defects"] == {"count": 2, "found": 2, "recall": 1.0}
    assert figures["instances"] == {"count": 0, "found": 0, "recall": None}
    with pytest.raises(InputError, match="split 'test' has no images"):
        metrics.test_model(MODEL, dataset)


def test_a_label_image_of_another_size_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = InspectionFolder(tmp_path / "a")
    write_inspection(folder, [np.zeros((8, 8), dtype=np.uint16)])
    write_grey(folder.image_path("v0"), np.zeros((8, 8)))
    write_levels(folder.label_path("v0"), np.zeros((8, 9), dtype=np.uint16))
    monkeypatch.setattr(metrics, "predict_image", lambda model, image, options: np.asarray(image, dtype=np.float32))
    with pytest.raises(InputError, match=r"labels/v0\.png: not the size of its image"):
        metrics.test_model(MODEL, Dataset(root=tmp_path, splits={"a": "test"}))
