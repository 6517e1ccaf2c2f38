"""What many views see, in sparse form, by whatever workers there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice, tee
from typing import TypeVar

import numpy as np
from scipy.sparse import csc_array, csr_array
from tqdm import tqdm

from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.inspection.arrays import Bools, Ints, Ints32
from viewcov.inspection.mapping.workers import Workers
from viewcov.inspection.records import Jobs
from viewcov.inspection.viewpoint import Viewpoint

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 8
"""Views that a worker takes at once."""

_ASKED_AT_ONCE = 64
"""Views that are asked between two looks at the clock."""


class Watch:
    """Tests viewpoints, each worker by a tester of its own; the result does not depend on how many there are.

    Use it in a ``with`` statement. ``jobs`` are those of ``Workers``, and processes on this machine ask scripts for the
    same guard; ``gather`` and ``measure_grey`` are those of ``VisibilityTester``.
    """

    def __init__(self, setup: Setup, *, jobs: Jobs = 1, gather: bool = False, measure_grey: bool = False) -> None:
        self._setup = setup
        self._workers = Workers(partial(VisibilityTester, setup, gather=gather, measure_grey=measure_grey), jobs)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.__exit__(*error)

    @property
    def num_workers(self) -> int:
        """How many there are at the moment."""
        return self._workers.num

    def each(self, look: Callable[[VisibilityTester, T], R], tasks: Iterable[T], *, at_once: int = 1) -> Iterator[R]:
        """What a function finds with a tester for each task, in their order; a worker takes some tasks at once."""
        return self._workers.map(look, tasks, at_once=at_once)

    def seen_from(
        self,
        viewpoints: Sequence[Viewpoint],
        *,
        among: Sequence[Ints] | None = None,
        progress: bool = False,
        at_once: int = _AT_ONCE,
    ) -> csr_array:
        """Shape (V, E), sparse: 1.0 where the view sees the element.

        If elements are given for each view, others are not tested. Workers take so many views at once.
        """
        asked = [None] * len(viewpoints) if among is None else among
        results = self.each(_seen, zip(viewpoints, asked, strict=True), at_once=at_once)
        seen = list(tqdm(results, total=len(viewpoints), desc="visibility", disable=not progress))
        return sparse_rows(seen, self._setup.surface.num_elements)

    def seen_from_each(self, several: Iterable[Sequence[Viewpoint]]) -> Iterator[csr_array]:
        """The same for one group of views after the other, without a pause between them."""
        groups, sizes = tee(several)
        results = self.each(_seen, ((view, None) for views in groups for view in views), at_once=_AT_ONCE)
        for views in sizes:
            yield sparse_rows(list(islice(results, len(views))), self._setup.surface.num_elements)


def sparse_rows(columns: Sequence[Ints32], num_columns: int) -> csr_array:
    """Sparse rows with 1.0 in the columns given for each."""
    ends = np.cumsum([0, *map(len, columns)])
    joined = np.concatenate([np.empty(0, dtype=np.int32), *columns])
    return csr_array((np.ones(len(joined)), joined, ends), shape=(len(columns), num_columns))


def seen_by(
    viewpoints: Sequence[Viewpoint], setup: Setup, *, among: Ints, jobs: Jobs = 1, progress: bool = False
) -> csr_array:
    """Which of some elements each view sees, shape (V, E), sparse; takes as long as what there is to see of them."""
    with Watch(replace(setup, surface=setup.surface.only(among)), jobs=jobs) as watch:
        seen = watch.seen_from(viewpoints, progress=progress)
    return csr_array((seen.data, among[seen.indices], seen.indptr), shape=(len(viewpoints), setup.surface.num_elements))


def confirmed(
    viewpoints: Sequence[Viewpoint],
    seen: csr_array,
    setup: Setup,
    *,
    counts: Ints | None = None,
    by: Jobs | Watch = 1,
    late: Callable[[], bool] = bool,
) -> tuple[Bools, Bools]:
    """Elements that enough views see by all light, out of those they see by light straight from the ring.

    Shape (E,), and those that might be among them but that it got too ``late`` to ask about, shape (E,).

    Where the requirements limit grey, an element is tested by as many views as it takes, those that see most
    first, so that nearly every one is tested once.

    Parameters
    ----------
    viewpoints, seen
        V views and what they see by light straight from the ring, shape (V, E).
    counts
        Shape (E,): how many other views see each element; none if not given.
    by
        As in ``Watch``, or one that gathers light.
    """
    counts = np.zeros(seen.shape[1], dtype=np.int64) if counts is None else counts.astype(np.int64)
    demand = setup.requirements.views_per_element
    if not setup.requirements.limits_grey:
        return np.asarray(counts + seen.sum(axis=0) >= demand), np.zeros(seen.shape[1], dtype=bool)
    order = np.argsort(-np.diff(seen.indptr), kind="stable")
    claims = csc_array(csr_array(seen[order]))
    claims.sort_indices()
    num_claims, tried, at_once = np.diff(claims.indptr), np.zeros(seen.shape[1], dtype=np.int64), 1
    with nullcontext(by) if isinstance(by, Watch) else Watch(setup, jobs=by, gather=True) as watch:
        while len(rest := np.flatnonzero((counts < demand) & (tried < num_claims))):
            num = np.minimum(np.maximum(demand - counts[rest], at_once), num_claims[rest] - tried[rest])
            element_idx = np.repeat(rest, num)
            step = np.arange(len(element_idx)) - np.repeat(np.cumsum(num) - num, num)
            view = order[claims.indices[claims.indptr[element_idx] + tried[element_idx] + step]]
            asked = csr_array((np.ones(len(view)), (view, element_idx)), shape=seen.shape)
            rows = np.flatnonzero(np.diff(asked.indptr))
            columns = asked.indices.astype(np.int64)
            for some in np.split(rows, range(_ASKED_AT_ONCE, len(rows), _ASKED_AT_ONCE)):
                if late():
                    return counts >= demand, (counts < demand) & (counts + num_claims - tried >= demand)
                found = watch.seen_from(
                    [viewpoints[row] for row in some],
                    among=[columns[slice(*asked.indptr[row : row + 2])] for row in some],
                )
                counts += np.asarray(found.sum(axis=0)).astype(np.int64)
            tried[rest] += num
            # What several views cannot show is tried by more and more of them at a time.
            at_once *= 2
    return counts >= demand, np.zeros(len(counts), dtype=bool)


def _seen(tester: VisibilityTester, task: tuple[Viewpoint, Ints | None]) -> Ints32:
    return tester.seen_elements(task[0], among=task[1]).astype(np.int32)
