"""From a part and a rig to an inspection plan with a proven bound."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from viewcov.coverage.geometric.visibility import Setup
from viewcov.coverage.ladder import Areas
from viewcov.inspection.arrays import Bools, Ints, Ints32
from viewcov.inspection.check import size_findings
from viewcov.inspection.errors import InputError
from viewcov.inspection.mapping.workers import checked_jobs
from viewcov.inspection.mesh.part import Part, snapped, triangle_areas
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.records import Jobs
from viewcov.inspection.rig.inspected import surface_to_inspect
from viewcov.inspection.rig.motion import MotionModel
from viewcov.inspection.rig.requirements import Requirements, left_out, weighted_areas_mm2
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import CandidatePool, CandidateSearch, gather_candidates, images_filled
from viewcov.planning.choice import PROOF_SHARE, ChosenViews, choose_views, completed, moved_choice, quick_choice
from viewcov.planning.figures import PlanFigures, RouteFigures
from viewcov.planning.kept_pool import KeptPool, KnownCandidates, gathered_before, keep_pool, search_key
from viewcov.planning.options import PlanningOptions
from viewcov.planning.route.cycle import Cycle, shorten_cycle
from viewcov.planning.route.order import motion_times_s, route_bound, route_cost, short_route
from viewcov.planning.rows import CHECKED, Rows
from viewcov.planning.selection.problem import CoverProblem
from viewcov.planning.selection.reduction import merge_rows
from viewcov.planning.whole_surface import WholeSurface

log = logging.getLogger(__name__)

DEFAULTS = PlanningOptions()
"""A plan for 99 % of the coverable area with the fewest views."""

NOTHING_KNOWN = KnownCandidates()
"""All candidates are the planner's own."""

_SEARCH_SHARE, _MOVE_SHARE, _CHOICE_SHARE = 0.5, 0.5, 0.6
"""Of the time: for the search for candidates; of what is left after it, for moving views; and of what is left after
that, for choosing them, where they are then exchanged for others that make the cycle shorter."""

_BY_ALL_LIGHT = 5.0
"""How much longer a view takes where light is gathered from all around."""

MAX_IMAGES = 1000
"""A surface that fills more images than this is refused unless the number of candidates is given."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanningResult:
    """A plan, and what it achieves on the surface that it was planned on."""

    plan: InspectionPlan
    """Viewpoints in the order of the route, with ids v001, v002, ..."""

    surface: Surface
    """The E elements that the plan is measured on, those of `surface_to_inspect`."""

    coverable: Bools
    """Shape (E,): elements that enough candidates see."""

    num_views: Ints32
    """Shape (E,): how many of the plan's views see each element."""

    figures: PlanFigures
    """What the plan achieves."""

    pool: KeptPool
    """All that it was chosen from."""

    def write(self, path: str | Path) -> InspectionPlan:
        """Write the plan, and its candidates beside it as ``PLAN.pool.npz``; the plan as it is in its file.

        With them, evaluation knows the same surface to be coverable, and neither it nor the next planning with the
        same seed, rig, requirements and elements need search for candidates anew.
        """
        kept = keep_pool(Path(path), self.pool, self.plan, self.surface)
        plan = replace(self.plan, pool=kept)
        write_plan(path, plan)
        return plan


