"""Rays against the part's triangles and what holds it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.poses import tangents
from viewcov.inspection.rig.fixture import Fixture, Obstacles, obstacles_of

RELATIVE_OFFSET = 1e-5
"""How far rays start off the surface, as a share of the part's largest extent.

The rays are traced in float32. Offsets below 1e-7 of the part let a surface shade itself, and much more than
1e-5 lets light through thin walls.
"""


OBSTACLE = -2
"""In the place of a triangle's number where a ray meets the fixture or the table."""


_BESIDE = 1e-5
"""How far beside a suspicious ray others are cast, as a share of the part's largest extent."""

_LEAK_DEPTH = 1e-4
"""How much nearer those must hit; a share too. A surface may lean: beside a ray, it may be somewhat nearer."""

_ANSWERS = ("t_hit", "geometry_ids", "primitive_ids", "primitive_normals")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hits:
    """What each of N rays meets first."""

    face_idx: Ints
    """Shape (N,): the part's triangle, ``OBSTACLE`` where something else is nearer, -1 where the ray meets none."""

    distance_mm: Floats
    """Shape (N,): Euclidean distance from the ray's origin, infinite where it meets nothing."""


class RayCaster:
    """Triangles in a bounding volume hierarchy.

    Embree computes in float32, so the mesh is moved to the middle of its bounding box and scaled to unit
    size in float64 first: where a part lies in its CAD frame and how large it is make no difference.

    Parameters
    ----------
    vertices_mm, faces
        Shapes (N, 3) and (F, 3).
    obstacles
        What holds the part. It blocks rays like the part, which alone sets the scale: a large fixture costs the
        part no accuracy. The table is no triangle but a half-space, so that a part that stands right on it
        hides nothing by chance: nothing inside the table sees or is seen.
    num_threads
        Threads for tracing; 0 for one per core.
    """

    def __init__(
        self, vertices_mm: Floats, faces: Ints, *, obstacles: Obstacles | None = None, num_threads: int = 0
    ) -> None:
        import open3d

        if len(faces) == 0:
            raise ValueError("faces must not be empty, got shape (0, 3)")
        corners = vertices_mm[faces.ravel()]
        low, high = corners.min(axis=0), corners.max(axis=0)
        self._center_mm = (low + high) / 2
        self._size_mm = float((high - low).max())
        if not self._size_mm > 0:
            raise ValueError(f"vertices_mm must span a positive size, got {self._size_mm} mm")
        self._half_extent = (high - low) / 2 / self._size_mm
        self._vertices = (vertices_mm - self._center_mm) / self._size_mm
        self._faces = faces
        self._num_threads = num_threads
        self._from_numpy = open3d.core.Tensor.from_numpy
        self._scene = open3d.t.geometry.RaycastingScene(nthreads=num_threads)
        self._part_id = self._add_triangles(self._vertices, faces)
        self._obstacles = Obstacles() if obstacles is None else obstacles
        occluders, occluder_faces = self._obstacles.triangles()
        if len(occluder_faces):
            self._add_triangles((occluders - self._center_mm) / self._size_mm, occluder_faces)

    @classmethod
    def of_part(cls, part: Part, fixture: Fixture | None, *, num_threads: int = 0) -> RayCaster:
        """Rays against the part and what holds it.

        Raises
        ------
        InputError
            If the fixture cannot be loaded or the whole part lies inside the table.
        """
        return _caster_of(part, None if fixture is None else fixture.identified(), num_threads)

    def _add_triangles(self, vertices: Floats, faces: Ints) -> int:
        return int(
            self._scene.add_triangles(
                self._from_numpy(np.ascontiguousarray(vertices, dtype=np.float32)),
                self._from_numpy(np.ascontiguousarray(faces, dtype=np.uint32)),
            )
        )

    def first_hits(self, origins_mm: Floats, directions: Floats) -> Hits:
        """What each ray meets first.

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
        answer = self._cast_tightly(origins + skipped[:, None] * directions, directions)
        distance = answer["t_hit"].astype(np.float64) + skipped
        on_part = np.isfinite(distance) & (answer["geometry_ids"] == self._part_id)
        face_idx = np.where(on_part, answer["primitive_ids"].astype(np.int64), -1)
        face_idx[np.isfinite(distance) & ~on_part] = OBSTACLE
        self._refine(np.flatnonzero(on_part), origins, directions, face_idx, distance)
        obstacle_mm = np.minimum(
            self._size_mm * self._skipped_obstacles(origins, directions, skipped),
            self._to_table_mm(origins_mm, directions),
        )
        face_idx[obstacle_mm < distance * self._size_mm] = OBSTACLE
        return Hits(face_idx=face_idx, distance_mm=np.minimum(distance * self._size_mm, obstacle_mm))

    def _cast(self, origins: Floats, directions: Floats) -> dict[str, NDArray[Any]]:
        rays = self._from_numpy(_rays(origins, directions))
        answer = self._scene.cast_rays(rays, nthreads=self._num_threads)
        return {name: answer[name].numpy() for name in _ANSWERS}

    def _cast_tightly(self, origins: Floats, directions: Floats) -> dict[str, NDArray[Any]]:
        """The same with rays closed that slip through a vertex of the part.

        Embree's robust mode misses about one in 170 rays aimed exactly at an inner vertex. Such a ray meets
        nothing, or behind the leak the inner side of the part. It takes the answer of a ray beside it if four
        around it all meet something nearer; at an outline at least one of them does not.
        """
        answer = self._cast(origins, directions)
        inner = np.einsum("ij,ij->i", answer["primitive_normals"], directions) > 0
        leaking = np.flatnonzero(inner | (np.isinf(answer["t_hit"]) & self._through_box(origins, directions)))
        for axis, step in ((0, _BESIDE), (1, _BESIDE), (0, -_BESIDE), (1, -_BESIDE)):
            across = tangents(directions[leaking])[axis]
            beside = self._cast(origins[leaking] + step * across, directions[leaking])
            nearer = beside["t_hit"] < answer["t_hit"][leaking] - _LEAK_DEPTH
            leaking = leaking[nearer]
        for name in _ANSWERS:
            answer[name][leaking] = beside[name][nearer]
        return answer

    def _through_box(self, origins: Floats, directions: Floats) -> Bools:
        """Whether the line of each ray meets the part's bounding box, shape (N,)."""
        half = self._half_extent + _BESIDE
        with np.errstate(divide="ignore", invalid="ignore"):
            at_low, at_high = (-half - origins) / directions, (half - origins) / directions
        enter = np.fmax.reduce(np.fmin(at_low, at_high), axis=1)
        leave = np.fmin.reduce(np.fmax(at_low, at_high), axis=1)
        return np.less_equal(enter, leave)

    def _skipped_obstacles(self, origins: Floats, directions: Floats, skipped: Floats) -> Floats:
        """Distance to the fixture on the first stretch of each ray, where no part can be, shape (N,)."""
        nearest = np.full(len(skipped), np.inf)
        far = np.flatnonzero(skipped)
        if self._obstacles.parts and len(far):
            distance = self._cast(origins[far], directions[far])["t_hit"]
            nearest[far] = np.where(distance <= skipped[far], distance, np.inf)
        return nearest

    def _to_table_mm(self, origins_mm: Floats, directions: Floats) -> Floats:
        """Distance along each ray to the table, shape (N,): 0 from inside it, infinite where it is not met."""
        table_mm = np.full(len(directions), np.inf)
        if self._obstacles.table_height_mm is not None:
            height = origins_mm @ self._obstacles.table_normal - self._obstacles.table_height_mm
            height = np.broadcast_to(np.maximum(height, 0.0), table_mm.shape)
            sinking = -(directions @ self._obstacles.table_normal)
            np.divide(height, sinking, out=table_mm, where=sinking > 0)
            table_mm[self._obstacles.below_table(np.broadcast_to(origins_mm, directions.shape))] = 0.0
        return table_mm

    def _refine(self, rows: Ints, origins: Floats, directions: Floats, face_idx: Ints, distance: Floats) -> None:
        """Meet the triangles that were hit once more in float64 (Moeller and Trumbore), in place."""
        a, b, c = (self._vertices[self._faces[face_idx[rows], corner]] for corner in range(3))
        along, to_b, to_c = directions[rows], b - a, c - a
        normal = np.cross(along, to_c)
        volume = np.einsum("ij,ij->i", to_b, normal)
        # A triangle seen so nearly edge-on that its volume is noise keeps the float32 answer.
        size = np.linalg.norm(to_b, axis=1) * np.linalg.norm(to_c, axis=1)
        sound = np.abs(volume) > 1e-9 * size
        reach = np.einsum("ij,ij->i", to_c, np.cross(origins[rows] - a, to_b))
        distance[rows[sound]] = reach[sound] / volume[sound]

    def blocked(self, points_mm: Floats, targets_mm: Floats, *, normals: Floats | None = None) -> Bools:
        """Whether any triangle or the table lies between each point and its target, shape (N,).

        Both ends are excluded by ``RELATIVE_OFFSET`` along the ray. No ray is cast twice for leaks: one that a
        closed body blocks crosses its surface twice at least, and would have to slip through both. Of 8.8
        million unblocked rays from elements of three real parts to cameras and lights, none was blocked where
        four beside it were.

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
        row, targets = np.arange(len(points_mm)), np.atleast_2d(targets_mm)
        column = row if len(targets) > 1 else np.zeros_like(row)
        return self.blocked_between(points_mm, targets, row, column, normals=normals)

    def blocked_between(
        self, points_mm: Floats, targets_mm: Floats, row: Ints, column: Ints, *, normals: Floats | None = None
    ) -> Bools:
        """The same, shape (Q,), between pairs of points (N, 3) and targets (M, 3): in each pair's row and column."""
        if len(row) == 0:
            return np.zeros(0, dtype=bool)
        rays = np.empty((len(row), 6), dtype=np.float32)
        lifts = np.zeros((1, 3)) if normals is None else normals
        _fill_rays((points_mm, lifts, targets_mm), row, column, self._center_mm, self._size_mm, rays)
        # Directions keep their length, so that every ray ends at tfar = 1.
        tensor = self._from_numpy(rays)
        answer: Bools = self._scene.test_occlusions(tensor, tfar=1.0, nthreads=self._num_threads).numpy()
        if self._obstacles.table_height_mm is not None:
            answer = answer | self._in_table(points_mm)[row] | self._in_table(targets_mm)[column]
        return answer

    def _in_table(self, points_mm: Floats) -> Bools:
        """Whether points lie inside the table; those on it to within the rays' offset do not."""
        return self._obstacles.below_table(points_mm, tolerance_mm=RELATIVE_OFFSET * self._size_mm)


