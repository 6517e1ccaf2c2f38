"""The folder of one inspection, the cards of its predictions, and the data set of several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import files_in, inside, path_from
from viewcov.inspection.plan import InspectionPlan, read_plan
from viewcov.inspection.records import FileRecord, Name, Sha256, read_record, write_record

Split = Literal["train", "validation", "test"]

ModelName = Annotated[Name, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""Name of a model and of the folder of its predictions: letters, digits, ``_``, ``.`` and ``-``, at most 64."""

PixelThreshold = Annotated[float, Field(gt=0.0, lt=1.0)]
"""Probability from which a pixel counts as defective."""

_SHIPPED = "shipped:"


@dataclass(frozen=True, slots=True)
class InspectionFolder:
    """``plan.json``, ``images/``, optional ``masks/`` and ``truth.json``, ``predictions/``, ``results/``."""

    root: Path
    """The folder."""

    _plans: dict[tuple[int, ...], InspectionPlan] = field(default_factory=dict, init=False, repr=False, compare=False)

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

    def predictions(self, model: str) -> Path:
        """Where the predictions of a model are; raises InputError for a name that leads elsewhere."""
        return inside(self.root, "predictions", model, what="model")

    def predictions_card_path(self, model: str) -> Path:
        """Where the card beside a model's predictions is."""
        return self.predictions(model) / "model.json"

    def results_of(self, model: str) -> Path:
        """Where results of a model go; raises InputError for a name that leads elsewhere."""
        return inside(self.root, "results", model, what="model")

    def prediction_path(self, model: str, view_id: str) -> Path:
        """16-bit defect probability of a view by a model."""
        return self.predictions(model) / f"{view_id}.png"

    @property
    def truth_path(self) -> Path:
        """Planted defects of a synthesized instance, one record each."""
        return self.root / "truth.json"

    @property
    def truth_samples_path(self) -> Path:
        """Where on the part the planted defects lie: area samples with part face, point and defect number."""
        return self.root / "truth.parquet"

    def plan(self) -> InspectionPlan:
        """The plan, read once while its file stays the same; raises InputError if there is none."""
        try:
            stat = self.plan_path.stat()
        except OSError:
            return read_plan(self.plan_path)
        state = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if state not in self._plans:
            self._plans.clear()
            self._plans[state] = read_plan(self.plan_path)
        return self._plans[state]

    def models(self) -> list[str]:
        """Names of the models with predictions here."""
        return [path.name for path in files_in(self.root / "predictions", "*") if path.is_dir()]


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
        names = [name.split("/") for name, own in self.splits.items() if split in (None, own)]
        return [InspectionFolder(inside(self.root, *steps, what="inspection")) for steps in names]


class _DatasetFile(FileRecord):
    """The content of ``dataset.json``."""

    REMEDY: ClassVar[str] = "mend it or make it with 'viewcov synthesize'"

    schema_version: Literal["viewcov-dataset/1"] = "viewcov-dataset/1"
    splits: dict[str, Split]
    made: dict[str, Any] = Field(default_factory=dict)


def write_dataset(dataset: Dataset) -> None:
    """Write ``dataset.json``."""
    write_record(dataset.root / "dataset.json", _DatasetFile(splits=dataset.splits, made=dataset.made))


def read_dataset(root: str | Path) -> Dataset:
    """The data set in a folder.

    Raises
    ------
    InputError
        If ``dataset.json`` is missing or not valid, or names an inspection that is missing or lies elsewhere.
    """
    folder = Path(root)
    path = folder / "dataset.json"
    record = read_record(path, _DatasetFile)
    for name in record.splits:
        if not (inside(folder, *name.split("/"), what="inspection") / "plan.json").is_file():
            raise InputError(
                path, f"inspection {name!r} is missing", expected=f"{name}/plan.json", found="nothing",
                remedy="finish it with 'viewcov synthesize'",
            )  # fmt: skip
    return Dataset(root=folder, splits=record.splits, made=record.made)


def joined(datasets: Sequence[Dataset]) -> Dataset:
    """Several data sets as one, its root the folder that holds them all; inspections keep their splits.

    Raises InputError if an inspection is in two of them.
    """
    if len(datasets) == 1:
        return datasets[0]
    roots = [dataset.root.resolve() for dataset in datasets]
    common = Path(os.path.commonpath(roots))
    splits: dict[str, Split] = {}
    for root, dataset in zip(roots, datasets, strict=True):
        for name, split in dataset.splits.items():
            path = inside(root, *name.split("/"), what="inspection")
            key = path.relative_to(common).as_posix()
            if key in splits:
                raise InputError(
                    path, "named twice", expected="data sets without a common inspection", found="the same one",
                    remedy="name it once",
                )  # fmt: skip
            splits[key] = split
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
        root, "neither an inspection nor a data set", expected="a folder with plan.json or dataset.json",
        found="a folder without" if root.is_dir() else "no such folder", remedy="check the path",
    )  # fmt: skip


class PredictionsCard(FileRecord):
    """``predictions/MODEL/model.json``."""

    REMEDY: ClassVar[str] = "make the predictions again with 'viewcov predict'"

    schema_version: Literal["viewcov-predictions/2"] = "viewcov-predictions/2"

    model: ModelName
    """The model's name."""

    weights_sha256: Sha256
    """SHA-256 of the weights that predicted."""

    threshold: PixelThreshold
    """The model's threshold for pixels."""

    folder: str | None = None
    """The model's folder relative to this card's, or ``shipped:NAME``; None for a model that was never saved."""


def read_predictions_card(inspection: InspectionFolder, model: str) -> PredictionsCard | None:
    """The card beside a model's predictions; None for bare images, whose model is not known.

    Raises InputError if it is broken or of another version.
    """
    path = inspection.predictions_card_path(model)
    return read_record(path, PredictionsCard) if path.is_file() else None


def write_predictions_card(inspection: InspectionFolder, card: PredictionsCard) -> None:
    """Write the card beside the predictions of its model."""
    write_record(inspection.predictions_card_path(card.model), card)


def shipped_models() -> Path:
    """The folder of the models that come with the package."""
    return Path(str(resources.files("viewcov.segmentation"))) / "shipped"


def folder_for_card(inspection: InspectionFolder, model: str, model_folder: Path) -> str:
    """How a card names a model's folder: it still holds when model and inspection are moved together."""
    if model_folder.resolve().parent == shipped_models().resolve():
        return _SHIPPED + model_folder.name
    return path_from(inspection.predictions_card_path(model).parent, model_folder)


def model_folder(inspection: InspectionFolder, model: str) -> Path | None:
    """The folder of the model that made the predictions, which may be gone; None if the card names none."""
    card = read_predictions_card(inspection, model)
    if card is None or card.folder is None:
        return None
    if card.folder.startswith(_SHIPPED):
        return inside(shipped_models(), card.folder.removeprefix(_SHIPPED), what="model")
    return Path(os.path.normpath(inspection.predictions_card_path(model).parent.resolve() / card.folder))


def calibration_path(model_folder: str | Path) -> Path:
    """The file of a model's fusion thresholds and base rate in the model's folder; there need not be one."""
    return Path(model_folder) / "calibration.json"
