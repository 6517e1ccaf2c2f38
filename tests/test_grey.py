"""Grey values of elements: exposures, highlight, light by way of other surfaces, agreement with the renderer."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import trimesh

from viewcov.coverage.light.grey import GreyPredictor, in_highlight, usable_ranges, well_exposed
from viewcov.coverage.light.reflectance import MetalPoints, albedo, reflectance
from viewcov.coverage.light.shadows import Sight
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.light import AMBIENT_SHARE
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig, load_rig
from viewcov.inspection.rig.ringlight import RingLight
from viewcov.inspection.viewpoint import Viewpoint

ROOT = Path(__file__).resolve().parents[1]
PARTS = ROOT.parent / "shared" / "data" / "parts"
NEED_MITSUBA = pytest.mark.skipif(
    importlib.util.find_spec("mitsuba") is None, reason="the extra 'render' is not installed"
)


def surface_of(mesh: trimesh.Trimesh, edge_mm: float) -> Surface:
    """Each triangle a CAD face of its own: flat, and machined along its longest extent."""
    part = Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.arange(len(mesh.faces)),
        source=PartSource(path="test", sha256="0" * 64),
    )
    return cut_surface(part, edge_mm)


def rig_of(material: Material, **light: object) -> Rig:
    rig = load_rig("paper-quarter")
    return replace(rig, material=material, ring_light=replace(rig.ring_light, **light))


def test_one_exposure_that_is_neither_dark_nor_saturated_is_enough() -> None:
    limits = Requirements(min_grey=0.1, max_grey=0.8, exposures=(0.0, 1.0, 2.0))
    grey = np.array([0.02, 0.025, 0.1, 0.2, 0.3, 0.8, 0.81])
    usable = [well_exposed(grey, replace(limits, exposures=(stops,))).tolist() for stops in limits.exposures]
    assert usable == [[0, 0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0, 0]]
    assert well_exposed(grey, limits).tolist() == [False, True, True, True, True, True, False]
    # Stops may go down, and an exposure may be the only one.
    assert well_exposed(grey, replace(limits, exposures=(-1.0,))).tolist() == [False] * 3 + [True] * 4
    assert well_exposed(np.array([0.0, 1e9]), Requirements()).all()


@pytest.mark.parametrize("alpha", [0.001, 0.2])
def test_highlight_of_one_emitter_is_a_cone_of_normals(alpha: float) -> None:
    # One LED 100 mm beside the lens, 250 mm away: the half-vector leans by half of atan(0.4).
    ring = RingLight(inner_radius_mm=95.0, outer_radius_mm=105.0, kind="led", led_count=1)
    half = 0.5 * np.arctan(0.4)
    distance = np.hypot(100.0, 250.0)
    width = np.arctan(alpha * np.sqrt(np.sqrt(2.0) - 1.0)) + 0.5 * np.arctan(5.0 / distance)
    lean = np.concatenate([half + width * np.array([-1.01, -0.99, 0.0, 0.99, 1.01]), [-half]])
    normals = np.stack([np.sin(lean), np.zeros(6), -np.cos(lean)], axis=1)
    metal = MetalPoints.on(
        np.tile([0.0, 0.0, 250.0], (6, 1)), normals, None, Material(roughness_along=alpha, roughness_across=alpha)
    )
    found = in_highlight(metal, np.eye(4), ring.pieces(), np.ones((6, 1)))
    assert found[:5].tolist() == [False, True, True, True, False]
    assert found[5] == (2 * half < width)
    assert not in_highlight(metal, np.eye(4), ring.pieces(), np.zeros((6, 1))).any()


def test_highlight_is_an_ellipse_across_the_lay() -> None:
    ring = RingLight(inner_radius_mm=0.0, outer_radius_mm=1e-3, kind="led", led_count=1)
    rough = Material(roughness_along=0.1, roughness_across=0.3)
    turn = np.linspace(0.0, np.pi, 19)
    # Half the density of microfacets: D falls to half where (x / along)^2 + (y / across)^2 = sqrt(2) - 1.
    slope = 1 / np.sqrt((np.cos(turn) / 0.1) ** 2 + (np.sin(turn) / 0.3) ** 2) * np.sqrt(np.sqrt(2.0) - 1.0)
    for share, expected in ((0.995, True), (1.005, False)):
        lean = np.arctan(share * slope)
        normals = np.stack([np.sin(lean) * np.cos(turn), np.sin(lean) * np.sin(turn), -np.cos(lean)], axis=1)
        along = np.cross(normals, np.cross([1.0, 0.0, 0.0], normals))
        # Frames lean with the normals, so that the half-vector's azimuth in them is the turn to second order.
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        metal = MetalPoints.on(np.tile([0.0, 0.0, 250.0], (19, 1)), normals, along, rough)
        half_local = metal.local(np.tile([0.0, 0.0, -1.0], (19, 1)))
        density = ((half_local[:, 0] / 0.1) ** 2 + (half_local[:, 1] / 0.3) ** 2) / half_local[:, 2] ** 2
        np.testing.assert_array_equal(
            in_highlight(metal, np.eye(4), ring.pieces(), np.ones((19, 1))), density <= np.sqrt(2.0) - 1.0
        )
        assert (density <= np.sqrt(2.0) - 1.0).mean() > 0.9 if expected else True


def test_an_open_plate_reflects_the_ring_and_the_room() -> None:
    rough = Material(roughness_along=0.2, roughness_across=0.3)
    surface = surface_of(trimesh.creation.box(extents=(60.0, 40.0, 5.0)), 8.0)
    predictor = GreyPredictor(surface, rig_of(rough))
    view = Viewpoint.looking_at([60.0, 30.0, 240.0], [0, 0, 2.5], id="v")
    top = np.flatnonzero(surface.normal[:, 2] > 0.99)
    assert len(predictor.sight(view, top).whole) == len(top)
    direct = predictor.direct(view, top)
    # Nothing around it: paths find the room alone, so that only the room's share is sampled.
    gathered = predictor.grey(view, top, num_paths=256)
    np.testing.assert_allclose(gathered, direct, rtol=0.01)
    nothing = Sight(row=np.zeros(len(top), dtype=np.int64), share=np.zeros((1, 48), dtype=np.float32))
    dark = predictor.direct(view, top, sight=nothing)
    room = AMBIENT_SHARE * 9.0
    assert (dark < room).all()
    assert (dark > 0.8 * room).all()
    assert (predictor.sight(view, np.flatnonzero(surface.normal[:, 2] < -0.99)).shares() == 0).all()


def groove() -> Surface:
    """Two plates at right angles that meet in the y axis and open towards -z."""
    corners = np.array([[-20, -30, -20], [0, -30, 0], [0, 30, 0], [-20, 30, -20], [20, -30, -20], [20, 30, -20]])
    mesh = trimesh.Trimesh(corners.astype(float), [[0, 2, 1], [0, 3, 2], [1, 5, 4], [1, 2, 5]], process=False)
    surface = surface_of(mesh, 5.0)
    assert (surface.normal[:, 2] < -0.7).all()
    return surface


def reflected_at_45_deg(metal: Material) -> float:
    """Fresnel's formulas for a complex index."""
    index, half = metal.eta + 1j * metal.k, np.sqrt(0.5)
    inside = np.sqrt(1 - 0.5 / index**2)
    s, p = (half - index * inside) / (half + index * inside), (index * half - inside) / (index * half + inside)
    return float((abs(s) ** 2 + abs(p) ** 2) / 2)


