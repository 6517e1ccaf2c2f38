"""Loops over views, instances and inspections, wherever their work is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from viewcov.inspection.mapping.cluster import Cluster, connect
from viewcov.inspection.mapping.processes import Processes
from viewcov.inspection.records import Jobs, checked_processes

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 3
"""Tasks in flight for each worker: one that it does, one that waits there, and one for results that come late."""


def checked_jobs(jobs: Jobs) -> Jobs:
    """A number of processes, or the address of a scheduler that answers; otherwise raises as ``Workers``."""
    if isinstance(jobs, str):
        connect(jobs)
        return jobs
    return checked_processes(jobs)


class Workers(Generic[S]):
    """Workers that do things with something heavy that all of them need, such as a part with its triangles.

    That travels to each worker once, and is made ready there once. What comes out does not depend on the workers, so
    long as ``make`` gives the same with any number of threads. A worker that ends costs the tasks that it had; they are
    done again by others. Use it in a ``with`` statement.

    Processes are spawned, so a script that asks for several must guard its entry with ``if __name__ == "__main__"``:
    a fork of a process in which Embree's threads have run may hang.

    Parameters
    ----------
    make
        Gives what all tasks need; called with ``num_threads``, 0 for one thread per core. A picklable function, as
        are those given to ``map``.
    jobs
        1 to work in this process, which is then free to use all cores; more for so many processes; or the address of
        a Dask scheduler.

    Raises
    ------
    InputError
        If there cannot be so many processes, or no scheduler is at the address.
    MissingExtraError
        If an address is given and Dask is not installed.
    """

    def __init__(self, make: Callable[..., S], jobs: Jobs = 1) -> None:
        checked_jobs(jobs)
        self._made = make(num_threads=0) if jobs == 1 else None
        self._pool: _Pool | None = None
        if jobs != 1:
            self._pool = Cluster(make, jobs) if isinstance(jobs, str) else Processes(make, jobs)

    def __enter__(self) -> Workers[S]:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.close()

    @property
    def num(self) -> int:
        """How many workers there are at the moment."""
        return 1 if self._pool is None else self._pool.num

    def map(self, function: Callable[[S, T], R], items: Iterable[T], *, at_once: int = 1) -> Iterator[R]:
        """What the function gives for each item, in their order; a task is some items at once.

        Items are taken as tasks get done, and few results wait: memory does not grow with the number of items.
        """
        if self._pool is None:
            # ``make`` was called: there is no pool.
            return map(partial(function, self._made), items)  # type: ignore[arg-type]
        return self._streamed(self._pool, function, items, at_once)

    def _streamed(self, pool: _Pool, function: Callable[[S, T], R], items: Iterable[T], at_once: int) -> Iterator[R]:
        rest, waiting = iter(items), deque[Task]()
        try:
            while chunk := list(islice(rest, at_once)):
                waiting.append(pool.submit(function, chunk))
                while len(waiting) >= _AHEAD * pool.num:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for task in waiting:
                task.cancel()


class Task(Protocol):
    """Some items that a worker was given."""

    def result(self) -> list[Any]:
        """What came out for each; waits for it."""
        ...

    def cancel(self) -> object:
        """Nobody needs it any more."""
        ...


class _Pool(Protocol):
    @property
    def num(self) -> int: ...

    def submit(self, function: Callable[..., Any], chunk: list[Any]) -> Task: ...

    def close(self) -> None: ...
