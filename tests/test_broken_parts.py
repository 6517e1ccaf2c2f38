"""Plans of files that are broken: they work, or are refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from viewcov.cli import run

NASTY = Path(__file__).parents[2] / "shared" / "data" / "nasty"
pytestmark = pytest.mark.skipif(not NASTY.is_dir(), reason="the folder of public test data is not there")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("boeing-mixed-winding.off", []),
        ("bolt-with-cracks.stl", []),
        ("nonmanifold-edges.obj", []),
        ("spider-degenerate-duplicate.stl", []),
        ("self-intersecting.obj", []),
        ("chair-double-sided.obj", []),
        ("offset-39-bodies-slivers.obj", ["--scale-mm", "80"]),
        ("unreadable-utf16.obj", ["--units", "inch"]),
    ],
)
def test_broken_parts_are_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, options: list[str]
) -> None:
    out = tmp_path / "plan.json"
    arguments = ["plan", str(NASTY / name), "--rig", "paper-quarter", "--coverage", "0.9", "--jobs", "1", "--json"]
    assert run([*arguments, "--out", str(out), *options]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["coverage"] >= 0.9
    assert 0 < figures["coverable_area_mm2"] <= figures["inspected_area_mm2"] * (1 + 1e-9)
    assert out.is_file()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("cray-float-max.obj", [], "coordinates are not those of a part"),
        ("unreadable-huge-count.off", [], "cannot read the mesh"),
        ("unreadable-index-out-of-range.obj", [], "cannot read the mesh"),
        ("as1-assembly-mislabelled-inch.stp", [], "the part is too large for the rig"),
        ("terrain-utm-offset.stl", ["--units", "m"], "coordinates are not those of a part"),
        ("units-cube-mm.step", [], "the part is too large for the rig"),
        ("units-cube-inch.step", ["--units", "inch"], "states its own unit"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, options: list[str], said: str
) -> None:
    out = tmp_path / "plan.json"
    assert run(["plan", str(NASTY / name), "--rig", "paper-quarter", "--out", str(out), "--json", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err.strip().splitlines()[-1]
    assert "Traceback" not in printed.err
    assert not out.exists()
