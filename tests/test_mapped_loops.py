"""Every loop gives the same to the bit in processes and on a cluster, also when a worker is killed in its midst."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from viewcov.coverage.effective.evidence import gather_evidence_many
from viewcov.coverage.geometric.evaluation import evaluate_viewpoints
from viewcov.coverage.geometric.robustness import robustness
from viewcov.coverage.geometric.sightings import Watch, confirmed
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.files import write_grey
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mapping import cluster as clusters
from viewcov.inspection.mapping.processes import Processes
from viewcov.inspection.mapping.workers import Workers
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.records import Jobs
from viewcov.inspection.rig.fixture import Fixture
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

Digest = dict[str, str]
Loop = Callable[[InspectionPlan, Path, Jobs], Digest]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> InspectionPlan:
    """Thirty views of a part with a clamp, by a small camera."""
    part, rig = load_part("builtin:clutch-half"), load_rig("paper-quarter")
    clamp = tmp_path_factory.mktemp("fixture") / "clamp.stl"
    box = trimesh.creation.box(extents=[10, 10, 10])
    box.apply_translation(part.center_mm + [60, 0, 20])
    box.export(clamp)
    camera = replace(rig.camera, width_px=96, height_px=80, pixel_pitch_um=13.8 * 6.4)
    limits = replace(rig.requirements, max_mm_per_px=1.0, exposures=(0.0,), max_grey=0.5)
    small = replace(rig, camera=camera, requirements=limits, fixture=Fixture(meshes=(str(clamp),), units="mm"))
    rng = np.random.default_rng(0)
    offsets = rng.normal(size=(30, 3)) * [1, 1, 0.3] + [0, 0, 1.5]
    offsets *= 250 / np.linalg.norm(offsets, axis=1, keepdims=True)
    views = tuple(
        Viewpoint.looking_at(part.center_mm + offset, part.center_mm, id=f"v{number}")
        for number, offset in enumerate(offsets)
    )
    return InspectionPlan(part=part.source, rig=small, requirements=limits, viewpoints=views)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler with two workers, which come back when they are killed."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as found:
        yield found.scheduler_address
        clusters._session(found.scheduler_address).client.close()


def setup_of(plan: InspectionPlan) -> Setup:
    return Setup(cut_surface(plan.load_part(), 6.0), plan.rig, plan.requirements)


def digest(**values: Any) -> Digest:
    return {name: hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest() for name, value in values.items()}


def files_digest(root: Path, pattern: str = "*") -> Digest:
    files = sorted(path for path in root.rglob(pattern) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def visibility(plan: InspectionPlan, folder: Path, jobs: Jobs) -> Digest:
    setup = setup_of(plan)
    with Watch(setup, jobs=jobs) as watch:
        seen = watch.seen_from(plan.viewpoints)
    assert seen.nnz > 1000
    sure = confirmed(plan.viewpoints, seen, setup, by=jobs)[0]
    return digest(indices=seen.indices, ends=seen.indptr, sure=sure)


def evaluation(plan: InspectionPlan, folder: Path, jobs: Jobs) -> Digest:
    found = evaluate_viewpoints(setup_of(plan), plan.viewpoints, jobs=jobs)
    assert 0 < found.coverage < 1
    names = ("num_views", "furthest", "loss_idx", "best_mm_per_px", "best_incidence_deg", "best_grey")
    return digest(**{name: getattr(found, name) for name in names}, seen=found.seen.indices)


def noise(plan: InspectionPlan, folder: Path, jobs: Jobs) -> Digest:
    coverage = evaluate_viewpoints(setup_of(plan), plan.viewpoints[:10], gather=False)
    found = robustness(coverage, plan.rig, num_draws=4, jobs=jobs)
    assert len(set(found.figures.coverage_of_draws)) > 1
    return digest(probability=found.probability, draws=found.figures.coverage_of_draws)


def evidence(plan: InspectionPlan, folder: Path, jobs: Jobs) -> Digest:
    inspection, rng = InspectionFolder(folder / "inspection"), np.random.default_rng(1)
    write_plan(inspection.plan_path, plan)
    for view in plan.viewpoints:
        for model in ("one", "two"):
            write_grey(inspection.prediction_path(model, view.id), rng.random((80, 96)), bits=16)
    found = {}
    for one in gather_evidence_many(setup_of(plan).surface, [inspection], ["one", "two"], jobs=jobs):
        assert one.evidence.seen.sum() > 1000
        arrays = one.evidence.sums | one.showing._asdict()
        found |= {f"{one.model} {name}": value for name, value in digest(**arrays).items()}
    return found | files_digest(inspection.root, "*.parquet")


def synthesis(plan: InspectionPlan, folder: Path, jobs: Jobs) -> Digest:
    pytest.importorskip("mitsuba", reason="the extra 'render' is not installed")
    from viewcov.synthesis.dataset import synthesize
    from viewcov.synthesis.options import SynthesisOptions

    few = replace(plan, viewpoints=plan.viewpoints[:18])
    options = SynthesisOptions(instances=1, good=1, defects=(4, 6), samples=4, jitter_mm=0.1, jitter_deg=0.1, seed=11)
    synthesize(few, folder / "set", options, jobs=jobs)
    found = files_digest(folder / "set")
    assert len([name for name in found if name.endswith(".png")]) == 2 * 18 * 3
    # They name the folder's place.
    return {name: value for name, value in found.items() if not name.endswith(("plan.json", ".lock"))}


def prediction(plan: InspectionPlan, folder: Path, jobs: Jobs) -> Digest:
    pytest.importorskip("segmentation_models_pytorch", reason="the extra 'train' is not installed")
    from viewcov.segmentation.models import load_model
    from viewcov.segmentation.prediction import predict_inspection

    inspections, rng = [InspectionFolder(folder / name) for name in ("a", "b")], np.random.default_rng(2)
    for inspection in inspections:
        write_plan(inspection.plan_path, replace(plan, viewpoints=plan.viewpoints[:8]))
        for view in plan.viewpoints[:8]:
            write_grey(inspection.image_path(view.id), rng.random((80, 96)))
    assert predict_inspection(load_model("stack"), inspections, jobs=jobs) == 16
    return files_digest(folder, "predictions/**/*.png")


LOOPS: list[Loop] = [visibility, evaluation, noise, evidence, synthesis, prediction]


@pytest.fixture(scope="module")
def here(plan: InspectionPlan, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Loop], Digest]:
    """What a loop gives in this process."""
    known: dict[Loop, Digest] = {}

    def found(loop: Loop) -> Digest:
        if loop not in known:
            known[loop] = loop(plan, tmp_path_factory.mktemp("here"), 1)
        return known[loop]

    return found


@pytest.mark.slow
@pytest.mark.parametrize("place", ["2", "cluster"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_gives_the_same_when_a_worker_is_killed_in_its_midst(
    plan: InspectionPlan,
    here: Callable[[Loop], Digest],
    loop: Loop,
    place: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: Jobs = request.getfixturevalue("address") if place == "cluster" else int(place)
    # Before workers start: their machines have no such file.
    expected, killed = here(loop), []
    streamed = Workers._streamed

    def with_a_murder(self: Workers[Any], pool: Any, *given: Any) -> Iterator[Any]:
        results = streamed(self, pool, *given)
        yield next(results)
        if not killed:
            killed.append(one_of(pool))
            os.kill(killed[0], signal.SIGKILL)
        yield from results

    monkeypatch.setattr(Workers, "_streamed", with_a_murder)
    assert loop(plan, tmp_path, jobs) == expected
    assert killed


def one_of(pool: Any) -> int:
    """Process of a worker."""
    if isinstance(pool, Processes):
        return next(iter(pool._executor._processes))
    return int(next(iter(pool._session.client.run(os.getpid).values())))


def test_a_fixture_needs_no_file_where_the_workers_are(plan: InspectionPlan, address: str, tmp_path: Path) -> None:
    fixture = plan.rig.fixture
    assert fixture is not None
    clamp = tmp_path / "clamp.stl"
    clamp.write_bytes(Path(fixture.meshes[0]).read_bytes())
    rig = replace(plan.rig, fixture=replace(fixture, meshes=(str(clamp),)))
    setup = replace(setup_of(plan), rig=rig)
    with Watch(setup) as watch:
        expected = watch.seen_from(plan.viewpoints)
    with Watch(setup, jobs=address) as watch:
        # It was sent, and is read by nobody else.
        clamp.unlink()
        seen = watch.seen_from(plan.viewpoints)
    np.testing.assert_array_equal(seen.indices, expected.indices)
