"""Planted defects of a synthesized inspection, on the elements of the surface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_table
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.planted import PlantedDefect, Truth
from viewcov.inspection.records import read_record

MIN_SHARE = 0.1
"""Share of an element's area from which on it counts as defective.

Elements have edges near 1.5 mm and about 1 mm2. A scratch 0.4 mm wide that crosses one covers 15 to 60 % of
it; one that cuts a corner by less than a tenth leaves nothing that a pixel there would show.
"""

_NEAREST = 16
_INSIDE = -1e-6
_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfaceTruth:
    """Which elements each planted defect covers, and with how much area. Rows rise by defect, element."""

    defects: tuple[PlantedDefect, ...]
    """In the order of the file."""

    element_area_mm2: Floats
    """Shape (E,): area of every element of the surface."""

    defect_id: Ints32
    """Shape (K,)."""

    element_idx: Ints
    """Shape (K,)."""

    area_mm2: Floats
    """Shape (K,): area of the defect on the element."""

    center_element_idx: Ints
    """Shape (D,): element at the site of each defect, by nearest centroid among the elements it covers."""

    def share(self) -> Floats:
        """Share of each element's area that any defect covers, shape (E,), at most 1."""
        covered = np.bincount(self.element_idx, weights=self.area_mm2, minlength=len(self.element_area_mm2))
        return np.minimum(ratio(covered, self.element_area_mm2), 1.0)

    def on_defect(self) -> Bools:
        """Rows whose element counts as defective, shape (K,).

        An element does if the defect covers at least ``MIN_SHARE`` of it, or no element more: the latter
        keeps defects far smaller than an element in the truth.
        """
        share = self.area_mm2 / np.maximum(self.element_area_mm2[self.element_idx], 1e-300)
        first = np.flatnonzero(np.diff(self.defect_id, prepend=-1))
        counts = np.diff(np.append(first, len(share)))
        largest = np.repeat(np.maximum.reduceat(share, first), counts)
        return (share >= MIN_SHARE) | (share == largest)

    def defective(self) -> Bools:
        """Which elements count as defective, shape (E,)."""
        mask = np.zeros(len(self.element_area_mm2), dtype=bool)
        mask[self.element_idx[self.on_defect()]] = True
        return mask


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Part by whole, elementwise; 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def truth_on_elements(surface: Surface, folder: InspectionFolder) -> SurfaceTruth:
    """The planted defects of an inspection on the elements of its part.

    Raises
    ------
    InputError
        If a truth file is missing or not valid, or belongs to another part.
    """
    defects = read_record(folder.truth_path, Truth).defects
    samples = _read_samples(folder.truth_samples_path, defects, num_faces=len(surface.part.faces))
    points = np.column_stack([samples["x_mm"], samples["y_mm"], samples["z_mm"]]).astype(np.float64)
    element = locate(surface, samples["part_face"].astype(np.int64), points)
    return truth_from_samples(surface, defects, samples["defect_id"], element, samples["area_mm2"])


