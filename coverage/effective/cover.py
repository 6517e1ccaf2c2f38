"""Effective visual coverage of models from inspections with planted defects: the whole way from predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from viewcov.coverage.effective.calibration import calibration_for
from viewcov.coverage.effective.effective import (
    DetectionTrials,
    detection_trials,
    effective_coverage,
    false_alarms,
    paired_difference,
)
from viewcov.coverage.effective.evidence import Showing, gather_evidence_many, inspection_surface
from viewcov.coverage.effective.figures import EffectiveFigures, ModelFigures, PodModel
from viewcov.coverage.effective.fuse import FusedInspection, fuse_evidence
from viewcov.coverage.effective.intervals import Resampling
from viewcov.coverage.effective.options import CoverOptions, Inspections, chosen_inspections, names_of
from viewcov.coverage.effective.pod import PodMap, fit_pod, pod_by_size, pod_map
from viewcov.coverage.effective.truth import truth_on_elements
from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mapping.workers import checked_jobs
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.records import Jobs

log = logging.getLogger(__name__)

_DEFAULTS = CoverOptions()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoverResult:
    """What models really find on a part."""

    surface: Surface
    """The E elements."""

    figures: EffectiveFigures
    """The content of ``effective.json``."""

    trials: DetectionTrials
    """Planted defects and who found them."""

    num_views: Floats
    """Shape (E,): views that show each element, the mean over inspections."""

    pod_maps: dict[str, PodMap]
    """By model: the hit/miss model of the trials over the surface, for the median defect size."""

    fused: dict[str, tuple[FusedInspection, ...]]
    """By model: the fused inspections behind the trials, in their order."""


def cover_inspections(
    inspections: Inspections,
    models: Sequence[str],
    options: CoverOptions = _DEFAULTS,
    *,
    jobs: Jobs = 1,
    progress: bool = False,
) -> CoverResult:
    """Effective visual coverage of each model from inspections of one part with planted defects.

    Parameters
    ----------
    inspections
        An inspection, a data set, or several inspections, with truth and with predictions of every model. They
        are of one part by one rig; each may have its own measured poses.
    models
        Names of the models; each further one is compared with the first, defect by defect.

    Raises
    ------
    InputError
        If inspections are of different parts or rigs, or truth, predictions or thresholds are missing.
    """
    checked_jobs(jobs)
    chosen, split = chosen_inspections(inspections, options.split, usual="test", or_all=True)
    folders = [folder for folder in chosen if folder.truth_path.is_file()]
    plan = _shared_plan(folders)
    names = names_of(folders)
    surface = inspection_surface(folders[0])
    fused, showings = _fused_by_all(surface, folders, models, options, jobs=jobs, progress=progress)
    log.info("effective coverage from %d inspections (split: %s): %s", len(names), split or "all", ", ".join(names))
    ground = _Ground.of(surface, fused, showings, options)
    first, *others = fused
    pod_models = {model: fit_pod(ground.trials, model, ground.at_sites) for model in fused}
    pod_maps = {model: ground.pod_map(fitted) for model, fitted in pod_models.items()}
    figures = EffectiveFigures(
        rule=options.rule,
        split=split,
        inspections=names,
        elements=surface.num_elements,
        inspected_area_mm2=ground.inspected_mm2,
        coverable_area_mm2=_planned(plan, "coverable_area_mm2"),
        covered_area_mm2=_planned(plan, "covered_area_mm2"),
        seen_area_mm2=float(ground.seen_area_share.mean()) * ground.inspected_mm2,
        models={model: ground.figures(fused[model], pod_models[model], pod_maps[model]) for model in fused},
        paired=tuple(
            paired_difference(ground.trials, model, first, ground.seen_area_share, resampling=ground.resampling)
            for model in others
        ),
    )
    return CoverResult(
        surface=surface,
        figures=figures,
        trials=ground.trials,
        num_views=np.mean([showing.num_views for showing in showings], axis=0),
        pod_maps=pod_maps,
        fused=fused,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ground:
    """What all models are measured on."""

    trials: DetectionTrials
    area_mm2: Floats
    """Shape (E,): 0 where nothing is to be inspected."""

    seen_area_share: Floats
    """Shape (J,): share of the area that each inspection sees."""

    showings: Sequence[Showing]
    """One per inspection; the same object for those along the same poses."""

    resampling: Resampling

    @classmethod
    def of(
        cls,
        surface: Surface,
        fused: Mapping[str, Sequence[FusedInspection]],
        showings: Sequence[Showing],
        options: CoverOptions,
    ) -> _Ground:
        truths = [one.truth for one in next(iter(fused.values())) if one.truth is not None]
        matches = {model: [one.matches[options.rule] for one in each] for model, each in fused.items()}
        trials = detection_trials(truths, matches, [showing.seen for showing in showings])
        if not trials.seen.any():
            raise InputError(
                next(iter(fused.values()))[0].folder.root, "no planted defect lies where a view looks",
                expected="at least one", found=f"{len(trials)} defects, all unseen",
                remedy="synthesize more defects or instances",
            )  # fmt: skip
        area_mm2 = np.where(surface.inspected, surface.area_mm2, 0.0)
        return cls(
            trials=trials,
            area_mm2=area_mm2,
            seen_area_share=np.minimum([area_mm2[one.seen].sum() / area_mm2.sum() for one in showings], 1.0),
            showings=showings,
            resampling=Resampling(seed=options.seed),
        )

    @property
    def inspected_mm2(self) -> float:
        return float(self.area_mm2.sum())

    @property
    def at_sites(self) -> Showing:
        """How well the sites of the trials are shown, each by its own inspection."""
        site, inspection = self.trials.element_idx, self.trials.inspection
        return Showing.joined([one.at(site[inspection == j]) for j, one in enumerate(self.showings)])

    def pod_map(self, fitted: PodModel) -> PodMap:
        return pod_map(fitted, self.showings, self.area_mm2, size_mm=float(np.median(self.trials.size_mm)))

    def figures(self, fused: Sequence[FusedInspection], fitted: PodModel, mapped: PodMap) -> ModelFigures:
        calibration, rule = fused[0].calibration, fused[0].rule
        estimate = effective_coverage(self.trials, calibration.model, self.seen_area_share, resampling=self.resampling)
        # Only over the sizes that were planted: beyond them the model would extrapolate.
        sizes = np.geomspace(self.trials.size_mm.min(), self.trials.size_mm.max(), 25)
        return ModelFigures(
            **dict(estimate),
            threshold=calibration.thresholds[rule],
            false_alarms=false_alarms([one.matches[rule] for one in fused], inspected_area_mm2=self.inspected_mm2),
            pod_map=mapped.figures,
            pod_model=fitted,
            pod_by_size=pod_by_size(fitted, self.showings, self.area_mm2, sizes),
        )


def _fused_by_all(
    surface: Surface,
    folders: Sequence[InspectionFolder],
    models: Sequence[str],
    options: CoverOptions,
    *,
    jobs: Jobs,
    progress: bool,
) -> tuple[dict[str, tuple[FusedInspection, ...]], list[Showing]]:
    """Every inspection fused by every model, and how each inspection's views show the surface."""
    names = list(dict.fromkeys(models))
    gathering = gather_evidence_many(surface, folders, names, jobs=jobs, progress=progress)
    calibrations = {model: [calibration_for(folder, model, options) for folder in folders] for model in names}
    truths = [truth_on_elements(surface, folder) for folder in folders]
    fused: dict[tuple[str, int], FusedInspection] = {}
    showings: dict[int, Showing] = {}
    for one in gathering:
        n, showings[one.inspection] = one.inspection, one.showing
        calibration = calibrations[one.model][n]
        fused[one.model, n] = fuse_evidence(surface, folders[n], one, calibration, rule=options.rule, truth=truths[n])
    return (
        {model: tuple(fused[model, n] for n in range(len(folders))) for model in names},
        [showings[n] for n in range(len(folders))],
    )


def _planned(plan: InspectionPlan, name: str) -> float | None:
    """An area that the plan was made with, where it says."""
    figures = plan.made.get("figures")
    value = figures.get(name) if isinstance(figures, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _shared_plan(folders: Sequence[InspectionFolder]) -> InspectionPlan:
    """The first inspection's plan, after all are known to be of one part by one rig; poses may differ."""
    if not folders:
        raise InputError(
            "inspections", "none has planted defects", expected="truth.json in at least one", found="none",
            remedy="effective coverage needs synthesized inspections",
        )  # fmt: skip
    plans = [folder.plan() for folder in folders]
    for folder, plan in zip(folders, plans, strict=True):
        for name in ("part", "rig", "requirements"):
            if _identity(plan, name) != _identity(plans[0], name):
                raise InputError(
                    folder.plan_path, f"another {name} than the first inspection's",
                    expected="inspections of one part by one rig; only poses may differ", found="a different one",
                    remedy="cover them separately",
                )  # fmt: skip
    return plans[0]


def _identity(plan: InspectionPlan, name: str) -> object:
    """What must be alike; of a part not where its file is."""
    part = plan.part
    return (part.sha256, part.units, part.scale_mm) if name == "part" else getattr(plan, name)
