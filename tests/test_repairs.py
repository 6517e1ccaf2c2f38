"""Which viewpoints mend a plan: a view that was taken away, the nearest of several, and what brute force finds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.spatial.transform import Rotation

from viewcov.coverage.geometric.evaluation import evaluate_viewpoints
from viewcov.coverage.geometric.figures import FixFigures
from viewcov.coverage.geometric.sightings import Watch
from viewcov.coverage.geometric.visibility import Setup
from viewcov.coverage.ladder import Loss
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.rig.ringlight import RingLight
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.repairs import LEAST_GAIN, Repairs, find_repairs, moves_from

CAMERA = Camera(
    width_px=1000, height_px=1000, focal_length_mm=20.0, pixel_pitch_um=20.0, f_number=8.0, focus_distance_mm=50.0
)
RIG = Rig(name="test", camera=CAMERA, ring_light=RingLight(inner_radius_mm=40.0, outer_radius_mm=60.0))
ANYTHING = Requirements(max_incidence_deg=89.999, max_mm_per_px=1e9, max_blur_px=1e9, border_px=0.0, min_light=0.0)
LIMITS = Requirements(max_incidence_deg=60.0, max_mm_per_px=0.12, max_blur_px=60.0, border_px=8.0, min_light=0.2)
SIDES = {"px": [50, 0, 0], "nx": [-50, 0, 0], "py": [0, 50, 0], "ny": [0, -50, 0], "pz": [0, 0, 50], "nz": [0, 0, -50]}


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
TUBE = surface_of(trimesh.creation.annulus(8.0, 12.0, height=20.0, sections=24), 4.0)


def named(**centers_mm: list[float]) -> list[Viewpoint]:
    return [Viewpoint.looking_at(center, [0, 0, 0], id=name) for name, center in centers_mm.items()]


def mended(
    surface: Surface,
    limits: Requirements,
    plan: list[Viewpoint],
    candidates: list[Viewpoint],
    *,
    visible: csr_array | None = None,
) -> Repairs:
    """Repairs of a plan by candidates that are tested on the same elements, unless they are said to see others."""
    if visible is None:
        with Watch(Setup(surface, RIG, limits)) as watch:
            visible = watch.seen_from(candidates)
    coverable = np.asarray(visible.sum(axis=0)) >= limits.views_per_element
    coverage = evaluate_viewpoints(Setup(surface, RIG, limits), plan, coverable=coverable, gather=False)
    return find_repairs(coverage, RIG, candidates, visible)


@pytest.mark.parametrize("removed", list(SIDES))
def test_a_view_that_was_taken_away_comes_back(removed: str) -> None:
    views = named(**SIDES)
    gone = next(view for view in views if view.id == removed)
    found = mended(CUBE, ANYTHING, [view for view in views if view.id != removed], views)
    (fix,) = found.fixes
    assert moves_from([views[[view.id for view in views].index(fix.id)]], [gone]).distance_mm[0] == 0.0
    assert fix.id == gone.id
    assert fix.gained_area_mm2 == pytest.approx(100.0)
    assert fix.repairs == {"facing": pytest.approx(100.0)}
    assert fix.distance_mm == pytest.approx(50.0 * np.sqrt(2))
    side = CUBE.normal @ gone.center_mm > 25.0
    np.testing.assert_array_equal(found.fix_idx, np.where(side, 0, -1))
    np.testing.assert_array_equal(found.nearest_idx, np.where(side, 0, -1))
    np.testing.assert_array_equal(~np.isnan(found.distance_mm), side)


def test_a_plan_that_covers_all_needs_nothing() -> None:
    found = mended(CUBE, ANYTHING, named(**SIDES), named(corner=[40, 40, 40], **SIDES))
    assert found.fixes == ()
    assert found.nearest == ()
    assert (found.fix_idx == -1).all()
    assert np.isnan(found.distance_mm).all()


def test_the_list_gains_most_with_few_and_each_place_has_its_nearest() -> None:
    """From +x: +y alone is nearer than +y and +z together, which is what to add; +z has no other."""
    plan, candidates = named(plan=SIDES["px"]), named(far=[0, 50, 50], near=SIDES["py"])
    found = mended(CUBE, ANYTHING, plan, candidates)
    (fix,) = found.fixes
    assert (fix.id, fix.nearest_view) == ("far", "plan")
    assert fix.gained_area_mm2 == pytest.approx(200.0)
    assert fix.distance_mm == pytest.approx(50.0 * np.sqrt(3))
    upper, side = CUBE.normal[:, 2] > 0.5, CUBE.normal[:, 1] > 0.5
    np.testing.assert_array_equal(found.fix_idx, np.where(upper | side, 0, -1))
    assert [found.nearest[row].id for row in np.unique(found.nearest_idx[upper])] == ["far"]
    assert [found.nearest[row].id for row in np.unique(found.nearest_idx[side])] == ["near"]
    np.testing.assert_allclose(found.distance_mm[side], 50.0 * np.sqrt(2))
    np.testing.assert_allclose(found.distance_mm[upper], 50.0 * np.sqrt(3))


def test_of_equal_views_the_nearest_is_added_and_angle_breaks_ties() -> None:
    plan = [Viewpoint.looking_at([0, 50, 0], [100, 50, 0], id="aside")]
    turned, upright, farther = (
        Viewpoint.looking_at([0, distance, 0], [0, 0, 0], id=name, roll_deg=roll)
        for name, distance, roll in (("turned", 50, 90), ("upright", 50, 0), ("farther", 60, 0))
    )
    found = moves_from([turned, upright, farther], plan)
    rotations = [v.world_from_camera[:3, :3] for v in (turned, upright, farther)]
    expected = [Rotation.from_matrix(plan[0].world_from_camera[:3, :3].T @ r).magnitude() for r in rotations]
    np.testing.assert_allclose(found.angle_deg, np.rad2deg(expected), atol=1e-6)
    np.testing.assert_allclose(found.distance_mm, [0, 0, 10], atol=1e-12)
    assert expected[1] < expected[0] - 0.1
    # The same holds among the plan's views: of two at one place, the one that is turned less is nearest.
    slightly = Viewpoint.looking_at([0, 50, 0], [0, 0, 0], id="slightly", roll_deg=30.0)
    for others in ([slightly, *plan], [*plan, slightly]):
        assert others[moves_from([upright], others).view_idx[0]] is slightly
    for order in ([turned, upright, farther], [farther, upright, turned]):
        repairs = mended(CUBE, ANYTHING, plan, order)
        assert repairs.nearest == (upright,)
        assert [fix.id for fix in repairs.fixes] == [upright.id]
        assert repairs.fixes[0].distance_mm == pytest.approx(0.0, abs=1e-9)


def test_a_view_of_the_plan_mends_nothing_and_promises_are_tested() -> None:
    """The pool claims that everybody sees everything: the plan's own view, and one that looks away."""
    plan = named(own=SIDES["px"])
    away = Viewpoint.looking_at([50, 0, 0], [100, 0, 0], id="blind")
    everything = csr_array(np.ones((3, CUBE.num_elements)))
    found = mended(CUBE, ANYTHING, plan, [*plan, away, *named(py=SIDES["py"])], visible=everything)
    assert [fix.id for fix in found.fixes] == ["py"]
    assert found.fixes[0].gained_area_mm2 == pytest.approx(100.0)
    assert [view.id for view in found.nearest] == ["blind"]
    np.testing.assert_array_equal(found.fix_idx >= 0, CUBE.normal[:, 1] > 0.5)


