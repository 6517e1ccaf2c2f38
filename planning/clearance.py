"""Whether the camera's body and the ring light keep clear of the part."""

from __future__ import annotations

import numpy as np

from viewcov.inspection.arrays import Bools, Floats
from viewcov.inspection.rig import Rig
from viewcov.inspection.surface import Surface

_CHUNK = 4_000_000
"""Distances computed at a time, which bounds the memory."""

_CELLS = 48
"""Cells along the part's longest side, each of which one point stands for at first."""


class Clearance:
    """Distances of the part's surface from the body and from the ring light in front of it.

    The surface is represented by the corners of its elements. No point of an element is farther than
    ``max_edge_mm / sqrt(3)`` from its nearest corner, and that much is added to the rig's clearance: where the
    test passes, no point of the surface is closer than the clearance.
    """

    def __init__(self, surface: Surface, rig: Rig) -> None:
        points = surface.vertices_mm[np.unique(surface.faces)]
        low, high = points.min(axis=0), points.max(axis=0)
        # Moved to the middle of the part, because squared distances are subtracted below.
        self._center_mm = (low + high) / 2
        self._points = points - self._center_mm
        self._half_mm = (high - low) / 2
        cell_mm = max(float((high - low).max()), 1e-9) / _CELLS
        cells = np.floor(self._points / cell_mm).astype(np.int64)
        self._thinned = np.unique(cells, axis=0, return_index=True)[1]
        self._diagonal_mm = np.sqrt(3.0) * cell_mm
        self._needed_mm = rig.body.clearance_mm + surface.max_edge_mm / np.sqrt(3.0)
        self._solids = _solids(rig)

    def clear(self, center_mm: Floats, forward: Floats) -> Bools:
        """Whether a camera with centre ``center_mm`` and optical axis ``forward`` keeps clear, shape (C,).

        Parameters
        ----------
        center_mm, forward
            Shapes (C, 3), in the world frame; ``forward`` of unit length.
        """
        center = center_mm - self._center_mm
        # Most cameras have the whole part's bounding box ahead of their front.
        nearest = -np.einsum("ij,ij->i", center, forward) - np.abs(forward) @ self._half_mm
        clear = nearest >= max(front for *_, front in self._solids) + self._needed_mm
        unsure = np.flatnonzero(~clear)
        # One point of each cell tells most of the others: the rest of the cell is at most its diagonal away.
        coarse_mm = self._distance_mm(self._points[self._thinned], center[unsure], forward[unsure])
        clear[unsure[coarse_mm >= self._needed_mm + self._diagonal_mm]] = True
        unsure = unsure[(coarse_mm >= self._needed_mm) & (coarse_mm < self._needed_mm + self._diagonal_mm)]
        clear[unsure] = self._distance_mm(self._points, center[unsure], forward[unsure]) >= self._needed_mm
        return clear

    def _distance_mm(self, points: Floats, center: Floats, forward: Floats) -> Floats:
        """Distance of the nearest of the points from the solids of each camera, shape (C,)."""
        distance = np.empty(len(center))
        size = max(1, _CHUNK // len(points))
        for start in range(0, len(center), size):
            some = slice(start, start + size)
            distance[some] = _nearest_mm(points, center[some], forward[some], self._solids)
        return distance


def _nearest_mm(
    points: Floats, center: Floats, forward: Floats, solids: list[tuple[float, float, float, float]]
) -> Floats:
    along = points @ forward.T - np.einsum("ij,ij->i", center, forward)
    square = (
        np.einsum("ij,ij->i", points, points)[:, None] - 2.0 * points @ center.T + np.einsum("ij,ij->i", center, center)
    )
    from_axis = np.sqrt(np.maximum(square - along**2, 0.0))
    nearest = np.full(len(center), np.inf)
    for inner, outer, back, front in solids:
        aside = np.maximum(np.maximum(from_axis - outer, inner - from_axis), 0.0)
        ahead = np.maximum(np.maximum(along - front, back - along), 0.0)
        nearest = np.minimum(nearest, (aside**2 + ahead**2).min(axis=0))
    return np.sqrt(nearest)


def _solids(rig: Rig) -> list[tuple[float, float, float, float]]:
    """Tubes around the optical axis, each with inner and outer radius, back and front, in mm.

    The body is full. A ring light in front of it is a tube from there to its plane.
    """
    body, ring = rig.body, rig.ring_light
    solids = [(0.0, max(body.radius_mm, ring.outer_radius_mm), body.front_mm - body.length_mm, body.front_mm)]
    if ring.offset_mm > body.front_mm:
        solids.append((ring.inner_radius_mm, ring.outer_radius_mm, body.front_mm, ring.offset_mm))
    return solids
