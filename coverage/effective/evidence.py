"""What the views of one inspection say about each element: streamed sums, and a table of every single say."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.effective.rules import BASE_RATE, CLAMP, RULES, all_sums, checked_rule
from viewcov.coverage.rays.projection import ViewElements, correspond, pool
from viewcov.coverage.rays.screening import Lens
from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints32
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_grey, write_table
from viewcov.inspection.folder import InspectionFolder, model_folder, shipped_models
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.fixture import obstacles_of

if TYPE_CHECKING:
    from viewcov.inspection.plan import InspectionPlan
    from viewcov.inspection.viewpoint import Viewpoint

_PAIRS_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """Sums over views for each element, from which every fusion rule follows. Unseen elements have no views.

    A view v says p_v with weight w_v in [0, 1]. Views may come in any order; results agree to rounding.
    """

    num_views: Ints32
    """Shape (E,): number of views with any weight."""

    sums: dict[str, Floats]
    """Name to sum, shapes (E,), of every rule."""

    @classmethod
    def empty(cls, num_elements: int) -> Evidence:
        """Evidence of no view."""
        sums = {name: np.zeros(num_elements) for name in all_sums()}
        return cls(num_views=np.zeros(num_elements, dtype=np.int32), sums=sums)

    @property
    def seen(self) -> Bools:
        """Shape (E,): elements about which at least one view says something."""
        return self.num_views > 0

    @property
    def base_rate(self) -> float:
        """Weighted mean of all that the views say, within [CLAMP, 0.5]; 0.5 without any view."""
        total = float(self.sums["sum_weight"].sum())
        return float(np.clip(self.sums["sum_p"].sum() / total, CLAMP, 0.5)) if total > 0 else 0.5

    def add_in_place(
        self, element_idx: NDArray[np.integer], p: NDArray[np.floating], weight: NDArray[np.floating]
    ) -> None:
        """Add one view: each element at most once, its probability and its weight, shapes (M,)."""
        says = weight > 0
        idx = np.asarray(element_idx)[says]
        p, w = np.asarray(p, dtype=np.float64)[says], np.asarray(weight, dtype=np.float64)[says]
        self.num_views[idx] += 1
        known = all_sums()
        for name, total in self.sums.items():
            total[idx] = known[name].join(total[idx], known[name].of(p, w))

    def fused(self, rule: str, *, base_rate: float = BASE_RATE) -> Floats32:
        """Defect probability of each element by a rule, shape (E,); NaN = unseen, never "clean".

        ``base_rate`` is what the model's views say on average, as measured on inspections for calibration.
        """
        values = RULES[checked_rule(rule)].fuse(self.sums, base_rate)
        return np.where(self.seen, values, np.nan).astype(np.float32)


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

    def rows_of(self, view_id: str) -> Bools:
        """Which rows belong to a view."""
        return self.view_idx == self.view_ids.index(view_id)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Showing:
    """How well the views of an inspection show each element, shapes (E,)."""

    num_views: NDArray[np.integer]
    """Views that show it."""

    mm_per_px: Floats
    """Finest sampling over the views with its centroid in the frame; infinite without one."""

    cos_incidence: Floats
    """Cosine of the smallest incidence angle over the same views; 0 without one."""

    @classmethod
    def empty(cls, num: int) -> Showing:
        """By no view."""
        return cls(
            num_views=np.zeros(num, dtype=np.int32), mm_per_px=np.full(num, np.inf), cos_incidence=np.zeros(num)
        )  # fmt: skip

    @classmethod
    def joined(cls, several: Sequence[Showing]) -> Showing:
        """One after the other."""
        return cls(**{name: np.concatenate([getattr(one, name) for one in several]) for name in _SHOWN})

    @property
    def seen(self) -> Bools:
        """Shape (E,): elements that a view shows."""
        return self.num_views > 0

    def at(self, element_idx: NDArray[np.integer]) -> Showing:
        """Of some elements."""
        return Showing(**{name: getattr(self, name)[element_idx] for name in _SHOWN})

    def add_in_place(self, surface: Surface, lens: Lens, viewpoint: Viewpoint, view: ViewElements) -> None:
        """Add one view."""
        elements = view.element_idx[view.cos_incidence > 0]
        self.num_views[elements] += 1
        found = lens.measure(surface.centroid_mm[elements], surface.normal[elements], viewpoint)
        idx = elements[found.rows]
        self.mm_per_px[idx] = np.minimum(self.mm_per_px[idx], found.mm_per_px)
        self.cos_incidence[idx] = np.maximum(self.cos_incidence[idx], found.cos_incidence)


_SHOWN = ("num_views", "mm_per_px", "cos_incidence")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """One model's predictions for one inspection, on the surface."""

    inspection: int
    """Place of the inspection among those given."""

    model: str
    evidence: Evidence
    table: EvidenceTable
    showing: Showing
    """The same for all models; inspections with the same poses share one."""


