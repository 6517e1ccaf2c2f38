"""Data sets of rendered inspections with planted defects and their truth."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Mapping
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
from viewcov.inspection.lay import FaceLay, Process, face_lays
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.planted import PlantedDefect, TruthFile, write_truth
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.synthesis.defects import Defect, DefectRanges, sample_defects
from viewcov.synthesis.imprint import Imprint, imprint, refined_for
from viewcov.synthesis.render import Sensor, label_image, open_scene, render_view
from viewcov.synthesis.scene import renderer_name
from viewcov.synthesis.textures import Finish, sample_finish

log = logging.getLogger(__name__)

SPLITS: tuple[Split, ...] = get_args(Split)

_MAX_PLANTINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisOptions:
    """What a data set depends on besides the plan."""

    num_defective: int = 1
    """Instances with defects."""

    num_good: int = 0
    """Instances without."""

    num_defects: tuple[int, int] = (10, 20)
    """Fewest and most defects on a defective instance."""

    seed: int = 0
    """The same seed gives the same bytes."""

    num_samples: int = 16
    """Light paths per pixel."""

    splits: tuple[float, float, float] | Split = (0.7, 0.1, 0.2)
    """Shares of instances for training, validation and test, or the one split that all belong to."""

    sizes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of ``DefectRanges`` that replace those derived from the rig and part."""

    processes: Mapping[int, Process] = dataclasses.field(default_factory=dict)
    """CAD face numbers and how they were machined, where the shape does not tell."""

    jitter_mm: float = 0.0
    """Standard deviation of the camera's position about the planned one, along each axis."""

    jitter_deg: float = 0.0
    """Standard deviation of the camera's rotation about the planned one, about each axis."""

    exposure: float = 1.0
    """Factor on the light for all images; 1 is the exposure that the rig's radiance is given for."""

    sensor: Sensor = Sensor()  # noqa: RUF009 - frozen
    """Noise of the camera."""

    def __post_init__(self) -> None:
        low, high = self.num_defects
        for name, ok, expected in (
            ("num_defective", self.num_defective >= 0, "at least 0"),
            ("num_good", self.num_good >= 0, "at least 0"),
            ("num_defects", 1 <= low <= high, "two counts from 1, the lower first"),
            ("num_samples", self.num_samples >= 1, "at least 1"),
            ("seed", self.seed >= 0, "at least 0"),
            ("splits", _valid_splits(self.splits), f"three shares that add up to 1, or one of {SPLITS}"),
            ("jitter_mm", 0 <= self.jitter_mm < np.inf, "at least 0"),
            ("jitter_deg", 0 <= self.jitter_deg < np.inf, "at least 0"),
            ("exposure", 0 < self.exposure < np.inf, "a positive factor"),
        ):
            if not ok:
                raise InputError(
                    name,
                    "out of range",
                    expected=expected,
                    found=repr(getattr(self, name)),
                    remedy="correct it",
                )
        if self.num_defective + self.num_good == 0:
            raise InputError(
                "num_defective and num_good",
                "nothing to make",
                expected="at least one instance",
                found="0 and 0",
                remedy="ask for one",
            )

    def names(self) -> list[str]:
        """Names of the instances, good ones first."""
        good = [f"good-{number:03d}" for number in range(1, self.num_good + 1)]
        return good + [f"defective-{number:03d}" for number in range(1, self.num_defective + 1)]


