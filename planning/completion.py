"""Plans measured as evaluation does, which is closer than they were made, and completed where they fall short."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array, vstack

from viewcov.coverage.geometric.sightings import Watch, confirmed, seen_by
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.arrays import Bools, Ints
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.requirements import Requirements, weighted_areas_mm2
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.selection.problem import TOLERANCE, CoverProblem, greedy_cover, prune_cover


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredViews:
    """Views of a pool of V candidates, measured on E elements."""

    surface: Surface
    """The elements."""

    candidates: tuple[Viewpoint, ...]
    """All V."""

    problem: CoverProblem
    """What is coverable, and what the views cover of it.

    Rows of the views are complete; those of other candidates leave out what the views cover.
    """

    views: Ints
    """Shape (M,): which of the candidates."""

    complete: Bools
    """Shape (E,): elements that the rows of all candidates know; of the others, those of the views alone."""

    @property
    def coverage(self) -> float:
        """Share of the coverable weight that the views cover."""
        return self.problem.covered_weight(self.views) / self.problem.coverable_weight


def measured_on(
    surface: Surface,
    planned: MeasuredViews,
    rig: Rig,
    requirements: Requirements,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> MeasuredViews:
    """The views measured on another surface of the part, and what it shows to be coverable by all candidates.

    An element that the views leave out is coverable if enough candidates see it. Only the views are tested on all
    of the surface, the candidates on what the views leave. Where the requirements limit grey, it is that of all
    light, by way of other surfaces too; but the rows of other candidates have light straight from the ring.
    """
    candidates, views = planned.candidates, planned.views
    chosen, setup = [candidates[view] for view in views], Setup(surface, rig, requirements)
    with Watch(setup, jobs=jobs, gather=True) as watch:
        own = watch.seen_from(chosen, progress=progress)
    times = np.asarray(own.sum(axis=0))
    left = np.flatnonzero(surface.inspected & (times < requirements.views_per_element))
    others = seen_by(candidates, setup, among=left, jobs=jobs, progress=progress)
    others = _with_rows(others, views, csr_array(own.shape))
    coverable = confirmed(candidates, others, setup, counts=times, jobs=jobs, progress=progress)
    others.data *= coverable[others.indices]
    others.eliminate_zeros()
    problem = CoverProblem(
        visible=_with_rows(others, views, own),
        weight=weighted_areas_mm2(surface, requirements),
        demand=requirements.views_per_element,
    )
    complete = np.zeros(surface.num_elements, dtype=bool)
    complete[left] = True
    return replace(planned, surface=surface, problem=problem, complete=complete)


def completed(measured: MeasuredViews, rig: Rig, requirements: Requirements, *, share: float) -> MeasuredViews:
    """The views with as many others as it takes to cover the ``share`` of what is coverable; the same if none.

    Others are added greedily by what they newly cover; views that are no longer needed are left out again.
    """
    problem, views = measured.problem, measured.views
    if _reaches(problem, views, share):
        return measured
    with Watch(Setup(measured.surface, rig, requirements), gather=True) as watch:
        # Once measured, what was added may cover less than it seemed to.
        while not _reaches(problem, views, share):
            grown = greedy_cover(problem, target=share * problem.coverable_weight, start=views)
            added = grown[len(views) :]
            rows = watch.seen_from([measured.candidates[view] for view in added])
            visible, views = _with_rows(problem.visible, added, rows), grown
            problem = CoverProblem(visible=visible, weight=problem.weight, demand=problem.demand)
    views = prune_cover(problem, views, target=share * problem.coverable_weight)
    return replace(measured, problem=problem, views=views)


def _reaches(problem: CoverProblem, views: Ints, share: float) -> bool:
    return bool(problem.covered_weight(views) >= share * problem.coverable_weight * (1.0 - TOLERANCE))


def _with_rows(visible: csr_array, places: Ints, rows: csr_array) -> csr_array:
    """The matrix with the rows at some places exchanged."""
    num = visible.shape[0]
    order = np.arange(num)
    order[places] = num + np.arange(len(places))
    return csr_array(csr_array(vstack([visible, rows], format="csr"))[order])
