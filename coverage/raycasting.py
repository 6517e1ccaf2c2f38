"""Rays against the part's triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints

RELATIVE_OFFSET = 1e-5
"""How far rays start off the surface, as a share of the part's largest extent.

The rays are traced in float32. Offsets below 1e-7 of the part let a surface shade itself, and much more than
1e-5 lets light through thin walls.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hits:
    """What each of N rays meets first."""

    face_idx: Ints
    """Shape (N,): the triangle, -1 where the ray meets none."""

    distance_mm: Floats
    """Shape (N,): Euclidean distance from the ray's origin, infinite where it meets nothing."""

    uv: Floats
    """Shape (N, 2): the hit is (1 - u - v) a + u b + v c for the triangle's corners a, b, c; NaN if none."""


class RayCaster:
    """Triangles in a bounding volume hierarchy.

    Embree computes in float32, so the mesh is moved to the middle of its bounding box and scaled to unit
    size in float64 first: where a part lies in its CAD frame and how large it is make no difference.

    Parameters
    ----------
    vertices_mm
        Shape (N, 3).
    faces
        Shape (F, 3).
    num_threads
        Threads for tracing; 0 for one per core.
    """

    def __init__(self, vertices_mm: Floats, faces: Ints, *, num_threads: int = 0) -> None:
        import open3d

        if len(faces) == 0:
            raise ValueError("faces must not be empty, got shape (0, 3)")
        corners = vertices_mm[faces.ravel()]
        low, high = corners.min(axis=0), corners.max(axis=0)
        self._center_mm = (low + high) / 2
        self._size_mm = float((high - low).max())
        if not self._size_mm > 0:
            raise ValueError(f"vertices_mm must span a positive size, got {self._size_mm} mm")
        self._vertices = (vertices_mm - self._center_mm) / self._size_mm
        self._faces = faces
        self._num_threads = num_threads
        self._from_numpy = open3d.core.Tensor.from_numpy
        self._scene = open3d.t.geometry.RaycastingScene(nthreads=num_threads)
        self._scene.add_triangles(
            self._from_numpy(np.ascontiguousarray(self._vertices, dtype=np.float32)),
            self._from_numpy(np.ascontiguousarray(faces, dtype=np.uint32)),
        )

    def first_hits(self, origins_mm: Floats, directions: Floats) -> Hits:
        """The nearest triangle on each ray.

        Parameters
        ----------
        origins_mm
            Shape (N, 3), or (3,) for all rays.
        directions
            Shape (N, 3), of any positive length.
        """
        directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        origins = (np.broadcast_to(origins_mm, directions.shape) - self._center_mm) / self._size_mm
        # Far origins are moved up to the part in float64: float32 would lose the part's details.
        skipped = np.maximum(0.0, -np.einsum("ij,ij->i", origins, directions) - 1.0)
        rays = _rays(origins + skipped[:, None] * directions, directions)
        answer = self._scene.cast_rays(self._from_numpy(rays), nthreads=self._num_threads)
        hit = np.isfinite(answer["t_hit"].numpy())
        face_idx = np.where(hit, answer["primitive_ids"].numpy().astype(np.int64), -1)
        uv = np.full((len(rays), 2), np.nan)
        distance = np.full(len(rays), np.inf)
        uv[hit] = answer["primitive_uvs"].numpy()[hit]
        distance[hit] = answer["t_hit"].numpy()[hit] + skipped[hit]
        self._refine(np.flatnonzero(hit), origins, directions, face_idx, uv, distance)
        return Hits(face_idx=face_idx, distance_mm=distance * self._size_mm, uv=uv)

    def _refine(
        self, rows: Ints, origins: Floats, directions: Floats, face_idx: Ints, uv: Floats, distance: Floats
    ) -> None:
        """Meet the triangles that were hit once more in float64 (Moeller and Trumbore), in place."""
        a, b, c = (self._vertices[self._faces[face_idx[rows], corner]] for corner in range(3))
        along, to_b, to_c = directions[rows], b - a, c - a
        normal = np.cross(along, to_c)
        volume = np.einsum("ij,ij->i", to_b, normal)
        # A triangle seen so nearly edge-on that its volume is noise keeps the float32 answer.
        size = np.linalg.norm(to_b, axis=1) * np.linalg.norm(to_c, axis=1)
        sound = np.abs(volume) > 1e-9 * size
        from_a = origins[rows] - a
        other = np.cross(from_a, to_b)
        terms = np.stack(
            [
                np.einsum("ij,ij->i", from_a, normal),
                np.einsum("ij,ij->i", along, other),
                np.einsum("ij,ij->i", to_c, other),
            ]
        )
        u, v, t = terms[:, sound] / volume[sound]
        uv[rows[sound]] = np.column_stack([u, v])
        distance[rows[sound]] = t

    def blocked(self, points_mm: Floats, targets_mm: Floats, *, normals: Floats | None = None) -> Bools:
        """Whether any triangle lies between each point and its target, shape (N,).

        Both ends are excluded by ``RELATIVE_OFFSET`` along the ray.

        Parameters
        ----------
        points_mm
            Shape (N, 3), on the surface.
        targets_mm
            Shape (N, 3), or (3,) for all points.
        normals
            Shape (N, 3): unit normals of the surface at the points. With them, rays also start off the
            surface by the same offset along the normal, so that a grazing ray does not meet its own triangle.
        """
        if len(points_mm) == 0:
            return np.zeros(0, dtype=bool)
        origins = (points_mm - self._center_mm) / self._size_mm
        if normals is not None:
            origins += RELATIVE_OFFSET * normals
        directions = (targets_mm - self._center_mm) / self._size_mm - origins
        length = np.sqrt(np.einsum("ij,ij->i", directions, directions))
        share = np.minimum(RELATIVE_OFFSET / np.maximum(length, RELATIVE_OFFSET), 0.25)[:, None]
        origins += share * directions
        directions *= 1.0 - 2.0 * share
        # Directions keep their length, so that every ray ends at tfar = 1.
        rays = self._from_numpy(_rays(origins, directions))
        answer: Bools = self._scene.test_occlusions(rays, tfar=1.0, nthreads=self._num_threads).numpy()
        return answer


def _rays(origins: Floats, directions: Floats) -> Floats32:
    rays: NDArray[np.float32] = np.empty((len(origins), 6), dtype=np.float32)
    rays[:, :3] = origins
    rays[:, 3:] = directions
    return rays
