"""What geometry says of a plan in figures: the content of ``geometric.json``."""

from __future__ import annotations

from typing import ClassVar, Literal

from viewcov.coverage.ladder import Areas, Loss
from viewcov.inspection.records import AtLeastOne, Count, FileRecord, NotNegative, Record, Seed

CoverableFrom = Literal["pool", "search"]
"""Where coverable surface is known from: the candidates kept beside the plan, or a search for candidates anew."""


class ViewFigures(Record):
    """What one view of a plan adds."""

    id: str
    """Its name."""

    seen_area_mm2: float
    """Area that it inspects."""

    newly_covered_area_mm2: float
    """Area that is covered with it but was not with the views before it."""

    lost_area_mm2: float
    """Area that is not covered any more without it."""

    overlap_with_next: float | None
    """Area that it and the next both see, as a share of the smaller of what they see; None for the last."""


class CoverageByViews(Record):
    """How coverage grows with the first 1, 2, ... views."""

    in_order: tuple[float, ...]
    """In the plan's order."""

    greedily: tuple[float, ...]
    """In the order in which each view adds most."""

    greedy_order: tuple[str, ...]
    """That order, by id."""


class FixFigures(Record):
    """A viewpoint to add to a plan, after those before it in the list."""

    id: str
    """Of the candidate."""

    world_from_camera: tuple[tuple[float, float, float, float], ...]
    """Its pose, clear of part and fixture."""

    gained_area_mm2: float
    """Area that it newly covers, measured like the plan's."""

    repairs: dict[Loss, float]
    """That area by the reason why it was not covered."""

    nearest_view: str | None
    """The plan's view that it is nearest to."""

    distance_mm: float | None
    """From there."""

    angle_deg: float | None
    """From there."""


class RobustnessFigures(Record):
    """Coverage when all cameras stand somewhat beside their places, over some draws of pose noise."""

    draws: AtLeastOne
    """How many."""

    noise_mm: NotNegative
    """Standard deviation of the camera centre along each axis."""

    noise_deg: NotNegative
    """Standard deviation of the rotation about each axis."""

    seed: Seed
    """Start of the random numbers."""

    mean_coverage: float
    """Mean over the draws."""

    quantile_5_coverage: float
    """5 % of the draws stay below it."""

    least_coverage: float
    """The worst draw's."""

    share_by_probability: dict[str, float]
    """Share of the coverable area that is covered with at least each of these probabilities."""

    coverage_of_draws: tuple[float, ...]
    """One for each draw."""


class GeometricFigures(Areas, FileRecord):
    """All that geometry says of a plan."""

    REMEDY: ClassVar[str] = "make it with 'viewcov evaluate PLAN --out FOLDER'"

    schema_version: Literal["viewcov-geometric/1"] = "viewcov-geometric/1"

    elements: Count
    """Of the surface."""

    viewpoints: Count
    """Of the plan."""

    coverable_from: CoverableFrom | None
    """How it is known what is coverable; None where all that is to be inspected counts as such."""

    waterfall: dict[Loss, float]
    """Area that survives each test and those before it in some view."""

    uncovered: dict[Loss, float]
    """Area that is to be inspected and not covered, by reason; with the covered area it sums to the inspected area."""

    not_coverable: dict[Loss, float]
    """What of that is coverable from nowhere."""

    k_coverage: tuple[float, ...]
    """Area that at least 0, 1, 2, ... views inspect."""

    views: tuple[ViewFigures, ...]
    """What each view adds, in the plan's order."""

    redundant_views: tuple[str, ...]
    """Views without which nothing is lost, each by itself."""

    coverage_by_views: CoverageByViews
    """Covered / coverable area with the first views."""

    fixes: tuple[FixFigures, ...] | None = None
    """Views to add, if that was searched for."""

    robustness: RobustnessFigures | None = None
    """Coverage under pose noise, if that was asked for."""
