"""nerfstudio's transforms.json.

Poses are world_from_camera with OpenGL's camera axes: +x right, +y up, -z forward. Rays go through pixel + 0.5, so
the principal point is as in viewcov. The camera model is OPENCV; nerfstudio reads its k3 too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json, write_json
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.poses import inverse
from viewcov.inspection.records import Foreign, Positive, checked
from viewcov.planning.exchange.views import AGAIN, ImportedViews, Intrinsics, PoseFormat, imported, matrix_pose

_NUMBERS = ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2", "k3")
_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


class _Camera(Foreign):
    camera_model: str = "OPENCV"
    w: int | None = None
    h: int | None = None
    fl_x: float | None = None
    fl_y: float | None = None
    cx: float | None = None
    cy: float | None = None
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    p1: float = 0.0
    p2: float = 0.0


class _Frame(Foreign):
    file_path: str
    transform_matrix: list[list[float]]


class _Transforms(Foreign):
    frames: list[dict[str, Any]]
    applied_transform: list[list[float]] | None = None
    applied_scale: Positive = 1.0


def opengl_from_opencv(world_from_camera: Floats) -> Floats:
    """The pose of a camera with its axes as OpenGL has them, shape (4, 4), and the other way round."""
    return world_from_camera @ _OPENGL_FROM_OPENCV


def write_nerfstudio(path: Path, plan: InspectionPlan) -> None:
    """Write transforms.json; images are expected at images/<id>.png beside it."""
    camera = Intrinsics.of(plan.rig.camera)
    value = {
        "camera_model": "OPENCV",
        "w": camera.width_px,
        "h": camera.height_px,
        **dict(zip(_NUMBERS, camera.numbers, strict=True)),
        "frames": [
            {
                "file_path": f"images/{view.id}.png",
                "transform_matrix": opengl_from_opencv(view.world_from_camera).tolist(),
            }
            for view in plan.viewpoints
        ],
    }
    write_json(path, value)


def read_nerfstudio(path: Path) -> ImportedViews:
    """The frames of transforms.json in their order; what was applied to the source's poses is undone.

    Raises
    ------
    InputError
        If the file does not fit, a frame is no rigid pose, or the cameras differ or are no pinhole with OpenCV's
        distortion.
    """
    value = read_json(path)
    transforms = checked(value, _Transforms, where=path, remedy=AGAIN)
    source_from_file, applied = np.eye(4), transforms.applied_transform
    if applied is not None:  # The turn that nerfstudio's converters note is undone.
        source_from_file = inverse(_rigid(applied, f"{path} applied_transform"))
    names, poses, cameras = [], [], []
    for number, entry in enumerate(transforms.frames):
        where = f"{path} frame {number}"
        frame = checked(entry, _Frame, where=where, remedy=AGAIN)
        # What stands at the top holds for all frames, whatever they say themselves: so nerfstudio reads it.
        camera = _intrinsics(checked({**entry, **value}, _Camera, where=where, remedy=AGAIN), where)
        file_from_camera = _rigid(frame.transform_matrix, where)
        file_from_camera[:3, 3] /= transforms.applied_scale
        names.append(frame.file_path)
        poses.append(opengl_from_opencv(source_from_file @ file_from_camera))
        if camera is not None:
            cameras.append(camera)
    return imported(path, names, poses, cameras=cameras, images=True)


def _rigid(rows: list[list[float]], where: str) -> Floats:
    """The rigid transform, shape (4, 4), in three or four rows of four."""
    fits = len(rows) in (3, 4) and all(len(row) == 4 for row in rows)
    if not fits or (len(rows) == 4 and not np.allclose(rows[3], (0, 0, 0, 1), rtol=0, atol=1e-9)):
        raise InputError(
            where, "not a rigid transform", expected="rows of four numbers, the last 0 0 0 1", found=str(rows)[-60:],
            remedy=AGAIN,
        )  # fmt: skip
    matrix = np.array(rows)
    return matrix_pose(matrix[:3, :3], matrix[:3, 3], where=where)


def _intrinsics(camera: _Camera, where: str) -> Intrinsics | None:
    if camera.camera_model not in _MODELS or camera.k4 != 0.0:
        raise InputError(
            where, "a camera that no rig has", expected=f"camera_model {' or '.join(_MODELS)} with k4 = 0",
            found=f"{camera.camera_model} with k4 = {camera.k4:g}", remedy="undistort the images",
        )  # fmt: skip
    if camera.fl_x is None or camera.cx is None or camera.cy is None:
        return None
    return Intrinsics(
        focal_x_px=camera.fl_x,
        focal_y_px=camera.fl_x if camera.fl_y is None else camera.fl_y,
        center_x_px=camera.cx,
        center_y_px=camera.cy,
        distortion=(camera.k1, camera.k2, camera.p1, camera.p2, camera.k3),
        width_px=camera.w,
        height_px=camera.h,
    )


FORMAT = PoseFormat(
    name="nerfstudio",
    read=read_nerfstudio,
    write=write_nerfstudio,
    members=("transforms.json",),
    recognises=lambda table: "frames" in table,
)
