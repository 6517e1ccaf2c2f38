"""The ring's light: closed forms, half shadows, and which part of a ring the floor of a hole sees."""

import dataclasses
import functools

import numpy as np
import pytest
import trimesh

from viewcov.coverage.light.lighting import irradiance_of, irradiance_up_to, posed_light
from viewcov.coverage.light.shadows import Shadows
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.poses import look_at, transform_points
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.rig.ringlight import RingLight, RingSegments

CAMERA = Camera(
    width_px=1000,
    height_px=1000,
    focal_length_mm=5.0,
    pixel_pitch_um=10.0,
    f_number=8.0,
    focus_distance_mm=250.0,
)
RING = RingLight(inner_radius_mm=40.0, outer_radius_mm=60.0)
SEGMENTS = RingSegments(inner_radius_mm=40.0, outer_radius_mm=60.0, lit_deg=((20.0, 160.0), (-90.0, -20.0)))
RIG = Rig(name="test", camera=CAMERA, ring_light=RING)


def plate() -> trimesh.Trimesh:
    return trimesh.creation.box(extents=[40, 30, 2])


@functools.cache
def hole(radius_mm: float, depth_mm: float) -> trimesh.Trimesh:
    """A cylinder of radius 30 with a blind hole whose floor is at z = 10."""
    top = 10.0 + depth_mm
    outline = [[0, 0], [30, 0], [30, top], [radius_mm, top], [radius_mm, 10], [0, 10]]
    return trimesh.creation.revolve(outline, sections=360)


@pytest.mark.parametrize("distance_mm", [60.0, 120.0, 250.0, 700.0])
@pytest.mark.parametrize("offset_mm", [0.0, 20.0])
def test_irradiance_of_an_annulus_on_its_axis(distance_mm: float, offset_mm: float) -> None:
    """E(h) is proportional to R2^2 / (h^2 + R2^2) - R1^2 / (h^2 + R1^2) under a Lambertian annulus."""

    def closed_form(h: float) -> float:
        outer, inner = RING.outer_radius_mm**2, RING.inner_radius_mm**2
        return outer / (h * h + outer) - inner / (h * h + inner)

    ring = dataclasses.replace(RING, offset_mm=offset_mm)
    irradiance = frontal_irradiance(dataclasses.replace(RIG, ring_light=ring), distance_mm, num_emitters=400)
    expected = closed_form(distance_mm - offset_mm) / closed_form(250.0 - offset_mm)
    # Four circles of samples: the midpoint rule's error is a few 1e-3 at the nearest distance.
    assert irradiance == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 4.5])
def test_irradiance_of_leds_with_a_lobe(exponent: float) -> None:
    """All LEDs are equally far: E(h) is proportional to (h / r)^(m + 1) / r^2 with r^2 = h^2 + 50^2."""
    ring = dataclasses.replace(RING, kind="led", led_count=10, led_exponent=exponent)
    ratio = frontal_irradiance(dataclasses.replace(RIG, ring_light=ring), 90.0, num_emitters=3)

    def closed_form(h: float) -> float:
        r = float(np.hypot(h, 50.0))
        return (h / r) ** (exponent + 1) / r**2

    assert ratio == pytest.approx(closed_form(90.0) / closed_form(250.0), rel=1e-9)


