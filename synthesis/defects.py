"""Dents and scratches to be planted on a part, at sites drawn uniformly by area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from viewcov.inspection.arrays import Floats, Ints, locked_floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part, cad_corner_normals, interpolated_normals, triangle_areas, unit
from viewcov.inspection.planted import DefectKind
from viewcov.inspection.records import Record, Share
from viewcov.inspection.rig.requirements import Requirements
from viewcov.synthesis.options import Range
from viewcov.synthesis.walks import Walk, Walker

LABELLED_DEPTH = 0.05
"""Share of its depth that the surface must have sunk to count as part of a defect."""

# A dent sinks by (1 - x^2)^2 of its depth at x of its outer radius, a scratch by 1 - x^2 of it.
_DENT_LABELLED = float(np.sqrt(1.0 - np.sqrt(LABELLED_DEPTH)))
_SCRATCH_LABELLED = float(np.sqrt(1.0 - LABELLED_DEPTH))
RIM_REACH = 1.35
"""Outer end of the raised rim, in outer radii (dent) or half widths (scratch)."""

_TORN, _BURNISHED = (1.66, 2.21), (0.29, 0.44)
_MAX_REJECTED_IN_A_ROW = 500
_HEADINGS_PER_SITE = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Defect:
    """One dent or scratch."""

    id: int
    """Number from 1, the same in label images and truth files."""

    kind: DefectKind
    """``dent``: a round hollow; ``scratch``: a groove along a path."""

    center_mm: Floats
    """Shape (3,), on the undeformed surface: the site that was drawn."""

    normal: Floats
    """Shape (3,), outward normal of the CAD face there."""

    part_face: int
    """Triangle of the part that the site lies on."""

    cad_face: int
    """CAD face that the site lies on."""

    path_mm: Floats
    """Shape (P, 3): the groove's path on the surface; one point for a dent."""

    path_normal: Floats
    """Shape (P, 3): outward CAD normals along the path."""

    size_mm: float
    """Largest extent on the surface: diameter of a dent, length of a scratch."""

    width_mm: float
    """Extent across: diameter of a dent, width of a scratch's groove; where it is labelled."""

    depth_mm: float
    """Greatest depth."""

    rim: float
    """Height of the raised rim or burr around it, as a share of the depth."""

    parameters: dict[str, Any] = field(default_factory=dict)
    """What else was drawn. Plain JSON values."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("center_mm", "normal"):
            put(self, name, locked_floats(getattr(self, name), name=name, shape=(3,)))
        for name in ("path_mm", "path_normal"):
            put(self, name, locked_floats(getattr(self, name), name=name, shape=(None, 3)))

    @property
    def roughness(self) -> float:
        """Roughness of a scratch's groove, by that of the surface around it."""
        return float(self.parameters.get("roughness", 1.0))

    @property
    def outer_mm(self) -> float:
        """Distance from the path at which the hollow ends; slightly more than half the labelled width."""
        return 0.5 * self.width_mm / (_DENT_LABELLED if self.kind == "dent" else _SCRATCH_LABELLED)

    @property
    def reach_mm(self) -> float:
        """Distance from the path beyond which the surface is as it was."""
        return RIM_REACH * self.outer_mm

    @property
    def sphere(self) -> tuple[Floats, float]:
        """Centre and radius of a sphere around all of it."""
        center = 0.5 * (self.path_mm.min(axis=0) + self.path_mm.max(axis=0))
        radius = float(np.linalg.norm(self.path_mm - center, axis=1).max())
        return center, radius + self.reach_mm


