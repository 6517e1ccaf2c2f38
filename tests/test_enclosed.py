from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.inspection.mesh.bodies import manifold_bodies
from viewcov.inspection.mesh.enclosed import enclosed_faces, unseen_bodies
from viewcov.inspection.mesh.mesh_health import find_hidden, mend
from viewcov.inspection.mesh.part import triangle_areas
from viewcov.inspection.mesh.piercing import piercing_faces
from viewcov.inspection.mesh.winding import Mesh

seeds = st.integers(0, 2**32 - 1)


def _box(low: tuple[float, float, float], high: tuple[float, float, float]) -> trimesh.Trimesh:
    return trimesh.creation.box(bounds=[low, high])


def _mesh(*shapes: trimesh.Trimesh) -> Mesh:
    joined = trimesh.util.concatenate(list(shapes))
    mesh, _ = mend(
        Mesh(
            vertices=np.array(joined.vertices),
            faces=np.array(joined.faces, dtype=np.int64),
            cad_face_idx=np.full(len(joined.faces), -1),
        )
    )
    return mesh


def _turned(shape: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(shape.vertices, shape.faces[:, ::-1], process=False)


def _hidden(mesh: Mesh) -> tuple[float, dict[str, int]]:
    hidden, findings = find_hidden(mesh)
    area = triangle_areas(mesh.vertices[mesh.faces])[hidden].sum()
    return float(area), {finding.name: finding.count for finding in findings}


PLATE = _box((-10, -10, 0), (10, 10, 3))


@pytest.mark.parametrize(
    ("shapes", "area_mm2", "names"),
    [
        # A sound solid, and one with a bore that can be looked into.
        ((PLATE,), 0.0, set()),
        ((trimesh.creation.annulus(r_min=2, r_max=6, height=9),), 0.0, set()),
        # A block on a plate: its bottom is hidden, the plate's top only in part.
        ((PLATE, _box((-2, -1, 3), (2, 1, 8))), 4 * 2, {"hidden-interior"}),
        # A peg sunk 1 mm into the plate: its bottom; its walls pierce the top, and so they stay as a whole.
        ((PLATE, _box((-2, -1, 2), (2, 1, 8))), 4 * 2, {"hidden-interior", "overlapping-bodies"}),
        # A void, and a body in it: six sides of 8 and six of 2.
        ((_box((-5, -5, -5), (5, 5, 5)), _turned(_box((-4, -4, -4), (4, 4, 4)))), 6 * 64, {"hidden-interior"}),
        (
            (
                _box((-5, -5, -5), (5, 5, 5)),
                _turned(_box((-4, -4, -4), (4, 4, 4))),
                _box((-1, -1, -1), (1, 1, 1)),
            ),
            6 * 64 + 6 * 4,
            {"hidden-interior"},
        ),
        # A body buried in another.
        ((_box((-5, -5, -5), (5, 5, 5)), _box((-1, -1, -1), (1, 1, 1))), 6 * 4, {"hidden-interior"}),
        # Bodies side by side.
        ((PLATE, _box((-2, -1, 4), (2, 1, 8))), 0.0, set()),
    ],
)
def test_what_lies_inside_is_hidden(shapes: tuple[trimesh.Trimesh, ...], area_mm2: float, names: set[str]) -> None:
    area, found = _hidden(_mesh(*shapes))
    assert area == pytest.approx(area_mm2, rel=1e-9)
    assert set(found) == names


def test_a_body_in_an_open_box_behind_a_narrow_slit_is_named_and_kept() -> None:
    # Six plates that do not touch enclose a cube; gaps of 0.02 mm let no ray of the 96 directions through.
    plates = []
    for axis in range(3):
        for side in (-1, 1):
            low, high = np.full(3, -5.0), np.full(3, 5.0)
            low[axis], high[axis] = sorted((side * 5.02, side * 6.0))
            low[(axis + 1) % 3], high[(axis + 1) % 3] = -6.0, 6.0
            if axis == 1:
                low[0], high[0] = -4.99, 4.99
            plates.append(_box(tuple(low), tuple(high)))
    cube = _box((-1, -1, -1), (1, 1, 1))
    area, found = _hidden(_mesh(cube, *plates))
    assert found["hidden-bodies"] == 1
    assert area == 0.0
    mesh = _mesh(cube, *plates[1:])
    assert "hidden-bodies" not in _hidden(mesh)[1]


def test_unseen_bodies_are_those_that_nothing_of_is_seen() -> None:
    shapes = [_box((-5, -5, -5), (5, 5, 5)), _box((-1, -1, -1), (1, 1, 1)), _box((7, 0, 0), (8, 1, 1))]
    mesh = _mesh(*shapes)
    _, body = manifold_bodies(mesh.faces)
    unseen = unseen_bodies(mesh.vertices, mesh.faces, body)
    inner = np.abs(mesh.vertices[mesh.faces]).max(axis=(1, 2)) <= 1
    np.testing.assert_array_equal(unseen, np.unique(body[inner]))


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_enclosed_faces_agree_with_winding_numbers_by_solid_angle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    balls = []
    for _ in range(4):
        ball = trimesh.creation.icosphere(subdivisions=1, radius=rng.uniform(1, 4))
        ball.apply_translation(rng.uniform(-4, 4, 3))
        balls.append(ball)
    mesh = _mesh(*balls)
    _, body = manifold_bodies(mesh.faces)
    corners = mesh.vertices[mesh.faces]
    hidden = enclosed_faces(mesh.vertices, mesh.faces, body)
    # Van Oosterom and Strackee's solid angle of each triangle, summed per body, at points all over each face.
    weights = rng.dirichlet(np.ones(3), size=8)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    inside = np.ones(len(corners), dtype=bool)
    for weight in weights:
        points = np.einsum("k,fkx->fx", weight, corners) + 1e-4 * normal
        a, b, c = np.moveaxis(corners[None] - points[:, None, None], 2, 0)
        la, lb, lc = (np.linalg.norm(side, axis=2) for side in (a, b, c))
        top = np.einsum("pfx,pfx->pf", a, np.cross(b, c))
        bottom = la * lb * lc + (a * b).sum(2) * lc + (b * c).sum(2) * la + (c * a).sum(2) * lb
        angle = 2 * np.arctan2(top, bottom)
        number = np.stack([angle[:, body == k].sum(axis=1) for k in np.unique(body)]) / (4 * np.pi)
        inside &= (np.abs(number) > 0.5).any(axis=0)
    assert not (hidden & ~inside).any()
    # A face that pierces others may be inside as a whole and yet not be proven so.
    _, by_other = piercing_faces(mesh.vertices, mesh.faces, body)
    missed = inside & ~hidden & ~by_other
    # Eight points may miss the corner of a face that no edge of another pierces, but not often.
    assert missed.sum() <= 1


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_piercing_agrees_with_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 1, (40, 1, 3)) * 4 + rng.uniform(-1, 1, (40, 3, 3))
    corners[0] = [[0, 0, 0], [4, 0, 0], [0, 4, 0]]
    vertices, faces = corners.reshape(-1, 3), np.arange(120).reshape(-1, 3)
    body = np.arange(40) % 2
    by_own, by_other = piercing_faces(vertices, faces, body)
    same, other = np.zeros(40, dtype=bool), np.zeros(40, dtype=bool)
    for i in range(40):
        for j in range(40):
            for k in range(3):
                a, b = corners[i, k], corners[i, (k + 1) % 3]
                # a + t (b - a) = p + u (q - p) + v (r - p), solved for u, v and t.
                p, q, r = corners[j]
                if i != j:
                    u, v, t = np.linalg.solve(np.column_stack([q - p, r - p, a - b]), a - p)
                    if min(u, v, t, 1 - t, 1 - u - v) > 0:
                        which = same if body[i] == body[j] else other
                        which[[i, j]] = True
    np.testing.assert_array_equal(by_own, same)
    np.testing.assert_array_equal(by_other, other)


