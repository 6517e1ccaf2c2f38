"""The part to be inspected, as loaded and mended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import ConfigDict

from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32, locked, locked_floats
from viewcov.inspection.records import FilePath, Positive, Sha256

Unit = Literal["mm", "cm", "m", "inch"]
"""Units that a user can name for a mesh file."""

Severity = Literal["note", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something noteworthy about a file, and what was or can be done about it."""

    name: str
    """Short fixed name, such as ``open-edges``."""

    count: int
    """How many edges, faces or values it concerns."""

    severity: Severity
    """``note``: mended or harmless; ``warning``: results may suffer; ``error``: cannot be used."""

    remedy: str
    """What was done, or what the user can do."""


def tell(findings: list[Finding], name: str, count: int, severity: Severity, remedy: str) -> None:
    """Append a finding, if it concerns anything."""
    if count:
        findings.append(Finding(name=name, count=count, severity=severity, remedy=remedy))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSource:
    """Where a part comes from and how its numbers are to be read; a part of ``plan.json``."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    path: FilePath
    """Path of the file, or ``builtin:NAME``."""

    sha256: Sha256
    """SHA-256 of the file's bytes, or of the built-in part's arrays."""

    units: Unit | None = None
    """Unit said by the user for a file that has none."""

    scale_mm: Positive | None = None
    """Largest extent in mm that the part was scaled to, if any."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A closed triangle mesh in millimetres in the CAD frame, right-handed, normals outward."""

    name: str
    """File stem or built-in name."""

    vertices_mm: Floats
    """Shape (N, 3)."""

    faces: Ints
    """Shape (F, 3), counter-clockwise seen from outside."""

    cad_face_idx: Ints32
    """Shape (F,): CAD face of each triangle, from the file or, where it has none, found at sharp edges."""

    source: PartSource
    """Where it came from."""

    findings: tuple[Finding, ...] = ()
    """What was found and mended when it was loaded."""

    inspected: Bools | None = None
    """Shape (F,): which triangles are to be inspected; all if not given."""

    file_units: str | None = None
    """Unit that the file itself states, such as ``inch`` in a STEP file; None if it states none."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "vertices_mm", locked_floats(self.vertices_mm, name="vertices_mm", shape=(None, 3)))
        put(self, "faces", locked(self.faces, name="faces", shape=(None, 3), dtype=np.int64))
        num_faces = len(self.faces)
        if num_faces == 0:
            raise ValueError("faces must not be empty, got shape (0, 3)")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices_mm):
            raise ValueError(
                f"faces must index {len(self.vertices_mm)} vertices, got {self.faces.min()} to {self.faces.max()}"
            )
        cad_face_idx = locked(self.cad_face_idx, name="cad_face_idx", shape=(num_faces,), dtype=np.int32)
        put(self, "cad_face_idx", cad_face_idx)
        inspected = np.ones(num_faces, dtype=bool) if self.inspected is None else self.inspected
        put(self, "inspected", locked(inspected, name="inspected", shape=(num_faces,), dtype=np.bool_))

    @property
    def corners_mm(self) -> Floats:
        """Shape (F, 3, 3)."""
        return self.vertices_mm[self.faces]

    @property
    def area_mm2(self) -> float:
        """Area of all triangles."""
        return float(triangle_areas(self.corners_mm).sum())

    @property
    def bounds_mm(self) -> Floats:
        """Lowest and highest corner of the bounding box, shape (2, 3)."""
        used = self.vertices_mm[np.unique(self.faces)]
        return np.stack([used.min(axis=0), used.max(axis=0)])

    @property
    def center_mm(self) -> Floats:
        """Middle of the bounding box, shape (3,)."""
        return self.bounds_mm.mean(axis=0)

    @property
    def largest_extent_mm(self) -> float:
        """Longest side of the bounding box."""
        low, high = self.bounds_mm
        return float((high - low).max())


def snapped(part: Part) -> Part:
    """The part with its vertices on a decimal grid of at most about a hundred-thousandth of its size.

    Files of the same part in other units differ in their last digits, and where two choices are equally good
    those would decide: what is computed from the snapped part is the same for all of them. Vertices of triangles
    that are not much larger than the grid stay where they are.
    """
    # Not exactly 1e-5: parts have extents of 10 or 100 mm, and the last digits shall not decide on the grid either.
    grid_mm = 10.0 ** np.floor(np.log10(1.03e-5 * part.largest_extent_mm))
    longest = edge_lengths(part.corners_mm).max(axis=1)
    height_mm = 2 * triangle_areas(part.corners_mm) / longest
    free = np.ones(len(part.vertices_mm), dtype=bool)
    free[part.faces[height_mm < 20 * grid_mm]] = False
    # The limit between two grid lines lies where no decimal or inch fraction does.
    on_grid = np.floor(part.vertices_mm / grid_mm + 0.6371) * grid_mm
    return replace(part, vertices_mm=np.where(free[:, None], on_grid, part.vertices_mm))


def edge_lengths(corners: Floats) -> Floats:
    """Lengths of the edges from each corner to the next, shape (F, 3), of triangles with corners (F, 3, 3)."""
    return np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)


def triangle_areas(corners: Floats) -> Floats:
    """Areas, shape (F,), of triangles with corners of shape (F, 3, 3)."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return 0.5 * np.linalg.norm(cross, axis=1)


def triangle_normals(corners: Floats) -> Floats:
    """Unit normals, shape (F, 3), of triangles with corners (F, 3, 3); zero where the area is zero."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    return np.divide(cross, length, out=np.zeros_like(cross), where=length > 0)
