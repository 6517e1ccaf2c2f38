"""One mapping for all loops: the same to the bit here, in processes and on a Dask scheduler, whoever is killed."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from viewcov.inspection.errors import InputError, MissingExtraError, ViewcovError
from viewcov.inspection.mapping import cluster as clusters
from viewcov.inspection.mapping.processes import kept_processes
from viewcov.inspection.mapping.workers import Workers
from viewcov.inspection.records import Jobs

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

# Workers import it; what a test module has they could not.
WORK = '''
import os, pathlib, signal
import numpy as np

class Shared:
    """Says in a folder each time that it arrives somewhere, and each time that it is made ready."""

    def __init__(self, folder, num):
        self.folder, self.big, self.extra = folder, np.arange(num), 0

    def __setstate__(self, state):
        self.__dict__.update(state)
        with open(os.path.join(self.folder, "arrived"), "a") as file:
            file.write(f"{os.getpid()}\\n")

    def __call__(self, *, num_threads):
        with open(os.path.join(self.folder, "made"), "a") as file:
            file.write(f"{os.getpid()} {num_threads}\\n")
        return self

def plain(shared, item):
    return int(shared.big[item]) + shared.extra

def killed_once(shared, item):
    told = pathlib.Path(shared.folder, "killed")
    if item == 7 and not told.exists():
        told.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(shared, item)

def always_killed(shared, item):
    if item == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(shared, item)

def refused(shared, item):
    from viewcov.inspection.errors import InputError
    raise InputError("item", "is not good", expected="another", found=str(item), remedy="leave it out")
'''


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "work_of_workers.py").write_text(WORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import work_of_workers  # type: ignore[import-not-found]

        yield work_of_workers


@pytest.fixture(scope="module")
def address(work: ModuleType) -> Iterator[str]:
    """A scheduler with two workers, which come back when they are killed."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as found:
        yield found.scheduler_address
        clusters._session(found.scheduler_address).client.close()


@pytest.fixture(params=["1", "2", "cluster"])
def jobs(request: pytest.FixtureRequest) -> Jobs:
    return request.getfixturevalue("address") if request.param == "cluster" else int(request.param)


@pytest.fixture(params=["2", "cluster"])
def several(request: pytest.FixtureRequest) -> Jobs:
    return request.getfixturevalue("address") if request.param == "cluster" else int(request.param)


def test_kept_processes_are_started_once(work: ModuleType, tmp_path: Path) -> None:
    """Loops with other needs go to the same processes, to and fro, and one that is killed is replaced."""
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    children = multiprocessing.active_children
    before = set(children())
    with kept_processes():
        with Workers(work.Shared(str(folders[0]), 100), 2) as first:
            assert list(first.map(work.plain, range(8))) == list(range(8))
            processes = set(children()) - before
            assert len(processes) == 2
            with Workers(work.Shared(str(folders[1]), 100), 2) as second:
                assert list(second.map(work.plain, range(8))) == list(range(8))
                assert list(first.map(work.plain, range(8))) == list(range(8))
            assert set(children()) - before == processes
        processes.pop().kill()
        with Workers(work.Shared(str(folders[2]), 100), 2) as third:
            assert list(third.map(work.plain, range(8))) == list(range(8))
    assert not set(children()) - before


@pytest.mark.parametrize("at_once", [1, 4])
def test_results_come_in_order(work: ModuleType, tmp_path: Path, jobs: Jobs, at_once: int) -> None:
    with Workers(work.Shared(str(tmp_path), 100), jobs) as workers:
        assert list(workers.map(work.plain, iter(range(30)), at_once=at_once)) == list(range(30))
        assert list(workers.map(work.plain, [])) == []
        assert workers.num == (1 if jobs == 1 else 2)


def test_what_all_need_comes_to_a_worker_once(work: ModuleType, tmp_path: Path, several: Jobs) -> None:
    with Workers(work.Shared(str(tmp_path), 100), several) as workers:
        list(workers.map(work.plain, range(60)))
    arrived = (tmp_path / "arrived").read_text().split()
    made = [line.split() for line in (tmp_path / "made").read_text().splitlines()]
    # A scheduler drops copies that no task waits for at the moment, such as that of a worker that was slow to ask.
    spare = 0 if several == 2 else 1
    assert len(arrived) - spare <= len(set(arrived)) <= 2
    # A worker that others leave nothing for makes nothing ready.
    assert len(made) - spare <= len({pid for pid, _ in made})
    assert {pid for pid, _ in made} <= set(arrived)
    assert {threads for _, threads in made} == {"1"}


