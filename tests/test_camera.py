from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewcov.inspection.rig.camera import Camera

PLAIN = Camera(
    width_px=2448,
    height_px=2050,
    focal_length_mm=25.0,
    pixel_pitch_um=3.45,
    f_number=8.0,
    focus_distance_mm=250.0,
    principal_x_px=1230.5,
    principal_y_px=1011.25,
)
# A mild machine-vision lens: coefficients for which no point of the frame is moved by more than a few per cent.
coefficient = st.floats(-0.3, 0.3)
tangential = st.floats(-0.01, 0.01)
distortions = st.tuples(coefficient, coefficient, tangential, tangential, coefficient)
columns = st.floats(0.0, 2448.0)
rows = st.floats(0.0, 2050.0)
depths = st.floats(30.0, 5000.0)


@given(column=columns, row=rows, depth=depths, distortion=distortions)
def test_project_undoes_rays(
    column: float, row: float, depth: float, distortion: tuple[float, float, float, float, float]
) -> None:
    for camera in (PLAIN, replace(PLAIN, distortion=distortion)):
        direction = camera.rays(np.array([column, row]))
        assert direction[2] == 1.0
        np.testing.assert_allclose(camera.project(direction * depth), [column, row], atol=1e-5)


@given(x=st.floats(-0.15, 0.15), y=st.floats(-0.15, 0.15), depth=depths, distortion=distortions)
def test_rays_undo_project(
    x: float, y: float, depth: float, distortion: tuple[float, float, float, float, float]
) -> None:
    camera = replace(PLAIN, distortion=distortion)
    points = np.array([[x * depth, y * depth, depth], [0.0, 0.0, depth]])
    np.testing.assert_allclose(camera.rays(camera.project(points)), points / depth, atol=1e-9)


@given(x=st.floats(-0.15, 0.15), y=st.floats(-0.15, 0.15), distortion=distortions)
def test_distortion_is_opencvs(x: float, y: float, distortion: tuple[float, float, float, float, float]) -> None:
    k1, k2, p1, p2, k3 = distortion
    r = np.hypot(x, y)
    radial = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6
    expected = [
        x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
        y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
    ]
    camera = replace(PLAIN, distortion=distortion)
    np.testing.assert_allclose(camera.distort(np.array([x, y])), expected, atol=1e-15)
    pixel = np.array(expected) * camera.focal_px + camera.center_px
    np.testing.assert_allclose(camera.project(np.array([x, y, 1.0])), pixel, atol=1e-9)


@given(x=st.floats(-100, 100), y=st.floats(-100, 100), depth=depths)
def test_k_agrees_with_project(x: float, y: float, depth: float) -> None:
    homogeneous = PLAIN.K @ [x, y, depth]
    np.testing.assert_allclose(PLAIN.project(np.array([x, y, depth])), homogeneous[:2] / homogeneous[2])


def test_one_pixel_in_focus_covers_mm_per_px() -> None:
    points = np.array([[0.0, 0.0, 250.0], [PLAIN.mm_per_px_at_focus, 0.0, 250.0]])
    np.testing.assert_allclose(np.diff(PLAIN.project(points), axis=0), [[1.0, 0.0]])
    # Thin lens: magnification f / (u - f) = 25 / 225 = 1 / 9.
    assert PLAIN.mm_per_px_at_focus == pytest.approx(9 * 3.45e-3)
    assert 1 / PLAIN.image_distance_mm == pytest.approx(1 / 25.0 - 1 / 250.0)


def test_pixel_zero_has_its_centre_at_a_half() -> None:
    camera = replace(PLAIN, width_px=9, height_px=9, principal_x_px=None, principal_y_px=None)
    # The middle pixel of nine is number 4, whose centre is 4.5.
    np.testing.assert_array_equal(camera.project(np.array([0.0, 0.0, 100.0])), [4.5, 4.5])


@pytest.mark.parametrize("depth", [0.0, -1.0, -250.0])
def test_points_behind_the_lens_have_no_pixel(depth: float) -> None:
    pixel = PLAIN.project(np.array([1.0, 2.0, depth]))
    assert np.isnan(pixel).all()
    assert not PLAIN.in_frame(pixel)


