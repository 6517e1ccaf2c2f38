"""Names from files and options stay in their folders; nothing is written through a link."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.cli import run
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import files_in, found_from, inside, replacing, write_grey, write_text
from viewcov.inspection.folder import Dataset, InspectionFolder, joined, read_dataset, write_dataset
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint

RIG = load_rig("paper-quarter")

STRAY = [
    "", ".", "..", "../victim", "/etc", "a/b", "a\\b", "..\\victim", "C:", "C:victim", "a\0b", "a\nb", "\x1b[2J",
    "nul", "CON", "com1.png", "ends.", "ends ", " begins", ".hidden", ".partial-12345678-x", "-rf", "a" * 201, "*",
    "?", 'a"b', "a|b", "\udcff",
]  # fmt: skip


def one_line(caught: pytest.ExceptionInfo[InputError]) -> str:
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert said.isprintable()
    return said


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Every path below a folder with its bytes; None for folders, the target for links."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


def inspection(root: Path, part: str = "builtin:clutch-half") -> InspectionFolder:
    folder = InspectionFolder(root)
    view = Viewpoint.looking_at([250, 0, 0], [0, 0, 0], id="v1")
    plan = InspectionPlan(part=load_part(part).source, rig=RIG, requirements=RIG.requirements, viewpoints=(view,))
    write_plan(folder.plan_path, plan)
    return folder


def dataset(root: Path, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    splits = dict.fromkeys(names, "test")
    (root / "dataset.json").write_text(json.dumps({"schema_version": "viewcov-dataset/1", "splits": splits}))
    return root


@pytest.mark.parametrize("name", STRAY)
def test_only_plain_names_become_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not allowed") as caught:
        inside(tmp_path, "predictions", name, what="model")
    assert one_line(caught).startswith(f"{tmp_path}: model ")


@pytest.mark.parametrize("name", ["plain", "my model", "v1.2", "Größe", "第一", "a-b_c", "a" * 200, "console", "x..y"])
def test_plain_names_stay_what_they_are(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name) == tmp_path / name
    write_text(inside(tmp_path, name), "x")
    assert (tmp_path / name).read_text() == "x"


def test_links_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "real").mkdir(parents=True)
    (tmp_path / "victim").mkdir()
    (folder / "within").symlink_to("real")
    (folder / "out").symlink_to(tmp_path / "victim")
    (folder / "broken").symlink_to(tmp_path / "nothing")
    (folder / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to(folder)
    assert inside(folder, "within") == folder / "within"
    assert inside(tmp_path / "link", "real") == tmp_path / "link" / "real"  # The folder itself is the user's.
    for steps in (["out"], ["out", "x"], ["broken"]):
        with pytest.raises(InputError, match="leads out of its folder") as caught:
            inside(folder, *steps)
        one_line(caught)


@pytest.mark.parametrize("name", ["../victim", "/{}/victim", "out", "", ".", "a/../../victim", "..\\victim"])
def test_a_data_set_may_not_name_inspections_elsewhere(tmp_path: Path, name: str) -> None:
    victim = inspection(tmp_path / "victim")
    write_grey(victim.prediction_path("plain", "v1"), np.zeros((4, 4)))
    root = dataset(tmp_path / "set", name.format(tmp_path))
    (root / "out").symlink_to(tmp_path / "victim")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"is not allowed|leads out of its folder") as caught:
        read_dataset(root)
    one_line(caught)
    bare = Dataset(root=root, splits={name.format(tmp_path): "test"})
    for use in (bare.inspections, lambda: joined([bare, Dataset(root=tmp_path / "other", splits={})])):
        with pytest.raises(InputError, match=r"is not allowed|leads out of its folder"):
            use()  # type: ignore[operator]
    assert tree(tmp_path) == before


def test_joined_data_sets_keep_their_inspections_apart(tmp_path: Path) -> None:
    for name in ("one/a", "one/b", "two/a"):
        inspection(tmp_path / name)
    sets = [read_dataset(dataset(tmp_path / "one", "a", "b")), read_dataset(dataset(tmp_path / "two", "a"))]
    both = joined(sets)
    assert [folder.root for folder in both.inspections()] == [tmp_path / n for n in ("one/a", "one/b", "two/a")]
    # Written where they are, they are a data set of nested names.
    write_dataset(both)
    assert read_dataset(tmp_path).splits == both.splits
    with pytest.raises(InputError, match="named twice"):
        joined([sets[0], sets[0]])
    with pytest.raises(InputError, match="one/a: named twice"):
        joined([both, sets[0]])


@pytest.mark.parametrize("model", ["../victim", "a/b", "", ".", "/tmp", "nul", "out"])
def test_models_stay_in_their_inspection(tmp_path: Path, model: str) -> None:
    folder = inspection(tmp_path / "one")
    (folder.root / "predictions").mkdir()
    (folder.root / "results").mkdir()
    (tmp_path / "victim").mkdir()
    for place in ("predictions", "results"):
        (folder.root / place / "out").symlink_to(tmp_path / "victim")
    for use in (folder.predictions, folder.results_of, lambda name: folder.prediction_path(name, "v1")):
        with pytest.raises(InputError, match=r"model .*(is not allowed|leads out of its folder)") as caught:
            use(model)  # type: ignore[operator]
        one_line(caught)


def test_a_link_in_the_place_of_all_predictions_may_not_lead_out(tmp_path: Path) -> None:
    folder = inspection(tmp_path / "one")
    (tmp_path / "victim" / "plain").mkdir(parents=True)
    (folder.root / "predictions").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match="leads out of its folder"):
        folder.predictions("plain")


@pytest.mark.parametrize("command", ["cover", "fuse"])
@pytest.mark.parametrize("model", ["../../victim", "/etc", ".."])
def test_the_command_line_refuses_models_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, model: str
) -> None:
    folder = inspection(tmp_path / "set" / "one")
    write_text(folder.truth_path, '{"schema_version": "viewcov-truth/1", "defects": []}')
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "model.json").write_text("{}")
    before = tree(tmp_path)
    assert run([command, str(folder.root), "--model", model]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert tree(tmp_path) == before


def test_predict_deletes_nothing_outside_of_the_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    victim = inspection(tmp_path / "victim")
    write_grey(victim.prediction_path("plain", "v1"), np.zeros((4, 4)))
    root = dataset(tmp_path / "set", "../victim")
    before = tree(tmp_path)
    assert run(["predict", "plain", str(root)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "is not allowed" in said[-1]
    assert len(said) == 1
    assert tree(tmp_path) == before


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / ".partial-file.txt").symlink_to(victim)
    (folder / "file.txt").symlink_to(victim)
    seen = set()
    for _ in range(3):
        with replacing(folder / "file.txt") as temporary:
            seen.add(temporary.name)
            assert temporary.parent == folder
            assert temporary.name.startswith(".partial-")
            temporary.write_text("mine")
    assert len(seen) == 3  # No one can know the name beforehand.
    assert victim.read_text() == "precious"
    assert not (folder / "file.txt").is_symlink()
    assert (folder / "file.txt").read_text() == "mine"
    assert (folder / "file.txt").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_a_name_that_is_taken_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    (tmp_path / ".partial-00000000-file.txt").symlink_to(victim)
    monkeypatch.setattr("secrets.token_hex", lambda _: "00000000")
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path / "file.txt", "mine")
    assert victim.read_text() == "precious"


def test_what_another_run_writes_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    left = tmp_path / ".partial-0123abcd-file.txt"
    other = tmp_path / ".partial-0123abcd-other.txt"
    left.touch()
    other.touch()
    with replacing(path) as first:
        assert not left.exists()
        with replacing(path) as second:
            second.write_text("second")
        assert first.exists()
        first.write_text("first")
    assert path.read_text() == "first"
    assert {p.name for p in tmp_path.iterdir()} == {"file.txt", other.name}
    assert [p.name for p in files_in(tmp_path, "*.txt")] == ["file.txt"]


@pytest.mark.parametrize("make", ["folder", "fifo", "file/below", "a" * 300, "nul\0"])
def test_places_that_no_file_can_take_are_one_line(tmp_path: Path, make: str) -> None:
    path = tmp_path / make
    if make == "folder":
        path.mkdir()
    elif make == "fifo":
        os.mkfifo(path)
    elif make == "file/below":
        (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_text(path, "x")
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_long_names_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 251 + ".txt")
    with replacing(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("x")
    assert path.read_text() == "x"


def test_a_plan_that_was_copied_finds_the_part_beside_it(tmp_path: Path) -> None:
    stl = tmp_path / "cell" / "parts" / "box.stl"
    stl.parent.mkdir(parents=True)
    trimesh.creation.box(extents=[10, 20, 30]).export(stl)
    folder = inspection(tmp_path / "cell" / "plans", str(stl))
    copy = tmp_path / "elsewhere" / "plan.json"
    write_text(copy, folder.plan_path.read_text())
    with pytest.raises(InputError, match=r"parts/box\.stl: no such part file.*copy box\.stl into the plan's folder"):
        read_plan(copy).load_part()
    (copy.parent / "box.stl").write_bytes(stl.read_bytes())
    assert read_plan(copy).load_part().name == "box"
    # Where both are, the one that the plan names counts; another file of the name is refused.
    assert found_from(folder.root, "../parts/box.stl") == str(stl)
    trimesh.creation.box(extents=[10, 20, 31]).export(copy.parent / "box.stl")
    with pytest.raises(InputError, match="not the one that the plan was made for"):
        read_plan(copy).load_part()


def test_a_plan_is_read_once_while_it_stays_the_same(tmp_path: Path) -> None:
    folder = inspection(tmp_path / "one")
    assert folder.plan() is folder.plan()
    view = Viewpoint.looking_at([0, 250, 0], [0, 0, 0], id="another")
    plan = folder.plan()
    write_plan(
        folder.plan_path,
        InspectionPlan(part=plan.part, rig=plan.rig, requirements=plan.requirements, viewpoints=(view,)),
    )
    assert [one.id for one in folder.plan().viewpoints] == ["another"]
