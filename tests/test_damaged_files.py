"""Damaged files end in one line and exit status 2 in every command that reads them, and nothing is changed.

A kind of file is a row of ``KINDS``: where it lies in the cell that ``make_cell`` writes, a field or column that it
must have, and the commands that read it.
"""

from __future__ import annotations

import inspect
import io
import json
import shutil
import time
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
from scipy.sparse import csr_array

from viewcov.cli import run
from viewcov.commands import ALL
from viewcov.coverage.effective.calibration import Calibration
from viewcov.coverage.effective.figures import EffectiveFigures, FusedFigures, MatchFigures
from viewcov.coverage.effective.rules import RULES
from viewcov.coverage.geometric.figures import CoverageByViews, GeometricFigures
from viewcov.coverage.ladder import Areas
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import write_grey, write_table, write_text
from viewcov.inspection.folder import Dataset, InspectionFolder, PredictionsCard, write_dataset, write_predictions_card
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import FileSource, Part
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.planted import PlantedDefect, Truth
from viewcov.inspection.records import FileRecord, read_record, write_record
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import CandidatePool
from viewcov.planning.kept_pool import KeptPool, keep_pool
from viewcov.segmentation.checkpoints import Checkpoint, Progress
from viewcov.viewer import window
from viewcov.viewer.vtp import write_vtp
from viewcov.workflows.demo import DemoCard, DemoOptions, StageSeconds
from viewcov.workflows.summary import Summary

RIG = """
name = "tiny"
[camera]
width_px = 32
height_px = 32
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


CASES = Path(__file__).parents[2] / "shared" / "cases" / "reliability"


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
    slow: bool = False
    """Whether a command does much before it reads the file: only the damages of EVERY_COMMAND are tried."""


WITH_TRUTH = ("cover set --model tiny", "fuse set/one --model tiny", "calibrate tiny set/one --out new.json")
WITH_RESULTS = ("report set/one", "report set/one --out new.html", "compare set/one set/one")
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
            "fuse set --model tiny", "calibrate tiny set/one --out new.json", "report set/one",
            "plan box.stl --rig rig.toml --candidates set/one/plan.json --out new.json",
        ),
    ),
    "dataset": Kind(
        "set/dataset.json", "splits",
        (
            "check set", "train set --out new", "test plain set", "predict plain set", "cover set --model tiny",
            "fuse set --model tiny", "calibrate tiny set --split test", "report set",
        ),
    ),
    "truth": Kind("set/one/truth.json", "defects.0.size_mm", (*WITH_TRUTH, "report set/one")),
    "samples": Kind("set/one/truth.parquet", "area_mm2", WITH_TRUTH, versioned=False),
    "model": Kind(
        "model/model.json", "weights", ("predict model set/one", "predict model set", "test model set"),
    ),
    "predictions": Kind(
        "set/one/predictions/tiny/model.json", "weights_sha256", (*WITH_TRUTH, "report set/one")
    ),
    "calibration": Kind(
        "set/calibrations/tiny.json", "thresholds",
        (*WITH_TRUTH[:2], "cover set/one --model tiny --calibration set/calibrations/tiny.json"),
    ),
    "pool": Kind(
        "set/one/plan.pool.npz", "steps",
        ("evaluate set/one/plan.json --out new", "convert set/one/plan.json --to xlsx --out new.xlsx"),
    ),
    "geometric": Kind("set/one/results/geometric.json", "waterfall", WITH_RESULTS),
    "effective": Kind("set/one/results/effective.json", "elements", WITH_RESULTS),
    "fused": Kind("set/one/results/tiny/fused.json", "thresholds", WITH_RESULTS),
    "surface": Kind(
        "set/one/results/effective.vtp", "probability",
        (
            *WITH_RESULTS, "compare set/one set/one --out new.png", "view set/one",
            "view set/one/results/effective.vtp",
        ),
    ),
    "summary": Kind("demo/summary.json", "areas.covered_area_mm2", ("report demo",)),
    "demo": Kind("demo/demo.json", "options", ("demo --out demo",)),
    "seconds": Kind("demo/seconds.json", "seconds", ("demo --out demo",)),
    "checkpoint": Kind(
        "trained/checkpoint/state.json", "progress", ("train two --out trained --crop-px 32",), slow=True
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
    plan = InspectionPlan(part=part.source, rig=rig, requirements=rig.requirements, viewpoints=views)
    write_plan(folder.plan_path, replace(plan, pool=make_pool(folder.root / "plan.pool.npz", plan)))
    for view in views:
        write_grey(folder.image_path(view.id), np.full((32, 32), 0.5))
        write_grey(folder.mask_path(view.id), np.pad(np.ones((8, 8)), 12))
        write_grey(folder.prediction_path("tiny", view.id), np.full((32, 32), 0.25), bits=16)
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
    write_record(root / "set" / "calibrations" / "tiny.json", calibration)
    shipped = resources.files("viewcov.segmentation") / "shipped" / "plain" / "model.json"
    write_text(root / "model" / "model.json", shipped.read_text("utf-8"))
    write_results(folder.root / "results", part)
    demo = root / "demo"
    shutil.copytree(folder.root / "results", demo / "results")
    write_record(demo / "demo.json", DemoCard(part="builtin:clutch-half", options=DemoOptions()))
    write_record(demo / "seconds.json", StageSeconds(seconds={"plan": 1.0}))
    write_record(demo / "summary.json", Summary(areas=Areas.of(600.0, 600.0, 0.0, 0.0)))
    for name in ("a", "b"):
        shutil.copytree(folder.root, root / "two" / name)
    write_dataset(Dataset(root=root / "two", splits={"a": "train", "b": "validation"}))
    state = Checkpoint(tensors=f"tensors-{'0' * 16}.safetensors", sha256="0" * 64, request={}, progress=Progress())
    write_record(root / "trained" / "checkpoint" / "state.json", state)


def make_pool(path: Path, plan: InspectionPlan) -> FileSource:
    """A pool of the plan's viewpoints, the first of which sees half of the part."""
    surface = cut_surface(plan.load_part(), plan.requirements.element_edge_mm)
    half = np.arange(surface.num_elements) < surface.num_elements // 2
    visible = csr_array(np.stack([half, ~half]).astype(np.float64))
    gathered = CandidatePool(viewpoints=plan.viewpoints, visible=visible, given_up_mm2={})
    pool = KeptPool(
        viewpoints=plan.viewpoints, visible=visible, complete=np.ones_like(half), coverable=half, gathered=gathered,
        measured=np.zeros(len(plan.viewpoints), dtype=bool),
    )  # fmt: skip
    return keep_pool(path.with_name("plan.json"), pool, plan, surface)