def test_a_second_view_where_two_are_required() -> None:
    twice = dataclasses.replace(ANYTHING, views_per_element=2)
    candidates = named(px=SIDES["px"], also=[60, 0, 0], py=SIDES["py"])
    found = mended(CUBE, twice, named(px=SIDES["px"]), candidates)
    (fix,) = found.fixes
    assert fix.id == "also"
    assert fix.repairs == {Loss.TOO_FEW_VIEWS: pytest.approx(100.0)}
    # Of a side that nobody sees, two views are needed, and the first of them covers nothing.
    found = mended(CUBE, twice, [], candidates)
    assert [fix.gained_area_mm2 for fix in found.fixes] == pytest.approx([0.0, 100.0])


def test_a_plan_without_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("viewcov.planning.repairs.MAX_FIXES", 4)
    found = mended(CUBE, ANYTHING, [], named(**SIDES))
    assert len(found.fixes) == 4
    assert sum(fix.gained_area_mm2 for fix in found.fixes) == pytest.approx(400.0)
    for fix in found.fixes:
        assert FixFigures.model_validate_json(fix.model_dump_json()) == fix
        assert (fix.nearest_view, fix.distance_mm) == (None, None)


def random_views(rng: np.random.Generator, num: int, prefix: str) -> list[Viewpoint]:
    direction = rng.normal(size=(num, 3))
    centers = rng.uniform(40, 90, size=(num, 1)) * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return [Viewpoint.looking_at(c, rng.uniform(-5, 5, 3), id=f"{prefix}{place}") for place, c in enumerate(centers)]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 2))
