"""Steps of the loop that join two rooms: models with their thresholds and figures on the surface."""

from __future__ import annotations

import logging
from pathlib import Path

from viewcov.coverage.effective.calibration import (
    Calibration,
    calibrate_inspections,
    find_calibration,
    own_calibration_path,
    read_calibration,
)
from viewcov.coverage.effective.figures import DefectCounts
from viewcov.coverage.effective.fuse import fuse_inspection
from viewcov.coverage.effective.options import CalibrateOptions, Inspections, chosen_inspections
from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import Dataset, calibration_path, model_folder, shipped_models
from viewcov.inspection.mapping.workers import checked_jobs
from viewcov.inspection.records import Jobs, Record, Share, write_record
from viewcov.segmentation.images import SampleSet
from viewcov.segmentation.metrics import SegmentationFigures, test_model
from viewcov.segmentation.models import load_model
from viewcov.segmentation.options import TestOptions, TrainingOptions
from viewcov.segmentation.prediction import predict_inspection
from viewcov.segmentation.training import train_model

log = logging.getLogger(__name__)

_DEFAULTS = CalibrateOptions()


def calibrate(
    model: str,
    inspections: Inspections,
    options: CalibrateOptions = _DEFAULTS,
    *,
    out: Path | None = None,
    jobs: Jobs = 1,
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
    checked_jobs(jobs)
    folders, _ = chosen_inspections(inspections, options.split, usual="validation", or_all=False)
    home = model_folder(folders[0], model) if folders else None
    if out is None and home is not None and home.resolve().parent == shipped_models().resolve():
        raise InputError(
            model, "a shipped model keeps its calibration", expected="a file for yours", found="none",
            remedy="give --out FILE here, and --calibration FILE to 'viewcov cover' and 'viewcov fuse'",
        )  # fmt: skip
    calibration = calibrate_inspections(inspections, model, options, jobs=jobs, progress=progress)
    path = out or (calibration_path(home) if home else own_calibration_path(folders[0], model))
    write_record(path, calibration)
    log.info("wrote %s", path)
    return calibration, path


class TrainedModel(Record):
    """``train --json``: a model that was trained and calibrated."""

    model: str
    """Its folder."""

    name: str
    exposures: tuple[float, ...]
    threshold: float
    """Probability from which a pixel counts as defective."""

    validation_f1: Share
    """Pixel F1 on the validation inspections."""

    steps: int
    best_step: int
    """The step whose weights were kept."""

    seconds: float
    calibration: Calibration | None
    """None without a validation inspection that has 3D truth."""


class MeasuredModel(SegmentationFigures):
    """``test --json``: figures of a model on a split."""

    surface: dict[str, DefectCounts]
    """By fusion rule: planted defects found in the fused views of the inspections with truth."""


def train_and_calibrate(
    data: Dataset | SampleSet, out: Path, options: TrainingOptions, *, progress: bool = False
) -> TrainedModel:
    """Train a model and calibrate it on the validation inspections.

    The predictions for the validation inspections stay in their folders.
    """
    model = train_model(data, out, options, progress=progress)
    inspections = data.inspections("validation") if isinstance(data, Dataset) else []
    folders = [folder for folder in inspections if folder.truth_path.is_file()]
    path = calibration_path(out)
    if not folders:
        log.warning("%s: no validation inspection has 3D truth: the model gets no thresholds for fused views", out)
    elif not path.is_file():
        for folder in folders:
            predict_inspection(model, folder, progress=progress)
        calibrate(model.name, folders, out=path, progress=progress)
    figures = model.card.figures
    assert figures is not None, "a model that was just trained has them"
    return TrainedModel(
        model=str(out),
        name=model.name,
        exposures=model.exposures,
        threshold=model.threshold,
        validation_f1=figures.validation_f1,
        steps=figures.steps,
        best_step=figures.best_step,
        seconds=figures.seconds,
        calibration=read_calibration(path) if path.is_file() else None,
    )


def measure_model(
    model: str, data: Dataset | SampleSet, options: TestOptions, *, progress: bool = False
) -> MeasuredModel:
    """Figures of a model on a split: pixels, defects in images, and fused defects on the surface."""
    loaded = load_model(model)
    figures = test_model(loaded, data, options, progress=progress)
    surface: dict[str, DefectCounts] = {}
    for folder in data.inspections(options.split) if isinstance(data, Dataset) else []:
        predict_inspection(loaded, folder, progress=progress)
        if not folder.truth_path.is_file() or find_calibration(folder, loaded.name) is None:
            continue
        for rule, match in fuse_inspection(folder, loaded.name).matches.items():
            surface[rule] = surface.get(rule, DefectCounts()) + match
    return MeasuredModel(**dict(figures), surface=surface)
