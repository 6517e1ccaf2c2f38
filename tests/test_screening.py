"""Numbers that need no ray, and groups of points that a view passes over: against plain NumPy on all points."""

import dataclasses

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from viewcov.coverage.rays.clusters import Region, cluster_points
from viewcov.coverage.rays.screening import Lens, Screen
from viewcov.inspection.arrays import Bools, Floats
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.viewpoint import Viewpoint

CAMERA = Camera(
    width_px=640,
    height_px=480,
    focal_length_mm=20.0,
    pixel_pitch_um=12.0,
    f_number=8.0,
    focus_distance_mm=150.0,
)
DISTORTIONS = {
    "none": (0.0, 0.0, 0.0, 0.0, 0.0),
    "barrel": (-0.15, 0.03, 0.001, -0.002, 0.0),
    "pincushion": (0.2, 0.05, -0.002, 0.001, 0.01),
}
LIMITS = Requirements(max_incidence_deg=50, max_mm_per_px=0.11, max_blur_px=2.5, border_px=8)


def random_viewpoint(rng: np.random.Generator, distance_mm: tuple[float, float], shift_mm: float = 0.0) -> Viewpoint:
    direction = rng.normal(size=3)
    center = rng.uniform(*distance_mm) * direction / np.linalg.norm(direction)
    target = rng.uniform(-30, 30, 3)
    return Viewpoint.looking_at(center + shift_mm, target + shift_mm, id="v", roll_deg=float(rng.uniform(0, 360)))


def cloud(rng: np.random.Generator, num: int) -> tuple[Floats, Floats]:
    """Points and normals of a bent sheet with a box beside it: curved, flat and sharp."""
    sheet = trimesh.creation.icosphere(subdivisions=4, radius=40.0)
    box = trimesh.creation.box(extents=[30, 50, 4]).apply_translation([30, 20, 30])
    mesh = trimesh.util.concatenate([sheet, box])
    points, faces = trimesh.sample.sample_surface(mesh, num, seed=int(rng.integers(2**31)))
    return np.asarray(points), np.asarray(mesh.face_normals)[faces]


def in_frame(camera: Camera, viewpoint: Viewpoint, points_mm: Floats, border_px: float) -> Bools:
    pixels = camera.project(transform_points(viewpoint.camera_from_world, points_mm))
    return camera.in_frame(pixels, border_px=border_px)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(DISTORTIONS)), st.sampled_from([0.0, 1e5]))
def test_no_point_in_the_frame_is_passed_over(seed: int, lens: str, shift_mm: float) -> None:
    rng = np.random.default_rng(seed)
    camera = dataclasses.replace(CAMERA, distortion=DISTORTIONS[lens])
    points, normals = cloud(rng, 6000)
    viewpoint = random_viewpoint(rng, (20, 250), shift_mm)
    points = points + shift_mm
    screen = Screen(points, normals, camera, LIMITS)
    found = screen.in_frame(viewpoint)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(in_frame(camera, viewpoint, points, LIMITS.border_px)))
    alone = Lens.of(camera, border_px=LIMITS.border_px).measure(points, normals, viewpoint)
    for name in ("rows", "cos_incidence", "depth_mm", "mm_per_px"):
        np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
    # Whatever meets the limits is promising, and with the same numbers.
    promising = screen.promising(viewpoint)
    promising = promising.of(np.argsort(promising.rows))
    place = np.searchsorted(found.rows, promising.rows)
    np.testing.assert_array_equal(found.mm_per_px[place], promising.mm_per_px)
    meets = (
        (np.degrees(np.arccos(np.abs(found.cos_incidence))) <= LIMITS.max_incidence_deg)
        & (found.cos_incidence > 0)
        & (camera.blur_px(found.depth_mm) <= LIMITS.max_blur_px)
        & (found.mm_per_px <= LIMITS.max_mm_per_px)
    )
    assert np.isin(found.rows[meets], promising.rows).all()