def truth_from_samples(
    surface: Surface,
    defects: tuple[PlantedDefect, ...],
    defect_id: NDArray[np.integer],
    element_idx: Ints,
    area_mm2: NDArray[np.floating],
) -> SurfaceTruth:
    """Truth from small pieces of defects, each with its defect, element and area, shapes (N,)."""
    num = surface.num_elements
    key, row = np.unique(defect_id.astype(np.int64) * num + element_idx, return_inverse=True)
    area = np.bincount(row, weights=area_mm2, minlength=len(key)).astype(np.float64)
    ids, elements = (key // num).astype(np.int32), key % num
    center = np.zeros(len(defects), dtype=np.int64)
    for i, defect in enumerate(defects):
        own = elements[slice(*np.searchsorted(ids, [defect.id, defect.id + 1]))]
        own = own if own.size else np.arange(num)
        offset = surface.centroid_mm[own] - defect.center_mm
        center[i] = own[np.argmin(np.einsum("ij,ij->i", offset, offset))]
    return SurfaceTruth(
        defects=defects,
        element_area_mm2=surface.area_mm2,
        defect_id=ids,
        element_idx=elements,
        area_mm2=area,
        center_element_idx=center,
    )


def locate(surface: Surface, part_face: Ints, points_mm: Floats) -> Ints:
    """The element of each point, shape (N,), among the elements of the part's triangle that it lies on.

    Parameters
    ----------
    part_face
        Shape (N,): triangle of the part.
    points_mm
        Shape (N, 3): points on these triangles.

    Notes
    -----
    The element that contains the point is nearly always among the few with nearest centroids; points for
    which it is not are tested against all elements of their triangle. Points just outside, by rounding, get
    the element that they miss by least.
    """
    # The triangle's number as a fourth coordinate, spaced wider than the part, keeps triangles apart.
    spacing = 2.0 * float(np.linalg.norm(np.ptp(surface.vertices_mm, axis=0))) + 1.0
    tree = cKDTree(np.column_stack([surface.centroid_mm, surface.source_face_idx * spacing]))
    num_near = min(_NEAREST, surface.num_elements)
    _, near = tree.query(np.column_stack([points_mm, part_face * spacing]), k=num_near)
    near = np.asarray(near, dtype=np.int64).reshape(len(points_mm), num_near)
    inside = _insideness(surface, near.ravel(), np.repeat(points_mm, num_near, axis=0)).reshape(near.shape)
    inside[surface.source_face_idx[near] != part_face[:, None]] = -np.inf
    rows = np.arange(len(near))
    best = inside.argmax(axis=1)
    element, score = near[rows, best], inside[rows, best]
    lost = np.flatnonzero(score < _INSIDE)
    element[lost] = _locate_among_all(surface, part_face[lost], points_mm[lost], element[lost], score[lost])
    return element


def _locate_among_all(surface: Surface, part_face: Ints, points_mm: Floats, element: Ints, score: Floats) -> Ints:
    order = np.argsort(surface.source_face_idx, kind="stable")
    first, last = (np.searchsorted(surface.source_face_idx[order], part_face, side=s) for s in ("left", "right"))
    counts = last - first
    found = element.copy()
    chunk = np.cumsum(counts) // _PAIRS_AT_ONCE
    for number in np.unique(chunk):
        rows = np.flatnonzero(chunk == number)
        num = counts[rows]
        begin = np.cumsum(num) - num
        pair_row = np.repeat(np.arange(len(rows)), num)
        candidate = order[np.arange(num.sum()) - begin[pair_row] + first[rows][pair_row]]
        inside = _insideness(surface, candidate, points_mm[rows][pair_row])
        # Sorted by point, then by insideness: the last pair of each point is its best.
        ranked = np.lexsort((inside, pair_row))
        best = ranked[begin + num - 1]
        better = inside[best] > score[rows]
        found[rows[better]] = candidate[best[better]]
    return found


def _insideness(surface: Surface, element: Ints, points_mm: Floats) -> Floats:
    """Smallest barycentric coordinate of each point in its element's plane, shape (N,); inside if >= 0."""
    a, b, c = np.moveaxis(surface.vertices_mm[surface.faces[element]], 1, 0)
    u, v, w = b - a, c - a, points_mm - a
    uu, uv, vv, wu, wv = (np.einsum("ij,ij->i", p, q) for p, q in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    det = uu * vv - uv * uv
    flat = det <= 1e-24 * uu * vv
    safe = np.where(flat, 1.0, det)
    second, third = (vv * wu - uv * wv) / safe, (uu * wv - uv * wu) / safe
    return np.where(flat, -np.inf, np.minimum(1.0 - second - third, np.minimum(second, third)))


def _read_samples(path: Path, defects: tuple[PlantedDefect, ...], *, num_faces: int) -> dict[str, NDArray[Any]]:
    samples = read_table(path, integers=("defect_id", "part_face"), numbers=("x_mm", "y_mm", "z_mm", "area_mm2"))
    stray = np.setdiff1d(samples["defect_id"], [defect.id for defect in defects])
    if stray.size:
        raise InputError(
            path, "samples of an unknown defect", expected="defects of truth.json", found=f"defect {stray[0]}",
            remedy="synthesize again",
        )  # fmt: skip
    face = samples["part_face"]
    if face.size and (face.min() < 0 or face.max() >= num_faces):
        raise InputError(
            path, "samples on faces that the part does not have", expected=f"part_face from 0 to {num_faces - 1}",
            found=f"{face.min()} to {face.max()}", remedy="use the part that was synthesized",
        )  # fmt: skip
    return samples
