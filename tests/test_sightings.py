"""What many views see: by some elements, in several processes, and confirmed by all light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.sparse import csr_array

from viewcov.coverage.geometric import sightings
from viewcov.coverage.geometric.sightings import Watch, confirmed, seen_by
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import CandidateSearch, gather_candidates

RIG = load_rig("paper-quarter")
# At a single exposure the light that the walls throw on each other makes much of them too bright.
LIMITS = replace(RIG.requirements, exposures=(0.0,), max_grey=0.4)


@pytest.fixture(scope="module")
def pocket() -> Surface:
    block, hollow = trimesh.creation.box(extents=[50, 50, 25]), trimesh.creation.box(extents=[30, 30, 15])
    hollow.apply_translation([0, 0, 5.01])
    mesh = block.difference(hollow)
    part = Part(
        name="pocket",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces)),
        source=PartSource(path="pocket.stl", sha256="0" * 64),
    )
    return cut_surface(part, 3.0)


@pytest.fixture(scope="module")
def views(pocket: Surface) -> tuple[Viewpoint, ...]:
    return gather_candidates(pocket, RIG, LIMITS, CandidateSearch(num_candidates=60)).viewpoints


def seen(surface: Surface, views: tuple[Viewpoint, ...], limits: Requirements, *, gather: bool) -> csr_array:
    with Watch(Setup(surface, RIG, limits), gather=gather) as watch:
        return watch.seen_from(views)


@pytest.mark.parametrize("demand", [1, 2, 3])
@pytest.mark.parametrize("jobs", [1, 2])
def test_confirmed_is_what_testing_every_view_by_all_light_says(
    pocket: Surface, views: tuple[Viewpoint, ...], demand: int, jobs: int
) -> None:
    limits = replace(LIMITS, views_per_element=demand)
    straight, all_light = (seen(pocket, views, limits, gather=gather) for gather in (False, True))
    both = straight.multiply(all_light)
    expected = np.asarray(both.sum(axis=0)) >= demand
    np.testing.assert_array_equal(confirmed(views, straight, Setup(pocket, RIG, limits), by=jobs)[0], expected)
    believed = np.asarray(straight.sum(axis=0)) >= demand
    assert np.count_nonzero(believed & ~expected) > 10
    assert np.count_nonzero(expected) > 10
    counts = np.arange(pocket.num_elements) % 2
    more = confirmed(views, straight, Setup(pocket, RIG, limits), counts=counts, by=jobs)[0]
    np.testing.assert_array_equal(more, np.asarray(both.sum(axis=0)) + counts >= demand)


def test_what_there_was_no_time_to_ask_about_is_told(
    pocket: Surface, views: tuple[Viewpoint, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of elements some are sure by then, some are refuted, and all others are told."""
    monkeypatch.setattr(sightings, "_ASKED_AT_ONCE", 4)
    setup = Setup(pocket, RIG, LIMITS)
    straight = seen(pocket, views, LIMITS, gather=False)
    whole, nothing = confirmed(views, straight, setup)
    assert not nothing.any()
    claimed = np.asarray(straight.sum(axis=0)) >= 1
    for rounds in range(4):
        left = iter([False] * rounds)
        sure, unasked = confirmed(views, straight, setup, late=lambda left=left: next(left, True))  # type: ignore[misc]
        assert not (sure & ~whole).any()
        assert not (whole & ~sure & ~unasked).any()
        assert not (unasked & (sure | ~claimed)).any()
        assert np.count_nonzero(sure) > 0 or rounds == 0
    assert np.count_nonzero(unasked) < np.count_nonzero(claimed)


def test_without_limits_of_grey_nothing_needs_to_be_confirmed(
    pocket: Surface, views: tuple[Viewpoint, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = replace(LIMITS, min_grey=0.0, max_grey=None)
    assert not limits.limits_grey
    rows = seen(pocket, views, limits, gather=False)
    monkeypatch.setattr(Watch, "seen_from", None)
    np.testing.assert_array_equal(
        confirmed(views, rows, Setup(pocket, RIG, limits))[0], np.asarray(rows.sum(axis=0)) >= 1
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_only_the_elements_asked_for_are_told(pocket: Surface, views: tuple[Viewpoint, ...], jobs: int) -> None:
    rng = np.random.default_rng(0)
    among = [np.flatnonzero(rng.random(pocket.num_elements) < share) for share in np.linspace(0, 1, len(views))]
    with Watch(Setup(pocket, RIG, LIMITS), jobs=jobs, gather=True) as watch:
        found, whole = watch.seen_from(views, among=among), watch.seen_from(views)
    for view, some in enumerate(among):
        mine, all_of_it = (rows.indices[slice(*rows.indptr[view : view + 2])] for rows in (found, whole))
        np.testing.assert_array_equal(mine, np.intersect1d(all_of_it, some))


def test_some_elements_are_seen_as_if_all_were_asked_for(pocket: Surface, views: tuple[Viewpoint, ...]) -> None:
    some = np.arange(0, pocket.num_elements, 3)
    found = seen_by(views, Setup(pocket, RIG, LIMITS), among=some)
    whole = seen(pocket, views, LIMITS, gather=False).toarray()
    whole[:, np.setdiff1d(np.arange(pocket.num_elements), some)] = 0.0
    np.testing.assert_array_equal(found.toarray(), whole)
