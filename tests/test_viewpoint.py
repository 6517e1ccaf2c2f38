from __future__ import annotations

import numpy as np
import pytest

from viewcov.inspection.poses import look_at
from viewcov.inspection.viewpoint import Viewpoint


def test_a_viewpoint_looks_at_its_target() -> None:
    view = Viewpoint.looking_at([100, 0, 50], [0, 0, 50], id="side", roll_deg=30.0)
    np.testing.assert_array_equal(view.world_from_camera, look_at([100, 0, 50], [0, 0, 50], roll_deg=30.0))
    np.testing.assert_array_equal(view.center_mm, [100, 0, 50])
    np.testing.assert_allclose(view.forward, [-1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(view.camera_from_world @ view.world_from_camera, np.eye(4), atol=1e-12)


def test_a_viewpoint_keeps_its_own_locked_pose() -> None:
    pose = np.eye(4)
    view = Viewpoint(id="v", world_from_camera=pose)
    pose[0, 3] = 9.0
    assert view.center_mm[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        view.center_mm[0] = 1.0


@pytest.mark.parametrize("name", ["v", "view-001", "A_b-9", "0", "x" * 64])
def test_names_that_files_can_have(name: str) -> None:
    assert Viewpoint(id=name, world_from_camera=np.eye(4)).id == name


@pytest.mark.parametrize("name", ["", "../v", "a/b", "a.b", "-v", "_v", "ä", "v\n", "a b", "x" * 65, "\u0661"])
def test_names_that_files_should_not_have(name: str) -> None:
    with pytest.raises(ValueError, match="viewpoint id must"):
        Viewpoint(id=name, world_from_camera=np.eye(4))


def test_a_pose_must_be_rigid() -> None:
    with pytest.raises(ValueError, match="world_from_camera must hold a rotation"):
        Viewpoint(id="v", world_from_camera=2 * np.eye(4))
