"""The ring light around the lens, whole or with some segments on."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.records import CHECKED, Above0, From0, Number, Whole
from viewcov.inspection.rig.light import Emitters, Light, circle, discs


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class Ring(Light):
    """What rings around the optical axis have in common."""

    inner_radius_mm: From0
    """Inner radius of the emitting ring."""

    outer_radius_mm: Above0
    """Outer radius of the emitting ring."""

    offset_mm: Number = 0.0
    """Where the ring's plane lies on the optical axis, from the lens' principal plane towards the part."""

    radiance: Above0 = 1.0
    """Emitted radiance in units of the camera's full scale: a white diffuser seen directly at exposure 1."""

    def __post_init__(self) -> None:
        if self.inner_radius_mm >= self.outer_radius_mm:
            raise ValueError(f"inner_radius_mm below outer_radius_mm = {self.outer_radius_mm}")

    @property
    def area_mm2(self) -> float:
        """Area of the ring."""
        return float(np.pi * (self.outer_radius_mm**2 - self.inner_radius_mm**2))

    def spread(self, num_points: int) -> Floats:
        """Points (N, 3), camera frame, each standing for an equal share of the ring.

        They lie on as many circles of equal area as the ring is wide for.
        """
        width = self.outer_radius_mm - self.inner_radius_mm
        middle = (self.outer_radius_mm + self.inner_radius_mm) / 2
        # As many circles as make points about as far apart across the ring as along it.
        num_circles = max(1, round(np.sqrt(num_points * width / (2 * np.pi * middle))))
        share = (np.arange(num_points) % num_circles + 0.5) / num_circles
        inner2, outer2 = self.inner_radius_mm**2, self.outer_radius_mm**2
        return self._at(np.sqrt(inner2 + share * (outer2 - inner2)))

    def _at(self, radius: Floats) -> Floats:
        """Points evenly around the axis at so many radii."""
        angle = 2 * np.pi * np.arange(len(radius)) / len(radius)
        return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.full(len(radius), self.offset_mm)])


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class RingLight(Ring):
    """A flat ring around the optical axis that emits along +z of the camera frame."""

    kind: Literal["diffuse", "led"] = "diffuse"
    """``diffuse``: a Lambertian annulus; ``led``: emitters on the middle circle."""

    led_count: Annotated[Whole, Field(ge=1, le=100_000)] = 24
    """Number of LEDs, for kind ``led``."""

    led_exponent: From0 = 1.0
    """Lobe of one LED: intensity falls with cos(angle) to this power (1 = Lambertian)."""

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

    def emitters(self, num_samples: int) -> Emitters:
        """Points spread over a diffuse ring, or the LEDs, whatever ``num_samples`` says."""
        middle = np.full(self.led_count, (self.inner_radius_mm + self.outer_radius_mm) / 2)
        points = self._at(middle) if self.kind == "led" else self.spread(num_samples)
        return Emitters.forward(points, self.emitting_area_mm2 / len(points), exponent=self.lobe_exponent)

    def samples(self, apart_mm: float) -> Emitters:
        """Points on circles in the ring, or in each LED's disc."""
        if self.kind == "led":
            disc, areas = _annulus(0.0, self.led_radius_mm, apart_mm)
            points = (self.emitters_mm(self.led_count)[:, None] + disc).reshape(-1, 3)
            areas = np.tile(areas, self.led_count)
        else:
            points, areas = _annulus(self.inner_radius_mm, self.outer_radius_mm, apart_mm)
            points[:, 2] = self.offset_mm
        return Emitters.forward(points, areas, exponent=self.lobe_exponent)

    @property
    def tube_mm(self) -> tuple[float, float, float]:
        """Inner and outer radius, and where the ring's plane lies."""
        return self.inner_radius_mm, self.outer_radius_mm, self.offset_mm

    def mesh(self) -> tuple[Floats, Ints, Floats]:
        """An annulus, or discs as wide as the ring or as their spacing allows; see ``Light.mesh``."""
        if self.kind == "led":
            return discs(self.emitters(self.led_count))
        ring = circle()
        inner, after = np.arange(len(ring)), np.roll(np.arange(len(ring)), -1)
        outer, outer_after = inner + len(ring), after + len(ring)
        vertices = np.concatenate([self.inner_radius_mm * ring, self.outer_radius_mm * ring])
        faces = np.column_stack([inner, outer, outer_after]), np.column_stack([inner, outer_after, after])
        vertices[:, 2] = self.offset_mm
        return vertices, np.concatenate(faces), np.ones(2 * len(ring))


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


def _annulus(inner_mm: float, outer_mm: float, apart_mm: float) -> tuple[Floats, Floats]:
    """Points of about that spacing on an annulus in the xy plane, shape (N, 3), and the area around each (N,)."""
    num_circles = max(1, round((outer_mm - inner_mm) / apart_mm))
    edges = np.linspace(inner_mm, outer_mm, num_circles + 1)
    points, areas = [], []
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        # The circle that halves the area between the edges; a disc that one point can stand for has it inside.
        radius = np.sqrt((low**2 + high**2) / 2)
        count = max(3, round(2 * np.pi * radius / apart_mm))
        if low == 0.0 and high <= 0.6 * apart_mm:
            radius, count = 0.0, 1
        angle = 2 * np.pi * (np.arange(count) + number * (np.sqrt(5.0) - 1.0) / 2.0) / count
        points.append(np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(count)], axis=1))
        areas.append(np.full(count, np.pi * (high**2 - low**2) / count))
    return np.concatenate(points), np.concatenate(areas)
