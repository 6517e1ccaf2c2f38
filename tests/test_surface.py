from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, PartSource, triangle_areas, triangle_normals
from viewcov.inspection.mesh.split import unique_edges
from viewcov.inspection.mesh.surface import Surface, cut_surface


def _part(mesh: trimesh.Trimesh) -> Part:
    return Part(
        name="shape",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.arange(len(mesh.faces)),
        source=PartSource(path="builtin:shape", sha256="0" * 64),
    )


CUBE = _part(trimesh.creation.box(extents=[10, 10, 10]))
SPHERE = _part(trimesh.creation.icosphere(subdivisions=2, radius=7.0))
NEEDLES = _part(trimesh.creation.cylinder(radius=30.0, height=200.0, sections=64))


def _longest_edge(surface: Surface) -> float:
    corners = surface.corners_mm
    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max())


CLUTCH = load_part("builtin:clutch-half")


@pytest.mark.parametrize(
    ("part", "edge_mm"),
    [(CUBE, 100.0), (CUBE, 3.0), (CUBE, 0.9), (SPHERE, 1.0), (NEEDLES, 6.0), (CLUTCH, 100.0), (CLUTCH, 1.5)],
)
def test_elements_are_the_part_cut_small(part: Part, edge_mm: float) -> None:
    surface = cut_surface(part, edge_mm)
    assert _longest_edge(surface) <= edge_mm
    areas = triangle_areas(part.corners_mm)
    np.testing.assert_allclose(np.bincount(surface.source_face_idx, weights=surface.area_mm2), areas, rtol=1e-9)
    np.testing.assert_allclose(surface.area_mm2, triangle_areas(surface.corners_mm))
    np.testing.assert_allclose(surface.centroid_mm, surface.corners_mm.mean(axis=1))
    # Every element lies in its face and looks the way that it does.
    normal = triangle_normals(part.corners_mm)[surface.source_face_idx]
    np.testing.assert_allclose(np.einsum("ij,ij->i", surface.normal, normal), 1.0, atol=1e-6)
    offset = surface.centroid_mm - part.corners_mm[surface.source_face_idx, 0]
    assert np.abs(np.einsum("ij,ij->i", offset, normal)).max() < 1e-9 * part.largest_extent_mm
    # Closed parts stay closed: no T-junctions, nothing lost, nothing twice.
    assert (np.bincount(unique_edges(surface.faces)[1].ravel()) == 2).all()
    np.testing.assert_array_equal(surface.cad_face_idx, part.cad_face_idx[surface.source_face_idx])


def test_a_part_of_small_triangles_is_left_as_it_is() -> None:
    surface = cut_surface(SPHERE, 100.0)
    np.testing.assert_array_equal(surface.faces, SPHERE.faces)
    np.testing.assert_array_equal(surface.vertices_mm, SPHERE.vertices_mm)


def test_needles_do_not_multiply() -> None:
    # No element is larger than the equilateral triangle, so an area A needs at least A / (sqrt(3) / 4 e^2). Halving
    # alone makes edges between e / 2 and e, four times as many; the slim triangles of CAD cost some more.
    least = CLUTCH.area_mm2 / (np.sqrt(3) / 4 * 1.5**2)
    assert cut_surface(CLUTCH, 1.5).num_elements < 5 * least
    # A strip as narrow as half an edge, of right triangles 3 x 200 mm: 2 x 200 / 5.2 elements would do.
    assert cut_surface(NEEDLES, 6.0).num_elements < 64 * 10 * 2 * 200 / 5.2


@given(seed=st.integers(0, 2**32 - 1), edge=st.floats(0.3, 3.0))
def test_any_triangle_is_cut_into_pieces_of_its_area(seed: int, edge: float) -> None:
    corners = np.random.default_rng(seed).normal(size=(3, 3)) * [5.0, 1.0, 0.2]
    part = _part(trimesh.Trimesh(corners, [[0, 1, 2]], process=False))
    surface = cut_surface(part, edge)
    assert _longest_edge(surface) <= edge
    assert surface.area_mm2.sum() == pytest.approx(part.area_mm2, rel=1e-9)


def _neighbours_by_brute_force(faces: np.ndarray) -> set[tuple[int, int]]:
    corners = [set(face) for face in faces.tolist()]
    return {(i, j) for i, j in combinations(range(len(faces)), 2) if len(corners[i] & corners[j]) == 2}


@pytest.mark.parametrize("edge_mm", [100.0, 5.0])
def test_neighbours_share_an_edge(edge_mm: float) -> None:
    surface = cut_surface(CUBE, edge_mm)
    pairs = surface.neighbours()
    assert len(pairs) == 3 * surface.num_elements / 2  # Each of the edges of a closed surface joins two.
    assert set(map(tuple, pairs.tolist())) == _neighbours_by_brute_force(surface.faces)
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_neighbours_where_three_elements_meet_or_none() -> None:
    fan = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4], [5, 6, 7]])
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [9, 9, 9], [8, 9, 9], [9, 8, 9]])
    surface = cut_surface(_part(trimesh.Trimesh(vertices, fan, process=False)), 10.0)
    assert surface.neighbours().tolist() == [[0, 1], [0, 2], [1, 2]]
    alone = cut_surface(_part(trimesh.Trimesh(vertices, fan[3:], process=False)), 10.0)
    assert alone.neighbours().shape == (0, 2)


def test_what_is_to_be_inspected_is_passed_on_to_the_elements() -> None:
    part = replace(CUBE, inspected=np.arange(12) < 5)
    surface = cut_surface(part, 3.0)
    assert surface.area_mm2[surface.inspected].sum() == pytest.approx(5 * 50.0)


def test_too_many_elements_are_taken_for_a_mistake() -> None:
    with pytest.raises(InputError, match="too many surface elements") as caught:
        cut_surface(CUBE, 1e-3)
    assert len(str(caught.value).splitlines()) == 1


def test_slivers_of_next_to_no_area_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("viewcov.inspection.mesh.surface.MAX_ELEMENTS", 1000)
    sliver = np.array([[0.0, 0, 0], [1e3, 0, 0], [500, 1e-6, 0]])
    with pytest.raises(InputError, match="too many surface elements"):
        cut_surface(_part(trimesh.Trimesh(sliver, [[0, 1, 2]], process=False)), 0.1)


@pytest.mark.parametrize("edge_mm", [0.0, -1.0, float("nan"), float("inf")])
def test_edges_must_have_a_length(edge_mm: float) -> None:
    with pytest.raises(ValueError, match="max_edge_mm must be positive"):
        cut_surface(CUBE, edge_mm)
