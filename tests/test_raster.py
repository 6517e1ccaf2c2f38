"""The id buffer: known corners, Embree as a second implementation, and depth images made by others."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.coverage.rays.raster import id_buffer
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Floats, Floats32, Ints, Ints32
from viewcov.inspection.poses import inverse, look_at
from viewcov.inspection.rig.camera import Camera

DATA = Path(__file__).parents[2] / "shared" / "data" / "multiview" / "castle-simu"

CAMERA = Camera(
    width_px=320,
    height_px=240,
    focal_length_mm=12.0,
    pixel_pitch_um=20.0,
    f_number=8.0,
    focus_distance_mm=250.0,
)
OFF_CENTER = dataclasses.replace(CAMERA, principal_x_px=100.3, principal_y_px=171.9)
BARREL = dataclasses.replace(OFF_CENTER, distortion=(-0.25, 0.08, 0.004, -0.003, -0.01))
PINCUSHION = dataclasses.replace(CAMERA, distortion=(0.2, 0.05, -0.002, 0.001, 0.0))
CAMERAS = {"centred": CAMERA, "off centre": OFF_CENTER, "barrel": BARREL, "pincushion": PINCUSHION}


def traced(vertices: Floats, faces: Ints, camera: Camera, camera_from_world: Floats) -> tuple[Ints, Floats]:
    """Ids and depths that Embree finds on the rays through the pixels' centres."""
    columns, rows = np.meshgrid(np.arange(camera.width_px) + 0.5, np.arange(camera.height_px) + 0.5)
    rays = camera.rays(np.stack([columns, rows], axis=-1)).reshape(-1, 3)
    world_from_camera = inverse(camera_from_world)
    hits = RayCaster(vertices, faces).first_hits(world_from_camera[:3, 3], rays @ world_from_camera[:3, :3].T)
    depth_mm = hits.distance_mm / np.linalg.norm(rays, axis=1)
    return hits.face_idx.reshape(columns.shape), depth_mm.reshape(columns.shape)


def assert_same_view(
    ids: Ints32, depth: Floats32, other_ids: Ints, other_depth: Floats, *, share: float = 1e-3
) -> None:
    assert np.mean(ids != other_ids) < share
    same = (ids == other_ids) & (ids >= 0)
    np.testing.assert_allclose(depth[same], other_depth[same], rtol=1e-5)
    np.testing.assert_array_equal(np.isinf(depth), ids < 0)


def triangle_soup(rng: np.random.Generator, num: int) -> tuple[Floats, Ints]:
    """Triangles of all sizes, from slivers to larger than the image, some of them behind the camera."""
    centers = rng.uniform(-150, 150, size=(num, 1, 3))
    size = 10.0 ** rng.uniform(-0.5, 1.0, size=(num, 1, 1))
    size[:: num // 2] = 100.0
    vertices = (centers + size * rng.normal(size=(num, 3, 3))).reshape(-1, 3)
    return vertices, np.arange(3 * num).reshape(num, 3)


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())
def test_a_sphere_looks_as_it_does_to_embree(camera: Camera) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=5, radius=40.0)
    vertices, faces = np.asarray(sphere.vertices), np.asarray(sphere.faces)
    camera_from_world = inverse(look_at([60.0, 50.0, 200.0], [3.0, -4.0, 5.0], roll_deg=25.0))
    ids, depth = id_buffer(vertices, faces, camera, camera_from_world)
    other_ids, other_depth = traced(vertices, faces, camera, camera_from_world)
    assert_same_view(ids, depth, other_ids, other_depth)
    assert 0.1 < np.mean(ids >= 0) < 0.9
    # The silhouettes agree but for pixels whose centre lies on them.
    assert np.count_nonzero((ids >= 0) != (other_ids >= 0)) <= 2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())
