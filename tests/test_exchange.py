"""Plans and poses to other programs and back: what each file says is checked by round trip and by a second reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import PartSource
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.plans import FORMATS, Format, export_plan, import_viewpoints, locate
from viewcov.planning.exchange.views import ImportedViews, Intrinsics, view_ids

RIG = load_rig("paper-quarter")
PART = PartSource(path="builtin:clutch-half", sha256="ab" * 32)

FILES: dict[Format, str] = {
    "plan": "plan.json",
    "colmap": "model",
    "nerfstudio": "transforms.json",
    "bop": "scene_camera.json",
    "ros": "poses.yaml",
    "csv": "poses.csv",
    "xlsx": "plan.xlsx",
}

coordinates = st.tuples(*[st.floats(-1e4, 1e4)] * 3)
turns = st.tuples(*[st.floats(-3.2, 3.2)] * 3)
small = st.floats(-0.05, 0.05)
distortions = st.one_of(
    st.just((0.0,) * 5),
    st.tuples(small, small, small, small, st.just(0.0)),
    st.tuples(small, small, small, small, small),
)
cameras = st.builds(
    Camera,
    width_px=st.integers(64, 4096),
    height_px=st.integers(64, 4096),
    focal_length_mm=st.floats(8, 75),
    pixel_pitch_um=st.floats(2, 20),
    f_number=st.just(8.0),
    focus_distance_mm=st.floats(100, 900),
    principal_x_px=st.floats(30, 2000),
    principal_y_px=st.floats(30, 2000),
    distortion=distortions,
)
poses = st.lists(st.tuples(turns, coordinates), min_size=1, max_size=5)


def plan_of(*views: Viewpoint, camera: Camera = RIG.camera) -> InspectionPlan:
    rig = replace(RIG, camera=camera)
    return InspectionPlan(part=PART, rig=rig, requirements=rig.requirements, viewpoints=views)


def views_of(poses: Sequence[tuple[Sequence[float], Sequence[float]]]) -> list[Viewpoint]:
    views = []
    for number, (turn, center) in enumerate(poses):
        world_from_camera = np.eye(4)
        world_from_camera[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
        world_from_camera[:3, 3] = center
        views.append(Viewpoint(id=f"view_{number:03d}-a", world_from_camera=world_from_camera))
    return views


def random_views(seed: int, num: int) -> list[Viewpoint]:
    rng = np.random.default_rng(seed)
    return views_of([(rng.uniform(-3, 3, 3), rng.uniform(-500, 500, 3)) for _ in range(num)])


def assert_same_poses(back: ImportedViews, views: Sequence[Viewpoint]) -> None:
    """Within 1e-9 of the distance from the origin, and 1e-12 for the axes."""
    assert len(back.viewpoints) == len(views)
    for mine, theirs in zip(views, back.viewpoints, strict=True):
        far = max(1.0, float(np.linalg.norm(mine.center_mm)))
        np.testing.assert_allclose(theirs.center_mm, mine.center_mm, rtol=0, atol=1e-9 * far)
        np.testing.assert_allclose(theirs.world_from_camera[:3, :3], mine.world_from_camera[:3, :3], rtol=0, atol=1e-12)


def refused(path: Path, words: str, fmt: Format | None = None) -> None:
    with pytest.raises(InputError, match=words) as caught:
        import_viewpoints(path, fmt=fmt)
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)


# Ids.


@given(st.lists(st.text(max_size=80), max_size=12))
def test_every_name_gets_a_valid_id_of_its_own(names: list[str]) -> None:
    ids = view_ids(names)
    assert len(set(ids)) == len(names)
    for name in ids:
        Viewpoint(id=name, world_from_camera=np.eye(4))
    assert view_ids(ids) == ids  # Valid ids that differ stay as they are.


def test_names_become_ids_that_a_person_recognises() -> None:
    names = ["a b", "a-b", "a/b", "_x", "", "ä", "v1.5", "n" * 70, "n" * 70, "Com1"]
    ids = ("a-b", "a-b-2", "a-b-3", "x", "view", "view-2", "v1-5", "n" * 64, "n" * 62 + "-2", "view-Com1")
    assert view_ids(names) == ids


def test_cameras_are_compared_by_where_they_put_points() -> None:
    camera = replace(RIG.camera, distortion=(0.01, 0.0, 0.0, 0.0, 0.0))
    same = Intrinsics.of(camera)
    assert same.largest_shift_px(camera) < 1e-9
    assert replace(same, center_x_px=same.center_x_px + 3.0).largest_shift_px(camera) == pytest.approx(3.0)
    # One part in a thousand of the focal length moves the corner by a thousandth of its distance from the middle.
    corner = np.hypot(*camera.center_px)
    longer = replace(same, focal_x_px=same.focal_x_px * 1.001, focal_y_px=same.focal_y_px * 1.001)
    assert longer.largest_shift_px(camera) == pytest.approx(corner / 1000, rel=1e-6)


# Every format.


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=25)
@given(poses=poses, camera=cameras)
def test_a_plan_comes_back(
    tmp_path_factory: pytest.TempPathFactory, fmt: Format, poses: list[Any], camera: Camera
) -> None:
    if fmt == "bop":
        camera = replace(camera, distortion=(0.0,) * 5)
    path = tmp_path_factory.mktemp("again") / FILES[fmt]
    views = views_of(poses)
    export_plan(plan_of(*views, camera=camera), path, to=fmt)
    assert locate(path)[0] == fmt
    back = import_viewpoints(path)
    assert_same_poses(back, views)
    assert back.renamed == {}
    if fmt != "ros":  # Which has no names.
        assert [view.id for view in back.viewpoints] == [view.id for view in views]
    assert_same_camera(back.camera, camera, fmt)


def assert_same_camera(back: Intrinsics | None, camera: Camera, fmt: Format) -> None:
    if fmt in ("ros", "csv", "xlsx"):
        assert back is None
    elif fmt == "bop":
        assert back is not None
        assert (back.width_px, back.height_px) == (None, None)
        assert back.largest_shift_px(camera) < 1e-9
    else:
        assert back == Intrinsics.of(camera)


def test_folders_that_are_no_colmap_model_are_one_line(tmp_path: Path) -> None:
    refused(tmp_path, "cannot tell the format of this folder")
    (tmp_path / "images.bin").touch()
    refused(tmp_path, "model_converter --output_type TXT")
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 9 1 a.png\n\n")
    refused(tmp_path, r"cameras\.txt: no such file")
    write_plan(tmp_path / "plan.json", plan_of(*random_views(1, 1)))
    refused(tmp_path, r"found colmap and plan; name the file")
    assert len(import_viewpoints(tmp_path, fmt="plan").viewpoints) == 1
    refused(tmp_path / "absent", "no such file")
    refused(tmp_path, "a file in the format csv", fmt="csv")
