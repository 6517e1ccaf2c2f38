"""What the files for nerfstudio, BOP and ROS say, by the formulas of the programs that read them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import PartSource
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.poses import inverse, transform_points
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.plans import export_plan, import_viewpoints
from viewcov.planning.exchange.views import pose

RIG = load_rig("paper-quarter")
PINHOLE = replace(RIG.camera, principal_x_px=300.25, principal_y_px=140.5)
DISTORTED = replace(PINHOLE, distortion=(0.02, -0.01, 0.003, -0.004, 0.03))
PIXELS = np.array([[0, 0], [100, 50], [611, 255], [17, 200]])  # Column and row, as an image is indexed.


def plan_of(*views: Viewpoint, camera: Camera = PINHOLE) -> InspectionPlan:
    rig = replace(RIG, camera=camera)
    part = PartSource(path="builtin:clutch-half", sha256="ab" * 32)
    return InspectionPlan(part=part, rig=rig, requirements=rig.requirements, viewpoints=views)


def random_views(seed: int, num: int) -> list[Viewpoint]:
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.uniform(-2, 2, (num, 3))).as_matrix()
    centers = rng.uniform(-500, 500, (num, 3))
    pairs = enumerate(zip(turns, centers, strict=True))
    return [Viewpoint(id=f"v{n}", world_from_camera=pose(turn, center)) for n, (turn, center) in pairs]


def refused(path: Path, value: Any, words: str) -> None:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(InputError, match=words) as caught:
        import_viewpoints(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


# nerfstudio.


def nerfstudio_pixels(value: dict[str, Any], frame: dict[str, Any], points_mm: Floats) -> Floats:
    """Pixel coordinates that nerfstudio's equations tie to points of the world.

    Its Cameras start from the pixel and solve these equations for the undistorted direction.
    """
    world_from_gl = np.array(frame["transform_matrix"])
    in_gl = transform_points(inverse(world_from_gl), points_mm)
    x, y = in_gl[:, 0] / -in_gl[:, 2], -in_gl[:, 1] / -in_gl[:, 2]
    r = x * x + y * y
    d = 1.0 + r * (value["k1"] + r * (value["k2"] + r * value["k3"]))
    p1, p2 = value["p1"], value["p2"]
    xd = d * x + 2 * p1 * x * y + p2 * (r + 2 * x * x)
    yd = d * y + 2 * p2 * x * y + p1 * (r + 2 * y * y)
    return np.column_stack([xd * value["fl_x"] + value["cx"], yd * value["fl_y"] + value["cy"]])


@pytest.mark.parametrize("camera", [PINHOLE, DISTORTED])
def test_nerfstudio_sees_what_viewcov_sees(tmp_path: Path, camera: Camera) -> None:
    path = tmp_path / "transforms.json"
    views = random_views(1, 3)
    export_plan(plan_of(*views, camera=camera), path, to="nerfstudio")
    value = json.loads(path.read_text())
    assert (value["w"], value["h"], value["camera_model"]) == (camera.width_px, camera.height_px, "OPENCV")
    in_camera = camera.rays(PIXELS + 0.5) * 200.0
    for view, frame in zip(views, value["frames"], strict=True):
        assert frame["file_path"] == f"images/{view.id}.png"
        in_world = transform_points(view.world_from_camera, in_camera)
        # nerfstudio's ray through a pixel goes through its index + 0.5.
        np.testing.assert_allclose(nerfstudio_pixels(value, frame, in_world), PIXELS + 0.5, rtol=0, atol=1e-7)


def test_opengl_cameras_look_along_minus_z_with_y_up(tmp_path: Path) -> None:
    """A camera beside the part that looks along +X of the world, its image upright."""
    view = Viewpoint.looking_at([-200, 0, 0], [0, 0, 0], id="v")
    export_plan(plan_of(view), tmp_path / "transforms.json", to="nerfstudio")
    (frame,) = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    matrix = np.array(frame["transform_matrix"])
    np.testing.assert_allclose(matrix[:3, 1], [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(-matrix[:3, 2], [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(matrix[:3, 3], [-200, 0, 0])
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)


def written(path: Path, to: Any) -> dict[str, Any]:
    export_plan(plan_of(*random_views(1, 2)), path, to=to)
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def test_what_nerfstudio_applied_to_the_poses_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "transforms.json"
    value = written(path, "nerfstudio")
    # As ns-process-data turns COLMAP's world, and then some scale.
    applied = np.array([[1.0, 0, 0, 5], [0, 0, 1, 6], [0, -1, 0, 7]])
    for frame in value["frames"]:
        moved = np.vstack([applied, [0, 0, 0, 1]]) @ np.array(frame["transform_matrix"])
        moved[:3, 3] *= 0.01
        frame["transform_matrix"] = moved.tolist()
    path.write_text(json.dumps({**value, "applied_transform": applied.tolist(), "applied_scale": 0.01}))
    back = import_viewpoints(path)
    for mine, theirs in zip(random_views(1, 2), back.viewpoints, strict=True):
        np.testing.assert_allclose(theirs.world_from_camera, mine.world_from_camera, rtol=0, atol=1e-9)


def test_cameras_of_single_frames_count(tmp_path: Path) -> None:
    path = tmp_path / "transforms.json"
    value = written(path, "nerfstudio")
    first, second = value["frames"]
    for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
        first[key] = second[key] = value.pop(key)
    path.write_text(json.dumps(value))
    camera = import_viewpoints(path).camera
    assert camera is not None
    assert camera.largest_shift_px(PINHOLE) < 1e-9
    del value["frames"][0]["fl_x"], value["frames"][1]["fl_x"]
    path.write_text(json.dumps(value))
    assert import_viewpoints(path).camera is None
    first["fl_x"], second["fl_x"] = 800.0, 801.0
    refused(path, value, "different cameras.*800 and 801")
    path.write_text(json.dumps({**value, "fl_x": 900.0}))  # The top wins, as in nerfstudio.
    camera = import_viewpoints(path).camera
    assert camera is not None
    assert camera.focal_x_px == 900.0


SCALED = (np.diag([2.0, 2.0, 2.0, 1.0])).tolist()
MIRROR = (np.diag([1.0, 1.0, -1.0, 1.0])).tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": []}, "no viewpoints"),
        ({"frames": 3}, "'frames' is not valid"),
        ({"frames": [{"file_path": "a.png"}]}, r"frame 0: field 'transform_matrix' is missing"),
        ({"frames": [{"file_path": "a", "transform_matrix": SCALED}]}, "not a rotation.*stretched by 2 to 2"),
        ({"frames": [{"file_path": "a", "transform_matrix": MIRROR}]}, "a mirror image"),
        ({"frames": [{"file_path": "a", "transform_matrix": [[1, 0], [0, 1]]}]}, "not a rigid transform"),
        ({"camera_model": "OPENCV_FISHEYE"}, "frame 0: a camera that no rig has.*OPENCV_FISHEYE"),
        ({"k4": 0.1}, "with k4 = 0.1"),
        ({"fl_x": "long"}, r"frame 0: field 'fl_x' is not valid"),
        ({"applied_scale": 0}, "'applied_scale' is not valid: expected greater than 0"),
        ({"applied_transform": SCALED}, "applied_transform: not a rotation"),
    ],
)
def test_wrong_transforms_are_one_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "transforms.json"
    refused(path, {**written(path, "nerfstudio"), **change}, words)


# BOP.


def test_bop_projects_to_whole_numbers_at_pixel_centres(tmp_path: Path) -> None:
    """As its toolkit's project_pts and depth_im_to_dist_im do: K [R t], and the ray of pixel x is (x - cx) / fx."""
    path = tmp_path / "scene_camera.json"
    views = random_views(2, 3)
    export_plan(plan_of(*views), path, to="bop")
    in_camera = PINHOLE.rays(PIXELS + 0.5) * 200.0
    for (key, entry), (number, view) in zip(json.loads(path.read_text()).items(), enumerate(views), strict=True):
        assert (key, entry["viewcov_id"]) == (str(number), view.id)
        K, R, t = np.reshape(entry["cam_K"], (3, 3)), np.reshape(entry["cam_R_w2c"], (3, 3)), entry["cam_t_w2c"]
        homogeneous = transform_points(view.world_from_camera, in_camera) @ R.T @ K.T + K @ t
        np.testing.assert_allclose(homogeneous[:, :2] / homogeneous[:, 2:], PIXELS, rtol=0, atol=1e-8)
        np.testing.assert_allclose((PIXELS[:, 0] - K[0, 2]) / K[0, 0], in_camera[:, 0] / 200.0, rtol=0, atol=1e-12)