def test_touching_is_no_piercing() -> None:
    stack = _mesh(
        _box((0, 0, 0), (1, 1, 1)),
        _box((0.2, 0.2, 1), (0.8, 0.8, 2)),
        _box((0.3, 0.1, -1), (0.8, 0.6, 0)),
        _box((1, 0, 0), (2, 1.5, 1)),
        _box((0.4, 0.5, 0.5), (0.6, 0.7, 1)),  # From inside.
    )
    _, body = manifold_bodies(stack.faces)
    by_own, by_other = piercing_faces(stack.vertices, stack.faces, body)
    assert not by_own.any()
    assert not by_other.any()


def test_a_tube_that_runs_through_itself_is_named() -> None:
    tube = trimesh.creation.box(extents=[2, 2, 2]).subdivide_to_size(0.5)
    t = np.pi / 2 + (np.pi / 2 + 0.5) * tube.vertices[:, 0]
    # Along a lemniscate, which crosses itself in the origin at t = 0 and pi.
    place = np.column_stack([10 * np.sin(t), 10 * np.sin(t) * np.cos(t)])
    along = np.column_stack([10 * np.cos(t), 10 * np.cos(2 * t)])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    place += tube.vertices[:, 1:2] * np.column_stack([-along[:, 1], along[:, 0]])
    tube.vertices = np.column_stack([place, tube.vertices[:, 2]])
    assert tube.is_watertight
    names = _hidden(_mesh(tube))[1]
    assert {"self-intersections"} <= set(names) <= {"self-intersections", "hidden-interior"}


def test_a_rod_in_a_tube_is_seen_by_its_small_ends() -> None:
    tube = trimesh.creation.annulus(r_min=5, r_max=9, height=60, sections=48)
    rod = trimesh.creation.cylinder(radius=4.95, height=60, sections=48)
    assert "hidden-bodies" not in _hidden(_mesh(tube, rod))[1]
    lids = [_box((-9, -9, z), (9, 9, z + 1)) for z in (-31.05, 30.05)]
    assert _hidden(_mesh(tube, rod, *lids))[1]["hidden-bodies"] == 1