class DefectRanges(Record):
    """Lowest and highest value of each size; sizes are drawn log-uniformly between them."""

    dent_radius_mm: Range
    """Radius of the labelled part of a dent."""

    dent_depth: Range = (0.03, 0.15)
    """Depth of a dent by its radius."""

    scratch_length_mm: Range
    """Length along the path."""

    scratch_width_mm: Range
    """Width of the groove."""

    scratch_depth: Range = (0.06, 0.25)
    """Depth of a groove by its width."""

    scratch_share: Share = 0.5
    """Chance that a defect is a scratch."""

    torn_share: Share = 0.5
    """Chance that a scratch is torn, rougher than the surface around it, and not burnished."""

    @classmethod
    def for_part(cls, part: Part, requirements: Requirements, **asked: Any) -> DefectRanges:
        """Sizes that the required sampling just resolves (3 to 4 pixels) up to five times that.

        At 0.25 mm/px: dents of 0.5 to 2.5 mm radius, scratches of 4 to 20 mm by 0.3 to 0.8 mm. No defect is
        larger than a fair share of the part. What is ``asked`` for, and is not None, replaces fields.
        """
        pixel, extent = requirements.coarsest_mm_per_px, part.largest_extent_mm

        def within(low: float, high: float, share: float) -> tuple[float, float]:
            top = share * extent
            return min(low, top), min(high, top)

        derived = {
            "dent_radius_mm": within(2.0 * pixel, 10.0 * pixel, 0.05),
            "scratch_length_mm": within(16.0 * pixel, 80.0 * pixel, 0.3),
            "scratch_width_mm": within(1.2 * pixel, 3.2 * pixel, 0.01),
        }
        return cls(**derived | {name: value for name, value in asked.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectDraw:
    """Drawn defects, and how many sites were turned down and why."""

    defects: tuple[Defect, ...]
    """Ids from 1 without gaps."""

    rejected: dict[str, int]
    """Reason to number of sites drawn anew. Many would make the sites' density less even."""


def sample_defects(
    part: Part, ranges: DefectRanges, num_defects: int, rng: np.random.Generator, *, kept: Sequence[Defect] = ()
) -> DefectDraw:
    """Defects at independent sites uniform by area over the inspected faces.

    The area-uniform density makes the found share of defects an unbiased estimate of the covered share of the
    area. A site is drawn anew only where a defect would touch another one, or where a scratch would meet a
    sharp edge before it reaches the shortest length in several directions; both are counted.

    There are ``num_defects`` of them, with the ``kept`` ones, which stay as they are but for their ids.

    Raises InputError if the part has no room for as many.
    """
    assert part.inspected is not None
    area = triangle_areas(part.corners_mm) * part.inspected
    if area.sum() <= 0:
        raise InputError(
            part.source.path, "no inspected faces to plant defects on", expected="some area", found="0 mm2",
            remedy="choose other faces to inspect",
        )  # fmt: skip
    walker, normals = Walker(part), cad_corner_normals(part)
    defects, rejected, in_a_row = list(kept), Counter[str](), 0
    while len(defects) < num_defects and in_a_row < _MAX_REJECTED_IN_A_ROW:
        found = _one(part, area, normals, walker, ranges, rng)
        in_a_row += 1
        if isinstance(found, str):
            rejected[found] += 1
        elif any(_touch(found, other) for other in defects):
            rejected["overlap"] += 1
        else:
            defects.append(found)
            in_a_row = 0
    if len(defects) < num_defects:
        raise InputError(
            part.source.path, "no room for the defects", expected=f"{num_defects} that do not touch",
            found=f"room for {len(defects)}", remedy="ask for fewer or smaller ones",
        )  # fmt: skip
    numbered = tuple(replace(defect, id=number) for number, defect in enumerate(defects, start=1))
    return DefectDraw(defects=numbered, rejected=dict(sorted(rejected.items())))


def uniform_sites(area_mm2: Floats, num_sites: int, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Triangles, shape (N,), and barycentric coordinates in them, shape (N, 3), uniform by area."""
    cumulated = np.cumsum(area_mm2)
    drawn = rng.random(num_sites) * cumulated[-1]
    face = np.minimum(np.searchsorted(cumulated, drawn, side="right"), len(area_mm2) - 1)
    root, share = np.sqrt(rng.random(num_sites)), rng.random(num_sites)
    return face, np.column_stack([1.0 - root, root * (1.0 - share), root * share])


class _Site(NamedTuple):
    """Where a defect is, by the names of its fields."""

    part_face: int
    center_mm: Floats
    normal: Floats
    cad_face: int


def _one(
    part: Part, area: Floats, normals: Floats, walker: Walker, ranges: DefectRanges, rng: np.random.Generator
) -> Defect | str:
    faces, weights = uniform_sites(area, 1, rng)
    face, weight = int(faces[0]), weights[0]
    site = _Site(face, weight @ part.corners_mm[face], unit(weight @ normals[face]), int(part.cad_face_idx[face]))
    if rng.random() < ranges.scratch_share:
        return _scratch(site, part, normals, walker, ranges, rng)
    return _dent(site, ranges, rng)


def _dent(site: _Site, ranges: DefectRanges, rng: np.random.Generator) -> Defect:
    radius = _log_uniform(rng, ranges.dent_radius_mm)
    return Defect(
        id=0, kind="dent", **site._asdict(), path_mm=site.center_mm[None], path_normal=site.normal[None],
        size_mm=2.0 * radius, width_mm=2.0 * radius, depth_mm=radius * _log_uniform(rng, ranges.dent_depth),
        rim=float(rng.uniform(0.0, 0.12)), parameters={"radius_mm": radius},
    )  # fmt: skip


def _scratch(
    site: _Site, part: Part, normals: Floats, walker: Walker, ranges: DefectRanges, rng: np.random.Generator
) -> Defect | str:
    width = _log_uniform(rng, ranges.scratch_width_mm)
    length = _log_uniform(rng, ranges.scratch_length_mm)
    bend = {
        "amplitude_deg": float(rng.uniform(0.0, 25.0)),
        "wavelength_mm": float(length * rng.uniform(0.7, 2.0)),
        "phase_deg": float(rng.uniform(0.0, 360.0)),
    }
    depth = width * _log_uniform(rng, ranges.scratch_depth)
    rim = float(rng.uniform(0.05, 0.3))
    for _ in range(_HEADINGS_PER_SITE):
        heading = _tangent(site.normal, rng.uniform(0.0, 2.0 * np.pi))
        path = _path(walker, site, heading, length, width, bend)
        # Rounding in the steps must not turn down a walk that was not cut short.
        if path.length_mm >= 0.99 * ranges.scratch_length_mm[0]:
            break
    else:
        return "too short"
    return Defect(
        id=0,
        kind="scratch",
        **site._asdict(),
        path_mm=path.points_mm,
        path_normal=interpolated_normals(part, normals, path.face_idx, path.points_mm),
        size_mm=path.length_mm,
        width_mm=width,
        depth_mm=depth,
        rim=rim,
        parameters={
            "drawn_length_mm": length,
            "heading": heading.tolist(),
            "roughness": _groove_roughness(ranges, rng.spawn(1)[0]),
            **bend,
        },
    )


def _groove_roughness(ranges: DefectRanges, rng: np.random.Generator) -> float:
    """By that of the surface around: a torn groove is rougher, a burnished one smoother."""
    return float(rng.uniform(*(_TORN if rng.random() < ranges.torn_share else _BURNISHED)))


def _path(walker: Walker, site: _Site, heading: Floats, length: float, width: float, bend: dict[str, float]) -> Walk:
    """The walk of a length with the site in its middle; its heading swings like a sine."""
    amplitude, phase = np.deg2rad(bend["amplitude_deg"]), np.deg2rad(bend["phase_deg"])
    rate = 2.0 * np.pi / bend["wavelength_mm"]

    def half(sign: float) -> Walk:
        def turn_at(distance: float) -> float:
            return float(amplitude * (np.sin(phase + sign * rate * distance) - np.sin(phase)))

        return walker.walk(
            site.part_face, site.center_mm, sign * heading, length_mm=0.5 * length, step_mm=0.4 * width, turn_at=turn_at
        )

    back, ahead = half(-1.0), half(1.0)
    return Walk(
        points_mm=np.concatenate([back.points_mm[:0:-1], ahead.points_mm]),
        face_idx=np.concatenate([back.face_idx[:0:-1], ahead.face_idx]),
    )


def _touch(one: Defect, other: Defect) -> bool:
    (center, radius), (other_center, other_radius) = one.sphere, other.sphere
    if np.linalg.norm(center - other_center) > radius + other_radius:
        return False
    gap = np.linalg.norm(one.path_mm[:, None] - other.path_mm[None], axis=2).min()
    return bool(gap < one.reach_mm + other.reach_mm)


def _tangent(normal: Floats, angle: float) -> Floats:
    x = unit(np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))]))
    return np.cos(angle) * x + np.sin(angle) * np.cross(normal, x)


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    low, high = limits
    return float(low * (high / low) ** rng.random())
