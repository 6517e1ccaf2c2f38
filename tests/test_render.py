"""Rendered images: geometry, light, noise."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.inspection.errors import InputError, MissingExtraError
from viewcov.inspection.lay import face_lays
from viewcov.inspection.mesh.part import Part, PartSource, triangle_areas, triangle_normals
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.fixture import Fixture
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.rig import Rig, load_rig
from viewcov.inspection.rig.ringlight import RingLight
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.synthesis.defects import Defect
from viewcov.synthesis.imprint import imprint, refined_for
from viewcov.synthesis.options import Sensor
from viewcov.synthesis.render import label_image, open_scene, read_out, render_view
from viewcov.synthesis.scene import (
    VARIANTS,
    InspectionScene,
    SceneSurface,
    renderer_name,
    renderer_variant,
)
from viewcov.synthesis.textures import sample_finish

pytest.importorskip("mitsuba", reason="the extra 'render' is not installed")

METAL = Material(roughness_along=0.2, roughness_across=0.2)


def small_camera(**changes: object) -> Camera:
    """96 x 80 pixels of 0.5 mm at 250 mm, focused there."""
    camera = Camera(
        width_px=96,
        height_px=80,
        focal_length_mm=25.0,
        pixel_pitch_um=500.0 / 9.0,
        f_number=8.0,
        focus_distance_mm=250.0,
    )
    return replace(camera, **changes)


def rig_with(camera: Camera) -> Rig:
    return replace(load_rig("paper-quarter"), camera=camera)


def plate(center: tuple[float, float, float], size: float, material: Material = METAL) -> SceneSurface:
    """A square in the camera frame that faces the camera (normal -z)."""
    half = 0.5 * size
    a, b, c, d = (np.add(center, (x, y, 0)) for x, y in ((-half, -half), (-half, half), (half, half), (half, -half)))
    corners = np.array([[a, b, c], [a, c, d]])
    return SceneSurface(
        name="plate",
        corners_mm=corners,
        normals=np.broadcast_to([0.0, 0.0, -1.0], (2, 3, 3)),
        uv=corners[..., :2],
        material=material,
    )


def scene_of(*surfaces: SceneSurface, camera: Camera, num_samples: int = 4) -> InspectionScene:
    return InspectionScene(surfaces, camera, load_rig("paper-quarter").ring_light, num_samples=num_samples)


def box_part() -> Part:
    mesh = trimesh.creation.box(extents=(60.0, 50.0, 10.0))
    side = np.argmax(mesh.face_normals @ np.vstack([np.eye(3), -np.eye(3)]).T, axis=1)
    return Part(
        name="box",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=side,
        source=PartSource(path="box", sha256="0" * 64),
    )


def dent(number: int, center: tuple[float, float, float], normal: tuple[float, float, float]) -> Defect:
    point = np.array(center)
    return Defect(
        id=number,
        kind="dent",
        center_mm=point,
        normal=normal,
        part_face=0,
        cad_face=0,
        path_mm=point[None],
        path_normal=np.array([normal], dtype=float),
        size_mm=5.0,
        width_mm=5.0,
        depth_mm=0.4,
        rim=0.05,
    )


CAMERAS = {
    "central": small_camera(),
    "off-centre": small_camera(principal_x_px=40.3, principal_y_px=46.8),
    "distorted": small_camera(distortion=(-0.3, 0.1, 0.002, -0.003, 0.0)),
}


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("place", [(10.0, -6.0, 250.0), (-14.0, 8.0, 240.0)])
def test_a_point_is_rendered_where_it_projects_to(name: str, place: tuple[float, float, float]) -> None:
    camera = CAMERAS[name]
    view = Viewpoint.looking_at([70.0, -120.0, 200.0], [3.0, 4.0, 5.0], id="v", roll_deg=20.0)
    target = plate(place, 3.0)
    moved = replace(
        target,
        corners_mm=transform_points(view.world_from_camera, target.corners_mm),
        normals=target.normals @ view.world_from_camera[:3, :3].T,
    )
    image = scene_of(moved, camera=camera, num_samples=16).render(view.world_from_camera, seed=1)
    assert image.shape == (80, 96)
    row, column = np.mgrid[0:80, 0:96] + 0.5
    center = np.array([(image * column).sum(), (image * row).sum()]) / image.sum()
    # The square's middle projects to its image's middle but for perspective; its brightness slopes a little.
    np.testing.assert_allclose(center, camera.project(np.array(place)), atol=0.25)


def test_images_do_not_depend_on_what_was_rendered_before() -> None:
    camera = small_camera()
    views = [Viewpoint.looking_at([0.0, 20.0 * k, 250.0], [0, 0, 0], id=f"v{k}") for k in range(3)]
    part = box_part()
    lays, finish = face_lays(part), sample_finish(np.random.default_rng(0), METAL, mm_per_px=0.5)
    made = imprint(part, (), refined_for(part, (), mm_per_px=0.5, lays=lays))

    def images(order: list[int]) -> dict[int, np.ndarray]:
        scene = open_scene(made, lays, finish, rig_with(camera), num_samples=4)
        return {k: render_view(scene, views[k].world_from_camera, seed=k) for k in order}

    one, other, alone = images([0, 1, 2]), images([2, 1, 0]), images([1])
    for k in range(3):
        np.testing.assert_array_equal(one[k], other[k])
    np.testing.assert_array_equal(one[1], alone[1])
    assert (one[0] != one[1]).any()


def test_dents_change_the_image_of_the_clean_twin_where_they_are() -> None:
    part, camera = box_part(), small_camera()
    lays, finish = face_lays(part), sample_finish(np.random.default_rng(1), METAL, mm_per_px=0.5)
    defects = (dent(1, (8.0, -5.0, 5.0), (0, 0, 1)),)
    mesh = refined_for(part, defects, mm_per_px=0.5, lays=lays)
    view = Viewpoint.looking_at([0.0, 0.0, 255.0], [0, 0, 5.0], id="v")

    def light(made: object) -> np.ndarray:
        scene = open_scene(made, lays, finish, rig_with(camera), num_samples=4)  # type: ignore[arg-type]
        return scene.render(view.world_from_camera, seed=3)

    clean = light(imprint(part, (), mesh))
    pressed = imprint(part, defects, mesh)
    difference = np.abs(light(pressed) - clean)
    labelled = label_image(pressed, camera, view) == 1
    assert difference[labelled].mean() > 0.05
    # The rim and the blur reach a little further than the label. Elsewhere the ray caster may sort triangles
    # otherwise, which shows in the last bits of single precision; light from the dent meets nothing.
    grown = np.zeros_like(labelled)
    rows, columns = np.nonzero(labelled)
    grown[rows.min() - 5 : rows.max() + 6, columns.min() - 5 : columns.max() + 6] = True
    assert difference[~grown].max() < 1e-5


def test_labels_lie_where_the_defects_project_and_name_the_visible_ones() -> None:
    part, camera = box_part(), small_camera()
    defects = (
        dent(1, (12.0, 6.0, 5.0), (0, 0, 1)),
        dent(2, (-9.0, -7.0, 5.0), (0, 0, 1)),
        dent(3, (0.0, 0.0, -5.0), (0, 0, -1)),
    )
    made = imprint(part, defects, refined_for(part, defects, mm_per_px=0.5))
    view = Viewpoint.looking_at([30.0, -20.0, 250.0], [0, 0, 5.0], id="v")
    labels = label_image(made, camera, view)
    assert labels.dtype == np.uint16
    assert set(np.unique(labels).tolist()) == {0, 1, 2}
    for defect in defects[:2]:
        column, row = camera.project(transform_points(view.camera_from_world, defect.center_mm))
        assert labels[int(row), int(column)] == defect.id
        # Seen at 8 degrees: pi r^2 less about a percent, and half a pixel of border either way.
        assert (labels == defect.id).sum() == pytest.approx(np.pi * 2.5**2 / 0.5**2, rel=0.1)


def test_a_clamp_hides_the_part_and_its_defects_and_the_table_lies_behind(tmp_path: Path) -> None:
    part, camera = box_part(), small_camera()
    defects = (dent(1, (12.0, 6.0, 5.0), (0, 0, 1)), dent(2, (-9.0, -7.0, 5.0), (0, 0, 1)))
    made = imprint(part, defects, refined_for(part, defects, mm_per_px=0.5))
    # Over the first dent, 20 mm above: a plate of 10 x 10 mm.
    clamp = tmp_path / "clamp.stl"
    trimesh.creation.box(extents=[10, 10, 2]).apply_translation([12.0, 6.0, 25.0]).export(clamp)
    fixture = Fixture(meshes=(str(clamp),), table_height_mm=-5.0)
    # The right side of the box, with what is beside it.
    view = Viewpoint.looking_at([14.0, 0.0, 255.0], [14.0, 0, 5.0], id="v")
    labels = label_image(made, camera, view, fixture=fixture)
    assert set(np.unique(labels).tolist()) == {0, 2}
    np.testing.assert_array_equal(labels == 2, label_image(made, camera, view) == 2)
    # Where the rays through the pixels' centres meet the planes of the clamp's and of the box's top.
    column, row = np.meshgrid(np.arange(96) + 0.5, np.arange(80) + 0.5)
    toward = camera.rays(np.stack([column, row], axis=-1)) @ view.world_from_camera[:3, :3].T
    toward /= -toward[..., 2:]
    aside = np.abs((view.center_mm + (255.0 - 26.0) * toward)[..., :2] - (12.0, 6.0)).max(axis=-1)
    x_mm, y_mm = np.moveaxis((view.center_mm + 250.0 * toward)[..., :2], -1, 0)
    lays, finish = face_lays(part), sample_finish(np.random.default_rng(1), METAL, mm_per_px=0.5)
    bare, held = (
        open_scene(made, lays, finish, replace(rig_with(camera), fixture=some), num_samples=16).render(
            view.world_from_camera, seed=1
        )
        for some in (None, fixture)
    )
    # Dark metal is in front where the clamp is; where there was nothing, the table.
    clamped, beside, plain = aside < 4.0, x_mm > 33.0, (y_mm < -12.0) & (x_mm < 26.0)
    assert min(clamped.sum(), beside.sum(), plain.sum()) > 100
    assert held[clamped].mean() < 0.3 * bare[clamped].mean()
    assert bare[beside].std() == 0.0
    assert held[beside].std() > 0.0
    # Far from both, the part looks as it did, but for the light that the clamp keeps off.
    assert 0.85 < held[plain].mean() / bare[plain].mean() < 1.02


def test_a_table_covers_what_lies_in_it() -> None:
    part, camera = box_part(), small_camera()
    # On the side of the box; the table is level with its middle.
    defects = (dent(1, (10.0, 25.0, 0.0), (0, 1, 0)),)
    made = imprint(part, defects, refined_for(part, defects, mm_per_px=0.5))
    view = Viewpoint.looking_at([0.0, 275.0, 3.0], [0, 25.0, 3.0], id="v")
    whole = label_image(made, camera, view) == 1
    assert whole.any()
    held = label_image(made, camera, view, fixture=Fixture(table_height_mm=0.0)) == 1
    assert held.any()
    assert not (held & ~whole).any()
    assert held.sum() == pytest.approx(whole.sum() / 2, rel=0.25)
    assert not label_image(made, camera, view, fixture=Fixture(table_height_mm=6.0)).any()


def test_a_height_ramp_shades_like_a_tilted_normal() -> None:
    # Heights that fall by 0.1 along u, here +x, tilt the normal by 0.1 towards +x.
    slope, camera = 0.1, small_camera()
    columns = 4096
    heights = np.tile(-slope * np.arange(columns, dtype=np.float32) / columns * 50.0, (4, 1))
    square = plate((0.0, 0.0, 250.0), 40.0)
    inside = (square.corners_mm[..., :2] + 25.0) / 50.0
    ramp = replace(square, uv=inside, height_mm=heights)
    shaded = scene_of(ramp, camera=camera, num_samples=16).render(np.eye(4), seed=1)

    def tilted(towards_x: float) -> np.ndarray:
        normal = np.array([towards_x, 0.0, -1.0]) / np.hypot(towards_x, 1.0)
        surface = replace(square, normals=np.broadcast_to(normal, (2, 3, 3)))
        return scene_of(surface, camera=camera, num_samples=16).render(np.eye(4), seed=1)

    middle = np.s_[8:72, 16:80]
    signal = np.abs(tilted(0.0) - shaded)[middle].mean()
    assert signal > 0.01
    assert np.abs(tilted(slope) - shaded)[middle].mean() < 0.05 * signal


def test_an_edge_blurs_by_the_circle_of_confusion() -> None:
    camera = small_camera(f_number=1.0, pixel_pitch_um=100.0)
    depth = 220.0
    # The plate's border runs through the image's middle.
    half = plate((20.0, 0.0, depth), 40.0, Material(roughness_along=0.5, roughness_across=0.5))
    image = scene_of(half, camera=camera, num_samples=256).render(np.eye(4), seed=1)
    spread = np.diff(image[30:50].mean(axis=0))[44:51]
    at = np.arange(len(spread))
    mean = (spread * at).sum() / spread.sum()
    variance = (spread * (at - mean) ** 2).sum() / spread.sum()
    # A uniform disc of diameter c projected to a line has the variance c^2 / 16; the pixel and the difference
    # of two pixels add 1 / 12 each.
    # The renderer knows no diffraction.
    blur_px = float(camera.circle_of_confusion_px(np.array(depth)))
    assert blur_px > 3.0
    assert variance == pytest.approx(blur_px**2 / 16 + 1 / 6, rel=0.15)


def test_light_is_in_units_of_full_scale() -> None:
    # Twice the radiance or twice the exposure is twice the light, at the same seed to rounding.
    camera, ring = small_camera(), load_rig("paper-quarter").ring_light
    square = plate((0.0, 0.0, 250.0), 30.0)
    one = InspectionScene([square], camera, ring, num_samples=4).render(np.eye(4), seed=2)
    bright = replace(ring, radiance=2 * ring.radiance)
    two = InspectionScene([square], camera, bright, num_samples=4).render(np.eye(4), seed=2)
    np.testing.assert_allclose(two, 2 * one, rtol=1e-4, atol=1e-6)
    silent = Sensor(full_well=1e12, read_noise=0.0)
    scene = InspectionScene([square], camera, ring, num_samples=4)
    half = render_view(scene, np.eye(4), seed=2, exposure=0.5, sensor=silent)
    np.testing.assert_allclose(half, np.clip(0.5 * one, 0, 1), atol=1e-5)


def test_sensor_noise_is_shot_and_read_noise() -> None:
    sensor = Sensor(full_well=10_000.0, read_noise=8.0)
    for level in (0.1, 0.5):
        read = read_out(np.full((400, 400), level, dtype=np.float32), sensor, np.random.default_rng(0))
        sigma = np.sqrt(level * 10_000 + 64) / 10_000
        assert read.mean() == pytest.approx(level, abs=4 * sigma / 400)
        assert read.std() == pytest.approx(sigma, rel=0.01)
    dark = read_out(np.zeros((100, 100), dtype=np.float32), sensor, np.random.default_rng(0))
    assert dark.min() == 0.0
    assert read_out(np.full((10, 10), 3.0, dtype=np.float32), sensor, np.random.default_rng(0)).max() <= 1.0


def test_ring_mesh_faces_the_part_and_has_the_rings_area() -> None:
    ring = RingLight(inner_radius_mm=40.0, outer_radius_mm=60.0, offset_mm=-3.0)
    vertices, faces, weights = ring.mesh()
    np.testing.assert_array_equal(weights, np.ones(len(faces)))
    np.testing.assert_allclose(triangle_normals(vertices[faces]), np.broadcast_to([0, 0, 1], (len(faces), 3)))
    # A polygon of 64 sides lacks 0.16 % of the disc.
    assert triangle_areas(vertices[faces]).sum() == pytest.approx(ring.area_mm2, rel=2e-3)
    assert (vertices[:, 2] == -3.0).all()
    leds = replace(ring, kind="led", led_count=12)
    vertices, faces, _ = leds.mesh()
    np.testing.assert_allclose(triangle_normals(vertices[faces]), np.broadcast_to([0, 0, 1], (len(faces), 3)))
    assert triangle_areas(vertices[faces]).sum() == pytest.approx(12 * np.pi * 10.0**2, rel=2e-3)
    with pytest.raises(InputError, match="Lambertian"):
        InspectionScene([plate((0, 0, 250.0), 5.0)], small_camera(), replace(leds, led_exponent=4.0), num_samples=1)


def test_strong_distortion_is_refused() -> None:
    with pytest.raises(InputError, match="too strong"):
        scene_of(plate((0, 0, 250.0), 5.0), camera=small_camera(principal_x_px=-200.0))


def test_renderer_is_named_and_a_missing_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert renderer_variant() in VARIANTS
    assert renderer_name().startswith("mitsuba 3.")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'viewcov\[render\]'"):
        renderer_variant.__wrapped__()
