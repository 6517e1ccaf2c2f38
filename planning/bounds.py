"""Proven lower bounds on the number of views, and the merging of rows that makes them affordable."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_array, eye_array, hstack, vstack

from viewcov.inspection.arrays import Floats, Ints
from viewcov.planning.selection import TOLERANCE, CoverProblem

log = logging.getLogger(__name__)

BoundName = Literal["linear program", "largest views"]
Status = Literal["optimal", "feasible"]

MAX_LP_ENTRIES = 4_000_000
"""Entries (rows times the views that see them) beyond which rows are grouped for the linear program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerBound:
    """No fewer of the candidate views reach the target."""

    num_views: int
    """The bound."""

    name: BoundName
    """What proves it."""

    def status(self, num_views: int) -> Status:
        """Whether a plan of ``num_views`` views is proven to be smallest among the candidates."""
        return "optimal" if num_views <= self.num_views else "feasible"


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


def largest_views_bound(problem: CoverProblem, *, target: float) -> int:
    """The smallest n whose n largest views, overlaps counted twice, could reach ``target``: cheap and weak."""
    needed = problem.demand * target * (1.0 - TOLERANCE)
    if needed <= 0:
        return 0
    weight = np.where(problem.coverable, problem.weight, 0.0)
    reach = np.cumsum(np.sort(problem.visible @ weight)[::-1])
    return max(int(np.searchsorted(reach, needed)) + 1, problem.demand)


def certified_bound(problem: CoverProblem, *, target: float, price: Floats) -> float:
    """A valid lower bound on the number of views for any ``price`` >= 0 of the rows, shape (R,).

    With u the prices, w the weights, k the demand, U_v the prices of the rows that view v sees, and any
    lambda >= 0, every choice x of views that covers the rows y with w y >= T has

        |x| >= lambda T - sum_r max(0, lambda w_r - k u_r) - sum_v max(0, U_v - 1),

    because |x| >= sum_v x_v U_v - sum_v max(0, U_v - 1), and sum_v x_v U_v >= sum_r u_r k y_r. It is the dual
    of the linear relaxation; the best lambda is found exactly. No solver's tolerance enters.
    """
    weight = np.where(problem.coverable, problem.weight, 0.0)
    excess = np.maximum(problem.visible @ price - 1.0, 0.0).sum()
    paid = problem.demand * price
    rows = np.flatnonzero(weight > 0)
    rows = rows[np.argsort(paid[rows] / weight[rows], kind="stable")]
    # The slope in lambda is T minus the weight of the rows whose break point lies below.
    place = int(np.searchsorted(np.cumsum(weight[rows]), target * (1.0 - TOLERANCE)))
    if place >= len(rows):
        return 0.0
    level = paid[rows[place]] / weight[rows[place]]
    unpaid = np.maximum(level * weight[rows] - paid[rows], 0.0).sum()
    return float(level * target * (1.0 - TOLERANCE) - unpaid - excess)


def group_rows(problem: CoverProblem, *, num_groups: int, seed: int = 0) -> Ints:
    """The group of each row, shape (R,): at most ``num_groups`` groups of rows that similar views see.

    Rows become points by random projection of their sets of views, and the group of largest spread is halved
    at its median until there are enough.
    """
    import heapq

    rng = np.random.default_rng(seed)
    points = problem.visible.T @ rng.standard_normal((problem.num_views, 12))
    groups = [np.arange(len(points))]
    heap = [(-_spread(points, groups[0], problem.weight), 0)]
    while len(groups) < num_groups and heap and heap[0][0] < 0:
        _, number = heapq.heappop(heap)
        rows = groups[number]
        axis = int(np.argmax(points[rows].var(axis=0)))
        order = rows[np.argsort(points[rows, axis], kind="stable")]
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        groups[number] = halves[0]
        groups.append(halves[1])
        for which, half in ((number, halves[0]), (len(groups) - 1, halves[1])):
            heapq.heappush(heap, (-_spread(points, half, problem.weight), which))
    group = np.empty(len(points), dtype=np.int64)
    for number, rows in enumerate(groups):
        group[rows] = number
    return group


