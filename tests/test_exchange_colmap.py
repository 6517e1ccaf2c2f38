"""COLMAP's files, with COLMAP's own library as the second reader and writer."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import PartSource
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.plans import export_plan, import_viewpoints
from viewcov.planning.exchange.views import Intrinsics, pose

RIG = load_rig("paper-quarter")
PART = PartSource(path="builtin:clutch-half", sha256="ab" * 32)


def plan_of(*views: Viewpoint, camera: Camera = RIG.camera) -> InspectionPlan:
    rig = replace(RIG, camera=camera)
    return InspectionPlan(part=PART, rig=rig, requirements=rig.requirements, viewpoints=views)


def random_views(seed: int, num: int) -> list[Viewpoint]:
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.uniform(-2, 2, (num, 3))).as_matrix()
    centers = rng.uniform(-500, 500, (num, 3))
    pairs = enumerate(zip(turns, centers, strict=True))
    return [Viewpoint(id=f"view_{n:03d}-a", world_from_camera=pose(turn, center)) for n, (turn, center) in pairs]


def points_in_view(camera: Camera, seed: int, num: int = 20) -> Floats:
    """Points in the camera frame that lie in the image, off the far corners where distortion may turn back."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0.2, 0.8, (num, 2)) * (camera.width_px, camera.height_px)
    rays = (pixels - camera.center_px) / camera.focal_px
    return np.column_stack([rays, np.ones(num)]) * rng.uniform(100, 500, (num, 1))


READ_MODELS = """
import json, sys
import pycolmap
answers = []
for folder, points in json.load(sys.stdin):
    model = pycolmap.Reconstruction(folder)
    camera = model.cameras[1]
    pixels = {
        image.name: [image.project_point(point).tolist() for point in points[image.name]]
        for image in model.images.values()
    }
    answers.append({"model": camera.model_name, "size": [camera.width, camera.height],
                    "K": camera.calibration_matrix().tolist(), "pixels": pixels})
print(json.dumps(answers))
"""
HALVE_CAMERA = """
import json, sys
import pycolmap
camera = pycolmap.Camera(model="PINHOLE", **json.load(sys.stdin))
camera.rescale(camera.width // 2, camera.height // 2)
print(json.dumps({"size": [camera.width, camera.height], "K": camera.calibration_matrix().tolist()}))
"""
WRITE_MODEL = """
import json, sys
import pycolmap
folder, views = json.load(sys.stdin)
model = pycolmap.Reconstruction()
model.add_camera_with_trivial_rig(
    pycolmap.Camera(model="RADIAL", width=640, height=480, params=[700, 320, 240, 0.1, 0.01], camera_id=7)
)
for number, (name, camera_from_world) in enumerate(views.items(), start=5):
    image = pycolmap.Image(name=name, camera_id=7, image_id=number)
    model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(camera_from_world))
model.write_text(folder)
print("null")
"""


def pycolmap(script: str, value: Any) -> Any:
    """What a script with pycolmap answers; in a process of its own, where it does not meet VTK's OpenGL."""
    if importlib.util.find_spec("pycolmap") is None:
        pytest.skip("pycolmap is not installed; it comes with the extra dev")
    run = subprocess.run(
        [sys.executable, "-P", "-c", script], input=json.dumps(value), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_pycolmap_projects_points_as_viewcov_does(tmp_path: Path) -> None:
    models = {
        "PINHOLE": (0.0,) * 5,
        "OPENCV": (0.02, -0.01, 0.003, -0.004, 0.0),
        "FULL_OPENCV": (0.02, -0.01, 0.003, -0.004, 0.03),
    }
    views = random_views(1, 4)
    cameras, asked = {}, []
    for model, distortion in models.items():
        camera = replace(RIG.camera, principal_x_px=300.25, principal_y_px=140.5, distortion=distortion)
        in_camera = points_in_view(camera, seed=2)
        points = {f"{v.id}.png": transform_points(v.world_from_camera, in_camera).tolist() for v in views}
        for age in ("new", "old"):
            folder = tmp_path / f"{model}-{age}"
            export_plan(plan_of(*views, camera=camera), folder, to="colmap")
            asked.append((str(folder), points))
            cameras[model, age] = camera
            if age == "old":  # COLMAP before 3.12 had no rigs.
                (folder / "rigs.txt").unlink()
                (folder / "frames.txt").unlink()
    for ((model, _), camera), theirs in zip(cameras.items(), pycolmap(READ_MODELS, asked), strict=True):
        assert (theirs["model"], theirs["size"]) == (model, [camera.width_px, camera.height_px])
        np.testing.assert_allclose(theirs["K"], camera.K, rtol=1e-15)
        assert set(theirs["pixels"]) == {f"{view.id}.png" for view in views}
        ours = camera.project(points_in_view(camera, seed=2))
        for pixels in theirs["pixels"].values():
            np.testing.assert_allclose(pixels, ours, rtol=0, atol=1e-8)


def test_colmap_has_the_first_pixel_centre_where_viewcov_has_it() -> None:
    """Shrinking an image moves the principal point by another rule where centres are at whole numbers."""
    camera = replace(RIG.camera, width_px=640, height_px=480, principal_x_px=300.0, principal_y_px=140.0)
    params = [camera.focal_px, camera.focal_px, *camera.center_px]
    theirs = pycolmap(HALVE_CAMERA, {"params": params, "width": camera.width_px, "height": camera.height_px})
    half = camera.binned(2)
    assert theirs["size"] == [half.width_px, half.height_px]
    np.testing.assert_allclose(theirs["K"], half.K, rtol=1e-15)


def test_a_model_that_pycolmap_wrote_is_read(tmp_path: Path) -> None:
    views = random_views(3, 3)
    asked = {f"cam/{view.id}.jpg": view.camera_from_world[:3].tolist() for view in views}
    pycolmap(WRITE_MODEL, (str(tmp_path), asked))
    back = import_viewpoints(tmp_path / "images.txt")
    # It writes the images in an order of its own.
    order = np.argsort(back.names)
    back = replace(
        back,
        viewpoints=tuple(back.viewpoints[place] for place in order),
        names=tuple(back.names[place] for place in order),
    )
    assert back.renamed == {}
    for mine, theirs in zip(views, back.viewpoints, strict=True):
        assert theirs.id == mine.id
        np.testing.assert_allclose(theirs.world_from_camera, mine.world_from_camera, rtol=0, atol=1e-9)
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
    with pytest.raises(InputError, match=words) as caught:
        import_viewpoints(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert len(str(caught.value).splitlines()) == 1
