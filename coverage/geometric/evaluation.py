"""How much of the surface a set of viewpoints inspects, and why the rest is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tqdm import tqdm

from viewcov.coverage.geometric.sightings import Watch, sparse_rows
from viewcov.coverage.geometric.visibility import TESTS, Setup, VisibilityTester
from viewcov.coverage.ladder import Areas, Loss
from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.records import Jobs
from viewcov.inspection.rig.fixture import obstacles_of
from viewcov.inspection.rig.requirements import Requirements, weighted_areas_mm2
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint

REASONS = tuple(Loss)
"""Of elements that are not covered."""

_ON_TABLE = 1e-5
"""How high an element may lie and still count as on the table, as a share of the part's largest extent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeometricCoverage:
    """What a set of viewpoints inspects of a surface's E elements, by geometry alone.

    Every share is a share of area, never of a number of elements.
    """

    surface: Surface
    """The elements."""

    requirements: Requirements
    """What a view had to offer."""

    viewpoints: tuple[Viewpoint, ...]
    """The V that were evaluated, in their order."""

    seen: csr_array
    """Shape (V, E), sparse: 1.0 where the element passes every test in the view."""

    num_views: Ints32
    """Shape (E,): in how many views each element passes every test."""

    furthest: NDArray[np.uint8]
    """Shape (E,): how many tests in a row the most promising view of each element passes."""

    loss_idx: NDArray[np.uint8]
    """Shape (E,): why each element is not covered, as an index into ``REASONS``; without meaning where it is."""

    best_mm_per_px: Floats
    """Shape (E,): finest sampling over the views that inspect the element; NaN = no view inspects the element."""

    best_incidence_deg: Floats
    """Shape (E,): smallest incidence angle over the views that inspect the element; NaN = no view inspects it."""

    best_grey: Floats
    """Shape (E,): the level nearest to half of full scale, in stops, over the exposures of the stack, by all light
    where that is gathered, in the view whose level by light straight from ring and room is nearest; beyond 1 it is
    saturated; NaN = no view inspects the element."""

    coverable: Bools
    """Shape (E,): which elements count as coverable by this rig; those that are covered always do."""

    @property
    def covered(self) -> Bools:
        """Shape (E,): which elements enough views inspect."""
        return self.num_views >= self.requirements.views_per_element

    @property
    def inspected_area_mm2(self) -> float:
        """Area of all that is to be inspected."""
        return self._area(self.surface.inspected)

    @property
    def coverable_area_mm2(self) -> float:
        """Area that the rig can cover from somewhere."""
        return self._area(self.coverable)

    @property
    def covered_area_mm2(self) -> float:
        """Area that enough of these viewpoints inspect."""
        return self._area(self.covered)

    @property
    def coverage(self) -> float:
        """Covered share of the coverable area, each CAD face counted by its weight; 0 if nothing is coverable."""
        weight = weighted_areas_mm2(self.surface, self.requirements)
        coverable = weight[self.coverable].sum()
        return float(weight[self.covered].sum() / coverable) if coverable > 0 else 0.0

    @property
    def areas(self) -> Areas:
        """The rungs of the ladder of areas."""
        return Areas.of(self.inspected_area_mm2, self.coverable_area_mm2, self.covered_area_mm2, self.coverage)

    def waterfall(self) -> dict[Loss, float]:
        """Area in mm2 that survives each test and those before it in at least one view."""
        return {test: self._area(self.furthest > place) for place, test in enumerate(TESTS)}

    def uncovered(self, among: Bools | None = None) -> dict[Loss, float]:
        """Area in mm2 of what is to be inspected and not covered, by reason; of some elements only, if given.

        The reason is the test that the most promising view failed: the view that got furthest in the chain.
        What lies on the table or below it is lost to the table, and what only the fixture hides in such a view, to
        the fixture. Where views are required to overlap, ``too_few_views`` stands for elements that some, but not
        enough, views inspect. All reasons and the covered area sum to the area to be inspected.
        """
        left = self.surface.inspected & ~self.covered & (True if among is None else among)
        lost_mm2 = np.bincount(self.loss_idx[left], weights=self.surface.area_mm2[left], minlength=len(REASONS))
        shown = {*TESTS, *((Loss.TOO_FEW_VIEWS,) if self.requirements.views_per_element > 1 else ())}
        return {reason: float(mm2) for reason, mm2 in zip(REASONS, lost_mm2, strict=True) if mm2 > 0 or reason in shown}

    def k_coverage(self) -> list[float]:
        """Area in mm2 that at least 0, 1, 2, ... views inspect, up to the largest number that occurs."""
        most = int(self.num_views.max(initial=0))
        area = np.where(self.surface.inspected, self.surface.area_mm2, 0.0)
        exactly = np.bincount(self.num_views, weights=area, minlength=most + 1)
        return [float(value) for value in exactly[::-1].cumsum()[::-1]]

    def _area(self, chosen: Bools) -> float:
        return float(self.surface.area_mm2[chosen].sum())


