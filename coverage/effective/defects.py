"""Surface defects: connected elements with high defect probability."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from viewcov.coverage.effective.evidence import EvidenceTable
from viewcov.coverage.effective.figures import DefectFigures
from viewcov.inspection.arrays import Bools, Ints
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.records import Beside

MAX_SUPPORTING_VIEWS = 10
"""How many supporting views a defect names."""


class SurfaceDefect(DefectFigures):
    """One defect found on the surface, with its elements."""

    element_idx: Beside
    """Shape (M,): its elements, rising."""


@lru_cache(maxsize=1)  # Every threshold that is tried asks for that of the same surface.
def adjacency_of(surface: Surface) -> csr_matrix:
    """Symmetric matrix, shape (E, E), with an entry where two elements share an edge."""
    first, second = surface.neighbours().T
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    num = surface.num_elements
    return csr_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(num, num))


def dilated(mask: Bools, surface: Surface) -> Bools:
    """The elements of a mask, shape (E,), and those that share an edge with one of them."""
    grown = mask.copy()
    # Only the rows of set elements are touched: masks are small beside the surface.
    grown[adjacency_of(surface)[np.flatnonzero(mask)].indices] = True
    return grown


def label_components(surface: Surface, probability: NDArray[np.floating], *, high: float, low: float) -> Ints:
    """Component of each element, shape (E,), -1 for none: connected elements by hysteresis.

    A component is a largest set of elements with probability of at least ``low``, connected over shared
    edges, with at least one element of at least ``high``. Unseen elements (NaN) belong to none and connect
    nothing. Numbers are from 0 in order of the lowest element.
    """
    if not low <= high:
        raise ValueError(f"low must be at most high, got low = {low} and high = {high}")
    if probability.shape != (surface.num_elements,):
        raise ValueError(f"probability must have shape ({surface.num_elements},), got {probability.shape}")
    label = np.full(surface.num_elements, -1, dtype=np.int64)
    above = np.flatnonzero(probability >= low)  # NaN is not.
    if not (probability[above] >= high).any():
        return label
    num, component = connected_components(adjacency_of(surface)[above][:, above], directed=False)
    strong = np.bincount(component, weights=probability[above] >= high, minlength=num) > 0
    number = np.where(strong, np.cumsum(strong) - 1, -1)
    label[above] = number[component]
    return label


def find_defects(
    surface: Surface, probability: NDArray[np.floating], *, high: float, low: float, table: EvidenceTable | None = None
) -> tuple[SurfaceDefect, ...]:
    """The defects on the surface, strongest first.

    Parameters
    ----------
    probability
        Shape (E,): fused probability; NaN = unseen.
    high, low
        See ``label_components``.
    table
        What each view says, for the views that support each defect; none are named without it.

    Examples
    --------
    >>> from viewcov import cut_surface, load_part
    >>> surface = cut_surface(load_part("ring.stl"), max_edge_mm=4.0)
    >>> probability = np.where(surface.centroid_mm[:, 2] > 3.9, 0.9, 0.1)
    >>> found = find_defects(surface, probability, high=0.7, low=0.4)
    >>> [(round(defect.area_mm2), round(defect.mean_probability, 3)) for defect in found]
    [(451, 0.9)]
    """
    label = label_components(surface, probability, high=high, low=low)
    num = int(label.max(initial=-1)) + 1
    views = _supporting_views(label, num, surface, table, low) if table is not None else [()] * num
    members = np.flatnonzero(label >= 0)
    members = members[np.argsort(label[members], kind="stable")]
    parts = np.split(members, np.searchsorted(label[members], np.arange(1, num))) if num else []
    drafts = [_describe(surface, probability, part, view) for part, view in zip(parts, views, strict=True)]
    drafts.sort(key=lambda draft: -draft.mean_probability * draft.area_mm2)
    return tuple(draft.model_copy(update={"id": number}) for number, draft in enumerate(drafts, start=1))


def _describe(
    surface: Surface, probability: NDArray[np.floating], elements: Ints, views: tuple[str, ...]
) -> SurfaceDefect:
    """A defect that has no number yet."""
    area, values = surface.area_mm2[elements], probability[elements].astype(np.float64)
    total = float(area.sum())
    # Elements without area still have a place.
    share = area / total if total > 0 else np.full(len(area), 1.0 / len(area))
    corners = surface.vertices_mm[np.unique(surface.faces[elements])]
    centered = corners - corners.mean(axis=0)
    axis = np.linalg.svd(centered.T @ centered)[2][0]
    return SurfaceDefect(
        id=0,
        element_idx=elements,
        num_elements=len(elements),
        area_mm2=total,
        center_mm=tuple(share @ surface.centroid_mm[elements]),
        extent_mm=float(np.ptp(centered @ axis)),
        # A mean may round past its largest value.
        mean_probability=min(float(share @ values), 1.0),
        max_probability=float(values.max()),
        cad_faces=tuple(np.unique(surface.cad_face_idx[elements]).tolist()),
        views=views,
    )


def _supporting_views(
    label: Ints, num: int, surface: Surface, table: EvidenceTable, low: float
) -> list[tuple[str, ...]]:
    rows = np.flatnonzero((label[table.element_idx] >= 0) & (table.top >= low) & (table.weight > 0))
    element, num_views = table.element_idx[rows], len(table.view_ids)
    says = table.weight[rows] * surface.area_mm2[element] * table.top[rows]
    pair = label[element] * num_views + table.view_idx[rows]
    evidence = np.bincount(pair, weights=says, minlength=num * num_views).reshape(num, num_views)
    ranked = np.argsort(-evidence, axis=1, kind="stable")[:, :MAX_SUPPORTING_VIEWS]
    return [
        tuple(table.view_ids[view] for view in ranking if evidence[defect, view] > 0)
        for defect, ranking in enumerate(ranked)
    ]
