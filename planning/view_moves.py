"""Moving the chosen views off the candidates' poses, so that fewer of them cover as much."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from viewcov.coverage.geometric.visibility import VisibilityTester
from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.rig.requirements import weighted_areas_mm2
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.clearance import Clearance
from viewcov.planning.candidates.pool import CandidatePool
from viewcov.planning.candidates.proposals import Proposer
from viewcov.planning.clock import over
from viewcov.planning.selection.problem import TOLERANCE, CoverProblem

_TRIES_PER_TEST = 8
"""Tries to better a view, for each test allowed: most end without one, as no step promises enough, but take their
time, so that a bound on tests alone would not bound a refinement."""

_SCALES = (1.0, 0.6, 0.35, 0.2)
"""Sizes of the steps, pass by pass over the views, again and again."""

_PATIENCE, _LEAST_TRIES = 4, 60
"""Passes without any improvement, one of each size, and views looked at in them, after which another view is
tried to do without."""

_HOPELESS = 6
"""Tries in vain to do without a view, after which the refinement ends."""

_UNKNOWN, _HIDDEN, _MISSED = 0.6, 0.03, 0.1
"""How likely a step brings into sight what lies in its frame and limits: if nothing is known; if it lies in them
already and is still not seen; and the factor for each earlier step of the view that was wrong about it."""

_MOST_MISSES = 200
"""Steps that are remembered to have missed an element."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RefinedViews:
    """The views after their refinement, as a choice from a larger pool."""

    pool: CandidatePool
    """The candidates, and after them the refined views that are none of them, with ids f001, f002, ..."""

    views: Ints
    """Shape (M,), ascending: rows of ``pool`` that are chosen."""


def refine_views(
    pool: CandidatePool,
    chosen: Ints,
    tester: VisibilityTester,
    *,
    target: float | None = None,
    seed: int = 0,
    max_tests: int,
    until: float = np.inf,
) -> RefinedViews:
    """Fewer views that cover the ``target``, or as many that cover more, moved to poses between the candidates'.

    The view that is needed least is left out, and the others are shifted, tilted and rolled, each in turn, or
    exchanged for candidates, wherever that covers more, until they reach the target without it; then the next
    one. Steps are random, or bring the middle of what is missing into the image's; many are weighed by frame
    and limits alone, and only the most promising is tested. What is returned is never worse than ``chosen``:
    it has fewer views and reaches the target, or as many views and covers at least as much.

    A bound on the number of views that was proven for the pool does not hold for the refined views, which lie
    outside of it. One for the returned pool has to be computed anew.

    Parameters
    ----------
    pool, chosen
        Candidates, with what ``tester`` sees from them, and rows of theirs, shape (M,).
    tester
        Of the same surface, rig and requirements, which say what each element counts, and how many views must
        see it. Views that are moved keep clear; candidates are taken for clear.
    target
        Weight to be covered, of what enough candidates see; nothing else counts. If not given, no view is
        left out and the views are moved to cover as much as they can.
    max_tests
        Visibility tests that may be made, each of which takes as long as one of a candidate; it bounds the
        tries that end without one too.

    Raises
    ------
    ValueError
        If the chosen views do not reach the target.
    """
    weight, demand = weighted_areas_mm2(tester.surface, tester.requirements), tester.requirements.views_per_element
    problem = CoverProblem(visible=pool.visible, weight=weight, demand=demand)
    counted = np.where(problem.coverable, problem.weight, 0.0)
    views = [_View(pool.viewpoints[row].world_from_camera, problem.rows_seen(row), int(row)) for row in chosen]
    start = _Choice(counted, demand, views)
    if target is not None and start.covered < target * (1.0 - TOLERANCE):
        raise ValueError(f"chosen must cover the target {target:g}, covers {start.covered:g}")
    search = _Search(pool, tester, rng=np.random.default_rng(seed), max_tests=max_tests, until=until)
    if target is None:
        search.raise_to(start, np.inf)
        return _joined(pool, start)
    return _joined(pool, _with_fewer(search, start, target * (1.0 - TOLERANCE)))


@dataclass(slots=True, eq=False)
class _View:
    pose: Floats
    """world_from_camera."""

    seen: Ints
    """Elements, ascending."""

    row: int = -1
    """Its row in the pool; -1 for none."""

    misses: NDArray[np.uint8] | None = field(default=None, repr=False)
    """Shape (E,): how many steps from here were to bring an element into sight and did not."""


