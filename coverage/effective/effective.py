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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.effective.intervals import Interval, bootstrap_interval, clopper_pearson
from viewcov.coverage.effective.matching import DefectCounts, DefectMatch
from viewcov.coverage.effective.truth import SurfaceTruth
from viewcov.inspection.arrays import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectionTrials:
    """Planted defects of several inspections, and which variants of a model found them."""

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
    """Shape (N,): whether the element at the site is seen."""

    found: Mapping[str, Bools]
    """Variant (model name) to shape (N,): whether the defect was found."""

    weight: Floats
    """Shape (N,): inverse of the density that the site was drawn with; 1 for area-uniform sites."""

    def __post_init__(self) -> None:
        num = len(self.inspection)
        for name in ("defect_id", "kind", "size_mm", "element_idx", "seen", "weight"):
            if len(getattr(self, name)) != num:
                raise ValueError(f"{name} must have length {num}, got {len(getattr(self, name))}")
        for variant, found in self.found.items():
            if found.shape != (num,):
                raise ValueError(f"found[{variant!r}] must have shape ({num},), got {found.shape}")
        if num and not (np.isfinite(self.weight).all() and (self.weight > 0).all()):
            raise ValueError("weight must be positive and finite, got other values")

    def __len__(self) -> int:
        return len(self.inspection)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveCoverage:
    """Direct estimate of the share of the inspected area on which planted defects are found."""

    variant: str
    coverage: float
    """Seen share of the area times found share among seen sites."""

    interval: Interval
    """Of the coverage, by bootstrap over inspections and defects."""

    clopper_pearson: Interval
    """Of the coverage, as if all defects were independent; to compare."""

    seen_area_share: float
    """Share of the inspected area that is seen: the upper bound of the coverage."""

    found_share: float
    """Weighted share of defects at seen sites that were found."""

    num_inspections: int
    num_defects: int
    num_seen: int
    """Defects at seen sites."""

    num_found: int
    """Defects at seen sites that were found."""

    num_found_unseen: int
    """Defects found although the element at their site is unseen; these count as 0."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return _json_of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """Difference in effective coverage between two variants on the same defects."""

    variant: str
    minus: str
    difference: float
    """Coverage of ``variant`` minus coverage of ``minus``."""

    interval: Interval
    num_pairs: int
    """Defects at seen sites."""

    only_variant: int
    """Found by ``variant`` only (discordant pairs)."""

    only_minus: int
    """Found by ``minus`` only."""

    p_value: float
    """Exact McNemar test, two-sided: the probability of discordant pairs so uneven if the two were alike."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return _json_of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarms:
    """Detections on no planted defect, to stand beside every coverage."""

    num_false: int
    num_inspections: int
    inspected_area_mm2: float
    """Of one part."""

    per_part: float
    per_part_interval: Interval
    """Exact for a Poisson rate."""

    per_m2: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return _json_of(self)


def detection_trials(
    truths: Sequence[SurfaceTruth], matches: Mapping[str, Sequence[DefectMatch]], seen: Bools
) -> DetectionTrials:
    """The trials of several inspections of one part.

    Parameters
    ----------
    truths
        One per inspection.
    matches
        Variant to one match of all planted defects per inspection, in the order of ``truths``.
    seen
        Shape (E,): elements that the plan sees.
    """
    found: dict[str, Bools] = {}
    planted = [np.array([defect.id for defect in truth.defects], dtype=np.int64) for truth in truths]
    for variant, of_inspection in matches.items():
        if len(of_inspection) != len(truths):
            raise ValueError(f"matches[{variant!r}] must have {len(truths)} entries, got {len(of_inspection)}")
        for ids, match in zip(planted, of_inspection, strict=True):
            if not np.array_equal(ids, match.planted_id):
                raise ValueError(f"matches[{variant!r}] must match all planted defects in order, got others")
        found[variant] = np.concatenate([_NO_BOOLS, *(match.planted_found for match in of_inspection)])
    defects = [defect for truth in truths for defect in truth.defects]
    elements = np.concatenate([_NO_INTS, *(truth.center_element_idx for truth in truths)])
    return DetectionTrials(
        inspection=np.repeat(np.arange(len(truths)), [len(ids) for ids in planted]),
        defect_id=np.array([defect.id for defect in defects], dtype=np.int64),
        kind=tuple(defect.kind for defect in defects),
        size_mm=np.array([defect.size_mm for defect in defects], dtype=np.float64),
        element_idx=elements,
        seen=np.asarray(seen)[elements],
        found=found,
        weight=np.ones(len(defects)),
    )


