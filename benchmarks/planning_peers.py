"""This planner beside other ways of choosing views, all scored by the same evaluation of the same surface."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

import numpy as np
from planning_cases import Pool
from planning_gallery import Gallery
from planning_table import markdown_table
from region_cover import region_cover
from viewpoint_patterns import view_sphere, views_per_sample

from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.arrays import Ints
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import CandidatePool
from viewcov.planning.choice import moved_choice, quick_choice
from viewcov.planning.options import PlanningOptions
from viewcov.planning.selection.problem import CoverProblem, greedy_best, greedy_cover, prune_cover
from viewcov.planning.selection.proof import Budget
from viewcov.planning.selection.reduction import merge_rows
from viewcov.planning.selection.smallest_cover import fullest_cover, smallest_cover

SHARES = (0.90, 0.95, 0.99)

_SAME = 1
"""Of ``SHARES``: to this one the planner takes as many views as all methods then get."""

_SIZES_PER_OCTAVE = 3
"""Patterns without a target are tried in sizes this many to a doubling."""

_FIRST_SIZE = 8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one way of choosing views achieves. Shares are of the area that some view tried here can see."""

    method: str
    to_reach: tuple[int | None, ...]
    """Views to cover each of ``SHARES``; None where that is not reached."""

    most_views: int
    most_share: float
    """The fullest plan that was tried, and what it covers."""

    same_views: int
    same_share: float
    """As many views as the planner takes to one of ``SHARES``, or all if there are fewer, and what they cover."""

    touching: int
    """Of those views, how many stand where the camera's body comes too near to the part."""

    seconds: float
    """For the plan of the last of ``SHARES``, or else the fullest, with the candidates and their tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The rows of one part, scored on ``surface``."""

    pool: Pool
    surface: Surface
    coverable: float
    """Share of the area to be inspected that some view tried here can see."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """Views by their numbers in the gallery, and the seconds it took to choose them."""

    views: Ints
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """Views laid out without asking what they see, more and more of them until the share is reached."""

    method: str
    gallery: Gallery
    make: Callable[[int], list[Viewpoint]]
    tried: list[Choice]

    @classmethod
    def of(cls, method: str, gallery: Gallery, make: Callable[[int], list[Viewpoint]], *, most: int) -> Pattern:
        steps = max(math.floor(_SIZES_PER_OCTAVE * math.log2(most / _FIRST_SIZE)), 0)
        sizes = [round(_FIRST_SIZE * 2 ** (step / _SIZES_PER_OCTAVE)) for step in range(steps + 1)]
        tried = []
        for size in sizes:
            viewpoints, seconds = _timed(partial(make, size))
            tried.append(Choice(views=gallery.add(viewpoints), seconds=seconds))
        return cls(method=method, gallery=gallery, make=make, tried=tried)

    def reaching(self, share: float) -> Choice | None:
        """The smallest that reaches the share."""
        return next((choice for choice in self.tried if self.gallery.share(choice.views) >= share), None)

    def fullest(self) -> Choice:
        """The one that covers most."""
        return max(self.tried, key=lambda choice: self.gallery.share(choice.views))

    def of_size(self, num: int) -> Ints:
        """So many views."""
        return self.gallery.add(self.make(num))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sequenced:
    """Views in an order of which any beginning may be taken."""

    method: str
    gallery: Gallery
    order: Choice

    def reaching(self, share: float) -> Choice | None:
        """The shortest beginning that reaches the share."""
        reached = np.flatnonzero(np.array(self.gallery.shares(self.order.views)) >= share)
        return Choice(views=self.order.views[: reached[0] + 1], seconds=self.order.seconds) if len(reached) else None

    def fullest(self) -> Choice:
        """All of them."""
        return self.order

    def of_size(self, num: int) -> Ints:
        """The first."""
        return self.order.views[:num]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targeted:
    """Views chosen to cover a share of the surface that is planned on, from the gallery's first or near them."""

    method: str
    gallery: Gallery
    choose: Callable[[float], Choice]
    """Views that cover the share."""

    best: Callable[[int], Ints]
    """So many views."""

    def reaching(self, share: float) -> Choice | None:
        """The plan whose target, on the coarser surface that it is made on, suffices on this one."""
        target = share
        for _ in range(8):
            choice = self.choose(target)
            missing = share - self.gallery.share(choice.views)
            if missing <= 0:
                return choice
            if target == 1.0:
                break
            target = min(target + missing + 2e-4, 1.0)
        return None

    def fullest(self) -> Choice:
        """The plan for all that is coverable."""
        return self.choose(1.0)

    def of_size(self, num: int) -> Ints:
        """The best of that size."""
        return self.best(num)