def test_repairs_are_what_brute_force_finds(seed: int, required: int) -> None:
    rng = np.random.default_rng(seed)
    plan, candidates = random_views(rng, 3, "p"), random_views(rng, 8, "c")
    limits = dataclasses.replace(LIMITS, views_per_element=required)
    found = mended(TUBE, limits, plan, candidates)
    seen = np.stack(
        [evaluate_viewpoints(Setup(TUBE, RIG, limits), [v], gather=False).num_views > 0 for v in candidates]
    )
    base = evaluate_viewpoints(Setup(TUBE, RIG, limits), plan, coverable=seen.sum(axis=0) >= required, gather=False)
    gap = [min(float(np.linalg.norm(c.center_mm - p.center_mm)) for p in plan) for c in candidates]
    for element in range(TUBE.num_elements):
        helping = [place for place in range(8) if seen[place, element]]
        if base.coverable[element] and not base.covered[element] and helping:
            best = min(helping, key=gap.__getitem__)
            assert found.nearest[found.nearest_idx[element]] is candidates[best]
            assert found.distance_mm[element] == pytest.approx(gap[best])
        else:
            assert found.nearest_idx[element] == -1
    now, counts = list(plan), base.num_views.copy()
    for place, fix in enumerate(found.fixes):
        lacking = np.where(base.coverable & (counts < required), TUBE.area_mm2, 0.0)
        left = [c for c in range(8) if candidates[c] not in now]
        chosen = [view.id for view in candidates].index(fix.id)
        assert seen[chosen] @ lacking == pytest.approx(max(seen[c] @ lacking for c in left))
        before = evaluate_viewpoints(Setup(TUBE, RIG, limits), now, gather=False)
        now.append(candidates[chosen])
        after = evaluate_viewpoints(Setup(TUBE, RIG, limits), now, gather=False)
        counts = after.num_views
        assert after.covered_area_mm2 - before.covered_area_mm2 == pytest.approx(fix.gained_area_mm2, abs=1e-9)
        assert sum(fix.repairs.values()) == pytest.approx(fix.gained_area_mm2, abs=1e-9)
        np.testing.assert_array_equal(found.fix_idx == place, after.covered & ~before.covered)
    lacking = np.where(base.coverable & (counts < required), TUBE.area_mm2, 0.0)
    left = [c for c in range(8) if candidates[c] not in now]
    assert max((float(seen[c] @ lacking) for c in left), default=0.0) <= LEAST_GAIN * base.coverable_area_mm2
