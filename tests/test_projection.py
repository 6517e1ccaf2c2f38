"""Pixels to elements and back. Several cases are ones that geograypher 0.4.0 gets wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from viewcov.coverage.rays.projection import TOP_SHARE, ViewElements, correspond, elements_of_buffer, pool
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.viewpoint import Viewpoint

CAMERA = Camera(
    width_px=96,
    height_px=80,
    focal_length_mm=25.0,
    pixel_pitch_um=80.0,
    f_number=8.0,
    focus_distance_mm=250.0,
)
DISTORTED = replace(CAMERA, principal_x_px=40.0, principal_y_px=45.5, distortion=(-0.3, 0.1, 0.004, -0.003, 0.0))


def surface_of(vertices: np.ndarray, faces: np.ndarray, *, edge_mm: float) -> Surface:
    part = Part(
        name="test",
        vertices_mm=vertices,
        faces=faces,
        cad_face_idx=np.zeros(len(faces), dtype=np.int32),
        source=PartSource(path="test.stl", sha256="0" * 64),
    )
    return cut_surface(part, edge_mm)


def plate(half_mm: float = 30.0, *, z_mm: float = 0.0, edge_mm: float = 3.0) -> Surface:
    corners = half_mm * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=float)
    corners[:, 2] = z_mm
    return surface_of(corners, np.array([[0, 1, 2], [0, 2, 3]]), edge_mm=edge_mm)


def sphere(radius_mm: float = 25.0, *, edge_mm: float = 4.0) -> Surface:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=radius_mm)
    return surface_of(mesh.vertices, mesh.faces, edge_mm=edge_mm)


def joined(*surfaces: Surface) -> Surface:
    offsets = np.cumsum([0] + [len(s.vertices_mm) for s in surfaces[:-1]])
    faces = np.concatenate([s.faces + o for s, o in zip(surfaces, offsets, strict=True)])
    return surface_of(np.concatenate([s.vertices_mm for s in surfaces]), faces, edge_mm=1e6)


def above(distance_mm: float = 250.0) -> Viewpoint:
    return Viewpoint.looking_at([0, 0, distance_mm], [0, 0, 0], id="top")


def pixels_of(view: ViewElements, element: int) -> list[int]:
    place = int(np.searchsorted(view.element_idx, element))
    assert view.element_idx[place] == element
    return view.pixel_idx[view.starts[place] : view.starts[place + 1]].tolist()


def test_pooling_equals_a_loop_over_pixels() -> None:
    surface = sphere()
    view = correspond(surface, CAMERA, above())
    image = np.random.default_rng(1).random((CAMERA.height_px, CAMERA.width_px)).astype(np.float32)
    pooled = pool(view, image)

    values: dict[int, list[float]] = {}
    for row in range(CAMERA.height_px):
        for column in range(CAMERA.width_px):
            if view.ids[row, column] >= 0:
                values.setdefault(int(view.ids[row, column]), []).append(float(image[row, column]))
    owning = view.num_px > 0
    assert sorted(values) == view.element_idx[owning].tolist()
    expected = [values[element] for element in view.element_idx[owning].tolist()]
    np.testing.assert_array_equal(view.num_px[owning], [len(v) for v in expected])
    np.testing.assert_allclose(pooled.mean[owning], [np.mean(v) for v in expected], rtol=1e-6)
    np.testing.assert_array_equal(pooled.max[owning], np.array([max(v) for v in expected], dtype=np.float32))
    num_top = [int(np.ceil(len(v) * TOP_SHARE)) for v in expected]
    top = [np.mean(sorted(v)[-k:]) for v, k in zip(expected, num_top, strict=True)]
    np.testing.assert_allclose(pooled.top[owning], top, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 200]))
def test_pooling_of_any_id_buffer(seed: int, num_ids: int) -> None:
    surface = plate(edge_mm=4.0)
    rng = np.random.default_rng(seed)
    ids = rng.integers(-1, min(num_ids, surface.num_elements), size=(80, 96)).astype(np.int32)
    # No depth agrees with anything, so that only owned pixels count.
    view = elements_of_buffer(surface, CAMERA, above(), ids, np.full(ids.shape, np.inf, dtype=np.float32))
    image = (rng.integers(0, 4, size=ids.shape) / 3).astype(np.float32)  # With ties, zeros and ones.
    pooled = pool(view, image)
    np.testing.assert_array_equal(view.element_idx, np.unique(ids[ids >= 0]))
    for element, mean, most, top in zip(view.element_idx, pooled.mean, pooled.max, pooled.top, strict=True):
        own = np.sort(image[ids == element])
        assert mean == pytest.approx(own.mean(), abs=1e-6)
        assert most == own[-1]
        assert top == pytest.approx(own[-int(np.ceil(len(own) * TOP_SHARE - 1e-9)) :].mean(), abs=1e-6)


def test_background_does_not_leak_into_the_last_element() -> None:
    behind = np.array([[0, 0, 400.0], [1, 0, 400.0], [0, 1, 400.0]])
    surface = joined(plate(half_mm=10.0), surface_of(behind, np.array([[0, 1, 2]]), edge_mm=10.0))
    view = correspond(surface, CAMERA, above())
    image = np.where(view.ids < 0, 1.0, 0.0).astype(np.float32)
    pooled = pool(view, image)
    assert (view.ids < 0).any()
    assert surface.num_elements - 1 not in view.element_idx
    assert pooled.max.max() == 0.0


def test_the_last_pixel_does_not_win() -> None:
    surface = plate(half_mm=10.0, edge_mm=100.0)
    view = correspond(surface, CAMERA, above())
    own = pixels_of(view, 0)
    image = np.ones(CAMERA.width_px * CAMERA.height_px, dtype=np.float32)
    image[own[-1]] = 0.0
    pooled = pool(view, image.reshape(view.ids.shape))
    assert pooled.mean[0] == pytest.approx(1 - 1 / len(own))
    assert pooled.max[0] == 1.0


def test_principal_point_shifts_the_image() -> None:
    surface = sphere(10.0)
    middle = correspond(surface, CAMERA, above()).ids
    shifted = correspond(surface, replace(CAMERA, principal_x_px=48.0 + 20, principal_y_px=40.0 - 7), above()).ids
    np.testing.assert_array_equal(shifted[:-7, 20:], middle[7:, :-20])


@pytest.mark.parametrize("num", [255, 256, 257])
def test_numbers_of_elements_around_a_byte(num: int) -> None:
    grid = np.array([[c % 16, c // 16, 0.0] for c in range(num)]) * 3.0 - [24.0, 24.0, 0.0]
    vertices = (grid[:, None] + np.array([[0, 0, 0], [2.5, 0, 0], [0, 2.5, 0]])).reshape(-1, 3)
    surface = surface_of(vertices, np.arange(3 * num).reshape(-1, 3), edge_mm=100.0)
    view = correspond(surface, CAMERA, above())
    np.testing.assert_array_equal(view.element_idx, np.arange(num))
    corner = (0.5 * np.array([1, 1]) / CAMERA.focal_px * 250).max()
    assert corner < 24.0  # The image's corner lies outside the grid, hence background there.
    assert view.ids[0, 0] == -1


@pytest.mark.parametrize("camera", [CAMERA, DISTORTED], ids=["pinhole", "distorted"])
def test_painting_elements_and_pooling_gives_them_back(camera: Camera) -> None:
    surface = sphere()
    view = correspond(surface, camera, Viewpoint.looking_at([90, -120, 180], [3, 0, 0], id="side"))
    paint = np.random.default_rng(2).random(surface.num_elements).astype(np.float32)
    image = np.where(view.ids >= 0, paint[view.ids], 0.0).astype(np.float32)
    pooled = pool(view, image)
    own = view.num_px > 0
    assert own.sum() > 300
    for value in (pooled.mean, pooled.max, pooled.top):
        np.testing.assert_allclose(value[own], paint[view.element_idx[own]], rtol=1e-5)


@pytest.mark.parametrize("camera", [CAMERA, DISTORTED], ids=["pinhole", "distorted"])
def test_each_pixel_ray_meets_its_element_first(camera: Camera) -> None:
    surface = sphere()
    viewpoint = Viewpoint.looking_at([90, -120, 180], [3, 0, 0], id="side")
    view = correspond(surface, camera, viewpoint)
    rows, columns = np.nonzero(view.ids >= -1)
    pick = np.random.default_rng(3).choice(len(rows), 800, replace=False)
    rays = camera.rays(np.column_stack([columns, rows])[pick] + 0.5) @ viewpoint.world_from_camera[:3, :3].T
    # Brute force: every ray against every triangle (Moeller and Trumbore).
    a, b, c = np.moveaxis(surface.corners_mm, 1, 0)
    origin = viewpoint.center_mm
    for ray, element in zip(rays, view.ids.ravel()[rows[pick] * camera.width_px + columns[pick]], strict=True):
        p = np.cross(ray, c - a)
        det = np.einsum("ij,ij->i", b - a, p)
        u = np.einsum("ij,ij->i", origin - a, p) / det
        q = np.cross(origin - a, b - a)
        v = (q @ ray) / det
        t = np.einsum("ij,ij->i", c - a, q) / det
        margin = np.minimum(np.minimum(u, v), 1 - u - v)
        hit = np.flatnonzero((margin >= -1e-9) & (t > 0))
        if element < 0:
            assert not ((margin > 1e-9) & (t > 0)).any()
        else:
            assert margin[element] >= -1e-9
            assert t[element] <= t[hit].min() + 1e-9


def test_elements_smaller_than_a_pixel_are_all_seen_and_sample_their_pixel() -> None:
    surface = plate(half_mm=20.0, edge_mm=0.6)
    camera = replace(CAMERA, pixel_pitch_um=160.0, width_px=48, height_px=40)
    view = correspond(surface, camera, above())
    points = transform_points(above().camera_from_world, surface.centroid_mm)
    pixel = camera.project(points)
    in_frame = ((pixel >= 0) & (pixel < (48, 40))).all(axis=1)
    np.testing.assert_array_equal(np.isin(np.flatnonzero(in_frame), view.element_idx), True)
    small = np.flatnonzero(view.num_px == 0)
    assert small.size > 0.2 * len(view.element_idx)
    for place in small[:50]:
        column, row = pixel[view.element_idx[place]].astype(int)
        assert pixels_of(view, int(view.element_idx[place])) == [row * 48 + column]


def test_small_elements_are_hidden_behind_others_and_when_turned_away() -> None:
    far = plate(half_mm=20.0, z_mm=-5.0, edge_mm=0.8)
    near = plate(half_mm=10.0, edge_mm=0.8)
    camera = replace(CAMERA, pixel_pitch_um=160.0, width_px=48, height_px=40)
    surface = joined(far, near)
    view = correspond(surface, camera, above())
    seen_far = view.element_idx[view.element_idx < far.num_elements]
    reach = np.abs(far.centroid_mm[seen_far, :2]).max(axis=1)
    # The near plate hides half sides of 10 mm times 255 / 250, up to the pixel that its border crosses.
    footprint = 255 / camera.focal_px
    assert reach.min() > 10.2 - footprint
    flipped = surface_of(near.vertices_mm, near.faces[:, ::-1], edge_mm=1e6)
    assert (correspond(flipped, camera, above()).num_px > 0).all()


@pytest.mark.parametrize("pitch_um", [40.0, 80.0, 320.0])
def test_a_sphere_shows_its_cap_at_every_resolution(pitch_um: float) -> None:
    # From distance d to its centre a sphere of radius r shows the cap of area 2 pi r^2 (1 - r / d). Elements
    # at the rim count whole if a pixel shows them: at most a ring one element wide more. Coarse pixels lose
    # some of the rim to the background; up to 60 deg all is more than a pixel away from it.
    radius, distance = 25.0, 250.0
    cap_mm2 = 2 * np.pi * radius**2 * (1 - radius / distance)
    surface = sphere(radius, edge_mm=2.0)
    factor = 80.0 / pitch_um
    camera = replace(CAMERA, pixel_pitch_um=pitch_um, width_px=int(96 * factor), height_px=int(80 * factor))
    view = correspond(surface, camera, above(distance))
    assert surface.area_mm2[view.element_idx].sum() <= cap_mm2 + 2 * np.pi * radius * 2.0
    to_camera = [0, 0, distance] - surface.centroid_mm
    cos = (surface.normal * to_camera).sum(axis=1) / np.linalg.norm(to_camera, axis=1)
    assert np.isin(np.flatnonzero(cos >= 0.5), view.element_idx).all()
    assert (cos[view.element_idx] > -0.1).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_moving_part_and_camera_together_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    moved_from_old = np.eye(4)
    moved_from_old[:3, :3] = Rotation.random(random_state=seed % 2**31).as_matrix()
    moved_from_old[:3, 3] = rng.uniform(-500, 500, 3)
    surface = sphere(edge_mm=6.0)
    viewpoint = Viewpoint.looking_at([90, -120, 180], [3, 0, 0], id="side")
    moved = surface_of(transform_points(moved_from_old, surface.vertices_mm), surface.faces, edge_mm=1e6)
    moved_view = Viewpoint(id="side", world_from_camera=moved_from_old @ viewpoint.world_from_camera)
    before, after = correspond(surface, CAMERA, viewpoint), correspond(moved, CAMERA, moved_view)
    # Rounding may turn single pixels whose centre lies on an edge.
    assert (before.ids != after.ids).sum() <= 3


def test_wrong_images_are_refused() -> None:
    view = correspond(plate(), CAMERA, above())
    with pytest.raises(ValueError, match=r"must have the view's shape \(80, 96\), got \(96, 80\)"):
        pool(view, np.zeros((96, 80), dtype=np.float32))
    with pytest.raises(ValueError, match="values in"):
        pool(view, np.full((80, 96), 255.0, dtype=np.float32))
    with pytest.raises(ValueError, match="values in"):
        pool(view, np.full((80, 96), np.nan, dtype=np.float32))


def test_a_view_of_nothing_has_no_elements() -> None:
    view = correspond(plate(), CAMERA, Viewpoint.looking_at([0, 0, 250], [0, 0, 500], id="away"))
    assert len(view.element_idx) == 0
    assert len(pool(view, np.ones((80, 96), dtype=np.float32)).mean) == 0
