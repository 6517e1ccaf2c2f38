"""Pressing defects into a part's surface: real geometry, with exact labels and the way back to the part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32
from viewcov.inspection.lay import FaceLay, polar_edge_limit_mm
from viewcov.inspection.mesh.part import (
    Part,
    cad_corner_normals,
    smooth_groups,
    sum_by_group,
    triangle_areas,
    triangle_normals,
    unit,
)
from viewcov.synthesis.defects import LABELLED_DEPTH, RIM_REACH, Defect
from viewcov.synthesis.refinement import RefinedMesh, refine, unrefined

_LEAST_FACING = 0.2
"""Cosine between the normals at a point and at the defect, below which the point is on another wall."""

_TAPER_SHARE = 0.15
_MAX_HALVINGS = 12
_FINEST_EDGE_MM = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Imprint:
    """A part's mesh, locally refined and displaced."""

    part: Part
    """The undeformed part."""

    mesh: RefinedMesh
    """The refined mesh before displacement."""

    defects: tuple[Defect, ...]
    """What was pressed in."""

    vertices_mm: Floats
    """Shape (N, 3): displaced vertices of ``mesh``."""

    corner_normals: Floats
    """Shape (G, 3, 3): unit shading normals, the CAD faces' own where nothing was displaced."""

    defect_id: Ints32
    """Shape (G,): number of the defect that each face is part of, 0 for none."""

    @property
    def cad_face_idx(self) -> Ints32:
        """Shape (G,): CAD face of each face."""
        return self.part.cad_face_idx[self.mesh.part_face]

    def truth_samples(self) -> dict[str, Ints32 | Ints | Floats]:
        """Columns of the truth table: one row per face of a defect, on the undeformed surface."""
        rows = np.flatnonzero(self.defect_id)
        corners = self.mesh.corners_mm[rows]
        x, y, z = corners.mean(axis=1).T
        return {
            "defect_id": self.defect_id[rows],
            "part_face": self.mesh.part_face[rows],
            "x_mm": x,
            "y_mm": y,
            "z_mm": z,
            "area_mm2": triangle_areas(corners),
        }

    def defect_areas_mm2(self) -> Floats:
        """Area of each defect on the undeformed surface, shape (D,)."""
        area = triangle_areas(self.mesh.corners_mm)
        total = np.bincount(self.defect_id, weights=area, minlength=len(self.defects) + 1)
        return total[1:].astype(np.float64)


def refined_for(
    part: Part, defects: Sequence[Defect], *, mm_per_px: float, lays: tuple[FaceLay, ...] = ()
) -> RefinedMesh:
    """The part's mesh, fine enough for the defects and for the lay of flat turned faces.

    Much finer triangles than the images' sampling ``mm_per_px`` would be wasted; ``lays`` are those of `face_lays`.
    """
    mesh = unrefined(part)
    if lays:
        # The lay may bend by a quarter of a pixel: grooves are some pixels apart.
        mesh = refine(
            mesh, lambda corners, face: polar_edge_limit_mm(lays, part.cad_face_idx[face], corners, 0.25 * mm_per_px)
        )
    if not defects:
        return mesh
    facing = triangle_normals(part.corners_mm)
    return refine(mesh, lambda corners, face: _defect_edge_limit(defects, corners, facing[face], mm_per_px))


