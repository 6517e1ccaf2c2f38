"""How faces were machined, coordinates along the lay, and height tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from viewcov.inspection.errors import InputError
from viewcov.inspection.lay import (
    PROCESSES,
    FaceLay,
    MachinedFace,
    Process,
    face_lays,
    lay_coordinates,
    lay_directions,
    polar_edge_limit_mm,
    straight_lay,
)
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, PartSource, triangle_areas, triangle_normals
from viewcov.inspection.rig.material import Material
from viewcov.synthesis.imprint import refined_for
from viewcov.synthesis.options import FinishRanges, SynthesisOptions
from viewcov.synthesis.textures import height_tile, sample_finish

METAL = Material()


def part_of(mesh: trimesh.Trimesh, cad: np.ndarray) -> Part:
    return Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=cad,
        source=PartSource(path="test", sha256="0" * 64),
    )


def ring() -> Part:
    """An annulus: 0 outside, 1 inside, 2 top, 3 bottom."""
    mesh = trimesh.creation.annulus(r_min=10.0, r_max=25.0, height=12.0, sections=64)
    z, outward = mesh.face_normals[:, 2], (mesh.face_normals * mesh.triangles_center).sum(axis=1)
    return part_of(mesh, np.where(z > 0.5, 2, np.where(z < -0.5, 3, np.where(outward > 0, 0, 1))))


def test_a_ring_is_turned_all_around() -> None:
    lays = face_lays(ring())
    assert [lay.process for lay in lays] == ["turned"] * 4
    assert [lay.flat for lay in lays] == [False, False, True, True]
    for lay in lays:
        np.testing.assert_allclose(np.abs(lay.axis), (0, 0, 1), atol=1e-9)
        np.testing.assert_allclose(lay.origin_mm[:2], 0, atol=1e-9)
    assert lays[0].radius_mm == pytest.approx(25.0)
    np.testing.assert_allclose(np.abs(lays[2].along), (1, 0, 0), atol=1e-9)


def test_a_box_is_milled_and_a_ball_plain() -> None:
    mesh = trimesh.creation.box(extents=(30, 20, 10))
    side = np.argmax(mesh.face_normals @ np.vstack([np.eye(3), -np.eye(3)]).T, axis=1)
    lays = face_lays(part_of(mesh, side))
    assert {lay.process for lay in lays} == {"milled"}
    # The grooves run along the longest extent.
    np.testing.assert_allclose(lays[2].along, (1, 0, 0), atol=1e-9)
    ball = trimesh.creation.icosphere(subdivisions=3)
    assert face_lays(part_of(ball, np.zeros(len(ball.faces))))[0].process == "plain"


def test_the_clutch_half_has_turned_drilled_and_milled_faces() -> None:
    part = load_part("builtin:clutch-half")
    lays = face_lays(part)
    normal = np.array([np.average(part_normals(part)[part.cad_face_idx == cad], axis=0) for cad in range(len(lays))])
    kinds = {lay.process for lay in lays}
    assert kinds == {"turned", "drilled", "milled"}
    axes = [lay for lay in lays if lay.process == "turned"]
    assert len(axes) > 10
    for lay in axes:
        assert abs(lay.axis[2]) > np.cos(np.deg2rad(0.5))
    # The slot's, the key way's and the rim flats' walls are flat along the axis: nothing but milling makes them.
    walls = [lay for lay, n in zip(lays, normal, strict=True) if abs(n[1]) > 0.99]
    assert len(walls) == 6
    assert {lay.process for lay in walls} == {"milled"}
    # Six bolt holes at 31 mm, each with its countersink.
    holes = [lay for lay in lays if lay.process == "drilled" and abs(lay.axis[2]) > 0.99]
    assert len(holes) == 12
    off = [np.hypot(*lay.origin_mm[:2]) for lay in holes]
    np.testing.assert_allclose(off, 31.0, atol=0.2)


def part_normals(part: Part) -> np.ndarray:
    return trimesh.triangles.normals(part.corners_mm)[0]


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_processes_do_not_depend_on_how_the_part_lies(seed: int) -> None:
    part = load_part("builtin:clutch-half")
    rng = np.random.default_rng(seed)
    turned = Rotation.random(random_state=int(rng.integers(2**31))).apply(
        np.array(part.vertices_mm)
    ) + 100 * rng.normal(size=3)
    moved = Part(name="moved", vertices_mm=turned, faces=part.faces, cad_face_idx=part.cad_face_idx, source=part.source)
    assert [lay.process for lay in face_lays(moved)] == [lay.process for lay in face_lays(part)]


def test_the_user_knows_better() -> None:
    lays = face_lays(ring(), processes={2: "milled", 0: "plain"})
    assert [lay.process for lay in lays] == ["plain", "turned", "milled", "turned"]


def test_a_process_comes_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    def across(face: MachinedFace) -> FaceLay | None:
        lay = straight_lay(face)
        return replace(lay, along=np.cross(lay.axis, lay.along))

    before = sample_finish(np.random.default_rng(3), METAL, mm_per_px=0.12)
    monkeypatch.setitem(PROCESSES, "ground", Process(lay_of=across, coarseness=0.5, columns=128))
    mesh = trimesh.creation.box(extents=(30, 20, 10))
    side = np.argmax(mesh.face_normals @ np.vstack([np.eye(3), -np.eye(3)]).T, axis=1)
    part = part_of(mesh, side)
    asked = SynthesisOptions(processes={2: "ground"})
    lays = face_lays(part, processes={int(face): name for face, name in asked.processes.items()})
    # Only where the user says so; the top's longest extent is x.
    assert [lay.process for lay in lays] == ["milled", "milled", "ground", "milled", "milled", "milled"]
    top = np.array([[1.0, 2.0, 5.0]])
    along = lay_directions(lays, np.array([2], dtype=np.int32), top, np.array([[0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(np.abs(along), [[0, 1, 0]], atol=1e-9)
    finish = sample_finish(np.random.default_rng(3), METAL, mm_per_px=0.12)
    assert finish.textures[:-1] == before.textures, "the others look as they did"
    assert (finish.textures[-1].process, height_tile(finish.textures[-1]).shape) == ("ground", (1024, 128))
    with pytest.raises(InputError, match="expected one of turned, drilled, milled, plain, ground, found 'carved'"):
        SynthesisOptions(processes={2: "carved"})


def test_coordinates_are_ramps_along_and_across_the_lay() -> None:
    part = ring()
    lays = face_lays(part)
    mesh = refined_for(part, (), mm_per_px=0.1, lays=lays)
    corners, cad = mesh.corners_mm, part.cad_face_idx[mesh.part_face]
    uv = lay_coordinates(lays, cad, corners)
    radius = np.hypot(corners[..., 0], corners[..., 1])
    for face, across in ((0, corners[..., 2]), (1, corners[..., 2]), (2, radius), (3, radius)):
        rows = cad == face
        offset = uv[rows][..., 1] - across[rows]
        np.testing.assert_allclose(offset, offset.flat[0], atol=1e-9)
        # Once around is the circumference at the face's radius.
        angle = np.arctan2(corners[rows][..., 1], corners[rows][..., 0])
        turns = uv[rows][..., 0] / lays[face].radius_mm
        np.testing.assert_allclose(np.abs(np.exp(1j * turns) - np.exp(1j * turns.flat[0])),
                                   np.abs(np.exp(1j * angle) - np.exp(1j * angle.flat[0])), atol=1e-9)  # fmt: skip
        # No triangle spans the seam.
        assert np.ptp(uv[rows][..., 0], axis=1).max() < 2.0 * np.pi * 25.0 / 20.0


@pytest.mark.parametrize("name", ["clutch-half", "ring"])
def test_directions_are_those_of_the_coordinates(name: str) -> None:
    part = ring() if name == "ring" else load_part("builtin:clutch-half")
    lays = face_lays(part)
    mesh = refined_for(part, (), mm_per_px=0.1, lays=lays)
    corners, cad = mesh.corners_mm, part.cad_face_idx[mesh.part_face]
    sound = triangle_areas(corners) > 1e-3
    corners, cad = corners[sound], cad[sound]
    normals = triangle_normals(corners)
    found = lay_directions(lays, cad, corners.mean(axis=1), normals)
    plain = np.array([lay.process == "plain" for lay in lays])[cad]
    assert np.isnan(found[plain]).all()
    found, corners, normals = found[~plain], corners[~plain], normals[~plain]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)
    np.testing.assert_allclose((found * normals).sum(axis=1), 0.0, atol=1e-9)
    # The derivative of the position by u, from the corners' texture coordinates; the renderer's tangent.
    uv = lay_coordinates(lays, cad[~plain], corners)
    (a, b), (p, q) = (np.moveaxis(x[:, 1:] - x[:, :1], 1, 0) for x in (uv, corners))
    by_u = (b[:, 1:] * p - a[:, 1:] * q) / (a[:, :1] * b[:, 1:] - a[:, 1:] * b[:, :1])
    by_u /= np.linalg.norm(by_u, axis=1, keepdims=True)
    # Triangles are chords of their arcs: a few degrees.
    lean = np.degrees(np.arccos(np.clip((by_u * found).sum(axis=1), -1, 1)))
    assert np.median(lean) < 1.0
    assert np.quantile(lean, 0.99) < 8.0


def test_flat_turned_triangles_are_fine_enough_for_their_lay() -> None:
    part = ring()
    lays = face_lays(part)
    mesh = refined_for(part, (), mm_per_px=0.1, lays=lays)
    cad, corners = part.cad_face_idx[mesh.part_face], mesh.corners_mm
    uv = lay_coordinates(lays, cad, corners)
    limit = polar_edge_limit_mm(lays, cad, corners, 0.025)
    assert np.isinf(limit[cad < 2]).all()
    rows = cad == 2
    # Interpolated v against the radius at the middles of the edges: wrong by less than a quarter of a pixel.
    for k in range(3):
        middle = corners[rows][:, [k, (k + 1) % 3]].mean(axis=1)
        v = uv[rows][:, [k, (k + 1) % 3], 1].mean(axis=1)
        sign = np.sign(lays[2].along[0])
        assert np.abs(sign * v - np.hypot(middle[:, 0], middle[:, 1])).max() < 0.026


def test_tiles_repeat_without_a_seam_and_are_repeatable() -> None:
    finish = sample_finish(np.random.default_rng(3), METAL, mm_per_px=0.12)
    assert [texture.process for texture in finish.textures] == list(PROCESSES)
    for texture in finish.textures:
        tile = height_tile(texture)
        np.testing.assert_array_equal(tile, height_tile(texture))
        assert 0.1 * texture.amplitude_mm < tile.std() < texture.amplitude_mm
        for axis in (0, 1):
            steps = np.abs(np.diff(tile, axis=axis))
            seam = np.abs(np.take(tile, 0, axis=axis) - np.take(tile, -1, axis=axis))
            assert seam.mean() < 1.5 * steps.mean()
    turned = height_tile(finish.textures[0])
    # Grooves: rough across the lay, smooth along it, for equal lengths in mm.
    texture = finish.textures[0]
    across = np.abs(np.diff(turned, axis=0)).mean() / texture.row_mm
    along = np.abs(np.diff(turned, axis=1)).mean() / texture.column_mm
    assert across > 5 * along


def test_finishes_differ_and_follow_the_sampling() -> None:
    rng = np.random.default_rng(4)
    pitches = np.array([sample_finish(rng, METAL, mm_per_px=0.12).textures[0].pitch_mm for _ in range(20)])
    assert np.ptp(pitches) > 0.1
    assert (pitches >= 0.22).all()
    coarse = np.array([sample_finish(rng, METAL, mm_per_px=0.5).textures[0].pitch_mm for _ in range(20)])
    assert coarse.min() >= 2 * 0.5


def test_tile_closes_around_a_face() -> None:
    texture = sample_finish(np.random.default_rng(5), METAL, mm_per_px=0.12).textures[0]
    for circumference in (10.0, 100.0, 1000.0):
        whole = circumference / texture.tile_around_mm(circumference)
        assert whole == pytest.approx(round(whole))
        assert whole >= 1


def test_the_twins_roughness_is_drawn_around_the_rigs_material() -> None:
    for metal in (Material(), Material(roughness_along=0.05, roughness_across=0.2)):
        rng = np.random.default_rng(6)
        drawn = [sample_finish(rng, metal, mm_per_px=0.12).textures for _ in range(400)]
        along, across = np.array([[(t.roughness_along, t.roughness_across) for t in each] for each in drawn]).T
        machined = np.array([process != "plain" for process in PROCESSES])
        # Uniform within 20 % has a deviation of 11.5 %, and 1200 draws its mean within 0.33 %.
        assert along[machined].mean() == pytest.approx(metal.roughness_along, rel=0.014)
        assert across[machined].mean() == pytest.approx(metal.roughness_across, rel=0.014)
        np.testing.assert_array_equal(along[~machined], across[~machined])
        assert along[~machined].mean() == pytest.approx(metal.roughness_plain, rel=0.025)
        assert np.abs(along[machined] / metal.roughness_along - 1.0).max() <= 0.2
    still = sample_finish(np.random.default_rng(7), METAL, FinishRanges(roughness_spread=0.0), mm_per_px=0.12)
    assert still.textures[0].roughness_across == METAL.roughness_across
