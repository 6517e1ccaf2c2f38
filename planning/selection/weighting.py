"""Local search for small covers of everything: rows that stay uncovered gain weight until a view is taken for them."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np
from scipy.sparse import csr_array

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.planning.clock import over
from viewcov.planning.selection.problem import CoverProblem, is_cover

_AT_ONCE = 1_000_000
"""Updates of scores, as estimated, between two looks at the clock: about a millisecond."""


def weighted_cover(
    problem: CoverProblem, chosen: Ints, *, num_moves: int, seed: int = 0, until: float = np.inf
) -> Ints:
    """A cover of all coverable rows with no more views than ``chosen``, which need not be one.

    Row weighting local search (Gao, Weise and Li, EJOR 246, 2015): whenever all is covered, the view that costs least
    is left out. Otherwise the cheapest view, not the one taken last, makes room for one that sees a row drawn from
    those seen too seldom: the one of the highest price that has had a change among its rows since it was left out.
    Ties go to the view that has stayed as it is for longest. A view's price is the weight of its rows that it alone
    would bring nearer to the demand, or keeps there, and after each exchange the weight of every row that is seen too
    seldom grows by one.

    The smallest cover met is returned, ``chosen`` if there was none; the same seed gives the same one, unless the
    monotonic clock reads ``until`` before all moves are made.
    """
    state = _state_of(problem)
    if not len(state.weight):
        return np.empty(0, dtype=np.int64)
    for view in chosen:
        _change(state, int(view), 1)
    rng = np.random.default_rng(seed)
    at_once = max(int(_AT_ONCE / updates_per_move(problem)), 1)
    for first in range(0, num_moves, at_once):
        more = _search(state, min(at_once, num_moves - first), rng)
        if not more or over(until):
            break
    found = np.flatnonzero(state.best)
    return found if is_cover(problem, found, target=problem.coverable_weight) else chosen


def updates_per_move(problem: CoverProblem) -> float:
    """Scores that an exchange of two views changes at most: those of all views of each of their rows."""
    seen_by = np.diff(problem.visible.tocsc().indptr).astype(np.float64)
    return max(2.0 * float(seen_by @ seen_by) / problem.num_views, 1.0)


class _State(NamedTuple):
    """A set of views, the weights of the rows, and what each view is worth by them."""

    view_start: Ints
    view_rows: Ints
    row_start: Ints
    row_views: Ints
    demand: int
    weight: Floats
    times_seen: Ints
    score: Floats
    """Shape (V,): weight of the view's rows that are seen too seldom, or for a member would be without it."""
    inside: Bools
    members: Ints
    """The views of the set, in its first places."""
    open_rows: Ints
    """The rows that are seen too seldom, in its first places."""
    place: Ints
    """Shape (R,): where each of those stands there."""
    changed: Ints
    """Shape (V,): when each view last came or went."""
    touched: Ints
    """Shape (R,): when a view of the row last came or went."""
    counts: Ints
    """How many rows are seen too seldom, how many views the set has, which was taken last, and changes so far."""
    best: Bools
    """The smallest cover met; none at first."""


def _state_of(problem: CoverProblem) -> _State:
    """The state of the empty set; rows that cannot be covered are left out."""
    by_row = csr_array(problem.visible.T.tocsr()[np.flatnonzero(problem.coverable)])
    by_view = csr_array(by_row.T.tocsr())
    (num_rows, num_views), rows = by_row.shape, np.arange(by_row.shape[0])
    return _State(
        view_start=by_view.indptr.astype(np.int64),
        view_rows=by_view.indices.astype(np.int64),
        row_start=by_row.indptr.astype(np.int64),
        row_views=by_row.indices.astype(np.int64),
        demand=problem.demand,
        weight=np.ones(num_rows),
        times_seen=np.zeros(num_rows, dtype=np.int64),
        score=np.diff(by_view.indptr).astype(np.float64),
        inside=np.zeros(num_views, dtype=bool),
        members=np.zeros(num_views, dtype=np.int64),
        open_rows=rows.copy(),
        place=rows,
        changed=np.zeros(num_views, dtype=np.int64),
        touched=np.zeros(num_rows, dtype=np.int64),
        counts=np.array([num_rows, 0, -1, 0]),
        best=np.zeros(num_views, dtype=bool),
    )


