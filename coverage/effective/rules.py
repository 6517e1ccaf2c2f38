"""Fusion rules: from what the views say to one defect probability per element.

A rule owns its sums: it names what is added up over views, and turns the sums into a probability. Everything
else, from files to options, takes the rules from ``RULES``. A rule of your own, from anywhere:

    largest_odds = Sum(name="max_odds", of=lambda p, w: w * p / (1.0 - p), join=np.maximum)

    @fusion_rule("largest_odds", largest_odds)
    def fuse_largest_odds(sums, base_rate):
        return sums["max_odds"] / (1.0 + sums["max_odds"])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from viewcov.inspection.arrays import Floats

CLAMP = 1e-3
"""Probabilities are kept this far from 0 and 1 before logarithms: no single view is ever certain."""

RELIABILITY = 0.9
"""Mass that Dempster-Shafer gives to what a view says (Shafer's discount); the rest is left open."""

DEPENDENCE = 0.1
"""Correlation between what two views say about one element, for ``fuse_log_odds``.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What is added up over the views that say something, for each element, from 0."""

    name: str
    of: Callable[[Floats, Floats], Floats]
    """What one view adds, from its probability p and its weight w in (0, 1], shapes (M,)."""

    join: np.ufunc = np.add
    """How it is added: any order of views must give the same, as with ``np.add`` and ``np.maximum``."""


Sums = Mapping[str, Floats]
"""By name, shapes (E,), float64. Elements without views have 0 in all, and what a rule says of them is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionRule:
    """One way to fuse views."""

    sums: tuple[Sum, ...]
    """What it needs."""

    fuse: Callable[[Sums, float], Floats]
    """Defect probability, shape (E,), from its sums and the base rate: what the model's views say on average."""


RULES: dict[str, FusionRule] = {}
"""Name to rule."""


def fusion_rule(name: str, *sums: Sum) -> Callable[[Callable[[Sums, float], Floats]], Callable[[Sums, float], Floats]]:
    """Decorator that makes a function of sums and base rate the fusion rule of that name.

    Raises
    ------
    ValueError
        If the name is taken, or another rule has another sum of the same name.
    """
    known = all_sums()
    twice = [one.name for one in sums if known.get(one.name, one) != one]
    if name in RULES or twice:
        raise ValueError(f"names of rules and sums must be new, got {name if name in RULES else twice[0]!r} again")

    def add(fuse: Callable[[Sums, float], Floats]) -> Callable[[Sums, float], Floats]:
        RULES[name] = FusionRule(sums=sums, fuse=fuse)
        return fuse

    return add


def all_sums() -> dict[str, Sum]:
    """Name to sum: those of all rules, and the two that the base rate follows from."""
    named = {one.name: one for rule in RULES.values() for one in rule.sums}
    return {WEIGHT.name: WEIGHT, WEIGHTED_P.name: WEIGHTED_P, **named}


def checked_rule(name: str) -> str:
    """The name of a rule; raises ValueError if there is none."""
    if name not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {name!r}")
    return name


RuleName = Annotated[str, AfterValidator(checked_rule)]
"""Name of a rule in ``RULES``."""


def _log_odds(p: Floats, w: Floats) -> Floats:
    clamped = np.clip(p, CLAMP, 1.0 - CLAMP)
    return np.asarray(w * np.log(clamped / (1.0 - clamped)), dtype=np.float64)


def _discounted(w: Floats) -> Floats:
    return RELIABILITY * w


WEIGHT = Sum(name="sum_weight", of=lambda _, w: w)
WEIGHTED_P = Sum(name="sum_p", of=lambda p, w: w * p)
LARGEST_P = Sum(name="max_p", of=lambda p, w: w * p, join=np.maximum)
LOG_ODDS = Sum(name="sum_log_odds", of=_log_odds)
LOG_MISS = Sum(name="sum_log_miss", of=lambda p, w: np.log1p(-np.minimum(w * p, 1.0 - CLAMP)))
# Of each view's masses m(defect) = r p, m(clean) = r (1 - p), m(open) = 1 - r with r = RELIABILITY w.
LOG_DEFECT = Sum(name="sum_log_defect", of=lambda p, w: np.log(_discounted(w) * p + 1.0 - _discounted(w)))
LOG_CLEAN = Sum(name="sum_log_clean", of=lambda p, w: np.log(_discounted(w) * (1.0 - p) + 1.0 - _discounted(w)))
LOG_OPEN = Sum(name="sum_log_open", of=lambda _, w: np.log1p(-_discounted(w)))


@fusion_rule("max", LARGEST_P)
def fuse_max(sums: Sums, base_rate: float = BASE_RATE) -> Floats:
    """Largest w p over views. Keeps what one view alone shows; false alarms grow with the number of views."""
    return sums["max_p"]


@fusion_rule("mean", WEIGHT, WEIGHTED_P)
def fuse_mean(sums: Sums, base_rate: float = BASE_RATE) -> Floats:
    """Weighted mean, sum(w p) / sum(w): the linear opinion pool (Stone 1961). Dilutes what few views show."""
    weight = sums["sum_weight"]
    return sums["sum_p"] / np.where(weight > 0, weight, 1.0)


@fusion_rule("noisy_or", LOG_MISS)
def fuse_noisy_or(sums: Sums, base_rate: float = BASE_RATE) -> Floats:
    """1 - prod(1 - w p) (Pearl 1988): any view may reveal the defect, clean views never lower it.

    A false-alarm rate of 1 % in each view becomes 26 % over 30 views.
    """
    return np.asarray(-np.expm1(sums["sum_log_miss"]), dtype=np.float64)


@fusion_rule("log_odds", WEIGHT, LOG_ODDS)
def fuse_log_odds(sums: Sums, base_rate: float = BASE_RATE) -> Floats:
    """Posterior by Bayes' rule with calibrated probabilities, corrected for dependence between views.

    L = logit(base_rate) + (n_eff / n) sum w (logit p - logit base_rate), clamped to +-MAX_LOG_ODDS, with
    n = sum w and the design effect of cluster sampling, n_eff = n / (1 + (n - 1) DEPENDENCE) (Kish 1965).
    Independent views have dependence 0; at 1 all views together count as one, the weighted mean of log-odds.
    The form with clamping is OctoMap's (Hornung et al. 2013); the weights are those of a logarithmic opinion
    pool. The base rate is the share of defects that the network's probabilities already contain.
    """
    if not 0.0 < base_rate < 1.0:
        raise ValueError(f"base_rate must lie in (0, 1), got {base_rate}")
    n, prior = sums["sum_weight"], np.log(base_rate / (1.0 - base_rate))
    # Below one full view there is nothing to correct.
    effective_share = 1.0 / (1.0 + np.maximum(n - 1.0, 0.0) * DEPENDENCE)
    log_odds = prior + effective_share * (sums["sum_log_odds"] - n * prior)
    log_odds = np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)), dtype=np.float64)


@fusion_rule("dempster_shafer", LOG_DEFECT, LOG_CLEAN, LOG_OPEN)
def fuse_dempster_shafer(sums: Sums, base_rate: float = BASE_RATE) -> Floats:
    """Belief in a defect by Dempster's rule (Shafer 1976), each view discounted to r = RELIABILITY w.

    With masses m(defect) = r p, m(clean) = r (1 - p), m(open) = 1 - r of each view, the rule has the closed
    form P_d = prod(m(defect) + m(open)), P_c = prod(m(clean) + m(open)), P_o = prod m(open); the fused masses
    are P_d - P_o, P_c - P_o and P_o divided by their sum. An unseen element is vacuous: all mass open.
    """
    # Scaled by the largest of the products, which cancels: many views would underflow.
    top = np.maximum(sums["sum_log_defect"], sums["sum_log_clean"])
    defect, clean, still_open = (np.exp(sums[f"sum_log_{name}"] - top) for name in ("defect", "clean", "open"))
    return np.asarray(np.maximum(defect - still_open, 0.0) / (defect + clean - still_open), dtype=np.float64)
