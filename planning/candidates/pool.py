"""The pool of candidate views with what each of them sees, grown where the surface is still unseen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from viewcov.coverage.geometric.sightings import Watch
from viewcov.coverage.geometric.visibility import Setup
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Ints
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.records import Jobs
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.clearance import Clearance
from viewcov.planning.candidates.maker import CandidateMaker, spread_elements
from viewcov.planning.candidates.search import DEFEATS, Defeat, PoseSearch
from viewcov.planning.clock import over
from viewcov.planning.live import tell

log = logging.getLogger(__name__)

_FOR_EACH_IMAGE, _LEAST_BY_SIZE, _MOST_BY_SIZE = 40.0, 1200, 4000
"""Candidates by the part's size: for each image that its area would fill, and at least and at most."""

_VIEWS_EACH = 3
"""Candidates for each point aimed at."""

_FIRST_SHARE = 0.25
"""Share of the candidates spread over the whole surface."""

_CENTRED_SHARE = 0.2
"""Share of those moved to the middle of what they see. What the search then leaves over goes to others of them."""

_SAMPLE = 128
"""Elements looked into before all others where no view sees anything."""

_AT_ONCE = 64
"""Views between two looks at the clock."""

_POSES_EACH = 6
"""Poses tried at most at an element that is hard to see."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CandidatePool:
    """V candidate viewpoints and the E elements that they see."""

    viewpoints: tuple[Viewpoint, ...]
    """Those that see anything."""

    visible: csr_array
    """Shape (V, E), sparse: 1.0 where the view sees the element."""

    given_up_mm2: dict[Defeat, float]
    """Area that no pose was found for, by what stops the best way to look at it."""

    cut_short: bool = False
    """Whether time ended the search."""


def images_filled(area_mm2: float, rig: Rig) -> float:
    """How many images in focus an area fills, were it flat and the images side by side."""
    camera = rig.camera
    return area_mm2 / (camera.width_px * camera.height_px * camera.mm_per_px_at_focus**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSearch:
    """How candidates are looked for."""

    num_candidates: int | None = None
    """About how many, hardly ever more; by the part's size if not given."""

    extra: tuple[Viewpoint, ...] = ()
    """Viewpoints that join as they are, beside the others. Those that touch something are named in a warning."""

    seed: int = 0
    """Of all that is drawn at random."""


