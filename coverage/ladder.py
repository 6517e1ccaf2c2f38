"""The ladder of areas and its words: what every output calls the shares of the surface, and the ways of losing it.

Each rung is a share of the *inspected* area and stands beside the one before it:

    inspected >= coverable (some viewpoint could) >= covered (this plan does) >= effectively covered (this model finds)
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from viewcov.inspection.records import Record, Share

Rung = Literal["inspected", "coverable", "covered", "effectively_covered"]

RUNGS: dict[Rung, str] = {
    "inspected": "to be inspected",
    "coverable": "coverable",
    "covered": "covered",
    "effectively_covered": "effectively covered",
}
"""Name of each rung in words."""

MEANINGS: dict[Rung, str] = {
    "inspected": "the surface that is to be inspected",
    "coverable": "some viewpoint of this rig could inspect it",
    "covered": "the plan's views inspect it",
    "effectively_covered": "the model finds the defects there",
}
"""What each rung means, after "surface of which it is true that"."""


class Loss(StrEnum):
    """What happens to surface that is not covered; the key in files."""

    IN_FRAME = "in_frame"
    FACING = "facing"
    UNOCCLUDED = "unoccluded"
    FIXTURE = "fixture"
    TABLE = "table"
    IN_FOCUS = "in_focus"
    RESOLVED = "resolved"
    LIT = "lit"
    EXPOSED = "exposed"
    TOO_FEW_VIEWS = "too_few_views"


LOSSES: dict[Loss, str] = {
    Loss.IN_FRAME: "outside every image",
    Loss.FACING: "seen too obliquely",
    Loss.UNOCCLUDED: "hidden by the part itself",
    Loss.FIXTURE: "hidden by the fixture",
    Loss.TABLE: "table below it",
    Loss.IN_FOCUS: "out of focus",
    Loss.RESOLVED: "sampled too coarsely",
    Loss.LIT: "not lit",
    Loss.EXPOSED: "too dark, too bright, or not in the light asked for",
    Loss.TOO_FEW_VIEWS: "seen by too few views",
}
"""Words of each loss, the same in every output."""


class Areas(Record):
    """The geometric rungs of the ladder. Areas in mm2."""

    inspected_area_mm2: float
    """Area to be inspected."""

    coverable_area_mm2: float
    """Area that some viewpoint of the rig could cover."""

    covered_area_mm2: float
    """Area that enough of the plan's views inspect."""

    coverable_share: Share
    """Coverable / inspected area."""

    covered_share: Share
    """Covered / inspected area."""

    coverage: Share
    """Covered / coverable area, each CAD face counted by its weight: what a plan's target speaks of."""

    @classmethod
    def of(cls, inspected_mm2: float, coverable_mm2: float, covered_mm2: float, coverage: float) -> Areas:
        """The rungs with their shares; shares of nothing are 0."""
        whole = max(inspected_mm2, 1e-300)
        return cls(
            inspected_area_mm2=inspected_mm2, coverable_area_mm2=coverable_mm2, covered_area_mm2=covered_mm2,
            coverable_share=min(coverable_mm2 / whole, 1.0), covered_share=min(covered_mm2 / whole, 1.0),
            coverage=min(coverage, 1.0),
        )  # fmt: skip
