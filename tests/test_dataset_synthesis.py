"""Data sets of rendered inspections."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json, read_levels, read_mask, read_table
from viewcov.inspection.folder import Dataset, InspectionFolder, read_dataset
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.synthesis.dataset import _shared_out, _splits, synthesize
from viewcov.synthesis.options import SynthesisOptions

pytest.importorskip("mitsuba", reason="the extra 'render' is not installed")

OPTIONS = SynthesisOptions(instances=2, good=1, defects=(4, 6), samples=4, seed=11)


@pytest.fixture(scope="module")
def plan() -> InspectionPlan:
    part, rig = load_part("builtin:clutch-half"), load_rig("paper-quarter")
    camera = replace(rig.camera, width_px=96, height_px=80, pixel_pitch_um=13.8 * 6.4)
    requirements = replace(rig.requirements, max_mm_per_px=1.0)
    center = part.center_mm
    views = tuple(
        Viewpoint.looking_at(center + offset, center, id=f"view-{number}")
        for number, offset in enumerate(([0, 0, 250], [120, 60, 210], [0, -30, -240]))
    )
    small = replace(rig, camera=camera, requirements=requirements, name="small")
    return InspectionPlan(part=part.source, rig=small, requirements=requirements, viewpoints=views)


@pytest.fixture(scope="module")
def dataset(plan: InspectionPlan, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return synthesize(plan, tmp_path_factory.mktemp("synthesis") / "set", OPTIONS)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_folder_is_a_whole_data_set(plan: InspectionPlan, dataset: Dataset) -> None:
    assert list(dataset.splits) == ["good-001", "defective-001", "defective-002"]
    assert read_dataset(dataset.root) == dataset
    for folder in dataset.inspections():
        assert [view.id for view in folder.plan().viewpoints] == [view.id for view in plan.viewpoints]
        assert folder.plan().load_part().source.sha256 == plan.part.sha256
        for view in plan.viewpoints:
            image, labels = read_levels(folder.image_path(view.id)), read_levels(folder.label_path(view.id))
            assert (image.shape, image.dtype) == ((80, 96), np.uint8)
            assert (labels.shape, labels.dtype) == ((80, 96), np.uint16)
            np.testing.assert_array_equal(read_mask(folder.mask_path(view.id)), labels > 0)
            assert image.max() > 20, "something must be lit"
    json.loads((dataset.root / "dataset.json").read_text())["made"]["renderer"].index("mitsuba")


def test_truth_tells_what_the_labels_show(plan: InspectionPlan, dataset: Dataset) -> None:
    part = plan.load_part()
    for folder in dataset.inspections():
        truth, samples = read_json(folder.truth_path), read_table(folder.truth_samples_path)
        number = len(truth["defects"])
        assert truth["schema_version"] == "viewcov-truth/1"
        assert 4 <= number <= 6 if folder.name.startswith("defective") else number == 0
        assert [record["id"] for record in truth["defects"]] == list(range(1, number + 1))
        areas = np.bincount(samples["defect_id"], weights=samples["area_mm2"], minlength=number + 1)[1:]
        np.testing.assert_allclose(areas, [record["area_mm2"] for record in truth["defects"]], rtol=1e-9)
        labels = np.stack([read_levels(folder.label_path(view.id)) for view in plan.viewpoints])
        assert set(np.unique(labels).tolist()) <= set(range(number + 1))
        if number:
            assert (labels > 0).any()
            assert (samples["defect_id"].dtype, samples["part_face"].dtype) == (np.int32, np.int64)
            check_samples(part.corners_mm[samples["part_face"]], samples)


def check_samples(triangles: np.ndarray, samples: dict[str, np.ndarray]) -> None:
    """Sample points lie in their part faces."""
    points = np.column_stack([samples["x_mm"], samples["y_mm"], samples["z_mm"]])
    weights = trimesh.triangles.points_to_barycentric(triangles, points)
    assert weights.min() > -1e-6
    np.testing.assert_allclose(np.einsum("nc,nci->ni", weights, triangles), points, atol=1e-6)


def test_good_and_defective_instances_differ_in_their_finish(dataset: Dataset) -> None:
    textures = [json.dumps(read_json(folder.truth_path)["texture"]) for folder in dataset.inspections()]
    assert len(set(textures)) == 3


def test_a_disturbed_run_ends_like_an_undisturbed_one(plan: InspectionPlan, dataset: Dataset) -> None:
    before = digests(dataset.root)
    good, first, second = dataset.inspections()
    for path in (
        first.image_path("view-1"),
        first.plan_path,
        second.truth_path,
        second.mask_path("view-0"),
        good.label_path("view-2"),
    ):
        path.unlink()
    kept = first.image_path("view-0").stat().st_mtime_ns
    with pytest.raises(InputError, match="synthesize"):
        read_dataset(dataset.root)
    again = synthesize(plan, dataset.root, OPTIONS)
    assert again == dataset
    assert digests(dataset.root) == before
    assert first.image_path("view-0").stat().st_mtime_ns == kept, "what is there is not made again"


def test_another_seed_makes_another_set_and_none_is_overwritten(plan: InspectionPlan, dataset: Dataset) -> None:
    before = digests(dataset.root)
    with pytest.raises(InputError, match=r"made with another options\.seed: expected 12, found 11"):
        synthesize(plan, dataset.root, OPTIONS.model_copy(update={"seed": 12}))
    with pytest.raises(InputError, match="viewpoints_sha256"):
        synthesize(replace(plan, viewpoints=plan.viewpoints[:2]), dataset.root, OPTIONS)
    assert digests(dataset.root) == before


def test_jittered_poses_are_those_of_the_plan_in_the_folder(plan: InspectionPlan, tmp_path: Path) -> None:
    one_view = replace(plan, viewpoints=plan.viewpoints[:1])
    made = synthesize(
        one_view, tmp_path, SynthesisOptions(good=2, instances=0, samples=1, jitter_mm=0.5, jitter_deg=0.2)
    )
    assert set(made.splits.values()) == {"test"}
    planned = plan.viewpoints[0].world_from_camera
    poses = np.array([folder.plan().viewpoints[0].world_from_camera for folder in made.inspections()])
    shift = np.linalg.norm(poses[:, :3, 3] - planned[:3, 3], axis=1)
    turn = [np.rad2deg(np.arccos((np.trace(p[:3, :3].T @ planned[:3, :3]) - 1) / 2)) for p in poses]
    assert (shift > 0.05).all()
    assert (shift < 3.0).all()
    assert min(turn) > 0.01
    assert max(turn) < 1.2
    assert made.inspections()[0].plan().made["synthesis"]["jitter_mm"] == 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"instances": 0}, "the options is not valid: expected at least one instance"),
        ({"defects": (5, 2)}, "option 'defects' is not valid: expected two numbers, the lower first"),
        ({"split": (0.5, 0.1, 0.1)}, "expected shares 'split' that add up to 1"),
        ({"split": "training"}, "option 'split'"),
        ({"samples": 0}, "option 'samples'"),
        ({"jitter_mm": -1.0}, "option 'jitter_mm'"),
        ({"jitter_deg": float("nan")}, "option 'jitter_deg'"),
        ({"exposure": 0.0}, "option 'exposure'"),
        ({"bits": 12}, "option 'bits'"),
        ({"dent_radius_mm": (0.0, 1.0)}, "option 'dent_radius_mm.0'"),
        ({"processes": {3: "carved"}}, "option 'processes.3'"),
        ({"processes": {"top": "turned"}}, "CAD face numbers, not 'top'"),
        ({"finish": {"roughness_spread": 1.0}}, "option 'finish.roughness_spread'"),
        ({"sensor": {"full_well": 0}}, "option 'sensor.full_well'"),
        ({"jobs": 2}, "option 'jobs' is not valid: expected no such name"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        SynthesisOptions(**options)


def test_a_plan_without_viewpoints_is_refused(plan: InspectionPlan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no viewpoints"):
        synthesize(replace(plan, viewpoints=()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_splits_are_shares_of_instances_of_each_kind() -> None:
    options = SynthesisOptions(instances=20, good=20, seed=3, split=(0.7, 0.1, 0.2))
    splits = _splits(options)
    assert list(splits) == options.names()
    for kind in ("good", "defective"):
        of_kind = [split for name, split in splits.items() if name.startswith(kind)]
        assert [of_kind.count(split) for split in ("train", "validation", "test")] == [14, 2, 4]
    assert splits == _splits(options)
    assert splits != _splits(options.model_copy(update={"seed": 4}))
    for number in range(30):
        assert sum(_shared_out(number, (0.7, 0.1, 0.2))) == number


def test_an_instance_does_not_depend_on_the_others(plan: InspectionPlan, dataset: Dataset, tmp_path: Path) -> None:
    one_view = replace(plan, viewpoints=plan.viewpoints[1:2])
    alone = synthesize(one_view, tmp_path, OPTIONS.model_copy(update={"good": 0, "instances": 1}))
    folder, other = alone.inspections()[0], InspectionFolder(dataset.root / "defective-001")
    assert folder.truth_path.read_bytes() == other.truth_path.read_bytes()
    assert folder.image_path("view-1").read_bytes() == other.image_path("view-1").read_bytes()


def test_masks_and_truth_lie_where_the_jittered_poses_see_them(plan: InspectionPlan, tmp_path: Path) -> None:
    options = SynthesisOptions(defects=(6, 6), dent_radius_mm=(3.0, 4.0), scratch_share=0.0, samples=1, jitter_mm=6.0)
    folder = synthesize(plan, tmp_path, options).inspections()[0]
    samples, camera, off = read_table(folder.truth_samples_path), plan.rig.camera, []
    points = np.column_stack([samples["x_mm"], samples["y_mm"], samples["z_mm"]])
    for own, planned in zip(folder.plan().viewpoints, plan.viewpoints, strict=True):
        labels = read_levels(folder.label_path(own.id))
        for defect in np.unique(labels[labels > 0]):
            row, column = (at.mean() + 0.5 for at in np.nonzero(labels == defect))
            some = points[samples["defect_id"] == defect]
            shown = [camera.project(transform_points(view.camera_from_world, some)) for view in (own, planned)]
            off.append([np.linalg.norm(at - (column, row), axis=1).min() for at in shown])
    own_px, planned_px = np.array(off).T
    assert len(off) >= 3
    assert own_px.max() < 1.0
    assert planned_px.max() > 2.0
