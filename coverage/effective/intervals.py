"""Intervals of shares: exact for independent trials, bootstrapped for trials in inspections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.records import Record


class Interval(Record):
    """An interval with its confidence and how it was made."""

    low: float
    high: float
    confidence: float
    method: str

    def scaled(self, factor: float) -> Interval:
        """Both ends times a factor of at least 0."""
        return Interval(low=self.low * factor, high=self.high * factor, confidence=self.confidence, method=self.method)


def clopper_pearson(num_found: int, num: int, *, confidence: float = 0.95) -> Interval:
    """Exact two-sided interval of a binomial share (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest

    ends = binomtest(num_found, num).proportion_ci(confidence, method="exact")
    return Interval(low=float(ends.low), high=float(ends.high), confidence=confidence, method="Clopper-Pearson")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How a bootstrap is made."""

    num_bootstrap: int = 4000
    confidence: float = 0.95
    seed: int = 0


def bootstrap_interval(values: Floats, cluster: Ints, how: Resampling, *, low: float) -> Interval:
    """Percentile interval of the mean of values (N,) in clusters (N,) by two-stage bootstrap, clipped to [low, 1].

    Clusters (inspections) are drawn with replacement, then values within each. Drawing both plainly would
    count the spread within clusters twice; so cluster means are shrunken towards the mean and residuals
    stretched such that both spreads come out unbiased (Davison and Hinkley 1997, section 3.8; Ng, Grieve and
    Carpenter 2013, Stata Journal 13, 141-164). Where all values are alike, no other outcome is known, and the
    interval is a point: not one to report.
    """
    rng = np.random.default_rng(how.seed)
    means, residuals, inside = _two_stages(values, cluster)
    num, estimates = len(means), np.empty(how.num_bootstrap)
    # In blocks of a bounded number of draws, so that memory stays small.
    block = max(1, 2_000_000 // inside.size)
    for start in range(0, how.num_bootstrap, block):
        size = min(block, how.num_bootstrap - start)
        drawn = rng.integers(num, size=(size, num))
        residual = residuals[rng.integers(len(residuals), size=(size, num, inside.shape[1]))]
        counted = inside[drawn]
        total = counted.sum(axis=2)
        sums = means[drawn] * total + (residual * counted).sum(axis=2)
        estimates[start : start + size] = sums.sum(axis=1) / total.sum(axis=1)
    tail = 100.0 * (1.0 - how.confidence) / 2
    ends = np.clip(np.percentile(estimates, [tail, 100.0 - tail]), low, 1.0)
    return Interval(
        low=float(ends[0]),
        high=float(ends[1]),
        confidence=how.confidence,
        method=f"two-stage bootstrap over {num} inspections and {len(values)} defects, {how.num_bootstrap} draws",
    )


def _two_stages(values: Floats, cluster: Ints) -> tuple[Floats, Floats, Floats]:
    """Shrunken cluster means (G,), stretched residuals (N,), and 1 for each value of a cluster (G, most), else 0."""
    _, group, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    mean = np.bincount(group, weights=values) / sizes
    overall = float(values.mean())
    residual = values - mean[group]
    num, count = len(sizes), len(values)
    typical = count / num  # Mean cluster size: b in the reference's notation.
    within = float(np.sum(residual**2))
    between = float(np.sum(sizes * (mean - overall) ** 2)) / typical
    if num == 1:
        keep = 0.0  # One inspection says nothing about how inspections differ.
    else:
        noise = within / (typical * (typical - 1.0) * between) if typical > 1 and between > 0 else 0.0
        keep = float(np.sqrt(max(0.0, num / (num - 1) - noise))) if between > 0 else 0.0
    stretch = float(np.sqrt(typical / (typical - 1.0))) if typical > 1 else 0.0
    inside = (np.arange(sizes.max()) < sizes[:, None]).astype(np.float64)
    return overall + keep * (mean - overall), residual * stretch, inside
