from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trimesh

from viewcov.inspection.mesh.part import Part, PartSource, snapped, triangle_areas, triangle_normals

SOURCE = PartSource(path="builtin:box", sha256="0" * 64)


def _box(**changes: Any) -> Part:
    box = trimesh.creation.box(extents=[10, 20, 30])
    fields: dict[str, Any] = {
        "name": "box",
        "vertices_mm": np.asarray(box.vertices) + [100.0, 0.0, 0.0],
        "faces": box.faces,
        "cad_face_idx": np.arange(12) // 2,
        "source": SOURCE,
    }
    return Part(**(fields | changes))


def test_sizes_of_a_box() -> None:
    part = _box()
    assert part.area_mm2 == pytest.approx(2 * (10 * 20 + 20 * 30 + 30 * 10))
    np.testing.assert_allclose(part.bounds_mm, [[95, -10, -15], [105, 10, 15]])
    np.testing.assert_allclose(part.center_mm, [100, 0, 0])
    assert part.largest_extent_mm == pytest.approx(30)
    assert part.inspected is not None
    assert part.inspected.all()


def test_unused_vertices_have_no_say_in_the_size() -> None:
    far = np.vstack([_box().vertices_mm, [[1e6, 1e6, 1e6]]])
    np.testing.assert_array_equal(_box(vertices_mm=far).bounds_mm, _box().bounds_mm)


def test_a_part_keeps_its_own_locked_arrays() -> None:
    vertices = np.array(_box().vertices_mm)
    part = _box(vertices_mm=vertices)
    vertices[:] = 0.0
    assert part.largest_extent_mm == pytest.approx(30)
    for array in (part.vertices_mm, part.faces, part.cad_face_idx, part.inspected):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_areas_and_normals_of_triangles() -> None:
    corners = np.array([[[0.0, 0, 0], [3, 0, 0], [0, 4, 0]], [[1.0, 1, 1], [2, 2, 2], [3, 3, 3]]])
    np.testing.assert_allclose(triangle_areas(corners), [6.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(triangle_normals(corners), [[0, 0, 1], [0, 0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices_mm": np.zeros((8, 2))}, "vertices_mm must have shape"),
        ({"vertices_mm": np.full((8, 3), np.nan)}, "vertices_mm must be finite"),
        ({"faces": np.zeros((0, 3))}, "faces must not be empty"),
        ({"faces": [[0, 1, 8]]}, "faces must index 8 vertices"),
        ({"faces": [[0, 1, -1]]}, "faces must index 8 vertices"),
        ({"faces": [[0, 1]]}, "faces must have shape"),
        ({"cad_face_idx": np.zeros(11)}, "cad_face_idx must have shape"),
        ({"inspected": np.ones(13, dtype=bool)}, "inspected must have shape"),
    ],
)
def test_impossible_parts_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _box(**change)


def test_a_snapped_part_has_lost_the_last_digits_of_its_unit() -> None:
    # Size 30: a grid of 1e-4 mm.
    rng = np.random.default_rng(0)
    part = _box()
    bent = _box(vertices_mm=part.vertices_mm + rng.uniform(-1, 1, (8, 3)))
    whole = snapped(bent)
    assert np.abs(whole.vertices_mm - bent.vertices_mm).max() <= 0.64e-4
    np.testing.assert_allclose(whole.vertices_mm * 1e4, np.rint(whole.vertices_mm * 1e4), atol=1e-6)
    np.testing.assert_allclose(snapped(whole).vertices_mm, whole.vertices_mm, rtol=1e-14)
    # Round numbers, in mm as in inches, come out the same however their single precision was rounded.
    for step in (1.0, 0.125, 25.4 / 64, 0.00005):
        round_mm = np.rint(bent.vertices_mm / step) * step
        noisy = round_mm + rng.uniform(-4e-6, 4e-6, round_mm.shape)
        plain, moved = snapped(_box(vertices_mm=round_mm)), snapped(_box(vertices_mm=noisy))
        np.testing.assert_array_equal(moved.vertices_mm, plain.vertices_mm)


def test_the_grid_of_a_part_of_100_mm_does_not_hang_on_its_last_digit() -> None:
    vertices = _box().vertices_mm * (100.0 / _box().largest_extent_mm)
    inside = np.array([[33.33337, 12.34567, 8.76543], [40.0, 12.0, 8.0], [35.0, 15.0, 8.0]])
    grids = []
    for noise in (1 - 1e-7, 1.0, 1 + 1e-7):
        points = np.concatenate([vertices * noise, inside])
        faces = [*_box().faces.tolist(), [8, 9, 10]]
        grids.append(snapped(_box(vertices_mm=points, faces=faces, cad_face_idx=np.zeros(13))).vertices_mm[8])
    np.testing.assert_array_equal(grids[0], grids[1])
    np.testing.assert_array_equal(grids[2], grids[1])


def test_triangles_of_the_size_of_the_grid_are_not_snapped() -> None:
    part = _box()
    small = np.array([[100.0, 0, 0], [100.00013, 0, 0], [100.0, 0.00017, 0]])
    vertices = np.concatenate([part.vertices_mm, small])
    both = _box(vertices_mm=vertices, faces=[*part.faces.tolist(), [8, 9, 10]], cad_face_idx=np.zeros(13))
    np.testing.assert_array_equal(snapped(both).vertices_mm[8:], small)
