"""What ``calibrate``, ``cover`` and ``fuse`` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from viewcov.coverage.effective.rules import RuleName
from viewcov.inspection.folder import Split
from viewcov.inspection.records import Options, PositiveShare, Seed

SplitChoice = Literal[Split, "all"]
"""A split of a data set, or all of it."""


class FuseOptions(Options):
    """How the views of an inspection become defects on the surface."""

    rule: RuleName = "log_odds"
    """How views are fused: max, mean, noisy_or, log_odds, dempster_shafer."""

    threshold: PositiveShare | None = None
    """Fused probability from which an element starts a defect; the model's own for the rule if not given."""

    calibration: tuple[Path, ...] = ()
    """Calibrations from 'viewcov calibrate', one a model; those of the model folders or data set if not given."""


class CoverOptions(FuseOptions):
    """How effective coverage is measured."""

    split: SplitChoice | None = None
    """Inspections of a data set to use: train, validation, test or all; test where there is one, if not given."""

    seed: Seed = 0
    """Start of the random numbers of the intervals."""


class CalibrateOptions(Options):
    """How thresholds are set."""

    split: SplitChoice = "validation"
    """Inspections of a data set to use: train, validation, test or all."""
