"""The part to be inspected, as loaded and mended, and the normals of its triangles and smooth CAD faces."""

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
class FileSource:
    """Where something comes from; a part of ``plan.json``."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    path: FilePath
    """Path of the file, or ``builtin:NAME`` of a part."""

    sha256: Sha256
    """SHA-256 of the file's bytes, or of the built-in part's arrays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSource(FileSource):
    """Where a part comes from and how its numbers are to be read; a part of ``plan.json``."""

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
    return unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))


def unit(vectors: Floats) -> Floats:
    """Vectors of shape (..., 3) at length 1; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def cad_corner_normals(part: Part) -> Floats:
    """Unit normals at the corners of the part's triangles, shape (F, 3, 3).

    A corner's normal is the mean of the triangle normals around its vertex, weighted by their angle there,
    over the triangles of the same CAD face only: a turned cylinder is round and its edge to the end sharp.
    """
    corners = part.corners_mm
    normals = triangle_normals(corners)
    ahead, back = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    angle = np.arctan2(np.linalg.norm(np.cross(ahead, back), axis=2), np.einsum("fci,fci->fc", ahead, back))
    group = smooth_groups(part.faces, part.cad_face_idx)
    smooth = unit(sum_by_group(group, angle[:, :, None] * normals[:, None, :]))[group]
    # Where a sheet meets its own back (sum zero or turned away), the triangle's own normal is the best guess.
    opposed = np.einsum("fci,fi->fc", smooth, normals) < 0.1
    return np.where(opposed[:, :, None], normals[:, None, :], smooth)


def smooth_groups(faces: Ints, cad_face_idx: Ints32) -> Ints:
    """Number of the (vertex, CAD face) pair at each corner, shape (F, 3); equal numbers share a normal."""
    key = faces * (int(cad_face_idx.max()) + 1) + cad_face_idx[:, None].astype(np.int64)
    return np.unique(key, return_inverse=True)[1].reshape(-1, 3)


def sum_by_group(group: Ints, vectors: Floats) -> Floats:
    """Sums of vectors, shape (..., 3), by group number, shape (...): shape (G, 3)."""
    flat, rows = group.ravel(), vectors.reshape(-1, 3)
    return np.column_stack([np.bincount(flat, weights=rows[:, axis]) for axis in range(3)])


def interpolated_normals(part: Part, corner_normals: Floats, face_idx: Ints, points_mm: Floats) -> Floats:
    """The corners' normals (F, 3, 3) at points (N, 3) on the part's triangles (N,), as unit vectors (N, 3).

    Interpolated as a renderer does: the surface that light sees is round where that of the triangles has edges.
    """
    corners = part.corners_mm[face_idx]
    to_b, to_c, arm = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points_mm - corners[:, 0]
    normal = np.cross(to_b, to_c)
    square = np.einsum("ni,ni->n", normal, normal)
    weight_b = np.einsum("ni,ni->n", np.cross(arm, to_c), normal)
    weight_c = np.einsum("ni,ni->n", np.cross(to_b, arm), normal)
    weights = np.stack([square - weight_b - weight_c, weight_b, weight_c], axis=1)
    return unit(np.einsum("nc,nci->ni", np.maximum(weights, 0.0), corner_normals[face_idx]))
