from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.inspection.mesh.mesh_health import find_hidden, mend
from viewcov.inspection.mesh.part import Finding, triangle_areas, triangle_normals
from viewcov.inspection.mesh.winding import Mesh

seeds = st.integers(0, 2**32 - 1)


def _mesh(*shapes: trimesh.Trimesh) -> Mesh:
    joined = trimesh.util.concatenate(list(shapes))
    return Mesh(
        vertices=np.array(joined.vertices),
        faces=np.array(joined.faces, dtype=np.int64),
        cad_face_idx=np.full(len(joined.faces), -1),
    )


def _shape(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def _with_faces(mesh: Mesh, faces: np.ndarray, vertices: np.ndarray | None = None) -> Mesh:
    return Mesh(
        vertices=mesh.vertices if vertices is None else vertices,
        faces=faces,
        cad_face_idx=np.full(len(faces), -1),
    )


def _counts(findings: list[Finding]) -> dict[str, int]:
    return {finding.name: finding.count for finding in findings}


def _ball(radius: float = 10.0, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    ball.apply_translation(at)
    return ball


def _ring(num: int = 24) -> trimesh.Trimesh:
    return trimesh.creation.annulus(r_min=5.0, r_max=20.0, height=10.0, sections=num)


def _turned(shape: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(shape.vertices, shape.faces[:, ::-1], process=False)


@pytest.mark.parametrize("shape", [trimesh.creation.box(extents=[3, 4, 5]), _ball(), _ring()])
def test_a_sound_solid_has_no_findings_and_keeps_its_shape(shape: trimesh.Trimesh) -> None:
    mesh, findings = mend(_mesh(shape))
    assert findings == []
    assert (len(mesh.vertices), len(mesh.faces)) == (len(shape.vertices), len(shape.faces))
    assert _shape(mesh).is_watertight
    assert _shape(mesh).volume == pytest.approx(shape.volume, rel=1e-12)


@given(seed=seeds)
def test_a_soup_of_triangles_with_rounded_corners_closes_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ball = _ball()
    corners = np.array(ball.triangles).reshape(-1, 3) + rng.normal(size=3) * 30.0
    # Noise below a quarter of the joining distance, 1e-6 of the size of 20.
    corners += rng.uniform(-1, 1, corners.shape) * 0.25 * 20e-6 / np.sqrt(3)
    soup = Mesh(
        vertices=corners, faces=np.arange(len(corners)).reshape(-1, 3), cad_face_idx=np.full(len(ball.faces), -1)
    )
    mesh, findings = mend(soup)
    assert findings == []
    assert len(mesh.vertices) == len(ball.vertices)
    assert _shape(mesh).is_watertight


def test_corners_farther_apart_stay_apart() -> None:
    box = trimesh.creation.box(extents=[10, 10, 10])
    corners = np.array(box.triangles)
    shrunk = (corners - corners.mean(axis=1, keepdims=True)) * 0.9 + corners.mean(axis=1, keepdims=True)
    mesh, findings = mend(
        Mesh(vertices=shrunk.reshape(-1, 3), faces=np.arange(36).reshape(-1, 3), cad_face_idx=np.full(12, -1))
    )
    assert len(mesh.vertices) == 36
    assert _counts(findings) == {"open-edges": 36, "several-bodies": 12}
    np.testing.assert_allclose(triangle_normals(mesh.vertices[mesh.faces]), triangle_normals(corners), atol=1e-9)


def test_faces_without_area_and_faces_that_are_there_twice_are_dropped() -> None:
    mesh = _mesh(_ball())
    flat = [[0, 0, 1], [3, 3, 3]]
    again = mesh.faces[:5, [1, 2, 0]]
    back_to_back = mesh.faces[7:9, ::-1]
    bad, findings = mend(_with_faces(mesh, np.concatenate([flat, mesh.faces, again, back_to_back, mesh.faces[:1]])))
    assert _counts(findings) == {"degenerate-faces": 2, "duplicate-faces": 6, "double-sided": 2}
    assert _shape(bad).volume == pytest.approx(_ball().volume, rel=1e-12)
    assert _shape(bad).is_watertight


def test_three_corners_in_a_line_have_no_area() -> None:
    mesh = _mesh(_ball())
    vertices = np.concatenate([mesh.vertices, [[0.0, 0, 0], [1.0, 1, 1], [2.0, 2, 2]]])
    num = len(mesh.vertices)
    faces = np.concatenate([mesh.faces, [[num, num + 1, num + 2]]])
    mended, findings = mend(_with_faces(mesh, faces, vertices))
    assert _counts(findings) == {"degenerate-faces": 1}
    assert len(mended.faces) == len(mesh.faces)


def test_a_mesh_of_nothing_but_empty_faces_has_no_faces_left() -> None:
    line = Mesh(
        vertices=np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]),
        faces=np.array([[0, 1, 2], [0, 0, 1]]),
        cad_face_idx=np.array([-1, -1]),
    )
    mesh, findings = mend(line)
    assert len(mesh.faces) == 0
    assert _counts(findings) == {"degenerate-faces": 2}


@given(seed=seeds, share=st.floats(0.0, 1.0), make=st.sampled_from([_ball, _ring]))
def test_any_winding_becomes_outward(seed: int, share: float, make: Callable[[], trimesh.Trimesh]) -> None:
    shape = make()
    turn = np.random.default_rng(seed).random(len(shape.faces)) < share
    mesh = _mesh(shape)
    faces = np.where(turn[:, None], mesh.faces[:, ::-1], mesh.faces)
    mended, findings = mend(_with_faces(mesh, faces))
    assert _shape(mended).is_winding_consistent
    assert _shape(mended).volume == pytest.approx(shape.volume, rel=1e-12)
    num = int(turn.sum())
    counts = _counts(findings)
    assert set(counts) <= {"mixed-winding", "inside-out"}
    # The minority is turned, and then the whole body if that was the right part.
    assert counts.get("mixed-winding", 0) == min(num, len(faces) - num)
    assert counts.get("inside-out", 0) == (num > len(faces) / 2 or (num == len(faces) / 2 and "inside-out" in counts))


@settings(max_examples=30)
@given(seed=seeds)
def test_each_body_is_wound_by_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    balls = [_ball(at=(30.0 * i, 0.0, 0.0)) for i in range(4)]
    turn = rng.random(4) < 0.5
    mesh = _mesh(*[_turned(ball) if back else ball for ball, back in zip(balls, turn, strict=True)])
    order = rng.permutation(len(mesh.faces))
    mended, findings = mend(_with_faces(mesh, mesh.faces[order]))
    assert _counts(findings).get("inside-out", 0) == turn.sum()
    assert _counts(findings)["several-bodies"] == 4
    assert _shape(mended).volume == pytest.approx(4 * balls[0].volume, rel=1e-12)


@pytest.mark.parametrize("back", [False, True])
def test_a_cavity_stays_a_cavity(back: bool) -> None:
    hollow = _mesh(_ball(20.0), _turned(_ball(10.0)), _turned(_ball(1.0, (14.0, 0.0, 0.0))))
    given_faces = hollow.faces[:, ::-1] if back else hollow.faces
    mesh, findings = mend(_with_faces(hollow, given_faces))
    volume = _ball(20.0).volume - _ball(10.0).volume - _ball(1.0).volume
    assert _shape(mesh).volume == pytest.approx(volume, rel=1e-9)
    assert _counts(findings).get("inside-out", 0) == (3 if back else 0)


def test_a_body_inside_a_cavity_is_a_body() -> None:
    mesh, findings = mend(_mesh(_ball(20.0), _turned(_ball(10.0)), _ball(5.0)))
    volume = _ball(20.0).volume - _ball(10.0).volume + _ball(5.0).volume
    assert _shape(mesh).volume == pytest.approx(volume, rel=1e-9)
    assert "inside-out" not in _counts(findings)


def test_bodies_that_touch_along_an_edge_are_judged_apart() -> None:
    one = trimesh.creation.box(bounds=[[0, 0, 0], [10, 10, 10]])
    other = trimesh.creation.box(bounds=[[10, 10, 0], [20, 20, 10]])
    mesh, findings = mend(_mesh(one, _turned(other)))
    assert _counts(findings) == {"inside-out": 1, "non-manifold-edges": 1}
    assert _shape(mesh).volume == pytest.approx(2000.0)


# Gaps of 1e-3 mm are stitched; those of 0.3 mm are wider than a hundredth of the size and stay.
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(
    ("gap_mm", "bodies", "before"),
    [(1e-3, 1, {"cracks": 4 * 48}), (0.5, 4, {"open-edges": 4 * 48, "several-bodies": 4})],
)
def test_a_solid_with_cracks_along_its_faces_keeps_the_wall_of_its_bore(
    back: bool, gap_mm: float, bodies: int, before: dict[str, int]
) -> None:
    ring = _ring()
    corners = np.array(ring.triangles)
    # Bottom, top, bore and outer wall, moved apart.
    normal = triangle_normals(corners)
    radius = np.linalg.norm(corners.mean(axis=1)[:, :2], axis=1)
    wall = np.where(radius < 10, 2, 3)
    side = np.where(np.abs(normal[:, 2]) < 0.5, wall, (normal[:, 2] > 0).astype(int))
    direction = np.array([[0, 0, -1], [0, 0, 1], [1, 0, 0], [0, 1, 0]])
    corners = corners + gap_mm * direction[side][:, None]
    if back:
        corners = corners[:, ::-1]
    soup = Mesh(
        vertices=corners.reshape(-1, 3),
        faces=np.arange(3 * len(corners)).reshape(-1, 3),
        cad_face_idx=np.full(len(corners), -1),
    )
    mesh, findings = mend(soup)
    counts = _counts(findings)
    assert counts.pop("inside-out", 0) == (bodies if back else 0)
    # Top and bottom have 2 x 24 border edges each, and so have bore and outer wall.
    assert counts == before
    assert _shape(mesh).volume == pytest.approx(ring.volume, rel=2e-2)
    middle = mesh.vertices[mesh.faces].mean(axis=1)
    inward = np.linalg.norm(middle[:, :2], axis=1) < 5.6
    outward = np.einsum("ij,ij->i", triangle_normals(mesh.vertices[mesh.faces])[:, :2], middle[:, :2])
    assert (outward[inward] < 0).all()


def test_a_one_sided_surface_is_told() -> None:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    across = np.array([-1.0, 1.0])[:, None]
    radius = 10 + across * np.cos(angle / 2)
    strip = np.stack([radius * np.cos(angle), radius * np.sin(angle), across * np.sin(angle / 2)], axis=-1)
    low, high = np.arange(40), 40 + np.arange(40)
    low_next, high_next = np.roll(low, -1), np.roll(high, -1)
    low_next[-1], high_next[-1] = high[0], low[0]  # Half a turn.
    faces = np.concatenate([np.column_stack([low, low_next, high_next]), np.column_stack([low, high_next, high])])
    strip_mesh = Mesh(vertices=strip.reshape(-1, 3), faces=faces, cad_face_idx=np.full(80, -1))
    _, findings = mend(strip_mesh)
    winding = next(finding for finding in findings if finding.name == "mixed-winding")
    assert winding.severity == "warning"
    assert "1 edges still disagree" in winding.remedy


def test_holes_and_fins_are_counted() -> None:
    mesh = _mesh(_ball())
    _, findings = mend(_with_faces(mesh, mesh.faces[1:]))
    assert _counts(findings) == {"open-edges": 3}
    fin = np.concatenate([mesh.vertices, [[20.0, 0, 0]]])
    edge = [*mesh.faces[0][:2], len(mesh.vertices)]
    _, findings = mend(_with_faces(mesh, np.concatenate([mesh.faces, [edge]]), fin))
    assert _counts(findings) == {"open-edges": 2, "non-manifold-edges": 1}
    assert {finding.severity for finding in findings} == {"warning"}


@pytest.mark.parametrize(
    ("shape", "num"),
    [
        (trimesh.creation.box(extents=[3, 4, 5]), 6),
        (trimesh.creation.cylinder(radius=5, height=9, sections=48), 3),
        (_ring(48), 4),
        (_ball(), 1),
        # 16 sides make 22.5 degrees between neighbours, 12 make 30: an angle to be seen as an edge.
        (trimesh.creation.cylinder(radius=5, height=9, sections=16), 3),
        (trimesh.creation.cylinder(radius=5, height=9, sections=12), 14),
    ],
)
def test_unnamed_cad_faces_end_at_sharp_edges(shape: trimesh.Trimesh, num: int) -> None:
    mesh, _ = mend(_mesh(shape))
    np.testing.assert_array_equal(np.unique(mesh.cad_face_idx), np.arange(num))


def test_named_cad_faces_are_kept_and_numbered_from_zero() -> None:
    box = trimesh.creation.box(extents=[10, 10, 10])
    named = np.where(box.face_normals[:, 2] > 0.5, 7, np.where(box.face_normals[:, 0] > 0.5, 3, -1))
    mesh, _ = mend(Mesh(vertices=np.array(box.vertices), faces=np.array(box.faces), cad_face_idx=named))
    normal = triangle_normals(mesh.vertices[mesh.faces])
    # The two named ones in their order, and the four others.
    np.testing.assert_array_equal(mesh.cad_face_idx == 0, normal[:, 0] > 0.5)
    np.testing.assert_array_equal(mesh.cad_face_idx == 1, normal[:, 2] > 0.5)
    np.testing.assert_array_equal(np.unique(mesh.cad_face_idx), np.arange(6))


def test_needles_of_flat_faces_become_shorter_and_the_shape_stays() -> None:
    # A disc as a fan from one point of its rim, as CAD kernels cut it.
    angle = 2 * np.pi * np.arange(60) / 60
    rim = np.column_stack([10 * np.cos(angle), 10 * np.sin(angle), np.zeros(60)])
    fan = np.column_stack([np.zeros(58, dtype=np.int64), np.arange(1, 59), np.arange(2, 60)])
    sheet = Mesh(vertices=rim, faces=fan, cad_face_idx=np.full(58, -1))
    mesh, _ = mend(sheet)
    assert triangle_areas(mesh.vertices[mesh.faces]).sum() == pytest.approx(triangle_areas(rim[fan]).sum(), rel=1e-12)

    def total_edge_length(mesh: Mesh) -> float:
        corners = mesh.vertices[mesh.faces]
        return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).sum())

    # The corners lie on one circle, so that every triangulation is Delaunay: it may stay, but not get worse.
    assert total_edge_length(mesh) <= total_edge_length(sheet) * (1 + 1e-9)
    # A strip cut from one corner is not, and its diagonals become short ones.
    x = np.arange(20.0)
    strip = np.concatenate([np.column_stack([x, 0 * x, 0 * x]), np.column_stack([x, 0 * x + 1, 0 * x])])
    low = np.column_stack([np.full(19, 20), np.arange(19), np.arange(1, 20)])
    high = np.column_stack([np.full(19, 19), np.arange(21, 40), np.arange(20, 39)])
    long = Mesh(vertices=strip, faces=np.concatenate([low, high]), cad_face_idx=np.full(38, -1))
    short, _ = mend(long)
    corners = short.vertices[short.faces]
    assert np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max() == pytest.approx(np.sqrt(2))


