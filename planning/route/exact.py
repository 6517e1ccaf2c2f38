"""Shortest routes with proof: HiGHS on the steps that Held and Karp's bound leaves, subtours cut off."""

from __future__ import annotations

import time

import networkx as nx
import numpy as np
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array, vstack
from scipy.spatial.distance import squareform

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.planning.route.held_karp import TreeBound, one_tree_bound
from viewcov.planning.route.local_search import tour_cost
from viewcov.planning.route.order import RouteBound, closed_costs, opened_tour, route_bound, route_cost

CUT_ROUNDS = 100
"""Most rounds of cuts for the linear relaxation; integer rounds end when no subtour is left."""


def prove_route(
    cost: Floats, order: Ints, *, closed: bool = False, start: int | None = None, time_limit_s: float = 60.0
) -> tuple[Ints, RouteBound]:
    """The route, or a shorter one, and the best bound proven in time; they meet where the route is shortest.

    Up to about 60 places with symmetric times take seconds, with times that differ there and back up to a minute, as
    150 symmetric ones do. The parameters are those
    of `viewcov.planning.route.order.route_bound`; ``order`` is a short route, such as `short_route` gives.
    """
    matrix = closed_costs(cost, closed=closed, start=start)
    if len(matrix) <= 3:
        return np.asarray(order), route_bound(cost, order, closed=closed, start=start)
    tour = np.asarray(order) if len(matrix) == len(order) else np.append(order, len(order))
    tour, bound = exact_tour(matrix, tour, time_limit_s=time_limit_s)
    best = opened_tour(tour, len(cost), start=start)
    seconds = min(bound, route_cost(cost, best, closed=closed))
    return best, RouteBound(seconds=seconds, name="branch and cut")


class _Model:
    """The relaxation of Dantzig, Fulkerson and Johnson (1954) over few steps, with a growing set of cuts."""

    def __init__(self, cost: Floats, steps: Ints, *, symmetric: bool) -> None:
        num, places = len(cost), np.arange(len(steps))
        self.num, self.steps, self.cost = num, steps, cost[steps[:, 0], steps[:, 1]]
        ends = steps if symmetric else steps + np.array([0, num])
        shape = (num if symmetric else 2 * num, len(steps))
        self.visits = 2.0 if symmetric else 1.0
        ones = np.ones(2 * len(steps))
        self.degrees = csr_array(coo_array((ones, (ends.T.ravel(), np.tile(places, 2))), shape=shape))
        self.cuts = csr_array((0, len(steps)))

    def add_cut(self, inside: Bools) -> None:
        """Every tour leaves the places inside; a symmetric one crosses the border twice."""
        begin, end = inside[self.steps[:, 0]], inside[self.steps[:, 1]]
        crossed = begin != end if self.visits == 2.0 else begin & ~end
        self.cuts = csr_array(vstack([self.cuts, csr_array(crossed[None].astype(np.float64))]))

    def relaxed(self) -> Floats:
        """A cheapest fractional choice of steps, shape (S,)."""
        found = linprog(  # type: ignore[call-overload]
            self.cost,
            A_ub=-self.cuts if self.cuts.shape[0] else None,
            b_ub=np.full(self.cuts.shape[0], -self.visits) if self.cuts.shape[0] else None,
            A_eq=self.degrees,
            b_eq=np.full(self.degrees.shape[0], self.visits),
            bounds=(0.0, 1.0),
            method="highs",
        )
        if found.status != 0:
            raise RuntimeError(f"the linear program of {len(self.cost)} steps was not solved: {found.message}")
        return np.asarray(found.x)

    def whole(self, *, time_limit_s: float) -> tuple[Floats | None, float]:
        """A cheapest whole choice of steps if it was found in time, and a lower bound on its cost."""
        rules = (LinearConstraint(self.degrees, self.visits, self.visits), LinearConstraint(self.cuts, self.visits))
        found = milp(
            self.cost, integrality=np.ones(len(self.cost), dtype=np.int64), bounds=Bounds(0.0, 1.0), constraints=rules,
            options={"time_limit": max(time_limit_s, 0.01), "mip_rel_gap": 0.0},
        )  # fmt: skip
        bound = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
        return (found.x if found.status == 0 else None), bound

    def parts(self, taken: Floats, *, above: float) -> list[Ints]:
        """The places in groups that the steps taken more than ``above`` join."""
        graph = nx.Graph()
        graph.add_nodes_from(range(self.num))
        graph.add_edges_from(self.steps[taken > above].tolist())
        return [np.array(sorted(part)) for part in nx.connected_components(graph)]

    def weakest_cut(self, taken: Floats) -> tuple[float, Ints]:
        """The least of what crosses a border between two groups of places, both ways, and one of the groups."""
        graph = nx.Graph()
        for (begin, end), share in zip(self.steps[taken > 1e-9].tolist(), taken[taken > 1e-9], strict=True):
            before = graph.get_edge_data(begin, end, {"weight": 0.0})["weight"]
            graph.add_edge(begin, end, weight=before + float(share))
        crossing, (group, _) = nx.stoer_wagner(graph)
        return float(crossing), np.array(sorted(group))


