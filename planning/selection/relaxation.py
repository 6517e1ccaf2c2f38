"""Proven lower bounds on the number of views: the linear relaxation, solved by cuts so that it has the views' size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_array, hstack

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.planning.clock import left_s, over
from viewcov.planning.selection.problem import TOLERANCE, CoverProblem
from viewcov.planning.selection.reduction import group_rows

_PRECISION = 2e-5
"""Rounds of cuts end when they could change the covered share of the weight by no more than this."""

_MAX_CUTS = 2500
"""Cuts beyond which those that have not been tight lately are dropped."""

_MAX_ROUNDS = 400
"""Rounds of cuts at most; any number of them gives a valid bound."""

_STALE = 25
"""Solutions in a row in which a cut is not tight before it may be dropped."""

Status = Literal["optimal", "feasible"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerBound:
    """No fewer of the candidate views reach the target."""

    num_views: int
    """The bound."""

    name: Literal["integer program", "branch and bound", "linear program", "largest views"]
    """What proves it."""

    def status(self, num_views: int) -> Status:
        """Whether a plan of ``num_views`` views is proven to be smallest among the candidates."""
        return "optimal" if num_views <= self.num_views else "feasible"


@dataclass(slots=True, kw_only=True, eq=False)
class _Row:
    """A row of the linear program after the first two."""

    group: int = -1
    """The group that a cut bounds; -1 for a limit on a set of views."""

    set_number: int = -1
    """The set of views that a limit bounds; -1 for a cut."""

    open_rows: Ints | None = None
    """Rows of the group that the cut counts by the views chosen; it takes the others as covered."""

    idle: int = 0
    """Solutions since the cut was last tight."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RelaxedCover:
    """An optimum of the relaxation."""

    value: float
    """Sum of the views chosen in part, or share of the coverable weight covered."""

    chosen: Floats
    """Shape (V,): how much of each view is chosen, in [0, 1]."""


class OutOfTimeError(Exception):
    """The time was up before the linear program was solved once."""