def test_a_soup_around_the_camera_looks_as_it_does_to_embree(camera: Camera, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices, faces = triangle_soup(rng, 400)
    camera_from_world = inverse(look_at([-140.0, -90.0 + 60.0 * seed, 130.0], rng.uniform(-50, 50, 3)))
    ids, depth = id_buffer(vertices, faces, camera, camera_from_world)
    other_ids, other_depth = traced(vertices, faces, camera, camera_from_world)
    assert_same_view(ids, depth, other_ids, other_depth)
    assert len(np.unique(ids)) > 15


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())
def test_from_inside_a_box_there_is_no_hole(camera: Camera) -> None:
    """Every one of its twelve triangles reaches behind the camera or beyond the frame."""
    box = trimesh.creation.box(extents=[200, 300, 100])
    vertices, faces = np.asarray(box.vertices), np.asarray(box.faces)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        camera_from_world = inverse(look_at(rng.uniform(-40, 40, 3), rng.uniform(-40, 40, 3)))
        ids, depth = id_buffer(vertices, faces, camera, camera_from_world)
        other_ids, other_depth = traced(vertices, faces, camera, camera_from_world)
        assert (ids >= 0).all()
        assert_same_view(ids, depth, other_ids, other_depth)


def test_a_quad_covers_exactly_the_pixels_whose_centres_lie_in_it() -> None:
    """A frontal rectangle from column 40.4 to 200.6 and row 30.5 to 99.49."""
    cx, cy = OFF_CENTER.center_px
    pixels = np.array([[40.4, 30.5], [200.6, 30.5], [200.6, 99.49], [40.4, 99.49]])
    corners = np.column_stack([(pixels - [cx, cy]) / OFF_CENTER.focal_px * 300.0, np.full(4, 300.0)])
    ids, depth = id_buffer(corners, np.array([[0, 1, 2], [0, 2, 3]]), OFF_CENTER, np.eye(4))
    expected = np.zeros(ids.shape, dtype=bool)
    # Centres at 40.5 to 200.5 and, an edge counting as inside, 30.5 to 98.5.
    expected[30:99, 40:201] = True
    np.testing.assert_array_equal(ids >= 0, expected)
    np.testing.assert_allclose(depth[31:99, 40:201], 300.0, rtol=1e-7)
    # Below the diagonal from the first to the third corner lies the second triangle.
    columns, rows = np.meshgrid(np.arange(40, 201) + 0.5, np.arange(31, 99) + 0.5)
    below = (rows - 30.5) * (200.6 - 40.4) > (columns - 40.4) * (99.49 - 30.5)
    np.testing.assert_array_equal(ids[31:99, 40:201], below)


@pytest.mark.parametrize(("shift_px", "row_is_in"), [(1e-6, False), (-1e-6, True)])
def test_half_pixel_convention_to_a_millionth(shift_px: float, row_is_in: bool) -> None:
    cx, cy = CAMERA.center_px
    pixels = np.array([[10.0, 20.5 + shift_px], [50.0, 20.5 + shift_px], [30.0, 60.0]])
    corners = np.column_stack([(pixels - [cx, cy]) / CAMERA.focal_px * 123.0, np.full(3, 123.0)])
    ids, _ = id_buffer(corners, np.array([[0, 1, 2]]), CAMERA, np.eye(4))
    assert (ids[20] >= 0).any() == row_is_in
    assert (ids[21] >= 0).any()


def test_a_tilted_plane_has_its_depth_at_every_pixel() -> None:
    """Perspective-correct: one triangle larger than the image in the plane n . p = 200."""
    normal = np.array([0.3, -0.5, 1.0])
    spread = np.array([[-900.0, -900.0], [1500.0, -200.0], [-300.0, 1400.0]])
    corners = np.column_stack([spread, 200.0 - spread @ normal[:2]])
    ids, depth = id_buffer(corners, np.array([[0, 1, 2]]), CAMERA, np.eye(4))
    columns, rows = np.meshgrid(np.arange(CAMERA.width_px) + 0.5, np.arange(CAMERA.height_px) + 0.5)
    rays = CAMERA.rays(np.stack([columns, rows], axis=-1))
    assert (ids == 0).all()
    np.testing.assert_allclose(depth, 200.0 / (rays @ normal), rtol=1e-6)