def compared(
    pool: Pool, *, time_limit_s: float, max_nodes: int, most_views: int, score_mm: float | None, seed: int
) -> Comparison:
    """Every way of choosing views of this part, scored on elements of ``score_mm``, or as fine as the rig's."""
    limits = pool.rig.requirements
    if limits.views_per_element != 1:
        raise ValueError("the other ways cover each element once: the rig must ask for one view per element")
    surface = cut_surface(pool.surface.part, limits.element_edge_mm if score_mm is None else score_mm)
    gallery = Gallery(pool, surface)
    gallery.add(pool.viewpoints)
    methods = [
        *_patterns(gallery, most_views=most_views, seed=seed),
        _regions(gallery, seed=seed),
        *_choices(gallery, time_limit_s=time_limit_s, max_nodes=max_nodes, seed=seed),
    ]
    gallery.settle()
    reached = {method.method: [method.reaching(share) for share in SHARES] for method in methods}
    planned = reached[methods[-1].method][_SAME] or methods[-1].fullest()
    same = len(planned.views)
    rows = [_row(method, gallery, reached[method.method], same) for method in methods]
    area = surface.area_mm2
    coverable = float(area[gallery.coverable].sum() / area[surface.inspected].sum())
    return Comparison(pool=pool, surface=surface, coverable=coverable, rows=tuple(rows))


def _patterns(gallery: Gallery, *, most_views: int, seed: int) -> list[Pattern]:
    pool = gallery.pool
    limits = pool.rig.requirements

    def samples(num: int) -> list[Viewpoint]:
        return views_per_sample(pool.surface, pool.rig, limits, num=num, rng=np.random.default_rng(seed))

    def sphere(num: int) -> list[Viewpoint]:
        return view_sphere(pool.surface.part, pool.rig, limits, num=num)

    return [
        Pattern.of("uniform view sphere", gallery, sphere, most=most_views),
        Pattern.of("one view per sample", gallery, samples, most=most_views),
    ]


def _regions(gallery: Gallery, *, seed: int) -> Sequenced:
    pool = gallery.pool
    viewpoints, seconds = _timed(lambda: region_cover(pool.surface, pool.rig, rng=np.random.default_rng(seed)))
    views = gallery.add(viewpoints)
    # Its own order goes region by region; the most useful first is the best that can be made of its views.
    first = greedy_best(gallery.problem(views), num_views=len(views))
    order = np.concatenate([views[first], np.delete(views, first)])
    return Sequenced(method="region-wise cover", gallery=gallery, order=Choice(views=order, seconds=seconds))


def _choices(
    gallery: Gallery, *, time_limit_s: float, max_nodes: int, seed: int
) -> tuple[Sequenced, Targeted, Targeted, Targeted]:
    pool, problem = gallery.pool, gallery.pool.problem
    candidates = CandidatePool(viewpoints=pool.viewpoints, visible=pool.visible, given_up_mm2={})
    merged, _ = merge_rows(problem, seed=seed)
    order, seconds = _timed(lambda: greedy_cover(merged, target=problem.coverable_weight))

    def pruned(share: float) -> Ints:
        target = share * problem.coverable_weight
        return prune_cover(merged, greedy_cover(merged, target=target), target=target)

    @cache
    def chosen(choose: Callable[[float], Ints], share: float) -> Choice:
        views, seconds = _timed(partial(choose, share))
        return Choice(views=views, seconds=gallery.pool.gathering_s + seconds)

    def pruned_best(num: int) -> Ints:
        best = order[:num]
        for end in range(num + 1, len(order) + 1):
            views = prune_cover(merged, order[:end], target=merged.covered_weight(order[:end]))
            if len(views) > num:
                break
            best = views
        return best

    def planned(share: float) -> Ints:
        budget = Budget(max_nodes=max_nodes, time_limit_s=time_limit_s)
        return smallest_cover(problem, target=share * problem.coverable_weight, budget=budget, seed=seed).views

    def planned_best(num: int) -> Ints:
        return fullest_cover(problem, num_views=num, seed=seed)[0].views

    def moved(options: PlanningOptions) -> Ints:
        options = options.model_copy(update={"seed": seed, "max_nodes": max_nodes, "time_limit_s": time_limit_s})
        setup = Setup(pool.surface, pool.rig, pool.rig.requirements)
        grown, first = moved_choice(candidates, setup, quick_choice(candidates, setup, options), options)
        larger = CoverProblem(visible=grown.visible, weight=pool.problem.weight, demand=pool.problem.demand)
        budget = Budget(max_nodes=max_nodes, time_limit_s=time_limit_s)
        if options.num_views is not None:
            cover, _ = fullest_cover(larger, num_views=options.num_views, start=first, budget=budget, seed=seed)
        else:
            target = options.coverage * larger.coverable_weight
            cover = smallest_cover(larger, target=target, start=first, budget=budget, seed=seed)
        views, num = cover.views, pool.problem.num_views
        new = views[views >= num]
        # The gallery begins with the candidates.
        return np.concatenate([views[views < num], gallery.add([grown.viewpoints[view] for view in new])])

    greedy = Choice(views=order, seconds=gallery.pool.gathering_s + seconds)
    return (
        Sequenced(method="greedy", gallery=gallery, order=greedy),
        Targeted(method="greedy with prune", gallery=gallery, choose=partial(chosen, pruned), best=pruned_best),
        Targeted(
            method="this planner, without moved poses",
            gallery=gallery,
            choose=partial(chosen, planned),
            best=planned_best,
        ),
        Targeted(
            method="this planner",
            gallery=gallery,
            choose=partial(chosen, lambda share: moved(PlanningOptions(coverage=share))),
            best=lambda num: moved(PlanningOptions(num_views=num)),
        ),
    )