def imprint(part: Part, defects: Sequence[Defect], mesh: RefinedMesh) -> Imprint:
    """The part with the defects pressed into a mesh that is `refined_for` them.

    With no defects it is the clean twin: the same triangles, undisplaced, with the CAD normals to the last bit, so
    that a difference of two renderings shows the defects and nothing else.
    """
    cad_normals = unit(mesh.at_corners(cad_corner_normals(part)))
    vertex_normals = unit(sum_by_group(mesh.faces, triangle_areas(mesh.corners_mm)[:, None, None] * cad_normals))
    height, owner = _heights(defects, mesh.vertices_mm, vertex_normals)
    height = _unfolded(mesh, height, vertex_normals)
    defect_id = _labels(defects, mesh, height, owner)
    raised = height != 0
    vertices = np.array(mesh.vertices_mm)
    vertices[raised] += height[raised, None] * vertex_normals[raised]
    shading = np.array(_tilted(part, mesh, cad_normals, height))
    rows = np.flatnonzero(raised[mesh.faces].any(axis=1))
    facing = triangle_normals(vertices[mesh.faces[rows]])[:, None]
    # Where the gradient changes within a triangle its corners' normals may point away from it.
    away = np.einsum("gci,gci->gc", np.broadcast_to(facing, shading[rows].shape), shading[rows]) <= 0
    shading[rows] = np.where(away[:, :, None], facing, shading[rows])
    return Imprint(
        part=part, mesh=mesh, defects=tuple(defects), vertices_mm=vertices,
        corner_normals=shading, defect_id=defect_id,
    )  # fmt: skip


def _unfolded(mesh: RefinedMesh, height: Floats, normals: Floats) -> Floats:
    """Heights halved where a face would turn over, as on a fillet that is narrower than the defect is deep."""
    rows = np.flatnonzero((height[mesh.faces] != 0).any(axis=1))
    before, lowered = triangle_normals(mesh.corners_mm[rows]), np.array(height)
    for _ in range(_MAX_HALVINGS):
        moved = mesh.vertices_mm + lowered[:, None] * normals
        over = np.einsum("gi,gi->g", before, triangle_normals(moved[mesh.faces[rows]])) <= 0.0
        if not over.any():
            break
        lowered[np.unique(mesh.faces[rows[over]])] *= 0.5
    return lowered


def _edge_mm(defect: Defect, mm_per_px: float) -> float:
    """Longest edge within a defect: enough for its shape, and no finer than a pixel beyond that."""
    if defect.kind == "dent":
        edge = min(defect.outer_mm / 6.0, max(defect.outer_mm / 12.0, mm_per_px))
    else:
        edge = defect.width_mm / 4.0
    return max(edge, _FINEST_EDGE_MM)


def _defect_edge_limit(defects: Sequence[Defect], corners: Floats, normal: Floats, mm_per_px: float) -> Floats:
    """Longest edge, shape (G,), of triangles (G, 3, 3) whose sphere meets a defect; infinity elsewhere."""
    limit = np.full(len(corners), np.inf)
    middle = corners.mean(axis=1)
    radius = np.linalg.norm(corners - middle[:, None], axis=2).max(axis=1)
    for defect in defects:
        center, reach = defect.sphere
        arm = middle - center
        near = np.flatnonzero(np.einsum("gi,gi->g", arm, arm) < (reach + radius) ** 2)
        if not near.size:
            continue
        distance, _, at = _nearest_on_path(defect, middle[near])
        facing = np.einsum("gi,gi->g", normal[near], defect.path_normal[at]) > 0.0
        hit = near[(distance < defect.reach_mm + radius[near]) & facing]
        limit[hit] = np.minimum(limit[hit], _edge_mm(defect, mm_per_px))
    return limit


def _nearest_on_path(defect: Defect, points: Floats) -> tuple[Floats, Floats, Ints]:
    """Distance to a defect's path, distance along it, and nearest path point, shapes (N,)."""
    path = defect.path_mm
    if len(path) == 1:
        return (np.linalg.norm(points - path[0], axis=1), np.zeros(len(points)), np.zeros(len(points), np.int64))
    from scipy.spatial import cKDTree

    step = np.diff(path, axis=0)
    step_length = np.maximum(np.linalg.norm(step, axis=1), 1e-12)
    start_at = np.concatenate([[0.0], np.cumsum(step_length)])
    nearest = np.asarray(cKDTree(path).query(points)[1], dtype=np.int64)
    best, along = np.full(len(points), np.inf), np.zeros(len(points))
    for segment in (np.maximum(nearest - 1, 0), np.minimum(nearest, len(step) - 1)):
        share = np.einsum("ni,ni->n", points - path[segment], step[segment]) / step_length[segment] ** 2
        share = np.clip(share, 0.0, 1.0)
        distance = np.linalg.norm(points - path[segment] - share[:, None] * step[segment], axis=1)
        along = np.where(distance < best, start_at[segment] + share * step_length[segment], along)
        best = np.minimum(best, distance)
    return best, along, nearest