@pytest.mark.parametrize("metal", [Material(eta=1.0, k=1e4), Material(eta=3.0, k=3.0)])
def test_a_groove_of_two_mirrors_sends_the_light_back(metal: Material) -> None:
    # It returns every ray to where it came from: a camera in the middle of a disc of light sees the disc in each
    # plate by way of the other, and hardly by a single reflection.
    surface, mirror = groove(), replace(metal, roughness_along=0.02, roughness_across=0.02)
    predictor = GreyPredictor(surface, rig_of(mirror, inner_radius_mm=0.0, outer_radius_mm=150.0, radiance=0.5))
    view = Viewpoint.looking_at([0.0, 0.0, -250.0], [0, 0, 0], id="v")
    inner = np.flatnonzero((np.abs(surface.centroid_mm[:, 0]) < 14) & (np.abs(surface.centroid_mm[:, 1]) < 15))
    direct, once = predictor.direct(view, inner), predictor.grey(view, inner, num_reflections=1)
    twice = predictor.grey(view, inner, num_reflections=2)
    reflected = reflected_at_45_deg(mirror)
    assert direct.max() < 0.1 * 0.5
    assert once.max() < 0.1 * 0.5
    # Each reflection loses a little in the lobe's tail; light cannot grow.
    assert (twice > 0.85 * 0.5 * reflected**2).all()
    assert (twice < 1.03 * 0.5 * reflected**2).all()


