"""Fusion rules against closed forms and brute force."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viewcov.coverage.effective import rules
from viewcov.coverage.effective.evidence import Evidence
from viewcov.coverage.effective.rules import (
    CLAMP,
    RELIABILITY,
    RULES,
    Sum,
    Sums,
    fuse_log_odds,
    fusion_rule,
)

views = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.01, 1.0)), min_size=1, max_size=12)


def evidence_of(says: list[tuple[float, float]]) -> Evidence:
    """One element that some views see, after one that none sees."""
    evidence = Evidence.empty(2)
    for p, w in says:
        evidence.add_in_place(np.array([1]), np.array([p]), np.array([w]))
    return evidence


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


@given(views)
def test_unseen_is_nan_and_seen_is_a_probability(says: list[tuple[float, float]]) -> None:
    for rule in RULES:
        fused = evidence_of(says).fused(rule)
        assert fused.dtype == np.float32
        assert np.isnan(fused[0])
        assert 0.0 <= fused[1] <= 1.0


def test_a_view_without_weight_says_nothing() -> None:
    for rule in RULES:
        assert np.isnan(evidence_of([(0.9, 0.0)]).fused(rule)).all()


@given(views)
def test_max_mean_and_noisy_or_by_their_definitions(says: list[tuple[float, float]]) -> None:
    p, w = np.array(says).T
    evidence = evidence_of(says)
    assert evidence.fused("max")[1] == pytest.approx((w * p).max(), rel=1e-6)
    assert evidence.fused("mean")[1] == pytest.approx((w * p).sum() / w.sum(), rel=1e-6)
    assert evidence.fused("noisy_or")[1] == pytest.approx(1 - np.prod(1 - np.minimum(w * p, 1 - CLAMP)), abs=1e-6)


@given(st.floats(CLAMP, 1 - CLAMP))
def test_log_odds_of_one_view_give_back_its_probability(p: float) -> None:
    assert evidence_of([(p, 1.0)]).fused("log_odds")[1] == pytest.approx(p, abs=1e-6)


@given(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=6), st.floats(0.02, 0.98))
def test_log_odds_of_independent_views_are_bayes_rule(ps: list[float], prior: float) -> None:
    sums = evidence_of([(p, 1.0) for p in ps]).sums
    with mock.patch.object(rules, "DEPENDENCE", 0.0):
        fused = fuse_log_odds(sums, prior)
    defect, clean = prior, 1 - prior
    for p in ps:  # A calibrated p stands for likelihoods p / prior and (1 - p) / (1 - prior).
        defect *= p / prior
        clean *= (1 - p) / (1 - prior)
    expected = np.clip(defect / (defect + clean), CLAMP, 1 - CLAMP)
    assert fused[1] == pytest.approx(expected, abs=1e-6)


def test_fully_dependent_views_count_as_one() -> None:
    sums = evidence_of([(0.8, 1.0)] * 20).sums
    with mock.patch.object(rules, "DEPENDENCE", 1.0):
        assert fuse_log_odds(sums)[1] == pytest.approx(0.8, abs=1e-6)
    # At 0.3, 20 alike views count as 20 / (1 + 19 * 0.3) = 2.985.
    expected = 1 / (1 + np.exp(-20 / 6.7 * logit(0.8)))
    with mock.patch.object(rules, "DEPENDENCE", 0.3):
        assert fuse_log_odds(sums, 0.5)[1] == pytest.approx(expected, abs=1e-6)


def test_a_defect_hidden_from_most_views_survives_in_max_but_not_in_mean() -> None:
    evidence = evidence_of([(0.9, 1.0)] + [(0.05, 1.0)] * 9)
    assert evidence.fused("max")[1] == pytest.approx(0.9)
    assert evidence.fused("mean")[1] == pytest.approx(0.135, abs=1e-6)


def dempster(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Dempster's rule over the subsets of {d, c}, by definition."""
    joined = {"d": 0.0, "c": 0.0, "dc": 0.0}
    conflict = 0.0
    for a, mass_a in first.items():
        for b, mass_b in second.items():
            both = "".join(sorted(set(a) & set(b), reverse=True))
            if both:
                joined[both] += mass_a * mass_b
            else:
                conflict += mass_a * mass_b
    return {subset: mass / (1 - conflict) for subset, mass in joined.items()}


