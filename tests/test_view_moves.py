"""Refined views: one where one is enough, never worse than before, clear of the part, the same again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from viewcov.coverage.geometric.sightings import Watch
from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.coverage.rays.screening import Lens
from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.poses import inverse, rigid, transform_points
from viewcov.inspection.rig.rig import Rig, load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.clearance import Clearance
from viewcov.planning.candidates.maker import working_range
from viewcov.planning.candidates.pool import CandidatePool, CandidateSearch, gather_candidates
from viewcov.planning.candidates.proposals import Proposer
from viewcov.planning.selection.problem import CoverProblem, greedy_cover
from viewcov.planning.view_moves import RefinedViews, _Choice, _Exchange, _View, refine_views

# From its plane in focus, 250 mm away, the rig sees 76 x 63.6 mm, less a border of 1 mm.
RIG = load_rig("paper-quarter")


def surface_of(*meshes: trimesh.Trimesh, inspected_below_mm: float = np.inf) -> Surface:
    """Of the meshes, the faces that look up and lie below a height are to be inspected."""
    mesh = trimesh.util.concatenate(list(meshes))
    up = (mesh.face_normals[:, 2] > 0.99) & (mesh.triangles_center[:, 2] < inspected_below_mm)
    part = Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces)),
        source=PartSource(path="test.stl", sha256="0" * 64),
        inspected=up,
    )
    return cut_surface(part, 6.0)


def plate(*, size_mm: tuple[float, float] = (60.0, 50.0)) -> trimesh.Trimesh:
    """A plate with its upper face in z = 0."""
    return trimesh.creation.box(
        extents=[*size_mm, 2.0], transform=trimesh.transformations.translation_matrix([0, 0, -1])
    )


def above(x_mm: float, *, tilt_deg: float = 0.0) -> Viewpoint:
    """A view from 250 mm on a point of the plate's long axis, tilted towards -x."""
    tilt = np.deg2rad(tilt_deg)
    offset = 250.0 * np.array([-np.sin(tilt), 0.0, np.cos(tilt)])
    target = np.array([x_mm, 0.0, 0.0])
    # Rolled so that the image's long side lies along x.
    return Viewpoint.looking_at(
        target + offset,
        target,
        id=f"x{x_mm:+g}".replace("+", "p").replace("-", "m"),
        roll_deg=0.0 if tilt_deg == 0 else 90.0,
    )


def pool_of(surface: Surface, views: list[Viewpoint], rig: Rig = RIG) -> CandidatePool:
    with Watch(Setup(surface, rig, rig.requirements)) as watch:
        return CandidatePool(viewpoints=tuple(views), visible=watch.seen_from(views), given_up_mm2={})


class CountingTester(VisibilityTester):
    num_views = 0

    def seen_elements(self, viewpoint: Viewpoint) -> Ints:
        self.num_views += 1
        return super().seen_elements(viewpoint)


def refined(
    surface: Surface,
    pool: CandidatePool,
    chosen: list[int],
    *,
    target: float | None,
    demand: int = 1,
    seed: int = 0,
    max_tests: int = 300,
    most_made: int | None = None,
    rig: Rig = RIG,
) -> RefinedViews:
    tester = CountingTester(Setup(surface, rig, replace(rig.requirements, views_per_element=demand)))
    after = refine_views(pool, np.array(chosen), tester, target=target, seed=seed, max_tests=max_tests)
    assert tester.num_views <= (max_tests if most_made is None else most_made)
    return after


def problem_of(surface: Surface, pool: CandidatePool, demand: int = 1) -> CoverProblem:
    return CoverProblem(visible=pool.visible, weight=surface.area_mm2, demand=demand)


def assert_consistent(surface: Surface, before: CandidatePool, after: RefinedViews, rig: Rig = RIG) -> None:
    """The pool grew by views that see what is said of them, keep clear and are all chosen."""
    num = len(before.viewpoints)
    assert after.pool.viewpoints[:num] == before.viewpoints
    assert abs(after.pool.visible[:num] - before.visible).sum() == 0
    new = list(after.pool.viewpoints[num:])
    assert set(range(num, num + len(new))) <= set(after.views.tolist())
    assert len({view.id for view in after.pool.viewpoints}) == num + len(new)
    assert abs(pool_of(surface, new, rig).visible - after.pool.visible[num:]).sum() == 0
    if new:
        poses = np.stack([view.world_from_camera for view in new])
        assert Clearance(surface, rig).clear(poses[:, :3, 3], poses[:, :3, 2]).all()


