"""The pool of candidate views with what each of them sees, grown where the surface is still unseen."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack

from viewcov.coverage.raycasting import RayCaster
from viewcov.inspection.arrays import Bools, Ints
from viewcov.inspection.requirements import Requirements
from viewcov.inspection.rig import Rig
from viewcov.inspection.surface import Surface
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates import CandidateMaker, spread_elements
from viewcov.planning.sightings import Watch

log = logging.getLogger(__name__)

_VIEWS_EACH = 3
"""Candidates for each point aimed at."""

_FIRST_SHARE = 0.4
"""Share of the candidates spread over the whole surface."""

_CENTRED_SHARE = 0.2
"""Share of those moved to the middle of what they see; the rest goes where nothing is seen yet."""

_MAX_ROUNDS = 8
_LEAST_GAIN = 2e-4
"""Rounds end when one adds less than this share of the inspected area."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CandidatePool:
    """V candidate viewpoints and the E elements that they see."""

    viewpoints: tuple[Viewpoint, ...]
    """Those that see anything."""

    visible: csr_array
    """Shape (V, E), sparse: 1.0 where the view sees the element."""


def default_num_candidates(surface: Surface, rig: Rig) -> int:
    """Candidates for a part of this size: about thirty for each image that its area would fill."""
    camera = rig.camera
    image_mm2 = camera.width_px * camera.height_px * camera.mm_per_px_at_focus**2
    return int(np.clip(30.0 * surface.area_mm2[surface.inspected].sum() / image_mm2, 800, 4000))


class _Growth:
    """Candidates gathered so far, what they see, and what it is no use to aim at any more."""

    def __init__(self, surface: Surface, demand: int) -> None:
        self.views: list[Viewpoint] = []
        self.visible: list[csr_array] = []
        self.given_up = ~np.asarray(surface.inspected)
        self._seen = np.zeros(surface.num_elements, dtype=np.int64)
        self._surface, self._demand = surface, demand

    @property
    def enough(self) -> Bools:
        """Shape (E,): elements that enough candidates see."""
        return self._seen >= self._demand

    def add(self, views: list[Viewpoint], visible: csr_array) -> float:
        """Add candidates; returns the area in mm2 that has become coverable."""
        before = self.enough
        self.views += views
        self.visible.append(visible)
        self._seen += np.asarray(visible.sum(axis=0)).astype(np.int64)
        return float(self._surface.area_mm2[self.enough & ~before].sum())

    def pool(self) -> CandidatePool:
        """All candidates that see anything."""
        if not self.views:
            return CandidatePool(viewpoints=(), visible=csr_array((0, self._surface.num_elements)))
        joined = csr_array(vstack(self.visible, format="csr"))
        useful = np.flatnonzero(np.diff(joined.indptr))
        return CandidatePool(viewpoints=tuple(self.views[row] for row in useful), visible=csr_array(joined[useful]))


def gather_candidates(
    surface: Surface,
    rig: Rig,
    requirements: Requirements,
    *,
    num_candidates: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: bool = False,
) -> CandidatePool:
    """About ``num_candidates`` viewpoints, hardly ever more, with what they see.

    The first are aimed at points spread over the surface. Some of them are moved to the middle of what they
    see. Rounds of others are aimed at what too few see so far and a camera could look at, until a round gains
    nothing to speak of.

    Raises
    ------
    InputError
        If no distance is both in focus and fine enough.
    """
    rng = np.random.default_rng(seed)
    budget = default_num_candidates(surface, rig) if num_candidates is None else num_candidates
    caster = RayCaster.of_part(surface.part, rig.fixture)
    maker = CandidateMaker(surface, rig, requirements, caster)
    growth = _Growth(surface, requirements.views_per_element)
    least_mm2 = _LEAST_GAIN * float(surface.area_mm2[surface.inspected].sum())
    with Watch(surface, rig, requirements, jobs=jobs) as watch:
        for number in range(_MAX_ROUNDS + 1):
            left = budget - len(growth.views)
            num_aims = round(_FIRST_SHARE * budget / _VIEWS_EACH) if number == 0 else left // (2 * _VIEWS_EACH)
            aims = _aims(surface, maker, growth, num=max(num_aims, min(8, left // _VIEWS_EACH), 1), rng=rng)
            views = maker.views_of(aims, num_each=_VIEWS_EACH, rng=rng, prefix=f"r{number}-")
            if not views or left < _VIEWS_EACH <= len(growth.views):
                break
            visible = watch.seen_from(views, progress=progress)
            gained = growth.add(views, visible)
            if number == 0:
                centred = _centred(surface, maker, views, visible, num=round(_CENTRED_SHARE * budget), rng=rng)
                gained += growth.add(centred, watch.seen_from(centred, progress=progress))
            log.debug("round %d: %d candidates, %.1f mm2 more coverable", number, len(views), gained)
            # Later rounds aim elsewhere: what a view aimed at it does not show, another one hardly will.
            growth.given_up[aims[~growth.enough[aims]]] = True
            if number > 0 and gained < least_mm2:
                break
    return growth.pool()


def _aims(surface: Surface, maker: CandidateMaker, growth: _Growth, *, num: int, rng: np.random.Generator) -> Ints:
    """Elements to aim at next: spread over what is not seen enough and can be looked at."""
    open_idx = np.flatnonzero(~growth.given_up & ~growth.enough)
    # At first nearly everything is open, and most of it can be looked at; later little, and most of it cannot.
    if growth.views:
        reachable = maker.reachable(open_idx, rng=rng)
        growth.given_up[open_idx[~reachable]] = True
        open_idx = open_idx[reachable]
    return spread_elements(surface, open_idx, num, rng=rng)


def _centred(
    surface: Surface,
    maker: CandidateMaker,
    views: list[Viewpoint],
    visible: csr_array,
    *,
    num: int,
    rng: np.random.Generator,
) -> list[Viewpoint]:
    """Up to ``num`` of the views, drawn at random, moved to the middle of what they see."""
    area = surface.area_mm2[:, None]
    sums = visible @ np.hstack([area * surface.centroid_mm, area])
    useful = np.flatnonzero(sums[:, 3] > 0)
    drawn = np.sort(rng.permutation(useful)[:num])
    middle_mm = sums[drawn, :3] / sums[drawn, 3:]
    return maker.centred([views[row] for row in drawn], middle_mm, prefix="m")
