"""How fast the camera moves and how long it stays: the times from which a route's length follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from viewcov.inspection.arrays import Floats, checked_number


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionModel:
    """How fast the camera is moved and how long it stays at each view.

    Translation and rotation run at the same time along the straight way, from standstill to standstill; the
    robot's joints and the part in the way are not known here. Times that a robot's simulator gives are better
    (see `viewcov.planning.route.times_csv.read_times_csv`).
    """

    linear_mm_per_s: float = 250.0
    """Highest speed of the camera centre."""

    angular_deg_per_s: float = 60.0
    """Highest speed of rotation."""

    linear_mm_per_s2: float | None = None
    """Acceleration and braking of the camera centre; without it the speed is there at once."""

    angular_deg_per_s2: float | None = None
    """Acceleration and braking of the rotation; without it the speed is there at once."""

    settle_s: float = 0.3
    """Waiting until vibrations have gone, at each view."""

    exposure_s: float = 0.1
    """Taking and transferring the images of one view, all exposures of its stack together."""

    def __post_init__(self) -> None:
        for name in ("linear_mm_per_s", "angular_deg_per_s"):
            checked_number(getattr(self, name), name=f"motion.{name}", above=0.0)
        for name in ("linear_mm_per_s2", "angular_deg_per_s2"):
            if getattr(self, name) is not None:
                checked_number(getattr(self, name), name=f"motion.{name}", above=0.0)
        for name in ("settle_s", "exposure_s"):
            checked_number(getattr(self, name), name=f"motion.{name}", at_least=0.0)

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
