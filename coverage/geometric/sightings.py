"""What many views see, in sparse form and in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

import numpy as np
from scipy.sparse import csc_array, csr_array
from tqdm import tqdm

from viewcov.coverage.geometric.visibility import VisibilityTester
from viewcov.inspection.arrays import Bools, Ints, Ints32
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint

_tester: VisibilityTester | None = None
"""The tester of a worker process, built once when the process starts."""


class Watch:
    """Tests viewpoints here or in ``jobs`` processes; the result does not depend on how many.

    Processes are spawned, so a script that asks for more than one must guard its entry with
    ``if __name__ == "__main__"``. Use it in a ``with`` statement. ``gather`` is that of ``VisibilityTester``.
    """

    def __init__(
        self, surface: Surface, rig: Rig, requirements: Requirements, *, jobs: int = 1, gather: bool = False
    ) -> None:
        self._surface = surface
        self._tester: VisibilityTester | None = None
        self._pool: ProcessPoolExecutor | None = None
        if jobs == 1:
            self._tester = VisibilityTester(surface, rig, requirements, gather=gather)
        else:
            self._pool = ProcessPoolExecutor(
                jobs,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(surface, rig, requirements, gather),
            )

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def seen_from(
        self, viewpoints: Sequence[Viewpoint], *, among: Sequence[Ints] | None = None, progress: bool = False
    ) -> csr_array:
        """Shape (V, E), sparse: 1.0 where the view sees the element.

        If elements are given for each view, others are not tested.
        """
        asked = [None] * len(viewpoints) if among is None else among
        results: Iterable[Ints32]
        if self._pool is not None:
            results = self._pool.map(_see, viewpoints, asked, chunksize=8)
        else:
            assert self._tester is not None
            results = (_seen(self._tester, *each) for each in zip(viewpoints, asked, strict=True))
        seen = list(tqdm(results, total=len(viewpoints), desc="visibility", disable=not progress))
        ends = np.cumsum([0] + [len(rows) for rows in seen])
        columns = np.concatenate(seen) if seen else np.empty(0, dtype=np.int32)
        shape = (len(viewpoints), self._surface.num_elements)
        return csr_array((np.ones(len(columns)), columns, ends), shape=shape)


def seen_by(
    viewpoints: Sequence[Viewpoint],
    surface: Surface,
    rig: Rig,
    requirements: Requirements,
    *,
    among: Ints | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> csr_array:
    """Which elements each view sees, shape (V, E), sparse.

    If some elements are given, only those are tested, which takes as long as what there is to see of them.
    """
    tested = surface if among is None else surface.only(among)
    with Watch(tested, rig, requirements, jobs=jobs) as watch:
        seen = watch.seen_from(viewpoints, progress=progress)
    columns = seen.indices if among is None else among[seen.indices]
    return csr_array((seen.data, columns, seen.indptr), shape=(len(viewpoints), surface.num_elements))


def confirmed(
    viewpoints: Sequence[Viewpoint],
    seen: csr_array,
    surface: Surface,
    rig: Rig,
    requirements: Requirements,
    *,
    counts: Ints | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> Bools:
    """Elements that enough views see by all light, out of those that they see by light straight from the ring.

    Where the requirements limit grey, an element is tested by as many views as it takes, those that see most
    first, so that nearly every one is tested once.

    Parameters
    ----------
    viewpoints, seen
        V views and what they see by light straight from the ring, shape (V, E).
    surface, rig, requirements
        What is looked at with what.
    counts
        Shape (E,): how many other views see each element; none if not given.
    jobs, progress
        As in `Watch`.

    Returns
    -------
    Shape (E,).
    """
    counts = np.zeros(surface.num_elements, dtype=np.int64) if counts is None else counts.astype(np.int64)
    demand = requirements.views_per_element
    if not requirements.limits_grey:
        return np.asarray(counts + seen.sum(axis=0) >= demand)
    order = np.argsort(-np.diff(seen.indptr), kind="stable")
    claims = csc_array(csr_array(seen[order]))
    claims.sort_indices()
    num_claims, tried, at_once = np.diff(claims.indptr), np.zeros(surface.num_elements, dtype=np.int64), 1
    with Watch(surface, rig, requirements, jobs=jobs, gather=True) as watch:
        while len(rest := np.flatnonzero((counts < demand) & (tried < num_claims))):
            num = np.minimum(np.maximum(demand - counts[rest], at_once), num_claims[rest] - tried[rest])
            element_idx = np.repeat(rest, num)
            step = np.arange(len(element_idx)) - np.repeat(np.cumsum(num) - num, num)
            view = order[claims.indices[claims.indptr[element_idx] + tried[element_idx] + step]]
            asked = csr_array((np.ones(len(view)), (view, element_idx)), shape=seen.shape)
            rows = np.flatnonzero(np.diff(asked.indptr)).tolist()
            columns = asked.indices.astype(np.int64)
            found = watch.seen_from(
                [viewpoints[row] for row in rows],
                among=[columns[slice(*asked.indptr[row : row + 2])] for row in rows],
                progress=progress,
            )
            counts += np.asarray(found.sum(axis=0)).astype(np.int64)
            tried[rest] += num
            # What several views cannot show is tried by more and more of them at a time.
            at_once *= 2
    return counts >= demand


def _start_worker(surface: Surface, rig: Rig, requirements: Requirements, gather: bool) -> None:
    global _tester
    _tester = VisibilityTester(surface, rig, requirements, num_threads=1, gather=gather)


def _see(viewpoint: Viewpoint, among: Ints | None) -> Ints32:
    assert _tester is not None
    return _seen(_tester, viewpoint, among)


def _seen(tester: VisibilityTester, viewpoint: Viewpoint, among: Ints | None) -> Ints32:
    return tester.seen_elements(viewpoint, among=among).astype(np.int32)
