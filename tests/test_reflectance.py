"""Reflection by rough metal, against formulas, quadrature and a second implementation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from viewcov.coverage.light.reflectance import (
    MetalPoints,
    albedo,
    even_chance,
    light_samples,
    predicted_grey,
    reflectance,
    sampled_reflection,
)
from viewcov.inspection.rig.light import Emitters
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.ringlight import RingLight

ALUMINIUM = Material()
RING = RingLight(inner_radius_mm=40.0, outer_radius_mm=60.0, radiance=9.0)
ALPHAS = [(0.3, 0.3), (0.15, 0.4), (0.5, 0.2)]


def directions(count: int, seed: int) -> np.ndarray:
    """Unit vectors above the surface, none closer to it than 3 degrees."""
    rng = np.random.default_rng(seed)
    z, angle = rng.uniform(0.05, 1.0, count), rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)


def hemisphere(num: int) -> tuple[np.ndarray, float]:
    """Directions of equal solid angle (K, 3), and that angle: midpoints of cosine and azimuth."""
    z, angle = (grid.ravel() for grid in np.meshgrid((np.arange(num) + 0.5) / num, (np.arange(num) + 0.5) / num))
    sine, angle = np.sqrt(1 - z**2), 2 * np.pi * angle
    return np.stack([sine * np.cos(angle), sine * np.sin(angle), z], axis=1), 2 * np.pi / num**2


def plain_brdf(o: np.ndarray, i: np.ndarray, alpha: np.ndarray, material: Material) -> np.ndarray:
    """GGX conductor written down anew: angles and complex Fresnel coefficients instead of the kernel's algebra."""
    h = (o + i) / np.linalg.norm(o + i, axis=1, keepdims=True)
    cos_h = h[:, 2]
    tan2 = (h[:, 0] ** 2 / alpha[:, 0] ** 2 + h[:, 1] ** 2 / alpha[:, 1] ** 2) / cos_h**2
    d = 1 / (np.pi * alpha[:, 0] * alpha[:, 1] * cos_h**4 * (1 + tan2) ** 2)

    def g1(v: np.ndarray) -> np.ndarray:
        square = (v[:, 0] ** 2 * alpha[:, 0] ** 2 + v[:, 1] ** 2 * alpha[:, 1] ** 2) / v[:, 2] ** 2
        return 1 / (1 + (np.sqrt(1 + square) - 1) / 2)

    cosine = np.einsum("ni,ni->n", o, h)
    index = material.eta + 1j * material.k
    inside = np.sqrt(1 - (1 - cosine**2) / index**2)
    s = (cosine - index * inside) / (cosine + index * inside)
    p = (index * cosine - inside) / (index * cosine + inside)
    fresnel = (np.abs(s) ** 2 + np.abs(p) ** 2) / 2
    return d * g1(o) * g1(i) * fresnel / (4 * o[:, 2] * i[:, 2])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("material", [ALUMINIUM, Material(eta=2.9, k=3.1), Material(eta=0.2, k=3.9)])
def test_reflectance_is_the_ggx_conductor(alpha: tuple[float, float], material: Material) -> None:
    o, i = directions(400, 1), directions(400, 2)
    roughness = np.tile(alpha, (400, 1))
    f = reflectance(o, i, roughness, material)
    np.testing.assert_allclose(f, plain_brdf(o, i, roughness, material), rtol=1e-9)
    # Reciprocal: light takes the same way back.
    np.testing.assert_allclose(f, reflectance(i, o, roughness, material), rtol=1e-12)
    assert (f > 0).all()


