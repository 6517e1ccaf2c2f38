"""Data sets of rendered inspections with planted defects and their truth."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from tqdm import tqdm

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import grey_png, levels_png, read_json, sha256_of, write_bytes, write_table
from viewcov.inspection.folder import Dataset, InspectionFolder, Split, read_dataset, write_dataset
from viewcov.inspection.lay import FaceLay, face_lays
from viewcov.inspection.mapping.workers import Workers, checked_jobs
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.planted import PlantedDefect, Truth
from viewcov.inspection.records import Jobs, Record, write_record
from viewcov.inspection.rig.fixture import Obstacles, bring, obstacles_of
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.synthesis.defects import Defect, DefectRanges, sample_defects
from viewcov.synthesis.imprint import Imprint, imprint, refined_for
from viewcov.synthesis.options import SynthesisOptions
from viewcov.synthesis.render import label_image, open_scene, render_view
from viewcov.synthesis.scene import InspectionScene, limit_threads, renderer_name
from viewcov.synthesis.textures import sample_finish

log = logging.getLogger(__name__)

SPLITS: tuple[Split, ...] = get_args(Split)

_MAX_PLANTINGS = 5
_VIEWS_AT_ONCE = 16
"""Of an instance, for one worker: planting its defects takes as long as some views."""


class Made(Record):
    """How a data set is made: everything that its bytes depend on."""

    by: str
    renderer: str
    part_sha256: str
    rig: dict[str, Any]
    viewpoints_sha256: str
    options: SynthesisOptions
    defect_ranges: DefectRanges


def synthesize(
    plan: InspectionPlan,
    out: str | Path,
    options: SynthesisOptions | None = None,
    *,
    jobs: Jobs = 1,
    progress: bool = False,
) -> Dataset:
    """Render inspections of instances of the plan's part and write them as a data set into the folder ``out``.

    An instance is the part with its own defects and its own surface finish, seen from all viewpoints. Run
    again with the same arguments, only what is missing is made, and the result is the same to the last bit as
    that of an undisturbed run with the same renderer.

    Parameters
    ----------
    options
        How many instances, with what defects, finish, poses and sensor; the defaults if not given.
    jobs
        Those of ``Workers``, which take some views of an instance at once. The renderer uses all cores by itself.

    Raises
    ------
    InputError
        If the plan has no viewpoints, the defects do not fit on the part, or the folder holds a data set made
        otherwise.
    MissingExtraError
        If the renderer is not installed.
    """
    checked_jobs(jobs)
    chosen = options or SynthesisOptions()
    if not plan.viewpoints:
        raise InputError(
            "plan", "no viewpoints", expected="at least one", found="none", remedy="plan with 'viewcov plan'"
        )
    part = plan.load_part()
    asked = {name: getattr(chosen, name) for name in DefectRanges.model_fields}
    ranges = DefectRanges.for_part(part, plan.requirements, **asked)
    folder = Path(out)
    made = _made(plan, chosen, ranges).model_dump(mode="json")
    dataset = Dataset(root=folder, splits=_splits(chosen), made=made)
    _refuse_other(folder / "dataset.json", made)
    write_dataset(dataset)
    lays = face_lays(part, processes={int(face): process for face, process in chosen.processes.items()})
    work = _Work(plan=plan, part=part, lays=lays, ranges=ranges, options=chosen, renderer=made["renderer"])
    at_once = 1 if jobs == 1 else _VIEWS_AT_ONCE
    shares = [share for name in dataset.splits for share in _shares(InspectionFolder(folder / name), work, at_once)]
    total = len(dataset.splits) * len(plan.viewpoints)
    done = total - sum(len(share.view_ids) for share in shares)
    with (
        Workers(partial(_Studio, work, obstacles_of(plan.rig.fixture)), jobs) as workers,
        tqdm(total=total, initial=done, unit="image", desc="synthesize", disable=not progress) as bar,
    ):
        for share, pictures in zip(shares, workers.map(_Studio.make, shares), strict=True):
            _write(InspectionFolder(folder / share.name), share, pictures, work)
            bar.update(len(share.view_ids))
    return read_dataset(folder)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What all instances are made from."""

    plan: InspectionPlan
    part: Part
    lays: tuple[FaceLay, ...]
    ranges: DefectRanges
    options: SynthesisOptions
    renderer: str

    @property
    def mm_per_px(self) -> float:
        return self.plan.rig.camera.mm_per_px_at_focus

    def chance(self, *names: str) -> np.random.SeedSequence:
        """Chance that depends on the seed and the names alone, not on what was made before."""
        return _chance(self.options.seed, *names)


