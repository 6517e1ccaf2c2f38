"""Local search for small covers: simulated annealing over exchanges of single views."""

from __future__ import annotations

import time
from typing import NamedTuple

import numba as nb
import numpy as np

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.planning.clock import over
from viewcov.planning.selection.problem import TOLERANCE, CoverProblem, is_cover

_HOT, _COLD = 1e-3, 1e-5
"""First and last temperature, as shares of the coverable weight."""

_AT_ONCE = 256
"""Moves between two looks at the clock."""


def anneal_cover(
    problem: CoverProblem, chosen: Ints, *, target: float, num_moves: int, seed: int = 0, until: float = np.inf
) -> Ints:
    """A cover of the weight ``target`` with no more views than ``chosen``, which need not reach it.

    As long as the target is reached, the view that adds least is left out. Otherwise a view drawn at random is
    exchanged for the one that would newly cover most, blurred by the temperature; exchanges that lose weight
    are taken with the probability exp(-loss / temperature), and the temperature falls from move to move. The
    smallest set that reached the target is returned, ``chosen`` if none did; the same seed gives the same one, unless
    the monotonic clock reads ``until`` before all moves are made.
    """
    enough = target * (1.0 - 0.5 * TOLERANCE)
    found = _annealed(problem, chosen, target=enough, num_moves=num_moves, seed=seed, until=until)
    return found if is_cover(problem, found, target=target) else chosen


def anneal_best(problem: CoverProblem, chosen: Ints, *, num_moves: int, seed: int = 0, until: float = np.inf) -> Ints:
    """As many views as ``chosen`` that cover no less, found by the same exchanges as in ``anneal_cover``."""
    found = _annealed(problem, chosen, target=np.inf, num_moves=num_moves, seed=seed, until=until)
    return found if problem.covered_weight(found) > problem.covered_weight(chosen) else chosen


class _State(NamedTuple):
    """A set of views, with how often it sees each row and what a change of it would bring."""

    view_start: Ints
    view_rows: Ints
    row_start: Ints
    row_views: Ints
    share: Floats
    demand: int
    times_seen: Ints
    gain: Floats
    """What each view would newly cover, were it added."""
    loss: Floats
    """What would no longer be covered, were the view removed; of use for views of the set only."""


class _Search(NamedTuple):
    """Where an annealing run stands."""

    members: Ints
    """Shape (V,): the views of the set, in its first places."""
    inside: Bools
    best: Bools
    """Whether each view is in the best set met: the smallest that reaches the target, else none.

    Where the target is infinite, that is the set that covers most.
    """
    sums: Floats
    """Number of members, what they cover, and the most that any set covered."""


def _annealed(problem: CoverProblem, chosen: Ints, *, target: float, num_moves: int, seed: int, until: float) -> Ints:
    if not problem.coverable_weight > 0:
        return np.empty(0, dtype=np.int64)
    rng, num = np.random.default_rng(seed), problem.num_views
    state, share = _state_of(problem), target / problem.coverable_weight
    inside, members = np.zeros(num, dtype=bool), np.zeros(num, dtype=np.int64)
    inside[chosen], members[: len(chosen)] = True, chosen
    search = _Search(members, inside, np.zeros(num, dtype=bool), np.array([len(chosen), 0.0, -1.0]))
    _begin(state, search)
    begun = now = time.monotonic()
    for first in range(0, num_moves, _AT_ONCE):
        # A search that the clock would end before its moves are made cools with the clock: one ended hot finds little.
        cooled = max(first / num_moves, (now - begun) / max(until - begun, 1e-9))
        moves = min(_AT_ONCE, num_moves - first)
        more = _anneal(state, search, share, (moves, cooled, 1.0 / num_moves), rng)
        now = time.monotonic()
        if not more or over(until):
            break
    return np.flatnonzero(search.best)


def _state_of(problem: CoverProblem) -> _State:
    """The state of the empty set."""
    share = np.where(problem.coverable, problem.weight, 0.0) / problem.coverable_weight
    by_row = problem.visible.tocsc()
    return _State(
        view_start=problem.visible.indptr.astype(np.int64),
        view_rows=problem.visible.indices.astype(np.int64),
        row_start=by_row.indptr.astype(np.int64),
        row_views=by_row.indices.astype(np.int64),
        share=share,
        demand=problem.demand,
        times_seen=np.zeros(len(share), dtype=np.int64),
        gain=np.asarray(problem.visible @ (share * (problem.demand == 1)), dtype=np.float64),
        loss=np.zeros(problem.num_views),
    )


@nb.njit(cache=True)
def _begin(state: _State, search: _Search) -> None:
    for place in range(int(search.sums[0])):
        search.sums[1] += _change(state, search.members[place], 1)


@nb.njit(cache=True)
def _anneal(
    state: _State, search: _Search, target: float, moves: tuple[int, float, float], rng: np.random.Generator
) -> bool:
    """So many moves from a share of the cooling on, each a further share of it; whether any views are left."""
    members, inside = search.members, search.inside
    size, covered, most = int(search.sums[0]), search.sums[1], search.sums[2]
    for move in range(moves[0]):
        if covered >= target:
            search.best[:] = inside
            least = 0
            for place in range(size):
                if state.loss[members[place]] < state.loss[members[least]]:
                    least = place
            covered += _change(state, members[least], -1)
            inside[members[least]] = False
            size -= 1
            members[least] = members[size]
        if target == np.inf and covered > most:
            most = covered
            search.best[:] = inside
        if size == 0:
            break
        heat = _HOT * (_COLD / _HOT) ** min(moves[1] + move * moves[2], 1.0)
        covered += _exchange(state, members, inside, rng.integers(0, size), heat, rng)
    # Summed afresh, so that no rounding errors build up.
    covered = 0.0
    for row in range(len(state.share)):
        if state.times_seen[row] >= state.demand:
            covered += state.share[row]
    search.sums[0], search.sums[1], search.sums[2] = size, covered, most
    return size > 0


@nb.njit(cache=True)
def _exchange(state: _State, members: Ints, inside: Bools, place: int, heat: float, rng: np.random.Generator) -> float:
    """Exchange one member for the view that gains most, if chance allows; the change of the covered share."""
    old = members[place]
    lost = _change(state, old, -1)
    new, best = -1, -1.0
    for view in range(len(inside)):
        if state.gain[view] > 0.0 and not inside[view]:
            value = state.gain[view] - heat * np.log(rng.random())
            if value > best:
                new, best = view, value
    if new >= 0 and rng.random() < np.exp((lost + state.gain[new]) / heat):
        inside[old], inside[new] = False, True
        members[place] = new
        return lost + _change(state, new, 1)
    return lost + _change(state, old, 1)


@nb.njit(cache=True)
def _change(state: _State, view: int, step: int) -> float:
    """Add (step 1) or remove (step -1) a view; the change of the covered share."""
    change = 0.0
    for place in range(state.view_start[view], state.view_start[view + 1]):
        row = state.view_rows[place]
        before = state.times_seen[row]
        after = before + step
        state.times_seen[row] = after
        share = state.share[row]
        gain, loss = 0.0, 0.0
        if before == state.demand - 1:
            gain -= share
        if after == state.demand - 1:
            gain += share
        if before == state.demand:
            loss -= share
        if after == state.demand:
            loss += share
        if gain == 0.0 and loss == 0.0:
            continue
        change -= gain if step > 0 and after == state.demand else 0.0
        change -= gain if step < 0 and before == state.demand else 0.0
        for other in range(state.row_start[row], state.row_start[row + 1]):
            state.gain[state.row_views[other]] += gain
            state.loss[state.row_views[other]] += loss
    return change