def test_views_of_the_test_above_meet_each_limit() -> None:
    """Guards it: some of its views have points that meet the limits, and groups are passed over for each."""
    rng = np.random.default_rng(0)
    points, normals = cloud(rng, 6000)
    screen = Screen(points, normals, CAMERA, LIMITS)
    views = [random_viewpoint(rng, (20, 250)) for _ in range(40)]
    promising = [len(screen.promising(view).rows) for view in views]
    assert sum(number > 100 for number in promising) > 4
    assert sum(number == 0 for number in promising) > 4


EVERYWHERE = Region.frame(np.full(2, -np.inf), np.full(2, np.inf))
REGIONS = {
    "frame": Region.frame(np.array([-0.2, -0.3]), np.array([0.1, 0.25])),
    "near": dataclasses.replace(EVERYWHERE, near_mm=90.0),
    "far": dataclasses.replace(EVERYWHERE, far_mm=110.0),
    "incidence": dataclasses.replace(EVERYWHERE, max_incidence_rad=0.5),
}


@pytest.mark.parametrize("name", sorted(REGIONS))
@pytest.mark.parametrize("size", [8, 500])
def test_groups_that_meet_a_region_are_those_with_a_point_in_it_and_few_others(name: str, size: int) -> None:
    rng = np.random.default_rng(11)
    points, normals = cloud(rng, 6000)
    clusters, region = cluster_points(points, normals, size=size), REGIONS[name]
    num_met = num_inside = 0
    for view in [random_viewpoint(rng, (5, 150)) for _ in range(60)]:
        x, y, z = transform_points(view.camera_from_world, points).T
        away = view.center_mm - points
        incidence = np.arccos(np.einsum("ij,ij->i", away, normals) / np.linalg.norm(away, axis=1))
        inside = (z > 0) & (z >= region.near_mm) & (z <= region.far_mm) & (incidence <= region.max_incidence_rad)
        if name == "frame":
            inside &= (x >= -0.2 * z) & (x <= 0.1 * z) & (y >= -0.3 * z) & (y <= 0.25 * z)
        expected = np.flatnonzero(np.logical_or.reduceat(inside[clusters.order], clusters.starts[:-1]))
        met = clusters.meeting(region, view)
        assert np.isin(expected, met).all()
        num_met, num_inside = num_met + len(met), num_inside + len(expected)
    # A few points in a sphere and a cone say little about their group; small groups are told apart well.
    assert num_met < (2.0 if size == 8 else 4.0) * num_inside


@pytest.mark.parametrize("lens", sorted(DISTORTIONS))
def test_no_single_point_at_the_border_is_passed_over(lens: str) -> None:
    """Groups of one point have no size to make up for a frustum that is too small."""
    camera = dataclasses.replace(CAMERA, distortion=DISTORTIONS[lens], focal_length_mm=6.0)
    rng = np.random.default_rng(9)
    border = rng.uniform(0, 1, (400, 2))
    border[np.arange(400), rng.integers(0, 2, 400)] = rng.choice([0.001, 0.999], 400)
    pixels = 8.0 + border * np.array([camera.width_px - 16.0, camera.height_px - 16.0])
    rays = camera.rays(pixels)
    rays = rays[np.isfinite(rays).all(axis=1)]
    normals = -rays / np.linalg.norm(rays, axis=1, keepdims=True)
    assert len(rays) > 300
    # So far off that all but the finest sampling is too coarse: that of the distortion's largest stretch.
    viewpoint = Viewpoint(id="v", world_from_camera=np.eye(4))
    fine = Lens.of(camera).measure(150.0 * rays, normals, viewpoint).mm_per_px
    for limit in (1e9, float(np.quantile(fine, 0.05))):
        limits = dataclasses.replace(LIMITS, max_mm_per_px=limit, max_blur_px=1e9)
        for row in np.flatnonzero(fine <= limit)[::3]:
            screen = Screen(150.0 * rays[[row]], normals[[row]], camera, limits)
            assert len(screen.promising(viewpoint).rows) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 700), st.integers(1, 200))
