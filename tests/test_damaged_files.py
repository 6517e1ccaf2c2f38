"""Damaged files end in one line and exit status 2 in every command that reads them, and nothing is changed.

A kind of file is a row of ``KINDS``: where it lies in the cell that ``make_cell`` writes, a field or column that it
must have, and the commands that read it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trimesh

from viewcov.cli import run
from viewcov.coverage.effective.calibration import Calibration, write_calibration
from viewcov.coverage.effective.rules import RULES
from viewcov.inspection.files import write_grey, write_table, write_text
from viewcov.inspection.folder import Dataset, InspectionFolder, write_dataset
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.planted import PlantedDefect, Truth
from viewcov.inspection.predictions import PredictionsCard, write_predictions_card
from viewcov.inspection.records import write_record
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint

RIG = """
name = "tiny"
[camera]
width_px = 32
height_px = 24
focal_length_mm = 25.0
pixel_pitch_um = 60.0
f_number = 8.0
focus_distance_mm = 250.0
[ring_light]
inner_radius_mm = 40.0
outer_radius_mm = 60.0
[requirements]
max_mm_per_px = 1.0
max_blur_px = 4.0
"""


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    path: str
    needs: str
    """A field or column that must be there; for nested ones, its place with dots."""

    commands: tuple[str, ...]
    wrong: Any = "damaged"
    """What cannot stand there."""

    versioned: bool = True


KINDS = {
    "rig": Kind(
        "rig.toml", "width_px",
        ("check rig.toml", "check box.stl --rig rig.toml", "plan box.stl --rig rig.toml --out new.json"),
        versioned=False,
    ),
    "plan": Kind(
        "set/one/plan.json", "viewpoints",
        (
            "check set/one/plan.json", "check set/one", "check set", "evaluate set/one/plan.json --out new",
            "convert set/one/plan.json --to csv --out new.csv", "route set/one/plan.json --out new.json",
            "synthesize set/one/plan.json --out new", "predict plain set/one", "predict plain set",
            "cover set/one --model tiny", "cover set --model tiny", "fuse set/one --model tiny",
            "fuse set --model tiny",
        ),
    ),
    "dataset": Kind(
        "set/dataset.json", "splits",
        (
            "check set", "train set --out new", "test plain set", "predict plain set", "cover set --model tiny",
            "fuse set --model tiny",
        ),
    ),
    "truth": Kind("set/one/truth.json", "defects.0.size_mm", ("cover set --model tiny", "fuse set/one --model tiny")),
    "samples": Kind(
        "set/one/truth.parquet", "area_mm2", ("cover set --model tiny", "fuse set/one --model tiny"), versioned=False
    ),
    "model": Kind(
        "model/model.json", "weights", ("predict model set/one", "predict model set", "test model set"),
    ),
    "predictions": Kind(
        "set/one/predictions/tiny/model.json", "weights_sha256", ("cover set --model tiny", "fuse set/one --model tiny")
    ),
    "calibration": Kind(
        "set/calibrations/tiny.json", "thresholds", ("cover set --model tiny", "fuse set/one --model tiny"),
    ),
}  # fmt: skip


def make_cell(root: Path) -> None:
    """A box, its rig, a data set of one inspection with truth and predictions, and a model's card."""
    root.mkdir()
    trimesh.creation.box(extents=[10, 10, 10]).export(root / "box.stl")
    write_text(root / "rig.toml", RIG)
    rig = load_rig(root / "rig.toml")
    views = tuple(
        Viewpoint.looking_at(center, [0, 0, 0], id=name)
        for name, center in {"a": [0, 0, 255], "b": [255, 0, 0]}.items()
    )
    part = load_part(root / "box.stl")
    folder = InspectionFolder(root / "set" / "one")
    write_plan(
        folder.plan_path,
        InspectionPlan(part=part.source, rig=rig, requirements=rig.requirements, viewpoints=views),
    )
    for view in views:
        write_grey(folder.image_path(view.id), np.full((24, 32), 0.5))
        write_grey(folder.mask_path(view.id), np.zeros((24, 32)))
        write_grey(folder.prediction_path("tiny", view.id), np.full((24, 32), 0.25), bits=16)
    write_dataset(Dataset(root=root / "set", splits={"one": "test"}))
    top = int(np.flatnonzero((part.corners_mm[:, :, 2] > 4.9).all(axis=1))[0])
    center = part.corners_mm[top].mean(axis=0).tolist()
    defect = PlantedDefect(
        id=1, kind="dent", center_mm=center, size_mm=1.0, depth_mm=0.1, width_mm=1.0, area_mm2=1.0, cad_face=0
    )
    write_record(folder.truth_path, Truth(defects=(defect,)))
    x, y, z = center
    columns = {"defect_id": [1], "part_face": [top], "x_mm": [x], "y_mm": [y], "z_mm": [z], "area_mm2": [1.0]}
    write_table(folder.truth_samples_path, columns)
    card = PredictionsCard(model="tiny", weights_sha256="1" * 64, threshold=0.5)
    write_predictions_card(folder, card)
    calibration = Calibration(model="tiny", base_rate=0.01, thresholds=dict.fromkeys(RULES, 0.9), inspections=("one",))
    write_calibration(root / "set" / "calibrations" / "tiny.json", calibration)
    shipped = resources.files("viewcov.segmentation") / "shipped" / "plain" / "model.json"
    write_text(root / "model" / "model.json", shipped.read_text("utf-8"))


