"""The pool of candidate views with what each of them sees, grown where the surface is still unseen."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack

from viewcov.coverage.raycasting import RayCaster
from viewcov.inspection.arrays import Bools, Floats
from viewcov.inspection.requirements import Requirements
from viewcov.inspection.rig import Rig
from viewcov.inspection.surface import Surface
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates import CandidateMaker, spread_elements
from viewcov.planning.sightings import Watch

log = logging.getLogger(__name__)

_VIEWS_EACH = 3
"""Candidates for each point aimed at."""

_FIRST_SHARE = 0.5
"""Share of the candidates spread over the whole surface; the others go where nothing is seen yet."""

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
    """At most ``num_candidates`` viewpoints with what they see.

    Half of them are aimed at points spread over the surface. Rounds of others are aimed at what too few of
    them see so far and a camera could look at, until a round gains nothing to speak of.

    Raises
    ------
    InputError
        If no distance is both in focus and fine enough.
    """
    rng = np.random.default_rng(seed)
    budget = default_num_candidates(surface, rig) if num_candidates is None else num_candidates
    caster = RayCaster(surface.part.vertices_mm, surface.part.faces)
    maker = CandidateMaker(surface, rig, requirements, caster)
    inspected = np.asarray(surface.inspected)
    given_up = ~inspected
    views: list[Viewpoint] = []
    visible: list[csr_array] = []
    seen = np.zeros(surface.num_elements, dtype=np.int64)
    num_aims = max(1, round(_FIRST_SHARE * budget / _VIEWS_EACH))
    with Watch(surface, rig, requirements, jobs=jobs) as watch:
        for number in range(_MAX_ROUNDS + 1):
            room = (budget - len(views)) // _VIEWS_EACH
            open_idx = np.flatnonzero(~given_up & (seen < requirements.views_per_element))
            reachable = maker.reachable(open_idx, rng=rng)
            given_up[open_idx[~reachable]] = True
            aims = spread_elements(surface, open_idx[reachable], min(num_aims, room), rng=rng)
            more = maker.views_of(aims, num_each=_VIEWS_EACH, rng=rng, prefix=f"r{number}-")
            if not more:
                break
            before = _area(surface, seen >= requirements.views_per_element)
            visible.append(watch.seen_from(more, progress=progress))
            views += more
            seen += np.asarray(visible[-1].sum(axis=0)).astype(np.int64)
            enough = seen >= requirements.views_per_element
            # Later rounds aim elsewhere: what a view aimed at it does not show, another one hardly will.
            given_up[aims[~enough[aims]]] = True
            gained = _area(surface, enough) - before
            log.info("round %d: %d candidates, %.1f mm2 more coverable", number, len(more), gained)
            if number > 0 and gained < _LEAST_GAIN * _area(surface, inspected):
                break
            num_aims = max(8, (budget - len(views)) // (2 * _VIEWS_EACH))
    return _useful(views, visible, surface.num_elements)


def _area(surface: Surface, chosen: Bools) -> float:
    weights: Floats = surface.area_mm2[chosen]
    return float(weights.sum())


def _useful(views: list[Viewpoint], visible: list[csr_array], num_elements: int) -> CandidatePool:
    if not views:
        return CandidatePool(viewpoints=(), visible=csr_array((0, num_elements)))
    joined = csr_array(vstack(visible, format="csr"))
    useful = np.flatnonzero(np.diff(joined.indptr))
    return CandidatePool(viewpoints=tuple(views[row] for row in useful), visible=csr_array(joined[useful]))