def test_points_beyond_the_turning_radius_are_not_folded_into_the_image() -> None:
    # k1 = -0.3: r (1 - 0.3 r^2) grows up to r = 1 / sqrt(0.9) = 1.054, and is back at 0 at r = 1.826.
    camera = replace(PLAIN, distortion=(-0.3, 0.0, 0.0, 0.0, 0.0))
    radius = np.array([1.05, 1.06, 1.826])
    pixels = camera.project(np.column_stack([radius, np.zeros(3), np.ones(3)]) * 100.0)
    np.testing.assert_array_equal(np.isfinite(pixels).all(axis=1), [True, False, False])


def test_pixels_that_the_lens_cannot_reach_have_no_ray() -> None:
    camera = replace(PLAIN, distortion=(-0.3, 0.0, 0.0, 0.0, 0.0))
    # No ray leaves farther out than 1.054 (1 - 0.3 x 1.054^2) = 0.703 focal lengths.
    reach = np.array([0.6, 0.71, 5.0]) * camera.focal_px + camera.center_px[0]
    rays = camera.rays(np.column_stack([reach, np.full(3, camera.center_px[1])]))
    np.testing.assert_array_equal(np.isfinite(rays).all(axis=1), [True, False, False])


@given(
    circle=st.floats(0.01, 20.0),
    f_number=st.floats(1.0, 32.0),
    focal=st.floats(4.0, 100.0),
    factor=st.floats(1.1, 50.0),
    wavelength=st.floats(100.0, 2000.0),
)
def test_blur_is_least_in_focus_and_reaches_the_limit_at_both_ends_of_the_depth_of_field(
    circle: float, f_number: float, focal: float, factor: float, wavelength: float
) -> None:
    focus = focal * factor
    camera = replace(PLAIN, f_number=f_number, focal_length_mm=focal, focus_distance_mm=focus, wavelength_nm=wavelength)
    assert camera.circle_of_confusion_px(np.array(focus)) == 0.0
    assert camera.blur_px(np.array(focus)) == camera.airy_disc_px
    max_blur = float(np.hypot(circle, camera.airy_disc_px))
    in_focus = camera.depth_of_field_mm(max_blur)
    assert in_focus is not None
    near, far = in_focus
    assert near <= focus <= far
    assert camera.blur_px(np.array(near)) == pytest.approx(max_blur, rel=1e-6)
    if np.isfinite(far) and far < 1e6 * focus:
        assert camera.blur_px(np.array(far)) == pytest.approx(max_blur, rel=1e-6)
    inside = np.linspace(near, min(far, 10 * focus), 50)
    assert (camera.blur_px(inside) <= max_blur * (1 + 1e-6)).all()


def test_blur_agrees_with_similar_triangles_behind_the_lens() -> None:
    # A point at z is imaged at z f / (z - f); its cone from the aperture f / N is cut by the sensor.
    z = np.array([100.0, 200.0, 249.0, 260.0, 1000.0])
    image = z * 25.0 / (z - 25.0)
    circle_mm = 25.0 / 8.0 * np.abs(image - PLAIN.image_distance_mm) / image
    np.testing.assert_allclose(PLAIN.circle_of_confusion_px(z), circle_mm / 3.45e-3, rtol=1e-12)


def test_the_airy_disc_is_that_of_the_aperture_seen_from_the_sensor() -> None:
    """First dark ring of a round aperture D at distance s: radius 1.22 lambda s / D."""
    disc_mm = 2 * 1.22 * 550e-6 * PLAIN.image_distance_mm / (25.0 / 8.0)
    assert pytest.approx(disc_mm / 3.45e-3, rel=1e-12) == PLAIN.airy_disc_px
    assert pytest.approx(3.458, abs=1e-3) == PLAIN.airy_disc_px
    assert replace(PLAIN, wavelength_nm=850.0).airy_disc_px == pytest.approx(PLAIN.airy_disc_px * 850 / 550)
    # Binning changes nothing on the sensor.
    assert PLAIN.binned(4).airy_disc_px == pytest.approx(PLAIN.airy_disc_px / 4)


