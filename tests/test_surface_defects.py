"""Connected defects, and who found whom."""

from __future__ import annotations

import itertools
import json
from unittest import mock

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.coverage.effective import matching
from viewcov.coverage.effective.defects import SurfaceDefect, dilated, find_defects, label_components
from viewcov.coverage.effective.evidence import EvidenceTable
from viewcov.coverage.effective.figures import DefectCounts, SingleViewFigures, ViewScores
from viewcov.coverage.effective.matching import (
    THRESHOLDS,
    best_threshold,
    fused_f1,
    match_defects,
    match_single_views,
    single_view_f1,
    view_probability,
)
from viewcov.coverage.effective.truth import SurfaceTruth, truth_from_samples
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.planted import PlantedDefect

SIDE = 12
"""Cells along each side; cell (row, column) has elements 2 k and 2 k + 1 with k = row * SIDE + column."""


def grid_surface() -> Surface:
    ticks = np.arange(SIDE + 1, dtype=float)
    x, y = np.meshgrid(ticks, ticks)
    vertices = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    row, column = (index.ravel() for index in np.indices((SIDE, SIDE)))
    a = row * (SIDE + 1) + column
    b, c, d = a + 1, a + SIDE + 2, a + SIDE + 1
    faces = np.stack([np.column_stack([a, b, c]), np.column_stack([a, c, d])], axis=1).reshape(-1, 3)
    part = Part(
        name="grid",
        vertices_mm=vertices,
        faces=faces,
        cad_face_idx=np.repeat(np.arange(SIDE, dtype=np.int32), 2 * SIDE),  # One CAD face a row.
        source=PartSource(path="grid.stl", sha256="0" * 64),
    )
    return cut_surface(part, 10.0)


SURFACE = grid_surface()


def cells(*places: tuple[int, int]) -> np.ndarray:
    first = np.array([2 * (row * SIDE + column) for row, column in places])
    return np.sort(np.concatenate([first, first + 1]))


def probability(**values: object) -> np.ndarray:
    p = np.zeros(SURFACE.num_elements, dtype=np.float32)
    for places, value in values["at"]:  # type: ignore[attr-defined]
        p[cells(*places)] = value
    return p


def truth_of(*defects: list[tuple[int, int]]) -> SurfaceTruth:
    records = tuple(
        PlantedDefect(
            id=number,
            kind="dent",
            center_mm=(places[0][1] + 0.5, places[0][0] + 0.5, 0.0),
            size_mm=1.0,
            depth_mm=0.1,
            width_mm=1.0,
            area_mm2=float(len(places)),
            cad_face=0,
        )
        for number, places in enumerate(defects, start=1)
    )
    elements = [cells(*places) for places in defects]
    numbers = np.repeat(np.arange(1, len(defects) + 1), [len(e) for e in elements])
    flat = np.concatenate([np.zeros(0, dtype=np.int64), *elements])
    return truth_from_samples(SURFACE, records, numbers, flat, np.full(len(flat), 0.5))


def found(p: np.ndarray, **options: float) -> tuple[SurfaceDefect, ...]:
    chosen = {"high": 0.5, "low": 0.3, **options}
    return find_defects(SURFACE, p, **chosen)  # type: ignore[arg-type]


