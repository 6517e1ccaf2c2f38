"""Faces that no camera outside the part can see."""

from __future__ import annotations

import numpy as np
from numba import njit

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.bodies import closed_shells
from viewcov.inspection.mesh.cells import cells_of, faces_at, unit_points
from viewcov.inspection.mesh.part import triangle_areas, triangle_normals
from viewcov.inspection.mesh.piercing import crossing
from viewcov.inspection.mesh.split import unique_edges

OFFSET = 1e-5
"""How far before a face its outer side is looked at, as a share of the size; as far as rays start off it."""


# Any turn that leaves no axis of a CAD model parallel to the rays: none passes exactly through an edge then.
_TURN = np.linalg.qr(np.array([[1.0, 0.317, 0.171], [0.433, 1.0, 0.293], [0.191, 0.379, 1.0]]))[0]


def _spread_directions(num: int) -> Floats:
    """Unit vectors, shape (N, 3), along a spiral with even area (Fibonacci)."""
    z = 1.0 - (2.0 * np.arange(num) + 1.0) / num
    turn = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(num)
    radius = np.sqrt(1.0 - z**2)
    return np.column_stack([radius * np.cos(turn), radius * np.sin(turn), z])


_SPREAD = _spread_directions(96)


def enclosed_faces(vertices: Floats, faces: Ints, body: Ints) -> Bools:
    """Faces whose outer side lies wholly inside a closed body, shape (F,): no camera outside can see them.

    Such are faces where bodies touch, walls of closed cavities with all that lies in them, and what a body
    buries of another or of itself. It is a proof: there is no way out of a closed surface from a point where
    its winding number is not zero, and a face that crosses no surface is inside as a whole if one point is.
    Faces that are hidden without being enclosed, such as the walls of a narrow gap, are not meant.

    The vertices (N, 3) are those of faces (F, 3), wound outward, and ``body`` (F,) numbers what is connected by edges
    that just two faces share.
    """
    shell = closed_shells(faces, body)
    walls = np.flatnonzero(shell >= 0)
    if not len(walls):
        return np.zeros(len(faces), dtype=bool)
    points = unit_points(vertices)
    corners = points[faces]
    middle, ahead = corners.mean(axis=1), OFFSET * triangle_normals(corners)
    turned = corners[walls] @ _TURN
    inside = np.asarray(_wound_around((middle + ahead) @ _TURN, turned, shell[walls], cells_of(turned)))
    buried = np.flatnonzero(inside)
    # The outer sides as triangles of their own, a little smaller so that they do not touch the walls around.
    outer = (middle + ahead)[buried, None] + 0.999 * (corners - middle[:, None])[buried]
    edges, _ = unique_edges(faces[walls])
    inside[buried[crossing(outer, corners[walls], points[edges])]] = False
    return inside


def unseen_bodies(vertices: Floats, faces: Ints, body: Ints) -> Ints:
    """Bodies of which no face has its middle seen from far away, in any of many directions spread over the sphere.

    A body found so may still be seen from near by or through a narrow gap; one that is not found is seen for sure.
    """
    corners = unit_points(vertices)[faces]
    order = np.lexsort((-triangle_areas(corners), body))
    rank = np.arange(len(faces)) - np.searchsorted(body[order], body[order])
    # Most bodies are seen by one of their largest faces; all faces are asked of those that are not.
    seen = np.zeros(int(body.max()) + 1, dtype=bool)
    for ask, directions in ((order[rank < 16], _SPREAD[::4]), (order, _SPREAD)):
        _look_at(corners, body, ask, directions, seen)
    return np.flatnonzero(~seen)


def _look_at(corners: Floats, body: Ints, ask: Ints, directions: Floats, seen: Bools) -> None:
    """Mark in place, in ``seen`` (B,), the bodies of faces ``ask`` that are seen from one of the directions."""
    normal = triangle_normals(corners)
    points = corners.mean(axis=1) + OFFSET * normal
    for toward in directions:
        ask = ask[~seen[body[ask]]]
        if not len(ask):
            break
        facing = ask[normal[ask] @ toward > 0.05]
        # Turned so that the direction of sight is +z.
        across = np.linalg.svd(toward[None])[2][1:]
        turn = np.stack([across[0], np.cross(toward, across[0]), toward])
        turned = np.ascontiguousarray(corners @ turn.T)
        free = _free(np.ascontiguousarray(points[facing] @ turn.T), turned, cells_of(turned))
        seen[body[facing[free]]] = True


@njit(cache=True, nogil=True)
def _wound_around(points, corners, shell, cells):  # type: ignore[no-untyped-def]
    """Whether any shell has a winding number other than zero at each point: signed crossings of a ray along +z."""
    inside = np.zeros(len(points), np.bool_)
    winding = np.zeros(shell.max() + 1, np.int64)
    for index in range(len(points)):
        x, y, z = points[index]
        near = faces_at(x, y, cells)
        for face in near:
            winding[shell[face]] += _crossing(x, y, z, corners[face])
        for face in near:
            if winding[shell[face]] != 0:
                inside[index] = True
                winding[shell[face]] = 0
    return inside


@njit(cache=True, nogil=True)
def _crossing(x, y, z, corners):  # type: ignore[no-untyped-def]
    """+1 or -1 where the ray from (x, y, z) along +z leaves or enters through the triangle, 0 where it misses."""
    ax, ay = corners[0, 0] - x, corners[0, 1] - y
    bx, by = corners[1, 0] - x, corners[1, 1] - y
    cx, cy = corners[2, 0] - x, corners[2, 1] - y
    u, v, w = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    if u > 0 and v > 0 and w > 0:
        sign = 1
    elif u < 0 and v < 0 and w < 0:
        sign = -1
    else:
        return 0
    height = (u * corners[0, 2] + v * corners[1, 2] + w * corners[2, 2]) / (u + v + w)
    return sign if height > z else 0


@njit(cache=True, nogil=True)
def _free(points, corners, cells):  # type: ignore[no-untyped-def]
    """Whether nothing lies above each point along +z."""
    free = np.ones(len(points), np.bool_)
    for index in range(len(points)):
        x, y, z = points[index]
        for face in faces_at(x, y, cells):
            if _crossing(x, y, z, corners[face]) != 0:
                free[index] = False
                break
    return free
