"""Short routes, their bounds and the exact solver against brute force; motion times against arithmetic."""

import csv
import time
from itertools import permutations
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.inspection.errors import InputError
from viewcov.inspection.rig.motion import MotionModel
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.options import PlanningOptions
from viewcov.planning.planner import _route
from viewcov.planning.route.exact import _weak_cuts, exact_tour, prove_route
from viewcov.planning.route.held_karp import one_tree_bound
from viewcov.planning.route.local_search import iterated_tour, tour_cost
from viewcov.planning.route.order import (
    improve_route,
    motion_times_s,
    nearest_neighbour,
    route_bound,
    route_cost,
    short_route,
)
from viewcov.planning.route.reorder import read_times_csv

KINDS = ("metric", "symmetric", "asymmetric", "nearly metric", "signed")


def costs(kind: str, num: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.random((num, 3))
    metric = np.linalg.norm(points[:, None] - points[None], axis=2)
    table = rng.random((num, num))
    return {
        "metric": metric,
        "symmetric": table + table.T,
        "asymmetric": table,
        "nearly metric": metric * (1.0 + 0.3 * table),
        "signed": table - 0.7,
    }[kind]


def shortest(cost: np.ndarray, *, closed: bool = False, start: int | None = None) -> float:
    """Held and Karp's dynamic programme over subsets (1962): exact, 2^N N^2 steps."""
    num = len(cost)
    free = np.where(np.eye(num, dtype=bool), np.inf, cost)
    first = 0 if closed and start is None else start
    best = np.full((2**num, num), np.inf)
    for place in range(num) if first is None else [first]:
        best[1 << place, place] = 0.0
    members = (np.arange(2**num)[:, None] >> np.arange(num)) & 1
    for subset in range(1, 2**num):
        reached = np.min(best[subset][:, None] + free, axis=0)
        for place in np.flatnonzero(members[subset] == 0):
            after = subset | (1 << int(place))
            best[after, place] = min(best[after, place], reached[place])
    back = free[:, first] if closed and num > 1 else 0.0
    return float((best[-1] + back).min())


def test_dynamic_programme_agrees_with_all_orders() -> None:
    rng = np.random.default_rng(8)
    for kind in KINDS:
        cost = costs(kind, 6, rng)
        for closed in (False, True):
            orders = [np.array(order) for order in permutations(range(6))]
            best = min(route_cost(cost, order, closed=closed) for order in orders)
            assert shortest(cost, closed=closed) == pytest.approx(best)
            best = min(route_cost(cost, order, closed=closed) for order in orders if order[0] == 2)
            assert shortest(cost, closed=closed, start=2) == pytest.approx(best)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
def test_routes_of_up_to_eleven_places_are_shortest(kind: str, closed: bool, fixed: bool) -> None:
    rng = np.random.default_rng(5)
    for num in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11):
        cost = costs(kind, num, rng)
        start = num // 2 if fixed else None
        order = short_route(cost, closed=closed, start=start)
        assert sorted(order) == list(range(num))
        assert start is None or order[0] == start
        assert route_cost(cost, order, closed=closed) == pytest.approx(shortest(cost, closed=closed, start=start))


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.booleans(), st.booleans())
def test_bound_never_exceeds_the_shortest_route(num: int, seed: int, kind: str, closed: bool, fixed: bool) -> None:
    rng = np.random.default_rng(seed)
    cost = costs(kind, num, rng)
    start = int(rng.integers(num)) if fixed else None
    # Any order may set the pace of the ascent, not only a short one.
    order = rng.permutation(num) if start is None else np.roll(np.arange(num), -start)
    bound = route_bound(cost, order, closed=closed, start=start)
    best = shortest(cost, closed=closed, start=start)
    assert bound.seconds <= best + 1e-12
    if bound.name == "all orders":
        assert bound.seconds == pytest.approx(best)


