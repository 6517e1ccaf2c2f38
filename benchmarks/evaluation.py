"""Evaluation with a plan's kept candidates against a search anew: what they say is coverable, and the time they take.

    python benchmarks/evaluation.py builtin:clutch-half PART ... [--num-candidates 150] [--overlap 2]

Both run one after the other in one process. With kept candidates the areas must be the plan's own to 1e-9.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.plan import InspectionPlan, read_plan
from viewcov.inspection.rig.rig import load_rig
from viewcov.planning.options import PlanningOptions
from viewcov.planning.plan_evaluation import PlanEvaluation, evaluate_plan
from viewcov.planning.planner import plan_views


def main() -> None:
    """Print a row for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["builtin:clutch-half"])
    parser.add_argument("--rig", default="paper-quarter")
    parser.add_argument("--num-candidates", type=int)
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    told = parser.parse_args()
    print("part                      elements  views   pool s  search s  ratio  difference, mm2: pool, search")
    for part in told.parts:
        options = PlanningOptions(num_candidates=told.num_candidates, overlap=told.overlap, max_nodes=0)
        result = plan_views(load_part(part), load_rig(told.rig), options=options, jobs=told.jobs)
        with tempfile.TemporaryDirectory() as folder:
            result.write(Path(folder) / "plan.json")
            plan = read_plan(Path(folder) / "plan.json")
            kept, with_pool_s = _timed(evaluate_plan, plan, told.jobs)
            searched, with_search_s = _timed(evaluate_plan, dataclasses.replace(plan, pool=None), told.jobs)
        figures = result.figures
        apart = [
            max(
                abs(one.coverage.coverable_area_mm2 - figures.coverable_area_mm2),
                abs(one.coverage.covered_area_mm2 - figures.covered_area_mm2),
            )
            for one in (kept, searched)
        ]
        print(
            f"{figures.part:<24}{figures.elements:>10}{figures.viewpoints:>7}{with_pool_s:>9.1f}{with_search_s:>10.1f}"
            f"{with_pool_s / with_search_s:>7.2f}  {apart[0]:.1e}, {apart[1]:.1e}"
        )


def _timed(evaluate: Callable[..., PlanEvaluation], plan: InspectionPlan, jobs: int) -> tuple[PlanEvaluation, float]:
    start = time.monotonic()
    return evaluate(plan, jobs=jobs), time.monotonic() - start


if __name__ == "__main__":
    main()
