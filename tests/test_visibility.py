"""The chain of tests of one view: analytic areas, closed forms, and numeric derivatives."""

import dataclasses
import functools

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from viewcov.coverage.geometric.visibility import TESTS, Setup, VisibilityTester, quarter_centroids
from viewcov.coverage.rays.screening import Lens
from viewcov.inspection.arrays import Bools, Floats
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig, load_rig
from viewcov.inspection.rig.ringlight import RingLight
from viewcov.inspection.viewpoint import Viewpoint

# A square frame with a half angle of 45 degrees, so that edges of the frame are easy to compute with.
CAMERA = Camera(
    width_px=1000,
    height_px=1000,
    focal_length_mm=5.0,
    pixel_pitch_um=10.0,
    f_number=8.0,
    focus_distance_mm=250.0,
)
CAMERA = dataclasses.replace(CAMERA, pixel_pitch_um=CAMERA.image_distance_mm * 1000.0 / 500.0)
RING = RingLight(inner_radius_mm=40.0, outer_radius_mm=60.0)
RIG = Rig(name="test", camera=CAMERA, ring_light=RING)
ANYTHING = Requirements(max_incidence_deg=89.999, max_mm_per_px=1e9, max_blur_px=1e9, border_px=0.0, min_light=0.0)


def part_of(mesh: trimesh.Trimesh, *, inspected: Bools | None = None) -> Part:
    return Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces), dtype=np.int32),
        source=PartSource(path="test", sha256="0" * 64),
        inspected=inspected,
    )


def surface_of(mesh: trimesh.Trimesh, max_edge_mm: float) -> Surface:
    return cut_surface(part_of(mesh), max_edge_mm)


def view(center_mm: object, target_mm: object) -> Viewpoint:
    return Viewpoint.looking_at(np.asarray(center_mm), np.asarray(target_mm), id="v")


def plate() -> trimesh.Trimesh:
    return trimesh.creation.box(extents=[40, 30, 2])


@functools.cache
def hole_surface(radius_mm: float, max_edge_mm: float) -> Surface:
    """A cylinder of radius 30 and height 40 with a blind hole from z = 40 down to z = 10."""
    outline = [[0, 0], [30, 0], [30, 40], [radius_mm, 40], [radius_mm, 10], [0, 10]]
    return surface_of(trimesh.creation.revolve(outline, sections=96), max_edge_mm)


@pytest.mark.parametrize("distance_mm", [30.0, 60.0, 400.0])
def test_a_sphere_shows_its_cap(distance_mm: float) -> None:
    radius = 20.0
    surface = surface_of(trimesh.creation.icosphere(subdivisions=5, radius=radius), 2.0)
    camera = dataclasses.replace(CAMERA, focal_length_mm=0.5)  # So wide that the near sphere fits.
    tester = VisibilityTester(Setup(surface, dataclasses.replace(RIG, camera=camera), ANYTHING))
    direction = np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0)  # Off the symmetries of the icosahedron.
    result = tester.test(view(distance_mm * direction, [0, 0, 0]))
    # The 20480 flat faces have 0.05 % less area than the sphere; the horizon, 1/60 of the radius wide at each
    # face, averages out to far less than half a percent of the cap.
    cap = 2 * np.pi * radius**2 * (1 - radius / distance_mm)
    assert surface.area_mm2[result.seen].sum() == pytest.approx(cap, rel=5e-3)
    # No face of a convex body hides itself: all that face the camera are seen.
    assert set(np.unique(result.num_passed)) == {1, len(TESTS)}


@pytest.mark.parametrize("max_incidence_deg", [20.0, 45.0, 70.0])
def test_a_sphere_shows_the_cap_within_the_incidence_limit(max_incidence_deg: float) -> None:
    """By the law of sines, incidence i is met at i - asin(r sin(i) / d) from the axis to the camera."""
    radius, distance = 20.0, 90.0
    surface = surface_of(trimesh.creation.icosphere(subdivisions=5, radius=radius), 2.0)
    limits = dataclasses.replace(ANYTHING, max_incidence_deg=max_incidence_deg)
    direction = np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0)
    result = VisibilityTester(Setup(surface, RIG, limits)).test(view(distance * direction, [0, 0, 0]))
    incidence = np.deg2rad(max_incidence_deg)
    polar = incidence - np.arcsin(radius * np.sin(incidence) / distance)
    # Elements of 1 mm2 along a rim of 2 pi r sin(polar) of a cap of 2 pi r^2 (1 - cos(polar)): whole elements
    # fall on either side of it, about 30 for the smallest cap, and by chance a few more on one than the other.
    cap = 2 * np.pi * radius**2 * (1 - np.cos(polar))
    assert surface.area_mm2[result.seen].sum() == pytest.approx(cap, rel=2e-2)


