"""Smallest covers with their proof: brute force, an independent integer program, and the linear relaxation."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, eye_array, hstack

from viewcov.planning.selection.annealing import _change, _state_of, anneal_best, anneal_cover
from viewcov.planning.selection.problem import CoverProblem, greedy_best, greedy_cover, is_cover, prune_cover
from viewcov.planning.selection.proof import _Search, prove_cover, view_sets
from viewcov.planning.selection.relaxation import CoverRelaxation, LowerBound, OutOfTimeError
from viewcov.planning.selection.smallest_cover import Budget, fullest_cover, smallest_cover


@st.composite
def tiny_problems(draw: st.DrawFn, max_demand: int = 2) -> tuple[np.ndarray, CoverProblem]:
    num_views, num_rows = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrix = rng.random((num_views, num_rows)) < draw(st.floats(0.1, 0.9))
    demand = draw(st.integers(1, max_demand))
    problem = CoverProblem(
        visible=csr_array(matrix.astype(np.float64)), weight=rng.uniform(0.1, 9.0, num_rows), demand=demand
    )
    return matrix, problem


def subsets(matrix: np.ndarray, problem: CoverProblem) -> tuple[np.ndarray, np.ndarray]:
    """Size and covered weight of every set of views."""
    every = (np.arange(2 ** len(matrix))[:, None] >> np.arange(len(matrix))) & 1
    return every.sum(axis=1), (every @ matrix.astype(int) >= problem.demand) @ problem.weight


def patchy(num_views: int, num_rows: int, seed: int, *, demand: int = 1, size: float = 0.1) -> CoverProblem:
    """Views that see discs of points spread over a square: like surfaces, unlike random matrices."""
    rng = np.random.default_rng(seed)
    points, centers = rng.random((num_rows, 2)), rng.random((num_views, 2))
    radius = rng.uniform(size, 2.5 * size, num_views)
    sees = np.linalg.norm(centers[:, None] - points[None], axis=2) < radius[:, None]
    return CoverProblem(
        visible=csr_array(sees.astype(np.float64)), weight=rng.uniform(0.5, 1.5, num_rows), demand=demand
    )


def fewest_by_integer_program(problem: CoverProblem, target: float) -> int:
    """The textbook model: binary views and rows, every row with its own constraint."""
    num_views, num_rows = problem.visible.shape
    seen = hstack([csr_array(problem.visible.T), -problem.demand * eye_array(num_rows)])
    reach = np.concatenate([np.zeros(num_views), problem.weight])[None]
    result = milp(
        np.concatenate([np.ones(num_views), np.zeros(num_rows)]),
        constraints=[LinearConstraint(seen, lb=0), LinearConstraint(reach, lb=target * (1 - 1e-9))],
        bounds=Bounds(0, 1),
        integrality=1,
    )
    assert result.status == 0
    return round(result.fun)


@settings(max_examples=60, deadline=None)
@given(tiny_problems(), st.one_of(st.just(1.0), st.floats(0.05, 1.0)))
def test_smallest_covers_are_smallest(tiny, share: float) -> None:
    matrix, problem = tiny
    target = share * problem.coverable_weight
    size, covered = subsets(matrix, problem)
    fewest = int(size[covered >= target * (1 - 1e-9)].min())
    cover = smallest_cover(problem, target=target)
    assert is_cover(problem, cover.views, target=target)
    assert cover.bound.num_views <= fewest <= len(cover.views)
    proven = cover.bound.num_views == len(cover.views)
    assert cover.bound.status(len(cover.views)) == ("optimal" if proven else "feasible")
    # With one view per element, and with all of the coverable area, nothing stays open on so few views.
    if problem.demand == 1 or share == 1.0:
        assert len(cover.views) == fewest == cover.bound.num_views


@pytest.mark.parametrize(("seed", "share"), [(0, 0.9), (1, 0.95), (2, 0.99), (3, 1.0)])
def test_proofs_agree_with_the_textbook_integer_program(seed: int, share: float) -> None:
    problem = patchy(60, 300, seed)
    target = share * problem.coverable_weight
    cover = smallest_cover(problem, target=target)
    assert cover.bound.status(len(cover.views)) == "optimal"
    assert len(cover.views) == fewest_by_integer_program(problem, target)


def test_branch_and_bound_proves_more_than_the_relaxation() -> None:
    # Three rings of five rows, each view sees two neighbours. Seven views taken by halves see 14 of the 15 rows,
    # but two views of a ring see four of its rows and a third one only one more, so that seven see 13.
    ring = np.eye(5) + np.roll(np.eye(5), 1, axis=1)
    problem = CoverProblem(visible=csr_array(np.kron(np.eye(3), ring)), weight=np.ones(15))
    relaxed = smallest_cover(problem, target=14.0, budget=Budget(max_nodes=0))
    assert (relaxed.bound.num_views, relaxed.bound.name) == (7, "linear program")
    assert relaxed.bound.status(len(relaxed.views)) == "feasible"
    budget = Budget()
    found, bound = prove_cover(CoverRelaxation(problem), np.arange(15), target=14.0, num_views=7, budget=budget)
    assert len(found) == bound == 8
    assert budget.nodes > 0
    # So small a problem goes to the integer program first.
    proven = smallest_cover(problem, target=14.0)
    assert (len(proven.views), proven.bound) == (8, LowerBound(num_views=8, name="integer program"))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 0.99))
def test_branch_and_bound_is_right_where_the_relaxation_is_loose(seed: int, share: float) -> None:
    # Rings of odd length, whose views by halves cover what whole ones cannot, weighted and tied together.
    rng = np.random.default_rng(seed)
    rings = [np.eye(n) + np.roll(np.eye(n), 1, axis=1) for n in (3, 5, 5)]
    matrix = block_diag(*rings) > 0
    matrix[rng.integers(13, size=3), rng.integers(13, size=3)] = True
    problem = CoverProblem(visible=csr_array(matrix.astype(np.float64)), weight=rng.integers(1, 4, 13).astype(float))
    target = share * problem.coverable_weight
    size, covered = subsets(matrix, problem)
    fewest = int(size[covered >= target * (1 - 1e-9)].min())
    # From a cover of all views and no bound, so that both the covers and the proof are the search's own.
    relaxation = CoverRelaxation(problem, num_groups=3)
    found, bound = prove_cover(relaxation, np.arange(13), target=target, num_views=1, budget=Budget())
    assert is_cover(problem, found, target=target)
    assert len(found) == fewest == bound


def test_the_cases_of_a_split_leave_nothing_out() -> None:
    problem = patchy(30, 200, 2)
    search = _Search(CoverRelaxation(problem), view_sets(problem), target=1.0, num_views=5, seed=0)
    for limits in ({}, {3: (1.0, 4.0)}):
        for total in (1.0, 1.3, 2.999):
            ranges = [case[3] for case in search._cases(limits, 3, total)]
            low, high = limits.get(3, (-np.inf, np.inf))
            for number in range(6):
                inside = sum(first <= number <= last for first, last in ranges)
                assert inside == (low <= number <= high)


@settings(deadline=None)
@given(tiny_problems(max_demand=3), st.integers(0, 2**32 - 1))
def test_gains_and_losses_follow_every_change(tiny, seed: int) -> None:
    matrix, problem = tiny
    assume(problem.coverable_weight > 0)
    state, rng = _state_of(problem), np.random.default_rng(seed)
    share = np.where(problem.coverable, problem.weight, 0.0) / problem.coverable_weight
    inside: set[int] = set()
    for view in rng.integers(len(matrix), size=12):
        before = share[matrix[sorted(inside)].sum(axis=0) >= problem.demand].sum()
        change = _change(state, int(view), -1 if view in inside else 1)
        inside ^= {int(view)}
        times = matrix[sorted(inside)].sum(axis=0)
        assert before + change == pytest.approx(share[times >= problem.demand].sum())
        np.testing.assert_allclose(state.gain, matrix @ (share * (times == problem.demand - 1)), atol=1e-12)
        np.testing.assert_allclose(state.loss, matrix @ (share * (times == problem.demand)), atol=1e-12)


@pytest.mark.parametrize("share", [0.9, 1.0])
def test_two_views_an_element(share: float) -> None:
    problem = patchy(40, 120, 5, demand=2)
    target = share * problem.coverable_weight
    cover = smallest_cover(problem, target=target)
    fewest = fewest_by_integer_program(problem, target)
    assert cover.bound.num_views <= fewest <= len(cover.views) <= fewest + (share < 1.0)
    assert share < 1.0 or cover.bound.status(len(cover.views)) == "optimal"


@pytest.mark.parametrize("demand", [1, 2])
def test_relaxation_by_cuts_equals_the_whole_linear_program(demand: int) -> None:
    problem = patchy(50, 400, 7, demand=demand)
    rows = np.flatnonzero(problem.coverable)
    sees, weight = problem.visible.toarray()[:, rows].T, problem.weight[rows] / problem.weight[rows].sum()
    share = 0.93
    whole = linprog(
        np.concatenate([np.ones(50), np.zeros(len(rows))]),
        A_ub=np.block([[-sees, demand * np.eye(len(rows))], [np.zeros((1, 50)), -weight[None]]]),
        b_ub=np.concatenate([np.zeros(len(rows)), [-share]]),
        bounds=(0, 1),
    )
    relaxation = CoverRelaxation(problem, num_groups=10)
    fewest = relaxation.fewest(share)
    assert fewest is not None
    # Rounds end within 2e-5 of the share, here within so much of a view: the slope is views by share.
    assert whole.fun - 1e-3 <= fewest.value <= whole.fun + 1e-9
    # The other way around: so many views cover that share.
    most = relaxation.most(whole.fun)
    assert most is not None
    assert share - 1e-9 <= most.value <= share + 5e-5
    assert relaxation.most(whole.fun, enough=1.0 + 1e-9).value >= most.value - 1e-9


def test_a_relaxation_cut_short_is_still_a_bound() -> None:
    problem = patchy(50, 400, 7)
    loose = CoverRelaxation(problem, num_groups=10).fewest(0.93, until=0.0)
    tight = CoverRelaxation(problem, num_groups=10).fewest(0.93)
    assert 0 < loose.value < tight.value


def test_a_proof_out_of_time_claims_nothing() -> None:
    problem = patchy(50, 400, 7)
    relaxation = CoverRelaxation(problem, num_groups=10)
    with pytest.raises(OutOfTimeError):
        relaxation.most(5.0, until=0.0)
    # Time to spare when the search begins, none when its first linear program does.
    with patch.object(relaxation, "most", side_effect=OutOfTimeError):
        target = 0.93 * problem.coverable_weight
        chosen, bound = prove_cover(relaxation, np.arange(50), target=target, num_views=3, budget=Budget())
    assert (len(chosen), bound) == (50, 3)


def test_limits_on_sets_hold_and_are_lifted_again() -> None:
    problem = patchy(30, 200, 2)
    relaxation = CoverRelaxation(problem, num_groups=6)
    free = relaxation.most(5.0)
    sets = [np.arange(15), np.arange(10, 30)]
    relaxation.limit({0: (-np.inf, 1.0), 1: (3.0, np.inf)}, sets)
    limited = relaxation.most(5.0)
    assert limited.chosen[:15].sum() <= 1.0 + 1e-6
    assert limited.chosen[10:].sum() >= 3.0 - 1e-6
    assert limited.value < free.value
    relaxation.limit({0: (6.0, np.inf)}, sets)
    assert relaxation.most(5.0) is None
    relaxation.limit({}, sets)
    assert relaxation.most(5.0).value == pytest.approx(free.value, abs=5e-5)


def test_view_sets_are_nested_and_hold_alike_views() -> None:
    # Two kinds of views that share nothing: no set mixes them.
    matrix = np.zeros((8, 20))
    rng = np.random.default_rng(0)
    matrix[:4, :10], matrix[4:, 10:] = rng.random((4, 10)) < 0.8, rng.random((4, 10)) < 0.8
    sets = [set(members.tolist()) for members in view_sets(CoverProblem(visible=csr_array(matrix), weight=np.ones(20)))]
    assert all(a <= b or b <= a or not a & b for a in sets for b in sets)
    assert {0, 1, 2, 3} in sets
    assert {4, 5, 6, 7} in sets
    assert all(max(some) < 4 or min(some) >= 4 for some in sets)


@settings(max_examples=30, deadline=None)
@given(tiny_problems(), st.floats(0.1, 1.0), st.integers(0, 100))
def test_annealing_keeps_the_target_and_never_adds_views(tiny, share: float, seed: int) -> None:
    matrix, problem = tiny
    target = share * problem.coverable_weight
    start = greedy_cover(problem, target=target)
    found = anneal_cover(problem, start, target=target, num_moves=300, seed=seed)
    assert is_cover(problem, found, target=target)
    assert len(found) <= len(start)
    np.testing.assert_array_equal(found, anneal_cover(problem, start, target=target, num_moves=300, seed=seed))
    size, covered = subsets(matrix, problem)
    best = anneal_best(problem, start, num_moves=300, seed=seed)
    assert len(best) == len(start)
    assert problem.covered_weight(start) <= problem.covered_weight(best) <= covered[size == len(start)].max() + 1e-9


def test_annealing_beats_pruned_greedy_on_patches() -> None:
    problem = patchy(400, 3000, 4, size=0.04)
    target = 0.97 * problem.coverable_weight
    pruned = prune_cover(problem, greedy_cover(problem, target=target), target=target)
    found = anneal_cover(problem, pruned, target=target, num_moves=20_000)
    assert len(found) <= len(pruned) - 3


@pytest.mark.parametrize("num_views", [1, 4, 30])
def test_fullest_cover_lies_between_greedy_and_its_bound(num_views: int) -> None:
    problem = patchy(40, 300, 6)
    cover, most = fullest_cover(problem, num_views=num_views)
    covered = problem.covered_weight(cover.views)
    assert len(cover.views) <= num_views
    assert problem.covered_weight(greedy_best(problem, num_views=num_views)) - 1e-9 <= covered <= most + 1e-9
    assert most <= problem.coverable_weight * (1 + 1e-9)
    assert cover.bound.num_views <= len(cover.views)
    if num_views == 1:
        assert covered == pytest.approx((problem.visible @ problem.weight).max())


def test_no_time_leaves_a_bound_that_holds() -> None:
    problem = patchy(80, 400, 1)
    for share in (0.9, 1.0):
        target = share * problem.coverable_weight
        cover = smallest_cover(problem, target=target, budget=Budget(time_limit_s=0.0))
        assert is_cover(problem, cover.views, target=target)
        assert 1 <= cover.bound.num_views <= fewest_by_integer_program(problem, target)


def test_an_unreachable_target_is_refused() -> None:
    problem = patchy(5, 40, 0)
    with pytest.raises(ValueError, match="target must be at most the coverable"):
        smallest_cover(problem, target=1.01 * problem.coverable_weight)
