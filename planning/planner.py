"""From a part and a rig to an inspection plan with a proven bound."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from viewcov.inspection.arrays import Bools, Ints, Ints32
from viewcov.inspection.check import size_findings
from viewcov.inspection.errors import InputError
from viewcov.inspection.part import Part, snapped
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.requirements import Requirements
from viewcov.inspection.rig import Rig
from viewcov.inspection.surface import Surface, cut_surface
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.bounds import LowerBound, lower_bound, merge_rows
from viewcov.planning.pool import CandidatePool, gather_candidates
from viewcov.planning.route import motion_times_s, route_time_s, short_route
from viewcov.planning.selection import CoverProblem, greedy_best, greedy_cover, shrink_cover, swap_views

log = logging.getLogger(__name__)

PLANNING_ELEMENTS = 25_000
"""Elements that planning aims at, unless the edge is given, or the part's triangles or its size ask for more."""

MIN_EDGES_PER_IMAGE = 16
"""Elements get no longer than this part of the shorter side of an image in focus."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanningResult:
    """A plan, and what it achieves on the surface that it was planned on."""

    plan: InspectionPlan
    """Viewpoints in the order of the route, with ids v001, v002, ..."""

    surface: Surface
    """The E elements that were planned on."""

    coverable: Bools
    """Shape (E,): elements that enough candidates see."""

    num_views: Ints32
    """Shape (E,): how many of the plan's views see each element."""

    figures: dict[str, Any]
    """Plain values: part, elements, inspected_area_mm2, coverable_area_mm2, covered_area_mm2, coverage,
    viewpoints, lower_bound, bound, gap, status, route_s, seconds."""


def plan_views(
    part: Part,
    rig: Rig,
    requirements: Requirements | None = None,
    *,
    coverage: float = 0.99,
    num_views: int | None = None,
    overlap: int | None = None,
    seed: int = 0,
    edge_mm: float | None = None,
    num_candidates: int | None = None,
    time_limit_s: float = 60.0,
    jobs: int = 1,
    progress: bool = False,
) -> PlanningResult:
    """A plan of few viewpoints that covers a share of the coverable area.

    Candidates are made and tested, a cover is chosen greedily, freed of what it does not need and shortened
    by swaps; a linear program proves how few of the candidates could do; a short route gives the order.
    The same seed gives the same viewpoints, whatever ``jobs``.

    Parameters
    ----------
    part, rig
        What is inspected with what.
    requirements
        Limits of each view; the rig's own if not given.
    coverage
        Share of the coverable area to be covered, in (0, 1]. Coverable is what enough candidates see.
    num_views
        If given, this many views are chosen to cover as much as they can, and ``coverage`` is not used.
        The bound then says how many views are needed to cover as much as these do.
    overlap
        Views that must see an element; ``requirements.views_per_element`` if not given.
    seed
        For candidates.
    edge_mm
        Longest edge of an element; ``requirements.element_edge_mm`` if not given, and longer where that
        makes more than ``PLANNING_ELEMENTS`` elements (see `planning_surface`). Evaluation of the plan
        measures on finer ones.
    num_candidates
        Most candidates; by the size of the part if not given.
    time_limit_s
        For the bound. It has no influence on the viewpoints.
    jobs
        Processes for testing candidates.
    progress
        Whether to show progress bars on stderr.

    Raises
    ------
    InputError
        If an option is out of range or no view can see anything of the part.

    Examples
    --------
    >>> from viewcov.inspection.part_files import load_part
    >>> from viewcov.inspection.rig import load_rig
    >>> result = plan_views(load_part("builtin:clutch-half"), load_rig("paper-quarter"))  # doctest: +SKIP
    >>> result.figures["viewpoints"]  # doctest: +SKIP
    """
    start = time.monotonic()
    _check_options(coverage=coverage, num_views=num_views, num_candidates=num_candidates, jobs=jobs)
    limits = _with_overlap(rig.requirements if requirements is None else requirements, overlap)
    for finding in size_findings(part, rig.camera):
        log.warning("%s: %s: %s", part.source.path, finding.name, finding.remedy)
    surface = planning_surface(part, rig, limits, edge_mm=edge_mm)
    pool = gather_candidates(
        surface, rig, limits, num_candidates=num_candidates, seed=seed, jobs=jobs, progress=progress
    )
    problem = CoverProblem(visible=pool.visible, weight=surface.area_mm2, demand=limits.views_per_element)
    if not problem.coverable_weight > 0:
        raise _nothing_coverable(part, rig)
    merged, _ = merge_rows(problem, seed=seed)
    chosen, target = _choose(merged, coverage=coverage, num_views=num_views)
    bound = lower_bound(merged, target=target, time_limit_s=time_limit_s, seed=seed)
    ordered = _in_route_order(pool, chosen)
    views = [replace(pool.viewpoints[view], id=f"v{place:03d}") for place, view in enumerate(ordered, start=1)]
    figures = _figures(surface, problem, ordered, bound, views)
    options = {
        "coverage": coverage if num_views is None else None,
        "num_views": num_views,
        "overlap": limits.views_per_element,
        "edge_mm": surface.max_edge_mm,
        "candidates": len(pool.viewpoints),
    }
    plan = InspectionPlan(
        part=part.source,
        rig=rig,
        requirements=limits,
        viewpoints=tuple(views),
        # Without the time taken, so that the same seed writes the same file.
        made={
            "by": "viewcov.planning.plan_views",
            "version": importlib.metadata.version("viewcov"),
            "seed": seed,
            "options": options,
            "figures": dict(figures),
        },
    )
    figures["seconds"] = round(time.monotonic() - start, 3)
    return PlanningResult(
        plan=plan,
        surface=surface,
        coverable=problem.coverable,
        num_views=problem.counts(ordered).astype(np.int32),
        figures=figures,
    )


