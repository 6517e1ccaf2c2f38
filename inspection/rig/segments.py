"""A ring light of which some segments are on."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from viewcov.inspection.rig.light import Emitters, Light
from viewcov.inspection.rig.ringlight import RingLight
from viewcov.inspection.rig.values import CHECKED, Above0, From0, Number


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class RingSegments(Light):
    """A diffuse ring around the optical axis, lit from some angles to others."""

    inner_radius_mm: From0
    """Inner radius of the emitting ring."""

    outer_radius_mm: Above0
    """Outer radius of the emitting ring."""

    lit_deg: Annotated[tuple[tuple[Number, Number], ...], Field(min_length=1)]
    """From and to which angle each lit segment reaches, from the image's +x towards its +y."""

    offset_mm: Number = 0.0
    """Where the ring's plane lies on the optical axis, from the lens' principal plane towards the part."""

    radiance: Above0 = 1.0
    """As of a whole ring."""

    kind: Literal["segments"] = "segments"
    """Name in the rig's file."""

    def __post_init__(self) -> None:
        self._whole()
        if any(not 0.0 < to - start <= 360.0 for start, to in self.lit_deg):
            raise ValueError(f"lit_deg that rise by 360 at most, not {self.lit_deg}")

    def _whole(self) -> RingLight:
        return RingLight(
            inner_radius_mm=self.inner_radius_mm, outer_radius_mm=self.outer_radius_mm, offset_mm=self.offset_mm
        )

    def emitters(self, num_samples: int) -> Emitters:
        """Those of the whole ring that lie in a lit segment."""
        whole, share = self._whole(), min(1.0, sum(to - start for start, to in self.lit_deg) / 360.0)
        points = whole.emitters_mm(max(8, round(num_samples / share)))
        angle = np.rad2deg(np.arctan2(points[:, 1], points[:, 0]))
        lit = np.any([(angle - start) % 360.0 < to - start for start, to in self.lit_deg], axis=0)
        return Emitters.forward(points[lit], whole.area_mm2 / len(points))
