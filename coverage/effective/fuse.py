"""One inspection's views fused into 3D defects, with the thresholds of the model's calibration."""

from __future__ import annotations

from dataclasses import dataclass

from viewcov.coverage.effective.calibration import Calibration, calibration_for
from viewcov.coverage.effective.defects import SurfaceDefect, find_defects
from viewcov.coverage.effective.evidence import Gathered, gather_evidence, inspection_surface, require_predictions
from viewcov.coverage.effective.figures import FusedFigures, SingleViewFigures, ViewScores
from viewcov.coverage.effective.matching import LOW_SHARE, DefectMatch, match_defects, match_single_views
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

    single_views: SingleViewFigures | None
    """What each view finds alone; None without truth or without a threshold for it."""

    @property
    def figures(self) -> FusedFigures:
        """The content of ``fused.json``."""
        return FusedFigures(
            inspection=self.folder.name,
            model=self.calibration.model,
            rule=self.rule,
            thresholds=self.calibration.thresholds,
            rules={**self.matches},
            single_view=self.single_views,
            defects=self.defects,
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
    probability = {name: gathered.evidence.fused(name, base_rate=calibration.base_rate) for name in RULES}
    found = {
        name: find_defects(surface, probability[name], high=high, low=LOW_SHARE * high, table=gathered.table)
        for name, high in calibration.thresholds.items()
        if name in RULES
    }
    matches: dict[str, DefectMatch] = {}
    single_views = None
    if truth is not None:
        matches = {name: match_defects(each, truth, surface) for name, each in found.items()}
        is_true = matches[rule].detection_true.tolist()
        found[rule] = tuple(
            defect.model_copy(update={"true": own}) for defect, own in zip(found[rule], is_true, strict=True)
        )
        if (high := calibration.single_view) is not None:
            in_view, of_all = map(ViewScores.of, match_single_views(surface, [gathered.table], [truth], high=high))
            single_views = SingleViewFigures(threshold=high, in_view=in_view, of_all=of_all)
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
