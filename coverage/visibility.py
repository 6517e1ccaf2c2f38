"""Which elements of the surface a viewpoint inspects, and which test each of the others fails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.lighting import ring_irradiance
from viewcov.coverage.raycasting import RayCaster
from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.camera import Camera
from viewcov.inspection.poses import transform_points
from viewcov.inspection.requirements import Requirements
from viewcov.inspection.rig import Rig
from viewcov.inspection.surface import Surface
from viewcov.inspection.viewpoint import Viewpoint

TESTS = ("in_frame", "facing", "unoccluded", "in_focus", "resolved", "lit")
"""The chain: a view inspects an element if it passes all of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ViewVisibility:
    """One view's tests of the surface's E elements.

    The M candidates are the elements to be inspected that lie in the frame and face the camera at all
    (incidence below 90 degrees); only they have numbers.
    """

    element_idx: Ints
    """Shape (M,): the candidates, ascending."""

    incidence_deg: Floats
    """Shape (M,): angle between the normal and the direction to the camera centre."""

    blur_px: Floats
    """Shape (M,): diameter of the circle of confusion."""

    mm_per_px: Floats
    """Shape (M,): millimetres on the surface to one pixel, in the worst direction."""

    light: Floats
    """Shape (M,): relative irradiance from the ring; NaN where an earlier test failed already."""

    num_passed: NDArray[np.uint8]
    """Shape (E,): how many tests in a row each element passes, in the order of ``TESTS``."""

    @property
    def seen(self) -> Bools:
        """Shape (E,): which elements pass every test."""
        return self.num_passed == len(TESTS)


@dataclass(slots=True, kw_only=True, eq=False)
class _Candidates:
    """Candidates with their numbers, as far as no ray is needed."""

    in_frame: Ints
    element_idx: Ints
    incidence_deg: Floats
    blur_px: Floats
    mm_per_px: Floats


class VisibilityTester:
    """Tests viewpoints against a surface; build one and use it for many viewpoints.

    Each element is tested at its centroid. Rays go against the part's own triangles and
    what holds it.

    Parameters
    ----------
    surface
        Its elements that are not to be inspected are never seen, but still hide others.
    rig, requirements
        What the view is taken with and what it must offer.
    num_emitters
        Samples of a diffuse ring light; an LED ring has its own number.
    num_threads
        Threads for the rays; 0 for one per core.
    """

    def __init__(
        self,
        surface: Surface,
        rig: Rig,
        requirements: Requirements,
        *,
        num_emitters: int = 12,
        num_threads: int = 0,
    ) -> None:
        self.surface = surface
        self.rig = rig
        self.requirements = requirements
        self.caster = RayCaster.of_part(surface.part, rig.fixture, num_threads=num_threads)
        self._num_emitters = num_emitters
        self._inspected = np.flatnonzero(surface.inspected)
        self._points_mm = surface.centroid_mm[self._inspected]
        self._normals = surface.normal[self._inspected]
        self._max_radius = _max_radius(rig.camera)

    def test(self, viewpoint: Viewpoint) -> ViewVisibility:
        """Every test's outcome for the elements of the surface."""
        found = self._candidates(viewpoint)
        limits = self.requirements
        passed = np.zeros(len(found.element_idx), dtype=np.uint8) + np.uint8(1)
        outcomes = {
            "facing": found.incidence_deg <= limits.max_incidence_deg,
            "in_focus": found.blur_px <= limits.max_blur_px,
            "resolved": found.mm_per_px <= limits.max_mm_per_px,
        }
        light = np.full(len(found.element_idx), np.nan)
        alive = np.arange(len(found.element_idx))
        for name in TESTS[1:]:
            if name == "unoccluded":
                alive = alive[self._unoccluded(viewpoint, found.element_idx[alive])]
            elif name == "lit":
                light[alive] = self._light(viewpoint, found.element_idx[alive])
                alive = alive[light[alive] >= limits.min_light]
            else:
                alive = alive[outcomes[name][alive]]
            passed[alive] += 1
        num_passed = np.zeros(self.surface.num_elements, dtype=np.uint8)
        num_passed[found.in_frame] = 1
        num_passed[found.element_idx] = passed
        return ViewVisibility(
            element_idx=found.element_idx,
            incidence_deg=found.incidence_deg,
            blur_px=found.blur_px,
            mm_per_px=found.mm_per_px,
            light=light,
            num_passed=num_passed,
        )

    def seen_elements(self, viewpoint: Viewpoint) -> Ints:
        """Indices of the elements that pass every test, ascending.

        The same as ``np.flatnonzero(tester.test(viewpoint).seen)``, but faster: the tests that need no ray
        come first, as nobody asks which test the other elements fail, and shadow rays end when there is
        light enough.
        """
        found = self._candidates(viewpoint)
        limits = self.requirements
        alive = found.element_idx[
            (found.incidence_deg <= limits.max_incidence_deg)
            & (found.blur_px <= limits.max_blur_px)
            & (found.mm_per_px <= limits.max_mm_per_px)
        ]
        alive = alive[self._unoccluded(viewpoint, alive)]
        light = self._light(viewpoint, alive, enough=limits.min_light)
        return alive[light >= limits.min_light]

    def _candidates(self, viewpoint: Viewpoint) -> _Candidates:
        camera = self.rig.camera
        in_camera = transform_points(viewpoint.camera_from_world, self._points_mm)
        front = in_camera[:, 2] > 0
        z = np.where(front, in_camera[:, 2], 1.0)
        normalized = in_camera[:, :2] / z[:, None]
        if camera.has_distortion:
            # Far off the frame the distortion polynomial turns back and would fold points into it.
            front &= np.einsum("ij,ij->i", normalized, normalized) <= self._max_radius**2
        pixels = camera.distort(normalized) * camera.focal_px + np.array(camera.center_px)
        in_frame = np.flatnonzero(front & camera.in_frame(pixels, border_px=self.requirements.border_px))
        to_camera = viewpoint.center_mm - self._points_mm[in_frame]
        cosine = np.einsum("ij,ij->i", to_camera, self._normals[in_frame]) / np.linalg.norm(to_camera, axis=1)
        facing = cosine > 0
        chosen = in_frame[facing]
        normals = np.einsum("ij,jk->ik", self._normals[chosen], viewpoint.world_from_camera[:3, :3])
        depth_mm = z[chosen]
        return _Candidates(
            in_frame=self._inspected[in_frame],
            element_idx=self._inspected[chosen],
            incidence_deg=np.degrees(np.arccos(np.minimum(cosine[facing], 1.0))),
            blur_px=camera.blur_px(depth_mm),
            mm_per_px=mm_per_px(camera, normalized[chosen], depth_mm, normals),
        )

    def _unoccluded(self, viewpoint: Viewpoint, element_idx: Ints) -> Bools:
        points, normals = self.surface.centroid_mm[element_idx], self.surface.normal[element_idx]
        return ~self.caster.blocked(points, viewpoint.center_mm, normals=normals)

    def _light(self, viewpoint: Viewpoint, element_idx: Ints, *, enough: float = np.inf) -> Floats:
        return ring_irradiance(
            self.caster,
            self.rig,
            viewpoint.world_from_camera,
            self.surface.centroid_mm[element_idx],
            self.surface.normal[element_idx],
            num_emitters=self._num_emitters,
            enough=enough,
        )