def test_no_pixel_falls_between_triangles_that_meet_on_its_centre() -> None:
    """A grid whose vertices project onto pixel centres, its faces in random order and winding."""
    rng = np.random.default_rng(3)
    cx, cy = CAMERA.center_px
    columns, rows = np.meshgrid(np.arange(20.5, 120, 3), np.arange(10.5, 110, 2))
    depth_mm = rng.uniform(200, 300, size=columns.shape)
    vertices = np.stack(
        [(columns - cx) / CAMERA.focal_px * depth_mm, (rows - cy) / CAMERA.focal_px * depth_mm, depth_mm],
        axis=-1,
    ).reshape(-1, 3)
    height, width = columns.shape
    corner = (np.arange(height - 1)[:, None] * width + np.arange(width - 1)).ravel()
    faces = np.concatenate(
        [
            np.column_stack([corner, corner + 1, corner + width]),
            np.column_stack([corner + 1, corner + width + 1, corner + width]),
        ]
    )
    faces = rng.permutation(faces)
    faces = np.where(rng.random((len(faces), 1)) < 0.5, faces, faces[:, ::-1])
    ids, _ = id_buffer(vertices, faces, CAMERA, np.eye(4))
    assert (ids[10:109, 20:120] >= 0).all()
    assert np.count_nonzero(ids >= 0) == 99 * 100


def test_the_lower_id_wins_at_equal_depth() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=40.0)
    faces = np.asarray(sphere.faces)
    camera_from_world = inverse(look_at([0.0, 30.0, 220.0], [0.0, 0.0, 0.0]))
    once, _ = id_buffer(np.asarray(sphere.vertices), faces, CAMERA, camera_from_world)
    twice, _ = id_buffer(np.asarray(sphere.vertices), np.concatenate([faces, faces]), CAMERA, camera_from_world)
    np.testing.assert_array_equal(once, twice)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(CAMERAS)))
def test_splitting_triangles_changes_no_pixel(seed: int, name: str) -> None:
    """Each pixel still shows the same triangle's part, for straight and for bent edges."""
    rng = np.random.default_rng(seed)
    vertices, faces = triangle_soup(rng, 40)
    split = trimesh.Trimesh(vertices, faces, process=False).subdivide().subdivide()
    camera_from_world = inverse(look_at(rng.uniform(-100, 100, 3), rng.uniform(-100, 100, 3)))
    whole_ids, whole_depth = id_buffer(vertices, faces, CAMERAS[name], camera_from_world)
    ids, depth = id_buffer(np.asarray(split.vertices), np.asarray(split.faces), CAMERAS[name], camera_from_world)
    # Pixels on a silhouette or at the line where two triangles cross may go either way.
    np.testing.assert_array_equal(ids < 0, whole_ids < 0)
    seen = ids >= 0
    np.testing.assert_allclose(depth[seen], whole_depth[seen], rtol=1e-5)


def test_a_straight_edge_bulges_under_barrel_distortion() -> None:
    """The middle of an edge lies beyond its corners, by y |k1| x^2 focal_px = 1.9 px."""
    camera = dataclasses.replace(CAMERA, distortion=(-0.5, 0.0, 0.0, 0.0, 0.0))
    half_x, half_y = 0.2, 0.15
    vertices = 300.0 * np.array([[x, y, 1.0] for y in (-half_y, half_y) for x in (-half_x, half_x)])
    ids, _ = id_buffer(vertices, np.array([[0, 1, 3], [0, 3, 2]]), camera, np.eye(4))
    columns, rows = np.meshgrid(np.arange(camera.width_px) + 0.5, np.arange(camera.height_px) + 0.5)
    rays = camera.rays(np.stack([columns, rows], axis=-1))
    inside = (np.abs(rays[..., 0]) <= half_x) & (np.abs(rays[..., 1]) <= half_y)
    np.testing.assert_array_equal(ids >= 0, inside)
    corner_row = camera.project(vertices)[:, 1].min()
    assert np.flatnonzero(inside.any(axis=1)).min() + 0.5 < corner_row - 0.5


