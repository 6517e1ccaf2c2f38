"""How fast the camera moves and how long it stays: the times from which a route's length follows."""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from viewcov.inspection.arrays import Floats
from viewcov.inspection.records import CHECKED, Above0, From0


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class MotionModel:
    """How fast the camera is moved and how long it stays at each view.

    Translation and rotation run at the same time along the straight way, from standstill to standstill; the
    robot's joints and the part in the way are not known here. Times that a robot's simulator gives are better
    (see `viewcov.planning.route.reorder.read_times_csv`).
    """

    linear_mm_per_s: Above0 = 250.0
    """Highest speed of the camera centre."""

    angular_deg_per_s: Above0 = 60.0
    """Highest speed of rotation."""

    linear_mm_per_s2: Above0 | None = None
    """Acceleration and braking of the camera centre; without it the speed is there at once."""

    angular_deg_per_s2: Above0 | None = None
    """Acceleration and braking of the rotation; without it the speed is there at once."""

    settle_s: From0 = 0.3
    """Waiting until vibrations have gone, at each view."""

    exposure_s: From0 = 0.1
    """Taking and transferring the images of one view, all exposures of its stack together."""

    @property
    def stop_s(self) -> float:
        """Time spent at each view."""
        return self.settle_s + self.exposure_s

    def move_s(self, distance_mm: Floats, angle_deg: Floats) -> Floats:
        """Seconds to move and turn so far at the same time: the slower of the two, any shape."""
        moving = _profile_s(distance_mm, self.linear_mm_per_s, self.linear_mm_per_s2)
        return np.maximum(moving, _profile_s(angle_deg, self.angular_deg_per_s, self.angular_deg_per_s2))


def _profile_s(way: Floats, speed: float, acceleration: float | None) -> Floats:
    """Seconds for a way from standstill to standstill with equal acceleration and braking.

    The speed's profile is a trapezoid, way / speed + speed / acceleration; a triangle, 2 sqrt(way /
    acceleration), where the way is too short to reach the speed.
    """
    if acceleration is None:
        return way / speed
    return np.where(
        way * acceleration >= speed**2, way / speed + speed / acceleration, 2.0 * np.sqrt(way / acceleration)
    )
