"""Steps of the loop that join two rooms: models with their thresholds and figures on the surface."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from viewcov.inspection.folder import Dataset
from viewcov.inspection.predictions import calibration_path
from viewcov.inspection.records import read_record, write_record

log = logging.getLogger(__name__)


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
    from viewcov.coverage.effective.calibration import Calibration
    from viewcov.coverage.effective.fuse import BASE_RATE_KEY, SINGLE_VIEW, calibrate_fusion
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
        best = dict(calibrate_fusion(folders, model.name, progress=progress))
        calibration = Calibration(
            model=model.name,
            base_rate=best.pop(BASE_RATE_KEY),
            single_view=best.pop(SINGLE_VIEW),
            thresholds=best,
            inspections=tuple(folder.name for folder in folders),
        )
        write_record(path, calibration)
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
        "fusion": read_record(path, Calibration).thresholds if path.is_file() else {},
    }


def measured_on_split(
    model: str, dataset: Dataset, *, split: Literal["train", "validation", "test"], progress: bool = False
) -> dict[str, Any]:
    """Figures of a model on a split: pixels, defects in images, and fused defects on the surface."""
    from viewcov.coverage.effective.fuse import fuse_inspection, inspection_surface, read_thresholds
    from viewcov.coverage.effective.matching import DefectCounts
    from viewcov.segmentation.metrics import test_model
    from viewcov.segmentation.models import load_model
    from viewcov.segmentation.options import TestOptions
    from viewcov.segmentation.prediction import predict_inspection

    loaded = load_model(model)
    figures = test_model(loaded, dataset, TestOptions(split=split), progress=progress).model_dump(mode="json")
    totals: dict[str, DefectCounts] = {}
    for folder in dataset.inspections(split):
        predict_inspection(loaded, folder, progress=progress)
        if not folder.truth_path.is_file() or not read_thresholds(folder, loaded.name):
            continue
        fused = fuse_inspection(folder, loaded.name, surface=inspection_surface(folder))
        for rule, match in fused.matches.items():
            totals[rule] = totals.get(rule, DefectCounts()) + match.counts
    figures["surface"] = {rule: counts.to_json() for rule, counts in totals.items()}
    return figures