def test_every_reflection_takes_its_share() -> None:
    # The ring stands far off: what the groove sends back is the room, dimmed by both plates.
    surface, mirror = groove(), Material(eta=3.0, k=3.0, roughness_along=0.005, roughness_across=0.005)
    predictor = GreyPredictor(surface, rig_of(mirror, inner_radius_mm=140.0, outer_radius_mm=150.0))
    view = Viewpoint.looking_at([0.0, 0.0, -250.0], [0, 0, 0], id="v")
    inner = np.flatnonzero((np.abs(surface.centroid_mm[:, 0]) < 14) & (np.abs(surface.centroid_mm[:, 1]) < 15))
    room = AMBIENT_SHARE * 9.0 * reflected_at_45_deg(mirror) ** 2
    # Few paths stray to the ring, but it is bright: the median, not every element.
    assert np.median(predictor.grey(view, inner, num_reflections=2)) == pytest.approx(room, rel=0.1)


def test_light_comes_back_from_where_the_path_has_led() -> None:
    # A ray that meets one plate x beside the groove's bottom leaves the other at -x, and back at the camera it is
    # 2 x off: a disc of 20 mm is seen within 10 mm of the bottom, softened by twice 2 alpha 250 mm.
    surface, mirror = groove(), Material(eta=1.0, k=1e4, roughness_along=0.01, roughness_across=0.01)
    predictor = GreyPredictor(surface, rig_of(mirror, inner_radius_mm=0.0, outer_radius_mm=20.0, radiance=0.5))
    view = Viewpoint.looking_at([0.0, 0.0, -250.0], [0, 0, 0], id="v")
    x, y = np.abs(surface.centroid_mm[:, :2].T)
    near, far = (np.flatnonzero(rows & (y < 8)) for rows in (x < 4, (x > 15) & (x < 19)))
    assert len(near) > 4
    assert len(far) > 4
    assert predictor.grey(view, near, num_paths=256).mean() > 4 * predictor.grey(view, far, num_paths=256).mean()


def test_the_same_element_has_the_same_grey_in_any_company() -> None:
    surface = surface_of(trimesh.creation.annulus(r_min=15.0, r_max=30.0, height=20.0, sections=24), 5.0)
    view = Viewpoint.looking_at([120.0, 0.0, 220.0], [0, 0, 0], id="v")
    predictor = GreyPredictor(surface, rig_of(Material()))
    chosen = np.arange(surface.num_elements)
    every = predictor.grey(view, chosen, num_paths=8)
    some = np.random.default_rng(0).permutation(chosen)[:50]
    np.testing.assert_array_equal(predictor.grey(view, some, num_paths=8), every[some])
    np.testing.assert_array_equal(GreyPredictor(surface, rig_of(Material())).grey(view, some, num_paths=8), every[some])
    assert predictor.grey(view, np.zeros(0, dtype=np.int64)).shape == (0,)
    with pytest.raises(ValueError, match="num_reflections must be from 1 to 3, got 4"):
        predictor.grey(view, some, num_reflections=4)


def test_exposed_applies_what_is_asked_for() -> None:
    surface = surface_of(trimesh.creation.icosphere(subdivisions=3, radius=25.0), 10.0)
    predictor = GreyPredictor(surface, rig_of(Material()))
    view = Viewpoint.looking_at([0.0, 0.0, 275.0], [0, 0, 25.0], id="v")
    front = np.flatnonzero(surface.normal[:, 2] > 0.4)
    grey, highlight = predictor.direct(view, front), predictor.highlight(view, front)
    known: dict[str, Any] = {"sight": predictor.sight(view, front), "gather": False}
    assert predictor.exposed(view, front, Requirements(), **known).all()
    limits = Requirements(min_grey=0.2, max_grey=0.9)
    np.testing.assert_array_equal(predictor.exposed(view, front, limits, **known), well_exposed(grey, limits))
    # The ring stands at 11 degrees: normals near half of that lie in the highlight, steep ones do not.
    assert 0 < highlight.sum() < len(front)
    assert surface.normal[front[highlight], 2].min() > surface.normal[front[~highlight], 2].max() - 0.05
    assert grey[highlight].min() > np.median(grey[~highlight])
    for mode, expected in (("bright-field", highlight), ("dark-field", ~highlight)):
        found = predictor.exposed(view, front, replace(limits, view_mode=mode), **known)
        np.testing.assert_array_equal(found, expected & well_exposed(grey, limits))


