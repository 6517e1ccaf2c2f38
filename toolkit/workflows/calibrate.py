"""Steps of the loop that join two rooms: models with their thresholds and figures on the surface."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from viewcov.coverage.effective.calibration import (
    Calibration,
    calibrate_inspections,
    own_calibration_path,
    read_calibration,
    write_calibration,
)
from viewcov.coverage.effective.figures import DefectCounts
from viewcov.coverage.effective.fuse import fuse_inspection
from viewcov.coverage.effective.options import CalibrateOptions, Inspections, chosen_inspections
from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import Dataset, Split
from viewcov.inspection.predictions import calibration_path, model_folder, shipped_models

log = logging.getLogger(__name__)

_DEFAULTS = CalibrateOptions()


def calibrate(
    model: str,
    inspections: Inspections,
    options: CalibrateOptions = _DEFAULTS,
    *,
    out: Path | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> tuple[Calibration, Path]:
    """Calibrate a model by its predictions for inspections with truth, write that, and give it with its file.

    It goes to ``out``, or else where ``cover`` and ``fuse`` find it: into the model's folder, if the card beside
    the predictions names one, or as ``calibrations/MODEL.json`` into the data set.

    Raises
    ------
    InputError
        If nothing can be calibrated with, or the model is a shipped one, whose folder is not the user's.
    """
    folders, _ = chosen_inspections(inspections, options.split, usual="validation", or_all=False)
    home = model_folder(folders[0], model)
    if out is None and home is not None and home.resolve().parent == shipped_models().resolve():
        raise InputError(
            model, "a shipped model keeps its calibration", expected="a file for yours", found="none",
            remedy="give --out FILE here, and --calibration FILE to 'viewcov cover' and 'viewcov fuse'",
        )  # fmt: skip
    path = out or (calibration_path(home) if home else own_calibration_path(folders[0], model))
    calibration = calibrate_inspections(inspections, model, options, jobs=jobs, progress=progress)
    write_calibration(path, calibration)
    log.info("wrote %s", path)
    return calibration, path


def train_and_calibrate(
    dataset: Dataset,
    out: Path,
    *,
    name: str,
    exposures: tuple[float, ...],
    num_steps: int,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Train a model, set its fusion thresholds on the validation inspections, and give its main figures.

    The predictions for the validation inspections stay in their folders.
    """
    from viewcov.segmentation.options import TrainingOptions
    from viewcov.segmentation.prediction import predict_inspection
    from viewcov.segmentation.training import train_model

    options = TrainingOptions(name=name, exposures=exposures, seed=seed, steps=num_steps)
    model = train_model(dataset, out, options, progress=progress)
    path = calibration_path(out)
    folders = [folder for folder in dataset.inspections("validation") if folder.truth_path.is_file()]
    if not folders:
        log.warning("%s: no validation inspection has 3D truth: the model gets no thresholds for fused views", out)
    elif not path.is_file():
        for folder in folders:
            predict_inspection(model, folder, progress=progress)
        calibrate(model.name, folders, out=path, progress=progress)
    figures = model.card.figures
    assert figures is not None
    return {
        "model": str(out),
        "name": name,
        "exposures": list(exposures),
        "threshold": model.threshold,
        "validation_f1": figures.validation_f1,
        "steps": figures.steps,
        "best_step": figures.best_step,
        "seconds": figures.seconds,
        "fusion": read_calibration(path).thresholds if path.is_file() else {},
    }


def measured_on_split(model: str, dataset: Dataset, *, split: Split, progress: bool = False) -> dict[str, Any]:
    """Figures of a model on a split: pixels, defects in images, and fused defects on the surface."""
    from viewcov.segmentation.metrics import test_model
    from viewcov.segmentation.models import load_model
    from viewcov.segmentation.options import TestOptions
    from viewcov.segmentation.prediction import predict_inspection

    loaded = load_model(model)
    figures = test_model(loaded, dataset, TestOptions(split=split), progress=progress).model_dump(mode="json")
    totals: dict[str, DefectCounts] = {}
    for folder in dataset.inspections(split):
        predict_inspection(loaded, folder, progress=progress)
        home = model_folder(folder, loaded.name)
        if not folder.truth_path.is_file() or home is None or not calibration_path(home).is_file():
            continue
        for rule, match in fuse_inspection(folder, loaded.name).matches.items():
            totals[rule] = totals.get(rule, DefectCounts()) + match.counts
    figures["surface"] = {rule: counts.model_dump() for rule, counts in totals.items()}
    return figures
