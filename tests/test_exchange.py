"""Plans and poses to other programs and back: what each file says is checked by round trip and by a second reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from viewcov.inspection.arrays import Floats
from viewcov.inspection.camera import Camera
from viewcov.inspection.errors import InputError
from viewcov.inspection.part import PartSource
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange import export_plan, import_viewpoints
from viewcov.planning.exchange_formats import Format
from viewcov.planning.exchange_views import ImportedViews, Intrinsics, view_ids

RIG = load_rig("paper-quarter")
PART = PartSource(path="builtin:clutch-half", sha256="ab" * 32)

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


def assert_same_ids(back: ImportedViews, views: Sequence[Viewpoint]) -> None:
    assert [view.id for view in back.viewpoints] == [view.id for view in views]
    assert back.renamed == {}


def points_in_view(camera: Camera, seed: int, num: int = 20) -> Floats:
    """Points in the camera frame that lie in the image, off the far corners where distortion may turn back."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0.2, 0.8, (num, 2)) * (camera.width_px, camera.height_px)
    rays = (pixels - camera.center_px) / camera.focal_px
    return np.column_stack([rays, np.ones(num)]) * rng.uniform(100, 500, (num, 1))


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
    names = ["a b", "a-b", "a/b", "_x", "", "ä", "v1.5", "n" * 70, "n" * 70]
    assert view_ids(names) == ("a-b", "a-b-2", "a-b-3", "x", "view", "view-2", "v1-5", "n" * 64, "n" * 62 + "-2")


def test_cameras_are_compared_by_where_they_put_points() -> None:
    camera = replace(RIG.camera, distortion=(0.01, 0.0, 0.0, 0.0, 0.0))
    same = Intrinsics.of(camera)
    assert same.largest_shift_px(camera) < 1e-9
    assert replace(same, center_x_px=same.center_x_px + 3.0).largest_shift_px(camera) == pytest.approx(3.0)
    # One part in a thousand of the focal length moves the corner by a thousandth of its distance from the middle.
    corner = np.hypot(*camera.center_px)
    longer = replace(same, focal_x_px=same.focal_x_px * 1.001, focal_y_px=same.focal_y_px * 1.001)
    assert longer.largest_shift_px(camera) == pytest.approx(corner / 1000, rel=1e-6)


# COLMAP.


@settings(max_examples=40)
@given(poses=poses, camera=cameras)
def test_colmap_comes_back(tmp_path_factory: pytest.TempPathFactory, poses: list, camera: Camera) -> None:
    folder = tmp_path_factory.getbasetemp() / "colmap"
    views = views_of(poses)
    export_plan(plan_of(*views, camera=camera), folder, to="colmap")
    back = import_viewpoints(folder)
    assert_same_ids(back, views)
    assert_same_poses(back, views)
    assert back.camera == Intrinsics.of(camera)


@pytest.mark.parametrize("with_rigs", [True, False])
@pytest.mark.parametrize(
    ("distortion", "model"),
    [
        ((0.0,) * 5, "PINHOLE"),
        ((0.02, -0.01, 0.003, -0.004, 0.0), "OPENCV"),
        ((0.02, -0.01, 0.003, -0.004, 0.03), "FULL_OPENCV"),
    ],
)
def test_pycolmap_projects_points_as_viewcov_does(
    tmp_path: Path, distortion: tuple[float, ...], model: str, with_rigs: bool
) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    camera = replace(RIG.camera, principal_x_px=300.25, principal_y_px=140.5, distortion=distortion)
    views = random_views(1, 4)
    export_plan(plan_of(*views, camera=camera), tmp_path / "model", to="colmap")
    if not with_rigs:  # As COLMAP before 3.12 has it.
        (tmp_path / "model" / "rigs.txt").unlink()
        (tmp_path / "model" / "frames.txt").unlink()
    model_read = pycolmap.Reconstruction(tmp_path / "model")
    theirs = model_read.cameras[1]
    assert (theirs.model_name, theirs.width, theirs.height) == (model, camera.width_px, camera.height_px)
    np.testing.assert_allclose(theirs.calibration_matrix(), camera.K, rtol=1e-15)
    images = {image.name: image for image in model_read.images.values()}
    for view in views:
        in_camera = points_in_view(camera, seed=2)
        in_world = transform_points(view.world_from_camera, in_camera)
        image = images[f"{view.id}.png"]
        seen = np.array([image.project_point(point) for point in in_world])
        np.testing.assert_allclose(seen, camera.project(in_camera), rtol=0, atol=1e-8)


