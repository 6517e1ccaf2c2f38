"""One inspection's views fused into 3D defects, with the thresholds of the model's calibration."""

from __future__ import annotations

from dataclasses import dataclass

from viewcov.coverage.effective.calibration import Calibration, calibration_for
from viewcov.coverage.effective.defects import SurfaceDefect, adjacency_of, find_defects
from viewcov.coverage.effective.evidence import Gathered, gather_evidence, inspection_surface, require_predictions
from viewcov.coverage.effective.figures import FusedFigures
from viewcov.coverage.effective.matching import (
    LOW_SHARE,
    DefectMatch,
    SingleViews,
    match_defects,
    match_single_views,
)
from viewcov.coverage.effective.options import FuseOptions
from viewcov.coverage.effective.rules import RULES
from viewcov.coverage.effective.truth import SurfaceTruth, truth_on_elements
from viewcov.inspection.arrays import Floats32
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mesh.surface import Surface

_DEFAULTS = FuseOptions()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FusedInspection:
    """What all views of one inspection say together, by one model."""

    folder: InspectionFolder
    """The inspection."""

    surface: Surface
    """The E elements."""

    rule: str
    """Rule behind ``defects``."""

    calibration: Calibration
    """The model's name, and the thresholds that were used."""

    probability: dict[str, Floats32]
    """Fused probability by each rule, shape (E,); NaN = unseen."""

    defects: tuple[SurfaceDefect, ...]
    """Found by ``rule``, strongest first."""

    truth: SurfaceTruth | None
    """Planted defects, where the inspection was synthesized."""

    matches: dict[str, DefectMatch]
    """By each rule with a threshold, found against planted defects; empty without truth."""

    single_views: SingleViews | None
    """What each view finds alone; None without truth or without a threshold for it."""

    @property
    def figures(self) -> FusedFigures:
        """The content of ``fused.json``."""
        true = self.matches[self.rule].detection_true.tolist() if self.truth else [None] * len(self.defects)
        return FusedFigures(
            inspection=self.folder.name,
            model=self.calibration.model,
            rule=self.rule,
            thresholds=self.calibration.thresholds,
            rules={rule: match.figures for rule, match in self.matches.items()},
            single_view=self.single_views.figures if self.single_views else None,
            defects=tuple(defect.figures(true=own) for defect, own in zip(self.defects, true, strict=True)),
        )


def fuse_inspection(
    folder: InspectionFolder, model: str, options: FuseOptions = _DEFAULTS, *, progress: bool = False
) -> FusedInspection:
    """The 3D defects of an inspection by one model, and, where there is truth, how well they were found.

    Raises
    ------
    InputError
        If predictions are missing, or no threshold is given and the model was never calibrated.
    """
    plan = folder.plan()
    require_predictions(folder, model, [view.id for view in plan.viewpoints])
    calibration = calibration_for(folder, model, options)
    surface = inspection_surface(folder)
    truth = truth_on_elements(surface, folder) if folder.truth_path.is_file() else None
    gathered = gather_evidence(surface, folder, model, progress=progress)
    return fuse_evidence(surface, folder, gathered, calibration, rule=options.rule, truth=truth)


def fuse_evidence(
    surface: Surface,
    folder: InspectionFolder,
    gathered: Gathered,
    calibration: Calibration,
    *,
    rule: str,
    truth: SurfaceTruth | None,
) -> FusedInspection:
    """The defects of an inspection from its evidence; every rule's probability is given."""
    evidence, table, adjacency = gathered.evidence, gathered.table, adjacency_of(surface)
    probability = {name: evidence.fused(name, base_rate=calibration.base_rate) for name in RULES}
    found = {
        name: find_defects(
            surface, probability[name], high=high, low=LOW_SHARE * high, table=table, adjacency=adjacency
        )
        for name, high in calibration.thresholds.items()
        if name in RULES
    }
    matches: dict[str, DefectMatch] = {}
    single_views = None
    if truth is not None:
        matches = {name: match_defects(each, truth, surface, adjacency=adjacency) for name, each in found.items()}
        if (high := calibration.single_view) is not None:
            single_views = match_single_views(
                surface, [table], [truth], high=high, low=LOW_SHARE * high, adjacency=adjacency
            )
    return FusedInspection(
        folder=folder,
        surface=surface,
        rule=rule,
        calibration=calibration,
        probability=probability,
        defects=found[rule],
        truth=truth,
        matches=matches,
        single_views=single_views,
    )
