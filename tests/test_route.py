"""Short routes against brute force, and motion times against arithmetic."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.route import (
    MotionModel,
    improve_route,
    motion_times_s,
    nearest_neighbour,
    route_cost,
    route_time_s,
    short_route,
)


def shortest(cost: np.ndarray) -> float:
    return min(route_cost(cost, np.array(order)) for order in permutations(range(len(cost))))


def distances(num: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.random((num, 3))
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def test_routes_of_few_places_are_nearly_shortest() -> None:
    rng = np.random.default_rng(5)
    ratios = []
    for num in (2, 3, 4, 5, 6, 7, 7, 7):
        for _ in range(3):
            cost = distances(num, rng)
            ratios.append(route_cost(cost, short_route(cost)) / shortest(cost))
    assert min(ratios) >= 1 - 1e-12
    assert np.mean(ratios) < 1.01
    assert max(ratios) < 1.06


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 25), st.integers(0, 2**32 - 1), st.booleans())
def test_improving_visits_every_place_once_and_never_costs_more(num: int, seed: int, symmetric: bool) -> None:
    rng = np.random.default_rng(seed)
    cost = distances(num, rng) if symmetric else rng.random((num, num))
    before = nearest_neighbour(cost, int(rng.integers(num)))
    after = improve_route(cost, before)
    assert sorted(before) == sorted(after) == list(range(num))
    assert route_cost(cost, after) <= route_cost(cost, before) + 1e-12
    # No single reversal helps any more.
    for first in range(num):
        for last in range(first + 1, num):
            other = np.concatenate([after[:first], after[first : last + 1][::-1], after[last + 1 :]])
            assert route_cost(cost, other) >= route_cost(cost, after) - 1e-9


def test_asymmetric_costs_are_followed_in_their_cheap_direction() -> None:
    num = 7
    cost = np.full((num, num), 10.0)
    cost[np.arange(1, num), np.arange(num - 1)] = 1.0  # Going down is cheap, going up is dear.
    assert short_route(cost).tolist() == list(range(num))[::-1]
    assert short_route(np.array([[0.0, 5.0], [1.0, 0.0]])).tolist() == [1, 0]


def test_points_on_a_line_are_visited_in_their_order() -> None:
    place = np.random.default_rng(1).permutation(60).astype(np.float64)
    order = short_route(np.abs(place[:, None] - place[None]))
    assert place[order].tolist() in (sorted(place), sorted(place)[::-1])


def test_motion_takes_the_slower_of_moving_and_turning() -> None:
    motion = MotionModel(linear_mm_per_s=100.0, angular_deg_per_s=45.0, settle_s=0.5, exposure_s=0.25)
    straight = Viewpoint.looking_at([0, 0, 100], [0, 0, 0], id="a")
    moved = Viewpoint.looking_at([300, 0, 100], [300, 0, 0], id="b")
    turned = Viewpoint.looking_at([0, 0, 100], [0, 0, 0], id="c", roll_deg=90.0)
    times = motion_times_s([straight, moved, turned], motion)
    expected = [[0.0, 3.0, 2.0], [3.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
    # The angle comes from an arccosine near its end, where 1e-16 in the trace is 1e-8 in the angle.
    np.testing.assert_allclose(times, expected, atol=1e-6)
    assert route_time_s([straight, moved, turned], motion) == pytest.approx(3.0 + 3.0 + 3 * 0.75)
    assert route_time_s([], motion) == 0.0
    assert route_time_s([moved], motion) == 0.75


def test_wrong_costs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"cost must have shape \(N, N\)"):
        short_route(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="cost must be finite"):
        short_route(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="linear_mm_per_s must be positive"):
        MotionModel(linear_mm_per_s=0.0)
    with pytest.raises(ValueError, match="settle_s must be at least 0"):
        MotionModel(settle_s=-1.0)