@pytest.mark.parametrize("kind", KINDS)
def test_bound_is_valid_for_any_prices_and_nearly_tight(kind: str) -> None:
    rng = np.random.default_rng(3)
    gaps = []
    for _ in range(15):
        cost = costs(kind, 9, rng)
        best = shortest(cost, closed=True)
        # Cut off early, the ascent has got to some prices or other.
        for rounds in (1, 7):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("viewcov.planning.route.held_karp.ROUNDS", rounds)
                assert max(one_tree_bound(cost, upper=upper).cost for upper in (0.1, 9.0)) <= best + 1e-12
        gaps.append((best - one_tree_bound(cost, upper=best).cost) / np.abs(cost).mean() / 9)
    assert np.median(gaps) < 0.005
    assert max(gaps) < 0.05


@pytest.mark.parametrize("kind", ["metric", "nearly metric", "asymmetric"])
@pytest.mark.parametrize("closed", [False, True])
def test_routes_of_forty_places_are_within_two_percent_of_the_proven_optimum(kind: str, closed: bool) -> None:
    cost = costs(kind, 40, np.random.default_rng(11))
    order = short_route(cost, closed=closed)
    length = route_cost(cost, order, closed=closed)
    best, exact = prove_route(cost, order, closed=closed)
    assert route_cost(cost, best, closed=closed) == pytest.approx(exact.seconds, rel=1e-6)
    assert exact.seconds <= length <= 1.02 * exact.seconds
    bound = route_bound(cost, order, closed=closed)
    assert 0.98 * exact.seconds <= bound.seconds <= exact.seconds * (1 + 1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 9), st.integers(0, 2**32 - 1), st.sampled_from(KINDS))
def test_exact_tour_is_the_shortest_from_any_tour(num: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    cost = costs(kind, num, rng)
    tour, bound = exact_tour(cost, rng.permutation(num))
    assert sorted(tour) == list(range(num))
    assert tour_cost(cost, tour) == pytest.approx(shortest(cost, closed=True), rel=2e-9, abs=1e-9)
    assert bound.seconds == pytest.approx(tour_cost(cost, tour), rel=2e-9, abs=1e-9)
    assert bound.seconds <= tour_cost(cost, tour)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.booleans(), st.booleans())
def test_proven_routes_are_shortest_of_their_kind(num: int, seed: int, kind: str, closed: bool, fixed: bool) -> None:
    rng = np.random.default_rng(seed)
    cost = costs(kind, num, rng)
    start = int(rng.integers(num)) if fixed else None
    order = rng.permutation(num) if start is None else np.roll(np.arange(num), -start)
    best, bound = prove_route(cost, order, closed=closed, start=start)
    assert sorted(best) == list(range(num))
    assert start is None or best[0] == start
    least = shortest(cost, closed=closed, start=start)
    assert route_cost(cost, best, closed=closed) == pytest.approx(least, rel=2e-9, abs=1e-9)
    assert bound.seconds == pytest.approx(least, rel=2e-9, abs=1e-9)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS))
def test_proof_from_a_random_tour_finds_the_same_as_from_a_short_one(seed: int, kind: str) -> None:
    """A poor first tour rules out few steps, so that the search does the work that it is otherwise spared."""
    rng = np.random.default_rng(seed)
    cost = costs(kind, 11, rng)
    ends = []
    for first in (rng.permutation(11), short_route(cost, closed=True)):
        tour, bound = exact_tour(cost, first)
        assert bound.seconds == pytest.approx(tour_cost(cost, tour), rel=2e-9, abs=1e-9)
        ends.append(bound.seconds)
    assert ends[0] == pytest.approx(ends[1], rel=2e-9, abs=1e-9)
    assert ends[0] == pytest.approx(shortest(cost, closed=True), rel=2e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 30), st.integers(0, 2**32 - 1), st.floats(0.05, 0.5))
