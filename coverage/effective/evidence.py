"""What the views of one inspection say about each element: streamed sums, and a table of every single say."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from viewcov.coverage.effective.rules import BASE_RATE, CLAMP, RULES, all_sums, checked_rule
from viewcov.coverage.rays.projection import PooledView, correspond, pool
from viewcov.coverage.rays.screening import InFrame, Lens
from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints32
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_grey, write_table
from viewcov.inspection.folder import InspectionFolder, model_folder, shipped_models
from viewcov.inspection.mapping.workers import Workers
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.records import Jobs
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.fixture import Obstacles, obstacles_of
from viewcov.inspection.rig.inspected import surface_to_inspect
from viewcov.inspection.viewpoint import Viewpoint

_PAIRS_AT_ONCE = 32
_SCHEMA = "viewcov-evidence/1"
_COLUMNS = ("view_idx", "element_idx", "num_px", "weight", "mean", "max", "top")


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


class Showing(NamedTuple):
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
        return cls(*map(np.concatenate, zip(*several, strict=True)))

    @property
    def seen(self) -> Bools:
        """Shape (E,): elements that a view shows."""
        return self.num_views > 0

    def at(self, element_idx: NDArray[np.integer]) -> Showing:
        """Of some elements."""
        return Showing(*(values[element_idx] for values in self))

    def add_in_place(self, elements: Ints32, found: InFrame) -> None:
        """Add one view: what it shows, and how well of what has its centroid in the frame."""
        self.num_views[elements] += 1
        idx = elements[found.rows]
        self.mm_per_px[idx] = np.minimum(self.mm_per_px[idx], found.mm_per_px)
        self.cos_incidence[idx] = np.maximum(self.cos_incidence[idx], found.cos_incidence)


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
    return surface_to_inspect(plan.load_part(), plan.rig, plan.requirements)


def gather_evidence(surface: Surface, folder: InspectionFolder, model: str, *, progress: bool = False) -> Gathered:
    """Evidence of one model's predictions for one inspection; otherwise as ``gather_evidence_many``."""
    return next(gather_evidence_many(surface, [folder], [model], progress=progress))