@pytest.mark.parametrize("limits", [{"min_grey": 0.05}, {"max_grey": 0.3}, {"min_grey": 0.03, "max_grey": 0.5}])
def test_exposure_is_judged_by_few_paths_as_by_all(limits: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a tube, where most light comes by way of its wall, with limits that many elements are near to."""
    surface = surface_of(trimesh.creation.annulus(r_min=12.0, r_max=30.0, height=40.0, sections=48), 4.0)
    predictor, asked = GreyPredictor(surface, rig_of(Material())), Requirements(exposures=(0.0, 0.5), **limits)
    view = Viewpoint.looking_at([40.0, 0.0, 270.0], [0, 0, 0], id="v")
    elements = np.flatnonzero(surface.normal @ np.array([0.15, 0.0, 1.0]) > -0.3)
    grey, sight = predictor.grey(view, elements), predictor.sight(view, elements)
    expected = well_exposed(grey, asked)
    assert 0.1 < expected.mean() < 0.9
    gathered, num = predictor._gathered, []
    monkeypatch.setattr(predictor, "_gathered", lambda *args: (num.append(len(args[1])), gathered(*args))[1])
    found = predictor.exposed(view, elements, asked, sight=sight, gather=True)
    assert (found != expected).mean() <= 0.002
    assert sum(num) < 0.6 * 64 * len(elements)


def test_ranges_of_grey_are_what_some_exposure_makes_usable() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        low = rng.uniform(0.0, 0.4)
        high = None if rng.random() < 0.2 else low + rng.uniform(0.01, 0.6)
        limits = Requirements(min_grey=low, max_grey=high, exposures=tuple(rng.integers(-4, 5, 3).astype(float)))
        grey = rng.uniform(0.0, 4.0, 2000)
        least, most = usable_ranges(limits)
        assert (least[1:] > most[:-1]).all()
        levels = grey[:, None] * 2.0 ** np.array(limits.exposures)
        usable = (levels >= low) & (levels <= (np.inf if high is None else high))
        np.testing.assert_array_equal(well_exposed(grey, limits), usable.any(axis=1))


@NEED_MITSUBA
@pytest.mark.parametrize("alpha", [(0.2, 0.2), (0.1, 0.4)])
def test_reflectance_is_mitsubas(alpha: tuple[float, float]) -> None:
    from viewcov.synthesis.scene import renderer_variant

    mi = importlib.import_module("mitsuba")
    mi.set_variant(renderer_variant())
    if not renderer_variant().startswith("llvm"):
        pytest.skip("only Mitsuba's vectorised variants take arrays")
    metal = {"type": "roughconductor", "distribution": "ggx", "eta": 1.1, "k": 6.8}
    bsdf = mi.load_dict(metal | {"alpha_u": alpha[0], "alpha_v": alpha[1]})
    rng = np.random.default_rng(9)
    o, i = rng.normal(size=(2, 500, 3))
    o[:, 2], i[:, 2] = np.abs(o[:, 2]), np.abs(i[:, 2])
    o, i = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (o, i))
    interaction = mi.SurfaceInteraction3f()
    interaction.wi = mi.Vector3f(*o.T.astype(np.float32))
    value = np.array(bsdf.eval(mi.BSDFContext(), interaction, mi.Vector3f(*i.T.astype(np.float32)))).ravel()
    expected = reflectance(o, i, np.tile(alpha, (500, 1)), Material()) * i[:, 2]
    # Mitsuba computes in single precision.
    np.testing.assert_allclose(value, expected, rtol=2e-3, atol=1e-5)
    assert albedo(o, np.tile(alpha, (500, 1)), Material()).max() < 1.0


def study() -> ModuleType:
    """The benchmark, which is a script."""
    name = "viewcov_benchmarks_grey"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / "grey.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@NEED_MITSUBA
@pytest.mark.parametrize(
    ("name", "material"),
    [
        ("clutch-half", "isotropic"),
        ("flanged-hub", "anisotropic"),
        ("machined-block", "isotropic"),
        ("coupling-half", "anisotropic"),
    ],
)
def test_predicted_grey_agrees_with_renders(name: str, material: str) -> None:
    grey = study()
    file = grey.FILES[name][0]
    if not file.startswith("builtin:") and not (PARTS / file).is_file():
        pytest.skip(f"needs {file} in shared/data/parts")
    part = grey.load(name, PARTS)
    rig = grey.study_rig(grey.MATERIALS[material], binning=4)
    found = grey.agreement(part, rig, num_samples=64, num_paths=32)
    assert len(found.rendered) > 1500
    assert found.rank_correlation >= 0.95
    assert found.error(0.5) <= 0.05
    # Neither too dark nor too bright on the whole.
    assert np.median(found.predicted / found.rendered) == pytest.approx(1.0, abs=0.02)


@NEED_MITSUBA
@pytest.mark.slow
def test_light_in_partial_shadow_is_the_renderers(tmp_path: Path) -> None:
    """On the floors of a bore, a slot and a pocket 30 mm deep, in fifths by brightness, of light reflected once."""
    grey = study()
    for name, opening in grey.openings(tmp_path).items():
        found = grey.opening_agreement(opening, num_samples=64)
        assert len(found.rendered) > 400, name
        np.testing.assert_allclose(found.ratios(5), 1.0, atol=0.03, err_msg=name)