def _row(
    method: Pattern | Sequenced | Targeted, gallery: Gallery, reached: Sequence[Choice | None], num_same: int
) -> Row:
    fullest, same = method.fullest(), method.of_size(num_same)
    for share, choice in zip(SHARES, reached, strict=True):
        if choice is not None and gallery.scored(choice.views) < share:
            raise RuntimeError(f"{method.method}: {len(choice.views)} views do not cover {share:.0%}")
    last = reached[-1]
    return Row(
        method=method.method,
        to_reach=tuple(None if choice is None else len(choice.views) for choice in reached),
        most_views=len(fullest.views),
        most_share=gallery.scored(fullest.views),
        same_views=len(same),
        same_share=gallery.scored(same),
        touching=gallery.touching(same),
        seconds=fullest.seconds if last is None else last.seconds,
    )


def _timed(make: Callable[[], _T]) -> tuple[_T, float]:
    start = time.perf_counter()
    made = make()
    return made, time.perf_counter() - start


def markdown(compared: Sequence[Comparison], *, made_by: str, machine: str) -> str:
    """The tables as a page."""
    lines = [
        "# Ways of choosing views, side by side",
        "",
        f"Made by {made_by}.",
        f"Seconds were taken on {machine}; other work beside may have lengthened them.",
        "",
        "Every plan is scored by `viewcov.evaluate_viewpoints` on one surface, with elements as",
        "fine as the rig asks for, and shares are of the same coverable area: what any view tried here sees that keeps",
        "clear of the part. Views to a share are the fewest with which the method reaches it there, where a plan falls",
        "short by asking for more; a dash stands where it does not. Then what all methods cover with as many",
        "views as this planner takes to the middle share, and how many of those views bring the camera's body too near",
        "to the part. The seconds are for the plan of the last share, or for all views.",
        "",
        "- *uniform view sphere*: even directions, from the best working distance; up to the size that is stated.",
        "- *one view per sample*: straight above samples of the surface thinned to blue noise.",
        "- *region-wise cover*: the way of cacton77/ViewpointGeneration, see `benchmarks/region_cover.py`. Its views",
        "  are taken in the order that serves it best.",
        "- *greedy*, *greedy with prune* and *this planner, without moved poses* choose among the same candidates;",
        "  *this planner* also moves what it chooses to poses between them, as `viewcov plan` does.",
    ]
    for one in compared:
        lines += [
            "",
            f"## {one.pool.case.name}, rig {one.pool.case.rig}",
            "",
            f"Planned on {one.pool.surface.num_elements} elements with {len(one.pool.viewpoints)} candidates, "
            f"scored on {one.surface.num_elements}; {one.coverable:.1%} of the area is coverable.",
            "",
            *markdown_table(_heads(one), [_cells(row) for row in one.rows]),
        ]
    return "\n".join([*lines, ""])


def _heads(comparison: Comparison) -> tuple[str, ...]:
    same = max(row.same_views for row in comparison.rows)
    reach = [f"views to {share:.0%}" for share in SHARES]
    return ("method", *reach, "all its views", "cover", f"{same} views cover", "too near", "seconds")


def _cells(row: Row) -> tuple[object, ...]:
    return (
        row.method,
        *("–" if num is None else num for num in row.to_reach),
        row.most_views,
        f"{row.most_share:.1%}",
        f"{row.same_share:.1%}",
        row.touching,
        f"{row.seconds:.1f}",
    )
