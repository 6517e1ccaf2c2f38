"""The whole surface at its finest, of which candidates are tested on some elements and the plan's views on all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array, vstack

from viewcov.coverage.geometric.sightings import Watch, confirmed, seen_by, sparse_rows
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32
from viewcov.inspection.records import Jobs
from viewcov.inspection.rig.requirements import weighted_areas_mm2
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.clock import over
from viewcov.planning.selection.problem import CoverProblem

_TIMED = 3
"""Views for each worker that are looked from to know how long that takes."""


class Looks:
    """Looks at all of a surface, by all light. Workers stay ready from the first look until the ``with`` ends.

    Parameters
    ----------
    setup
        The surface, and what it is looked at with.
    jobs
        As in `Watch`.
    """

    def __init__(self, setup: Setup, jobs: Jobs = 1) -> None:
        self.setup, self.jobs = setup, jobs

    def __enter__(self) -> Looks:
        return self

    def __exit__(self, *error: object) -> None:
        if "watch" in self.__dict__:
            self.watch.__exit__(*error)

    @cached_property
    def watch(self) -> Watch:
        """Who looks."""
        return Watch(self.setup, jobs=self.jobs, gather=True)

    def seconds_each(self, views: Sequence[Viewpoint]) -> float:
        """How long a look from one of many such views takes; workers that are not ready yet are not waited for."""
        num = _TIMED * self.watch.num_workers
        some = views[:: max(len(views) // num, 1)][:num]
        self.watch.seen_from(some, at_once=1)
        began = time.monotonic()
        self.watch.seen_from(some, at_once=1)
        return (time.monotonic() - began) / len(some)


class WholeSurface:
    """What is known of the E elements of a surface, seen from V candidates.

    A choice of views needs all of them only where it is wrong: every candidate is tested on some elements, which are
    the rows that views are chosen by, and the views at hand on all. What those leave becomes known from every
    candidate too, so that it can become a row. Each view is looked from once, each element tested once.

    Where the requirements limit grey, views at hand are measured by all light, and candidates by light straight from
    the ring; what only that light seems to show is not taken for coverable.

    Parameters
    ----------
    looks
        At the surface.
    candidates
        The V viewpoints.
    """

    def __init__(self, looks: Looks, candidates: Sequence[Viewpoint]) -> None:
        self.setup, self.candidates, self._looks = looks.setup, tuple(candidates), looks
        num = self.setup.surface.num_elements
        self.weight: Floats = weighted_areas_mm2(self.setup.surface, self.setup.requirements)
        self.tested: Bools = np.zeros(num, dtype=bool)
        """Shape (E,): elements that every candidate was tested on."""
        self._seen = csr_array((len(self.candidates), num))
        self._own: dict[int, Ints32] = {}
        self._sure = np.zeros(num, dtype=bool)
        self.unasked: Bools = np.zeros(num, dtype=bool)
        """Shape (E,): elements that may be coverable, if there had been time to ask."""

    @property
    def demand(self) -> int:
        """Views that must see each element."""
        return self.setup.requirements.views_per_element

    @property
    def unasked_weight(self) -> float:
        """Weight of the ``unasked`` elements."""
        return float(self.weight[self.unasked].sum())

    @property
    def looked(self) -> Ints:
        """The views of which all that they see is known, ascending."""
        return np.array(sorted(self._own), dtype=np.int64)

    def know(self, elements: Ints, visible: csr_array) -> None:
        """Take what all candidates see of some elements as known, shape (V, N)."""
        shape = self._seen.shape
        self._add(elements, csr_array((visible.data, elements[visible.indices], visible.indptr), shape=shape))
        if len(elements) == shape[1] and not self.setup.requirements.limits_grey:
            rows = self._seen.indices.astype(np.int32)
            self._own = dict(enumerate(np.split(rows, self._seen.indptr[1:-1])))

    def test(self, elements: Ints) -> None:
        """Test every candidate on those of the elements where that was not done."""
        elements = elements[~self.tested[elements]]
        if len(elements):
            seen = seen_by(self.candidates, self.setup, among=elements, jobs=self._looks.jobs)
            self._add(elements, seen)

    def look(self, views: Ints) -> None:
        """Look from some of the candidates at everything, and from all of them at what those leave."""
        new = [int(view) for view in views if int(view) not in self._own]
        if new:
            rows = self._looks.watch.seen_from([self.candidates[view] for view in new])
            self._own |= dict(zip(new, np.split(rows.indices.astype(np.int32), rows.indptr[1:-1]), strict=True))
        self.test(np.flatnonzero(self.setup.surface.inspected & (self.counts(views) < self.demand)))

    def counts(self, views: Ints) -> Ints:
        """How many of some views that were looked from see each element, shape (E,)."""
        num = self.setup.surface.num_elements
        joined = [self._own[int(view)] for view in views]
        return np.bincount(np.concatenate([np.empty(0, dtype=np.int32), *joined]), minlength=num)

    def coverable(self, views: Ints, *, until: float = np.inf) -> Bools:
        """Shape (E,): what some views that were looked from cover, or enough candidates would.

        What only light straight from the ring shows so far when the clock reads ``until`` is not taken for coverable.
        """
        counts, known = self.counts(views), self._known()
        covered, claimed = counts >= self.demand, np.asarray(known.sum(axis=0)) >= self.demand
        if not self.setup.requirements.limits_grey:
            return covered | claimed
        unsure = claimed & ~covered & ~self._sure
        if unsure.any():
            # By other views than these, which are counted.
            others = ~np.isin(np.arange(len(self.candidates)), views)
            asked = csr_array(known.multiply(unsure[None, :]).multiply(others[:, None]).tocsr())
            sure, unasked = confirmed(
                self.candidates, asked, self.setup, counts=counts * unsure, by=self._looks.watch,
                late=lambda: over(until),
            )  # fmt: skip
            self._sure |= unsure & sure
            self.unasked = (self.unasked | (unsure & unasked)) & ~covered
            # What only light straight from the ring shows is seen by nobody.
            self._seen.data *= (self._sure | ~unsure)[self._seen.indices]
            self._seen.eliminate_zeros()
        return covered | self._sure

    def problem(self, views: Ints, *, until: float = np.inf) -> CoverProblem:
        """Covering what is `coverable`, as far as some views that were looked from tell.

        Rows of views that were looked from are complete, those of others as far as tested.
        """
        self.coverable(views, until=until)
        return CoverProblem(visible=self._known(), weight=self.weight, demand=self.demand)

    def rows(self, elements: Ints, weight: Floats) -> CoverProblem:
        """Covering some tested elements, shape (R,), by their weights."""
        return CoverProblem(visible=csr_array(self._known()[:, elements]), weight=weight, demand=self.demand)

    def _known(self) -> csr_array:
        if not self._own or len(self._own) == len(self.candidates):
            return self._seen
        looked = self.looked
        own = sparse_rows([self._own[int(view)] for view in looked], self.setup.surface.num_elements)
        order = np.arange(len(self.candidates))
        order[looked] = len(order) + np.arange(len(looked))
        return csr_array(csr_array(vstack([self._seen, own], format="csr"))[order])

    def _add(self, elements: Ints, visible: csr_array) -> None:
        self._seen = visible if self._seen.nnz == 0 else csr_array(self._seen + visible)
        self._seen.sort_indices()
        self.tested[elements] = True