def _spread(points: Floats, rows: Ints, weight: Floats) -> float:
    """Weight times variance of a group of rows; zero if it cannot be split."""
    return 0.0 if len(rows) < 2 else float(points[rows].var(axis=0).max() * weight[rows].sum())


def lower_bound(
    problem: CoverProblem,
    *,
    target: float,
    time_limit_s: float = 60.0,
    max_entries: int = MAX_LP_ENTRIES,
    seed: int = 0,
) -> LowerBound:
    """The best proven bound on how many of the views must be chosen to cover the weight ``target``.

    The relaxation (views may be chosen in part) is solved, over groups of rows where it has too many entries
    or takes more than half of the time, and its prices are turned into a bound by `certified_bound`. Where
    that fails too, the bound of the largest views remains. Merge rows first.
    """
    start = time.monotonic()
    best = LowerBound(num_views=largest_views_bound(problem, target=target), name="largest views")
    if best.num_views == 0:
        return best
    rows = np.arange(len(problem.weight))
    price = None
    if problem.visible.nnz <= max_entries:
        price = _relaxation_prices(problem, target=target, group=rows, time_limit_s=time_limit_s / 2)
    if price is None:
        num_groups = int(len(rows) * min(0.25, max_entries / max(problem.visible.nnz, 1))) + 1
        group = group_rows(problem, num_groups=num_groups, seed=seed)
        left_s = time_limit_s - (time.monotonic() - start)
        price = _relaxation_prices(problem, target=target, group=group, time_limit_s=left_s)
    if price is None:
        log.warning("no bound from the linear program within %g s; the bound given is a weak one", time_limit_s)
        return best
    certified = math.ceil(certified_bound(problem, target=target, price=price) - 1e-6)
    return LowerBound(num_views=certified, name="linear program") if certified >= best.num_views else best


def _relaxation_prices(problem: CoverProblem, *, target: float, group: Ints, time_limit_s: float) -> Floats | None:
    """Prices of the rows, shape (R,), from the relaxation over groups of rows; None if it was not solved.

    Minimise sum x subject to k Y_g <= sum_v a_gv x_v, Y_g <= W_g, sum Y >= T, 0 <= x <= 1, where a_gv is the
    weight of group g that view v sees: the rows' own constraints k y_r <= sum_v x_v added up with their
    weights, hence valid for any grouping, and exact where all rows of a group are seen by the same views.
    """
    from scipy.optimize import linprog

    weight = np.where(problem.coverable, problem.weight, 0.0)
    num_groups, num_views, total = int(group.max()) + 1, problem.num_views, float(weight.sum())
    if total <= 0:
        return None
    summing = csr_array((weight / total, (group, np.arange(len(group)))), shape=(num_groups, len(group)))
    group_weight: Floats = np.asarray(summing.sum(axis=1), dtype=np.float64)
    keep = group_weight > 0
    seen = csr_array(summing @ problem.visible.T)[keep]
    # Rows are scaled by their weight, so that Y_g runs from 0 to 1 whatever the group weighs.
    scale = csr_array((1.0 / group_weight[keep], (np.arange(keep.sum()),) * 2), shape=(keep.sum(),) * 2)
    demands = hstack([-(scale @ seen), problem.demand * eye_array(int(keep.sum()))])
    reach = hstack([csr_array((1, num_views)), csr_array(-group_weight[keep][None, :])])
    solution = linprog(
        np.concatenate([np.ones(num_views), np.zeros(int(keep.sum()))]),
        A_ub=vstack([demands, reach], format="csr"),
        b_ub=np.concatenate([np.zeros(int(keep.sum())), [-target * (1.0 - TOLERANCE) / total]]),
        bounds=(0.0, 1.0),
        method="highs",
        options={"time_limit": max(time_limit_s, 0.01)},
    )
    if solution.status != 0:
        return None
    price = np.zeros(num_groups)
    price[keep] = np.maximum(-solution.ineqlin.marginals[:-1], 0.0) / group_weight[keep]
    return price[group] * weight / total
