"""Shortest routes with proof: branch and cut on the steps that Held and Karp's bound leaves."""

from __future__ import annotations

from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.sparse import csr_array, vstack
from scipy.sparse.csgraph import depth_first_order
from scipy.spatial.distance import squareform

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.planning.clock import left_s, over
from viewcov.planning.route.held_karp import TreeBound, one_tree_bound
from viewcov.planning.route.local_search import tour_cost
from viewcov.planning.route.order import RouteBound, closed_costs, opened_tour, route_bound, route_cost, short_route

CLOSE = 1e-9
"""Share of its cost by which a tour may miss the shortest and still count as it."""

WHOLE = 1e-6
"""How far from 0 or 1 the share of a step may be that counts as whole; also the least violation that is cut off."""

CUTS = 50
"""Most cuts that are added at once."""

STALE = 10
"""Solutions in a row in which a cut has no price before it is dropped."""

CANDIDATES = 5
"""Steps tried both ways before one is branched on."""

FREE = np.int8(2)
"""Of a step that may be taken or not; 0 and 1 fix it."""

Fixed = NDArray[np.int8]
"""Shape (S,): which steps are fixed."""


def prove_route(
    cost: Floats, order: Ints, *, closed: bool = False, start: int | None = None, until: float = np.inf
) -> tuple[Ints, RouteBound]:
    """The route, or a shorter one, and the best bound proven in time; they meet where the route is shortest.

    Up to 80 places take seconds, whether times differ there and back or not, as do 200 symmetric ones of points; of
    150 with random detours there and back, 0.06 % were left in doubt after 30 s. The search ends when the monotonic
    clock reads ``until``; the other parameters are those of `viewcov.planning.route.order.route_bound`; ``order`` is a
    short route, such as `short_route` gives.
    """
    matrix = closed_costs(cost, closed=closed, start=start)
    if len(matrix) <= 3:
        order = short_route(cost, closed=closed, start=start)
        return order, route_bound(cost, order, closed=closed, start=start)
    tour = np.asarray(order) if len(matrix) == len(order) else np.append(order, len(order))
    tour, bound = exact_tour(matrix, tour, until=until)
    best = opened_tour(tour, len(cost), start=start)
    return best, replace(bound, seconds=min(bound.seconds, route_cost(cost, best, closed=closed)))


def exact_tour(cost: Floats, tour: Ints, *, until: float = np.inf) -> tuple[Ints, RouteBound]:
    """The shortest closed tour through N >= 4 places, starting from a short one, and a bound on what any costs.

    Held and Karp's bound with a step forced in rules out most steps. The others are variables of a linear
    program, to which weak cuts of its solution are added until none is violated; its reduced costs rule out more
    steps. Where the solution is no tour, one step is tried both ways, in the node of least bound first (Padberg
    and Rinaldi 1991, with cuts of subtours alone). ``cost`` is as in `short_route`. When the monotonic clock reads
    ``until``, the best tour comes back with the bound so far; otherwise they differ by `CLOSE` at most.
    """
    tree = one_tree_bound(cost, upper=tour_cost(cost, tour), until=until)
    if over(until):
        return np.asarray(tour), RouteBound(seconds=tree.cost, name="Held-Karp 1-tree")
    search = _Search(np.asarray(cost, dtype=np.float64), np.asarray(tour), tree, until=until)
    bound = search.proven()
    return search.tour, RouteBound(seconds=bound, name="branch and cut")