def write_results(folder: Path, part: Part) -> None:
    """What evaluate, cover and fuse write, with nothing found."""
    surface = cut_surface(part, 20.0)
    share = np.zeros(surface.num_elements)
    geometric = GeometricFigures(
        **Areas.of(600.0, 600.0, 0.0, 0.0).model_dump(), elements=surface.num_elements, viewpoints=2,
        coverable_from="search", waterfall={"lit": 0.0}, uncovered={"facing": 600.0}, not_coverable={},
        k_coverage=(600.0,), views=(), redundant_views=(),
        coverage_by_views=CoverageByViews(in_order=(0.0,), greedily=(0.0,), greedy_order=("a",)),
    )  # fmt: skip
    effective = EffectiveFigures(
        rule="max", split=None, inspections=("one",), elements=surface.num_elements, inspected_area_mm2=600.0,
        coverable_area_mm2=None, covered_area_mm2=None, seen_area_mm2=0.0, models={}, paired=(),
    )  # fmt: skip
    match = MatchFigures(num_planted=1, num_found=0, num_detections=0, num_true=0, found_ids=(), missed_ids=(1,))
    fused = FusedFigures(
        inspection="one", model="tiny", rule="max", thresholds={"max": 0.5}, rules={"max": match}, single_view=None,
        defects=(),
    )  # fmt: skip
    for place, figures in (("geometric", geometric), ("effective", effective), ("tiny/fused", fused)):
        write_record(folder / f"{place}.json", figures)
        write_vtp(folder / f"{place}.vtp", surface, {"probability_max": share, "true_share": share})


def without(data: bytes, kind: Kind) -> bytes:
    return _changed(data, kind, lambda table, key: table.pop(key))


def of_a_wrong_type(data: bytes, kind: Kind) -> bytes:
    def spoil(table: Any, key: Any) -> None:
        table[key] = kind.wrong

    return _changed(data, kind, spoil)


