"""Finding and mending what is wrong with a triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.part import Finding, triangle_areas, triangle_normals
from viewcov.inspection.refine import flipped_to_delaunay, unique_edges

SHARP_EDGE_DEG = 25.0
"""Triangles that meet at a larger angle belong to different CAD faces, where a file names none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mesh:
    """Triangles on their way from a file to a part."""

    vertices: Floats
    """Shape (N, 3)."""

    faces: Ints
    """Shape (F, 3)."""

    cad_face_idx: Ints
    """Shape (F,); -1 where the file names no CAD face."""

    def kept(self, keep: Bools) -> Mesh:
        """The mesh with only the faces of a mask, shape (F,)."""
        return replace(self, faces=self.faces[keep], cad_face_idx=self.cad_face_idx[keep])


def mend(mesh: Mesh) -> tuple[Mesh, list[Finding]]:
    """The mesh with equal vertices joined, empty and double faces dropped, normals outward; what was found.

    Nothing is invented: holes stay open and intersections stay, but they are reported.
    """
    findings: list[Finding] = []
    mesh = _join_vertices(mesh)
    mesh = _drop_empty(mesh, findings)
    mesh = _drop_double(mesh, findings)
    if not len(mesh.faces):
        return mesh, findings
    mesh = _wind_alike(mesh, findings)
    mesh = _turn_outward(mesh, findings)
    _report_edges(mesh, findings)
    _report_bodies(mesh, findings)
    mesh = replace(mesh, cad_face_idx=_complete_cad_faces(mesh))
    return _without_needles(mesh), findings


def _join_vertices(mesh: Mesh) -> Mesh:
    """Vertices closer than 1e-6 of the size, or linked by such, become one; unused ones go."""
    from scipy.spatial import cKDTree

    used, corner = np.unique(mesh.faces, return_inverse=True)
    vertices, same = np.unique(mesh.vertices[used], axis=0, return_inverse=True)
    distance = float(np.ptp(vertices, axis=0).max()) * 1e-6
    close = cKDTree(vertices).query_pairs(distance, output_type="ndarray")
    num_points, point = _linked(len(vertices), close)
    first = np.full(num_points, len(vertices))
    np.minimum.at(first, point, np.arange(len(vertices)))
    return replace(mesh, vertices=vertices[first], faces=point[same.ravel()[corner]].reshape(-1, 3))


