"""Routes: viewcov's search, bound and proof beside networkx's heuristics and plain ones, in one run.

Points are those of an ellipsoid's surface, and times are distances or distances with a random detour for each
direction. Known from elsewhere: LKH-3 finds closed tours of 23.88 (150 points) and 45.34 (500 points).

Run: python -P benchmarks/route.py [--proof-s SECONDS]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import networkx as nx
import numpy as np

from viewcov.inspection.arrays import Floats, Ints
from viewcov.planning.route.exact import prove_route
from viewcov.planning.route.order import improve_route, nearest_neighbour, route_bound, route_cost, short_route

SYMMETRIC_PROOFS_UP_TO, ASYMMETRIC_PROOFS_UP_TO = 150, 100


def ellipsoid_distances(num: int) -> Floats:
    directions = np.random.default_rng(0).standard_normal((num, 3))
    points = directions / np.linalg.norm(directions, axis=1, keepdims=True) * [1.0, 1.0, 0.4]
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def with_detours(cost: Floats) -> Floats:
    return cost * np.random.default_rng(1).uniform(1.0, 1.3, cost.shape)


def of_networkx(cost: Floats, method: Callable[..., list[int]], **options: object) -> Ints:
    kind = nx.Graph if (cost == cost.T).all() else nx.DiGraph
    return np.array(method(nx.from_numpy_array(cost, create_using=kind), **options)[:-1], dtype=np.int64)


def peers(cost: Floats) -> dict[str, Callable[[], Ints]]:
    tsp = nx.approximation
    ways: dict[str, Callable[[], Ints]] = {
        "nearest neighbour": lambda: nearest_neighbour(cost, 0),
        "nearest neighbour, local search": lambda: improve_route(cost, nearest_neighbour(cost, 0), closed=True),
    }
    if len(cost) <= 150:
        ways["networkx greedy"] = lambda: of_networkx(cost, tsp.greedy_tsp)
        ways["networkx threshold accepting"] = lambda: of_networkx(
            cost, tsp.threshold_accepting_tsp, init_cycle="greedy", seed=0
        )
        if (cost == cost.T).all():
            ways["networkx Christofides"] = lambda: of_networkx(cost, tsp.christofides)
    return ways


def timed(work: Callable[[], Ints]) -> tuple[float, Ints]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def report(name: str, cost: Floats, *, closed: bool, proof_s: float) -> None:
    seconds, order = timed(lambda: short_route(cost, closed=closed))
    length = route_cost(cost, order, closed=closed)
    start = time.process_time()
    bound = route_bound(cost, order, closed=closed).seconds
    bound_s = time.process_time() - start
    print(f"\n{name}, {len(cost)} places")
    print(f"  {'viewcov':<34} {length:9.4f} {seconds:8.2f} s")
    print(f"  {'Held-Karp 1-tree bound':<34} {bound:9.4f} {bound_s:8.2f} s   gap {100 * (1 - bound / length):.2f} %")
    symmetric = bool((cost == cost.T).all())
    if len(cost) <= (SYMMETRIC_PROOFS_UP_TO if symmetric else ASYMMETRIC_PROOFS_UP_TO):
        start = time.process_time()
        best, exact = prove_route(cost, order, closed=closed, until=time.monotonic() + proof_s)
        least = route_cost(cost, best, closed=closed)
        proven = exact.seconds >= least * (1 - 1e-6)
        print(
            f"  {'branch and cut: ' + ('optimum' if proven else 'bound, out of time'):<34} {exact.seconds:9.4f} "
            f"{time.process_time() - start:8.2f} s   viewcov is {'' if proven else 'at most '}"
            f"{100 * (length / exact.seconds - 1):.2f} % above"
        )
    for peer, work in peers(cost).items() if closed else ():
        seconds, tour = timed(work)
        theirs = route_cost(cost, tour, closed=True)
        print(f"  {peer:<34} {theirs:9.4f} {seconds:8.2f} s   {100 * (theirs / length - 1):+.2f} % to viewcov")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proof-s", type=float, default=20.0, help="time for each proof of optimality")
    proof_s = parser.parse_args().proof_s
    # Compiles, or loads what was compiled.
    warm = ellipsoid_distances(8)
    prove_route(warm, short_route(warm))
    for num in (50, 100, 150, 500):
        report("closed, symmetric", ellipsoid_distances(num), closed=True, proof_s=proof_s)
    for num in (50, 100, 150):
        report("closed, asymmetric", with_detours(ellipsoid_distances(num)), closed=True, proof_s=proof_s)
    for num in (50, 150):
        report("open, symmetric", ellipsoid_distances(num), closed=False, proof_s=proof_s)


if __name__ == "__main__":
    main()
