"""Data sets of rendered inspections with planted defects and their truth."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import numpy as np
from tqdm import tqdm

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json, sha256_of, write_grey, write_levels, write_table
from viewcov.inspection.folder import Dataset, InspectionFolder, Split, read_dataset, write_dataset
from viewcov.inspection.lay import FaceLay, face_lays
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.planted import PlantedDefect, Truth
from viewcov.inspection.records import Record, write_record
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.synthesis.defects import Defect, DefectRanges, sample_defects
from viewcov.synthesis.imprint import Imprint, imprint, refined_for
from viewcov.synthesis.options import SynthesisOptions
from viewcov.synthesis.render import label_image, open_scene, render_view
from viewcov.synthesis.scene import InspectionScene, renderer_name
from viewcov.synthesis.textures import Finish, sample_finish

log = logging.getLogger(__name__)

SPLITS: tuple[Split, ...] = get_args(Split)

_MAX_PLANTINGS = 5


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
    plan: InspectionPlan, out: str | Path, options: SynthesisOptions | None = None, *, progress: bool = False
) -> Dataset:
    """Render inspections of instances of the plan's part and write them as a data set into the folder ``out``.

    An instance is the part with its own defects and its own surface finish, seen from all viewpoints. Run
    again with the same arguments, only what is missing is made, and the result is the same to the last bit as
    that of an undisturbed run with the same renderer.

    Parameters
    ----------
    options
        How many instances, with what defects, finish, poses and sensor; the defaults if not given. The renderer
        uses all cores by itself.

    Raises
    ------
    InputError
        If the plan has no viewpoints, the defects do not fit on the part, or the folder holds a data set made
        otherwise.
    MissingExtraError
        If the renderer is not installed.
    """
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
    work = _Work(plan=plan, part=part, lays=lays, ranges=ranges, options=chosen)
    total = len(dataset.splits) * len(plan.viewpoints)
    with tqdm(total=total, unit="image", desc="synthesize", disable=not progress) as bar:
        for name in dataset.splits:
            _make_instance(InspectionFolder(folder / name), work, done=partial(bar.update, 1))
    return read_dataset(folder)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What all instances are made from."""

    plan: InspectionPlan
    part: Part
    lays: tuple[FaceLay, ...]
    ranges: DefectRanges
    options: SynthesisOptions

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


def _make_instance(folder: InspectionFolder, work: _Work, *, done: Callable[[], object]) -> None:
    """Make the files of one instance that are missing; its plan is written last and stands for the whole."""
    views = [(view.id, *_view_paths(folder, view.id)) for view in work.plan.viewpoints]
    todo = {view_id for view_id, *paths in views if not all(path.is_file() for path in paths)}
    singles = (folder.truth_path, folder.truth_samples_path, folder.plan_path)
    if not todo and all(path.is_file() for path in singles):
        for _ in views:
            done()
        return
    log.info("%s: %d of %d images to make", folder.name, len(todo), len(views))
    options, rig = work.options, work.plan.rig
    rng = np.random.default_rng(work.chance(folder.name, "defects"))
    low, high = options.defects
    number = int(rng.integers(low, high + 1)) if folder.name.startswith("defective") else 0
    made, rejected = plant_defects(work.part, work.lays, work.ranges, number, rng, mm_per_px=work.mm_per_px)
    rng = np.random.default_rng(work.chance(folder.name, "finish"))
    finish = sample_finish(rng, rig.material, options.finish, mm_per_px=work.mm_per_px)
    _write_truth(folder, made, finish, rejected, options.seed)
    carried_out = _jittered(work, folder.name)
    detail = {"num_samples": options.samples, "path_depth": options.bounces + 1}
    scene = open_scene(made, work.lays, finish, rig, **detail) if todo else None
    for view in carried_out.viewpoints:
        if scene is not None and view.id in todo:
            _write_view(folder, view, scene, made, work)
        done()
    write_plan(folder.plan_path, carried_out)


def _write_view(folder: InspectionFolder, view: Viewpoint, scene: InspectionScene, made: Imprint, work: _Work) -> None:
    options, rig = work.options, work.plan.rig
    labels = label_image(made, rig.camera, view, fixture=rig.fixture)
    seed = int(work.chance(folder.name, view.id).generate_state(1)[0])
    image = render_view(scene, view.world_from_camera, seed=seed, exposure=options.exposure, sensor=options.sensor)
    write_levels(folder.label_path(view.id), labels)
    write_levels(folder.mask_path(view.id), np.where(labels > 0, 255, 0).astype(np.uint8))
    write_grey(folder.image_path(view.id), image, bits=options.bits)


def _view_paths(folder: InspectionFolder, view_id: str) -> tuple[Path, Path, Path]:
    return folder.image_path(view_id), folder.mask_path(view_id), folder.label_path(view_id)


def _write_truth(folder: InspectionFolder, made: Imprint, finish: Finish, rejected: dict[str, int], seed: int) -> None:
    areas = made.defect_areas_mm2()
    defects = tuple(_planted(defect, float(area)) for defect, area in zip(made.defects, areas, strict=True))
    write_table(folder.truth_samples_path, made.truth_samples())
    truth = Truth(defects=defects, rejected_sites=rejected, seed=seed, texture=finish.model_dump(mode="json"))
    write_record(folder.truth_path, truth)


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