def test_bop_images_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "scene_camera.json"
    value = written(path, "bop")
    for entry in value.values():
        del entry["viewcov_id"]
    path.write_text(json.dumps({"10": value["1"], "9": value["0"]}))
    back = import_viewpoints(path)
    assert [view.id for view in back.viewpoints] == ["000009", "000010"]
    np.testing.assert_allclose(back.viewpoints[0].center_mm, random_views(1, 2)[0].center_mm, atol=1e-9)


@pytest.mark.parametrize(
    ("key", "new", "words"),
    [
        ("cam_R_w2c", None, "image 1: field 'cam_R_w2c' is not valid"),
        ("cam_R_w2c", [1, 0, 0, 0, 1, 0, 0, 0, -1], "image 1: not a rotation.*mirror"),
        ("cam_t_w2c", [1, 2], "'cam_t_w2c' is not valid"),
        ("cam_K", [800, 3, 320, 0, 800, 240, 0, 0, 1], "a camera that no rig has"),
        ("cam_K", [900, 0, 320, 0, 900, 240, 0, 0, 1], "different cameras"),
    ],
)
def test_wrong_scene_cameras_are_one_line(tmp_path: Path, key: str, new: Any, words: str) -> None:
    path = tmp_path / "scene_camera.json"
    value = written(path, "bop")
    value["1"][key] = new
    refused(path, value, words)


