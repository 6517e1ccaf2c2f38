"""Whether the camera's body and the ring light keep clear of the part, the fixture and the table."""

from __future__ import annotations

import numpy as np

from viewcov.inspection.arrays import Bools, Floats
from viewcov.inspection.fixture import obstacles_of
from viewcov.inspection.part import Part
from viewcov.inspection.rig import Rig
from viewcov.inspection.surface import Surface, cut_surface

_CHUNK = 4_000_000
"""Distances computed at a time, which bounds the memory."""

_CELLS = 48
"""Cells along a mesh's longest side, each of which one point stands for at first."""

_FIXTURE_ELEMENTS = 50_000
"""Elements that a fixture's mesh is cut into, where its own triangles are not more."""

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
        surfaces = [surface, *(_fixture_surface(part, surface.max_edge_mm) for part in self._obstacles.parts)]
        self._clouds = [_Cloud(some, self._tubes, rig.body.clearance_mm) for some in surfaces]

    def clear(self, center_mm: Floats, forward: Floats) -> Bools:
        """Whether a camera with centre ``center_mm`` and optical axis ``forward`` keeps clear, shape (C,).

        Parameters
        ----------
        center_mm, forward
            Shapes (C, 3), in the world frame; ``forward`` of unit length.
        """
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
    """The corners of one surface's elements."""

    def __init__(self, surface: Surface, tubes: list[_Tube], clearance_mm: float) -> None:
        points = surface.vertices_mm[np.unique(surface.faces)]
        low, high = points.min(axis=0), points.max(axis=0)
        # Moved to their middle, because squared distances are subtracted below.
        self._center_mm = (low + high) / 2
        self._points = points - self._center_mm
        self._half_mm = (high - low) / 2
        cell_mm = max(float((high - low).max()), 1e-9) / _CELLS
        cells = np.floor(self._points / cell_mm).astype(np.int64)
        self._thinned = np.unique(cells, axis=0, return_index=True)[1]
        self._diagonal_mm = np.sqrt(3.0) * cell_mm
        self._needed_mm = clearance_mm + surface.max_edge_mm / np.sqrt(3.0)
        self._tubes = tubes

    def clear(self, center_mm: Floats, forward: Floats) -> Bools:
        """Whether each camera keeps clear of the surface, shape (C,)."""
        center = center_mm - self._center_mm
        # Most cameras have the whole bounding box ahead of their front.
        nearest = -np.einsum("ij,ij->i", center, forward) - np.abs(forward) @ self._half_mm
        clear = nearest >= max(front for *_, front in self._tubes) + self._needed_mm
        unsure = np.flatnonzero(~clear)
        # One point of each cell tells most of the others: the rest of the cell is at most its diagonal away.
        coarse_mm = self._distance_mm(self._points[self._thinned], center[unsure], forward[unsure])
        clear[unsure[coarse_mm >= self._needed_mm + self._diagonal_mm]] = True
        unsure = unsure[(coarse_mm >= self._needed_mm) & (coarse_mm < self._needed_mm + self._diagonal_mm)]
        clear[unsure] = self._distance_mm(self._points, center[unsure], forward[unsure]) >= self._needed_mm
        return clear

    def _distance_mm(self, points: Floats, center: Floats, forward: Floats) -> Floats:
        """Distance of the nearest of the points from the tubes of each camera, shape (C,)."""
        distance = np.empty(len(center))
        size = max(1, _CHUNK // len(points))
        for start in range(0, len(center), size):
            some = slice(start, start + size)
            distance[some] = _nearest_mm(points, center[some], forward[some], self._tubes)
        return distance


def _nearest_mm(points: Floats, center: Floats, forward: Floats, tubes: list[_Tube]) -> Floats:
    along = points @ forward.T - np.einsum("ij,ij->i", center, forward)
    square = (
        np.einsum("ij,ij->i", points, points)[:, None] - 2.0 * points @ center.T + np.einsum("ij,ij->i", center, center)
    )
    from_axis = np.sqrt(np.maximum(square - along**2, 0.0))
    nearest = np.full(len(center), np.inf)
    for inner, outer, back, front in tubes:
        aside = np.maximum(np.maximum(from_axis - outer, inner - from_axis), 0.0)
        ahead = np.maximum(np.maximum(along - front, back - along), 0.0)
        nearest = np.minimum(nearest, (aside**2 + ahead**2).min(axis=0))
    return np.sqrt(nearest)


def _fixture_surface(part: Part, edge_mm: float) -> Surface:
    """The mesh of a clamp, cut as finely as the part or until it has ``_FIXTURE_ELEMENTS``."""
    return cut_surface(part, max(edge_mm, 2.0 * float(np.sqrt(part.area_mm2 / _FIXTURE_ELEMENTS))))


def _tubes(rig: Rig) -> list[_Tube]:
    """The body, which is full, and the tube of a ring light that reaches from its front to the ring's plane."""
    body, ring = rig.body, rig.ring_light
    tubes = [(0.0, max(body.radius_mm, ring.outer_radius_mm), body.front_mm - body.length_mm, body.front_mm)]
    if ring.offset_mm > body.front_mm:
        tubes.append((ring.inner_radius_mm, ring.outer_radius_mm, body.front_mm, ring.offset_mm))
    return tubes
