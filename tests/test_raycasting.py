"""Rays: against brute force in float64, and the traps of float32."""

import numpy as np
import pytest
import trimesh

from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Floats, Ints


def brute_force_hits(vertices: Floats, faces: Ints, origins: Floats, directions: Floats) -> tuple[Ints, Floats, Floats]:
    """Nearest triangle, its distance and the one behind it, by solving each 3 x 3 system in float64."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    matrices = np.stack(
        np.broadcast_arrays((b - a)[None], (c - a)[None], -unit[:, None, :]), axis=-1
    )  # Solves a + u (b - a) + v (c - a) = o + t d.
    u, v, t = np.moveaxis(np.linalg.solve(matrices, (origins[:, None] - a[None])[..., None])[..., 0], -1, 0)
    t = np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0), t, np.inf)
    nearest = np.where(np.isfinite(t.min(axis=1)), t.argmin(axis=1), -1)
    return nearest, t.min(axis=1), np.sort(t, axis=1)[:, 1]


@pytest.mark.parametrize("shift_mm", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_first_hits_are_those_of_brute_force(shift_mm: float, scale: float) -> None:
    rng = np.random.default_rng(7)
    vertices = rng.uniform(-1, 1, size=(120, 3)) * scale + shift_mm
    faces = np.arange(120).reshape(40, 3)
    targets = rng.uniform(-1, 1, size=(800, 3)) * scale + shift_mm
    # Unlike lengths on purpose: they must make no difference.
    directions = rng.normal(size=(800, 3)) * rng.uniform(0.01, 100, size=(800, 1))
    origins = targets - 5 * scale * directions / np.linalg.norm(directions, axis=1, keepdims=True)

    hits = RayCaster(vertices, faces).first_hits(origins, directions)
    face_idx, distance, second = brute_force_hits(vertices, faces, origins, directions)
    # Where two triangles cross each other within float32's resolution, either may come first.
    clear = (face_idx < 0) | (second > distance + 1e-5 * scale)
    np.testing.assert_array_equal(hits.face_idx[clear], face_idx[clear])
    # 1e-10 of the size, and what float64 leaves of it so far from the origin.
    np.testing.assert_allclose(
        hits.distance_mm[clear], distance[clear], atol=1e-9 * scale + 1e-13 * shift_mm, rtol=1e-9
    )
    assert (face_idx >= 0).sum() > 300


def test_a_miss_is_minus_one_at_infinity() -> None:
    box = trimesh.creation.box(extents=[2, 2, 2])
    hits = RayCaster(np.asarray(box.vertices), np.asarray(box.faces)).first_hits(
        np.array([0.0, 0.0, 10.0]), np.array([[0.0, 0.0, 1.0], [0.1, 0.0, -3.0]])
    )
    assert hits.face_idx[0] == -1
    assert hits.distance_mm[0] == np.inf
    # The ray (0.1, 0, -3) meets the side z = 1 after 3 of its own lengths.
    assert hits.distance_mm[1] == pytest.approx(3 * np.hypot(0.1, 3.0), rel=1e-12)


def test_a_far_origin_keeps_the_details() -> None:
    """From 10 km, float32 rays would be a millimetre apart."""
    sphere = trimesh.creation.icosphere(subdivisions=5, radius=10.0)
    centers = np.asarray(sphere.triangles_center)
    origins = centers + 1e7 * np.asarray(sphere.face_normals)
    hits = RayCaster(np.asarray(sphere.vertices), np.asarray(sphere.faces)).first_hits(origins, centers - origins)
    np.testing.assert_array_equal(hits.face_idx, np.arange(len(centers)))
    np.testing.assert_allclose(hits.distance_mm, 1e7, rtol=1e-12)


@pytest.mark.parametrize("radius_mm", [0.01, 1.0, 1000.0])
@pytest.mark.parametrize("center_mm", [0.0, 1e5])
def test_a_sphere_hides_only_what_is_behind_it(radius_mm: float, center_mm: float) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=5, radius=radius_mm)
    vertices = np.asarray(sphere.vertices) + center_mm
    caster = RayCaster(vertices, np.asarray(sphere.faces))
    points, normals = vertices[sphere.faces].mean(axis=1), np.asarray(sphere.face_normals)
    camera = center_mm + radius_mm * np.array([1.0, 2.0, 3.0])
    cosine = np.einsum("ij,ij->i", camera - points, normals) / np.linalg.norm(camera - points, axis=1)
    # A convex body hides a face exactly if the face turns away; no face may hide itself. The offset lets
    # faces that turn away by a hair (1e-5 of the size over faces of 1/30 of it) look over the edge.
    blocked = caster.blocked(points, camera, normals=normals)
    assert not blocked[cosine > 0].any()
    assert blocked[cosine < -0.003].all()
    # Without the normals only grazing rays may go wrong.
    clear = np.abs(cosine) > 0.05
    np.testing.assert_array_equal(caster.blocked(points[clear], camera), (cosine <= 0)[clear])


def test_grazing_rays_do_not_meet_their_own_plate() -> None:
    plate = trimesh.creation.box(extents=[100, 100, 1]).subdivide().subdivide().subdivide()
    top = np.asarray(plate.face_normals)[:, 2] > 0.5
    points, normals = np.asarray(plate.triangles_center)[top], np.asarray(plate.face_normals)[top]
    caster = RayCaster(np.asarray(plate.vertices), np.asarray(plate.faces))
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        direction = np.array([np.cos(angle), np.sin(angle), 0.002])  # 89.9 degrees of incidence.
        assert not caster.blocked(points, points + 500.0 * direction, normals=normals).any()


def test_both_ends_are_excluded_and_what_lies_between_is_not() -> None:
    plates = [trimesh.creation.box(extents=[10, 10, 0.1]) for _ in range(3)]
    for height, plate in zip((0.0, 10.0, 20.0), plates, strict=True):
        plate.apply_translation([0, 0, height])

    def blocked(chosen: list[trimesh.Trimesh]) -> bool:
        mesh = trimesh.util.concatenate(chosen)
        caster = RayCaster(np.asarray(mesh.vertices), np.asarray(mesh.faces))
        return bool(caster.blocked(np.array([[1.0, 2.0, 0.05]]), np.array([[-2.0, 1.0, 19.95]]))[0])

    assert not blocked([plates[0], plates[2]])
    assert blocked(plates)


def curved_grid() -> trimesh.Trimesh:
    """The grid of the research notes: 41 x 41 vertices on z = 0.15 sin 3x cos 2y."""
    num = 41
    x, y = np.meshgrid(np.linspace(-1, 1, num), np.linspace(-1, 1, num))
    vertices = np.column_stack([x.ravel(), y.ravel(), (0.15 * np.sin(3 * x) * np.cos(2 * y)).ravel()])
    corner = (np.arange(num - 1)[:, None] * num + np.arange(num - 1)).ravel()
    faces = np.concatenate(
        [
            np.column_stack([corner, corner + 1, corner + num + 1]),
            np.column_stack([corner, corner + num + 1, corner + num]),
        ]
    )
    return trimesh.Trimesh(vertices, faces, process=False)


def closed_slab() -> tuple[trimesh.Trimesh, Ints]:
    """Two such grids, the lower 0.3 below and inside out, with a wall around; rows of the inner vertices."""
    grid = curved_grid()
    num = len(grid.vertices)
    x, y = np.asarray(grid.vertices)[:, :2].T
    inner = np.flatnonzero((np.abs(x) < 0.99) & (np.abs(y) < 0.99))
    edges = grid.edges[trimesh.grouping.group_rows(grid.edges_sorted, require_count=1)]
    walls = np.concatenate(
        [
            np.column_stack([edges[:, 1], edges[:, 0], edges[:, 0] + num]),
            np.column_stack([edges[:, 1], edges[:, 0] + num, edges[:, 1] + num]),
        ]
    )
    vertices = np.concatenate([grid.vertices, np.asarray(grid.vertices) - [0, 0, 0.3]])
    faces = np.concatenate([grid.faces, np.asarray(grid.faces)[:, ::-1] + num, walls])
    slab = trimesh.Trimesh(vertices, faces, process=False)
    assert slab.is_watertight
    assert slab.volume > 0
    return slab, inner


EYE = np.array([0.3, -0.4, 5.0])
EYES = [EYE, np.array([0.0, 0.0, 2.0]), np.array([0.5, 0.5, 1.5]), np.array([-0.3, 0.2, 2.5])]


@pytest.mark.parametrize("aim", ["vertices", "edges"])
def test_nothing_leaks_through_a_grid(aim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rays aimed exactly at inner vertices and at the middles of inner edges."""
    grid = curved_grid()
    vertices = np.asarray(grid.vertices)
    inner = vertices[(np.abs(vertices[:, :2]) < 0.99).all(axis=1)]
    targets = inner if aim == "vertices" else vertices[grid.face_adjacency_edges].mean(axis=1)
    caster = RayCaster(vertices, np.asarray(grid.faces))
    for eye in EYES:
        hits = caster.first_hits(eye, targets - eye)
        assert (hits.face_idx >= 0).all()
        np.testing.assert_allclose(hits.distance_mm, np.linalg.norm(targets - eye, axis=1), rtol=1e-9)
    assert len(targets) == (1521 if aim == "vertices" else 4720)
    # Guards the test: Embree alone loses some of the vertices, but none of the edges.
    monkeypatch.setattr(RayCaster, "_cast_tightly", RayCaster._cast)
    lost = [np.count_nonzero(caster.first_hits(eye, targets - eye).face_idx < 0) for eye in EYES]
    assert (sum(lost) > 0) == (aim == "vertices")


