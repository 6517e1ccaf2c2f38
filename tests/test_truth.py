"""Planted defects on the elements of the surface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.coverage.effective.truth import PlantedDefect, SurfaceTruth, locate, truth_from_samples, truth_on_elements
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import write_json, write_table
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface


def surface_of(vertices: np.ndarray, faces: np.ndarray, *, edge_mm: float) -> Surface:
    part = Part(
        name="test",
        vertices_mm=vertices,
        faces=faces,
        cad_face_idx=np.zeros(len(faces), dtype=np.int32),
        source=PartSource(path="test.stl", sha256="0" * 64),
    )
    return cut_surface(part, edge_mm)


def block(edge_mm: float = 1.5) -> Surface:
    mesh = trimesh.creation.box(extents=[30, 20, 10])
    return surface_of(mesh.vertices, mesh.faces, edge_mm=edge_mm)


def defect(number: int, center_mm: tuple[float, float, float] = (0.0, 0.0, 5.0)) -> PlantedDefect:
    return PlantedDefect(
        id=number,
        kind="dent",
        center_mm=center_mm,
        size_mm=1.0,
        depth_mm=0.1,
        width_mm=1.0,
        area_mm2=1.0,
        cad_face=0,
    )


def record(number: int) -> dict[str, object]:
    return {
        "id": number,
        "kind": "scratch",
        "center_mm": [1.0, 2.0, 5.0],
        "size_mm": 4.0,
        "depth_mm": 0.05,
        "width_mm": 0.4,
        "area_mm2": 1.6,
        "cad_face": 3,
        "parameters": {"seed": 1},
    }


def elements_of(truth: SurfaceTruth, number: int) -> np.ndarray:
    """Elements of one defect that count as defective."""
    return truth.element_idx[(truth.defect_id == number) & truth.on_defect()]


def random_points(surface: Surface, rng: np.random.Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Elements, and a point strictly inside of each."""
    element = rng.choice(surface.num_elements, num, p=surface.area_mm2 / surface.area_mm2.sum())
    share = 0.98 * rng.dirichlet([1, 1, 1], size=num) + 0.02 / 3
    return element, np.einsum("nk,nkj->nj", share, surface.corners_mm[element])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.9, 2.5, 40.0]))
def test_points_are_located_in_the_element_they_were_drawn_from(seed: int, edge_mm: float) -> None:
    surface = block(edge_mm)
    element, points = random_points(surface, np.random.default_rng(seed), 300)
    np.testing.assert_array_equal(locate(surface, surface.source_face_idx[element], points), element)


def test_a_large_element_beside_many_small_ones() -> None:
    # Near the edge that a large triangle shares with 80 small ones, the nearest centroids are all theirs.
    rim = np.column_stack([np.linspace(0, 30, 81), np.zeros(81), np.zeros(81)])
    tips = (rim[1:] + rim[:-1]) / 2 - [0.0, 0.4, 0.0]
    vertices = np.concatenate([rim, tips, [[15.0, 25.0, 0.0]]])
    small = np.column_stack([np.arange(80) + 1, np.arange(80), 81 + np.arange(80)])
    cut = surface_of(vertices, np.concatenate([small, [[0, 80, 161]]]), edge_mm=100.0)
    outline = surface_of(vertices, np.array([[0, 80, 161]]), edge_mm=100.0)
    surface = replace(cut, part=outline.part, source_face_idx=np.zeros(81, dtype=np.int64))
    points = np.column_stack([np.linspace(5, 25, 500), np.full(500, 0.05), np.zeros(500)])
    np.testing.assert_array_equal(locate(surface, np.zeros(500, dtype=np.int64), points), 80)
    element, points = random_points(surface, np.random.default_rng(5), 2000)
    np.testing.assert_array_equal(locate(surface, np.zeros(2000, dtype=np.int64), points), element)


def test_the_face_decides_between_two_that_meet_in_an_edge() -> None:
    surface = block()
    # A point on the edge between top (z = 5) and front (y = -10), once said to be on either.
    point = np.array([[3.3, -10.0, 5.0]])
    normals = {"top": [0, 0, 1], "front": [0, -1, 0]}
    for normal in normals.values():
        elements = np.flatnonzero(surface.normal @ normal > 0.99)
        for face in np.unique(surface.source_face_idx[elements]):
            found = locate(surface, np.array([face]), point)
            assert surface.source_face_idx[found[0]] == face


def test_points_off_by_rounding_keep_their_face() -> None:
    surface = block()
    rng = np.random.default_rng(7)
    element, points = random_points(surface, rng, 500)
    face = surface.source_face_idx[element]
    found = locate(surface, face, points + rng.normal(0, 1e-5, points.shape))
    np.testing.assert_array_equal(surface.source_face_idx[found], face)
    assert (found == element).mean() > 0.99


