"""From a surface and a rig to views in the order of their route, by the clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from viewcov.inspection.arrays import Ints
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.motion import MotionModel
from viewcov.inspection.rig.requirements import weighted_areas_mm2
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import (
    CandidatePool,
    CandidateSearch,
    SearchTime,
    gather_candidates,
    images_filled,
)
from viewcov.planning.choice import (
    ChosenViews,
    choose_views,
    completed,
    moved_choice,
    quick_choice,
    standing_bound,
)
from viewcov.planning.clock import part_way
from viewcov.planning.kept_pool import KnownCandidates, gathered_before, search_key
from viewcov.planning.live import tell
from viewcov.planning.options import PlanningOptions
from viewcov.planning.route.cycle import Cycle, shorten_cycle
from viewcov.planning.route.order import motion_times_s, short_route
from viewcov.planning.rows import CHECKED, LEAST_CHECKED, Drawn, Rows
from viewcov.planning.selection.reduction import merge_rows
from viewcov.planning.whole_surface import Looks, WholeSurface

log = logging.getLogger(__name__)

_SEARCH_SHARE, _FIRST_SHARE, _MOVE_SHARE, _CHOICE_SHARE = 0.5, 0.2, 0.5, 0.6
"""Of the time that needs not be kept for what comes after: for the search for candidates; and each time of what is left
then, for a first choice, for moving its views, and for choosing among all, where views are then exchanged for others
that make the cycle shorter."""

_LEFT, _TESTS_AFTER = 0.06, 0.4
"""Share of the surface that is tested from all candidates as the chosen views do not cover it, about, and what that
is of the time for tests after the search."""

_ORDER_S, _MOST_ORDER_SHARE = 8e-5, 0.1
"""Seconds for a pair of views that a short route takes, about, and the most of all time that it has."""

_LEAST_SEARCH_SHARE = 0.25
"""Of all time, that the search for candidates has whatever comes after it."""

_VIEWS_ANYHOW, _VIEWS_FOR_IMAGE = 20.0, 1.7
"""Views that 95 % take, about, and for each image that the surface fills: a small hub takes 22, a block of seven images
51, a plate of 167 images 227 to 301."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """A choice of views in its order, and all that led to it."""

    candidates: CandidatePool
    key: str
    """What found them (see `search_key`)."""

    pool: CandidatePool
    """They and the views that were moved."""

    whole: WholeSurface
    chosen: ChosenViews
    ordered: Ints


def make_views(looks: Looks, options: PlanningOptions, known: KnownCandidates, *, end: float) -> Made:
    """Candidates, a first choice, its views moved, and the choice among all, by a reading of the clock."""
    setup, jobs = looks.setup, looks.jobs
    surface, rig, limits = setup.surface, setup.rig, setup.requirements
    weight = weighted_areas_mm2(surface, limits)
    rows = Rows.searched(weight, seed=options.seed)
    few = replace(setup, surface=rows.surface(surface, weight))
    search = CandidateSearch(num_candidates=options.num_candidates, extra=known.views, seed=options.seed)
    key = search_key(few.surface, rig, limits, search)
    ahead = _Ahead.of(surface, few.surface, rig, options)
    order_by, end = end, end - min(_ORDER_S * ahead.num_views**2, _MOST_ORDER_SHARE * options.time_limit_s)
    # Whatever is tested on all elements need not be looked from.
    seconds_to_look = looks.seconds_each if limits.limits_grey or few.surface is not surface else None
    candidates, began = gathered_before(known.plan, key), time.monotonic()
    if candidates is None:
        tell("looking for candidates")
        least = _LEAST_SEARCH_SHARE * options.time_limit_s
        limit = replace(ahead.search_until(end), least=time.monotonic() + least, seconds_to_look=seconds_to_look)
        candidates = gather_candidates(few.surface, rig, limits, search, jobs=jobs, limit=limit)
    per_view_s = (time.monotonic() - began) / max(len(candidates.viewpoints), 1)
    tell(f"choosing among {len(candidates.viewpoints)} candidates")
    views = quick_choice(candidates, few, options, until=part_way(end, _FIRST_SHARE))
    if not len(views):
        raise _nothing_coverable(surface.part, rig)
    look_s = 0.0
    if seconds_to_look is not None:
        look_s = len(views) * seconds_to_look([candidates.viewpoints[view] for view in views])
    tests_s = per_view_s * ahead.tests * len(candidates.viewpoints)
    tell("moving views", views=len(views))
    pool, views = moved_choice(candidates, few, views, options, until=part_way(end - look_s - tests_s, _MOVE_SHARE))
    tell("testing all candidates", views=len(views))
    whole = WholeSurface(looks, pool.viewpoints)
    drawn = _known_rows(whole, rows, pool.visible, hurry=candidates.cut_short, seed=options.seed)
    tell(f"choosing among {len(pool.viewpoints)} candidates")
    chosen_by = end if options.objective == "views" else part_way(end, _CHOICE_SHARE)
    look_s += _TESTS_AFTER * tests_s
    chosen = choose_views(whole, views, drawn, options, look_s=look_s, until=chosen_by)
    tell("ordering", views=len(chosen.cover.views), bound=chosen.cover.bound.num_views)
    views = chosen.cover.views
    if options.objective == "cycle":
        views = _short_cycle(chosen, pool.viewpoints, rig.motion, options, until=end)
    ordered = _finished(whole, views, rig.motion, options, until=order_by)
    bound = standing_bound(whole, chosen, ordered, drawn.bound_by, options)
    chosen = replace(chosen, cover=replace(chosen.cover, bound=bound))
    return Made(candidates=candidates, key=key, pool=pool, whole=whole, chosen=chosen, ordered=ordered)


def _known_rows(whole: WholeSurface, rows: Rows, visible: csr_array, *, hurry: bool, seed: int) -> Drawn:
    """Make known what candidates see of the rows that they were searched by, and test them on those for the bound.

    Those are drawn anew where the others are some elements only, which the candidates were made to see; no more than
    need be in a ``hurry``.
    """
    if rows.num_draws is None:
        whole.know(np.arange(len(whole.weight)), visible)
        return Drawn(chosen_by=rows, bound_by=rows)
    whole.know(rows.element_idx, visible)
    checked = Rows.drawn(whole.weight, LEAST_CHECKED if hurry else CHECKED, seed=seed + 1)
    whole.test(checked.element_idx)
    return Drawn(chosen_by=rows.joined(checked), bound_by=checked)


def _finished(whole: WholeSurface, views: Ints, motion: MotionModel, options: PlanningOptions, *, until: float) -> Ints:
    """The chosen views in the order of the route, looked from, with as many others as the coverage asked for takes."""
    grown = views
    if options.num_views is None:
        grown = completed(whole, views, share=options.coverage, until=until)
    if len(grown) != len(views):
        log.info("%d views instead of %d", len(grown), len(views))
    if options.objective == "views" or grown is not views:
        grown = _short_way(whole.candidates, grown, motion, options, until=until)
    whole.look(grown)
    whole.coverable(grown, until=until)
    return grown


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ahead:
    """About what comes after the search for candidates."""

    num_views: float
    """Of the plan."""

    tests: float
    """Time for testing a candidate on what it was not searched by, as a multiple of what it took in the search."""

    def search_until(self, end: float) -> SearchTime:
        """When the search ends for all to be done by a reading of the clock."""
        share = _SEARCH_SHARE
        return SearchTime(until=part_way(end, share), tests=share * self.tests, looks=share * self.num_views)

    @classmethod
    def of(cls, surface: Surface, searched: Surface, rig: Rig, options: PlanningOptions) -> _Ahead:
        images = images_filled(float(surface.area_mm2[surface.inspected].sum()), rig)
        # The last hundredths take several times as many: on six parts, 1.5 to 3 at 99 % and 4 to 7 at 100 %.
        last = np.sqrt((1.0 - options.coverage) / 0.05 + 0.02)
        num_views = (_VIEWS_ANYHOW + _VIEWS_FOR_IMAGE * images) / last
        if options.num_views is not None:
            num_views = float(options.num_views)
        if searched is surface:
            return cls(num_views=num_views, tests=0.0)
        more = surface.num_elements / searched.num_elements
        return cls(num_views=num_views, tests=LEAST_CHECKED / searched.num_elements + _LEFT * more)


def _short_cycle(
    chosen: ChosenViews, viewpoints: Sequence[Viewpoint], motion: MotionModel, options: PlanningOptions, *, until: float
) -> Ints:
    """The views in the order of the route, exchanged for others so that the cycle is short."""
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


def _short_way(
    viewpoints: Sequence[Viewpoint], views: Ints, motion: MotionModel, options: PlanningOptions, *, until: float
) -> Ints:
    """The views in the order of a short route."""
    views = np.sort(views)
    times_s = motion_times_s([viewpoints[view] for view in views], motion)
    order = short_route(times_s, closed=options.closed, seed=options.seed, until=until)
    # There and back take the same time: rounding errors shall not decide.
    return views[order if options.closed or order[0] <= order[-1] else order[::-1]]


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
