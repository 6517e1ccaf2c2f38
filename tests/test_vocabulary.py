"""One number for a name: all that is printed or written about a plan says the same, in the same words."""

from __future__ import annotations

import html
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import trimesh

from viewcov.cli import run
from viewcov.coverage.ladder import LOSSES, RUNGS, Loss
from viewcov.inspection.files import read_table

# Names that stand for one number wherever they occur in what is written about one plan.
NAMES = (
    *("inspected_area_mm2", "coverable_area_mm2", "covered_area_mm2", "coverable_share", "covered_share", "coverage"),
    *("viewpoints", "elements", "lower_bound", "most_coverage", "route_s"),
)

RIG = """
name = "coarse"

[camera]
width_px = 160
height_px = 128
focal_length_mm = 25.0
pixel_pitch_um = 55.2
f_number = 8.0
focus_distance_mm = 250.0

[ring_light]
inner_radius_mm = 40.0
outer_radius_mm = 60.0
radiance = 9.0

[requirements]
max_incidence_deg = 50.0
max_mm_per_px = 1.0
max_blur_px = 2.0
border_px = 2.0
"""


def _pocketed() -> trimesh.Trimesh:
    block = trimesh.creation.box(extents=[40, 30, 20])
    bore = trimesh.creation.cylinder(radius=6, height=30, sections=24)
    return trimesh.boolean.difference([block, bore], engine="manifold")


PARTS: dict[str, tuple[Callable[[], trimesh.Trimesh], str, list[str]]] = {
    "plate": (lambda: trimesh.creation.box(extents=[40, 30, 6]), "", ["--coverage", "0.9"]),
    "ring": (lambda: trimesh.creation.annulus(r_min=8, r_max=20, height=15, sections=32), "", ["--views", "2"]),
    "ball": (lambda: trimesh.creation.icosphere(subdivisions=3, radius=20.0), "", ["--overlap", "2", "--views", "3"]),
    "bored": (_pocketed, "", ["--face-weight", "0=3", "--views", "3"]),
    "clamped": (
        lambda: trimesh.creation.box(extents=[40, 30, 20]),
        '[fixture]\nmeshes = ["clamp.stl"]\ntable_height_mm = -10.0\n',
        ["--views", "2"],
    ),
}


