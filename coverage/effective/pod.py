"""Probability of detection on each element, modelled from hits and misses of planted defects.

A map to look at, beside the direct estimate of ``effective``: logistic regression extrapolates from sites
with defects to all elements, which the direct estimate never does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from viewcov.coverage.effective.effective import DetectionTrials
from viewcov.coverage.effective.evidence import Showing
from viewcov.coverage.effective.figures import Coefficient, PodAreas, PodBySize, PodMapFigures, PodModel
from viewcov.inspection.arrays import Bools, Floats, Floats32

COVARIATES = ("log_size_px", "cos_incidence", "log_num_views")

UNSEEN, BELOW, REACHED = 0, 1, 2
"""States of an element: unseen; seen, but the probability of detection is below the threshold; it reaches it."""

RIDGE = 1.0
"""Penalty on slopes per standard deviation of a covariate: a normal prior with standard deviation 1."""

POD_THRESHOLD = 0.5
"""Probability of detection from which the map counts an element as reached."""

CURVE_AT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Probabilities of detection for which the map gives the share of area that reaches them."""

_INTERCEPT_RIDGE = 0.01
_MAX_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PodMap:
    """Probability of detection over the surface for one defect size."""

    pod: Floats32
    """Shape (E,): the mean over inspections, one that does not see the element counting 0; NaN = unseen by all."""

    state: NDArray[np.uint8]
    """Shape (E,): UNSEEN, BELOW or REACHED."""

    figures: PodMapFigures
    """Areas of the states, and the share of area for each probability."""


def fit_pod(trials: DetectionTrials, model: str, at_sites: Showing) -> PodModel:
    """Hit/miss model from the trials at seen sites, N of them with their covariates, shapes (N,).

    Covariates are standardised over the trials; ones that do not vary there are left at slope 0. The ridge
    keeps the fit finite where hits and misses are separable.

    Raises
    ------
    ValueError
        If no trial lies at a seen site.
    """
    rows = trials.seen & at_sites.seen & np.isfinite(at_sites.mm_per_px)
    if not rows.any():
        raise ValueError(f"trials must have a defect at a seen site, got none among {len(trials)}")
    features = _features(at_sites, trials.size_mm)[rows]
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    found = trials.found[model][rows]
    design = np.column_stack([np.ones(len(features)), (features - mean) / scale])
    penalty = np.array([_INTERCEPT_RIDGE * RIDGE, *[RIDGE] * len(COVARIATES)])
    values, covariance = fit_logistic(design, found, penalty)
    fitted = zip(values, np.sqrt(np.diag(covariance)), [0.0, *mean], [1.0, *scale], strict=True)
    intercept, *slopes = (Coefficient(value=v, standard_error=e, mean=m, scale=s) for v, e, m, s in fitted)
    by_covariate = dict(zip(COVARIATES, slopes, strict=True))
    return PodModel(intercept=intercept, slopes=by_covariate, num_trials=len(found), num_found=int(found.sum()))


def predicted(model: PodModel, showing: Showing, size_mm: float | Floats) -> Floats32:
    """Probability of detection of a defect of ``size_mm`` at each element, shape (E,); NaN = unseen."""
    mean, scale, slope = np.array([(one.mean, one.scale, one.value) for one in model.slopes.values()]).T
    score = model.intercept.value + (_features(showing, size_mm) - mean) / scale @ slope
    return expit(score).astype(np.float32)