def without(data: bytes, kind: Kind) -> bytes:
    return _changed(data, kind, lambda table, key: table.pop(key))


def of_a_wrong_type(data: bytes, kind: Kind) -> bytes:
    def spoil(table: Any, key: Any) -> None:
        table[key] = kind.wrong

    return _changed(data, kind, spoil)


def of_another_version(data: bytes, kind: Kind) -> bytes:
    value = json.loads(data)
    value["schema_version"] = "viewcov-unknown/9"
    return json.dumps(value).encode()


def cut_off(data: bytes, kind: Kind) -> bytes:
    return data[: len(data) // 2]


def not_text(data: bytes, kind: Kind) -> bytes:
    return b"\xff\xfe\x00" + data


def empty(data: bytes, kind: Kind) -> bytes:
    return b""


def nested(data: bytes, kind: Kind) -> bytes:
    return b"[" * 100_000 if not kind.path.endswith(".toml") else b"a = " + b"[" * 100_000


def not_a_number(data: bytes, kind: Kind) -> bytes:
    return of_a_wrong_type(data, replace(kind, wrong=float("nan")))


def said_twice(data: bytes, kind: Kind) -> bytes:
    again = b'{"schema_version": "viewcov-plan/1", ' if data[:1] == b"{" else b'name = "twice"\n' + data[:1]
    return again + data[1:]


def huge(data: bytes, kind: Kind) -> bytes:
    return data.replace(b"1", b"1" + b"0" * 400)


DAMAGES: tuple[Callable[[bytes, Kind], bytes], ...] = (
    without, of_a_wrong_type, of_another_version, cut_off, not_text, empty, nested, huge, not_a_number, said_twice,
)  # fmt: skip
EVERY_COMMAND = (without, of_a_wrong_type, of_another_version, cut_off)
"""These are tried with each command; the others with the first one, as one function reads the file for all."""


def _changed(data: bytes, kind: Kind, change: Callable[[Any, Any], object]) -> bytes:
    if kind.path.endswith(".toml"):
        lines = data.decode().splitlines()
        at = next(number for number, line in enumerate(lines) if line.startswith(kind.needs))
        table = {kind.needs: None}
        change(table, kind.needs)
        lines[at : at + 1] = [f"{kind.needs} = {value!r}" for value in table.values()]
        return "\n".join(lines).encode()
    if kind.path.endswith(".parquet"):
        columns: dict[str, Any] = pq.read_table(pa.BufferReader(data)).to_pydict()
        num = len(columns[kind.needs])
        change(columns, kind.needs)
        columns = {name: value if isinstance(value, list) else [value] * num for name, value in columns.items()}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), sink)
        return bytes(sink.getvalue())
    value = json.loads(data)
    *steps, key = (int(step) if step.isdigit() else step for step in kind.needs.split("."))
    inner = value
    for step in steps:
        inner = inner[step]
    change(inner, key)
    return json.dumps(value).encode()


def rows() -> Iterator[Any]:
    for name, kind in KINDS.items():
        for damage in DAMAGES:
            if damage is of_another_version and not kind.versioned:
                continue
            if damage in (nested, huge, said_twice) and kind.path.endswith(".parquet"):
                continue
            for command in kind.commands if damage in EVERY_COMMAND else kind.commands[:1]:
                yield pytest.param(kind, damage, command, id=f"{name}-{damage.__name__}-{command}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damaged") / "cell"
    make_cell(root)
    return root


@pytest.fixture
def cell(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cell"
    shutil.copytree(whole, root)
    monkeypatch.chdir(root)
    return root


def tree(folder: Path) -> dict[str, bytes | None]:
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.mark.parametrize(("kind", "damage", "command"), rows())
def test_a_damaged_file_is_one_line_and_changes_nothing(
    cell: Path,
    capsys: pytest.CaptureFixture[str],
    kind: Kind,
    damage: Callable[[bytes, Kind], bytes],
    command: str,
) -> None:
    path = cell / kind.path
    path.write_bytes(damage(path.read_bytes(), kind))
    before = tree(cell)
    assert run(command.split()) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(said) == 1
    assert said[0].startswith((f"viewcov: {path.relative_to(cell)}: ", f"viewcov: {path}: "))
    assert tree(cell) == before


@pytest.mark.parametrize("command", ["check set", "check rig.toml", "fuse set/one --model tiny"])
def test_the_whole_cell_is_read(cell: Path, command: str) -> None:
    assert run(command.split()) in (0, 1)