def mm_per_px(camera: Camera, normalized: Floats, depth_mm: Floats, normals: Floats) -> Floats:
    """Millimetres on the surface to one pixel in the worst direction, shape (N,).

    The inverse of the smaller singular value of the Jacobian J from the tangent plane (mm) to the image (px).

    Parameters
    ----------
    camera
        Lens, with its distortion.
    normalized
        Shape (N, 2): undistorted normalized image coordinates x / z, y / z.
    depth_mm
        Shape (N,): z in the camera frame, positive.
    normals
        Shape (N, 3): unit normals in the camera frame.
    """
    x, y = normalized[:, 0], normalized[:, 1]
    # Rows of d(pixel)/d(point) in the camera frame: focal_px / z d(distorted)/d(normalized) [1 0 -x; 0 1 -y].
    scale = camera.focal_px / depth_mm
    xx, xy, yx, yy = _distortion_jacobian(camera, x, y)
    row_u = scale * np.stack([xx, xy, -(xx * x + xy * y)])
    row_v = scale * np.stack([yx, yy, -(yx * x + yy * y)])
    n = normals.T
    # Singular values of those rows restricted to the plane with normal n, with no basis of it needed:
    # the sum of their squares is |M|^2 - |M n|^2, their product |n . (row_u x row_v)|.
    along_u, along_v = (row_u * n).sum(axis=0), (row_v * n).sum(axis=0)
    squares = (row_u**2 + row_v**2).sum(axis=0) - along_u**2 - along_v**2
    product = np.abs((np.cross(row_u, row_v, axis=0) * n).sum(axis=0))
    largest = (np.sqrt(squares + 2 * product) + np.sqrt(np.maximum(squares - 2 * product, 0.0))) / 2
    return np.divide(largest, product, out=np.full(len(x), np.inf), where=product > 0)


def _distortion_jacobian(camera: Camera, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Derivatives of ``Camera.distort``: of x by x, x by y, y by x, y by y."""
    k1, k2, p1, p2, k3 = camera.distortion
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = 2.0 * (k1 + r2 * (2.0 * k2 + r2 * 3.0 * k3))
    mixed = x * y * slope + 2.0 * (p1 * x + p2 * y)
    return (
        radial + x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x,
        mixed,
        mixed,
        radial + y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x,
    )


def _max_radius(camera: Camera) -> float:
    """Largest normalized radius, before distortion, of the points on the image's border."""
    w, h = float(camera.width_px), float(camera.height_px)
    share = np.linspace(0.0, 1.0, 65)
    zero, one = np.zeros_like(share), np.ones_like(share)
    border = np.concatenate(
        [np.column_stack(side) for side in ((share, zero), (share, one), (zero, share), (one, share))]
    )
    rays = camera.rays(border * np.array([w, h]))
    return float(np.linalg.norm(rays[:, :2], axis=1).max())
