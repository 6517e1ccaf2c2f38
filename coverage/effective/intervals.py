"""Intervals of shares: exact for independent trials, bootstrapped for trials in inspections."""

from __future__ import annotations

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


def bootstrap_interval(
    values: Floats,
    cluster: Ints,
    weight: Floats,
    *,
    num_bootstrap: int,
    confidence: float,
    seed: int,
    low: float,
    high: float = 1.0,
) -> Interval | None:
    """Percentile interval of a weighted mean by two-stage bootstrap; None where all values are alike.

    Clusters (inspections) are drawn with replacement, then values within each. Drawing both plainly would
    count the spread within clusters twice; so cluster means are shrunken towards the mean and residuals
    stretched such that both spreads come out unbiased (Davison and Hinkley 1997, section 3.8; Ng, Grieve and
    Carpenter 2013, Stata Journal 13, 141-164). Results are clipped to [low, high].

    Parameters
    ----------
    values, cluster, weight
        Shape (N,).
    """
    if len(values) == 0 or np.ptp(values) == 0:
        return None
    rng = np.random.default_rng(seed)
    means, residuals, weights, count = _two_stages(values, cluster, weight)
    num = len(means)
    estimates = np.empty(num_bootstrap)
    # In blocks of a bounded number of draws, so that memory stays small.
    block = max(1, 2_000_000 // max(1, weights.size))
    for start in range(0, num_bootstrap, block):
        size = min(block, num_bootstrap - start)
        drawn = rng.integers(num, size=(size, num))
        residual = residuals[rng.integers(len(residuals), size=(size, num, weights.shape[1]))]
        w = weights[drawn]
        total = w.sum(axis=2)
        sums = means[drawn] * total + (residual * w).sum(axis=2)
        estimates[start : start + size] = sums.sum(axis=1) / total.sum(axis=1)
    tail = 100.0 * (1.0 - confidence) / 2
    ends = np.clip(np.percentile(estimates, [tail, 100.0 - tail]), low, high)
    return Interval(
        low=float(ends[0]),
        high=float(ends[1]),
        confidence=confidence,
        method=f"two-stage bootstrap over {num} inspections and {count} defects, {num_bootstrap} draws",
    )


def _two_stages(values: Floats, cluster: Ints, weight: Floats) -> tuple[Floats, Floats, Floats, int]:
    """Shrunken cluster means (G,), stretched residuals (N,), weights padded with 0 (G, most) and N."""
    _, group = np.unique(cluster, return_inverse=True)
    total = np.bincount(group, weights=weight)
    mean = np.bincount(group, weights=weight * values) / total
    overall = float(np.average(values, weights=weight))
    residual = values - mean[group]
    num, count = len(total), len(values)
    sizes = np.bincount(group)
    typical = count / num  # Mean cluster size: b in the reference's notation.
    within = float(np.sum(weight * residual**2)) * count / float(weight.sum())
    between = float(np.sum(total * (mean - overall) ** 2)) / float(total.mean())
    if num == 1:
        keep = 0.0  # One inspection says nothing about how inspections differ.
    else:
        noise = within / (typical * (typical - 1.0) * between) if typical > 1 and between > 0 else 0.0
        keep = float(np.sqrt(max(0.0, num / (num - 1) - noise))) if between > 0 else 0.0
    stretch = float(np.sqrt(typical / (typical - 1.0))) if typical > 1 else 0.0
    padded = np.zeros((num, int(sizes.max())))
    order = np.argsort(group, kind="stable")
    first = np.cumsum(sizes) - sizes
    padded[group[order], np.arange(count) - first[group[order]]] = weight[order]
    return overall + keep * (mean - overall), residual * stretch, padded, count
