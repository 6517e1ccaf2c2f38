from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from viewcov.inspection.poses import inverse, look_at, rigid, transform_points

coordinate = st.floats(-1000.0, 1000.0)
point = st.tuples(coordinate, coordinate, coordinate)
angle = st.floats(-360.0, 360.0)


@given(center=point, target=point, roll=angle)
def test_look_at_is_rigid_and_its_axis_meets_the_target(
    center: tuple[float, float, float], target: tuple[float, float, float], roll: float
) -> None:
    distance = np.linalg.norm(np.subtract(target, center))
    assume(distance > 1e-3)
    pose = rigid(look_at(center, target, roll_deg=roll), name="pose")
    np.testing.assert_array_equal(pose[:3, 3], center)
    # Coordinates up to 1000 carry 1e-13, and the axis is known to that over the distance.
    np.testing.assert_allclose(transform_points(inverse(pose), np.array(target)), [0, 0, distance], atol=1e-9)


@given(center=point, target=point)
def test_image_down_points_along_minus_z_as_far_as_the_view_allows(
    center: tuple[float, float, float], target: tuple[float, float, float]
) -> None:
    forward = np.subtract(target, center)
    assume(np.linalg.norm(forward[:2]) > 1e-2)
    pose = look_at(center, target)
    assert abs(pose[2, 0]) < 1e-6  # The image's rows are level,
    assert pose[2, 1] < 0  # and its lower side is the world's lower side.


def test_a_camera_in_front_of_the_part_sees_its_right_on_the_right() -> None:
    # Standing at -Y and looking along +Y with Z up, X is to the right.
    pose = look_at([0, -100, 0], [0, 0, 0])
    np.testing.assert_allclose(pose[:3, :3], np.column_stack([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), atol=1e-15)


@pytest.mark.parametrize("height", [100.0, -100.0])
def test_looking_along_z_puts_image_down_along_minus_y(height: float) -> None:
    pose = look_at([3, 4, height], [3, 4, 0])
    np.testing.assert_allclose(pose[:3, 1], [0, -1, 0], atol=1e-15)
    np.testing.assert_allclose(pose[:3, 2], [0, 0, -np.sign(height)], atol=1e-15)
    np.testing.assert_allclose(np.linalg.det(pose[:3, :3]), 1.0)


@given(roll=angle)
def test_roll_turns_the_camera_from_its_x_towards_its_y(roll: float) -> None:
    start, turned = look_at([50, 20, 80], [1, 2, 3]), look_at([50, 20, 80], [1, 2, 3], roll_deg=roll)
    camera_from_turned = start[:3, :3].T @ turned[:3, :3]
    expected = Rotation.from_euler("z", roll, degrees=True).as_matrix()
    np.testing.assert_allclose(camera_from_turned, expected, atol=1e-12)


def test_look_at_refuses_a_target_at_the_camera() -> None:
    with pytest.raises(ValueError, match="target_mm must differ from center_mm"):
        look_at([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="target_mm must be finite"):
        look_at([1, 2, 3], [1, 2, np.nan])


@given(vector=st.tuples(angle, angle, angle), translation=point, points=st.lists(point, min_size=1, max_size=4))
def test_inverse_undoes_and_agrees_with_linear_algebra(
    vector: tuple[float, float, float],
    translation: tuple[float, float, float],
    points: list[tuple[float, float, float]],
) -> None:
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_rotvec(vector, degrees=True).as_matrix()
    transform[:3, 3] = translation
    np.testing.assert_allclose(inverse(transform), np.linalg.inv(transform), atol=1e-9)
    there = transform_points(transform, np.array(points))
    homogeneous = np.column_stack([points, np.ones(len(points))]) @ transform.T
    np.testing.assert_allclose(there, homogeneous[:, :3], atol=1e-9)
    np.testing.assert_allclose(transform_points(inverse(transform), there), points, atol=1e-9)


def _changed(row: int, column: int, value: float) -> np.ndarray:
    transform = np.eye(4)
    transform[row, column] = value
    return transform


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (np.diag([1.0, 1.0, -1.0, 1.0]), "determinant"),  # A reflection.
        (-np.eye(4), "determinant"),
        (_changed(0, 0, 1.001), "orthonormal"),  # A scale,
        (_changed(0, 0, 1.00001), "orthonormal"),  # ten times what is allowed.
        (_changed(0, 1, 0.01), "orthonormal"),  # A shear.
        (_changed(3, 3, 1.000001), r"row \(0, 0, 0, 1\)"),
        (_changed(3, 0, 1e-6), r"row \(0, 0, 0, 1\)"),
        (_changed(0, 3, np.nan), "finite"),
        (_changed(1, 1, np.inf), "finite"),
        (np.eye(3), "shape"),
        (np.zeros((4, 4)), "orthonormal"),
    ],
)
def test_rigid_refuses_what_is_no_rigid_transform(transform: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=f"world_from_camera must .*{message}"):
        rigid(transform, name="world_from_camera")


def test_rigid_gives_a_locked_copy() -> None:
    original = np.eye(4)
    checked = rigid(original, name="pose")
    original[0, 3] = 5.0
    assert checked[0, 3] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        checked[0, 3] = 1.0