def test_groups_hold_every_point_once_within_their_spheres_and_cones(seed: int, num: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(num, 3)) * rng.uniform(0.0, 50.0) + rng.choice([0.0, 1e5])
    normals = Rotation.random(num, random_state=seed).as_matrix()[:, 0] if num else np.zeros((0, 3))
    clusters = cluster_points(points, normals, size=size)
    np.testing.assert_array_equal(np.sort(clusters.order), np.arange(num))
    sizes = np.diff(clusters.starts)
    assert clusters.starts[0] == 0
    assert clusters.starts[-1] == num
    assert ((sizes > 0) & (sizes <= size)).all()
    group = np.repeat(np.arange(len(sizes)), sizes)
    gap = np.linalg.norm(points[clusters.order] - clusters.center_mm[group], axis=1)
    assert (gap <= clusters.radius_mm[group]).all()
    cosine = np.einsum("ij,ij->i", normals[clusters.order], clusters.axis[group])
    assert (np.arccos(np.clip(cosine, -1, 1)) <= clusters.spread_rad[group]).all()


def test_a_view_looks_at_few_groups_beside_its_own() -> None:
    """The time of a view grows with what it may see: a small part of a large plate costs little more."""
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-125, 125, (100_000, 2)), np.zeros(100_000)])
    normals = np.tile([0.0, 0.0, 1.0], (len(points), 1))
    screen = Screen(points, normals, CAMERA, LIMITS)
    viewpoint = Viewpoint.looking_at([0, 0, 150], [0, 0, 0], id="v")
    seen = screen.promising(viewpoint)
    looked_at = sum(np.diff(screen._clusters.starts)[screen._clusters.meeting(screen._promising, viewpoint)])
    # 100,000 points on 250 mm by 250 mm and 128 in a group: groups of 9 mm around a frame of 48 mm by 36 mm.
    assert 2000 < len(seen.rows) < 3500
    assert looked_at < 3 * len(seen.rows)


@pytest.mark.parametrize("lens", sorted(DISTORTIONS))
def test_distortion_is_the_cameras(lens: str) -> None:
    """A point is in the frame up to the pixel that ``Camera.project`` gives it: moved borders tell."""
    camera = dataclasses.replace(CAMERA, distortion=DISTORTIONS[lens], principal_x_px=300.0)
    rng = np.random.default_rng(5)
    points = np.column_stack([rng.uniform(-0.15, 0.15, (200, 2)), np.ones(200)]) * 150.0
    viewpoint = Viewpoint(id="v", world_from_camera=np.eye(4))
    normals = np.tile([0.0, 0.0, -1.0], (200, 1))
    pixels = camera.project(points)
    margin = np.minimum(pixels, np.array([camera.width_px, camera.height_px]) - pixels).min(axis=1)
    for row in np.flatnonzero(margin > 0)[:40]:
        for border, expected in ((margin[row] - 1e-7, 1), (margin[row] + 1e-7, 0)):
            found = Lens.of(camera, border_px=border).measure(points[[row]], normals[[row]], viewpoint)
            assert len(found.rows) == expected


def test_a_lens_that_cannot_fill_its_frame_shows_what_it_reaches() -> None:
    """k1 = -0.3 turns back at a radius of 1.054 focal lengths; the frame's corners lie beyond its image."""
    camera = dataclasses.replace(CAMERA, focal_length_mm=2.0, distortion=(-0.3, 0.0, 0.0, 0.0, 0.0))
    assert np.isnan(camera.rays(np.zeros(2))).any()
    radius = np.array([0.0, 0.5, 1.05, 1.06, 1.5])
    points = np.column_stack([radius, np.zeros(5), np.ones(5)]) * 150.0
    normals = np.tile([0.0, 0.0, -1.0], (5, 1))
    found = Screen(points, normals, camera, LIMITS).in_frame(Viewpoint(id="v", world_from_camera=np.eye(4)))
    np.testing.assert_array_equal(found.rows, [0, 1, 2])


def test_no_points() -> None:
    empty = np.zeros((0, 3))
    screen = Screen(empty, empty, CAMERA, LIMITS)
    viewpoint = Viewpoint(id="v", world_from_camera=np.eye(4))
    assert len(screen.in_frame(viewpoint).rows) == 0
    assert len(screen.promising(viewpoint).rows) == 0
