"""Winding: faces turned to agree with their neighbours, and bodies turned to face outward."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.bodies import linked, paired_faces, solid_bodies
from viewcov.inspection.mesh.part import Finding, tell, triangle_areas
from viewcov.inspection.mesh.split import unique_edges


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mesh:
    """Triangles on their way from a file to a part.

    Vertices (N, 3), faces (F, 3), and the CAD face of each (F,), -1 where the file names none.
    """

    vertices: Floats
    faces: Ints
    cad_face_idx: Ints

    def kept(self, keep: Bools) -> Mesh:
        """The mesh with only the faces of a mask, shape (F,)."""
        return replace(self, faces=self.faces[keep], cad_face_idx=self.cad_face_idx[keep])


def wind_alike(mesh: Mesh, findings: list[Finding]) -> Mesh:
    """The mesh with faces turned to run each edge that two of them share in opposite ways; the majority stays."""
    pairs, clash = paired_faces(mesh.faces)
    if not clash.any():
        return mesh
    flip = _two_colouring(len(mesh.faces), pairs, clash)
    faces = np.where(flip[:, None], mesh.faces[:, ::-1], mesh.faces)
    remaining = int(paired_faces(faces)[1].sum())
    remedy = "triangles were turned to agree with their neighbours"
    remedy += f"; {remaining} edges still disagree (one-sided surface)" if remaining else ""
    tell(findings, "mixed-winding", int(flip.sum()) or remaining, "warning" if remaining else "note", remedy)
    return replace(mesh, faces=faces)


def _two_colouring(num_faces: int, pairs: Ints, clash: Bools) -> Bools:
    """Which faces to flip so that faces agree along a spanning tree of each body; the majority stays."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    # Agreement is preferred, so that few faces are turned where not all edges can agree.
    graph = coo_array((np.where(clash, 2, 1), (pairs[:, 0], pairs[:, 1])), shape=(num_faces, num_faces))
    tree = minimum_spanning_tree(graph).tocoo()
    # Each face in two copies, as it is and turned: an edge of the tree links the copies that agree, so that
    # each body falls into two halves with opposite choices.
    row, column, turned = tree.row.astype(np.int64), tree.col.astype(np.int64), (tree.data > 1.5) * num_faces
    links = np.column_stack([np.r_[row, row + num_faces], np.r_[column + turned, column + num_faces - turned]])
    half = linked(2 * num_faces, links)[1].reshape(2, num_faces)
    flip = half[0] > half[1]
    num_bodies, body = linked(num_faces, np.column_stack([row, column]))
    flipped = np.bincount(body, weights=flip, minlength=num_bodies)
    size = np.bincount(body, minlength=num_bodies)
    return np.asarray(flip ^ (flipped > size / 2)[body])


def turn_outward(mesh: Mesh, findings: list[Finding]) -> Mesh:
    """Closed bodies with negative volume are turned, except cavities; open ones are judged together.

    The sign of an open body's volume means nothing by itself: the wall of a bore that is cracked along its
    rims has a negative one though it is wound well.
    """
    num_bodies, body = solid_bodies(mesh.faces)
    corners = mesh.vertices[mesh.faces]
    center = corners.reshape(-1, 3).mean(axis=0)
    a, b, c = np.moveaxis(corners - center, 1, 0)
    tetrahedra = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    volume = np.bincount(body, weights=tetrahedra, minlength=num_bodies).astype(np.float64)
    closed = closed_bodies(mesh, body, num_bodies)
    turn = np.zeros(num_bodies, dtype=bool)
    turn[~closed] = volume[~closed].sum() < 0
    low, high = np.full((num_bodies, 3), np.inf), np.full((num_bodies, 3), -np.inf)
    np.minimum.at(low, body, corners.min(axis=1))
    np.maximum.at(high, body, corners.max(axis=1))
    turn[closed] = _inverted(volume[closed], low[closed], high[closed])
    tell(findings, "inside-out", int(turn.sum()), "note", "bodies whose normals pointed inward were turned")
    return replace(mesh, faces=np.where(turn[body][:, None], mesh.faces[:, ::-1], mesh.faces))


def closed_bodies(mesh: Mesh, body: Ints, num_bodies: int) -> Bools:
    """Shape (B,): bodies whose border is short against their size, so that their volume has a sure sign."""
    edges, face_edges = unique_edges(mesh.faces)
    # An edge that other bodies use as well is no border of a body that has two faces there itself.
    keys, uses = np.unique(body[:, None] * len(edges) + face_edges, return_counts=True)
    owner, edge = np.divmod(keys[uses % 2 == 1], len(edges))
    length = np.linalg.norm(mesh.vertices[edges[edge, 0]] - mesh.vertices[edges[edge, 1]], axis=1)
    border_mm = np.bincount(owner, weights=length, minlength=num_bodies)
    area_mm2 = np.bincount(body, weights=triangle_areas(mesh.vertices[mesh.faces]), minlength=num_bodies)
    return np.asarray(border_mm**2 < 0.25 * area_mm2)


def _inverted(volume: Floats, low: Floats, high: Floats) -> Bools:
    """Which closed bodies to turn, from their signed volumes (B,) and boxes (B, 3).

    A smaller body within the box of another and wound the other way is taken for a cavity of it, which goes
    with it; any other body with a negative volume is inside out.
    """
    turn = volume < 0
    for inner in np.argsort(-np.abs(volume)):
        around = (low < low[inner]).all(axis=1) & (high > high[inner]).all(axis=1)
        around &= np.abs(volume) > abs(volume[inner])
        if around.any():
            outer = np.flatnonzero(around)[np.argmin(np.abs(volume[around]))]
            if (volume[outer] < 0) != (volume[inner] < 0):
                turn[inner] = turn[outer]
    return turn