@pytest.mark.parametrize(("center_mm", "sides"), [([50, 0, 0], 1), ([50, 50, 0], 2), ([50, 50, 50], 3)])
def test_a_cube_shows_the_sides_that_face_the_camera(center_mm: list[float], sides: int) -> None:
    surface = surface_of(trimesh.creation.box(extents=[10, 10, 10]), 1.0)
    result = VisibilityTester(Setup(surface, RIG, ANYTHING)).test(view(center_mm, [0, 0, 0]))
    assert surface.area_mm2[result.seen].sum() == pytest.approx(sides * 100.0)
    assert (result.num_passed[~result.seen] == TESTS.index("facing")).all()


@pytest.mark.parametrize("angle_deg", [0.0, 20.0, 45.0, 70.0])
def test_a_tilted_plate_has_incidence_and_sampling_of_its_angle(angle_deg: float) -> None:
    surface = surface_of(plate(), 5.0)
    element = int(np.flatnonzero(surface.normal[:, 2] > 0.5)[7])
    centroid, angle = surface.centroid_mm[element], np.deg2rad(angle_deg)
    center = centroid + 180.0 * np.array([np.sin(angle), 0.0, np.cos(angle)])
    result = VisibilityTester(Setup(surface, RIG, ANYTHING)).test(view(center, centroid))
    place = int(np.flatnonzero(result.element_idx == element)[0])
    # The element lies on the optical axis: the worst direction is the foreshortened one.
    assert result.incidence_deg[place] == pytest.approx(angle_deg, abs=1e-5)
    assert result.mm_per_px[place] == pytest.approx(180.0 / CAMERA.focal_px / np.cos(angle), rel=1e-9)