@given(seed=st.integers(0, 10**6), demand=st.integers(1, 3))
def test_what_a_view_is_worth_in_anothers_place_is_what_is_covered_with_it(seed: int, demand: int) -> None:
    rng = np.random.default_rng(seed)
    visible = csr_array((rng.random((6, 15)) < 0.4).astype(float))
    weight = rng.integers(0, 4, size=15).astype(float)
    rows = [visible.indices[slice(*visible.indptr[row : row + 2])].astype(np.int64) for row in range(6)]
    chosen = rng.permutation(6)[:4]
    choice = _Choice(weight, demand, [_View(np.eye(4), rows[row], int(row)) for row in chosen])
    exchange = _Exchange(visible)
    for _ in range(3):
        for place in range(4):
            others = np.sum([visible.toarray()[view.row] for view in np.delete(choice.views, place)], axis=0)
            covered = [weight[others + visible.toarray()[row] >= demand].sum() for row in range(6)]
            gained = np.array(covered) - weight[others >= demand].sum()
            np.testing.assert_allclose(exchange.worth(choice, place), gained, atol=1e-9)
            np.testing.assert_allclose([choice.worth(place, seen) for seen in rows], gained, atol=1e-9)
            needed = choice.needed(place)
            assert weight[needed].sum() == pytest.approx(gained[choice.views[place].row])
        row = int(rng.integers(6))
        choice.replace(int(rng.integers(4)), _View(np.eye(4), rows[row], row))
        counts = np.sum([visible.toarray()[view.row] for view in choice.views], axis=0)
        assert choice.covered == weight[counts >= demand].sum()


@pytest.mark.parametrize("seed", range(3))
def test_one_view_takes_over_a_plate_from_two_at_its_ends(seed: int) -> None:
    surface = surface_of(plate())
    pool = pool_of(surface, [above(-25.0), above(25.0)])
    area_mm2 = problem_of(surface, pool).covered_weight([0, 1])
    assert area_mm2 == pytest.approx(60 * 50)
    assert max(problem_of(surface, pool).covered_weight([view]) for view in (0, 1)) < 0.85 * area_mm2
    after = refined(surface, pool, [0, 1], target=area_mm2, seed=seed)
    assert len(after.views) == 1
    assert problem_of(surface, after.pool).covered_weight(after.views) == pytest.approx(area_mm2)
    assert_consistent(surface, pool, after)


def test_a_view_beside_a_small_plate_is_drawn_over_it_without_leaving_any_out() -> None:
    surface = surface_of(plate(size_mm=(30.0, 30.0)))
    pool = pool_of(surface, [above(-45.0), above(45.0)])
    problem = problem_of(surface, pool)
    assert problem.covered_weight([0]) < 0.5 * 900
    # What counts is what candidates see: a strip in the middle may be seen by neither.
    after = refined(surface, pool, [0], target=None)
    assert len(after.views) == 1
    assert problem_of(surface, after.pool).covered_weight(after.views) >= problem.coverable_weight
    assert_consistent(surface, pool, after)


def test_a_demand_of_two_keeps_two_views() -> None:
    surface = surface_of(plate())
    pool = pool_of(surface, [above(-25.0), above(25.0), above(0.0)])
    target = problem_of(surface, pool, 2).covered_weight([0, 1, 2])
    assert target == pytest.approx(60 * 50)
    after = refined(surface, pool, [0, 1, 2], target=target, demand=2)
    assert len(after.views) == 2
    assert problem_of(surface, after.pool, 2).covered_weight(after.views) == pytest.approx(target)


def test_views_keep_clear_of_a_wall_that_better_ones_would_touch() -> None:
    # Within 17 degrees of the normal a camera at a height of 250 mm is within 76 mm of all that it sees. The wall
    # hangs over the plate, and the body takes 75 mm on either side: nobody there sees both ends of the plate.
    rig = replace(RIG, requirements=replace(RIG.requirements, max_incidence_deg=17.0))
    wall = trimesh.creation.box(bounds=[[10, -25, 130], [14, 25, 250]])
    ends = [above(-22.0, tilt_deg=12.0), above(47.0, tilt_deg=-11.0)]
    for surface, fewest in ((surface_of(plate()), 1), (surface_of(plate(), wall, inspected_below_mm=1.0), 2)):
        pool = pool_of(surface, ends, rig)
        problem = problem_of(surface, pool)
        target = problem.covered_weight([0, 1])
        assert min(problem.covered_weight([view]) for view in (0, 1)) > 0.1 * target
        after = refined(surface, pool, [0, 1], target=target, rig=rig)
        assert len(after.views) == fewest
        assert_consistent(surface, pool, after, rig)
    clearance = Clearance(surface, rig)
    assert all(clearance.clear(view.center_mm[None], view.forward[None]).all() for view in ends)
    assert not clearance.clear(above(0.0).center_mm[None], above(0.0).forward[None]).any()