def plant_defects(
    part: Part,
    lays: tuple[FaceLay, ...],
    ranges: DefectRanges,
    num_defects: int,
    rng: np.random.Generator,
    *,
    mm_per_px: float,
) -> tuple[Imprint, dict[str, int]]:
    """The part with defects at area-uniform sites, each with a surface of its own; and the rejected sites.

    Raises InputError if some defects leave no mark on the surface time and again.
    """
    kept: tuple[Defect, ...] = ()
    rejected = Counter[str]()
    for _ in range(_MAX_PLANTINGS):
        draw = sample_defects(part, ranges, num_defects, rng, kept=kept)
        rejected.update(draw.rejected)
        mesh = refined_for(part, draw.defects, mm_per_px=mm_per_px, lays=lays)
        made = imprint(part, draw.defects, mesh)
        marked = made.defect_areas_mm2() > 0
        if marked.all():
            return made, dict(sorted(rejected.items()))
        rejected["no mark"] += int((~marked).sum())
        kept = tuple(d for d, ok in zip(draw.defects, marked, strict=True) if ok)
    raise InputError(
        part.source.path, "defects leave no mark on the surface", expected=f"{num_defects} with an area",
        found=f"{len(kept)} after {_MAX_PLANTINGS} draws", remedy="ask for larger defects or check the mesh",
    )  # fmt: skip


class _Share(NamedTuple):
    """Some views of an instance."""

    name: str
    view_ids: tuple[str, ...]
    is_first: bool
    """With the truth."""
    is_last: bool


class _Pictures(NamedTuple):
    """What a share of an instance looks like."""

    truth: tuple[Truth, dict[str, Any]] | None
    """What was planted, and its samples."""

    images: tuple[tuple[bytes, bytes, bytes], ...]
    """PNG of image, mask and labels of each view."""


def _shares(folder: InspectionFolder, work: _Work, at_once: int) -> Iterator[_Share]:
    """What is missing of an instance."""
    views = [(view.id, _view_paths(folder, view.id)) for view in work.plan.viewpoints]
    todo = [view_id for view_id, paths in views if not all(path.is_file() for path in paths)]
    singles = (folder.truth_path, folder.truth_samples_path, folder.plan_path)
    if not todo and all(path.is_file() for path in singles):
        return
    log.info("%s: %d of %d images to make", folder.name, len(todo), len(views))
    for start in range(0, max(len(todo), 1), at_once):
        some = tuple(todo[start : start + at_once])
        yield _Share(folder.name, some, is_first=start == 0, is_last=start + at_once >= len(todo))


def _write(folder: InspectionFolder, share: _Share, pictures: _Pictures, work: _Work) -> None:
    """Write a share of an instance; its plan is written last and stands for the whole."""
    if pictures.truth is not None:
        truth, samples = pictures.truth
        write_table(folder.truth_samples_path, samples)
        write_record(folder.truth_path, truth)
    for view_id, images in zip(share.view_ids, pictures.images, strict=True):
        for path, png in reversed(list(zip(_view_paths(folder, view_id), images, strict=True))):
            write_bytes(path, png)
    if share.is_last:
        write_plan(folder.plan_path, _jittered(work, share.name))


class _Studio:
    """Plants defects and renders, one instance after the other."""

    def __init__(self, work: _Work, obstacles: Obstacles, *, num_threads: int) -> None:
        self._work, self._instance = work, ""
        if num_threads > 0:
            bring(work.plan.rig.fixture, obstacles)
            limit_threads(num_threads)
        if renderer_name() != work.renderer:
            raise InputError(
                "renderer of a worker", "is another one", expected=work.renderer, found=renderer_name(),
                remedy="install the same on all machines",
            )  # fmt: skip

    def make(self, share: _Share) -> _Pictures:
        """The truth and the images of a share."""
        if self._instance != share.name:
            self._open(share.name)
        views = {view.id: view for view in _jittered(self._work, share.name).viewpoints}
        truth = (self._truth(), self._made.truth_samples()) if share.is_first else None
        return _Pictures(truth, tuple(self._images(views[view_id]) for view_id in share.view_ids))

    def _open(self, name: str) -> None:
        work, self._instance = self._work, name
        self._scene: InspectionScene | None = None
        rng = np.random.default_rng(work.chance(name, "defects"))
        low, high = work.options.defects
        number = int(rng.integers(low, high + 1)) if name.startswith("defective") else 0
        planted = plant_defects(work.part, work.lays, work.ranges, number, rng, mm_per_px=work.mm_per_px)
        self._made, self._rejected = planted
        rng = np.random.default_rng(work.chance(name, "finish"))
        material = work.plan.rig.material
        self._finish = sample_finish(rng, material, work.options.finish, mm_per_px=work.mm_per_px)

    def _truth(self) -> Truth:
        made = self._made
        areas = made.defect_areas_mm2()
        defects = tuple(_planted(defect, float(area)) for defect, area in zip(made.defects, areas, strict=True))
        texture = self._finish.model_dump(mode="json")
        return Truth(defects=defects, rejected_sites=self._rejected, seed=self._work.options.seed, texture=texture)

    def _images(self, view: Viewpoint) -> tuple[bytes, bytes, bytes]:
        work, options, rig = self._work, self._work.options, self._work.plan.rig
        if self._scene is None:
            detail = {"num_samples": options.samples, "path_depth": options.bounces + 1}
            self._scene = open_scene(self._made, work.lays, self._finish, rig, **detail)
        labels = label_image(self._made, rig.camera, view, fixture=rig.fixture)
        seed = int(work.chance(self._instance, view.id).generate_state(1)[0])
        pose, sensor = view.world_from_camera, options.sensor
        image = render_view(self._scene, pose, seed=seed, exposure=options.exposure, sensor=sensor)
        mask = np.where(labels > 0, 255, 0).astype(np.uint8)
        return grey_png(image, bits=options.bits), levels_png(mask), levels_png(labels)


