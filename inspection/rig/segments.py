"""A ring light of which some segments are on."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from viewcov.inspection.rig.light import Emitters
from viewcov.inspection.rig.ringlight import Ring
from viewcov.inspection.rig.values import CHECKED, Number


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class RingSegments(Ring):
    """A diffuse ring around the optical axis, lit from some angles to others."""

    lit_deg: Annotated[tuple[tuple[Number, Number], ...], Field(min_length=1)]
    """From and to which angle each lit segment reaches, from the image's +x towards its +y."""

    kind: Literal["segments"] = "segments"
    """Name in the rig's file."""

    def __post_init__(self) -> None:
        Ring.__post_init__(self)
        if any(not 0.0 < to - start <= 360.0 for start, to in self.lit_deg):
            raise ValueError(f"lit_deg that rise by 360 at most, not {self.lit_deg}")

    def emitters(self, num_samples: int) -> Emitters:
        """Those of the whole ring that lie in a lit segment."""
        share = min(1.0, sum(to - start for start, to in self.lit_deg) / 360.0)
        points = self.spread(max(8, round(num_samples / share)))
        angle = np.rad2deg(np.arctan2(points[:, 1], points[:, 0]))
        lit = np.any([(angle - start) % 360.0 < to - start for start, to in self.lit_deg], axis=0)
        return Emitters.forward(points[lit], self.area_mm2 / len(points))
