from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from viewcov.inspection.mesh.part import triangle_areas, triangle_normals
from viewcov.inspection.mesh.split import flipped_to_delaunay, split_marked, unique_edges

seeds = st.integers(0, 2**32 - 1)


def _random_sheet(seed: int, num_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangulation of random points in the unit square, in space; counter-clockwise seen from +Z."""
    rng = np.random.default_rng(seed)
    flat = rng.random((num_points, 2))
    faces = Delaunay(flat).simplices.astype(np.int64)
    a, b, c = flat[faces].transpose(1, 0, 2)
    left = np.cross(np.c_[b - a, np.zeros(len(a))], np.c_[c - a, np.zeros(len(a))])[:, 2] > 0
    faces = np.where(left[:, None], faces, faces[:, ::-1])
    return np.column_stack([flat, 0.3 * np.sin(5 * flat[:, 0]) * flat[:, 1]]), faces


def _edge_uses(faces: np.ndarray) -> np.ndarray:
    return np.bincount(unique_edges(faces)[1].ravel())


def test_unique_edges_of_two_triangles() -> None:
    edges, face_edges = unique_edges(np.array([[0, 1, 2], [2, 1, 5]]))
    np.testing.assert_array_equal(edges, [[0, 1], [0, 2], [1, 2], [1, 5], [2, 5]])
    np.testing.assert_array_equal(face_edges, [[0, 2, 1], [2, 3, 4]])


@given(seed=seeds, num_points=st.integers(3, 30), share=st.floats(0.0, 1.0))
def test_a_split_keeps_area_winding_and_joints(seed: int, num_points: int, share: float) -> None:
    vertices, faces = _random_sheet(seed, num_points)
    edges, face_edges = unique_edges(faces)
    marked = np.random.default_rng(seed).random(len(edges)) < share
    split = split_marked(vertices, faces, edges, face_edges, marked)

    areas = np.bincount(split.parent_idx, triangle_areas(split.vertices[split.faces]), len(faces))
    np.testing.assert_allclose(areas, triangle_areas(vertices[faces]), rtol=1e-9, atol=1e-15)
    # Pieces lie in the plane of their parent and look the same way.
    cosine = np.einsum(
        "ij,ij->i",
        triangle_normals(split.vertices[split.faces]),
        triangle_normals(vertices[faces])[split.parent_idx],
    )
    np.testing.assert_allclose(cosine, 1.0, atol=1e-6)

    # No T-junctions: the border of the sheet is the only place where an edge is used once, and it has become
    # longer by the border edges that were split.
    uses, before = _edge_uses(split.faces), _edge_uses(faces)
    assert uses.max() <= 2
    assert (uses == 1).sum() == (before == 1).sum() + (marked & (before == 1)).sum()

    np.testing.assert_array_equal(split.vertices[: len(vertices)], vertices)
    np.testing.assert_array_equal(split.edge_ends, edges[marked])
    np.testing.assert_allclose(split.vertices[len(vertices) :], vertices[edges[marked]].mean(axis=1))
    assert len(split.faces) == len(faces) + marked[face_edges].sum()
    assert (np.diff(split.parent_idx) >= 0).all()


@given(seed=seeds)
def test_a_closed_mesh_stays_closed(seed: int) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=1)
    faces = np.asarray(sphere.faces, dtype=np.int64)
    edges, face_edges = unique_edges(faces)
    marked = np.random.default_rng(seed).random(len(edges)) < 0.5
    split = split_marked(np.asarray(sphere.vertices), faces, edges, face_edges, marked)
    assert (_edge_uses(split.faces) == 2).all()
    mesh = trimesh.Trimesh(split.vertices, split.faces, process=False)
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(sphere.volume, rel=1e-12)


def _locally_delaunay(vertices: np.ndarray, faces: np.ndarray, group: np.ndarray) -> bool:
    """In each pair of faces of a group, the far corner is not in the other's circumcircle (by its determinant)."""
    owners: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for face, corners in enumerate(faces):
        for k in range(3):
            edge = tuple(sorted((int(corners[k]), int(corners[(k + 1) % 3]))))
            owners.setdefault(edge, []).append((face, int(corners[(k + 2) % 3])))  # type: ignore[arg-type]
    for users in owners.values():
        if len(users) == 2 and group[users[0][0]] == group[users[1][0]]:
            (first, _), (_, tip) = users
            relative = vertices[faces[first]][:, :2] - vertices[tip][:2]
            determinant = np.linalg.det(np.column_stack([relative, (relative**2).sum(axis=1)]))
            # It is the sine of the sum of the opposite angles, of which flips leave 1e-3, times four lengths of
            # at most sqrt(2) in the unit square.
            if determinant > 4e-3:
                return False
    return True


@given(seed=seeds, num_points=st.integers(4, 40), num_groups=st.integers(1, 3))
def test_flips_make_each_flat_group_delaunay_and_keep_its_area(seed: int, num_points: int, num_groups: int) -> None:
    rng = np.random.default_rng(seed)
    vertices, faces = _random_sheet(seed, num_points)
    vertices[:, 2] = 0.0
    faces = _worsened(vertices, faces, rng)
    group = rng.integers(0, num_groups, len(faces))
    flipped = flipped_to_delaunay(vertices, faces, group)
    assert _locally_delaunay(vertices, flipped, group)
    for which in range(num_groups):
        before = triangle_areas(vertices[faces[group == which]]).sum()
        assert triangle_areas(vertices[flipped[group == which]]).sum() == pytest.approx(before, rel=1e-12)
    assert (triangle_normals(vertices[flipped])[:, 2] > 0).all()
    np.testing.assert_array_equal(np.sort(_edge_uses(flipped)), np.sort(_edge_uses(faces)))


def _worsened(vertices: np.ndarray, faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The triangulation after flips of random edges whose quadrangle is strictly convex."""
    faces = faces.copy()
    for _ in range(3 * len(faces)):
        first = int(rng.integers(len(faces)))
        a, b, c = np.roll(faces[first], -int(rng.integers(3)))
        rows, corners = np.nonzero(faces == b)
        for second, corner in zip(rows, corners, strict=True):
            if faces[second, (corner + 1) % 3] == a:
                d = faces[second, (corner + 2) % 3]
                new = np.array([[a, d, c], [d, b, c]])
                corner_mm = vertices[new]
                cross = np.cross(corner_mm[:, 1] - corner_mm[:, 0], corner_mm[:, 2] - corner_mm[:, 0])[:, 2]
                if (cross > 1e-6).all():
                    faces[[first, second]] = new
                break
    return faces


def test_an_edge_with_a_third_face_is_not_flipped() -> None:
    # Two flat triangles with a poor diagonal, on which a fin stands.
    vertices = np.array([[-10.0, 0, 0], [10, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 5]])
    sheet = np.array([[0, 1, 2], [1, 0, 3]])
    assert not np.array_equal(flipped_to_delaunay(vertices, sheet, np.zeros(2, dtype=np.int64)), sheet)
    with_fin = np.concatenate([sheet, [[0, 1, 4]]])
    flipped = flipped_to_delaunay(vertices, with_fin, np.array([0, 0, 1]))
    np.testing.assert_array_equal(flipped, with_fin)
