"""The card beside a model's predictions for an inspection: whose they are and where the model is."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from viewcov.inspection.files import inside
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.records import FileRecord, Name, Sha256, read_record, write_record

ModelName = Annotated[Name, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""Name of a model and of the folder of its predictions: letters, digits, ``_``, ``.`` and ``-``, at most 64."""

PixelThreshold = Annotated[float, Field(gt=0.0, lt=1.0)]
"""Probability from which a pixel counts as defective."""

_SHIPPED = "shipped:"


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


def predictions_card_path(inspection: InspectionFolder, model: str) -> Path:
    """Where the card beside a model's predictions is."""
    return inspection.predictions(model) / "model.json"


def read_predictions_card(inspection: InspectionFolder, model: str) -> PredictionsCard | None:
    """The card beside a model's predictions; None for bare images, whose model is not known.

    Raises InputError if it is broken or of another version.
    """
    path = predictions_card_path(inspection, model)
    return read_record(path, PredictionsCard) if path.is_file() else None


def write_predictions_card(inspection: InspectionFolder, card: PredictionsCard) -> None:
    """Write the card beside the predictions of its model."""
    write_record(predictions_card_path(inspection, card.model), card)


def shipped_models() -> Path:
    """The folder of the models that come with the package."""
    return Path(str(resources.files("viewcov.segmentation"))) / "shipped"


def folder_for_card(inspection: InspectionFolder, model: str, model_folder: Path) -> str:
    """How a card names a model's folder: it still holds when model and inspection are moved together."""
    if model_folder.resolve().parent == shipped_models().resolve():
        return _SHIPPED + model_folder.name
    start = predictions_card_path(inspection, model).parent.resolve()
    return Path(os.path.relpath(model_folder.resolve(), start)).as_posix()


def model_folder(inspection: InspectionFolder, model: str) -> Path | None:
    """The folder of the model that made the predictions, which may be gone; None if the card names none."""
    card = read_predictions_card(inspection, model)
    if card is None or card.folder is None:
        return None
    if card.folder.startswith(_SHIPPED):
        return inside(shipped_models(), card.folder.removeprefix(_SHIPPED), what="model")
    return Path(os.path.normpath(predictions_card_path(inspection, model).parent.resolve() / card.folder))


def calibration_path(model_folder: str | Path) -> Path:
    """The file of a model's fusion thresholds and base rate in the model's folder; there need not be one."""
    return Path(model_folder) / "calibration.json"