def frontal_irradiance(rig: Rig, distance_mm: float, *, num_emitters: int) -> float:
    mesh = plate()
    caster = RayCaster(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    world_from_camera = look_at([3.0, -2.0, 1.0 + distance_mm], [3.0, -2.0, 1.0])
    point, normal = np.array([[3.0, -2.0, 1.0]]), np.array([[0.0, 0.0, 1.0]])
    return float(light_on(rig, caster, world_from_camera, point, normal, num_emitters=num_emitters)[0])


def light_on(
    rig: Rig, caster: RayCaster, pose: np.ndarray, points: np.ndarray, normals: np.ndarray, *, num_emitters: int = 12
) -> np.ndarray:
    sight = Shadows(caster, rig.ring_light, pose, points, normals).sight()
    return irradiance_of(posed_light(rig, pose, num_emitters=num_emitters), sight, points, normals)


def test_an_element_that_turns_away_from_the_ring_gets_nothing() -> None:
    mesh = plate()
    caster = RayCaster(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    points, normals = np.array([[0, 0, -1.0]]), np.array([[0, 0, -1.0]])
    assert light_on(RIG, caster, look_at([0, 0, 200], [0, 0, 0]), points, normals) == 0.0
    # The ring sends nothing backwards either.
    points, normals = np.array([[0, 0, 1.0]]), np.array([[0, 0, 1.0]])
    for exponent in (0.0, 1.0, 3.0):
        led = dataclasses.replace(RING, kind="led", led_exponent=exponent)
        away = dataclasses.replace(RIG, ring_light=led)
        assert light_on(away, caster, look_at([0, 0, 200], [0, 0, 400]), points, normals) == 0.0


def test_half_a_ring_in_shadow_is_half_the_light() -> None:
    """A wall beside the element hides the half of the ring behind it, and nothing of the camera."""
    wall = trimesh.creation.box(extents=[2, 400, 100]).apply_translation([-1.0, 0, 50])
    floor = trimesh.creation.box(extents=[400, 400, 2]).apply_translation([0, 0, -1])
    mesh = trimesh.util.concatenate([wall, floor])
    caster = RayCaster(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    points, normals = np.array([[0.05, 0.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    pose = look_at([0.05, 0, 250], [0.05, 0, 0], roll_deg=1.0)
    assert light_on(RIG, caster, pose, points, normals)[0] == pytest.approx(0.5, abs=0.005)
    # Rays to x < -0.075 at height 250 meet the wall below its top at height 100, other pieces are seen whole; a
    # border in the ring's plane is as straight as the cuts of tiles.
    sight = Shadows(caster, RING, pose, points, normals).sight()
    x = transform_points(pose, RING.pieces().points_mm)[:, 0]
    np.testing.assert_allclose(sight.shares()[0, np.abs(x) > 8.0], x[np.abs(x) > 8.0] > 0.0)
    assert sight.shares()[0].mean() == pytest.approx(0.5, abs=0.005)


def test_enough_light_ends_the_sum_and_changes_no_decision() -> None:
    mesh = hole(12.0, 30.0).subdivide()
    caster = RayCaster(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    pose = look_at([30, 20, 280], [0, 0, 30])
    points, normals = np.asarray(mesh.triangles_center), np.asarray(mesh.face_normals)
    facing = ((pose[:3, 3] - points) * normals).sum(axis=1) > 0
    shown = facing & ~caster.blocked(points, pose[:3, 3], normals=normals)
    points, normals = points[shown], normals[shown]
    for ring_light in (RING, dataclasses.replace(RING, kind="led", led_count=9), SEGMENTS):
        rig = dataclasses.replace(RIG, ring_light=ring_light)
        ring, full = posed_light(rig, pose), light_on(rig, caster, pose, points, normals)
        for enough in (0.05, 0.3):
            cut = irradiance_up_to(enough, caster, ring, points, normals, in_view=True)
            np.testing.assert_array_equal(cut >= enough, full >= enough)
            np.testing.assert_array_equal(cut[full < enough], full[full < enough])
            assert cut.sum() < (0.9 if enough < 0.1 else 1.0) * full.sum()


def test_a_ring_behind_the_focus_plane_is_refused() -> None:
    ring = dataclasses.replace(RING, offset_mm=300.0)
    with pytest.raises(ValueError, match="offset_mm must be below"):
        frontal_irradiance(dataclasses.replace(RIG, ring_light=ring), 100.0, num_emitters=8)


@pytest.mark.parametrize("depth_mm", [5.0, 25.0, 39.0, 41.0, 60.0])
def test_the_floor_of_a_blind_hole_sees_its_part_of_a_thin_ring(depth_mm: float) -> None:
    """Ring of radius R at height h over the floor, hole of radius a and depth t: with s = t / h, the ray from a
    floor point at radius p passes the rim at (1 - s) p + s e, within a if

        cos(angle between p and e) <= (a^2 - (1 - s)^2 p^2 - s^2 R^2) / (2 s (1 - s) p R).

    The floor's middle is dark as soon as t > a h / R, 40 mm here.
    """
    a, h, big_r, num = 8.0, 250.0, 50.0, 720
    ring_light = RingLight(inner_radius_mm=big_r - 1e-3, outer_radius_mm=big_r + 1e-3)
    rig = dataclasses.replace(RIG, ring_light=ring_light)
    mesh = hole(a, depth_mm)
    caster = RayCaster(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    pose = look_at([0, 0, 10 + h], [0, 0, 10])
    p = np.array([1e-6, 1.0, 2.5, 4.0, 6.0, 7.5])
    turned = np.deg2rad(17.0)  # Off the corners of the polygons that stand for circles.
    points = np.column_stack([p * np.cos(turned), p * np.sin(turned), np.full(len(p), 10.0)])
    normals = np.tile([0.0, 0.0, 1.0], (len(p), 1))
    sight = Shadows(caster, ring_light, pose, points, normals).sight()

    s = depth_mm / h
    limit = (a**2 - (1 - s) ** 2 * p**2 - s**2 * big_r**2) / (2 * s * (1 - s) * p * big_r)
    share = 1.0 - np.arccos(np.clip(limit, -1.0, 1.0)) / np.pi
    # Two ends of an arc, each known to 1/32 of 15 degrees; the 360-gon's radius, 4e-5 too small, and the rays'
    # offsets, 6e-4 mm of 8, shift an end by a little more where the arc is nearly closed.
    np.testing.assert_allclose(sight.shares().mean(axis=1), share, rtol=0, atol=0.006)
    assert (sight.shares()[share == 0.0] == 0.0).all()
    assert (share[0] > 0.99) == (depth_mm < a * h / big_r)
    # What is seen adds cos cos / r^2 = h^2 / r^4, by the middle's (h^2 + R^2)^-2 h^2.
    angle = 2 * np.pi * (np.arange(num) + 0.5) / num
    square = h**2 + big_r**2 + p**2 - 2 * p * big_r * np.cos(angle)[:, None]
    seen = np.cos(angle)[:, None] <= limit
    expected = ((h**2 + big_r**2) ** 2 / square**2 * seen).mean(axis=0)
    np.testing.assert_allclose(light_on(rig, caster, pose, points, normals), expected, atol=0.006)
