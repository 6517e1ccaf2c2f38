"""All views that are tried on one part by any method, scored by one evaluation of one surface."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from planning_cases import Pool
from scipy.sparse import csr_array

from viewcov.coverage.geometric.evaluation import evaluate_viewpoints
from viewcov.coverage.geometric.sightings import Watch
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.arrays import Bools, Ints, Ints32
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.clearance import Clearance
from viewcov.planning.selection.problem import CoverProblem


class Gallery:
    """All views tried on one part, with what they see of the surface that everything is scored on."""

    def __init__(self, pool: Pool, surface: Surface) -> None:
        self.pool, self.surface = pool, surface
        self.coverable = np.zeros(surface.num_elements, dtype=bool)
        self.viewpoints: list[Viewpoint] = []
        self._seen: list[Ints32] = []

    def add(self, viewpoints: Sequence[Viewpoint]) -> Ints:
        """The numbers of these views."""
        with Watch(Setup(self.surface, self.pool.rig, self.pool.rig.requirements)) as watch:
            seen = watch.seen_from(viewpoints)
        self._seen += [seen.indices[start:end] for start, end in zip(seen.indptr, seen.indptr[1:], strict=False)]
        self.viewpoints += viewpoints
        return np.arange(len(self.viewpoints) - len(viewpoints), len(self.viewpoints))

    def settle(self) -> None:
        """Take for coverable what the views see so far that keep clear of the part."""
        for view in np.flatnonzero(self._clear(np.arange(len(self.viewpoints)))):
            self.coverable[self._seen[view]] = True

    def problem(self, views: Ints) -> CoverProblem:
        """Covering the surface with some of these views."""
        ends = np.cumsum([0] + [len(self._seen[view]) for view in views])
        columns = np.concatenate([self._seen[view] for view in views])
        shape = (len(views), self.surface.num_elements)
        return CoverProblem(
            visible=csr_array((np.ones(len(columns)), columns, ends), shape=shape), weight=self.surface.area_mm2
        )

    def shares(self, views: Ints) -> list[float]:
        """What the first, the first two, ... and all of the views cover; what they cover is coverable in any case."""
        area = self.surface.area_mm2
        whole_mm2, covered_mm2 = float(area[self.coverable].sum()), 0.0
        covered = np.zeros(self.surface.num_elements, dtype=bool)
        shares = []
        for view in views:
            fresh = self._seen[view][~covered[self._seen[view]]]
            covered[fresh] = True
            covered_mm2 += float(area[fresh].sum())
            whole_mm2 += float(area[fresh[~self.coverable[fresh]]].sum())
            shares.append(covered_mm2 / whole_mm2)
        return shares

    def share(self, views: Ints) -> float:
        """What the views cover together."""
        return self.shares(views)[-1] if len(views) else 0.0

    def scored(self, views: Ints) -> float:
        """The same by the evaluation that every plan is measured with.

        Raises
        ------
        RuntimeError
            If the two do not agree.
        """
        viewpoints = [self.viewpoints[view] for view in views]
        limits = self.pool.rig.requirements
        result = evaluate_viewpoints(
            Setup(self.surface, self.pool.rig, limits), viewpoints, coverable=self.coverable, gather=False
        )
        counted = self.share(views)
        if not math.isclose(result.coverage, counted, rel_tol=1e-9):
            raise RuntimeError(f"{result.coverage} evaluated, but {counted} counted")
        return result.coverage

    def touching(self, views: Ints) -> int:
        """How many of the views come nearer to the part than the rig's clearance."""
        return int((~self._clear(views)).sum())

    def _clear(self, views: Ints) -> Bools:
        centers = np.stack([self.viewpoints[view].center_mm for view in views])
        forward = np.stack([self.viewpoints[view].forward for view in views])
        return Clearance(self.pool.surface, self.pool.rig).clear(centers, forward)
