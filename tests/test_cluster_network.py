"""Workers on machines of their own: network namespaces that share a bridge, and nothing else, with the command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import trimesh

from viewcov.coverage.geometric.sightings import Watch
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.mapping import cluster as clusters
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

BRIDGE, NET, NUM = f"vc{os.getpid() % 10**6}", "10.231.77", 3


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def machines() -> Iterator[list[str]]:
    """Three network namespaces, which reach each other and this one over a bridge."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    names = [f"{BRIDGE}n{number}" for number in range(NUM)]
    try:
        try:
            ip("link", "add", BRIDGE, "type", "bridge")
            ip("addr", "add", f"{NET}.1/24", "dev", BRIDGE)
            ip("link", "set", BRIDGE, "up")
            for number, name in enumerate(names):
                ip("netns", "add", name)
                ip("link", "add", f"{name}a", "type", "veth", "peer", "name", "eth0", "netns", name)
                ip("link", "set", f"{name}a", "master", BRIDGE, "up")
                ip("-n", name, "addr", "add", f"{NET}.{number + 2}/24", "dev", "eth0")
                ip("-n", name, "link", "set", "eth0", "up")
                ip("-n", name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)


@pytest.mark.slow
def test_three_machines_see_the_same_also_when_one_is_killed(machines: list[str]) -> None:
    box, rig = trimesh.creation.box(extents=[60, 40, 20]), load_rig("paper-quarter")
    source = PartSource(path="box.stl", sha256="0" * 64)
    part = Part(
        name="box", vertices_mm=box.vertices, faces=box.faces, cad_face_idx=np.zeros(len(box.faces)), source=source
    )
    setup = Setup(cut_surface(part, 2.0), rig, rig.requirements)
    offsets = np.random.default_rng(0).normal(size=(240, 3))
    offsets *= 250 / np.linalg.norm(offsets, axis=1, keepdims=True)
    views = [Viewpoint.looking_at(offset, [0, 0, 0], id=f"v{number}") for number, offset in enumerate(offsets)]
    with Watch(setup) as watch:
        expected = watch.seen_from(views)
    assert expected.nnz > 10_000
    with distributed.LocalCluster(n_workers=0, host=f"{NET}.1", dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
        command = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", address]
        command += ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
        workers = [
            subprocess.Popen(
                ["ip", "netns", "exec", name, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for name in machines
        ]
        try:
            client = clusters.connect(address).client
            client.wait_for_workers(NUM, timeout=120)
            hosts = {worker["host"] for worker in client.scheduler_info()["workers"].values()}
            assert hosts == {f"{NET}.{number + 2}" for number in range(NUM)}
            with Watch(setup, jobs=address) as watch:
                np.testing.assert_array_equal(watch.seen_from(views).indices, expected.indices)
                groups = watch.seen_from_each([views[:40], views[40:]])
                first = next(groups)
                workers[0].send_signal(signal.SIGKILL)
                found = np.concatenate([rows.indices for rows in (first, *groups)])
                np.testing.assert_array_equal(found, expected.indices)
                assert workers[0].wait(timeout=30) == -signal.SIGKILL
                assert watch.num_workers == NUM - 1
            client.close()
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
