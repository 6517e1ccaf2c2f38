"""Row weighting and integer programs: brute force on tiny covers, the literature's best on its own, and the clock."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from viewcov.planning.selection.annealing import anneal_cover
from viewcov.planning.selection.integer_program import integer_cover
from viewcov.planning.selection.problem import CoverProblem, greedy_cover, is_cover, prune_cover
from viewcov.planning.selection.proof import Budget
from viewcov.planning.selection.smallest_cover import fullest_cover, small_cover, smallest_cover
from viewcov.planning.selection.weighting import _change, _state_of, weighted_cover


@pytest.fixture(scope="module")
def covers() -> ModuleType:
    """The benchmark, which makes the instances."""
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "covers.py"
    spec = importlib.util.spec_from_file_location("covers_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@st.composite
def tiny_problems(draw: st.DrawFn) -> tuple[np.ndarray, CoverProblem]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrix = rng.random((draw(st.integers(1, 8)), draw(st.integers(1, 12)))) < draw(st.floats(0.1, 0.9))
    weight, demand = rng.uniform(0.1, 9.0, matrix.shape[1]), draw(st.integers(1, 3))
    problem = CoverProblem(visible=csr_array(matrix.astype(np.float64)), weight=weight, demand=demand)
    assume(problem.coverable_weight > 0)
    return matrix, problem


def fewest(matrix: np.ndarray, problem: CoverProblem, target: float) -> int:
    every = (np.arange(2 ** len(matrix))[:, None] >> np.arange(len(matrix))) & 1
    covered = (every @ matrix.astype(int) >= problem.demand) @ problem.weight
    return int(every.sum(axis=1)[covered >= target * (1 - 1e-9)].min())


def random_cover(num_views: int, num_rows: int) -> CoverProblem:
    """Like scpa1 of OR-Library: each view sees two rows of a hundred."""
    sees = np.random.default_rng(0).random((num_views, num_rows)) < 0.02
    return CoverProblem(visible=csr_array(sees.astype(np.float64)), weight=np.ones(num_rows))


@settings(deadline=None)
@given(tiny_problems(), st.integers(0, 2**32 - 1))
def test_scores_follow_every_change(tiny, seed: int) -> None:
    matrix, problem = tiny
    state, rng = _state_of(problem), np.random.default_rng(seed)
    state.weight[:] = rng.integers(1, 9, len(state.weight))
    sees = matrix[:, problem.coverable].astype(float)
    state.score[:] = sees @ state.weight
    inside: set[int] = set()
    for view in rng.integers(len(matrix), size=12):
        _change(state, int(view), -1 if view in inside else 1)
        inside ^= {int(view)}
        times = sees[sorted(inside)].sum(axis=0)
        member = np.isin(np.arange(len(matrix)), sorted(inside))
        comes, goes = (
            sees @ (state.weight * (times < problem.demand)),
            sees @ (state.weight * (times <= problem.demand)),
        )
        np.testing.assert_array_equal(state.score, np.where(member, goes, comes))
        assert set(state.members[: state.counts[1]]) == inside
        assert set(state.open_rows[: state.counts[0]]) == set(np.flatnonzero(times < problem.demand))


@settings(max_examples=60, deadline=None)
@given(tiny_problems(), st.integers(0, 100))
def test_row_weighting_finds_smallest_covers_of_few_views(tiny, seed: int) -> None:
    matrix, problem = tiny
    found = weighted_cover(problem, np.arange(len(matrix)), num_moves=2000, seed=seed)
    assert is_cover(problem, found, target=problem.coverable_weight)
    assert len(found) == fewest(matrix, problem, problem.coverable_weight)
    again = weighted_cover(problem, np.arange(len(matrix)), num_moves=2000, seed=seed)
    np.testing.assert_array_equal(found, again)


@settings(max_examples=60, deadline=None)
@given(tiny_problems(), st.one_of(st.just(1.0), st.floats(0.05, 1.0)))
def test_integer_programs_are_solved(tiny, share: float) -> None:
    matrix, problem = tiny
    target = share * problem.coverable_weight
    found, least = integer_cover(problem, np.arange(len(matrix)), target=target)
    assert is_cover(problem, found, target=target)
    assert len(found) == least == fewest(matrix, problem, target)
    # Small covers of part of the weight are proven for every demand.
    cover = smallest_cover(problem, target=target)
    assert len(cover.views) == least == cover.bound.num_views


@pytest.mark.parametrize(("name", "best"), [("CYC05", 24), ("CYC06", 60), ("CLR10", 25), ("CLR11", 23)])
def test_row_weighting_finds_the_best_covers_known(covers: ModuleType, name: str, best: int) -> None:
    problem = covers.instance(name, None)
    everything = problem.coverable_weight
    start = prune_cover(problem, greedy_cover(problem, target=everything), target=everything)
    found = weighted_cover(problem, start, num_moves=5000)
    assert is_cover(problem, found, target=everything)
    assert len(found) == best
    assert len(small_cover(problem, target=everything, budget=Budget(time_limit_s=1.0))) == best


def test_instances_have_the_sizes_of_the_literature(covers: ModuleType, tmp_path: Path) -> None:
    sizes = {"CYC06": (192, 240), "CYC07": (448, 672), "CYC08": (1024, 1792), "CLR10": (210, 511), "CLR11": (330, 1023)}
    for name, size in sizes.items():
        assert covers.instance(name, None).visible.shape == size
    # Each 4-cycle has four edges; in the cube of six dimensions an edge is in five of them.
    sees = covers.instance("CYC06", None).visible.toarray()
    assert set(sees.sum(axis=0)) == {4}
    assert set(sees.sum(axis=1)) == {5}
    (tmp_path / "tiny.txt").write_text("3 4\n1 2 2\n 1\n2\n1 3\n1\n4\n3\n1 2\n4\n")
    expected = [[1, 0, 1], [0, 0, 1], [1, 0, 0], [0, 1, 1]]
    np.testing.assert_array_equal(covers.instance("tiny", tmp_path).visible.toarray(), expected)


def test_the_benchmark_has_a_row_for_each_case(covers: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    covers.main(["--cases", "CYC04,CYC04@0.8/2", "--time-limit", "1", "--out", str(out)])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.read_text("utf-8").splitlines()[2:]]
    assert [row[:2] for row in rows] == [["CYC04", "32 x 24"], ["CYC04@0.8/2", "32 x 24"]]
    for row in rows:
        ours, bound, _, theirs, their_bound, _ = map(float, row[3:])
        assert max(bound, their_bound) <= min(ours, theirs)
    # A largest subgraph of the cube of four dimensions without 4-cycles has 24 of its 32 edges.
    assert rows[0][3:5] == ["8", "8"]


def test_searches_end_with_the_clock() -> None:
    problem = random_cover(3000, 300)
    everything = problem.coverable_weight
    start = greedy_cover(problem, target=everything)
    for warm in (2, 10**12):
        begun = time.monotonic()
        weighted_cover(problem, start, num_moves=warm, until=begun + 0.3)
        weighted_s = time.monotonic() - begun
        begun = time.monotonic()
        anneal_cover(problem, start, target=0.9 * everything, num_moves=warm, until=begun + 0.3)
        annealed_s = time.monotonic() - begun
    assert 0.25 < weighted_s < 0.8
    assert 0.25 < annealed_s < 0.8


@pytest.mark.parametrize(("share", "demand"), [(1.0, 1), (0.9, 1), (0.9, 2), (None, 1)])
def test_time_limits_are_kept(share: float | None, demand: int) -> None:
    problem = random_cover(1500, 300)
    problem = CoverProblem(visible=problem.visible, weight=problem.weight, demand=demand)
    for limit_s in (0.0, 2.0):
        begun = time.monotonic()
        budget = Budget(time_limit_s=limit_s)
        if share is None:
            fullest_cover(problem, num_views=20, budget=budget)
        else:
            smallest_cover(problem, target=share * problem.coverable_weight, budget=budget)
    assert time.monotonic() - begun < limit_s + 1.0


def test_annealing_that_the_clock_ends_has_cooled() -> None:
    # Far more moves than there is time for: ended hot, the search would stay above what it finds in 20,000 moves.
    rng = np.random.default_rng(4)
    points, centers, radius = rng.random((3000, 2)), rng.random((400, 2)), rng.uniform(0.04, 0.1, 400)
    sees = np.linalg.norm(centers[:, None] - points[None], axis=2) < radius[:, None]
    problem = CoverProblem(visible=csr_array(sees.astype(np.float64)), weight=rng.uniform(0.5, 1.5, 3000))
    target = 0.97 * problem.coverable_weight
    start = prune_cover(problem, greedy_cover(problem, target=target), target=target)
    anneal_cover(problem, start, target=target, num_moves=2)
    found = anneal_cover(problem, start, target=target, num_moves=10**8, until=time.monotonic() + 1.5)
    assert len(found) <= len(start) - 3