def test_the_depth_of_field_shrinks_to_the_plane_in_focus() -> None:
    for circle in (1e-1, 1e-2, 1e-3):
        in_focus = PLAIN.depth_of_field_mm(float(np.hypot(circle, PLAIN.airy_disc_px)))
        assert in_focus is not None
        near, far = in_focus
        # To first order the half depth is N c u (u - f) / f^2, 720 mm per mm of c.
        half = 8.0 * circle * 3.45e-3 * 250.0 * 225.0 / 625.0
        assert 250.0 - near == pytest.approx(half, rel=1e-2)
        assert far - 250.0 == pytest.approx(half, rel=1e-2)
    assert PLAIN.depth_of_field_mm(PLAIN.airy_disc_px) == (250.0, 250.0)
    # Without diffraction, the limit itself may go to nothing.
    near, far = replace(PLAIN, wavelength_nm=1e-9).depth_of_field_mm(1e-9) or (0.0, 0.0)
    assert near == pytest.approx(250.0, abs=1e-8)
    assert far == pytest.approx(250.0, abs=1e-8)


def test_nothing_is_in_focus_where_diffraction_alone_exceeds_the_limit() -> None:
    assert PLAIN.depth_of_field_mm(PLAIN.airy_disc_px * (1 - 1e-12)) is None


def test_beyond_the_hyperfocal_distance_all_is_in_focus() -> None:
    near, far = replace(PLAIN, focus_distance_mm=50_000.0).depth_of_field_mm(6.0) or (0.0, 0.0)
    assert 0.0 < near < 50_000.0
    assert far == np.inf


@given(factor=st.integers(1, 16), width=st.integers(200, 3000), height=st.integers(200, 3000), given_point=...)
def test_binning_keeps_the_ray_of_every_image_point(factor: int, width: int, height: int, given_point: bool) -> None:
    camera = replace(PLAIN, width_px=width, height_px=height)
    if not given_point:
        camera = replace(camera, principal_x_px=None, principal_y_px=None)
    binned = camera.binned(factor)
    assert (binned.width_px, binned.height_px) == (width // factor, height // factor)
    assert binned.mm_per_px_at_focus == pytest.approx(factor * camera.mm_per_px_at_focus)
    points = np.array([[0.0, 0.0, 250.0], [10.0, -7.0, 200.0]])
    np.testing.assert_allclose(binned.project(points) * factor, camera.project(points), rtol=1e-12)


def test_the_frame_ends_at_its_border() -> None:
    inside = PLAIN.in_frame(
        np.array([[8.0, 8.0], [7.9, 100.0], [2440.0, 2042.0], [2440.1, 100.0], [100.0, 2042.1]]), border_px=8.0
    )
    np.testing.assert_array_equal(inside, [True, False, True, False, False])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width_px", 7),
        ("width_px", 100.5),
        ("width_px", float("inf")),
        ("height_px", 70_000),
        ("height_px", "2050"),
        ("focal_length_mm", 0.0),
        ("focal_length_mm", float("nan")),
        ("pixel_pitch_um", -3.45),
        ("f_number", float("inf")),
        ("wavelength_nm", 0.0),
        ("focus_distance_mm", 25.0),
        ("principal_x_px", float("nan")),
        ("principal_y_px", "middle"),
        ("distortion", (0.0, 0.0)),
        ("distortion", (0.0, 0.0, 0.0, 0.0, float("nan"))),
        ("distortion", "abcde"),
    ],
)
def test_impossible_cameras_are_refused_by_the_name_of_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"\b{field}\b"):
        replace(PLAIN, **{field: value})  # type: ignore[arg-type]


def test_pixel_counts_become_whole_numbers() -> None:
    assert isinstance(replace(PLAIN, width_px=100.0).width_px, int)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="factor"):
        PLAIN.binned(0)