def test_weak_cuts_hold_the_least_one_and_are_what_they_say(num: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    weight = np.triu(rng.random((num, num)) * (rng.random((num, num)) < share), 1)
    weight += weight.T
    groups, crossing = _weak_cuts(weight.copy(), np.inf)
    assert len(groups) == num - 1
    assert (groups.any(axis=1) & ~groups.all(axis=1)).all()
    np.testing.assert_allclose(crossing, [weight[group][:, ~group].sum() for group in groups], atol=1e-12)
    graph = nx.from_numpy_array(weight)
    least = nx.stoer_wagner(graph)[0] if nx.is_connected(graph) else 0.0
    assert crossing.min() == pytest.approx(least, abs=1e-12)


@pytest.mark.parametrize("kind", ["metric", "asymmetric"])
def test_routes_and_proofs_end_by_the_clock(kind: str) -> None:
    """Of 300 places none of the three parts would be done in this time; the first call compiles."""
    small, cost = costs(kind, 8, np.random.default_rng(0)), costs(kind, 300, np.random.default_rng(1))
    prove_route(small, short_route(small))
    began = time.monotonic()
    order = short_route(cost, closed=True, until=began + 0.4)
    best, bound = prove_route(cost, order, closed=True, until=began + 0.8)
    # What lies between two looks at the clock takes about 0.05 s of an idle core.
    assert time.monotonic() - began < 0.8 + 0.5
    assert sorted(best) == list(range(300))
    assert 0.0 < bound.seconds <= route_cost(cost, best, closed=True)


def test_exact_tour_joins_clusters_that_fractions_and_subtours_would_leave_apart() -> None:
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.normal(center, 0.5, (12, 2)) for center in ((0, 0), (90, 0), (0, 90), (90, 90))])
    cost = np.linalg.norm(points[:, None] - points[None], axis=2)
    for matrix in (cost, cost * rng.uniform(1.0, 1.2, cost.shape)):
        tour, bound = exact_tour(matrix, iterated_tour(matrix, np.arange(48), kicks=0, rng=rng))
        assert bound.seconds == pytest.approx(tour_cost(matrix, tour), rel=2e-9)
        steps = set(zip(tour // 12, np.roll(tour, -1) // 12, strict=True))
        assert len([step for step in steps if step[0] != step[1]]) == 4
        late, early_bound = exact_tour(matrix, np.arange(48), until=0.0)
        assert late.tolist() == list(range(48))
        assert early_bound.name == "Held-Karp 1-tree"
        assert early_bound.seconds <= tour_cost(matrix, tour)


def test_ellipsoid_tour_is_as_short_as_that_of_lkh() -> None:
    """LKH-3's closed tour through these 150 points is 23.88 long; the search may be at most 0.5 % longer."""
    directions = np.random.default_rng(0).standard_normal((150, 3))
    points = directions / np.linalg.norm(directions, axis=1, keepdims=True) * [1.0, 1.0, 0.4]
    cost = np.linalg.norm(points[:, None] - points[None], axis=2)
    order = short_route(cost, closed=True)
    length = route_cost(cost, order, closed=True)
    assert 23.88 <= length <= 1.005 * 23.89
    assert length <= route_bound(cost, order, closed=True).seconds * 1.02
    np.testing.assert_array_equal(order, short_route(cost, closed=True))
    assert order[0] == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 25), st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.booleans())
def test_improving_visits_every_place_once_and_never_costs_more(num: int, seed: int, kind: str, closed: bool) -> None:
    rng = np.random.default_rng(seed)
    cost = costs(kind, num, rng)
    before = nearest_neighbour(cost, int(rng.integers(num)))
    after = improve_route(cost, before, closed=closed)
    assert sorted(before) == sorted(after) == list(range(num))
    assert route_cost(cost, after, closed=closed) <= route_cost(cost, before, closed=closed) + 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 9), st.integers(0, 2**32 - 1), st.sampled_from(KINDS))
def test_local_search_leaves_no_helpful_reversal_or_exchange(num: int, seed: int, kind: str) -> None:
    """With so few places every one is in the lists of neighbours, so that the search is complete."""
    rng = np.random.default_rng(seed)
    cost = costs(kind, num, rng)
    tour = iterated_tour(cost, rng.permutation(num), kicks=0, rng=rng)
    least = tour_cost(cost, tour) - 1e-9
    for turned in (np.roll(tour, -shift) for shift in range(num)):
        for middle in range(1, num):
            assert tour_cost(cost, np.concatenate([turned[:middle][::-1], turned[middle:]])) >= least
            for last in range(middle + 1, num):
                pieces = turned[middle:last], turned[:middle], turned[last:]
                assert tour_cost(cost, np.concatenate(pieces)) >= least


