"""Splitting triangle edges without T-junctions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from viewcov.inspection.arrays import Bools, Floats, Ints

_MAX_ROUNDS = 60
_FLIP = -1e-3
"""Edges are flipped only where that gains something: not among corners on a circle, where rounding would decide."""


class Refinement(NamedTuple):
    """Triangles after splitting, wound as before, and where each came from.

    Vertices (N, 3), the old ones first and unchanged; faces (F, 3); the old face that each is a part of (F,); the two
    old vertices between which each new one lies midway, (M, 2), in order.
    """

    vertices: Floats
    faces: Ints
    parent_idx: Ints
    edge_ends: Ints


def unique_edges(faces: Ints) -> tuple[Ints, Ints]:
    """Undirected edges, shape (E, 2) with the lower vertex first, and each face's three edges, shape (F, 3).

    Edge k of a face runs from its corner k to corner k + 1.
    """
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    base = int(faces.max()) + 1 if faces.size else 1
    keys, edge_of = np.unique(ends[:, 0] * base + ends[:, 1], return_inverse=True)
    return np.column_stack([keys // base, keys % base]), edge_of.reshape(-1, 3)


def split_marked(vertices: Floats, faces: Ints, edges: Ints, face_edges: Ints, marked: Bools) -> Refinement:
    """Every marked edge split at its middle; faces with 1, 2 or 3 marked edges become 2, 3 or 4.

    ``edges`` and ``face_edges`` are those of `unique_edges`, and ``marked`` (E,) says which to split. Both faces of
    an edge see the same middle, so the result has no T-junctions where the input had none.
    """
    ends = edges[marked]
    middle_of = np.full(len(edges), -1, dtype=np.int64)
    middle_of[marked] = len(vertices) + np.arange(len(ends))
    all_vertices = np.concatenate([vertices, vertices[ends].mean(axis=1)])
    middles = middle_of[face_edges]
    count = (middles >= 0).sum(axis=1)

    new_faces, parents = [faces[count == 0]], [np.flatnonzero(count == 0)]
    for num, split in ((1, _split_one), (2, _split_two), (3, _split_three)):
        rows = np.flatnonzero(count == num)
        if rows.size:
            pieces = split(faces[rows], middles[rows], all_vertices)
            new_faces.extend(pieces)
            parents.extend([rows] * len(pieces))
    order = np.argsort(np.concatenate(parents), kind="stable")
    faces, parent_idx = np.concatenate(new_faces)[order], np.concatenate(parents)[order]
    return Refinement(all_vertices, faces, parent_idx, ends)


def _turned(array: Ints, first: Ints) -> Ints:
    """Each row rotated so that its column ``first`` leads."""
    return np.take_along_axis(array, (first[:, None] + np.arange(3)) % 3, axis=1)


def _split_one(faces: Ints, middles: Ints, _: Floats) -> list[Ints]:
    first = np.argmax(middles >= 0, axis=1)
    (a, b, c), m = _turned(faces, first).T, _turned(middles, first)[:, 0]
    return [np.column_stack([a, m, c]), np.column_stack([m, b, c])]


def _split_two(faces: Ints, middles: Ints, vertices: Floats) -> list[Ints]:
    # The unmarked edge is put last (c to a): the corner b is cut off, a quadrangle a, m, n, c remains.
    first = (np.argmin(middles >= 0, axis=1) + 1) % 3
    (a, b, c), turned = _turned(faces, first).T, _turned(middles, first)
    m, n = turned[:, 0], turned[:, 1]
    length_an = np.linalg.norm(vertices[a] - vertices[n], axis=1)
    length_mc = np.linalg.norm(vertices[m] - vertices[c], axis=1)
    by_an = (length_an <= length_mc)[:, None]
    return [
        np.column_stack([m, b, n]),
        np.where(by_an, np.column_stack([a, m, n]), np.column_stack([a, m, c])),
        np.where(by_an, np.column_stack([a, n, c]), np.column_stack([m, n, c])),
    ]


def _split_three(faces: Ints, middles: Ints, _: Floats) -> list[Ints]:
    (a, b, c), (m, n, o) = faces.T, middles.T
    return [np.column_stack(corners) for corners in ((a, m, o), (m, b, n), (o, n, c), (m, n, o))]


def flipped_to_delaunay(vertices: Floats, faces: Ints, group_idx: Ints) -> Ints:
    """Faces, shape (F, 3), with edges flipped until opposite angles sum to at most 180 degrees (Lawson).

    Only edges between two faces of the same group are flipped; a group must be flat, as the pieces of one
    triangle are. Row i stays in the group ``group_idx[i]``, and the area of a group does not change.
    """
    faces = faces.copy()
    # Groups do not touch each other: one in which nothing was flipped stays as it is.
    left = np.arange(len(faces))
    for _ in range(_MAX_ROUNDS):
        half = _flippable(faces[left], group_idx[left])
        bad = half[_opposite_angles_sine(vertices, faces[left], half) < _FLIP]
        chosen = _disjoint(bad, len(left))
        if not len(chosen):
            break
        (first, second), (i, j) = left[chosen // 3].T, (chosen % 3).T
        a, b, c = faces[first, i], faces[first, (i + 1) % 3], faces[first, (i + 2) % 3]
        d = faces[second, (j + 2) % 3]
        faces[first], faces[second] = np.column_stack([a, d, c]), np.column_stack([d, b, c])
        flipped = np.zeros(int(group_idx.max()) + 1, dtype=bool)
        flipped[group_idx[first]] = True
        left = left[flipped[group_idx[left]]]
    return faces


def paired_half_edges(faces: Ints) -> Ints:
    """Half-edges (3 x face + corner), shape (P, 2), of edges with exactly two faces, in the order of their vertices."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    key = np.minimum(start, end) * (int(faces.max(initial=0)) + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    key = key[order]
    again = np.r_[False, key[1:] == key[:-1], False]
    first = np.flatnonzero(again[1:-1] & ~again[:-2] & ~again[2:])
    return np.column_stack([order[first], order[first + 1]])