@lru_cache(maxsize=2)  # Candidates, tests of views and shadows all need the same one; the digests keep it honest.
def _caster_of(part: Part, fixture: Fixture | None, num_threads: int) -> RayCaster:
    obstacles = obstacles_of(fixture)
    obstacles.check_holds(part)
    return RayCaster(part.vertices_mm, part.faces, obstacles=obstacles, num_threads=num_threads)


@njit(cache=True, nogil=True)
def _fill_rays(places, row, column, center, size, rays):  # type: ignore[no-untyped-def]
    """Origins and directions from points to targets, in unit size, both ends shortened by ``RELATIVE_OFFSET``."""
    points, normals, targets = places
    for n in range(len(row)):
        p, q, normal = points[row[n]], targets[column[n]], normals[row[n] if len(normals) > 1 else 0]
        x = (p[0] - center[0]) / size + RELATIVE_OFFSET * normal[0]
        y = (p[1] - center[1]) / size + RELATIVE_OFFSET * normal[1]
        z = (p[2] - center[2]) / size + RELATIVE_OFFSET * normal[2]
        dx, dy, dz = (q[0] - center[0]) / size - x, (q[1] - center[1]) / size - y, (q[2] - center[2]) / size - z
        share = min(RELATIVE_OFFSET / max(np.sqrt(dx * dx + dy * dy + dz * dz), RELATIVE_OFFSET), 0.25)
        rays[n, 0], rays[n, 1], rays[n, 2] = x + share * dx, y + share * dy, z + share * dz
        length = 1.0 - 2.0 * share
        rays[n, 3], rays[n, 4], rays[n, 5] = length * dx, length * dy, length * dz


def _rays(origins: Floats, directions: Floats) -> Floats32:
    return np.ascontiguousarray(np.hstack([origins, directions], dtype=np.float32))
