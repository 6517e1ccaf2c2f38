"""From a part and a rig to an inspection plan with a proven bound."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from viewcov.coverage.geometric.visibility import Setup
from viewcov.coverage.ladder import Areas
from viewcov.inspection.arrays import Bools, Ints, Ints32
from viewcov.inspection.check import size_findings
from viewcov.inspection.errors import InputError
from viewcov.inspection.mapping.processes import kept_processes
from viewcov.inspection.mapping.workers import checked_jobs
from viewcov.inspection.mesh.part import Part, snapped, triangle_areas
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.records import Jobs
from viewcov.inspection.rig.inspected import surface_to_inspect
from viewcov.inspection.rig.motion import MotionModel
from viewcov.inspection.rig.requirements import Requirements, left_out
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import (
    images_filled,
)
from viewcov.planning.choice import ChosenViews
from viewcov.planning.figures import PlanFigures, RouteFigures
from viewcov.planning.kept_pool import KeptPool, KnownCandidates, keep_pool
from viewcov.planning.live import live_line, tell
from viewcov.planning.making import make_views
from viewcov.planning.options import PlanningOptions
from viewcov.planning.route.order import motion_times_s, route_bound, route_cost
from viewcov.planning.selection.problem import CoverProblem
from viewcov.planning.whole_surface import Looks

log = logging.getLogger(__name__)

DEFAULTS = PlanningOptions()
"""A plan for 99 % of the coverable area with the fewest views."""

NOTHING_KNOWN = KnownCandidates()
"""All candidates are the planner's own."""

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
        Whether to show a line on stderr: what is done, the views, their bound, and the time left.

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
    end = start + options.time_limit_s
    checked_jobs(jobs)
    limits = rig.requirements if requirements is None else requirements
    if options.overlap is not None:
        limits = replace(limits, views_per_element=options.overlap)
    with live_line(end, shown=progress), kept_processes():
        tell("cutting the surface into elements")
        surface = _surface_asked_for(part, rig, limits, options)
        with Looks(Setup(surface, rig, limits), jobs) as looks:
            made = make_views(looks, options, known, end=end)
            problem = made.whole.problem(made.ordered, until=end)
    whole, pool, candidates, chosen, ordered = made.whole, made.pool, made.candidates, made.chosen, made.ordered
    coverable = problem.coverable & surface.inspected
    views_in_order = tuple(
        replace(pool.viewpoints[view], id=f"v{place:03d}") for place, view in enumerate(ordered, start=1)
    )
    route = _route(views_in_order, rig.motion, options)
    unsearched_mm2 = candidates.given_up_mm2["not searched"] + float(surface.area_mm2[whole.unasked].sum())
    figures = _figures(surface, problem, ordered, chosen, unsearched_mm2, route)
    history = {
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
        plan=InspectionPlan(part=part.source, rig=rig, requirements=limits, viewpoints=views_in_order, made=history),
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
            search="" if candidates.cut_short else made.key,
        ),
    )


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


def _figures(
    surface: Surface,
    problem: CoverProblem,
    views: Ints,
    chosen: ChosenViews,
    unsearched_mm2: float,
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
        unsearched_share=min(unsearched_mm2 / float(area.sum()), 1.0),
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
