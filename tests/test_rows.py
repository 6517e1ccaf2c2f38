"""Elements drawn from a surface, and what they say of it."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.planning.rows import CONFIDENCE, Rows


def weights(num: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(num) < 0.2, 0.0, rng.lognormal(0.0, 1.0, num))


@pytest.mark.parametrize("num_draws", [1, 50, 5000])
def test_drawn_elements_stand_for_the_whole(num_draws: int) -> None:
    weight = weights(2000, 1)
    rows = Rows.drawn(weight, num_draws, seed=3)
    assert rows.weight.sum() == pytest.approx(weight.sum())
    assert (np.diff(rows.element_idx) > 0).all()
    assert (weight[rows.element_idx] > 0).all()
    joined = rows.joined(Rows.drawn(weight, 70, seed=4))
    assert joined.weight.sum() == pytest.approx(weight.sum())
    assert joined.num_draws == num_draws + 70


def test_a_set_is_hit_by_its_share_on_average_and_seldom_more_than_said() -> None:
    weight = weights(3000, 5)
    inside = np.arange(3000) % 31 == 0
    share = weight[inside].sum() / weight.sum()
    hit = np.array(
        [
            rows.weight[inside[rows.element_idx]].sum() / weight.sum()
            for rows in (Rows.drawn(weight, 400, seed=seed) for seed in range(600))
        ]
    )
    assert hit.mean() == pytest.approx(share, abs=4 * np.sqrt(share / 400 / 600))
    rows = Rows.drawn(weight, 400, seed=0)
    assert (hit <= rows.most_missed(share) + 1e-12).mean() >= CONFIDENCE - 0.02
    # The other way round: from what was hit to the least that the set can be.
    assert (np.array([rows.least_missed(h) for h in hit]) <= share).mean() >= CONFIDENCE - 0.02
    assert rows.least_missed(0.0) == 0.0


def test_all_elements_say_it_exactly() -> None:
    rows = Rows.all_of(weights(100, 2))
    assert rows.most_missed(0.01) == rows.least_missed(0.01) == 0.01
    assert rows.joined(rows) is rows


def test_the_surface_of_drawn_elements_has_the_area_of_the_whole() -> None:
    mesh = trimesh.creation.box(extents=[20, 10, 5])
    part = Part(
        name="box", vertices_mm=mesh.vertices, faces=mesh.faces, cad_face_idx=np.arange(12) // 2,
        source=PartSource(path="box.stl", sha256="0" * 64),
    )  # fmt: skip
    whole = cut_surface(part, 0.7)
    weight = whole.area_mm2 * np.where(whole.cad_face_idx == 2, 3.0, 1.0)
    rows = Rows.drawn(weight, 500, seed=0)
    some = rows.surface(whole, weight)
    np.testing.assert_array_equal(some.centroid_mm, whole.centroid_mm[rows.element_idx])
    assert (some.area_mm2 * np.where(some.cad_face_idx == 2, 3.0, 1.0)).sum() == pytest.approx(weight.sum())
    assert some.area_mm2.sum() == pytest.approx(whole.area_mm2.sum(), rel=0.05)
    assert Rows.searched(weight, seed=0).surface(whole, weight) is whole
