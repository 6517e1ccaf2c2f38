"""Refining some places of a part's mesh, without T-junctions and with the way back to the part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.part import Part, edge_lengths
from viewcov.inspection.mesh.split import split_marked, unique_edges

EdgeLimit = Callable[[Floats, Ints], Floats]
"""From corners (G, 3, 3) and part faces (G,): the longest edge each triangle may have, infinity for any."""

_MAX_FACES = 8_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RefinedMesh:
    """A part's mesh with some triangles cut into smaller ones."""

    vertices_mm: Floats
    """Shape (N, 3); the part's vertices come first."""

    faces: Ints
    """Shape (G, 3), winding of the part kept."""

    part_face: Ints
    """Shape (G,): triangle of the part that each face is a piece of."""

    barycentric: Floats
    """Shape (G, 3, 3): barycentric coordinates of each corner in that triangle."""

    @property
    def corners_mm(self) -> Floats:
        """Shape (G, 3, 3)."""
        return self.vertices_mm[self.faces]

    def at_corners(self, part_corner_values: Floats) -> Floats:
        """Values at the part's corners, shape (F, 3, D), interpolated to these corners, shape (G, 3, D)."""
        return np.einsum("gck,gkd->gcd", self.barycentric, part_corner_values[self.part_face])


def unrefined(part: Part) -> RefinedMesh:
    """The part's mesh as it is."""
    return RefinedMesh(
        vertices_mm=np.array(part.vertices_mm), faces=np.array(part.faces), part_face=np.arange(len(part.faces)),
        barycentric=np.broadcast_to(np.eye(3), (len(part.faces), 3, 3)).copy(),
    )  # fmt: skip


def refine(mesh: RefinedMesh, limit_of: EdgeLimit) -> RefinedMesh:
    """The mesh with edges split until no triangle has one longer than ``limit_of`` allows.

    Only triangles with too long an edge, and the neighbours with which they share one that is split, are ever
    looked at again: the cost follows the refined places, not the mesh. In a triangle with a split edge the
    longest edge is always split too (Rivara), so that triangles stay as well shaped as they were.
    """
    limit = limit_of(mesh.corners_mm, mesh.part_face)
    active = np.flatnonzero(edge_lengths(mesh.corners_mm).max(axis=1) > limit)
    if not active.size:
        return mesh
    border = _Border(mesh, active)
    vertices, piece = mesh.vertices_mm, border.take(active)
    while True:
        edges, face_edges = unique_edges(piece.faces)
        length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
        limit = limit_of(vertices[piece.faces], piece.part_face)
        marked = np.zeros(len(edges), dtype=bool)
        marked[face_edges[length[face_edges] > limit[:, None]]] = True
        if not marked.any():
            break
        _mark_longest(marked, face_edges, length)
        joined = border.join(edges[marked])
        if joined is not None:
            # The neighbours' longest edges are to be marked too, so the round begins anew.
            piece = _concatenated(piece, joined)
            continue
        piece, vertices = _split(piece, vertices, edges, face_edges, marked)
        if len(piece.faces) > _MAX_FACES:
            raise ValueError(f"refinement must end with at most {_MAX_FACES} faces, got {len(piece.faces)}")
    return border.closed(piece, vertices)


class _Piece(NamedTuple):
    faces: Ints
    part_face: Ints
    barycentric: Floats


class _Border:
    """The faces that have not been touched yet, found by the edges that they share with the active ones."""

    def __init__(self, mesh: RefinedMesh, active: Ints) -> None:
        self._mesh = mesh
        self._passive: Bools = np.ones(len(mesh.faces), dtype=bool)
        self._passive[active] = False
        self._base = len(mesh.vertices_mm)
        edges, face_edges = unique_edges(mesh.faces)
        self._keys = edges[:, 0] * self._base + edges[:, 1]
        order = np.argsort(face_edges.ravel(), kind="stable")
        self._face_at = order // 3
        self._edge_at = face_edges.ravel()[order]

    def take(self, rows: Ints) -> _Piece:
        return _Piece(self._mesh.faces[rows], self._mesh.part_face[rows], self._mesh.barycentric[rows])

    def join(self, split_edges: Ints) -> _Piece | None:
        """The untouched faces at these edges, which thereby become active; None if there are none."""
        old = split_edges[split_edges[:, 1] < self._base]
        key = old[:, 0] * self._base + old[:, 1]
        # Other edges between two old vertices have been cut across a split triangle: no old face has them.
        found = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        edge = found[self._keys[found] == key]
        hit = np.isin(self._edge_at, edge)
        rows = np.unique(self._face_at[hit])
        rows = rows[self._passive[rows]]
        if not rows.size:
            return None
        self._passive[rows] = False
        return self.take(rows)

    def closed(self, piece: _Piece, vertices: Floats) -> RefinedMesh:
        """The whole mesh, faces in the order of the part's."""
        whole = _concatenated(self.take(np.flatnonzero(self._passive)), piece)
        order = np.argsort(whole.part_face, kind="stable")
        return RefinedMesh(
            vertices_mm=vertices, faces=whole.faces[order], part_face=whole.part_face[order],
            barycentric=whole.barycentric[order],
        )  # fmt: skip


def _mark_longest(marked: Bools, face_edges: Ints, length: Floats) -> None:
    """Mark, in place, the longest edge of every face that has a marked one, until none is missing."""
    longest = face_edges[np.arange(len(face_edges)), np.argmax(length[face_edges], axis=1)]
    while True:
        missing = marked[face_edges].any(axis=1) & ~marked[longest]
        if not missing.any():
            return
        marked[longest[missing]] = True


def _split(piece: _Piece, vertices: Floats, edges: Ints, face_edges: Ints, marked: Bools) -> tuple[_Piece, Floats]:
    split = split_marked(vertices, piece.faces, edges, face_edges, marked)
    parent, num_old = split.parent_idx, len(vertices)
    # Each corner is a corner of the parent or the middle of two of them.
    new = split.faces >= num_old
    ends = np.stack([split.faces, split.faces], axis=-1)
    ends[new] = split.edge_ends[split.faces[new] - num_old]
    corner_of = ends[:, :, :, None] == piece.faces[parent][:, None, None, :]
    share = corner_of.mean(axis=2, dtype=np.float64)
    return _Piece(split.faces, piece.part_face[parent], share @ piece.barycentric[parent]), split.vertices


def _concatenated(one: _Piece, two: _Piece) -> _Piece:
    return _Piece(*(np.concatenate(columns) for columns in zip(one, two, strict=True)))
