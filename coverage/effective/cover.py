"""Effective visual coverage of models from inspections with planted defects: the whole way from predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from viewcov.coverage.effective.effective import (
    DetectionTrials,
    EffectiveCoverage,
    FalseAlarms,
    PairedDifference,
    detection_trials,
    effective_coverage,
    false_alarms,
    paired_difference,
)
from viewcov.coverage.effective.evidence import evidence_path, gather_evidence_many, read_evidence_table
from viewcov.coverage.effective.fuse import FusedInspection, fuse_inspection, inspection_surface
from viewcov.coverage.effective.pod import ElementCovariates, PodMap, PodModel, covariates_of, fit_pod, pod_map
from viewcov.coverage.effective.rules import Rule
from viewcov.coverage.geometric.evaluation import GeometricCoverage, evaluate_viewpoints
from viewcov.inspection.arrays import Bools
from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mesh.surface import Surface

POD_THRESHOLD = 0.5
"""Probability of detection from which an element counts as effectively covered on the map."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoverResult:
    """What models really find on a part."""

    surface: Surface
    """The E elements."""

    rule: Rule
    """How views were fused."""

    visible: GeometricCoverage
    """Which elements appear in an image at all, whatever the requirements on a view."""

    trials: DetectionTrials
    """Planted defects and who found them."""

    effective: dict[str, EffectiveCoverage]
    """By model: the direct estimate."""

    false_alarms: dict[str, FalseAlarms]
    """By model, to stand beside it."""

    paired: tuple[PairedDifference, ...]
    """Each further model minus the first."""

    pod_models: dict[str, PodModel]
    """By model: hit/miss model of the trials."""

    pod_maps: dict[str, PodMap]
    """By model: that model over the surface, for the median defect size."""

    pod_by_size: dict[str, tuple[tuple[float, float], ...]]
    """By model: pairs of defect size in mm and mean probability of detection over the visible surface."""

    fused: dict[str, tuple[FusedInspection, ...]]
    """By model: the fused inspections behind the trials, in their order."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``cover --json``."""
        return {
            "rule": self.rule,
            "elements": self.surface.num_elements,
            "inspected_area_mm2": self.visible.inspected_area_mm2,
            "visible_area_mm2": self.visible.covered_area_mm2,
            "variants": {
                name: {
                    **self.effective[name].to_json(),
                    "false_alarms": self.false_alarms[name].to_json(),
                    "pod_map": self.pod_maps[name].to_json(),
                    "pod_model": self.pod_models[name].to_json(),
                    "pod_by_size": [list(point) for point in self.pod_by_size[name]],
                }
                for name in self.effective
            },
            "paired": [pair.to_json() for pair in self.paired],
        }