class _Growth:
    """Candidates gathered so far, what they see, and what it is no use to aim at any more."""

    def __init__(self, surface: Surface, demand: int) -> None:
        self.views: list[Viewpoint] = []
        self.visible = [csr_array((0, surface.num_elements))]
        self.defeat = np.full(surface.num_elements, -1, dtype=np.int8)
        self._seen = np.zeros(surface.num_elements, dtype=np.int64)
        self._surface, self._demand = surface, demand

    @property
    def lacking(self) -> Ints:
        """Elements to be inspected that too few candidates see and that are not given up."""
        return np.flatnonzero(self._surface.inspected & (self._seen < self._demand) & (self.defeat < 0))

    def add(self, views: Sequence[Viewpoint], visible: csr_array) -> None:
        """Add candidates with what they see."""
        self.views += views
        self.visible.append(visible)
        self._seen += np.asarray(visible.sum(axis=0)).astype(np.int64)

    def give_up(self, elements: Ints, defeat: NDArray[np.int8]) -> None:
        """Aim no more at those of the elements that too few candidates see."""
        left = self._seen[elements] < self._demand
        self.defeat[elements[left]] = defeat[left]

    def pool(self) -> CandidatePool:
        """All candidates that see anything."""
        joined = csr_array(vstack(self.visible, format="csr"))
        useful = np.flatnonzero(np.diff(joined.indptr))
        unseen = np.where(self._surface.inspected & (self._seen < self._demand), self._surface.area_mm2, 0.0)
        defeat = np.where(self.defeat < 0, DEFEATS.index("not searched"), self.defeat)
        return CandidatePool(
            viewpoints=tuple(self.views[row] for row in useful),
            visible=csr_array(joined[useful]),
            given_up_mm2={name: float(unseen[defeat == place].sum()) for place, name in enumerate(DEFEATS)},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTime:
    """When a search for candidates ends, so that time is left for what comes after it."""

    until: float = np.inf
    """Reading of the monotonic clock when all is to be done."""

    least: float = -np.inf
    """Reading before which the search is not over for the sake of what comes after."""

    tests: float = 0.0
    """Time that testing the candidates takes later, as a multiple of what it takes in the search."""

    looks: float = 0.0
    """Views that are looked from at everything later, about."""

    seconds_to_look: Callable[[Sequence[Viewpoint]], float] | None = None
    """Says how long that takes from a view, by some of them."""

    def over(self, spent_s: float, look_s: float) -> bool:
        """Whether it ends, after seconds spent on tests, if looking from a view takes so long."""
        return over(max(self.until - spent_s * self.tests - self.looks * look_s, self.least))


ALL_TIME = SearchTime()
"""No limit."""


@dataclass(slots=True)
class _Look:
    """Adds viewpoints to what is gathered, with what they see, some at a time until it is too late."""

    growth: _Growth
    watch: Watch
    time: SearchTime
    progress: bool
    spent_s: float = 0.0
    num_timed: int = 0
    look_s: float | None = None

    @property
    def late(self) -> bool:
        spent_s = self.spent_s * len(self.growth.views) / max(self.num_timed, 1)
        return self.time.over(spent_s, self.look_s or 0.0)

    def __call__(self, views: Sequence[Viewpoint]) -> None:
        # A view in the middle of what it sees stays where it is when it is moved there again.
        known = {view.world_from_camera.tobytes() for view in self.growth.views}
        by_pose: dict[bytes, Viewpoint] = {}
        for view in views:
            by_pose.setdefault(view.world_from_camera.tobytes(), view)
        views = [view for pose, view in by_pose.items() if pose not in known]
        at_once = _AT_ONCE if np.isfinite(self.time.until) else max(len(views), 1)
        for first in range(0, len(views), at_once):
            if self.late and any(part.nnz for part in self.growth.visible):
                return
            some, began = views[first : first + at_once], time.monotonic()
            self.growth.add(some, self.watch.seen_from(some, progress=self.progress))
            if len(self.growth.views) > len(some):
                # The first have to wait until all is ready.
                self.spent_s, self.num_timed = self.spent_s + time.monotonic() - began, self.num_timed + len(some)
            if self.look_s is None and self.time.seconds_to_look is not None:
                self.look_s = self.time.seconds_to_look(some)
            tell(f"looking for candidates: {len(self.growth.views)}")


def gather_candidates(
    surface: Surface,
    rig: Rig,
    requirements: Requirements,
    search: CandidateSearch = CandidateSearch(),
    *,
    jobs: Jobs = 1,
    progress: bool = False,
    limit: SearchTime = ALL_TIME,
) -> CandidatePool:
    """The candidates of a search, with what they see.

    The first are aimed at points spread over the surface. Then elements that too few see are aimed at from
    wherever there is sight, room and light, until none is left that could be seen. Views of both kinds are
    moved to the middle of what they see, which shows more at once than what they were aimed at. No more are looked
    from once the time is up.

    Raises
    ------
    InputError
        If no distance is both in focus and fine enough, or the rig's fixture does not fit the part.
    """
    rng, extra = np.random.default_rng(search.seed), search.extra
    budget = search.num_candidates
    if budget is None:
        images = images_filled(float(surface.area_mm2[surface.inspected].sum()), rig)
        budget = int(np.clip(_FOR_EACH_IMAGE * images, _LEAST_BY_SIZE, _MOST_BY_SIZE))
    caster, clearance = RayCaster.of_part(surface.part, rig.fixture), Clearance(surface, rig)
    maker = CandidateMaker(surface, rig, requirements, caster, clearance)
    growth = _Growth(surface, requirements.views_per_element)

    def left() -> int:
        return budget + len(extra) - len(growth.views)

    with Watch(Setup(surface, rig, requirements), jobs=jobs) as watch:
        look = _Look(growth, watch, limit, progress)
        if extra:
            _warn_of_contact(extra, clearance)
            growth.add(extra, watch.seen_from(extra, progress=progress))
        num_aims = max(round(_FIRST_SHARE * budget / _VIEWS_EACH), 1)
        aims = spread_elements(surface, np.flatnonzero(surface.inspected), num_aims, rng=rng)
        views = maker.views_of(aims, num_each=_VIEWS_EACH, rng=rng, prefix="r")
        look(views)
        centred = _centred(surface, maker, growth.pool(), num=round(_CENTRED_SHARE * budget), prefix="m", rng=rng)
        look(centred)
        poses = PoseSearch(surface, rig, requirements, caster, clearance)
        if not look.late:
            _aim_at_the_rest(surface, growth, poses, look, num=left(), rng=rng)
        centred = _centred(surface, maker, growth.pool(), num=left(), prefix="n", rng=rng)
        look(centred)
    return replace(growth.pool(), cut_short=look.late)


def _aim_at_the_rest(
    surface: Surface,
    growth: _Growth,
    search: PoseSearch,
    look: _Look,
    *,
    num: int,
    rng: np.random.Generator,
) -> None:
    """Add up to ``num`` views aimed at what too few see, until every such element is seen or given up."""
    lacking = growth.lacking
    if len(lacking) > _SAMPLE and not any(part.nnz for part in growth.visible):
        # Nothing is seen at all: a rig that does not fit the part is told by a few elements.
        some = spread_elements(surface, lacking, _SAMPLE, rng=rng)
        first = search.poses(some, num_each=1, rng=rng)
        if not first.num_poses.any():
            growth.give_up(lacking, np.full(len(lacking), np.bincount(first.defeat).argmax(), dtype=np.int8))
            return
    if np.isfinite(look.time.until):
        # Those that there is time for are spread over all.
        lacking = rng.permutation(lacking)
    found = search.poses(lacking, num_each=_POSES_EACH, rng=rng, late=lambda: look.late)
    lacking = lacking[: len(found.defeat)]
    growth.give_up(lacking[found.num_poses == 0], found.defeat[found.num_poses == 0])
    tried = np.zeros(surface.num_elements, dtype=np.int64)
    row = np.full(surface.num_elements, -1)
    row[lacking] = np.arange(len(lacking))
    num_made = len(growth.views)
    while num > 0 and not look.late:
        lacking = growth.lacking
        lacking = lacking[row[lacking] >= 0]
        if not len(lacking):
            break
        aims = spread_elements(surface, lacking, min(max(num // 4, 8), num), rng=rng)
        # A view aimed at one element often shows those beside it: one try each, then see what is still lacking.
        centers, forward = found.center_mm[row[aims], tried[aims]], found.forward[row[aims], tried[aims]]
        views = [
            Viewpoint.looking_at(center, center + axis, id=f"s{num_made + place:05d}")
            for place, (center, axis) in enumerate(zip(centers, forward, strict=True), start=1)
        ]
        look(views)
        num_made += len(views)
        num -= len(views)
        tried[aims] += 1
        done = aims[tried[aims] >= found.num_poses[row[aims]]]
        growth.give_up(done, np.full(len(done), DEFEATS.index("not seen"), dtype=np.int8))


def _warn_of_contact(views: Sequence[Viewpoint], clearance: Clearance) -> None:
    centers = np.stack([view.center_mm for view in views])
    touching = np.flatnonzero(~clearance.clear(centers, np.stack([view.forward for view in views])))
    if len(touching):
        names = ", ".join(views[place].id for place in touching[:5]) + (", ..." if len(touching) > 5 else "")
        log.warning(
            "%d of %d given viewpoints leave less than the clearance to part, fixture or table: %s",
            *(len(touching), len(views), names),
        )


def _centred(
    surface: Surface, maker: CandidateMaker, pool: CandidatePool, *, num: int, prefix: str, rng: np.random.Generator
) -> list[Viewpoint]:
    """Up to ``num`` of the views, drawn at random, moved to the middle of what they see."""
    area = surface.area_mm2[:, None]
    sums = pool.visible @ np.hstack([area * surface.centroid_mm, area])
    useful = np.flatnonzero(sums[:, 3] > 0)
    drawn = np.sort(rng.permutation(useful)[: max(num, 0)])
    middle_mm = sums[drawn, :3] / sums[drawn, 3:]
    return maker.centred([pool.viewpoints[row] for row in drawn], middle_mm, prefix=prefix)