class _Search:
    """Branch and cut: the best tour, and what is left to be searched."""

    def __init__(self, cost: Floats, tour: Ints, tree: TreeBound, *, until: float) -> None:
        self.cost, self.tour, self.until = cost, tour, until
        self.upper = tour_cost(cost, tour)
        self.symmetric = bool((cost == cost.T).all())
        possible = ~self._useless(tree.cost + _margins(cost, tree))
        # With the steps of a tour there is a choice of steps.
        possible[tour, np.roll(tour, -1)] = True
        if self.symmetric:
            possible = np.triu(possible | possible.T, 1)
        self.model = _Relaxation(cost, np.argwhere(possible), symmetric=self.symmetric)
        self.nodes: list[tuple[float, int, Fixed]] = []
        self.number = count(0, -1)
        self.unsolved = np.inf
        self._push(tree.cost, np.full(len(self.model.cost), FREE))

    def proven(self) -> float:
        """What no tour costs less than, after the search or when time is up; `CLOSE` to the best counts as that."""
        while self.nodes and not self._useless(self.nodes[0][0]) and not over(self.until):
            bound, _, fixed = heappop(self.nodes)
            self._divide(bound, fixed)
        least = min([self.unsolved, *(node[0] for node in self.nodes[:1])])
        return self.upper if self._useless(least) else least

    def _useless(self, bound: Floats | float) -> Any:
        """Where a tour of that cost is no better than the best."""
        return bound >= self.upper - CLOSE * abs(self.upper)

    def _push(self, bound: float, fixed: Fixed) -> None:
        if not self._useless(bound):
            # Of equal bounds the later is deeper.
            heappush(self.nodes, (bound, next(self.number), fixed))

    def _divide(self, bound: float, fixed: Fixed) -> None:
        """Search the node if its relaxation is whole, and leave two that part it if not."""
        groups = None
        while groups is None or len(groups):
            if groups is not None:
                self.model.cut(groups)
            found = self.model.solved(fixed, until=self.until)
            bound = max(bound, found.bound)
            if self._useless(bound) or over(self.until):
                return self._push(bound, fixed)
            dear = self._useless(found.bound + np.abs(found.reduced)) & (fixed == FREE)
            fixed = np.where(dear, found.reduced < 0.0, fixed).astype(np.int8)
            groups = self.model.weak_cuts(found.taken)
        doubt = np.minimum(found.taken, 1.0 - found.taken)
        steps = np.argsort(-doubt, kind="stable")[:CANDIDATES]
        parts = [self._parts(bound, fixed, int(step)) for step in steps[doubt[steps] > WHOLE]]
        if not parts:
            return self._take(found)
        for part in max(parts, key=lambda pair: self._gain(pair, bound)):
            self._push(*part)
        return None

    def _parts(self, bound: float, fixed: Fixed, step: int) -> list[tuple[float, Fixed]]:
        """The bounds without the step and with it, and what they fix."""
        parts = []
        for way in (0, 1):
            part = fixed.copy()
            part[step] = way
            parts.append((max(bound, self.model.solved(part, until=self.until).bound), part))
        return parts

    def _gain(self, parts: list[tuple[float, Fixed]], bound: float) -> float:
        """How good it is to part a node so: the product of what the bounds rise by (Achterberg 2007)."""
        return float(np.prod([max(min(part, self.upper) - bound, 1e-6 * abs(self.upper)) for part, _ in parts]))

    def _take(self, found: _Relaxed) -> None:
        """Keep the tour that the relaxation is, if it is better."""
        steps = self.model.steps[found.taken > 0.5]
        graph = csr_array((np.ones(len(steps)), tuple(steps.T)), shape=self.cost.shape)
        order = depth_first_order(graph, 0, directed=not self.symmetric, return_predecessors=False)
        tour = np.asarray(order, dtype=np.int64)
        if tour_cost(self.cost, tour) < self.upper:
            self.tour, self.upper = tour, tour_cost(self.cost, tour)
        self.unsolved = min(self.unsolved, found.bound)


class _Relaxed(NamedTuple):
    """A cheapest choice of steps that may be taken in part."""

    bound: float
    """No choice costs less, as its prices prove whatever the solver's tolerances; infinite if there is none."""

    taken: Floats
    """Shape (S,): how much of each step is taken."""

    reduced: Floats
    """Shape (S,): what each step costs beyond the prices of its rows."""


