"""Calibration of a model: the thresholds of its fused views and its base rate, from inspections with truth."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from viewcov.coverage.effective.evidence import Gathered, gather_evidence_many, inspection_surface
from viewcov.coverage.effective.matching import best_threshold, fused_f1, single_view_f1
from viewcov.coverage.effective.options import CalibrateOptions, FuseOptions, Inspections, chosen_inspections, names_of
from viewcov.coverage.effective.rules import BASE_RATE, RULES
from viewcov.coverage.effective.truth import SurfaceTruth, truth_on_elements
from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import inside
from viewcov.inspection.folder import InspectionFolder, calibration_path, model_folder
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.records import FileRecord, Jobs, PositiveShare, read_record

log = logging.getLogger(__name__)

_DEFAULTS = CalibrateOptions()


class Calibration(FileRecord):
    """``calibration.json``: how to read what a model's views say."""

    REMEDY: ClassVar[str] = "make it again with 'viewcov calibrate'"

    schema_version: Literal["viewcov-calibration/1"] = "viewcov-calibration/1"
    model: str
    """Name of the model."""

    base_rate: PositiveShare
    """Probability that its views give on average."""

    thresholds: dict[str, PositiveShare]
    """By fusion rule: fused probability from which an element starts a defect."""

    single_view: PositiveShare | None = None
    """The same for views used one by one."""

    inspections: tuple[str, ...]
    """Names of the inspections that it was set on."""


def calibrate_inspections(
    inspections: Inspections,
    model: str,
    options: CalibrateOptions = _DEFAULTS,
    *,
    jobs: Jobs = 1,
    progress: bool = False,
) -> Calibration:
    """Thresholds of each rule, and of views used one by one, with the best F1 on inspections with truth.

    Needs a model's predictions as probability images, and no model. The inspections may be of several parts.
    Use validation inspections: thresholds picked on the inspections that a result is reported on flatter it.

    Parameters
    ----------
    inspections
        An inspection, a data set, or several inspections.
    model
        Name of the model, as of the folder of its predictions.

    Raises
    ------
    InputError
        If no inspection has planted defects, or predictions are missing.
    """
    folders, split = chosen_inspections(inspections, options.split, usual="validation", or_all=False)
    groups: dict[str, list[InspectionFolder]] = {}
    for folder in folders:
        if folder.truth_path.is_file():
            groups.setdefault(folder.plan().part.sha256, []).append(folder)
    if not groups:
        raise InputError(
            folders[0].root if folders else "inspections", "no inspection has planted defects",
            expected="inspections with truth.json", found="none",
            remedy="synthesize inspections with defects for calibration",
        )  # fmt: skip
    used = names_of([folder for group in groups.values() for folder in group])
    parts = [_Part.gather(group, model, jobs=jobs, progress=progress) for group in groups.values()]
    log.info("calibrating %s on %s (split: %s)", model, ", ".join(used), split or "all")
    base_rate = float(np.mean([one.evidence.base_rate for part in parts for one in part.gathered]))
    return Calibration(
        model=model,
        base_rate=base_rate,
        thresholds={rule: best_threshold([part.fused_f1(rule, base_rate) for part in parts]) for rule in RULES},
        single_view=best_threshold([part.single_view_f1() for part in parts]),
        inspections=used,
    )


def read_calibration(path: str | Path) -> Calibration:
    """The calibration in a file; raises InputError if it is missing or does not fit."""
    return read_record(path, Calibration)


def find_calibration(folder: InspectionFolder, model: str, files: Sequence[Path] = ()) -> Calibration | None:
    """A model's calibration for an inspection; None if it has none.

    Looked for in the files given, in the model's folder, which the card beside its predictions names, and as
    ``calibrations/MODEL.json`` in the data set.

    Raises
    ------
    InputError
        If files are given, and none is for this model.
    """
    given = [read_calibration(path) for path in files]
    if given:
        own = [calibration for calibration in given if calibration.model == model]
        if not own:
            raise InputError(
                files[0], f"no calibration for model {model!r}", expected=f"one for {model!r}",
                found=", ".join(repr(calibration.model) for calibration in given),
                remedy=f"add the file of 'viewcov calibrate {model}'",
            )  # fmt: skip
        return own[0]
    known = model_folder(folder, model)
    places = [*([calibration_path(known)] if known else []), own_calibration_path(folder, model)]
    return next((read_calibration(path) for path in places if path.is_file()), None)


def calibration_for(folder: InspectionFolder, model: str, options: FuseOptions) -> Calibration:
    """The calibration that ``find_calibration`` finds; a threshold in the options replaces that of the rule.

    Raises
    ------
    InputError
        If the rule has no threshold.
    """
    found = find_calibration(folder, model, options.calibration)
    thresholds = dict(found.thresholds) if found else {}
    if options.threshold is not None:
        thresholds[options.rule] = options.threshold
    if options.rule not in thresholds:
        command = shlex.join(["viewcov", "calibrate", model, str(own_calibration_path(folder, model).parents[1])])
        raise InputError(
            folder.root, f"model {model!r} has no threshold for the rule {options.rule!r}",
            expected="a calibration, or a threshold", found="neither", remedy=f"run: {command}, or give --threshold",
        )  # fmt: skip
    if found is None:
        return Calibration(model=model, base_rate=BASE_RATE, thresholds=thresholds, inspections=())
    return found.model_copy(update={"thresholds": thresholds})


def own_calibration_path(folder: InspectionFolder, model: str) -> Path:
    """Where the calibration of a model that has no folder goes: into the data set, or else the inspection."""
    above = (root for root in folder.root.resolve().parents[:2] if (root / "dataset.json").is_file())
    return inside(next(above, folder.root), "calibrations", f"{model}.json", what="model")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """Evidence and truth of the inspections of one part."""

    surface: Surface
    truths: list[SurfaceTruth]
    gathered: list[Gathered]

    @classmethod
    def gather(cls, folders: Sequence[InspectionFolder], model: str, *, jobs: Jobs, progress: bool) -> _Part:
        surface = inspection_surface(folders[0])
        gathered = gather_evidence_many(surface, folders, [model], jobs=jobs, progress=progress)
        return cls(
            surface=surface,
            truths=[truth_on_elements(surface, folder) for folder in folders],
            gathered=sorted(gathered, key=lambda one: one.inspection),
        )

    def fused_f1(self, rule: str, base_rate: float) -> Floats:
        fused = [one.evidence.fused(rule, base_rate=base_rate) for one in self.gathered]
        return fused_f1(self.surface, fused, self.truths)

    def single_view_f1(self) -> Floats:
        return single_view_f1(self.surface, [one.table for one in self.gathered], self.truths)
