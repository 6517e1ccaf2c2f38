"""What is added from outside the package: a format of poses, and a column of the tables."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from viewcov.inspection.files import write_text
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.csv_table import COLUMNS, Column
from viewcov.planning.exchange.plans import FORMATS, export_plan, import_viewpoints, locate
from viewcov.planning.exchange.views import ImportedViews, PoseFormat, imported


@pytest.fixture
def plan() -> InspectionPlan:
    rig = load_rig("paper-quarter")
    views = tuple(Viewpoint.looking_at([x, 5, 200], [x, 5, 0], id=f"v{x}") for x in (1, 2))
    part = load_part("builtin:clutch-half").source
    return InspectionPlan(part=part, rig=rig, requirements=rig.requirements, viewpoints=views)


def read_lines(path: Path) -> ImportedViews:
    lines = [line.split() for line in path.read_text("utf-8").splitlines()]
    poses = [np.reshape([float(field) for field in fields[1:]], (4, 4)) for fields in lines]
    return imported(path, [fields[0] for fields in lines], poses)


def write_lines(path: Path, plan: InspectionPlan) -> None:
    lines = [" ".join([view.id, *map(repr, view.world_from_camera.ravel().tolist())]) for view in plan.viewpoints]
    write_text(path, "\n".join(lines) + "\n")


def test_a_format_of_poses(plan: InspectionPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = PoseFormat(name="lines", read=read_lines, write=write_lines, suffixes=(".poses",))
    monkeypatch.setitem(FORMATS, "lines", added)
    export_plan(plan, tmp_path / "a.poses", to="lines")
    assert locate(tmp_path / "a.poses") == ("lines", tmp_path / "a.poses")
    back = import_viewpoints(tmp_path / "a.poses").viewpoints
    assert [view.id for view in back] == ["v1", "v2"]
    for view, known in zip(back, plan.viewpoints, strict=True):
        np.testing.assert_allclose(view.world_from_camera, known.world_from_camera, atol=1e-12)


def test_a_column_of_the_tables(plan: InspectionPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from openpyxl import load_workbook

    monkeypatch.setattr(
        "viewcov.planning.exchange.csv_table.COLUMNS",
        [*COLUMNS, Column("height_m", lambda row: float(row.view.center_mm[2]) / 1000.0)],
    )
    export_plan(plan, tmp_path / "a.csv", to="csv")
    export_plan(plan, tmp_path / "a.xlsx", to="xlsx")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [float(row["height_m"]) for row in csv.DictReader(file)] == pytest.approx([0.2, 0.2])
    header, *rows = load_workbook(tmp_path / "a.xlsx")["Viewpoints"].iter_rows(values_only=True)
    assert [row[header.index("height_m")] for row in rows] == pytest.approx([0.2, 0.2])
    for path in ("a.csv", "a.xlsx"):
        assert len(import_viewpoints(tmp_path / path).viewpoints) == 2
