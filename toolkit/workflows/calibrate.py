"""Steps of the loop that join two rooms: models with their thresholds and figures on the surface."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from viewcov.inspection.files import read_json, write_json
from viewcov.inspection.folder import Dataset

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
    from viewcov.coverage.effective.fuse import calibrate_fusion
    from viewcov.segmentation.models import CARD_NAME
    from viewcov.segmentation.options import TrainingOptions
    from viewcov.segmentation.prediction import predict_inspection
    from viewcov.segmentation.training import train_model

    model = train_model(
        dataset,
        out,
        name=name,
        exposures=exposures,
        seed=seed,
        options=TrainingOptions(num_steps=num_steps),
        progress=progress,
    )
    card = read_json(out / CARD_NAME)
    folders = [folder for folder in dataset.inspections("validation") if folder.truth_path.is_file()]
    if not folders:
        log.warning("%s: no validation inspection has 3D truth: the model gets no thresholds for fused views", out)
    elif "fusion" not in card:
        for folder in folders:
            predict_inspection(model, folder, progress=progress)
        card["fusion"] = dict(calibrate_fusion(folders, model.name, progress=progress))
        write_json(out / CARD_NAME, card)
    figures = card["training"]["figures"]
    return {
        "model": str(out),
        "name": name,
        "exposures": list(exposures),
        "threshold": card["threshold"],
        "validation_f1": figures["validation_f1"],
        "steps": figures["steps"],
        "best_step": figures["best_step"],
        "seconds": figures["seconds"],
        "fusion": card.get("fusion", {}),
    }


def measured_on_split(
    model: str, dataset: Dataset, *, split: Literal["train", "validation", "test"], progress: bool = False
) -> dict[str, Any]:
    """Figures of a model on a split: pixels, defects in images, and fused defects on the surface."""
    from viewcov.coverage.effective.fuse import fuse_inspection, inspection_surface, read_thresholds
    from viewcov.coverage.effective.matching import DefectCounts
    from viewcov.segmentation.metrics import test_model
    from viewcov.segmentation.models import load_model
    from viewcov.segmentation.prediction import predict_inspection

    loaded = load_model(model)
    figures = dict(test_model(loaded, dataset, split=split, progress=progress))
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