def view_weight(cos_incidence: NDArray[np.floating], *, max_incidence_deg: float) -> Floats32:
    """Weight of what a view says: 1 up to the required incidence angle a, from there cos / cos(a)."""
    return np.clip(cos_incidence / np.cos(np.deg2rad(max_incidence_deg)), 0.0, 1.0).astype(np.float32)


def inspection_surface(folder: InspectionFolder) -> Surface:
    """The surface of an inspection's part, cut as its requirements ask for."""
    plan = folder.plan()
    return cut_surface(plan.load_part(), plan.requirements.element_edge_mm)


def gather_evidence(surface: Surface, folder: InspectionFolder, model: str, *, progress: bool = False) -> Gathered:
    """Evidence of one model's predictions for one inspection; otherwise as ``gather_evidence_many``."""
    return next(gather_evidence_many(surface, [folder], [model], progress=progress))


def gather_evidence_many(
    surface: Surface,
    folders: Sequence[InspectionFolder],
    models: Sequence[str],
    *,
    jobs: int = 1,
    progress: bool = False,
) -> Iterator[Gathered]:
    """Evidence of several models for several inspections, one after the other.

    Inspections with the same camera and viewpoints share their correspondences: each view is rasterised once
    for every ``32`` pairs of inspection and model, and memory holds the tables of that many. Writes
    ``results/<model>/evidence.parquet`` of each inspection.

    Parameters
    ----------
    jobs
        Threads that read predictions.

    Raises
    ------
    InputError
        If a prediction is missing or does not have the camera's size, or a plan is for another part.
    """
    plans = [folder.plan() for folder in folders]
    groups: dict[str, list[tuple[int, str]]] = {}
    for number, plan in enumerate(plans):
        for model in models:
            _refuse_other_part(surface, folders[number], plan)
            require_predictions(folders[number], model, [view.id for view in plan.viewpoints])
            groups.setdefault(_view_key(plan), []).append((number, model))
    batches = [
        pairs[start : start + _PAIRS_AT_ONCE]
        for pairs in groups.values()
        for start in range(0, len(pairs), _PAIRS_AT_ONCE)
    ]

    def gathered() -> Iterator[Gathered]:
        for batch in batches:
            gatherings = [_Gathering(surface, folders[n], model, plans[n]) for n, model in batch]
            showing = _gather(surface, plans[batch[0][0]], gatherings, jobs=jobs, progress=progress)
            for (n, model), one in zip(batch, gatherings, strict=True):
                table = one.table()
                _write_table(folders[n].results_of(model) / "evidence.parquet", table)
                yield Gathered(inspection=n, model=model, evidence=one.evidence, table=table, showing=showing)

    # What is missing is told at once, not when the first is asked for.
    return gathered()


def require_predictions(folder: InspectionFolder, model: str, view_ids: Sequence[str]) -> None:
    """Raise InputError, with the command that makes them, unless a model's predictions of all views are there."""
    missing = [name for name in view_ids if not folder.prediction_path(model, name).is_file()]
    if missing:
        others = ", ".join(name for name in folder.models() if name != model)
        home = model_folder(folder, model)
        known = model if home is None or home.parent == shipped_models() else str(home)
        raise InputError(
            folder.prediction_path(model, missing[0]),
            f"no prediction of model {model!r} for {len(missing)} of {len(view_ids)} views",
            expected="a 16-bit PNG for each view of the plan", found=f"only those of {others}" if others else "none",
            remedy=f"run: {shlex.join(['viewcov', 'predict', known, str(folder.root)])}",
        )  # fmt: skip


