"""Figures of plans and routes."""

from __future__ import annotations

from viewcov.coverage.ladder import Areas
from viewcov.inspection.records import Count, Record, Share
from viewcov.planning.selection.relaxation import Status


class RouteFigures(Record):
    """How long the camera takes for a plan."""

    route_s: float
    """Seconds for moving through the viewpoints in their order and stopping at each."""

    route_bound_s: float
    """No order of them takes less."""

    route_bound: str
    """What that bound is."""


class ReorderFigures(RouteFigures):
    """A plan's route after its viewpoints were put in another order."""

    viewpoints: Count
    """Of the plan."""

    route_gap: float
    """How much of the moving alone may be saved at most; the stops are the same in any order."""

    route_before_s: float
    """Seconds in the order before."""


class PlanFigures(Areas, RouteFigures):
    """What a plan achieves; what ``plan --json`` prints, and ``made.figures`` of the plan's file."""

    part: str
    """Its name."""

    elements: Count
    """That the plan is measured on."""

    unsearched_share: Share
    """Share of the surface to be inspected that may be coverable too: few candidates see it, and time or their number
    was used up before it was given up."""

    most_coverage: Share
    """No choice of so many views covers more of the coverable area."""

    viewpoints: Count
    """Of the plan."""

    lower_bound: Count
    """No choice out of all candidates needs fewer viewpoints."""

    bound: str
    """What that bound is."""

    confidence: Share
    """Of the bound, as a statement about all elements: 1 where it is proven by all of them, less where by a sample."""

    gap: Share
    """(viewpoints - lower bound) / viewpoints."""

    status: Status
    """Whether no plan out of all candidates is proven to have fewer viewpoints."""

    seconds: float | None = None
    """Taken for planning; None in files, so that the same seed writes the same file."""
