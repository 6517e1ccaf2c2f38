"""Which elements of the surface a viewpoint inspects, and which test each of the others fails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.lighting import posed_ring, ring_irradiance
from viewcov.coverage.quarters import longest_edge, quarter_centroids
from viewcov.coverage.raycasting import RayCaster
from viewcov.coverage.screening import InFrame, Screen
from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.requirements import Requirements
from viewcov.inspection.rig import Rig
from viewcov.inspection.surface import Surface
from viewcov.inspection.viewpoint import Viewpoint

TESTS = ("in_frame", "facing", "unoccluded", "in_focus", "resolved", "lit")
"""The chain: a view inspects an element if it passes all of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ViewVisibility:
    """One view's tests of the surface's E elements.

    The M candidates are the elements to be inspected whose centroid lies in the frame and faces the camera at
    all (incidence below 90 degrees); only they have numbers, and all numbers are those of the centroid.
    """

    element_idx: Ints
    """Shape (M,): the candidates, ascending."""

    incidence_deg: Floats
    """Shape (M,): angle between the normal and the direction to the camera centre."""

    blur_px: Floats
    """Shape (M,): diameter of the blur, by defocus and diffraction."""

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


class VisibilityTester:
    """Tests viewpoints against a surface; build one and use it for many viewpoints.

    Each element is tested at its centroid. An element with an edge longer than the requirements'
    ``element_edge_mm`` may hide its other parts behind it: it is tested at the centroids of its quarters too,
    and what its centroid passes counts as far as the better half of the quarters pass it (three samples of
    five). Small elements have one sample because five change nothing there: against elements of 2 px, ten
    views of two parts see 0.02 to 0.07 % too much with one sample at edges of 6 px. With five samples at 12,
    24 and 48 px it is 0.0, -0.1 and -0.5 % (docs/decisions/006-samples-per-element.md).

    Rays go against the part's own triangles and what holds it.

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
        self._screen = Screen(
            surface.centroid_mm[self._inspected], surface.normal[self._inspected], rig.camera, requirements
        )
        corners = surface.corners_mm
        large = (longest_edge(corners) > requirements.element_edge_mm * (1 + 1e-9)) & surface.inspected
        self._quarters_mm = quarter_centroids(corners[large])
        self._quarters_row = np.where(large, np.cumsum(large) - 1, -1)

    def test(self, viewpoint: Viewpoint) -> ViewVisibility:
        """Every test's outcome for the elements of the surface."""
        in_frame = self._screen.in_frame(viewpoint)
        found = in_frame.of(np.flatnonzero(in_frame.cos_incidence > 0))
        element_idx = self._inspected[found.rows]
        passed, light = self._chain(
            viewpoint, self.surface.centroid_mm[element_idx], self.surface.normal[element_idx], found
        )
        num_passed = np.zeros(self.surface.num_elements, dtype=np.uint8)
        num_passed[self._inspected[in_frame.rows]] = 1
        num_passed[element_idx] = passed
        large = np.flatnonzero((num_passed > 0) & (self._quarters_row >= 0))
        num_passed[large] = np.minimum(num_passed[large], self._passed_by_quarters(viewpoint, large))
        return ViewVisibility(
            element_idx=element_idx,
            incidence_deg=_incidence_deg(found),
            blur_px=self.rig.camera.blur_px(found.depth_mm),
            mm_per_px=found.mm_per_px,
            light=light,
            num_passed=num_passed,
        )

    def seen_elements(self, viewpoint: Viewpoint) -> Ints:
        """Indices of the elements that pass every test, ascending.

        The same as ``np.flatnonzero(tester.test(viewpoint).seen)``, but faster: the tests that need no ray
        come first, as nobody asks which test the other elements fail, groups of elements that fail them
        together are passed over, and shadow rays end when there is light enough.
        """
        found = self._screen.promising(viewpoint)
        element_idx = self._inspected[found.rows]
        passing = self._passing(
            viewpoint, self.surface.centroid_mm[element_idx], self.surface.normal[element_idx], found
        )
        seen = np.sort(element_idx[passing])
        large = np.flatnonzero(self._quarters_row[seen] >= 0)
        return np.delete(seen, large[~self._seen_by_quarters(viewpoint, seen[large])])

    def _seen_by_quarters(self, viewpoint: Viewpoint, element_idx: Ints) -> Bools:
        """Whether two quarters of large elements pass every test, shape (N,)."""
        num_passing = np.zeros(len(element_idx), dtype=np.int64)
        # One on either side of the first cut: where both pass, the others are not asked.
        for pair in (0, 2), (1, 3):
            asked = np.flatnonzero(num_passing < 2)
            normals = self.surface.normal[element_idx[asked]]
            for quarter in pair:
                points = self._quarters_mm[self._quarters_row[element_idx[asked]], quarter]
                found = self._screen.lens.measure(points, normals, viewpoint)
                passing = self._passing(viewpoint, points[found.rows], normals[found.rows], found)
                num_passing[asked[found.rows[passing]]] += 1
        return num_passing >= 2

    def _passed_by_quarters(self, viewpoint: Viewpoint, element_idx: Ints) -> NDArray[np.uint8]:
        """How many tests in a row the second best quarter of large elements passes, shape (N,)."""
        points = self._quarters_mm[self._quarters_row[element_idx]].reshape(-1, 3)
        normals = np.repeat(self.surface.normal[element_idx], 4, axis=0)
        in_frame = self._screen.lens.measure(points, normals, viewpoint)
        found = in_frame.of(np.flatnonzero(in_frame.cos_incidence > 0))
        passed = np.zeros(len(points), dtype=np.uint8)
        passed[in_frame.rows] = 1
        passed[found.rows] = self._chain(viewpoint, points[found.rows], normals[found.rows], found)[0]
        return np.sort(passed.reshape(-1, 4), axis=1)[:, 2]

    def _chain(
        self, viewpoint: Viewpoint, points_mm: Floats, normals: Floats, found: InFrame
    ) -> tuple[NDArray[np.uint8], Floats]:
        """How many tests in a row points in the frame that face the camera pass, and their light, shape (N,)."""
        meets = self._meets_limits(found)
        passed = np.ones(len(points_mm), dtype=np.uint8)
        light = np.full(len(points_mm), np.nan)
        alive = np.arange(len(points_mm))
        for name in TESTS[1:]:
            if name == "unoccluded":
                alive = alive[self._unoccluded(viewpoint, points_mm[alive], normals[alive])]
            elif name == "lit":
                light[alive] = self._light(viewpoint, points_mm[alive], normals[alive])
                alive = alive[light[alive] >= self.requirements.min_light]
            else:
                alive = alive[meets[name][alive]]
            passed[alive] += 1
        return passed, light

    def _passing(self, viewpoint: Viewpoint, points_mm: Floats, normals: Floats, found: InFrame) -> Ints:
        """Which points in the frame pass every test."""
        alive = np.flatnonzero(np.logical_and.reduce(list(self._meets_limits(found).values())))
        alive = alive[self._unoccluded(viewpoint, points_mm[alive], normals[alive])]
        enough = self.requirements.min_light
        return alive[self._light(viewpoint, points_mm[alive], normals[alive], enough=enough) >= enough]

    def _meets_limits(self, found: InFrame) -> dict[str, Bools]:
        """Outcomes of the tests that need no ray, shape (N,) each."""
        limits = self.requirements
        return {
            "facing": _incidence_deg(found) <= limits.max_incidence_deg,
            "in_focus": self.rig.camera.blur_px(found.depth_mm) <= limits.max_blur_px,
            "resolved": found.mm_per_px <= limits.coarsest_mm_per_px,
        }

    def _unoccluded(self, viewpoint: Viewpoint, points_mm: Floats, normals: Floats) -> Bools:
        return ~self.caster.blocked(points_mm, viewpoint.center_mm, normals=normals)

    def _light(self, viewpoint: Viewpoint, points_mm: Floats, normals: Floats, *, enough: float = np.inf) -> Floats:
        ring = posed_ring(self.rig, viewpoint.world_from_camera, num_emitters=self._num_emitters)
        return ring_irradiance(self.caster, ring, points_mm, normals, enough=enough)


def _incidence_deg(found: InFrame) -> Floats:
    incidence_deg: Floats = np.degrees(np.arccos(found.cos_incidence))
    return incidence_deg
