"""Making a cover problem smaller without changing its solutions: equal rows, implied rows, useless views."""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from scipy.sparse import csr_array

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.planning.selection.problem import CoverProblem


def merge_rows(problem: CoverProblem, *, seed: int = 0) -> tuple[CoverProblem, Ints]:
    """The same problem with rows that the same views see merged into one, and each old row's new row.

    Rows are told apart by the sum of random 64-bit numbers of their views: two of a million different rows
    share a sum with a probability below 1e-7. Rows that no view sees are merged too.
    """
    keys = np.random.default_rng(seed).integers(0, 2**64, size=problem.num_views, dtype=np.uint64)
    by_row = problem.visible.tocsc()
    # Wrapping cumulative sums, so that the sum of a column is the difference of two of them.
    running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(keys[by_row.indices], dtype=np.uint64)])
    hashes = running[by_row.indptr[1:]] - running[by_row.indptr[:-1]]
    _, first, new_row = np.unique(hashes, return_index=True, return_inverse=True)
    merged = CoverProblem(
        visible=csr_array(by_row[:, first]),
        weight=np.bincount(new_row, weights=problem.weight, minlength=len(first)).astype(np.float64),
        demand=problem.demand,
    )
    merged.visible.sort_indices()
    return merged, new_row


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReducedCover:
    """What is left of covering every coverable row, once nothing more can be left out."""

    problem: CoverProblem
    """Rows that must all be covered by the views left."""

    views: Ints
    """Shape (V',): the original index of each view of ``problem``."""

    forced: Ints
    """Shape (M,): original indices of the views that every cover has, not in ``views``."""

    def original(self, chosen: Ints) -> Ints:
        """The cover of the original problem, by its indices, that has the ``chosen`` views of the reduced one."""
        return np.concatenate([self.forced, self.views[chosen]])


def reduce_cover(problem: CoverProblem) -> ReducedCover:
    """The problem of covering all coverable rows, reduced until nothing changes.

    A row is left out if all views of another row see it too, for then it is covered whenever the other is. For
    demand 1, a view is left out if another sees all that it sees, and a view that alone sees a row is taken.
    Some smallest cover of the original consists of ``forced`` and a smallest cover of what is left; for
    demands above 1 only rows are left out.
    """
    rows = csr_array(problem.visible.T)[problem.coverable]
    rows.sort_indices()
    views, forced = np.arange(problem.num_views), np.empty(0, dtype=np.int64)
    while True:
        shape = rows.shape
        rows = csr_array(rows[minimal_rows(rows)])
        if problem.demand > 1:
            break
        useful = ~dominated_columns(rows)
        rows, views = csr_array(rows[:, useful]), views[useful]
        single = np.diff(rows.indptr) == 1
        taken = np.zeros(len(views), dtype=bool)
        taken[rows.indices[np.repeat(single, np.diff(rows.indptr))]] = True
        forced = np.concatenate([forced, views[taken]])
        rows, views = csr_array(rows[rows @ taken == 0][:, ~taken]), views[~taken]
        rows.sort_indices()
        if rows.shape == shape:
            break
    left = CoverProblem(visible=csr_array(rows.T.tocsr()), weight=np.ones(rows.shape[0]), demand=problem.demand)
    return ReducedCover(problem=left, views=views, forced=np.sort(forced))


def minimal_rows(rows: csr_array) -> Bools:
    """Which rows, taken as sets of columns, contain no other row's set; one of equal rows is kept.

    Empty rows are not kept. ``rows`` is sparse, shape (R, V).
    """
    size = np.diff(rows.indptr)
    order = np.argsort(size, kind="stable")
    frequency = np.bincount(rows.indices, minlength=rows.shape[1])
    return _minimal_sets(rows.indptr.astype(np.int64), rows.indices.astype(np.int64), order, frequency)


@nb.njit(cache=True)
def _minimal_sets(start: Ints, member: Ints, order: Ints, frequency: Ints) -> Bools:
    """Sets in ascending order of size are kept if no kept set lies within them.

    Kept sets are listed under their rarest member: a set is compared only with those whose rarest member it has.
    """
    kept = np.zeros(len(start) - 1, np.bool_)
    head = np.full(len(frequency), -1, np.int64)
    following = np.full(len(start) - 1, -1, np.int64)
    marked = np.zeros(len(frequency), np.bool_)
    for row in order:
        members = member[start[row] : start[row + 1]]
        if len(members) == 0:
            continue
        for item in members:
            marked[item] = True
        contains = False
        for item in members:
            other = head[item]
            while other >= 0 and not contains:
                contains = True
                for place in range(start[other], start[other + 1]):
                    if not marked[member[place]]:
                        contains = False
                        break
                other = following[other]
            if contains:
                break
        for item in members:
            marked[item] = False
        if not contains:
            kept[row] = True
            rarest = members[0]
            for item in members:
                if frequency[item] < frequency[rarest]:
                    rarest = item
            following[row] = head[rarest]
            head[rarest] = row
    return kept


def dominated_columns(rows: csr_array) -> Bools:
    """Which columns have no row that a certain other column has not too, shape (V,); the first of equals is not."""
    by_column = csr_array(rows.T.tocsr())
    size = np.diff(by_column.indptr)
    # Rows that each pair of columns shares: a column all of whose rows are shared lies within the other.
    shared = csr_array(by_column @ rows).tocoo()
    inner, outer = shared.coords
    within = (shared.data > size[inner] - 0.5) & (inner != outer)
    inner, outer = inner[within], outer[within]
    dominated = size == 0
    dominated[inner[(size[outer] > size[inner]) | (outer < inner)]] = True
    return dominated


def group_rows(problem: CoverProblem, *, num_groups: int, seed: int = 0) -> Ints:
    """The group of each row, shape (R,): at most ``num_groups`` groups of rows that similar views see.

    Rows become points by random projection of their sets of views, and the group of largest spread is halved
    at its median until there are enough.
    """
    rng = np.random.default_rng(seed)
    points = problem.visible.T @ rng.standard_normal((problem.num_views, 12))
    groups = [np.arange(len(points))]
    spreads = [_spread(points, groups[0], problem.weight)]
    while len(groups) < num_groups and max(spreads) > 0:
        number = int(np.argmax(spreads))
        rows = groups[number]
        axis = int(np.argmax(points[rows].var(axis=0)))
        order = rows[np.argsort(points[rows, axis], kind="stable")]
        groups[number], other = np.split(order, [len(order) // 2])
        groups.append(other)
        spreads[number] = _spread(points, groups[number], problem.weight)
        spreads.append(_spread(points, other, problem.weight))
    group = np.empty(len(points), dtype=np.int64)
    for number, rows in enumerate(groups):
        group[rows] = number
    return group


def _spread(points: Floats, rows: Ints, weight: Floats) -> float:
    """Weight times variance of a group of rows; zero if it cannot be split."""
    return 0.0 if len(rows) < 2 else float(points[rows].var(axis=0).max() * weight[rows].sum())
