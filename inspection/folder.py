"""The folder of one inspection, and the data set of several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json, write_json
from viewcov.inspection.plan import InspectionPlan, read_plan

DATASET_SCHEMA = "viewcov-dataset/1"
Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class InspectionFolder:
    """``plan.json``, ``images/``, optional ``masks/`` and ``truth.json``, ``predictions/``, ``results/``."""

    root: Path
    """The folder."""

    @property
    def name(self) -> str:
        """The folder's name, which stands for the inspected instance."""
        return self.root.name

    @property
    def plan_path(self) -> Path:
        """The plan that was carried out."""
        return self.root / "plan.json"

    @property
    def results(self) -> Path:
        """Where results go."""
        return self.root / "results"

    def image_path(self, view_id: str) -> Path:
        """Grey image of a view."""
        return self.root / "images" / f"{view_id}.png"

    def mask_path(self, view_id: str) -> Path:
        """8-bit mask of a view: 255 where a defect is."""
        return self.root / "masks" / f"{view_id}.png"

    def label_path(self, view_id: str) -> Path:
        """16-bit image of a view with the number of the defect, from 1, at each pixel; 0 elsewhere."""
        return self.root / "labels" / f"{view_id}.png"

    def prediction_path(self, model: str, view_id: str) -> Path:
        """16-bit defect probability of a view by a model."""
        return self.root / "predictions" / model / f"{view_id}.png"

    @property
    def truth_path(self) -> Path:
        """Planted defects of a synthesized instance, one record each."""
        return self.root / "truth.json"

    @property
    def truth_samples_path(self) -> Path:
        """Where on the part the planted defects lie: area samples with part face, point and defect number."""
        return self.root / "truth.parquet"

    def plan(self) -> InspectionPlan:
        """The plan; raises InputError if there is none."""
        return read_plan(self.plan_path)

    def models(self) -> list[str]:
        """Names of the models with predictions here."""
        folder = self.root / "predictions"
        return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A folder of inspections with ``dataset.json``."""

    root: Path
    """The folder."""

    splits: dict[str, Split]
    """Inspection name to the split it belongs to: whole instances, never single images."""

    made: dict[str, Any] = field(default_factory=dict)
    """How it was made. Plain JSON values."""

    def inspections(self, split: Split | None = None) -> list[InspectionFolder]:
        """The inspections of a split, or all, in the order of the file."""
        return [InspectionFolder(self.root / name) for name, s in self.splits.items() if split in (None, s)]


def write_dataset(dataset: Dataset) -> None:
    """Write ``dataset.json``."""
    write_json(
        dataset.root / "dataset.json",
        {"schema_version": DATASET_SCHEMA, "splits": dataset.splits, "made": dataset.made},
    )


def read_dataset(root: str | Path) -> Dataset:
    """The data set in a folder; raises InputError if ``dataset.json`` is missing or not valid."""
    folder = Path(root)
    path = folder / "dataset.json"
    value = read_json(path)
    if not isinstance(value, dict) or value.get("schema_version") != DATASET_SCHEMA:
        raise InputError(
            path,
            "not a data set of this version",
            expected=f"schema_version {DATASET_SCHEMA!r}",
            found=repr(value.get("schema_version") if isinstance(value, dict) else value),
            remedy="make it with 'viewcov synthesize'",
        )
    splits: Any = value.get("splits")
    made: Any = value.get("made", {})
    wrong = {"splits": splits} if not isinstance(splits, dict) else {} if isinstance(made, dict) else {"made": made}
    wrong = wrong or {k: v for k, v in splits.items() if v not in ("train", "validation", "test")}
    for name, found in wrong.items():
        raise InputError(
            path,
            f"entry {name!r} is not valid",
            expected="inspection names with train, validation or test",
            found=repr(found),
            remedy="mend it or synthesize again",
        )
    for name in splits:
        if not (folder / name / "plan.json").is_file():
            raise InputError(
                path,
                f"inspection {name!r} is missing",
                expected=f"{name}/plan.json",
                found="nothing",
                remedy="finish it with 'viewcov synthesize'",
            )
    return Dataset(root=folder, splits=splits, made=made)


def joined(datasets: Sequence[Dataset]) -> Dataset:
    """Several data sets as one, its root the folder that holds them all; inspections keep their splits.

    Raises
    ------
    InputError
        If a data set is named twice.
    """
    if len(datasets) == 1:
        return datasets[0]
    roots = [dataset.root.resolve() for dataset in datasets]
    for number, root in enumerate(roots):
        if root in roots[:number]:
            raise InputError(
                root,
                "named twice",
                expected="different data sets",
                found="the same one",
                remedy="name it once",
            )
    common = Path(os.path.commonpath(roots))
    splits = {
        (root / name).relative_to(common).as_posix(): split
        for root, dataset in zip(roots, datasets, strict=True)
        for name, split in dataset.splits.items()
    }
    return Dataset(root=common, splits=splits, made={"joined": [dataset.made for dataset in datasets]})


def open_inspections(path: str | Path) -> list[InspectionFolder]:
    """The inspections under a path: that of an inspection folder, or all of a data set's.

    Raises
    ------
    InputError
        If the path is neither.
    """
    root = Path(path)
    if (root / "dataset.json").is_file():
        return read_dataset(root).inspections()
    if (root / "plan.json").is_file():
        return [InspectionFolder(root)]
    raise InputError(
        root,
        "neither an inspection nor a data set",
        expected="a folder with plan.json or dataset.json",
        found="a folder without" if root.is_dir() else "no such folder",
        remedy="check the path",
    )
