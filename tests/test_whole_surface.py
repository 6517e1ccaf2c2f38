"""What is known of a surface by views looked from and by candidates that were tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.sparse import csr_array

from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning import whole_surface
from viewcov.planning.choice import ChosenViews, standing_bound
from viewcov.planning.options import PlanningOptions
from viewcov.planning.rows import Rows
from viewcov.planning.selection.relaxation import LowerBound
from viewcov.planning.selection.smallest_cover import Cover
from viewcov.planning.whole_surface import Looks, WholeSurface

RIG = load_rig("paper-quarter")
BOX = trimesh.creation.box(extents=[30, 20, 10])
PART = Part(
    name="box", vertices_mm=BOX.vertices, faces=BOX.faces, cad_face_idx=np.arange(12) // 2,
    source=PartSource(path="box.stl", sha256="0" * 64),
)  # fmt: skip
NUM_VIEWS = 7


@pytest.mark.parametrize("demand", [1, 2, 3])
@pytest.mark.parametrize("seed", range(12))
def test_with_all_light_the_same_is_coverable_to_everyone(
    monkeypatch: pytest.MonkeyPatch, seed: int, demand: int
) -> None:
    surface, rng = cut_surface(PART, 9.0), np.random.default_rng(seed)
    setup = Setup(surface, RIG, replace(RIG.requirements, views_per_element=demand))
    num = surface.num_elements
    by_ring, by_all = rng.random((2, NUM_VIEWS, num)) < 0.4
    by_all = np.where(rng.random((NUM_VIEWS, num)) < 0.7, by_ring, by_all)

    class Watch:
        """Gives what is seen by all light."""

        def __init__(self, _: Setup, *, jobs: int, gather: bool) -> None:
            assert gather
            assert jobs == 1

        def seen_from(self, views: Sequence[Viewpoint]) -> csr_array:
            return csr_array(by_all[[int(view.id) for view in views]].astype(np.float64))

    def confirmed(
        _: Any, asked: csr_array, __: Setup, *, counts: np.ndarray, by: Watch, late: Callable[[], bool]
    ) -> tuple[np.ndarray, np.ndarray]:
        assert isinstance(by, Watch)
        assert not late()
        sure = np.asarray(counts + ((asked.toarray() > 0) & by_all).sum(axis=0) >= demand)
        return sure, np.zeros_like(sure)

    monkeypatch.setattr(whole_surface, "Watch", Watch)
    monkeypatch.setattr(whole_surface, "confirmed", confirmed)
    views = [Viewpoint.looking_at([0, 0, 250.0 + n], [0, 0, 0], id=str(n)) for n in range(NUM_VIEWS)]
    whole = WholeSurface(Looks(setup), views)
    whole.know(np.arange(num), csr_array(by_ring.astype(np.float64)))
    # Of a view that is looked from it is known by all light, of the others what both lights show counts.
    for chosen in (np.array([0, 1]), np.array([2, 4, 5])):
        whole.look(chosen)
        known = np.where(np.isin(np.arange(NUM_VIEWS), whole.looked)[:, None], by_all, by_ring & by_all)
        expected = known.sum(axis=0) >= demand
        counts = by_all[chosen].sum(axis=0)
        np.testing.assert_array_equal(whole.counts(chosen), counts)
        problem = whole.problem(chosen)
        # All that views show is known, of elements that too few see too.
        np.testing.assert_array_equal(problem.visible[whole.looked].toarray() > 0, by_all[whole.looked])
        np.testing.assert_array_equal(problem.coverable, whole.coverable(chosen))
        # Views that are no longer chosen may show more than was asked of them.
        assert (whole.coverable(chosen) <= expected).all()
        assert (whole.coverable(chosen) >= (counts >= demand)).all()
        assert problem.covered_weight(chosen) == pytest.approx(whole.weight[counts >= demand].sum())


@pytest.mark.parametrize("demand", [1, 2])
def test_a_bound_does_not_outlive_what_it_is_about(demand: int) -> None:
    """Of what time left unasked the plan covers nothing, so that fewer views may do than were proven before."""
    surface, rng = cut_surface(PART, 9.0), np.random.default_rng(demand)
    limits = replace(RIG.requirements, views_per_element=demand, min_grey=0.0, max_grey=None)
    num = surface.num_elements
    views = [Viewpoint.looking_at([0, 0, 250.0 + n], [0, 0, 0], id=str(n)) for n in range(NUM_VIEWS)]
    whole = WholeSurface(Looks(Setup(surface, RIG, limits)), views)
    seen = rng.random((NUM_VIEWS, num)) < 0.6
    whole.know(np.arange(num), csr_array(seen.astype(np.float64)))
    rows, options, every = Rows.all_of(whole.weight), PlanningOptions(coverage=0.9), np.arange(NUM_VIEWS)
    problem = whole.problem(every)
    target = 0.9 * problem.coverable_weight
    fewest = next(
        size
        for size in range(1, NUM_VIEWS + 1)
        if any(problem.covered_weight(np.array(some)) >= target for some in combinations(range(NUM_VIEWS), size))
    )
    bound = LowerBound(num_views=NUM_VIEWS, name="integer program")
    chosen = ChosenViews(cover=Cover(views=every, bound=bound), rows=problem, target=target, most_coverage=1.0)
    assert standing_bound(whole, chosen, every, rows, options) is bound
    fewer = standing_bound(whole, chosen, every[:-1], rows, options)
    assert demand <= fewer.num_views <= fewest < NUM_VIEWS
    assert fewer.name == "largest views"
    whole.unasked[:5] = True
    assert standing_bound(whole, chosen, every, rows, options) == fewer
    assert standing_bound(whole, replace(chosen, unasked=whole.unasked_weight), every, rows, options) is bound
