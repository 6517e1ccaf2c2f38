"""Poses in CSV files and workbooks: what people and other programs make of them, and the reasons for each mm2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from openpyxl import Workbook, load_workbook

from viewcov.coverage.geometric.evaluation import GeometricCoverage, evaluate_viewpoints
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.plans import export_plan, import_viewpoints
from viewcov.planning.exchange.xlsx import uncovered_rows

RIG = load_rig("paper-quarter")
HEADER = "id,x_mm,y_mm,z_mm,qw,qx,qy,qz"
ROW = "a,1,2,3,1,0,0,0"


# CSV.


def test_csv_says_where_the_camera_is_and_how_it_is_turned(tmp_path: Path) -> None:
    """Looking straight down: the camera is turned by 180 degrees about the world's X."""
    part = load_part("builtin:clutch-half").source
    views = (Viewpoint.looking_at([1, 2, 250], [1, 2, 0], id="top"),)
    plan = InspectionPlan(part=part, rig=RIG, requirements=RIG.requirements, viewpoints=views)
    export_plan(plan, tmp_path / "poses.csv", to="csv")
    header, row = (tmp_path / "poses.csv").read_text().splitlines()
    assert header == HEADER
    name, *numbers = row.split(",")
    assert name == "top"
    np.testing.assert_allclose([float(number) for number in numbers], [1, 2, 250, 0, 1, 0, 0], atol=1e-15)


