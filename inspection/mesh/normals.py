"""The smooth normals of the CAD faces that a part's triangles stand for."""

from __future__ import annotations

import numpy as np

from viewcov.inspection.arrays import Floats, Ints, Ints32
from viewcov.inspection.mesh.part import Part, triangle_normals


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


def unit(vectors: Floats) -> Floats:
    """Vectors of shape (..., 3) at length 1; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


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
