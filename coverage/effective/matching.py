"""Found defects against planted ones: who found whom, in fused views and in single ones.

The rules, the same everywhere. *Dilated* means: with the elements that share an edge with it, which is the
tolerance in place.

* A found defect is **true** if at least ``min_overlap`` of its area lies on the dilated planted defects.
* A planted defect is **found** if the dilated true found defects cover at least ``min_overlap`` of its area.
  False ones do not count: painting the whole part finds nothing.
* One found defect may find several planted ones and several may find one. Each counts once: precision is the
  share of found defects that are true, recall the share of planted defects that are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.effective.defects import SurfaceDefect, dilated, label_components
from viewcov.coverage.effective.evidence import EvidenceTable
from viewcov.coverage.effective.figures import (
    BestView,
    DefectCounts,
    MatchFigures,
    MeanScores,
    SingleViewFigures,
    ViewScores,
)
from viewcov.coverage.effective.truth import SurfaceTruth
from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints
from viewcov.inspection.mesh.surface import Surface

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MIN_OVERLAP = 0.1
"""Least share of a defect's area on the other side for the two to match."""

LOW_SHARE = 0.5
"""The low threshold of the hysteresis as a share of the high one, where only one is picked."""

THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in 1.0 / (1.0 + np.exp(-np.linspace(-5.0, 6.5, 47))))
"""High thresholds that are tried, evenly spaced in log-odds: fused probabilities crowd near 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DefectMatch:
    """Found against planted defects of one inspection."""

    planted_id: Ints
    """Shape (P,)."""

    planted_overlap: Floats
    """Shape (P,): share of each planted defect's area that dilated true detections cover."""

    planted_found: Bools
    """Shape (P,)."""

    detection_overlap: Floats
    """Shape (D,): share of each detection's area on dilated planted defects."""

    detection_true: Bools
    """Shape (D,)."""

    @property
    def counts(self) -> DefectCounts:
        """The counts."""
        return DefectCounts(
            num_planted=len(self.planted_id),
            num_found=int(self.planted_found.sum()),
            num_detections=len(self.detection_true),
            num_true=int(self.detection_true.sum()),
        )

    @property
    def figures(self) -> MatchFigures:
        """The counts, and which planted defects were found."""
        return MatchFigures(
            **self.counts.model_dump(),
            found_ids=tuple(self.planted_id[self.planted_found].tolist()),
            missed_ids=tuple(self.planted_id[~self.planted_found].tolist()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleViews:
    """What each view finds alone, summed over inspections, to compare with the fused views."""

    view_ids: tuple[str, ...]

    in_view: tuple[DefectCounts, ...]
    """Per view, against the planted defects as far as the view shows them (at least ``min_overlap``)."""

    of_all: tuple[DefectCounts, ...]
    """Per view, against all planted defects of the part."""

    threshold: float
    """Probability from which an element starts a defect."""

    @property
    def figures(self) -> SingleViewFigures:
        """Best view by F1 and means over views; views with nothing planted and nothing found do not count."""
        return SingleViewFigures(
            threshold=self.threshold, in_view=self._scores(self.in_view), of_all=self._scores(self.of_all)
        )

    def _scores(self, counts: tuple[DefectCounts, ...]) -> ViewScores | None:
        f1 = np.array([one.f1 for one in counts], dtype=np.float64)
        if np.isnan(f1).all():
            return None
        best = int(np.nanargmax(f1))
        return ViewScores(
            best=BestView(view=self.view_ids[best], **counts[best].model_dump()), mean=MeanScores.of(counts)
        )


def match_defects(
    found: Sequence[SurfaceDefect],
    truth: SurfaceTruth,
    surface: Surface,
    *,
    min_overlap: float = MIN_OVERLAP,
    adjacency: csr_matrix,
) -> DefectMatch:
    """Found against planted defects of one inspection, in the order of ``found`` and of the truth."""
    label = np.full(surface.num_elements, -1, dtype=np.int64)
    for number, defect in enumerate(found):
        label[defect.element_idx] = number
    target = _Target(truth, adjacency)
    return target.match(label, surface, min_overlap=min_overlap, num_detections=len(found))


def match_single_views(
    surface: Surface,
    tables: Sequence[EvidenceTable],
    truths: Sequence[SurfaceTruth],
    *,
    high: float,
    low: float,
    adjacency: csr_matrix,
) -> SingleViews:
    """What each view would find alone by the rules for the fused ones, summed over inspections by view id."""
    in_view: dict[str, DefectCounts] = {}
    of_all: dict[str, DefectCounts] = {}
    for table, truth in zip(tables, truths, strict=True):
        target = _Target(truth, adjacency)
        for view_id in table.view_ids:
            p = view_probability(table, view_id, surface.num_elements)
            label = label_components(surface, p, high=high, low=low, adjacency=adjacency)
            whole = target.match(label, surface)
            part = target.match(label, surface, seen=~np.isnan(p))
            in_view[view_id] = in_view.get(view_id, DefectCounts()) + part.counts
            of_all[view_id] = of_all.get(view_id, DefectCounts()) + whole.counts
    return SingleViews(
        view_ids=tuple(in_view), in_view=tuple(in_view.values()), of_all=tuple(of_all.values()), threshold=high
    )


def view_probability(table: EvidenceTable, view_id: str, num_elements: int) -> Floats32:
    """What one view alone says about each element, shape (E,); NaN = unseen, or seen without any weight."""
    rows = table.rows_of(view_id) & (table.weight > 0)
    probability = np.full(num_elements, np.nan, dtype=np.float32)
    probability[table.element_idx[rows]] = table.top[rows]
    return probability


def fused_f1(
    surface: Surface,
    probabilities: Sequence[NDArray[np.floating]],
    truths: Sequence[SurfaceTruth],
    *,
    adjacency: csr_matrix,
) -> Floats:
    """F1 over inspections of fused views at each of ``THRESHOLDS``, the low one at ``LOW_SHARE`` of it; NaN = none.

    ``probabilities`` are fused ones of shape (E,), one array per inspection.
    """
    targets = [_Target(truth, adjacency) for truth in truths]

    def counts_at(high: float) -> DefectCounts:
        total = DefectCounts()
        for p, target in zip(probabilities, targets, strict=True):
            label = label_components(surface, p, high=high, low=LOW_SHARE * high, adjacency=adjacency)
            total += target.match(label, surface).counts
        return total

    return np.array([counts_at(high).f1 for high in THRESHOLDS], dtype=np.float64)


def single_view_f1(
    surface: Surface, tables: Sequence[EvidenceTable], truths: Sequence[SurfaceTruth], *, adjacency: csr_matrix
) -> Floats:
    """As ``fused_f1``, for views used one by one, against what each of them shows."""

    def counts_at(high: float) -> DefectCounts:
        views = match_single_views(surface, tables, truths, high=high, low=LOW_SHARE * high, adjacency=adjacency)
        return sum(views.in_view, DefectCounts())

    return np.array([counts_at(high).f1 for high in THRESHOLDS], dtype=np.float64)


def best_threshold(curves: Sequence[Floats]) -> float:
    """The one of ``THRESHOLDS`` with the largest F1, or mean F1 over the curves of several parts.

    Where several are equally good, the middle of the longest run of them: farthest from harm. Without anything
    planted or found anywhere there is nothing to prefer, and that is the middle of all.
    """
    score = np.nan_to_num(np.array(curves)).mean(axis=0)
    equal = np.concatenate([[False], score >= score.max() - 1e-12, [False]]).astype(np.int8)
    first, past = np.flatnonzero(np.diff(equal) == 1), np.flatnonzero(np.diff(equal) == -1)
    longest = int(np.argmax(past - first))
    return THRESHOLDS[int((first[longest] + past[longest] - 1) // 2)]


class _Target:
    """The truth of one inspection, made ready for many matches."""

    def __init__(self, truth: SurfaceTruth, adjacency: csr_matrix) -> None:
        self.adjacency = adjacency
        self.planted_id = np.array([defect.id for defect in truth.defects], dtype=np.int64)
        self.element_idx, self.area_mm2 = truth.element_idx, truth.area_mm2
        rank = np.argsort(self.planted_id, kind="stable")
        self.planted = rank[np.searchsorted(self.planted_id[rank], truth.defect_id)]
        self.near_planted = dilated(truth.defective(), adjacency)

    def match(
        self,
        label: Ints,
        surface: Surface,
        *,
        min_overlap: float = MIN_OVERLAP,
        seen: Bools | None = None,
        num_detections: int | None = None,
    ) -> DefectMatch:
        """Components against the planted defects, or against what is ``seen`` of them, shape (E,)."""
        found = np.flatnonzero(label >= 0)
        num = int(label.max(initial=-1)) + 1 if num_detections is None else num_detections
        area = surface.area_mm2[found]
        total = np.bincount(label[found], weights=area, minlength=num)
        near = np.bincount(label[found], weights=area * self.near_planted[found], minlength=num)
        detection_overlap = _ratio(near, total)
        is_true = _reaches(detection_overlap, min_overlap)

        true_elements = np.zeros(len(label), dtype=bool)
        true_elements[found] = is_true[label[found]]
        covered = dilated(true_elements, self.adjacency)[self.element_idx]
        visible = np.ones(len(covered), dtype=bool) if seen is None else seen[self.element_idx]
        whole, shown, hit = (
            np.bincount(self.planted, weights=self.area_mm2 * rows, minlength=len(self.planted_id))
            for rows in (np.ones(len(covered)), visible, visible & covered)
        )
        counted = np.ones(len(whole), dtype=bool) if seen is None else _reaches(_ratio(shown, whole), min_overlap)
        overlap = _ratio(hit, shown)[counted]
        return DefectMatch(
            planted_id=self.planted_id[counted],
            planted_overlap=overlap,
            planted_found=_reaches(overlap, min_overlap),
            detection_overlap=detection_overlap,
            detection_true=is_true,
        )


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Part by whole; 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def _reaches(share: Floats, least: float) -> Bools:
    """Whether a share reaches the least one, but for rounding; nothing is never enough."""
    return (share >= least - 1e-9) & (share > 0)
