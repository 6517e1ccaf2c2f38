"""From evidence to one defect probability per element, by several rules. NaN = unseen, never "clean"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import AfterValidator

from viewcov.coverage.effective.evidence import CLAMP, Evidence
from viewcov.inspection.arrays import Floats, Floats32

Rule = Literal["max", "mean", "noisy_or", "log_odds", "dempster_shafer"]

DEPENDENCE = 0.1
"""Default correlation between what two views say about one element, for ``fuse_log_odds``.

Views share the light, the network and the defect's look. At 0.1, ten views count as 5.3 independent ones, and
no number of views counts as more than ten.
"""

BASE_RATE = 0.01
"""Default probability that a view gives to an element it knows nothing of, for ``fuse_log_odds``.

A network trained with cross-entropy answers the base rate of defects where it sees none it can tell: in dark
field, most views of a defect do. Such a view must leave the fused odds as they are.
"""

MAX_LOG_ODDS = float(np.log((1.0 - CLAMP) / CLAMP))
"""Fused log-odds are clamped to this on both sides, as in OctoMap: many views never make certain."""


def fuse(evidence: Evidence, rule: Rule = "log_odds", *, base_rate: float = BASE_RATE) -> Floats32:
    """Defect probability of each element by a rule, shape (E,); NaN = unseen.

    ``base_rate`` is what the model's views say on average, as ``Evidence.base_rate`` measures it on validation
    inspections; only ``log_odds`` uses it.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    if rule == "log_odds":
        return fuse_log_odds(evidence, prior=base_rate, train_prior=base_rate)
    return RULES[rule](evidence)


def fuse_max(evidence: Evidence) -> Floats32:
    """Largest w p over views. Keeps what one view alone shows; false alarms grow with the number of views."""
    return _unseen_as_nan(evidence, evidence.max_p)


def fuse_mean(evidence: Evidence) -> Floats32:
    """Weighted mean, sum(w p) / sum(w): the linear opinion pool (Stone 1961). Dilutes what few views show."""
    weight = np.where(evidence.seen, evidence.sum_weight, 1.0)
    return _unseen_as_nan(evidence, evidence.sum_p / weight)


def fuse_noisy_or(evidence: Evidence) -> Floats32:
    """1 - prod(1 - w p) (Pearl 1988): any view may reveal the defect, clean views never lower it.

    A false-alarm rate of 1 % in each view becomes 26 % over 30 views.
    """
    return _unseen_as_nan(evidence, -np.expm1(evidence.sum_log_miss))


def fuse_log_odds(
    evidence: Evidence, *, prior: float = BASE_RATE, train_prior: float = BASE_RATE, dependence: float = DEPENDENCE
) -> Floats32:
    """Posterior by Bayes' rule with calibrated probabilities, corrected for dependence between views.

    L = logit(prior) + (n_eff / n) sum w (logit p - logit train_prior), clamped to +-MAX_LOG_ODDS, with
    n = sum w and the design effect of cluster sampling, n_eff = n / (1 + (n - 1) dependence) (Kish 1965).
    Independent views have dependence 0; at 1 all views together count as one, the weighted mean of log-odds.
    The form with clamping is OctoMap's (Hornung et al. 2013); the weights are those of a logarithmic opinion
    pool.

    Parameters
    ----------
    prior
        Share of defective elements expected on the part.
    train_prior
        Share of defects that the network's probabilities already contain.
    dependence
        Correlation in [0, 1] between what two views say.
    """
    for name, value in (("prior", prior), ("train_prior", train_prior)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must lie in (0, 1), got {value}")
    if not 0.0 <= dependence <= 1.0:
        raise ValueError(f"dependence must lie in [0, 1], got {dependence}")
    n = evidence.sum_weight
    # Below one full view there is nothing to correct.
    effective_share = 1.0 / (1.0 + np.maximum(n - 1.0, 0.0) * dependence)
    says = evidence.sum_log_odds - n * np.log(train_prior / (1.0 - train_prior))
    log_odds = np.log(prior / (1.0 - prior)) + effective_share * says
    log_odds = np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)
    return _unseen_as_nan(evidence, 1.0 / (1.0 + np.exp(-log_odds)))


def fuse_dempster_shafer(evidence: Evidence) -> Floats32:
    """Belief in a defect by Dempster's rule (Shafer 1976), each view discounted to r = RELIABILITY w.

    With masses m(defect) = r p, m(clean) = r (1 - p), m(open) = 1 - r of each view, the rule has the closed
    form P_d = prod(m(defect) + m(open)), P_c = prod(m(clean) + m(open)), P_o = prod m(open); the fused masses
    are P_d - P_o, P_c - P_o and P_o divided by their sum. An unseen element is vacuous: all mass open.
    """
    # Scaled by the largest of the products, which cancels: many views would underflow.
    top = np.maximum(evidence.sum_log_defect, evidence.sum_log_clean)
    defect = np.exp(evidence.sum_log_defect - top)
    clean = np.exp(evidence.sum_log_clean - top)
    still_open = np.exp(evidence.sum_log_open - top)
    return _unseen_as_nan(evidence, np.maximum(defect - still_open, 0.0) / (defect + clean - still_open))


RULES: dict[Rule, Callable[[Evidence], Floats32]] = {
    "max": fuse_max,
    "mean": fuse_mean,
    "noisy_or": fuse_noisy_or,
    "log_odds": fuse_log_odds,
    "dempster_shafer": fuse_dempster_shafer,
}
"""Name to rule, each with its defaults."""

assert tuple(RULES) == get_args(Rule)


def _known(name: str) -> str:
    if name not in RULES:
        raise ValueError(f"one of {', '.join(RULES)}")
    return name


RuleName = Annotated[str, AfterValidator(_known)]
"""Name of a rule."""


def _unseen_as_nan(evidence: Evidence, values: Floats) -> Floats32:
    return np.where(evidence.seen, values, np.nan).astype(np.float32)
