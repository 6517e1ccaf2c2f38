"""Evidence from files of predictions, streamed and merged."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.coverage.effective.evidence import (
    CLAMP,
    Evidence,
    EvidenceTable,
    evidence_of_table,
    evidence_path,
    gather_evidence,
    gather_evidence_many,
    read_evidence_table,
    view_weight,
)
from viewcov.coverage.rays.projection import correspond
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_grey, write_grey, write_table
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


def assert_alike(first: Evidence, second: Evidence) -> None:
    for field in fields(first):
        np.testing.assert_allclose(
            getattr(first, field.name), getattr(second, field.name), rtol=1e-9, atol=1e-12, err_msg=field.name
        )


def test_gathering_equals_a_loop_over_views_and_pixels(tmp_path: Path, surface: Surface) -> None:
    folder = inspection(tmp_path, surface, viewpoints())
    evidence, table = gather_evidence(surface, folder, "plain", statistic="mean")
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
                seen[element] = (weight, float(np.mean([image.ravel()[k] for k in own])))
        values.append(seen)
    for element in range(surface.num_elements):
        says = [seen[element] for seen in values if element in seen]
        assert evidence.num_views[element] == len(says)
        assert evidence.sum_p[element] == pytest.approx(sum(w * p for w, p in says), abs=1e-5)
        assert evidence.max_p[element] == pytest.approx(max([w * p for w, p in says], default=0.0), abs=1e-5)
        odds = sum(w * np.log(p / (1 - p)) for w, p in says if CLAMP < p < 1 - CLAMP)
        assert evidence.sum_log_odds[element] == pytest.approx(odds, abs=1e-4)
    assert evidence.seen.mean() > 0.8
    assert_alike(evidence, evidence_of_table(table, surface.num_elements, statistic="mean"))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 8))
def test_merging_streams_in_any_order_equals_all_at_once(seed: int, num_views: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    says = []
    for _ in range(num_views):
        idx = rng.permutation(20)[: rng.integers(0, 21)]
        p = rng.choice([0.0, 1.0, rng.random()], size=len(idx))
        says.append((idx, p, rng.choice([0.0, 0.4, 1.0], size=len(idx))))

    def summed(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Evidence:
        evidence = Evidence.empty(20)
        for part in parts:
            evidence.add_in_place(*part)
        return evidence

    shuffled = [says[k] for k in rng.permutation(num_views)]
    whole = summed(says)
    assert all(np.isfinite(getattr(whole, field.name)).all() for field in fields(whole))
    assert_alike(whole, summed(shuffled[:cut]).merged(summed(shuffled[cut:])))


def test_evidence_of_other_surfaces_is_refused() -> None:
    with pytest.raises(ValueError, match="must have 3 elements, got 4"):
        Evidence.empty(3).merged(Evidence.empty(4))


def test_weight_is_full_up_to_the_required_incidence_and_falls_to_nothing() -> None:
    cos = np.cos(np.deg2rad([0.0, 60.0, 75.0, 90.0, 120.0]))
    expected = [1.0, 1.0, np.cos(np.deg2rad(75)) / 0.5, 0.0, 0.0]
    np.testing.assert_allclose(view_weight(cos, max_incidence_deg=60.0), expected, atol=1e-6)


def test_many_at_once_equal_one_by_one(tmp_path: Path, surface: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    import viewcov.coverage.effective.evidence as module

    same, other = viewpoints(3), viewpoints(4)[1:]
    folders = [inspection(tmp_path / str(k), surface, v, seed=k) for k, v in enumerate((same, other, same))]
    singles = {
        model: [gather_evidence(surface, folder, model, write=False)[0] for folder in folders]
        for model in ("plain", "stack")
    }
    rasterised = []
    monkeypatch.setattr(
        module,
        "correspond",
        lambda s, c, v, **kw: rasterised.append(v.id) or correspond(s, c, v, **kw),  # type: ignore[func-returns-value]
    )
    many = gather_evidence_many(surface, folders, ["plain", "stack"])
    assert len(rasterised) == 6  # Two plans of three views, for three inspections and two models.
    for model, found in many.items():
        for one, another in zip(found, singles[model], strict=True):
            assert_alike(one, another)
    table = read_evidence_table(evidence_path(folders[2], "stack"))
    assert_alike(evidence_of_table(table, surface.num_elements), many["stack"][2])
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 2)
    assert_alike(gather_evidence_many(surface, folders, ["plain", "stack"], write=False)["stack"][2], many["stack"][2])


def test_the_table_survives_its_file(tmp_path: Path, surface: Surface) -> None:
    folder = inspection(tmp_path, surface, viewpoints())
    _, table = gather_evidence(surface, folder, "plain")
    again = read_evidence_table(evidence_path(folder, "plain"))
    for field in fields(EvidenceTable):
        one, another = getattr(table, field.name), getattr(again, field.name)
        if field.name == "view_ids":
            assert one == another
        else:
            assert one.dtype == another.dtype
            np.testing.assert_array_equal(one, another)


def test_order_of_views_is_irrelevant(tmp_path: Path, surface: Surface) -> None:
    folder = inspection(tmp_path, surface, viewpoints())
    forth, _ = gather_evidence(surface, folder, "plain", viewpoints())
    back, _ = gather_evidence(surface, folder, "plain", viewpoints()[::-1])
    assert_alike(forth, back)
    assert not evidence_path(folder, "plain").exists()  # Chosen views never overwrite the whole table.


def test_some_views_of_a_table(tmp_path: Path, surface: Surface) -> None:
    folder = inspection(tmp_path, surface, viewpoints())
    some, _ = gather_evidence(surface, folder, "plain", viewpoints()[:2])
    _, table = gather_evidence(surface, folder, "plain")
    assert_alike(some, evidence_of_table(table, surface.num_elements, view_ids=["v0", "v1"]))


def test_what_does_not_fit_is_refused(tmp_path: Path, surface: Surface) -> None:
    folder = inspection(tmp_path, surface, viewpoints())
    with pytest.raises(InputError, match=r"no prediction of model 'other' for 4 of 4 views.*viewcov predict"):
        gather_evidence(surface, folder, "other")
    write_grey(folder.prediction_path("plain", "v1"), np.zeros((40, 48)), bits=16)
    with pytest.raises(InputError, match="expected 96 x 80 pixels, found 48 x 40"):
        gather_evidence(surface, folder, "plain")
    other = replace(surface.part, source=PartSource(path="x.stl", sha256="b" * 64))
    with pytest.raises(InputError, match="the plan is for another part"):
        gather_evidence(cut_surface(other, 4.0), folder, "stack")
    write_table(tmp_path / "other.parquet", {"x": [1]})
    with pytest.raises(InputError, match="not an evidence table of this version"):
        read_evidence_table(tmp_path / "other.parquet")
