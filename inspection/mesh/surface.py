"""The part's surface cut into elements of bounded size, on which every result lives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part, triangle_areas, triangle_normals
from viewcov.inspection.mesh.split import flipped_to_delaunay, split_marked, unique_edges

MAX_ELEMENTS = 20_000_000
"""More than this is taken for a mistake in units or edge length."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """Elements (small triangles) of one part."""

    part: Part
    """The part that was cut."""

    max_edge_mm: float
    """No edge of an element is longer."""

    vertices_mm: Floats
    """Shape (N, 3)."""

    faces: Ints
    """Shape (E, 3): corners of the elements, winding of the part kept."""

    source_face_idx: Ints
    """Shape (E,): triangle of the part that each element is a part of."""

    area_mm2: Floats = field(init=False)
    """Shape (E,)."""

    centroid_mm: Floats = field(init=False)
    """Shape (E, 3)."""

    normal: Floats = field(init=False)
    """Shape (E, 3), unit length, outward."""

    def __post_init__(self) -> None:
        put, corners = object.__setattr__, self.corners_mm
        put(self, "area_mm2", triangle_areas(corners))
        put(self, "centroid_mm", corners.mean(axis=1))
        put(self, "normal", triangle_normals(corners))
        for name in ("vertices_mm", "faces", "source_face_idx", "area_mm2", "centroid_mm", "normal"):
            getattr(self, name).flags.writeable = False

    @property
    def num_elements(self) -> int:
        """Number of elements."""
        return len(self.faces)

    @property
    def cad_face_idx(self) -> Ints32:
        """Shape (E,): CAD face of each element."""
        return self.part.cad_face_idx[self.source_face_idx]

    @property
    def inspected(self) -> Bools:
        """Shape (E,): which elements are to be inspected."""
        assert self.part.inspected is not None
        return self.part.inspected[self.source_face_idx]

    @property
    def corners_mm(self) -> Floats:
        """Shape (E, 3, 3)."""
        return self.vertices_mm[self.faces]

    def only(self, elements: Ints, *, area_mm2: Floats | None = None) -> Surface:
        """Some of the elements, each with its own area or what it stands for; the part stays whole."""
        some = replace(self, faces=self.faces[elements], source_face_idx=self.source_face_idx[elements])
        if area_mm2 is not None:
            object.__setattr__(some, "area_mm2", area_mm2)
        return some

    def neighbours(self) -> Ints:
        """Pairs of elements that share an edge, shape (P, 2), each pair once, lower index first."""
        from scipy.sparse import coo_array, triu

        edge = unique_edges(self.faces)[1].ravel()
        element = np.repeat(np.arange(self.num_elements), 3)
        has_edge = coo_array((np.ones(len(edge), dtype=np.int8), (element, edge))).tocsr()
        return np.unique(np.column_stack(triu(has_edge @ has_edge.T, k=1).nonzero()).astype(np.int64), axis=0)


def cut_surface(part: Part, max_edge_mm: float) -> Surface:
    """The part's surface as elements with no edge longer than ``max_edge_mm``.

    Longest edges are halved by rounds (Rivara), and both faces of an edge are split together: elements meet
    edge to edge wherever the part's triangles do, and the areas of the elements of a triangle sum to its own.

    Raises
    ------
    InputError
        If that would make more than ``MAX_ELEMENTS`` elements.
    """
    if not (np.isfinite(max_edge_mm) and max_edge_mm > 0):
        raise ValueError(f"max_edge_mm must be positive, got {max_edge_mm}")
    _refuse_too_many(part, max_edge_mm, part.area_mm2 / (0.25 * max_edge_mm**2))
    vertices, faces = np.asarray(part.vertices_mm), np.asarray(part.faces)
    source = np.arange(len(faces))
    is_long = _has_long(vertices, faces, max_edge_mm)
    while is_long.any():
        # Faces without a long edge have none to be split, not by their neighbours either.
        long = np.flatnonzero(is_long)
        edges, face_edges = unique_edges(faces[long])
        square = _squares(vertices[edges[:, 0]] - vertices[edges[:, 1]])
        # Only an edge that is the longest of one of its faces: slivers are halved across, never along.
        face_longest = face_edges[np.arange(len(long)), np.argmax(square[face_edges], axis=1)]
        marked = np.zeros(len(edges), dtype=bool)
        marked[face_longest] = True
        marked &= square > max_edge_mm**2
        split = split_marked(vertices, faces[long], edges, face_edges, marked)
        pieces = np.ones(len(faces), dtype=np.int64)
        pieces[long] = np.bincount(split.parent_idx)
        parent_idx = np.repeat(np.arange(len(faces)), pieces)
        cut = np.bincount(source, weights=pieces > 1) > 0
        vertices, faces, source = split.vertices, faces[parent_idx], source[parent_idx]
        faces[is_long[parent_idx]] = split.faces
        # Flips within each triangle keep the tips of slivers from being cut into ever smaller copies.
        changed = np.flatnonzero(cut[source])
        faces[changed] = flipped_to_delaunay(vertices, faces[changed], source[changed])
        is_long = np.zeros(len(faces), dtype=bool)
        is_long[changed] = _has_long(vertices, faces[changed], max_edge_mm)
        _refuse_too_many(part, max_edge_mm, len(faces))
    return Surface(part=part, max_edge_mm=float(max_edge_mm), vertices_mm=vertices, faces=faces, source_face_idx=source)


def _has_long(vertices: Floats, faces: Ints, max_edge_mm: float) -> Bools:
    """Which faces have an edge that is longer, shape (F,)."""
    corners = vertices[faces]
    return np.asarray((_squares(corners - np.roll(corners, -1, axis=1)) > max_edge_mm**2).any(axis=1))


def _squares(vectors: Floats) -> Floats:
    """Squared lengths, the same for a vector and its opposite to the bit, shape (...)."""
    squares: Floats = vectors[..., 0] ** 2 + vectors[..., 1] ** 2 + vectors[..., 2] ** 2
    return squares


def _refuse_too_many(part: Part, max_edge_mm: float, expected: float) -> None:
    if expected > MAX_ELEMENTS:
        raise InputError(
            part.source.path, "too many surface elements", expected=f"at most {MAX_ELEMENTS:,}",
            found=f"about {expected:,.0f} for {part.area_mm2:,.0f} mm2 at edges of {max_edge_mm:g} mm",
            remedy="check the units, or allow longer edges",
        )  # fmt: skip
