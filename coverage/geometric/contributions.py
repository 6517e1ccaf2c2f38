"""What each view of a set adds: its share, what is lost without it, and how coverage grows view by view."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from viewcov.coverage.geometric.evaluation import GeometricCoverage
from viewcov.coverage.geometric.figures import CoverageByViews, ViewFigures
from viewcov.inspection.arrays import Floats, Ints, Ints32


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """What views add to what they cover together: the area that as many see as are required."""

    views: tuple[ViewFigures, ...]
    """What each adds, in their order."""

    by_views: CoverageByViews
    """How coverage grows with the views."""

    @property
    def redundant(self) -> tuple[str, ...]:
        """Views without which nothing is lost, each by itself: two that see the same are both here."""
        return tuple(view.id for view in self.views if view.lost_area_mm2 == 0.0)


def contributions(coverage: GeometricCoverage) -> Contributions:
    """What each view adds to a coverage that was measured."""
    area, demand = coverage.surface.area_mm2, coverage.requirements.views_per_element
    rows = [coverage.seen.indices[start:end] for start, end in pairwise(coverage.seen.indptr)]
    count = np.zeros(len(area), dtype=np.int64)
    new = np.zeros(len(rows))
    for view, seen in enumerate(rows):
        count[seen] += 1
        new[view] = area[seen[count[seen] == demand]].sum()
    seen_mm2 = coverage.seen @ area
    lost_mm2 = coverage.seen @ np.where(coverage.num_views == demand, area, 0.0)
    overlap = [*_overlap(rows, area, seen_mm2).tolist(), None][: len(rows)]
    ids = [view.id for view in coverage.viewpoints]
    columns = zip(ids, seen_mm2.tolist(), new.tolist(), lost_mm2.tolist(), overlap, strict=True)
    order, covered_mm2 = _greedily(coverage)
    whole = coverage.coverable_area_mm2 or np.inf
    return Contributions(
        views=tuple(ViewFigures(**dict(zip(ViewFigures.model_fields, row, strict=True))) for row in columns),
        by_views=CoverageByViews(
            in_order=tuple((np.cumsum(new) / whole).tolist()),
            greedily=tuple((covered_mm2 / whole).tolist()),
            greedy_order=tuple(ids[view] for view in order),
        ),
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
    num = len(coverage.viewpoints)
    count = np.zeros(len(area), dtype=np.int64)
    order, covered, chosen = np.zeros(num, dtype=np.int64), np.zeros(num), np.zeros(num)
    for step in range(num):
        gain = coverage.seen @ np.where(count < demand, area, 0.0) + chosen
        order[step] = view = int(np.argmax(gain))
        chosen[view] = -np.inf
        count += coverage.seen[[view]].toarray()[0].astype(np.int64)
        covered[step] = area[count >= demand].sum()
    return order, covered