def _write_table(path: Path, table: EvidenceTable) -> None:
    """Write the table as Parquet; the view ids are its metadata."""
    columns = {name: getattr(table, name) for name in _COLUMNS}
    write_table(path, columns, metadata={"schema_version": _SCHEMA, "view_ids": " ".join(table.view_ids)})


_SCHEMA = "viewcov-evidence/1"
_COLUMNS = ("view_idx", "element_idx", "num_px", "weight", "mean", "max", "top")


class _Gathering:
    """One model's predictions for one inspection on their way into evidence."""

    def __init__(self, surface: Surface, folder: InspectionFolder, model: str, plan: InspectionPlan) -> None:
        self.evidence = Evidence.empty(surface.num_elements)
        self._folder, self._model = folder, model
        self._max_incidence_deg = plan.requirements.max_incidence_deg
        self._view_ids = tuple(view.id for view in plan.viewpoints)
        self._rows: list[tuple[NDArray[Any], ...]] = []

    def add_in_place(self, number: int, view: ViewElements) -> None:
        """Add the view with that place in the plan; its id may be another than in the plan that was rasterised."""
        pooled = pool(view, self._read(self._view_ids[number], view))
        weight = view_weight(view.cos_incidence, max_incidence_deg=self._max_incidence_deg)
        self.evidence.add_in_place(view.element_idx, pooled.top, weight)
        row = (np.full(len(weight), number, dtype=np.int32), view.element_idx, view.num_px, weight)
        self._rows.append((*row, pooled.mean, pooled.max, pooled.top))

    def table(self) -> EvidenceTable:
        nothing = (*[np.zeros(0, dtype=np.int32)] * 3, *[np.zeros(0, dtype=np.float32)] * 4)
        columns = [np.concatenate(parts) for parts in zip(nothing, *self._rows, strict=True)]
        return EvidenceTable(view_ids=self._view_ids, **dict(zip(_COLUMNS, columns, strict=True)))

    def _read(self, view_id: str, view: ViewElements) -> Floats32:
        path = self._folder.prediction_path(self._model, view_id)
        image = read_grey(path)
        if image.shape != view.ids.shape:
            raise InputError(
                path, "the prediction does not have the camera's size",
                expected=f"{view.ids.shape[1]} x {view.ids.shape[0]} pixels",
                found=f"{image.shape[1]} x {image.shape[0]}", remedy="predict again with this plan's images",
            )  # fmt: skip
        return image


def _gather(
    surface: Surface, plan: InspectionPlan, gatherings: Sequence[_Gathering], *, jobs: int, progress: bool
) -> Showing:
    """Add all views of a plan to all gatherings; how well these views show the surface."""
    from tqdm import tqdm

    lens, obstacles = Lens.of(plan.rig.camera), obstacles_of(plan.rig.fixture)
    showing = Showing.empty(surface.num_elements)
    with ThreadPoolExecutor(max_workers=jobs) as pool_of_threads:
        views = tqdm(plan.viewpoints, desc="Gathering evidence", unit="view", disable=not progress)
        for number, viewpoint in enumerate(views):
            view = correspond(surface, plan.rig.camera, viewpoint, obstacles=obstacles)
            showing.add_in_place(surface, lens, viewpoint, view)
            for _ in pool_of_threads.map(lambda one: one.add_in_place(number, view), gatherings):  # noqa: B023
                pass
    return showing


def _refuse_other_part(surface: Surface, folder: InspectionFolder, plan: InspectionPlan) -> None:
    if plan.part.sha256 != surface.part.source.sha256:
        raise InputError(
            folder.plan_path, "the plan is for another part than the surface",
            expected=f"SHA-256 {surface.part.source.sha256[:12]}...", found=f"{plan.part.sha256[:12]}...",
            remedy="give inspections of one part",
        )  # fmt: skip


def _view_key(plan: InspectionPlan) -> str:
    """The same for plans whose images show the same elements at the same pixels."""
    poses = [view.world_from_camera.tolist() for view in plan.viewpoints]
    return repr((plan.part.sha256, plan.part.scale_mm, plan.part.units, plan.rig.camera, plan.rig.fixture, poses))