def _heights(defects: Sequence[Defect], points: Floats, normals: Floats) -> tuple[Floats, Ints]:
    """Height over the undeformed surface in mm (negative in hollows), and which defect made it (-1 none)."""
    height, owner = np.zeros(len(points)), np.full(len(points), -1, dtype=np.int64)
    for idx, defect in enumerate(defects):
        center, reach = defect.sphere
        near = np.flatnonzero(((points - center) ** 2).sum(axis=1) < reach**2)
        distance, along, at = _nearest_on_path(defect, points[near])
        facing = np.einsum("ni,ni->n", normals[near], defect.path_normal[at]) > _LEAST_FACING
        raised = facing & (distance < defect.reach_mm)
        rows = near[raised]
        height[rows] = _profile(defect, distance[raised], along[raised])
        owner[rows] = idx
    return height, owner


def _profile(defect: Defect, distance: Floats, along: Floats) -> Floats:
    """Height at distances from a defect's path and places along it, shape (N,)."""
    x = distance / defect.outer_mm
    bowl = np.clip(1.0 - x * x, 0.0, None)
    depth = np.full(len(x), defect.depth_mm)
    if defect.kind == "dent":
        hollow = bowl**2
    else:
        hollow = bowl
        taper = min(2.0 * defect.width_mm, _TAPER_SHARE * defect.size_mm)
        to_end = np.clip(np.minimum(along, defect.size_mm - along) / taper, 0.0, 1.0)
        depth = depth * to_end * (2.0 - to_end)
    rim = np.clip((x - 1.0) / (RIM_REACH - 1.0), 0.0, 1.0)
    return depth * (defect.rim * 16.0 * (rim * (1.0 - rim)) ** 2 - hollow)


def _labels(defects: Sequence[Defect], mesh: RefinedMesh, height: Floats, owner: Ints) -> Ints32:
    """Number of the defect of each face, shape (G,): where its middle has sunk by a share of the depth."""
    depth = np.array([defect.depth_mm for defect in defects] + [np.inf])
    number = np.array([defect.id for defect in defects] + [0], dtype=np.int32)
    at = owner[mesh.faces].max(axis=1)
    sunk = -height[mesh.faces].mean(axis=1) > LABELLED_DEPTH * depth[at]
    return np.where(sunk, number[at], 0).astype(np.int32)


def _tilted(part: Part, mesh: RefinedMesh, cad_normals: Floats, height: Floats) -> Floats:
    """Shading normals, shape (G, 3, 3): CAD normals minus the gradient of the height along the surface."""
    rows = np.flatnonzero((height[mesh.faces] != 0).any(axis=1))
    if not rows.size:
        return cad_normals
    corners, values = mesh.corners_mm[rows], height[mesh.faces[rows]]
    normal, area = triangle_normals(corners), triangle_areas(corners)
    # Linear elements: the gradient is the sum of corner heights times n x (opposite edge) / 2 A.
    opposite = np.roll(corners, -2, axis=1) - np.roll(corners, -1, axis=1)
    slope = np.einsum("gc,gci->gi", values, np.cross(normal[:, None], opposite)) / (2.0 * area[:, None])
    group = smooth_groups(mesh.faces[rows], part.cad_face_idx[mesh.part_face[rows]])
    weighted = np.broadcast_to((area[:, None] * slope)[:, None], (len(rows), 3, 3))
    total = np.bincount(group.ravel(), weights=np.repeat(area, 3))
    gradient = (sum_by_group(group, weighted) / total[:, None])[group]
    moved: Bools = (gradient != 0).any(axis=2)
    tilted = np.array(cad_normals)
    tilted[rows] = np.where(moved[:, :, None], unit(cad_normals[rows] - gradient), cad_normals[rows])
    return tilted