def evaluate_viewpoints(
    setup: Setup,
    viewpoints: Sequence[Viewpoint],
    *,
    coverable: Bools | None = None,
    known: csr_array | None = None,
    gather: bool = True,
    progress: bool = False,
    jobs: Jobs = 1,
) -> GeometricCoverage:
    """The geometric coverage of viewpoints.

    Parameters
    ----------
    viewpoints
        Their order makes no difference to any area.
    coverable
        Shape (E,): elements that the rig can cover from somewhere, the whole that coverage is a share of. If
        not given, that is all that is to be inspected.
    known
        Shape (V, E), sparse: what the views see, where that was measured before; it is not tested again whether
        elements are exposed well, which takes most of the time, and so not what passes all tests.
    gather
        Whether grey has the light that comes by way of other surfaces; see ``VisibilityTester``.
    jobs
        Those of ``Workers``; the result does not depend on it. One process already traces rays on every core.
    """
    if isinstance(jobs, int) and jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if coverable is not None and coverable.shape != (setup.surface.num_elements,):
        raise ValueError(f"coverable must have shape ({setup.surface.num_elements},), got {coverable.shape}")
    surface, requirements, num = setup.surface, setup.requirements, len(viewpoints)
    rows = [None] * num if known is None else np.split(known.indices, known.indptr[1:-1])
    placed = list(zip(range(num), viewpoints, rows, strict=True))
    total = _Tally.empty(surface.num_elements)
    with (
        Watch(
            setup, jobs=jobs if isinstance(jobs, str) else max(1, min(jobs, num)), gather=gather, measure_grey=True
        ) as watch,
        tqdm(total=num, desc="views", unit="view", disable=not progress) as bar,
    ):
        # A few pieces for each worker: enough to share the work evenly, few arrays to send back.
        num_pieces = num if jobs == 1 else min(num, 4 * watch.num_workers)
        for part in watch.each(_tally, (placed[start::num_pieces] for start in range(num_pieces))):
            total.add(part)
            bar.update(len(part.seen))
        best_grey = np.full(surface.num_elements, np.nan)
        shown = [np.flatnonzero((total.best_view == place) & (total.num_views > 0)) for place in range(num)]
        for elements, levels in zip(shown, watch.each(_levels, list(zip(viewpoints, shown, strict=True))), strict=True):
            best_grey[elements] = levels
    seen = total.num_views > 0
    covered = total.num_views >= requirements.views_per_element
    whole = surface.inspected if coverable is None else (coverable & surface.inspected) | covered
    return GeometricCoverage(
        surface=surface,
        requirements=requirements,
        viewpoints=tuple(viewpoints),
        seen=sparse_rows([total.seen[place] for place in range(num)], surface.num_elements),
        num_views=total.num_views,
        furthest=total.furthest,
        best_mm_per_px=np.where(seen, total.best_mm_per_px, np.nan),
        best_incidence_deg=np.where(seen, total.best_incidence_deg, np.nan),
        best_grey=best_grey,
        coverable=whole,
        loss_idx=_losses(surface, setup.rig, total),
    )


def _losses(surface: Surface, rig: Rig, total: _Tally) -> NDArray[np.uint8]:
    """Why each element is lost, were it not covered, as an index into ``REASONS``, shape (E,)."""
    by_tests = np.array([REASONS.index(loss) for loss in (*TESTS, Loss.TOO_FEW_VIEWS)], dtype=np.uint8)
    found: NDArray[np.uint8] = by_tests[total.furthest]
    if rig.fixture is not None:
        found[total.held & (found == REASONS.index(Loss.UNOCCLUDED))] = REASONS.index(Loss.FIXTURE)
        slack_mm = _ON_TABLE * surface.part.largest_extent_mm
        on_table = obstacles_of(rig.fixture).below_table(surface.centroid_mm, tolerance_mm=-slack_mm)
        found[on_table] = REASONS.index(Loss.TABLE)
    return found


