"""Processes on this machine."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from viewcov.inspection.errors import ViewcovError

log = logging.getLogger(__name__)

_MOST_LOSSES = 3
"""As Dask allows a task by default."""

_make: Callable[..., Any] | None = None
_made: list[Any] = []
"""In a worker process: what its tasks need, as soon as one of them did."""


class Processes:
    """So many processes; one that ends is replaced, and its tasks are done again."""

    def __init__(self, make: Callable[..., Any], num: int) -> None:
        self.num = num
        self._make = make
        self._open: list[_Given] = []
        self._losses = 0
        self._start()

    def submit(self, function: Callable[..., Any], chunk: list[Any]) -> _Given:
        """Hand some items to the next process that is free."""
        given = _Given(self, function, chunk)
        self._open.append(given)
        self._hand_out([given])
        return given

    def close(self) -> None:
        """End the processes."""
        self._executor.shutdown(cancel_futures=True)

    def result_of(self, given: _Given) -> list[Any]:
        """What came out of a task, which is then done with."""
        while True:
            try:
                assert given.future is not None
                found = given.future.result()
            except BrokenProcessPool:
                self._replace()
                continue
            self._losses = 0
            return found

    def forget(self, given: _Given) -> None:
        """Do a task no more."""
        self._open.remove(given)

    def _start(self) -> None:
        self._executor = ProcessPoolExecutor(
            self.num,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(self._make,),
        )

    def _hand_out(self, several: list[_Given]) -> None:
        try:
            for given in several:
                given.future = self._executor.submit(_do, given.function, given.chunk)
        except BrokenProcessPool:
            self._replace()

    def _replace(self) -> None:
        """New processes for those that are gone, with all tasks that had no result."""
        self._losses += 1
        self.close()
        if self._losses > _MOST_LOSSES:
            raise ViewcovError(
                f"processes ended {self._losses} times before any of their tasks was done, perhaps for want of memory; "
                "use fewer with --jobs"
            )
        log.warning("a process ended; its tasks are done again")
        self._start()
        self._hand_out([given for given in self._open if given.is_lost])


class _Given:
    """Items that processes were given, until some did them."""

    def __init__(self, pool: Processes, function: Callable[..., Any], chunk: list[Any]) -> None:
        self.function, self.chunk = function, chunk
        self.future: Future[list[Any]] | None = None
        self._pool = pool

    @property
    def is_lost(self) -> bool:
        future = self.future
        return future is None or (future.done() and isinstance(future.exception(), BrokenProcessPool))

    def result(self) -> list[Any]:
        try:
            return self._pool.result_of(self)
        finally:
            self._pool.forget(self)

    def cancel(self) -> None:
        if self.future is not None:
            self.future.cancel()
        self._pool.forget(self)


def _start_worker(make: Callable[..., Any]) -> None:
    global _make
    _make = make


def _do(function: Callable[..., Any], chunk: list[Any]) -> list[Any]:
    if not _made:
        # Not when the process starts: what goes wrong here is told like anything else that goes wrong in a task.
        assert _make is not None
        _made.append(_make(num_threads=1))
    return [function(_made[0], item) for item in chunk]