class _Choice:
    """Some views and how many of them see each element."""

    def __init__(self, weight: Floats, demand: int, views: list[_View]) -> None:
        self.weight, self.demand, self.views = weight, demand, list(views)
        self._counts = np.zeros(len(weight), dtype=np.int64)
        for view in views:
            self._counts[view.seen] += 1
        self._short: Ints | None = None

    @property
    def covered(self) -> float:
        return float(self.weight[self._counts >= self.demand].sum())

    @property
    def short(self) -> Ints:
        """Elements that count and lack one view more; the same array until a view is exchanged."""
        if self._short is None:
            self._short = np.flatnonzero((self._counts == self.demand - 1) & (self.weight > 0))
        return self._short

    def needed(self, place: int) -> Ints:
        """Elements that count and would lack one view without the one at this place."""
        seen = self.views[place].seen
        return seen[(self._counts[seen] == self.demand) & (self.weight[seen] > 0)]

    def short_by_two(self, place: int) -> Bools:
        """Which of the ``short`` elements would lack two views without the one at this place."""
        if self.demand == 1:
            return np.zeros(len(self.short), dtype=bool)
        return np.isin(self.short, self.views[place].seen, assume_unique=True)

    def worth(self, place: int, seen: Ints) -> float:
        """Weight that elements add if the view at this place sees them, all others staying."""
        others = self._counts[seen] - np.isin(seen, self.views[place].seen, assume_unique=True)
        return float(self.weight[seen[others == self.demand - 1]].sum())

    def losses(self) -> Floats:
        """Weight that is lost without each view."""
        needed = np.where(self._counts == self.demand, self.weight, 0.0)
        return np.array([needed[view.seen].sum() for view in self.views])

    def replace(self, place: int, view: _View) -> None:
        self._counts[self.views[place].seen] -= 1
        self._counts[view.seen] += 1
        self.views[place], self._short = view, None

    def remove(self, place: int) -> _View:
        view, self._short = self.views.pop(place), None
        self._counts[view.seen] -= 1
        return view

    def add(self, view: _View) -> None:
        self._counts[view.seen] += 1
        self.views.append(view)
        self._short = None


class _Exchange:
    """What candidates are worth in the place of a chosen view."""

    def __init__(self, visible: csr_array) -> None:
        self._by_element = visible.tocsc()
        self._short: Ints | None = None
        self._gains: Floats = np.zeros(visible.shape[0])

    def worth(self, choice: _Choice, place: int) -> Floats:
        """Weight that each candidate adds in the place of a view, all others staying, shape (V,).

        Hardly any element is worth anything: those that no other view sees. What they add to all the views is
        kept as long as these stay.
        """
        if choice.short is not self._short:
            self._short = choice.short
            self._gains = self._sum(choice, choice.short)
        twice = choice.short_by_two(place)
        gains = self._gains + self._sum(choice, choice.needed(place))
        return gains - self._sum(choice, choice.short[twice]) if twice.any() else gains

    def _sum(self, choice: _Choice, element_idx: Ints) -> Floats:
        return np.asarray(self._by_element[:, element_idx] @ choice.weight[element_idx])