def test_each_limit_stops_at_its_place_in_the_chain() -> None:
    surface = surface_of(plate(), 5.0)
    top = surface.normal[:, 2] > 0.5
    above = view([0, 0, 181.0], [0, 0, 1])
    limits = {
        "in_frame": {"border_px": 499.9},
        "facing": {"max_incidence_deg": 1e-3},
        "in_focus": {"max_blur_px": 1e-3},
        "resolved": {"max_mm_per_px": 0.1},
        "lit": {"min_light": 1e3},
    }
    # 180 mm / 500 px = 0.36 mm/px: three pixels span 1.08 mm.
    rows = [
        *limits.items(),
        ("resolved", {"smallest_defect_mm": 1.07}),
        ("lit", {"smallest_defect_mm": 2, "min_light": 9}),
    ]
    for name, limit in rows:
        result = VisibilityTester(Setup(surface, RIG, dataclasses.replace(ANYTHING, **limit))).test(above)
        assert (result.num_passed[top] == TESTS.index(name)).all(), name
    under = trimesh.util.concatenate([plate(), plate().apply_translation([0, 0, 50])])
    both = surface_of(under, 5.0)
    result = VisibilityTester(Setup(both, RIG, ANYTHING)).test(above)
    hidden = (both.normal[:, 2] > 0.5) & (both.centroid_mm[:, 2] < 10)
    assert (result.num_passed[hidden] == TESTS.index("unoccluded")).all()
    assert np.isnan(result.light[np.isin(result.element_idx, np.flatnonzero(hidden))]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_sampling_is_the_smallest_singular_value_of_the_numeric_jacobian(seed: int) -> None:
    rng = np.random.default_rng(seed)
    camera = dataclasses.replace(
        CAMERA, distortion=tuple(rng.uniform(-0.1, 0.1, 5)), principal_x_px=float(rng.uniform(300, 700))
    )
    point = np.array([*rng.uniform(-0.5, 0.5, 2), 1.0]) * rng.uniform(50, 500)
    rotation = Rotation.random(random_state=seed).as_matrix()
    at_origin = Viewpoint(id="v", world_from_camera=np.eye(4))
    step_mm = 1e-4 * point[2]
    jacobian = np.column_stack(
        [
            (camera.project(point + step_mm * tangent) - camera.project(point - step_mm * tangent)) / (2 * step_mm)
            for tangent in rotation[:2]
        ]
    )
    expected = 1.0 / np.linalg.svd(jacobian, compute_uv=False)[-1]
    ours = Lens.of(camera).measure(point[None], rotation[2][None], at_origin)
    np.testing.assert_allclose(ours.mm_per_px, [expected], rtol=1e-4)
    cosine = -rotation[2] @ point / np.linalg.norm(point)
    np.testing.assert_allclose([ours.cos_incidence[0], ours.depth_mm[0]], [cosine, point[2]], rtol=0, atol=1e-12)


def test_a_camera_in_a_bore_sees_the_wall_in_its_frame() -> None:
    """Seen along the axis, the wall at height h is in the square frame if 10 max(|cos|, |sin|) <= h."""
    radius, half_length = 10.0, 20.0
    tube = trimesh.creation.annulus(radius, 15.0, height=2 * half_length, sections=96)
    surface = surface_of(tube, 1.0)
    result = VisibilityTester(Setup(surface, RIG, ANYTHING)).test(view([0, 0, 0], [0, 0, 1]))
    # Integral over the angle of r (L - r max(|cos|, |sin|)); max(|cos|, |sin|) integrates to 8 sin(45 deg).
    # Elements of 1 mm along a border of 90 mm of an area of 700 mm2: their halves average out to under 1 %.
    expected = radius * (2 * np.pi * half_length - radius * 8 * np.sin(np.pi / 4))
    assert surface.area_mm2[result.seen].sum() == pytest.approx(expected, rel=1e-2)
    seen = surface.centroid_mm[result.seen]
    assert np.hypot(seen[:, 0], seen[:, 1]).max() < radius
    assert (seen[:, 2] > 0).all()


def test_a_camera_in_a_bore_sees_the_wall_squarely_only_near_itself() -> None:
    """The wall at height h is met at an incidence of atan(h / r): a band ends at r tan(limit)."""
    radius, limit_deg = 10.0, 55.0
    tube = trimesh.creation.annulus(radius, 15.0, height=40.0, sections=96)
    limits = dataclasses.replace(ANYTHING, max_incidence_deg=limit_deg)
    surface = surface_of(tube, 1.0)
    result = VisibilityTester(Setup(surface, RIG, limits)).test(view([0, 0, 0], [0, 0, 1]))
    # The frame cuts it below as in the test above.
    expected = radius**2 * (2 * np.pi * np.tan(np.deg2rad(limit_deg)) - 8 * np.sin(np.pi / 4))
    # Two borders of 63 and 90 mm now, around 330 mm2.
    assert surface.area_mm2[result.seen].sum() == pytest.approx(expected, rel=2e-2)
    assert surface.centroid_mm[result.seen, 2].max() <= radius * np.tan(np.deg2rad(limit_deg))


@pytest.mark.parametrize(("inner_mm", "outer_mm", "is_lit"), [(40.0, 60.0, False), (4.0, 8.0, True)])
def test_the_floor_of_a_deep_hole_is_seen_but_lit_only_by_a_narrow_ring(
    inner_mm: float, outer_mm: float, is_lit: bool
) -> None:
    """Floor 30 mm below the rim, camera 250 mm above the floor, hole of radius 3.

    A line from the floor's middle to the ring at radius R passes the rim at 30 / 250 R: 4.8 and more for the
    wide ring, 0.96 at most for the narrow one; from within 1 mm of the middle it is 0.88 mm either way.
    """
    surface = hole_surface(3.0, 1.0)
    rig = dataclasses.replace(RIG, ring_light=RingLight(inner_radius_mm=inner_mm, outer_radius_mm=outer_mm))
    result = VisibilityTester(Setup(surface, rig, dataclasses.replace(ANYTHING, min_light=0.05))).test(
        view([0, 0, 260], [0, 0, 10])
    )
    middle = np.hypot(surface.centroid_mm[:, 0], surface.centroid_mm[:, 1]) < 1.0
    floor = middle & (np.abs(surface.centroid_mm[:, 2] - 10) < 1e-6) & (surface.normal[:, 2] > 0.5)
    assert np.count_nonzero(floor) > 3
    assert (result.num_passed[floor] == (len(TESTS) if is_lit else TESTS.index("lit"))).all()
    light = result.light[np.isin(result.element_idx, np.flatnonzero(floor))]
    np.testing.assert_allclose(light, 1.0 if is_lit else 0.0, rtol=0.01, atol=0)


def realistic(seed: int) -> tuple[Surface, Rig, Requirements, list[Viewpoint]]:
    rng = np.random.default_rng(seed)
    camera = dataclasses.replace(CAMERA, focal_length_mm=20.0, distortion=(-0.1, 0.02, 0.001, -0.002, 0.0))
    limits = Requirements(max_incidence_deg=60, max_mm_per_px=0.14, max_blur_px=1.5, border_px=8, min_light=0.6)
    surface = hole_surface(12.0, 2.5)
    if seed % 2:
        mode = rng.choice(["any", "dark-field", "bright-field"])
        limits = dataclasses.replace(limits, min_grey=0.2, max_grey=0.6, exposures=(0.0,), view_mode=mode)
    direction = rng.normal(size=(4, 3))
    centers = 20 + direction / np.linalg.norm(direction, axis=1, keepdims=True) * rng.uniform(150, 300, (4, 1))
    views = [view(center, rng.uniform(-15, 35, 3)) for center in centers]
    return surface, dataclasses.replace(RIG, camera=camera), limits, views


def moved(surface: Surface, rotation: Floats, shift_mm: Floats) -> Surface:
    part = dataclasses.replace(surface.part, vertices_mm=surface.part.vertices_mm @ rotation.T + shift_mm)
    return dataclasses.replace(surface, part=part, vertices_mm=surface.vertices_mm @ rotation.T + shift_mm)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 100.0, 1e6]))