def cover_inspections(
    folders: Sequence[InspectionFolder],
    models: Sequence[str],
    *,
    rule: Rule = "log_odds",
    seed: int = 0,
    jobs: int = 1,
    progress: bool = False,
) -> CoverResult:
    """Effective visual coverage of each model from inspections of one part with planted defects.

    Parameters
    ----------
    folders
        Inspections of one part along one plan, with truth and with predictions of every model.
    models
        Names of the models; each further one is compared with the first, defect by defect.
    rule
        How the views of an inspection are fused.
    seed
        For the bootstrap.

    Raises
    ------
    InputError
        If inspections are of different parts or plans, or truth or predictions are missing.
    """
    folders = [folder for folder in folders if folder.truth_path.is_file()]
    surface = _shared_surface(folders)
    plan = folders[0].plan()
    fused = _fused_by_all(surface, folders, models, rule=rule, progress=progress)
    # Anything that an image shows may be found, so the map asks nothing more of a view.
    anything = replace(
        plan.requirements, max_incidence_deg=89.0, max_mm_per_px=1e9, smallest_defect_mm=0.0, max_blur_px=1e9,
        border_px=0.0, min_light=0.0, views_per_element=1,
    )  # fmt: skip
    visible = evaluate_viewpoints(surface, plan.rig, anything, plan.viewpoints, jobs=jobs, progress=progress)
    seen = ~np.isnan(fused[models[0]][0].probability[rule])
    trials = _trials_of(folders, fused, rule, seen)
    seen_area_mm2 = float(surface.area_mm2[seen & surface.inspected].sum())
    inspected_area_mm2 = visible.inspected_area_mm2
    effective = partial(
        effective_coverage, trials, seen_area_mm2=seen_area_mm2, inspected_area_mm2=inspected_area_mm2, seed=seed
    )
    difference = partial(
        paired_difference, trials, seen_area_mm2=seen_area_mm2, inspected_area_mm2=inspected_area_mm2, seed=seed
    )
    covariates = covariates_of(visible)
    pod_models = {model: fit_pod(trials, model, covariates) for model in models}
    size = float(np.median(trials.size_mm))
    # Only over the sizes that were planted: beyond them the model would extrapolate.
    sizes = np.geomspace(trials.size_mm.min(), trials.size_mm.max(), 25)
    return CoverResult(
        surface=surface,
        rule=rule,
        visible=visible,
        trials=trials,
        effective={model: effective(variant=model) for model in models},
        false_alarms={
            model: false_alarms([one.matches[rule] for one in each], inspected_area_mm2=inspected_area_mm2)
            for model, each in fused.items()
        },
        paired=tuple(difference(variant=model, minus=models[0]) for model in models[1:]),
        pod_models=pod_models,
        pod_maps={
            model: pod_map(
                fitted, covariates, surface.area_mm2, surface.inspected, size_mm=size, threshold=POD_THRESHOLD
            )
            for model, fitted in pod_models.items()
        },
        pod_by_size={
            model: tuple((float(mm), _mean_pod(fitted, covariates, surface, float(mm))) for mm in sizes)
            for model, fitted in pod_models.items()
        },
        fused=fused,
    )


def _fused_by_all(
    surface: Surface, folders: Sequence[InspectionFolder], models: Sequence[str], *, rule: Rule, progress: bool
) -> dict[str, tuple[FusedInspection, ...]]:
    """Every inspection fused by every model; each view is rasterised once for all of them."""
    gather_evidence_many(surface, folders, models, progress=progress)

    def fused(folder: InspectionFolder, model: str) -> FusedInspection:
        table = read_evidence_table(evidence_path(folder, model))
        return fuse_inspection(folder, model, rule=rule, surface=surface, table=table)

    return {model: tuple(fused(folder, model) for folder in folders) for model in models}


def _trials_of(
    folders: Sequence[InspectionFolder], fused: Mapping[str, Sequence[FusedInspection]], rule: Rule, seen: Bools
) -> DetectionTrials:
    """The planted defects of all inspections and who found them."""
    truths = [one.truth for one in next(iter(fused.values())) if one.truth is not None]
    matches = {model: [one.matches[rule] for one in each] for model, each in fused.items()}
    trials = detection_trials(truths, matches, seen)
    if not trials.seen.any():
        raise InputError(
            folders[0].root, "no planted defect lies where a view looks", expected="at least one",
            found=f"{len(trials)} defects, all unseen", remedy="synthesize more defects or instances",
        )  # fmt: skip
    return trials


def _mean_pod(model: PodModel, covariates: ElementCovariates, surface: Surface, size_mm: float) -> float:
    """Area-weighted mean probability of detection over the visible inspected surface."""
    pod = model.predict(covariates, size_mm)
    known = ~np.isnan(pod) & surface.inspected
    return float(np.average(pod[known], weights=surface.area_mm2[known]))


def _shared_surface(folders: Sequence[InspectionFolder]) -> Surface:
    """The surface of the one part that all inspections are of."""
    if not folders:
        raise InputError(
            "inspections", "none has planted defects", expected="truth.json in at least one", found="none",
            remedy="effective coverage needs synthesized inspections",
        )  # fmt: skip
    plans = [folder.plan() for folder in folders]
    views = [[(view.id, view.world_from_camera.tobytes()) for view in plan.viewpoints] for plan in plans]
    for folder, plan, own in zip(folders, plans, views, strict=True):
        if plan.part.sha256 != plans[0].part.sha256 or own != views[0]:
            raise InputError(
                folder.plan_path, "another part or plan than the first inspection's",
                expected="inspections of one part along one plan", found="a different one",
                remedy="cover them separately",
            )  # fmt: skip
    return inspection_surface(folders[0])
