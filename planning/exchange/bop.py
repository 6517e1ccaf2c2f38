"""BOP's scene_camera.json.

Poses are camera_from_world in millimetres with OpenCV's camera axes. BOP's toolkit puts pixel centres at whole
numbers, so the principal point is 0.5 less than viewcov's. There is no distortion and no image size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json, write_json
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.poses import inverse
from viewcov.inspection.records import Foreign, checked
from viewcov.planning.exchange.views import AGAIN, ImportedViews, Intrinsics, PoseFormat, imported, matrix_pose

_CENTER_SHIFT_PX = 0.5
"""viewcov's pixel coordinates less those that have centres at whole numbers."""

_Nine = Annotated[list[float], Field(min_length=9, max_length=9)]
_Three = Annotated[list[float], Field(min_length=3, max_length=3)]


class _Entry(Foreign):
    cam_K: _Nine  # noqa: N815
    cam_R_w2c: _Nine  # noqa: N815
    cam_t_w2c: _Three
    viewcov_id: str | None = None


def write_bop(path: Path, plan: InspectionPlan) -> None:
    """Write scene_camera.json with image ids from 0; ``viewcov_id`` beside the standard keys keeps the names.

    Raises
    ------
    InputError
        If the camera has distortion, which BOP's images do not.
    """
    camera = plan.rig.camera
    if camera.has_distortion:
        raise InputError(
            path, "BOP has no lens distortion", expected="a rig without",
            found=f"{camera.lens} {', '.join(f'{k:g}' for k in camera.distortion)}",
            remedy="convert to colmap or nerfstudio",
        )  # fmt: skip
    matrix = camera.K.copy()
    matrix[:2, 2] -= _CENTER_SHIFT_PX
    entries = {}
    for number, view in enumerate(plan.viewpoints):
        camera_from_world = view.camera_from_world
        entries[str(number)] = {
            "cam_K": matrix.ravel().tolist(),
            "depth_scale": 1.0,
            "cam_R_w2c": camera_from_world[:3, :3].ravel().tolist(),
            "cam_t_w2c": camera_from_world[:3, 3].tolist(),
            "viewcov_id": view.id,
        }
    write_json(path, entries)


def read_bop(path: Path) -> ImportedViews:
    """The images of scene_camera.json in the order of their numbers, named by ``viewcov_id`` or number.

    Raises
    ------
    InputError
        If the file does not fit, an image has no pose (BOP leaves it optional), or the cameras differ.
    """
    value = read_json(path)
    if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
        raise InputError(
            path, "not a scene_camera.json", expected="image numbers as keys", found=str(value)[:40], remedy=AGAIN
        )
    names, poses, cameras = [], [], []
    for key in sorted(value, key=int):
        where = f"{path} image {key}"
        entry = checked(value[key], _Entry, where=where, remedy=AGAIN)
        names.append(entry.viewcov_id or f"{int(key):06d}")
        poses.append(inverse(matrix_pose(np.reshape(entry.cam_R_w2c, (3, 3)), entry.cam_t_w2c, where=where)))
        cameras.append(_intrinsics(entry, where))
    return imported(path, names, poses, cameras=cameras)


def _intrinsics(entry: _Entry, where: str) -> Intrinsics:
    fx, skew, cx, zero, fy, cy, *last = entry.cam_K
    if (skew, zero, *last) != (0.0, 0.0, 0.0, 0.0, 1.0):
        given = " ".join(f"{number:g}" for number in entry.cam_K)
        raise InputError(
            where, "a camera that no rig has", expected="fx 0 cx 0 fy cy 0 0 1", found=given, remedy="rectify them"
        )
    return Intrinsics(
        focal_x_px=fx, focal_y_px=fy, center_x_px=cx + _CENTER_SHIFT_PX, center_y_px=cy + _CENTER_SHIFT_PX
    )


FORMAT = PoseFormat(
    name="bop",
    read=read_bop,
    write=write_bop,
    members=("scene_camera.json",),
    recognises=lambda table: bool(table) and all(isinstance(e, dict) and "cam_K" in e for e in table.values()),
)
