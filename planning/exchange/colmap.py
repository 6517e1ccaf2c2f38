"""COLMAP's sparse model as text: cameras.txt, images.txt and, for COLMAP 3.12 and later, rigs.txt and frames.txt.

Poses are camera_from_world with quaternion w, x, y, z; camera axes are OpenCV's and the first pixel's centre is
at (0.5, 0.5), both as in viewcov. COLMAP knows no unit: lengths are millimetres in the CAD frame here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_text, replacing
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.poses import inverse
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.views import (
    AGAIN,
    ImportedViews,
    Intrinsics,
    PoseFormat,
    imported,
    quaternion_pose,
    quaternion_wxyz,
)

_MODELS = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
}
"""Parameters of the camera models that a rig's camera can have."""

_BINARIES = ("cameras.bin", "images.bin", "points3D.bin", "rigs.bin", "frames.bin")


def write_colmap(folder: Path, plan: InspectionPlan) -> None:
    """Write a model without points into a folder; its other files stay.

    Raises
    ------
    InputError
        If the folder holds a binary model, which COLMAP would read instead.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(
            folder, "a COLMAP model is a folder", expected="a folder", found="a file", remedy="name another"
        )
    for name in _BINARIES:
        if (folder / name).exists():
            raise InputError(
                folder, "COLMAP reads binary files before text", expected="no .bin files", found=name,
                remedy="name another folder",
            )  # fmt: skip
    views = plan.viewpoints
    poses = [_numbers(_camera_from_world(view)) for view in views]
    texts = {
        "cameras.txt": [
            "# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]; pixels",
            _camera_line(Intrinsics.of(plan.rig.camera)),
        ],
        "images.txt": [
            "# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then POINTS2D[]; camera_from_world, mm, world = CAD frame",
            *(f"{n} {at} 1 {view.id}.png\n" for n, (view, at) in enumerate(zip(views, poses, strict=True), start=1)),
        ],
        "points3D.txt": ["# POINT3D_ID X Y Z R G B ERROR TRACK[]; none"],
        "rigs.txt": ["# RIG_ID NUM_SENSORS REF_SENSOR_TYPE REF_SENSOR_ID", "1 1 CAMERA 1"],
        "frames.txt": [
            "# FRAME_ID RIG_ID QW QX QY QZ TX TY TZ NUM_DATA_IDS DATA_IDS[]; rig_from_world, mm",
            *(f"{n} 1 {at} 1 CAMERA 1 {n}" for n, at in enumerate(poses, start=1)),
        ],
    }
    # All are written before the first is put in place.
    with ExitStack() as together:
        for name, lines in texts.items():
            together.enter_context(replacing(folder / name)).write_text("\n".join(lines) + "\n", "utf-8")


def read_colmap(folder: Path) -> ImportedViews:
    """The images of a text model, in the order of images.txt.

    Raises
    ------
    InputError
        If a file is missing or malformed, the images have different cameras, or the camera's model is not one of
        pinhole, radial and OpenCV.
    """
    cameras = dict(_camera(fields, where) for fields, where in _lines(folder / "cameras.txt"))
    names, poses, used = [], [], []
    for fields, where in _lines(folder / "images.txt", every_second=True):
        if len(fields) < 10:
            raise InputError(where, "not an image", expected="10 values", found=str(len(fields)), remedy=AGAIN)
        numbers = _floats(fields[1:8], where)
        names.append(" ".join(fields[9:]))
        poses.append(inverse(quaternion_pose(numbers[:4], numbers[4:], where=where)))
        if fields[8] not in cameras:
            raise InputError(
                where, "no such camera", expected=f"one of {', '.join(cameras) or 'none'}", found=fields[8],
                remedy="mend cameras.txt",
            )  # fmt: skip
        used.append(cameras[fields[8]])
    return imported(folder / "images.txt", names, poses, cameras=used, images=True)


def _camera_from_world(view: Viewpoint) -> Floats:
    """Quaternion w, x, y, z and translation in mm, shape (7,)."""
    quaternion = quaternion_wxyz(view.world_from_camera[:3, :3].T)
    # The rotation as it will be read: the camera centre then comes back exactly.
    rotation = quaternion_pose(quaternion, np.zeros(3), where=view.id)[:3, :3]
    return np.concatenate([quaternion, -rotation @ view.center_mm])


def _camera_line(camera: Intrinsics) -> str:
    model = "FULL_OPENCV" if camera.distortion[4] else "OPENCV" if any(camera.distortion) else "PINHOLE"
    params = [*camera.numbers, 0.0, 0.0, 0.0][: len(_MODELS[model].split())]
    return f"1 {model} {camera.width_px} {camera.height_px} {_numbers(params)}"


def _numbers(values: Sequence[float] | Floats) -> str:
    return " ".join(repr(float(value)) for value in values)


def _lines(file: Path, *, every_second: bool = False) -> Iterator[tuple[list[str], str]]:
    """Fields of the lines that are not comments, with where they are; of images.txt, those without 2D points."""
    lines = read_text(file, "COLMAP text").splitlines()
    number = 0
    while number < len(lines):
        fields = lines[number].split()
        number += 1
        if not fields or fields[0].startswith("#"):
            continue
        yield fields, f"{file} line {number}"
        if every_second:
            # The image's 2D points: X, Y, POINT3D_ID each, an empty line where it has none.
            if number < len(lines) and len(lines[number].split()) % 3:
                raise InputError(
                    f"{file} line {number + 1}", "not the 2D points of the image above",
                    expected="an empty line, or X, Y, POINT3D_ID of each",
                    found=f"{len(lines[number].split())} values", remedy="put an empty line after each image",
                )  # fmt: skip
            number += 1


def _floats(fields: Sequence[str], where: str) -> Floats:
    try:
        numbers = np.array([float(field) for field in fields])
        if not np.isfinite(numbers).all():
            raise ValueError("infinite or not a number")
    except ValueError as error:
        raise InputError(where, "not a number", expected="finite numbers", found=str(error), remedy=AGAIN) from None
    return numbers


def _camera(fields: list[str], where: str) -> tuple[str, Intrinsics]:
    model = fields[1] if len(fields) > 1 else ""
    if model not in _MODELS:
        raise InputError(
            where, "a camera model that no rig has", expected=f"one of {', '.join(_MODELS)}", found=model or "none",
            remedy="undistort the images with COLMAP, or convert the poses alone",
        )  # fmt: skip
    names = _MODELS[model].split()
    numbers = _floats(fields[2:], where)
    if len(numbers) != 2 + len(names):
        raise InputError(
            where, f"not a {model} camera", expected=f"{4 + len(names)} values", found=str(len(fields)), remedy=AGAIN
        )
    value = dict(zip(names, numbers[2:].tolist(), strict=True))
    rational = [name for name in ("k4", "k5", "k6") if value.get(name, 0.0) != 0.0]
    if rational:
        raise InputError(
            where, "distortion that no rig has", expected="k4 = k5 = k6 = 0", found=f"{rational[0]} not 0",
            remedy="undistort the images with COLMAP",
        )  # fmt: skip
    k1, k2, p1, p2, k3 = (value.get(name, 0.0) for name in ("k1", "k2", "p1", "p2", "k3"))
    return fields[0], Intrinsics(
        focal_x_px=value.get("fx", value.get("f", 0.0)),
        focal_y_px=value.get("fy", value.get("f", 0.0)),
        center_x_px=value["cx"],
        center_y_px=value["cy"],
        distortion=(k1, k2, p1, p2, k3),
        width_px=int(numbers[0]),
        height_px=int(numbers[1]),
    )


FORMAT = PoseFormat(
    name="colmap", read=read_colmap, write=write_colmap, members=("images.txt", "cameras.txt"), is_folder=True
)
