from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov import cli
from viewcov.commands import ALL
from viewcov.inspection.records import write_record
from viewcov.workflows.demo import DemoCard, DemoOptions

PLAN_KEYS = {
    "part", "elements", "inspected_area_mm2", "coverable_area_mm2", "covered_area_mm2", "coverage", "viewpoints",
    "most_coverage", "lower_bound", "bound", "confidence", "gap", "status", "route_s", "route_bound_s", "route_bound",
    "seconds", "unsearched_share",
}  # fmt: skip
EVALUATE_KEYS = {
    "inspected_area_mm2", "coverable_area_mm2", "covered_area_mm2", "coverage", "waterfall", "uncovered", "k_coverage",
}  # fmt: skip


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    path = tmp_path / "plate.stl"
    trimesh.creation.box(extents=[40, 30, 6]).export(path)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = cli.run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_help_of_every_command_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ALL:
        status, out, _ = run(capsys, command, "--help")
        assert status == 0
        assert f"viewcov {command}" in out
        assert f"Example: viewcov {command}" in out[out.rindex("╯") :]
    for command in ("demo", "plan"):
        _, out, _ = run(capsys, command, "--help")
        for option in ("--out", "--seed", "--jobs", "--json", "--rig", "--units", "--scale-mm", "--views"):
            assert option in out, (command, option)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "absent.stl"], ["absent.stl", "no such part file"]),
        (["plan", "builtin:nothing"], ["builtin:nothing", "builtin:clutch-half"]),
        (["plan", "builtin:clutch-half", "--rig", "absent"], ["absent", "paper-quarter"]),
        (["plan", "builtin:clutch-half", "--coverage", "1.5"], ["coverage", "1.5"]),
        (["plan", "builtin:clutch-half", "--units", "furlong"], ["furlong", "inch"]),
        (["plan"], ["PART"]),
        (["plan", "builtin:clutch-half", "--face-weight", "3:2"], ["--face-weight", "FACE=WEIGHT"]),
        (["plan", "builtin:clutch-half", "--objective", "beauty"], ["objective", "cycle"]),
        (["plan", "builtin:clutch-half", "--candidates", "absent.csv"], ["absent.csv"]),
        (["route", "absent.json", "--out", "o.json"], ["absent.json"]),
        (["evaluate", "absent.json"], ["absent.json"]),
        (["predict", "absent", "absent"], ["absent"]),
        (["cover", "absent", "--model", "plain"], ["absent"]),
        (["fuse", "absent", "--model", "plain"], ["absent"]),
        (["report", "absent"], ["absent"]),
        (["view", "absent"], ["absent"]),
        (["compare", "one"], ["at least two"]),
        (["nonsense"], ["nonsense"]),
        (["plan", "builtin:clutch-half", "--nonsense"], ["--nonsense"]),
        (["demo", "--instances", "0", "--out", "never"], ["--instances", "greater than or equal to 1"]),
        (["demo", "--defects", "9", "3", "--out", "never"], ["'defects'", "the lower first"]),
        (["train", "absent", "--out", "m", "--steps", "0"], ["--steps"]),
        (["cover", "absent", "--model", "plain", "--coverage", "1.5"], ["--coverage", "1.5"]),
        (["fuse", "absent", "--model", "plain", "--threshold", "nan"], ["--threshold", "finite"]),
        (["plan", "absent.stl", "--seed", "-1"], ["--seed"]),
        (["plan", "absent.stl", "--jobs", "0"], ["--jobs"]),
        (["plan", "absent.stl", "--scale-mm", "-1"], ["--scale-mm"]),
        (["plan", "absent.stl", "--face-weight", "3=-1"], ["--face-weight", "greater than or equal to 0"]),
        (["plan", "absent.stl", "--log-file", "."], ["Is a directory"]),
        (["route", "absent.json", "--out", "o.json", "--time-limit", "-1"], ["--time-limit"]),
        (["route", "absent.json"], ["--out", "is missing"]),
        (["fuse", "absent", "--model", "plain", "stack"], ["absent", "no such"]),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert list(tmp_path.iterdir()) == []


def test_plan_evaluate_and_check_print_the_agreed_keys(
    capsys: pytest.CaptureFixture[str], plate: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    options = ["--rig", "paper-quarter", "--coverage", "0.9", "--jobs", "1", "--json"]
    status, out, _ = run(capsys, "plan", plate, "--out", plan, *options)
    figures = json.loads(out)
    assert status == 0
    assert set(figures) >= PLAN_KEYS
    assert figures["coverage"] >= 0.9
    assert figures["lower_bound"] <= figures["viewpoints"]

    status, out, _ = run(capsys, "evaluate", plan, "--jobs", "1", "--json")
    measured = json.loads(out)
    assert status == 0
    assert set(measured) >= EVALUATE_KEYS
    # A plate of 40 x 30 x 6 mm: 2 (1200 + 240 + 180) mm2.
    assert measured["inspected_area_mm2"] == pytest.approx(3240.0)
    areas = list(measured["waterfall"].values())
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] == pytest.approx(measured["covered_area_mm2"])
    assert sum(measured["uncovered"].values()) + areas[-1] == pytest.approx(3240.0)
    assert measured["k_coverage"][1] == pytest.approx(areas[-1])

    status, _, _ = run(capsys, "evaluate", plan, "--jobs", "1", "--coverage", "1.0", "--json")
    assert status == (0 if measured["coverage"] >= 1.0 else 1)

    for path, kind in ((plate, "part"), (plan, "plan")):
        status, out, _ = run(capsys, "check", path, "--json")
        report = json.loads(out)
        assert set(report) >= {"ok", "kind", "findings"}
        assert (status, report["ok"], report["kind"]) == (0, True, kind)


