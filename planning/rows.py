"""Elements drawn from a surface to choose views by, and what a choice by them says of the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.mesh.surface import Surface

MOST_ROWS = 40_000
"""Surfaces of no more elements are planned on all of them."""

SEARCHED, CHECKED, LEAST_CHECKED = 30_000, 70_000, 20_000
"""Elements drawn from larger ones: to search for candidates by, and for the bound, by whether there is time; twenty
thousand tell a share of a hundredth with a standard error of 7 % of it. Views are chosen by both."""

CONFIDENCE = 0.95
"""Of what a sample says about the whole."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """R elements of a surface and what each stands for."""

    element_idx: Ints
    """Shape (R,), ascending."""

    weight: Floats
    """Shape (R,); they sum to the weight of the whole."""

    num_draws: int | None = None
    """Independent draws that made them; None where they are all elements."""

    @classmethod
    def all_of(cls, weight: Floats) -> Rows:
        """All elements that weigh anything."""
        elements = np.flatnonzero(weight > 0)
        return cls(element_idx=elements, weight=weight[elements])

    @classmethod
    def searched(cls, weight: Floats, *, seed: int) -> Rows:
        """All elements of small surfaces, some of larger ones: what candidates are searched by."""
        return cls.all_of(weight) if len(weight) <= MOST_ROWS else cls.drawn(weight, SEARCHED, seed=seed)

    @classmethod
    def drawn(cls, weight: Floats, num_draws: int, *, seed: int) -> Rows:
        """Elements drawn with a chance in proportion to their weight, one from each of ``num_draws`` strata.

        An element stands for as much as it was drawn. Strata make the sample no less exact than a simple one: the
        chance of a large deviation of a sum of independent hits is largest where all have the same odds
        (Hoeffding, Annals of Mathematical Statistics 27, 1956).
        """
        sums = np.cumsum(weight)
        at = (np.arange(num_draws) + np.random.default_rng(seed).random(num_draws)) / num_draws * sums[-1]
        drawn = np.minimum(np.searchsorted(sums, at, side="right"), np.flatnonzero(weight > 0)[-1])
        elements, times = np.unique(drawn, return_counts=True)
        return cls(element_idx=elements, weight=times * (sums[-1] / num_draws), num_draws=num_draws)

    def joined(self, other: Rows) -> Rows:
        """Both, each for its share of the draws."""
        if self.num_draws is None or other.num_draws is None:
            return self
        num_draws = self.num_draws + other.num_draws
        elements, place = np.unique(np.concatenate([self.element_idx, other.element_idx]), return_inverse=True)
        shares = [self.weight * (self.num_draws / num_draws), other.weight * (other.num_draws / num_draws)]
        weight = np.bincount(place, weights=np.concatenate(shares)).astype(np.float64)
        return Rows(element_idx=elements, weight=weight, num_draws=num_draws)

    def surface(self, whole: Surface, weight: Floats) -> Surface:
        """The elements as a surface whose weight is that of the whole: each has the area that it stands for."""
        if self.num_draws is None:
            return whole
        elements = self.element_idx
        return whole.only(elements, area_mm2=self.weight * whole.area_mm2[elements] / weight[elements])

    def most_missed(self, share: float) -> float:
        """The share of the draws that a set of this share of the weight is hit by at most, with ``CONFIDENCE``.

        The set must not depend on the draws.
        """
        if self.num_draws is None:
            return share
        return float(binom.ppf(CONFIDENCE, self.num_draws, share)) / self.num_draws

    def least_missed(self, share: float) -> float:
        """A set that this share of the draws hit at least has no smaller share of the weight, with ``CONFIDENCE``.

        The set must not depend on the draws.
        """
        if self.num_draws is None:
            return share
        fewer = np.ceil(share * self.num_draws - 1e-9) - 1.0
        if fewer < 0:
            return 0.0
        return float(brentq(lambda odds: binom.cdf(fewer, self.num_draws, odds) - CONFIDENCE, 0.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """The rows of a choice of views."""

    chosen_by: Rows
    """What views are chosen by."""

    bound_by: Rows
    """What the candidates do not depend on, and so what the bound is about."""