class _Search:
    """Improves one view at a time, within a number of visibility tests."""

    def __init__(
        self,
        pool: CandidatePool,
        tester: VisibilityTester,
        *,
        rng: np.random.Generator,
        max_tests: int,
        until: float,
    ) -> None:
        self._num_tests = self._num_tries = 0
        self._pool, self._tester, self._clearance = pool, tester, Clearance(tester.surface, tester.rig)
        self._proposer = Proposer(tester.surface, tester.rig, tester.requirements)
        self._rng, self._max_tests, self._until = rng, max_tests, until
        self._exchange = _Exchange(pool.visible)

    def spent(self) -> bool:
        """Whether no more tests may be made, or no more tries, or the time is up."""
        if self._num_tests >= self._max_tests or self._num_tries >= _TRIES_PER_TEST * self._max_tests:
            return True
        return over(self._until)

    def raise_to(self, choice: _Choice, target: float) -> bool:
        """Improve the views in turn, in place, until they reach the target or nothing helps any more."""
        idle = turn = 0
        patience = max(_PATIENCE, _LEAST_TRIES // max(len(choice.views), 1))
        while idle < patience and not self.spent() and choice.views:
            better = 0
            for place in self._rng.permutation(len(choice.views)):
                if self.spent():
                    break
                if self._improve(choice, int(place), _SCALES[turn % len(_SCALES)]):
                    better += 1
                    if choice.covered >= target:
                        return True
            idle = 0 if better else idle + 1
            turn += 1
        return choice.covered >= target

    def _improve(self, choice: _Choice, place: int, scale: float) -> bool:
        """Exchange or move one view if that covers more; whether it did."""
        self._num_tries += 1
        view, needed = choice.views[place], choice.needed(place)
        enough = float(choice.weight[needed].sum() + TOLERANCE * choice.weight.sum())
        gains = self._exchange.worth(choice, place)
        # The same view twice is no second look at anything.
        gains[[other.row for other in choice.views if other.row >= 0]] = 0.0
        best = int(np.argmax(gains))
        if gains[best] > enough:
            seen = self._pool.visible.indices[slice(*self._pool.visible.indptr[best : best + 2])]
            choice.replace(place, _View(self._pool.viewpoints[best].world_from_camera, seen.astype(np.int64), best))
            return True
        wanted = np.concatenate([needed, choice.short[~choice.short_by_two(place)]])
        moved = self._most_promising(view, wanted, choice.weight, scale, enough=enough)
        if moved is None or choice.worth(place, moved.seen) <= enough:
            return False
        choice.replace(place, moved)
        return True

    def _most_promising(
        self, view: _View, wanted: Ints, weight: Floats, scale: float, *, enough: float
    ) -> _View | None:
        """The step that is expected to be worth most, tested; None if none is expected to be worth enough."""
        wanted = self._proposer.in_reach(view.pose, wanted)
        if not len(wanted):
            return None
        worth = weight[wanted]
        poses = self._proposer.steps(view.pose, wanted, worth, scale=scale, rng=self._rng)
        poses = poses[self._clearance.clear(poses[:, :3, 3], poses[:, :3, 2])]
        if not len(poses):
            return None
        within = self._proposer.within_limits(np.concatenate([view.pose[None], poses]), wanted)
        if view.misses is None:
            view.misses = np.zeros(len(weight), dtype=np.uint8)
        expected = within[1:] @ (self._odds(view, wanted, within[0]) * worth)
        best = int(np.argmax(expected))
        if expected[best] <= enough:
            return None
        self._num_tests += 1
        seen = self._tester.seen_elements(Viewpoint(id="trial", world_from_camera=poses[best]))
        missed = np.setdiff1d(wanted[within[1 + best]], seen, assume_unique=True)
        view.misses[missed] = np.minimum(view.misses[missed], _MOST_MISSES - 1) + 1
        return _View(poses[best], seen, misses=view.misses)

    @staticmethod
    def _odds(view: _View, wanted: Ints, within: Bools) -> Floats:
        """How likely each wanted element is seen after a step that brings or keeps it within limits, shape (M,)."""
        assert view.misses is not None
        odds = _UNKNOWN * _MISSED ** view.misses[wanted].astype(np.float64)
        odds[within] = np.minimum(odds[within], _HIDDEN)
        odds[np.isin(wanted, view.seen, assume_unique=True)] = 1.0
        return odds


def _with_fewer(search: _Search, best: _Choice, target: float) -> _Choice:
    """The choice with one view less, again and again, as long as the others can be made to reach the target."""
    in_vain = 0
    while best.views and in_vain < _HOPELESS:
        trial = _Choice(best.weight, best.demand, best.views)
        # After a failure it is the next view's turn, in the order of what is lost without them.
        dropped = trial.remove(int(np.argsort(trial.losses(), kind="stable")[in_vain % len(best.views)]))
        if trial.covered >= target or search.raise_to(trial, target):
            best, in_vain = trial, 0
            continue
        in_vain += 1
        trial.add(dropped)
        if trial.covered > best.covered:
            best = trial
    return best


def _joined(pool: CandidatePool, choice: _Choice) -> RefinedViews:
    new = [view for view in choice.views if view.row < 0]
    ends = np.cumsum([0] + [len(view.seen) for view in new])
    columns = np.concatenate([view.seen for view in new]) if new else np.empty(0, dtype=np.int64)
    rows = csr_array((np.ones(len(columns)), columns, ends), shape=(len(new), pool.visible.shape[1]))
    named = [Viewpoint(id=f"f{number:03d}", world_from_camera=view.pose) for number, view in enumerate(new, start=1)]
    kept = [view.row for view in choice.views if view.row >= 0]
    grown = CandidatePool(
        viewpoints=(*pool.viewpoints, *named),
        visible=csr_array(vstack([pool.visible, rows], format="csr")),
        given_up_mm2=pool.given_up_mm2,
    )
    views = np.array(sorted(kept) + [len(pool.viewpoints) + number for number in range(len(new))], dtype=np.int64)
    return RefinedViews(pool=grown, views=views)
