"""What a report tells: the figures of a run by section, each of which may be missing."""

from __future__ import annotations

from collections.abc import Mapping

from viewcov.coverage.effective.figures import DefectCounts, EffectiveFigures, FusedFigures, MeanScores
from viewcov.coverage.geometric.figures import GeometricFigures
from viewcov.coverage.ladder import Areas
from viewcov.inspection.mesh.part import Finding
from viewcov.inspection.records import Count, Known, Record
from viewcov.planning.figures import PlanFigures


class PartFigures(Record):
    """The part that was inspected."""

    name: str
    source: str
    """Name of its file."""

    sha256: str
    triangles: Count
    cad_faces: Count
    area_mm2: float
    largest_extent_mm: float
    findings: tuple[Finding, ...] = ()


class RuleFigures(DefectCounts):
    """What a fusion rule finds, summed over inspections."""

    threshold: float
    """Fused probability from which an element starts a defect."""


class SingleViews(Record):
    """Scores of views by themselves, means over inspections."""

    mean: MeanScores
    """Of the mean view."""

    best: MeanScores
    """Of the best view of each inspection."""


class FusionFigures(Record):
    """Fused views against single views, by one model over all inspections with truth."""

    rules: dict[str, RuleFigures]
    in_view: SingleViews | None
    """Single views against what each of them shows."""

    of_all: SingleViews | None
    """Single views against all defects."""


class ImageFigures(Record):
    """A model on single images: a pixel is a defect where its probability reaches the threshold."""

    images: Count
    threshold: float
    precision: Known
    recall: Known
    f1: Known
    iou: Known
    f1_max: Known
    """With the threshold that is best on these images."""

    defect_recall: Known
    false_alarms_per_image: Known


class Content(Record):
    """The figures of a run. A section that is None or empty is not shown."""

    part: PartFigures | None = None
    viewpoints: Count | None = None
    """Of the plan."""

    areas: Areas | None = None
    """The geometric rungs of the ladder."""

    plan: PlanFigures | None = None
    geometric: GeometricFigures | None = None
    effective: EffectiveFigures | None = None
    rule: str | None = None
    """How the views were fused."""

    planted: bool = False
    """Whether defects were planted: the images are synthetic and the truth is known."""

    fusion: Mapping[str, FusionFigures] = {}
    """By model; empty without truth."""

    reported: FusedFigures | None = None
    """The inspection whose defects are listed."""

    segmentation: Mapping[str, ImageFigures] = {}
    """By model."""

    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = {}
    """By stage."""

    versions: Mapping[str, str] = {}
    seeds: Mapping[str, int] = {}
    models: Mapping[str, str] = {}
    """SHA-256 of each model's weights."""