def test_what_was_mended_needs_no_mending() -> None:
    mesh = _mesh(_ball(), _turned(_ring()))
    rng = np.random.default_rng(1)
    faces = np.where(rng.random(len(mesh.faces))[:, None] < 0.3, mesh.faces[:, ::-1], mesh.faces)
    once, _ = mend(_with_faces(mesh, np.concatenate([faces, faces[:9]])))
    again, findings = mend(once)
    assert set(_counts(findings)) <= {"several-bodies", "non-manifold-edges", "open-edges"}
    np.testing.assert_array_equal(np.sort(again.cad_face_idx), np.sort(once.cad_face_idx))
    assert _shape(again).volume == pytest.approx(_shape(once).volume, rel=1e-12)


def test_many_loose_triangles_take_no_time() -> None:
    rng = np.random.default_rng(2)
    corners = rng.random((20_000, 1, 3)) * 100 + rng.random((20_000, 3, 3)) * 0.1
    loose = Mesh(
        vertices=corners.reshape(-1, 3),
        faces=np.arange(60_000).reshape(-1, 3),
        cad_face_idx=np.full(20_000, -1),
    )
    _, findings = mend(loose)
    assert _counts(findings)["several-bodies"] > 19_000


def _boxes_side_by_side() -> list[trimesh.Trimesh]:
    return [trimesh.creation.box(bounds=[[x, 0, 0], [x + 10, 10, 10]]) for x in (0, 10)]


