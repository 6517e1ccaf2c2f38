"""The figures of ``cover`` and ``fuse``: the content of ``effective.json`` and ``fused.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import computed_field, model_validator

from viewcov.coverage.effective.intervals import Interval
from viewcov.inspection.folder import Split
from viewcov.inspection.records import Count, FileRecord, Known, Name, Record, Share


class EffectiveCoverage(Record):
    """Direct estimate of the share of the inspected area on which planted defects are found."""

    effective_coverage: Share
    """Seen share of the area times found share among seen sites."""

    interval: Interval
    """Of the effective coverage, by bootstrap over inspections and defects."""

    clopper_pearson: Interval
    """Of the effective coverage, as if all defects were independent; to compare."""

    seen_area_share: Share
    """Share of the inspected area that is seen, the mean over inspections: upper bound of the effective coverage."""

    found_share: Share
    """Weighted share of defects at seen sites that were found."""

    num_inspections: Count
    num_defects: Count
    num_seen: Count
    """Defects at sites that their inspection sees."""

    num_found: Count
    """Defects at seen sites that were found."""

    num_found_unseen: Count
    """Defects found although the element at their site is unseen; these count as 0."""


class PairedDifference(Record):
    """Difference in effective coverage between two models on the same defects."""

    model: str
    minus: str
    difference: float
    """Effective coverage of ``model`` minus that of ``minus``."""

    interval: Interval
    num_pairs: Count
    """Defects at seen sites."""

    only_model: Count
    """Found by ``model`` only (discordant pairs)."""

    only_minus: Count
    """Found by ``minus`` only."""

    p_value: Share
    """Exact McNemar test, two-sided: the probability of discordant pairs so uneven if the two were alike."""


class FalseAlarms(Record):
    """Detections on no planted defect, to stand beside every effective coverage."""

    num_false: Count
    num_inspections: Count
    inspected_area_mm2: float
    """Of one part."""

    per_part: float
    per_part_interval: Interval
    """Exact for a Poisson rate."""

    per_m2: float


class PodAreas(Record):
    """Inspected area in mm2 by what the map of the probability of detection says there."""

    unseen: float
    """No view shows it."""

    below: float
    """Seen, but the probability is below the map's threshold."""

    reached: float
    """The probability reaches the threshold."""


class PodMapFigures(Record):
    """Probability of detection over the surface for one defect size: a model's view, beside the direct estimate."""

    size_mm: float
    pod_threshold: float
    """Least probability of detection for ``reached``."""

    pod_area_mm2: PodAreas
    curve: tuple[tuple[float, float], ...]
    """Pairs (p, share of the inspected area with a probability of detection of at least p)."""

    mean_pod: Share
    """Area-weighted mean over the inspected surface, unseen as 0: to compare with the direct estimate."""


class Coefficient(Record):
    """A fitted number; the covariate it belongs to was reduced by ``mean`` and divided by ``scale``."""

    value: float
    standard_error: float
    mean: float = 0.0
    scale: float = 1.0


class PodModel(Record):
    """Logistic regression of hit or miss on standardised covariates, MIL-HDBK-1823A's hit/miss model."""

    intercept: Coefficient
    slopes: dict[str, Coefficient]
    """By covariate, in the order of ``pod.COVARIATES``."""

    num_trials: Count
    num_found: Count


class PodBySize(Record):
    """Mean probability of detection over the seen surface, by defect size, within the sizes that were planted."""

    size_mm: tuple[float, ...]
    """Rising."""

    pod: tuple[Share, ...]
    a90_mm: Known
    """Size from which it is at least 0.9; None if no planted size reaches that, or all do."""


class ModelFigures(EffectiveCoverage):
    """What one model finds."""

    threshold: float
    """Fused probability from which an element starts a defect."""

    false_alarms: FalseAlarms
    pod_map: PodMapFigures
    pod_model: PodModel
    pod_by_size: PodBySize


class EffectiveFigures(FileRecord):
    """``effective.json``: what models really find on a part."""

    REMEDY: ClassVar[str] = "make it again with 'viewcov cover'"

    schema_version: Literal["viewcov-effective/1"] = "viewcov-effective/1"
    rule: str
    """How the views were fused."""

    split: Split | None
    """Split of the data set that the inspections are; None for all of them, or without a data set."""

    inspections: tuple[str, ...]
    """Names of the inspections."""

    elements: Count
    inspected_area_mm2: float
    """Area to be inspected."""

    coverable_area_mm2: Known
    """Area that some viewpoint of the rig could cover; None where the plan does not say."""

    covered_area_mm2: Known
    """Area that the plan's views cover; None where the plan does not say."""

    seen_area_mm2: float
    """Area that the images show, the mean over inspections."""

    models: dict[Name, ModelFigures]
    """By model."""

    paired: tuple[PairedDifference, ...]
    """Each further model minus the first."""


