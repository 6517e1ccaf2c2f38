"""Regular patterns of viewpoints, and how evenly samples are spread."""

from __future__ import annotations

import importlib.util
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.fixture import Fixture
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.clearance import Clearance
from viewcov.planning.candidates.maker import spread_elements, working_range
from viewcov.planning.candidates.pool import CandidateSearch, gather_candidates
from viewcov.planning.candidates.search import DEFEATS

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "viewpoint_patterns.py"
spec = importlib.util.spec_from_file_location("viewpoint_patterns", SCRIPT)
assert spec is not None
assert spec.loader is not None
patterns = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = patterns
spec.loader.exec_module(patterns)
fibonacci_sphere, ring_pattern = patterns.fibonacci_sphere, patterns.ring_pattern
view_sphere, views_per_sample = patterns.view_sphere, patterns.views_per_sample

RIG = load_rig("paper-quarter")


def part_of(mesh: trimesh.Trimesh) -> Part:
    return Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces)),
        source=PartSource(path="/parts/test.stl", sha256="0" * 64),
    )


def surface_of(mesh: trimesh.Trimesh, edge_mm: float = 4.0) -> Surface:
    return cut_surface(part_of(mesh), edge_mm)


def test_fibonacci_points_are_even_on_the_sphere() -> None:
    points = fibonacci_sphere(500)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(points.mean(axis=0), 0.0, atol=2e-3)
    # Second moments of a uniform distribution on the sphere are a third in every direction.
    np.testing.assert_allclose(points.T @ points / 500, np.eye(3) / 3, atol=2e-3)
    # Even points have neighbours at about sqrt(4 pi / N); random ones would have some at a tenth of it.
    nearest = cKDTree(points).query(points, k=2)[0][:, 1]
    assert nearest.min() > 0.7 * np.sqrt(4 * np.pi / 500)


def test_view_sphere_looks_at_the_centre_with_the_near_side_in_focus() -> None:
    mesh = trimesh.creation.box(extents=[60, 40, 20])
    mesh.apply_translation([100, -50, 7])
    caster = RayCaster(mesh.vertices, mesh.faces)
    views = view_sphere(part_of(mesh), RIG, RIG.requirements, num=60)
    assert len({view.id for view in views}) == 60
    for view in views:
        to_center = np.array([100, -50, 7]) - view.center_mm
        np.testing.assert_allclose(view.forward, to_center / np.linalg.norm(to_center), atol=1e-9)
        hit = caster.first_hits(view.center_mm[None], view.forward[None])
        assert hit.distance_mm[0] == pytest.approx(working_range(RIG, RIG.requirements).best, abs=1e-6)


def test_one_view_a_sample_stands_on_its_normal() -> None:
    ball = surface_of(trimesh.creation.icosphere(subdivisions=4, radius=30))
    views = views_per_sample(ball, RIG, RIG.requirements, num=80, rng=np.random.default_rng(0))
    centers = np.stack([view.center_mm for view in views])
    assert len(views) == 80
    # The normals of the icosphere's triangles pass its centre.
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 30 + 250, atol=0.1)
    for view in views:
        np.testing.assert_allclose(view.forward, -view.center_mm / np.linalg.norm(view.center_mm), atol=2e-3)
    again = views_per_sample(ball, RIG, RIG.requirements, num=80, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(centers, [view.center_mm for view in again])


def test_samples_are_blue_noise() -> None:
    """Distances of the samples of a plane against those of random points and of the densest packing."""
    plate = surface_of(trimesh.creation.box(extents=[200, 200, 1]), edge_mm=2.0)
    top = np.flatnonzero(plate.normal[:, 2] > 0.9)
    num = 250
    chosen = plate.centroid_mm[spread_elements(plate, top, num, rng=np.random.default_rng(0)), :2]
    # No set of N points in the area A has a smallest distance above that of the hexagonal lattice (border aside).
    densest = np.sqrt(2 / np.sqrt(3) * 200 * 200 / num)
    nearest = cKDTree(chosen).query(chosen, k=2)[0][:, 1]
    assert 0.65 * densest < nearest.min() < densest
    # No point of the plate is farther from all samples than about that, so there are no holes.
    farthest = cKDTree(chosen).query(plate.centroid_mm[top, :2])[0].max()
    assert farthest < densest
    # The power of low frequencies is that of white noise, 1, times little: that is what blue means.
    waves = 2 * np.pi / 200 * np.array([(i, j) for i in range(-3, 4) for j in range(-3, 4) if (i, j) != (0, 0)])
    power = np.abs(np.exp(1j * chosen @ waves.T).sum(axis=0)) ** 2 / num
    assert power.mean() < 0.25


@pytest.mark.parametrize("axis", [[0.0, 0.0, 2.0], [1.0, -1.0, 0.5]])
def test_rings_are_laid_around_their_axis(axis: list[float]) -> None:
    center = np.array([10.0, 20.0, 30.0])
    views = ring_pattern(axis, center, elevations_deg=[0, 35, 90, -90], num_each=8, standoff_mm=250)
    assert len(views) == 8 + 8 + 1 + 1
    assert len({view.id for view in views}) == 18
    unit = np.array(axis) / np.linalg.norm(axis)
    out = np.stack([view.center_mm for view in views]) - center
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 250)
    expected = [0.0] * 8 + [35.0] * 8 + [90.0, -90.0]
    np.testing.assert_allclose(np.degrees(np.arcsin(np.clip(out @ unit / 250, -1, 1))), expected, atol=1e-5)
    for ring in (out[:8], out[8:16]):
        flat = ring - np.outer(ring @ unit, unit)
        cosine = np.einsum("ij,ij->i", flat, np.roll(flat, -1, axis=0)) / (flat**2).sum(axis=1)
        np.testing.assert_allclose(np.degrees(np.arccos(cosine)), 45.0, atol=1e-6)
    for view, away in zip(views, out, strict=True):
        np.testing.assert_allclose(view.forward, -away / 250, atol=1e-9)


