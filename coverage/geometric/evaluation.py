"""How much of the surface a set of viewpoints inspects, and why the rest is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tqdm import tqdm

from viewcov.coverage.geometric.visibility import TESTS, VisibilityTester
from viewcov.coverage.ladder import Areas, Loss
from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.priority import weighted_areas_mm2
from viewcov.inspection.rig.fixture import obstacles_of
from viewcov.inspection.rig.requirements import Requirements
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
    """Shape (E,): finest sampling over the views that inspect the element; NaN = unseen."""

    best_incidence_deg: Floats
    """Shape (E,): smallest incidence angle over the views that inspect the element; NaN = unseen."""

    best_grey: Floats
    """Shape (E,): the level nearest to half of full scale, in stops, over the views that inspect the element and
    the exposures of the stack; beyond 1 it is saturated; NaN = unseen."""

    coverable: Bools
    """Shape (E,): which elements count as coverable by this rig; those that are covered always do."""

    @property
    def num_viewpoints(self) -> int:
        """How many viewpoints were evaluated."""
        return len(self.viewpoints)

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
    surface: Surface,
    rig: Rig,
    requirements: Requirements,
    viewpoints: Sequence[Viewpoint],
    *,
    coverable: Bools | None = None,
    known: csr_array | None = None,
    gather: bool = True,
    progress: bool = False,
    jobs: int = 1,
) -> GeometricCoverage:
    """The geometric coverage of viewpoints.

    Parameters
    ----------
    surface, rig, requirements
        What is inspected, with what, and what a view must offer.
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
    progress
        Whether to show a progress bar.
    jobs
        Processes; the result does not depend on it. One process already traces rays on every core.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if coverable is not None and coverable.shape != (surface.num_elements,):
        raise ValueError(f"coverable must have shape ({surface.num_elements},), got {coverable.shape}")
    total = _Tally.empty(surface.num_elements)
    with tqdm(total=len(viewpoints), desc="views", unit="view", disable=not progress) as bar:
        for part in _tallies(_Task(surface, rig, requirements, gather, known), viewpoints, jobs):
            total.add(part)
            bar.update(len(part.seen))
    seen = total.num_views > 0
    covered = total.num_views >= requirements.views_per_element
    whole = surface.inspected if coverable is None else (coverable & surface.inspected) | covered
    return GeometricCoverage(
        surface=surface,
        requirements=requirements,
        viewpoints=tuple(viewpoints),
        seen=_rows([total.seen[place] for place in range(len(viewpoints))], surface.num_elements),
        num_views=total.num_views,
        furthest=total.furthest,
        best_mm_per_px=np.where(seen, total.best_mm_per_px, np.nan),
        best_incidence_deg=np.where(seen, total.best_incidence_deg, np.nan),
        best_grey=_best_grey(_Task(surface, rig, requirements, gather, known), viewpoints, total),
        coverable=whole,
        loss_idx=_losses(surface, rig, total),
    )


def _best_grey(task: _Task, viewpoints: Sequence[Viewpoint], total: _Tally) -> Floats:
    """The level of each element in the view that is best for it, shape (E,), by all light if that is gathered."""
    best = np.full(task.surface.num_elements, np.nan)
    tester = task.tester(num_threads=0)
    levels = tester.gathered_grey if task.gather else tester.direct_grey
    for place in np.unique(total.best_view[total.num_views > 0]).tolist():
        elements = np.flatnonzero((total.best_view == place) & (total.num_views > 0))
        grey, found = levels(viewpoints[place], elements), np.full(len(elements), np.inf)
        for stops in task.requirements.exposures:
            found = nearest_to_mid_grey(found, grey * 2.0**stops)
        best[elements] = found
    return best


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


