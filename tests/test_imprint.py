"""Pressing defects into meshes."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.inspection.lay import face_lays
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import (
    Part,
    PartSource,
    cad_corner_normals,
    interpolated_normals,
    triangle_areas,
    triangle_normals,
)
from viewcov.inspection.rig.requirements import Requirements
from viewcov.synthesis.defects import Defect, DefectRanges, sample_defects
from viewcov.synthesis.imprint import Imprint, imprint, refined_for
from viewcov.synthesis.refinement import refine, unrefined


def box(extents: tuple[float, float, float], subdivisions: int = 0) -> Part:
    mesh = trimesh.creation.box(extents=extents)
    for _ in range(subdivisions):
        mesh = mesh.subdivide()
    side = np.argmax(mesh.face_normals @ np.vstack([np.eye(3), -np.eye(3)]).T, axis=1)
    return Part(
        name="box",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=side,
        source=PartSource(path="box", sha256="0" * 64),
    )


def dent(center: tuple[float, float, float], radius: float, depth: float, rim: float = 0.0) -> Defect:
    point = np.array(center)
    return Defect(
        id=1,
        kind="dent",
        center_mm=point,
        normal=[0, 0, 1],
        part_face=0,
        cad_face=2,
        path_mm=point[None],
        path_normal=np.array([[0.0, 0.0, 1.0]]),
        size_mm=2 * radius,
        width_mm=2 * radius,
        depth_mm=depth,
        rim=rim,
    )


def scratch(start: tuple[float, float, float], end: tuple[float, float, float], width: float) -> Defect:
    path = np.linspace(start, end, 60)
    return Defect(
        id=1,
        kind="scratch",
        center_mm=path.mean(axis=0),
        normal=[0, 0, 1],
        part_face=0,
        cad_face=2,
        path_mm=path,
        path_normal=np.tile([0.0, 0.0, 1.0], (60, 1)),
        size_mm=float(np.linalg.norm(path[-1] - path[0])),
        width_mm=width,
        depth_mm=0.2 * width,
        rim=0.2,
    )


def pressed(part: Part, *defects: Defect, mm_per_px: float = 0.1) -> Imprint:
    return imprint(part, defects, refined_for(part, defects, mm_per_px=mm_per_px))


def watertight(faces: np.ndarray) -> bool:
    """Every directed edge is met once by its opposite: closed and wound alike."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forth = {tuple(edge) for edge in directed.tolist()}
    return len(forth) == len(directed) and all((b, a) in forth for a, b in forth)


def check_partition(part: Part, made: Imprint) -> None:
    mesh = made.mesh
    assert watertight(mesh.faces)
    areas = np.bincount(mesh.part_face, weights=triangle_areas(mesh.corners_mm), minlength=len(part.faces))
    np.testing.assert_allclose(areas, triangle_areas(part.corners_mm), rtol=1e-9)
    back = np.einsum("gck,gkd->gcd", mesh.barycentric, part.corners_mm[mesh.part_face])
    np.testing.assert_allclose(back, mesh.corners_mm, atol=1e-9)
    used = np.unique(mesh.faces)
    assert len(used) == len(mesh.vertices_mm), "no vertex may be left over"


def test_dent_on_a_plate_has_its_area_depth_and_place() -> None:
    part = box((40.0, 30.0, 6.0))
    made = pressed(part, dent((5.0, -3.0, 3.0), 2.0, 0.3, rim=0.1))
    check_partition(part, made)
    samples = made.truth_samples()
    # Faces count whole or not at all by their middle: the error of the area stays below one ring of faces
    # of edge 0.19 mm, and in the mean is far smaller.
    assert samples["area_mm2"].sum() == pytest.approx(np.pi * 2.0**2, rel=0.03)
    assert made.defect_areas_mm2() == pytest.approx([samples["area_mm2"].sum()])
    np.testing.assert_allclose(samples["z_mm"], 3.0)
    assert np.hypot(samples["x_mm"] - 5.0, samples["y_mm"] + 3.0).max() < 2.0 + 0.2
    assert set(samples["defect_id"].tolist()) == {1}
    assert set(part.cad_face_idx[samples["part_face"]].tolist()) == {2}
    top = made.mesh.vertices_mm[:, 2] == 3.0
    height = made.vertices_mm[:, 2] - made.mesh.vertices_mm[:, 2]
    assert height.min() == pytest.approx(-0.3, rel=0.02)
    assert 0 < height.max() <= 0.1 * 0.3 + 1e-12
    assert (height[~top] == 0).all()
    np.testing.assert_array_equal(made.vertices_mm[:, :2], made.mesh.vertices_mm[:, :2])


