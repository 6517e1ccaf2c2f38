"""The ring light around the lens, whole or with some segments on."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.records import CHECKED, Above0, From0, Number, Whole
from viewcov.inspection.rig.light import Emitters, Light, Tiles, circle, discs

_GUARDS_DEG = 30.0
"""Between guards of a ring's tiles at most: an edge that hides a part of a ring and no guard hides less than 1 %."""


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
        return self._at(np.sqrt(self._squares_mm2((np.arange(num_points) % num_circles + 0.5) / num_circles)))

    @property
    def _spans_deg(self) -> tuple[tuple[float, float], ...]:
        """From and to which angles it shines."""
        return ((0.0, 360.0),)

    @property
    def _num_rows(self) -> int:
        """How many pieces lie across the ring: as many as make them about as wide as long, from two to four."""
        along = np.deg2rad(_GUARDS_DEG / 2) * (self.outer_radius_mm + self.inner_radius_mm) / 2
        return int(np.clip(round((self.outer_radius_mm - self.inner_radius_mm) / along), 2, 4))

    def _squares_mm2(self, share: Floats) -> Floats:
        """Squared radii within which such shares of the ring lie."""
        return self.inner_radius_mm**2 + share * (self.outer_radius_mm**2 - self.inner_radius_mm**2)

    def _placed(self, angle_deg: Floats, share: Floats) -> Floats:
        """Points (A S, 3), camera frame, at all of the angles (A,), within which such shares (S,) of the ring lie."""
        angle, radius = np.deg2rad(angle_deg)[:, None], np.sqrt(self._squares_mm2(share))
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        return np.stack([x, y, np.full_like(x, self.offset_mm)], axis=-1).reshape(-1, 3)

    def pieces(self) -> Emitters:
        """Each the same share of its span of the ring, in rows across the ring."""
        points, areas = [], []
        for start, to in self._spans_deg:
            num = _num_columns(start, to)
            angle = start + (to - start) * (np.arange(num) + 0.5) / num
            points.append(self._placed(angle, (np.arange(self._num_rows) + 0.5) / self._num_rows))
            areas.append(np.full(len(points[-1]), self.area_mm2 * (to - start) / 360.0 / len(points[-1])))
        return Emitters.forward(np.concatenate(points), np.concatenate(areas))

    def tiles(self, cuts: int) -> Tiles | None:
        """Tiles between circles and spokes; the guards stand on the outer circle, every 30 degrees or less."""
        spans = [self._span_tiles(start, to, cuts) for start, to in self._spans_deg]
        corners = np.cumsum([0, *(len(span.corners_mm) for span in spans)])
        pieces = np.cumsum([0, *(span.piece_idx.max() + 1 for span in spans)])
        return Tiles(
            corners_mm=np.concatenate([span.corners_mm for span in spans]),
            corner_idx=np.concatenate([span.corner_idx + k for span, k in zip(spans, corners, strict=False)]),
            guard_idx=np.concatenate([span.guard_idx + k for span, k in zip(spans, corners, strict=False)]),
            piece_idx=np.concatenate([span.piece_idx + k for span, k in zip(spans, pieces, strict=False)]),
        )

    def _span_tiles(self, start: float, to: float, cuts: int) -> Tiles:
        columns, rows = cuts * _num_columns(start, to), cuts * self._num_rows
        # The last spoke of a whole ring is its first.
        spokes = np.arange(columns if to - start >= 360.0 else columns + 1)
        corners = self._placed(start + (to - start) * spokes / columns, np.linspace(0.0, 1.0, rows + 1))
        column, row = np.divmod(np.arange(columns * rows), rows)
        here, after = (rows + 1) * column + row, (rows + 1) * ((column + 1) % len(spokes)) + row
        apart = 2 * cuts
        guards = np.stack([spokes // apart * apart, -(-spokes // apart) * apart % len(spokes)], axis=1)
        return Tiles(
            corners_mm=corners,
            corner_idx=np.stack([here, after, after + 1, here + 1], axis=1),
            guard_idx=np.repeat((rows + 1) * guards + rows, rows + 1, axis=0),
            piece_idx=column // cuts * self._num_rows + row // cuts,
        )

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

    def pieces(self) -> Emitters:
        """Those of the ring, or the LEDs."""
        return Ring.pieces(self) if self.kind == "diffuse" else self.emitters(self.led_count)

    def tiles(self, cuts: int) -> Tiles | None:
        """Those of the ring; an LED is seen or not."""
        return Ring.tiles(self, cuts) if self.kind == "diffuse" else None

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
        lit = self._lit(np.rad2deg(np.arctan2(points[:, 1], points[:, 0])))
        return Emitters.forward(points[lit], self.area_mm2 / len(points))

    def _lit(self, angle_deg: Floats) -> Bools:
        """Whether angles (N,) lie in a lit segment, shape (N,)."""
        return np.asarray(np.any([(angle_deg - start) % 360.0 < to - start for start, to in self.lit_deg], axis=0))

    @property
    def _spans_deg(self) -> tuple[tuple[float, float], ...]:
        """What is lit between neighbouring ends of the segments, which may overlap."""
        ends = sorted({angle % 360.0 for ends in self.lit_deg for angle in ends})
        spans = np.array(list(itertools.pairwise([*ends, ends[0] + 360.0])))
        return tuple((float(start), float(to)) for start, to in spans[self._lit(spans.mean(axis=1))])


def _num_columns(start: float, to: float) -> int:
    """How many pieces lie along a span of degrees: two between neighbouring guards."""
    return 2 * int(np.ceil((to - start) / _GUARDS_DEG))


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
