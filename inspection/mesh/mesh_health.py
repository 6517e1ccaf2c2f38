"""Finding and mending what is wrong with a triangle mesh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from viewcov.inspection.arrays import Bools, Ints
from viewcov.inspection.mesh.bodies import linked, linked_by_edges, manifold_bodies, paired_faces, solid_bodies
from viewcov.inspection.mesh.part import Finding, tell, triangle_areas, triangle_normals
from viewcov.inspection.mesh.split import flipped_to_delaunay, unique_edges
from viewcov.inspection.mesh.winding import Mesh, closed_bodies, turn_outward, wind_alike

_WORTH_TELLING = 1e-6

SHARP_EDGE_DEG = 25.0
"""Triangles that meet at a larger angle belong to different CAD faces, where a file names none."""


def mend(mesh: Mesh) -> tuple[Mesh, list[Finding]]:
    """The mesh with what can be mended safely mended, and what was found.

    Equal vertices are joined; empty and double faces are dropped, and so are pairs of faces back to back where
    bodies touch; faces are wound alike and outward, and narrow cracks are stitched. Nothing else is invented:
    holes and wide cracks stay open and intersections stay, but they are reported.
    """
    findings: list[Finding] = []
    mesh = _join_vertices(mesh)
    mesh = _drop_empty(mesh, findings)
    mesh, doubled = _drop_double(mesh, findings)
    if not len(mesh.faces):
        return mesh, findings
    num_doubled = int(doubled.sum())
    mesh = wind_alike(mesh, findings)
    mesh, doubled = _stitch(mesh, doubled, findings)
    mesh = turn_outward(mesh, findings)
    if doubled.any():
        _report_double_sided(mesh, doubled, num_doubled, findings)
    _report_edges(mesh, findings)
    mesh = replace(mesh, cad_face_idx=_complete_cad_faces(mesh))
    return _without_needles(mesh), findings


def _join_vertices(mesh: Mesh) -> Mesh:
    """Vertices closer than 1e-6 of the size, or linked by such, become one; unused ones go.

    They are numbered as the faces name them first, whatever their coordinates: the same part in another unit,
    with other last digits, comes out in the same order.
    """
    from scipy.spatial import cKDTree

    used, corner = np.unique(mesh.faces, return_inverse=True)
    vertices, same = np.unique(mesh.vertices[used], axis=0, return_inverse=True)
    distance = float(np.ptp(vertices, axis=0).max()) * 1e-6
    close = cKDTree(vertices).query_pairs(distance, output_type="ndarray")
    _, point = linked(len(vertices), close)
    exact = same.ravel()[corner].ravel()
    _, first, joined = np.unique(point[exact], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return replace(mesh, vertices=vertices[exact[np.sort(first)]], faces=rank[joined].reshape(-1, 3))


def _drop_empty(mesh: Mesh, findings: list[Finding]) -> Mesh:
    a, b, c = mesh.faces.T
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    empty = (a == b) | (b == c) | (c == a)
    empty |= triangle_areas(mesh.vertices[mesh.faces]) <= 1e-14 * extent**2
    tell(findings, "degenerate-faces", int(empty.sum()), "note", "triangles without area were dropped")
    return mesh.kept(~empty)


def _drop_double(mesh: Mesh, findings: list[Finding]) -> tuple[Mesh, Bools]:
    """One triangle of each set of corners, none where bodies touch; which of those left had a twin turned round."""
    a, b, c = mesh.faces.T
    odd = ((a > b).astype(np.int64) + (a > c) + (b > c)) % 2
    corners, first, group, count = np.unique(
        np.sort(mesh.faces, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    num_odd = np.bincount(group.ravel(), weights=odd, minlength=len(corners))
    twofold = (num_odd > 0) & (num_odd < count)
    touching = _touching(corners, twofold)
    repeated = int((count - 1 - twofold).sum())
    tell(findings, "duplicate-faces", repeated, "note", "one triangle of each such group was kept")
    dropped = "pairs of triangles back to back, where bodies touch and no camera can look, were dropped"
    tell(findings, "contact-faces", int(touching.sum()), "note", dropped)
    keep, doubled = np.zeros(len(mesh.faces), dtype=bool), np.zeros(len(mesh.faces), dtype=bool)
    keep[first[~touching]] = True
    doubled[first[twofold & ~touching]] = True
    return mesh.kept(keep), doubled[keep]


def _touching(corners: Ints, twofold: Bools) -> Bools:
    """Which triangles that are there both ways, shape (F,), are where two bodies touch.

    A patch of such triangles is taken out only if that leaves two faces, or none, at each of its edges, and two
    at some: the bodies are then one. A sheet or a body with both sides of each face has edges of its own.
    """
    edges, face_edges = unique_edges(corners)
    double = np.flatnonzero(twofold)
    if not len(double):
        return twofold
    num_patches, patch = linked_by_edges(face_edges[double], len(edges))
    num_double = np.bincount(face_edges[double].ravel(), minlength=len(edges))
    num_single = np.bincount(face_edges[~twofold].ravel(), minlength=len(edges))
    joins = num_single == 2
    fits = joins | ((num_single == 0) & (num_double >= 2))
    edge_patch = patch[len(double) :]
    wrong = np.bincount(edge_patch[(num_double > 0) & ~fits], minlength=num_patches) > 0
    joined = np.bincount(edge_patch[(num_double > 0) & joins], minlength=num_patches) > 0
    touching = np.zeros(len(corners), dtype=bool)
    touching[double] = (joined & ~wrong)[patch[: len(double)]]
    return touching


def _report_double_sided(mesh: Mesh, doubled: Bools, num_doubled: int, findings: list[Finding]) -> None:
    num_bodies, body = solid_bodies(mesh.faces)
    open_sheet = bool((doubled & ~closed_bodies(mesh, body, num_bodies)[body]).any())
    remedy = "each such triangle had a twin wound the other way, and one of the two was kept"
    remedy += "; only one side of an open sheet is inspected: export a solid" if open_sheet else ""
    tell(findings, "double-sided", num_doubled, "warning" if open_sheet else "note", remedy)


def _stitch(mesh: Mesh, doubled: Bools, findings: list[Finding]) -> tuple[Mesh, Bools]:
    """The mesh with its narrow cracks closed, and the mask of faces carried along."""
    from scipy.spatial import cKDTree

    from viewcov.inspection.mesh.borders import cracked, stitched

    cracks = cracked(mesh.vertices, mesh.faces)
    if not cracks.any():
        return mesh, doubled
    vertices, faces, parent = stitched(mesh.vertices, mesh.faces)
    num_left = int(cracked(vertices, faces).sum())
    num_closed = int(cracks.sum()) - num_left
    remedy = f"{num_closed} edges along narrow gaps were stitched"
    if num_closed:
        distance = np.asarray(cKDTree(vertices).query(mesh.vertices)[0])
        moved = distance.max() / np.ptp(mesh.vertices, axis=0).max()
        remedy += f", corners moved by up to {100 * moved:.2g} % of the size"
    if num_left:
        remedy += f"; {num_left} along wider ones stay open: export again with a finer tessellation"
    tell(findings, "cracks", int(cracks.sum()), "warning" if num_left else "note", remedy)
    mended = Mesh(vertices=vertices, faces=faces, cad_face_idx=mesh.cad_face_idx[parent])
    return mended, doubled[parent]


def _report_edges(mesh: Mesh, findings: list[Finding]) -> None:
    from viewcov.inspection.mesh.borders import cracked

    num_open = int((~cracked(mesh.vertices, mesh.faces)).sum())
    remedy = "the surface has holes; rays may pass through: export a closed solid"
    tell(findings, "open-edges", num_open, "warning", remedy)
    edges, face_edges = unique_edges(mesh.faces)
    crowded = np.bincount(face_edges.ravel()) > 2
    upward = np.where(mesh.faces == edges[face_edges, 0], 1, -1)
    # Whether as many faces run each of them one way as the other.
    balanced = not np.bincount(face_edges.ravel(), weights=upward.ravel())[crowded].any()
    meaning = "bodies touch there, each wound well by itself" if balanced else "normals may be wrong there"
    remedy = f"more than two triangles meet at an edge; {meaning}"
    tell(findings, "non-manifold-edges", int(crowded.sum()), "note" if balanced else "warning", remedy)
    if (num_bodies := linked_by_edges(face_edges, len(edges))[0]) > 1:
        remedy = "all are kept as one part; surfaces where bodies touch cannot be seen by any camera"
        tell(findings, "several-bodies", num_bodies, "note", remedy)


def find_hidden(mesh: Mesh) -> tuple[Bools, list[Finding]]:
    """Faces that no camera can see for sure, shape (F,), and findings on them, on bodies and on intersections.

    The mesh is mended and in millimetres.
    """
    from viewcov.inspection.mesh.enclosed import enclosed_faces, unseen_bodies
    from viewcov.inspection.mesh.piercing import piercing_faces

    num_bodies, body = manifold_bodies(mesh.faces)
    area_mm2 = triangle_areas(mesh.vertices[mesh.faces])
    hidden = enclosed_faces(mesh.vertices, mesh.faces, body)
    by_own, by_other = piercing_faces(mesh.vertices, mesh.faces, body)
    unseen = unseen_bodies(mesh.vertices, mesh.faces, body) if num_bodies > 1 else ()
    within = np.isin(body, unseen) & ~hidden
    # Slivers that rounding has folded over are not worth a word.
    hidden &= area_mm2[hidden].sum() > _WORTH_TELLING * area_mm2.sum()
    within &= area_mm2[within].sum() > _WORTH_TELLING * area_mm2.sum()

    def area(of: Bools) -> str:
        return f"{area_mm2[of].sum():.4g} mm2, {100 * area_mm2[of].sum() / area_mm2.sum():.2g} % of the surface"

    found: list[Finding] = []
    tell(
        found, "hidden-interior", int(hidden.sum()), "warning",
        f"{area(hidden)}, lies inside closed bodies, where no camera can look: it is left out of what is inspected",
    )  # fmt: skip
    tell(
        found, "hidden-bodies", len(np.unique(body[within])), "warning",
        f"{area(within)}, belongs to bodies that others hide from everywhere; delete them from the model, or it "
        "counts as not coverable",
    )  # fmt: skip
    remedy = "triangles of one body pierce each other; what lies inside it is not inspected: export a sound solid"
    tell(found, "self-intersections", int(by_own.sum()), "warning", remedy)
    remedy = "triangles of different bodies pierce each other, as bodies do that fit tightly; all are kept"
    tell(found, "overlapping-bodies", int(by_other.sum()), "note", remedy)
    return hidden, found


def _without_needles(mesh: Mesh) -> Mesh:
    """Flat areas of each CAD face triangulated anew over the same vertices (Delaunay), the shape unchanged.

    CAD kernels cut flat faces into long needles, which would make many times more surface elements than
    needed.
    """
    pairs, clash = paired_faces(mesh.faces)
    normal = triangle_normals(mesh.vertices[mesh.faces])
    tilt = np.linalg.norm(normal[pairs[:, 0]] - normal[pairs[:, 1]], axis=1)
    flat = (tilt < 1e-6) & (mesh.cad_face_idx[pairs[:, 0]] == mesh.cad_face_idx[pairs[:, 1]]) & ~clash
    _, group = linked(len(mesh.faces), pairs[flat])
    return replace(mesh, faces=flipped_to_delaunay(mesh.vertices, mesh.faces, group))


def _complete_cad_faces(mesh: Mesh) -> Ints:
    """CAD face of each triangle, renumbered from 0; unnamed ones are cut at sharp edges."""
    unnamed = mesh.cad_face_idx < 0
    label = mesh.cad_face_idx.copy()
    if unnamed.any():
        pairs, clash = paired_faces(mesh.faces)
        normal = triangle_normals(mesh.vertices[mesh.faces])
        cosine = np.einsum("ij,ij->i", normal[pairs[:, 0]], normal[pairs[:, 1]])
        smooth = (cosine > np.cos(np.deg2rad(SHARP_EDGE_DEG))) & unnamed[pairs].all(axis=1) & ~clash
        _, group = linked(len(mesh.faces), pairs[smooth])
        label[unnamed] = label.max(initial=-1) + 1 + group[unnamed]
    return np.unique(label, return_inverse=True)[1].ravel()
