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
    """The mesh with equal vertices joined, empty and double faces dropped, normals outward; and what was found.

    Nothing is invented: holes stay open and intersections stay, but they are reported.
    """
    findings: list[Finding] = []
    mesh = _join_vertices(mesh)
    mesh = _drop_empty(mesh, findings)
    mesh = _drop_double(mesh, findings)
    mesh = _wind_alike(mesh, findings)
    mesh = _turn_outward(mesh, findings)
    _report_edges(mesh, findings)
    _report_bodies(mesh, findings)
    mesh = replace(mesh, cad_face_idx=_complete_cad_faces(mesh))
    return _without_needles(mesh), findings


def _join_vertices(mesh: Mesh) -> Mesh:
    """Vertices closer than 1e-6 of the size become one; unused ones go."""
    corners = mesh.vertices[mesh.faces].reshape(-1, 3)
    low = corners.min(axis=0)
    grid = max(float((corners.max(axis=0) - low).max()), 1e-300) * 1e-6
    # Two shifted grids, so that no pair of close points is split by a cell border in both.
    cell = np.rint((corners - low) / grid).astype(np.int64)
    _, first, member = np.unique(cell, axis=0, return_index=True, return_inverse=True)
    vertices, faces = corners[first], member.reshape(-1, 3)
    cell = np.floor((vertices - low) / (2 * grid) + 0.25).astype(np.int64)
    _, first, member = np.unique(cell, axis=0, return_index=True, return_inverse=True)
    return replace(mesh, vertices=vertices[first], faces=member.ravel()[faces])


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
    """Which faces to flip so that faces agree along a breadth-first tree of each body; the majority stays."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    weight = np.where(clash, 2, 1)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    graph = csr_array((np.tile(weight, 2), (both[:, 0], both[:, 1])), shape=(num_faces, num_faces))
    num_bodies, body = connected_components(graph, directed=False)
    flip = np.zeros(num_faces, dtype=bool)
    for start in np.unique(body, return_index=True)[1]:
        order, parent = breadth_first_order(graph, start, directed=False)
        turn = np.asarray(graph[order[1:], parent[order[1:]]]).ravel() == 2
        for face, turned in zip(order[1:], turn, strict=True):
            flip[face] = flip[parent[face]] ^ turned
    flipped = np.bincount(body, weights=flip, minlength=num_bodies)
    size = np.bincount(body, minlength=num_bodies)
    return flip ^ (flipped > size / 2)[body]


def _bodies(mesh: Mesh) -> tuple[int, Ints]:
    """Number of edge-connected bodies and the body of each face."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, face_edges = unique_edges(mesh.faces)
    num_faces, num_edges = len(mesh.faces), int(face_edges.max()) + 1
    rows = np.repeat(np.arange(num_faces), 3)
    columns = num_faces + face_edges.ravel()
    size = num_faces + num_edges
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(size, size))
    num_bodies, label = connected_components(graph, directed=False)
    return int(num_bodies), label[:num_faces].astype(np.int64)


def _turn_outward(mesh: Mesh, findings: list[Finding]) -> Mesh:
    """Bodies with negative volume are turned, except cavities inside a larger body."""
    num_bodies, body = _bodies(mesh)
    corners = mesh.vertices[mesh.faces]
    center = corners.reshape(-1, 3).mean(axis=0)
    a, b, c = np.moveaxis(corners - center, 1, 0)
    volume = np.bincount(body, weights=np.einsum("ij,ij->i", a, np.cross(b, c)) / 6, minlength=num_bodies)
    low = np.full((num_bodies, 3), np.inf)
    high = np.full((num_bodies, 3), -np.inf)
    np.minimum.at(low, body, corners.min(axis=1))
    np.maximum.at(high, body, corners.max(axis=1))
    turn = volume < 0
    for inner in np.flatnonzero(turn):
        around = (low < low[inner]).all(axis=1) & (high > high[inner]).all(axis=1) & (volume > -volume[inner])
        turn[inner] = not around.any()
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
    num_bodies, _ = _bodies(mesh)
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

    CAD kernels cut flat faces into long needles, which would make many times more surface elements than needed.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs, clash = _paired_faces(mesh.faces)
    normal = triangle_normals(mesh.vertices[mesh.faces])
    tilt = np.linalg.norm(normal[pairs[:, 0]] - normal[pairs[:, 1]], axis=1)
    flat = (tilt < 1e-6) & (mesh.cad_face_idx[pairs[:, 0]] == mesh.cad_face_idx[pairs[:, 1]]) & ~clash
    joined, size = pairs[flat], len(mesh.faces)
    graph = coo_array((np.ones(len(joined), dtype=np.int8), (joined[:, 0], joined[:, 1])), shape=(size, size))
    group = connected_components(graph, directed=False)[1].astype(np.int64)
    return replace(mesh, faces=flipped_to_delaunay(mesh.vertices, mesh.faces, group))


def _complete_cad_faces(mesh: Mesh) -> Ints:
    """CAD face of each triangle, renumbered from 0; unnamed ones are cut at sharp edges."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    unnamed = mesh.cad_face_idx < 0
    label = mesh.cad_face_idx.copy()
    if unnamed.any():
        pairs, clash = _paired_faces(mesh.faces)
        normal = triangle_normals(mesh.vertices[mesh.faces])
        cosine = np.einsum("ij,ij->i", normal[pairs[:, 0]], normal[pairs[:, 1]])
        smooth = (cosine > np.cos(np.deg2rad(SHARP_EDGE_DEG))) & unnamed[pairs].all(axis=1) & ~clash
        joined = pairs[smooth]
        size = len(mesh.faces)
        graph = coo_array((np.ones(len(joined), dtype=np.int8), (joined[:, 0], joined[:, 1])), shape=(size, size))
        _, group = connected_components(graph, directed=False)
        label[unnamed] = label.max(initial=-1) + 1 + group[unnamed]
    return np.unique(label, return_inverse=True)[1].ravel()