def test_nothing_leaks_into_a_closed_body() -> None:
    """Behind a leak lies the inner side of the wall across: it is not what the ray meets first."""
    slab, inner = closed_slab()
    vertices = np.asarray(slab.vertices)
    targets = vertices[inner]
    caster = RayCaster(vertices, np.asarray(slab.faces))
    for eye in EYES:
        hits = caster.first_hits(eye, targets - eye)
        np.testing.assert_allclose(hits.distance_mm, np.linalg.norm(targets - eye, axis=1), rtol=1e-9)


def test_what_a_closed_body_hides_stays_hidden_where_rays_pass_its_vertices() -> None:
    """A ray blocked by a body enters and leaves it: a leak at one wall leaves the other in the way."""
    slab, inner = closed_slab()
    vertices = np.asarray(slab.vertices)
    caster = RayCaster(vertices, np.asarray(slab.faces))
    for rows in (inner, inner + len(vertices) // 2):
        for eye in EYES:
            assert caster.blocked(eye + 1.5 * (vertices[rows] - eye), eye).all()


def test_outlines_stay_where_they_are() -> None:
    """Rays that just miss a body are no leaks: neither beside an edge, nor at a corner, nor through a slit."""
    box = trimesh.creation.box(extents=[2, 2, 2])
    two = trimesh.util.concatenate([box, box.copy().apply_translation([2.001, 0, 0])])
    caster = RayCaster(np.asarray(two.vertices), np.asarray(two.faces))
    aims = np.array([[-1.000001, 0.3, 5.0], [0.2, 1.000001, 5.0], [-1.000001, -1.000001, 5.0], [1.0005, 0.5, 5.0]])
    hits = caster.first_hits(aims, np.tile([0.0, 0.0, -1.0], (4, 1)))
    np.testing.assert_array_equal(hits.face_idx, -1)
    # From within, the inner side is what is met.
    within = caster.first_hits(np.zeros(3), np.array([[0.1, 0.2, 1.0], [0.0, 0.0, -1.0]]))
    np.testing.assert_allclose(within.distance_mm, [np.sqrt(1.05), 1.0], rtol=1e-12)


def test_empty_input() -> None:
    box = trimesh.creation.box(extents=[1, 1, 1])
    caster = RayCaster(np.asarray(box.vertices), np.asarray(box.faces))
    assert caster.blocked(np.zeros((0, 3)), np.zeros(3)).shape == (0,)
    assert caster.first_hits(np.zeros(3), np.zeros((0, 3))).face_idx.shape == (0,)
    with pytest.raises(ValueError, match="faces must not be empty"):
        RayCaster(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int64))
