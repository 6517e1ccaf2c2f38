"""Open borders of a mesh: telling cracks from holes, and stitching cracks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.bodies import linked
from viewcov.inspection.mesh.part import triangle_areas, triangle_normals
from viewcov.inspection.mesh.split import unique_edges

REACH = 0.01
"""Widest gap that is taken for a crack, as a share of the part's size."""

_SAG = 0.15
"""Widest gap to an edge that is stitched, as a share of its length: an arc of 65 degrees stands off its chord by so
much, and cracks come from a curve cut into different chords on its two sides."""

_NOISE = 1e-4
"""Gaps below this share of the part's size are stitched however short the edges are."""

_MOST_EDGES = 50_000
_ROUNDS = 8


def border_edges(faces: Ints) -> tuple[Ints, Ints]:
    """Start and end of each edge that only one face has, shape (B, 2), in the sense of its face; that face, (B,)."""
    _, face_edges = unique_edges(faces)
    uses = np.bincount(face_edges.ravel())
    half = np.flatnonzero(uses[face_edges.ravel()] == 1)
    face, corner = np.divmod(half, 3)
    return np.column_stack([faces[face, corner], faces[face, (corner + 1) % 3]]), face


def cracked(vertices: Floats, faces: Ints) -> Bools:
    """Which of the `border_edges` of faces lie along another one nearby, shape (B,): cracks, and not holes.

    Small is below ``REACH``, and below a fifth of the length of the border that the edge is on: across a round
    hole it is a third, however small the hole.
    """
    ends, _ = border_edges(faces)
    if not 0 < len(ends) <= _MOST_EDGES:
        return np.zeros(len(ends), dtype=bool)
    a, b = vertices[ends[:, 0]], vertices[ends[:, 1]]
    length = np.linalg.norm(b - a, axis=1)
    num_loops, loop = linked(len(vertices), ends)
    around = np.bincount(loop[ends[:, 0]], weights=length, minlength=num_loops)[loop[ends[:, 0]]]
    reach = REACH * _size(vertices)
    own = -1 - np.arange(len(ends))
    _, _, gap = _nearest(vertices, ends, (a + b) / 2, (b - a) / length[:, None], own, reach=reach)
    return np.asarray(gap <= np.minimum(reach, 0.2 * around))


def stitched(vertices: Floats, faces: Ints) -> tuple[Floats, Ints, Ints]:
    """Vertices, faces (F, 3), and the old face that each is a part of (F,), with cracks closed where that is safe.

    A border vertex close to a border edge of the other side becomes one with the edge's end, or else a corner of
    the edge's face. No face turns by more than 60 degrees, and the area changes by less than 1 %; what is wider
    stays open. The winding must agree across a crack.
    """
    parent = np.arange(len(faces))
    area = triangle_areas(vertices[faces]).sum()
    for _ in range(_ROUNDS):
        moved, changed, piece = _stitched_once(vertices, faces, np.zeros(0, dtype=np.int64))
        if crowding := _crowding(faces, changed, piece):
            moved, changed, piece = _stitched_once(vertices, faces, np.array(sorted(crowding)))
        unchanged = len(changed) == len(faces) and len(moved) == len(vertices)
        worse = bool(_crowding(faces, changed, piece)) or abs(triangle_areas(moved[changed]).sum() - area) > 0.01 * area
        if unchanged or worse:
            break
        vertices, faces, parent = moved, changed, parent[piece]
    return vertices, faces, parent


def _stitched_once(vertices: Floats, faces: Ints, left_out: Ints) -> tuple[Floats, Ints, Ints]:
    """One round: pairs of border vertices made one, or else border edges split; unchanged where none is near."""
    ends, owner = border_edges(faces)
    if not 0 < len(ends) <= _MOST_EDGES:
        return vertices, faces, np.arange(len(faces))
    near = _across(vertices, ends, left_out)
    pairs = _with_an_end(vertices, faces, ends, near)
    if len(pairs):
        return _merged(vertices, faces, pairs)
    return (vertices, *_split(vertices, faces, ends, owner, near))