def _linked(num_nodes: int, pairs: Ints) -> tuple[int, Ints]:
    """Number of connected components of a graph with edges (P, 2), and the component of each node."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(num_nodes, num_nodes))
    num_components, component = connected_components(graph, directed=False)
    return int(num_components), component.astype(np.int64)


def _drop_empty(mesh: Mesh, findings: list[Finding]) -> Mesh:
    a, b, c = mesh.faces.T
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    empty = (a == b) | (b == c) | (c == a)
    empty |= triangle_areas(mesh.vertices[mesh.faces]) <= 1e-14 * extent**2
    if empty.any():
        findings.append(
            Finding(
                name="degenerate-faces",
                count=int(empty.sum()),
                severity="note",
                remedy="triangles without area were dropped",
            )
        )
    return mesh.kept(~empty)


def _drop_double(mesh: Mesh, findings: list[Finding]) -> Mesh:
    _, first = np.unique(np.sort(mesh.faces, axis=1), axis=0, return_index=True)
    keep = np.zeros(len(mesh.faces), dtype=bool)
    keep[first] = True
    if not keep.all():
        findings.append(
            Finding(
                name="duplicate-faces",
                count=int((~keep).sum()),
                severity="note",
                remedy="one triangle of each such group was kept",
            )
        )
    return mesh.kept(keep)


def _paired_faces(faces: Ints) -> tuple[Ints, Bools]:
    """Pairs of faces, shape (P, 2), at edges with exactly two, and whether they run it the same way."""
    edges, face_edges = unique_edges(faces)
    order = np.argsort(face_edges.ravel(), kind="stable")
    edge = face_edges.ravel()[order]
    start = np.flatnonzero(np.r_[True, edge[1:] != edge[:-1]])
    count = np.diff(np.r_[start, len(edge)])
    first = start[count == 2]
    half_edges = np.stack([order[first], order[first + 1]], axis=1)
    upward = faces.ravel()[half_edges] == edges[edge[first]][:, :1]
    return half_edges // 3, upward[:, 0] == upward[:, 1]


def _wind_alike(mesh: Mesh, findings: list[Finding]) -> Mesh:
    pairs, clash = _paired_faces(mesh.faces)
    if not clash.any():
        return mesh
    flip = _two_colouring(len(mesh.faces), pairs, clash)
    faces = np.where(flip[:, None], mesh.faces[:, ::-1], mesh.faces)
    remaining = int(_paired_faces(faces)[1].sum())
    findings.append(
        Finding(
            name="mixed-winding",
            count=int(flip.sum()),
            severity="warning" if remaining else "note",
            remedy="triangles were turned to agree with their neighbours"
            + (f"; {remaining} edges still disagree (one-sided surface)" if remaining else ""),
        )
    )
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
    half = _linked(2 * num_faces, links)[1].reshape(2, num_faces)
    flip = half[0] > half[1]
    num_bodies, body = _linked(num_faces, np.column_stack([row, column]))
    flipped = np.bincount(body, weights=flip, minlength=num_bodies)
    size = np.bincount(body, minlength=num_bodies)
    return np.asarray(flip ^ (flipped > size / 2)[body])


def _num_bodies(faces: Ints) -> int:
    """Number of bodies that are connected by edges, however many faces meet there."""
    edges, face_edges = unique_edges(faces)
    owner = np.repeat(np.arange(len(faces)), 3)
    return _linked(len(faces) + len(edges), np.column_stack([owner, len(faces) + face_edges.ravel()]))[0]


def _turn_outward(mesh: Mesh, findings: list[Finding]) -> Mesh:
    """Closed bodies with negative volume are turned, except cavities; open ones are judged together.

    The sign of an open body's volume means nothing by itself: the wall of a bore that is cracked along its
    rims has a negative one though it is wound well.
    """
    pairs, _ = _paired_faces(mesh.faces)
    num_bodies, body = _linked(len(mesh.faces), pairs)
    corners = mesh.vertices[mesh.faces]
    center = corners.reshape(-1, 3).mean(axis=0)
    a, b, c = np.moveaxis(corners - center, 1, 0)
    tetrahedra = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    volume = np.bincount(body, weights=tetrahedra, minlength=num_bodies).astype(np.float64)
    closed = _closed_bodies(mesh, body, num_bodies)
    turn = np.zeros(num_bodies, dtype=bool)
    turn[~closed] = volume[~closed].sum() < 0
    low, high = _boxes(corners, body, num_bodies)
    turn[closed] = _inverted(volume[closed], low[closed], high[closed])
    if not turn.any():
        return mesh
    findings.append(
        Finding(
            name="inside-out",
            count=int(turn.sum()),
            severity="note",
            remedy="bodies whose normals pointed inward were turned",
        )
    )
    return replace(mesh, faces=np.where(turn[body][:, None], mesh.faces[:, ::-1], mesh.faces))


def _closed_bodies(mesh: Mesh, body: Ints, num_bodies: int) -> Bools:
    """Shape (B,): bodies whose border is short against their size, so that their volume has a sure sign."""
    edges, face_edges = unique_edges(mesh.faces)
    # An edge that other bodies use as well is no border of a body that has two faces there itself.
    keys, uses = np.unique(body[:, None] * len(edges) + face_edges, return_counts=True)
    owner, edge = np.divmod(keys[uses % 2 == 1], len(edges))
    length = np.linalg.norm(mesh.vertices[edges[edge, 0]] - mesh.vertices[edges[edge, 1]], axis=1)
    border_mm = np.bincount(owner, weights=length, minlength=num_bodies)
    area_mm2 = np.bincount(body, weights=triangle_areas(mesh.vertices[mesh.faces]), minlength=num_bodies)
    return np.asarray(border_mm**2 < 0.25 * area_mm2)


def _boxes(corners: Floats, body: Ints, num_bodies: int) -> Floats:
    """Lowest and highest corner of the bounding box of each body, shape (2, B, 3)."""
    box = np.empty((2, num_bodies, 3))
    box[0], box[1] = np.inf, -np.inf
    np.minimum.at(box[0], body, corners.min(axis=1))
    np.maximum.at(box[1], body, corners.max(axis=1))
    return box


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


def _report_edges(mesh: Mesh, findings: list[Finding]) -> None:
    _, face_edges = unique_edges(mesh.faces)
    uses = np.bincount(face_edges.ravel())
    num_open, num_many = int((uses == 1).sum()), int((uses > 2).sum())
    if num_open:
        findings.append(
            Finding(
                name="open-edges",
                count=num_open,
                severity="warning",
                remedy="the surface has holes or cracks; rays may pass through: export a closed solid",
            )
        )
    if num_many:
        findings.append(
            Finding(
                name="non-manifold-edges",
                count=num_many,
                severity="warning",
                remedy="more than two triangles meet at an edge; normals may be wrong there",
            )
        )


def _report_bodies(mesh: Mesh, findings: list[Finding]) -> None:
    num_bodies = _num_bodies(mesh.faces)
    if num_bodies > 1:
        findings.append(
            Finding(
                name="several-bodies",
                count=num_bodies,
                severity="note",
                remedy="all are kept as one part; surfaces where bodies touch cannot be seen by any camera",
            )
        )


def _without_needles(mesh: Mesh) -> Mesh:
    """Flat areas of each CAD face triangulated anew over the same vertices (Delaunay), the shape unchanged.

    CAD kernels cut flat faces into long needles, which would make many times more surface elements than
    needed.
    """
    pairs, clash = _paired_faces(mesh.faces)
    normal = triangle_normals(mesh.vertices[mesh.faces])
    tilt = np.linalg.norm(normal[pairs[:, 0]] - normal[pairs[:, 1]], axis=1)
    flat = (tilt < 1e-6) & (mesh.cad_face_idx[pairs[:, 0]] == mesh.cad_face_idx[pairs[:, 1]]) & ~clash
    _, group = _linked(len(mesh.faces), pairs[flat])
    return replace(mesh, faces=flipped_to_delaunay(mesh.vertices, mesh.faces, group))


def _complete_cad_faces(mesh: Mesh) -> Ints:
    """CAD face of each triangle, renumbered from 0; unnamed ones are cut at sharp edges."""
    unnamed = mesh.cad_face_idx < 0
    label = mesh.cad_face_idx.copy()
    if unnamed.any():
        pairs, clash = _paired_faces(mesh.faces)
        normal = triangle_normals(mesh.vertices[mesh.faces])
        cosine = np.einsum("ij,ij->i", normal[pairs[:, 0]], normal[pairs[:, 1]])
        smooth = (cosine > np.cos(np.deg2rad(SHARP_EDGE_DEG))) & unnamed[pairs].all(axis=1) & ~clash
        _, group = _linked(len(mesh.faces), pairs[smooth])
        label[unnamed] = label.max(initial=-1) + 1 + group[unnamed]
    return np.unique(label, return_inverse=True)[1].ravel()