def test_shading_normals_are_those_of_the_analytic_dent() -> None:
    part = box((40.0, 30.0, 6.0))
    defect = dent((0.0, 0.0, 3.0), 2.0, 0.3)
    mesh = refined_for(part, [defect], mm_per_px=0.02)
    made = imprint(part, [defect], mesh)
    corners, a = mesh.corners_mm, defect.outer_mm
    x = np.hypot(corners[..., 0], corners[..., 1]) / a
    inside = (x < 1) & (corners[..., 2] == 3.0) & (made.corner_normals[..., 2] > 0.5)
    # h = -d (1 - x^2)^2, so h' = 4 d x (1 - x^2) / a; the normal leans to the middle where h rises outward.
    slope = 4 * 0.3 * x * (1 - x**2) / a
    normals = made.corner_normals[inside]
    lean = np.hypot(normals[:, 0], normals[:, 1]) / normals[:, 2]
    np.testing.assert_allclose(lean, slope[inside], atol=0.08 * slope.max())
    inward = -(normals[:, :2] * corners[inside][:, :2]).sum(axis=1)
    assert (inward[x[inside] > 0.1] > 0).all()


def test_shading_normals_follow_the_displaced_triangles() -> None:
    part = box((40.0, 30.0, 6.0))
    for defect in (dent((1.0, 2.0, 3.0), 1.5, 0.2), scratch((-8.0, 0.0, 3.0), (6.0, 5.0, 3.0), 0.6)):
        made = pressed(part, defect)
        rows = np.flatnonzero(made.defect_id)
        flat = triangle_normals(made.vertices_mm[made.mesh.faces[rows]])
        smooth = made.corner_normals[rows].mean(axis=1)
        smooth /= np.linalg.norm(smooth, axis=1, keepdims=True)
        off = np.rad2deg(np.arccos(np.clip((flat * smooth).sum(axis=1), -1, 1)))
        tilt = np.rad2deg(np.arccos(flat[:, 2]))
        assert np.average(off, weights=triangle_areas(made.mesh.corners_mm[rows])) < 0.25 * tilt.max()


def test_scratch_has_its_length_times_width() -> None:
    part = box((40.0, 30.0, 6.0))
    made = pressed(part, scratch((-8.0, 0.0, 3.0), (6.0, 5.0, 3.0), 0.5))
    check_partition(part, made)
    # The round ends taper off within a width.
    expected = np.hypot(14.0, 5.0) * 0.5
    assert made.defect_areas_mm2()[0] == pytest.approx(expected, rel=0.05)


def test_nothing_shows_on_the_other_side_of_a_thin_wall() -> None:
    part = box((40.0, 30.0, 0.5), subdivisions=5)
    made = pressed(part, dent((0.0, 0.0, 0.25), 2.0, 0.2))
    below = made.mesh.vertices_mm[:, 2] < 0
    np.testing.assert_array_equal(made.vertices_mm[below], made.mesh.vertices_mm[below])
    assert (made.mesh.corners_mm[made.defect_id > 0, :, 2] == 0.25).all()


def test_null_displacement_is_the_clean_twin_to_the_last_bit() -> None:
    part = load_part("builtin:clutch-half")
    ranges = DefectRanges.for_part(part, Requirements())
    defects = sample_defects(part, ranges, 6, np.random.default_rng(0)).defects
    mesh = refined_for(part, defects, mm_per_px=0.25, lays=face_lays(part))
    clean, pressed_in = imprint(part, (), mesh), imprint(part, defects, mesh)
    np.testing.assert_array_equal(clean.vertices_mm, mesh.vertices_mm)
    assert (np.unique(pressed_in.defect_id) == np.arange(7)).all()
    assert (clean.defect_id == 0).all()
    far = pressed_in.vertices_mm[mesh.faces] == mesh.corners_mm
    untouched = far.all(axis=(1, 2)) & (pressed_in.corner_normals == clean.corner_normals).all(axis=(1, 2))
    assert untouched.mean() > 0.3, "most of the part stays as it is"


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_defects_leave_a_watertight_partition(seed: int) -> None:
    part = box((25.0, 18.0, 9.0))
    ranges = DefectRanges(dent_radius_mm=(0.3, 2.0), scratch_length_mm=(3.0, 9.0), scratch_width_mm=(0.3, 0.8))
    defects = sample_defects(part, ranges, 3, np.random.default_rng(seed)).defects
    made = pressed(part, *defects, mm_per_px=0.3)
    check_partition(part, made)
    assert (made.defect_areas_mm2() > 0).all()