def table_of(views: dict[str, np.ndarray], *, weight: float = 1.0) -> EvidenceTable:
    """A table of views that give every element's probability; NaN = unseen."""
    rows = [(number, np.flatnonzero(~np.isnan(p)), p) for number, p in enumerate(views.values())]
    element = np.concatenate([idx for _, idx, _ in rows]).astype(np.int32)
    values = np.concatenate([p[idx] for _, idx, p in rows]).astype(np.float32)
    return EvidenceTable(
        view_ids=tuple(views),
        view_idx=np.repeat([n for n, _, _ in rows], [len(idx) for _, idx, _ in rows]).astype(np.int32),
        element_idx=element,
        num_px=np.ones(len(element), dtype=np.int32),
        weight=np.full(len(element), weight, dtype=np.float32),
        mean=values,
        max=values,
        top=values,
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8), st.floats(0.0, 1.0))
def test_components_equal_those_of_networkx(seed: int, low: float, gap: float) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random(SURFACE.num_elements)
    p[rng.random(len(p)) < 0.1] = np.nan
    high = low + gap * (1 - low)
    label = label_components(SURFACE, p, high=high, low=low)

    # By definition: elements that share two corners, brute force.
    corners = [set(face) for face in SURFACE.faces.tolist()]
    above = [e for e in range(len(p)) if p[e] >= low]
    graph = nx.Graph()
    graph.add_nodes_from(above)
    graph.add_edges_from((a, b) for a, b in itertools.combinations(above, 2) if len(corners[a] & corners[b]) == 2)
    expected = {frozenset(component) for component in nx.connected_components(graph) if max(p[list(component)]) >= high}
    got = {frozenset(np.flatnonzero(label == number).tolist()) for number in range(label.max() + 1)}
    assert got == expected


def test_hysteresis_keeps_weak_ends_of_strong_defects_only() -> None:
    p = probability(at=[([(2, 2), (2, 3), (2, 4)], 0.4), ([(2, 5)], 0.9), ([(8, 8), (8, 9)], 0.4)])
    (defect,) = found(p)
    np.testing.assert_array_equal(defect.element_idx, cells((2, 2), (2, 3), (2, 4), (2, 5)))
    assert defect.area_mm2 == pytest.approx(4.0)
    np.testing.assert_allclose(defect.center_mm, [4.0, 2.5, 0.0])
    assert defect.mean_probability == pytest.approx((3 * 0.4 + 0.9) / 4)
    assert defect.max_probability == pytest.approx(0.9)
    assert defect.cad_faces == (2,)


def test_extent_of_a_diagonal_line() -> None:
    places = [(k, k) for k in range(10)]
    steps = [(k, k + 1) for k in range(9)]
    (defect,) = found(probability(at=[(places + steps, 0.9)]))
    # From corner (0, 0) to corner (10, 10), along an axis that the steps beside turn by a few degrees.
    assert defect.extent_mm == pytest.approx(10 * np.sqrt(2), rel=0.01)


def test_unseen_elements_connect_nothing() -> None:
    p = probability(at=[([(4, 4), (4, 6)], 0.9)])
    p[cells((4, 5))] = np.nan
    assert len(found(p)) == 2
    p[cells((4, 5))] = 0.3
    assert len(found(p)) == 1


def test_defects_are_numbered_by_evidence() -> None:
    p = probability(at=[([(1, 1)], 0.95), ([(5, 5), (5, 6)], 0.8), ([(9, 9)], 0.6)])
    assert [d.max_probability for d in found(p)] == pytest.approx([0.8, 0.95, 0.6])
    assert [d.id for d in found(p)] == [1, 2, 3]
    assert found(p, high=0.99) == ()
    with pytest.raises(ValueError, match="low must be at most high"):
        found(p, low=0.6)


def test_supporting_views_are_those_that_show_the_defect_strongest_first() -> None:
    places = [(5, 5), (5, 6)]
    weak, strong, blind = (probability(at=[(places, value)]) for value in (0.5, 0.9, 0.1))
    elsewhere = probability(at=[([(0, 0)], 1.0)])
    away = np.full(SURFACE.num_elements, np.nan)
    views = {"weak": weak, "strong": strong, "blind": blind, "elsewhere": elsewhere, "away": away}
    defects = find_defects(SURFACE, strong, high=0.5, low=0.3, table=table_of(views))
    assert [d.views for d in defects] == [("strong", "weak")]
    assert "element_idx" not in json.loads(defects[0].model_dump_json())


def test_dilation_adds_elements_over_edges_only() -> None:
    mask = np.zeros(SURFACE.num_elements, dtype=bool)
    mask[cells((5, 5))] = True
    grown = np.flatnonzero(dilated(mask, SURFACE))
    corners = [set(face) for face in SURFACE.faces.tolist()]
    expected = [e for e in range(len(mask)) if any(len(corners[e] & corners[k]) >= 2 for k in cells((5, 5)).tolist())]
    assert grown.tolist() == expected
    assert mask.sum() == 2  # The argument is left as it was.


