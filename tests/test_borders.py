from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.inspection.mesh.borders import border_edges, cracked, stitched
from viewcov.inspection.mesh.part import triangle_areas


def _split_cylinder(top_sections: int, wall_sections: int, gap_mm: float) -> trimesh.Trimesh:
    """A cylinder whose lids and wall have other numbers of corners, and a gap between them."""
    wall = trimesh.creation.cylinder(radius=10, height=20, sections=wall_sections)
    wall.update_faces(np.abs(wall.face_normals[:, 2]) < 0.5)
    lids = trimesh.creation.cylinder(radius=10, height=20 + 2 * gap_mm, sections=top_sections)
    lids.update_faces(np.abs(lids.face_normals[:, 2]) > 0.5)
    return trimesh.util.concatenate([wall, lids])


def _shape(vertices: np.ndarray, faces: np.ndarray) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices, faces, process=False)


@pytest.mark.parametrize(("top", "wall"), [(32, 32), (32, 64), (48, 32), (35, 48), (31, 57)])
@pytest.mark.parametrize("gap_mm", [0.0, 1e-3, 0.05])
def test_a_crack_between_other_chords_of_one_curve_closes(top: int, wall: int, gap_mm: float) -> None:
    shape = _split_cylinder(top, wall, gap_mm)
    vertices, faces, parent = stitched(np.array(shape.vertices), np.array(shape.faces))
    closed = _shape(vertices, faces)
    closed.remove_unreferenced_vertices()
    assert closed.is_watertight
    assert closed.is_winding_consistent
    # The polygon with more corners has the larger area; all volumes lie between those of the two, and the gaps.
    volumes = [trimesh.creation.cylinder(radius=10, height=20, sections=num).volume for num in (top, wall)]
    assert 0.995 * min(volumes) < closed.volume < 1.01 * max(volumes)
    # Each piece lies in the face that it was cut from, or near it.
    middle = vertices[faces].mean(axis=1)
    origin = shape.triangles[parent]
    distance = trimesh.triangles.closest_point(origin, middle) - middle
    assert np.linalg.norm(distance, axis=1).max() < gap_mm + 10 * (1 - np.cos(np.pi / min(top, wall)))


def test_holes_are_no_cracks_and_stay() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=10)
    for radius in (0.5, 2.0, 6.0):
        far = np.linalg.norm(ball.triangles_center - [0, 0, 10], axis=1) > radius
        vertices, faces = np.array(ball.vertices), np.array(ball.faces)[far]
        ends, _ = border_edges(faces)
        assert len(ends) > 0
        assert not cracked(vertices, faces).any()
        np.testing.assert_array_equal(stitched(vertices, faces)[1], faces)


def test_a_hole_of_any_size_and_an_outer_border_are_no_cracks() -> None:
    ring = trimesh.creation.annulus(r_min=0.04, r_max=5, height=1, sections=16)
    ring.update_faces(ring.face_normals[:, 2] > 0.5)
    ends, _ = border_edges(np.array(ring.faces))
    assert len(ends) == 32
    assert not cracked(np.array(ring.vertices), np.array(ring.faces)).any()
    # Border edges as long as a hundredth of the size: the next one on the same border is no other side.
    x, y = np.meshgrid(np.arange(101.0), np.arange(3.0))
    corner = np.arange(303).reshape(3, 101)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    faces = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])])
    vertices = np.column_stack([x.ravel(), y.ravel() * 20, np.zeros(303)])
    ends, _ = border_edges(faces)
    assert not cracked(vertices, faces).any()
    np.testing.assert_array_equal(stitched(vertices, faces)[1], faces)


def test_no_face_is_bent_over_to_close_a_crack() -> None:
    for height, stays in ((0.02, True), (2.0, False)):
        flat = [[0, 0, 0], [10, 0, 0], [5, -height, 0]]
        across = [[0, 0, 0], [5, 0, 0.09], [10, 0, 0], [5, 80, 0]]
        vertices = np.array(flat + across, dtype=np.float64)
        faces = np.array([[1, 0, 2], [3, 4, 6], [4, 5, 6]])
        changed = stitched(vertices, faces)[1]
        assert (len(changed) == 3) == stays


def test_wide_cracks_are_named_and_stay() -> None:
    shape = _split_cylinder(400, 400, 0.1)  # A gap of 0.1 between edges of 0.16: too wide for its edges.
    vertices, faces = np.array(shape.vertices), np.array(shape.faces)
    ends, _ = border_edges(faces)
    assert cracked(vertices, faces).all()
    assert len(border_edges(stitched(vertices, faces)[1])[0]) == len(ends)


def test_a_sound_solid_is_left_alone() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    vertices, faces, parent = stitched(np.array(ball.vertices), np.array(ball.faces))
    np.testing.assert_array_equal(vertices, ball.vertices)
    np.testing.assert_array_equal(faces, ball.faces)
    np.testing.assert_array_equal(parent, np.arange(len(faces)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_torn_seams_close_and_nothing_is_lost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ball = trimesh.creation.icosphere(subdivisions=2, radius=10)
    # Torn in two along edges, and each border corner moved by up to 1e-4 of the size.
    half = ball.triangles_center @ rng.normal(size=3) > rng.uniform(-5, 5)
    vertices = np.concatenate([ball.vertices, ball.vertices])
    faces = np.concatenate([ball.faces[half], ball.faces[~half] + len(ball.vertices)])
    vertices = vertices + rng.uniform(-1, 1, vertices.shape) * 1e-4 * 20 / np.sqrt(3) / 2
    mended, mended_faces, _ = stitched(vertices, faces)
    assert len(border_edges(mended_faces)[0]) == 0
    assert len(mended_faces) == len(faces)
    assert triangle_areas(mended[mended_faces]).sum() == pytest.approx(ball.area, rel=1e-3)