@pytest.fixture(scope="module", params=PARTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan, its evaluation, its workbook and its report."""
    root: Path = tmp_path_factory.mktemp(request.param)
    make, fixture, options = PARTS[request.param]
    make().export(root / "part.stl")
    clamp = trimesh.creation.box(extents=[10, 40, 4])
    clamp.apply_translation([0, 0, 13])
    clamp.export(root / "clamp.stl")
    (root / "rig.toml").write_text(RIG + fixture, "utf-8")
    (root / "said").mkdir()
    place = ["--num-candidates", "80", "--jobs", "1", "--out", str(root / "plan.json"), "--rig", str(root / "rig.toml")]
    plan, out = str(root / "plan.json"), str(root / "results")
    said = {
        "plan": ["plan", str(root / "part.stl"), *place, *options],
        "evaluate": ["evaluate", plan, "--out", out, "--jobs", "1"],
        "workbook": ["convert", plan, "--to", "xlsx", "--out", str(root / "plan.xlsx"), "--jobs", "1"],
        "report": ["report", str(root)],
    }
    for name, command in said.items():
        for form in ([], ["--json"]):
            with pytest.MonkeyPatch.context() as patched:
                lines: list[str] = []
                patched.setattr("sys.stdout.write", lines.append)
                assert run([*command, *form]) == 0, command
            (root / "said" / f"{name}{'.json' if form else '.txt'}").write_text("".join(lines), "utf-8")
    return root


def _numbers(value: Any) -> Iterator[tuple[str, float]]:
    """Every number with the last of its names, but for those of single views and fixes, which have their own."""
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, int | float) and not isinstance(item, bool):
                yield name, float(item)
            elif name not in ("options", "rig", "requirements"):
                yield from _numbers(item)


def _told(folder: Path) -> dict[str, dict[str, float]]:
    """What each output says, by name."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    files = [file for file in folder.rglob("*.json") if "pictures" not in file.parts]
    assert {"plan.json", "evaluate.json", "geometric.json", "summary.json"} <= {file.name for file in files}
    for file in files:
        for name, number in _numbers(json.loads(file.read_text("utf-8"))):
            if name in NAMES:
                assert found[name].setdefault(str(file), number) == pytest.approx(number, rel=1e-9), (name, file)
    book = openpyxl.load_workbook(folder / "plan.xlsx", read_only=True)
    for row in book["Plan"].iter_rows(values_only=True):
        words = str(row[0]).split()
        asked = {"options", "rig", "requirements"} & {*words}
        if words[-1] in NAMES and isinstance(row[1], int | float) and not asked:
            found[words[-1]][f"workbook: {row[0]}"] = float(row[1])
    return found


def test_a_name_has_one_number(folder: Path) -> None:
    told = _told(folder)
    assert set(NAMES) <= told.keys()
    for name, numbers in told.items():
        assert len(numbers) >= 2, name
        first = next(iter(numbers.values()))
        assert all(number == pytest.approx(first, rel=1e-9) for number in numbers.values()), (name, numbers)


def test_shares_are_of_the_inspected_area(folder: Path) -> None:
    figures = json.loads((folder / "results" / "geometric.json").read_text("utf-8"))
    inspected, coverable, covered = (figures[f"{rung}_area_mm2"] for rung in ("inspected", "coverable", "covered"))
    assert inspected >= coverable >= covered > 0
    assert figures["coverable_share"] == pytest.approx(coverable / inspected)
    assert figures["covered_share"] == pytest.approx(covered / inspected)
    assert sum(figures["uncovered"].values()) + covered == pytest.approx(inspected)
    assert sum(figures["not_coverable"].values()) + coverable == pytest.approx(inspected)
    elements = read_table(folder / "results" / "geometric.parquet")
    assert elements["area_mm2"][elements["rung"] == 2].sum() == pytest.approx(covered)
    lost = np.bincount(elements["loss"][elements["loss"] >= 0], elements["area_mm2"][elements["loss"] >= 0], len(Loss))
    for loss, area in zip(Loss, lost, strict=True):
        assert figures["uncovered"].get(loss, 0.0) == pytest.approx(area)


def _percents(text: str) -> dict[str, set[str]]:
    """The per cents that stand right behind, or right before, the name of a rung."""
    found: dict[str, set[str]] = defaultdict(set)
    for rung in ("coverable", "covered"):
        word = RUNGS[rung]  # type: ignore[index]
        for match in re.finditer(rf"(?<!of the )\b{word}:?\s+([\d.]+) %", text, re.IGNORECASE):
            found[rung].add(match[1])
    return found


def test_texts_say_what_files_say(folder: Path) -> None:
    figures = json.loads((folder / "results" / "geometric.json").read_text("utf-8"))
    page = (folder / "report.html").read_text("utf-8")
    page = re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    texts = {
        "report": re.sub(r"\s+", " ", html.unescape(page)),
        **{name: (folder / "said" / f"{name}.txt").read_text("utf-8") for name in ("plan", "evaluate")},
    }
    for name, text in texts.items():
        shown = _percents(text)
        for rung in ("coverable", "covered"):
            assert len(shown[rung]) == 1, (name, rung, shown)
            assert float(shown[rung].pop()) == pytest.approx(100 * figures[f"{rung}_share"], abs=0.051), (name, rung)
    lost = [
        LOSSES[Loss(name)] for name, area in figures["uncovered"].items() if area / figures["inspected_area_mm2"] > 0.01
    ]
    for words in lost:
        assert words in texts["evaluate"], words
        assert words in texts["report"], words
    for name in Loss:
        assert "_" not in name or name not in texts["evaluate"] + texts["report"], name


def test_what_holds_the_part_has_its_own_loss(folder: Path) -> None:
    if not folder.name.startswith("clamped"):
        pytest.skip("the other parts lie free")
    figures = json.loads((folder / "results" / "geometric.json").read_text("utf-8"))
    # The base of 40 x 30 mm lies on the table.
    assert figures["uncovered"]["table"] == pytest.approx(1200.0, rel=1e-6)
    assert figures["uncovered"]["fixture"] > 0