def coverable_elements(
    surface: Surface,
    rig: Rig,
    requirements: Requirements,
    *,
    seed: int = 0,
    num_candidates: int | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> Bools:
    """Which elements enough candidate viewpoints see, shape (E,).

    A lower estimate of what can be covered at all: an element that no candidate sees might be seen from a
    viewpoint that was not tried.
    """
    pool = gather_candidates(
        surface, rig, requirements, num_candidates=num_candidates, seed=seed, jobs=jobs, progress=progress
    )
    demand = requirements.views_per_element
    return CoverProblem(visible=pool.visible, weight=surface.area_mm2, demand=demand).coverable


def planning_surface(part: Part, rig: Rig, requirements: Requirements, *, edge_mm: float | None = None) -> Surface:
    """The surface to plan on: elements with edges up to ``edge_mm``.

    If that is not given, the edge is the requirements' own, lengthened until there are at most
    ``PLANNING_ELEMENTS`` elements, the part's own triangles are no longer cut, or the edge is a
    ``MIN_EDGES_PER_IMAGE``-th of the image's shorter side: on large parts more elements are needed, because
    each view would see too few to tell what it covers.
    """
    part = snapped(part)
    if edge_mm is not None:
        return cut_surface(part, edge_mm)
    camera = rig.camera
    side_mm = min(camera.width_px, camera.height_px) * camera.mm_per_px_at_focus
    longest_mm = max(requirements.element_edge_mm, side_mm / MIN_EDGES_PER_IMAGE)
    # No triangle is larger than an equilateral one, so that any shorter edge makes too many elements.
    wanted = max(PLANNING_ELEMENTS, len(part.faces))
    shortest_mm = float(np.sqrt(part.area_mm2 / (np.sqrt(3.0) / 4.0 * wanted)))
    surface = cut_surface(part, min(max(requirements.element_edge_mm, shortest_mm), longest_mm))
    while surface.num_elements > wanted and surface.max_edge_mm < longest_mm:
        factor = max(1.1, np.sqrt(surface.num_elements / wanted))
        surface = cut_surface(part, min(float(factor * surface.max_edge_mm), longest_mm))
    return surface


def _with_overlap(requirements: Requirements, overlap: int | None) -> Requirements:
    if overlap is None:
        return requirements
    if overlap < 1:
        raise _out_of_range("overlap", "a whole number from 1", overlap)
    return replace(requirements, views_per_element=overlap)


def _check_options(*, coverage: float, num_views: int | None, num_candidates: int | None, jobs: int) -> None:
    if not 0.0 < coverage <= 1.0:
        raise _out_of_range("coverage", "a share above 0 and up to 1", coverage)
    for name, value in (("num_views", num_views), ("num_candidates", num_candidates), ("jobs", jobs)):
        if value is not None and value < 1:
            raise _out_of_range(name, "a whole number from 1", value)


def _out_of_range(name: str, expected: str, found: object) -> InputError:
    return InputError(name, "out of range", expected=expected, found=repr(found), remedy="correct it")


def _nothing_coverable(part: Part, rig: Rig) -> InputError:
    camera = rig.camera
    field_mm = max(camera.width_px, camera.height_px) * camera.mm_per_px_at_focus
    return InputError(
        part.source.path,
        "no viewpoint sees anything of the part",
        expected=f"a part that the rig {rig.name!r} can look at from {camera.focus_distance_mm:g} mm "
        f"with images of {field_mm:.4g} mm",
        found=f"a part of {part.largest_extent_mm:.4g} mm",
        remedy="check the part's units, the rig's body and distances, and its requirements",
    )


def _choose(problem: CoverProblem, *, coverage: float, num_views: int | None) -> tuple[Ints, float]:
    """The chosen views and the weight that the bound is to be proven for."""
    if num_views is None:
        target = coverage * problem.coverable_weight
        return shrink_cover(problem, greedy_cover(problem, target=target), target=target), target
    chosen = swap_views(problem, greedy_best(problem, num_views=num_views))
    return chosen, problem.covered_weight(chosen)


def _in_route_order(pool: CandidatePool, chosen: Ints) -> Ints:
    chosen = np.sort(chosen)
    return chosen[short_route(motion_times_s([pool.viewpoints[view] for view in chosen]))]


def _figures(
    surface: Surface, problem: CoverProblem, chosen: Ints, bound: LowerBound, views: list[Viewpoint]
) -> dict[str, Any]:
    """Everything but the time that planning took."""
    covered = problem.covered_weight(chosen)
    return {
        "part": surface.part.name,
        "elements": surface.num_elements,
        "inspected_area_mm2": float(surface.area_mm2[surface.inspected].sum()),
        "coverable_area_mm2": problem.coverable_weight,
        "covered_area_mm2": covered,
        "coverage": covered / problem.coverable_weight,
        "viewpoints": len(views),
        "lower_bound": bound.num_views,
        "bound": bound.name,
        "gap": (len(views) - bound.num_views) / len(views),
        "status": bound.status(len(views)),
        "route_s": route_time_s(views),
    }