@nb.njit(cache=True)
def _search(state: _State, num_moves: int, rng: np.random.Generator) -> bool:
    """So many moves; whether any views are left."""
    for _ in range(num_moves):
        while state.counts[0] == 0:
            state.best[:] = state.inside
            _change(state, _cheapest(state, -1), -1)
        if state.counts[1] == 0:
            return False
        _change(state, _cheapest(state, state.counts[2]), -1)
        new = _view_for(state, state.open_rows[rng.integers(0, state.counts[0])])
        _change(state, new, 1)
        state.counts[2] = new
        for place in range(state.counts[0]):
            row = state.open_rows[place]
            state.weight[row] += 1.0
            for other in range(state.row_start[row], state.row_start[row + 1]):
                state.score[state.row_views[other]] += 1.0
    return True


@nb.njit(cache=True)
def _view_for(state: _State, row: int) -> int:
    """The view of the highest score that sees the row and may come back; if none may, the one that went first.

    One may if it was never in the set, or one of its rows has had a change since it went.
    """
    best = oldest = -1
    for place in range(state.row_start[row], state.row_start[row + 1]):
        view = state.row_views[place]
        if state.inside[view]:
            continue
        if oldest < 0 or state.changed[view] < state.changed[oldest]:
            oldest = view
        if best >= 0:
            more = state.score[view] - state.score[best]
            if more < 0.0 or (more == 0.0 and state.changed[view] >= state.changed[best]):
                continue
        fresh = state.changed[view] == 0
        for other in range(state.view_start[view], state.view_start[view + 1]):
            fresh = fresh or state.touched[state.view_rows[other]] > state.changed[view]
        if fresh:
            best = view
    return best if best >= 0 else oldest


@nb.njit(cache=True)
def _cheapest(state: _State, kept: int) -> int:
    """The member of the lowest score, not ``kept`` if there is another."""
    best = -1
    for place in range(state.counts[1]):
        view = state.members[place]
        if view == kept and state.counts[1] > 1:
            continue
        if best >= 0:
            less = state.score[view] - state.score[best]
            if less > 0.0 or (less == 0.0 and state.changed[view] >= state.changed[best]):
                continue
        best = view
    return best


@nb.njit(cache=True)
def _change(state: _State, view: int, step: int) -> None:
    """Add (step 1) or remove (step -1) a view.

    Its own score stays: what it brings as it comes is what its going would cost.
    """
    counts, demand, listed = state.counts, state.demand, state.members
    counts[1] += step
    counts[3] += 1
    now = counts[3]
    if step > 0:
        listed[counts[1] - 1] = view
    else:
        where = 0
        while listed[where] != view:
            where += 1
        listed[where] = listed[counts[1]]
    state.inside[view] = step > 0
    state.changed[view] = now
    for place in range(state.view_start[view], state.view_start[view + 1]):
        row = state.view_rows[place]
        state.touched[row] = now
        # How many see the row with the view.
        times = state.times_seen[row] + (step > 0)
        state.times_seen[row] += step
        if times == demand:
            if step > 0:
                counts[0] -= 1
                last = state.open_rows[counts[0]]
                state.open_rows[state.place[row]] = last
                state.place[last] = state.place[row]
            else:
                state.open_rows[counts[0]] = row
                state.place[row] = counts[0]
                counts[0] += 1
        if times == demand or times == demand + 1:
            # The price of the row is that of views that would bring it to the demand, or of members that keep it there.
            for other in range(state.row_start[row], state.row_start[row + 1]):
                rival = state.row_views[other]
                if state.inside[rival] == (times > demand) and rival != view:
                    state.score[rival] -= step * state.weight[row]