def fit_logistic(design: Floats, hit: Bools, penalty: Floats) -> tuple[Floats, Floats]:
    """Coefficients (K,) that maximise the penalised likelihood, and the inverse information (K, K).

    Newton's method with halved steps: the objective is strictly concave for positive penalties, so it ends at
    the one maximum. The objective is sum [y s - log(1 + exp s)] - sum penalty b^2 / 2 with s = design b.
    """
    y = hit.astype(np.float64)

    def objective(b: Floats) -> float:
        score = design @ b
        return float(np.sum(y * score - np.logaddexp(0.0, score)) - 0.5 * penalty @ b**2)

    b = np.zeros(design.shape[1])
    value = objective(b)
    for _ in range(_MAX_STEPS):
        p = expit(design @ b)
        gradient = design.T @ (y - p) - penalty * b
        information = (design * (p * (1.0 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(information, gradient)
        # Half the Newton decrement bounds what is left to gain.
        if gradient @ step < _TOLERANCE:
            return b, np.asarray(np.linalg.inv(information), dtype=np.float64)
        size = 1.0
        while (tried := objective(b + size * step)) < value and size > 1e-12:
            size /= 2.0
        b, value = b + size * step, tried
    raise ArithmeticError(f"logistic regression did not settle in {_MAX_STEPS} steps")


def pod_map(model: PodModel, showings: Sequence[Showing], area_mm2: Floats, *, size_mm: float) -> PodMap:
    """Probability of detection of a defect of ``size_mm`` over the surface, and its three states.

    The elements' area, shape (E,), is 0 where nothing is to be inspected. All shares are of this area, unseen area
    included.
    """
    known, seen = _mean_pod(model, showings, size_mm)
    state = np.where(seen, np.where(known >= POD_THRESHOLD, REACHED, BELOW), UNSEEN).astype(np.uint8)
    total = float(area_mm2.sum())
    unseen, below, reached = (float(area_mm2[state == value].sum()) for value in (UNSEEN, BELOW, REACHED))
    return PodMap(
        pod=np.where(seen, known, np.nan).astype(np.float32),
        state=state,
        figures=PodMapFigures(
            size_mm=size_mm,
            pod_threshold=POD_THRESHOLD,
            pod_area_mm2=PodAreas(unseen=unseen, below=below, reached=reached),
            curve=tuple((float(p), float(area_mm2[seen & (known >= p)].sum()) / total) for p in CURVE_AT),
            mean_pod=min(float(area_mm2 @ known) / total, 1.0),
        ),
    )


def pod_by_size(model: PodModel, showings: Sequence[Showing], area_mm2: Floats, size_mm: Floats) -> PodBySize:
    """Area-weighted mean probability of detection over the surface that is seen, by defect size, rising."""
    pods = []
    for size in size_mm:
        known, seen = _mean_pod(model, showings, float(size))
        pods.append(min(float(np.average(known[seen], weights=area_mm2[seen])), 1.0))
    reaches = np.flatnonzero(np.array(pods) >= 0.9)
    a90 = None
    if reaches.size and reaches[0] > 0:
        ends = slice(reaches[0] - 1, reaches[0] + 1)
        a90 = float(np.exp(np.interp(0.9, pods[ends], np.log(size_mm[ends]))))
    return PodBySize(size_mm=tuple(size_mm.tolist()), pod=tuple(pods), a90_mm=a90)


def _features(showing: Showing, size_mm: float | Floats) -> Floats:
    """The covariates ``COVARIATES`` for a defect of ``size_mm`` at each element, shape (E, K); NaN = unseen."""
    known = np.where(showing.seen & np.isfinite(showing.mm_per_px), 1.0, np.nan)
    columns = (np.log(size_mm / showing.mm_per_px * known), showing.cos_incidence, np.log(showing.num_views * known))
    return np.column_stack(columns) * known[:, None]


def _mean_pod(model: PodModel, showings: Sequence[Showing], size_mm: float) -> tuple[Floats32, Bools]:
    """Mean over inspections, unseen as 0, and which elements any of them sees, shapes (E,)."""
    # Inspections along the same poses share one object.
    number = Counter(map(id, showings))
    pods = {key: predicted(model, one, size_mm) for key, one in {id(one): one for one in showings}.items()}
    seen = np.logical_or.reduce([~np.isnan(pod) for pod in pods.values()])
    total = sum(number[key] * np.nan_to_num(pod).astype(np.float64) for key, pod in pods.items())
    return np.asarray(total / len(showings), dtype=np.float32), seen