def gather_evidence_many(
    surface: Surface,
    folders: Sequence[InspectionFolder],
    models: Sequence[str],
    *,
    jobs: Jobs = 1,
    progress: bool = False,
) -> Iterator[Gathered]:
    """Evidence of several models for several inspections, one after the other.

    Inspections with the same camera and viewpoints share their correspondences: each view is rasterised once
    for every ``32`` pairs of inspection and model, and memory holds the tables of that many. Writes
    ``results/<model>/evidence.parquet`` of each inspection.

    Parameters
    ----------
    jobs
        Those of ``Workers``, which take views; the evidence does not depend on it.

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
        of_batch = [plans[batch[0][0]] for batch in batches]
        ground = _Ground(surface, [(plan.rig.camera, obstacles_of(plan.rig.fixture)) for plan in of_batch])
        looks = (
            # The place in the plan counts: the view's id may be another than in the plan that is rasterised.
            _Look(place, viewpoint, [_prediction(folders[n], m, plans[n].viewpoints[number].id) for n, m in batch])
            for place, (batch, plan) in enumerate(zip(batches, of_batch, strict=True))
            for number, viewpoint in enumerate(plan.viewpoints)
        )
        total = sum(len(plan.viewpoints) for plan in of_batch)
        with (
            Workers(partial(_with_threads, ground), jobs) as workers,
            tqdm(total=total, desc="Gathering evidence", unit="view", disable=not progress) as bar,
        ):
            shown = workers.map(_look, looks)
            for batch, plan in zip(batches, of_batch, strict=True):
                gatherings = [_Gathering(surface, plans[n]) for n, _ in batch]
                showing = Showing.empty(surface.num_elements)
                for number, view in enumerate(islice(shown, len(plan.viewpoints))):
                    showing.add_in_place(view.facing, view.found)
                    for one, pooled in zip(gatherings, view.pooled, strict=True):
                        one.add_in_place(number, view, pooled)
                    bar.update(1)
                for (n, model), one in zip(batch, gatherings, strict=True):
                    table = one.table()
                    columns = {name: getattr(table, name) for name in _COLUMNS}
                    metadata = {"schema_version": _SCHEMA, "view_ids": " ".join(table.view_ids)}
                    write_table(folders[n].results_of(model) / "evidence.parquet", columns, metadata=metadata)
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


class _Gathering:
    """One model's predictions for one inspection on their way into evidence."""

    def __init__(self, surface: Surface, plan: InspectionPlan) -> None:
        self.evidence = Evidence.empty(surface.num_elements)
        self._max_incidence_deg = plan.requirements.max_incidence_deg
        self._view_ids = tuple(view.id for view in plan.viewpoints)
        self._rows: list[tuple[NDArray[Any], ...]] = []

    def add_in_place(self, number: int, view: _Shown, pooled: PooledView) -> None:
        """Add the view with that place in the plan."""
        weight = view_weight(view.cos_incidence, max_incidence_deg=self._max_incidence_deg)
        self.evidence.add_in_place(view.element_idx, pooled.top, weight)
        row = (np.full(len(weight), number, dtype=np.int32), view.element_idx, view.num_px, weight)
        self._rows.append((*row, pooled.mean, pooled.max, pooled.top))

    def table(self) -> EvidenceTable:
        nothing = (*[np.zeros(0, dtype=np.int32)] * 3, *[np.zeros(0, dtype=np.float32)] * 4)
        columns = [np.concatenate(parts) for parts in zip(nothing, *self._rows, strict=True)]
        return EvidenceTable(view_ids=self._view_ids, **dict(zip(_COLUMNS, columns, strict=True)))


class _Ground(NamedTuple):
    """What all views need."""

    surface: Surface
    rigs: list[tuple[Camera, Obstacles]]


class _Look(NamedTuple):
    """A view that is to be put on the surface."""

    rig: int
    viewpoint: Viewpoint
    predictions: list[tuple[str, bytes]]
    """Of all models and inspections with this view: file and content, as a worker may not have the file."""


class _Shown(NamedTuple):
    """What is left of a view once it is on the surface, shapes (M,) for the M elements that it shows."""

    element_idx: Ints32
    num_px: Ints32
    cos_incidence: Floats32
    pooled: list[PooledView]
    facing: Ints32
    """The elements that face the camera."""

    found: InFrame
    """How well those are shown."""


def _prediction(folder: InspectionFolder, model: str, view_id: str) -> tuple[str, bytes]:
    path = folder.prediction_path(model, view_id)
    return str(path), path.read_bytes()


def _with_threads(ground: _Ground, *, num_threads: int) -> _Ground:
    # One thread rasterises a view.
    return ground


def _look(ground: _Ground, look: _Look) -> _Shown:
    surface, (camera, obstacles) = ground.surface, ground.rigs[look.rig]
    view = correspond(surface, camera, look.viewpoint, obstacles=obstacles)
    facing = view.element_idx[view.cos_incidence > 0]
    found = Lens.of(camera).measure(surface.centroid_mm[facing], surface.normal[facing], look.viewpoint)
    pooled = [pool(view, _image(path, content, view.ids.shape)) for path, content in look.predictions]
    return _Shown(view.element_idx, view.num_px, view.cos_incidence, pooled, facing, found)


def _image(path: str, content: bytes, shape: tuple[int, ...]) -> Floats32:
    image = read_grey(path, content=content)
    if image.shape != shape:
        raise InputError(
            path, "the prediction does not have the camera's size", expected=f"{shape[1]} x {shape[0]} pixels",
            found=f"{image.shape[1]} x {image.shape[0]}", remedy="predict again with this plan's images",
        )  # fmt: skip
    return image


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