def test_clutch_with_many_defects_is_a_watertight_partition() -> None:
    part = load_part("builtin:clutch-half")
    ranges = DefectRanges.for_part(part, Requirements())
    defects = sample_defects(part, ranges, 10, np.random.default_rng(7)).defects
    mesh = refined_for(part, defects, mm_per_px=0.25, lays=face_lays(part))
    made = imprint(part, defects, mesh)
    check_partition(part, made)
    for defect, area in zip(defects, made.defect_areas_mm2(), strict=True):
        full = np.pi * defect.width_mm**2 / 4 if defect.kind == "dent" else defect.size_mm * defect.width_mm
        # Less where an edge cuts it, hardly more where the surface bends away.
        assert 0 < area < 1.35 * full
    np.testing.assert_allclose(np.linalg.norm(made.corner_normals, axis=2), 1.0, atol=1e-9)


def test_refinement_stays_local_and_reaches_its_limit() -> None:
    part = box((100.0, 100.0, 5.0))

    def limit(corners: np.ndarray, _: np.ndarray) -> np.ndarray:
        middle = corners.mean(axis=1)
        radius = np.linalg.norm(corners - middle[:, None], axis=2).max(axis=1)
        return np.where(np.linalg.norm(middle - [0, 0, 2.5], axis=1) < 3.0 + radius, 0.5, np.inf)

    mesh = refine(unrefined(part), limit)
    edges = np.linalg.norm(np.roll(mesh.corners_mm, -1, axis=1) - mesh.corners_mm, axis=2).max(axis=1)
    near = np.linalg.norm(mesh.corners_mm.mean(axis=1) - [0, 0, 2.5], axis=1) < 3.0
    assert near.sum() > 28 / (0.5 * 0.5**2)
    assert edges[near].max() <= 0.5
    assert watertight(mesh.faces)
    # 28 mm2 at edges of 0.25 to 0.5 mm, and a graded surrounding: a uniform mesh would have 200,000 faces.
    assert len(mesh.faces) < 4_000


def test_cad_normals_are_smooth_on_a_cylinder_and_sharp_at_its_end() -> None:
    mesh = trimesh.creation.cylinder(radius=10.0, height=20.0, sections=48)
    z = mesh.face_normals[:, 2]
    cad = np.where(z > 0.5, 1, np.where(z < -0.5, 2, 0))
    part = Part(
        name="rod",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=cad,
        source=PartSource(path="rod", sha256="0" * 64),
    )
    normals, side = cad_corner_normals(part), cad == 0
    radial = part.corners_mm * [1.0, 1.0, 0.0] / 10.0
    np.testing.assert_allclose(normals[side], radial[side], atol=1e-9)
    np.testing.assert_allclose(normals[cad == 1], np.broadcast_to([0.0, 0.0, 1.0], (48, 3, 3)), atol=1e-12)


def test_interpolated_normals_are_those_of_the_corners() -> None:
    part = load_part("builtin:clutch-half")
    rng = np.random.default_rng(0)
    faces = rng.integers(len(part.faces), size=300)
    weights = rng.dirichlet(np.ones(3), size=300)
    points = np.einsum("nc,nci->ni", weights, part.corners_mm[faces])
    normals = cad_corner_normals(part)
    expected = np.einsum("nc,nci->ni", weights, normals[faces])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(interpolated_normals(part, normals, faces, points), expected, atol=1e-6)


def test_no_face_turns_over_and_no_shading_normal_points_away() -> None:
    part = load_part("builtin:clutch-half")
    ranges = DefectRanges.for_part(part, Requirements())
    # Many of them on fillets narrower than they are.
    defects = sample_defects(part, ranges, 30, np.random.default_rng(2)).defects
    mesh = refined_for(part, defects, mm_per_px=0.4, lays=face_lays(part))
    made = imprint(part, defects, mesh)
    after = triangle_normals(made.vertices_mm[mesh.faces])
    assert (np.einsum("gi,gi->g", triangle_normals(mesh.corners_mm), after) > 0).all()
    assert (np.einsum("gi,gci->gc", after, made.corner_normals) > 0).all()
