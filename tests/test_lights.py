"""Lights of any kind: one from outside the package goes through planning's light, the clearance and the renderer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import trimesh
from pydantic.dataclasses import dataclass

from viewcov.coverage.light.grey import in_highlight
from viewcov.coverage.light.lighting import irradiance_of, posed_light
from viewcov.coverage.light.reflectance import MetalPoints, albedo, light_samples, predicted_grey, reflectance
from viewcov.coverage.light.shadows import Shadows
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import triangle_areas, triangle_normals
from viewcov.inspection.poses import look_at
from viewcov.inspection.rig import rig as rig_module
from viewcov.inspection.rig.light import AMBIENT_SHARE, Emitters, Light
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.rig import Rig, load_rig, rig_from_dict
from viewcov.inspection.rig.ringlight import RingLight, RingSegments
from viewcov.planning.candidates.clearance import _tubes

RIG = load_rig("paper-quarter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar(Light):
    """Two bars beside the camera that lean inwards, the left one half as bright."""

    length_mm: float
    aside_mm: float
    radiance: float = 1.0
    kind: Literal["bars"] = "bars"

    def emitters(self, num_samples: int) -> Emitters:
        each = max(1, num_samples // 2)
        along = self.length_mm * ((np.arange(each) + 0.5) / each - 0.5)
        sides = np.repeat([1.0, -1.0], each)
        points = np.column_stack([self.aside_mm * sides, np.tile(along, 2), np.zeros(2 * each)])
        normals = np.column_stack([-0.6 * sides, np.zeros(2 * each), np.full(2 * each, 0.8)])
        area = np.full(2 * each, 10.0 * self.length_mm / each)
        return Emitters(
            points_mm=points, normals=normals, area_mm2=area, weight=np.where(sides > 0, 1.0, 0.5),
            exponent=np.ones(2 * each),
        )  # fmt: skip


BAR = Bar(length_mm=80.0, aside_mm=70.0, radiance=4.0)


def with_light(light: Light) -> Rig:
    return replace(RIG, ring_light=light)


def test_a_light_of_a_new_kind_comes_from_a_rigs_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rig_module.LIGHTS, "bars", Bar)
    file = tmp_path / "rig.toml"
    camera = "\n".join(f"{k} = {v!r}" for k, v in RIG.to_dict()["camera"].items() if isinstance(v, int | float))
    file.write_text(f"[camera]\n{camera}\n[ring_light]\nkind = 'bars'\nlength_mm = 80\naside_mm = 70.0\nradiance = 4\n")
    rig = load_rig(file)
    assert rig.ring_light == BAR
    assert rig_from_dict(rig.to_dict(), where="here", name="") == rig
    file.write_text(file.read_text().replace("'bars'", "'torch'"))
    with pytest.raises(InputError, match=r"ring_light\.kind' is not valid: expected one of .*, bars"):
        load_rig(file)


def test_irradiance_is_the_sum_over_its_emitters() -> None:
    floor = trimesh.creation.box(extents=[200, 200, 2]).apply_translation([0, 0, -1])
    caster = RayCaster(np.asarray(floor.vertices), np.asarray(floor.faces))
    points, normals = np.array([[0.0, 0.0, 0.0], [30.0, 10.0, 0.0]]), np.tile([0.0, 0.0, 1.0], (2, 1))
    # The camera stands 250 mm over the floor's middle, its x along the world's.
    pose = look_at([0, 0, 250], [0, 0, 0])
    emitters = BAR.emitters(16)
    places, ways = emitters.points_mm @ pose[:3, :3].T + pose[:3, 3], emitters.normals @ pose[:3, :3].T
    arm = places - points[:, None]
    distance = np.linalg.norm(arm, axis=2)
    at_emitter = -np.einsum("pei,ei->pe", arm, ways) / distance
    terms = emitters.weight * at_emitter * (arm[..., 2] / distance) / distance**2
    posed = posed_light(with_light(BAR), pose, num_emitters=16)
    found = irradiance_of(posed, Shadows(caster, BAR, pose, points, normals).sight(), points, normals)
    np.testing.assert_allclose(found, terms.sum(axis=1) / terms[0].sum(), rtol=1e-12)

    # With a wall over the left half of the sky only the right bar is left.
    wall = trimesh.creation.box(extents=[2, 400, 200]).apply_translation([-5.0, 0, 100])
    both = trimesh.util.concatenate([floor, wall])
    shaded = RayCaster(np.asarray(both.vertices), np.asarray(both.faces))
    sight = Shadows(shaded, BAR, pose, points, normals).sight()
    np.testing.assert_array_equal(sight.shares(), np.tile(BAR.pieces().points_mm[:, 0] > 0, (2, 1)))
    right = terms[:, places[:, 0] > 0].sum(axis=1)
    # Of 24 pieces of a bar, not 8.
    np.testing.assert_allclose(irradiance_of(posed, sight, points, normals), right / terms[0].sum(), rtol=2e-3)


def test_grey_highlight_and_clearance_take_it() -> None:
    rough = Material(roughness_along=0.4, roughness_across=0.4)
    point, normal = np.array([[5.0, -3.0, 250.0]]), np.array([[0.0, 0.0, -1.0]])
    metal = MetalPoints.on(point, normal, None, rough)
    samples = light_samples(BAR, rough, num_emitters=16, distance_mm=250.0)
    grey = predicted_grey(metal, -point, np.eye(4), BAR, samples, np.ones((1, samples.num_emitters), dtype=bool))
    each = samples.emitters
    arm = each.points_mm - point
    distance = np.linalg.norm(arm, axis=1)
    incoming, outgoing = metal.local(arm[:1]), metal.local(-point)
    expected = 0.0
    for number in range(len(arm)):
        incoming = np.einsum("ij,j->i", metal.frames[0], arm[number] / distance[number])[None]
        f = reflectance(outgoing, incoming, metal.roughness, rough)[0]
        lobe = -arm[number] @ each.normals[number] / distance[number]
        expected += each.weight[number] * each.area_mm2[number] * f * incoming[0, 2] * lobe / distance[number] ** 2
    assert grey[0] == pytest.approx(BAR.radiance * expected, rel=1e-9)

    smooth = Material(roughness_along=0.01, roughness_across=0.01)
    # A mirror that leans so that the camera looks into the middle of the right bar.
    half = point / np.linalg.norm(point) + (point - (70.0, 0.0, 0.0)) / np.linalg.norm(point - (70.0, 0.0, 0.0))
    for towards, lit in ((-half, True), (normal, False)):
        mirror = MetalPoints.on(point, towards / np.linalg.norm(towards), None, smooth)
        assert in_highlight(mirror, np.eye(4), BAR.emitters(16), np.ones((1, 16)))[0] == lit

    inner, outer, ahead = BAR.tube_mm
    assert (inner < 70.0, outer > np.hypot(70.0, 39.0)) == (True, True)
    body = _tubes(with_light(BAR))[0]
    assert body[:2] == (0.0, outer)
    assert 0.0 < ahead < 5.0, "the leaning pieces reach ahead of their middles"


def test_ring_segments_are_the_rings_share() -> None:
    ring = RingLight(inner_radius_mm=40.0, outer_radius_mm=60.0, offset_mm=3.0, radiance=9.0)
    right = RingSegments(
        inner_radius_mm=40.0, outer_radius_mm=60.0, offset_mm=3.0, radiance=9.0, lit_deg=((-90.0, 0.0), (0.0, 90.0))
    )
    emitters = right.emitters(64)
    assert len(emitters.points_mm) == pytest.approx(64, abs=2)
    assert (emitters.points_mm[:, 0] >= -1e-9).all()
    assert emitters.area_mm2.sum() == pytest.approx(ring.area_mm2 / 2, rel=0.02)
    vertices, faces, _ = right.mesh()
    assert triangle_areas(vertices[faces]).sum() == pytest.approx(ring.area_mm2 / 2, rel=0.02)
    np.testing.assert_allclose(triangle_normals(vertices[faces])[:, 2], 1.0)
    table = with_light(right).to_dict()
    assert rig_from_dict(table, where="here", name="").ring_light == right
    table["ring_light"]["lit_deg"] = [[30.0, 10.0]]
    with pytest.raises(InputError, match="lit_deg that rise by 360 at most"):
        rig_from_dict(table, where="here", name="")


def test_the_renderer_shows_it() -> None:
    pytest.importorskip("mitsuba", reason="the extra 'render' is not installed")
    from viewcov.synthesis.scene import InspectionScene, SceneSurface

    camera = replace(RIG.camera, width_px=24, height_px=20, pixel_pitch_um=2000.0 / 9.0)
    rough = Material(roughness_along=0.4, roughness_across=0.4)
    a, b, c, d = (np.array([x, y, 250.0]) for x, y in ((-30, -30), (-30, 30), (30, 30), (30, -30)))
    corners = np.array([[a, b, c], [a, c, d]])
    square = SceneSurface(
        name="plate", corners_mm=corners, normals=np.broadcast_to([0.0, 0.0, -1.0], (2, 3, 3)), uv=corners[..., :2],
        material=rough,
    )  # fmt: skip
    arc = RingSegments(inner_radius_mm=40.0, outer_radius_mm=60.0, radiance=4.0, lit_deg=((20.0, 160.0),))
    for light in (BAR, arc):
        scene = InspectionScene([square], camera, light, num_samples=64, path_depth=2)
        shown = scene.render(np.eye(4), seed=1)[5:15, 6:18]
        column, row = np.meshgrid(np.arange(6, 18) + 0.5, np.arange(5, 15) + 0.5)
        points = 250.0 * camera.rays(np.stack([column, row], axis=-1)).reshape(-1, 3)
        metal = MetalPoints.on(points, np.tile([0.0, 0.0, -1.0], (len(points), 1)), None, rough)
        samples = light_samples(light, rough, num_emitters=16, distance_mm=250.0)
        seen = np.ones((len(points), samples.num_emitters), dtype=bool)
        grey = predicted_grey(metal, -points, np.eye(4), light, samples, seen)
        grey += AMBIENT_SHARE * light.radiance * albedo(metal.local(-points), metal.roughness, rough)
        grey = grey.reshape(10, 12)
        # 64 paths a pixel leave noise of some percent in one, less in rows and columns.
        assert shown.mean() == pytest.approx(grey.mean(), rel=0.02)
        np.testing.assert_allclose(shown.mean(axis=0), grey.mean(axis=0), rtol=0.06)
        np.testing.assert_allclose(shown.mean(axis=1), grey.mean(axis=1), rtol=0.06)
