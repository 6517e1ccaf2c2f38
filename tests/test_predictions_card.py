from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import (
    InspectionFolder,
    PredictionsCard,
    calibration_path,
    folder_for_card,
    model_folder,
    read_predictions_card,
    shipped_models,
    write_predictions_card,
)


def write_card(inspection: InspectionFolder, folder: Path) -> PredictionsCard:
    named = folder_for_card(inspection, "tiny", folder)
    card = PredictionsCard(model="tiny", weights_sha256="1" * 64, threshold=0.5, folder=named)
    write_predictions_card(inspection, card)
    return card


def test_a_card_finds_its_model_after_both_were_moved(tmp_path: Path) -> None:
    inspection = InspectionFolder(tmp_path / "old" / "part")
    card = write_card(inspection, tmp_path / "old" / "models" / "tiny")
    assert read_predictions_card(inspection, "tiny") == card
    assert model_folder(inspection, "tiny") == tmp_path / "old" / "models" / "tiny"
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert model_folder(InspectionFolder(tmp_path / "new" / "part"), "tiny") == tmp_path / "new" / "models" / "tiny"


def test_a_shipped_model_is_named_not_placed(tmp_path: Path) -> None:
    inspection = InspectionFolder(tmp_path)
    assert write_card(inspection, shipped_models() / "plain").folder == "shipped:plain"
    folder = model_folder(inspection, "tiny")
    assert folder == shipped_models() / "plain"
    calibration = json.loads(calibration_path(folder).read_text())
    assert (calibration["schema_version"], calibration["model"]) == ("viewcov-calibration/1", "plain")


def test_bare_images_have_no_card_and_a_broken_one_is_named(tmp_path: Path) -> None:
    inspection = InspectionFolder(tmp_path)
    assert read_predictions_card(inspection, "tiny") is None
    assert model_folder(inspection, "tiny") is None
    write_card(inspection, tmp_path / "tiny")
    path = inspection.predictions_card_path("tiny")
    path.write_text(path.read_text().replace("0.5", "1.5"))
    with pytest.raises(InputError, match=r"predictions/tiny/model\.json: field 'threshold' is not valid"):
        read_predictions_card(inspection, "tiny")
