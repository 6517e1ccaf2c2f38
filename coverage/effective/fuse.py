"""One inspection's views fused into 3D defects, with the thresholds that validation inspections gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from viewcov.coverage.effective.calibration import Calibration
from viewcov.coverage.effective.defects import SurfaceDefect, adjacency_of, find_defects
from viewcov.coverage.effective.evidence import Evidence, EvidenceTable, evidence_of_table, gather_evidence
from viewcov.coverage.effective.matching import (
    LOW_SHARE,
    DefectMatch,
    SingleViews,
    ThresholdChoice,
    match_defects,
    match_single_views,
    pick_single_view_threshold,
    pick_threshold,
)
from viewcov.coverage.effective.rules import BASE_RATE, RULES, Rule, fuse
from viewcov.coverage.effective.truth import SurfaceTruth, truth_on_elements
from viewcov.inspection.arrays import Floats32
from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.predictions import calibration_path, model_folder
from viewcov.inspection.records import read_record

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SINGLE_VIEW = "single_view"
"""Key of the threshold for views used one by one, beside those of the fusion rules."""

BASE_RATE_KEY = "base_rate"
"""Key of what the model's views say on average, beside the thresholds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FusedInspection:
    """What all views of one inspection say together, by one model."""

    surface: Surface
    """The E elements."""

    model: str
    """Name of the model."""

    rule: Rule
    """Rule behind ``defects``."""

    thresholds: dict[str, float]
    """High threshold of each rule, and of views used one by one."""

    probability: dict[Rule, Floats32]
    """Fused probability by each rule, shape (E,); NaN = unseen."""

    table: EvidenceTable
    """What each view says about each element."""

    defects: tuple[SurfaceDefect, ...]
    """Found by ``rule``, strongest first."""

    truth: SurfaceTruth | None
    """Planted defects, where the inspection was synthesized."""

    matches: dict[Rule, DefectMatch]
    """By each rule with a threshold, found against planted defects; empty without truth."""

    single_views: SingleViews | None
    """What each view finds alone; None without truth or without a threshold for it."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``fuse --json``."""
        true = self.matches[self.rule].detection_true.tolist() if self.rule in self.matches else None
        defects = [defect.to_json() for defect in self.defects]
        for number, record in enumerate(defects):
            record["true"] = None if true is None else true[number]
        return {
            "model": self.model,
            "rule": self.rule,
            "thresholds": self.thresholds,
            "num_defects": len(self.defects),
            "rules": {rule: match.to_json() for rule, match in self.matches.items()},
            "single_view": self.single_views.to_json() if self.single_views else None,
            "defects": defects,
        }


def inspection_surface(folder: InspectionFolder) -> Surface:
    """The surface of an inspection's part, cut as its requirements ask for."""
    plan = folder.plan()
    return cut_surface(plan.load_part(), plan.requirements.element_edge_mm)


def read_thresholds(folder: InspectionFolder, model: str) -> dict[str, float]:
    """High thresholds and base rate of the model that made predictions; empty if it was never calibrated.

    Raises
    ------
    InputError
        If the inspection has no predictions of that model.
    """
    card = folder.predictions(model) / "model.json"
    if not card.is_file():
        raise InputError(
            folder.root,
            f"no predictions of model {model!r}",
            expected=f"one of: {', '.join(folder.models())}" if folder.models() else "predictions",
            found=model,
            remedy=f"run: viewcov predict {model} {folder.root}",
        )
    made = model_folder(folder, model)
    if made is None or not calibration_path(made).is_file():
        return {}
    stored = read_record(calibration_path(made), Calibration)
    return {**stored.thresholds, SINGLE_VIEW: stored.single_view, BASE_RATE_KEY: stored.base_rate}


