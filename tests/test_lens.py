"""A lens model from outside the package: image points, visibility and pictures follow it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from viewcov.coverage.rays.raster import id_buffer
from viewcov.coverage.rays.screening import Screen
from viewcov.inspection.errors import InputError
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.lens import LENSES, LensModel
from viewcov.inspection.rig.rig import load_rig, rig_from_dict
from viewcov.inspection.viewpoint import Viewpoint


class Fisheye(LensModel):
    """Equidistant: the image radius is the angle, atan(r), with one coefficient k that bends it by k r^3."""

    num_coefficients = 1

    def distort(self, x: Any, y: Any, coefficients: tuple[float, ...]) -> tuple[Any, Any]:
        scale = self._radius(x, y, coefficients)[1]
        return x * scale, y * scale

    def jacobian(self, x: Any, y: Any, coefficients: tuple[float, ...]) -> tuple[Any, Any, Any]:
        radius, scale = self._radius(x, y, coefficients)
        slope = 1.0 / (1.0 + radius**2) + 3.0 * coefficients[0] * radius**2
        bend = (slope - scale) / radius**2
        return scale + x * x * bend, x * y * bend, scale + y * y * bend

    @staticmethod
    def _radius(x: Any, y: Any, coefficients: tuple[float, ...]) -> tuple[Any, Any]:
        radius = np.maximum(np.hypot(x, y), 1e-9)
        return radius, np.arctan(radius) / radius + coefficients[0] * radius**2


RIG = load_rig("paper-quarter")


@pytest.fixture(scope="module", autouse=True)
def fisheye() -> Any:
    LENSES["fisheye"] = Fisheye()
    yield
    del LENSES["fisheye"]


def camera_of(k: float = -0.05) -> Camera:
    return replace(RIG.camera, width_px=160, height_px=120, pixel_pitch_um=100.0, lens="fisheye", distortion=(k,))


@given(column=st.floats(0, 160), row=st.floats(0, 120), depth=st.floats(50, 500), k=st.floats(-0.05, 0.05))
def test_projected_and_back_is_the_same_pixel(column: float, row: float, depth: float, k: float) -> None:
    camera = camera_of(k)
    ray = camera.rays(np.array([column, row]))
    np.testing.assert_allclose(camera.project(depth * ray), (column, row), atol=1e-6)
    radius = float(np.hypot(*ray[:2]))
    expected = camera.focal_px * (np.arctan(radius) + k * radius**3)
    assert np.hypot(column - 80, row - 60) == pytest.approx(expected, abs=1e-6)


def test_screening_sees_through_it() -> None:
    camera, rng = camera_of(), np.random.default_rng(1)
    points, normals = rng.uniform(-80, 80, (3000, 3)), rng.normal(size=(3000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    view = Viewpoint.looking_at([20.0, -10.0, 260.0], [0, 0, 0], id="v")
    limits = replace(RIG.requirements, max_blur_px=20.0, max_mm_per_px=5.0)
    screen = Screen(points, normals, camera, limits)
    found = screen.in_frame(view)
    local = points @ view.camera_from_world[:3, :3].T + view.camera_from_world[:3, 3]
    inside = camera.in_frame(camera.project(local), border_px=limits.border_px)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(inside))
    assert 100 < len(found.rows) < 3000
    # The sampling by differences along the tangent plane.
    for number, row in enumerate(found.rows[:20]):
        plane = np.linalg.svd(normals[row][None])[2][1:]
        moved = np.stack([local[row] + s * 1e-4 * view.camera_from_world[:3, :3] @ t for t in plane for s in (1, -1)])
        pixels = camera.project(moved)
        jacobian = (pixels[::2] - pixels[1::2]).T / 2e-4
        least = np.linalg.svd(jacobian, compute_uv=False)[1]
        assert found.mm_per_px[number] == pytest.approx(1.0 / least, rel=1e-4)
    near = screen.promising(view)
    assert set(near.rows) <= set(found.rows)
    one = screen.lens.measure(points, normals, view)
    np.testing.assert_array_equal(one.mm_per_px, found.mm_per_px)


def test_pictures_show_what_its_rays_meet() -> None:
    camera, ball = camera_of(), trimesh.creation.icosphere(subdivisions=4, radius=40.0)
    view = Viewpoint.looking_at([60.0, 30.0, 200.0], [0, 0, 0], id="v")
    ids, _ = id_buffer(np.asarray(ball.vertices), np.asarray(ball.faces), camera, view.camera_from_world)
    column, row = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    toward = camera.rays(np.stack([column, row], axis=-1)) @ view.world_from_camera[:3, :3].T
    toward /= np.linalg.norm(toward, axis=-1, keepdims=True)
    off = np.linalg.norm(np.cross(toward, view.center_mm), axis=-1)
    assert (ids >= 0).sum() > 500
    # The mesh lies up to 0.1 % inside its sphere.
    clear = np.abs(off - 40.0) > 0.1
    np.testing.assert_array_equal((ids >= 0)[clear], (off < 40.0)[clear])


def test_a_rigs_file_names_it_and_other_files_refuse_it() -> None:
    table = replace(RIG, camera=camera_of()).to_dict()
    assert rig_from_dict(table, where="here", name="").camera == camera_of()
    with pytest.raises(InputError, match="lens model that is not known here: expected brown-conrady, found fisheye"):
        _ = camera_of().brown_conrady
    table["camera"]["lens"] = "pinhole"
    with pytest.raises(InputError, match=r"field 'camera\.lens' is not valid: expected one of brown-conrady, fisheye"):
        rig_from_dict(table, where="here", name="")
    table["camera"] |= {"lens": "fisheye", "distortion": [0.0] * 5}
    with pytest.raises(InputError, match="distortion of 1 numbers for the lens 'fisheye', not 5"):
        rig_from_dict(table, where="here", name="")