def test_one_of_each() -> None:
    truth = truth_of([(2, 2), (2, 3)], [(8, 8)])
    p = probability(at=[([(2, 3)], 0.9), ([(5, 10)], 0.7)])
    match = match_defects(found(p), truth, SURFACE)
    np.testing.assert_array_equal(match.planted_found, [True, False])
    np.testing.assert_array_equal(match.detection_true, [True, False])
    assert DefectCounts() + match == DefectCounts(num_planted=2, num_found=1, num_detections=2, num_true=1)
    assert (match.precision, match.recall, match.f1) == (0.5, 0.5, 0.5)
    assert match.missed_ids == (2,)


def test_several_detections_of_one_defect_count_it_once() -> None:
    truth = truth_of([(5, c) for c in range(1, 10)])
    p = probability(at=[([(5, 2)], 0.9), ([(5, 5)], 0.9), ([(5, 8)], 0.9)])
    match = match_defects(found(p), truth, SURFACE)
    assert DefectCounts() + match == DefectCounts(num_planted=1, num_found=1, num_detections=3, num_true=3)


def test_one_detection_of_several_defects_finds_them_all() -> None:
    truth = truth_of([(5, 2)], [(5, 4)], [(5, 6)])
    p = probability(at=[([(5, c) for c in range(2, 7)], 0.9)])
    match = match_defects(found(p), truth, SURFACE)
    assert DefectCounts() + match == DefectCounts(num_planted=3, num_found=3, num_detections=1, num_true=1)


def test_painting_the_whole_part_finds_nothing() -> None:
    truth = truth_of([(5, 2)], [(8, 8)])
    match = match_defects(found(np.ones(SURFACE.num_elements)), truth, SURFACE)
    assert DefectCounts() + match == DefectCounts(num_planted=2, num_found=0, num_detections=1, num_true=0)


def test_a_detection_beside_the_defect_is_within_tolerance_and_two_away_is_not() -> None:
    truth = truth_of([(5, 5)])
    (beside,) = (match_defects(found(probability(at=[([(5, 6)], 0.9)])), truth, SURFACE),)
    (away,) = (match_defects(found(probability(at=[([(5, 7)], 0.9)])), truth, SURFACE),)
    assert beside.num_found == 1
    assert away.num_found == 0