def _crowding(faces: Ints, changed: Ints, piece: Ints) -> set[int]:
    """Old vertices of the faces that came to share an edge with more than one other, none if no such edge is new."""
    before, after = (unique_edges(each)[1] for each in (faces, changed))
    crowded = np.bincount(after.ravel()) > 2
    if crowded.sum() <= (np.bincount(before.ravel()) > 2).sum():
        return set()
    return set(faces[piece[crowded[after].any(axis=1)]].ravel().tolist())


def _size(vertices: Floats) -> float:
    return float(np.ptp(vertices, axis=0).max())


class _Near(NamedTuple):
    """P border vertices, the border edge across that each is nearest to, where on it (0 to 1), and the gap."""

    point: Ints
    edge: Ints
    share: Floats
    gap: Floats


def _across(vertices: Floats, ends: Ints, left_out: Ints) -> _Near:
    """Border vertices near a border edge that runs the other way."""
    size = _size(vertices)
    run = vertices[ends[:, 1]] - vertices[ends[:, 0]]
    length = np.linalg.norm(run, axis=1)
    direction = np.zeros((len(vertices), 3))
    for column in ends.T:
        np.add.at(direction, column, run / length[:, None])
    points = np.setdiff1d(ends, left_out)
    heading = direction[points]
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-12)
    edge, share, gap = _nearest(vertices, ends, vertices[points], heading, points, reach=REACH * size)
    near = gap <= np.maximum(_NOISE * size, _SAG * length[edge])
    return _Near(points[near], edge[near], share[near], gap[near])


def _nearest(
    vertices: Floats, ends: Ints, points: Floats, heading: Floats, own: Ints, *, reach: float
) -> tuple[Ints, Floats, Floats]:
    """For each of P points the nearest border edge across: which, where on it, and how far (inf if out of reach).

    Across are edges that run the other way: the two sides of a crack do, as the borders of faces wound alike.

    The points (P, 3) lie on the border, whose edges are ``ends`` (B, 2), with unit vectors ``heading`` along it.
    ``own`` (P,) is the vertex at the point, whose edges do not count; -1 - edge for a point on an edge.
    """
    a, b = vertices[ends[:, 0]], vertices[ends[:, 1]]
    axis = int(np.argmax(np.ptp(a, axis=0)))
    low = np.minimum(a[:, axis], b[:, axis])
    order = np.argsort(low, kind="stable")
    widest = float(np.abs(a[:, axis] - b[:, axis]).max())
    first = np.searchsorted(low[order], points[:, axis] - reach - widest)
    last = np.searchsorted(low[order], points[:, axis] + reach, side="right")
    return _search((points, heading, own), (a, b, ends), (order, first, last), reach)


@njit(cache=True, nogil=True)
def _search(asked, edges, near, reach):  # type: ignore[no-untyped-def]
    (points, heading, own), (a, b, ends), (order, first, last) = asked, edges, near
    edge, share, gap = np.zeros(len(points), np.int64), np.zeros(len(points)), np.full(len(points), np.inf)
    for index in range(len(points)):
        best = reach
        x, y, z = points[index]
        for k in order[first[index] : last[index]]:
            if ends[k, 0] == own[index] or ends[k, 1] == own[index] or -1 - k == own[index]:
                continue
            dx, dy, dz = b[k, 0] - a[k, 0], b[k, 1] - a[k, 1], b[k, 2] - a[k, 2]
            squared = dx * dx + dy * dy + dz * dz
            along = (dx * heading[index, 0] + dy * heading[index, 1] + dz * heading[index, 2]) / np.sqrt(squared)
            if along > -0.5:
                continue
            px, py, pz = x - a[k, 0], y - a[k, 1], z - a[k, 2]
            t = min(max((px * dx + py * dy + pz * dz) / squared, 0.0), 1.0)
            distance = np.sqrt((px - t * dx) ** 2 + (py - t * dy) ** 2 + (pz - t * dz) ** 2)
            if distance <= best:
                best = distance
                edge[index], share[index], gap[index] = k, t, distance
    return edge, share, gap


