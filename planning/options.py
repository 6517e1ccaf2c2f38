"""What is asked of a plan, of its evaluation and of its route."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from viewcov.inspection.records import AtLeastOne, Count, NotNegative, Options, Positive, PositiveShare, Seed

Objective = Literal["views", "cycle"]
"""What a plan has little of: viewpoints, or seconds for moving through them and stopping at each."""


class PlanningOptions(Options):
    """What is asked of a plan, and how much work may be spent on it."""

    coverage: PositiveShare = 0.99
    """Share of the coverable area that the plan must cover. Coverable is what enough candidates see."""

    num_views: AtLeastOne | None = None
    """Use this many views and cover as much as they can, whatever the coverage asked for."""

    objective: Objective = "views"
    """Have few viewpoints, or a short cycle: views are exchanged for others, more if need be, while that saves time."""

    closed: bool = False
    """Return to the first viewpoint in the end."""

    overlap: AtLeastOne | None = None
    """Views that must see each element; from the rig's requirements if not given."""

    seed: Seed = 0
    """Start of the random numbers; same seed, same result."""

    edge_mm: Positive | None = None
    """Longest edge of an element that is planned on and measured; the planner's choice if not given."""

    num_candidates: AtLeastOne | None = None
    """Most viewpoints to choose from; by the part's size if not given."""

    refine: Count | None = None
    """Poses tried, at most, to make the chosen views see more and so do with fewer; sixty for each view, but no
    fewer than a thousand and no more than eight thousand, if not given. 0 leaves the candidates' poses."""

    time_limit_s: Positive = 60.0
    """Seconds for all of it: the search for candidates leaves as much time as what comes after it is expected to take,
    and what there was no time to look into is told. More time finds fewer views and better bounds."""

    max_nodes: Count = 400
    """Nodes of that proof's branch and bound; 0 leaves the bound of the linear relaxation."""


class EvaluationOptions(Options):
    """What is asked of the evaluation of a plan."""

    num_draws: Count = 0
    """Draws of pose noise to measure coverage under, each one an evaluation more."""

    noise_mm: NotNegative = 0.5
    """Pose noise of the camera centre: mm, 1 sigma, each axis."""

    noise_deg: NotNegative = 0.1
    """Pose noise of the rotation: degrees, 1 sigma, each axis."""

    noise_seed: Seed = 0
    """Start of the random numbers; same seed, same result."""


class RouteOptions(Options):
    """What is asked of the order of a plan's viewpoints."""

    times: Path | None = None
    """CSV of seconds from each viewpoint to each other, as a robot's simulator gives; the rig's motion if not given."""

    closed: bool = False
    """Return to the first viewpoint in the end."""

    start: str | None = None
    """Viewpoint to begin with; wherever is best if not given."""

    time_limit_s: NotNegative = 60.0
    """Seconds for all: up to half for the search, the rest for the proof that no order is shorter. When they are over,
    the best order comes with the best bound so far."""

    seed: Seed = 0
    """Start of the random numbers; same seed, same result."""
