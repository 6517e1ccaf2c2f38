"""Evaluation with a plan's kept candidates against a search anew: what they say is coverable, and the time they take.

    python -P benchmarks/evaluation.py builtin:clutch-half PART ... [--rig paper-quarter] [--time-limit 120]

Each part is planned with every way of saying what candidates there are and what counts. With kept candidates the areas
must be the plan's own to 1e-9. The search anew, one after the other in one process, is for the times.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.plan import InspectionPlan, read_plan
from viewcov.inspection.rig.rig import load_rig
from viewcov.planning.kept_pool import KnownCandidates
from viewcov.planning.options import PlanningOptions
from viewcov.planning.plan_evaluation import PlanEvaluation, evaluate_plan
from viewcov.planning.planner import plan_views


def main() -> None:
    """Print a row for each part and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["builtin:clutch-half"])
    parser.add_argument("--rig", default="paper-quarter")
    parser.add_argument("--time-limit", type=float, default=120.0)
    parser.add_argument("--jobs", type=int, default=2)
    told = parser.parse_args()
    rig = load_rig(told.rig)
    weighted = dataclasses.replace(rig.requirements, face_weights=((0, 3.0), (1, 0.0)))
    print("| part | asked for | elements | views | apart, mm2 | with pool, s | search, s | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in told.parts:
        part = load_part(name)
        options = PlanningOptions(time_limit_s=told.time_limit)
        given = plan_views(part, rig, options=PlanningOptions(num_views=3, num_candidates=60)).plan.viewpoints
        few = options.model_copy(update={"num_candidates": 150})
        twice = options.model_copy(update={"overlap": 2})
        ways = {
            "as it is": (options, rig.requirements, ()),
            "--num-candidates 150": (few, rig.requirements, ()),
            "--candidates": (few, rig.requirements, given),
            "--overlap 2": (twice, rig.requirements, ()),
            "--face-weight": (options, weighted, ()),
        }
        for way, (asked, limits, views) in ways.items():
            known = KnownCandidates(views=tuple(views))
            result = plan_views(part, rig, limits, asked, known=known, jobs=told.jobs)
            with tempfile.TemporaryDirectory() as folder:
                result.write(Path(folder) / "plan.json")
                plan = read_plan(Path(folder) / "plan.json")
                kept, with_pool_s = _timed(plan, told.jobs)
                # Of one way, for it takes long.
                search_s = _timed(dataclasses.replace(plan, pool=None), told.jobs)[1] if way == "as it is" else None
            figures, found = result.figures, kept.coverage
            apart = max(
                abs(found.coverable_area_mm2 - figures.coverable_area_mm2),
                abs(found.covered_area_mm2 - figures.covered_area_mm2),
            )
            times = ["", ""] if search_s is None else [f"{search_s:.1f}", f"{with_pool_s / search_s:.2f}"]
            row = [figures.part, way, f"{figures.elements}", f"{figures.viewpoints}", f"{apart:.1e}"]
            print("|", " | ".join([*row, f"{with_pool_s:.1f}", *times]), "|", flush=True)


def _timed(plan: InspectionPlan, jobs: int) -> tuple[PlanEvaluation, float]:
    start = time.monotonic()
    return evaluate_plan(plan, jobs=jobs), time.monotonic() - start


if __name__ == "__main__":
    main()
