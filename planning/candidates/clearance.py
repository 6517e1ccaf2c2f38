"""Whether the camera's body and the ring light keep clear of the part, the fixture and the table."""

from __future__ import annotations

import numpy as np
from numba import njit

from viewcov.inspection.arrays import Bools, Floats
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.fixture import obstacles_of
from viewcov.inspection.rig.rig import Rig

_CELLS = 24
"""Cells along a mesh's longest side that its points are put into."""

_FIXTURE_ELEMENTS = 50_000
"""Elements that a fixture's mesh is cut into at most, where its own triangles are not more; no finer than the part."""

_Tube = tuple[float, float, float, float]
"""Around the optical axis: inner and outer radius, back and front, in mm. Full where the inner radius is 0."""


class Clearance:
    """Distances of the body, and of the ring light in front of it, from all that they must not touch.

    Part and fixture are represented by the corners of their elements. No point of an element is farther than
    ``max_edge_mm / sqrt(3)`` from its nearest corner, and that much is added to the rig's clearance: where the
    test passes, no point of a surface is closer than the clearance. The table is exact.

    Raises
    ------
    InputError
        If the rig's fixture cannot be loaded.
    """

    def __init__(self, surface: Surface, rig: Rig) -> None:
        self._tubes = _tubes(rig)
        self._needed_mm = rig.body.clearance_mm
        self._obstacles = obstacles_of(rig.fixture)
        surfaces = [surface]
        for part in self._obstacles.parts:
            edge_mm = 2.0 * float(np.sqrt(part.area_mm2 / _FIXTURE_ELEMENTS))
            surfaces.append(cut_surface(part, max(surface.max_edge_mm, edge_mm)))
        self._clouds = [_Cloud(some, self._tubes, rig.body.clearance_mm) for some in surfaces]

    def clear(self, center_mm: Floats, forward: Floats) -> Bools:
        """Whether cameras with these centres and optical axes (unit length), shapes (C, 3), keep clear, shape (C,)."""
        clear = self._above_table_mm(center_mm, forward) >= self._needed_mm
        for cloud in self._clouds:
            left = np.flatnonzero(clear)
            clear[left] = cloud.clear(center_mm[left], forward[left])
        return clear

    def _above_table_mm(self, center_mm: Floats, forward: Floats) -> Floats:
        """Height of the lowest point of body and ring over the table, shape (C,); infinite without one.

        The rim of a disc of radius r around an axis f reaches r sqrt(1 - (n . f)^2) below its middle, along
        the table's normal n.
        """
        if self._obstacles.table_height_mm is None:
            return np.full(len(center_mm), np.inf)
        normal = self._obstacles.table_normal
        height, rise = center_mm @ normal - self._obstacles.table_height_mm, forward @ normal
        rim = np.sqrt(np.maximum(1.0 - rise**2, 0.0))
        lowest = [height + np.minimum(back * rise, front * rise) - outer * rim for _, outer, back, front in self._tubes]
        return np.min(lowest, axis=0)


class _Cloud:
    """The corners of one surface's elements, in cells of a ball each."""

    def __init__(self, surface: Surface, tubes: list[_Tube], clearance_mm: float) -> None:
        points = surface.vertices_mm[np.unique(surface.faces)]
        low, high = points.min(axis=0), points.max(axis=0)
        self._middle_mm, self._half_mm = (low + high) / 2, (high - low) / 2
        cell_mm = max(float((high - low).max()), 1e-9) / _CELLS
        cell = np.unique(np.floor((points - low) / cell_mm).astype(np.int64), axis=0, return_inverse=True)[1].ravel()
        order = np.argsort(cell, kind="stable")
        self._points = points[order]
        self._starts = np.append(0, np.cumsum(np.bincount(cell)))
        first = self._starts[:-1]
        corners = [extreme.reduceat(self._points, first) for extreme in (np.minimum, np.maximum)]
        self._ball_middle_mm = (corners[0] + corners[1]) / 2
        self._ball_radius_mm = np.linalg.norm(corners[1] - corners[0], axis=1) / 2
        self._needed_mm = clearance_mm + surface.max_edge_mm / np.sqrt(3.0)
        self._tubes = np.array(tubes)

    def clear(self, center_mm: Floats, forward: Floats) -> Bools:
        """Whether each camera keeps clear of the surface, shape (C,)."""
        # Most cameras have the whole bounding box ahead of their front.
        nearest = np.einsum("ij,ij->i", self._middle_mm - center_mm, forward) - np.abs(forward) @ self._half_mm
        clear = nearest >= self._tubes[:, 3].max() + self._needed_mm
        for camera in np.flatnonzero(~clear):
            clear[camera] = _keeps_off(
                (self._points, self._starts, self._ball_middle_mm, self._ball_radius_mm),
                center_mm[camera], forward[camera], self._tubes, self._needed_mm,
            )  # fmt: skip
        return clear


@njit(cache=True, nogil=True)
def _keeps_off(cells, center, forward, tubes, needed):  # type: ignore[no-untyped-def]
    """Whether no point is nearer to the tubes than needed; points in a ball that is far enough are not looked at."""
    points, starts, ball_middle, ball_radius = cells
    for cell in range(len(ball_radius)):
        if _off_tubes(ball_middle[cell], center, forward, tubes) - ball_radius[cell] >= needed:
            continue
        for place in range(starts[cell], starts[cell + 1]):
            if _off_tubes(points[place], center, forward, tubes) < needed:
                return False
    return True


@njit(cache=True, nogil=True)
def _off_tubes(point, center, forward, tubes):  # type: ignore[no-untyped-def]
    """Distance of a point from the nearest of the tubes around a camera's axis."""
    along = square = 0.0
    for axis in range(3):
        offset = point[axis] - center[axis]
        along += offset * forward[axis]
        square += offset * offset
    from_axis = np.sqrt(max(square - along * along, 0.0))
    nearest = np.inf
    for tube in range(len(tubes)):
        aside = max(from_axis - tubes[tube, 1], tubes[tube, 0] - from_axis, 0.0)
        ahead = max(along - tubes[tube, 3], tubes[tube, 2] - along, 0.0)
        nearest = min(nearest, aside * aside + ahead * ahead)
    return np.sqrt(nearest)


def _tubes(rig: Rig) -> list[_Tube]:
    """The body, which is full, and the tube that holds a light ahead of it."""
    body, (inner, outer, ahead) = rig.body, rig.ring_light.tube_mm
    tubes = [(0.0, max(body.radius_mm, outer), body.front_mm - body.length_mm, body.front_mm)]
    if ahead > body.front_mm:
        tubes.append((inner, outer, body.front_mm, ahead))
    return tubes
