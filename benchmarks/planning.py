"""Planning measured: how many views, how many at least, how long; and beside other ways of choosing views.

Run: python -P benchmarks/planning.py table [--parts A,B] [--out docs/planning-table.md]
     python -P benchmarks/planning.py peers [--parts A,B] [--out docs/planning-peers.md]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

# The modules beside this one; last, so that none of them shadows another's.
sys.path.append(str(Path(__file__).resolve().parent))

import planning_peers
import planning_table
from planning_cases import BUILTIN, CASES, DATA, SIX, Case, Pool, chosen_cases, pool_of


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    made_by = (
        f"`python -P benchmarks/planning.py {options.command}`, seed {options.seed}, "
        f"at most {options.time_limit:g} s and {options.max_nodes} nodes of branch and bound a plan"
    )
    page = (_table if options.command == "table" else _peers)(options, made_by)
    print(page)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(page, encoding="utf-8")


def _table(options: argparse.Namespace, made_by: str) -> str:
    facts, lines = [], []
    for case in chosen_cases(options.parts, options.data, default=SIX):
        pool = _pool(case, options)
        fact, plans = planning_table.measured(
            pool, time_limit_s=options.time_limit, max_nodes=options.max_nodes, seed=options.seed
        )
        facts.append(fact)
        lines += plans
    return planning_table.markdown(facts, lines, made_by=made_by, machine=machine())


def _peers(options: argparse.Namespace, made_by: str) -> str:
    compared = []
    for case in chosen_cases(options.parts, options.data, default=(BUILTIN, CASES["flanged-hub"])):
        pool = _pool(case, options)
        compared.append(
            planning_peers.compared(
                pool,
                time_limit_s=options.time_limit,
                max_nodes=options.max_nodes,
                most_views=options.most_views,
                score_mm=options.score_mm,
                seed=options.seed,
            )
        )
    return planning_peers.markdown(compared, made_by=made_by, machine=machine())


def _pool(case: Case, options: argparse.Namespace) -> Pool:
    return pool_of(
        case,
        options.data,
        seed=options.seed,
        cache=options.cache,
        num_candidates=options.candidates,
        edge_mm=options.edge_mm,
    )


def machine() -> str:
    """The machine and the libraries that decide how long things take."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "highspy"))
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {libraries}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--parts", help=f"comma-separated, of {', '.join(CASES)}")
    common.add_argument("--data", type=Path, default=DATA, help="folder of the parts; default %(default)s")
    common.add_argument("--out", type=Path, help="Markdown file to write")
    common.add_argument("--cache", type=Path, help="folder to keep candidates in, for the next run")
    common.add_argument("--candidates", type=int, help="about so many; by the size of the part if not given")
    common.add_argument("--edge-mm", type=float, help="of the elements to plan on; the planner's choice if not given")
    common.add_argument("--max-nodes", type=int, default=400, help="of the branch and bound of one plan")
    common.add_argument("--seed", type=int, default=0)
    table = commands.add_parser("table", parents=[common], help="views, bounds and seconds of the six parts")
    table.add_argument("--time-limit", type=float, default=120.0, help="seconds of solving for one plan")
    peers = commands.add_parser("peers", parents=[common], help="this planner beside other ways of choosing views")
    peers.add_argument("--time-limit", type=float, default=30.0, help="seconds of solving for one plan")
    peers.add_argument("--most-views", type=int, default=512, help="of the patterns that have no target")
    peers.add_argument("--score-mm", type=float, help="edge of the elements to score on; the rig's if not given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
