"""Candidates beside a plan: evaluation knows the same surface to be coverable, whatever the plan was asked for."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from viewcov.coverage.geometric.evaluation import evaluate_viewpoints
from viewcov.coverage.geometric.visibility import Setup
from viewcov.coverage.ladder import Loss
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import sha256_of
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import FileSource
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.plan import read_plan, write_plan
from viewcov.inspection.rig.fixture import Fixture
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import SearchTime, gather_candidates
from viewcov.planning.kept_pool import KnownCandidates, kept_pool
from viewcov.planning.options import PlanningOptions
from viewcov.planning.plan_evaluation import evaluate_plan
from viewcov.planning.planner import PlanningResult, plan_views

RIG = load_rig("paper-quarter")
ASKED: dict[str, Any] = {"num_candidates": 40, "refine": 20, "max_nodes": 0, "coverage": 0.9}
GIVEN = (Viewpoint.looking_at([0, 0, 255], [0, 0, 0], id="given"),)


def planned(folder: Path, *, weights: tuple[tuple[int, float], ...] = (), **options: Any) -> PlanningResult:
    """A plan of a small U, whose inner walls are hard to see, in ``folder/plan.json``."""
    path = folder / "u.off"
    whole, gap = trimesh.creation.box(extents=[12, 10, 6]), trimesh.creation.box(extents=[4, 7, 8])
    trimesh.boolean.difference([whole, gap.apply_translation([0, 2, 0])]).export(path)
    limits = dataclasses.replace(RIG.requirements, face_weights=weights)
    known = KnownCandidates(views=GIVEN, plan=folder / "plan.json")
    result = plan_views(load_part(path), RIG, limits, PlanningOptions(**(ASKED | options)), known=known)
    result.write(folder / "plan.json")
    return result


@pytest.mark.parametrize(
    "options",
    [{}, {"overlap": 2}, {"weights": ((0, 3.0), (1, 0.0))}, {"edge_mm": 1.0}, {"objective": "cycle"}],
    ids=lambda options: next(iter(options), "plain"),
)
def test_evaluation_agrees_with_the_plan_whatever_was_asked(tmp_path: Path, options: dict[str, Any]) -> None:
    figures = planned(tmp_path, **options).figures
    found = evaluate_plan(read_plan(tmp_path / "plan.json")).figures()
    assert found.coverable_from == "pool"
    for name in ("inspected_area_mm2", "coverable_area_mm2", "covered_area_mm2", "coverage", "elements"):
        assert getattr(found, name) == pytest.approx(getattr(figures, name), rel=1e-9, abs=1e-9), name
    assert sum(found.uncovered.values()) + found.covered_area_mm2 == pytest.approx(found.inspected_area_mm2)
    beyond_mm2 = found.inspected_area_mm2 - found.coverable_area_mm2
    assert sum(found.not_coverable.values()) == pytest.approx(beyond_mm2, abs=1e-6)


def test_a_pool_that_does_not_fit_is_told_and_searched_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    figures = planned(tmp_path).figures
    plan = read_plan(tmp_path / "plan.json")
    stricter = dataclasses.replace(plan.requirements, max_incidence_deg=40.0)
    other = FileSource(path=str(tmp_path / "plan.pool.npz"), sha256="0" * 64)
    for changed, why in (
        (dataclasses.replace(plan, pool=None), "names no pool"),
        (dataclasses.replace(plan, pool=other), "not the one that the plan was made with"),
        (dataclasses.replace(plan, requirements=stricter), "other requirements"),
        (dataclasses.replace(plan, pool=FileSource(path=str(tmp_path / "no.npz"), sha256="0" * 64)), "is not there"),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = evaluate_plan(changed).figures()
        assert found.coverable_from == "search"
        assert why in caplog.text
        if changed.requirements is plan.requirements:
            # The search is planning's own, but for the poses that views were moved to.
            assert found.coverable_area_mm2 == pytest.approx(figures.coverable_area_mm2, rel=0.02)


def test_of_a_plan_that_lost_a_view_the_same_is_coverable_and_it_can_be_mended(tmp_path: Path) -> None:
    figures = planned(tmp_path).figures
    plan = read_plan(tmp_path / "plan.json")
    write_plan(tmp_path / "less.json", dataclasses.replace(plan, viewpoints=plan.viewpoints[1:]))
    found = evaluate_plan(read_plan(tmp_path / "less.json"))
    assert found.coverage.coverable_area_mm2 == pytest.approx(figures.coverable_area_mm2, abs=1e-9)
    assert found.coverage.covered_area_mm2 < figures.covered_area_mm2
    assert found.repairs is not None
    assert (
        found.coverage.covered_area_mm2 + sum(fix.gained_area_mm2 for fix in found.repairs.fixes)
        >= figures.covered_area_mm2 - 1e-9
    )
    # Elsewhere with its pool beside it, it is found too.
    (tmp_path / "moved").mkdir()
    for name in ("less.json", "plan.pool.npz", "u.off"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert evaluate_plan(read_plan(tmp_path / "moved" / "less.json")).coverable_from == "pool"


def test_planning_again_takes_the_candidates_of_the_same_search(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []

    def counted(*args: Any, **options: Any) -> Any:
        searched.append(args)
        return gather_candidates(*args, **options)

    monkeypatch.setattr("viewcov.planning.making.gather_candidates", counted)
    with caplog.at_level(logging.INFO):
        first = planned(tmp_path)
        assert "same search" not in caplog.text
        files = [(tmp_path / name).read_bytes() for name in ("plan.json", "plan.pool.npz")]
        again = planned(tmp_path)
    assert len(searched) == 1
    assert "same search are taken from" in caplog.text
    assert [(tmp_path / name).read_bytes() for name in ("plan.json", "plan.pool.npz")] == files
    for name in ("indptr", "indices", "data"):
        before, after = (getattr(result.pool.gathered.visible, name) for result in (first, again))
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype
    # What is chosen from them may be asked for otherwise; what is looked at, with what and from where may not.
    planned(tmp_path, coverage=0.8, objective="cycle")
    assert len(searched) == 1
    for num, options in enumerate(({"seed": 1}, {"edge_mm": 1.5}, {"num_candidates": 41}, {"overlap": 2}), start=2):
        planned(tmp_path, **options)
        assert len(searched) == num, options
    planned(tmp_path, weights=((0, 0.0),))
    assert len(searched) == 6
    (tmp_path / "plan.pool.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="not a whole pool") as caught:
        planned(tmp_path)
    assert "\n" not in str(caught.value)


def test_candidates_of_a_search_that_time_ended_are_not_taken_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = iter([0.0, np.inf])

    def ended(*args: Any, limit: SearchTime, **options: Any) -> Any:
        return gather_candidates(*args, limit=dataclasses.replace(limit, until=next(ends), least=-np.inf), **options)

    monkeypatch.setattr("viewcov.planning.making.gather_candidates", ended)
    short, whole = planned(tmp_path, num_candidates=200), planned(tmp_path, num_candidates=200)
    assert short.figures.unsearched_share > 0.0
    assert whole.figures.unsearched_share == 0.0
    assert len(whole.pool.gathered.viewpoints) > len(short.pool.gathered.viewpoints)
    # That one is whole, and is taken.
    assert planned(tmp_path, num_candidates=200).figures.viewpoints == whole.figures.viewpoints
    assert next(ends, None) is None


def test_a_damaged_pool_is_one_line(tmp_path: Path) -> None:
    planned(tmp_path)
    plan, path = read_plan(tmp_path / "plan.json"), tmp_path / "plan.pool.npz"
    with np.load(path) as arrays:
        whole = dict(arrays)
    header = whole["header"].tobytes()
    for change in (
        {"steps": whole["steps"] + 10**6},
        {"indptr": whole["indptr"][:-1]},
        {"gathered_steps": whole["gathered_steps"][:-1]},
        {"header": np.frombuffer(re.sub(rb'"gathered":\d+', b'"gathered":999', header), dtype=np.uint8)},
        {"coverable": whole["coverable"].astype(np.float64)},
        {"world_from_camera": whole["world_from_camera"] * 2.0},
        {"header": np.frombuffer(header.replace(b"pool/1", b"pool/9"), dtype=np.uint8)},
        {"ids": np.array([{}], dtype=object)},
    ):
        np.savez(path, **(whole | change))
        pool = FileSource(path=str(path), sha256=sha256_of(path.read_bytes()))
        with pytest.raises(InputError, match="not a whole pool of candidates") as caught:
            evaluate_plan(dataclasses.replace(plan, pool=pool))
        assert "\n" not in str(caught.value)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="not a whole pool"):
        evaluate_plan(dataclasses.replace(plan, pool=FileSource(path=str(path), sha256=sha256_of(path.read_bytes()))))


def test_what_table_and_fixture_hide_is_lost_to_them(tmp_path: Path) -> None:
    """A cube on a table under a plate that hides its top from a camera above; the camera at its side sees that."""
    trimesh.creation.box(extents=[20, 20, 20]).export(tmp_path / "cube.stl")
    trimesh.creation.box(extents=[30, 30, 1], transform=trimesh.transformations.translation_matrix([0, 0, 13])).export(
        tmp_path / "plate.stl"
    )
    surface = cut_surface(load_part(tmp_path / "cube.stl"), 5.0)
    fixture = Fixture(meshes=(str(tmp_path / "plate.stl"),), table_height_mm=-10.0)
    above, aside = (Viewpoint.looking_at(c, [0, 0, 0], id="v") for c in ([0, 0, 265], [265, 0, 0]))
    for rig, losses in (
        (RIG, {Loss.FACING: 2000.0}),
        (dataclasses.replace(RIG, fixture=fixture), {Loss.FACING: 1600.0, Loss.FIXTURE: 400.0, Loss.TABLE: 400.0}),
    ):
        found = evaluate_viewpoints(Setup(surface, rig, RIG.requirements), [above], gather=False)
        assert {reason: mm2 for reason, mm2 in found.uncovered().items() if mm2} == pytest.approx(losses)
        assert sum(found.uncovered().values()) + found.covered_area_mm2 == pytest.approx(2400.0)
        assert found.waterfall()[Loss.FACING] == pytest.approx(400.0)
    found = evaluate_viewpoints(Setup(surface, rig, RIG.requirements), [above, aside], gather=False)
    assert found.uncovered()[Loss.FIXTURE] == pytest.approx(400.0)


@pytest.mark.parametrize("overlap", [1, 3])
def test_what_is_kept_changes_nothing_that_is_measured(tmp_path: Path, overlap: int) -> None:
    planned(tmp_path, overlap=overlap)
    plan = read_plan(tmp_path / "plan.json")
    assert plan.pool is not None
    surface = cut_surface(plan.load_part(), plan.requirements.element_edge_mm)
    pool = kept_pool(plan, surface)
    assert pool is not None
    assert pool.rows_of(plan.viewpoints) is not None
    unchosen = pool.viewpoints[int(np.flatnonzero(~pool.measured)[0])]
    # Of a candidate that was not chosen it is not known what else it sees: with it, all is measured anew.
    more = (*plan.viewpoints[::-1], dataclasses.replace(unchosen, id="more"))
    assert pool.rows_of(more) is None
    for views in (plan.viewpoints, more):
        found = evaluate_plan(dataclasses.replace(plan, viewpoints=views)).coverage
        fresh = evaluate_viewpoints(Setup(surface, plan.rig, plan.requirements), views)
        for name in ("num_views", "furthest", "loss_idx", "best_grey", "best_mm_per_px", "best_incidence_deg"):
            np.testing.assert_array_equal(getattr(found, name), getattr(fresh, name), err_msg=name)
