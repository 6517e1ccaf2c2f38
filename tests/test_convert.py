"""The command convert: plans out, poses in, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from openpyxl import load_workbook

import viewcov
from viewcov import cli
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.plans import FORMATS, ROUNDING_PX, TOLERATED_PX, Format

RIG = load_rig("paper-quarter")
CENTERS = [[0, 0, 260], [0, 10, -255], [250, 0, 10]]
FILES: dict[Format, str] = {
    "plan": "other.json", "colmap": "model", "nerfstudio": "transforms.json", "bop": "scene_camera.json",
    "ros": "poses.yaml", "csv": "poses.csv", "xlsx": "plan.xlsx",
}  # fmt: skip


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    trimesh.creation.box(extents=[14, 12, 10]).export(tmp_path / "block.stl")
    source = load_part(tmp_path / "block.stl").source
    views = tuple(Viewpoint.looking_at(c, [0, 0, 0], id=f"view-{n}") for n, c in enumerate(CENTERS))
    write_plan(
        tmp_path / "plan.json",
        InspectionPlan(part=source, rig=RIG, requirements=RIG.requirements, viewpoints=views, made={"seed": 1}),
    )
    return tmp_path / "plan.json"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = cli.run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("fmt", [fmt for fmt in FORMATS if fmt != "xlsx"])
def test_a_plan_goes_out_and_comes_back_to_be_evaluated(
    capsys: pytest.CaptureFixture[str], plan: Path, fmt: Format
) -> None:
    folder = plan.parent
    there, back = folder / FILES[fmt], folder / "back" / "plan.json"
    status, out, _ = run(capsys, "convert", plan, "--to", fmt, "--out", there, "--json")
    assert status == 0
    assert json.loads(out) == {"from": "plan", "to": fmt, "out": str(there), "viewpoints": 3}
    said = [] if fmt == "plan" else ["--part", folder / "block.stl", "--rig", "paper-quarter"]
    status, out, err = run(capsys, "convert", there, "--to", "plan", "--out", back, *said, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["from"] == fmt
    ours, theirs = read_plan(plan), read_plan(back)
    assert (theirs.part, theirs.requirements) == (ours.part, ours.requirements)
    assert theirs.rig == ours.rig
    for mine, view in zip(ours.viewpoints, theirs.viewpoints, strict=True):
        np.testing.assert_allclose(view.world_from_camera, mine.world_from_camera, rtol=0, atol=1e-9)
    if fmt != "plan":
        assert theirs.made == {"imported_from": there.name, "renamed": {}, "version": viewcov.__version__}


def test_a_workbook_has_the_reasons_that_evaluate_gives(capsys: pytest.CaptureFixture[str], plan: Path) -> None:
    """Of a plan that came as foreign poses, too."""
    folder = plan.parent
    said = ["--part", folder / "block.stl", "--rig", "paper-quarter"]
    assert run(capsys, "convert", plan, "--to", "csv", "--out", folder / "poses.csv")[0] == 0
    assert run(capsys, "convert", folder / "poses.csv", "--to", "plan", "--out", folder / "back.json", *said)[0] == 0
    measured = json.loads(run(capsys, "evaluate", folder / "back.json", "--jobs", 1, "--json")[1])
    assert measured["covered_area_mm2"] > 0
    out = folder / "plan.xlsx"
    assert run(capsys, "convert", plan, "--to", "xlsx", "--out", out, "--jobs", 1)[0] == 0
    book = load_workbook(out)
    header, *_, total = book["Uncovered"].iter_rows(values_only=True)
    assert dict(zip(header[4:], total[4:], strict=True)) == pytest.approx(measured["uncovered"])
    assert dict(book["Plan"].iter_rows(values_only=True))["evaluated coverage"] == pytest.approx(measured["coverage"])


def test_other_names_are_told_and_kept_in_the_plan(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, plan: Path
) -> None:
    folder = plan.parent
    (folder / "manual.csv").write_text("id,x_mm,y_mm,z_mm,qw,qx,qy,qz\ntop left,0,0,260,0,1,0,0\nb,0,0,250,0,1,0,0\n")
    said = ["--part", folder / "block.stl", "--rig", "paper-quarter"]
    assert run(capsys, "convert", folder / "manual.csv", "--to", "plan", "--out", folder / "m.json", *said)[0] == 0
    (warning,) = caplog.messages
    assert "changed 1 names to valid ids, such as 'top left' to top-left" in warning
    assert read_plan(folder / "m.json").made["renamed"] == {"top-left": "top left"}


def changed_transforms(plan: Path, capsys: pytest.CaptureFixture[str], **change: Any) -> Path:
    path = plan.parent / "transforms.json"
    run(capsys, "convert", plan, "--to", "nerfstudio", "--out", path)
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, **{key: value[key] + add for key, add in change.items()}}))
    return path


@pytest.mark.parametrize(
    ("change", "told", "refusal"),
    [
        ({"cx": ROUNDING_PX / 2}, "", ""),
        ({"cx": 3 * ROUNDING_PX}, "points up to 0.03 px off", ""),
        ({"cy": TOLERATED_PX + 0.1}, "", "another camera than that of rig paper-quarter"),
        ({"k1": 0.1}, "", "another camera"),
        ({"w": 2}, "", "images of another size"),
    ],
)
def test_a_camera_is_compared_with_the_rigs(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    plan: Path,
    change: dict[str, Any],
    told: str,
    refusal: str,
) -> None:
    path = changed_transforms(plan, capsys, **change)
    command = ["convert", path, "--to", "plan", "--part", plan.parent / "block.stl", "--rig", "paper-quarter"]
    status, _, err = run(capsys, *command, "--out", plan.parent / "new.json")
    assert status == (2 if refusal else 0)
    assert refusal in err
    assert (plan.parent / "new.json").exists() == (not refusal)
    assert len(caplog.messages) == bool(told)
    assert told in "".join(caplog.messages)


def test_poses_need_a_part_and_plans_have_one(capsys: pytest.CaptureFixture[str], plan: Path) -> None:
    folder = plan.parent
    run(capsys, "convert", plan, "--to", "csv", "--out", folder / "poses.csv")
    before = sorted(folder.iterdir())
    out = ["--out", folder / "new.json"]
    err = refused(capsys, "convert", folder / "poses.csv", "--to", "plan", *out)
    assert "poses (csv) do not say their part: expected --part PART" in err
    for option, value in [("--part", "block.stl"), ("--rig", "paper"), ("--units", "mm"), ("--scale-mm", "3")]:
        assert f"{option}: a plan has its own" in refused(capsys, "convert", plan, "--to", "csv", *out, option, value)
    err = refused(capsys, "convert", folder / "poses.csv", "--to", "plan", *out, "--part", folder / "absent.stl")
    assert "no such part file" in err
    assert sorted(folder.iterdir()) == before


def test_no_source_is_overwritten_and_nothing_written_in_the_wrong_place(
    capsys: pytest.CaptureFixture[str], plan: Path
) -> None:
    folder = plan.parent
    text = plan.read_text()
    for source in (plan, folder):
        assert "would overwrite its source" in refused(capsys, "convert", source, "--to", "csv", "--out", plan)
    assert plan.read_text() == text
    assert "a folder" in refused(capsys, "convert", plan, "--to", "csv", "--out", folder)
    assert "cannot be written" in refused(capsys, "convert", plan, "--to", "csv", "--out", plan / "poses.csv")
    assert "a COLMAP model is a folder" in refused(
        capsys, "convert", plan, "--to", "colmap", "--out", folder / "block.stl"
    )
    (folder / "what.txt").write_text("?")
    assert "cannot tell the format" in refused(capsys, "convert", folder / "what.txt", "--to", "csv", "--out", "x")
    assert "no such file" in refused(capsys, "convert", folder / "none.csv", "--to", "plan", "--out", "x")
    assert "--to" in refused(capsys, "convert", plan, "--to", "dmis", "--out", folder / "x")
    assert sorted(path.name for path in folder.iterdir()) == ["block.stl", "plan.json", "what.txt"]


def test_the_format_of_a_file_can_be_said(capsys: pytest.CaptureFixture[str], plan: Path) -> None:
    folder = plan.parent
    run(capsys, "convert", plan, "--to", "csv", "--out", folder / "poses.txt")
    said = ["--part", folder / "block.stl", "--rig", "paper-quarter", "--from", "csv"]
    assert run(capsys, "convert", folder / "poses.txt", "--to", "plan", "--out", folder / "new.json", *said)[0] == 0
    # A distorted camera does not fit into BOP's file; nothing is left behind.
    crooked = replace(read_plan(plan), rig=replace(RIG, camera=replace(RIG.camera, distortion=(0.1, 0, 0, 0, 0))))
    write_plan(folder / "crooked.json", crooked)
    err = refused(capsys, "convert", folder / "crooked.json", "--to", "bop", "--out", folder / "scene_camera.json")
    assert "BOP has no lens distortion" in err
    assert not (folder / "scene_camera.json").exists()
