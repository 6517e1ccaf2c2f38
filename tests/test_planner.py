"""Whole plans, measured again by the evaluation."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.sparse import csr_array

from viewcov.coverage.geometric.evaluation import evaluate_viewpoints
from viewcov.coverage.geometric.sightings import Watch
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.plan import read_plan, write_plan
from viewcov.inspection.rig import inspected
from viewcov.inspection.rig.inspected import surface_to_inspect
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import load_rig
from viewcov.planning import choice, making, rows
from viewcov.planning.candidates.pool import CandidateSearch, gather_candidates
from viewcov.planning.figures import PlanFigures
from viewcov.planning.options import PlanningOptions
from viewcov.planning.planner import PlanningResult, plan_views
from viewcov.planning.route.order import motion_times_s, route_cost
from viewcov.planning.selection.problem import CoverProblem
from viewcov.planning.selection.smallest_cover import smallest_cover

RIG = load_rig("paper-quarter")
WHOLE = PlanningOptions(coverage=1.0, edge_mm=4.0, num_candidates=200)

FIGURES = {
    *("part", "elements", "inspected_area_mm2", "coverable_area_mm2", "covered_area_mm2", "coverage"),
    *("coverable_share", "covered_share", "unsearched_share"),
    *("most_coverage", "viewpoints", "lower_bound", "bound", "confidence", "gap", "status"),
    *("route_s", "route_bound_s", "route_bound", "seconds"),
}


def part_of(mesh: trimesh.Trimesh, *, offset_mm: tuple[float, float, float] = (0, 0, 0)) -> Part:
    return Part(
        name="test",
        vertices_mm=mesh.vertices + np.array(offset_mm),
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces)),
        source=PartSource(path="/parts/test.stl", sha256="0" * 64),
    )


def box_part(**kwargs: tuple[float, float, float]) -> Part:
    return part_of(trimesh.creation.box(extents=[60, 50, 40]), **kwargs)


def bored_part(hole_mm: float = 24.0) -> Part:
    """A disc with a bore: its wall is seen from outside only, at a slant."""
    return part_of(trimesh.creation.annulus(r_min=hole_mm / 2, r_max=35, height=25, sections=48))


@pytest.fixture(scope="module")
def box_result() -> PlanningResult:
    return plan_views(box_part(), RIG, options=WHOLE)


def test_box_is_covered_whole_and_measured_again(box_result: PlanningResult) -> None:
    figures, surface = box_result.figures, box_result.surface
    assert set(PlanFigures.model_fields) == FIGURES
    assert figures.inspected_area_mm2 == pytest.approx(2 * (60 * 50 + 60 * 40 + 50 * 40))
    assert figures.coverable_area_mm2 == pytest.approx(figures.inspected_area_mm2)
    assert figures.coverage == pytest.approx(1.0)
    again = evaluate_viewpoints(Setup(surface, RIG, RIG.requirements), box_result.plan.viewpoints)
    np.testing.assert_array_equal(again.num_views, box_result.num_views)
    assert again.covered_area_mm2 == pytest.approx(figures.covered_area_mm2)
    # Below an incidence of 60 degrees no view sees more than three sides whole, and no side needs more than two.
    assert 2 <= figures.lower_bound <= figures.viewpoints <= 12
    assert figures.gap == pytest.approx(1 - figures.lower_bound / figures.viewpoints)
    assert (figures.status == "optimal") == (figures.lower_bound == figures.viewpoints)


def test_finer_elements_confirm_the_coverage(box_result: PlanningResult) -> None:
    fine = cut_surface(box_part(), 1.5)
    again = evaluate_viewpoints(Setup(fine, RIG, RIG.requirements), box_result.plan.viewpoints)
    # Planned at centroids of 4 mm elements: what is missed lies within half an element of the borders of views.
    assert again.coverage > 0.98


def few_rows(monkeypatch: pytest.MonkeyPatch, *, most: int, searched: int, checked: int) -> None:
    """As on a large part: candidates are tested on a small share of the elements."""
    monkeypatch.setattr(rows, "MOST_ROWS", most)
    monkeypatch.setattr(rows, "SEARCHED", searched)
    monkeypatch.setattr(making, "CHECKED", checked)


def seen_in_full(result: PlanningResult, limits: Requirements) -> csr_array:
    """Brute force: what every candidate sees of every element."""
    with Watch(Setup(result.surface, RIG, limits)) as watch:
        return watch.seen_from(result.pool.viewpoints)


@pytest.mark.parametrize("objective", ["views", "cycle"])
def test_a_plan_made_by_few_rows_reaches_its_target_on_all_elements(
    monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    part, share = bored_part(), 0.97
    limits = replace(RIG.requirements, max_mm_per_px=0.3, min_grey=0.0, max_grey=None)
    options = PlanningOptions(coverage=share, num_candidates=150, refine=0, objective=objective)
    few_rows(monkeypatch, most=1000, searched=300, checked=1200)
    result = plan_views(part, RIG, limits, options)
    surface = result.surface
    assert surface.num_elements > 4 * 1500
    assert result.figures.elements == surface.num_elements == len(result.coverable)
    seen = seen_in_full(result, limits)
    np.testing.assert_array_equal(result.coverable, np.asarray(seen.sum(axis=0)) > 0)
    again = evaluate_viewpoints(
        Setup(surface, RIG, limits), result.plan.viewpoints, coverable=result.coverable, gather=False
    )
    np.testing.assert_array_equal(again.num_views, result.num_views)
    assert again.coverage == pytest.approx(result.figures.coverage, abs=1e-12)
    assert share * (1 - 1e-9) <= again.coverage
    # The bound is about all elements: it lies below the fewest by the linear program of all of them.
    problem = CoverProblem(visible=seen, weight=surface.area_mm2)
    everything = smallest_cover(problem, target=share * problem.coverable_weight)
    assert result.figures.lower_bound <= len(everything.views)
    assert result.figures.lower_bound >= everything.bound.num_views - 1
    assert result.figures.confidence == 0.95
    if objective == "views":
        assert result.figures.viewpoints <= len(everything.views) + 2


def test_a_full_cover_by_few_rows_is_a_smallest_cover_of_all_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(RIG.requirements, max_mm_per_px=0.3, min_grey=0.0, max_grey=None)
    options = PlanningOptions(coverage=1.0, num_candidates=150, refine=0, max_nodes=0)
    few_rows(monkeypatch, most=1000, searched=200, checked=300)
    monkeypatch.setattr(choice, "_NEW_ROWS", 50)
    result = plan_views(bored_part(), RIG, limits, options)
    assert (result.num_views[result.coverable] > 0).all()
    seen = seen_in_full(result, limits)
    np.testing.assert_array_equal(result.coverable, np.asarray(seen.sum(axis=0)) > 0)
    problem = CoverProblem(visible=seen, weight=result.surface.area_mm2)
    whole = smallest_cover(problem, target=problem.coverable_weight)
    assert whole.bound.num_views == len(whole.views) == result.figures.viewpoints == result.figures.lower_bound
    assert result.figures.confidence == 1.0
    assert result.pool.complete.sum() < 0.7 * len(result.coverable)


def test_a_plan_reaches_its_target_by_the_light_of_the_walls_too() -> None:
    block, pocket = trimesh.creation.box(extents=[50, 50, 25]), trimesh.creation.box(extents=[30, 30, 15])
    pocket.apply_translation([0, 0, 5.01])
    part = part_of(block.difference(pocket))
    options = PlanningOptions(coverage=1.0, edge_mm=3.0, num_candidates=150, refine=0, max_nodes=0)
    result = plan_views(part, RIG, options=options)
    assert result.figures.coverage == pytest.approx(1.0)
    pool = gather_candidates(result.surface, RIG, RIG.requirements, CandidateSearch(num_candidates=150))
    anything = evaluate_viewpoints(Setup(result.surface, RIG, RIG.requirements), pool.viewpoints)
    # Chosen by light straight from the ring, what the walls throw on each other makes some of it too bright.
    by_ring = CoverProblem(visible=pool.visible, weight=result.surface.area_mm2)
    chosen = smallest_cover(by_ring, target=by_ring.coverable_weight).views
    short = evaluate_viewpoints(Setup(result.surface, RIG, RIG.requirements), [pool.viewpoints[v] for v in chosen])
    assert (short.covered < anything.covered).any()
    np.testing.assert_array_equal(result.coverable, anything.covered)
    again = evaluate_viewpoints(
        Setup(result.surface, RIG, RIG.requirements), result.plan.viewpoints, coverable=anything.covered
    )
    np.testing.assert_array_equal(again.num_views, result.num_views)
    assert again.coverage == pytest.approx(1.0)


def test_ids_follow_the_route_and_the_file_is_read_back(box_result: PlanningResult, tmp_path: Path) -> None:
    plan = box_result.plan
    assert [view.id for view in plan.viewpoints] == [f"v{n:03d}" for n in range(1, len(plan.viewpoints) + 1)]
    moving = route_cost(motion_times_s(plan.viewpoints, RIG.motion), np.arange(len(plan.viewpoints)))
    assert box_result.figures.route_s == pytest.approx(moving + len(plan.viewpoints) * RIG.motion.stop_s)
    assert plan.made["seed"] == 0
    assert plan.made["options"]["coverage"] == 1.0
    assert plan.made["figures"]["viewpoints"] == len(plan.viewpoints)
    write_plan(tmp_path / "plan.json", plan)
    for mine, read in zip(plan.viewpoints, read_plan(tmp_path / "plan.json").viewpoints, strict=True):
        np.testing.assert_array_equal(mine.world_from_camera, read.world_from_camera)
    json.dumps(box_result.figures.model_dump(mode="json"))


def test_same_seed_gives_the_same_file_whatever_the_jobs(box_result: PlanningResult, tmp_path: Path) -> None:
    for name, jobs in (("one", 1), ("two", 2)):
        result = plan_views(box_part(), RIG, options=WHOLE, jobs=jobs)
        write_plan(tmp_path / name, result.plan)
    write_plan(tmp_path / "first", box_result.plan)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "first").read_bytes()


def test_moving_the_part_moves_the_views_with_it(box_result: PlanningResult) -> None:
    offset = (5000.0, -3000.0, 800.0)
    moved = plan_views(box_part(offset_mm=offset), RIG, options=WHOLE)
    for key in ("viewpoints", "lower_bound", "status"):
        assert getattr(moved.figures, key) == getattr(box_result.figures, key)
    centers = np.stack([view.center_mm for view in moved.plan.viewpoints])
    expected = np.stack([view.center_mm for view in box_result.plan.viewpoints]) + offset
    np.testing.assert_allclose(np.sort(centers, axis=0), np.sort(expected, axis=0), atol=1e-6)


def test_coverage_grows_with_the_views_asked_for_up_to_the_bound() -> None:
    part = bored_part()
    options = {"edge_mm": 5.0, "num_candidates": 120, "refine": 0}
    results = [plan_views(part, RIG, options=PlanningOptions(num_views=num, **options)) for num in (1, 3, 8)]
    shares = [result.figures.coverage for result in results]
    assert shares == sorted(shares)
    assert [result.figures.viewpoints for result in results] == [1, 3, 8]
    needed = plan_views(part, RIG, options=PlanningOptions(coverage=shares[-1], **options))
    # Planning for what eight views cover takes no more than a view beyond them, and no less than the bound.
    assert results[-1].figures.lower_bound <= needed.figures.viewpoints <= 9


def test_two_views_an_element_are_counted() -> None:
    result = plan_views(
        box_part(), RIG, options=PlanningOptions(coverage=0.98, overlap=2, edge_mm=4.0, num_candidates=200)
    )
    assert result.plan.requirements.views_per_element == 2
    area = result.surface.area_mm2
    assert area[result.num_views >= 2].sum() >= 0.98 * area[result.coverable].sum() * (1 - 1e-9)
    again = evaluate_viewpoints(Setup(result.surface, RIG, result.plan.requirements), result.plan.viewpoints)
    assert again.covered_area_mm2 == pytest.approx(result.figures.covered_area_mm2)


def test_bore_is_seen_as_deep_as_the_incidence_limit_allows() -> None:
    # The sight from depth d of the wall leaves past the opposite rim, a chord of at most w = 6 mm away, so its
    # angle to the horizontal normal is at least atan(d / w): at 45 degrees, nothing deeper than 6 mm from either
    # end is seen. Elements are up to 2 mm high and count by their centroids: 1 mm more at either end.
    limits = replace(RIG.requirements, max_incidence_deg=45.0)
    surface = surface_to_inspect(bored_part(6.0), RIG, limits, edge_mm=2.0)
    pool = gather_candidates(surface, RIG, limits, CandidateSearch(num_candidates=400))
    coverable = np.asarray(pool.visible.sum(axis=0)) > 0
    inside = np.linalg.norm(surface.centroid_mm[:, :2], axis=1) < 3.1
    inside &= np.abs(surface.normal[:, 2]) < 0.1
    deepest_mm = (12.5 - np.abs(surface.centroid_mm[:, 2]))[inside & coverable].max()
    assert 3.0 < deepest_mm <= 6.0 + 1e-6
    share = surface.area_mm2[inside & coverable].sum() / surface.area_mm2[inside].sum()
    assert 0.2 < share <= (2 * 6.0 + 2 * 1.0) / 25.0
    # All of the outside is there for every candidate to see.
    assert surface.area_mm2[~inside & ~coverable].sum() < 0.01 * surface.area_mm2.sum()


def test_only_the_faces_to_be_inspected_are_aimed_at_and_counted() -> None:
    part = box_part()
    top = part.corners_mm[:, :, 2].min(axis=1) > 19.9
    result = plan_views(replace(part, inspected=top), RIG, options=PlanningOptions(edge_mm=4.0, num_candidates=90))
    assert result.figures.inspected_area_mm2 == pytest.approx(60 * 50)
    assert not (result.num_views > 0)[~result.surface.inspected].any()
    pool = gather_candidates(result.surface, RIG, RIG.requirements, CandidateSearch(num_candidates=90))
    # Three fifths of the candidates come before the rounds, and hardly any of them is wasted on other faces.
    assert len(pool.viewpoints) >= 0.5 * 90


def test_nothing_coverable_is_an_error_with_a_remedy() -> None:
    # Standing 250 mm off, a body of 600 mm clearance always touches.
    blocked = replace(RIG, body=replace(RIG.body, clearance_mm=600.0))
    with pytest.raises(InputError, match=r"no viewpoint sees anything of the part.*units"):
        plan_views(box_part(), blocked, options=PlanningOptions(edge_mm=8.0, num_candidates=30))


def test_a_part_far_too_large_is_refused_unless_candidates_are_given() -> None:
    # A metre cube has 6 million mm2; an image of the rig shows 76 x 64 mm.
    cube = part_of(trimesh.creation.box(extents=[1000, 1000, 1000]))
    with pytest.raises(InputError, match=r"too large for the rig.*at most 1,000 images.*fill 1,2\d\d.*--scale-mm"):
        plan_views(cube, RIG)
    few = plan_views(cube, RIG, options=PlanningOptions(num_views=2, num_candidates=12, edge_mm=300.0))
    assert few.figures.viewpoints == 2


def test_refined_poses_take_fewer_views_and_the_proof_counts_them_in() -> None:
    part, options = bored_part(), PlanningOptions(coverage=0.97, edge_mm=5.0, num_candidates=120)
    plain = plan_views(part, RIG, options=options.model_copy(update={"refine": 0})).figures
    refined = plan_views(part, RIG, options=options)
    figures = refined.figures
    assert figures.viewpoints < plain.viewpoints
    assert figures.lower_bound <= figures.viewpoints
    assert figures.coverage >= 0.97 - 1e-9
    again = evaluate_viewpoints(Setup(refined.surface, RIG, RIG.requirements), refined.plan.viewpoints)
    assert again.covered_area_mm2 == pytest.approx(figures.covered_area_mm2)


@pytest.mark.parametrize(
    "options",
    [
        {"coverage": 0.0},
        {"coverage": 1.2},
        {"num_views": 0},
        {"overlap": 0},
        {"num_candidates": 0},
        {"time_limit_s": -1.0},
        {"max_nodes": -1},
        {"objective": "beauty"},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=rf"option '{next(iter(options))}' is not valid"):
        PlanningOptions(**options)  # type: ignore[arg-type]


def test_no_process_is_refused() -> None:
    with pytest.raises(InputError, match="jobs: the number is not valid: expected greater than or equal to 1, found 0"):
        plan_views(box_part(), RIG, jobs=0)


def test_implausible_sizes_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        plan_views(
            part_of(trimesh.creation.box(extents=[0.08, 0.04, 0.03])), RIG, options=PlanningOptions(num_candidates=6)
        )
    assert "implausible-size" in caplog.text


def test_the_surface_is_as_fine_as_the_requirements_ask_until_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    sphere = part_of(trimesh.creation.icosphere(subdivisions=3, radius=80))
    edge_mm = RIG.requirements.element_edge_mm
    assert surface_to_inspect(sphere, RIG, RIG.requirements).max_edge_mm == edge_mm
    assert surface_to_inspect(sphere, RIG, RIG.requirements, edge_mm=2.0).max_edge_mm == 2.0
    monkeypatch.setattr(inspected, "FINEST_ELEMENTS", 50_000)
    monkeypatch.setattr(inspected, "MOST_ELEMENTS", 25_000)
    coarse = surface_to_inspect(sphere, RIG, RIG.requirements)
    assert coarse.num_elements == pytest.approx(25_000, rel=0.4)
    assert coarse.max_edge_mm > edge_mm
    # A part of many images keeps elements small beside an image, however many that takes.
    large = surface_to_inspect(part_of(trimesh.creation.box(extents=[600, 400, 300])), RIG, RIG.requirements)
    assert large.num_elements > 25_000
    assert large.max_edge_mm == pytest.approx(512 * RIG.camera.mm_per_px_at_focus / 16)
