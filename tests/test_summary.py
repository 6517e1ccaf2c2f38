"""The summary and the report of folders that hold only some results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from viewcov.coverage.effective.figures import DefectFigures, FusedFigures, MatchFigures
from viewcov.coverage.geometric.figures import CoverageByViews, GeometricFigures
from viewcov.coverage.ladder import Areas
from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.records import read_record, write_record
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.viewer.vtp import write_vtp
from viewcov.workflows.gallery import report_on
from viewcov.workflows.summary import Summary, headline, plan_under, summarise


@pytest.fixture(scope="module")
def surface(tmp_path_factory: pytest.TempPathFactory) -> Surface:
    path = tmp_path_factory.mktemp("part") / "box.stl"
    trimesh.creation.box(extents=[20, 20, 20]).export(path)
    return cut_surface(load_part(str(path)), 12.0)


def write_plan_of(surface: Surface, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    views = (Viewpoint.looking_at([250.0, 0, 40], [0, 0, 0], id="v001"),)
    rig = load_rig("paper-quarter")
    plan = InspectionPlan(part=surface.part.source, rig=rig, requirements=rig.requirements, viewpoints=views)
    write_plan(folder / "plan.json", plan)


def write_geometric(surface: Surface, folder: Path) -> None:
    covered = surface.normal[:, 0] > 0.5
    areas = Areas.of(2400.0, 2000.0, 400.0, 0.2)
    by_views = CoverageByViews(in_order=(0.2,), greedily=(0.2,), greedy_order=("v001",))
    figures = GeometricFigures(
        **areas.model_dump(), elements=surface.num_elements, viewpoints=1, coverable_from="search",
        waterfall={"lit": 400.0}, uncovered={"facing": 2000.0}, not_coverable={"facing": 400.0},
        k_coverage=(2400.0, 400.0), views=(), redundant_views=(), coverage_by_views=by_views,
    )  # fmt: skip
    arrays: dict[str, NDArray[Any]] = {"rung": covered.astype(np.int8) * 2, "num_views": covered.astype(np.int32)}
    folder.mkdir(parents=True, exist_ok=True)
    write_vtp(folder / "geometric.vtp", surface, arrays)
    write_record(folder / "geometric.json", figures)


def write_fused(surface: Surface, folder: Path, name: str, *, truth: bool) -> None:
    match = MatchFigures(num_planted=3, num_found=1, num_detections=1, num_true=1, found_ids=(1,), missed_ids=(2, 3))
    defect = DefectFigures(
        id=1, num_elements=1, area_mm2=2.0, center_mm=(10.0, 0.0, 0.0), extent_mm=2.0, mean_probability=0.9,
        max_probability=0.9, cad_faces=(0,), views=(), true=True if truth else None,
    )  # fmt: skip
    figures = FusedFigures(
        inspection=name, model="plain", rule="max", thresholds={"max": 0.5}, rules={"max": match} if truth else {},
        single_view=None, defects=(defect,),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    probability = np.where(surface.normal[:, 0] > 0.5, np.float32(0.9), np.float32(np.nan))
    write_vtp(folder / "fused.vtp", surface, {"probability_max": probability}, main="probability_max")
    write_record(folder / "fused.json", figures)


def test_a_folder_that_only_evaluate_wrote_has_a_report_of_geometry(surface: Surface, tmp_path: Path) -> None:
    write_geometric(surface, tmp_path)
    page = report_on(tmp_path)
    html = page.read_text("utf-8")
    assert html.count("data:image/png;base64,") == 3
    for word in ("planted", "synthetic", "ffectively", "eported"):
        assert word not in html
    assert "16.7 %" in html
    assert "83.3 %" in html
    summary = read_record(tmp_path / "summary.json", Summary)
    assert summary == summarise(tmp_path)
    assert summary.part is None
    assert list(headline(summary)) == [
        "inspected           2\u202f400 mm²",
        "coverable           83.3 % of the inspected surface",
        "covered             16.7 % of the inspected surface in 1 view",
    ]


def test_a_plan_of_another_part_above_the_results_is_not_theirs(surface: Surface, tmp_path: Path) -> None:
    results = tmp_path / "geometry"
    write_geometric(surface, results)
    write_plan_of(surface, tmp_path)
    assert plan_under(results) is not None
    plan = read_plan(tmp_path / "plan.json")
    write_plan(tmp_path / "plan.json", replace(plan, part=load_part("builtin:clutch-half").source))
    assert plan_under(results) is None
    assert summarise(results).part is None


def test_real_images_that_were_only_fused_are_reported_without_any_truth(surface: Surface, tmp_path: Path) -> None:
    write_plan_of(surface, tmp_path)
    write_fused(surface, tmp_path / "results" / "plain", tmp_path.name, truth=False)
    summary = summarise(tmp_path)
    assert not summary.planted
    assert summary.fusion == {}
    assert summary.reported is not None
    assert summary.reported.model == "plain"
    assert [note for note in summary.notes if "synthetic" in note.lower() or "planted" in note.lower()] == []
    assert list(headline(summary)) == [f"3D defects          1 reported on {tmp_path.name}, plain"]


def test_counts_of_fused_inspections_add_up(surface: Surface, tmp_path: Path) -> None:
    write_plan_of(surface, tmp_path)
    for name in ("one", "two"):
        write_fused(surface, tmp_path / name / "results" / "plain", name, truth=True)
    summary = summarise(tmp_path)
    rule = summary.fusion["plain"].rules["max"]
    assert (rule.num_planted, rule.num_found, rule.num_detections) == (6, 2, 2)
    assert rule.f1 == pytest.approx(0.5)
    assert any("synthetic" in note for note in summary.notes)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no result"):
        report_on(tmp_path)
    (tmp_path / "geometric.json").write_text('{"schema_version": "viewcov-geometric/1", "elements": 1}')
    with pytest.raises(InputError, match="is missing"):
        report_on(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["geometric.json"]
