"""The test of exposure in the chain: which elements pass it, at what price, with which light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.coverage.geometric import visibility
from viewcov.coverage.geometric.visibility import TESTS, Setup, VisibilityTester
from viewcov.coverage.light.grey import GreyPredictor, well_exposed
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.fixture import Fixture
from viewcov.inspection.rig.light import AMBIENT_SHARE
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint

RIG = load_rig("paper-quarter")
LIMITS = Requirements(max_incidence_deg=75.0, max_mm_per_px=1.0, max_blur_px=8.0)
EYES = [Viewpoint.looking_at(eye, [0, 0, 0], id="v") for eye in ([0, 0, 280], [120, -60, 230], [-200, 90, 150])]


def surface_of(mesh: trimesh.Trimesh, edge_mm: float) -> Surface:
    part = Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.arange(len(mesh.faces)),
        source=PartSource(path="test", sha256="0" * 64),
    )
    return cut_surface(part, edge_mm)


def ring_surface(edge_mm: float) -> Surface:
    """A short tube with a bore, in which surfaces light and hide each other."""
    return surface_of(trimesh.creation.annulus(r_min=15.0, r_max=30.0, height=20.0, sections=24), edge_mm)


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize("mode", ["any", "dark-field", "bright-field"])
def test_exposed_is_what_the_predicted_grey_says(mode: str, gather: bool) -> None:
    """Against the predictor asked directly, with shadow rays of its own."""
    surface = ring_surface(8.0)
    limits = replace(LIMITS, min_grey=0.15, max_grey=0.5, exposures=(0.0, 0.5), view_mode=mode)
    bare, tester = (
        VisibilityTester(Setup(surface, RIG, which), gather=gather, measure_grey=True) for which in (LIMITS, limits)
    )
    predictor = GreyPredictor(surface, RIG)
    kept = 0
    for view in EYES:
        lit, result = bare.test(view), tester.test(view)
        seen = np.flatnonzero(lit.seen)
        grey = (predictor.grey if gather else predictor.direct)(view, seen)
        highlight = predictor.highlight(view, seen)
        passes = well_exposed(grey, limits) & {"any": True, "bright-field": highlight, "dark-field": ~highlight}[mode]
        np.testing.assert_array_equal(np.flatnonzero(result.seen), seen[passes])
        assert (result.num_passed[seen[~passes]] == TESTS.index("exposed")).all()
        before = ~lit.seen
        np.testing.assert_array_equal(result.num_passed[before], lit.num_passed[before])
        np.testing.assert_array_equal(tester.seen_elements(view), seen[passes])
        np.testing.assert_array_equal(result.grey[np.isin(result.element_idx, seen)], grey)
        np.testing.assert_allclose(result.light, lit.light, rtol=1e-12)
        kept += passes.sum()
    assert kept > 10


@pytest.mark.parametrize("gather", [False, True])
def test_the_fast_way_agrees_on_large_elements(gather: bool) -> None:
    surface = ring_surface(20.0)
    limits = replace(LIMITS, max_mm_per_px=0.4, min_grey=0.2, max_grey=0.6, exposures=(0.0,))
    tester = VisibilityTester(Setup(surface, RIG, limits), gather=gather)
    assert limits.element_edge_mm < 10
    reached = set()
    for view in EYES:
        result = tester.test(view)
        np.testing.assert_array_equal(tester.seen_elements(view), np.flatnonzero(result.seen))
        reached |= set(result.num_passed.tolist())
    assert {TESTS.index("exposed"), len(TESTS)} <= reached


def test_a_plate_lights_up_where_its_grey_is_within_the_limits() -> None:
    """Of a frontal plate all elements but those at the limits of grey pass exactly if their grey does."""
    surface = surface_of(trimesh.creation.box(extents=[60, 40, 5]), 5.0)
    view = Viewpoint.looking_at([0, 0, 252.5], [0, 0, 0], id="v")
    top = np.flatnonzero(surface.normal[:, 2] > 0.5)
    grey = VisibilityTester(Setup(surface, RIG, LIMITS), measure_grey=True).test(view).grey
    assert len(grey) == len(top)
    middle = float(np.median(grey))
    for limit in ({"min_grey": middle}, {"max_grey": middle}):
        seen = VisibilityTester(Setup(surface, RIG, replace(LIMITS, exposures=(0.0,), **limit))).test(view).seen
        np.testing.assert_array_equal(seen[top], grey >= middle if "min_grey" in limit else grey <= middle)
        assert 0.3 < seen[top].mean() < 0.7
    # One stop more makes all of a plate that has at least half the grey bright enough.
    assert grey.min() > middle / 2
    stops = replace(LIMITS, min_grey=middle, exposures=(0.0, 1.0))
    assert VisibilityTester(Setup(surface, RIG, stops)).test(view).seen[top].all()


def test_without_limits_grey_is_not_computed_and_all_that_is_lit_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    surface = ring_surface(8.0)
    asked = VisibilityTester(Setup(surface, RIG, LIMITS), measure_grey=True)
    monkeypatch.setattr(visibility, "GreyPredictor", None)
    plain = VisibilityTester(Setup(surface, RIG, LIMITS))
    for view in EYES:
        result, with_grey = plain.test(view), asked.test(view)
        assert np.isnan(result.grey).all()
        np.testing.assert_array_equal(result.num_passed, with_grey.num_passed)
        assert (result.num_passed != TESTS.index("exposed")).all()
        lit = with_grey.num_passed[with_grey.element_idx] == len(TESTS)
        np.testing.assert_array_equal(~np.isnan(with_grey.grey), lit)


def test_a_fixture_throws_shadows_and_reflects_nothing(tmp_path: Path) -> None:
    """A mirror looks into a clamp where a bare one looks past the camera into the light of the room."""
    surface = surface_of(trimesh.creation.box(extents=[40, 40, 5]), 8.0)
    mirror = Material(eta=1.0, k=1e4, roughness_along=0.01, roughness_across=0.01)
    clamp = trimesh.creation.box(extents=[200, 5, 200])
    clamp.apply_translation([0, 60, 100])
    clamp.export(tmp_path / "clamp.stl")
    held = replace(RIG, material=mirror, fixture=Fixture(meshes=(str(tmp_path / "clamp.stl"),)))
    view = Viewpoint.looking_at([0, -180, 180], [0, 0, 0], id="v")
    limits = replace(LIMITS, max_blur_px=30.0, min_light=0.0)
    grey = []
    for rig in (replace(RIG, material=mirror), held):
        result = VisibilityTester(Setup(surface, rig, limits), gather=True, measure_grey=True).test(view)
        top = surface.normal[result.element_idx, 2] > 0.9
        grey.append(result.grey[top])
    np.testing.assert_allclose(grey[0], AMBIENT_SHARE * RIG.ring_light.radiance, rtol=0.01)
    # What is left is the ring in the far tail of the mirror's lobe.
    assert grey[1].max() < 0.02 * grey[0].min()