def test_bop_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="BOP has no lens distortion"):
        export_plan(plan_of(*random_views(1, 1), camera=DISTORTED), tmp_path / "s.json", to="bop")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "s.json").write_text('{"first": {"cam_K": []}}')
    with pytest.raises(InputError, match="image numbers as keys"):
        import_viewpoints(tmp_path / "s.json")


# ROS.


def test_ros_poses_are_in_metres_with_the_optical_axis_along_z(tmp_path: Path) -> None:
    path = tmp_path / "poses.yaml"
    view = Viewpoint.looking_at([-200, 30, 0], [0, 30, 0], id="v")
    export_plan(plan_of(view), path, to="ros")
    message = yaml.safe_load(path.read_text())
    # ROS refuses a message with a field that its definition lacks.
    assert set(message) == {"header", "poses"}
    assert message["header"] == {"frame_id": "part"}
    (entry,) = message["poses"]
    assert set(entry) == {"position", "orientation"}
    assert [entry["position"][axis] for axis in "xyz"] == pytest.approx([-0.2, 0.03, 0.0])
    turn = Rotation.from_quat([entry["orientation"][axis] for axis in "xyzw"])
    np.testing.assert_allclose(turn.apply([0, 0, 1]), [1, 0, 0], atol=1e-15)  # Optical z looks at the part,
    np.testing.assert_allclose(turn.apply([0, 1, 0]), [0, 0, -1], atol=1e-15)  # optical y points down.


def test_a_message_echoed_by_ros_is_read(tmp_path: Path) -> None:
    path = tmp_path / "echo.yaml"
    text = """header:
  stamp: {sec: 1, nanosec: 2}
  frame_id: base
poses:
- position: {x: 0.001, y: 2.0e-3, z: 1}
  orientation: {x: 0, y: 0.0, z: 0.70711, w: 0.70711}
---
"""
    path.write_text(text)
    (view,) = import_viewpoints(path).viewpoints
    assert view.id == "pose-001"
    np.testing.assert_allclose(view.center_mm, [1, 2, 1000])
    np.testing.assert_allclose(view.world_from_camera[:3, 0], [0, 1, 0], atol=1e-15)
    refused(path, text + text, "expected one PoseArray, found 2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("poses: [", "expected a YAML file"),
        ("", "found 0"),
        ("- 1", "the content is not valid"),
        ("poses: []", "no viewpoints"),
        ("poses: [{position: {x: 0, y: 0}, orientation: {x: 0, y: 0, z: 0, w: 1}}]", r"'poses\.0\.position\.z'"),
        ("poses: [{position: {x: 0, y: 0, z: .inf}, orientation: {x: 0, y: 0, z: 0, w: 1}}]", "finite"),
        ("poses: [{position: {x: 0, y: 0, z: 0}, orientation: {x: 0, y: 0, z: 0, w: 2}}]", "pose 1: not a unit"),
    ],
)
def test_wrong_pose_arrays_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    refused(tmp_path / "poses.yml", text, words)