def _view_paths(folder: InspectionFolder, view_id: str) -> tuple[Path, Path, Path]:
    return folder.image_path(view_id), folder.mask_path(view_id), folder.label_path(view_id)


def _planted(defect: Defect, area_mm2: float) -> PlantedDefect:
    """A defect as ``truth.json`` has it: what both have is called the same."""
    names = set(PlantedDefect.model_fields) - {"area_mm2", "path_mm"}
    values = {name: getattr(defect, name) for name in names}
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
    return PlantedDefect(area_mm2=area_mm2, path_mm=defect.path_mm.round(4).tolist(), **plain)


def _jittered(work: _Work, name: str) -> InspectionPlan:
    """The plan as carried out on one instance: its poses are the true ones of the images."""
    options = work.options
    said = options.model_dump(include={"seed", "jitter_mm", "jitter_deg"})
    made = work.plan.made | {"synthesis": {"instance": name} | said}
    views = work.plan.viewpoints
    if options.jitter_mm > 0 or options.jitter_deg > 0:
        motions = [_small_motion(options, work.chance(name, "jitter", view.id)) for view in views]
        views = tuple(
            Viewpoint(id=view.id, world_from_camera=view.world_from_camera @ motion)
            for view, motion in zip(views, motions, strict=True)
        )
    return dataclasses.replace(work.plan, viewpoints=views, made=made)


def _small_motion(options: SynthesisOptions, chance: np.random.SeedSequence) -> Floats:
    """``planned_from_true`` camera, shape (4, 4)."""
    from scipy.spatial.transform import Rotation

    rng, motion = np.random.default_rng(chance), np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(np.deg2rad(options.jitter_deg) * rng.standard_normal(3)).as_matrix()
    motion[:3, 3] = options.jitter_mm * rng.standard_normal(3)
    return motion


def _chance(seed: int, *names: str) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, int(sha256_of("/".join(names).encode())[:16], 16)])


def _splits(options: SynthesisOptions) -> dict[str, Split]:
    """Split of each instance; good and defective ones are shared out alike, which ones is up to chance."""
    split_of: dict[str, Split] = {}
    for kind in ("good", "defective"):
        names = [name for name in options.names() if name.startswith(kind)]
        counts = _shared_out(len(names), options.split)
        order = np.random.default_rng(_chance(options.seed, kind, "splits")).permutation(len(names))
        belongs = np.repeat(np.arange(len(SPLITS)), counts)[np.argsort(order)]
        split_of |= {name: SPLITS[which] for name, which in zip(names, belongs, strict=True)}
    return split_of


def _shared_out(number: int, shares: tuple[float, float, float]) -> list[int]:
    """Whole counts that add up to ``number``, by the largest remainder."""
    exact = number * np.array(shares) / sum(shares)
    counts = np.floor(exact + 1e-9).astype(int)
    rest = number - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:rest]] += 1
    return [int(count) for count in counts]


def _made(plan: InspectionPlan, options: SynthesisOptions, ranges: DefectRanges) -> Made:
    poses = [[view.id, view.world_from_camera.tolist()] for view in plan.viewpoints]
    return Made(
        by=f"viewcov {metadata.version('viewcov')} synthesize", renderer=renderer_name(),
        part_sha256=plan.part.sha256, rig=plan.rig.to_dict(), viewpoints_sha256=sha256_of(json.dumps(poses).encode()),
        options=options, defect_ranges=ranges,
    )  # fmt: skip


def _refuse_other(path: Path, made: dict[str, Any]) -> None:
    """Raise if the folder holds a data set that was made otherwise."""
    found = read_json(path) if path.is_file() else {"made": made}
    old = _flat(found.get("made", {}) if isinstance(found, dict) else {})
    for name, value in _flat(made).items():
        if old.get(name) != value:
            raise InputError(
                path, f"holds a data set made with another {name}", expected=str(value), found=str(old.get(name)),
                remedy="choose another folder, or the options of the data set to finish it",
            )  # fmt: skip


def _flat(value: object, name: str = "") -> dict[str, object]:
    """Values within values by their names with dots between."""
    if not isinstance(value, dict):
        return {name: value}
    dot = "." if name else ""
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{name}{dot}{key}").items()}