def test_nothing_is_reflected_below_the_surface() -> None:
    o, roughness = directions(50, 3), np.full((50, 2), 0.3)
    below = o * [1, 1, -1]
    assert (reflectance(o, below, roughness, ALUMINIUM) == 0).all()
    assert (reflectance(below, o, roughness, ALUMINIUM) == 0).all()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_albedo_is_the_integral_and_below_one(alpha: tuple[float, float]) -> None:
    around, solid_angle = hemisphere(300)
    # Points of the table and between them; grazing ones bend more than the table follows.
    view = np.array([[0.0, 0.0, 1.0], [0.5, 0.1, 0.8], [-0.2, 0.6, 0.7], [0.1, -0.8, 0.5], [0.9, 0.2, 0.35]])
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    roughness = np.tile(alpha, (len(around), 1))
    expected = [
        (reflectance(np.tile(v, (len(around), 1)), around, roughness, ALUMINIUM) * around[:, 2]).sum() * solid_angle
        for v in view
    ]
    found = albedo(view, np.tile(alpha, (len(view), 1)), ALUMINIUM)
    np.testing.assert_allclose(found, expected, rtol=5e-3)
    everywhere = directions(300, 4)
    white = Material(eta=1.0, k=1e4)
    lost = 1.0 - albedo(everywhere, np.tile(alpha, (300, 1)), white)
    assert (lost >= 0.0).all()
    # What microfacets throw at each other is lost, and the less the smoother the metal is.
    assert (1.0 - albedo(everywhere, np.tile(alpha, (300, 1)) / 3.0, white) < lost).all()
    assert albedo(np.array([[0.0, 0.0, 1.0]]), np.array([[0.01, 0.01]]), white)[0] > 0.999


@pytest.mark.parametrize("alpha", ALPHAS)
def test_sampled_reflections_have_the_reflected_mean(alpha: tuple[float, float]) -> None:
    # A radiance that is neither even nor symmetric.
    def radiance(i: np.ndarray) -> np.ndarray:
        return 1.0 + 0.7 * i[:, 0] + 0.5 * i[:, 1] * i[:, 2]

    view = np.array([0.45, -0.5, 0.74])
    view /= np.linalg.norm(view)
    around, solid_angle = hemisphere(400)
    f = reflectance(np.tile(view, (len(around), 1)), around, np.tile(alpha, (len(around), 1)), ALUMINIUM)
    expected = (f * around[:, 2] * radiance(around)).sum() * solid_angle
    count = 20_000
    incoming, weight = sampled_reflection(
        np.tile(view, (count, 1)), np.tile(alpha, (count, 1)), ALUMINIUM, even_chance(count)
    )
    np.testing.assert_allclose(np.linalg.norm(incoming, axis=1), 1.0)
    assert (weight * radiance(incoming)).mean() == pytest.approx(expected, rel=2e-3)
    assert (weight <= 1.0).all()


def test_chance_is_even() -> None:
    points = even_chance(256)
    counts = np.histogram2d(*points.T, bins=4, range=[[0, 1], [0, 1]])[0]
    # 16 boxes of 16 points each; pure chance has a deviation of 4.
    assert np.abs(counts - 16).max() <= 3
    # In more dimensions each is still even by itself, and no two are the same.
    many = even_chance(64, 6)
    assert np.abs(np.sort(many, axis=0) - (np.arange(64)[:, None] + 0.5) / 64).max() < 3 / 64
    assert np.abs(np.corrcoef(many.T) - np.eye(6)).max() < 0.2


