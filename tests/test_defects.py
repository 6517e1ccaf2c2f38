"""Drawing defects and walking on meshes."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, PartSource, triangle_areas
from viewcov.inspection.rig.requirements import Requirements
from viewcov.synthesis.defects import DefectRanges, sample_defects, uniform_sites
from viewcov.synthesis.walks import Walker

RANGES = DefectRanges(dent_radius_mm=(0.5, 1.5), scratch_length_mm=(4.0, 12.0), scratch_width_mm=(0.3, 0.8))


def box(extents: tuple[float, float, float], inspected_side: int | None = None) -> Part:
    mesh = trimesh.creation.box(extents=extents)
    side = np.argmax(mesh.face_normals @ np.vstack([np.eye(3), -np.eye(3)]).T, axis=1)
    return Part(
        name="box",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=side,
        source=PartSource(path="box", sha256="0" * 64),
        inspected=None if inspected_side is None else side == inspected_side,
    )


def prism(sides: int, radius: float, height: float) -> Part:
    mesh = trimesh.creation.cylinder(radius=radius, height=height, sections=sides)
    z = mesh.face_normals[:, 2]
    cad = np.where(z > 0.5, 1, np.where(z < -0.5, 2, 0))
    return Part(
        name="prism",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=cad,
        source=PartSource(path="prism", sha256="0" * 64),
    )


def straight(_: float) -> float:
    return 0.0


def test_sites_are_uniform_by_area() -> None:
    part = box((30.0, 10.0, 2.0))
    area, count = triangle_areas(part.corners_mm), 60_000
    face, weights = uniform_sites(area, count, np.random.default_rng(1))
    expected = count * area / area.sum()
    got = np.bincount(face, minlength=len(area))
    # Binomial counts: five standard deviations.
    np.testing.assert_array_less(np.abs(got - expected), 5.0 * np.sqrt(expected))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    # Uniform in the triangle: barycentric means 1/3, second moments 1/6, mixed ones 1/12.
    second = weights.T @ weights / count
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=5e-3)
    np.testing.assert_allclose(second, np.full((3, 3), 1 / 12) + np.eye(3) / 12, atol=5e-3)


def test_drawn_defects_stay_uniform_by_area() -> None:
    # One defect a draw, so that none overlaps another; few scratches are caught in the corners of this part.
    part = box((40.0, 40.0, 20.0))
    rng = np.random.default_rng(2)
    ranges = DefectRanges(
        dent_radius_mm=(0.5, 1.0), scratch_length_mm=(3.0, 5.0), scratch_width_mm=(0.3, 0.5), scratch_share=0.5
    )
    draws = [sample_defects(part, ranges, 1, rng) for _ in range(400)]
    top = sum(draw.defects[0].cad_face in (2, 5) for draw in draws)
    share = 2 * 40 * 40 / (2 * 40 * 40 + 4 * 40 * 20)
    assert abs(top - 400 * share) < 4 * np.sqrt(400 * share * (1 - share))
    assert sum(sum(draw.rejected.values()) for draw in draws) <= 12


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(1, 12))
def test_defects_are_numbered_in_range_apart_and_repeatable(seed: int, number: int) -> None:
    part = box((60.0, 40.0, 30.0), inspected_side=2)
    draw = sample_defects(part, RANGES, number, np.random.default_rng(seed))
    again = sample_defects(part, RANGES, number, np.random.default_rng(seed))
    assert [d.id for d in draw.defects] == list(range(1, number + 1))
    for defect, twin in zip(draw.defects, again.defects, strict=True):
        np.testing.assert_array_equal(defect.path_mm, twin.path_mm)
        assert (defect.kind, defect.size_mm, defect.depth_mm) == (twin.kind, twin.size_mm, twin.depth_mm)
        assert defect.center_mm[2] == pytest.approx(15.0)
        np.testing.assert_allclose(defect.normal, (0, 0, 1), atol=1e-12)
        if defect.kind == "dent":
            assert 1.0 <= defect.size_mm <= 3.0
            assert 0.03 * 0.5 * defect.size_mm <= defect.depth_mm <= 0.15 * 0.5 * defect.size_mm
        else:
            assert 0.99 * 4.0 <= defect.size_mm <= 12.0 + 1e-9
            assert 0.3 <= defect.width_mm <= 0.8
    for i, one in enumerate(draw.defects):
        for other in draw.defects[:i]:
            gap = np.linalg.norm(one.path_mm[:, None] - other.path_mm[None], axis=2).min()
            assert gap >= one.reach_mm + other.reach_mm


def test_kept_defects_stay_and_get_new_numbers() -> None:
    part = box((60.0, 40.0, 30.0))
    first = sample_defects(part, RANGES, 5, np.random.default_rng(3)).defects
    draw = sample_defects(part, RANGES, 5, np.random.default_rng(4), kept=first[2:4])
    assert [d.id for d in draw.defects] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(draw.defects[0].center_mm, first[2].center_mm)


def test_sizes_follow_the_required_sampling_and_the_part() -> None:
    part = load_part("builtin:clutch-half")
    ranges = DefectRanges.for_part(part, Requirements(max_mm_per_px=0.25))
    assert ranges.dent_radius_mm == (0.5, 2.5)
    assert ranges.scratch_length_mm == (4.0, 20.0)
    assert ranges.scratch_width_mm == pytest.approx((0.3, 0.8))
    small = DefectRanges.for_part(box((5.0, 5.0, 5.0)), Requirements(max_mm_per_px=0.25))
    assert small.dent_radius_mm == (0.25, 0.25)
    changed = DefectRanges.for_part(part, Requirements(), dent_depth=(0.2, 0.2))
    assert changed.dent_depth == (0.2, 0.2)
    with pytest.raises(ValueError, match="dent_depth"):
        DefectRanges.for_part(part, Requirements(), dent_depth=(0.2, 0.1))


def test_too_many_defects_and_nothing_inspected_are_refused() -> None:
    with pytest.raises(InputError, match="no room"):
        sample_defects(box((3.0, 3.0, 3.0)), RANGES, 40, np.random.default_rng(0))
    with pytest.raises(InputError, match="no inspected faces"):
        sample_defects(box((3.0, 3.0, 3.0), inspected_side=77), RANGES, 1, np.random.default_rng(0))


def test_scratches_that_meet_a_sharp_edge_are_turned_down_and_counted() -> None:
    # On a rod of 1 x 1 x 60 mm a scratch of 4 mm or more fits along it only.
    ranges = DefectRanges(
        dent_radius_mm=(0.1, 0.1), scratch_length_mm=(6.0, 8.0), scratch_width_mm=(0.05, 0.05), scratch_share=1.0
    )
    draw = sample_defects(box((60.0, 1.0, 1.0)), ranges, 4, np.random.default_rng(5))
    assert draw.rejected["too short"] > 0
    for defect in draw.defects:
        assert np.ptp(defect.path_mm[:, 0]) > 5.0


def test_walk_on_a_plane_is_a_straight_line() -> None:
    walker = Walker(box((40.0, 40.0, 10.0)))
    part = box((40.0, 40.0, 10.0))
    face = int(np.flatnonzero(part.cad_face_idx == 2)[0])
    start = part.corners_mm[face].mean(axis=0)
    heading = -np.array([start[0], start[1], 0.0])
    walk = walker.walk(face, start, heading, length_mm=12.0, step_mm=0.5, turn_at=straight)
    assert walk.length_mm == pytest.approx(12.0, abs=1e-6)
    expected = start + 12.0 * heading / np.linalg.norm(heading)
    np.testing.assert_allclose(walk.points_mm[-1], expected, atol=1e-6)


def test_walk_winds_around_a_prism_and_stops_at_its_end() -> None:
    # A straight walk on an unrolled prism: at 45 degrees it climbs as much as it goes around.
    part = prism(24, 10.0, 80.0)
    around = 24 * 2 * 10.0 * np.sin(np.pi / 24)
    face = int(np.flatnonzero(part.cad_face_idx == 0)[0])
    start = part.corners_mm[face].mean(axis=0)
    normal = np.cross(*(part.corners_mm[face][1:] - part.corners_mm[face][0]))
    heading = np.cross(normal / np.linalg.norm(normal), [0.0, 0.0, 1.0])
    walker = Walker(part)
    level = walker.walk(face, start, heading, length_mm=around, step_mm=0.5, turn_at=straight)
    np.testing.assert_allclose(level.points_mm[-1], start, atol=1e-5)
    up = walker.walk(face, start, [0.0, 0.0, 1.0], length_mm=200.0, step_mm=0.5, turn_at=straight)
    assert up.length_mm == pytest.approx(40.0 - start[2], abs=1e-5)
    climb = walker.walk(
        face,
        start - np.array([0, 0, 30.0 + start[2]]),
        heading + np.array([0, 0, 1.0]),
        length_mm=40.0,
        step_mm=0.5,
        turn_at=straight,
    )
    assert climb.points_mm[-1, 2] - climb.points_mm[0, 2] == pytest.approx(40.0 / np.sqrt(2.0), abs=1e-4)


def test_a_turning_walk_is_an_arc() -> None:
    part = box((40.0, 40.0, 10.0))
    face = int(np.flatnonzero(part.cad_face_idx == 2)[0])
    start = part.corners_mm[face].mean(axis=0)
    # Heading grows by s / R: a circle of radius R, closed after 2 pi R.
    walk = Walker(part).walk(
        face, start, [1.0, 0.0, 0.0], length_mm=2 * np.pi * 3.0, step_mm=0.05, turn_at=lambda s: s / 3.0
    )
    np.testing.assert_allclose(walk.points_mm[-1], start, atol=1e-6)
    assert np.ptp(walk.points_mm[:, 1]) == pytest.approx(6.0, rel=0.01)


def test_each_scratch_is_torn_or_burnished_by_its_own_chance() -> None:
    part = box((60.0, 40.0, 30.0))
    for share in (0.0, 0.25, 1.0):
        ranges = RANGES.model_copy(update={"scratch_share": 1.0, "torn_share": share})
        draws = [sample_defects(part, ranges, 4, np.random.default_rng(seed)).defects for seed in range(25)]
        torn = np.array([[defect.roughness > 1.0 for defect in defects] for defects in draws])
        # Four deviations of the share among 100.
        assert abs(torn.mean() - share) <= 4 * np.sqrt(share * (1 - share) / 100)
        assert (torn.any(axis=1) & ~torn.all(axis=1)).any() == (0.0 < share < 1.0)
