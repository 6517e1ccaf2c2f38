"""Faces that pierce each other."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.cells import cells_of, unit_points
from viewcov.inspection.mesh.split import unique_edges

Flags: TypeAlias = NDArray[np.uint8]

TOUCH = 1e-6
"""An edge that ends less than this share of the size behind a face touches it and does not pierce it."""


def piercing_faces(vertices: Floats, faces: Ints, body: Ints) -> tuple[Bools, Bools]:
    """Which faces, shape (F,), pierce or are pierced by one of their own body, and which by one of another.

    Touching is no piercing. Faces as `enclosed_faces` takes them.
    """
    points = unit_points(vertices)
    corners = np.ascontiguousarray(points[faces])
    edges, face_edges = unique_edges(faces)
    owner = np.empty(len(edges), dtype=np.int64)
    owner[face_edges] = np.arange(len(faces))[:, None]
    of_edge, of_face = _pierce((points[edges], edges, body[owner]), (corners, faces, body))
    hits = of_face | np.bitwise_or.reduce(of_edge[face_edges], axis=1)
    return (hits & 1) > 0, (hits & 2) > 0


def crossing(triangles: Floats, corners: Floats, ends: Floats) -> Bools:
    """Which triangles (T, 3, 3) pierce faces with corners (F, 3, 3) or are pierced by edges with ends (E, 2, 3)."""
    if not len(triangles):
        return np.zeros(0, dtype=bool)
    sides = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2, 3)
    piercing = _pierce(_strangers(sides), _strangers(corners))[0].reshape(-1, 3).any(axis=1)
    return np.asarray(piercing | (_pierce(_strangers(ends), _strangers(triangles))[1] > 0))


def _strangers(corners: Floats) -> tuple[Floats, Ints, Ints]:
    """Edges or triangles of one body with corner numbers that no two have in common, negative ones for triangles."""
    num, sides = corners.shape[:2]
    numbers = np.arange(num * sides).reshape(num, sides)
    return corners, numbers if sides == 2 else -1 - numbers, np.zeros(num, dtype=np.int64)


def _pierce(edges: tuple[Floats, Ints, Ints], faces: tuple[Floats, Ints, Ints]) -> tuple[Flags, Flags]:
    """Flags per edge (E,) and per triangle (F,): 1 pierced within a body, 2 between two.

    Edges and faces are tuples of corners, corners' numbers and body. An edge and a triangle with a corner in common
    are not compared.
    """
    boxes = [np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1) for corners in (edges[0], faces[0])]
    return _flags(edges, faces, (boxes[0], boxes[1]), cells_of(faces[0]))


@njit(cache=True, nogil=True)
def _flags(edges, faces, boxes, cells):  # type: ignore[no-untyped-def]
    (ends, end_idx, end_body), (corners, corner_idx, body) = edges, faces
    end_box, face_box = boxes
    low, per_unit, num, start, entry = cells
    of_edge, of_face = np.zeros(len(ends), np.uint8), np.zeros(len(corners), np.uint8)
    for edge in range(len(ends)):
        a, b = ends[edge, 0], ends[edge, 1]
        row, last_row = _span(a[1], b[1], low[1], per_unit[1], num[1])
        for at_row in range(row, last_row + 1):
            # The columns that the edge runs through in this row of cells.
            bottom, top = low[1] + at_row / per_unit[1], low[1] + (at_row + 1) / per_unit[1]
            x0, x1 = _x_at(a, b, bottom), _x_at(a, b, top)
            column, last_column = _span(x0, x1, low[0], per_unit[0], num[0])
            for cell in range(at_row * num[0] + column, at_row * num[0] + last_column + 1):
                for face in entry[start[cell] : start[cell + 1]]:
                    if _apart(end_box[edge], face_box[face]):
                        continue
                    if _is_pierced(a, b, end_idx[edge], corners[face], corner_idx[face]):
                        flag = np.uint8(1 if end_body[edge] == body[face] else 2)
                        of_edge[edge] |= flag
                        of_face[face] |= flag
    return of_edge, of_face


@njit(cache=True, nogil=True)
def _span(u, v, low, per_unit, num):  # type: ignore[no-untyped-def]
    """First and last cell between two coordinates, none (1, 0) where both lie on one side of the grid."""
    first, last = (min(u, v) - low) * per_unit, (max(u, v) - low) * per_unit
    if last < 0 or first > num:
        return 1, 0
    return max(int(first), 0), min(int(max(last, 0.0)), num - 1)


@njit(cache=True, nogil=True)
def _x_at(a, b, y):  # type: ignore[no-untyped-def]
    """Place along x of the edge from a to b where it passes a height y, or of its end nearest to that."""
    if a[1] == b[1]:
        return a[0] if y < a[1] else b[0]
    share = (y - a[1]) / (b[1] - a[1])
    return a[0] + min(max(share, 0.0), 1.0) * (b[0] - a[0])


@njit(cache=True, nogil=True)
def _apart(one, other):  # type: ignore[no-untyped-def]
    """Whether two boxes, three lowest and three highest coordinates each, do not meet."""
    beside = one[0] > other[3] or other[0] > one[3] or one[1] > other[4] or other[1] > one[4]
    return beside or one[2] > other[5] or other[2] > one[5]


@njit(cache=True, nogil=True)
def _is_pierced(a, b, end_idx, corners, corner_idx):  # type: ignore[no-untyped-def]
    """Whether the edge from a to b passes through the triangle, by at least ``TOUCH`` on every side."""
    for k in range(3):
        if corner_idx[k] == end_idx[0] or corner_idx[k] == end_idx[1]:
            return False
    normal = _cross(corners[0], corners[1], corners[2])
    length = _length(normal)
    above, below = _height(a, corners[0], normal) / length, _height(b, corners[0], normal) / length
    if not (min(above, below) < -TOUCH and max(above, below) > TOUCH):
        return False
    share = above / (above - below)
    hit = (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2]))
    for k in range(3):
        u, v = corners[k], corners[(k + 1) % 3]
        side = _cross(u, v, hit)
        level = (side[0] * normal[0] + side[1] * normal[1] + side[2] * normal[2]) / length
        if level <= TOUCH * _length((v[0] - u[0], v[1] - u[1], v[2] - u[2])):
            return False
    return True


@njit(cache=True, nogil=True)
def _cross(p, q, r):  # type: ignore[no-untyped-def]
    """(q - p) x (r - p), without the arrays that numpy would make."""
    ux, uy, uz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    vx, vy, vz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@njit(cache=True, nogil=True)
def _height(point, origin, normal):  # type: ignore[no-untyped-def]
    return (point[0] - origin[0]) * normal[0] + (point[1] - origin[1]) * normal[1] + (point[2] - origin[2]) * normal[2]


@njit(cache=True, nogil=True)
def _length(vector):  # type: ignore[no-untyped-def]
    return np.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2)
