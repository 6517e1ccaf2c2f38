"""Proven lower bounds on the number of views."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from viewcov.inspection.arrays import Floats
from viewcov.planning.selection.problem import TOLERANCE, CoverProblem
from viewcov.planning.selection.relaxation import CoverRelaxation

BoundName = Literal["integer program", "branch and bound", "linear program", "largest views"]
Status = Literal["optimal", "feasible"]


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
