from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.segmentation.exposure import exposure_stack, network_range


def test_exposure_stack_has_the_values_of_the_definition() -> None:
    image = np.array([[0.0, 0.1, 0.25], [0.3, 0.5, 1.0]])
    stack = exposure_stack(image)
    assert stack.dtype == np.float32
    expected = [
        [[0.0, 0.1, 0.25], [0.3, 0.5, 1.0]],
        [[0.0, 0.2, 0.5], [0.6, 1.0, 1.0]],
        [[0.0, 0.4, 1.0], [1.0, 1.0, 1.0]],
    ]
    np.testing.assert_allclose(stack, expected, rtol=1e-7)


def test_a_camera_that_counts_levels_gives_the_same_stack() -> None:
    # Second implementation: whole 8-bit levels, shifted and clipped, as a sensor with more light would read.
    levels = np.arange(256).reshape(16, 16)
    stack = exposure_stack(levels / 255.0, (0, 1, 2))
    for channel, stops in zip(stack, (0, 1, 2), strict=True):
        np.testing.assert_array_equal(np.rint(channel * 255), np.minimum(levels << stops, 255))


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(-3, 3), st.floats(0.01, 3))
def test_a_longer_exposure_is_never_darker(values: list[float], stops: float, more: float) -> None:
    short, long = exposure_stack(np.array([values]), (stops, stops + more))
    assert (long >= short).all()
    assert long.max() <= 1.0


def test_exposures_may_be_fractions_and_negative() -> None:
    stack = exposure_stack(np.array([[0.5]]), (-1, 0.5))
    np.testing.assert_allclose(stack[:, 0, 0], [0.25, 0.5 * np.sqrt(2)], rtol=1e-6)


def test_the_input_is_left_alone_and_networks_get_minus_one_to_one() -> None:
    image = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    stack = exposure_stack(image, (0,))
    np.testing.assert_array_equal(network_range(stack), [[[-1.0, 0.0, 1.0]]])
    stack[:] = 0
    np.testing.assert_array_equal(image, [[0.0, 0.5, 1.0]])


@pytest.mark.parametrize("exposures", [(), (0, 0), (0, float("nan"))])
def test_senseless_exposures_are_refused(exposures: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="exposures must be finite and distinct"):
        exposure_stack(np.zeros((2, 2)), exposures)


def test_a_colour_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(height, width\), got \(2, 2, 3\)"):
        exposure_stack(np.zeros((2, 2, 3)))
