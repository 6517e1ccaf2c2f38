"""Merged rows, implied rows, useless views: the smallest cover stays as small, by brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from viewcov.planning.selection.problem import CoverProblem
from viewcov.planning.selection.reduction import dominated_columns, group_rows, merge_rows, minimal_rows, reduce_cover


@st.composite
def tiny_problems(draw: st.DrawFn, max_demand: int = 2) -> tuple[np.ndarray, CoverProblem]:
    num_views, num_rows = draw(st.integers(1, 7)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrix = rng.random((num_views, num_rows)) < draw(st.floats(0.1, 0.9))
    demand = draw(st.integers(1, max_demand))
    problem = CoverProblem(
        visible=csr_array(matrix.astype(np.float64)), weight=rng.uniform(0.1, 9.0, num_rows), demand=demand
    )
    return matrix, problem


def covers(matrix: np.ndarray, demand: int) -> set[frozenset[int]]:
    """All sets of views that cover every row that can be covered."""
    num_views = len(matrix)
    needed = matrix.sum(axis=0) >= demand
    return {
        frozenset(some)
        for size in range(num_views + 1)
        for some in combinations(range(num_views), size)
        if (matrix[list(some)].sum(axis=0) >= demand)[needed].all()
    }


@settings(deadline=None)
@given(tiny_problems(), st.integers(0, 2**32 - 1))
def test_merging_keeps_what_every_set_of_views_covers(tiny, seed: int) -> None:
    matrix, problem = tiny
    merged, new_row = merge_rows(problem)
    assert len(merged.weight) == len(np.unique(matrix, axis=1).T)
    np.testing.assert_array_equal(merged.visible.toarray()[:, new_row], matrix)
    chosen = np.flatnonzero(np.random.default_rng(seed).random(len(matrix)) < 0.5)
    assert merged.covered_weight(chosen) == pytest.approx(problem.covered_weight(chosen))


@settings(deadline=None)
@given(tiny_problems())
def test_minimal_rows_and_dominated_columns_by_their_definition(tiny) -> None:
    matrix, _ = tiny
    rows = csr_array(matrix.T.astype(np.float64))
    sets = [frozenset(np.flatnonzero(row)) for row in matrix.T]
    kept = minimal_rows(rows)
    smallest = {one for one in sets if one and not any(other < one for other in sets if other)}
    assert {sets[row] for row in np.flatnonzero(kept)} == smallest
    assert kept.sum() == len(smallest)
    columns = [frozenset(np.flatnonzero(column)) for column in matrix]
    dominated = dominated_columns(rows)
    for number, column in enumerate(columns):
        expected = not column or any(
            column < other or (column == other and place < number) for place, other in enumerate(columns)
        )
        assert dominated[number] == expected


@settings(deadline=None)
@given(tiny_problems(max_demand=3))
def test_reduced_covers_are_covers_and_a_smallest_one_is_among_them(tiny) -> None:
    matrix, problem = tiny
    whole = covers(matrix, problem.demand)
    reduced = reduce_cover(problem)
    assert not set(reduced.forced) & set(reduced.views)
    small = covers(reduced.problem.visible.toarray() > 0.5, problem.demand)
    mapped = {frozenset(reduced.views[list(some)]) | frozenset(reduced.forced) for some in small}
    assert mapped <= whole
    assert min(map(len, mapped)) == min(map(len, whole))


def test_a_chain_is_solved_by_reduction_alone() -> None:
    # Each view sees a row and the next one: the ends force their neighbours, and those the rest.
    matrix = (np.eye(9) + np.eye(9, k=1))[:, :9]
    reduced = reduce_cover(CoverProblem(visible=csr_array(matrix), weight=np.ones(9)))
    assert len(reduced.problem.weight) == 0
    assert len(reduced.forced) == 5


def test_groups_hold_alike_rows() -> None:
    rng = np.random.default_rng(3)
    kinds = rng.random((20, 8)) < 0.5
    matrix = np.repeat(kinds, 5, axis=1).astype(np.float64)
    problem = CoverProblem(visible=csr_array(matrix), weight=np.ones(40))
    group = group_rows(problem, num_groups=8)
    assert sorted(np.bincount(group)) == [5] * 8
    for number in range(8):
        assert len(np.unique(matrix[:, group == number], axis=1).T) == 1