def _with_an_end(vertices: Floats, faces: Ints, ends: Ints, near: _Near) -> Ints:
    """Pairs of vertices (P, 2) to be made one: a point across a crack from the end of an edge.

    Vertices that an edge links never become one.
    """
    from scipy.spatial import cKDTree

    points, edge, share, gap = near
    other = np.where(share < 0.5, ends[edge, 0], ends[edge, 1])
    distance = np.linalg.norm(vertices[points] - vertices[other], axis=1)
    length = np.linalg.norm(vertices[ends[:, 1]] - vertices[ends[:, 0]], axis=1)
    shortest = np.full(len(vertices), np.inf)
    for column in ends.T:
        np.minimum.at(shortest, column, length)
    limit = np.maximum(2.0 * gap, _NOISE * _size(vertices))
    close = distance <= np.minimum(limit, 0.4 * np.minimum(shortest[points], shortest[other]))
    # Those that differ by nothing but rounding, however sharply the border turns there.
    border = np.unique(ends)
    same = border[cKDTree(vertices[border]).query_pairs(_NOISE * _size(vertices), output_type="ndarray")]
    pairs = np.concatenate([np.column_stack([points, other])[close], same.reshape(-1, 2)])
    _, cluster = linked(len(vertices), pairs)
    links = cluster[unique_edges(faces)[0]]
    collapsing = links[links[:, 0] == links[:, 1], 0]
    return pairs[~np.isin(cluster[pairs[:, 0]], collapsing)]


def _merged(vertices: Floats, faces: Ints, pairs: Ints) -> tuple[Floats, Ints, Ints]:
    """Vertices and faces with linked vertices made one, in their middle; the old face of each face."""
    num_points, point = linked(len(vertices), pairs)
    count = np.bincount(point, minlength=num_points)[:, None]
    middle = np.zeros((num_points, 3))
    np.add.at(middle, point, vertices)
    renamed = point[faces]
    # A face with two corners in one has closed up.
    kept = np.flatnonzero((renamed != np.roll(renamed, 1, axis=1)).all(axis=1))
    return middle / count, renamed[kept], kept


def _split(vertices: Floats, faces: Ints, ends: Ints, owner: Ints, near: _Near) -> tuple[Ints, Ints]:
    """Faces with border vertices of the other side put on their border edges; the old face of each face."""
    apex = faces[owner].sum(axis=1) - ends.sum(axis=1)
    points, edge, share, _ = near
    inner = (share > 1e-6) & (share < 1.0 - 1e-6) & (points != apex[edge])
    points, edge, share = points[inner], edge[inner], share[inner]
    # One edge of a face in a round; the others have their turn in the next.
    chosen = np.full(len(faces), len(ends))
    np.minimum.at(chosen, owner[edge], edge)
    mine = chosen[owner[edge]] == edge
    order = np.lexsort((share[mine], edge[mine]))
    points, edge = points[mine][order], edge[mine][order]
    pieces, parents, gone = [], [], []
    borders, first = np.unique(edge, return_index=True)
    for border, along in zip(borders, np.split(points, first[1:]), strict=False):
        face, chain = owner[border], np.r_[ends[border, 0], along, ends[border, 1]]
        fan = np.column_stack([chain[:-1], chain[1:], np.full(len(chain) - 1, apex[border])])
        if _fits(vertices, fan, faces[face]):
            pieces.append(fan)
            parents.append(np.full(len(fan), face))
            gone.append(face)
    kept = np.setdiff1d(np.arange(len(faces)), np.array(gone, dtype=np.int64))
    return np.concatenate([faces[kept], *pieces]), np.concatenate([kept, *parents])


def _fits(vertices: Floats, fan: Ints, face: Ints) -> bool:
    """Whether pieces of a face are true triangles that turn by at most 60 degrees from it."""
    if (fan == np.roll(fan, 1, axis=1)).any():
        return False
    cosine = triangle_normals(vertices[fan]) @ triangle_normals(vertices[face][None])[0]
    return bool((cosine >= 0.5).all())
