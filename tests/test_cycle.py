"""Cycle times against all covers in all orders of tiny problems."""

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from viewcov.planning.route.cycle import Cycle, _Places, cycle_time_s, shorten_cycle
from viewcov.planning.route.order import short_route
from viewcov.planning.selection.problem import CoverProblem, is_cover
from viewcov.planning.selection.smallest_cover import smallest_cover


def random_task(
    seed: int, *, num_views: int = 7, num_rows: int = 14, demand: int = 1
) -> tuple[CoverProblem, np.ndarray, float, float, bool]:
    """A cover problem, times between its views, symmetric or not, a stop, a target, and whether to return."""
    rng = np.random.default_rng(seed)
    seen = rng.random((num_views, num_rows)) < rng.uniform(0.25, 0.6)
    seen[: demand + 1, 0] = True
    problem = CoverProblem(
        visible=csr_array(seen.astype(np.float64)), weight=rng.uniform(0.5, 2.0, num_rows), demand=demand
    )
    points = rng.random((num_views, 2))
    times = np.linalg.norm(points[:, None] - points[None], axis=2)
    if seed % 3 == 0:
        times *= rng.uniform(1.0, 1.5, times.shape)
    target = problem.coverable_weight * rng.uniform(0.8, 1.0)
    return problem, times, float(rng.uniform(0.0, 0.5)), target, bool(seed % 2)


def least_seconds(problem: CoverProblem, times: np.ndarray, stop: float, target: float, closed: bool) -> float:
    """The least cycle time over all covers in all orders."""
    best = np.inf
    for num in range(problem.num_views + 1):
        for chosen in combinations(range(problem.num_views), num):
            if is_cover(problem, np.array(chosen, dtype=np.int64), target=target):
                for order in permutations(chosen):
                    best = min(best, cycle_time_s(np.array(order, np.int64), times, stop, closed=closed))
    return best


def poor_cover(problem: CoverProblem, target: float, rng: np.random.Generator) -> np.ndarray:
    """Random views until they reach the target."""
    order = rng.permutation(problem.num_views)
    num = next(num for num in range(len(order) + 1) if is_cover(problem, order[:num], target=target))
    return order[:num]


@pytest.mark.parametrize("demand", [1, 2])
def test_tiny_cycles_are_mostly_the_shortest_and_never_longer_than_the_start(demand: int) -> None:
    excess = []
    for seed in range(30):
        problem, times, stop, target, closed = random_task(seed, num_views=6, demand=demand)
        start = poor_cover(problem, target, np.random.default_rng(seed))
        cycle = Cycle(problem=problem, times_s=times, stop_s=stop, closed=closed, target=target)
        order = shorten_cycle(cycle, start, seed=seed)
        assert is_cover(problem, order, target=target)
        assert len(set(order.tolist())) == len(order)
        seconds = cycle_time_s(order, times, stop, closed=closed)
        assert seconds <= cycle_time_s(start, times, stop, closed=closed) * (1 + 1e-12)
        best = least_seconds(problem, times, stop, target, closed)
        assert seconds >= best - 1e-9
        excess.append(seconds - best > 1e-6 * best)
    assert sum(excess) <= 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.booleans())
def test_larger_cycles_stay_covers_and_never_get_longer(seed: int, demand: int, single: bool) -> None:
    problem, times, stop, target, closed = random_task(seed, num_views=40, num_rows=80, demand=demand)
    times = times.astype(np.float32) if single else times
    start = poor_cover(problem, target, np.random.default_rng(seed))
    cycle = Cycle(problem=problem, times_s=times, stop_s=stop, closed=closed, target=target)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("viewcov.planning.route.cycle.ROUNDS", 3)
        order, again = (shorten_cycle(cycle, start, seed=seed) for _ in range(2))
    assert is_cover(problem, order, target=target)
    before = cycle_time_s(start, times, stop, closed=closed)
    assert cycle_time_s(order, times, stop, closed=closed) <= before
    np.testing.assert_array_equal(order, again)