class _Relaxation:
    """The linear program of Dantzig, Fulkerson and Johnson (1954) over some steps, with cuts that come and go.

    It is solved anew from the last basis after each change.
    """

    def __init__(self, cost: Floats, steps: Ints, *, symmetric: bool) -> None:
        import highspy

        num, num_steps = len(cost), len(steps)
        self.num, self.steps, self.cost = num, steps, cost[tuple(steps.T)]
        self.symmetric, self.visits = symmetric, 2.0 if symmetric else 1.0
        self.model, self.status = highspy.Highs(), highspy.HighsModelStatus
        options = {"output_flag": False, "threads": 1, "random_seed": 1, "presolve": "off", "solver": "simplex"}
        for option, value in options.items():
            self.model.setOptionValue(option, value)
        self.columns = np.arange(num_steps, dtype=np.int32)
        self.model.addVars(num_steps, np.zeros(num_steps), np.ones(num_steps))
        self.model.changeColsCost(num_steps, self.columns, self.cost)
        self.rows, self.least, self.idle = csr_array((0, num_steps)), np.empty(0), np.empty(0)
        ends = steps if symmetric else steps + np.array([0, num])
        self.num_degrees = num if symmetric else 2 * num
        places = ends.T.ravel(), np.tile(self.columns, 2)
        degrees = csr_array((np.ones(2 * num_steps), places), shape=(self.num_degrees, num_steps))
        self._add(degrees, np.full(self.num_degrees, self.visits), most=self.visits)

    def _add(self, added: csr_array, least: Floats, *, most: float = np.inf) -> None:
        self.rows = csr_array(vstack([self.rows, added], format="csr"))
        self.least, self.idle = np.append(self.least, least), np.append(self.idle, np.zeros(len(least)))
        above = np.full(len(least), most)
        self.model.addRows(len(least), least, above, added.nnz, added.indptr[:-1], added.indices, added.data)

    def cut(self, groups: Bools) -> None:
        """Demand that each of the groups of places, shape (G, N), is left; drop what has long had no price."""
        self._drop_stale()
        groups = groups ^ (2 * groups.sum(axis=1) > self.num)[:, None]
        begin, end = groups[:, self.steps[:, 0]], groups[:, self.steps[:, 1]]
        across, within = begin != end if self.symmetric else begin & ~end, begin & end
        # A tour has enough steps across the border, or few enough within, which is the same; the shorter row is faster.
        few = within.sum(axis=1) < across.sum(axis=1)
        rows = np.where(few[:, None], -1.0 * within, 1.0 * across)
        self._add(csr_array(rows), np.where(few, 1.0 - groups.sum(axis=1), self.visits))

    def _drop_stale(self) -> None:
        stale = self.idle > STALE
        stale[: self.num_degrees] = False
        if stale.any():
            self.model.deleteRows(int(stale.sum()), np.flatnonzero(stale).astype(np.int32))
            self.rows = csr_array(self.rows[np.flatnonzero(~stale)])
            self.least, self.idle = self.least[~stale], self.idle[~stale]

    def solved(self, fixed: Fixed, *, until: float) -> _Relaxed:
        """The optimum with some steps fixed; no choice and no bound if the monotonic clock reads ``until`` before."""
        model, nothing = self.model, np.zeros(len(fixed))
        low, high = (fixed == 1).astype(np.float64), (fixed != 0).astype(np.float64)
        model.changeColsBounds(len(fixed), self.columns, low, high)
        # HiGHS counts its seconds from the model's making.
        model.setOptionValue("time_limit", model.getRunTime() + left_s(until))
        model.run()
        status = model.getModelStatus()
        if status in (self.status.kInfeasible, self.status.kTimeLimit):
            return _Relaxed(np.inf if status == self.status.kInfeasible else -np.inf, nothing, nothing)
        if status != self.status.kOptimal:
            raise RuntimeError(f"the linear program of {len(fixed)} steps was not solved: {status}")
        solution = model.getSolution()
        price = np.array(solution.row_dual)
        self.idle = np.where(price == 0.0, self.idle + 1, 0)
        price[self.num_degrees :] = np.maximum(price[self.num_degrees :], 0.0)
        reduced = self.cost - self.rows.T @ price
        bound = price @ self.least + np.minimum(reduced * low, reduced * high).sum()
        rounding = 1e-14 * (np.abs(price) @ np.abs(self.least) + np.abs(reduced).sum())
        return _Relaxed(float(bound - rounding), np.array(solution.col_value), reduced)

    def weak_cuts(self, taken: Floats) -> Bools:
        """Groups of places that the steps taken leave less often than a tour does, shape (G, N), the worst first."""
        weight = np.zeros((self.num, self.num))
        weight[tuple(self.steps.T)] = np.maximum(taken, 0.0)
        groups, crossing = _weak_cuts(weight + weight.T, 2.0 - WHOLE)
        return np.asarray(groups[np.argsort(crossing, kind="stable")[:CUTS]])


@njit(cache=True, nogil=True)
def _weak_cuts(weight, limit):  # type: ignore[no-untyped-def]
    """Groups of places with less than ``limit`` across their borders, the weakest of all among them, and how much.

    In each round of Stoer and Wagner (1997) the place most joined to the former ones comes next. The last is a
    group, and is merged with the one before. Shapes (G, N) and (G,); ``weight`` is overwritten.
    """
    num = len(weight)
    members, alive = np.eye(num) > 0.0, np.ones(num, dtype=np.bool_)
    groups, crossing = np.zeros((num, num), dtype=np.bool_), np.zeros(num)
    found = 0
    for left in range(num, 1, -1):
        joined = np.where(alive, 0.0, -np.inf)
        before, last, least = -1, -1, 0.0
        for _ in range(left):
            before, last = last, int(np.argmax(joined))
            least = joined[last]
            joined += weight[last]
            joined[last] = -np.inf
        if least < limit:
            groups[found], crossing[found] = members[last], least
            found += 1
        members[before] |= members[last]
        weight[before] += weight[last]
        weight[:, before] = weight[before]
        weight[before, before] = 0.0
        alive[last] = False
    return groups[:found], crossing[:found]


def _margins(cost: Floats, tree: TreeBound) -> Floats:
    """By how much the bound rises if a 1-tree must contain the step from row to column, shape (N, N)."""
    priced = cost + tree.leaving[:, None] + tree.entering[None]
    np.fill_diagonal(priced, np.inf)
    margins = priced - np.pad(_heaviest_on_path(np.minimum(priced, priced.T)[1:, 1:]), ((1, 0), (1, 0)))
    joins = priced[0][:, None] + priced[:, 0][None]
    joins[0] = joins[:, 0] = np.inf
    np.fill_diagonal(joins, np.inf)
    margins[0] = joins.min(axis=1) - joins.min()
    margins[:, 0] = joins.min(axis=0) - joins.min()
    np.fill_diagonal(margins, np.inf)
    return margins


def _heaviest_on_path(weight: Floats) -> Floats:
    """The heaviest edge on the way between two places in their cheapest tree, (N, N); zeros on the diagonal.

    Single linkage joins two places at that height. It takes ranks of the weights, as those may be negative.
    """
    values, rank = np.unique(squareform(weight, checks=False), return_inverse=True)
    joined_at = cophenet(linkage(rank.astype(np.float64), "single"))
    return np.asarray(squareform(values[joined_at.astype(np.int64)]))
