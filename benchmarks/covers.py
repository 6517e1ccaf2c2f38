"""Covers of instances of the literature beside SciPy's integer programming, for the same time and in one run.

    python -P benchmarks/covers.py [--folder FOLDER] [--time-limit 20] [--cases CYC06,CYC06@0.9,...] [--out PAGE.md]

CYC and CLR (Grossman and Wool, EJOR 101, 1997) are generated. With a folder, files of OR-Library in it such as
scp41.txt take part, every column at cost one. A case is an instance and the share of the rows to cover, all if none is
given; "/2" after it asks for two views a row. "patches" are views that see discs of points in a square, like surfaces.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, hstack

from viewcov.inspection.arrays import Ints
from viewcov.planning.selection.problem import CoverProblem, is_cover
from viewcov.planning.selection.proof import Budget
from viewcov.planning.selection.smallest_cover import smallest_cover

GENERATED = "CYC05@0.9,CYC06,CYC06@0.9,CYC07,CYC08,CLR10,CLR11,CLR11@0.9,patches@0.95,patches@0.95/2"
FILES = "scp41,scp41@0.9,scpa1,scpa1@0.9"

BEST_KNOWN = {"CYC06": 60, "CYC07": 144, "CLR10": 25, "CLR11": 23, "scp41": 38}
"""Covers of all rows: the first two are largest subgraphs of the cube without 4-cycles, 132 and 304 edges; CLR11 is the
fewest edges of a hypergraph of 4-sets that two colours cannot do (Ostergard 2014)."""


class Figures(NamedTuple):
    """Of one solver: views, proven bound, seconds."""

    views: int | None
    bound: int
    seconds: float

    def __str__(self) -> str:
        return f"{'–' if self.views is None else self.views} | {self.bound} | {self.seconds:.1f}"


def cube_cycles(n: int) -> CoverProblem:
    """CYCn: edges of the n-cube, of which each of its 4-cycles must have one."""
    corners = np.arange(2**n)
    edges = ((corner, axis) for axis in range(n) for corner in corners if not corner >> axis & 1)
    number = {edge: place for place, edge in enumerate(edges)}
    cycles = [
        [number[corner, a], number[corner, b], number[corner | 1 << b, a], number[corner | 1 << a, b]]
        for a, b in itertools.combinations(range(n), 2)
        for corner in corners
        if not corner >> a & 1 and not corner >> b & 1
    ]
    return of_rows(cycles, num_views=len(number))


def colourings(n: int) -> CoverProblem:
    """CLRn: 4-subsets of n points, of which each colouring of the points in two colours must have one in one colour."""
    subsets = np.array(list(itertools.combinations(range(n), 4)))
    colour = np.arange(1, 2 ** (n - 1))[:, None] >> np.arange(n) & 1
    alike = np.ptp(colour[:, subsets], axis=2) == 0
    return CoverProblem(visible=csr_array(alike.T.astype(np.float64)), weight=np.ones(len(colour)))


def patches() -> CoverProblem:
    """200 discs, 1,000 points."""
    rng = np.random.default_rng(1)
    points, centers, radius = rng.random((1000, 2)), rng.random((200, 2)), rng.uniform(0.06, 0.15, 200)
    sees = np.linalg.norm(centers[:, None] - points[None], axis=2) < radius[:, None]
    return CoverProblem(visible=csr_array(sees.astype(np.float64)), weight=rng.uniform(0.5, 1.5, 1000))


def of_rows(rows: Sequence[Sequence[int]], *, num_views: int) -> CoverProblem:
    """The problem whose rows the given views see."""
    ends = np.cumsum([0, *map(len, rows)])
    sees = csr_array((np.ones(ends[-1]), np.concatenate(rows), ends), shape=(len(rows), num_views))
    return CoverProblem(visible=csr_array(sees.T.tocsr()), weight=np.ones(len(rows)))


def read_or_library(path: Path) -> CoverProblem:
    """An instance of OR-Library: numbers of rows and columns, costs (taken as one), and for each row its columns."""
    numbers = np.array(path.read_text("ascii").split(), dtype=np.int64)
    num_rows, num_views = numbers[:2]
    rows, place = [], 2 + num_views
    for _ in range(num_rows):
        end = place + 1 + numbers[place]
        rows.append(numbers[place + 1 : end] - 1)
        place = end
    return of_rows(rows, num_views=int(num_views))


def instance(name: str, folder: Path | None) -> CoverProblem:
    """The instance of that name."""
    if name == "patches":
        return patches()
    if name[:3] in ("CYC", "CLR"):
        return (cube_cycles if name.startswith("CYC") else colourings)(int(name[3:]))
    if folder is None:
        raise SystemExit(f"{name}: expected CYCn, CLRn or patches, or --folder with {name}.txt")
    return read_or_library(folder / f"{name}.txt")


def by_viewcov(problem: CoverProblem, target: float, limit_s: float) -> Figures:
    start = time.monotonic()
    cover = smallest_cover(problem, target=target, budget=Budget(time_limit_s=limit_s))
    return Figures(_checked(problem, cover.views, target), cover.bound.num_views, time.monotonic() - start)


def by_scipy(problem: CoverProblem, target: float, limit_s: float) -> Figures:
    """The textbook program: binary views and rows."""
    num_views, num_rows = problem.visible.shape
    counted = hstack([csr_array(problem.visible.T), -problem.demand * eye_array(num_rows)])
    reach = np.concatenate([np.zeros(num_views), problem.weight])[None]
    start = time.monotonic()
    result = milp(
        np.concatenate([np.ones(num_views), np.zeros(num_rows)]),
        constraints=[LinearConstraint(counted, lb=0), LinearConstraint(reach, lb=target * (1 - 1e-9))],
        bounds=Bounds(0, 1),
        integrality=1,
        options={"time_limit": limit_s},
    )
    seconds = time.monotonic() - start
    views = None if result.x is None else _checked(problem, np.flatnonzero(result.x[:num_views] > 0.5), target)
    bound = result.mip_dual_bound
    return Figures(views, 0 if bound is None else max(math.ceil(bound - 1e-6), 0), seconds)


def _checked(problem: CoverProblem, views: Ints, target: float) -> int:
    if not is_cover(problem, views, target=target):
        raise RuntimeError(f"{len(views)} views cover less than {target}")
    return len(views)


def row_of(case: str, folder: Path | None, limit_s: float) -> str:
    """A row of the table."""
    what, _, demand = case.partition("/")
    name, _, share = what.partition("@")
    problem = dataclasses.replace(instance(name, folder), demand=int(demand or 1))
    target = float(share or 1) * problem.coverable_weight
    best = BEST_KNOWN.get(case, "")
    own, theirs = (solve(problem, target, limit_s) for solve in (by_viewcov, by_scipy))
    return f"| {case} | {problem.num_views} x {len(problem.weight)} | {best} | {own} | {theirs} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="with files of OR-Library, scp41.txt and so on")
    parser.add_argument("--time-limit", type=float, default=20.0, help="seconds of each solver; default %(default)g")
    parser.add_argument("--cases", help=f"default {GENERATED}, and with a folder {FILES}")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    told = parser.parse_args(arguments)
    cases = told.cases or (GENERATED if told.folder is None else f"{GENERATED},{FILES}")
    lines = [
        "| case | views x rows | best known | viewcov | bound | s | scipy milp | bound | s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    # Compiles, or loads what was compiled.
    for share in (1.0, 0.9):
        smallest_cover(cube_cycles(4), target=share * 24, budget=Budget(time_limit_s=3.0))
    for case in cases.split(","):
        lines.append(row_of(case, told.folder, told.time_limit))
        print(lines[-1], flush=True)
    page = "\n".join(lines) + "\n"
    print(page)
    if told.out is not None:
        told.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
