"""Greedy cover and pruning against brute force on tiny covers."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from viewcov.planning.selection.problem import (
    CoverProblem,
    Tally,
    greedy_best,
    greedy_cover,
    is_cover,
    prune_cover,
)


def problem_of(matrix: np.ndarray, weight: np.ndarray, demand: int = 1) -> CoverProblem:
    return CoverProblem(visible=csr_array(matrix.astype(np.float64)), weight=weight, demand=demand)


def dense_covered(matrix: np.ndarray, weight: np.ndarray, demand: int, chosen: tuple[int, ...]) -> float:
    """The definition, on the dense matrix."""
    return float(weight[matrix[list(chosen)].sum(axis=0) >= demand].sum())


@st.composite
def tiny_problems(draw: st.DrawFn, max_demand: int = 2) -> tuple[np.ndarray, np.ndarray, int]:
    num_views, num_rows = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrix = rng.random((num_views, num_rows)) < draw(st.floats(0.1, 0.9))
    return matrix, rng.integers(1, 20, num_rows).astype(np.float64), draw(st.integers(1, max_demand))


def fewest(matrix: np.ndarray, weight: np.ndarray, demand: int, target: float) -> int:
    for size in range(len(matrix) + 1):
        for chosen in combinations(range(len(matrix)), size):
            if dense_covered(matrix, weight, demand, chosen) >= target * (1 - 1e-9):
                return size
    raise AssertionError("not coverable")


@settings(deadline=None)
@given(tiny_problems(), st.floats(0.05, 1.0))
def test_greedy_and_pruned_covers_reach_the_target(tiny, share: float) -> None:
    matrix, weight, demand = tiny
    problem = problem_of(matrix, weight, demand)
    target = share * problem.coverable_weight
    greedy = greedy_cover(problem, target=target)
    pruned = prune_cover(problem, greedy, target=target)
    for chosen in (greedy, pruned):
        assert len(set(chosen.tolist())) == len(chosen)
        assert dense_covered(matrix, weight, demand, tuple(chosen)) >= target * (1 - 1e-9)
    assert fewest(matrix, weight, demand, target) <= len(pruned) <= len(greedy)
    # Nothing is left that the target does not need.
    for view in pruned:
        rest = tuple(pruned[pruned != view])
        assert dense_covered(matrix, weight, demand, rest) < target * (1 - 1e-9)


@settings(deadline=None)
@given(tiny_problems(max_demand=1), st.floats(0.05, 1.0))
def test_greedy_cover_is_within_wolseys_factor_of_the_fewest(tiny, share: float) -> None:
    matrix, weight, _ = tiny
    problem = problem_of(matrix, weight)
    target = share * problem.coverable_weight
    greedy = greedy_cover(problem, target=target)
    if len(greedy) > 1:
        rest = target - dense_covered(matrix, weight, 1, tuple(greedy[:-1]))
        assert len(greedy) <= (1 + np.log(target / rest)) * fewest(matrix, weight, 1, target) + 1e-9


@settings(deadline=None)
@given(tiny_problems(max_demand=1), st.integers(1, 5))
def test_greedy_best_covers_at_least_1_minus_1_over_e_of_the_most(tiny, num_views: int) -> None:
    matrix, weight, _ = tiny
    problem = problem_of(matrix, weight)
    chosen = greedy_best(problem, num_views=num_views)
    size = min(num_views, len(matrix))
    most = max(dense_covered(matrix, weight, 1, some) for some in combinations(range(len(matrix)), size))
    assert len(chosen) <= num_views
    assert (1 - 1 / np.e) * most - 1e-9 <= dense_covered(matrix, weight, 1, tuple(chosen)) <= most


@settings(deadline=None)
@given(tiny_problems(max_demand=3), st.integers(0, 2**32 - 1))
def test_is_cover_and_tally_agree_with_the_definition(tiny, seed: int) -> None:
    matrix, weight, demand = tiny
    problem = problem_of(matrix, weight, demand)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(matrix))[: rng.integers(0, len(matrix) + 1)]
    covered = dense_covered(matrix, weight, demand, tuple(chosen))
    assert problem.covered_weight(chosen) == covered
    assert is_cover(problem, chosen, target=covered)
    assert not is_cover(problem, chosen, target=covered + 1)
    tally = Tally(problem, chosen)
    for view in range(len(matrix)):
        with_it, without = {*chosen.tolist(), view}, {*chosen.tolist()} - {view}
        if view in chosen:
            assert tally.loss(view) == covered - dense_covered(matrix, weight, demand, tuple(without))
        else:
            gain = dense_covered(matrix, weight, demand, tuple(with_it)) - covered
            # Where one more view is all that is missing; else it brings nothing yet.
            assert demand > 1 or tally.gain(view) == gain


def test_pruning_takes_out_what_greedy_took_first() -> None:
    # The view in the middle is largest and useless beside the two that share everything.
    matrix = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 0]], dtype=bool)
    problem = problem_of(matrix, np.ones(6))
    greedy = greedy_cover(problem, target=6.0)
    assert greedy.tolist() == [2, 0, 1]
    assert sorted(prune_cover(problem, greedy, target=6.0)) == [0, 1]


def test_more_than_the_coverable_weight_is_refused() -> None:
    problem = problem_of(np.array([[1, 0]]), np.ones(2))
    with pytest.raises(ValueError, match="target must be at most the coverable 1"):
        greedy_cover(problem, target=1.5)
    with pytest.raises(ValueError, match="weight must have shape"):
        problem_of(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="demand must be at least 1"):
        problem_of(np.ones((2, 3)), np.ones(3), demand=0)


@pytest.mark.parametrize("seed", range(20))
def test_greedy_takes_no_view_twice_where_elements_want_several(seed: int) -> None:
    seen = np.random.default_rng(seed).random((9, 30)) < 0.5
    problem = CoverProblem(visible=csr_array(seen.astype(np.float64)), weight=np.ones(30), demand=3)
    start = np.array([4, 2])
    chosen = greedy_cover(problem, target=problem.coverable_weight, start=start)
    assert len(set(chosen.tolist())) == len(chosen)
    np.testing.assert_array_equal(chosen[:2], start)
    assert is_cover(problem, chosen, target=problem.coverable_weight)
