"""Effective coverage: estimates against known truth in simulation, intervals against their promise."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from viewcov.coverage.effective import pod
from viewcov.coverage.effective.effective import (
    DetectionTrials,
    detection_trials,
    effective_coverage,
    false_alarms,
    paired_difference,
)
from viewcov.coverage.effective.evidence import Showing
from viewcov.coverage.effective.intervals import Resampling, bootstrap_interval, clopper_pearson
from viewcov.coverage.effective.matching import DefectMatch
from viewcov.coverage.effective.pod import (
    BELOW,
    REACHED,
    UNSEEN,
    fit_logistic,
    fit_pod,
    pod_by_size,
    pod_map,
    predicted,
)
from viewcov.coverage.effective.truth import SurfaceTruth
from viewcov.inspection.planted import PlantedDefect


def trials_of(
    found: dict[str, np.ndarray],
    *,
    inspection: np.ndarray | None = None,
    seen: np.ndarray | None = None,
    element_idx: np.ndarray | None = None,
    size_mm: np.ndarray | None = None,
) -> DetectionTrials:
    num = len(next(iter(found.values())))
    return DetectionTrials(
        inspection=np.zeros(num, dtype=np.int64) if inspection is None else inspection,
        defect_id=np.arange(num),
        kind=("dent",) * num,
        size_mm=np.ones(num) if size_mm is None else size_mm,
        element_idx=np.arange(num) if element_idx is None else element_idx,
        seen=np.ones(num, dtype=bool) if seen is None else seen,
        found={name: np.asarray(values, dtype=bool) for name, values in found.items()},
    )


def match_of(planted_found: list[bool], detection_true: list[bool] = []) -> DefectMatch:  # noqa: B006
    num = len(planted_found)
    planted, true = np.array(planted_found, dtype=bool), np.array(detection_true, dtype=bool)
    return DefectMatch.of(np.arange(1, num + 1), planted, true)


def truth_of(centers: list[int], num_elements: int = 10) -> SurfaceTruth:
    defects = tuple(
        PlantedDefect(
            id=k,
            kind="scratch",
            center_mm=(0.0, 0.0, 0.0),
            size_mm=float(k),
            depth_mm=0.1,
            width_mm=0.4,
            area_mm2=1.0,
            cad_face=0,
        )
        for k in range(1, len(centers) + 1)
    )
    return SurfaceTruth(
        defects=defects,
        element_area_mm2=np.ones(num_elements),
        defect_id=np.arange(1, len(centers) + 1, dtype=np.int32),
        element_idx=np.array(centers, dtype=np.int64),
        area_mm2=np.ones(len(centers)),
        center_element_idx=np.array(centers, dtype=np.int64),
    )


def test_the_estimate_by_hand() -> None:
    seen = np.array([True] * 8 + [False] * 2)
    found = np.array([True] * 6 + [False] * 2 + [True, False])
    result = effective_coverage(trials_of({"a": found}, seen=seen), "a", 0.9)
    assert result.effective_coverage == pytest.approx(0.9 * 6 / 8)
    assert (result.num_defects, result.num_seen, result.num_found, result.num_found_unseen) == (10, 8, 6, 1)
    assert 0 <= result.interval.low < result.effective_coverage < result.interval.high <= 0.9
    expected = stats.binomtest(6, 8).proportion_ci(method="exact")
    assert result.clopper_pearson.low == pytest.approx(0.9 * expected.low)
    assert result.clopper_pearson.high == pytest.approx(0.9 * expected.high)
    assert type(result.effective_coverage) is float
    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_the_estimate_is_unbiased_for_area_uniform_sites() -> None:
    rng = np.random.default_rng(11)
    area = rng.uniform(0.2, 2.0, 400)
    seen = rng.random(400) < 0.85
    pod = np.where(seen, rng.beta(5, 2, 400), 0.0)
    true_coverage = (area * pod).sum() / area.sum()
    estimates = []
    for _ in range(1500):
        element = rng.choice(400, 40, p=area / area.sum())
        found = rng.random(40) < pod[element]
        trials = trials_of({"a": found}, seen=seen[element], inspection=np.repeat(np.arange(8), 5))
        result = effective_coverage(trials, "a", area[seen].sum() / area.sum(), resampling=Resampling(num_bootstrap=1))
        estimates.append(result.effective_coverage)
    # Within four standard errors of the mean of the estimates.
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(true_coverage, abs=4 * error)
    # Knowing the unseen area beats counting all defects: the variance is not larger.
    assert np.var(estimates) < true_coverage * (1 - true_coverage) / 40


@pytest.mark.parametrize(
    ("num_inspections", "per_inspection", "spread", "p"),
    [(10, 6, 0.0, 0.8), (5, 8, 0.0, 0.6), (25, 3, 0.0, 0.7), (12, 6, 1.0, 0.6), (1, 40, 0.0, 0.7)],
)
def test_intervals_hold_as_often_as_they_say(
    num_inspections: int, per_inspection: int, spread: float, p: float
) -> None:
    # 300 data sets at a true rate of 95 % stay within 91 to 98.7 % with 99.9 % probability; few inspections
    # cost some of it, hence 88 to 99 %.
    rng = np.random.default_rng(num_inspections)
    # Inspections differ by a normal shift in log-odds; the truth is its mean over inspections.
    shift = np.log(p / (1 - p))
    truth = np.mean(1 / (1 + np.exp(-(shift + spread * stats.norm.ppf((np.arange(999) + 0.5) / 999)))))
    holds = 0
    inspection = np.repeat(np.arange(num_inspections), per_inspection)
    for number in range(300):
        rate = 1 / (1 + np.exp(-(shift + spread * rng.normal(size=num_inspections))))
        found = rng.random(len(inspection)) < rate[inspection]
        how = Resampling(num_bootstrap=800, seed=number)
        interval = bootstrap_interval(found.astype(float), inspection, how, low=0.0)
        if found.all() or not found.any():
            interval = clopper_pearson(int(found.sum()), len(found))
        holds += interval.low <= truth <= interval.high
    assert 0.88 <= holds / 300 <= 0.99


@pytest.mark.parametrize(("num_inspections", "per_inspection"), [(20, 3), (10, 6), (40, 1)])
def test_spread_within_inspections_is_counted_once(num_inspections: int, per_inspection: int) -> None:
    # Independent defects: the interval of a share p of n has the width 2 * 1.96 sqrt(p (1 - p) / n). Drawing
    # inspections, then defects, without correction would make it 1.3 to 1.4 times as wide. A little stays,
    # because a spread between inspections that is estimated as negative counts as none.
    rng = np.random.default_rng(2)
    num = num_inspections * per_inspection
    inspection, widths = np.repeat(np.arange(num_inspections), per_inspection), []
    for number in range(150):
        values = (rng.random(num) < 0.6).astype(float)
        interval = bootstrap_interval(values, inspection, Resampling(num_bootstrap=800, seed=number), low=0.0)
        widths.append(interval.high - interval.low)
    assert 0.95 <= np.mean(widths) / (2 * 1.96 * np.sqrt(0.24 / num)) <= 1.15


def test_clusters_that_differ_widen_the_interval() -> None:
    alike = np.tile([1.0, 0.0, 1.0, 1.0], 8)
    split = np.sort(alike)
    cluster = np.repeat(np.arange(8), 4)
    widths = []
    for values in (alike, split):
        interval = bootstrap_interval(values, cluster, Resampling(num_bootstrap=2000), low=0.0)
        widths.append(interval.high - interval.low)
    assert widths[1] > 1.5 * widths[0]


@pytest.mark.parametrize(("found", "bound"), [(True, 0.9019), (False, 1 - 0.9019)])
def test_all_found_is_no_certainty(found: bool, bound: float) -> None:
    # 29 of 29: 90 % at one-sided 95 % confidence, the demonstration of non-destructive testing.
    trials = trials_of({"a": np.full(29, found)}, inspection=np.arange(29) // 5)
    result = effective_coverage(trials, "a", 1.0, resampling=Resampling(confidence=0.9))
    assert result.interval == result.clopper_pearson
    assert (result.interval.low if found else result.interval.high) == pytest.approx(bound, abs=1e-4)


def test_same_seed_same_interval_and_order_is_irrelevant_to_the_estimate() -> None:
    rng = np.random.default_rng(0)
    found, inspection = rng.random(40) < 0.7, np.repeat(np.arange(8), 5)
    how = Resampling(seed=3)
    one = effective_coverage(trials_of({"a": found}, inspection=inspection), "a", 0.9, resampling=how)
    two = effective_coverage(trials_of({"a": found}, inspection=inspection), "a", 0.9, resampling=how)
    assert one == two
    order = rng.permutation(40)
    mixed = effective_coverage(trials_of({"a": found[order]}, inspection=inspection[order]), "a", 0.9, resampling=how)
    assert mixed.effective_coverage == one.effective_coverage
    assert mixed.interval.low == pytest.approx(one.interval.low, abs=0.03)


def test_paired_difference_by_hand() -> None:
    with_stack = np.array([1, 1, 1, 1, 1, 1, 0, 0, 1, 1], dtype=bool)
    without = np.array([1, 0, 0, 0, 0, 0, 0, 1, 1, 1], dtype=bool)
    trials = trials_of({"stack": with_stack, "plain": without}, inspection=np.arange(10) // 2)
    result = paired_difference(trials, "stack", "plain", 0.8)
    assert result.difference == pytest.approx(0.8 * (8 - 4) / 10)
    assert (result.only_model, result.only_minus, result.num_pairs) == (5, 1, 10)
    assert result.p_value == pytest.approx(2 * stats.binom.cdf(1, 6, 0.5))
    assert result.interval.low < result.difference < result.interval.high
    back = paired_difference(trials, "plain", "stack", 0.8)
    assert back.difference == -result.difference
    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_pairing_is_sharper_than_comparing_two_intervals() -> None:
    rng = np.random.default_rng(4)
    hard = rng.random(120)
    first, second = hard < 0.75, hard < 0.65
    trials = trials_of({"a": first, "b": second}, inspection=np.repeat(np.arange(12), 10))
    paired = paired_difference(trials, "a", "b", 1.0).interval
    alone = [effective_coverage(trials, name, 1.0).interval for name in "ab"]
    assert paired.low > 0
    assert paired.high - paired.low < 0.8 * np.hypot(*(i.high - i.low for i in alone))


def test_equal_variants_differ_by_nothing_within_a_bound() -> None:
    found = np.arange(30) % 3 > 0
    trials = trials_of({"a": found, "b": found})
    result = paired_difference(trials, "a", "b", 1.0)
    assert (result.difference, result.p_value) == (0.0, 1.0)
    assert result.interval.low == -result.interval.high
    assert result.interval.high == pytest.approx(1 - 0.025 ** (1 / 30))


def test_trials_join_inspections_in_order() -> None:
    truths = [truth_of([3, 4]), truth_of([]), truth_of([9])]
    matches = {
        "a": [match_of([True, False]), match_of([]), match_of([True])],
        "b": [match_of([False, False]), match_of([]), match_of([True])],
    }
    seen = [np.arange(10) != 4, np.ones(10, dtype=bool), np.arange(10) == 4]
    trials = detection_trials(truths, matches, seen)
    assert len(trials) == 3
    np.testing.assert_array_equal(trials.inspection, [0, 0, 2])
    np.testing.assert_array_equal(trials.seen, [True, False, False])
    np.testing.assert_array_equal(trials.size_mm, [1.0, 2.0, 1.0])
    np.testing.assert_array_equal(trials.found["a"], [True, False, True])
    np.testing.assert_array_equal(trials.found["b"], [False, False, True])
    with pytest.raises(ValueError, match="must match all planted defects"):
        detection_trials(truths, {"a": [match_of([True]), match_of([]), match_of([True])]}, seen)


def test_nothing_seen_is_refused() -> None:
    trials = trials_of({"a": np.ones(3)}, seen=np.zeros(3, dtype=bool))
    with pytest.raises(ValueError, match="a defect at a seen site"):
        effective_coverage(trials, "a", 0.5)


def test_false_alarms_per_part_and_area() -> None:
    matches = [match_of([True], [True, False]), match_of([], [False, False])]
    result = false_alarms(matches, inspected_area_mm2=20_000.0)
    assert (result.num_false, result.per_part) == (3, 1.5)
    assert result.per_m2 == pytest.approx(3 / 0.04)
    # Exact Poisson limits of 3: 0.6187 and 8.7673 (Garwood's table).
    assert result.per_part_interval.low == pytest.approx(0.6187 / 2, abs=1e-4)
    assert result.per_part_interval.high == pytest.approx(8.7673 / 2, abs=1e-4)
    assert false_alarms([match_of([])], inspected_area_mm2=1.0).per_part_interval.low == 0.0
    assert type(result).model_validate_json(result.model_dump_json()) == result


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_logistic_fit_equals_a_general_optimiser(seed: int) -> None:
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(40), rng.normal(size=(40, 3))])
    hit = rng.random(40) < 0.6
    penalty = np.array([0.01, 1.0, 1.0, 0.5])
    b, covariance = fit_logistic(design, hit, penalty)

    def loss(x: np.ndarray) -> float:
        s = design @ x
        return float(np.sum(np.logaddexp(0, s) - hit * s) + 0.5 * penalty @ x**2)

    best = optimize.minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(b, best.x, atol=1e-4)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_separable_trials_stay_finite() -> None:
    x = np.linspace(-1, 1, 30)
    b, _ = fit_logistic(np.column_stack([np.ones(30), x]), x > 0, np.array([0.01, 1.0]))
    assert np.isfinite(b).all()
    b, _ = fit_logistic(np.ones((30, 1)), np.ones(30, dtype=bool), np.array([0.01]))
    assert 3 < b[0] < 12


def covariates(num: int, rng: np.random.Generator) -> Showing:
    seen = rng.random(num) < 0.9
    return Showing(
        mm_per_px=np.where(seen, rng.uniform(0.05, 0.3, num), np.inf),
        cos_incidence=np.where(seen, np.cos(np.deg2rad(rng.uniform(0, 60, num))), 0.0),
        num_views=np.where(seen, rng.integers(1, 9, num), 0),
    )


def true_pod(how: Showing, size_mm: np.ndarray | float) -> np.ndarray:
    sampling = np.where(how.seen, how.mm_per_px, np.nan)
    score = 1.5 * (np.log(size_mm / sampling) - np.log(6.0)) + 2.0 * (how.cos_incidence - 0.8)
    return 1 / (1 + np.exp(-score))


def test_the_model_recovers_a_known_probability_of_detection() -> None:
    rng = np.random.default_rng(6)
    how = covariates(5000, rng)
    element = rng.integers(0, 5000, 3000)
    size = np.exp(rng.uniform(np.log(0.3), np.log(4.0), 3000))
    found = rng.random(3000) < np.nan_to_num(true_pod(how.at(element), size))
    trials = trials_of({"a": found}, seen=how.seen[element], element_idx=element, size_mm=size)
    model = fit_pod(trials, "a", how.at(element))
    for reference in (0.5, 1.0, 2.0):
        expected, got = true_pod(how, reference), predicted(model, how, reference)
        np.testing.assert_array_equal(np.isnan(got), ~how.seen)
        assert np.nanmean(np.abs(got - expected)) < 0.03
    area = rng.uniform(0.5, 1.5, 5000)
    by_size = pod_by_size(model, [how], area, np.geomspace(0.3, 12.0, 40))
    mean = np.average(predicted(model, how, by_size.a90_mm)[how.seen], weights=area[how.seen])
    assert mean == pytest.approx(0.9, abs=1e-3)
    assert pod_by_size(model, [how], area, np.array([0.3, 0.4])).a90_mm is None
    slope = model.slopes["log_size_px"]
    assert abs(slope.value / slope.scale - 1.5) < 4 * slope.standard_error / slope.scale


def test_the_map_has_three_states_that_sum_to_the_inspected_area() -> None:
    rng = np.random.default_rng(8)
    how = covariates(300, rng)
    area, inspected = rng.uniform(0.5, 1.5, 300), rng.random(300) < 0.8
    element = rng.integers(0, 300, 200)
    found = rng.random(200) < np.nan_to_num(true_pod(how.at(element), 1.0))
    trials = trials_of({"a": found}, seen=how.seen[element], element_idx=element)
    area = np.where(inspected, area, 0.0)
    fitted = fit_pod(trials, "a", how.at(element))
    result = pod_map(fitted, [how], area, size_mm=1.0)
    figures = result.figures
    np.testing.assert_array_equal(result.state == UNSEEN, ~how.seen)
    np.testing.assert_array_equal(result.state == REACHED, np.nan_to_num(result.pod) >= 0.5)
    assert (result.state == BELOW).any()
    assert sum(dict(figures.pod_area_mm2).values()) == pytest.approx(area.sum())
    shares = [share for _, share in figures.curve]
    assert shares == sorted(shares, reverse=True)
    assert dict(figures.curve)[0.5] == pytest.approx(figures.pod_area_mm2.reached / area.sum())
    # The area under the curve C(p) over all p is the mean probability.
    with mock.patch.object(pod, "CURVE_AT", tuple(np.arange(0.0005, 1, 0.001))):
        dense = pod_map(fitted, [how], area, size_mm=1.0).figures
    assert np.mean([share for _, share in dense.curve]) == pytest.approx(dense.mean_pod, abs=1e-3)


def test_a_map_over_inspections_with_their_own_poses_is_their_mean() -> None:
    rng = np.random.default_rng(9)
    one, two = covariates(300, rng), covariates(300, rng)
    area, element = rng.uniform(0.5, 1.5, 300), rng.integers(0, 300, 200)
    found = rng.random(200) < np.nan_to_num(true_pod(one.at(element), 1.0))
    fitted = fit_pod(trials_of({"a": found}, seen=one.seen[element], element_idx=element), "a", one.at(element))
    pods = [np.nan_to_num(predicted(fitted, how, 1.0)) for how in (one, two)]
    # The first one's poses were used twice.
    joint = pod_map(fitted, [one, two, one], area, size_mm=1.0)
    np.testing.assert_allclose(np.nan_to_num(joint.pod), (2 * pods[0] + pods[1]) / 3, atol=1e-6)
    np.testing.assert_array_equal(joint.state == UNSEEN, ~(one.seen | two.seen))
    alone = [pod_map(fitted, [how], area, size_mm=1.0).figures.mean_pod for how in (one, two)]
    assert joint.figures.mean_pod == pytest.approx((2 * alone[0] + alone[1]) / 3)


def random_inspections(
    rng: np.random.Generator, num: int, most: int, pods: np.ndarray, area: np.ndarray
) -> tuple[DetectionTrials, np.ndarray]:
    """Inspections that each see their own random part of a surface, the more the easier; trials and seen shares."""
    sees = rng.random(num) * 0.6 + 0.3
    seen = rng.random((num, len(area))) < sees[:, None]
    planted = rng.integers(1, most + 1, num)
    inspection = np.repeat(np.arange(num), planted)
    element = rng.choice(len(area), planted.sum(), p=area / area.sum())
    at_site = seen[inspection, element]
    # Those that see more also find more of what they see.
    found = at_site & (rng.random(len(element)) < np.minimum(pods[element] * sees[inspection] * 1.4, 1.0))
    trials = trials_of({"a": found}, inspection=inspection, seen=at_site, element_idx=element)
    return trials, (seen * area).sum(axis=1) / area.sum()


def test_the_estimate_holds_where_every_inspection_sees_another_part_of_the_surface() -> None:
    rng = np.random.default_rng(3)
    area, pods = rng.uniform(0.2, 2.0, 60), rng.beta(5, 2, 60)
    # The truth by brute force: mean over the poses of the area-weighted chance of finding what is seen.
    sees = (np.arange(4000) + 0.5) / 4000 * 0.6 + 0.3
    truth = np.mean([s * np.average(np.minimum(pods * s * 1.4, 1.0), weights=area) for s in sees])
    estimates, holds = [], 0
    for number in range(300):
        trials, share = random_inspections(rng, 40, 8, pods, area)
        result = effective_coverage(trials, "a", share, resampling=Resampling(num_bootstrap=400, seed=number))
        estimates.append(result.effective_coverage)
        holds += result.interval.low <= truth <= result.interval.high
    error = np.std(estimates) / np.sqrt(len(estimates))
    # A ratio of sums is biased by about one part in the number of trials; found share times mean share of one and
    # the same seen area would be off by 0.02 were it not weighted by what each inspection sees.
    assert np.mean(estimates) == pytest.approx(truth, abs=4 * error + 0.002)
    assert 0.90 <= holds / 300 <= 0.99


def test_inspections_that_see_the_same_give_the_same_whether_told_once_or_for_each() -> None:
    rng = np.random.default_rng(5)
    trials = trials_of({"a": rng.random(40) < 0.6, "b": rng.random(40) < 0.5}, inspection=np.repeat(np.arange(8), 5))
    assert effective_coverage(trials, "a", 0.8) == effective_coverage(trials, "a", np.full(8, 0.8))
    assert paired_difference(trials, "a", "b", 0.8) == paired_difference(trials, "a", "b", np.full(8, 0.8))


def test_a_tiny_case_by_hand_with_two_poses() -> None:
    # Inspection 0 sees 80 % and plants 4, 3 of them seen, 2 found; inspection 1 sees 50 % and plants 2, 1 seen, found.
    trials = trials_of(
        {"a": np.array([1, 1, 0, 0, 1, 0], dtype=bool), "b": np.zeros(6, dtype=bool)},
        inspection=np.array([0, 0, 0, 0, 1, 1]),
        seen=np.array([1, 1, 1, 0, 1, 0], dtype=bool),
    )
    mean = (4 * 0.8 + 2 * 0.5) / 6
    result = effective_coverage(trials, "a", np.array([0.8, 0.5]))
    assert result.seen_area_share == pytest.approx(mean)
    assert result.effective_coverage == pytest.approx(mean * 3 / 4)
    assert paired_difference(trials, "a", "b", np.array([0.8, 0.5])).difference == pytest.approx(mean * 3 / 4)