@pytest.mark.parametrize("demand", [1, 2])
def test_cycles_have_no_more_views_than_allowed(demand: int) -> None:
    """Views that take no time to stop at are many, where moving between two that see much takes long."""
    longer = 0
    for seed in range(20):
        problem, times, _, target, closed = random_task(seed, num_views=12, demand=demand)
        few = smallest_cover(problem, target=target).views
        free = Cycle(problem=problem, times_s=times, stop_s=0.0, closed=closed, target=target)
        longer += len(shorten_cycle(free, few, seed=seed)) > len(few)
        order = shorten_cycle(replace(free, most_views=len(few)), few, seed=seed)
        assert len(order) <= len(few)
        assert is_cover(problem, order, target=target)
    assert longer


def test_a_search_for_which_there_is_no_time_gives_a_cycle() -> None:
    problem, times, stop, target, closed = random_task(3, num_views=40, num_rows=80, demand=2)
    start = poor_cover(problem, target, np.random.default_rng(3))
    cycle = Cycle(problem=problem, times_s=times, stop_s=stop, closed=closed, target=target, until=0.0)
    order = shorten_cycle(cycle, start)
    assert sorted(order.tolist()) == sorted(start.tolist())


def test_cycles_are_shorter_than_those_of_few_views_in_a_short_order() -> None:
    """Candidates along a bar see three neighbours; the fewest views lie anywhere among equals."""
    rng = np.random.default_rng(7)
    num = 240
    points = np.stack([np.tile(np.arange(60.0), 4), rng.uniform(0, 12, num)], axis=1)
    seen = np.abs(points[:, :1] - np.arange(60.0)[None]) <= 2.0
    problem = CoverProblem(visible=csr_array(seen.astype(np.float64)), weight=np.ones(60))
    times = np.linalg.norm(points[:, None] - points[None], axis=2)
    few = smallest_cover(problem, target=60.0).views
    before = few[short_route(times[np.ix_(few, few)])]
    after = shorten_cycle(Cycle(problem=problem, times_s=times, stop_s=1.0, target=60.0), few, seed=1)
    assert is_cover(problem, after, target=60.0)
    assert cycle_time_s(after, times, 1.0) <= 0.8 * cycle_time_s(before, times, 1.0)


@pytest.mark.parametrize("closed", [False, True])
def test_places_say_what_each_change_costs(closed: bool) -> None:
    rng = np.random.default_rng(3)
    for num in (1, 2, 3, 4, 6):
        times = rng.random((9, 9))
        np.fill_diagonal(times, 0.0)
        order = rng.permutation(9)[:num]
        places, now = _Places(times, order, closed=closed), cycle_time_s(order, times, 0.0, closed=closed)

        def added(order: np.ndarray, view: int, now: float, times: np.ndarray = times) -> float:
            ways = [np.insert(order, gap, view) for gap in range(len(order) + 1)]
            return min(cycle_time_s(way, times, 0.0, closed=closed) for way in ways) - now

        saving = places.saving()
        for view in set(range(9)) - set(order.tolist()):
            assert places.cheapest_insertion()[view] == pytest.approx(added(order, view, now))
            for place in range(num):
                rest = np.delete(order, place)
                assert now - saving[place] == pytest.approx(cycle_time_s(rest, times, 0.0, closed=closed))
                assert places.exchange(saving)[place, view] == pytest.approx(added(rest, view, now))


@pytest.mark.parametrize("demand", [1, 2, 3])
def test_weight_covered_after_each_exchange_is_counted(demand: int) -> None:
    problem, times, stop, target, closed = random_task(4, num_views=12, num_rows=30, demand=demand)
    cycle = Cycle(problem=problem, times_s=times, stop_s=stop, closed=closed, target=target)
    order = np.array([3, 0, 7, 11, 5])
    covered = cycle._covered_after_exchange(order, problem.counts(order))
    for place in range(5):
        for view in set(range(12)) - set(order.tolist()):
            other = np.append(np.delete(order, place), view)
            assert covered[place, view] == pytest.approx(problem.covered_weight(other))


def test_wrong_starts_are_refused_and_nothing_needs_nothing() -> None:
    problem, times, stop, target, _ = random_task(1)
    cycle = Cycle(problem=problem, times_s=times, stop_s=stop, target=target)
    with pytest.raises(ValueError, match="chosen must cover at least"):
        shorten_cycle(cycle, np.empty(0, np.int64))
    assert shorten_cycle(replace(cycle, target=0.0), np.arange(7)).tolist() == []