def fuse_inspection(
    folder: InspectionFolder,
    model: str,
    *,
    rule: Rule = "log_odds",
    threshold: float | None = None,
    surface: Surface | None = None,
    table: EvidenceTable | None = None,
    progress: bool = False,
) -> FusedInspection:
    """The 3D defects of an inspection by one model, and, where there is truth, how well they were found.

    Parameters
    ----------
    rule
        How views are fused for the defects that are reported; every rule's probability is given.
    threshold
        Fused probability from which an element starts a defect; the model's own for the rule if not given.
    surface, table
        The inspection's surface and evidence, if they are at hand.

    Raises
    ------
    InputError
        If predictions are missing, or no threshold is given and the model was never calibrated.
    """
    thresholds = read_thresholds(folder, model)
    if threshold is not None:
        thresholds[rule] = threshold
    if rule not in thresholds:
        raise InputError(
            folder.predictions(model),
            f"the model has no threshold for the rule {rule!r}",
            expected="a model calibrated by 'viewcov train', or a threshold",
            found="neither",
            remedy="give --threshold",
        )
    surface = inspection_surface(folder) if surface is None else surface
    if table is None:
        _, table = gather_evidence(surface, folder, model, progress=progress)
    evidence = evidence_of_table(table, surface.num_elements)
    base_rate = thresholds.get(BASE_RATE_KEY, BASE_RATE)
    probability = {name: fuse(evidence, name, base_rate=base_rate) for name in RULES}
    adjacency = adjacency_of(surface)
    truth = truth_on_elements(surface, folder) if folder.truth_path.is_file() else None

    def found_by(name: Rule) -> tuple[SurfaceDefect, ...]:
        high = thresholds[name]
        return find_defects(
            surface, probability[name], high=high, low=LOW_SHARE * high, table=table, adjacency=adjacency
        )

    found = {name: found_by(name) for name in RULES if name in thresholds}
    matches: dict[Rule, DefectMatch] = {}
    single_views = None
    if truth is not None:
        matches = {name: match_defects(f, truth, surface, adjacency=adjacency) for name, f in found.items()}
        if SINGLE_VIEW in thresholds:
            high = thresholds[SINGLE_VIEW]
            single_views = match_single_views(
                surface, [table], [truth], high=high, low=LOW_SHARE * high, adjacency=adjacency
            )
    return FusedInspection(
        surface=surface,
        model=model,
        rule=rule,
        thresholds=thresholds,
        probability=probability,
        table=table,
        defects=found[rule],
        truth=truth,
        matches=matches,
        single_views=single_views,
    )


def calibrate_fusion(folders: Sequence[InspectionFolder], model: str, *, progress: bool = False) -> Mapping[str, float]:
    """High threshold of each rule, and of views used one by one, with the best F1 on inspections with truth.

    The inspections may be of several parts. Use validation inspections: thresholds picked on the inspections
    that a result is reported on flatter it.

    Raises
    ------
    InputError
        If the inspections have no planted defects.
    """
    if not any(folder.truth_path.is_file() for folder in folders):
        raise InputError(
            folders[0].root if folders else "validation",
            "no inspection has planted defects",
            expected="inspections with truth.json",
            found="none",
            remedy="synthesize validation inspections with defects",
        )
    groups: dict[str, list[InspectionFolder]] = {}
    for folder in folders:
        if folder.truth_path.is_file():
            groups.setdefault(folder.plan().part.sha256, []).append(folder)
    parts = [_PartEvidence.gather(members, model, progress=progress) for members in groups.values()]
    base_rate = float(np.mean([evidence.base_rate for part in parts for evidence in part.evidence]))
    best = {BASE_RATE_KEY: base_rate}
    for rule in RULES:
        best[rule] = _jointly_best([part.pick(rule, base_rate) for part in parts])
    best[SINGLE_VIEW] = _jointly_best([part.pick_single_view() for part in parts])
    return best


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _PartEvidence:
    """Evidence and truth of the validation inspections of one part."""

    surface: Surface
    adjacency: csr_matrix
    truths: list[SurfaceTruth]
    tables: list[EvidenceTable]
    evidence: list[Evidence]

    @classmethod
    def gather(cls, folders: Sequence[InspectionFolder], model: str, *, progress: bool) -> _PartEvidence:
        surface = inspection_surface(folders[0])
        gathered = [gather_evidence(surface, folder, model, progress=progress) for folder in folders]
        return cls(
            surface=surface,
            adjacency=adjacency_of(surface),
            truths=[truth_on_elements(surface, folder) for folder in folders],
            tables=[table for _, table in gathered],
            evidence=[evidence for evidence, _ in gathered],
        )

    def pick(self, rule: Rule, base_rate: float) -> ThresholdChoice:
        fused = [fuse(one, rule, base_rate=base_rate) for one in self.evidence]
        return pick_threshold(self.surface, fused, self.truths, adjacency=self.adjacency)

    def pick_single_view(self) -> ThresholdChoice:
        return pick_single_view_threshold(self.surface, self.tables, self.truths, adjacency=self.adjacency)


def _jointly_best(choices: Sequence[ThresholdChoice]) -> float:
    """The threshold with the largest mean F1 over parts."""
    if len(choices) == 1:
        return choices[0].high
    mean = np.nan_to_num(np.array([choice.f1 for choice in choices])).mean(axis=0)
    return float(choices[0].thresholds[int(np.argmax(mean))])
