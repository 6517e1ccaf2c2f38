"""Points with normals in groups that a view may pass over as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.viewpoint import Viewpoint

CLUSTER_SIZE = 128
"""Points in a group: few enough to be small and flat, enough that groups are few beside points."""

_SLACK = 1e-9
"""Spheres are widened by this share of the largest coordinate, cones by this many radians, for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """A part of a view's frustum, and how squarely it must be looked at."""

    sides: Floats
    """Shape (4, 3): outward unit normals of the planes through the camera centre that bound it, camera frame;
    zero for a side without bound."""

    near_mm: float = 0.0
    """Least depth."""

    far_mm: float = float("inf")
    """Largest depth."""

    max_incidence_rad: float = float(np.pi)
    """Largest angle between a normal and the direction to the camera centre."""

    @classmethod
    def frame(cls, low: Floats, high: Floats) -> Region:
        """All in front of the camera with ``low <= (x / z, y / z) <= high``; bounds may be infinite."""
        sides = np.zeros((4, 3))
        for axis in range(2):
            for place, sign, bound in ((2 * axis, -1.0, low[axis]), (2 * axis + 1, 1.0, high[axis])):
                if np.isfinite(bound):
                    sides[place, axis], sides[place, 2] = sign, -sign * bound
                    sides[place] /= np.linalg.norm(sides[place])
        return cls(sides=sides)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clusters:
    """N points in C groups, each with a sphere around its points and a cone around its normals."""

    order: Ints
    """Shape (N,): the points, those of a group next to each other."""

    starts: Ints
    """Shape (C + 1,): group c is ``order[starts[c]:starts[c + 1]]``."""

    center_mm: Floats
    """Shape (C, 3)."""

    radius_mm: Floats
    """Shape (C,)."""

    axis: Floats
    """Shape (C, 3), unit length."""

    spread_rad: Floats
    """Shape (C,): largest angle between the axis and a normal."""

    def meeting(self, region: Region, viewpoint: Viewpoint) -> Ints:
        """The groups that may have a point in the region; none that has one is left out."""
        rotation = np.ascontiguousarray(viewpoint.camera_from_world[:3, :3])
        meets = np.empty(len(self.radius_mm), dtype=np.bool_)
        _meet(
            (self.center_mm, self.radius_mm, self.axis, self.spread_rad),
            (rotation, np.ascontiguousarray(viewpoint.center_mm)),
            (region.sides, region.near_mm, region.far_mm, region.max_incidence_rad),
            meets,
        )  # fmt: skip
        return np.flatnonzero(meets)


def cluster_points(points_mm: Floats, normals: Floats, *, size: int = CLUSTER_SIZE) -> Clusters:
    """Groups of up to ``size`` points that lie close together and face similar ways.

    Points are parted by the axis that their normals are closest to, and ordered along a Z-curve in each part.

    Parameters
    ----------
    points_mm, normals
        Shapes (N, 3), world frame; the normals have unit length.
    """
    side = _dominant_side(normals)
    order = np.lexsort((_z_curve(points_mm), side))
    place_in_side = np.arange(len(order)) - np.searchsorted(side[order], side[order])
    starts = np.append(np.flatnonzero(place_in_side % size == 0), len(order))
    group = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    points, directions = points_mm[order], normals[order]
    center = (np.minimum.reduceat(points, starts[:-1]) + np.maximum.reduceat(points, starts[:-1])) / 2
    distance = np.linalg.norm(points - center[group], axis=1)
    mean = np.add.reduceat(directions, starts[:-1])
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    axis = np.where(length > 1e-6, mean / np.maximum(length, 1e-6), [0.0, 0.0, 1.0])
    cosine = np.einsum("ij,ij->i", directions, axis[group])
    spread = np.arccos(np.clip(np.minimum.reduceat(cosine, starts[:-1]), -1.0, 1.0))
    return Clusters(
        order=order,
        starts=starts,
        center_mm=center,
        radius_mm=np.maximum.reduceat(distance, starts[:-1]) + _SLACK * np.abs(points_mm).max(initial=0.0),
        axis=axis,
        spread_rad=spread + 1e-6,  # The arc cosine of a cosine near 1 is good to 1e-8 only.
    )


def _dominant_side(normals: Floats) -> Ints:
    """Which of the six sides of a cube each normal looks at most, shape (N,)."""
    axis = np.argmax(np.abs(normals), axis=1)
    return (2 * axis + (normals[np.arange(len(normals)), axis] > 0)).astype(np.int64)


def _z_curve(points_mm: Floats) -> Ints:
    """Place of each point on a Z-curve (Morton order) through their bounding cube, shape (N,)."""
    arm = points_mm - points_mm.min(axis=0, initial=np.inf)
    cells = np.minimum(arm / arm.max(initial=np.finfo(np.float64).tiny) * 2**20, 2**20 - 1).astype(np.int64)
    # Twenty bits of each coordinate, spread so that two zeros follow each.
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        cells = (cells | (cells << shift)) & mask
    return cells[:, 0] | (cells[:, 1] << 1) | (cells[:, 2] << 2)


@njit(cache=True, nogil=True)
def _meet(groups, pose, region, meets):  # type: ignore[no-untyped-def]
    """Write which spheres and cones meet the region."""
    (centers, radii, axes, spreads), (rotation, camera) = groups, pose
    sides, near, far, max_incidence = region
    for group in range(len(radii)):
        dx, dy, dz = centers[group, 0] - camera[0], centers[group, 1] - camera[1], centers[group, 2] - camera[2]
        radius = radii[group]
        x = rotation[0, 0] * dx + rotation[0, 1] * dy + rotation[0, 2] * dz
        y = rotation[1, 0] * dx + rotation[1, 1] * dy + rotation[1, 2] * dz
        z = rotation[2, 0] * dx + rotation[2, 1] * dy + rotation[2, 2] * dz
        inside = z + radius > 0.0 and z + radius >= near and z - radius <= far
        for side in range(4):
            inside &= sides[side, 0] * x + sides[side, 1] * y + sides[side, 2] * z <= radius
        distance = np.sqrt(dx * dx + dy * dy + dz * dz)
        if inside and distance > radius:
            # From anywhere in the sphere the camera lies within asin(radius / distance) of the direction
            # from its centre.
            cosine = -(axes[group, 0] * dx + axes[group, 1] * dy + axes[group, 2] * dz) / distance
            least = np.arccos(min(max(cosine, -1.0), 1.0)) - spreads[group] - np.arcsin(radius / distance)
            inside = least <= max_incidence
        meets[group] = inside
