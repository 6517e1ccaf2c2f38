"""Which viewpoints would cover what a plan leaves out: few that gain much, and the nearest one for each place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from viewcov.coverage.geometric.evaluation import REASONS, GeometricCoverage
from viewcov.coverage.geometric.figures import FixFigures
from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.inspection.arrays import Floats, Ints, Ints32
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint

LEAST_GAIN = 1e-4
"""Share of the coverable area for which it is worth to name a viewpoint."""

MAX_FIXES = 10
"""Viewpoints that are named at most."""

_TRIES_EACH = 3
"""Candidates tried at most for each fix: with light by way of other surfaces one may show less than it promises."""

_SAME_MM, _SAME_DEG = 1e-6, 1e-5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moves:
    """How far C viewpoints are from the plan's view that is nearest: by camera centre, then by angle."""

    view_idx: Ints
    """Shape (C,): that view; -1 where the plan has none."""

    distance_mm: Floats
    """Shape (C,): between the camera centres; infinite where the plan has no view."""

    angle_deg: Floats
    """Shape (C,): of the rotation between them."""

    def of(self, rows: Ints) -> Moves:
        """Those of some of the viewpoints."""
        return Moves(view_idx=self.view_idx[rows], distance_mm=self.distance_mm[rows], angle_deg=self.angle_deg[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repairs:
    """What would mend a plan on a surface of E elements."""

    fixes: tuple[FixFigures, ...]
    """Few viewpoints, each the one that gains most after those before it."""

    fix_idx: Ints32
    """Shape (E,): which of them covers the element first; -1 where none does or none need to."""

    nearest: tuple[Viewpoint, ...]
    """Candidates that are the nearest to the plan for some element that is coverable and not covered."""

    moves: Moves
    """Theirs."""

    nearest_idx: Ints32
    """Shape (E,): which of them is the element's; -1 where the search knows none or none is needed."""

    @property
    def distance_mm(self) -> Floats:
        """Shape (E,): how far the nearest viewpoint that would help is from a view of the plan; NaN without one."""
        return np.append(self.moves.distance_mm, np.nan)[self.nearest_idx]


def moves_from(viewpoints: Sequence[Viewpoint], others: Sequence[Viewpoint]) -> Moves:
    """How far viewpoints are from the nearest of others."""
    num = len(viewpoints)
    view, mm, deg = np.full(num, -1, dtype=np.int64), np.full(num, np.inf), np.full(num, np.inf)
    if others:
        centers = np.stack([other.center_mm for other in others])
        rotations = np.stack([other.world_from_camera[:3, :3] for other in others])
        for place, viewpoint in enumerate(viewpoints):
            distance = np.linalg.norm(centers - viewpoint.center_mm, axis=1)
            # |A - B| = 8^(1/2) sin(angle / 2): exact for small angles, where the cosine is not.
            apart = np.linalg.norm(rotations - viewpoint.world_from_camera[:3, :3], axis=(1, 2))
            angle = np.rad2deg(2.0 * np.arcsin(np.minimum(apart / np.sqrt(8.0), 1.0)))
            close = np.flatnonzero(distance <= distance.min() + _SAME_MM)
            view[place] = nearest = close[np.argmin(angle[close])]
            mm[place], deg[place] = distance[nearest], angle[nearest]
    return Moves(view_idx=view, distance_mm=mm, angle_deg=deg)


def find_repairs(coverage: GeometricCoverage, rig: Rig, candidates: Sequence[Viewpoint], seen: csr_array) -> Repairs:
    """Viewpoints out of C candidates that cover what a plan leaves out.

    ``fixes`` are chosen greedily by the area that they cover of what is coverable and not covered, the nearest
    to the plan among equals, until there are ``MAX_FIXES`` or one more would gain less than ``LEAST_GAIN`` of the
    coverable area. ``seen``, shape (C, E), is what they see at least of the elements that are not covered.
    """
    moves = moves_from(candidates, coverage.viewpoints)
    # A view that the plan has already mends nothing, although where views are to overlap it may seem so.
    new = np.flatnonzero((moves.distance_mm > _SAME_MM) | (moves.angle_deg > _SAME_DEG))
    nearest_first = new[np.lexsort((moves.angle_deg[new], moves.distance_mm[new]))]
    visible = csr_array(seen[nearest_first])
    lacking = coverage.coverable & ~coverage.covered
    # The first row that has each column.
    columns, first = np.unique(visible.indices, return_index=True)
    nearest = np.full(len(lacking), -1)
    nearest[columns] = np.where(lacking[columns], np.searchsorted(visible.indptr, first, side="right") - 1, -1)
    used, nearest_idx = np.unique(nearest[nearest >= 0], return_inverse=True)
    nearest[nearest >= 0] = nearest_idx
    ranked = moves.of(nearest_first)
    viewpoints = [candidates[row] for row in nearest_first]
    search = _FixSearch(coverage, rig, viewpoints, ranked)
    search.run(visible)
    return Repairs(
        fixes=tuple(search.fixes),
        fix_idx=search.fix_idx,
        nearest=tuple(viewpoints[row] for row in used),
        moves=ranked.of(used),
        nearest_idx=nearest.astype(np.int32),
    )


class _FixSearch:
    """Fixes found so far and what they leave."""

    def __init__(self, coverage: GeometricCoverage, rig: Rig, viewpoints: Sequence[Viewpoint], moves: Moves) -> None:
        self.fixes: list[FixFigures] = []
        self.fix_idx = np.full(coverage.surface.num_elements, -1, dtype=np.int32)
        self._coverage, self._viewpoints, self._moves = coverage, viewpoints, moves
        self._tester = VisibilityTester(Setup(coverage.surface, rig, coverage.requirements), gather=True)
        self._num_views = coverage.num_views.copy()

    def run(self, visible: csr_array) -> None:
        """Add fixes, greedily by what candidates (C,) see by ``visible``, shape (C, E)."""
        coverage, demand = self._coverage, self._coverage.requirements.views_per_element
        least_mm2 = LEAST_GAIN * coverage.coverable_area_mm2
        left = np.ones(len(self._viewpoints), dtype=bool)
        for _ in range(_TRIES_EACH * MAX_FIXES):
            lacking = coverage.coverable & (self._num_views < demand)
            gain = np.where(left, visible @ np.where(lacking, coverage.surface.area_mm2, 0.0), -np.inf)
            if len(self.fixes) == MAX_FIXES or gain.max(initial=-np.inf) <= least_mm2:
                return
            # Sums in another order may differ in the last digit: the first of those is the nearest.
            row = int(np.argmax(gain >= gain.max() * (1.0 - 1e-12)))
            left[row] = False
            self._try(row, least_mm2)

    def _try(self, row: int, least_mm2: float) -> None:
        """Add a candidate if it shows what it is wanted for in light by way of other surfaces, too."""
        coverage, viewpoint = self._coverage, self._viewpoints[row]
        area, demand = coverage.surface.area_mm2, coverage.requirements.views_per_element
        seen = self._tester.seen_elements(viewpoint)
        wanted = seen[self._num_views[seen] < demand]
        if area[wanted].sum() <= least_mm2:
            return
        self._num_views[seen] += 1
        gained = wanted[self._num_views[wanted] >= demand]
        self.fix_idx[gained] = len(self.fixes)
        reasons_mm2 = np.bincount(coverage.loss_idx[gained], weights=area[gained], minlength=len(REASONS))
        view_idx = self._moves.view_idx[row]
        self.fixes.append(
            FixFigures(
                id=viewpoint.id,
                world_from_camera=viewpoint.world_from_camera.tolist(),
                gained_area_mm2=float(area[gained].sum()),
                repairs={name: mm2 for name, mm2 in zip(REASONS, reasons_mm2.tolist(), strict=True) if mm2 > 0},
                nearest_view=None if view_idx < 0 else coverage.viewpoints[view_idx].id,
                distance_mm=None if view_idx < 0 else float(self._moves.distance_mm[row]),
                angle_deg=None if view_idx < 0 else float(self._moves.angle_deg[row]),
            )
        )