def test_a_part_in_the_wrong_unit_is_named_with_its_factor(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "in-metres.stl"
    trimesh.creation.box(extents=[0.04, 0.03, 0.006]).export(path)
    status, out, _ = run(capsys, "check", path, "--json")
    (finding,) = json.loads(out)["findings"]
    assert status == 1
    assert finding["name"] == "implausible-size"
    assert "1000" in finding["remedy"]
    assert run(capsys, "check", path, "--units", "m")[0] == 0


def test_a_changed_part_file_is_refused(capsys: pytest.CaptureFixture[str], plate: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert run(capsys, "plan", plate, "--out", plan, "--rig", "paper-quarter", "--views", "2", "--jobs", "1")[0] == 0
    trimesh.creation.box(extents=[40, 30, 7]).export(plate)
    status, _, err = run(capsys, "evaluate", plan)
    assert status == 2
    assert "not the one that the plan was made for" in err


def test_output_is_finite_json(capsys: pytest.CaptureFixture[str]) -> None:
    from viewcov.output import say

    say({"a": float("nan"), "b": [np.float64(1.5), np.inf], "c": {"d": np.int64(3)}}, json=True)
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "c": {"d": 3}}


def test_a_demo_takes_a_folder_only_once_all_is_good(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left where the part is bad, and a folder of others is refused before torch is imported."""
    monkeypatch.setattr("viewcov.segmentation.models.require_torch", lambda: pytest.fail("asked for torch"))
    out = tmp_path / "out"
    broken = tmp_path / "broken.stl"
    broken.write_text("solid nothing\nendsolid nothing\n")
    for part in ("absent.stl", broken):
        assert run(capsys, "demo", part, "--out", out)[0] == 2
        assert not out.exists()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("mine")
    status, _, err = run(capsys, "demo", "--out", tmp_path / "theirs")
    assert (status, "is not empty" in err) == (2, True)
    options = DemoOptions(seed=1)
    write_record(out / "demo.json", DemoCard(part="builtin:clutch-half", options=options))
    status, _, err = run(capsys, "demo", "--out", out, "--seed", "2")
    assert (status, "expected seed = 1, found 2" in err) == (2, True)
    (out / "demo.json").write_text('{"part": "builtin:clutch-half", "rig": "paper"}')
    status, _, err = run(capsys, "demo", "--out", out)
    assert (status, "viewcov-demo/1" in err) == (2, True)


WITHOUT_EXTRAS = """
import importlib.machinery
HIDDEN = ("torch", "torchvision", "segmentation_models_pytorch", "safetensors", "mitsuba", "drjit")
find = importlib.machinery.PathFinder.find_spec
def find_others(name, path=None, target=None):
    return None if name.split(".")[0] in HIDDEN else find(name, path, target)
importlib.machinery.PathFinder.find_spec = find_others
from viewcov.cli import main
if __name__ == "__main__":
    main()
"""


def test_planning_needs_no_extra_and_the_rest_says_what_to_install(plate: Path, tmp_path: Path) -> None:
    script = tmp_path / "without_extras.py"
    script.write_text(WITHOUT_EXTRAS)

    def viewcov(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", str(script), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300)

    done = viewcov("plan", plate, "--rig", "paper-quarter", "--views", "2", "--jobs", "1", "--out", "plan.json")
    assert done.returncode == 0, done.stderr
    render = viewcov("synthesize", "plan.json", "--out", "twin")
    (tmp_path / "inspection").mkdir()
    (tmp_path / "plan.json").rename(tmp_path / "inspection" / "plan.json")
    predict = viewcov("predict", "plain", "inspection")
    for extra, refused in [("render", render), ("train", predict), ("train", viewcov("demo"))]:
        last = refused.stderr.splitlines()[-1]
        assert refused.returncode == 2
        assert f"pip install 'viewcov[{extra}]'" in last
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("command", ["evaluate", "cover"])
def test_a_file_in_place_of_the_folder_of_results_is_refused_before_any_work(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("kept")
    more = ["--model", "plain"] if command == "cover" else []
    status, _, told = run(capsys, command, tmp_path / "nothing", *more, "--out", tmp_path / "mine")
    assert status == 2
    assert len(told.splitlines()) == 1
    assert "a folder, not the file" in told
    assert (tmp_path / "mine").read_text() == "kept"
