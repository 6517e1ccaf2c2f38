"""Candidate viewpoints: clear of the part, free sight, in focus, spread over the surface."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.rig import Body, Rig, load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.clearance import Clearance
from viewcov.planning.candidates.maker import CandidateMaker, spread_elements, standoffs_mm
from viewcov.planning.candidates.pool import CandidateSearch, SearchTime, gather_candidates
from viewcov.planning.candidates.search import DEFEATS, PoseSearch

RIG = load_rig("paper-quarter")


def part_of(mesh: trimesh.Trimesh) -> Part:
    return Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces)),
        source=PartSource(path="test.stl", sha256="0" * 64),
    )


def well_surface(depth_mm: float = 300.0, edge_mm: float = 16.0) -> Surface:
    """A square plate with four high walls around it: a well that the rig hardly fits into."""
    plate = trimesh.creation.box(extents=[320, 320, 10])
    walls = []
    for angle in range(4):
        wall = trimesh.creation.box(extents=[10, 320, depth_mm])
        wall.apply_translation([155, 0, depth_mm / 2])
        walls.append(wall.apply_transform(trimesh.transformations.rotation_matrix(angle * np.pi / 2, [0, 0, 1])))
    return cut_surface(part_of(trimesh.util.concatenate([plate, *walls])), edge_mm)


def body_distance_mm(points_world: np.ndarray, world_from_camera: np.ndarray, rig: Rig) -> np.ndarray:
    """Distance of points from the body, by its radial and axial excess in the camera frame."""
    local = transform_points(np.linalg.inv(world_from_camera), points_world)
    radial = np.hypot(local[:, 0], local[:, 1]) - max(rig.body.radius_mm, rig.ring_light.outer_radius_mm)
    back = rig.body.front_mm - rig.body.length_mm
    axial = np.abs(local[:, 2] - (back + rig.body.front_mm) / 2) - rig.body.length_mm / 2
    return np.hypot(np.maximum(radial, 0), np.maximum(axial, 0))


def test_no_point_of_the_part_comes_closer_than_the_clearance() -> None:
    surface, rng = well_surface(), np.random.default_rng(0)
    caster = RayCaster(surface.part.vertices_mm, surface.part.faces)
    maker = CandidateMaker(surface, RIG, RIG.requirements, caster, Clearance(surface, RIG))
    elements = spread_elements(surface, np.arange(surface.num_elements), 80, rng=rng)
    views = maker.views_of(elements, num_each=3, rng=rng, prefix="c")
    assert len(views) > 80
    mesh = trimesh.Trimesh(surface.part.vertices_mm, surface.part.faces, process=False)
    points = trimesh.sample.sample_surface(mesh, 20_000, seed=1)[0]
    nearest = [body_distance_mm(points, view.world_from_camera, RIG).min() for view in views]
    assert min(nearest) >= RIG.body.clearance_mm
    # The walls do come into play: some views stand closer to them than to where they look.
    assert min(nearest) < 60.0


def test_clearance_is_that_of_every_corner_by_brute_force() -> None:
    surface = well_surface()
    needed_mm = RIG.body.clearance_mm + surface.max_edge_mm / np.sqrt(3.0)
    rng = np.random.default_rng(5)
    low, high = surface.part.bounds_mm
    views = [
        Viewpoint.looking_at(center, center + axis, id="any")
        for center, axis in zip(rng.uniform(low - 60, high + 160, (400, 3)), rng.normal(size=(400, 3)), strict=True)
    ]
    nearest = np.array([body_distance_mm(surface.vertices_mm, view.world_from_camera, RIG).min() for view in views])
    clear = Clearance(surface, RIG).clear(
        np.stack([view.center_mm for view in views]), np.stack([view.forward for view in views])
    )
    np.testing.assert_array_equal(clear, nearest >= needed_mm)
    assert 40 < clear.sum() < 360


def test_well_too_narrow_for_the_body_is_looked_into_from_above_only() -> None:
    surface = well_surface()
    wide = replace(RIG, body=Body(radius_mm=160.0))
    caster = RayCaster(surface.part.vertices_mm, surface.part.faces)
    floor = np.flatnonzero((surface.normal[:, 2] > 0.9) & (np.abs(surface.centroid_mm[:, 2] - 5.0) < 1e-6))
    rng = np.random.default_rng(0)
    for rig, fits in ((RIG, True), (wide, False)):
        clearance = Clearance(surface, rig)
        maker = CandidateMaker(surface, rig, rig.requirements, caster, clearance)
        search = PoseSearch(surface, rig, rig.requirements, caster, clearance)
        middle = floor[np.linalg.norm(surface.centroid_mm[floor, :2], axis=1) < 20]
        found = search.poses(middle, num_each=1, rng=rng)
        assert (found.num_poses == fits).all()
        assert (found.defeat == DEFEATS.index("not seen" if fits else "no room")).all()
        assert bool(maker.views_of(middle[:5], num_each=2, rng=rng, prefix="c")) == fits


def test_where_the_body_has_room_only_upright_the_element_is_seen_beside_the_middle() -> None:
    # Half the well is 150 mm wide: a body of 110 mm with 10 mm around it, and 9.2 mm for edges of 16 mm, has
    # 20.8 mm to either side and hardly any room to tilt. Half the image is 31.8 mm.
    surface = well_surface()
    rig = replace(RIG, body=Body(radius_mm=110.0))
    clearance = Clearance(surface, rig)
    caster = RayCaster(surface.part.vertices_mm, surface.part.faces)
    off_axis = np.linalg.norm(surface.centroid_mm[:, :2], axis=1)
    floor = (surface.normal[:, 2] > 0.9) & (np.abs(surface.centroid_mm[:, 2] - 5.0) < 1e-6)
    beside = np.flatnonzero(floor & (off_axis > 28) & (off_axis < 36))
    found = PoseSearch(surface, rig, rig.requirements, caster, clearance).poses(
        beside, num_each=2, rng=np.random.default_rng(0)
    )
    # Without turning aside, a quarter of them have a pose.
    assert (found.num_poses > 0).mean() > 0.5
    tester = VisibilityTester(Setup(surface, rig, rig.requirements))
    for row in np.flatnonzero(found.num_poses):
        view = Viewpoint.looking_at(found.center_mm[row, 0], found.center_mm[row, 0] + found.forward[row, 0], id="eye")
        assert clearance.clear(view.center_mm[None], view.forward[None])[0]
        assert tester.test(view).seen[beside[row]]


def test_slanted_views_come_near_enough_to_be_fine_enough() -> None:
    surface, rng = well_surface(depth_mm=20.0), np.random.default_rng(0)
    rig = replace(RIG, requirements=replace(RIG.requirements, max_mm_per_px=0.13))
    caster = RayCaster(surface.part.vertices_mm, surface.part.faces)
    maker = CandidateMaker(surface, rig, rig.requirements, caster, Clearance(surface, rig))
    tester = VisibilityTester(Setup(surface, rig, rig.requirements))
    elements = spread_elements(surface, np.arange(surface.num_elements), 20, rng=rng)
    num_slanted = 0
    for element in elements:
        for view in maker.views_of(np.array([element]), num_each=4, rng=rng, prefix="c"):
            result = tester.test(view)
            place = np.flatnonzero(result.element_idx == element)[0]
            assert result.mm_per_px[place] <= 0.13 * (1 + 1e-9)
            num_slanted += result.incidence_deg[place] > 5
    assert num_slanted > 10


@pytest.mark.parametrize(
    ("center_mm", "expected"),
    # The box ends at z = 10 and x = 50. The front of the body lies 5 mm ahead of the centre, its side 65 mm
    # beside the axis; 10 mm must stay, and 4 / sqrt(3) = 2.3 mm are added for edges of up to 4 mm.
    [
        ([0.0, 0.0, 10 + 5 + 10 + 2.2], False),
        ([0.0, 0.0, 10 + 5 + 10 + 2.4], True),
        ([50 + 65 + 10 + 2.2, 0.0, 0.0], False),
        ([50 + 65 + 10 + 2.4, 0.0, 0.0], True),
        ([0.0, 0.0, 300.0], True),
    ],
)
def test_clearance_is_exact_for_a_box(center_mm: list[float], expected: bool) -> None:
    surface = cut_surface(part_of(trimesh.creation.box(extents=[100, 100, 20])), 4.0)
    down = np.array([[0.0, 0.0, -1.0]])
    assert Clearance(surface, RIG).clear(np.array([center_mm]), down).tolist() == [expected]


def test_ring_far_ahead_of_the_body_may_surround_but_not_touch_the_part() -> None:
    surface = cut_surface(part_of(trimesh.creation.cylinder(radius=15, height=40, sections=32)), 3.0)
    ahead = replace(RIG, ring_light=replace(RIG.ring_light, offset_mm=80.0))
    tight = replace(ahead, ring_light=replace(ahead.ring_light, inner_radius_mm=20.0))
    center, down = np.array([[0.0, 0.0, 60.0]]), np.array([[0.0, 0.0, -1.0]])
    assert Clearance(surface, ahead).clear(center, down).all()
    assert not Clearance(surface, tight).clear(center, down).any()


def test_views_look_at_their_element_in_focus_within_the_incidence_limit() -> None:
    surface, rng = well_surface(depth_mm=60.0), np.random.default_rng(4)
    caster = RayCaster(surface.part.vertices_mm, surface.part.faces)
    maker = CandidateMaker(surface, RIG, RIG.requirements, caster, Clearance(surface, RIG))
    near, far = RIG.camera.depth_of_field_mm(RIG.requirements.max_blur_px) or (np.nan, np.nan)
    for element in spread_elements(surface, np.arange(surface.num_elements), 40, rng=rng):
        point, normal = surface.centroid_mm[element], surface.normal[element]
        for view in maker.views_of(np.array([element]), num_each=4, rng=rng, prefix="c"):
            to_camera = view.center_mm - point
            distance = np.linalg.norm(to_camera)
            assert near <= distance <= far
            np.testing.assert_allclose(view.forward, -to_camera / distance, atol=1e-9)
            incidence = np.degrees(np.arccos(normal @ to_camera / distance))
            assert incidence <= RIG.requirements.max_incidence_deg
            # The first triangle that the camera meets on its axis is the one aimed at.
            hit = caster.first_hits(view.center_mm[None], view.forward[None])
            assert hit.distance_mm[0] == pytest.approx(distance, abs=1e-3)


def test_centred_views_look_at_the_middle_the_way_they_did_and_none_comes_twice() -> None:
    surface = cut_surface(part_of(trimesh.creation.box(extents=[100, 100, 20])), 4.0)
    caster = RayCaster(surface.part.vertices_mm, surface.part.faces)
    maker = CandidateMaker(surface, RIG, RIG.requirements, caster, Clearance(surface, RIG))
    views = [
        Viewpoint.looking_at([0, 0, 260], [20, 0, 10], id="far", roll_deg=30),
        Viewpoint.looking_at([0, 1, 260], [0, 1, 10], id="there"),
        Viewpoint.looking_at([250, 0, 40], [0, 0, 40], id="touching"),
    ]
    # The second would move by 1 mm only, and the third, moved into the part, has no room.
    middle = np.array([[5.0, -7.0, 10.0], [0.0, 0.0, 10.0], [-220.0, 0.0, 40.0]])
    (moved,) = maker.centred(views, middle, prefix="m")
    np.testing.assert_array_equal(moved.world_from_camera[:3, :3], views[0].world_from_camera[:3, :3])
    np.testing.assert_allclose(moved.center_mm + 250 * moved.forward, middle[0], atol=1e-9)
    assert maker.centred([], np.empty((0, 3)), prefix="m") == []


def test_standoffs_keep_blur_and_sampling_within_their_limits() -> None:
    for limit in (RIG.requirements.max_mm_per_px, 0.122):
        strict = replace(RIG.requirements, max_mm_per_px=limit)
        standoffs = standoffs_mm(RIG, strict)
        assert (RIG.camera.blur_px(standoffs) <= strict.max_blur_px).all()
        assert (standoffs / RIG.camera.focal_px <= limit).all()
        assert len(set(standoffs)) >= 2
    with pytest.raises(InputError, match="no distance is both in focus and fine enough"):
        standoffs_mm(RIG, replace(RIG.requirements, max_mm_per_px=0.01))
    # Three pixels across a defect of 0.03 mm ask for the same.
    with pytest.raises(InputError, match=r"at most 0\.01 mm/px"):
        standoffs_mm(RIG, replace(RIG.requirements, smallest_defect_mm=0.03))


def test_a_limit_below_diffraction_is_refused_by_that_name() -> None:
    with pytest.raises(InputError, match=r"diffraction alone .* found 0\.864 px at f/8 on pixels of 13\.8 um"):
        standoffs_mm(RIG, replace(RIG.requirements, max_blur_px=0.8))


def test_spread_elements_fall_on_each_side_by_its_area_and_apart() -> None:
    surface = cut_surface(part_of(trimesh.creation.box(extents=[80, 60, 20])), 1.5)
    chosen = spread_elements(surface, np.arange(surface.num_elements), 300, rng=np.random.default_rng(2))
    assert len(set(chosen.tolist())) == 300
    side = np.argmax(surface.normal @ np.vstack([np.eye(3), -np.eye(3)]).T, axis=1)
    share = np.bincount(side[chosen], minlength=6) / 300
    area = np.bincount(side, weights=surface.area_mm2, minlength=6) / surface.area_mm2.sum()
    np.testing.assert_allclose(share, area, atol=0.05)
    # Random points would have near neighbours: 300 of them lie 0.5 spacings apart on average, and the
    # closest pair 1/sqrt(pi 300) = 0.03; thinned ones keep most of a spacing.
    gap = np.linalg.norm(surface.centroid_mm[chosen][:, None] - surface.centroid_mm[chosen][None], axis=2)
    same_side = side[chosen][:, None] == side[chosen][None]
    gap[~same_side | np.eye(300, dtype=bool)] = np.inf
    assert gap.min() > 0.5 * np.sqrt(surface.area_mm2.sum() / 300)


def test_candidates_are_the_same_for_the_same_seed_only() -> None:
    surface = well_surface(depth_mm=60.0)
    caster = RayCaster(surface.part.vertices_mm, surface.part.faces)
    maker = CandidateMaker(surface, RIG, RIG.requirements, caster, Clearance(surface, RIG))

    def centers(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        elements = spread_elements(surface, np.arange(surface.num_elements), 20, rng=rng)
        return np.stack([v.world_from_camera for v in maker.views_of(elements, num_each=2, rng=rng, prefix="c")])

    np.testing.assert_array_equal(centers(7), centers(7))
    assert not np.array_equal(centers(7), centers(8))


def test_what_there_was_no_time_to_search_is_told() -> None:
    surface = cut_surface(part_of(trimesh.creation.box(extents=[60, 50, 40])), 6.0)
    area_mm2 = float(surface.area_mm2.sum())
    whole = gather_candidates(surface, RIG, RIG.requirements, CandidateSearch(num_candidates=400))
    assert whole.given_up_mm2["not searched"] == 0.0
    assert len({view.world_from_camera.tobytes() for view in whole.viewpoints}) == len(whole.viewpoints)
    late = gather_candidates(
        surface, RIG, RIG.requirements, CandidateSearch(num_candidates=400), limit=SearchTime(until=0.0)
    )
    # Some are looked from all the same, of one batch that was aimed at points all over the part.
    assert 0 < len(late.viewpoints) <= 64 < len(whole.viewpoints)
    seen_mm2 = float(surface.area_mm2[np.asarray(late.visible.sum(axis=0)) > 0].sum())
    assert late.given_up_mm2["not searched"] == pytest.approx(area_mm2 - seen_mm2)
