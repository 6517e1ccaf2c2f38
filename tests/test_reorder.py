"""Plans put into a shorter order."""

import csv
from pathlib import Path

import numpy as np
import pytest

from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.options import RouteOptions
from viewcov.planning.route.reorder import reordered

RIG = load_rig("paper-quarter")


def plan_along(places_mm: list[float]) -> InspectionPlan:
    """Views that look down, side by side along x."""
    views = tuple(
        Viewpoint.looking_at(np.array([x, 0.0, 250.0]), np.array([x, 0.0, 0.0]), id=f"p{x:.0f}") for x in places_mm
    )
    part = load_part("builtin:clutch-half")
    return InspectionPlan(part=part.source, rig=RIG, requirements=RIG.requirements, viewpoints=views)


def write_times(path: Path, ids: list[str], times: np.ndarray) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["from/to", *ids])
        writer.writerows([name, *row] for name, row in zip(ids, times.tolist(), strict=True))
    return path


def test_views_on_a_line_are_taken_one_after_the_other() -> None:
    plan, figures = reordered(plan_along([300, 0, 500, 100, 200, 400]))
    order = [view.id for view in plan.viewpoints]
    assert order in (sorted(order, key=lambda name: int(name[1:])), sorted(order, key=lambda name: -int(name[1:])))
    # 500 mm at 250 mm/s and six stops of 0.4 s.
    assert figures.route_s == pytest.approx(500 / 250 + 6 * 0.4)
    assert figures.route_gap == pytest.approx(0.0, abs=1e-6)
    assert figures.route_before_s > figures.route_s
    closed, figures = reordered(plan_along([300, 0, 500, 100, 200, 400]), RouteOptions(closed=True, start="p500"))
    assert closed.viewpoints[0].id == "p500"
    assert figures.route_s == pytest.approx(2 * 500 / 250 + 6 * 0.4)


def test_a_robots_times_decide_and_may_differ_there_and_back(tmp_path: Path) -> None:
    plan = plan_along([0, 100, 200, 300])
    # Only the way 2 -> 0 -> 3 -> 1 is quick, and only in that direction; the file lists the views backwards.
    times = np.full((4, 4), 9.0)
    for a, b in ((2, 0), (0, 3), (3, 1)):
        times[a, b] = 1.0
    ids = [view.id for view in plan.viewpoints]
    path = write_times(tmp_path / "times.csv", ids[::-1], times[::-1, ::-1])
    ordered, figures = reordered(plan, RouteOptions(times=path))
    assert [view.id for view in ordered.viewpoints] == [ids[place] for place in (2, 0, 3, 1)]
    assert figures.route_s == pytest.approx(3.0 + 4 * 0.4)
    assert figures.route_bound == "branch and cut"
    assert figures.route_gap == pytest.approx(0.0, abs=1e-6)


def test_times_and_starts_of_other_plans_are_refused(tmp_path: Path) -> None:
    plan = plan_along([0, 100, 200])
    with pytest.raises(InputError, match="start: no such viewpoint"):
        reordered(plan, RouteOptions(start="p7"))
    path = write_times(tmp_path / "times.csv", ["p0", "p100"], np.ones((2, 2)))
    with pytest.raises(InputError, match=r"viewpoints missing.*p200"):
        reordered(plan, RouteOptions(times=path))
