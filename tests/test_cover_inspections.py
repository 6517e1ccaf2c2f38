"""From probability images to calibration, effective coverage and fused defects, on a small ball."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.coverage.effective import fuse
from viewcov.coverage.effective.calibration import (
    Calibration,
    calibrate_inspections,
    own_calibration_path,
    read_calibration,
)
from viewcov.coverage.effective.cover import cover_inspections
from viewcov.coverage.effective.evidence import gather_evidence
from viewcov.coverage.effective.figures import EffectiveFigures, FusedFigures
from viewcov.coverage.effective.fuse import fuse_inspection
from viewcov.coverage.effective.options import CalibrateOptions, CoverOptions, FuseOptions
from viewcov.coverage.effective.pod import UNSEEN
from viewcov.coverage.effective.rules import RULES, Sum, Sums, fusion_rule
from viewcov.coverage.rays.projection import correspond
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_table, write_grey, write_table
from viewcov.inspection.folder import (
    Dataset,
    InspectionFolder,
    PredictionsCard,
    calibration_path,
    folder_for_card,
    read_dataset,
    write_dataset,
    write_predictions_card,
)
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.planted import PlantedDefect, Truth
from viewcov.inspection.records import read_record, write_record
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.workflows.calibrate import calibrate
from viewcov.workflows.results import write_cover, write_fused

RIG = load_rig("paper-quarter")
RIG = replace(
    RIG,
    camera=replace(RIG.camera, width_px=96, height_px=80, pixel_pitch_um=80.0),
    requirements=replace(RIG.requirements, max_mm_per_px=0.9),
)
MODELS = ("plain", "stack")
SPLITS = ("train", "validation", "test", "test")


def half_ring(turn_rad: float) -> tuple[Viewpoint, ...]:
    """Three views from half of the way around, so that a part of the ball is unseen."""
    angles = np.pi * np.arange(3) / 3 + turn_rad
    return tuple(
        Viewpoint.looking_at([250 * np.cos(a), 250 * np.sin(a), 60.0 * (-1) ** k], [0, 0, 0], id=f"v{k}")
        for k, a in enumerate(angles)
    )


def plant(folder: InspectionFolder, surface: Surface, rng: np.random.Generator, num: int = 12) -> np.ndarray:
    """Defects of one element each, at sites drawn by area."""
    element = rng.choice(surface.num_elements, num, replace=False, p=surface.area_mm2 / surface.area_mm2.sum())
    defects = tuple(
        PlantedDefect(
            id=number, kind="dent", center_mm=tuple(surface.centroid_mm[e]), size_mm=rng.uniform(1, 6), depth_mm=0.1,
            width_mm=1.0, area_mm2=surface.area_mm2[e], cad_face=0,
        )
        for number, e in enumerate(element, start=1)
    )  # fmt: skip
    write_record(folder.truth_path, Truth(defects=defects))
    samples = {
        "defect_id": np.arange(1, num + 1, dtype=np.int32),
        "part_face": surface.source_face_idx[element],
        "area_mm2": surface.area_mm2[element],
    }
    places = {f"{axis}_mm": surface.centroid_mm[element, k] for k, axis in enumerate("xyz")}
    write_table(folder.truth_samples_path, {**samples, **places})
    return element


def make_set(root: Path, *, turn_rad: float = 0.0) -> Dataset:
    """Inspections of a ball, each turned farther, with truth and with probability images of two models."""
    root.mkdir()
    trimesh.creation.icosphere(subdivisions=2, radius=20.0).export(root / "ball.stl")
    part = load_part(str(root / "ball.stl"), units="mm")
    rng = np.random.default_rng(0)
    for number in range(len(SPLITS)):
        folder = InspectionFolder(root / f"one-{number}")
        views = half_ring(turn_rad * number)
        plan = InspectionPlan(part=part.source, rig=RIG, requirements=RIG.requirements, viewpoints=views)
        write_plan(folder.plan_path, plan)
        surface = cut_surface(plan.load_part(), plan.requirements.element_edge_mm)
        element = plant(folder, surface, rng)
        for model, rate in zip(MODELS, (0.5, 0.8), strict=True):
            hit = element[rng.random(len(element)) < rate]
            for view in views:
                ids = correspond(surface, RIG.camera, view).ids
                noise = rng.normal(0, 0.02, ids.shape) + (rng.random(ids.shape) < 0.001)
                image = np.where(np.isin(ids, hit), 0.85, 0.02) + noise
                write_grey(folder.prediction_path(model, view.id), image, bits=16)
    dataset = Dataset(root=root, splits={f"one-{number}": split for number, split in enumerate(SPLITS)})
    write_dataset(dataset)
    return dataset


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Probability images without any model."""
    return make_set(tmp_path_factory.mktemp("bare") / "set")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Each inspection with its own poses, and both models calibrated."""
    dataset = make_set(tmp_path_factory.mktemp("calibrated") / "set", turn_rad=0.4)
    for model in MODELS:
        calibrate(model, dataset)
    return dataset


@pytest.fixture
def rule_from_outside() -> Iterator[str]:
    @fusion_rule("least_doubt", Sum(name="least_doubt", of=lambda p, w: w * np.sqrt(p), join=np.maximum))
    def fuse_least_doubt(sums: Sums, base_rate: float) -> np.ndarray:
        return sums["least_doubt"] ** 2

    yield "least_doubt"
    del RULES["least_doubt"]


def test_a_model_without_thresholds_names_the_command_and_that_gives_them(bare: Dataset) -> None:
    with pytest.raises(InputError, match=r"model 'plain' has no threshold.*run: viewcov calibrate plain /.*/set,"):
        fuse_inspection(bare.inspections()[3], "plain")
    calibration, path = calibrate("plain", bare.root)
    assert path == bare.root / "calibrations" / "plain.json"
    assert read_calibration(path) == calibration
    assert calibration.inspections == ("one-1",)
    assert set(calibration.thresholds) == set(RULES)
    fused = fuse_inspection(bare.inspections()[3], "plain")
    assert fused.figures.thresholds == calibration.thresholds
    assert fused.figures.rules["log_odds"].num_planted == 12


def test_a_model_folder_has_its_own_calibration_and_a_file_comes_first(bare: Dataset, tmp_path: Path) -> None:
    folder = bare.inspections("test")[0]
    home = tmp_path / "models" / "stack"
    card = PredictionsCard(
        model="stack", weights_sha256="1" * 64, threshold=0.5, folder=folder_for_card(folder, "stack", home)
    )
    write_predictions_card(folder, card)
    options = CalibrateOptions(split="test")
    calibration, path = calibrate("stack", bare, options)
    assert path == calibration_path(home)
    assert calibration.inspections == ("one-2", "one-3")
    assert fuse_inspection(folder, "stack").calibration == calibration
    assert not own_calibration_path(folder, "stack").exists()
    write_record(tmp_path / "mine.json", calibration.model_copy(update={"thresholds": {"max": 0.25}}))
    given = FuseOptions(calibration=(tmp_path / "mine.json",), rule="max")
    assert fuse_inspection(folder, "stack", given).calibration.thresholds == {"max": 0.25}
    with pytest.raises(InputError, match="no calibration for model 'plain': expected one for 'plain', found 'stack'"):
        fuse_inspection(folder, "plain", given)
    shipped = card.model_copy(update={"folder": "shipped:stack"})
    write_predictions_card(folder, shipped)
    with pytest.raises(InputError, match=r"a shipped model keeps its calibration.*--out FILE"):
        calibrate("stack", bare, options)


def test_a_threshold_needs_no_calibration(bare: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = []
    monkeypatch.setattr(fuse, "gather_evidence", lambda *a, **kw: gathered.append(a) or gather_evidence(*a, **kw))
    fused = fuse_inspection(bare.inspections()[0], "plain", FuseOptions(rule="noisy_or", threshold=0.9))
    assert len(gathered) == 1
    assert fused.figures.thresholds["noisy_or"] == 0.9
    assert all(np.nanmax(fused.probability["noisy_or"][defect.element_idx]) >= 0.9 for defect in fused.defects)
    result = cover_inspections(bare, ["plain"], CoverOptions(rule="max", threshold=0.5))
    assert (result.figures.rule, result.figures.models["plain"].threshold) == ("max", 0.5)


def test_the_test_split_is_used_and_said(calibrated: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        figures = cover_inspections(calibrated.root, MODELS).figures
    assert (figures.split, figures.inspections) == ("test", ("one-2", "one-3"))
    assert "from 2 inspections (split: test): one-2, one-3" in caplog.text
    all_of_them = cover_inspections(calibrated, ["plain"], CoverOptions(split="all")).figures
    assert (all_of_them.split, len(all_of_them.inspections)) == (None, 4)
    chosen = cover_inspections(calibrated.inspections("train"), ["plain"]).figures
    assert chosen.inspections == ("one-0",)
    with pytest.raises(InputError, match="there are no splits without a data set"):
        cover_inspections(calibrated.root / "one-0", ["plain"], CoverOptions(split="test"))
    few = Dataset(root=calibrated.root, splits={"one-0": "train"})
    with pytest.raises(InputError, match=r"no inspection is in the split 'validation'.*one of all, train"):
        calibrate_inspections(few, "plain")


def test_inspections_with_their_own_poses_are_measured_each_by_its_own(calibrated: Dataset) -> None:
    result = cover_inspections(calibrated, MODELS, CoverOptions(split="all"))
    surface, folders = result.surface, calibrated.inspections()
    seen = [gather_evidence(surface, folder, "plain").evidence.seen for folder in folders]
    assert not np.array_equal(seen[0], seen[1])
    area, num = surface.area_mm2, 12
    # By brute force, one planted defect after the other.
    for model in MODELS:
        planted = [(j, d) for j, one in enumerate(result.fused[model]) for d in range(num)]
        sites = [one.truth.center_element_idx for one in result.fused[model]]
        hits = [one.matches["log_odds"].planted_found for one in result.fused[model]]
        at_site = [bool(seen[j][sites[j][d]]) for j, d in planted]
        found = [bool(hits[j][d]) for j, d in planted]
        share = np.mean([area[seen[j]].sum() / area.sum() for j, _ in planted])
        figures = result.figures.models[model]
        assert figures.seen_area_share == pytest.approx(share)
        both = sum(a and b for a, b in zip(at_site, found, strict=True))
        assert (figures.num_seen, figures.num_found) == (sum(at_site), both)
        assert figures.effective_coverage == pytest.approx(share * both / sum(at_site))
        assert figures.interval.low < figures.effective_coverage < figures.interval.high
    np.testing.assert_array_equal(result.pod_maps["plain"].state == UNSEEN, ~np.logical_or.reduce(seen))
    shown = [gather_evidence(surface, folder, "plain").evidence.num_views for folder in folders]
    np.testing.assert_allclose(result.num_views, np.mean(shown, axis=0))
    assert result.figures.seen_area_mm2 == pytest.approx(np.mean([area[own].sum() for own in seen]))


def test_other_parts_and_rigs_are_refused(calibrated: Dataset, tmp_path: Path) -> None:
    first, second = calibrated.inspections()[:2]
    other = InspectionFolder(tmp_path / "other")
    plan = first.plan()
    write_record(other.truth_path, Truth(defects=()))
    for name, changed in (
        ("rig", replace(plan, rig=replace(plan.rig, camera=replace(plan.rig.camera, f_number=11.0)))),
        ("part", replace(plan, part=replace(plan.part, sha256="0" * 64))),
    ):
        write_plan(other.plan_path, changed)
        with pytest.raises(InputError, match=f"another {name} than the first inspection's"):
            cover_inspections([first, second, other], MODELS)


def test_missing_predictions_name_the_command(calibrated: Dataset) -> None:
    folder = calibrated.inspections("test")[0]
    with pytest.raises(InputError, match=rf"no prediction of model 'mine' .*run: viewcov predict mine {folder.root}"):
        cover_inspections(calibrated, ["plain", "mine"])
    home = folder_for_card(folder, "mine", folder.root.parent / "models" / "my own")
    write_predictions_card(folder, PredictionsCard(model="mine", weights_sha256="1" * 64, threshold=0.5, folder=home))
    with pytest.raises(InputError, match=rf"run: viewcov predict '/.*/models/my own' {folder.root}"):
        cover_inspections(calibrated, ["mine"])


def test_results_survive_their_files(calibrated: Dataset, tmp_path: Path) -> None:
    result = cover_inspections(calibrated, MODELS)
    write_cover(tmp_path, result)
    assert read_record(tmp_path / "effective.json", EffectiveFigures) == result.figures
    fused = result.fused["stack"][0]
    write_fused(fused)
    path = fused.folder.results / "stack" / "fused.json"
    assert read_record(path, FusedFigures).model_dump() == fused.figures.model_dump()
    path.write_text(path.read_text().replace('"extent_mm"', '"length_mm"'))
    with pytest.raises(InputError, match=r"'defects.0.extent_mm' is missing.*viewcov fuse"):
        read_record(path, FusedFigures)


def test_a_rule_from_outside_is_calibrated_covered_and_fused(
    calibrated: Dataset, tmp_path: Path, rule_from_outside: str
) -> None:
    calibration = calibrate_inspections(calibrated, "plain")
    write_record(tmp_path / "plain.json", calibration)
    options = CoverOptions(rule=rule_from_outside, calibration=(tmp_path / "plain.json",))
    result = cover_inspections(calibrated, ["plain"], options)
    # Its largest w sqrt(p), squared, is the largest p where all weights are 1.
    one = result.fused["plain"][0]
    assert result.figures.models["plain"].threshold == calibration.thresholds[rule_from_outside]
    assert rule_from_outside in one.figures.rules
    full = one.probability["max"] > 0.5
    np.testing.assert_array_less(one.probability[rule_from_outside][full], one.probability["max"][full] + 1e-6)
    write_fused(one)
    assert f"probability_{rule_from_outside}" in read_table(one.folder.results / "plain" / "fused.parquet")


def test_a_calibration_of_other_rules_is_no_hindrance(calibrated: Dataset, tmp_path: Path) -> None:
    known = read_calibration(own_calibration_path(calibrated.inspections()[0], "plain"))
    more = known.model_copy(update={"thresholds": {**known.thresholds, "of_another_program": 0.5}})
    write_record(tmp_path / "plain.json", more)
    fused = fuse_inspection(
        read_dataset(calibrated.root).inspections()[0], "plain", FuseOptions(calibration=(tmp_path / "plain.json",))
    )
    assert "of_another_program" not in fused.figures.rules
    assert isinstance(fused.calibration, Calibration)
