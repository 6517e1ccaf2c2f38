"""Straight and bent walks on a triangle mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.mesh.part import Part, triangle_normals
from viewcov.inspection.mesh.split import paired_half_edges

_MAX_CROSSINGS = 20_000
_MAX_FOLD_DEG = 50.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walk:
    """A path on the part's surface."""

    points_mm: Floats
    """Shape (P, 3)."""

    face_idx: Ints
    """Shape (P,): triangle that each point lies on."""

    @property
    def length_mm(self) -> float:
        """Length along the path."""
        return float(np.linalg.norm(np.diff(self.points_mm, axis=0), axis=1).sum())


class Walker:
    """Walks over a part's triangles, across edges that are not too sharp."""

    def __init__(self, part: Part) -> None:
        self._corners = part.corners_mm
        self._normals = triangle_normals(part.corners_mm)
        self._beyond = _neighbours(part.faces)
        self._least_cos = float(np.cos(np.deg2rad(_MAX_FOLD_DEG)))

    def walk(
        self,
        face: int,
        point_mm: Floats,
        heading: Floats,
        *,
        length_mm: float,
        step_mm: float,
        turn_at: Callable[[float], float],
    ) -> Walk:
        """The path from a point of a triangle along a heading, straight but for what ``turn_at`` adds.

        It begins at a point (3,) of the triangle ``face`` and has a point every ``step_mm``; of the heading (3,)
        its part in the triangle's plane counts. It is shorter than asked for where it meets a border or an edge
        sharper than the walker crosses. ``turn_at`` gives the heading in radians against the straight one at a
        distance from the start.
        """
        point, way = point_mm, _in_plane(heading, self._normals[face])
        points, faces = [point], [face]
        num_steps = max(1, round(length_mm / step_mm))
        turned = turn_at(0.0)
        for step in range(num_steps):
            angle = turn_at((step + 1) * length_mm / num_steps)
            way = _turned(way, self._normals[face], angle - turned)
            turned = angle
            face, point, way, arrived = self._advance(face, point, way, length_mm / num_steps)
            points.append(point)
            faces.append(face)
            if not arrived:
                break
        return Walk(points_mm=np.array(points), face_idx=np.array(faces, dtype=np.int64))

    def _advance(self, face: int, point: Floats, way: Floats, distance: float) -> tuple[int, Floats, Floats, bool]:
        """Face, point and heading after a straight stretch, and whether it was gone to its end."""
        for _ in range(_MAX_CROSSINGS):
            edge, reach = self._exit(face, point, way)
            if reach >= distance:
                return face, point + distance * way, way, True
            point = point + reach * way
            distance -= reach
            other = int(self._beyond[face, edge])
            if other < 0 or self._normals[face] @ self._normals[other] < self._least_cos:
                return face, point, way, False
            axis = self._corners[face, (edge + 1) % 3] - self._corners[face, edge]
            way = _folded(way, axis, self._normals[face], self._normals[other])
            # Rounding must not leave the point a hair outside the triangle it enters.
            point = point + 1e-9 * (self._corners[other].mean(axis=0) - point)
            face = other
        return face, point, way, False

    def _exit(self, face: int, point: Floats, way: Floats) -> tuple[int, float]:
        """The edge through which a ray in the triangle's plane leaves it, and the distance to it."""
        corners = self._corners[face]
        inward = np.cross(self._normals[face], np.roll(corners, -1, axis=0) - corners)
        speed = inward @ way
        height = np.einsum("ei,ei->e", inward, point - corners)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(speed < 0, np.maximum(height, 0.0) / -speed, np.inf)
        edge = int(np.argmin(reach))
        return edge, float(reach[edge])


def _neighbours(faces: Ints) -> Ints:
    """The face beyond each edge, shape (F, 3); -1 at borders and where more than two faces meet."""
    half_edges = paired_half_edges(faces)
    beyond = np.full(faces.size, -1, dtype=np.int64)
    beyond[half_edges] = half_edges[:, ::-1] // 3
    return beyond.reshape(-1, 3)


def _in_plane(vector: Floats, normal: Floats) -> Floats:
    flat = vector - (vector @ normal) * normal
    return flat / np.linalg.norm(flat)


def _turned(way: Floats, normal: Floats, angle: float) -> Floats:
    return _in_plane(np.cos(angle) * way + np.sin(angle) * np.cross(normal, way), normal)


def _folded(way: Floats, axis: Floats, normal: Floats, other: Floats) -> Floats:
    """A heading carried over an edge as if the two triangles lay in one plane."""
    axis = axis / np.linalg.norm(axis)
    onward = (way @ np.cross(normal, axis)) * np.cross(other, axis)
    return _in_plane((way @ axis) * axis + onward, other)
