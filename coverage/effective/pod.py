"""Probability of detection on each element, modelled from hits and misses of planted defects.

A map to look at, beside the direct estimate of ``effective``: logistic regression extrapolates from sites
with defects to all elements, which the direct estimate never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.effective.effective import DetectionTrials
from viewcov.inspection.arrays import Bools, Floats, Floats32

if TYPE_CHECKING:
    from viewcov.coverage.geometric.evaluation import GeometricCoverage

Covariate = Literal["log_size_px", "cos_incidence", "log_num_views", "log_light"]

UNSEEN, BELOW, COVERED = 0, 1, 2
"""States of an element: unseen; seen, but below the threshold; effectively covered."""

RIDGE = 1.0
"""Penalty on slopes per standard deviation of a covariate: a normal prior with standard deviation 1."""

_INTERCEPT_RIDGE = 0.01
_MAX_STEPS = 100
_TOLERANCE = 1e-10
_LEAST_LIGHT = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ElementCovariates:
    """How well the views of a plan show each element, shapes (E,); NaN = unseen."""

    mm_per_px: Floats
    """Sampling at the best view."""

    incidence_deg: Floats
    """Incidence angle at the best view."""

    num_views: NDArray[np.integer]
    """Views that see the element."""

    light: Floats | None = None
    """Relative irradiance at the best view, if known."""

    @property
    def seen(self) -> Bools:
        """Shape (E,): elements with at least one view and known sampling."""
        return (np.asarray(self.num_views) > 0) & np.isfinite(self.mm_per_px) & np.isfinite(self.incidence_deg)

    def features(self, size_mm: float | Floats, names: Sequence[Covariate]) -> Floats:
        """Covariates for a defect of ``size_mm`` at each element, shape (E, len(names)); NaN = unseen."""
        seen = self.seen
        sampling = np.where(seen, self.mm_per_px, np.nan)
        columns: dict[str, Floats] = {
            "log_size_px": np.log(size_mm / sampling),
            "cos_incidence": np.where(seen, np.cos(np.deg2rad(self.incidence_deg)), np.nan),
            "log_num_views": np.log(np.where(seen, self.num_views, np.nan)),
        }
        if self.light is not None:
            columns["log_light"] = np.log(np.where(seen, np.maximum(self.light, _LEAST_LIGHT), np.nan))
        missing = [name for name in names if name not in columns]
        if missing:
            raise ValueError(f"covariates must offer {', '.join(names)}, got none for {missing[0]}")
        return np.column_stack([columns[name] for name in names])

    def at(self, element_idx: NDArray[np.integer]) -> ElementCovariates:
        """The covariates of some elements."""
        return ElementCovariates(
            mm_per_px=np.asarray(self.mm_per_px)[element_idx],
            incidence_deg=np.asarray(self.incidence_deg)[element_idx],
            num_views=np.asarray(self.num_views)[element_idx],
            light=None if self.light is None else np.asarray(self.light)[element_idx],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PodModel:
    """Logistic regression of hit or miss on standardised covariates, MIL-HDBK-1823A's hit/miss model."""

    variant: str
    names: tuple[Covariate, ...]
    mean: Floats
    """Shape (K,): what is subtracted from each covariate."""

    scale: Floats
    """Shape (K,): what it is then divided by."""

    coefficients: Floats
    """Shape (K + 1,): intercept, then slopes per standard deviation."""

    covariance: Floats
    """Shape (K + 1, K + 1): inverse of the penalised information."""

    num_trials: int
    num_found: int

    def predict(self, covariates: ElementCovariates, size_mm: float | Floats) -> Floats32:
        """Probability of detection of a defect of ``size_mm`` at each element, shape (E,); NaN = unseen."""
        features = (covariates.features(size_mm, self.names) - self.mean) / self.scale
        score = self.coefficients[0] + features @ self.coefficients[1:]
        return _logistic(score).astype(np.float32)

    def size_for(self, covariates: ElementCovariates, probability: float = 0.9) -> Floats:
        """Smallest defect size in mm with that probability of detection, shape (E,): a90 for 0.9.

        NaN = unseen; infinity where the fitted probability does not rise with size.
        """
        slope = self.coefficients[1 + self.names.index("log_size_px")]
        position = self.names.index("log_size_px")
        features = (covariates.features(1.0, self.names) - self.mean) / self.scale
        score = self.coefficients[0] + features @ self.coefficients[1:]
        wanted = np.log(probability / (1.0 - probability))
        if slope <= 0:
            return np.where(np.isnan(score), np.nan, np.inf)
        return np.exp((wanted - score) * self.scale[position] / slope)

    def to_json(self) -> dict[str, Any]:
        """The fitted numbers; standard errors are square roots of the covariance's diagonal."""
        errors = np.sqrt(np.diag(self.covariance))
        return {
            "variant": self.variant,
            "intercept": {"value": float(self.coefficients[0]), "standard_error": float(errors[0])},
            "slopes": {
                name: {
                    "value": float(self.coefficients[k + 1]),
                    "standard_error": float(errors[k + 1]),
                    "mean": float(self.mean[k]),
                    "scale": float(self.scale[k]),
                }
                for k, name in enumerate(self.names)
            },
            "num_trials": self.num_trials,
            "num_found": self.num_found,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PodMap:
    """Probability of detection over the surface for one defect size, and the coverage that follows."""

    variant: str
    size_mm: float
    pod: Floats32
    """Shape (E,): NaN = unseen."""

    state: NDArray[np.uint8]
    """Shape (E,): UNSEEN, BELOW or COVERED."""

    threshold: float
    """Least probability of detection for COVERED."""

    area_mm2: dict[str, float]
    """Inspected area by state: ``unseen``, ``below``, ``covered``."""

    curve: tuple[tuple[float, float], ...]
    """Pairs (p, share of the inspected area with a probability of detection of at least p)."""

    mean_pod: float
    """Area-weighted mean over the inspected surface, unseen as 0: to compare with the direct estimate."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the arrays."""
        return {
            "variant": self.variant,
            "size_mm": self.size_mm,
            "threshold": self.threshold,
            "area_mm2": self.area_mm2,
            "curve": [list(point) for point in self.curve],
            "mean_pod": self.mean_pod,
        }


def covariates_of(coverage: GeometricCoverage, *, light: Floats | None = None) -> ElementCovariates:
    """How well an evaluated plan shows each element; ``light`` at the best view, shape (E,), if known."""
    return ElementCovariates(
        mm_per_px=coverage.best_mm_per_px,
        incidence_deg=coverage.best_incidence_deg,
        num_views=coverage.num_views,
        light=light,
    )


def fit_pod(trials: DetectionTrials, variant: str, covariates: ElementCovariates, *, ridge: float = RIDGE) -> PodModel:
    """Hit/miss model from the trials at seen sites; light is used if the covariates have it.

    Covariates are standardised over the trials; ones that do not vary there are left at slope 0. The ridge
    keeps the fit finite where hits and misses are separable.

    Raises
    ------
    ValueError
        If no trial lies at a seen site.
    """
    at_sites = covariates.at(trials.element_idx)
    rows = trials.seen & at_sites.seen
    if not rows.any():
        raise ValueError(f"trials must have a defect at a seen site, got none among {len(trials)}")
    names: tuple[Covariate, ...] = ("log_size_px", "cos_incidence", "log_num_views")
    if covariates.light is not None:
        names = (*names, "log_light")
    features = at_sites.features(trials.size_mm, names)[rows]
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    found = trials.found[variant][rows]
    design = np.column_stack([np.ones(len(features)), (features - mean) / scale])
    penalty = np.array([_INTERCEPT_RIDGE * ridge, *[ridge] * len(names)])
    coefficients, covariance = fit_logistic(design, found, trials.weight[rows], penalty)
    return PodModel(
        variant=variant,
        names=names,
        mean=mean,
        scale=scale,
        coefficients=coefficients,
        covariance=covariance,
        num_trials=int(rows.sum()),
        num_found=int(found.sum()),
    )


def fit_logistic(design: Floats, hit: Bools, weight: Floats, penalty: Floats) -> tuple[Floats, Floats]:
    """Coefficients (K,) that maximise the penalised likelihood, and the inverse information (K, K).

    Newton's method with halved steps: the objective is strictly concave for positive penalties, so it ends at
    the one maximum. The objective is sum w [y s - log(1 + exp s)] - sum penalty b^2 / 2 with s = design b.
    """
    if not (penalty > 0).all():
        raise ValueError(f"penalty must be positive, got {penalty.tolist()}")
    # Weights only say how much trials count relative to each other.
    weight = weight / weight.mean()
    y = hit.astype(np.float64)

    def objective(b: Floats) -> float:
        score = design @ b
        return float(weight @ (y * score - np.logaddexp(0.0, score)) - 0.5 * penalty @ b**2)

    b = np.zeros(design.shape[1])
    value = objective(b)
    for _ in range(_MAX_STEPS):
        p = _logistic(design @ b)
        gradient = design.T @ (weight * (y - p)) - penalty * b
        information = (design * (weight * p * (1.0 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(information, gradient)
        # Half the Newton decrement bounds what is left to gain.
        if gradient @ step < _TOLERANCE:
            return b, np.asarray(np.linalg.inv(information), dtype=np.float64)
        size = 1.0
        while (tried := objective(b + size * step)) < value and size > 1e-12:
            size /= 2.0
        b, value = b + size * step, tried
    raise ArithmeticError(f"logistic regression did not settle in {_MAX_STEPS} steps")


def pod_map(
    model: PodModel,
    covariates: ElementCovariates,
    area_mm2: Floats,
    inspected: Bools,
    *,
    size_mm: float,
    threshold: float = 0.5,
    curve_at: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
) -> PodMap:
    """Probability of detection of a defect of ``size_mm`` over the surface, and its three states.

    Parameters
    ----------
    model, covariates
        The fitted model, and how the plan shows the elements.
    area_mm2, inspected
        Shape (E,). All shares are of the inspected area, unseen area included.
    size_mm, threshold, curve_at
        Defect size; least probability for COVERED; probabilities at which to give the coverage curve.
    """
    pod = model.predict(covariates, size_mm)
    seen = ~np.isnan(pod)
    known = np.where(seen, pod, 0.0)
    state = np.where(seen, np.where(known >= threshold, COVERED, BELOW), UNSEEN).astype(np.uint8)
    area = np.where(inspected, area_mm2, 0.0)
    total = float(area.sum())
    return PodMap(
        variant=model.variant,
        size_mm=float(size_mm),
        pod=pod,
        state=state,
        threshold=threshold,
        area_mm2={
            name: float(area[state == value].sum())
            for name, value in (("unseen", UNSEEN), ("below", BELOW), ("covered", COVERED))
        },
        curve=tuple((float(p), float(area[seen & (known >= p)].sum()) / total) for p in curve_at),
        mean_pod=float(area @ known) / total,
    )


def _logistic(score: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(score), dtype=np.float64)
