"""Smallest covers of small problems by integer programming with HiGHS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array, eye_array, hstack, vstack

from viewcov.inspection.arrays import Floats, Ints
from viewcov.planning.clock import left_s, part_way
from viewcov.planning.selection.problem import TOLERANCE, CoverProblem, is_cover


def integer_cover(
    problem: CoverProblem, start: Ints, *, target: float, until: float = np.inf, max_nodes: int | None = None
) -> tuple[Ints, int]:
    """A cover of the weight ``target`` no larger than the cover ``start``, and a number that no cover falls below.

    With x_v = 1 for the views chosen, y_r = 1 for the rows covered, weights w, demand k and target T:

        minimise sum_v x_v  with  sum_v a_vr x_v >= k y_r  and  sum_r w_r y_r >= T;

    to cover everything coverable there are no y. HiGHS' presolve can take longer than the solution on cover problems,
    so that it gets half of the time until the monotonic clock reads ``until``, and a second try without it the rest,
    of the nodes too where they are limited.
    """
    views, least, program = start, problem.demand, _program(problem, target)
    for presolve in ("on", "off"):
        end = part_way(until, 0.5) if presolve == "on" else until
        solver = _Solver(until=end, max_nodes=max_nodes, presolve=presolve)
        values, bound, out_of_time = solver.solve(program, _values(problem, views, target))
        least, chosen = max(least, bound), np.flatnonzero(values[: problem.num_views] > 0.5)
        if len(chosen) < len(views) and is_cover(problem, chosen, target=target):
            views = chosen
        if len(views) <= least or not out_of_time:
            break
    return views, min(least, len(views))


def size_of(problem: CoverProblem) -> int:
    """Entries of the program of a part of the weight: what makes it small or large."""
    return int(problem.visible.nnz) + 2 * len(problem.weight)


def _everything(problem: CoverProblem, target: float) -> bool:
    return target >= problem.coverable_weight * (1.0 - TOLERANCE)


def _rows(problem: CoverProblem, target: float) -> Ints:
    """The rows that the program speaks of."""
    return np.flatnonzero(problem.coverable & (_everything(problem, target) | (problem.weight > 0)))


def _values(problem: CoverProblem, views: Ints, target: float) -> Floats:
    """The variables of the program for a cover."""
    chosen = np.zeros(problem.num_views)
    chosen[views] = 1.0
    if _everything(problem, target):
        return chosen
    return np.concatenate([chosen, problem.counts(views)[_rows(problem, target)] >= problem.demand])


def _program(problem: CoverProblem, target: float) -> Any:
    """HiGHS' form of the program."""
    import highspy

    rows, num_views = _rows(problem, target), problem.num_views
    matrix, lower = csr_array(csr_array(problem.visible.T)[rows]), np.full(len(rows), float(problem.demand))
    whole = np.ones(num_views, dtype=bool)
    if not _everything(problem, target):
        weight = float(problem.weight[rows].sum())
        reach = csr_array(np.concatenate([np.zeros(num_views), problem.weight[rows] / weight])[None])
        counted = hstack([matrix, -problem.demand * eye_array(len(rows))])
        matrix = csr_array(vstack([counted, reach], format="csr"))
        lower = np.append(np.zeros(len(rows)), target * (1.0 - TOLERANCE) / weight)
        # Where one view is enough, whole views cover a row wholly or not at all by themselves.
        whole = np.append(whole, np.full(len(rows), problem.demand > 1))
    program = highspy.HighsLp()
    program.num_row_, program.num_col_ = matrix.shape
    program.col_cost_ = np.append(np.ones(num_views), np.zeros(matrix.shape[1] - num_views))
    program.col_lower_, program.col_upper_ = np.zeros(matrix.shape[1]), np.ones(matrix.shape[1])
    program.row_lower_, program.row_upper_ = lower, np.full(matrix.shape[0], np.inf)
    kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
    program.integrality_ = [kinds[int(one)] for one in whole]
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_, program.a_matrix_.index_ = matrix.indptr, matrix.indices
    program.a_matrix_.value_ = matrix.data
    return program


@dataclass(frozen=True, slots=True, kw_only=True)
class _Solver:
    """HiGHS, and when it stops."""

    until: float
    max_nodes: int | None
    presolve: Literal["on", "off"]

    def solve(self, program: Any, start: Floats) -> tuple[Floats, int, bool]:
        """The best values met, ``start`` or better, a bound on the number of views, and whether time ended it."""
        import highspy

        model = highspy.Highs()
        limit_s = left_s(self.until) if np.isfinite(self.until) else highspy.kHighsInf
        options = {
            "output_flag": False,
            "threads": 1,
            "random_seed": 1,
            "presolve": self.presolve,
            "time_limit": limit_s,
            # Views are counted: what is less than one above the bound is at it.
            "mip_rel_gap": 0.0,
            "mip_abs_gap": 1.0 - 1e-6,
        }
        if self.max_nodes is not None:
            options["mip_max_nodes"] = self.max_nodes
        for option, value in options.items():
            model.setOptionValue(option, value)
        model.passModel(program)
        known = highspy.HighsSolution()
        known.col_value, known.value_valid = list(start), True
        model.setSolution(known)
        model.run()
        bound, values = model.getInfo().mip_dual_bound, np.array(model.getSolution().col_value)
        least = math.ceil(bound - 1e-6) if 0 < bound <= len(start) + 1e-6 else 0
        out_of_time = model.getModelStatus() == highspy.HighsModelStatus.kTimeLimit
        return values if len(values) else start, least, out_of_time
