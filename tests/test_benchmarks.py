"""The planning benchmark: its figures, its checks and the neighbour's method that it measures against."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.sparse import csr_array

from viewcov.coverage.geometric.evaluation import evaluate_viewpoints
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.rig import load_rig
from viewcov.planning.selection.problem import CoverProblem

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
FEW = ("--parts", "clutch-half", "--edge-mm", "8", "--candidates", "30", "--max-nodes", "0", "--time-limit", "5")


@pytest.fixture(scope="module", autouse=True)
def short_search() -> Iterator[None]:
    """How good the plans are is no matter here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("viewcov.planning.selection.smallest_cover._SEARCH_WORK", 1e6)
        patched.setattr("viewcov.planning.selection.smallest_cover._RUNS", 1)
        yield


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script; by its path, because a folder of the project has its name."""
    spec = importlib.util.spec_from_file_location("planning_benchmark", BENCHMARKS / "planning.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cases(bench: ModuleType) -> ModuleType:
    return sys.modules["planning_cases"]


@pytest.fixture(scope="module")
def table(bench: ModuleType) -> ModuleType:
    return sys.modules["planning_table"]


@pytest.fixture(scope="module")
def regions(bench: ModuleType) -> ModuleType:
    return sys.modules["region_cover"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pools")


@pytest.fixture(scope="module")
def page(bench: ModuleType, cache: Path) -> str:
    out = cache / "docs" / "table.md"
    bench.main(["table", "--out", str(out), "--cache", str(cache), *FEW])
    return out.read_text("utf-8")


def pool_of(cases: ModuleType, cache: Path, *, seed: int = 0) -> Any:
    """The pool of ``FEW``."""
    return cases.pool_of(cases.BUILTIN, cases.DATA, seed=seed, cache=cache, num_candidates=30, edge_mm=8.0)


def cells(page: str, head: str) -> list[list[str]]:
    """The rows of the table of a page whose first line holds ``head``."""
    lines = page.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("|") and head in line)
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def surface_of(mesh: trimesh.Trimesh, edge_mm: float) -> Surface:
    part = Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces)),
        source=PartSource(path="/parts/test.stl", sha256="0" * 64),
    )
    return cut_surface(part, edge_mm)


def line_of(table: ModuleType, share: float, **values: object) -> object:
    given = {"greedy": 110, "pruned": 100, "views": 90, "bound": 90, "bound_name": "linear program"}
    return table.Line(**{"part": "p", "share": share, "solving_s": 9.0, "solver_s": 4.0, **given, **values})


def test_the_lines_of_the_table_add_up(page: str) -> None:
    rows = cells(page, "views / pruned")
    assert [row[1] for row in rows] == ["100%", "99%", "95%"]
    for row in rows:
        greedy, pruned, views, bound = map(int, row[2:6])
        assert greedy >= pruned >= views >= bound > 0
        assert row[7] == f"{(views - bound) / views:.1%}"
        assert row[8] == f"{views / pruned:.2f}"
    assert [int(row[4]) for row in rows] == sorted((int(row[4]) for row in rows), reverse=True)
    for _, _, solving_s, solver_s in cells(page, "HiGHS"):
        assert 0 <= float(solver_s) <= float(solving_s)


def test_a_second_run_takes_the_kept_candidates(
    cases: ModuleType, page: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "_gathered", lambda *_, **__: pytest.fail("candidates were made anew"))
    pool = pool_of(cases, cache)
    (facts,) = cells(page, "left: rows")
    assert [pool.surface.num_elements, pool.problem.num_views] == [int(cell) for cell in facts[3:5]]
    # Another seed is another pool.
    with pytest.raises(pytest.fail.Exception, match="made anew"):
        pool_of(cases, cache, seed=1)


def test_plans_that_do_not_hold_are_refused(cases: ModuleType, table: ModuleType, page: str, cache: Path) -> None:
    pool = pool_of(cases, cache)
    whole, everything = pool.problem.coverable_weight, np.arange(pool.problem.num_views)
    table.verify(pool, everything, target=whole)
    with pytest.raises(RuntimeError, match="less than"):
        table.verify(pool, everything[:2], target=whole)
    # A pool that claims what its views do not see.
    claims = pool.visible.copy()
    claims.indices = np.roll(claims.indices, 1000)
    with pytest.raises(RuntimeError, match="evaluated"):
        table.verify(replace(pool, visible=claims), everything[:2], target=0.0)


def test_requirements_are_judged_at_their_limits(table: ModuleType) -> None:
    def met(*lines: object) -> list[bool | None]:
        return [verdict.met for verdict in table.verdicts(lines)]

    full = line_of(table, 1.0, views=92, solving_s=120.0, solver_s=100.0)
    most, many = line_of(table, 0.99, views=100, bound=95, pruned=100), line_of(table, 0.95, views=100, bound=93)
    assert met(full, most, many) == [True, True, True, True, None]
    assert met(line_of(table, 1.0, views=93), most, many)[0] is False
    assert met(line_of(table, 1.0, solving_s=121.0, solver_s=101.1), most, many)[:2] == [False, True]
    assert met(line_of(table, 1.0, solving_s=24.1), most, many)[:2] == [True, False]
    assert met(full, line_of(table, 0.99, views=100, bound=94), many)[2] is False
    assert met(full, most, line_of(table, 0.95, views=100, bound=92))[3] is False
    fewer = [line_of(table, 0.99, views=90, pruned=100)] * 4
    assert met(full, *fewer, most, most, many)[4] is True
    assert met(full, *fewer[1:], most, most, most, many)[4] is False


def test_missing_parts_are_named_and_the_built_in_one_takes_part(
    cases: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "turbine-cover.off").touch()
    there = cases.chosen_cases("turbine-cover,flanged-hub", tmp_path, default=cases.SIX)
    assert [case.name for case in there] == ["turbine-cover", "clutch-half"]
    assert capsys.readouterr().out.count("\n") == 1
    assert len(cases.chosen_cases(None, tmp_path, default=cases.SIX)) == 2
    with pytest.raises(SystemExit, match="unknown part gear"):
        cases.chosen_cases("gear", tmp_path, default=cases.SIX)


def test_the_wide_rig_is_what_its_file_says() -> None:
    rig = load_rig(BENCHMARKS / "rigs" / "wide-field.toml")
    camera = rig.camera
    field_mm = np.array([camera.width_px, camera.height_px]) * camera.mm_per_px_at_focus
    np.testing.assert_allclose(field_mm, [192, 161], atol=0.5)
    np.testing.assert_allclose(camera.depth_of_field_mm(rig.requirements.max_blur_px), [312, 485], atol=0.5)
    assert camera.airy_disc_px * camera.pixel_pitch_um == pytest.approx(15.4, abs=0.05)


def test_all_methods_are_compared_by_one_measure(
    bench: ModuleType, regions: ModuleType, page: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions, "_SAMPLES_PER_RADIUS", 1.5)
    out = cache / "peers.md"
    bench.main(["peers", "--out", str(out), "--cache", str(cache), *FEW] + ["--score-mm", "6", "--most-views", "8"])
    rows = cells(out.read_text("utf-8"), "views to 90%")
    assert [row[0] for row in rows] == [
        "uniform view sphere",
        "one view per sample",
        "region-wise cover",
        "greedy",
        "greedy with prune",
        "this planner, without moved poses",
        "this planner",
    ]
    for row in rows:
        reached = [int(cell) for cell in row[1:4] if cell != "–"]
        assert reached == sorted(reached)
        assert 0 < float(row[5].rstrip("%")) <= 100
        # What reaches 90 % covers at least that much with all its views.
        assert float(row[5].rstrip("%")) >= (90 if reached else 0)
    for place in (1, 2, 3):
        pruned, planned, moved = (rows[row][place] for row in (4, 5, 6))
        assert pruned == "–" or int(moved) <= int(planned) <= int(pruned)


def test_region_growth_separates_at_edges_and_joins_round_faces(regions: ModuleType) -> None:
    box = surface_of(trimesh.creation.box(extents=[40, 30, 20]), 5.0)
    region = regions.grow_regions(box)
    sides = np.unique(np.round(box.normal), axis=0, return_inverse=True)[1].ravel()
    assert len(np.unique(region)) == 6
    assert len(np.unique(region * 6 + sides)) == 6
    ball = surface_of(trimesh.creation.icosphere(subdivisions=3, radius=20), 5.0)
    assert regions.grow_regions(ball).max() == 0


def test_region_wise_cover_of_a_box_takes_one_view_a_side(regions: ModuleType) -> None:
    rig = load_rig("paper-quarter")
    # A side's diagonal is 27 mm, and the round field has a radius of 30.8 mm: any anchor's view has all of a side.
    box = surface_of(trimesh.creation.box(extents=[19, 19, 19]), 4.0)
    views = regions.region_cover(box, rig, rng=np.random.default_rng(0))
    assert len(views) == 6
    forward = np.unique(np.round([view.forward for view in views]), axis=0)
    assert len(forward) == 6
    assert evaluate_viewpoints(Setup(box, rig, rig.requirements), views).coverage == pytest.approx(1.0)


def test_region_wise_cover_searches_where_the_normal_view_is_blocked(
    regions: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = load_rig("paper-quarter")
    # The floor under the roof is hidden from above; up to 45 degrees aside its rim is seen.
    floor = trimesh.creation.box(extents=[40, 40, 2])
    roof = trimesh.creation.box(extents=[40, 40, 2], transform=trimesh.transformations.translation_matrix([0, 0, 20]))
    surface = surface_of(trimesh.util.concatenate([floor, roof]), 3.0)
    views = regions.region_cover(surface, rig, rng=np.random.default_rng(0))
    evaluated = evaluate_viewpoints(Setup(surface, rig, rig.requirements), views)
    under = (surface.normal[:, 2] > 0.9) & (surface.centroid_mm[:, 2] < 5)
    assert 0 < surface.area_mm2[under & evaluated.covered].sum() < surface.area_mm2[under].sum()
    monkeypatch.setattr(regions, "_RESCUE_TRIES", 1)
    unlucky = regions.region_cover(surface, rig, rng=np.random.default_rng(0))
    fewer = evaluate_viewpoints(Setup(surface, rig, rig.requirements), unlucky)
    assert fewer.covered_area_mm2 < evaluated.covered_area_mm2


def test_redundant_views_of_a_region_go_the_last_first(regions: ModuleType) -> None:
    # Each sample has two of the three views, so that any one of these is redundant.
    sees = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    problem = CoverProblem(visible=csr_array(sees), weight=np.ones(3))
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        assert list(regions._without_redundant(problem, np.array(order))) == order[:2]