def test_moving_part_and_cameras_together_changes_nothing(seed: int, far_mm: float) -> None:
    surface, rig, limits, views = realistic(seed)
    rotation = Rotation.random(random_state=seed).as_matrix()
    shift = far_mm * np.random.default_rng(seed).uniform(-1, 1, 3)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, shift
    here = VisibilityTester(Setup(surface, rig, limits))
    there = VisibilityTester(Setup(moved(surface, rotation, shift), rig, limits))
    for viewpoint in views:
        first = here.test(viewpoint)
        second = there.test(Viewpoint(id="v", world_from_camera=motion @ viewpoint.world_from_camera))
        # An element at the very edge of a limit or a shadow may fall either way; there is hardly ever one.
        assert np.count_nonzero(first.num_passed != second.num_passed) <= 2
        both, a, b = np.intersect1d(first.element_idx, second.element_idx, return_indices=True)
        assert len(both) > 100
        np.testing.assert_allclose(first.mm_per_px[a], second.mm_per_px[b], rtol=1e-4)
        np.testing.assert_allclose(first.incidence_deg[a], second.incidence_deg[b], atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.14, 0.05]))
def test_the_fast_way_sees_the_same_elements(seed: int, max_mm_per_px: float) -> None:
    """At 0.05 mm/px, elements of 2.5 mm count as large."""
    surface, rig, limits, views = realistic(seed)
    if max_mm_per_px < 0.1:
        camera = dataclasses.replace(rig.camera, pixel_pitch_um=5.0, width_px=3000, height_px=3000)
        rig = dataclasses.replace(rig, camera=camera)
        limits = dataclasses.replace(limits, max_mm_per_px=max_mm_per_px, max_blur_px=5.0)
    tester = VisibilityTester(Setup(surface, rig, limits))
    for viewpoint in views:
        np.testing.assert_array_equal(tester.seen_elements(viewpoint), np.flatnonzero(tester.test(viewpoint).seen))


@pytest.mark.parametrize("edge_mm", [1.5, 6.0])
def test_the_fast_way_sees_the_same_elements_of_a_real_part(edge_mm: float) -> None:
    """The clutch half under the shipped rig and under LEDs behind a distorting lens, elements small and large."""
    surface = cut_surface(load_part("builtin:clutch-half"), edge_mm)
    plain = load_rig("paper-quarter")
    leds = dataclasses.replace(plain.ring_light, kind="led", led_count=8, led_exponent=2.5)
    camera = dataclasses.replace(plain.camera, distortion=(-0.2, 0.05, 0.002, -0.001, 0.0))
    rng = np.random.default_rng(1)
    most = 0
    for rig in (plain, dataclasses.replace(plain, ring_light=leds, camera=camera)):
        tester = VisibilityTester(Setup(surface, rig, dataclasses.replace(rig.requirements, min_light=0.5)))
        for _ in range(12):
            direction = rng.normal(size=3)
            center = rng.uniform(220, 300) * direction / np.linalg.norm(direction)
            viewpoint = view(center, rng.uniform(-15, 15, 3))
            seen = tester.seen_elements(viewpoint)
            np.testing.assert_array_equal(seen, np.flatnonzero(tester.test(viewpoint).seen))
            most = max(most, len(seen))
    assert most > 0.02 * surface.num_elements


