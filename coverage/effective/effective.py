"""Effective visual coverage: the part of the surface on which a model detects defects.

The headline is design-based. Defects are planted at sites drawn uniformly over the inspected surface, so the
share that is found estimates the share of the surface on which defects of that kind are found, whatever the
model, the views and the fusion are. The unseen area is known exactly and counts as 0 (post-stratification).
Intervals resample inspections and defects, never elements, which are not independent trials. ``pod`` maps the
same trials onto the elements by a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.effective.figures import DefectCounts, EffectiveCoverage, FalseAlarms, PairedDifference
from viewcov.coverage.effective.intervals import Interval, Resampling, bootstrap_interval, clopper_pearson
from viewcov.coverage.effective.matching import DefectMatch
from viewcov.coverage.effective.truth import SurfaceTruth
from viewcov.inspection.arrays import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectionTrials:
    """Planted defects of several inspections, and which models found them."""

    inspection: Ints
    """Shape (N,): number of the inspection."""

    defect_id: Ints
    """Shape (N,)."""

    kind: tuple[str, ...]
    """N kinds."""

    size_mm: Floats
    """Shape (N,): largest extent on the surface."""

    element_idx: Ints
    """Shape (N,): element at the site."""

    seen: Bools
    """Shape (N,): whether its own inspection sees the element at the site."""

    found: Mapping[str, Bools]
    """Model to shape (N,): whether the defect was found."""

    def __len__(self) -> int:
        return len(self.inspection)


def detection_trials(
    truths: Sequence[SurfaceTruth], matches: Mapping[str, Sequence[DefectMatch]], seen: Sequence[Bools]
) -> DetectionTrials:
    """The trials of several inspections of one part: a truth, and elements that are seen, shape (E,), for each.

    ``matches`` has by model one match of all planted defects per inspection, in the order of ``truths``.
    """
    found: dict[str, Bools] = {}
    planted = [np.array([defect.id for defect in truth.defects], dtype=np.int64) for truth in truths]
    for model, of_inspection in matches.items():
        for ids, match in zip(planted, of_inspection, strict=True):
            if not np.array_equal(ids, match.planted_id):
                raise ValueError(f"matches[{model!r}] must match all planted defects in order, got others")
        found[model] = np.concatenate([match.planted_found for match in of_inspection])
    defects = [defect for truth in truths for defect in truth.defects]
    sites = [truth.center_element_idx for truth in truths]
    return DetectionTrials(
        inspection=np.repeat(np.arange(len(truths)), [len(ids) for ids in planted]),
        defect_id=np.array([defect.id for defect in defects], dtype=np.int64),
        kind=tuple(defect.kind for defect in defects),
        size_mm=np.array([defect.size_mm for defect in defects], dtype=np.float64),
        element_idx=np.concatenate(sites),
        seen=np.concatenate([own[site] for own, site in zip(seen, sites, strict=True)]),
        found=found,
    )


_DEFAULTS = Resampling()


def effective_coverage(
    trials: DetectionTrials, model: str, seen_area_share: float | Floats, *, resampling: Resampling = _DEFAULTS
) -> EffectiveCoverage:
    """Direct estimate C = a * found share among seen sites, unbiased for area-uniform sites.

    Parameters
    ----------
    seen_area_share
        Share of the inspected area that an inspection sees: one for all, or shape (J,), one for each. With a
        share for each, a is their mean over planted defects, and the interval counts how they differ.

    Raises
    ------
    ValueError
        If no defect lies at a seen site: there is nothing to estimate from.
    """
    rows = _seen_rows(trials)
    found = trials.found[model][rows]
    area_share, shift = _area_share(trials, rows, seen_area_share)
    share = float(found.mean())
    exact = clopper_pearson(int(found.sum()), len(found), confidence=resampling.confidence)
    # Where all were found, or none, resampling knows no other outcome and would claim certainty.
    certain = found.all() or not found.any()
    spread = bootstrap_interval(found + share * shift, trials.inspection[rows], resampling, low=0.0)
    interval = exact if certain else spread
    return EffectiveCoverage(
        effective_coverage=area_share * share,
        interval=interval.scaled(area_share),
        clopper_pearson=exact.scaled(area_share),
        seen_area_share=area_share,
        found_share=share,
        num_inspections=len(np.unique(trials.inspection)),
        num_defects=len(trials),
        num_seen=len(found),
        num_found=int(found.sum()),
        num_found_unseen=int(trials.found[model][~trials.seen].sum()),
    )


def paired_difference(
    trials: DetectionTrials,
    model: str,
    minus: str,
    seen_area_share: float | Floats,
    *,
    resampling: Resampling = _DEFAULTS,
) -> PairedDifference:
    """Effective coverage of ``model`` minus that of ``minus``, each defect compared with itself.

    Raises
    ------
    ValueError
        If no defect lies at a seen site.
    """
    from scipy.stats import binomtest

    rows = _seen_rows(trials)
    value = trials.found[model][rows].astype(np.float64) - trials.found[minus][rows]
    area_share, shift = _area_share(trials, rows, seen_area_share)
    mean = float(value.mean())
    if np.ptp(value) == 0:
        # All pairs alike: the share of pairs that might still differ, either way, is bounded exactly.
        doubt = clopper_pearson(0, len(value), confidence=resampling.confidence).high
        interval = Interval(
            low=max(-1.0, float(value[0]) - doubt),
            high=min(1.0, float(value[0]) + doubt),
            confidence=resampling.confidence,
            method="Clopper-Pearson bound on discordant pairs (all pairs alike)",
        )
    else:
        interval = bootstrap_interval(value + mean * shift, trials.inspection[rows], resampling, low=-1.0)
    gains, losses = int((value > 0).sum()), int((value < 0).sum())
    return PairedDifference(
        model=model,
        minus=minus,
        difference=area_share * mean,
        interval=interval.scaled(area_share),
        num_pairs=len(value),
        only_model=gains,
        only_minus=losses,
        p_value=float(binomtest(gains, gains + losses).pvalue) if gains + losses else 1.0,
    )


def false_alarms(matches: Sequence[DefectMatch], *, inspected_area_mm2: float) -> FalseAlarms:
    """Detections on no planted defect, per part and per square metre of inspected area."""
    from scipy.stats import chi2

    confidence = 0.95
    total = sum(matches, DefectCounts())
    num, parts, tail = total.num_detections - total.num_true, len(matches), (1.0 - confidence) / 2
    # Garwood (1936): exact limits of a Poisson mean.
    low = float(chi2.ppf(tail, 2 * num)) / 2 if num else 0.0
    high = float(chi2.ppf(1.0 - tail, 2 * num + 2)) / 2
    return FalseAlarms(
        num_false=num,
        num_inspections=parts,
        inspected_area_mm2=float(inspected_area_mm2),
        per_part=num / parts,
        per_part_interval=Interval(low=low / parts, high=high / parts, confidence=confidence, method="exact Poisson"),
        per_m2=float(num / (parts * inspected_area_mm2 * 1e-6)),
    )


def _seen_rows(trials: DetectionTrials) -> NDArray[np.int64]:
    rows = np.flatnonzero(trials.seen)
    if not rows.size:
        raise ValueError(f"trials must have a defect at a seen site, got none among {len(trials)}")
    return rows


def _area_share(
    trials: DetectionTrials, rows: NDArray[np.int64], seen_area_share: float | Floats
) -> tuple[float, Floats]:
    """Mean seen share a of the area, and what the seen trials' inspections have more or less of it, shape (M,).

    With planted defects n_j, seen ones m_j, found ones k_j and seen shares a_j of inspections j, and sums N, M, K
    over them, the estimate is a ratio of sums, a K / M with a = sum n_j a_j / N: its limit is E[n a p] / E[n],
    the share of sites where defects are found, whether or not inspections that see more also find more. To first
    order it varies like a times the mean over seen trials of found + (K / M) shift_j with
    shift_j = (a_j / a - 1) (n_j / N) (M / m_j); the shifts sum to 0, and are 0 where all inspections see the same.
    """
    num = max(int(trials.inspection.max()) + 1, np.size(seen_area_share))
    share = np.broadcast_to(np.asarray(seen_area_share, dtype=np.float64), num)
    planted = np.bincount(trials.inspection, minlength=num)
    seen = np.bincount(trials.inspection[rows], minlength=num)
    mean = float(share[0]) if np.ptp(share) == 0 else float(np.average(share, weights=planted))
    more = (share / mean - 1.0) * planted / planted.sum() * seen.sum() / np.where(seen > 0, seen, 1.0)
    return mean, more[trials.inspection[rows]]