def test_asymmetric_costs_are_followed_in_their_cheap_direction() -> None:
    num = 7
    cost = np.full((num, num), 10.0)
    cost[np.arange(1, num), np.arange(num - 1)] = 1.0  # Going down is cheap, going up is dear.
    assert short_route(cost).tolist() == list(range(num))[::-1]
    assert short_route(np.array([[0.0, 5.0], [1.0, 0.0]])).tolist() == [1, 0]
    assert short_route(np.array([[0.0, 5.0], [1.0, 0.0]]), start=0).tolist() == [0, 1]
    assert short_route(np.zeros((0, 0))).tolist() == []


def test_points_on_a_line_are_visited_in_their_order() -> None:
    place = np.random.default_rng(1).permutation(60).astype(np.float64)
    cost = np.abs(place[:, None] - place[None])
    order = short_route(cost)
    assert place[order].tolist() in (sorted(place), sorted(place)[::-1])
    # The bound proves it: nothing is lost to the relaxation on a line.
    assert route_bound(cost, order).seconds == pytest.approx(59.0)
    assert route_bound(cost, short_route(cost, closed=True), closed=True).seconds == pytest.approx(118.0)


def test_motion_takes_the_slower_of_moving_and_turning() -> None:
    motion = MotionModel(linear_mm_per_s=100.0, angular_deg_per_s=45.0, settle_s=0.5, exposure_s=0.25)
    straight = Viewpoint.looking_at([0, 0, 100], [0, 0, 0], id="a")
    moved = Viewpoint.looking_at([300, 0, 100], [300, 0, 0], id="b")
    turned = Viewpoint.looking_at([0, 0, 100], [0, 0, 0], id="c", roll_deg=90.0)
    times = motion_times_s([straight, moved, turned], motion)
    expected = [[0.0, 3.0, 2.0], [3.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
    np.testing.assert_allclose(times, expected, atol=1e-12)

    def route_time_s(views: list[Viewpoint], *, closed: bool = False) -> float:
        return _route(views, motion, PlanningOptions(closed=closed)).route_s

    assert route_time_s([straight, moved, turned]) == pytest.approx(3.0 + 3.0 + 3 * 0.75)
    assert route_time_s([straight, moved, turned], closed=True) == pytest.approx(3.0 + 3.0 + 2.0 + 3 * 0.75)
    assert route_time_s([]) == 0.0
    assert route_time_s([moved], closed=True) == 0.75


def test_acceleration_makes_a_trapezoid_or_a_triangle_of_the_speed() -> None:
    motion = MotionModel(linear_mm_per_s=100.0, linear_mm_per_s2=200.0, angular_deg_per_s=90.0, angular_deg_per_s2=45.0)
    # 100 mm/s is reached after 0.5 s and 25 mm; 50 mm are too short to hold it, 250 mm hold it for 2 s.
    np.testing.assert_allclose(motion.move_s(np.array([0.0, 32.0, 50.0, 250.0]), np.zeros(4)), [0.0, 0.8, 1.0, 3.0])
    np.testing.assert_allclose(motion.move_s(np.zeros(3), np.array([45.0, 180.0, 360.0])), [2.0, 4.0, 6.0])
    # The distance covered, summed over small steps of time, is the distance asked for.
    for way in (10.0, 49.0, 51.0, 300.0):
        total = float(motion.move_s(np.array([way]), np.zeros(1))[0])
        clock = np.linspace(0.0, total, 20_001)
        speed = np.minimum(np.minimum(200.0 * clock, 200.0 * (total - clock)), 100.0)
        assert np.trapezoid(speed, clock) == pytest.approx(way, rel=1e-6)
    # What is reached almost at once costs no more than without a limit.
    abrupt = MotionModel(linear_mm_per_s2=1e12, angular_deg_per_s2=1e12)
    way = np.array([0.0, 1.0, 100.0])
    np.testing.assert_allclose(abrupt.move_s(way, way), MotionModel().move_s(way, way), atol=1e-5)


def test_times_of_many_views_are_those_of_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    views = [
        Viewpoint.looking_at(50 * rng.standard_normal(3), rng.standard_normal(3), id=str(name), roll_deg=7.0 * name)
        for name in range(20)
    ]
    monkeypatch.setattr("viewcov.planning.route.order.BLOCK", 7)
    times = motion_times_s(views, MotionModel())
    np.testing.assert_array_equal(times, times.T)
    for first, second in rng.integers(20, size=(30, 2)):
        turn = views[first].world_from_camera[:3, :3].T @ views[second].world_from_camera[:3, :3]
        angle = np.rad2deg(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
        distance = np.linalg.norm(views[first].center_mm - views[second].center_mm)
        assert times[first, second] == pytest.approx(max(distance / 250.0, angle / 60.0), abs=1e-6)
    single = motion_times_s(views, MotionModel(), dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, times, rtol=1e-6)


def write_table(path: Path, rows: list[list[object]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def test_times_come_in_the_order_of_the_plan(tmp_path: Path) -> None:
    rows: list[list[object]] = [["s", "c", "a", "b"], ["b", 4, 3, ""], ["a", 2.5, 0, 1], ["c", "nan", 5, "6e0"]]
    expected = [[0.0, 1.0, 2.5], [3.0, 0.0, 4.0], [5.0, 6.0, 0.0]]
    path = write_table(tmp_path / "times.csv", rows)
    np.testing.assert_array_equal(read_times_csv(path, ["a", "b", "c"]), expected)
    german = [[str(cell).replace(".", ",") for cell in row] for row in rows]
    path = write_table(tmp_path / "zeiten.csv", german, delimiter=";")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    np.testing.assert_array_equal(read_times_csv(path, ["a", "b", "c"]), expected)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["", "a", "b"], ["a", 0, -1], ["b", 1, 0]], r"from 'a' to 'b': not a time: .*not negative, found '-1'"),
        ([["", "a", "b"], ["a", 0, "inf"], ["b", 1, 0]], "not a time"),
        ([["", "a", "b"], ["a", 0, "fast"], ["b", 1, 0]], "found 'fast'"),
        ([["", "a", "b"], ["a", 0, ""], ["b", 1, 0]], "not a time"),
        ([["", "a", "b"], ["a", 0], ["b", 1, 0]], "row 'a': wrong length: expected 3 cells, found 2"),
        ([["", "a"], ["a", 0], ["b", 1]], "first row: viewpoints missing: .*found b"),
        ([["", "a", "b"], ["a", 0, 1]], "first column: viewpoints missing"),
        ([["", "a", "b", "z"], ["a", 0, 1, 1], ["b", 1, 0, 1]], "first row: unknown viewpoints: .*found z"),
        ([["", "a", "b"], ["a", 0, 1], ["b", 1, 0], ["b", 1, 0]], "first column: named twice: .*found b"),
        ([], "no times"),
    ],
)
def test_wrong_tables_of_times_are_refused_in_one_line(tmp_path: Path, rows: list[list[object]], said: str) -> None:
    path = write_table(tmp_path / "times.csv", rows)
    with pytest.raises(InputError, match=said) as caught:
        read_times_csv(path, ["a", "b"])
    assert "\n" not in str(caught.value)
    assert "times.csv" in str(caught.value)


def test_tables_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_times_csv(tmp_path / "none.csv", ["a"])
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a UTF-8 CSV file"):
        read_times_csv(tmp_path / "binary.csv", ["a"])


def test_wrong_costs_and_motions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"cost must have shape \(N, N\)"):
        short_route(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="cost must be finite"):
        short_route(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="start must be a place from 0 to 2, got 3"):
        short_route(np.zeros((3, 3)), start=3)
    with pytest.raises(ValueError, match=r"linear_mm_per_s\n.* greater than 0"):
        MotionModel(linear_mm_per_s=0.0)
    with pytest.raises(ValueError, match=r"angular_deg_per_s2\n.* greater than 0"):
        MotionModel(angular_deg_per_s2=-1.0)
    with pytest.raises(ValueError, match=r"settle_s\n.* greater than or equal to 0"):
        MotionModel(settle_s=-1.0)