def effective_coverage(
    trials: DetectionTrials,
    variant: str,
    *,
    seen_area_mm2: float,
    inspected_area_mm2: float,
    num_bootstrap: int = 4000,
    confidence: float = 0.95,
    seed: int = 0,
) -> EffectiveCoverage:
    """Direct estimate C = (A_seen / A) * found share among seen sites, unbiased for area-uniform sites.

    Raises
    ------
    ValueError
        If no defect lies at a seen site: there is nothing to estimate from.
    """
    rows = _seen_rows(trials)
    found, weight = trials.found[variant][rows], trials.weight[rows]
    share = float(np.average(found, weights=weight))
    area_share = float(seen_area_mm2 / inspected_area_mm2)
    exact = clopper_pearson(int(found.sum()), len(found), confidence=confidence)
    spread = bootstrap_interval(
        found.astype(np.float64),
        trials.inspection[rows],
        weight,
        num_bootstrap=num_bootstrap,
        confidence=confidence,
        seed=seed,
        low=0.0,
    )
    # Where all were found, or none, resampling knows no other outcome and would claim certainty.
    interval = spread if spread is not None else exact
    return EffectiveCoverage(
        variant=variant,
        coverage=area_share * share,
        interval=interval.scaled(area_share),
        clopper_pearson=exact.scaled(area_share),
        seen_area_share=area_share,
        found_share=share,
        num_inspections=len(np.unique(trials.inspection)),
        num_defects=len(trials),
        num_seen=len(found),
        num_found=int(found.sum()),
        num_found_unseen=int(trials.found[variant][~trials.seen].sum()),
    )


def paired_difference(
    trials: DetectionTrials,
    variant: str,
    minus: str,
    *,
    seen_area_mm2: float,
    inspected_area_mm2: float,
    num_bootstrap: int = 4000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Effective coverage of ``variant`` minus that of ``minus``, each defect compared with itself.

    Raises
    ------
    ValueError
        If no defect lies at a seen site.
    """
    from scipy.stats import binomtest

    rows = _seen_rows(trials)
    first, second = trials.found[variant][rows], trials.found[minus][rows]
    value, weight = first.astype(np.float64) - second, trials.weight[rows]
    area_share = float(seen_area_mm2 / inspected_area_mm2)
    interval = bootstrap_interval(
        value,
        trials.inspection[rows],
        weight,
        num_bootstrap=num_bootstrap,
        confidence=confidence,
        seed=seed,
        low=-1.0,
    )
    if interval is None:
        # All pairs alike: the share of pairs that might still differ, either way, is bounded exactly.
        doubt = clopper_pearson(0, len(value), confidence=confidence).high
        interval = Interval(
            low=max(-1.0, float(value[0]) - doubt),
            high=min(1.0, float(value[0]) + doubt),
            confidence=confidence,
            method="Clopper-Pearson bound on discordant pairs (all pairs alike)",
        )
    gains, losses = int((value > 0).sum()), int((value < 0).sum())
    return PairedDifference(
        variant=variant,
        minus=minus,
        difference=area_share * float(np.average(value, weights=weight)),
        interval=interval.scaled(area_share),
        num_pairs=len(value),
        only_variant=gains,
        only_minus=losses,
        p_value=float(binomtest(gains, gains + losses).pvalue) if gains + losses else 1.0,
    )


def false_alarms(matches: Sequence[DefectMatch], *, inspected_area_mm2: float, confidence: float = 0.95) -> FalseAlarms:
    """Detections on no planted defect, per part and per square metre of inspected area."""
    from scipy.stats import chi2

    if not matches:
        raise ValueError("matches must not be empty, got none")
    total = sum((match.counts for match in matches), DefectCounts())
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


_NO_BOOLS = np.zeros(0, dtype=bool)
_NO_INTS = np.zeros(0, dtype=np.int64)


def _seen_rows(trials: DetectionTrials) -> NDArray[np.int64]:
    rows = np.flatnonzero(trials.seen)
    if not rows.size:
        raise ValueError(f"trials must have a defect at a seen site, got none among {len(trials)}")
    return rows


def _json_of(value: EffectiveCoverage | PairedDifference | FalseAlarms) -> dict[str, Any]:
    items = {name: getattr(value, name) for name in value.__dataclass_fields__}
    return {name: item.model_dump() if isinstance(item, Interval) else item for name, item in items.items()}