def test_figures_without_anything_to_count() -> None:
    clean, nothing = truth_of(), found(np.zeros(SURFACE.num_elements))
    counts = match_defects(nothing, clean, SURFACE)
    assert (counts.precision, counts.recall, counts.f1) == (None, None, None)
    alarm = match_defects(found(probability(at=[([(1, 1)], 0.9)])), clean, SURFACE)
    assert (alarm.precision, alarm.f1) == (0.0, 0.0)
    missed = match_defects(nothing, truth_of([(1, 1)]), SURFACE)
    assert (missed.recall, missed.f1) == (0.0, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_matching_by_its_rules_in_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = [rng.integers(0, SIDE - 2, 2) for _ in range(3)]
    planted = [[(r, c), (r, c + 1)] for r, c in corners]
    truth = truth_of(*planted)
    p = np.zeros(SURFACE.num_elements)
    for r, c in [*corners[:2], rng.integers(0, SIDE - 2, 2)]:
        shift = rng.integers(-1, 2, 2)
        p[
            cells(
                *[
                    (int(np.clip(r + shift[0], 0, SIDE - 1)), int(np.clip(c + shift[1] + k, 0, SIDE - 1)))
                    for k in range(3)
                ]
            )
        ] = 0.9
    defects = found(p)
    with mock.patch.object(matching, "MIN_OVERLAP", 0.3):
        match = match_defects(defects, truth, SURFACE)

    neighbours: dict[int, set[int]] = {e: {e} for e in range(SURFACE.num_elements)}
    for a, b in SURFACE.neighbours().tolist():
        neighbours[a].add(b)
        neighbours[b].add(a)

    def ring(elements: set[int]) -> set[int]:
        return set().union(*(neighbours[e] for e in elements)) if elements else set()

    near_truth = ring({int(e) for places in planted for e in cells(*places)})
    is_true = [len(set(d.element_idx.tolist()) & near_truth) / len(d.element_idx) >= 0.3 - 1e-9 for d in defects]
    cover = ring({e for d, ok in zip(defects, is_true, strict=True) if ok for e in d.element_idx.tolist()})
    hit = [len(set(cells(*places).tolist()) & cover) / 4 >= 0.3 - 1e-9 for places in planted]
    np.testing.assert_array_equal(match.detection_true, is_true)
    np.testing.assert_array_equal(match.planted_found, hit)


def test_single_views_are_measured_by_what_they_see_and_by_all() -> None:
    truth = truth_of([(2, 2)], [(9, 9)])
    upper = np.arange(SURFACE.num_elements) < SURFACE.num_elements // 2
    sees_upper = np.where(upper, probability(at=[([(2, 2)], 0.9)]), np.nan)
    sees_lower = np.where(~upper, probability(at=[([(8, 3)], 0.9)]), np.nan)
    away = np.full(SURFACE.num_elements, np.nan)
    table = table_of({"upper": sees_upper, "lower": sees_lower, "away": away})
    in_view, of_all = match_single_views(SURFACE, [table, table], [truth, truth], high=0.5)
    assert tuple(in_view) == tuple(of_all) == ("upper", "lower", "away")
    one_of_one = DefectCounts(num_planted=1, num_found=1, num_detections=1, num_true=1)
    assert in_view["upper"] == one_of_one + one_of_one
    assert in_view["lower"] == DefectCounts(num_planted=2, num_detections=2)
    assert in_view["away"] == DefectCounts()
    assert [c.num_planted for c in of_all.values()] == [4, 4, 4]
    figures = SingleViewFigures(threshold=0.5, in_view=ViewScores.of(in_view), of_all=ViewScores.of(of_all))
    assert figures.in_view.best.view == "upper"
    assert figures.in_view.mean.f1 == pytest.approx(0.5)  # "away" has no figure.
    # Of all planted, "upper" has recall 1/2 and precision 1; the others find nothing.
    assert figures.of_all.mean.f1 == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert type(figures).model_validate_json(figures.model_dump_json()) == figures


def test_views_without_weight_see_nothing() -> None:
    table = table_of({"flat": np.ones(SURFACE.num_elements)}, weight=0.0)
    assert np.isnan(view_probability(table, "flat", SURFACE.num_elements)).all()


def test_the_picked_threshold_parts_defects_from_noise() -> None:
    truth = truth_of([(2, 2), (2, 3)], [(9, 9)])
    p = probability(at=[([(2, 2), (2, 3)], 0.8), ([(9, 9)], 0.75), ([(6, 2)], 0.3), ([(6, 9)], 0.35)])
    curve = fused_f1(SURFACE, [p, p], [truth, truth])
    high = best_threshold([curve])
    assert 0.35 < high <= 0.75
    assert max(curve) == 1.0
    # The middle of the equally good thresholds, not the first.
    good = [t for t, f1 in zip(THRESHOLDS, curve, strict=True) if f1 == 1.0]
    assert high == good[(len(good) - 1) // 2]
    single = single_view_f1(SURFACE, [table_of({"a": p})], [truth])
    assert best_threshold([single]) == high
    # Over two parts the mean counts: what the other part spoils is not picked.
    spoilt = np.where(np.array(THRESHOLDS) >= high, 0.0, 1.0)
    assert best_threshold([curve, spoilt]) == max(t for t in good if t < high) or len(good) > 3
    assert best_threshold([np.full(len(THRESHOLDS), np.nan)]) == THRESHOLDS[(len(THRESHOLDS) - 1) // 2]