def exact_tour(cost: Floats, tour: Ints, *, time_limit_s: float = 60.0) -> tuple[Ints, float]:
    """The shortest closed tour through N >= 4 places, starting from a short one, and a bound on what any costs.

    Held and Karp's bound with a step forced in rules out most steps. The others are variables of a linear
    program to which the weakest cuts of its solution are added until none is violated, and of an integer
    program to which each subtour of its solution adds one, until the solution is a tour. ``cost`` is as in
    `short_route`; after the time limit the tour given comes back with the bound so far. Where the tour is proven to be
    shortest, the bound is its cost up to the solver's tolerance of 1e-6 of that.
    """
    stop = time.monotonic() + time_limit_s
    upper = tour_cost(cost, tour)
    tree = one_tree_bound(cost, upper=upper)
    symmetric = bool((cost == cost.T).all())
    margin = 1e-9 * max(abs(upper), 1e-300)
    possible = tree.cost + _margins(cost, tree) <= upper + margin
    possible[tour, np.roll(tour, -1)] = True
    if symmetric:
        possible = np.triu(possible | possible.T, 1)
    model = _Model(np.asarray(cost, dtype=np.float64), np.argwhere(possible), symmetric=symmetric)
    _cut_relaxation(model, stop=stop)
    bound = tree.cost
    while (left_s := stop - time.monotonic()) > 0:
        taken, proven = model.whole(time_limit_s=left_s)
        bound = max(bound, min(proven, upper))
        if taken is None:
            break
        parts = model.parts(taken, above=0.5)
        if len(parts) == 1:
            found = _in_order(model.steps[taken > 0.5], symmetric=symmetric)
            best = min(np.asarray(tour), found, key=lambda each: tour_cost(cost, each))
            return best, min(bound, tour_cost(cost, best))
        for part in parts:
            model.add_cut(np.isin(np.arange(len(cost)), part))
    return np.asarray(tour), bound


def _cut_relaxation(model: _Model, *, stop: float) -> None:
    for _ in range(CUT_ROUNDS):
        taken = model.relaxed()
        groups = model.parts(taken, above=1e-9)
        if len(groups) == 1:
            # Groups held together by strong steps are often subtours; all that are violated are cut off.
            crossing, group = model.weakest_cut(taken)
            groups = [group] if crossing < 2.0 - 1e-6 else []
            for above in (0.3, 0.5, 0.7, 0.9):
                groups += [part for part in model.parts(taken, above=above) if 2 < len(part) < model.num - 2]
        added = 0
        for group in groups:
            inside = np.isin(np.arange(model.num), group)
            across = inside[model.steps[:, 0]] != inside[model.steps[:, 1]]
            if taken[across].sum() < 2.0 - 1e-6:
                model.add_cut(inside)
                added += 1
        if not added or time.monotonic() > stop:
            return


def _in_order(steps: Ints, *, symmetric: bool) -> Ints:
    graph: nx.Graph = nx.Graph() if symmetric else nx.DiGraph()
    graph.add_edges_from(steps.tolist())
    return np.array(list(nx.dfs_preorder_nodes(graph, 0)), dtype=np.int64)


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
