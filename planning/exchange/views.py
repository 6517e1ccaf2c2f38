"""What files of other programs say: named poses and, in some formats, the camera they were taken with."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import is_plain
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.viewpoint import Viewpoint

SLACK = 1e-3
"""How far a quaternion's length and a rotation's axes may be off 1: files with four digits are mended."""

AGAIN = "mend it or export it again"
"""What a user does about a file of another program that does not fit."""

_MAX_ID = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Intrinsics:
    """A camera as other programs describe it: pixels alone, nothing of the lens."""

    focal_x_px: float
    """Focal length in pixel widths."""

    focal_y_px: float
    """Focal length in pixel heights."""

    center_x_px: float
    """Column of the principal point; pixel (0, 0) has its centre at (0.5, 0.5)."""

    center_y_px: float
    """Row of the principal point."""

    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    """OpenCV's k1, k2, p1, p2, k3."""

    width_px: int | None = None
    """Image width, where the file says it."""

    height_px: int | None = None
    """Image height, where the file says it."""

    @property
    def numbers(self) -> tuple[float, ...]:
        """fx, fy, cx, cy, k1, k2, p1, p2 and k3."""
        return self.focal_x_px, self.focal_y_px, self.center_x_px, self.center_y_px, *self.distortion

    @classmethod
    def of(cls, camera: Camera) -> Intrinsics:
        """What other programs get to know of a camera."""
        x, y = camera.center_px
        return cls(
            focal_x_px=camera.focal_px,
            focal_y_px=camera.focal_px,
            center_x_px=x,
            center_y_px=y,
            distortion=camera.brown_conrady,
            width_px=camera.width_px,
            height_px=camera.height_px,
        )

    def largest_shift_px(self, camera: Camera) -> float:
        """How far apart the two cameras put the same point at most, over a grid of the camera's image."""
        share = np.linspace(0.0, 1.0, 33)
        x, y = np.meshgrid(share * camera.width_px, share * camera.height_px)
        pixels = np.stack([x, y], axis=-1)
        normalized = camera.rays(pixels)[..., :2]
        distorted = replace(camera, lens="brown-conrady", distortion=self.distortion).distort(normalized)
        theirs = distorted * (self.focal_x_px, self.focal_y_px) + (self.center_x_px, self.center_y_px)
        return float(np.nanmax(np.hypot(*np.moveaxis(theirs - pixels, -1, 0))))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportedViews:
    """Viewpoints from a file of another program."""

    viewpoints: tuple[Viewpoint, ...]
    """In the order of the file, with ids made from the names there."""

    names: tuple[str, ...]
    """What the file calls each of them."""

    camera: Intrinsics | None = None
    """The camera that all of them share, where the file has one."""

    @property
    def renamed(self) -> dict[str, str]:
        """Names in the file, by id, that had to change beyond losing folder and suffix."""
        return {
            view.id: name
            for view, name in zip(self.viewpoints, self.names, strict=True)
            if view.id not in (name, stem(name))
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseFormat:
    """A format that viewpoints come and go in: how it is read, written and told from others."""

    name: str
    """What users call it."""

    read: Callable[[Path], ImportedViews]
    """The views of a file; of a folder, where the format is one."""

    write: Callable[..., None]
    """Takes a path and an `InspectionPlan`, and what the plan covers if ``is_measured``."""

    suffixes: tuple[str, ...] = ()
    """Endings of files that have it whatever is in them."""

    members: tuple[str, ...] = ()
    """Names of files that have it; in a folder, the first one says that the folder has it."""

    recognises: Callable[[dict[str, Any]], bool] = lambda _: False
    """Whether the table in a JSON file has it."""

    is_folder: bool = False
    """Whether it is a folder of several files."""

    is_measured: bool = False
    """Whether its files hold what a plan covers."""


def stem(name: str) -> str:
    """An image's name without its folders and its suffix."""
    return PurePosixPath(name.replace("\\", "/")).stem


def view_ids(names: Sequence[str]) -> tuple[str, ...]:
    """A valid id for each name, in order and all different; names that are valid ids keep theirs if they can.

    What an id must not hold becomes ``-``. A name that is taken gets ``-2``, ``-3`` and so on.
    """
    taken: set[str] = set()
    ids = []
    for name in names:
        cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", name).lstrip("_-")[:_MAX_ID] or "view"
        if not is_plain(cleaned):
            cleaned = f"view-{cleaned}"
        candidate, number = cleaned, 1
        while candidate in taken:
            number += 1
            ending = f"-{number}"
            candidate = cleaned[: _MAX_ID - len(ending)] + ending
        taken.add(candidate)
        ids.append(candidate)
    return tuple(ids)


def imported(
    where: object,
    names: Sequence[str],
    world_from_camera: Sequence[Floats],
    *,
    cameras: Sequence[Intrinsics] = (),
    images: bool = False,
) -> ImportedViews:
    """The views of a file; ``images`` says that the names are those of image files.

    Raises
    ------
    InputError
        If there is none, one is no pose, or the images' cameras differ: a plan has one rig.
    """
    if not names:
        raise InputError(where, "no viewpoints", expected="at least one", found="none", remedy=AGAIN)
    ids = view_ids([stem(name) for name in names] if images else names)
    views = []
    for name, view_id, matrix in zip(names, ids, world_from_camera, strict=True):
        try:
            views.append(Viewpoint(id=view_id, world_from_camera=matrix))
        except ValueError as error:
            raise InputError(
                where, f"{name!r} has no valid pose", expected="one near the part", found=str(error), remedy=AGAIN
            ) from None
    for camera in cameras[1:]:
        _require_same(where, cameras[0], camera)
    return ImportedViews(viewpoints=tuple(views), names=tuple(names), camera=cameras[0] if cameras else None)


def _require_same(where: object, first: Intrinsics, other: Intrinsics) -> None:
    one, two = ([*camera.numbers, camera.width_px or 0, camera.height_px or 0] for camera in (first, other))
    if not np.allclose(one, two, rtol=1e-9, atol=1e-9):
        raise InputError(
            where,
            "the images were taken with different cameras",
            expected="one camera, as a plan has one rig",
            found=f"focal lengths {first.focal_x_px:.6g} and {other.focal_x_px:.6g} px, principal points "
            f"({first.center_x_px:.6g}, {first.center_y_px:.6g}) and "
            f"({other.center_x_px:.6g}, {other.center_y_px:.6g})",
            remedy="split the file by camera",
        )


def pose(rotation: Floats, translation: ArrayLike) -> Floats:
    """Rigid transform, shape (4, 4), of a rotation (3, 3) and a translation (3,)."""
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = translation
    return transform


def quaternion_wxyz(rotation: Floats) -> Floats:
    """Unit quaternion (w, x, y, z) with w >= 0 of a rotation matrix, shape (3, 3)."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(rotation).as_quat(canonical=True)
    return np.array([w, x, y, z])


def quaternion_pose(quaternion: ArrayLike, translation: ArrayLike, *, where: object) -> Floats:
    """Rigid transform, shape (4, 4), with a quaternion (w, x, y, z) that is a unit one up to ``SLACK``.

    Raises
    ------
    InputError
        If its length is farther from 1.
    """
    from scipy.spatial.transform import Rotation

    w, x, y, z = np.asarray(quaternion, dtype=np.float64)
    length = math.hypot(w, x, y, z)
    if not abs(length - 1.0) <= SLACK:
        raise InputError(
            where, "not a unit quaternion", expected=f"length 1 within {SLACK:g}", found=f"{length:.6g}",
            remedy="check the columns' order, or normalise it",
        )  # fmt: skip
    return pose(Rotation.from_quat([x, y, z, w]).as_matrix(), translation)


def matrix_pose(matrix: ArrayLike, translation: ArrayLike, *, where: object) -> Floats:
    """Rigid transform, shape (4, 4), with the rotation nearest to a matrix (3, 3) that is off one by ``SLACK`` at most.

    Raises
    ------
    InputError
        If it is no rotation, such as one with a scale in it or a mirror image.
    """
    given = np.asarray(matrix, dtype=np.float64)
    left, stretch, right = np.linalg.svd(given)
    mirrored = np.linalg.det(given) < 0
    if not np.abs(stretch - 1.0).max() <= SLACK or mirrored:
        raise InputError(
            where, "not a rotation", expected="orthonormal axes, right-handed",
            found="a mirror image" if mirrored else f"axes stretched by {stretch.min():.6g} to {stretch.max():.6g}",
            remedy="export the poses without scaling, in a right-handed frame",
        )  # fmt: skip
    return pose(left @ right, translation)
