"""What many views see, in sparse form and in several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from scipy.sparse import csc_array, csr_array
from tqdm import tqdm

from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.inspection.arrays import Bools, Ints, Ints32
from viewcov.inspection.viewpoint import Viewpoint

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 64
"""Views that are asked between two looks at the clock."""

_tester: VisibilityTester | None = None
"""The tester of a worker process, built once when the process starts."""


class Watch:
    """Tests viewpoints here or in ``jobs`` processes; the result does not depend on how many.

    Processes are spawned, so a script that asks for more than one must guard its entry with
    ``if __name__ == "__main__"``: a fork of a process in which Embree's threads have run may hang. Use it in a
    ``with`` statement. ``gather`` and ``measure_grey`` are those of ``VisibilityTester``.
    """

    def __init__(self, setup: Setup, *, jobs: int = 1, gather: bool = False, measure_grey: bool = False) -> None:
        self._setup = setup
        tester = partial(VisibilityTester, setup, gather=gather, measure_grey=measure_grey)
        self._tester = tester() if jobs == 1 else None
        self._pool: ProcessPoolExecutor | None = None
        if jobs != 1:
            self._pool = ProcessPoolExecutor(
                jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(tester,)
            )

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def each(self, look: Callable[[VisibilityTester, T], R], tasks: Sequence[T], *, at_once: int = 1) -> Iterator[R]:
        """What a function finds with a tester for each task, in their order; processes take some tasks at once."""
        if self._tester is not None:
            return map(partial(look, self._tester), tasks)
        assert self._pool is not None
        return self._pool.map(partial(_look, look), tasks, chunksize=at_once)

    def seen_from(
        self, viewpoints: Sequence[Viewpoint], *, among: Sequence[Ints] | None = None, progress: bool = False
    ) -> csr_array:
        """Shape (V, E), sparse: 1.0 where the view sees the element.

        If elements are given for each view, others are not tested.
        """
        asked = [None] * len(viewpoints) if among is None else among
        results = self.each(_seen, list(zip(viewpoints, asked, strict=True)), at_once=8)
        seen = list(tqdm(results, total=len(viewpoints), desc="visibility", disable=not progress))
        return sparse_rows(seen, self._setup.surface.num_elements)


def sparse_rows(columns: Sequence[Ints32], num_columns: int) -> csr_array:
    """Sparse rows with 1.0 in the columns given for each."""
    ends = np.cumsum([0, *map(len, columns)])
    joined = np.concatenate([np.empty(0, dtype=np.int32), *columns])
    return csr_array((np.ones(len(joined)), joined, ends), shape=(len(columns), num_columns))


def seen_by(
    viewpoints: Sequence[Viewpoint], setup: Setup, *, among: Ints, jobs: int = 1, progress: bool = False
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
    jobs: int = 1,
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
    """
    counts = np.zeros(seen.shape[1], dtype=np.int64) if counts is None else counts.astype(np.int64)
    demand = setup.requirements.views_per_element
    if not setup.requirements.limits_grey:
        return np.asarray(counts + seen.sum(axis=0) >= demand), np.zeros(seen.shape[1], dtype=bool)
    order = np.argsort(-np.diff(seen.indptr), kind="stable")
    claims = csc_array(csr_array(seen[order]))
    claims.sort_indices()
    num_claims, tried, at_once = np.diff(claims.indptr), np.zeros(seen.shape[1], dtype=np.int64), 1
    with Watch(setup, jobs=jobs, gather=True) as watch:
        while len(rest := np.flatnonzero((counts < demand) & (tried < num_claims))):
            num = np.minimum(np.maximum(demand - counts[rest], at_once), num_claims[rest] - tried[rest])
            element_idx = np.repeat(rest, num)
            step = np.arange(len(element_idx)) - np.repeat(np.cumsum(num) - num, num)
            view = order[claims.indices[claims.indptr[element_idx] + tried[element_idx] + step]]
            asked = csr_array((np.ones(len(view)), (view, element_idx)), shape=seen.shape)
            rows = np.flatnonzero(np.diff(asked.indptr))
            columns = asked.indices.astype(np.int64)
            for some in np.split(rows, range(_AT_ONCE, len(rows), _AT_ONCE)):
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


def _start_worker(tester: Callable[..., VisibilityTester]) -> None:
    global _tester
    # An interrupt is for the process that started this one, which may have a use for what is done here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _tester = tester(num_threads=1)


def _look(look: Callable[[VisibilityTester, T], R], task: T) -> R:
    assert _tester is not None
    return look(_tester, task)


def _seen(tester: VisibilityTester, task: tuple[Viewpoint, Ints | None]) -> Ints32:
    return tester.seen_elements(task[0], among=task[1]).astype(np.int32)