def test_a_disc_covers_its_area_and_no_more() -> None:
    surface = block(0.8)
    radius, step = 4.0, 0.05
    ticks = np.arange(-radius, radius, step) + step / 2
    across, along = (grid.ravel() for grid in np.meshgrid(ticks, ticks))
    # Turned, so that no row of samples runs along the edges of elements.
    x, y = 0.8 * across - 0.6 * along, 0.6 * across + 0.8 * along
    inside = x**2 + y**2 <= radius**2
    points = np.column_stack([x, y, np.full(len(x), 5.0)])[inside]
    top = np.flatnonzero(surface.normal[:, 2] > 0.99)
    # The top has two triangles; which one a point is on follows from the side of their diagonal.
    one, other = np.unique(surface.source_face_idx[top])
    shared = np.intersect1d(surface.part.faces[one], surface.part.faces[other])
    (start, end), tip = surface.part.vertices_mm[shared], surface.part.corners_mm[one].mean(axis=0)

    def side(q: np.ndarray) -> np.ndarray:
        return np.cross(end - start, q - start)[..., 2]

    faces = np.where(np.sign(side(points)) == np.sign(side(tip)), one, other)
    element = locate(surface, faces, points)
    truth = truth_from_samples(
        surface, (defect(1),), np.ones(len(points), dtype=np.int32), element, np.full(len(points), step**2)
    )
    # Pixelated discs of 80 steps across are within half a percent.
    assert truth.area_mm2.sum() == pytest.approx(np.pi * radius**2, rel=5e-3)
    assert truth.share().max() <= 1.0
    reach = np.linalg.norm(surface.corners_mm[:, :, :2], axis=2)
    wholly_in = np.isin(np.arange(surface.num_elements), top) & (reach.max(axis=1) < radius - step)
    # About 100 samples an element, whose border passes some 40 of them: a few percent.
    covered = np.bincount(truth.element_idx, weights=truth.area_mm2, minlength=surface.num_elements)
    ratio = covered[wholly_in] / surface.area_mm2[wholly_in]
    assert abs(ratio - 1.0).max() < 0.15
    assert ratio.mean() == pytest.approx(1.0, abs=0.005)
    assert not truth.defective()[np.isin(np.arange(surface.num_elements), top, invert=True)].any()
    assert set(elements_of(truth, 1)) == set(np.flatnonzero(truth.defective()))


def test_samples_are_summed_per_defect_and_element() -> None:
    surface = block(40.0)
    truth = truth_from_samples(
        surface,
        (defect(2), defect(1)),
        np.array([2, 1, 2, 2, 1]),
        np.array([5, 3, 5, 0, 3]),
        np.array([0.5, 1.0, 0.25, 2.0, 4.0]),
    )
    np.testing.assert_array_equal(truth.defect_id, [1, 2, 2])
    np.testing.assert_array_equal(truth.element_idx, [3, 0, 5])
    np.testing.assert_allclose(truth.area_mm2, [5.0, 2.0, 0.75])


def test_defects_far_smaller_than_an_element_stay_in_the_truth() -> None:
    surface = block(40.0)
    truth = truth_from_samples(surface, (defect(1),), np.array([1, 1]), np.array([2, 4]), np.array([0.01, 0.02]))
    largest = 2 if 0.01 / surface.area_mm2[2] > 0.02 / surface.area_mm2[4] else 4
    assert elements_of(truth, 1).tolist() == [largest]


def write_inspection(root: Path, surface: Surface, **changes: object) -> InspectionFolder:
    folder = InspectionFolder(root)
    element, points = random_points(surface, np.random.default_rng(3), 50)
    columns: dict[str, object] = {
        "defect_id": np.repeat([1, 2], 25).astype(np.int32),
        "part_face": surface.source_face_idx[element],
        "x_mm": points[:, 0],
        "y_mm": points[:, 1],
        "z_mm": points[:, 2],
        "area_mm2": np.full(50, 0.01),
    }
    columns.update({name: value for name, value in changes.items() if name in columns})
    truth = {"schema_version": "viewcov-truth/1", "defects": [record(1), record(2)], "seed": 3, "texture": {}}
    truth.update({name: value for name, value in changes.items() if name in truth})
    write_json(folder.truth_path, truth)
    write_table(folder.truth_samples_path, {k: v for k, v in columns.items() if v is not None})
    return folder


def test_truth_files_are_read(tmp_path: Path) -> None:
    surface = block()
    truth = truth_on_elements(surface, write_inspection(tmp_path, surface))
    assert isinstance(truth, SurfaceTruth)
    assert [d.id for d in truth.defects] == [1, 2]
    assert truth.defects[0].kind == "scratch"
    element, _ = random_points(surface, np.random.default_rng(3), 50)
    for number, own in ((1, element[:25]), (2, element[25:])):
        np.testing.assert_array_equal(truth.element_idx[truth.defect_id == number], np.unique(own))
    assert truth.area_mm2.sum() == pytest.approx(0.5)
    centers = surface.centroid_mm[element[:25]]
    nearest = element[:25][np.argmin(np.linalg.norm(centers - [1.0, 2.0, 5.0], axis=1))]
    assert truth.center_element_idx[0] == nearest


def test_an_inspection_without_defects_is_fine(tmp_path: Path) -> None:
    surface = block()
    empty = {name: np.zeros(0) for name in ("x_mm", "y_mm", "z_mm", "area_mm2")}
    numbers = {"defect_id": np.zeros(0, dtype=np.int32), "part_face": np.zeros(0, dtype=np.int64)}
    truth = truth_on_elements(surface, write_inspection(tmp_path, surface, defects=[], **empty, **numbers))
    assert truth.defects == ()
    assert not truth.defective().any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": "other/1"}, "another kind or version of file"),
        ({"defects": [{"id": 1}]}, "field 'defects.0.kind' is missing"),
        ({"area_mm2": None}, "column 'area_mm2' is missing"),
        ({"defects": [record(1)]}, "samples of an unknown defect.*defect 2"),
        ({"part_face": np.full(50, 12)}, "samples on faces that the part does not have.*0 to 11"),
    ],
)
def test_wrong_truth_files_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    surface = block()
    folder = write_inspection(tmp_path, surface, **changes)
    with pytest.raises(InputError, match=message):
        truth_on_elements(surface, folder)
