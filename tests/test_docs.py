"""What README and docs say is so: their examples run, and what there is, they name."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

import viewcov
from viewcov.commands import ALL
from viewcov.coverage.effective import rules
from viewcov.coverage.effective.rules import RULES
from viewcov.coverage.ladder import LOSSES, RUNGS, Areas
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.poses import look_at
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.plans import export_plan
from viewcov.segmentation.models import list_shipped

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
ROOMS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-dir"]
NEEDS_MODELS = pytest.mark.skipif("stack" not in list_shipped(), reason="no shipped models: run 'make models'")

SEAMS = {
    "viewcov.coverage.effective.rules": "RULES",
    "viewcov.inspection.rig.rig": "LIGHTS",
    "viewcov.inspection.rig.lens": "LENSES",
    "viewcov.inspection.lay": "PROCESSES",
    "viewcov.planning.exchange.plans": "FORMATS",
    "viewcov.segmentation.datasets": "READERS",
    "viewcov.viewer.layers": "LAYERS",
    "viewcov.planning.exchange.csv_table": "COLUMNS",
}
"""Module to its list of what there is."""

SHORTER = {
    "builtin:clutch-half": "ring.stl",
    "coverage=0.95, seed=0": "num_views=2, num_candidates=60, refine=0",
    "instances=2, defects=(20, 30), seed=0": "instances=1, defects=(8, 8), samples=2",
    "--out plan.json": "--out plan.json --views 2 --num-candidates 60 --refine 0",
    "--instances 2": "--instances 1 --defects 8 8 --samples 2",
}
"""What is said smaller so that the README's examples take seconds."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the files that examples read: a part, a plan of it, poses."""
    monkeypatch.chdir(tmp_path)
    trimesh.creation.annulus(r_min=9.0, r_max=15.0, height=8.0, sections=48).export("ring.stl")
    rig = load_rig("paper-quarter")
    poses = {"v001": look_at([0, -120, 220], [0, 0, 0]), "v002": look_at([90, -120, -210], [0, 0, 0])}
    views = tuple(Viewpoint(id=name, world_from_camera=pose) for name, pose in poses.items())
    plan = InspectionPlan(
        part=load_part("ring.stl", units="mm").source,
        rig=rig,
        requirements=rig.requirements,
        viewpoints=views,
        made={"options": {"num_candidates": 40}},  # What evaluation searches for.
    )
    write_plan("plan.json", plan)
    export_plan(plan, "poses.csv", to="csv")
    return tmp_path


def blocks(heading: str) -> str:
    """The indented or fenced code under a heading of the README."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    fenced = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    return "\n".join(fenced or re.findall(r"^    (.*)$", section, flags=re.MULTILINE))


def shortened(text: str) -> str:
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


def python(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-P", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def made_by(name: str) -> Any:
    """A module of docs/, which makes some of its pages."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_shortened_stands_in_the_readme() -> None:
    assert not [words for words in SHORTER if words not in README]


@pytest.mark.slow
@NEEDS_MODELS
def test_the_quick_start_in_python_runs(folder: Path) -> None:
    Path("plan.json").unlink()
    assert "false alarms a part" in python("-c", shortened(blocks("Quick start in Python")), cwd=folder)


@pytest.mark.slow
@NEEDS_MODELS
def test_the_quick_start_on_the_command_line_runs(folder: Path) -> None:
    Path("plan.json").unlink()
    lines = shortened(blocks("Quick start on the command line")).splitlines()
    assert len(lines) >= 5
    for line in lines:
        command, *arguments = shlex.split(line)
        assert command == "viewcov"
        assert python("-c", "from viewcov.cli import main; main()", *arguments, cwd=folder)
    assert list(folder.rglob("report.html"))


def test_every_command_is_in_the_readme_and_no_other() -> None:
    table = README.partition("| command | does |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `viewcov ([a-z]+)", table, flags=re.MULTILINE) == list(ALL)


def test_every_command_is_a_function_as_the_readme_says() -> None:
    other = {"plan": "plan_views", "evaluate": "evaluate_plan"}
    for command in ALL:
        assert callable(getattr(viewcov, other.get(command, command))), command
        assert f"`viewcov.{other.get(command, 'cover')}`" in README


def test_the_reference_has_every_name_of_the_root() -> None:
    names = re.findall(r"^\| \[`(\w+)`\]\[viewcov\.", made_by("hooks").root_names(), flags=re.MULTILINE)
    assert names == sorted(set(viewcov.__all__) - {"__version__"})


def test_every_kind_of_file_is_in_the_conventions() -> None:
    text = (ROOT / "docs" / "conventions.md").read_text("utf-8")
    assert not [name for name in schemas() if f"`{name}`" not in text]


def test_every_loss_and_rung_is_in_the_conventions() -> None:
    text = (ROOT / "docs" / "conventions.md").read_text("utf-8")
    assert not [loss for loss, words in LOSSES.items() if f"| `{loss}` | {words} |" not in text]
    assert not [words for words in RUNGS.values() if words not in text]
    assert not [key for key in Areas.model_fields if f"`{key}`" not in text]


def test_every_fusion_rule_is_in_the_conventions() -> None:
    text = (ROOT / "docs" / "conventions.md").read_text("utf-8")
    assert not [rule for rule in RULES if f"| `{rule}` |" not in text]


def test_tables_of_keys_and_options_are_those_of_the_types() -> None:
    stale = [page.path.name for page in made_by("record_tables").pages() if page.path.read_text("utf-8") != page.text]
    assert not stale, "run 'make tables'"


def test_every_place_that_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    files = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", text)
    assert len(files) > 15
    assert not [file for file in files if not (ROOT / file).exists()]
    for place, name in SEAMS.items():
        assert f"`{name}`" in text
        assert len(getattr(importlib.import_module(place), name)) > 0


def test_the_rule_of_contributing_fuses(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    monkeypatch.setattr(rules, "RULES", dict(RULES))
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(code, dict(vars(rules)))
    rule = rules.RULES["largest_odds"]
    p, w = np.array([0.0, 0.5, 1.0]), np.ones(3)
    (odds,) = (one.of(p, w) for one in rule.sums)
    np.testing.assert_allclose(rule.fuse({"max_odds": odds}, 0.01), p, atol=1e-3)


def schemas() -> set[str]:
    """Name and version of every kind of file that the code has."""
    sources = (file.read_text("utf-8") for room in ROOMS.values() for file in (ROOT / room).rglob("*.py"))
    return {name for text in sources for name in re.findall(r"\bviewcov-[a-z]+/[0-9]+\b", text)}


def modules_with_examples() -> list[str]:
    """Names of the modules that have a docstring with an example."""
    names = []
    for package, room in ROOMS.items():
        for file in (ROOT / room).rglob("*.py"):
            if ">>> " in file.read_text("utf-8"):
                names.append(".".join([package, *file.relative_to(ROOT / room).with_suffix("").parts]))
    return sorted(names)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_docstrings_run(name: str, folder: Path) -> None:
    found = [test for test in doctest.DocTestFinder().find(importlib.import_module(name)) if test.examples]
    assert found, f"{name} has an example that no docstring holds"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for test in found:
        runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
