"""Evidence from files of predictions, streamed and merged."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.coverage.effective.evidence import (
    Evidence,
    EvidenceTable,
    gather_evidence,
    gather_evidence_many,
    view_weight,
)
from viewcov.coverage.effective.rules import CLAMP
from viewcov.coverage.rays.projection import correspond
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_grey, read_table, write_grey
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint

RIG = load_rig("paper-quarter")
RIG = replace(RIG, camera=replace(RIG.camera, width_px=96, height_px=80, pixel_pitch_um=80.0))


@pytest.fixture(scope="module")
def surface(tmp_path_factory: pytest.TempPathFactory) -> Surface:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=20.0)
    part = Part(
        name="ball",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces), dtype=np.int32),
        source=PartSource(path=str(tmp_path_factory.mktemp("part") / "ball.stl"), sha256="a" * 64),
    )
    return cut_surface(part, 4.0)


def viewpoints(num: int = 4) -> tuple[Viewpoint, ...]:
    angle = 2 * np.pi * np.arange(num) / num
    return tuple(
        Viewpoint.looking_at([250 * np.cos(a), 250 * np.sin(a), 0.0], [0, 0, 0], id=f"v{k}")
        for k, a in enumerate(angle)
    )


def inspection(root: Path, surface: Surface, views: tuple[Viewpoint, ...], *, seed: int = 0) -> InspectionFolder:
    folder = InspectionFolder(root)
    plan = InspectionPlan(part=surface.part.source, rig=RIG, requirements=RIG.requirements, viewpoints=views)
    write_plan(folder.plan_path, plan)
    rng = np.random.default_rng(seed)
    for model in ("plain", "stack"):
        for view in views:
            write_grey(folder.prediction_path(model, view.id), rng.random((80, 96)), bits=16)
    return folder


def written_table(folder: InspectionFolder, model: str) -> EvidenceTable:
    path = folder.results_of(model) / "evidence.parquet"
    metadata = pyarrow.parquet.read_schema(path).metadata
    assert metadata[b"schema_version"] == b"viewcov-evidence/1"
    return EvidenceTable(view_ids=tuple(metadata[b"view_ids"].decode().split()), **read_table(path))


def assert_alike(first: Evidence, second: Evidence) -> None:
    np.testing.assert_array_equal(first.num_views, second.num_views)
    assert set(first.sums) == set(second.sums)
    for name, one in first.sums.items():
        np.testing.assert_allclose(one, second.sums[name], rtol=1e-9, atol=1e-12, err_msg=name)


def summed(table: EvidenceTable, num_elements: int, values: np.ndarray, view_ids: tuple[str, ...]) -> Evidence:
    """Evidence of some views of a table."""
    evidence = Evidence.empty(num_elements)
    for view_id in view_ids:
        rows = table.rows_of(view_id)
        evidence.add_in_place(table.element_idx[rows], values[rows], table.weight[rows])
    return evidence


def top_mean(values: list[float]) -> float:
    """Mean of the highest tenth, rounded up to whole pixels."""
    return float(np.mean(sorted(values)[-int(np.ceil(len(values) / 10)) :]))


def test_gathering_equals_a_loop_over_views_and_pixels(tmp_path: Path, surface: Surface) -> None:
    folder = inspection(tmp_path, surface, viewpoints())
    gathered = gather_evidence(surface, folder, "plain")
    evidence, table = gathered.evidence, gathered.table
    values: list[dict[int, float]] = []
    for viewpoint in viewpoints():
        image = read_grey(folder.prediction_path("plain", viewpoint.id))
        view = correspond(surface, RIG.camera, viewpoint)
        seen = {}
        for place, element in enumerate(view.element_idx.tolist()):
            own = view.pixel_idx[view.starts[place] : view.starts[place + 1]]
            to_camera = viewpoint.center_mm - surface.centroid_mm[element]
            cos = to_camera @ surface.normal[element] / np.linalg.norm(to_camera)
            weight = min(1.0, max(0.0, cos / np.cos(np.deg2rad(RIG.requirements.max_incidence_deg))))
            if weight > 0:
                seen[element] = (weight, top_mean([image.ravel()[k] for k in own]))
        values.append(seen)
    for element in range(surface.num_elements):
        says = [seen[element] for seen in values if element in seen]
        assert evidence.num_views[element] == len(says)
        assert evidence.sums["sum_p"][element] == pytest.approx(sum(w * p for w, p in says), abs=1e-5)
        assert evidence.sums["max_p"][element] == pytest.approx(max([w * p for w, p in says], default=0.0), abs=1e-5)
        clamped = [(w, min(max(p, CLAMP), 1 - CLAMP)) for w, p in says]
        odds = sum(w * np.log(p / (1 - p)) for w, p in clamped)
        assert evidence.sums["sum_log_odds"][element] == pytest.approx(odds, abs=1e-4)
    assert evidence.seen.mean() > 0.8
    assert_alike(evidence, summed(table, surface.num_elements, table.top, table.view_ids))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_order_of_views_is_irrelevant(seed: int, num_views: int) -> None:
    rng = np.random.default_rng(seed)
    says = []
    for _ in range(num_views):
        idx = rng.permutation(20)[: rng.integers(0, 21)]
        p = rng.choice([0.0, 1.0, rng.random()], size=len(idx))
        says.append((idx, p, rng.choice([0.0, 0.4, 1.0], size=len(idx))))
    forth, shuffled = Evidence.empty(20), Evidence.empty(20)
    for k, other in enumerate(rng.permutation(num_views)):
        forth.add_in_place(*says[k])
        shuffled.add_in_place(*says[other])
    assert all(np.isfinite(values).all() for values in forth.sums.values())
    assert_alike(forth, shuffled)


def test_weight_is_full_up_to_the_required_incidence_and_falls_to_nothing() -> None:
    cos = np.cos(np.deg2rad([0.0, 60.0, 75.0, 90.0, 120.0]))
    expected = [1.0, 1.0, np.cos(np.deg2rad(75)) / 0.5, 0.0, 0.0]
    np.testing.assert_allclose(view_weight(cos, max_incidence_deg=60.0), expected, atol=1e-6)


def test_many_at_once_equal_one_by_one(tmp_path: Path, surface: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    import viewcov.coverage.effective.evidence as module

    same, other = viewpoints(3), viewpoints(4)[1:]
    folders = [inspection(tmp_path / str(k), surface, v, seed=k) for k, v in enumerate((same, other, same))]
    singles = {
        model: [gather_evidence(surface, folder, model).evidence for folder in folders] for model in ("plain", "stack")
    }
    rasterised = []
    monkeypatch.setattr(
        module,
        "correspond",
        lambda s, c, v, **kw: rasterised.append(v.id) or correspond(s, c, v, **kw),  # type: ignore[func-returns-value]
    )
    many = list(gather_evidence_many(surface, folders, ["plain", "stack"]))
    assert len(rasterised) == 6  # Two plans of three views, for three inspections and two models.
    assert {(one.model, one.inspection) for one in many} == {(m, k) for m in singles for k in range(3)}
    for one in many:
        assert_alike(one.evidence, singles[one.model][one.inspection])
    showings = {one.inspection: one.showing for one in many}
    assert showings[0] is showings[2]
    assert showings[0] is not showings[1]
    table = written_table(folders[2], "stack")
    assert_alike(summed(table, surface.num_elements, table.top, table.view_ids), singles["stack"][2])
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 2)
    for one in gather_evidence_many(surface, folders, ["plain", "stack"]):
        assert_alike(one.evidence, singles[one.model][one.inspection])


def test_showing_is_that_of_the_best_view(tmp_path: Path, surface: Surface) -> None:
    gathered = gather_evidence(surface, inspection(tmp_path, surface, viewpoints()), "plain")
    showing = gathered.showing
    np.testing.assert_array_equal(showing.seen, gathered.evidence.seen)
    np.testing.assert_array_equal(showing.num_views, gathered.evidence.num_views)
    best = np.zeros(surface.num_elements)
    for viewpoint in viewpoints():
        view = correspond(surface, RIG.camera, viewpoint)
        best[view.element_idx] = np.maximum(best[view.element_idx], view.cos_incidence)
    np.testing.assert_allclose(showing.cos_incidence, best, atol=1e-6)
    # At 250 mm - 20 mm from a camera a pixel is that distance by the focal length, over the cosine of incidence.
    finest = (250.0 - 20.0) / RIG.camera.focal_px
    assert finest < showing.mm_per_px.min() < 1.05 * finest


def test_the_table_survives_its_file(tmp_path: Path, surface: Surface) -> None:
    folder = inspection(tmp_path, surface, viewpoints())
    table = gather_evidence(surface, folder, "plain").table
    again = written_table(folder, "plain")
    for field in fields(EvidenceTable):
        one, another = getattr(table, field.name), getattr(again, field.name)
        if field.name == "view_ids":
            assert one == another
        else:
            assert one.dtype == another.dtype
            np.testing.assert_array_equal(one, another)


def test_views_at_the_same_poses_may_have_other_ids(tmp_path: Path, surface: Surface) -> None:
    named = tuple(Viewpoint(id=f"w{k}", world_from_camera=v.world_from_camera) for k, v in enumerate(viewpoints()))
    folders = [inspection(tmp_path / "a", surface, viewpoints()), inspection(tmp_path / "b", surface, named)]
    one, two = gather_evidence_many(surface, folders, ["plain"])
    assert one.showing is two.showing
    assert two.table.view_ids == ("w0", "w1", "w2", "w3")
    assert_alike(two.evidence, gather_evidence(surface, folders[1], "plain").evidence)


def test_what_does_not_fit_is_refused(tmp_path: Path, surface: Surface) -> None:
    folder = inspection(tmp_path, surface, viewpoints())
    with pytest.raises(InputError, match=r"no prediction of model 'other' for 4 of 4 views.*viewcov predict other /"):
        gather_evidence(surface, folder, "other")
    write_grey(folder.prediction_path("plain", "v1"), np.zeros((40, 48)), bits=16)
    with pytest.raises(InputError, match="expected 96 x 80 pixels, found 48 x 40"):
        gather_evidence(surface, folder, "plain")
    other = replace(surface.part, source=PartSource(path="x.stl", sha256="b" * 64))
    with pytest.raises(InputError, match="the plan is for another part"):
        gather_evidence(cut_surface(other, 4.0), folder, "stack")
