"""Coverage of a set of views: areas that are known, and sums that must agree."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.coverage.geometric.evaluation import (
    GeometricCoverage,
    evaluate_viewpoints,
    nearest_to_mid_grey,
)
from viewcov.coverage.geometric.visibility import TESTS, Setup, VisibilityTester
from viewcov.coverage.ladder import Loss
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.rig.ringlight import RingLight
from viewcov.inspection.viewpoint import Viewpoint

CAMERA = Camera(
    width_px=1000,
    height_px=1000,
    focal_length_mm=20.0,
    pixel_pitch_um=20.0,
    f_number=8.0,
    focus_distance_mm=50.0,
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


def views_from(*centers_mm: list[float]) -> list[Viewpoint]:
    return [Viewpoint.looking_at(center, [0.0, 0.0, 0.0], id=f"v{place}") for place, center in enumerate(centers_mm)]


def random_views(seed: int, num: int) -> list[Viewpoint]:
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(num, 3))
    distance = rng.uniform(40, 90, size=(num, 1))
    centers = distance * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return [Viewpoint.looking_at(c, rng.uniform(-5, 5, 3), id=f"v{place}") for place, c in enumerate(centers)]


def assert_consistent(result: GeometricCoverage) -> None:
    uncovered, waterfall, k_coverage = result.uncovered(), result.waterfall(), result.k_coverage()
    assert result.covered_area_mm2 + sum(uncovered.values()) == pytest.approx(result.inspected_area_mm2)
    assert list(waterfall) == list(TESTS)
    left = [result.inspected_area_mm2, *waterfall.values()]
    assert all(after <= before for before, after in pairwise(left))
    assert all(after <= before for before, after in pairwise(k_coverage))
    assert k_coverage[0] == pytest.approx(result.inspected_area_mm2)
    if len(k_coverage) > 1:
        assert k_coverage[1] == pytest.approx(waterfall[TESTS[-1]])
    np.testing.assert_array_equal(np.isnan(result.best_mm_per_px), result.num_views == 0)
    np.testing.assert_array_equal(np.isnan(result.best_incidence_deg), result.num_views == 0)


def test_three_views_of_a_cube() -> None:
    result = evaluate_viewpoints(Setup(CUBE, RIG, ANYTHING), views_from([50, 0, 0], [50, 50, 0], [50, 50, 50]))
    assert_consistent(result)
    assert result.inspected_area_mm2 == pytest.approx(600.0)
    assert result.covered_area_mm2 == pytest.approx(300.0)
    assert result.coverage == pytest.approx(0.5)
    assert result.k_coverage() == pytest.approx([600.0, 300.0, 200.0, 100.0])
    assert result.uncovered() == pytest.approx({"facing": 300.0} | {t: 0.0 for t in TESTS if t != "facing"})
    # Nothing that the camera cannot face is coverable: then all that can be covered is.
    front = (CUBE.normal > 0.5).any(axis=1)
    given_whole = evaluate_viewpoints(
        Setup(CUBE, RIG, ANYTHING), views_from([50, 0, 0], [50, 50, 0], [50, 50, 50]), coverable=front
    )
    assert given_whole.coverable_area_mm2 == pytest.approx(300.0)
    assert given_whole.coverage == pytest.approx(1.0)


def test_what_is_covered_counts_as_coverable() -> None:
    nothing = np.zeros(CUBE.num_elements, dtype=bool)
    result = evaluate_viewpoints(Setup(CUBE, RIG, ANYTHING), views_from([50, 0, 0]), coverable=nothing)
    assert result.coverable_area_mm2 == pytest.approx(100.0)
    assert result.coverage == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("limit", "center_mm", "reason"),
    [
        ({}, [50, 0, 0], None),
        ({"max_blur_px": 1.0}, [120, 0, 0], "in_focus"),
        ({"max_mm_per_px": 0.01}, [50, 0, 0], "resolved"),
        ({"min_light": 50.0}, [50, 0, 0], "lit"),
        ({"border_px": 499.9}, [50, 0, 0], "in_frame"),
    ],
)
def test_the_reason_is_the_first_test_that_the_best_view_fails(
    limit: dict[str, float], center_mm: list[float], reason: str | None
) -> None:
    requirements = dataclasses.replace(ANYTHING, **limit)
    away = Viewpoint.looking_at([50, 0, 0], [100, 0, 0], id="away")
    result = evaluate_viewpoints(Setup(CUBE, RIG, requirements), [away, *views_from(center_mm)])
    assert_consistent(result)
    uncovered = result.uncovered()
    if reason is None:
        assert result.covered_area_mm2 == pytest.approx(100.0)
    elif reason == "in_frame":
        assert uncovered["in_frame"] == pytest.approx(600.0)
    else:
        assert uncovered[reason] == pytest.approx(100.0)
        assert uncovered["facing"] == pytest.approx(500.0)


def test_without_views_nothing_is_covered() -> None:
    result = evaluate_viewpoints(Setup(CUBE, RIG, ANYTHING), [])
    assert_consistent(result)
    assert result.covered_area_mm2 == 0.0
    assert result.k_coverage() == pytest.approx([600.0])
    assert result.uncovered()["in_frame"] == pytest.approx(600.0)


def test_overlap_has_its_own_reason() -> None:
    twice = dataclasses.replace(ANYTHING, views_per_element=2)
    result = evaluate_viewpoints(Setup(CUBE, RIG, twice), views_from([50, 0, 0], [50, 50, 0]))
    assert_consistent(result)
    assert result.covered_area_mm2 == pytest.approx(100.0)
    assert result.uncovered()[Loss.TOO_FEW_VIEWS] == pytest.approx(100.0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_sums_over_views_are_those_of_the_single_views(seed: int, num: int) -> None:
    views = random_views(seed, num)
    result = evaluate_viewpoints(Setup(TUBE, RIG, LIMITS), views, gather=False)
    assert_consistent(result)
    tester = VisibilityTester(Setup(TUBE, RIG, LIMITS), measure_grey=True)
    single = [tester.test(view) for view in views]
    np.testing.assert_array_equal(result.num_views, np.sum([view.seen for view in single], axis=0))
    np.testing.assert_array_equal(result.furthest, np.max([view.num_passed for view in single], axis=0))
    for name in ("mm_per_px", "incidence_deg"):
        table = np.full((num, TUBE.num_elements), np.nan)
        for row, view in zip(table, single, strict=True):
            row[view.element_idx] = np.where(view.seen[view.element_idx], getattr(view, name), np.nan)
        best = np.where(np.isnan(table).all(axis=0), np.nan, np.nan_to_num(table, nan=np.inf).min(axis=0))
        np.testing.assert_array_equal(getattr(result, f"best_{name}"), best)
    np.testing.assert_array_equal(result.seen.toarray() > 0, [view.seen for view in single])
    for element in range(0, TUBE.num_elements, 7):
        levels = [
            float(view.grey[view.element_idx == element][0]) * 2.0**stops
            for view in single
            for stops in LIMITS.exposures
            if view.seen[element]
        ]
        best = min(levels, key=lambda level: (abs(np.log2(level / 0.5)), level), default=np.nan)
        assert result.best_grey[element] == pytest.approx(best, rel=1e-12, nan_ok=True)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_an_extra_viewpoint_never_lowers_coverage_and_order_is_irrelevant(seed: int, num: int) -> None:
    views = random_views(seed, num + 1)
    fewer = evaluate_viewpoints(Setup(TUBE, RIG, LIMITS), views[:-1], gather=False)
    more = evaluate_viewpoints(Setup(TUBE, RIG, LIMITS), views, gather=False)
    assert (more.num_views >= fewer.num_views).all()
    assert more.coverage >= fewer.coverage
    assert all(more.waterfall()[test] >= fewer.waterfall()[test] for test in TESTS)
    backwards = evaluate_viewpoints(Setup(TUBE, RIG, LIMITS), views[::-1], gather=False)
    assert figures_of(backwards) == figures_of(more)
    np.testing.assert_array_equal(backwards.best_grey, more.best_grey)


def test_the_number_of_processes_changes_nothing() -> None:
    views = random_views(1, 9)
    one = evaluate_viewpoints(Setup(TUBE, RIG, LIMITS), views, jobs=1)
    two = evaluate_viewpoints(Setup(TUBE, RIG, LIMITS), views, jobs=2)
    for name in ("num_views", "furthest", "best_mm_per_px", "best_incidence_deg", "best_grey", "coverable"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert figures_of(one) == figures_of(two)
    np.testing.assert_array_equal(one.seen.toarray(), two.seen.toarray())
    assert 0.1 < one.coverage < 0.9


def test_of_two_greys_the_one_nearer_to_the_middle_in_stops_is_better() -> None:
    first, second = np.array([0.25, 0.1, 0.5, 0.0, np.inf]), np.array([1.0, 0.9, 4.0, 8.0, 0.01])
    for pair in ((first, second), (second, first)):
        np.testing.assert_array_equal(nearest_to_mid_grey(*pair), [0.25, 0.9, 0.5, 8.0, 0.01])


def figures_of(result: GeometricCoverage) -> list[object]:
    return [result.areas, result.waterfall(), result.uncovered(), result.k_coverage()]


def test_progress_goes_to_stderr_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_viewpoints(Setup(CUBE, RIG, ANYTHING), views_from([50, 0, 0]))
    assert capsys.readouterr() == ("", "")
    evaluate_viewpoints(Setup(CUBE, RIG, ANYTHING), views_from([50, 0, 0]), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "1/1" in err


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="coverable must have shape"):
        evaluate_viewpoints(Setup(CUBE, RIG, ANYTHING), [], coverable=np.zeros(3, dtype=bool))
    with pytest.raises(ValueError, match="jobs must be at least 1"):
        evaluate_viewpoints(Setup(CUBE, RIG, ANYTHING), [], jobs=0)
