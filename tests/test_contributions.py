"""What each view adds: areas of a cube's sides, and sums that a plain re-evaluation must give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.coverage.geometric.contributions import Contributions, contributions
from viewcov.coverage.geometric.evaluation import GeometricCoverage, evaluate_viewpoints
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.rig.ringlight import RingLight
from viewcov.inspection.viewpoint import Viewpoint

CAMERA = Camera(
    width_px=1000, height_px=1000, focal_length_mm=20.0, pixel_pitch_um=20.0, f_number=8.0, focus_distance_mm=50.0
)
RIG = Rig(name="test", camera=CAMERA, ring_light=RingLight(inner_radius_mm=40.0, outer_radius_mm=60.0))
ANYTHING = Requirements(max_incidence_deg=89.999, max_mm_per_px=1e9, max_blur_px=1e9, border_px=0.0, min_light=0.0)
LIMITS = Requirements(max_incidence_deg=60.0, max_mm_per_px=0.12, max_blur_px=60.0, border_px=8.0, min_light=0.2)


def surface_of(mesh: trimesh.Trimesh, max_edge_mm: float) -> Surface:
    part = Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces), dtype=np.int32),
        source=PartSource(path="test", sha256="0" * 64),
    )
    return cut_surface(part, max_edge_mm)


CUBE = surface_of(trimesh.creation.box(extents=[10, 10, 10]), 2.5)
TUBE = surface_of(trimesh.creation.annulus(8.0, 12.0, height=20.0, sections=24), 2.5)


def of_cube(*centers_mm: list[float], required: int = 1) -> GeometricCoverage:
    views = [Viewpoint.looking_at(center, [0, 0, 0], id=f"v{place}") for place, center in enumerate(centers_mm)]
    limits = dataclasses.replace(ANYTHING, views_per_element=required)
    return evaluate_viewpoints(Setup(CUBE, RIG, limits), views, gather=False)


def random_views(seed: int, num: int) -> list[Viewpoint]:
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(num, 3))
    centers = rng.uniform(40, 90, size=(num, 1)) * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return [Viewpoint.looking_at(c, rng.uniform(-5, 5, 3), id=f"v{place}") for place, c in enumerate(centers)]


def column(found: Contributions, name: str) -> list[float]:
    return [getattr(view, name) for view in found.views]


def test_views_of_a_cube() -> None:
    """One side, that and another, the first again, and the opposite of the second."""
    found = contributions(of_cube([50, 0, 0], [50, 50, 0], [50, 0, 0], [0, -50, 0]))
    np.testing.assert_allclose(column(found, "seen_area_mm2"), [100, 200, 100, 100])
    np.testing.assert_allclose(column(found, "newly_covered_area_mm2"), [100, 100, 0, 100], atol=1e-9)
    np.testing.assert_allclose(column(found, "lost_area_mm2"), [0, 100, 0, 100], atol=1e-9)
    np.testing.assert_allclose(np.multiply(found.by_views.in_order, 600), [100, 200, 200, 300])
    np.testing.assert_allclose(column(found, "overlap_with_next")[:-1], [1, 1, 0], atol=1e-12)
    assert found.redundant == ("v0", "v2")
    assert found.by_views.greedy_order == ("v1", "v3", "v0", "v2")
    np.testing.assert_allclose(np.multiply(found.by_views.greedily, 600), [200, 300, 300, 300])


def test_where_two_views_are_required_the_second_covers() -> None:
    """+x three times, +y twice: leaving out the second view alone uncovers +y."""
    found = contributions(of_cube([50, 0, 0], [50, 50, 0], [50, 0, 0], [0, 50, 0], required=2))
    np.testing.assert_allclose(column(found, "newly_covered_area_mm2"), [0, 100, 0, 100], atol=1e-9)
    np.testing.assert_allclose(column(found, "lost_area_mm2"), [0, 100, 0, 100], atol=1e-9)
    assert found.redundant == ("v0", "v2")
    # The second view comes first; then each of the others adds one required sight of a side.
    assert found.by_views.greedy_order == ("v1", "v0", "v3", "v2")
    np.testing.assert_allclose(np.multiply(found.by_views.greedily, 600), [0, 100, 200, 200])


def test_overlap_is_a_share_of_the_smaller() -> None:
    found = contributions(of_cube([50, 50, 50], [50, 50, 0], [0, 0, -50], [0, 0, -50]))
    np.testing.assert_allclose(column(found, "overlap_with_next")[:-1], [1, 0, 1], atol=1e-12)
    away = contributions(evaluate_viewpoints(Setup(CUBE, RIG, ANYTHING), [
        Viewpoint.looking_at([50, 0, 0], [0, 0, 0], id="a"), Viewpoint.looking_at([50, 0, 0], [90, 0, 0], id="b"),
    ]))  # fmt: skip
    assert column(away, "overlap_with_next") == [0.0, None]
    assert away.redundant == ("b",)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 2))
def test_everything_is_what_a_new_evaluation_gives(seed: int, num: int, required: int) -> None:
    views, limits = random_views(seed, num), dataclasses.replace(LIMITS, views_per_element=required)
    whole = evaluate_viewpoints(Setup(TUBE, RIG, limits), views, gather=False)
    found = contributions(whole)
    order = [int(name[1:]) for name in found.by_views.greedy_order]
    new, losses = (column(found, f"{name}_area_mm2") for name in ("newly_covered", "lost"))
    growth, greedy = np.array([found.by_views.in_order, found.by_views.greedily]) * whole.coverable_area_mm2
    covered = {0: 0.0}

    def area_of(chosen: list[Viewpoint]) -> float:
        return evaluate_viewpoints(Setup(TUBE, RIG, limits), chosen, gather=False).covered_area_mm2

    for count in range(1, num + 1):
        covered[count] = area_of(views[:count])
        assert growth[count - 1] == pytest.approx(covered[count], abs=1e-9)
        assert new[count - 1] == pytest.approx(covered[count] - covered[count - 1], abs=1e-9)
        assert greedy[count - 1] == pytest.approx(area_of([views[v] for v in order[:count]]), abs=1e-9)
        lost = whole.covered_area_mm2 - area_of(views[: count - 1] + views[count:])
        assert losses[count - 1] == pytest.approx(lost, abs=1e-9)
    assert sorted(order) == list(range(num))
    if required == 1:
        for step, view in enumerate(order):
            before = [views[v] for v in order[:step]]
            best = max(area_of([*before, other]) for other in views)
            assert area_of([*before, views[view]]) == pytest.approx(best, abs=1e-9)


def test_figures_are_plain_and_count_on_views() -> None:
    added = contributions(of_cube([50, 0, 0], [50, 50, 0]))
    assert [row.overlap_with_next for row in added.views] == [pytest.approx(1.0), None]
    grown = added.by_views
    assert grown.in_order == pytest.approx([1 / 6, 2 / 6])
    assert grown.greedily == pytest.approx([2 / 6, 2 / 6])
    assert grown.greedy_order == ("v1", "v0")
    none = contributions(of_cube())
    assert (none.views, none.redundant, none.by_views.in_order) == ((), (), ())