class DefectCounts(Record):
    """Counts over one or more inspections, which add up."""

    num_planted: Count = 0
    num_found: Count = 0
    """Planted defects that were found."""

    num_detections: Count = 0
    num_true: Count = 0
    """Detections that are true."""

    @model_validator(mode="before")
    @classmethod
    def _without_figures(cls, value: Any) -> Any:
        """Figures that were written beside the counts follow from them."""
        return (
            {k: v for k, v in value.items() if k not in cls.model_computed_fields} if isinstance(value, dict) else value
        )

    def __add__(self, other: DefectCounts) -> DefectCounts:
        return DefectCounts(**{name: getattr(self, name) + getattr(other, name) for name in DefectCounts.model_fields})

    @computed_field  # type: ignore[prop-decorator]
    @property
    def precision(self) -> float | None:
        """Share of detections that are true; None without detections."""
        return self.num_true / self.num_detections if self.num_detections else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def recall(self) -> float | None:
        """Share of planted defects that were found; None without planted defects."""
        return self.num_found / self.num_planted if self.num_planted else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; 0 if one is 0 or only one is None, None if both are."""
        if not (self.num_planted or self.num_detections):
            return None
        if self.precision is None or self.recall is None or not (self.num_found and self.num_true):
            return 0.0
        return 2.0 * self.precision * self.recall / (self.precision + self.recall)


class MatchFigures(DefectCounts):
    """Found against planted defects of one inspection."""

    found_ids: tuple[int, ...]
    missed_ids: tuple[int, ...]


class BestView(DefectCounts):
    """Counts of the view with the largest F1."""

    view: str


class MeanScores(Record):
    """Means over views; views without a figure do not count."""

    precision: float | None
    recall: float | None
    f1: float | None

    @classmethod
    def of(cls, counts: Sequence[DefectCounts]) -> MeanScores:
        """Of some counts."""
        known = {name: [getattr(one, name) for one in counts] for name in cls.model_fields}
        values = {name: [value for value in each if value is not None] for name, each in known.items()}
        return cls(**{name: float(np.mean(each)) if each else None for name, each in values.items()})


class ViewScores(Record):
    """Best view by F1 and means over views; views with nothing planted and nothing found do not count."""

    best: BestView
    mean: MeanScores

    @classmethod
    def of(cls, counts: Mapping[str, DefectCounts]) -> ViewScores | None:
        """Of the counts of views, by id; None where no view has a figure."""
        f1 = {name: one.f1 for name, one in counts.items() if one.f1 is not None}
        if not f1:
            return None
        best = max(f1, key=lambda name: f1[name])
        return cls(best=BestView(view=best, **counts[best].model_dump()), mean=MeanScores.of(list(counts.values())))


class SingleViewFigures(Record):
    """What views find alone; None where nothing is planted and nothing found."""

    threshold: float
    """Probability from which an element starts a defect in one view."""

    in_view: ViewScores | None
    """Against the planted defects as far as the view shows them."""

    of_all: ViewScores | None
    """Against all planted defects of the part."""


class DefectFigures(Record):
    """One defect found on the surface."""

    id: int
    """Number, from 1, by falling evidence (mean probability times area)."""

    num_elements: Count
    area_mm2: float
    """Area of its elements."""

    center_mm: tuple[float, float, float]
    """Area-weighted centroid."""

    extent_mm: float
    """Length of the corners of its elements along their principal axis."""

    mean_probability: Share
    """Area-weighted mean over its elements."""

    max_probability: Share
    """Largest over its elements."""

    cad_faces: tuple[int, ...]
    """CAD faces it lies on, rising."""

    views: tuple[str, ...]
    """Ids of the views whose own value reaches the low threshold on it, strongest first.

    Ranked by the sum over such elements of weight times area times probability.
    """

    true: bool | None = None
    """Whether it lies on a planted defect; None where none is known."""


class FusedFigures(FileRecord):
    """``fused.json``: what all views of an inspection say together, by one model."""

    REMEDY: ClassVar[str] = "make it again with 'viewcov fuse'"

    schema_version: Literal["viewcov-fused/1"] = "viewcov-fused/1"
    inspection: str
    """Name of the inspection."""

    model: Name
    rule: str
    """Rule behind ``defects``."""

    thresholds: dict[str, float]
    """High threshold by rule."""

    rules: dict[str, MatchFigures]
    """By rule with a threshold, found against planted defects; empty without truth."""

    single_view: SingleViewFigures | None
    """None without truth or without a threshold for single views."""

    defects: tuple[DefectFigures, ...]
    """Strongest first."""
