"""What is asked of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from viewcov.inspection.errors import InputError

Objective = Literal["views", "cycle"]
"""What a plan has little of: viewpoints, or seconds for moving through them and stopping at each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningOptions:
    """What is asked of a plan, and how much work may be spent on it."""

    coverage: float = 0.99
    """Share of the coverable area to be covered, in (0, 1]. Coverable is what enough candidates see."""

    num_views: int | None = None
    """If given, this many views are chosen to cover as much as they can, and ``coverage`` is not used."""

    objective: Objective = "views"
    """``cycle``: the fewest views are exchanged for others, more if need be, while that shortens the cycle."""

    closed: bool = False
    """Whether the camera returns to the first view."""

    overlap: int | None = None
    """Views that must see an element; ``requirements.views_per_element`` if not given."""

    seed: int = 0
    """Of everything random."""

    edge_mm: float | None = None
    """Longest edge of an element; if not given, the planner's choice (see `planning_surface`)."""

    num_candidates: int | None = None
    """Most candidates; by the size of the part if not given."""

    refine: int | None = None
    """Poses tried, at most, to make the chosen views see more and so do with fewer; sixty for each view, but no
    fewer than a thousand and no more than eight thousand, if not given. 0 leaves the candidates' poses."""

    time_limit_s: float = 120.0
    """Seconds for the proof that no fewer views will do."""

    max_nodes: int = 400
    """Nodes of that proof's branch and bound; 0 leaves the bound of the linear relaxation."""

    def __post_init__(self) -> None:
        if not 0.0 < self.coverage <= 1.0:
            raise out_of_range("coverage", "a share above 0 and up to 1", self.coverage)
        for name in ("num_views", "num_candidates", "overlap"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise out_of_range(name, "a whole number from 1", value)
        for name in ("refine", "time_limit_s", "max_nodes"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise out_of_range(name, "a number from 0", value)
        if self.objective not in get_args(Objective):
            raise out_of_range("objective", " or ".join(get_args(Objective)), self.objective)


def out_of_range(name: str, expected: str, found: object) -> InputError:
    """The refusal of an option's value."""
    return InputError(name, "out of range", expected=expected, found=repr(found), remedy="correct it")
