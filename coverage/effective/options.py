"""What ``calibrate``, ``cover`` and ``fuse`` can be told, and which inspections they take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from viewcov.coverage.effective.rules import RuleName
from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import Dataset, InspectionFolder, Split, open_inspections, read_dataset
from viewcov.inspection.records import Options, PositiveShare, Seed

SplitChoice = Literal[Split, "all"]
"""A split of a data set, or all of it."""

Inspections = str | Path | Dataset | Sequence[InspectionFolder]
"""An inspection or data set by its path, a data set, or inspections that somebody chose."""


class FuseOptions(Options):
    """How the views of an inspection become defects on the surface."""

    rule: RuleName = "log_odds"
    """How views are fused: max, mean, noisy_or, log_odds or dempster_shafer."""

    threshold: PositiveShare | None = None
    """Fused probability from which an element starts a defect; the model's own for the rule if not given."""

    calibration: tuple[Path, ...] = ()
    """Files of 'viewcov calibrate', one a model; those in model folders or in the data set if not given."""


class CoverOptions(FuseOptions):
    """How effective coverage is measured."""

    split: SplitChoice | None = None
    """Inspections of a data set to use: train, validation, test or all; test where there is one if not given."""

    seed: Seed = 0
    """Start of the random numbers of the intervals."""


class CalibrateOptions(Options):
    """How thresholds are set."""

    split: SplitChoice | None = None
    """Inspections of a data set to use: train, validation, test or all; validation if not given."""


def chosen_inspections(
    source: Inspections, split: SplitChoice | None, *, usual: Split, or_all: bool
) -> tuple[list[InspectionFolder], Split | None]:
    """The inspections of a split of a data set, and which split that is; None for all.

    If none is asked for it is the ``usual`` one, or all where no inspection is in that and ``or_all``. Without
    a data set all are taken, as there are no splits.

    Raises
    ------
    InputError
        If nothing is in the split, or a split is asked for without a data set.
    """
    if isinstance(source, str | Path) and (Path(source) / "dataset.json").is_file():
        source = read_dataset(source)
    if isinstance(source, Dataset):
        wanted = split or ("all" if or_all and usual not in source.splits.values() else usual)
        folders = source.inspections(None if wanted == "all" else wanted)
        if not folders:
            there = ", ".join(sorted({*source.splits.values(), "all"}))
            raise InputError(
                source.root, f"no inspection is in the split {wanted!r}", expected=f"one of {there}",
                found=repr(wanted), remedy="choose another with --split",
            )  # fmt: skip
        return folders, None if wanted == "all" else wanted
    folders = open_inspections(source) if isinstance(source, str | Path) else list(source)
    if split not in (None, "all"):
        raise InputError(
            folders[0].root if folders else "inspections", "there are no splits without a data set",
            expected="a folder with dataset.json", found="inspections", remedy="leave --split out",
        )  # fmt: skip
    return folders, None


def names_of(folders: Sequence[InspectionFolder]) -> tuple[str, ...]:
    """Names of inspections, with the folders that tell them apart."""
    roots = [folder.root.resolve() for folder in folders]
    common = os.path.commonpath([root.parent for root in roots])
    return tuple(root.relative_to(common).as_posix() for root in roots)