def test_bodies_back_to_back_lose_the_faces_where_they_touch() -> None:
    one, other = _boxes_side_by_side()
    # The shared side is cut along the same diagonal in both.
    other = trimesh.Trimesh(one.vertices * [-1, 1, 1] + [20, 0, 0], one.faces[:, ::-1], process=False)
    mesh, findings = mend(_mesh(one, other))
    assert _counts(findings) == {"contact-faces": 2}
    assert _shape(mesh).is_watertight
    assert _shape(mesh).area == pytest.approx(2 * 100 + 4 * 200)
    assert _shape(mesh).volume == pytest.approx(2000.0)


@pytest.mark.parametrize("part", ["all", "some"])
def test_faces_with_both_sides_keep_one_of_them(part: str) -> None:
    ball = _mesh(_ball())
    twins = ball.faces[:, ::-1] if part == "all" else ball.faces[10:14, ::-1]
    mesh, findings = mend(_with_faces(ball, np.concatenate([ball.faces, twins])))
    assert _counts(findings) == {"double-sided": len(twins)}
    assert findings[0].severity == "note"
    assert _shape(mesh).is_watertight
    assert _shape(mesh).volume == pytest.approx(_ball().volume)


def test_a_sheet_with_both_sides_is_a_warning() -> None:
    sheet = _mesh(trimesh.Trimesh([[0, 0, 0], [9, 0, 0], [9, 9, 0], [0, 9, 0]], [[0, 1, 2], [0, 2, 3]], process=False))
    mesh, findings = mend(_with_faces(sheet, np.concatenate([sheet.faces, sheet.faces[:, ::-1]])))
    assert len(mesh.faces) == 2
    assert {finding.name: finding.severity for finding in findings} == {
        "double-sided": "warning",
        "open-edges": "warning",
    }


