"""What each view of a set adds: its share, what is lost without it, and how coverage grows view by view."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from viewcov.coverage.geometric.evaluation import GeometricCoverage
from viewcov.coverage.geometric.figures import CoverageByViews, ViewFigures
from viewcov.inspection.arrays import Floats, Ints, Ints32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contributions:
    """Areas of V views in their order. Covered is what as many views see as are required."""

    view_ids: tuple[str, ...]
    """Their names."""

    seen_mm2: Floats
    """Shape (V,): area that each view inspects."""

    newly_covered_mm2: Floats
    """Shape (V,): area that is covered with each view but was not with those before it."""

    lost_mm2: Floats
    """Shape (V,): area that is not covered any more if this view alone is left out."""

    overlap: Floats
    """Shape (V - 1,): area that a view and the next both see, as a share of the smaller of what they see."""

    greedy_order: Ints
    """Shape (V,): the views such that each adds most to those before it."""

    greedily_covered_mm2: Floats
    """Shape (V,): area that is covered with the first 1, 2, ... views in that order."""

    coverable_mm2: float
    """The whole that coverage is a share of."""

    @property
    def covered_mm2(self) -> Floats:
        """Shape (V,): area that is covered with the first 1, 2, ... views."""
        return np.cumsum(self.newly_covered_mm2)

    @property
    def redundant(self) -> tuple[str, ...]:
        """Views without which nothing is lost, each by itself: two that see the same are both here."""
        return tuple(name for name, lost in zip(self.view_ids, self.lost_mm2, strict=True) if lost == 0.0)

    def figures(self) -> tuple[ViewFigures, ...]:
        """What each view adds."""
        columns = (column.tolist() for column in (self.seen_mm2, self.newly_covered_mm2, self.lost_mm2))
        rows = zip(self.view_ids, *columns, [*self.overlap.tolist(), None][: len(self.view_ids)], strict=True)
        return tuple(
            ViewFigures(
                id=name, seen_area_mm2=seen, newly_covered_area_mm2=new, lost_area_mm2=lost, overlap_with_next=shared
            )
            for name, seen, new, lost, shared in rows
        )

    def by_views(self) -> CoverageByViews:
        """How coverage grows with the views."""
        whole = self.coverable_mm2 if self.coverable_mm2 > 0 else np.inf
        return CoverageByViews(
            in_order=tuple((self.covered_mm2 / whole).tolist()),
            greedily=tuple((self.greedily_covered_mm2 / whole).tolist()),
            greedy_order=tuple(self.view_ids[view] for view in self.greedy_order),
        )


def contributions(coverage: GeometricCoverage) -> Contributions:
    """What each view adds to a coverage that was measured."""
    area, demand = coverage.surface.area_mm2, coverage.requirements.views_per_element
    rows = [coverage.seen.indices[start:end] for start, end in pairwise(coverage.seen.indptr)]
    count = np.zeros(len(area), dtype=np.int64)
    new = np.zeros(len(rows))
    for view, seen in enumerate(rows):
        count[seen] += 1
        new[view] = area[seen[count[seen] == demand]].sum()
    just_enough = np.where(coverage.num_views == demand, area, 0.0)
    seen_mm2 = coverage.seen @ area
    order, covered = _greedily(coverage)
    return Contributions(
        view_ids=tuple(view.id for view in coverage.viewpoints),
        seen_mm2=seen_mm2,
        newly_covered_mm2=new,
        lost_mm2=coverage.seen @ just_enough,
        overlap=_overlap(rows, area, seen_mm2),
        greedy_order=order,
        greedily_covered_mm2=covered,
        coverable_mm2=coverage.coverable_area_mm2,
    )


def _overlap(rows: list[Ints32], area: Floats, seen_mm2: Floats) -> Floats:
    shared = np.array([area[np.intersect1d(a, b, assume_unique=True)].sum() for a, b in pairwise(rows)])
    smaller = np.minimum(seen_mm2[:-1], seen_mm2[1:])
    return np.divide(shared, smaller, out=np.zeros(len(smaller)), where=smaller > 0)


def _greedily(coverage: GeometricCoverage) -> tuple[Ints, Floats]:
    """The greedy order and the area covered with the first views in it, shape (V,) each.

    Where several views are required, each adds what it sees of all that too few of those before it see; for one
    view this is the area that it newly covers. The earlier of two equal views comes first.
    """
    area, demand = coverage.surface.area_mm2, coverage.requirements.views_per_element
    num = coverage.num_viewpoints
    count = np.zeros(len(area), dtype=np.int64)
    order, covered, chosen = np.zeros(num, dtype=np.int64), np.zeros(num), np.zeros(num)
    for step in range(num):
        gain = coverage.seen @ np.where(count < demand, area, 0.0) + chosen
        order[step] = view = int(np.argmax(gain))
        chosen[view] = -np.inf
        count += coverage.seen[[view]].toarray()[0].astype(np.int64)
        covered[step] = area[count >= demand].sum()
    return order, covered