def test_only_what_enough_candidates_see_draws_a_view() -> None:
    surface = surface_of(plate())
    pool = pool_of(surface, [above(-45.0), above(45.0)])
    for candidates, demand in ((pool_of(surface, [above(-45.0)]), 1), (pool, 2)):
        after = refined(surface, candidates, [0], target=None, demand=demand, most_made=0)
        assert after.views.tolist() == [0]


def test_one_view_cannot_meet_a_demand_of_two_and_stays() -> None:
    surface = surface_of(plate())
    pool = pool_of(surface, [above(-25.0), above(25.0), above(0.0)])
    assert problem_of(surface, pool, 2).coverable_weight > 0
    after = refined(surface, pool, [0], target=None, demand=2, most_made=0)
    assert after.views.tolist() == [0]


def test_a_better_candidate_is_taken_without_a_test() -> None:
    surface = surface_of(plate())
    pool = pool_of(surface, [above(-45.0), above(0.0)])
    after = refined(surface, pool, [0], target=None, most_made=0)
    assert after.views.tolist() == [1]


@pytest.fixture(scope="module")
def steps() -> tuple[Surface, CandidatePool]:
    """Three steps of a stair and what many candidates see of them."""
    blocks = [trimesh.creation.box(bounds=[[70 * k, 0, -40], [70 * k + 70, 110, 25 * k]]) for k in range(3)]
    surface = surface_of(*blocks)
    return surface, gather_candidates(surface, RIG, RIG.requirements, CandidateSearch(num_candidates=120, seed=0))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("share", "demand"), [(0.9, 1), (0.99, 1), (0.95, 2)])
def test_the_result_is_never_worse(steps: tuple[Surface, CandidatePool], seed: int, share: float, demand: int) -> None:
    surface, pool = steps
    problem = problem_of(surface, pool, demand)
    target = share * problem.coverable_weight
    chosen = greedy_cover(problem, target=target).tolist()
    after = refined(surface, pool, chosen, target=target, demand=demand, seed=seed, max_tests=40)
    weight = np.where(problem.coverable, problem.weight, 0.0)
    grown = CoverProblem(visible=after.pool.visible, weight=weight, demand=demand)
    assert len(after.views) <= len(chosen)
    assert grown.covered_weight(after.views) >= target * (1 - 1e-9)
    if len(after.views) == len(chosen):
        assert grown.covered_weight(after.views) >= problem.covered_weight(chosen) * (1 - 1e-9)
    assert_consistent(surface, pool, after)


def test_refinement_leaves_out_more_than_greedy_does(steps: tuple[Surface, CandidatePool]) -> None:
    surface, pool = steps
    problem = problem_of(surface, pool)
    target = 0.97 * problem.coverable_weight
    chosen = greedy_cover(problem, target=target).tolist()
    assert len(refined(surface, pool, chosen, target=target, max_tests=60).views) < len(chosen)


def test_no_step_makes_it_worse_even_where_sight_is_hard_to_foresee() -> None:
    places = [(x, y) for x in (-45, -15, 15, 45) for y in (-30, 0, 30)]
    posts = [trimesh.creation.box(bounds=[[x - 4, y - 4, 0], [x + 4, y + 4, 30]]) for x, y in places]
    surface = surface_of(plate(size_mm=(120.0, 90.0)), *posts, inspected_below_mm=1.0)
    pool = gather_candidates(surface, RIG, RIG.requirements, CandidateSearch(num_candidates=60, seed=0))
    problem = problem_of(surface, pool)
    weight = np.where(problem.coverable, problem.weight, 0.0)
    few = [0, 1]
    covered = [problem.covered_weight(few)]
    # The same steps up to each number of tests.
    for max_tests in range(1, 25):
        after = refined(surface, pool, few, target=None, max_tests=max_tests)
        assert len(after.views) == 2
        covered.append(CoverProblem(visible=after.pool.visible, weight=weight).covered_weight(after.views))
    assert (np.diff(covered) >= -1e-6).all()
    assert covered[-1] > 1.02 * covered[0]