class CoverRelaxation:
    """Views may be chosen in part: x_v in [0, 1], and row r is covered min(1, sum_v a_vr x_v / k).

    The covered weight f(x) is concave and piecewise linear. For any set S of rows taken as covered,
    w(S) + sum_v x_v w(rows of v outside S) / k bounds it from above, and equals it where S is what x covers
    wholly. So the rows need not be in the linear program: rows are put into groups, the covered weight of
    each is a variable, and cuts of that form are added where the solution violates them (Benders
    decomposition; Cordeau, Furini and Ljubic, EJOR 275, 2019, with one cut for all rows). It is solved anew
    from the last basis after each change. Equal rows of the problem are to be merged before.

    Raises
    ------
    ValueError
        If no row is coverable.
    """

    def __init__(self, problem: CoverProblem, *, num_groups: int = 80, seed: int = 0) -> None:
        import highspy

        self.problem, self.num_views = problem, problem.num_views
        rows = np.flatnonzero(problem.coverable & (problem.weight > 0))
        if len(rows) == 0:
            raise ValueError("problem must have coverable rows, got none")
        self._rows = rows
        self._sees = csr_array(problem.visible.T)[rows]
        self._share = problem.weight[rows] / problem.weight[rows].sum()
        coverable = CoverProblem(visible=csr_array(self._sees.T.tocsr()), weight=self._share)
        group = group_rows(coverable, num_groups=num_groups, seed=seed)
        num_groups = int(group.max()) + 1
        self._members = csr_array((np.ones(len(rows)), (group, np.arange(len(rows)))), shape=(num_groups, len(rows)))
        self._group_share = np.asarray(self._members @ self._share)
        self._model = highspy.Highs()
        self._optimal, self._infinity = highspy.HighsModelStatus.kOptimal, highspy.kHighsInf
        self._time_is_up = highspy.HighsModelStatus.kTimeLimit
        self._extra: list[_Row] = []
        # Rows after the first two with their duals, as of the last optimum.
        self._priced: tuple[list[_Row], Floats] = ([], np.empty(0))
        self._build()

    def _build(self) -> None:
        model, num_views, num_groups = self._model, self.num_views, len(self._group_share)
        for option, value in (("output_flag", False), ("threads", 1), ("random_seed", 1)):
            model.setOptionValue(option, value)
        total = num_views + num_groups
        model.addVars(total, np.zeros(total), np.ones(total))
        everything = np.arange(total, dtype=np.int32)
        # Row 0 is the covered share, row 1 the number of views; each is the goal or a limit.
        model.addRow(-np.inf, np.inf, num_groups, everything[num_views:], self._group_share)
        model.addRow(-np.inf, np.inf, num_views, everything[:num_views], np.ones(num_views))
        self._cut(np.zeros(len(self._share), dtype=bool), np.arange(num_groups))

    def fewest(self, share: float, *, until: float = np.inf) -> RelaxedCover | None:
        """Smallest sum of views that cover the ``share`` of the coverable weight; None if nothing does.

        The first round of cuts is always finished; those after it end when the monotonic clock reads ``until``.
        """
        return self._goal("views", share, max_rounds=_MAX_ROUNDS, until=until)

    def most(
        self, num_views: float, *, enough: float = np.inf, max_rounds: int = _MAX_ROUNDS, until: float = np.inf
    ) -> RelaxedCover | None:
        """Largest share that ``num_views`` views cover, or the first upper bound below ``enough``; None if nothing.

        The rounds of cuts end when the monotonic clock reads ``until``.

        Raises
        ------
        OutOfTimeError
            If that is before the first is finished.
        """
        return self._goal("share", num_views, max_rounds=max_rounds, enough=enough, until=until)

    def _goal(
        self, goal: Literal["views", "share"], limit: float, *, max_rounds: int, until: float, enough: float = -np.inf
    ) -> RelaxedCover | None:
        """The fewest views for the share ``limit``, or the largest share with ``limit`` views."""
        model, num_views, num_groups = self._model, self.num_views, len(self._group_share)
        few = goal == "views"
        cost = np.concatenate([np.full(num_views, float(few)), -float(not few) * self._group_share])
        model.changeColsCost(num_views + num_groups, np.arange(num_views + num_groups, dtype=np.int32), cost)
        model.changeRowBounds(0, limit if few else -np.inf, np.inf)
        model.changeRowBounds(1, -np.inf, np.inf if few else limit)
        found: RelaxedCover | None = None
        for _ in range(max_rounds):
            # The first linear program of a smallest sum is small, and without it there would be no bound at all.
            try:
                better, covered = self._solved(np.inf if found is None and few else until, sign=1.0 if few else -1.0)
            except OutOfTimeError:
                if found is None:
                    raise
                return found
            if better is None:
                return None
            found = better
            if found.value < enough or over(until) or not self._add_cuts(found.chosen, covered):
                return found
        return found

    def _solved(self, until: float, *, sign: float) -> tuple[RelaxedCover | None, Floats]:
        """The optimum with the cuts so far, and the covered share of each group that it believes in."""
        model = self._model
        # HiGHS counts its seconds from the model's making.
        limit_s = model.getRunTime() + left_s(until) if np.isfinite(until) else self._infinity
        model.setOptionValue("time_limit", limit_s)
        model.run()
        status = model.getModelStatus()
        if status == self._time_is_up:
            raise OutOfTimeError
        if status != self._optimal:
            return None, self._group_share
        solution = model.getSolution()
        values = np.array(solution.col_value)
        self._priced = list(self._extra), np.array(solution.row_dual)[2:]
        for row, dual in zip(*self._priced, strict=True):
            row.idle = 0 if dual != 0.0 else row.idle + 1
        value = sign * float(model.getInfo().objective_function_value)
        found = RelaxedCover(value=value, chosen=np.clip(values[: self.num_views], 0.0, 1.0))
        return found, values[self.num_views :] * self._group_share

    def _add_cuts(self, chosen: Floats, believed: Floats) -> bool:
        """Cuts for the groups of which the solution believes too much covered; False if there is none."""
        times = self._sees @ chosen / self.problem.demand
        excess = believed - self._members @ (np.minimum(times, 1.0) * self._share)
        if np.maximum(excess, 0.0).sum() <= _PRECISION:
            return False
        self._drop_stale()
        self._cut(times >= 1.0 - 1e-9, np.flatnonzero(excess > 0.25 * _PRECISION / len(excess)))
        return True

    def _cut(self, covered: Bools, groups: Ints) -> None:
        """For each of the groups: its covered share is at most what is ``covered`` and what the views add."""
        members = csr_array(self._members[groups])
        sure = members @ np.where(covered, self._share, 0.0) / self._group_share[groups]
        for group, rows in zip(groups, np.split(members.indices, members.indptr[1:-1]), strict=True):
            self._extra.append(_Row(group=int(group), open_rows=rows[~covered[rows]].astype(np.int64)))
        members.data = np.where(covered, 0.0, self._share)[members.indices]
        added = csr_array(members @ self._sees)
        added.eliminate_zeros()
        added.data /= -np.repeat(self.problem.demand * self._group_share[groups], np.diff(added.indptr))
        own = np.eye(len(self._group_share))[groups]
        cuts = csr_array(hstack([added, csr_array(own)], format="csr"))
        lower = np.full(len(groups), -np.inf)
        self._model.addRows(len(groups), lower, sure, cuts.nnz, cuts.indptr[:-1], cuts.indices, cuts.data)

    def _drop_stale(self) -> None:
        stale = np.array([row.group >= 0 and row.idle > _STALE for row in self._extra])
        if len(stale) > _MAX_CUTS and stale.any():
            places = np.flatnonzero(stale)
            self._model.deleteRows(len(places), (places + 2).astype(np.int32))
            self._extra = [self._extra[place] for place in np.flatnonzero(~stale)]

    def prices(self) -> Floats:
        """What the last solution of ``fewest`` pays for each row of the problem, shape (R,), at least 0."""
        extra, dual = self._priced
        price = np.zeros(len(self._share))
        for row, value in zip(extra, -dual, strict=True):
            if row.group >= 0 and value > 0:
                assert row.open_rows is not None
                price[row.open_rows] += value / self._group_share[row.group]
        full = np.zeros(len(self.problem.weight))
        full[self._rows] = price * self._share / self.problem.demand
        return full

    def limit(self, limits: Mapping[int, tuple[float, float]], sets: Sequence[Ints]) -> None:
        """Bound the sum of the views of some sets, by their number in ``sets``; all other sets are free again."""
        places = {row.set_number: place for place, row in enumerate(self._extra) if row.group < 0}
        for number, place in places.items():
            low, high = limits.get(number, (-np.inf, np.inf))
            self._model.changeRowBounds(place + 2, low, high)
        for number in sorted(set(limits) - set(places)):
            members = sets[number].astype(np.int32)
            self._model.addRow(*limits[number], len(members), members, np.ones(len(members)))
            self._extra.append(_Row(set_number=number))


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


def relaxed_bound(
    problem: CoverProblem, *, target: float, relaxation: CoverRelaxation, until: float = np.inf
) -> LowerBound:
    """The bound of the linear relaxation, its prices turned into a proof by `certified_bound`; merge rows first.

    The relaxation is no longer tightened once the monotonic clock reads ``until``.
    """
    best = LowerBound(num_views=largest_views_bound(problem, target=target), name="largest views")
    if best.num_views == 0 or relaxation.fewest(target / problem.coverable_weight, until=until) is None:
        return best
    certified = math.ceil(certified_bound(problem, target=target, price=relaxation.prices()) - 1e-6)
    return LowerBound(num_views=certified, name="linear program") if certified >= best.num_views else best