@settings(deadline=None)
@given(views)
def test_dempster_shafer_equals_the_rule_applied_view_by_view(says: list[tuple[float, float]]) -> None:
    fused = {"d": 0.0, "c": 0.0, "dc": 1.0}  # Vacuous: all mass on "either".
    for p, w in says:
        r = RELIABILITY * w
        fused = dempster(fused, {"d": r * p, "c": r * (1 - p), "dc": 1 - r})
    assert evidence_of(says).fused("dempster_shafer")[1] == pytest.approx(fused["d"], abs=1e-6)


def test_dempster_shafer_does_not_underflow() -> None:
    assert evidence_of([(1.0, 1.0)] * 1000).fused("dempster_shafer")[1] == pytest.approx(1.0)
    assert evidence_of([(0.0, 1.0)] * 1000).fused("dempster_shafer")[1] == pytest.approx(0.0)
    assert evidence_of([(0.0, 1.0), (1.0, 1.0)] * 500).fused("dempster_shafer")[1] == pytest.approx(0.5, abs=1e-3)


@given(views, st.floats(0.0, 1.0))
def test_a_more_suspicious_view_never_lowers_a_rule(says: list[tuple[float, float]], p: float) -> None:
    more = [(max(p, says[0][0]), says[0][1]), *says[1:]]
    for rule in RULES:
        assert evidence_of(more).fused(rule)[1] >= evidence_of(says).fused(rule)[1] - 1e-6


def test_wrong_arguments_are_refused() -> None:
    evidence = evidence_of([(0.5, 1.0)])
    with pytest.raises(ValueError, match="rule must be one of max, mean"):
        evidence.fused("median")
    with pytest.raises(ValueError, match="base_rate must lie in"):
        fuse_log_odds(evidence.sums, 0.0)


@pytest.mark.parametrize("base_rate", [0.005, 0.02, 0.3])
def test_views_that_say_the_base_rate_change_nothing(base_rate: float) -> None:
    one = evidence_of([(0.9, 1.0)]).fused("log_odds", base_rate=base_rate)[1]
    dependent = evidence_of([(0.9, 1.0)] + [(base_rate, 1.0)] * 5).fused("log_odds", base_rate=base_rate)[1]
    assert one == pytest.approx(0.9, abs=1e-6)
    # Only the correction for dependence, n / (1 + 0.1 (n - 1)) by n, shrinks the evidence of the one view.
    gain = (logit(0.9) - logit(base_rate)) / 1.5
    assert logit(float(dependent)) == pytest.approx(logit(base_rate) + gain, abs=1e-4)


def test_base_rate_is_the_weighted_mean_of_what_views_say() -> None:
    evidence = evidence_of([(0.2, 1.0), (0.8, 0.5)])
    assert evidence.base_rate == pytest.approx((0.2 + 0.4) / 1.5)
    assert Evidence.empty(3).base_rate == 0.5


def test_a_rule_from_outside_brings_its_own_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("viewcov.coverage.effective.rules.RULES", dict(RULES))
    before = set(Evidence.empty(1).sums)

    @fusion_rule("least", Sum(name="least_doubt", of=lambda p, w: 1.0 - p, join=np.maximum))
    def fuse_least(sums: Sums, base_rate: float) -> np.ndarray:
        return 1.0 - sums["least_doubt"]

    evidence = evidence_of([(0.5, 1.0), (0.25, 0.5), (0.9, 0.1)])
    assert set(evidence.sums) - before == {"least_doubt"}
    with pytest.raises(ValueError, match="must be new, got 'least'"):
        fusion_rule("least")
    with pytest.raises(ValueError, match="must be new, got 'max_p'"):
        fusion_rule("other", Sum(name="max_p", of=lambda p, w: p))