def plan_views(
    part: Part,
    rig: Rig,
    requirements: Requirements | None = None,
    options: PlanningOptions = DEFAULTS,
    *,
    known: KnownCandidates = NOTHING_KNOWN,
    jobs: Jobs = 1,
    progress: bool = False,
    started: float | None = None,
) -> PlanningResult:
    """A plan of few viewpoints that covers a share of the coverable area.

    All of it is about one surface, that of `surface_to_inspect`. Candidates are made and tested on some of its
    elements, the rows; those chosen first are moved to where they see more; and a small cover of the rows is found,
    with a proof of how few views could do (see `smallest_cover`). Where the rows are not all elements, the views
    are looked from at everything. What a cover of all rows misses becomes rows, and it is chosen anew, until it
    covers everything: then it is proven for all elements. A bound for less than everything is proven on elements
    drawn once the candidates are known, and holds for all elements with the confidence that the figures tell. Where
    grey is limited, what views show is measured by all light, and views are added until the target is reached; the
    bound speaks of light straight from the ring.

    A short route gives the order. The same seed gives the same viewpoints, whatever ``jobs``, unless the time limit
    ends a search.

    Parameters
    ----------
    part, rig
        What is inspected with what.
    requirements
        Limits of each view, and what the CAD faces weigh; the rig's own if not given.
    options
        What is asked of the plan.
    known
        Candidates from before.
    started
        Reading of the monotonic clock from which the time limit counts; now if not given.
    jobs
        Processes for testing candidates, or the address of a Dask scheduler. A script that asks for several processes
        must guard its entry with ``if __name__ == "__main__"``, because each of them imports it.
    progress
        Whether to show progress bars on stderr.

    Raises
    ------
    InputError
        If an option is out of range or no view can see anything of the part.

    Examples
    --------
    >>> from viewcov.inspection.loading.part_files import load_part
    >>> from viewcov.inspection.rig.rig import load_rig
    >>> result = plan_views(load_part("builtin:clutch-half"), load_rig("paper-quarter"))  # doctest: +SKIP
    >>> result.figures.viewpoints  # doctest: +SKIP
    """
    start = time.monotonic() if started is None else started
    end = start + (1.0 - PROOF_SHARE) * options.time_limit_s
    checked_jobs(jobs)
    limits = rig.requirements if requirements is None else requirements
    if options.overlap is not None:
        limits = replace(limits, views_per_element=options.overlap)
    surface = _surface_asked_for(part, rig, limits, options)
    weight = weighted_areas_mm2(surface, limits)
    rows = Rows.searched(weight, seed=options.seed)
    searched = rows.surface(surface, weight)
    search = CandidateSearch(num_candidates=options.num_candidates, extra=known.views, seed=options.seed)
    key = search_key(searched, rig, limits, search)
    candidates = gathered_before(known.plan, key)
    began = time.monotonic()
    if candidates is None:
        until = start + _SEARCH_SHARE * options.time_limit_s
        candidates = gather_candidates(searched, rig, limits, search, jobs=jobs, progress=progress, until=until)
    pace = (time.monotonic() - began) / (searched.num_elements * max(len(candidates.viewpoints), 1))
    setup = Setup(searched, rig, limits)
    views = quick_choice(candidates, setup, options, until=_between(time.monotonic(), end, 0.2))
    if not len(views):
        raise _nothing_coverable(part, rig)
    end -= _seconds_to_look(len(views), surface, limits, pace)
    pool, views = moved_choice(candidates, setup, views, options, until=_between(time.monotonic(), end, _MOVE_SHARE))
    whole = WholeSurface(Setup(surface, rig, limits), pool.viewpoints, jobs=jobs, progress=progress)
    checked = _known_rows(whole, rows, pool.visible, seed=options.seed)
    chosen_by = end if options.objective == "views" else _between(time.monotonic(), end, _CHOICE_SHARE)
    chosen = choose_views(whole, views, rows.joined(checked), checked, options, until=chosen_by)
    ordered = _finished(whole, chosen, rig.motion, options, until=end)
    problem = whole.problem(ordered)
    coverable = problem.coverable & surface.inspected
    views_in_order = tuple(
        replace(pool.viewpoints[view], id=f"v{place:03d}") for place, view in enumerate(ordered, start=1)
    )
    route = _route(views_in_order, rig.motion, options)
    figures = _figures(surface, problem, ordered, chosen, candidates, route)
    made = {
        "by": "viewcov.planning.plan_views",
        "version": importlib.metadata.version("viewcov"),
        "seed": options.seed,
        "options": options.model_dump(mode="json")
        | {"overlap": limits.views_per_element, "edge_mm": surface.max_edge_mm},
        "measured_edge_mm": surface.max_edge_mm,
        "given_candidates": [{"id": v.id, "world_from_camera": v.world_from_camera.tolist()} for v in known.views],
        "candidates": len(candidates.viewpoints),
        "given_up_mm2": pool.given_up_mm2,
        "findings": [asdict(finding) for finding in part.findings],
        # Without the time taken, so that the same seed writes the same file.
        "figures": figures.model_dump(mode="json", exclude={"seconds"}),
    }
    return PlanningResult(
        plan=InspectionPlan(part=part.source, rig=rig, requirements=limits, viewpoints=views_in_order, made=made),
        surface=surface,
        coverable=coverable,
        num_views=whole.counts(ordered).astype(np.int32),
        figures=figures.model_copy(update={"seconds": round(time.monotonic() - start, 3)}),
        pool=KeptPool(
            viewpoints=pool.viewpoints,
            visible=problem.visible,
            complete=whole.tested,
            coverable=coverable,
            measured=np.isin(np.arange(len(pool.viewpoints)), whole.looked),
            gathered=candidates,
            # What time ended is not what the next search would find.
            search="" if candidates.cut_short else key,
        ),
    )


def _known_rows(whole: WholeSurface, rows: Rows, visible: csr_array, *, seed: int) -> Rows:
    """Make known what candidates see of the rows that they were searched by; the rows for the bound, tested too.

    Those are drawn anew where the others are some elements only, which the candidates were made to see.
    """
    if rows.num_draws is None:
        whole.know(np.arange(len(whole.weight)), visible)
        return rows
    whole.know(rows.element_idx, visible)
    checked = Rows.drawn(whole.weight, CHECKED, seed=seed + 1)
    whole.test(checked.element_idx)
    return checked


def _finished(
    whole: WholeSurface, chosen: ChosenViews, motion: MotionModel, options: PlanningOptions, *, until: float
) -> Ints:
    """The chosen views in the order of the route, looked from, with as many others as the coverage asked for takes."""
    ordered = _ordered(chosen, whole.candidates, motion, options, until=until)
    if options.num_views is None:
        grown = completed(whole, ordered, share=options.coverage)
        if grown is not ordered:
            log.info("%d views instead of %d", len(grown), len(ordered))
            ordered = _short_way(whole.candidates, grown, motion, options)
    whole.look(ordered)
    return ordered


