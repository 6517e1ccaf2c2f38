"""Surface defects: connected elements with high defect probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.effective.evidence import EvidenceTable, Statistic
from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.surface import Surface

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_SUPPORTING_VIEWS = 10
"""How many supporting views a defect names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfaceDefect:
    """One defect found on the surface."""

    id: int
    """Number, from 1, by falling evidence (mean probability times area)."""

    element_idx: Ints
    """Shape (M,): its elements, rising."""

    area_mm2: float
    """Area of its elements."""

    center_mm: Floats
    """Shape (3,): area-weighted centroid."""

    extent_mm: float
    """Length of the corners of its elements along their principal axis."""

    mean_probability: float
    """Area-weighted mean over its elements."""

    max_probability: float
    """Largest over its elements."""

    cad_faces: tuple[int, ...]
    """CAD faces it lies on, rising."""

    views: tuple[str, ...]
    """Ids of the views whose own value reaches the low threshold on it, strongest first.

    Ranked by the sum over such elements of weight times area times probability.
    """

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the elements."""
        return {
            "id": self.id,
            "num_elements": len(self.element_idx),
            "area_mm2": self.area_mm2,
            "center_mm": self.center_mm.tolist(),
            "extent_mm": self.extent_mm,
            "mean_probability": self.mean_probability,
            "max_probability": self.max_probability,
            "cad_faces": list(self.cad_faces),
            "views": list(self.views),
        }


def adjacency_of(surface: Surface) -> csr_matrix:
    """Symmetric matrix, shape (E, E), with an entry where two elements share an edge."""
    from scipy.sparse import csr_matrix

    first, second = surface.neighbours().T
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    num = surface.num_elements
    return csr_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(num, num))


def dilated(mask: Bools, adjacency: csr_matrix) -> Bools:
    """The elements of a mask, shape (E,), and those that share an edge with one of them."""
    grown = mask.copy()
    # Only the rows of set elements are touched: masks are small beside the surface.
    grown[adjacency[np.flatnonzero(mask)].indices] = True
    return grown


def label_components(
    surface: Surface,
    probability: NDArray[np.floating],
    *,
    high: float,
    low: float,
    min_area_mm2: float = 0.0,
    adjacency: csr_matrix | None = None,
) -> Ints:
    """Component of each element, shape (E,), -1 for none: connected elements by hysteresis.

    A component is a largest set of elements with probability of at least ``low``, connected over shared
    edges, with at least one element of at least ``high`` and an area of at least ``min_area_mm2``. Unseen
    elements (NaN) belong to none and connect nothing. Numbers are from 0 in order of the lowest element.
    """
    if not low <= high:
        raise ValueError(f"low must be at most high, got low = {low} and high = {high}")
    if probability.shape != (surface.num_elements,):
        raise ValueError(f"probability must have shape ({surface.num_elements},), got {probability.shape}")
    from scipy.sparse.csgraph import connected_components

    graph = adjacency_of(surface) if adjacency is None else adjacency
    label = np.full(surface.num_elements, -1, dtype=np.int64)
    above = np.flatnonzero(probability >= low)  # NaN is not.
    if not (probability[above] >= high).any():
        return label
    num, component = connected_components(graph[above][:, above], directed=False)
    strong = np.bincount(component, weights=probability[above] >= high, minlength=num) > 0
    area = np.bincount(component, weights=surface.area_mm2[above], minlength=num)
    # The sum of areas rounds: an element exactly of the least area must not be lost to that.
    kept = strong & (area >= min_area_mm2 * (1.0 - 1e-9))
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    label[above] = number[component]
    return label


def find_defects(
    surface: Surface,
    probability: NDArray[np.floating],
    *,
    high: float,
    low: float,
    min_area_mm2: float = 0.0,
    table: EvidenceTable | None = None,
    statistic: Statistic = "top",
    adjacency: csr_matrix | None = None,
) -> tuple[SurfaceDefect, ...]:
    """The defects on the surface, strongest first.

    Parameters
    ----------
    probability
        Shape (E,): fused probability; NaN = unseen.
    high, low, min_area_mm2
        See ``label_components``.
    table
        What each view says, for the views that support each defect; none are named without it.
    adjacency
        From ``adjacency_of``, if it is at hand.

    Examples
    --------
    >>> find_defects(surface, fuse(evidence), high=0.7, low=0.4, table=table)  # doctest: +SKIP
    """
    label = label_components(surface, probability, high=high, low=low, min_area_mm2=min_area_mm2, adjacency=adjacency)
    num = int(label.max(initial=-1)) + 1
    views = _supporting_views(label, num, surface, table, statistic, low) if table is not None else [()] * num
    members = np.flatnonzero(label >= 0)
    members = members[np.argsort(label[members], kind="stable")]
    parts = np.split(members, np.searchsorted(label[members], np.arange(1, num))) if num else []
    drafts = [_describe(surface, probability, part, view) for part, view in zip(parts, views, strict=True)]
    drafts.sort(key=lambda draft: -draft["mean_probability"] * draft["area_mm2"])
    return tuple(SurfaceDefect(id=number, **draft) for number, draft in enumerate(drafts, start=1))


def _describe(
    surface: Surface, probability: NDArray[np.floating], elements: Ints, views: tuple[str, ...]
) -> dict[str, Any]:
    area, values = surface.area_mm2[elements], probability[elements].astype(np.float64)
    total = float(area.sum())
    # Elements without area still have a place.
    share = area / total if total > 0 else np.full(len(area), 1.0 / len(area))
    corners = surface.vertices_mm[np.unique(surface.faces[elements])]
    centered = corners - corners.mean(axis=0)
    axis = np.linalg.svd(centered.T @ centered)[2][0]
    return {
        "element_idx": elements,
        "area_mm2": total,
        "center_mm": share @ surface.centroid_mm[elements],
        "extent_mm": float(np.ptp(centered @ axis)),
        "mean_probability": float(share @ values),
        "max_probability": float(values.max()),
        "cad_faces": tuple(int(face) for face in np.unique(surface.cad_face_idx[elements])),
        "views": views,
    }


def _supporting_views(
    label: Ints, num: int, surface: Surface, table: EvidenceTable, statistic: Statistic, low: float
) -> list[tuple[str, ...]]:
    values = getattr(table, statistic)
    rows = np.flatnonzero((label[table.element_idx] >= 0) & (values >= low) & (table.weight > 0))
    element, num_views = table.element_idx[rows], len(table.view_ids)
    says = table.weight[rows] * surface.area_mm2[element] * values[rows]
    pair = label[element] * num_views + table.view_idx[rows]
    evidence = np.bincount(pair, weights=says, minlength=num * num_views).reshape(num, num_views)
    ranked = np.argsort(-evidence, axis=1, kind="stable")[:, :MAX_SUPPORTING_VIEWS]
    return [
        tuple(table.view_ids[view] for view in ranking if evidence[defect, view] > 0)
        for defect, ranking in enumerate(ranked)
    ]
