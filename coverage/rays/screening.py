"""What needs no ray: where points lie in a view's frame, how squarely, how far and how finely it shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from viewcov.coverage.rays.clusters import Clusters, Region, cluster_points
from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.poses import tangents
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.lens import BrownConrady
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.viewpoint import Viewpoint

_KERNEL_LENS = "brown-conrady"
_SLACK = 1e-9
"""Relative width by which limits are loosened where they only spare work: rounding must not decide there."""


class InFrame(NamedTuple):
    """Numbers of the N points of a view that lie in its frame."""

    rows: Ints
    """Shape (N,): which of the points."""

    cos_incidence: Floats
    """Shape (N,): cosine of the angle between the normal and the direction to the camera centre."""

    depth_mm: Floats
    """Shape (N,): z in the camera frame."""

    mm_per_px: Floats
    """Shape (N,): millimetres on the surface to one pixel in the worst direction; infinite where edge-on.

    The inverse of the smaller singular value of the Jacobian from the tangent plane (mm) to the image (px).
    """

    def of(self, chosen: Ints) -> InFrame:
        """The same for some of them, by place."""
        return InFrame._make(numbers[chosen] for numbers in self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lens:
    """A camera and the frame that counts, as the kernel takes them."""

    camera: Camera
    """For its lens model, where the kernel does not know it."""

    numbers: Floats
    """Focal length and principal point in px; k1, k2, p1, p2, k3; frame's left, right, top and bottom in px;
    largest normalized radius."""

    low: Floats
    high: Floats
    """Shape (2,) each: least and largest undistorted x / z, y / z of anything in the frame."""

    @classmethod
    def of(cls, camera: Camera, *, border_px: float = 0.0) -> Lens:
        """The camera with a margin of ``border_px`` that does not count as frame."""
        frame = (border_px, camera.width_px - border_px, border_px, camera.height_px - border_px)
        border = border_rays(camera, border_px=border_px)
        radius = camera.turning_radius
        if np.isfinite(border).all():
            # Tangential distortion may fold points in that are farther out than all of the frame's border.
            radius = min(radius, float(np.linalg.norm(border_rays(camera), axis=1).max()) * (1 + 1e-6))
            # Between the samples the border bulges by far less than a hundredth of the frame.
            margin = (0.01 if camera.has_distortion else _SLACK) * np.ptp(border, axis=0)
            low, high = border.min(axis=0) - margin, border.max(axis=0) + margin
        else:
            low, high = np.full(2, -radius), np.full(2, radius)
        known = camera.brown_conrady if camera.lens == _KERNEL_LENS else (np.nan,) * 5
        numbers = np.array([camera.focal_px, *camera.center_px, *known, *frame, radius])
        return cls(camera=camera, numbers=numbers, low=low, high=high)

    def measure(self, points_mm: Floats, normals: Floats, viewpoint: Viewpoint) -> InFrame:
        """The numbers of points and unit normals, shapes (N, 3), world frame, that are in the frame; by rising row."""
        points = np.ascontiguousarray(points_mm), np.ascontiguousarray(normals)
        everything = np.zeros(1, dtype=np.int64), np.array([0, len(points_mm)])
        return _found(points, everything, viewpoint, self, (0.0, np.inf, -np.inf))


class Screen:
    """Points with normals, tested against the frames and the limits of views without any ray.

    The points are grouped once. Groups that lie wholly outside a view's frame or limits cost it nothing, so
    that the time a view takes grows with what it may see and not with the size of the surface.

    Parameters
    ----------
    points_mm, normals
        Shapes (N, 3), world frame; the normals have unit length.
    """

    def __init__(self, points_mm: Floats, normals: Floats, camera: Camera, requirements: Requirements) -> None:
        self._clusters: Clusters = cluster_points(points_mm, normals)
        order = self._clusters.order
        self._points = np.ascontiguousarray(points_mm[order]), np.ascontiguousarray(normals[order])
        self.lens = Lens.of(camera, border_px=requirements.border_px)
        self._whole = Region.frame(self.lens.low, self.lens.high)
        self._promising = _limited(self._whole, camera, requirements, self.lens)

    def in_frame(self, viewpoint: Viewpoint) -> InFrame:
        """All points in the frame, by rising row."""
        found = self._measured(viewpoint, self._whole)
        return found.of(np.argsort(found.rows))

    def promising(self, viewpoint: Viewpoint) -> InFrame:
        """The points in the frame but for most of those that break a limit; in an order of no meaning.

        No point is left out that meets the limits of incidence, blur and sampling; some that do not may stay.
        """
        return self._measured(viewpoint, self._promising)

    def _measured(self, viewpoint: Viewpoint, region: Region) -> InFrame:
        groups = self._clusters.meeting(region, viewpoint), self._clusters.starts
        limits = region.near_mm, region.far_mm, float(np.cos(region.max_incidence_rad) - _SLACK)
        found = _found(self._points, groups, viewpoint, self.lens, limits)
        return found._replace(rows=self._clusters.order[found.rows])


def _found(
    points: tuple[Floats, Floats], groups: tuple[Ints, Ints], viewpoint: Viewpoint, lens: Lens,
    limits: tuple[float, float, float],
) -> InFrame:  # fmt: skip
    """Points with their normals that are in the frame, of some groups of neighbouring rows.

    ``groups`` are their numbers and where all groups start; ``limits`` as in ``_measure``.
    """
    clusters, starts = groups
    if lens.camera.lens != _KERNEL_LENS:
        some = np.concatenate([[], *(np.arange(starts[c], starts[c + 1]) for c in clusters)]).astype(np.int64)
        found = _measured(points[0][some], points[1][some], viewpoint, lens)
        return found._replace(rows=some[found.rows])
    size = int((starts[clusters + 1] - starts[clusters]).sum())
    places, numbers = np.empty(size, dtype=np.int64), np.empty((3, size))
    num = _measure(points, groups, _pose(viewpoint), lens.numbers, limits, (places, numbers))
    cosine, depth_mm, mm_per_px = numbers[:, :num]
    return InFrame(rows=places[:num], cos_incidence=cosine, depth_mm=depth_mm, mm_per_px=mm_per_px)


def _pose(viewpoint: Viewpoint) -> tuple[Floats, Floats]:
    """Rotation to the camera frame and camera centre, as the kernels take them."""
    return np.ascontiguousarray(viewpoint.camera_from_world[:3, :3]), np.ascontiguousarray(viewpoint.center_mm)


def border_rays(camera: Camera, *, border_px: float = 0.0, num: int = 65) -> Floats:
    """Normalized coordinates x / z, y / z of ``num`` points along each side of the image less a margin, (4 num, 2)."""
    share = np.linspace(0.0, 1.0, num)
    zero, one = np.zeros_like(share), np.ones_like(share)
    sides = [np.column_stack(side) for side in ((share, zero), (share, one), (zero, share), (one, share))]
    size = np.array([camera.width_px, camera.height_px]) - border_px - border_px
    return camera.rays(np.concatenate(sides) * size + border_px)[:, :2]


def _limited(frame: Region, camera: Camera, requirements: Requirements, lens: Lens) -> Region:
    """The frame cut to where the limits of incidence, blur and sampling can be met at all."""
    in_focus = camera.depth_of_field_mm(requirements.max_blur_px)
    # An empty range where nothing can be in focus: then no group meets the region.
    near, far = in_focus if in_focus is not None else (np.inf, 0.0)
    # The smaller singular value of the Jacobian is at most focal_px / z times the largest stretch of the
    # distortion: [1 0 -x; 0 1 -y] has the singular values 1 and (1 + x^2 + y^2)^(1/2), and cutting it down
    # to the tangent plane raises neither.
    stretch = camera.lens_model.largest_stretch(camera.distortion, lens.numbers[-1]) if camera.has_distortion else 1.0
    finest = requirements.coarsest_mm_per_px * camera.focal_px * stretch
    return Region(
        sides=frame.sides,
        near_mm=near * (1.0 - _SLACK),
        far_mm=min(far, finest) * (1.0 + _SLACK),
        max_incidence_rad=float(np.deg2rad(requirements.max_incidence_deg)) + _SLACK,
    )


def _measured(points_mm: Floats, normals: Floats, viewpoint: Viewpoint, lens: Lens) -> InFrame:
    """What ``_measure`` finds in the frame, by array operations, for any lens model."""
    rotation, center = _pose(viewpoint)
    camera, (left, right, top, bottom, radius) = lens.camera, lens.numbers[8:]
    way, shown = (points_mm - center) @ rotation.T, normals @ rotation.T
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = way[:, 0] / way[:, 2], way[:, 1] / way[:, 2]
        u, v = camera.lens_model.distort(x, y, camera.distortion)
        column, row = u * camera.focal_px + camera.center_px[0], v * camera.focal_px + camera.center_px[1]
        inside = (left <= column) & (column <= right) & (top <= row) & (row <= bottom)
    rows = np.flatnonzero((way[:, 2] > 0) & (x * x + y * y <= radius**2) & inside)
    x, y, way, shown = x[rows], y[rows], way[rows], shown[rows]
    cosine = -np.einsum("ni,ni->n", way, shown) / np.linalg.norm(way, axis=1)
    xx, xy, yy = camera.lens_model.jacobian(x, y, camera.distortion)
    bent = np.stack([xx, xy, -(xx * x + xy * y), xy, yy, -(xy * x + yy * y)], axis=-1).reshape(-1, 2, 3)
    first, second = tangents(shown)
    scale = np.linalg.svd(bent @ np.stack([first, second], axis=2), compute_uv=False)[:, 1] * camera.focal_px
    with np.errstate(divide="ignore"):
        mm_per_px = way[:, 2] / scale
    return InFrame(rows=rows, cos_incidence=np.clip(cosine, -1.0, 1.0), depth_mm=way[:, 2], mm_per_px=mm_per_px)


_brown_conrady = njit(cache=True, nogil=True)(BrownConrady.distort)
_slopes = njit(cache=True, nogil=True)(BrownConrady.jacobian)


@njit(cache=True, nogil=True)
def _measure(cloud, groups, pose, lens, limits, results):  # type: ignore[no-untyped-def]
    """Write the places and numbers of the points in the frame within the limits; returns how many.

    ``limits`` are least and largest depth and least cosine of incidence. The numbers have the rows cosine of
    incidence, depth and mm/px.
    """
    (points, normals), (clusters, starts), (rotation, center) = cloud, groups, pose
    (near, far, least_cosine), (places, numbers) = limits, results
    focal, cx, cy = lens[0], lens[1], lens[2]
    coefficients = (lens[3], lens[4], lens[5], lens[6], lens[7])
    left, right, top, bottom, max_square = lens[8], lens[9], lens[10], lens[11], lens[12] ** 2
    num = 0
    for cluster in clusters:
        for place in range(starts[cluster], starts[cluster + 1]):
            # Differences first: they are exact to the last digits, however far from the origin the part lies.
            dx, dy, dz = points[place, 0] - center[0], points[place, 1] - center[1], points[place, 2] - center[2]
            z = rotation[2, 0] * dx + rotation[2, 1] * dy + rotation[2, 2] * dz
            if not (z > 0.0 and near <= z <= far):
                continue
            toward = dx * normals[place, 0] + dy * normals[place, 1] + dz * normals[place, 2]
            cosine = -toward / np.sqrt(dx * dx + dy * dy + dz * dz)
            if cosine < least_cosine:
                continue
            x = (rotation[0, 0] * dx + rotation[0, 1] * dy + rotation[0, 2] * dz) / z
            y = (rotation[1, 0] * dx + rotation[1, 1] * dy + rotation[1, 2] * dz) / z
            if x * x + y * y > max_square:
                continue
            u, v = _brown_conrady(x, y, coefficients)
            column, row = u * focal + cx, v * focal + cy
            if not (left <= column <= right and top <= row <= bottom):
                continue
            places[num] = place
            numbers[0, num] = min(max(cosine, -1.0), 1.0)
            numbers[1, num] = z
            numbers[2, num] = _mm_per_px(x, y, z / focal, rotation @ normals[place], _slopes(x, y, coefficients))
            num += 1
    return num


@njit(cache=True, nogil=True)
def _mm_per_px(x, y, frontal, normal, bend):  # type: ignore[no-untyped-def]
    """Millimetres to a pixel in the worst direction, at ``frontal`` = z / focal_px."""
    (xx, xy, yy), nx, ny, nz = bend, normal[0], normal[1], normal[2]
    # Rows of d(pixel)/d(point) in the camera frame, times frontal: d(distorted)/d(normalized) [1 0 -x; 0 1 -y].
    uz, vz = -(xx * x + xy * y), -(xy * x + yy * y)
    # Singular values of those rows restricted to the plane with normal n, with no basis of it needed:
    # the sum of their squares is |M|^2 - |M n|^2, their product |n . (row_u x row_v)|.
    along_u, along_v = xx * nx + xy * ny + uz * nz, xy * nx + yy * ny + vz * nz
    squares = xx * xx + 2.0 * xy * xy + yy * yy + uz * uz + vz * vz - along_u * along_u - along_v * along_v
    product = abs(nx * (xy * vz - uz * yy) + ny * (uz * xy - xx * vz) + nz * (xx * yy - xy * xy))
    if product == 0.0:
        return np.inf
    largest = (np.sqrt(max(squares + 2.0 * product, 0.0)) + np.sqrt(max(squares - 2.0 * product, 0.0))) / 2.0
    return frontal * largest / product
