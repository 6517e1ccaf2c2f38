"""What the views of one inspection say about each element: streamed sums, and a table of every single say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.rays.projection import PooledView, ViewElements, correspond, pool
from viewcov.inspection.arrays import Floats, Floats32, Ints32
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_grey, read_table, write_table
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.fixture import obstacles_of

if TYPE_CHECKING:
    from viewcov.inspection.folder import InspectionFolder
    from viewcov.inspection.plan import InspectionPlan
    from viewcov.inspection.rig.camera import Camera
    from viewcov.inspection.viewpoint import Viewpoint

Statistic = Literal["mean", "max", "top"]

CLAMP = 1e-3
"""Probabilities are kept this far from 0 and 1 before logarithms: no single view is ever certain."""

RELIABILITY = 0.9
"""Mass that Dempster-Shafer gives to what a view says (Shafer's discount); the rest is left open."""

_PAIRS_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """Sums over views for each element, from which every fusion rule follows. Unseen elements have no views.

    A view v says p_v with weight w_v in [0, 1]. All sums are float64 of shape (E,): views may come in any
    order and parts of a plan may be merged; results agree to rounding.
    """

    num_views: Ints32
    """Number of views with any weight."""

    sum_weight: Floats
    """Sum of w."""

    sum_p: Floats
    """Sum of w p."""

    max_p: Floats
    """Largest w p."""

    sum_log_odds: Floats
    """Sum of w logit(p), p clamped to [CLAMP, 1 - CLAMP]."""

    sum_log_miss: Floats
    """Sum of log(1 - w p), with w p at most 1 - CLAMP."""

    sum_log_defect: Floats
    """Sum of log(m(defect) + m(open)) of each view's masses; r = RELIABILITY w, m(defect) = r p."""

    sum_log_clean: Floats
    """Sum of log(m(clean) + m(open)), m(clean) = r (1 - p)."""

    sum_log_open: Floats
    """Sum of log(m(open)), m(open) = 1 - r."""

    @classmethod
    def empty(cls, num_elements: int) -> Evidence:
        """Evidence of no view."""
        sums = {field.name: np.zeros(num_elements) for field in fields(cls) if field.name != "num_views"}
        return cls(num_views=np.zeros(num_elements, dtype=np.int32), **sums)

    @property
    def num_elements(self) -> int:
        """Number of elements of the surface."""
        return len(self.num_views)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Shape (E,): elements about which at least one view says something."""
        return self.num_views > 0

    @property
    def base_rate(self) -> float:
        """Weighted mean of all that the views say, within [CLAMP, 0.5]; 0.5 without any view."""
        total = float(self.sum_weight.sum())
        return float(np.clip(self.sum_p.sum() / total, CLAMP, 0.5)) if total > 0 else 0.5

    def add_in_place(
        self, element_idx: NDArray[np.integer], p: NDArray[np.floating], weight: NDArray[np.floating]
    ) -> None:
        """Add one view: each element at most once, its probability and its weight, shapes (M,)."""
        says = weight > 0
        idx = np.asarray(element_idx)[says]
        p, w = np.asarray(p, dtype=np.float64)[says], np.asarray(weight, dtype=np.float64)[says]
        clamped, r = np.clip(p, CLAMP, 1.0 - CLAMP), RELIABILITY * w
        self.num_views[idx] += 1
        self.sum_weight[idx] += w
        self.sum_p[idx] += w * p
        self.max_p[idx] = np.maximum(self.max_p[idx], w * p)
        self.sum_log_odds[idx] += w * np.log(clamped / (1.0 - clamped))
        self.sum_log_miss[idx] += np.log1p(-np.minimum(w * p, 1.0 - CLAMP))
        self.sum_log_defect[idx] += np.log(r * p + 1.0 - r)
        self.sum_log_clean[idx] += np.log(r * (1.0 - p) + 1.0 - r)
        self.sum_log_open[idx] += np.log1p(-r)

    def merged(self, other: Evidence) -> Evidence:
        """Evidence of the views of both; the two must not share views."""
        if other.num_elements != self.num_elements:
            raise ValueError(f"other must have {self.num_elements} elements, got {other.num_elements}")
        names = [field.name for field in fields(self)]
        joined = {
            name: (np.maximum if name == "max_p" else np.add)(getattr(self, name), getattr(other, name))
            for name in names
        }
        return Evidence(**joined)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvidenceTable:
    """What each view says about each element it shows, shapes (T,). The audit trail behind ``Evidence``."""

    view_ids: tuple[str, ...]
    """Ids of the views; ``view_idx`` counts in these."""

    view_idx: Ints32
    element_idx: Ints32
    num_px: Ints32
    """Pixel centres; 0 for elements smaller than a pixel."""

    weight: Floats32
    """Weight of the view at this element, from its incidence angle."""

    mean: Floats32
    max: Floats32
    top: Floats32

    def rows_of(self, view_id: str) -> NDArray[np.bool_]:
        """Which rows belong to a view."""
        return self.view_idx == self.view_ids.index(view_id)


def view_weight(cos_incidence: NDArray[np.floating], *, max_incidence_deg: float) -> Floats32:
    """Weight of what a view says: 1 up to the required incidence angle a, from there cos / cos(a)."""
    return np.clip(cos_incidence / np.cos(np.deg2rad(max_incidence_deg)), 0.0, 1.0).astype(np.float32)


def gather_evidence(
    surface: Surface,
    folder: InspectionFolder,
    model: str,
    viewpoints: Sequence[Viewpoint] | None = None,
    *,
    statistic: Statistic = "top",
    write: bool = True,
    progress: bool = False,
) -> tuple[Evidence, EvidenceTable]:
    """Evidence of one model's predictions for one inspection, and the table behind it.

    Parameters
    ----------
    viewpoints
        The views to use; all of the plan if not given. A table of a part of the views is never written.
    statistic
        How the pixels of an element in one view become one probability.
    write
        Whether to write ``results/<model>/evidence.parquet``.

    Raises
    ------
    InputError
        If a prediction is missing or does not have the camera's size, or the plan is for another part.
    """
    plan = folder.plan()
    chosen = plan.viewpoints if viewpoints is None else tuple(viewpoints)
    gathering = _Gathering(surface, folder, model, plan, chosen, statistic)
    for view in _views(surface, plan, chosen, progress=progress):
        gathering.add_in_place(view)
    table = gathering.table()
    if write and viewpoints is None:
        write_evidence_table(evidence_path(folder, model), table)
    return gathering.evidence, table


def gather_evidence_many(
    surface: Surface,
    folders: Sequence[InspectionFolder],
    models: Sequence[str],
    *,
    statistic: Statistic = "top",
    write: bool = True,
    progress: bool = False,
) -> dict[str, list[Evidence]]:
    """Evidence of several models for several inspections: model name to one ``Evidence`` per folder.

    Inspections with the same camera and viewpoints share their correspondences: each view is rasterised once
    for every ``32`` pairs of inspection and model, and memory holds the tables of that many. Tables are
    written as by ``gather_evidence``.
    """
    plans = [folder.plan() for folder in folders]
    groups: dict[str, list[tuple[int, str]]] = {}
    for number, plan in enumerate(plans):
        groups.setdefault(_view_key(plan), []).extend((number, model) for model in models)
    batches = [
        pairs[start : start + _PAIRS_AT_ONCE]
        for pairs in groups.values()
        for start in range(0, len(pairs), _PAIRS_AT_ONCE)
    ]
    found: dict[tuple[int, str], Evidence] = {}
    for pairs in batches:
        plan = plans[pairs[0][0]]
        gatherings = [
            _Gathering(surface, folders[n], model, plans[n], plans[n].viewpoints, statistic) for n, model in pairs
        ]
        for view in _views(surface, plan, plan.viewpoints, progress=progress):
            for gathering in gatherings:
                gathering.add_in_place(view)
        for pair, gathering in zip(pairs, gatherings, strict=True):
            found[pair] = gathering.evidence
            if write:
                write_evidence_table(evidence_path(folders[pair[0]], pair[1]), gathering.table())
    return {model: [found[number, model] for number in range(len(folders))] for model in models}


def evidence_of_table(
    table: EvidenceTable,
    num_elements: int,
    *,
    statistic: Statistic = "top",
    view_ids: Sequence[str] | None = None,
) -> Evidence:
    """Evidence summed from a table, of all its views or of those named."""
    evidence = Evidence.empty(num_elements)
    for view_id in table.view_ids if view_ids is None else view_ids:
        rows = table.rows_of(view_id)
        evidence.add_in_place(table.element_idx[rows], getattr(table, statistic)[rows], table.weight[rows])
    return evidence


def evidence_path(folder: InspectionFolder, model: str) -> Path:
    """Where the table of a model for an inspection lies."""
    return folder.results_of(model) / "evidence.parquet"


def write_evidence_table(path: str | Path, table: EvidenceTable) -> None:
    """Write the table as Parquet; the view ids are its metadata."""
    columns = {name: getattr(table, name) for name in _COLUMNS}
    write_table(path, columns, metadata={"schema_version": _SCHEMA, "view_ids": " ".join(table.view_ids)})


def read_evidence_table(path: str | Path) -> EvidenceTable:
    """The table in a Parquet file.

    Raises
    ------
    InputError
        If there is no such file or it is no evidence table.
    """
    columns = read_table(path)
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    version = metadata.get(b"schema_version", b"").decode()
    if version != _SCHEMA or any(name not in columns for name in _COLUMNS):
        raise InputError(
            path,
            "not an evidence table of this version",
            expected=f"schema_version {_SCHEMA!r}",
            found=repr(version),
            remedy="make it again with 'viewcov cover' or 'viewcov fuse'",
        )
    view_ids = tuple(metadata[b"view_ids"].decode().split())
    return EvidenceTable(view_ids=view_ids, **{name: columns[name] for name in _COLUMNS})


_SCHEMA = "viewcov-evidence/1"
_COLUMNS = ("view_idx", "element_idx", "num_px", "weight", "mean", "max", "top")


class _Gathering:
    """One model's predictions for one inspection on their way into evidence."""

    def __init__(
        self,
        surface: Surface,
        folder: InspectionFolder,
        model: str,
        plan: InspectionPlan,
        viewpoints: Sequence[Viewpoint],
        statistic: Statistic,
    ) -> None:
        self.evidence = Evidence.empty(surface.num_elements)
        self._folder, self._model, self._statistic = folder, model, statistic
        self._max_incidence_deg = plan.requirements.max_incidence_deg
        self._view_ids = tuple(view.id for view in viewpoints)
        self._rows: list[tuple[NDArray[Any], ...]] = []
        if plan.part.sha256 != surface.part.source.sha256:
            raise InputError(
                folder.plan_path,
                "the plan is for another part than the surface",
                expected=f"SHA-256 {surface.part.source.sha256[:12]}...",
                found=f"{plan.part.sha256[:12]}...",
                remedy="give inspections of one part",
            )
        missing = [name for name in self._view_ids if not folder.prediction_path(model, name).is_file()]
        if missing:
            raise InputError(
                folder.prediction_path(model, missing[0]),
                f"no prediction of model {model!r} for {len(missing)} of {len(self._view_ids)} views",
                expected="a 16-bit PNG for each view of the plan",
                found="no such file",
                remedy=f"run: viewcov predict MODEL {folder.root}",
            )

    def add_in_place(self, view: ViewElements) -> None:
        pooled = pool(view, self._read(view))
        weight = view_weight(pooled.cos_incidence, max_incidence_deg=self._max_incidence_deg)
        self.evidence.add_in_place(pooled.element_idx, getattr(pooled, self._statistic), weight)
        self._rows.append(self._table_rows(pooled, weight, self._view_ids.index(view.view_id)))

    def table(self) -> EvidenceTable:
        columns = [np.concatenate(parts) for parts in zip(*self._rows, strict=True)] if self._rows else []
        if not columns:
            columns = [np.zeros(0, dtype=np.int32)] * 3 + [np.zeros(0, dtype=np.float32)] * 4
        return EvidenceTable(view_ids=self._view_ids, **dict(zip(_COLUMNS, columns, strict=True)))

    def _read(self, view: ViewElements) -> Floats32:
        path = self._folder.prediction_path(self._model, view.view_id)
        image = read_grey(path)
        if image.shape != view.ids.shape:
            raise InputError(
                path,
                "the prediction does not have the camera's size",
                expected=f"{view.ids.shape[1]} x {view.ids.shape[0]} pixels",
                found=f"{image.shape[1]} x {image.shape[0]}",
                remedy="predict again with this plan's images",
            )
        return image

    @staticmethod
    def _table_rows(pooled: PooledView, weight: Floats32, view: int) -> tuple[NDArray[Any], ...]:
        view_idx = np.full(len(weight), view, dtype=np.int32)
        return view_idx, pooled.element_idx, pooled.num_px, weight, pooled.mean, pooled.max, pooled.top


def _views(
    surface: Surface, plan: InspectionPlan, viewpoints: Sequence[Viewpoint], *, progress: bool
) -> Iterator[ViewElements]:
    from tqdm import tqdm

    camera: Camera = plan.rig.camera
    obstacles = obstacles_of(plan.rig.fixture)
    for viewpoint in tqdm(viewpoints, desc="Gathering evidence", unit="view", disable=not progress):
        yield correspond(surface, camera, viewpoint, obstacles=obstacles)


def _view_key(plan: InspectionPlan) -> str:
    """The same for plans whose images show the same elements at the same pixels."""
    poses = [(view.id, view.world_from_camera.tolist()) for view in plan.viewpoints]
    return repr((plan.part.sha256, plan.part.scale_mm, plan.part.units, plan.rig.camera, plan.rig.fixture, poses))
