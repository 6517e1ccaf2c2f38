"""Calibration of a model: the thresholds of its fused views and its base rate, from inspections with truth."""

from __future__ import annotations

from typing import ClassVar, Literal

from viewcov.inspection.records import FileRecord, PositiveShare


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

    single_view: PositiveShare
    """The same for views used one by one."""

    inspections: tuple[str, ...]
    """Names of the inspections that it was set on."""
