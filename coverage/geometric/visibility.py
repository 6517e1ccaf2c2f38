"""Which elements of the surface a viewpoint inspects, and which test each of the others fails."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.ladder import Loss
from viewcov.coverage.light.grey import GreyPredictor
from viewcov.coverage.light.lighting import irradiance_of, irradiance_up_to, posed_light
from viewcov.coverage.light.shadows import Shadows, Sight
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.coverage.rays.screening import InFrame, Screen
from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32
from viewcov.inspection.mesh.part import edge_lengths
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.fixture import Obstacles, bring, obstacles_of
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint

TESTS = (Loss.IN_FRAME, Loss.FACING, Loss.UNOCCLUDED, Loss.IN_FOCUS, Loss.RESOLVED, Loss.LIT, Loss.EXPOSED)
"""The chain: a view inspects an element if it passes all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """What is looked at, with what, and what a view must offer."""

    surface: Surface
    """Its elements that are not to be inspected are never seen, but still hide others."""

    rig: Rig
    requirements: Requirements

    def __reduce__(self) -> tuple[Any, ...]:
        # The fixture's files may not be where this is sent to.
        return _arrived, (self.surface, self.rig, self.requirements, obstacles_of(self.rig.fixture))


def _arrived(surface: Surface, rig: Rig, requirements: Requirements, obstacles: Obstacles) -> Setup:
    bring(rig.fixture, obstacles)
    return Setup(surface, rig, requirements)


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

    mm_per_px: Floats
    """Shape (M,): millimetres on the surface to one pixel, in the worst direction."""

    light: Floats
    """Shape (M,): relative irradiance from the ring; NaN where an earlier test failed already."""

    grey: Floats
    """Shape (M,): in units of full scale at exposure 0, not clipped; NaN where an earlier test failed already, and
    everywhere unless the tester measures it."""

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
    five); its grey is that of the centroid alone. Small elements have one sample because five change nothing
    there: against elements of 2 px, ten views of two parts see 0.02 to 0.07 % too much with one sample at edges
    of 6 px. With five samples at 12, 24 and 48 px it is 0.0, -0.1 and -0.5 %
    (docs/decisions/006-samples-per-element.md).

    Rays go against the part's own triangles and what holds it.

    Parameters
    ----------
    num_threads
        Threads for the rays; 0 for one per core.
    gather
        Whether grey has the light that comes by way of other surfaces: for some fifty rays an element where it is
        measured, and for about a dozen where it only is to be within limits. Without, it is that of light straight
        from ring and room.
    measure_grey
        Whether ``test`` gives grey, whatever the requirements limit.
    """

    def __init__(self, setup: Setup, *, num_threads: int = 0, gather: bool = False, measure_grey: bool = False) -> None:
        surface, rig, requirements = setup.surface, setup.rig, setup.requirements
        self.surface, self.rig, self.requirements = surface, rig, requirements
        self.caster = RayCaster.of_part(surface.part, rig.fixture, num_threads=num_threads)
        self._num_threads = num_threads
        self._exposure_counts = requirements.limits_grey or requirements.view_mode != "any"
        self._measures_grey, self._gathers = measure_grey, gather
        self._predictor: GreyPredictor | None = None
        if self._exposure_counts or measure_grey:
            self._predictor = GreyPredictor(surface, rig, num_threads=num_threads, shadow_caster=self.caster)
        self._inspected = np.flatnonzero(surface.inspected)
        self._screen = Screen(
            surface.centroid_mm[self._inspected], surface.normal[self._inspected], rig.camera, requirements
        )
        corners = surface.corners_mm
        large = (
            edge_lengths(corners).max(axis=1, initial=0.0) > requirements.element_edge_mm * (1 + 1e-9)
        ) & surface.inspected
        self._quarters_mm = quarter_centroids(corners[large])
        self._quarters_row = np.where(large, np.cumsum(large) - 1, -1)

    def test(self, viewpoint: Viewpoint, *, seen: Ints | Ints32 | None = None) -> ViewVisibility:
        """Every test's outcome for the elements of the surface.

        Where it is known which elements pass all of them, that of exposure, which may need much light to be gathered,
        is not made again, and grey is that of ``GreyPredictor.direct``.
        """
        in_frame = self._screen.in_frame(viewpoint)
        found = in_frame.of(np.flatnonzero(in_frame.cos_incidence > 0))
        element_idx = self._inspected[found.rows]
        points, normals = self.surface.centroid_mm[element_idx], self.surface.normal[element_idx]
        passed, light, sight = self._chain(viewpoint, points, normals, found)
        known = None if seen is None else np.isin(element_idx, seen)
        passed, grey = self._judge_exposure(viewpoint, element_idx, passed, sight, known)
        num_passed = np.zeros(self.surface.num_elements, dtype=np.uint8)
        num_passed[self._inspected[in_frame.rows]] = 1
        num_passed[element_idx] = passed
        large = np.flatnonzero((num_passed > 0) & (self._quarters_row >= 0))
        num_passed[large] = np.minimum(num_passed[large], self._passed_by_quarters(viewpoint, large))
        return ViewVisibility(
            element_idx=element_idx,
            incidence_deg=_incidence_deg(found),
            mm_per_px=found.mm_per_px,
            light=light,
            grey=grey,
            num_passed=num_passed,
        )

    def grey(self, viewpoint: Viewpoint, element_idx: Ints, *, gather: bool = True) -> Floats:
        """Grey of elements (N,), shape (N,): by all light if both this tester and the caller gather it."""
        assert self._predictor is not None
        levels = self._predictor.grey if gather and self._gathers else self._predictor.direct
        return levels(viewpoint, element_idx)

    def seen_elements(self, viewpoint: Viewpoint, *, among: Ints | None = None) -> Ints:
        """Indices of the elements that pass every test, ascending; of those ``among`` some, if given.

        The same as ``np.flatnonzero(tester.test(viewpoint).seen)``, but faster: the tests that need no ray
        come first, as nobody asks which test the other elements fail, groups of elements that fail them
        together are passed over, and shadow rays end when there is light enough.
        """
        found = self._screen.promising(viewpoint)
        if among is not None:
            found = found.of(np.flatnonzero(np.isin(self._inspected[found.rows], among)))
        element_idx = self._inspected[found.rows]
        points, normals = self.surface.centroid_mm[element_idx], self.surface.normal[element_idx]
        passing, sight = self._passing(viewpoint, points, normals, found, with_sight=self._exposure_counts)
        order = np.argsort(element_idx[passing])
        seen = element_idx[passing[order]]
        if sight is not None:
            seen = seen[self._exposed(viewpoint, seen, sight.of(order))[0]]
        large = np.flatnonzero(self._quarters_row[seen] >= 0)
        return np.delete(seen, large[~self._seen_by_quarters(viewpoint, seen[large])])

    def hidden_by_fixture(self, viewpoint: Viewpoint, element_idx: Ints) -> Bools:
        """Whether elements are hidden by what holds the part, and not by the part itself, shape (N,)."""
        points, normals = self.surface.centroid_mm[element_idx], self.surface.normal[element_idx]
        hidden = ~self._unoccluded(viewpoint, points, normals)
        hidden[hidden] = ~self._part_caster.blocked(points[hidden], viewpoint.center_mm, normals=normals[hidden])
        return hidden

    @cached_property
    def _part_caster(self) -> RayCaster:
        return RayCaster.of_part(self.surface.part, None, num_threads=self._num_threads)

    def _seen_by_quarters(self, viewpoint: Viewpoint, element_idx: Ints) -> Bools:
        """Whether two quarters of large elements pass every test, shape (N,)."""
        num_passing = np.zeros(len(element_idx), dtype=np.int64)
        # One on either side of the first cut: where both pass, the others are not asked.
        for pair in (0, 2), (1, 3):
            asked = np.flatnonzero(num_passing < 2)
            points = self._quarters_mm[self._quarters_row[element_idx[asked]]][:, pair].reshape(-1, 3)
            normals = np.repeat(self.surface.normal[element_idx[asked]], 2, axis=0)
            found = self._screen.lens.measure(points, normals, viewpoint)
            passing, _ = self._passing(viewpoint, points[found.rows], normals[found.rows], found)
            num_passing[asked] += np.bincount(found.rows[passing] // 2, minlength=len(asked))
        return num_passing >= 2

    def _passed_by_quarters(self, viewpoint: Viewpoint, element_idx: Ints) -> NDArray[np.uint8]:
        """How many tests in a row the second best quarter of large elements passes, shape (N,)."""
        points = self._quarters_mm[self._quarters_row[element_idx]].reshape(-1, 3)
        normals = np.repeat(self.surface.normal[element_idx], 4, axis=0)
        in_frame = self._screen.lens.measure(points, normals, viewpoint)
        found = in_frame.of(np.flatnonzero(in_frame.cos_incidence > 0))
        passed = np.zeros(len(points), dtype=np.uint8)
        passed[in_frame.rows] = 1
        passed[found.rows], _, _ = self._chain(viewpoint, points[found.rows], normals[found.rows], found)
        return np.sort(passed.reshape(-1, 4), axis=1)[:, 2]

    def _chain(
        self, viewpoint: Viewpoint, points_mm: Floats, normals: Floats, found: InFrame
    ) -> tuple[NDArray[np.uint8], Floats, Sight]:
        """What points in the frame that face the camera pass, but for exposure, which all of them pass here.

        How many tests in a row and the light, shape (N,) each, and what those that pass all tests see of the ring.
        """
        meets = self._meets_limits(found)
        passed = np.ones(len(points_mm), dtype=np.uint8)
        light = np.full(len(points_mm), np.nan)
        alive = np.arange(len(points_mm))
        for name in TESTS[1:-2]:
            if name == Loss.UNOCCLUDED:
                alive = alive[self._unoccluded(viewpoint, points_mm[alive], normals[alive])]
            else:
                alive = alive[meets[name][alive]]
            passed[alive] += 1
        light[alive], sight = self._light(viewpoint, points_mm[alive], normals[alive])
        lit = light[alive] >= self.requirements.min_light
        passed[alive[lit]] = len(TESTS)
        return passed, light, sight.of(lit)

    def _passing(
        self, viewpoint: Viewpoint, points_mm: Floats, normals: Floats, found: InFrame, *, with_sight: bool = False
    ) -> tuple[Ints, Sight | None]:
        """Which points in the frame pass every test but that of exposure, and what they see of the ring if asked."""
        alive = np.flatnonzero(np.logical_and.reduce(list(self._meets_limits(found).values())))
        alive = alive[self._unoccluded(viewpoint, points_mm[alive], normals[alive])]
        enough = self.requirements.min_light
        points_mm, normals = points_mm[alive], normals[alive]
        if with_sight:
            light, sight = self._light(viewpoint, points_mm, normals)
            return alive[light >= enough], sight.of(light >= enough)
        ring = posed_light(self.rig, viewpoint.world_from_camera)
        light = irradiance_up_to(enough, self.caster, ring, points_mm, normals, in_view=True)
        return alive[light >= enough], None

    def _judge_exposure(
        self,
        viewpoint: Viewpoint,
        element_idx: Ints,
        passed: NDArray[np.uint8],
        sight: Sight,
        known: Bools | None,
    ) -> tuple[NDArray[np.uint8], Floats]:
        """How many tests in a row candidates (N,) pass with that of exposure, and their grey, shape (N,) each."""
        grey = np.full(len(element_idx), np.nan)
        if self._predictor is None:
            return passed, grey
        lit = np.flatnonzero(passed == len(TESTS))
        if known is None:
            exposed, grey[lit] = self._exposed(viewpoint, element_idx[lit], sight)
        else:
            exposed, grey[lit] = known[lit], self._predictor.direct(viewpoint, element_idx[lit], sight=sight)
        judged = passed.copy()
        judged[lit[~exposed]] = len(TESTS) - 1
        return judged, grey

    def _exposed(self, viewpoint: Viewpoint, element_idx: Ints, sight: Sight) -> tuple[Bools, Floats]:
        """Whether elements pass the test of exposure, and their grey where anybody asks for it, shape (N,) each."""
        assert self._predictor is not None
        grey = np.full(len(element_idx), np.nan)
        if self._measures_grey:
            levels = self._predictor.grey if self._gathers else self._predictor.direct
            grey = levels(viewpoint, element_idx, sight=sight)
        exposed = self._predictor.exposed(viewpoint, element_idx, self.requirements, sight=sight, gather=self._gathers)
        return exposed, grey

    def _meets_limits(self, found: InFrame) -> dict[Loss, Bools]:
        """Outcomes of the tests that need no ray, shape (N,) each."""
        limits = self.requirements
        return {
            Loss.FACING: _incidence_deg(found) <= limits.max_incidence_deg,
            Loss.IN_FOCUS: self.rig.camera.blur_px(found.depth_mm) <= limits.max_blur_px,
            Loss.RESOLVED: found.mm_per_px <= limits.coarsest_mm_per_px,
        }

    def _unoccluded(self, viewpoint: Viewpoint, points_mm: Floats, normals: Floats) -> Bools:
        return ~self.caster.blocked(points_mm, viewpoint.center_mm, normals=normals)

    def _light(self, viewpoint: Viewpoint, points_mm: Floats, normals: Floats) -> tuple[Floats, Sight]:
        """Irradiance of points that see the camera, shape (N,), and how much of the light they see."""
        light, pose = self.rig.ring_light, viewpoint.world_from_camera
        sight = Shadows(self.caster, light, pose, points_mm, normals, in_view=True).sight()
        return irradiance_of(posed_light(self.rig, pose), sight, points_mm, normals), sight


def _incidence_deg(found: InFrame) -> Floats:
    return np.degrees(np.arccos(found.cos_incidence))


def quarter_centroids(corners_mm: Floats) -> Floats:
    """Centroids of four pieces of equal area of each triangle, shape (N, 4, 3), for corners of shape (N, 3, 3).

    The longest edge is halved from the opposite corner, then each half by the middle of its other long side,
    so that slivers are cut across. The first two pieces lie in one half, the last two in the other.
    """
    first = np.argmax(edge_lengths(corners_mm), axis=1)
    a, b, tip = (corners_mm[np.arange(len(first)), (first + step) % 3] for step in range(3))
    middle = (a + b) / 2
    sides = [(end, (end + tip) / 2) for end in (a, b)]
    pieces = [piece for end, side in sides for piece in ((end + middle + side) / 3, (middle + side + tip) / 3)]
    return np.stack(pieces, axis=1)