def synthesize(
    plan: InspectionPlan,
    root: str | Path,
    *,
    jobs: int = 1,
    progress: bool = False,
    **options: Any,
) -> Dataset:
    """Render inspections of instances of the plan's part and write them as a data set.

    An instance is the part with its own defects and its own surface finish, seen from all viewpoints. Run
    again with the same arguments, only what is missing is made, and the result is the same to the last bit as
    that of an undisturbed run with the same renderer.

    Parameters
    ----------
    plan
        Part, rig and viewpoints.
    root
        Folder of the data set.
    jobs
        Accepted for the sake of uniform callers; the renderer uses all cores by itself.
    progress
        Whether to show a progress bar over all images.
    options
        Fields of ``SynthesisOptions``: num_defective, num_good, num_defects, seed, num_samples, splits, ...

    Raises
    ------
    InputError
        If an option is out of range, the plan has no viewpoints, the defects do not fit on the part, or the
        folder holds a data set made otherwise.
    MissingExtraError
        If the renderer is not installed.
    """
    chosen = SynthesisOptions(**options)
    if not plan.viewpoints:
        raise InputError(
            "plan", "no viewpoints", expected="at least one", found="none", remedy="plan with 'viewcov plan'"
        )
    part = plan.load_part()
    ranges = DefectRanges.for_part(part, plan.requirements, **chosen.sizes)
    folder = Path(root)
    made = _made(plan, chosen, ranges)
    dataset = Dataset(root=folder, splits=_splits(chosen), made=made)
    _refuse_other(folder / "dataset.json", made)
    write_dataset(dataset)
    lays = face_lays(part, processes=chosen.processes)
    total = len(dataset.splits) * len(plan.viewpoints)
    with tqdm(total=total, unit="image", desc="synthesize", disable=not progress) as bar:
        for name in dataset.splits:
            _make_instance(
                InspectionFolder(folder / name), plan, part, lays, ranges, chosen, done=partial(bar.update, 1)
            )
    return read_dataset(folder)


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

    Raises
    ------
    InputError
        If some defects leave no mark on the surface time and again.
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
        part.source.path,
        "defects leave no mark on the surface",
        expected=f"{num_defects} with an area",
        found=f"{len(kept)} after {_MAX_PLANTINGS} draws",
        remedy="ask for larger defects or check the mesh",
    )


def _make_instance(
    folder: InspectionFolder,
    plan: InspectionPlan,
    part: Part,
    lays: tuple[FaceLay, ...],
    ranges: DefectRanges,
    options: SynthesisOptions,
    *,
    done: Any,
) -> None:
    """Make the files of one instance that are missing; its plan is written last and stands for the whole."""
    views = [(view.id, *_view_paths(folder, view.id)) for view in plan.viewpoints]
    todo = {view_id for view_id, *paths in views if not all(path.is_file() for path in paths)}
    singles = (folder.truth_path, folder.truth_samples_path, folder.plan_path)
    if not todo and all(path.is_file() for path in singles):
        for _ in views:
            done()
        return
    log.info("%s: %d of %d images to make", folder.name, len(todo), len(views))
    mm_per_px = plan.rig.camera.mm_per_px_at_focus
    rng = _rng(options.seed, folder.name, "defects")
    low, high = options.num_defects
    number = int(rng.integers(low, high + 1)) if folder.name.startswith("defective") else 0
    made, rejected = plant_defects(part, lays, ranges, number, rng, mm_per_px=mm_per_px)
    finish = sample_finish(_rng(options.seed, folder.name, "finish"), mm_per_px=mm_per_px)
    _write_truth(folder, made, finish, rejected, options.seed)
    carried_out = _jittered(plan, options, folder.name)
    scene = open_scene(made, lays, finish, plan.rig, num_samples=options.num_samples) if todo else None
    for view in carried_out.viewpoints:
        if scene is not None and view.id in todo:
            labels = label_image(made, plan.rig.camera, view, fixture=plan.rig.fixture)
            seed = int(_entropy(options.seed, folder.name, view.id).generate_state(1)[0])
            image = render_view(
                scene, view.world_from_camera, seed=seed, exposure=options.exposure, sensor=options.sensor
            )
            write_levels(folder.label_path(view.id), labels)
            write_levels(folder.mask_path(view.id), np.where(labels > 0, 255, 0).astype(np.uint8))
            write_grey(folder.image_path(view.id), image)
        done()
    write_plan(folder.plan_path, carried_out)


def _view_paths(folder: InspectionFolder, view_id: str) -> tuple[Path, Path, Path]:
    return folder.image_path(view_id), folder.mask_path(view_id), folder.label_path(view_id)


def _write_truth(folder: InspectionFolder, made: Imprint, finish: Finish, rejected: dict[str, int], seed: int) -> None:
    defects = tuple(
        PlantedDefect(
            id=defect.id,
            kind=defect.kind,
            center_mm=defect.center_mm.tolist(),
            normal=defect.normal.tolist(),
            size_mm=defect.size_mm,
            depth_mm=defect.depth_mm,
            width_mm=defect.width_mm,
            area_mm2=float(area),
            part_face=defect.part_face,
            cad_face=defect.cad_face,
            rim=defect.rim,
            path_mm=defect.path_mm.round(4).tolist(),
            parameters=defect.parameters,
        )
        for defect, area in zip(made.defects, made.defect_areas_mm2(), strict=True)
    )
    write_table(folder.truth_samples_path, made.truth_samples())
    truth = TruthFile(defects=defects, rejected_sites=rejected, seed=seed, texture=finish.to_dict())
    write_truth(folder, truth)


