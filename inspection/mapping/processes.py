"""Processes on this machine."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from viewcov.inspection.errors import ViewcovError

log = logging.getLogger(__name__)

_MOST_LOSSES = 3
"""As Dask allows a task by default."""

_kept: dict[int, ProcessPoolExecutor] | None = None
"""By how many there are, where processes are kept."""

_MOST_MADE = 2
"""What a worker process keeps of what its tasks need: starting one takes seconds, and loops go to and fro."""

_made: dict[str, Any] = {}
"""In a worker process: what its tasks need, by the file that tells how to make it, as soon as one of them did."""


@contextmanager
def kept_processes() -> Iterator[None]:
    """Within it, processes are started once for all loops, and not for each of them."""
    global _kept
    if _kept is not None:
        yield
        return
    _kept = {}
    try:
        yield
    finally:
        for executor in _kept.values():
            executor.shutdown(cancel_futures=True)
        _kept = None


class Processes:
    """So many processes; one that ends is replaced, and its tasks are done again."""

    def __init__(self, make: Callable[..., Any], num: int) -> None:
        self.num = num
        self._folder = tempfile.TemporaryDirectory(prefix="viewcov-")
        self._make = str(Path(self._folder.name) / "make.pickle")
        Path(self._make).write_bytes(pickle.dumps(make, protocol=pickle.HIGHEST_PROTOCOL))
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
        """End the processes, unless they are kept."""
        if _kept is None or _kept.get(self.num) is not self._executor:
            self._executor.shutdown(cancel_futures=True)
        self._folder.cleanup()

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
        if _kept is not None and self.num in _kept:
            self._executor = _kept[self.num]
            return
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(self.num, mp_context=context, initializer=_start_worker)
        if _kept is not None:
            _kept[self.num] = self._executor

    def _hand_out(self, several: list[_Given]) -> None:
        try:
            for given in several:
                given.future = self._executor.submit(_do, self._make, given.function, given.chunk)
        except BrokenProcessPool:
            self._replace()

    def _replace(self) -> None:
        """New processes for those that are gone, with all tasks that had no result."""
        self._losses += 1
        self._executor.shutdown(cancel_futures=True)
        if _kept is not None and _kept.get(self.num) is self._executor:
            del _kept[self.num]
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


def _start_worker() -> None:
    # An interrupt is for the process that started this one, which may have a use for what is done here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _do(make: str, function: Callable[..., Any], chunk: list[Any]) -> list[Any]:
    if make not in _made:
        while len(_made) >= _MOST_MADE:
            del _made[next(iter(_made))]
        # Not when the process starts: what goes wrong here is told like anything else that goes wrong in a task.
        _made[make] = pickle.loads(Path(make).read_bytes())(num_threads=1)
    return [function(_made[make], item) for item in chunk]