def test_colmap_has_the_first_pixel_centre_where_viewcov_has_it() -> None:
    """Shrinking an image moves the principal point by another rule where centres are at whole numbers."""
    pycolmap = pytest.importorskip("pycolmap")
    camera = replace(RIG.camera, width_px=640, height_px=480, principal_x_px=300.0, principal_y_px=140.0)
    params = [camera.focal_px, camera.focal_px, *camera.center_px]
    theirs = pycolmap.Camera(model="PINHOLE", params=params, width=camera.width_px, height=camera.height_px)
    theirs.rescale(camera.width_px // 2, camera.height_px // 2)
    half = camera.binned(2)
    assert (theirs.width, theirs.height) == (half.width_px, half.height_px)
    np.testing.assert_allclose(theirs.calibration_matrix(), half.K, rtol=1e-15)


def test_a_model_that_pycolmap_wrote_is_read(tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    views = random_views(3, 3)
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(model="RADIAL", width=640, height=480, params=[700, 320, 240, 0.1, 0.01], camera_id=7)
    model.add_camera_with_trivial_rig(camera)
    for number, view in enumerate(views, start=5):
        pose = pycolmap.Rigid3d(view.camera_from_world[:3])
        image = pycolmap.Image(name=f"cam/{view.id}.jpg", camera_id=7, image_id=number)
        model.add_image_with_trivial_frame(image, pose)
    (tmp_path / "model").mkdir()
    model.write_text(tmp_path / "model")
    back = import_viewpoints(tmp_path / "model" / "images.txt")
    # It writes the images in an order of its own.
    order = np.argsort(back.names)
    back = replace(
        back,
        viewpoints=tuple(back.viewpoints[place] for place in order),
        names=tuple(back.names[place] for place in order),
    )
    assert_same_ids(back, views)
    assert_same_poses(back, views)
    assert back.camera == Intrinsics(
        focal_x_px=700, focal_y_px=700, center_x_px=320, center_y_px=240, distortion=(0.1, 0.01, 0, 0, 0),
        width_px=640, height_px=480,
    )  # fmt: skip


def test_a_colmap_folder_keeps_its_other_files_and_is_never_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    export_plan(plan_of(*random_views(1, 2)), folder, to="colmap")
    before = {file.name: file.read_text() for file in folder.iterdir()}
    assert before["notes.txt"] == "mine"
    assert set(before) == {"cameras.txt", "images.txt", "points3D.txt", "rigs.txt", "frames.txt", "notes.txt"}

    write_text = Path.write_text

    def full_disk(path: Path, *arguments: str) -> int:
        if path.name.endswith("frames.txt"):
            raise OSError(28, "No space left on device")
        return write_text(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full_disk)
        with pytest.raises(InputError, match="No space left"):
            export_plan(plan_of(*random_views(2, 3)), folder, to="colmap")
    assert {file.name: file.read_text() for file in folder.iterdir()} == before

    (folder / "images.bin").touch()
    with pytest.raises(InputError, match="COLMAP reads binary files before text"):
        export_plan(plan_of(*random_views(2, 3)), folder, to="colmap")
    (folder / "file").touch()
    with pytest.raises(InputError, match="a COLMAP model is a folder"):
        export_plan(plan_of(*random_views(2, 3)), folder / "file", to="colmap")


CAMERA_LINE = "1 PINHOLE 640 480 800 800 320 240"
IMAGE_LINES = "1 1 0 0 0 0 0 9 1 a.png\n\n"


@pytest.mark.parametrize(
    ("cameras", "images", "words"),
    [
        ("1 OPENCV_FISHEYE 640 480 8 8 3 2 0 0 0 0", IMAGE_LINES, "line 1: a camera model that no rig has"),
        ("1 FULL_OPENCV 640 480 8 8 3 2 0 0 0 0 0 0.1 0 0", IMAGE_LINES, "k4 = k5 = k6 = 0, found k4"),
        ("1 PINHOLE 640 480 8 8 3", IMAGE_LINES, "expected 8 values, found 7"),
        ("1 PINHOLE 640 480 8 8 3 nan", IMAGE_LINES, "not a number"),
        (CAMERA_LINE, "# none\n", "no viewpoints"),
        (CAMERA_LINE, "1 1 0 0 0 0 0 9 2 a.png\n\n", "no such camera: expected one of 1, found 2"),
        (CAMERA_LINE, "1 1 1 0 0 0 0 9 1 a.png\n\n", r"not a unit quaternion.*found 1\.41421"),
        (CAMERA_LINE, "1 1 0 0 0 0 0 x 1 a.png\n\n", "line 1: not a number"),
        (CAMERA_LINE, "1 1 0 0 0 0 0 9 1\n", "expected 10 values, found 9"),
        (CAMERA_LINE, "1 1 0 0 0 0 0 9 1 a.png\n2 1 0 0 0 0 0 9 1 b.png\n", "line 2: not the 2D points"),
        (
            CAMERA_LINE + "\n2 PINHOLE 640 480 900 900 320 240",
            IMAGE_LINES + "2 1 0 0 0 0 0 9 2 b.png\n\n",
            "different cameras.*800 and 900",
        ),
    ],
)
def test_wrong_colmap_files_are_one_line(tmp_path: Path, cameras: str, images: str, words: str) -> None:
    (tmp_path / "cameras.txt").write_text(cameras + "\n")
    (tmp_path / "images.txt").write_text(images)
    refused(tmp_path, words)


def test_folders_that_are_no_colmap_model_are_one_line(tmp_path: Path) -> None:
    refused(tmp_path, "cannot tell the format of this folder")
    (tmp_path / "images.bin").touch()
    refused(tmp_path, "model_converter --output_type TXT")
    (tmp_path / "images.txt").write_text(IMAGE_LINES)
    refused(tmp_path, r"cameras\.txt: cannot read it")
    write_plan(tmp_path / "plan.json", plan_of(*random_views(1, 1)))
    refused(tmp_path, r"found colmap and plan; name the file")
    assert len(import_viewpoints(tmp_path, fmt="plan").viewpoints) == 1
    refused(tmp_path / "absent", "no such file")
    refused(tmp_path, "a file in the format csv", fmt="csv")