def _jittered(plan: InspectionPlan, options: SynthesisOptions, name: str) -> InspectionPlan:
    """The plan as carried out on one instance: its poses are the true ones of the images."""
    made = dict(plan.made)
    made["synthesis"] = {
        "instance": name,
        "seed": options.seed,
        "jitter_mm": options.jitter_mm,
        "jitter_deg": options.jitter_deg,
    }
    views = plan.viewpoints
    if options.jitter_mm > 0 or options.jitter_deg > 0:
        views = tuple(
            Viewpoint(
                id=view.id,
                world_from_camera=view.world_from_camera
                @ _small_motion(options, _rng(options.seed, name, "jitter", view.id)),
            )
            for view in views
        )
    return dataclasses.replace(plan, viewpoints=views, made=made)


def _small_motion(options: SynthesisOptions, rng: np.random.Generator) -> Floats:
    """``planned_from_true`` camera, shape (4, 4)."""
    from scipy.spatial.transform import Rotation

    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(np.deg2rad(options.jitter_deg) * rng.standard_normal(3)).as_matrix()
    motion[:3, 3] = options.jitter_mm * rng.standard_normal(3)
    return motion


def _entropy(seed: int, *names: str) -> np.random.SeedSequence:
    """Chance that depends on the seed and the names alone, not on what was made before."""
    return np.random.SeedSequence([seed, int(sha256_of("/".join(names).encode())[:16], 16)])


def _rng(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng(_entropy(seed, *names))


def _valid_splits(splits: object) -> bool:
    if isinstance(splits, str):
        return splits in SPLITS
    if not isinstance(splits, (tuple, list)) or len(splits) != len(SPLITS):
        return False
    return all(share >= 0 for share in splits) and bool(np.isclose(sum(splits), 1.0))


def _splits(options: SynthesisOptions) -> dict[str, Split]:
    """Split of each instance; good and defective ones are shared out alike, which ones is up to chance."""
    if isinstance(options.splits, str):
        return dict.fromkeys(options.names(), options.splits)
    split_of: dict[str, Split] = {}
    for kind in ("good", "defective"):
        names = [name for name in options.names() if name.startswith(kind)]
        counts = _shared_out(len(names), options.splits)
        order = _rng(options.seed, kind, "splits").permutation(len(names))
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


def _made(plan: InspectionPlan, options: SynthesisOptions, ranges: DefectRanges) -> dict[str, Any]:
    """How the data set is made, as plain JSON values: everything that its bytes depend on."""
    poses = [[view.id, view.world_from_camera.tolist()] for view in plan.viewpoints]
    made = {
        "by": f"viewcov {metadata.version('viewcov')} synthesize",
        "renderer": renderer_name(),
        "part_sha256": plan.part.sha256,
        "rig": plan.rig.to_dict(),
        "viewpoints_sha256": sha256_of(json.dumps(poses).encode()),
        "options": dataclasses.asdict(options),
        "defect_ranges": dataclasses.asdict(ranges),
    }
    return json.loads(json.dumps(made))


def _refuse_other(path: Path, made: dict[str, Any]) -> None:
    """Raise if the folder holds a data set that was made otherwise."""
    if not path.is_file():
        return
    found = read_json(path)
    old = found.get("made", {}) if isinstance(found, dict) else {}
    for key, value in made.items():
        if old.get(key) == value:
            continue
        inner = value if isinstance(value, dict) and isinstance(old.get(key), dict) else None
        names = [name for name in inner if inner[name] != old[key].get(name)] if inner else []
        what = f"{key}.{names[0]}" if names and inner else key
        raise InputError(
            path,
            f"holds a data set made with another {what}",
            expected=str(inner[names[0]] if names and inner else value),
            found=str(old[key].get(names[0]) if names and inner else old.get(key)),
            remedy="choose another folder, or the options of the data set to finish it",
        )
