"""``viewcov evaluate``: long lists in JSON and files, few lines for people, fixes that do what they promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov import cli
from viewcov.coverage.geometric.evaluation import evaluate_viewpoints
from viewcov.coverage.geometric.figures import GeometricFigures
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_table
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.records import read_record
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.options import EvaluationOptions
from viewcov.planning.plan_evaluation import PlanEvaluation, evaluate_plan

RIG = load_rig("paper-quarter")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate seen straight from above, twice: its four rims and its underside are left out."""
    folder = tmp_path_factory.mktemp("plate")
    trimesh.creation.box(extents=[30, 20, 10]).export(folder / "plate.stl")
    part = load_part(folder / "plate.stl")
    views = [Viewpoint.looking_at([0, 0, 255], [0, 0, 0], id=name) for name in ("above", "again")]
    write_plan(
        folder / "plan.json",
        InspectionPlan(
            part=part.source, rig=RIG, requirements=RIG.requirements, viewpoints=tuple(views), made={"seed": 3}
        ),
    )
    return folder / "plan.json"


@pytest.fixture(scope="module")
def evaluated(plan: Path) -> PlanEvaluation:
    return evaluate_plan(read_plan(plan), EvaluationOptions(num_draws=2))


def test_figures_of_a_plate(evaluated: PlanEvaluation) -> None:
    figures = evaluated.figures()
    assert GeometricFigures.model_validate_json(figures.model_dump_json()) == figures
    assert figures.coverable_from == "search"
    assert figures.covered_area_mm2 == pytest.approx(600.0)
    assert figures.redundant_views == ("above", "again")
    assert figures.views[0].overlap_with_next == pytest.approx(1.0)
    assert figures.coverage_by_views.in_order == pytest.approx((figures.coverage,) * 2)
    # Nothing is in the way of a box: all 2200 mm2 can be covered, and few views do.
    assert figures.coverable_area_mm2 == pytest.approx(2200.0)
    assert sum(fix.gained_area_mm2 for fix in figures.fixes or ()) == pytest.approx(1600.0, rel=2e-3)
    assert figures.robustness is not None
    assert figures.robustness.mean_coverage == pytest.approx(600.0 / 2200.0, abs=0.01)


def test_the_fixes_added_to_the_plan_cover_what_they_promise(plan: Path, evaluated: PlanEvaluation) -> None:
    assert evaluated.repairs is not None
    before, found = read_plan(plan), evaluated.repairs
    added = [Viewpoint(id=fix.id, world_from_camera=np.array(fix.world_from_camera)) for fix in found.fixes]
    views = (*before.viewpoints, *added)
    surface = cut_surface(before.load_part(), before.requirements.element_edge_mm)
    after = evaluate_viewpoints(Setup(surface, before.rig, before.requirements), views)
    gained_mm2 = after.covered_area_mm2 - evaluated.coverage.covered_area_mm2
    assert gained_mm2 == pytest.approx(sum(fix.gained_area_mm2 for fix in found.fixes))
    np.testing.assert_array_equal(found.fix_idx >= 0, after.covered & ~evaluated.coverage.covered)


def test_people_get_few_lines_and_files_the_lists(
    plan: Path, evaluated: PlanEvaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--jobs", "1", "--robustness", "2", "--out", str(tmp_path)]
    assert cli.run(["evaluate", str(plan), *options]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 50
    assert max(map(len, out.splitlines())) < 120
    assert "2 of 2 views" in out
    assert f"to add              {len(evaluated.figures().fixes or ())} views for" in out
    assert "world_from_camera" not in out
    assert read_record(tmp_path / "geometric.json", GeometricFigures) == evaluated.figures()
    assert evaluated.repairs is not None
    assert evaluated.robustness is not None
    elements = read_table(tmp_path / "geometric.parquet")
    np.testing.assert_array_equal(elements["fix"], evaluated.repairs.fix_idx)
    np.testing.assert_allclose(elements["covered_probability"], evaluated.robustness.probability)
    np.testing.assert_allclose(elements["best_grey"], evaluated.coverage.best_grey, rtol=1e-6)
    nearest = read_table(tmp_path / "nearest.parquet")
    known = elements["nearest"] >= 0
    distance = np.asarray(nearest["distance_mm"])[elements["nearest"][known]]
    np.testing.assert_allclose(elements["nearest_distance_mm"][known], distance, rtol=1e-6)
    assert set(nearest["nearest_view"]) <= {"above", "again"}
    centers = np.column_stack([nearest[f"world_from_camera_{row}3"] for row in range(3)])
    np.testing.assert_allclose(nearest["distance_mm"], np.linalg.norm(centers - [0, 0, 255], axis=1), rtol=1e-9)
    np.testing.assert_array_equal(np.isnan(elements["nearest_distance_mm"]), ~known)
    np.testing.assert_array_equal(known, np.asarray(elements["coverable"], dtype=bool) & (elements["num_views"] == 0))


@pytest.mark.parametrize(
    "option", [["--robustness", "-1"], ["--noise-mm", "-0.1"], ["--noise-deg", "nan"], ["--seed", "-1"]]
)
def test_noise_out_of_range_is_one_line(plan: Path, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", str(plan), *option]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert option[0] in err or "option" in err
    with pytest.raises(InputError, match=r"option 'noise_mm'"):
        EvaluationOptions(noise_mm=-1.0)