@pytest.mark.parametrize(
    "wrong", [{"axis": [0, 0, 0]}, {"elevations_deg": [95]}, {"num_each": 0}, {"standoff_mm": -1.0}]
)
def test_wrong_rings_are_refused(wrong: dict[str, object]) -> None:
    options = {"axis": [0, 0, 1], "center_mm": [0, 0, 0], "elevations_deg": [0], "num_each": 4, "standoff_mm": 100.0}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ring_pattern(**(options | wrong))  # type: ignore[arg-type]


def test_given_viewpoints_join_the_pool_and_those_that_touch_are_named(caplog: pytest.LogCaptureFixture) -> None:
    surface = surface_of(trimesh.creation.box(extents=[60, 40, 20]), edge_mm=6.0)
    given = [
        Viewpoint.looking_at([0, 0, 260], [0, 0, 0], id="mine"),
        Viewpoint.looking_at([0, 0, 18], [0, 0, 0], id="touching"),
        Viewpoint.looking_at([240, 0, 10], [30, 0, 0], id="on-the-table"),
    ]
    rig = replace(RIG, fixture=Fixture(table_height_mm=-10.0))
    with caplog.at_level(logging.WARNING):
        pool = gather_candidates(surface, rig, RIG.requirements, CandidateSearch(num_candidates=12, extra=tuple(given)))
    assert "2 of 3 given viewpoints" in caplog.text
    assert "touching, on-the-table" in caplog.text
    row = [view.id for view in pool.viewpoints].index("mine")
    seen = VisibilityTester(Setup(surface, rig, RIG.requirements)).seen_elements(given[0])
    np.testing.assert_array_equal(np.flatnonzero(pool.visible[[row]].toarray()[0]), seen)
    assert len({view.id for view in pool.viewpoints}) == len(pool.viewpoints)


def test_all_that_can_be_seen_is_found_and_the_rest_has_its_reason() -> None:
    # A cup on a table: its base, and the joint of its two bodies, are seen from nowhere.
    mesh = trimesh.creation.annulus(r_min=15, r_max=35, height=60, sections=48)
    floor = trimesh.creation.cylinder(radius=35, height=5, sections=48)
    floor.apply_translation([0, 0, -32.5])
    surface = surface_of(trimesh.util.concatenate([mesh, floor]), edge_mm=5.0)
    rig = replace(RIG, fixture=Fixture(table_height_mm=-35.0))
    pool = gather_candidates(surface, rig, RIG.requirements, CandidateSearch(num_candidates=300))
    seen = np.asarray(pool.visible.sum(axis=0)) > 0
    base = (surface.normal[:, 2] < -0.9) & (surface.centroid_mm[:, 2] < -34)
    joint = (np.abs(surface.centroid_mm[:, 2] + 30) < 1e-6) & (np.linalg.norm(surface.centroid_mm[:, :2], axis=1) > 15)
    top = surface.normal[:, 2] > 0.9
    assert not seen[base | joint].any()
    assert seen[top & ~joint].all()
    assert pool.given_up_mm2.keys() == set(DEFEATS)
    lost = surface.area_mm2[~seen].sum()
    assert sum(pool.given_up_mm2.values()) == pytest.approx(lost)
    assert pool.given_up_mm2["no sight"] >= surface.area_mm2[base | joint].sum() * (1 - 1e-9)
    # A brute force of many random views finds next to nothing more.
    tester = VisibilityTester(Setup(surface, rig, RIG.requirements))
    rng = np.random.default_rng(1)
    more, tried = np.zeros(surface.num_elements, dtype=bool), 0
    clearance = Clearance(surface, rig)
    while tried < 400:
        element = rng.integers(surface.num_elements)
        away = surface.normal[element] + 0.5 * rng.normal(size=3)
        eye = surface.centroid_mm[element] + 250 * away / np.linalg.norm(away)
        view = Viewpoint.looking_at(eye, surface.centroid_mm[element], id="eye")
        if clearance.clear(view.center_mm[None], view.forward[None])[0]:
            more[tester.seen_elements(view)] = True
            tried += 1
    assert surface.area_mm2[more & ~seen].sum() < 0.001 * surface.area_mm2.sum()
    assert surface.area_mm2[more & seen].sum() > 0.95 * surface.area_mm2[seen].sum()