def test_csv_is_read_as_people_write_it(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    texts = [
        f"{HEADER}\n{ROW}\n",
        "\ufeff" + f"{HEADER}\r\n{ROW}\r\n".replace(",", ";"),
        f"{HEADER}\n{ROW}".replace(",", "\t"),
        'QW, qx, qy, qz, X_mm, y_mm, z_mm, remark, ID\n\n1.0004, 0, 0, 0, 1, 2, 3, "good, I think", a\n,,,,,,,,\n',
    ]
    for text in texts:
        path.write_text(text)
        (view,) = import_viewpoints(path).viewpoints
        assert view.id == "a"
        np.testing.assert_allclose(view.world_from_camera[:3, :3], np.eye(3), atol=1e-15)
        np.testing.assert_array_equal(view.center_mm, [1, 2, 3])


def test_rows_without_or_with_equal_ids_get_their_own(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    path.write_text("\n".join([HEADER, ROW, ROW, ROW.replace("a", "", 1), ROW.replace("a", "top left", 1)]))
    back = import_viewpoints(path)
    assert [view.id for view in back.viewpoints] == ["a", "a-2", "pose-003", "top-left"]
    assert back.renamed == {"a-2": "a", "top-left": "top left"}
    path.write_text(f"{HEADER[3:]}\n{ROW[2:]}\n{ROW[2:]}\n")
    assert [view.id for view in import_viewpoints(path).viewpoints] == ["pose-001", "pose-002"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column x_mm.*found an empty file"),
        (ROW, "no column x_mm.*found a,1,2,3,1,0,0,0"),
        (HEADER.replace("x_mm", "x"), "no column x_mm.*lengths in mm"),
        (f"{HEADER},qw\n", "column qw twice"),
        (HEADER, "no viewpoints"),
        (f"{HEADER}\na,1,2,3,1,0,0\n", "line 2: a row of another length: expected 8 fields.*found 7"),
        (f"{HEADER}\n{ROW}\na,1,2,3,1,0,0,up\n", "line 3 qz: not a finite number.*'up'"),
        (f"{HEADER}\na,1,2,nan,1,0,0,0\n", "line 2 z_mm: not a finite number"),
        (f"{HEADER}\na,1,2,3,1,0.1,0,0\n", r"line 2: not a unit quaternion.*found 1\.00499"),
        (f"{HEADER};a,1".replace(",", ";") + "\na;1,5;2;3;1;0;0;0;;\n", "line 2 x_mm: a decimal comma.*'1,5'"),
        (f"{HEADER}\na,1,5,2,3,1,0,0,0\n", "expected 8 fields.*found 9; write decimals with a point"),
    ],
)
def test_wrong_tables_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        import_viewpoints(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1
    path.write_bytes("größe".encode("cp1252"))
    with pytest.raises(InputError, match="not a UTF-8 CSV file"):
        import_viewpoints(path)


# XLSX.


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[InspectionPlan, GeometricCoverage]:
    """A block that two views see from above, the second one adding nothing, and a third sees from the front."""
    path = tmp_path_factory.mktemp("part") / "=block.stl"
    trimesh.creation.box(extents=[40, 30, 20]).export(path)
    part = load_part(path)
    far = RIG.camera.focus_distance_mm
    views = (
        Viewpoint.looking_at([0, 0, far + 10], [0, 0, 0], id="above"),
        Viewpoint.looking_at([0, 0, far + 10], [0, 0, 0], id="again", roll_deg=180),
        Viewpoint.looking_at([0, -far - 15, 0], [0, 0, 0], id="front"),
        Viewpoint.looking_at([0, 0, far + 10], [0, 0, far + 20], id="away"),
    )
    limits = Requirements(max_mm_per_px=1.0, max_blur_px=8.0)
    plan = InspectionPlan(part=part.source, rig=RIG, requirements=limits, viewpoints=views, made={"seed": 3})
    coverage = evaluate_viewpoints(Setup(cut_surface(part, 4.0), RIG, limits), views)
    return plan, coverage


def sheet_rows(path: Path, title: str) -> list[tuple[Any, ...]]:
    return list(load_workbook(path)[title].iter_rows(values_only=True))


def test_a_workbook_has_the_areas_of_each_view(
    tmp_path: Path, evaluated: tuple[InspectionPlan, GeometricCoverage]
) -> None:
    plan, coverage = evaluated
    path = tmp_path / "plan.xlsx"
    export_plan(plan, path, to="xlsx", evaluation=coverage)
    header, *rows = sheet_rows(path, "Viewpoints")
    table = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert list(table) == ["above", "again", "front", "away"]
    # The block's top is 40 x 30 mm and in focus; its front 40 x 20.
    far = RIG.camera.focus_distance_mm
    for name, seen, new in [("above", 1200, 1200), ("again", 1200, 0), ("front", 800, 800), ("away", 0, 0)]:
        assert (table[name]["seen_mm2"], table[name]["newly_covered_mm2"]) == pytest.approx((seen, new))
        assert table[name]["standoff_mm"] == (None if name == "away" else pytest.approx(far))
    assert sum(row["newly_covered_mm2"] for row in table.values()) == pytest.approx(coverage.covered_area_mm2)
    np.testing.assert_allclose([table["front"][f"look_{axis}"] for axis in "xyz"], [0, 1, 0], atol=1e-15)
    assert [view.id for view in import_viewpoints(path).viewpoints] == list(table)


def test_a_workbook_gives_the_reasons_by_cad_face(evaluated: tuple[InspectionPlan, GeometricCoverage]) -> None:
    _, coverage = evaluated
    header, *faces, total = uncovered_rows(coverage)
    assert header[4:] == list(coverage.uncovered())
    assert total[4:] == pytest.approx(list(coverage.uncovered().values()))
    assert total[1:4] == pytest.approx([5200, 3200, 3200])  # All six sides, and the four that no view sees.
    assert sorted(row[2] for row in faces) == pytest.approx([600, 600, 800, 1200])
    for face, inspected, uncovered, _, *reasons in faces:
        on_face = coverage.surface.cad_face_idx == face
        assert inspected == pytest.approx(coverage.surface.area_mm2[on_face].sum())
        assert not coverage.covered[on_face].any()
        assert uncovered == pytest.approx(sum(reasons))
    np.testing.assert_allclose(np.array(total[1:], float), np.array([row[1:] for row in faces], float).sum(axis=0)
                               + [2000, *[0] * (len(header) - 2)])  # fmt: skip


def test_a_second_view_that_is_required_covers(
    tmp_path: Path, evaluated: tuple[InspectionPlan, GeometricCoverage]
) -> None:
    plan, once = evaluated
    twice = Requirements(max_mm_per_px=1.0, max_blur_px=8.0, views_per_element=2)
    coverage = evaluate_viewpoints(Setup(once.surface, RIG, twice), plan.viewpoints)
    header, *_, total = uncovered_rows(coverage)
    assert dict(zip(header, total, strict=True))["too_few_views"] == pytest.approx(800)
    export_plan(replace(plan, requirements=twice), tmp_path / "plan.xlsx", to="xlsx", evaluation=coverage)
    header, *rows = sheet_rows(tmp_path / "plan.xlsx", "Viewpoints")
    assert [row[header.index("newly_covered_mm2")] for row in rows] == pytest.approx([0, 1200, 0, 0])


def test_a_workbook_states_frame_units_and_figures(
    tmp_path: Path, evaluated: tuple[InspectionPlan, GeometricCoverage]
) -> None:
    plan, coverage = evaluated
    path = tmp_path / "plan.xlsx"
    export_plan(plan, path, to="xlsx", evaluation=coverage)
    said = dict(sheet_rows(path, "Plan"))
    assert "CAD frame, mm" in said["frame"]
    assert "world_from_camera" in said["frame"]
    assert said["part sha256"] == plan.part.sha256
    assert said["rig camera focal_length_mm"] == RIG.camera.focal_length_mm
    assert said["requirements max_mm_per_px"] == 1.0
    assert said["made seed"] == 3
    assert said["evaluated covered_area_mm2"] == pytest.approx(2000)
    assert said["evaluated uncovered in_frame"] == pytest.approx(coverage.uncovered()["in_frame"])
    export_plan(plan, path, to="xlsx")
    book = load_workbook(path)
    assert book.sheetnames == ["Viewpoints", "Plan"]
    assert not any(str(key).startswith("evaluated") for key in dict(sheet_rows(path, "Plan")))


def test_a_text_is_no_formula(tmp_path: Path) -> None:
    part = load_part("builtin:clutch-half").source
    plan = InspectionPlan(
        part=part, rig=RIG, requirements=RIG.requirements, viewpoints=(), made={"imported_from": "=1+1"}
    )
    export_plan(plan, tmp_path / "plan.xlsx", to="xlsx")
    cells = [cell for row in load_workbook(tmp_path / "plan.xlsx")["Plan"].iter_rows() for cell in row]
    assert [cell.data_type for cell in cells if cell.value == "=1+1"] == ["s"]


def test_foreign_workbooks(tmp_path: Path) -> None:
    path = tmp_path / "poses.xlsx"
    book = Workbook()
    book.active.append([None, *HEADER.split(",")])
    book.active.append([])
    book.active.append(["remark", 7, 1, 2.5, 3, 1, 0, 0, 0])
    book.save(path)
    (view,) = import_viewpoints(path).viewpoints
    assert view.id == "7"
    np.testing.assert_array_equal(view.center_mm, [1, 2.5, 3])
    book.active.append([None, 8, "1,5", 2.5, 3, 1, 0, 0, 0])
    book.save(path)
    with pytest.raises(InputError, match="sheet Sheet row 4 x_mm: a decimal comma"):
        import_viewpoints(path)
    book.create_sheet("More")
    book.save(path)
    with pytest.raises(InputError, match=r"no sheet Viewpoints.*found Sheet, More"):
        import_viewpoints(path)
    path.write_text("id")
    with pytest.raises(InputError, match=r"expected an \.xlsx workbook"):
        import_viewpoints(path)