def scene(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points, normals, tangents, directions to the viewer, and a camera some 250 mm above the points."""
    rng = np.random.default_rng(seed)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = Rotation.from_euler("xyz", [170.0, 8.0, 30.0], degrees=True).as_matrix()
    world_from_camera[:3, 3] = [20.0, 10.0, 250.0]
    points = rng.uniform(-30, 30, (count, 3))
    normals = rng.normal(0, 0.25, (count, 3)) + [0.1, 0.05, 1.0]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    tangents = np.cross(normals, rng.normal(size=(count, 3)))
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    return points, normals, tangents, world_from_camera[:3, 3] - points, world_from_camera


def grey_of(
    material: Material, tangents: np.ndarray | None, ring: RingLight = RING, visible: np.ndarray | None = None
) -> np.ndarray:
    points, normals, _, to_viewer, pose = scene(80, 5)
    metal = MetalPoints.on(points, normals, tangents, material)
    samples = light_samples(ring, material, num_emitters=12, distance_mm=250.0)
    mask = np.ones((80, samples.num_emitters), dtype=bool) if visible is None else visible
    return predicted_grey(metal, to_viewer, pose, ring, samples, mask)


@pytest.mark.parametrize(
    "ring",
    [
        RING,
        replace(RING, offset_mm=12.0, inner_radius_mm=10.0),
        replace(RING, kind="led", led_count=7),
        replace(RING, kind="led", led_count=16, led_exponent=5.0),
    ],
)
@pytest.mark.parametrize("material", [ALUMINIUM, Material(roughness_along=0.06, roughness_across=0.3)])
def test_grey_is_the_sum_over_the_light(ring: RingLight, material: Material) -> None:
    points, normals, tangents, to_viewer, pose = scene(80, 5)
    rng = np.random.default_rng(6)
    samples = light_samples(ring, material, num_emitters=12, distance_mm=250.0)
    visible = rng.random((80, samples.num_emitters)) < 0.7
    expected = np.zeros(80)
    across = np.cross(normals, tangents)

    def local(v: np.ndarray) -> np.ndarray:
        v = v / np.linalg.norm(v, axis=1, keepdims=True)
        return np.stack([(v * axis).sum(axis=1) for axis in (tangents, across, normals)], axis=1)

    alpha = np.tile([material.roughness_along, material.roughness_across], (80, 1))
    each = samples.emitters
    for place, emitter, area in zip(each.points_mm, samples.emitter_idx, each.area_mm2, strict=True):
        arm = pose[:3, :3] @ place + pose[:3, 3] - points
        distance = np.linalg.norm(arm, axis=1)
        light = local(arm)
        at_emitter = -(arm @ pose[:3, 2]) / distance
        f = plain_brdf(local(to_viewer), light, alpha, material)
        term = f * light[:, 2] * at_emitter**ring.lobe_exponent * area / distance**2
        expected += np.where(visible[:, emitter] & (light[:, 2] > 0) & (at_emitter > 0), term, 0.0)
    expected *= ring.radiance
    np.testing.assert_allclose(grey_of(material, tangents, ring, visible), expected, rtol=1e-9)


def test_grey_is_linear_in_the_light_and_shadows_only_darken() -> None:
    tangents = scene(80, 5)[2]
    one = grey_of(ALUMINIUM, tangents)
    np.testing.assert_allclose(grey_of(ALUMINIUM, tangents, replace(RING, radiance=27.0)), 3 * one, rtol=1e-12)
    visible = np.random.default_rng(7).random((80, 12)) < 0.5
    lit, rest = (grey_of(ALUMINIUM, tangents, visible=mask) for mask in (visible, ~visible))
    assert (lit <= one).all()
    np.testing.assert_allclose(lit + rest, one, rtol=1e-12)
    assert (grey_of(ALUMINIUM, tangents, visible=np.zeros((80, 12), dtype=bool)) == 0).all()
    with pytest.raises(ValueError, match=r"share must have shape \(80, 12\), got \(80, 5\)"):
        grey_of(ALUMINIUM, tangents, visible=np.ones((80, 5), dtype=bool))


def test_the_lay_turns_the_highlight() -> None:
    _, normals, tangents, _, _ = scene(80, 5)
    rough = Material(roughness_along=0.1, roughness_across=0.4)
    turned = replace(rough, roughness_along=0.4, roughness_across=0.1)
    across = np.cross(normals, tangents)
    # Grooves turned by 90 degrees are the same as alphas swapped; forwards and backwards are the same.
    np.testing.assert_allclose(grey_of(rough, across), grey_of(turned, tangents), rtol=1e-9)
    np.testing.assert_allclose(grey_of(rough, -tangents), grey_of(rough, tangents), rtol=1e-9)
    ratio = grey_of(rough, across) / grey_of(rough, tangents)
    assert np.median(np.maximum(ratio, 1 / ratio)) > 1.5
    # Equal alphas have no direction, and neither has a face without a lay.
    even = Material(roughness_along=0.2, roughness_across=0.2)
    np.testing.assert_allclose(grey_of(even, across), grey_of(even, None), rtol=1e-9)
    without = np.where(np.arange(80)[:, None] < 40, np.nan, tangents)
    mixed, plain = grey_of(rough, without), grey_of(rough, None)
    np.testing.assert_array_equal(mixed[:40], plain[:40])
    np.testing.assert_array_equal(mixed[40:], grey_of(rough, tangents)[40:])
    assert rough.roughness_plain == pytest.approx(0.2)
    # The same but for the number of samples, which follows the smaller alpha.
    np.testing.assert_allclose(plain, grey_of(even, None), rtol=0.04)


def test_a_mirror_shows_the_ring_or_nothing() -> None:
    # A disc of light around the camera; a smooth metal tilted by t reflects what lies 2 t off the axis.
    disc = replace(RING, inner_radius_mm=0.0, outer_radius_mm=100.0)
    mirror = Material(roughness_along=0.001, roughness_across=0.001)
    tilt = np.deg2rad([0.0, 3.0, 20.0])
    normals = np.stack([np.sin(tilt), np.zeros(3), -np.cos(tilt)], axis=1)
    points = np.tile([0.0, 0.0, 250.0], (3, 1))
    metal = MetalPoints.on(points, normals, None, mirror)
    samples = light_samples(disc, mirror, num_emitters=12, distance_mm=250.0)
    grey = predicted_grey(metal, -points, np.eye(4), disc, samples, np.ones((3, 12), dtype=bool))
    normal_reflectance = (0.1**2 + 6.8**2) / (2.1**2 + 6.8**2)
    # The highlight is never taken for narrower than the samples' spacing, here alpha = 0.022: microfacets that
    # lean by more than the disc's 0.19 rad, 1 in 1 + (0.19 / 0.022)^2, do not see it; the samples add 3 %.
    for shown in grey[:2] / (disc.radiance * normal_reflectance):
        assert 0.94 < shown < 1.02
    assert grey[2] < 0.01 * grey[0]


@pytest.mark.parametrize("alpha", [0.3, 0.1, 0.05, 0.02])
def test_samples_are_dense_enough_for_the_highlight(alpha: float) -> None:
    rng = np.random.default_rng(8)
    count = 300
    points = np.column_stack([rng.uniform(-30, 30, (count, 2)), rng.uniform(240, 260, count)])
    lean = rng.normal(0.0, 0.15, (count, 2))
    normals = -points / np.linalg.norm(points, axis=1, keepdims=True) + np.column_stack([lean, np.zeros(count)])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    material = Material(roughness_along=alpha, roughness_across=alpha)
    metal = MetalPoints.on(points, normals, None, material)

    def grey(samples: object, num: int) -> np.ndarray:
        return predicted_grey(metal, -points, np.eye(4), RING, samples, np.ones((count, num), dtype=bool))  # type: ignore[arg-type]

    chosen = light_samples(RING, material, num_emitters=12, distance_mm=250.0)
    dense = RING.emitters_mm(20_000)
    area = np.full(len(dense), RING.area_mm2 / len(dense))
    exact = replace(
        chosen,
        emitters=Emitters.forward(dense, area),
        alike=(np.arange(len(dense)),),
        num_emitters=1,
        emitter_idx=np.zeros(len(dense), dtype=np.int64),
        spacing_mm=np.sqrt(area[0]),
    )
    found, expected = grey(chosen, 12), grey(exact, 1)
    bright = expected > 0.02 * expected.max()
    assert bright.sum() > 50
    assert np.quantile(np.abs(found - expected)[bright] / expected[bright], 0.99) < 0.03


def test_every_sample_shares_the_shadow_of_the_nearest_emitter() -> None:
    fine = Material(roughness_along=0.02, roughness_across=0.3)
    for ring in (RING, replace(RING, kind="led", led_count=9)):
        samples = light_samples(ring, fine, num_emitters=12, distance_mm=250.0)
        emitters = ring.emitters_mm(12)
        assert samples.num_emitters == len(emitters)
        assert len(samples.emitters.points_mm) > 20 * len(emitters) / 2
        gap = np.linalg.norm(samples.emitters.points_mm[:, None] - emitters, axis=2)
        np.testing.assert_array_equal(samples.emitter_idx, gap.argmin(axis=1))
        assert samples.emitters.area_mm2.sum() == pytest.approx(ring.emitting_area_mm2)
        assert samples.emitters.area_mm2.max() <= samples.spacing_mm**2 * (1 + 1e-9)
        # None of the emitters stands for much more of the light than another.
        shares = np.bincount(samples.emitter_idx, weights=samples.emitters.area_mm2, minlength=len(emitters))
        assert shares.max() < 1.5 * shares.min()