@pytest.mark.parametrize("shift_mm", [1e6, -3e5])
def test_far_from_the_origin_the_view_is_the_same(shift_mm: float) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=40.0)
    vertices, faces = np.asarray(sphere.vertices), np.asarray(sphere.faces)
    center, target = np.array([60.0, 50.0, 200.0]), np.array([3.0, -4.0, 5.0])
    near, near_depth = id_buffer(vertices, faces, CAMERA, inverse(look_at(center, target)))
    far, far_depth = id_buffer(
        vertices + shift_mm, faces, CAMERA, inverse(look_at(center + shift_mm, target + shift_mm))
    )
    assert np.count_nonzero(near != far) <= 1
    same = (near == far) & (near >= 0)
    np.testing.assert_allclose(far_depth[same], near_depth[same], rtol=1e-6)


def test_nothing_in_view_gives_an_empty_image() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=10.0)
    for camera in CAMERAS.values():
        ids, depth = id_buffer(
            np.asarray(sphere.vertices),
            np.asarray(sphere.faces),
            camera,
            inverse(look_at([0, 0, 100], [0, 0, 300])),
        )
        assert ids.dtype == np.int32
        assert depth.dtype == np.float32
        assert ids.shape == (camera.height_px, camera.width_px)
        assert (ids == -1).all()
        assert np.isinf(depth).all()


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data set castle-simu is not there")
def test_depth_images_of_the_castle() -> None:
    """Depth images by the ViSP authors: 0.012 to 0.028 mm median error, 0.19 to 0.32 mm half a pixel off."""
    mesh = trimesh.load_mesh(DATA / "models" / "castle-and-cube.ply", process=False)
    vertices, faces = np.asarray(mesh.vertices) * 1000.0, np.asarray(mesh.faces)
    about = json.loads((DATA / "camera.json").read_text("utf-8"))
    # focal_px = image distance by pixel pitch = 7 mm / 10 um = 700.
    camera = Camera(
        width_px=640,
        height_px=480,
        focal_length_mm=7000.0 / 1007.0,
        pixel_pitch_um=10.0,
        f_number=8.0,
        focus_distance_mm=1000.0,
        principal_x_px=320.0,
        principal_y_px=240.0,
    )
    assert camera.focal_px == pytest.approx(about["K"][0][0])
    depth_from_grey = np.array(about["depth_camera"]["from_grey_camera"], dtype=float)
    errors = []
    for pose in sorted((DATA / "poses").glob("pose-*.txt")):
        depth_from_world = depth_from_grey @ np.loadtxt(pose)
        depth_from_world[:3, 3] *= 1000.0
        _, depth_mm = id_buffer(vertices, faces, camera, depth_from_world)
        raw = (DATA / "depth" / pose.name.replace("pose", "depth")).with_suffix(".bin").read_bytes()
        rows, columns = np.frombuffer(raw, dtype="<u4", count=2)
        truth_mm = np.frombuffer(raw, dtype="<u2", offset=8).reshape(rows, columns) * 0.030518
        both = (truth_mm > 0) & np.isfinite(depth_mm)
        overlap = both.sum() / ((truth_mm > 0) | np.isfinite(depth_mm)).sum()
        errors.append(np.median(np.abs(depth_mm[both] - truth_mm[both])))
        assert overlap > 0.98
    assert len(errors) == 8
    assert max(errors) < 0.035
