from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import Dataset, InspectionFolder, open_inspections, read_dataset, write_dataset
from viewcov.inspection.loading.part_files import DEFAULT_PART, load_part
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint


def _inspection(root: Path) -> InspectionFolder:
    rig = load_rig("paper-quarter")
    view = Viewpoint(id="v1", world_from_camera=np.eye(4))
    plan = InspectionPlan(
        part=load_part(DEFAULT_PART).source, rig=rig, requirements=rig.requirements, viewpoints=(view,)
    )
    folder = InspectionFolder(root)
    write_plan(folder.plan_path, plan)
    return folder


def _dataset(root: Path) -> Dataset:
    for name in ("a", "b", "c"):
        _inspection(root / name)
    dataset = Dataset(root=root, splits={"b": "train", "a": "test", "c": "train"}, made={"seed": 1})
    write_dataset(dataset)
    return dataset


def test_every_file_of_an_inspection_has_its_place(tmp_path: Path) -> None:
    folder = _inspection(tmp_path / "part-7")
    assert folder.name == "part-7"
    places = {
        "images/v1.png": folder.image_path("v1"),
        "masks/v1.png": folder.mask_path("v1"),
        "labels/v1.png": folder.label_path("v1"),
        "predictions/plain/v1.png": folder.prediction_path("plain", "v1"),
        "truth.json": folder.truth_path,
        "truth.parquet": folder.truth_samples_path,
        "results": folder.results,
        "plan.json": folder.plan_path,
    }
    for place, path in places.items():
        assert path == tmp_path / "part-7" / place
    assert [view.id for view in folder.plan().viewpoints] == ["v1"]


def test_models_are_the_folders_of_predictions(tmp_path: Path) -> None:
    folder = _inspection(tmp_path)
    assert folder.models() == []
    for model in ("stack", "plain"):
        folder.prediction_path(model, "v1").parent.mkdir(parents=True)
    (tmp_path / "predictions" / "notes.txt").touch()
    assert folder.models() == ["plain", "stack"]


def test_a_data_set_comes_back_in_its_order(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    back = read_dataset(tmp_path)
    assert back == dataset
    assert [folder.name for folder in back.inspections()] == ["b", "a", "c"]
    assert [folder.name for folder in back.inspections("train")] == ["b", "c"]
    assert [folder.name for folder in back.inspections("validation")] == []


def test_inspections_are_found_alone_and_in_a_data_set(tmp_path: Path) -> None:
    _dataset(tmp_path)
    assert [folder.root for folder in open_inspections(tmp_path)] == [tmp_path / name for name in "bac"]
    assert [folder.root for folder in open_inspections(str(tmp_path / "a"))] == [tmp_path / "a"]
    (tmp_path / "empty").mkdir()
    for path, found in ((tmp_path / "empty", "a folder without"), (tmp_path / "none", "no such folder")):
        with pytest.raises(InputError, match=f"neither an inspection nor a data set: .*{found}"):
            open_inspections(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": "viewcov-dataset/9"}, "another kind or version of file"),
        ({"splits": ["a", "b"]}, "field 'splits' is not valid"),
        ({"splits": None}, "field 'splits' is not valid"),
        ({"splits": {"a": "training"}}, "field 'splits.a' is not valid: .*'training'"),
        ({"splits": {"a": ["train"]}}, "field 'splits.a' is not valid"),
        ({"splits": {"d": "train"}}, "inspection 'd' is missing"),
        ({"made": "by hand"}, "field 'made' is not valid"),
    ],
)
def test_wrong_data_sets_are_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    _dataset(tmp_path)
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=said) as caught:
        read_dataset(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["[]", "3", '"viewcov-dataset/1"'])
def test_files_that_are_no_data_set_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="another kind or version of file"):
        read_dataset(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_dataset(tmp_path / "elsewhere")