def test_an_array_that_was_there_before_does_not_travel_again(work: ModuleType, tmp_path: Path, address: str) -> None:
    def received() -> int:
        return sum(
            client.run(lambda dask_worker: sum(log["total"] for log in dask_worker.transfer_incoming_log)).values()
        )

    def held() -> list[str]:
        return client.run_on_scheduler(
            lambda dask_scheduler: [key for key in dask_scheduler.tasks if str(key).startswith("viewcov-array-")]
        )

    client = clusters._session(address).client
    shared = work.Shared(str(tmp_path), 1_000_000)
    with Workers(shared, address) as workers:
        list(workers.map(work.plain, range(40)))
        assert len(held()) == 1
    before, shared.extra = received(), 5
    with Workers(shared, address) as workers:
        assert list(workers.map(work.plain, range(40))) == list(range(5, 45))
        assert len(held()) == 1
    assert received() - before < shared.big.nbytes / 100
    with Workers(work.Shared(str(tmp_path), 10), address) as workers:
        list(workers.map(work.plain, range(3)))
    # Nobody needs it any more.
    assert held() == []


def test_few_items_are_taken_ahead(work: ModuleType, tmp_path: Path, several: Jobs) -> None:
    taken = []
    with Workers(work.Shared(str(tmp_path), 1000), several) as workers:
        results = workers.map(work.plain, (taken.append(item) or item for item in range(1000)), at_once=2)
        assert next(results) == 0
        assert len(taken) == 12  # Three tasks of two for each of two workers.
        results.close()  # type: ignore[attr-defined]
    assert len(taken) == 12


def test_a_worker_that_is_killed_costs_its_tasks_only(work: ModuleType, tmp_path: Path, several: Jobs) -> None:
    with Workers(work.Shared(str(tmp_path), 100), several) as workers:
        assert list(workers.map(work.killed_once, range(30), at_once=2)) == list(range(30))
        assert (tmp_path / "killed").exists()
        assert list(workers.map(work.plain, range(30))) == list(range(30))


def test_a_task_that_kills_every_worker_is_told_in_one_line(work: ModuleType, tmp_path: Path, several: Jobs) -> None:
    with (
        Workers(work.Shared(str(tmp_path), 100), several) as workers,
        pytest.raises(ViewcovError, match="perhaps for want of memory") as told,
    ):
        list(workers.map(work.always_killed, range(10)))
    assert "\n" not in str(told.value)


def test_errors_come_as_they_were_raised(work: ModuleType, tmp_path: Path, jobs: Jobs) -> None:
    with (
        Workers(work.Shared(str(tmp_path), 100), jobs) as workers,
        pytest.raises(InputError, match=r"^item: is not good: expected another, found 3; leave it out$"),
    ):
        list(workers.map(work.refused, [3]))


def test_other_versions_are_refused(
    work: ModuleType, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clusters._versions()
    monkeypatch.setattr(clusters, "_versions", lambda: real | {"numpy": "1.0"})
    with (
        Workers(work.Shared(str(tmp_path), 100), address) as workers,
        pytest.raises(InputError, match=r"^worker tcp://.*: has another version of numpy: expected 1\.0, found 2"),
    ):
        list(workers.map(work.plain, [3]))


@pytest.mark.parametrize("wrong", ["tcp://127.0.0.1:9", "nonsense", "foo://host:1"])
def test_a_wrong_address_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match=f"^{wrong}: no scheduler answers: expected the address of a Dask scheduler"):
        Workers(partial(int), wrong)


def test_a_wrong_address_is_told_in_one_line(tmp_path: Path) -> None:
    start = "from viewcov.cli import main; main()"
    asked = ["plan", "builtin:clutch-half", "--cluster", "tcp://127.0.0.1:9", "--out", str(tmp_path / "plan.json")]
    done = subprocess.run([sys.executable, "-P", "-c", start, *asked], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("viewcov: tcp://127.0.0.1:9: no scheduler answers")
    assert done.stderr.count("\n") == 1


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'viewcov\[cluster\]'"):
        Workers(partial(int), "tcp://10.0.0.1:8786")


def test_a_scheduler_that_goes_away_is_told_in_one_line(work: ModuleType, tmp_path: Path) -> None:
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as found:
        workers = Workers(work.Shared(str(tmp_path), 100), found.scheduler_address)
        results = workers.map(work.plain, range(100))
        assert next(results) == 0
        client = clusters._session(found.scheduler_address).client
    with pytest.raises(ViewcovError, match=r"^the scheduler is gone, or was restarted"):
        list(results)
    client.close()