def test_the_same_seed_gives_the_same_poses(steps: tuple[Surface, CandidatePool]) -> None:
    surface, pool = steps
    problem = problem_of(surface, pool)
    target = 0.97 * problem.coverable_weight
    chosen = greedy_cover(problem, target=target).tolist()
    one, two, other = (refined(surface, pool, chosen, target=target, seed=seed, max_tests=15) for seed in (5, 5, 6))
    poses = [np.stack([view.world_from_camera for view in some.pool.viewpoints]) for some in (one, two, other)]
    np.testing.assert_array_equal(poses[0], poses[1])
    np.testing.assert_array_equal(one.views, two.views)
    assert poses[0].shape != poses[2].shape or not np.array_equal(poses[0], poses[2])


def test_without_any_test_only_needless_views_are_left_out() -> None:
    surface = surface_of(plate())
    pool = pool_of(surface, [above(0.0), above(30.0)])
    target = problem_of(surface, pool).covered_weight([0])
    after = refined(surface, pool, [0, 1], target=target, max_tests=0)
    assert after.views.tolist() == [0]
    assert after.pool.viewpoints == pool.viewpoints


def test_views_that_miss_the_target_are_refused() -> None:
    surface = surface_of(plate())
    pool = pool_of(surface, [above(-25.0), above(25.0)])
    with pytest.raises(ValueError, match="chosen must cover the target 3000, covers"):
        refined(surface, pool, [0], target=3000.0)


def test_the_screen_of_many_poses_agrees_with_the_lens_on_each() -> None:
    surface = surface_of(plate(size_mm=(120.0, 120.0)))
    proposer = Proposer(surface, RIG, RIG.requirements)
    rng = np.random.default_rng(0)
    elements = rng.permutation(np.flatnonzero(surface.inspected))[:500]
    poses = proposer.steps(
        above(0.0, tilt_deg=38.0).world_from_camera, elements, np.ones(len(elements)), scale=1.0, rng=rng
    )
    within = proposer.within_limits(poses, elements)
    assert 0.1 < within.mean() < 0.9
    lens, limits, span = (
        Lens.of(RIG.camera, border_px=RIG.requirements.border_px),
        RIG.requirements,
        working_range(RIG, RIG.requirements),
    )
    for pose, row in zip(poses, within, strict=True):
        rigid(pose, name="pose")
        found = lens.measure(
            surface.centroid_mm[elements], surface.normal[elements], Viewpoint(id="v", world_from_camera=pose)
        )
        ok = (np.degrees(np.arccos(found.cos_incidence)) <= limits.max_incidence_deg) & (found.depth_mm >= span.near)
        ok &= (found.depth_mm <= span.in_focus) & (found.mm_per_px <= limits.coarsest_mm_per_px)
        np.testing.assert_array_equal(np.flatnonzero(row), found.rows[ok])


def test_some_steps_bring_the_only_wanted_element_to_the_middle_and_into_focus() -> None:
    surface = surface_of(plate())
    proposer = Proposer(surface, RIG, RIG.requirements)
    pose = above(0.0, tilt_deg=20.0).world_from_camera
    element = np.flatnonzero(surface.inspected & (surface.centroid_mm[:, 0] > 25))[:1]
    poses = proposer.steps(pose, element, np.ones(1), scale=0.5, rng=np.random.default_rng(0))
    places: Floats = np.stack([transform_points(inverse(step), surface.centroid_mm[element])[0] for step in poses])
    centred = np.abs(places - [0, 0, 250.0]).max(axis=1) < 1e-9
    assert 1 <= centred.sum() < len(poses)
    np.testing.assert_allclose(poses[centred][:, :3, :3], np.tile(pose[:3, :3], (centred.sum(), 1, 1)), atol=1e-12)


def test_only_elements_around_the_view_that_face_it_are_in_reach() -> None:
    surface = surface_of(plate(size_mm=(600.0, 50.0)))
    proposer = Proposer(surface, RIG, RIG.requirements)
    reach = proposer.in_reach(above(0.0).world_from_camera, np.arange(surface.num_elements))
    # Beyond the frame by one and a half times half the field: 2.5 * 38 mm.
    assert np.abs(surface.centroid_mm[reach, 0]).max() == pytest.approx(95.0, abs=3.0)
    assert (surface.normal[reach, 2] > 0.5).all()
    assert len(proposer.in_reach(above(0.0).world_from_camera @ np.diag([1.0, -1, -1, 1]), reach)) == 0