def test_bodies_that_share_edges_but_are_closed_only_together_are_not_turned() -> None:
    # Two boxes side by side, and one that touches them along an edge.
    boxes = _boxes_side_by_side()
    lower = trimesh.util.concatenate(boxes)
    lower.merge_vertices()
    upper = trimesh.creation.box(bounds=[[20, 10, 0], [30, 20, 10]])
    mesh, findings = mend(_mesh(lower, upper))
    crowded = next(finding for finding in findings if finding.name == "non-manifold-edges")
    assert crowded.severity == "note"
    assert "inside-out" not in _counts(findings)
    assert _shape(mesh).volume == pytest.approx(3000.0)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, scale=st.sampled_from([1.0, 25.4, 0.01, 1000.0]), make=st.sampled_from([_ball, _ring]))
def test_a_sound_mesh_stays_sound_wherever_it_lies(
    seed: int, scale: float, make: Callable[[], trimesh.Trimesh]
) -> None:
    rng = np.random.default_rng(seed)
    shape = make()
    shape.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
    shape.apply_translation(rng.uniform(-100, 100, 3))
    order = rng.permutation(len(shape.vertices))
    faces = rng.permutation(np.argsort(order)[shape.faces])
    moved = Mesh(vertices=scale * shape.vertices[order], faces=faces, cad_face_idx=np.full(len(faces), -1))
    mesh, findings = mend(moved)
    hidden, found = find_hidden(mesh)
    assert (findings, found) == ([], [])
    assert not hidden.any()
    assert _shape(mesh).volume == pytest.approx(scale**3 * shape.volume, rel=1e-9)
