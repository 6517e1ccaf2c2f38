"""The ring light around the lens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from viewcov.inspection.arrays import Floats, checked_count, checked_number

AMBIENT_SHARE = 0.003
"""Radiance of the room, from all sides, as a share of the ring's: what is left under a shade or a closed door."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingLight:
    """A flat ring around the optical axis that emits along +z of the camera frame."""

    inner_radius_mm: float
    """Inner radius of the emitting ring."""

    outer_radius_mm: float
    """Outer radius of the emitting ring."""

    offset_mm: float = 0.0
    """Where the ring's plane lies on the optical axis, from the lens' principal plane towards the part."""

    radiance: float = 1.0
    """Emitted radiance in units of the camera's full scale: a white diffuser seen directly at exposure 1."""

    kind: Literal["diffuse", "led"] = "diffuse"
    """``diffuse``: a Lambertian annulus; ``led``: emitters on the middle circle."""

    led_count: int = 24
    """Number of LEDs, for kind ``led``."""

    led_exponent: float = 1.0
    """Lobe of one LED: intensity falls with cos(angle) to this power (1 = Lambertian)."""

    def __post_init__(self) -> None:
        outer = checked_number(self.outer_radius_mm, name="ring_light.outer_radius_mm", above=0.0)
        checked_number(self.inner_radius_mm, name="ring_light.inner_radius_mm", at_least=0.0, below=outer)
        checked_number(self.offset_mm, name="ring_light.offset_mm")
        checked_number(self.radiance, name="ring_light.radiance", above=0.0)
        if self.kind not in ("diffuse", "led"):
            raise ValueError(f"ring_light.kind must be 'diffuse' or 'led', got {self.kind!r}")
        count = checked_count(self.led_count, name="ring_light.led_count", at_least=1, at_most=100_000)
        object.__setattr__(self, "led_count", count)
        checked_number(self.led_exponent, name="ring_light.led_exponent", at_least=0.0)

    @property
    def area_mm2(self) -> float:
        """Area of the ring."""
        return float(np.pi * (self.outer_radius_mm**2 - self.inner_radius_mm**2))

    @property
    def lobe_exponent(self) -> float:
        """Exponent m of the emitted lobe cos(angle)^m; 1 for a diffuse ring."""
        return self.led_exponent if self.kind == "led" else 1.0

    @property
    def led_radius_mm(self) -> float:
        """Radius of one LED's disc: as wide as the ring, or as the LEDs' spacing allows."""
        middle = 0.5 * (self.inner_radius_mm + self.outer_radius_mm)
        return min(0.5 * (self.outer_radius_mm - self.inner_radius_mm), 0.45 * 2.0 * np.pi * middle / self.led_count)

    @property
    def emitting_area_mm2(self) -> float:
        """Area that emits: the ring's, or that of all LEDs."""
        return self.area_mm2 if self.kind == "diffuse" else float(self.led_count * np.pi * self.led_radius_mm**2)

    def emitters_mm(self, num_samples: int) -> Floats:
        """Points on the ring in the camera frame, shape (N, 3), each standing for an equal share of its area.

        A diffuse ring is sampled on as many circles of equal area as it is wide for; an LED ring gives its
        LEDs, whatever ``num_samples`` says.
        """
        if self.kind == "led":
            radius = np.full(self.led_count, (self.inner_radius_mm + self.outer_radius_mm) / 2)
            angle = 2 * np.pi * np.arange(self.led_count) / self.led_count
        else:
            width = self.outer_radius_mm - self.inner_radius_mm
            middle = (self.outer_radius_mm + self.inner_radius_mm) / 2
            # As many circles as make samples about as far apart across the ring as along it.
            num_circles = max(1, round(np.sqrt(num_samples * width / (2 * np.pi * middle))))
            circle = np.arange(num_samples) % num_circles
            share = (circle + 0.5) / num_circles
            inner2, outer2 = self.inner_radius_mm**2, self.outer_radius_mm**2
            radius = np.sqrt(inner2 + share * (outer2 - inner2))
            angle = 2 * np.pi * np.arange(num_samples) / num_samples
        offset = np.full(len(radius), self.offset_mm)
        return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), offset])
