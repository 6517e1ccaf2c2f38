"""Lower bounds against brute force."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from viewcov.planning.selection.problem import CoverProblem, greedy_cover
from viewcov.planning.selection.relaxation import (
    CoverRelaxation,
    LowerBound,
    certified_bound,
    largest_views_bound,
    relaxed_bound,
)


def lower_bound(problem: CoverProblem, *, target: float, num_groups: int = 4) -> LowerBound:
    return relaxed_bound(problem, target=target, relaxation=CoverRelaxation(problem, num_groups=num_groups))


@st.composite
def tiny_problems(draw: st.DrawFn) -> tuple[np.ndarray, CoverProblem]:
    num_views, num_rows = draw(st.integers(1, 7)), draw(st.integers(1, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrix = rng.random((num_views, num_rows)) < draw(st.floats(0.1, 0.9))
    weight = rng.uniform(0.1, 10.0, num_rows)
    return matrix, CoverProblem(
        visible=csr_array(matrix.astype(np.float64)), weight=weight, demand=draw(st.integers(1, 2))
    )


def fewest(matrix: np.ndarray, problem: CoverProblem, target: float) -> int:
    """The size of the smallest of all subsets of views that reaches the target."""
    num_views = len(matrix)
    subsets = (np.arange(2**num_views)[:, None] >> np.arange(num_views)) & 1
    covered = (subsets @ matrix.astype(int) >= problem.demand) @ problem.weight
    return int(subsets.sum(axis=1)[covered >= target * (1 - 1e-9)].min())


@settings(max_examples=60, deadline=None)
@given(tiny_problems(), st.floats(0.05, 1.0), st.sampled_from([1, 3, 10]))
def test_bounds_lie_below_the_optimum_and_that_below_greedy(tiny, share: float, num_groups: int) -> None:
    matrix, problem = tiny
    assume(problem.coverable_weight > 0)
    target = share * problem.coverable_weight
    optimum = fewest(matrix, problem, target)
    bound = lower_bound(problem, target=target, num_groups=num_groups)
    assert largest_views_bound(problem, target=target) <= bound.num_views <= optimum
    assert optimum <= len(greedy_cover(problem, target=target))


@settings(deadline=None)
@given(tiny_problems(), st.floats(0.05, 1.0), st.integers(0, 2**32 - 1))
def test_any_prices_certify_a_bound_below_the_optimum(tiny, share: float, seed: int) -> None:
    matrix, problem = tiny
    rng = np.random.default_rng(seed)
    target = share * problem.coverable_weight
    price = rng.exponential(rng.choice([0.01, 0.3, 3.0]), len(problem.weight)) * (rng.random(len(problem.weight)) < 0.8)
    assert certified_bound(problem, target=target, price=price) <= fewest(matrix, problem, target) + 1e-9


def test_odd_cycle_takes_half_of_each_view_and_is_rounded_up() -> None:
    # Five rows on a circle, each view sees two neighbours: half of each view would do, so 2.5, so 3.
    matrix = np.eye(5) + np.roll(np.eye(5), 1, axis=1)
    problem = CoverProblem(visible=csr_array(matrix), weight=np.ones(5))
    bound = lower_bound(problem, target=5.0)
    assert bound == LowerBound(num_views=3, name="linear program")
    assert certified_bound(problem, target=5.0, price=np.full(5, 0.5)) == pytest.approx(2.5, abs=1e-6)
    assert bound.status(3) == "optimal"
    assert bound.status(4) == "feasible"


def test_linear_program_beats_the_largest_views_where_views_overlap() -> None:
    # One row per view of its own, and a heavy one that all share: the largest views count it every time.
    matrix = np.column_stack([np.eye(6), np.ones(6)])
    problem = CoverProblem(visible=csr_array(matrix), weight=np.array([1.0] * 6 + [100.0]))
    bound = lower_bound(problem, target=106.0)
    assert largest_views_bound(problem, target=106.0) == 2
    assert bound == LowerBound(num_views=6, name="linear program")
    assert lower_bound(problem, target=103.5).num_views == 4
    # Each row of its own seen by three views, two of which are wanted.
    twice = CoverProblem(visible=csr_array(np.repeat(matrix, 3, axis=0)), weight=problem.weight, demand=2)
    assert largest_views_bound(twice, target=106.0) == 3
    assert lower_bound(twice, target=106.0) == LowerBound(num_views=12, name="linear program")


def test_two_views_an_element_need_twice_as_many() -> None:
    matrix = np.repeat(np.eye(3), 3, axis=0)
    problem = CoverProblem(visible=csr_array(matrix), weight=np.ones(3), demand=2)
    assert lower_bound(problem, target=3.0).num_views == 6
    assert lower_bound(problem, target=2.0).num_views == 4
