"""Partial shadow: light in bores, slots and pockets beside dense sums over what openings leave of a ring."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import trimesh

from viewcov.coverage.light.lighting import irradiance_of, posed_light
from viewcov.coverage.light.shadows import Shadows
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.poses import look_at, transform_points
from viewcov.inspection.rig.light import Emitters, Light
from viewcov.inspection.rig.rig import Rig, load_rig
from viewcov.inspection.rig.ringlight import RingLight, RingSegments

RIG = load_rig("paper-quarter")
RING = RIG.ring_light
TOP = 40.0
"""Of the half-space in which the openings are, whose middle lies over the origin, mm."""

EYES = ([0.0, 0.0, 290.0], [9.0, 4.0, 285.0], [35.0, -20.0, 270.0], [0.0, 75.0, 260.0])


class Opening:
    """A straight-walled hole down from the plane z = TOP: a circle, or a rectangle, of which a slot is a long one."""

    def __init__(self, half_mm: tuple[float, float], *, circle: bool = False) -> None:
        self.half_mm, self.circle = half_mm, circle

    def holds(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether points of the plane lie in it; the polygon that stands for a circle has the circle's area."""
        if self.circle:
            return np.asarray(x**2 + y**2 <= self.half_mm[0] ** 2)
        return np.asarray((np.abs(x) <= self.half_mm[0]) & (np.abs(y) <= self.half_mm[1]))

    def caster(self, depth_mm: float) -> RayCaster:
        a, b = self.half_mm
        floor = TOP - depth_mm
        if self.circle:
            sections = 720
            rim = a * np.sqrt(2 * np.pi / sections / np.sin(2 * np.pi / sections))
            outline = [[0, -5], [200, -5], [200, TOP], [rim, TOP], [rim, floor], [0, floor]]
            mesh = trimesh.creation.revolve(outline, sections=sections)
        else:
            low = -5.0
            boxes = [([-400, -b, low], [-a, b, TOP]), ([a, -b, low], [400, b, TOP]), ([-a, -b, low], [a, b, floor])]
            boxes += [([-400, -400, low], [400, -b, TOP]), ([-400, b, low], [400, 400, TOP])]
            mesh = trimesh.util.concatenate([trimesh.creation.box(bounds=bounds) for bounds in boxes])
        return RayCaster(np.asarray(mesh.vertices), np.asarray(mesh.faces))

    def places(self, depth_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Points on the floor and down the walls, off the mesh's edges, and normals."""
        a, b = np.minimum(self.half_mm, 60.0)
        if self.circle:
            b = 0.7 * a
        across = np.array([0.003, 0.24, 0.47, 0.71, 0.93])
        floor = [[a * s, b * t, TOP - depth_mm] for s in across for t in (-0.61, 0.0013, 0.33) if s**2 + t**2 < 0.95]
        down = depth_mm * np.array([0.06, 0.2, 0.41, 0.66, 0.9])
        turn = np.deg2rad(0.0 if not self.circle else 17.25)  # The middle of a facet.
        wall = [
            [self.half_mm[0] * np.cos(turn), self.half_mm[0] * np.sin(turn) + 0.1 * (not self.circle), TOP - d]
            for d in down
        ]
        normals = [[0.0, 0.0, 1.0]] * len(floor) + [[-np.cos(turn), -np.sin(turn), 0.0]] * len(wall)
        return np.array(floor + wall), np.array(normals)


BORE, SLOT, POCKET = Opening((6.0, 6.0), circle=True), Opening((4.0, 300.0)), Opening((9.0, 14.0))


def annulus(ring: RingLight | RingSegments, num: int = 60_000) -> np.ndarray:
    """Points of equal area on a ring, camera frame: golden angles, so that no border runs along them."""
    square = ring.inner_radius_mm**2 + (np.arange(num) + 0.5) / num * (
        ring.outer_radius_mm**2 - ring.inner_radius_mm**2
    )
    angle = 2 * np.pi * np.arange(num) * (np.sqrt(5) - 1) / 2
    if isinstance(ring, RingSegments):
        degrees = np.rad2deg(angle)
        lit = np.any([(degrees - start) % 360 < to - start for start, to in ring.lit_deg], axis=0)
        square, angle = square[lit], angle[lit]
    return np.column_stack(
        [np.sqrt(square) * np.cos(angle), np.sqrt(square) * np.sin(angle), 0 * angle + ring.offset_mm]
    )


def dense_light(
    ring: RingLight, pose: np.ndarray, points: np.ndarray, normals: np.ndarray, opening: Opening
) -> np.ndarray:
    """The ring's light through an opening by that of a frontal element on the axis, which has a closed form."""
    places = transform_points(pose, annulus(ring))
    light = []
    for point, normal in zip(points, normals, strict=True):
        arm = places - point
        share = (TOP - point[2]) / arm[:, 2]
        crossing = point + share[:, None] * arm
        shown = opening.holds(crossing[:, 0], crossing[:, 1])
        at_point, at_ring = np.maximum(arm @ normal, 0.0), np.maximum(-(arm @ pose[:3, 2]), 0.0)
        light.append(np.mean(shown * at_point * at_ring / (arm**2).sum(axis=1) ** 2))
    h2, r1, r2 = (250.0 - ring.offset_mm) ** 2, ring.inner_radius_mm**2, ring.outer_radius_mm**2
    return np.array(light) / (h2 / ((h2 + r1) * (h2 + r2)))


def found_light(rig: Rig, caster: RayCaster, pose: np.ndarray, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    sight = Shadows(caster, rig.ring_light, pose, points, normals).sight()
    return irradiance_of(posed_light(rig, pose), sight, points, normals)


@pytest.mark.parametrize("depth_mm", [3.0, 15.0, 30.0, 38.0])
@pytest.mark.parametrize("opening", [BORE, SLOT, POCKET], ids=["bore", "slot", "pocket"])
def test_light_through_an_opening_is_within_3_percent(opening: Opening, depth_mm: float) -> None:
    """On the floor and down the walls; of less than 0.05, which is too dark to count, within 0.0015."""
    caster, (points, normals) = opening.caster(depth_mm), opening.places(depth_mm)
    partial = 0
    for eye in EYES:
        pose = look_at(eye, [0, 0, TOP - depth_mm / 2], roll_deg=7.0)
        expected = dense_light(RING, pose, points, normals, opening)
        found = found_light(RIG, caster, pose, points, normals)
        np.testing.assert_allclose(found, expected, rtol=0.03, atol=0.0015)
        sight = Shadows(caster, RING, pose, points, normals).sight()
        partial += np.count_nonzero((sight.shares().mean(axis=1) > 0.05) & (sight.row >= 0))
    assert partial > 10


def test_light_on_the_floor_of_a_bore_has_its_closed_form() -> None:
    """The rim leaves a disc of the ring's plane: E(h) is that of an annulus from 40 to 56 mm, for a bore 12 x 30."""
    pose, depth, h = look_at([0, 0, TOP + 250.0], [0, 0, TOP]), 30.0, 280.0
    shown = BORE.half_mm[0] * h / depth
    of_ring = [r**2 / (d**2 + r**2) for d in (h, 250.0) for r in (40.0, min(shown, 60.0) if d == h else 60.0)]
    expected = (of_ring[1] - of_ring[0]) / (of_ring[3] - of_ring[2])
    assert expected == pytest.approx(0.626, abs=5e-4)
    point, normal = np.array([[1e-3, 0.0, TOP - depth]]), np.array([[0.0, 0.0, 1.0]])
    assert found_light(RIG, BORE.caster(depth), pose, point, normal)[0] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("lit_deg", [((20.0, 160.0),), ((-30.0, 40.0), (30.0, 100.0), (200.0, 207.0)), ((0.0, 360.0),)])
def test_segments_of_a_ring_have_tiles_of_their_own(lit_deg: tuple[tuple[float, float], ...]) -> None:
    arcs = RingSegments(inner_radius_mm=40.0, outer_radius_mm=60.0, radiance=9.0, lit_deg=lit_deg)
    pieces, dense = arcs.pieces(), annulus(arcs)
    lit = len(dense) / 60_000
    assert pieces.area_mm2.sum() == pytest.approx(lit * RING.area_mm2, rel=1e-3)
    np.testing.assert_allclose(
        np.average(pieces.points_mm, axis=0, weights=pieces.area_mm2), dense.mean(axis=0), atol=0.3
    )
    caster, (points, normals) = POCKET.caster(22.0), POCKET.places(22.0)
    pose = look_at(EYES[1], [0, 0, 30.0])
    sight = Shadows(caster, arcs, pose, points, normals).sight()
    share = sight.shares() @ pieces.area_mm2 / pieces.area_mm2.sum()
    np.testing.assert_allclose(share, shown_share(dense, pose, points, normals, POCKET), rtol=0.03, atol=0.0015)


def shown_share(
    light_mm: np.ndarray, pose: np.ndarray, points: np.ndarray, normals: np.ndarray, opening: Opening
) -> np.ndarray:
    """Share of a light's places, camera frame, that points face through an opening."""
    arm = transform_points(pose, light_mm) - points[:, None]
    crossing = points[:, None] + ((TOP - points[:, 2, None]) / arm[:, :, 2])[..., None] * arm
    facing = np.einsum("nmi,ni->nm", arm, normals) > 0
    return np.asarray((facing & opening.holds(crossing[..., 0], crossing[..., 1])).mean(axis=1))


def test_leds_are_seen_or_not() -> None:
    leds = replace(RING, kind="led", led_count=24)
    caster, (points, normals) = SLOT.caster(20.0), SLOT.places(20.0)
    pose = look_at(EYES[0], [0, 0, 20.0], roll_deg=3.0)
    shares = Shadows(caster, leds, pose, points, normals).sight().shares()
    assert shares.shape == (len(points), 24)
    places = transform_points(pose, leds.emitters_mm(24))
    for led, place in enumerate(places):
        facing = ((place - points) * normals).sum(axis=1) > 0
        np.testing.assert_array_equal(shares[:, led], facing & ~caster.blocked(points, place, normals=normals))
    assert 0.1 < shares.mean() < 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel(Light):
    """A square of light beside the camera that tells its emitters alone."""

    side_mm: float
    radiance: float = 1.0

    def emitters(self, num_samples: int) -> Emitters:
        each = max(1, round(np.sqrt(num_samples)))
        along = self.side_mm * ((np.arange(each) + 0.5) / each - 0.5)
        x, y = (grid.ravel() for grid in np.meshgrid(70.0 + along, along))
        return Emitters.forward(np.column_stack([x, y, 0 * x]), (self.side_mm / each) ** 2)


def test_any_light_has_partial_shadow() -> None:
    panel = Panel(side_mm=60.0)
    caster, (points, normals) = POCKET.caster(22.0), POCKET.places(22.0)
    for eye in EYES:
        pose = look_at(eye, [0, 0, 20.0], roll_deg=11.0)
        sight = Shadows(caster, panel, pose, points, normals).sight()
        share = shown_share(panel.emitters(160_000).points_mm, pose, points, normals, POCKET)
        # A straight border through 28 x 28 emitters leaves a row of them in doubt at worst.
        np.testing.assert_allclose(sight.shares().mean(axis=1), share, atol=1 / 28)
        np.testing.assert_allclose(sight.shares().mean(axis=1), share, rtol=0.1, atol=0.005)


def test_what_hides_the_camera_hides_no_more_of_the_ring() -> None:
    """A disc in the air over a plate, whose shadow from a point covers all of the ring but its outer border."""
    plate = trimesh.creation.box(bounds=[[-50, -50, -2], [50, 50, 0]])
    disc = trimesh.creation.cylinder(radius=22.0, height=0.1, sections=360)
    disc.apply_translation([0, 0, 100.0])
    mesh = trimesh.util.concatenate([plate, disc])
    caster = RayCaster(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    pose, point, normal = look_at([0, 0, 250], [0, 0, 0]), np.array([[0.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    # 22 mm at a height of 99.95 mm is 55.03 mm in the ring's plane.
    expected = (60.0**2 - (22.0 * 250 / 99.95) ** 2) / (60.0**2 - 40.0**2)
    assert Shadows(caster, RING, pose, point, normal).sight().shares()[0].mean() == pytest.approx(expected, rel=0.03)


def test_some_points_have_the_sight_that_they_have_in_any_company() -> None:
    caster, (points, normals) = BORE.caster(22.0), BORE.places(22.0)
    pose = look_at(EYES[1], [0, 0, 20.0])
    every = Shadows(caster, RING, pose, points, normals).sight()
    some = np.array([7, 2, 2, 11])
    alone = Shadows(caster, RING, pose, points[some], normals[some]).sight()
    np.testing.assert_array_equal(every.of(some).shares(), alone.shares())
    np.testing.assert_array_equal(alone.with_more(every).shares(), np.vstack([alone.shares(), every.shares()]))
    none = Shadows(caster, RING, pose, points[:0], normals[:0]).sight()
    assert none.with_more(every).shares().shape == (len(points), 48)
    np.testing.assert_array_equal(np.sort(np.concatenate([every.whole, every.part])), np.arange(len(points)))