def _flippable(faces: Ints, group_idx: Ints) -> Ints:
    """Half-edges, shape (P, 2), of edges between two faces of one group that run them in opposite ways.

    Just two: flipping an edge that a third face uses would tear that face off.
    """
    half = paired_half_edges(faces)
    first, second = half.T
    start = faces.ravel()
    opposite = (start[first] != start[second]) & (group_idx[first // 3] == group_idx[second // 3])
    return half[opposite]


def _opposite_angles_sine(vertices: Floats, faces: Ints, half: Ints) -> Floats:
    """Sine of the sum of the two angles opposite each shared edge: negative asks for a flip."""
    corners = vertices[faces]
    sides = np.roll(corners, -1, axis=1) - corners
    squares = np.einsum("fki,fki->fk", sides, sides)
    double_area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    # The angle opposite edge k lies between the two others (law of cosines).
    first, second = np.roll(squares, -1, axis=1), np.roll(squares, -2, axis=1)
    scale = np.maximum(np.sqrt(first * second), 1e-300)
    cosine, sine = ((first + second - squares) / (2.0 * scale)).ravel(), (double_area[:, None] / scale).ravel()
    one, other = half.T
    return sine[one] * cosine[other] + cosine[one] * sine[other]


def _disjoint(half: Ints, num_faces: int) -> Ints:
    """A large subset of half-edge pairs in which no face appears twice: the first pair of each face wins."""
    rank = np.full(num_faces, len(half), dtype=np.int64)
    index = np.arange(len(half))
    np.minimum.at(rank, half[:, 0] // 3, index)
    np.minimum.at(rank, half[:, 1] // 3, index)
    return half[(rank[half[:, 0] // 3] == index) & (rank[half[:, 1] // 3] == index)]
