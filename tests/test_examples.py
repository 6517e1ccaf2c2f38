"""The tutorials run, one after the other in one folder, as a newcomer runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from viewcov.inspection.folder import read_dataset
from viewcov.inspection.plan import read_plan
from viewcov.segmentation.models import list_shipped

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tutorials") / "tutorial"


def run(name: str, folder: Path) -> str:
    """What the tutorial prints."""
    (script,) = (path for path in TUTORIALS if path.name.startswith(name))
    command = [sys.executable, "-P", "-W", "error::UserWarning", str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("script", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_is_short_and_says_what_it_needs(script: Path) -> None:
    lines = script.read_text("utf-8").splitlines()
    assert len(lines) < 60
    assert f"python -P examples/{script.name} [FOLDER]" in lines[2]
    assert script.name in (ROOT / "examples" / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_plan_a_part(folder: Path) -> None:
    out = run("01", folder)
    plan = read_plan(folder / "plan.json")
    assert len(plan.viewpoints) == 10
    assert all(f"{view.id}: camera at" in out for view in plan.viewpoints)
    coverable, covered = (share(out, name) for name in ("coverable", "covered"))
    assert 70 < covered <= coverable <= 100
    assert ": hidden by the part itself" in out


@pytest.mark.slow
@pytest.mark.skipif(set(list_shipped()) < {"plain", "stack"}, reason="no shipped models: run 'make models'")
def test_inspect_one_part_then_compare_two_models_then_bring_your_own(folder: Path) -> None:
    out = run("02", folder)
    assert "where 12 were planted" in out
    (inspection,) = read_dataset(folder / "twin").inspections("test")
    assert len(list((inspection.root / "predictions" / "stack").glob("*.png"))) == 10
    out = run("03", folder)
    assert share(out, "plain") > 0
    assert "stack minus plain" in out
    assert len(list((inspection.root / "predictions" / "plain").glob("*.png"))) == 10
    out = run("04", folder)
    assert (folder / "twin" / "calibrations" / "contrast.json").is_file()
    # What it finds has a price, and stands beside it.
    assert share(out, "effective coverage") > 30
    assert float(out.split()[-1]) > 10


def share(out: str, name: str) -> float:
    """The first share in per cent on the line of that name."""
    (line,) = (line for line in out.splitlines() if line.startswith(name) and "%" in line)
    return float(line.removeprefix(name).split("%")[0].split()[-1])
