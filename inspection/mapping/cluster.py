"""Workers of a Dask scheduler."""

from __future__ import annotations

import atexit
import logging
import pickle
import platform
import socket
import threading
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from viewcov.inspection.errors import InputError, MissingExtraError, ViewcovError
from viewcov.inspection.files import sha256_of

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)

_TIMEOUT_S = 10
_SMALL = 1 << 16
"""Bytes; arrays of fewer travel with what refers to them."""
_GONE = "the scheduler is gone, or was restarted; run the command again"


class Cluster:
    """What workers of a scheduler have in common, and their tasks.

    What tasks need is data of the scheduler: each worker gets it once, from the scheduler or from another worker, and
    loses it when this process ends; Dask may drop a copy that no task waits for, which then travels once more. Large
    arrays are known by their content, so that a part that was there for the tasks before does not travel again for
    these.
    """

    def __init__(self, make: Callable[..., Any], address: str) -> None:
        self._session = connect(address)
        self._shared = self._session.share(make)
        if not self._session.num_workers:
            log.warning("%s: no worker is there yet; waiting", address)

    @property
    def num(self) -> int:
        """Workers at the moment; 1 if there is none yet."""
        return max(self._session.num_workers, 1)

    def submit(self, function: Callable[..., Any], chunk: list[Any]) -> _Given:
        """Hand some items to the scheduler."""
        from distributed.client import ClosedClientError

        try:
            return _Given(self._session.client.submit(_do, function, chunk, *self._shared, pure=False))
        except ClosedClientError:
            raise ViewcovError(_GONE) from None

    def close(self) -> None:
        """Nothing to do: Dask drops what nobody refers to."""


class _Given:
    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def result(self) -> list[Any]:
        from distributed import CancelledError, KilledWorker

        try:
            found: list[Any] = self._future.result()
        except KilledWorker as error:
            raise ViewcovError(
                "the same task was lost with one worker after another, perhaps for want of memory; use workers with "
                f"more of it: {str(error).splitlines()[0]}"
            ) from None
        except CancelledError:
            raise ViewcovError(_GONE) from None
        return found

    def cancel(self) -> None:
        self._future.release()


def connect(address: str) -> _Session:
    """The connection of this process to a scheduler; raises as ``Workers``."""
    session = _session(address)
    if session.client.status == "running":
        return session
    _session.cache_clear()
    return _session(address)


class _Session:
    """The connection to a scheduler, and the arrays that the last tasks needed there."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._held: dict[str, Future[Any]] = {}

    @property
    def num_workers(self) -> int:
        return int(self.client.scheduler_info(n_workers=0).get("n_workers", 0))

    def share(self, make: Callable[..., Any]) -> list[Future[Any]]:
        """A recipe and its arrays as data of the scheduler; of those that the last recipe had, nothing is sent."""
        arrays: list[_Array] = []

        def is_small(buffer: pickle.PickleBuffer) -> bool:
            content = buffer.raw()
            if content.nbytes >= _SMALL:
                arrays.append(_Array(content.tobytes(), content.readonly))
            return content.nbytes < _SMALL

        recipe = _Recipe(pickle.dumps(make, protocol=5, buffer_callback=is_small), _versions())
        self._held = {array.key: self._held.get(array.key) or self._send(array, array.key) for array in arrays}
        return [self._send(recipe, None), *(self._held[array.key] for array in arrays)]

    def _send(self, data: Any, key: str | None) -> Future[Any]:
        """Data as a task: unlike scattered data it comes back when all workers that had it are gone."""
        import dask

        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            return self.client.submit(_itself, data, key=key, pure=False)


class _Array:
    """The content of an array."""

    def __init__(self, content: bytes, is_readonly: bool) -> None:
        self.content, self.is_readonly = content, is_readonly

    def __sizeof__(self) -> int:
        return len(self.content)  # Dask asks, for the memory of its workers.

    @property
    def key(self) -> str:
        return f"viewcov-array-{sha256_of(self.content)}-{'constant' if self.is_readonly else 'variable'}"

    def loaded(self) -> bytes | bytearray:
        """For pickle, which makes an array of the first that cannot be written to, and of the second one that can."""
        return self.content if self.is_readonly else bytearray(self.content)


class _Recipe:
    """How what tasks need is made of arrays; on each worker it is made once, and lives as long as the recipe there."""

    def __init__(self, pickled: bytes, versions: dict[str, str]) -> None:
        self._pickled, self._versions = pickled, versions
        self._made: list[Any] = []
        self.alone = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Recipe, (self._pickled, self._versions)

    def made(self, arrays: tuple[_Array, ...]) -> Any:
        if not self._made:
            from distributed import get_worker

            worker = get_worker()
            self._refuse_other_versions(worker.address)
            make = pickle.loads(self._pickled, buffers=[array.loaded() for array in arrays])
            self._made.append(make(num_threads=worker.state.nthreads))
        return self._made[0]

    def _refuse_other_versions(self, address: str) -> None:
        for name, mine in _versions().items():
            if mine != self._versions.get(name):
                raise InputError(
                    f"worker {address}", f"has another version of {name}", expected=str(self._versions.get(name)),
                    found=mine, remedy="install the same on all machines",
                )  # fmt: skip


def _itself(data: Any) -> Any:
    return data


def _do(function: Callable[..., Any], chunk: list[Any], recipe: _Recipe, *arrays: _Array) -> list[Any]:
    # One task at a time, which has all threads of the worker: what is made need not serve several at once.
    with recipe.alone:
        made = recipe.made(arrays)
        return [function(made, item) for item in chunk]


def _versions() -> dict[str, str]:
    """Of what the last bit of a result may depend on."""
    packages = ("viewcov", "numpy", "scipy", "numba")
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: metadata.version(name) for name in packages}


@cache
def _session(address: str) -> _Session:
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ModuleNotFoundError:
        raise MissingExtraError("work on a cluster", package="distributed", extra="cluster") from None
    try:
        # A client that never was connected takes long to be closed.
        socket.create_connection(get_address_host_port(address), timeout=_TIMEOUT_S).close()
        client = Client(address, timeout=_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            address, "no scheduler answers", expected="the address of a Dask scheduler, such as tcp://10.0.0.1:8786",
            found=str(error), remedy="start one with 'dask scheduler', or work here with --jobs",
        ) from None  # fmt: skip
    atexit.register(client.close)
    return _Session(client)
