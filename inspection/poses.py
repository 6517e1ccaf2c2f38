"""Rigid transforms: float64 (4, 4) arrays named ``target_from_source``, in millimetres."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from viewcov.inspection.arrays import Floats, locked_floats

FARTHEST_MM = 1e7
"""10 km. What lies farther from the origin is a mistake, and squares of it lose the digits that count."""


def rigid(transform: ArrayLike, *, name: str) -> Floats:
    """Read-only copy of a proper rigid transform, shape (4, 4).

    Raises ValueError if the shape is wrong, a value is not finite, the rotation is not orthonormal with determinant +1
    (within 1e-6), the translation exceeds ``FARTHEST_MM``, or the last row is not (0, 0, 0, 1).
    """
    checked = locked_floats(transform, name=name, shape=(4, 4))
    rotation = checked[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), rtol=0.0, atol=1e-6) or np.linalg.det(rotation) < 0:
        raise ValueError(f"{name} must hold a rotation (orthonormal, determinant +1), got {rotation.tolist()}")
    if np.abs(checked[:3, 3]).max() > FARTHEST_MM:
        raise ValueError(f"{name} must lie within {FARTHEST_MM:g} mm of the origin, got {checked[:3, 3].tolist()}")
    if not np.allclose(checked[3], (0.0, 0.0, 0.0, 1.0), rtol=0.0, atol=1e-12):
        raise ValueError(f"{name} must end with the row (0, 0, 0, 1), got {checked[3].tolist()}")
    return checked


def inverse(target_from_source: Floats) -> Floats:
    """``source_from_target`` of a rigid transform, shape (4, 4)."""
    rotation, translation = target_from_source[:3, :3], target_from_source[:3, 3]
    source_from_target = np.eye(4)
    source_from_target[:3, :3] = rotation.T
    source_from_target[:3, 3] = -rotation.T @ translation
    return source_from_target


def transform_points(target_from_source: Floats, points_source: Floats) -> Floats:
    """Points in the target frame, shape (..., 3)."""
    # Not a matrix product: BLAS would start threads for this little work and wait for busy cores.
    return np.einsum("...j,ij->...i", points_source, target_from_source[:3, :3]) + target_from_source[:3, 3]


def look_at(center_mm: ArrayLike, target_mm: ArrayLike, *, roll_deg: float = 0.0) -> Floats:
    """``world_from_camera`` of a camera at ``center_mm`` whose optical axis (+z) meets ``target_mm``.

    At roll 0 the image's downward axis (+y) points along -Z of the world as far as the view allows; a camera
    that looks along Z has its +y along -Y of the world. ``roll_deg`` turns the camera about its optical axis,
    from +x towards +y.

    Raises ValueError if the two points coincide.
    """
    center = locked_floats(center_mm, name="center_mm", shape=(3,))
    target = locked_floats(target_mm, name="target_mm", shape=(3,))
    distance = float(np.linalg.norm(target - center))
    if distance < 1e-9:
        raise ValueError(f"target_mm must differ from center_mm, got {target.tolist()} for both")
    forward = (target - center) / distance
    down = np.array([0.0, 0.0, -1.0]) if abs(forward[2]) < 1.0 - 1e-9 else np.array([0.0, -1.0, 0.0])
    right = np.cross(down, forward)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    angle = np.deg2rad(roll_deg)
    world_from_camera = np.eye(4)
    world_from_camera[:3, 0] = np.cos(angle) * right + np.sin(angle) * down
    world_from_camera[:3, 1] = np.cos(angle) * down - np.sin(angle) * right
    world_from_camera[:3, 2] = forward
    world_from_camera[:3, 3] = center
    return world_from_camera


def tangents(normals: Floats) -> tuple[Floats, Floats]:
    """Two unit vectors, shapes (N, 3), that complete each normal to a right-handed basis (Duff et al. 2017)."""
    x, y, z = normals.T
    sign = np.where(z >= 0, 1.0, -1.0)
    a = -1.0 / (sign + z)
    b = x * y * a
    first = np.column_stack([1.0 + sign * x * x * a, sign * b, -sign * x])
    second = np.column_stack([b, sign + y * y * a, -y])
    return first, second
