"""Bodies of a mesh: what is connected, and what is closed."""

from __future__ import annotations

import numpy as np

from viewcov.inspection.arrays import Bools, Ints
from viewcov.inspection.mesh.split import paired_half_edges, unique_edges


def linked(num_nodes: int, pairs: Ints) -> tuple[int, Ints]:
    """Number of connected components of a graph with edges (P, 2), and the component of each node."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(num_nodes, num_nodes))
    num_components, component = connected_components(graph, directed=False)
    return int(num_components), component.astype(np.int64)


def paired_faces(faces: Ints) -> tuple[Ints, Bools]:
    """Pairs of faces, shape (P, 2), at edges with exactly two, and whether they run it the same way."""
    half_edges = paired_half_edges(faces)
    start = faces.ravel()[half_edges]
    return half_edges // 3, start[:, 0] == start[:, 1]


def linked_by_edges(face_edges: Ints, num_edges: int) -> tuple[int, Ints]:
    """Number of bodies that are connected by edges, however many faces meet there, and the body of each face and edge.

    Of faces with edges (F, 3): the bodies of the faces come first, shape (F + E,).
    """
    owner = np.repeat(np.arange(len(face_edges)), 3)
    return linked(len(face_edges) + num_edges, np.column_stack([owner, len(face_edges) + face_edges.ravel()]))


def manifold_bodies(faces: Ints) -> tuple[int, Ints]:
    """Number of bodies that are connected by edges with just two faces, and the body of each face, shape (F,)."""
    return linked(len(faces), paired_faces(faces)[0])


def closed_shells(faces: Ints, body: Ints) -> Ints:
    """Shape (F,): number of the closed surface that each face belongs to, -1 for faces of open ones.

    Closed is what has no border: every edge is run through as often one way as the other. Bodies that are not
    closed by themselves but share edges, such as two that touch along one, are tried together.
    """
    edges, face_edges = unique_edges(faces)
    upward = np.where(faces == edges[face_edges, 0], 1, -1)
    shell = np.where(_is_closed(body, face_edges, upward), body, -1)
    rest = np.flatnonzero(shell < 0)
    if len(rest):
        joint = linked_by_edges(face_edges[rest], len(edges))[1][: len(rest)]
        closed = _is_closed(joint, face_edges[rest], upward[rest])
        shell[rest[closed]] = body.max() + 1 + joint[closed]
    known = shell >= 0
    shell[known] = np.unique(shell[known], return_inverse=True)[1]
    return shell


def _is_closed(body: Ints, face_edges: Ints, upward: Ints) -> Bools:
    """Whether the body of each face has no border, shape (F,)."""
    num_edges = int(face_edges.max()) + 1
    keys, place = np.unique((body[:, None] * num_edges + face_edges).ravel(), return_inverse=True)
    balance = np.bincount(place.ravel(), weights=upward.ravel())
    is_open = np.zeros(int(body.max()) + 1, dtype=bool)
    is_open[keys[balance != 0] // num_edges] = True
    return ~is_open[body]


def solid_bodies(faces: Ints) -> tuple[int, Ints]:
    """As `manifold_bodies`, but pieces that are closed only together count as one body."""
    _, body = manifold_bodies(faces)
    shell = closed_shells(faces, body)
    label = np.where(shell >= 0, shell, shell.max(initial=-1) + 1 + body)
    names, label = np.unique(label, return_inverse=True)
    return len(names), label.ravel()
