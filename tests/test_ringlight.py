from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewcov.inspection.rig.ringlight import RingLight

RING = RingLight(inner_radius_mm=40.0, outer_radius_mm=60.0, offset_mm=3.0)


@given(num=st.integers(1, 300), inner=st.floats(0.0, 99.0), width=st.floats(0.1, 100.0))
def test_emitters_lie_in_the_annulus(num: int, inner: float, width: float) -> None:
    points = replace(RING, inner_radius_mm=inner, outer_radius_mm=inner + width).emitters_mm(num)
    assert points.shape == (num, 3)
    radius = np.hypot(points[:, 0], points[:, 1])
    assert (radius > inner - 1e-9).all()
    assert (radius < inner + width + 1e-9).all()
    np.testing.assert_array_equal(points[:, 2], 3.0)


@pytest.mark.parametrize("num", [16, 48, 240])
@pytest.mark.parametrize(("inner", "outer"), [(40.0, 60.0), (0.0, 50.0), (10.0, 80.0)])
def test_each_emitter_stands_for_an_equal_share_of_the_area(num: int, inner: float, outer: float) -> None:
    ring = replace(RING, inner_radius_mm=inner, outer_radius_mm=outer)
    points = ring.emitters_mm(num)
    # Uniform in area means uniform in r^2, with the mean in the middle. The counts are not always multiples of
    # the number of circles; what is left over is one emitter of each circle at most.
    square = (points[:, :2] ** 2).sum(axis=1)
    tolerance = 0.5 * (outer**2 - inner**2) / num * 6
    assert square.mean() == pytest.approx((inner**2 + outer**2) / 2, abs=tolerance)
    # And even around the axis: the light has no side.
    np.testing.assert_allclose(points[:, :2].mean(axis=0), 0.0, atol=outer / np.sqrt(num) / 2)


def test_a_single_circle_has_the_mean_square_radius_exactly() -> None:
    ring = replace(RING, inner_radius_mm=50.0, outer_radius_mm=51.0)
    square = (ring.emitters_mm(24)[:, :2] ** 2).sum(axis=1)
    np.testing.assert_allclose(square, (50.0**2 + 51.0**2) / 2)


def test_an_led_ring_gives_its_leds_on_the_middle_circle() -> None:
    ring = replace(RING, kind="led", led_count=9, led_exponent=4.0)
    points = ring.emitters_mm(1000)
    assert len(points) == 9
    np.testing.assert_allclose(np.hypot(points[:, 0], points[:, 1]), 50.0)
    gaps = np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 2 * 50.0 * np.sin(np.pi / 9))
    assert ring.lobe_exponent == 4.0
    assert RING.lobe_exponent == 1.0


def test_area() -> None:
    assert RING.area_mm2 == pytest.approx(np.pi * 2000.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("inner_radius_mm", -1.0),
        ("inner_radius_mm", 60.0),
        ("outer_radius_mm", float("inf")),
        ("offset_mm", float("nan")),
        ("radiance", 0.0),
        ("radiance", "bright"),
        ("kind", "laser"),
        ("led_count", 0),
        ("led_count", 2.5),
        ("led_exponent", -1.0),
    ],
)
def test_impossible_lights_are_refused_by_the_name_of_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"\b{field}\b"):
        replace(RING, **{field: value})  # type: ignore[arg-type]