def of_another_version(data: bytes, kind: Kind) -> bytes:
    if kind.path.endswith((".npz", ".vtp")):
        return _changed(data, replace(kind, needs="schema_version"), lambda table, key: table.update({key: "other/9"}))
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
    if kind.path.endswith(".npz"):
        arrays = dict(np.load(io.BytesIO(data)))
        header = json.loads(arrays["header"].tobytes())
        change(header if kind.needs in header else arrays, kind.needs)
        stream = io.BytesIO()
        np.savez(stream, **(arrays | {"header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}))
        return stream.getvalue()
    if kind.path.endswith(".vtp"):  # The names of arrays are text in it.
        table = {kind.needs: kind.needs}
        change(table, kind.needs)
        return data.replace(kind.needs.encode(), str(table.get(kind.needs, "")).encode(), 1)
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
            if kind.slow and damage not in EVERY_COMMAND:
                continue
            if damage is of_another_version and not kind.versioned:
                continue
            if damage in (nested, huge, said_twice) and kind.path.endswith((".parquet", ".npz", ".vtp")):
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
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
    damage: Callable[[bytes, Kind], bytes],
    command: str,
) -> None:
    path = cell / kind.path
    path.write_bytes(damage(path.read_bytes(), kind))
    before = tree(cell)
    monkeypatch.setattr(window, "has_display", lambda: True)
    assert run(command.split()) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(said) == 1
    assert said[0].startswith((f"viewcov: {path.relative_to(cell)}: ", f"viewcov: {path}: "))
    assert tree(cell) == before


CONFIGS = {
    "none": None, "empty name": b'= 3', "unknown": b'no_such_option = 3', "cut off": b'jobs = "',
    "not text": b"\xff\xfe\x00",
    "nested": b"a = " + b"[" * 100_000, "twice": b"jobs = 2\njobs = 2", "wrong type": b'json = "damaged"',
    "a table": b"[COMMAND]\nno_such_option = 3",
}  # fmt: skip


@pytest.mark.parametrize("damage", CONFIGS)
def test_a_damaged_configuration_is_one_line_in_every_command(
    cell: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    for name, command in ALL.items():
        own = inspect.signature(command.load()).parameters.values()
        data = ["x" for each in own if each.kind is each.POSITIONAL_ONLY and each.default is each.empty]
        content = CONFIGS[damage]
        if content is not None:
            (cell / "options.toml").write_bytes(content.replace(b"COMMAND", name.encode()))
        before = tree(cell)
        assert run([name, *data, "--config", "options.toml"]) == 2, name
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1, said
        assert said[0].startswith("viewcov: options.toml: "), said
        assert tree(cell) == before


def records(kind: type[FileRecord] = FileRecord) -> Iterator[type[FileRecord]]:
    for each in kind.__subclasses__():
        yield each
        yield from records(each)


@pytest.mark.parametrize("kind", sorted(records(), key=lambda kind: kind.__qualname__), ids=lambda kind: kind.__name__)
def test_each_record_of_a_file_refuses_what_it_does_not_know(tmp_path: Path, kind: type[FileRecord]) -> None:
    version = kind.model_fields["schema_version"].default
    path = tmp_path / "record.json"
    for content in ({"schema_version": version, "surprise": 1}, {"schema_version": f"{version}0"}, [version], 1, None):
        path.write_text(json.dumps(content))
        with pytest.raises(InputError) as caught:
            read_record(path, kind)
        assert str(caught.value).startswith(f"{path}: ")
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "command", ["check set", "check rig.toml", "fuse set/one --model tiny", "compare set/one set/one"]
)
def test_the_whole_cell_is_read(cell: Path, command: str) -> None:
    assert run(command.split()) in (0, 1)


PLACES = {
    "xlsx": ("poses.xlsx", ("convert poses.xlsx --to csv --out new.csv --part box.stl --rig rig.toml",)),
    "ros": ("poses.yaml", ("convert poses.yaml --to csv --out new.csv --part box.stl --rig rig.toml",)),
    "rig": ("rig.toml", ("check rig.toml", "plan box.stl --rig rig.toml --out new.json")),
    "mesh": ("box{suffix}", ("check box{suffix}", "plan box{suffix} --out new.json")),
    "png": ("image.png", ("check image.png",)),
    "truthjson": ("set/one/truth.json", ("fuse set/one --model tiny", "cover set --model tiny")),
    "h-fuse-card": ("set/one/predictions/tiny/model.json", ("fuse set/one --model tiny", "cover set --model tiny")),
    "h-vtp": (
        "set/one/results/effective.vtp",
        ("report set/one", "compare set/one set/one", "view set/one", "view set/one/results/effective.vtp"),
    ),
}
"""Readers, where a case of theirs goes in the cell, and the commands that read it."""


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not there")
@pytest.mark.parametrize("reader", PLACES)
def test_the_cases_are_refused_in_one_line(
    cell: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reader: str
) -> None:
    monkeypatch.setattr(window, "has_display", lambda: True)
    place, commands = PLACES[reader]
    cases = sorted(CASES.glob(f"{reader}-*"))
    assert cases
    for case in cases:
        path = cell / place.format(suffix=case.suffix)
        path.unlink(missing_ok=True)
        path.write_bytes(case.read_bytes())
        before = tree(cell)
        for command in commands:
            start = time.monotonic()
            assert run(command.format(suffix=case.suffix).split()) == 2, case.name
            said = [line for line in capsys.readouterr().err.splitlines() if line]
            assert len(said) == 1, (case.name, said)
            assert time.monotonic() - start < 10.0
            assert tree(cell) == before
