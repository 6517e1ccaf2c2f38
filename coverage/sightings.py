"""What many views see, in sparse form and in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

import numpy as np
from scipy.sparse import csr_array
from tqdm import tqdm

from viewcov.coverage.visibility import VisibilityTester
from viewcov.inspection.arrays import Ints, Ints32
from viewcov.inspection.requirements import Requirements
from viewcov.inspection.rig import Rig
from viewcov.inspection.surface import Surface
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

    def seen_from(self, viewpoints: Sequence[Viewpoint], *, progress: bool = False) -> csr_array:
        """Shape (V, E), sparse: 1.0 where the view sees the element."""
        results: Iterable[Ints32]
        if self._pool is not None:
            results = self._pool.map(_see, viewpoints, chunksize=8)
        else:
            assert self._tester is not None
            results = (_seen(self._tester, view) for view in viewpoints)
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
    gather: bool = False,
    jobs: int = 1,
    progress: bool = False,
) -> csr_array:
    """Which elements each view sees, shape (V, E), sparse.

    If some elements are given, only those are tested, which takes as long as what there is to see of them.
    ``gather`` is that of ``VisibilityTester``.
    """
    tested = surface if among is None else surface.only(among)
    with Watch(tested, rig, requirements, jobs=jobs, gather=gather) as watch:
        seen = watch.seen_from(viewpoints, progress=progress)
    columns = seen.indices if among is None else among[seen.indices]
    return csr_array((seen.data, columns, seen.indptr), shape=(len(viewpoints), surface.num_elements))


def _start_worker(surface: Surface, rig: Rig, requirements: Requirements, gather: bool) -> None:
    global _tester
    _tester = VisibilityTester(surface, rig, requirements, num_threads=1, gather=gather)


def _see(viewpoint: Viewpoint) -> Ints32:
    assert _tester is not None
    return _seen(_tester, viewpoint)


def _seen(tester: VisibilityTester, viewpoint: Viewpoint) -> Ints32:
    return tester.seen_elements(viewpoint).astype(np.int32)