def nearest_to_mid_grey(first: Floats, second: Floats) -> Floats:
    """Of two levels, elementwise, the one that is fewer stops from half of full scale; the darker if both are."""
    stops = [np.abs(np.log2(np.maximum(levels, 1e-300)) + 1.0) for levels in (first, second)]
    return np.where((stops[0] < stops[1]) | ((stops[0] == stops[1]) & (first <= second)), first, second)


@dataclass(slots=True, kw_only=True, eq=False)
class _Tally:
    """What some views see; only counts and extremes beside it, so that the order of adding makes no difference."""

    seen: dict[int, Ints32]
    """Elements that each view sees, by the view's place."""

    num_views: Ints32
    furthest: NDArray[np.uint8]
    held: Bools
    """Elements that only the fixture hides in some view."""

    best_mm_per_px: Floats
    best_incidence_deg: Floats
    best_grey: Floats
    """By light straight from the ring."""

    best_view: Ints32
    """The place of the view with that level; the first of several."""

    @classmethod
    def empty(cls, num_elements: int) -> _Tally:
        return cls(
            seen={},
            num_views=np.zeros(num_elements, dtype=np.int32),
            furthest=np.zeros(num_elements, dtype=np.uint8),
            held=np.zeros(num_elements, dtype=bool),
            best_mm_per_px=np.full(num_elements, np.inf),
            best_incidence_deg=np.full(num_elements, np.inf),
            best_grey=np.full(num_elements, np.inf),
            best_view=np.full(num_elements, np.iinfo(np.int32).max, dtype=np.int32),
        )

    @classmethod
    def of(cls, tester: VisibilityTester, viewpoint: Viewpoint, place: int, known: Ints32 | None) -> _Tally:
        """What the view at that place sees."""
        view, tally = tester.test(viewpoint, seen=known), cls.empty(tester.surface.num_elements)
        tally.num_views += view.seen
        tally.furthest[:] = view.num_passed
        if tester.rig.fixture is not None:
            hidden = np.flatnonzero(view.num_passed == TESTS.index(Loss.UNOCCLUDED))
            tally.held[hidden] = tester.hidden_by_fixture(viewpoint, hidden)
        seen = view.seen[view.element_idx]
        elements = view.element_idx[seen]
        tally.seen[place] = elements.astype(np.int32)
        tally.best_mm_per_px[elements] = view.mm_per_px[seen]
        tally.best_incidence_deg[elements] = view.incidence_deg[seen]
        grey = view.grey[seen] if known is not None else tester.grey(viewpoint, elements, gather=False)
        tally.best_grey[elements] = _best_level(grey, tester.requirements)
        tally.best_view[elements] = place
        return tally

    def add(self, other: _Tally) -> None:
        self.seen.update(other.seen)
        self.num_views += other.num_views
        np.maximum(self.furthest, other.furthest, out=self.furthest)
        self.held |= other.held
        np.minimum(self.best_mm_per_px, other.best_mm_per_px, out=self.best_mm_per_px)
        np.minimum(self.best_incidence_deg, other.best_incidence_deg, out=self.best_incidence_deg)
        best = nearest_to_mid_grey(self.best_grey, other.best_grey)
        mine, theirs = best == self.best_grey, best == other.best_grey
        first = np.minimum(self.best_view, other.best_view)
        self.best_view = np.where(mine & theirs, first, np.where(mine, self.best_view, other.best_view))
        self.best_grey = best


def _tally(tester: VisibilityTester, placed: Sequence[tuple[int, Viewpoint, Ints32 | None]]) -> _Tally:
    tally = _Tally.empty(tester.surface.num_elements)
    for place, viewpoint, known in placed:
        tally.add(_Tally.of(tester, viewpoint, place, known))
    return tally


def _levels(tester: VisibilityTester, shown: tuple[Viewpoint, Ints]) -> Floats:
    """The best levels of some elements in a view."""
    viewpoint, elements = shown
    return _best_level(tester.grey(viewpoint, elements), tester.requirements)


def _best_level(grey: Floats, requirements: Requirements) -> Floats:
    """The level that is nearest to half of full scale over the exposures."""
    return reduce(nearest_to_mid_grey, [grey * 2.0**stops for stops in requirements.exposures])
