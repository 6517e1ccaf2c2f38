"""Found defects against planted ones: who found whom, in fused views and in single ones.

The rules, the same everywhere. *Dilated* means: with the elements that share an edge with it, which is the
tolerance in place.

* A found defect is **true** if at least ``MIN_OVERLAP`` of its area lies on the dilated planted defects.
* A planted defect is **found** if the dilated true found defects cover at least ``MIN_OVERLAP`` of its area.
  False ones do not count: painting the whole part finds nothing.
* One found defect may find several planted ones and several may find one. Each counts once: precision is the
  share of found defects that are true, recall the share of planted defects that are found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.effective.defects import SurfaceDefect, dilated, label_components
from viewcov.coverage.effective.evidence import EvidenceTable
from viewcov.coverage.effective.figures import DefectCounts, MatchFigures
from viewcov.coverage.effective.truth import SurfaceTruth, ratio
from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.records import Beside

MIN_OVERLAP = 0.1
"""Least share of a defect's area on the other side for the two to match."""

LOW_SHARE = 0.5
"""The low threshold of the hysteresis as a share of the high one, where only one is picked."""

THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in 1.0 / (1.0 + np.exp(-np.linspace(-5.0, 6.5, 47))))
"""High thresholds that are tried, evenly spaced in log-odds: fused probabilities crowd near 0 and 1."""


class DefectMatch(MatchFigures):
    """Found against planted defects of one inspection, defect by defect."""

    planted_id: Beside
    """Shape (P,)."""

    planted_found: Beside
    """Shape (P,)."""

    detection_true: Beside
    """Shape (D,)."""

    @classmethod
    def of(cls, planted_id: Ints, planted_found: Bools, detection_true: Bools) -> DefectMatch:
        """With the counts that follow from the arrays."""
        return cls(
            planted_id=planted_id, planted_found=planted_found, detection_true=detection_true,
            num_planted=len(planted_id), num_found=int(planted_found.sum()),
            num_detections=len(detection_true), num_true=int(detection_true.sum()),
            found_ids=tuple(planted_id[planted_found].tolist()), missed_ids=tuple(planted_id[~planted_found].tolist()),
        )  # fmt: skip


def match_defects(found: Sequence[SurfaceDefect], truth: SurfaceTruth, surface: Surface) -> DefectMatch:
    """Found against planted defects of one inspection, in the order of ``found`` and of the truth."""
    label = np.full(surface.num_elements, -1, dtype=np.int64)
    for number, defect in enumerate(found):
        label[defect.element_idx] = number
    return _Target(truth, surface).match(label)


def match_single_views(
    surface: Surface, tables: Sequence[EvidenceTable], truths: Sequence[SurfaceTruth], *, high: float
) -> tuple[dict[str, DefectCounts], dict[str, DefectCounts]]:
    """What each view would find alone by the rules for the fused ones, summed over inspections by view id.

    First against the planted defects as far as the view shows them (at least ``MIN_OVERLAP`` of each), then against
    all of the part. The low threshold is at ``LOW_SHARE`` of the high one.
    """
    in_view: dict[str, DefectCounts] = {}
    of_all: dict[str, DefectCounts] = {}
    for table, truth in zip(tables, truths, strict=True):
        target = _Target(truth, surface)
        for view_id in table.view_ids:
            p = view_probability(table, view_id, surface.num_elements)
            label = label_components(surface, p, high=high, low=LOW_SHARE * high)
            in_view[view_id] = in_view.get(view_id, DefectCounts()) + target.match(label, seen=~np.isnan(p))
            of_all[view_id] = of_all.get(view_id, DefectCounts()) + target.match(label)
    return in_view, of_all


def view_probability(table: EvidenceTable, view_id: str, num_elements: int) -> Floats32:
    """What one view alone says about each element, shape (E,); NaN = unseen, or seen without any weight."""
    rows = table.rows_of(view_id) & (table.weight > 0)
    probability = np.full(num_elements, np.nan, dtype=np.float32)
    probability[table.element_idx[rows]] = table.top[rows]
    return probability


def fused_f1(surface: Surface, probabilities: Sequence[NDArray[np.floating]], truths: Sequence[SurfaceTruth]) -> Floats:
    """F1 over inspections of fused views at each of ``THRESHOLDS``, the low one at ``LOW_SHARE`` of it; NaN = none.

    ``probabilities`` are fused ones of shape (E,), one array per inspection.
    """
    targets = [_Target(truth, surface) for truth in truths]

    def counts_at(high: float) -> DefectCounts:
        labels = [label_components(surface, p, high=high, low=LOW_SHARE * high) for p in probabilities]
        matches = (target.match(label) for target, label in zip(targets, labels, strict=True))
        return sum(matches, DefectCounts())

    return np.array([counts_at(high).f1 for high in THRESHOLDS], dtype=np.float64)


def single_view_f1(surface: Surface, tables: Sequence[EvidenceTable], truths: Sequence[SurfaceTruth]) -> Floats:
    """As ``fused_f1``, for views used one by one, against what each of them shows."""
    counts = (match_single_views(surface, tables, truths, high=high)[0] for high in THRESHOLDS)
    return np.array([sum(one.values(), DefectCounts()).f1 for one in counts], dtype=np.float64)


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

    def __init__(self, truth: SurfaceTruth, surface: Surface) -> None:
        self.surface = surface
        self.planted_id = np.array([defect.id for defect in truth.defects], dtype=np.int64)
        self.element_idx, self.area_mm2 = truth.element_idx, truth.area_mm2
        rank = np.argsort(self.planted_id, kind="stable")
        self.planted = rank[np.searchsorted(self.planted_id[rank], truth.defect_id)]
        self.near_planted = dilated(truth.defective(), surface)

    def match(self, label: Ints, *, seen: Bools | None = None) -> DefectMatch:
        """Components against the planted defects, or against what is ``seen`` of them, shape (E,)."""
        found = np.flatnonzero(label >= 0)
        num = int(label.max(initial=-1)) + 1
        area = self.surface.area_mm2[found]
        total = np.bincount(label[found], weights=area, minlength=num)
        near = np.bincount(label[found], weights=area * self.near_planted[found], minlength=num)
        is_true = _reaches(ratio(near, total))

        true_elements = np.zeros(len(label), dtype=bool)
        true_elements[found] = is_true[label[found]]
        covered = dilated(true_elements, self.surface)[self.element_idx]
        visible = np.ones(len(covered), dtype=bool) if seen is None else seen[self.element_idx]
        whole, shown, hit = (
            np.bincount(self.planted, weights=self.area_mm2 * rows, minlength=len(self.planted_id))
            for rows in (np.ones(len(covered)), visible, visible & covered)
        )
        counted = np.ones(len(whole), dtype=bool) if seen is None else _reaches(ratio(shown, whole))
        return DefectMatch.of(self.planted_id[counted], _reaches(ratio(hit, shown)[counted]), is_true)


def _reaches(share: Floats) -> Bools:
    """Whether a share reaches ``MIN_OVERLAP``, but for rounding."""
    return share >= MIN_OVERLAP - 1e-9
