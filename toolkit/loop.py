"""Steps of the loop that join two rooms: geometry with its coverable area, and models with their thresholds."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from viewcov.inspection.arrays import Bools
from viewcov.inspection.files import read_json, read_table, sha256_of, write_json, write_table
from viewcov.inspection.folder import Dataset
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.surface import Surface, cut_surface

if TYPE_CHECKING:
    from viewcov.coverage.evaluation import GeometricCoverage

log = logging.getLogger(__name__)


def geometric_coverage(
    plan: InspectionPlan, *, cache: Path | None = None, jobs: int = 1, progress: bool = False
) -> GeometricCoverage:
    """What a plan inspects, as a share of what the rig could inspect from anywhere.

    Parameters
    ----------
    cache
        File that keeps which elements are coverable, so that the search is not done twice.
    """
    from viewcov.coverage.evaluation import evaluate_viewpoints

    surface = cut_surface(plan.load_part(), plan.requirements.element_edge_mm)
    coverable = coverable_by_rig(plan, surface, cache=cache, jobs=jobs, progress=progress)
    return evaluate_viewpoints(
        surface, plan.rig, plan.requirements, plan.viewpoints, coverable=coverable, progress=progress, jobs=jobs
    )


def coverable_by_rig(
    plan: InspectionPlan, surface: Surface, *, cache: Path | None = None, jobs: int = 1, progress: bool = False
) -> Bools:
    """Which elements of a surface the rig could inspect from some candidate viewpoint, shape (E,).

    The search is done on the coarser elements that planning uses; a fine element takes the answer of the
    nearest coarse one of its triangle.
    """
    from viewcov.coverage.truth import locate
    from viewcov.planning.planner import coverable_elements, planning_surface

    coarse = planning_surface(surface.part, plan.rig, plan.requirements)
    key = _coverable_key(plan, coarse)
    mask = _cached(cache, key)
    if mask is None:
        seed = int(plan.made.get("seed", 0))
        mask = coverable_elements(coarse, plan.rig, plan.requirements, seed=seed, jobs=jobs, progress=progress)
        if cache is not None:
            store_coverable(cache, plan, coarse, mask)
    return mask[locate(coarse, surface.source_face_idx, surface.centroid_mm)]


def store_coverable(cache: Path, plan: InspectionPlan, coarse: Surface, coverable: Bools) -> None:
    """Keep which planning elements are coverable, shape (E,), for ``coverable_by_rig``."""
    write_table(cache, {"coverable": coverable}, metadata={"key": _coverable_key(plan, coarse)})


def _coverable_key(plan: InspectionPlan, coarse: Surface) -> str:
    """Changes with anything that the coverable area depends on."""
    said = f"{plan.part} {plan.rig} {plan.requirements} {plan.made.get('seed', 0)} {coarse.num_elements}"
    return sha256_of(said.encode())


def _cached(cache: Path | None, key: str) -> Bools | None:
    if cache is None or not cache.is_file():
        return None
    import pyarrow.parquet as pq

    metadata = pq.read_schema(cache).metadata or {}
    if metadata.get(b"key", b"").decode() != key:
        return None
    return np.asarray(read_table(cache)["coverable"], dtype=bool)


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
    from viewcov.coverage.fused import calibrate_fusion
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
    from viewcov.coverage.fused import fuse_inspection, inspection_surface, read_thresholds
    from viewcov.coverage.matching import DefectCounts
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
