from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import DEFAULT_PART, load_part
from viewcov.inspection.mesh.part import PartSource
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint

RIG = load_rig("paper-half")
coordinate = st.floats(-1e4, 1e4)


def _plan(part: PartSource, *views: Viewpoint, made: dict[str, Any] | None = None) -> InspectionPlan:
    return InspectionPlan(part=part, rig=RIG, requirements=RIG.requirements, viewpoints=views, made=made or {})


def _box_file(folder: Path, size: float = 30.0) -> PartSource:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "box.stl"
    trimesh.creation.box(extents=[size, 20, 10]).export(path)
    return load_part(path, units="cm", scale_mm=90.0).source


def _written(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A valid plan's file, and its content to be spoilt."""
    path = tmp_path / "plan.json"
    view = Viewpoint.looking_at([0, 0, 250], [0, 0, 0], id="view-0")
    write_plan(path, _plan(load_part(DEFAULT_PART).source, view))
    return path, json.loads(path.read_text())


@settings(max_examples=30)
@given(
    rotations=st.lists(st.tuples(*[st.floats(-3, 3)] * 3), max_size=5),
    centers=st.lists(st.tuples(*[coordinate] * 3), min_size=5, max_size=5),
)
def test_a_plan_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory,
    rotations: list[tuple[float, ...]],
    centers: list[tuple[float, ...]],
) -> None:
    views = []
    for number, (rotation, center) in enumerate(zip(rotations, centers, strict=False)):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec(rotation).as_matrix()
        pose[:3, 3] = center
        views.append(Viewpoint(id=f"v{number}", world_from_camera=pose))
    source = PartSource(path=DEFAULT_PART, sha256="ab" * 32, units=None, scale_mm=79.5)
    plan = _plan(source, *views, made={"seed": 3, "figures": {"coverage": 0.98, "bound": [1, None]}})
    path = tmp_path_factory.mktemp("again") / "plan.json"
    write_plan(path, plan)
    back = read_plan(path)
    assert (back.part, back.rig, back.requirements, back.made) == (plan.part, plan.rig, plan.requirements, plan.made)
    assert [view.id for view in back.viewpoints] == [view.id for view in views]
    for mine, theirs in zip(views, back.viewpoints, strict=True):
        np.testing.assert_array_equal(theirs.world_from_camera, mine.world_from_camera)
    # The same plan is the same text, to be compared line by line.
    text = path.read_text()
    write_plan(path, back)
    assert path.read_text() == text


def test_the_requirements_of_the_plan_win_over_those_of_the_rig(tmp_path: Path) -> None:
    from dataclasses import replace

    stricter = replace(RIG.requirements, max_incidence_deg=45.0)
    plan = InspectionPlan(part=load_part(DEFAULT_PART).source, rig=RIG, requirements=stricter, viewpoints=(), made={})
    write_plan(tmp_path / "plan.json", plan)
    back = read_plan(tmp_path / "plan.json")
    assert back.requirements == stricter
    assert back.rig.requirements == stricter  # One truth, wherever a caller looks.


def test_a_plan_finds_its_part_after_both_have_moved(tmp_path: Path) -> None:
    source = _box_file(tmp_path / "cell" / "parts")
    plan_path = tmp_path / "cell" / "plans" / "today" / "plan.json"
    write_plan(plan_path, _plan(source))
    assert json.loads(plan_path.read_text())["part"]["path"] == "../../parts/box.stl"
    assert str(tmp_path) not in plan_path.read_text()
    (tmp_path / "cell").rename(tmp_path / "elsewhere")
    moved = read_plan(tmp_path / "elsewhere" / "plans" / "today" / "plan.json")
    assert moved.part.path == str(tmp_path / "elsewhere" / "parts" / "box.stl")
    part = moved.load_part()
    assert part.largest_extent_mm == pytest.approx(90.0)
    assert (part.source.units, part.source.scale_mm) == ("cm", 90.0)