def _between(start: float, end: float, share: float) -> float:
    return start + share * max(end - start, 0.0)


def _seconds_to_look(num_views: int, surface: Surface, limits: Requirements, pace: float) -> float:
    """About how long it takes to look from the views at the whole surface; ``pace`` is seconds for view and element."""
    return 1.5 * pace * num_views * surface.num_elements * (_BY_ALL_LIGHT if limits.limits_grey else 1.0)


def _surface_asked_for(part: Part, rig: Rig, limits: Requirements, options: PlanningOptions) -> Surface:
    """What is to be inspected of the part as elements; a size that does not fit the rig is told or refused."""
    for finding in size_findings(part, rig.camera):
        log.warning("%s: %s: %s", part.source.path, finding.name, finding.remedy)
    wanted = left_out(snapped(part), limits)
    if options.num_candidates is None:
        _refuse_far_too_large(wanted, rig)
    return surface_to_inspect(wanted, rig, limits, edge_mm=options.edge_mm)


def _refuse_far_too_large(part: Part, rig: Rig) -> None:
    """Hours are not spent on what is mostly a mistake in units."""
    area_mm2 = float(triangle_areas(part.corners_mm[part.inspected]).sum())
    images = images_filled(area_mm2, rig)
    if images > MAX_IMAGES:
        width_mm, height_mm = (px * rig.camera.mm_per_px_at_focus for px in (rig.camera.width_px, rig.camera.height_px))
        raise InputError(
            part.source.path,
            f"the part is too large for the rig {rig.name!r}",
            expected=f"a surface that fills at most {MAX_IMAGES:,} images of {width_mm:.3g} x {height_mm:.3g} mm",
            found=f"{area_mm2:,.0f} mm2, which fill {images:,.0f}",
            remedy="check the units (--units, --scale-mm), take a rig with a larger field, leave faces out with "
            "--face-weight, or give --num-candidates to plan all the same",
        )


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


def _ordered(
    chosen: ChosenViews, viewpoints: Sequence[Viewpoint], motion: MotionModel, options: PlanningOptions, *, until: float
) -> Ints:
    """The views in the order of the route; exchanged for others where the cycle is to be short."""
    if options.objective == "views":
        return _short_way(viewpoints, chosen.cover.views, motion, options)
    merged, _ = merge_rows(chosen.rows)
    times = motion_times_s(viewpoints, motion, dtype=np.float32)
    cycle = Cycle(
        problem=merged,
        times_s=times,
        stop_s=motion.stop_s,
        closed=options.closed,
        target=chosen.target,
        most_views=np.inf if options.num_views is None else options.num_views,
        until=until,
    )
    return shorten_cycle(cycle, chosen.cover.views, seed=options.seed)


def _short_way(viewpoints: Sequence[Viewpoint], views: Ints, motion: MotionModel, options: PlanningOptions) -> Ints:
    """The views in the order of a short route."""
    views = np.sort(views)
    times_s = motion_times_s([viewpoints[view] for view in views], motion)
    order = short_route(times_s, closed=options.closed, seed=options.seed)
    # There and back take the same time: rounding errors shall not decide.
    return views[order if options.closed or order[0] <= order[-1] else order[::-1]]


def _figures(
    surface: Surface,
    problem: CoverProblem,
    views: Ints,
    chosen: ChosenViews,
    candidates: CandidatePool,
    route: RouteFigures,
) -> PlanFigures:
    area = np.where(surface.inspected, surface.area_mm2, 0.0)
    covered = problem.counts(views) >= problem.demand
    coverable_mm2, covered_mm2 = float(area[problem.coverable].sum()), float(area[covered].sum())
    coverage = problem.covered_weight(views) / problem.coverable_weight
    bound = min(chosen.cover.bound.num_views, len(views))
    return PlanFigures(
        **dict(Areas.of(float(area.sum()), coverable_mm2, covered_mm2, coverage)),
        **dict(route),
        part=surface.part.name,
        elements=surface.num_elements,
        unsearched_share=min(candidates.given_up_mm2["not searched"] / float(area.sum()), 1.0),
        most_coverage=min(max(chosen.most_coverage, coverage), 1.0),
        viewpoints=len(views),
        lower_bound=bound,
        bound=chosen.cover.bound.name,
        confidence=chosen.confidence,
        gap=(len(views) - bound) / len(views),
        status=chosen.cover.bound.status(len(views)),
    )


def _route(views: Sequence[Viewpoint], motion: MotionModel, options: PlanningOptions) -> RouteFigures:
    times_s, stops_s = motion_times_s(views, motion), len(views) * motion.stop_s
    order = np.arange(len(views))
    bound = route_bound(times_s, order, closed=options.closed)
    return RouteFigures(
        route_s=route_cost(times_s, order, closed=options.closed) + stops_s,
        route_bound_s=bound.seconds + stops_s,
        route_bound=bound.name,
    )