def _rows(columns: Sequence[Ints32], num_columns: int) -> csr_array:
    """Sparse rows with 1.0 in the columns given for each."""
    ends = np.cumsum([0, *map(len, columns)])
    joined = np.concatenate([np.empty(0, dtype=np.int32), *columns])
    return csr_array((np.ones(len(joined)), joined, ends), shape=(len(columns), num_columns))


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

    def add(self, other: _Tally) -> None:
        self.seen.update(other.seen)
        self.num_views += other.num_views
        np.maximum(self.furthest, other.furthest, out=self.furthest)
        self.held |= other.held
        np.minimum(self.best_mm_per_px, other.best_mm_per_px, out=self.best_mm_per_px)
        np.minimum(self.best_incidence_deg, other.best_incidence_deg, out=self.best_incidence_deg)
        self._take_grey(np.arange(len(self.best_grey)), other.best_grey, other.best_view)

    def _take_grey(self, elements: Ints, level: Floats, view: Ints32 | int) -> None:
        """Note levels of elements, shape (N,), in views, where they are better."""
        before = self.best_grey[elements]
        best = nearest_to_mid_grey(before, level)
        first = np.where(level == before, np.minimum(self.best_view[elements], view), view)
        self.best_view[elements] = np.where((best == before) & (level != before), self.best_view[elements], first)
        self.best_grey[elements] = best

    def add_view(self, tester: VisibilityTester, viewpoint: Viewpoint, place: int, known: Ints32 | None) -> None:
        view = tester.test(viewpoint, seen=known)
        self.num_views += view.seen
        np.maximum(self.furthest, view.num_passed, out=self.furthest)
        if tester.rig.fixture is not None:
            hidden = np.flatnonzero(view.num_passed == TESTS.index(Loss.UNOCCLUDED))
            self.held[hidden] |= tester.hidden_by_fixture(viewpoint, hidden)
        seen = view.seen[view.element_idx]
        elements = view.element_idx[seen]
        self.seen[place] = elements.astype(np.int32)
        for best, values in (
            (self.best_mm_per_px, view.mm_per_px),
            (self.best_incidence_deg, view.incidence_deg),
        ):
            best[elements] = np.minimum(best[elements], values[seen])
        grey = view.grey[seen] if known is not None else tester.direct_grey(viewpoint, elements)
        for stops in tester.requirements.exposures:
            self._take_grey(elements, grey * 2.0**stops, place)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What views are tested on."""

    surface: Surface
    rig: Rig
    requirements: Requirements
    gather: bool
    known: csr_array | None

    def tester(self, *, num_threads: int) -> VisibilityTester:
        return VisibilityTester(
            self.surface, self.rig, self.requirements, num_threads=num_threads, gather=self.gather, measure_grey=True
        )


def _tallies(task: _Task, viewpoints: Sequence[Viewpoint], jobs: int) -> Iterator[_Tally]:
    placed = list(enumerate(viewpoints))
    # A few pieces for each process: enough to share the work evenly, few arrays to send back.
    num_pieces = min(len(viewpoints), 1 if jobs == 1 else 4 * jobs)
    if jobs == 1 or num_pieces < 2:
        tester = task.tester(num_threads=0)
        for one in placed:
            yield _tally(task, tester, [one])
        return
    # Spawned, not forked: a fork of a process in which Embree's threads have run may hang.
    with ProcessPoolExecutor(
        max_workers=min(jobs, num_pieces),
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(task,),
    ) as pool:
        yield from pool.map(_tally_piece, [placed[start::num_pieces] for start in range(num_pieces)])


def _tally(task: _Task, tester: VisibilityTester, placed: Sequence[tuple[int, Viewpoint]]) -> _Tally:
    tally = _Tally.empty(tester.surface.num_elements)
    for place, viewpoint in placed:
        known = None if task.known is None else task.known.indices[slice(*task.known.indptr[place : place + 2])]
        tally.add_view(tester, viewpoint, place, known)
    return tally


_worker: tuple[_Task, VisibilityTester] | None = None
"""Of a worker process; built once for all its pieces."""


def _start_worker(task: _Task) -> None:
    global _worker
    _worker = task, task.tester(num_threads=1)


def _tally_piece(placed: Sequence[tuple[int, Viewpoint]]) -> _Tally:
    assert _worker is not None
    return _tally(*_worker, placed)