def test_a_plan_refuses_another_part_in_the_place_of_its_own(tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.json", _plan(_box_file(tmp_path)))
    _box_file(tmp_path, size=31.0)
    with pytest.raises(InputError, match="not the one that the plan was made for") as caught:
        read_plan(tmp_path / "plan.json").load_part()
    assert len(str(caught.value).splitlines()) == 1
    (tmp_path / "box.stl").unlink()
    with pytest.raises(InputError, match="no such part file"):
        read_plan(tmp_path / "plan.json").load_part()


def test_a_plan_loads_the_built_in_part(tmp_path: Path) -> None:
    path, _ = _written(tmp_path)
    assert read_plan(path).load_part().name == "clutch-half"


def _spoil(value: dict[str, Any], *steps: Any, to: Any = None, drop: bool = False) -> None:
    for step in steps[:-1]:
        value = value[step]
    if drop:
        del value[steps[-1]]
    else:
        value[steps[-1]] = to


NOT_RIGID = [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("steps", "change", "said"),
    [
        (["schema_version"], {"to": "viewcov-plan/2"}, "another kind or version of file: .*viewcov-plan/2"),
        (["schema_version"], {"drop": True}, "another kind or version of file: .*None"),
        (["part"], {"drop": True}, "field 'part' is missing"),
        (["part", "sha256"], {"drop": True}, r"field 'part\.sha256' is missing"),
        (["part", "path"], {"to": 3}, r"field 'part\.path' is not valid"),
        (["part", "colour"], {"to": "red"}, r"field 'part\.colour' is not valid"),
        (["viewpoints"], {"to": {}}, "field 'viewpoints' is not valid"),
        (["viewpoints", 0, "id"], {"drop": True}, r"field 'viewpoints\.0\.id' is missing"),
        (["viewpoints", 0, "id"], {"to": "../up"}, "viewpoint id must"),
        (["viewpoints", 0, "world_from_camera"], {"to": NOT_RIGID}, "must hold a rotation"),
        (["viewpoints", 0, "world_from_camera"], {"to": [[1, 0], [0, 1]]}, r"world_from_camera\.0\.2' is missing"),
        (["viewpoints", 0, "world_from_camera"], {"to": [[1, 0], [1]]}, r"world_from_camera\.0\.2' is missing"),
        (["viewpoints", 0, "world_from_camera", 0, 0], {"to": None}, r"world_from_camera\.0\.0' is not valid"),
        (["viewpoints", 0, "world_from_camera", 0, 0], {"to": "x"}, r"world_from_camera\.0\.0' is not valid"),
        (["viewpoints", 0, "world_from_camera", 0, 3], {"to": 1e999}, "not a JSON file"),
        (["rig", "camera", "f_number"], {"drop": True}, r"field 'camera\.f_number' is missing"),
        (["rig", "camera", "f_number"], {"to": -1}, r"field 'camera\.f_number"),
        (["rig", "camera", "zoom"], {"to": 2}, r"field 'camera\.zoom' is not valid: expected no such name"),
        (["rig", "camera"], {"to": None}, "field 'camera' is not valid"),
        (["rig", "ring_light"], {"drop": True}, "field 'ring_light' is missing"),
        (["rig"], {"to": "paper"}, "field 'rig' is not valid"),
        (["requirements", "max_blur_px"], {"to": 0}, r"field 'requirements\.max_blur_px"),
        (["made"], {"to": []}, "field 'made' is not valid"),
        (["more"], {"to": 1}, "field 'more' is not valid"),
    ],
)
def test_wrong_plans_are_one_line(tmp_path: Path, steps: list[Any], change: dict[str, Any], said: str) -> None:
    path, value = _written(tmp_path)
    _spoil(value, *steps, **change)
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=said) as caught:
        read_plan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_two_views_of_one_name_are_refused(tmp_path: Path) -> None:
    path, value = _written(tmp_path)
    value["viewpoints"] *= 2
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match="viewpoint ids must be unique, got 'view-0'"):
        read_plan(path)
    view = Viewpoint(id="a", world_from_camera=np.eye(4))
    with pytest.raises(ValueError, match="unique"):
        _plan(load_part(DEFAULT_PART).source, view, view)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '{"schema_version": []}', "{"])
def test_files_that_are_no_plan_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"not a JSON file|another kind or version of file"):
        read_plan(path)
    with pytest.raises(InputError, match="no such file"):
        read_plan(tmp_path / "nothing.json")


def test_a_plan_can_be_read_by_a_person(tmp_path: Path) -> None:
    path, value = _written(tmp_path)
    assert value["schema_version"] == "viewcov-plan/1"
    assert list(value) == ["schema_version", "frame", "part", "rig", "requirements", "viewpoints", "made", "pool"]
    assert "mm" in value["frame"]
    assert "OpenCV" in value["frame"]
    assert len(path.read_text().splitlines()) > 50