def test_most_of_a_large_element_must_be_seen() -> None:
    """Small covers hide some of five spots of one of the two triangles on top of a plate."""
    base = trimesh.creation.box(extents=[60, 60, 2])

    def passed(*covers: list[list[float]]) -> tuple[int, int]:
        slabs = [trimesh.creation.box(bounds=bounds) for bounds in covers]
        surface = surface_of(trimesh.util.concatenate([base, *slabs]), 100.0)
        limits = dataclasses.replace(ANYTHING, max_mm_per_px=1.0)
        tester = VisibilityTester(Setup(surface, RIG, limits))
        result = tester.test(view([0, 0, 400], [0, 0, 0]))
        np.testing.assert_array_equal(tester.seen_elements(view([0, 0, 400], [0, 0, 0])), np.flatnonzero(result.seen))
        first, second = np.flatnonzero((surface.normal[:, 2] > 0.5) & (np.abs(surface.centroid_mm[:, 2] - 1) < 1e-9))
        return int(result.num_passed[first]), int(result.num_passed[second])

    everything, hidden = len(TESTS), TESTS.index("unoccluded")
    assert passed() == (everything, everything)
    surface = surface_of(base, 100.0)
    top = np.flatnonzero(surface.normal[:, 2] > 0.5)
    spots = quarter_centroids(surface.corners_mm[top[:1]])[0]
    plates = [[[x - 2, y - 2, 1.5], [x + 2, y + 2, 1.6]] for x, y, _ in spots]
    centre = surface.centroid_mm[top[0]]
    assert passed(*plates[:2]) == (everything, everything)
    assert passed(*plates[::2]) == (everything, everything)
    for left_out in range(4):
        assert passed(*(plates[:left_out] + plates[left_out + 1 :])) == (hidden, everything)
    over_centre = [[centre[0] - 2, centre[1] - 2, 1.5], [centre[0] + 2, centre[1] + 2, 1.6]]
    assert passed(over_centre) == (hidden, everything)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_quarters_of_a_triangle_are_those_of_halving_its_longest_edges(seed: int) -> None:
    corners = np.random.default_rng(seed).normal(size=(5, 3, 3))
    quarters = quarter_centroids(corners)
    np.testing.assert_allclose(quarters.mean(axis=1), corners.mean(axis=1), atol=1e-12)
    length = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    for triangle, four, lengths in zip(corners, quarters, length, strict=True):
        # Ends a, b of the longest edge, its middle m, n between a and the tip c: (a + m + n) / 3, (m + n + c) / 3.
        weights = np.linalg.lstsq(np.vstack([triangle.T, np.ones(3)]), np.vstack([four.T, np.ones(4)]), rcond=None)[0]
        tip = (int(np.argmax(lengths)) + 2) % 3
        np.testing.assert_allclose(weights[tip], np.array([1, 3, 1, 3]) / 6, atol=1e-9)
        expected = np.array([[4, 1], [2, 1], [1, 4], [1, 2]]) / 6
        np.testing.assert_allclose(
            np.delete(weights, tip, axis=0).T, expected if tip != 1 else expected[:, ::-1], atol=1e-9
        )


def test_realistic_views_meet_every_test() -> None:
    """Guards the two tests above: their views must make some elements fail at each place of the chain."""
    passed = set()
    for seed in range(12):
        surface, rig, limits, views = realistic(seed)
        tester = VisibilityTester(Setup(surface, rig, limits))
        for viewpoint in views:
            passed |= set(tester.test(viewpoint).num_passed.tolist())
    assert passed == set(range(len(TESTS) + 1))


def test_what_is_not_to_be_inspected_is_never_seen_but_still_hides() -> None:
    two = trimesh.util.concatenate([plate(), plate().apply_translation([0, 0, 50])])
    lower = np.asarray(two.triangles_center)[:, 2] < 10
    above = view([0, 0, 200], [0, 0, 0])
    surface = cut_surface(part_of(two, inspected=lower), 5.0)
    result = VisibilityTester(Setup(surface, RIG, ANYTHING)).test(above)
    assert not result.seen.any()
    assert (result.num_passed[~surface.inspected] == 0).all()
    # The view straight from above has only the lower plate's hidden top as candidates.
    assert (result.num_passed[result.element_idx] == TESTS.index("unoccluded")).all()


def test_far_off_points_do_not_fold_back_into_a_distorted_frame() -> None:
    """With k1 = -0.3, r (1 - 0.3 r^2) falls back below the frame's border from r = 1.8 on."""
    camera = dataclasses.replace(CAMERA, focal_length_mm=20.0, distortion=(-0.3, 0.0, 0.0, 0.0, 0.0))
    surface = surface_of(trimesh.creation.box(extents=[1000, 1000, 1]), 25.0)
    top = surface.normal[:, 2] > 0.5
    result = VisibilityTester(Setup(surface, dataclasses.replace(RIG, camera=camera), ANYTHING)).test(
        view([0, 0, 100.5], [0, 0, 0])
    )
    radius = np.hypot(*surface.centroid_mm[:, :2].T) / 100.0
    assert result.num_passed[top & (radius < 0.15)].min() > 0
    assert result.num_passed[top & (radius > 1.0)].max() == 0
