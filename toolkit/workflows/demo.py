"""The whole loop on one part: plan, twin, segmentation, coverage, fusion, report."""

from __future__ import annotations

import dataclasses
import logging
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import finite, read_json, write_json
from viewcov.inspection.folder import InspectionFolder, read_dataset
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.records import write_record
from viewcov.inspection.rig.rig import load_rig

log = logging.getLogger(__name__)

MODELS = ("plain", "stack")
"""The two variants: the plain image, and the exposure stack."""

COVERAGE = 0.95
"""Share of the coverable area that the demo's plan covers: the last per cent cost most of the views."""

_TRAINING_VIEWS = 16
_TRAINING_INSTANCES = 6
_TRAINING_STEPS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the demo is told; a folder holds the demo of one set of options."""

    part: str = "builtin:clutch-half"
    rig: str = "paper-quarter"
    units: str | None = None
    scale_mm: float | None = None
    num_views: int | None = None
    num_instances: int = 4
    num_defects: tuple[int, int] = (30, 40)
    num_samples: int = 16
    train: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_instances < 1:
            raise InputError(
                "--instances", "too few", expected="at least 1", found=str(self.num_instances), remedy="render one"
            )


def run_demo(options: DemoOptions, out: Path, *, jobs: int = 1, progress: bool = False) -> dict[str, Any]:
    """Run the whole loop, continue where a killed run stopped, and give the content of ``summary.json``.

    Raises
    ------
    InputError
        If the part cannot be used, or the folder holds a demo of other options.
    """
    from viewcov.segmentation.models import require_torch

    # Before the first off-screen render: torchvision cannot be imported after one.
    require_torch()
    _claim(options, out)
    clock = _Clock(out / "seconds.json")
    with clock.stage("part"):
        part = load_part(options.part, units=options.units, scale_mm=options.scale_mm)
    with clock.stage("plan"):
        plan = _plan(options, part, out, jobs=jobs, progress=progress)
    with clock.stage("synthesize"):
        folders = _twin(options, plan, out, progress=progress)
    with clock.stage("segment"):
        figures = _segment(options, plan, folders, out, progress=progress)
    with clock.stage("evaluate"):
        _evaluate(plan, out, jobs=jobs, progress=progress)
    with clock.stage("cover_and_fuse"):
        _cover(options, folders, out, jobs=jobs, progress=progress)
    from viewcov.workflows.gallery import report_on
    from viewcov.workflows.summary import summarise

    summary = summarise(out)
    summary["segmentation"] = figures
    summary["models"] = {name: read_json(_measured(out, name))["weights_sha256"] for name in MODELS}
    summary["versions"] = _versions()
    summary["seeds"] = {"all": options.seed}
    write_json(out / "summary.json", finite(summary))
    with clock.stage("show"):
        report_on(out, progress=progress)
    summary["seconds"] = clock.seconds
    write_json(out / "summary.json", finite(summary))
    report_on(out, draw=False)
    return dict(read_json(out / "summary.json"))


def headline(summary: dict[str, Any]) -> Iterator[str]:
    """The figures that matter most, a line each."""
    geometric = summary["geometric"]
    yield f"geometric coverage  {geometric['coverage']:.1%} of the coverable area in {summary['viewpoints']} views"
    for name, row in summary["effective"]["variants"].items():
        low, high = row["interval"]
        alarms = f"{row['false_alarms_per_part']:.1f} false alarms a part"
        yield f"effective coverage  {row['coverage']:.1%} [{low:.1%}, {high:.1%}] {name}, {alarms}"
    for pair in summary["effective"]["all_pairs"]:
        low, high = pair["interval"]
        names = f"{pair['second']} over {pair['first']}"
        yield f"difference          {pair['difference']:+.1%} [{low:+.1%}, {high:+.1%}] {names}"
    for name, rules in summary["fusion"].items():
        fused, single = rules[summary["rule"]], rules["single_view"]
        yield f"3D defects          F1 {fused['f1']:.3f} fused, {single['mean']['f1']:.3f} mean single view, {name}"


def show_if_possible(out: Path) -> None:
    """Open the results in a window, where a display is there."""
    from viewcov.viewer.window import has_display, show
    from viewcov.workflows.results import result_files

    if has_display():
        show(*result_files(out / "results"))


def _claim(options: DemoOptions, out: Path) -> None:
    """Make the folder the demo of these options, or refuse one of others."""
    said = dataclasses.asdict(options) | {"num_defects": list(options.num_defects)}
    if not options.part.startswith("builtin:"):
        said["part"] = Path(options.part).resolve().as_posix()
    path = out / "demo.json"
    if path.is_file():
        before = read_json(path)
        other = [key for key in said if before.get(key) != said[key]]
        if other:
            raise InputError(
                out, "holds a demo with other options", expected=f"{other[0]} = {before.get(other[0])!r}",
                found=repr(said[other[0]]), remedy="choose another --out, or remove the folder",
            )  # fmt: skip
    elif out.exists() and any(out.iterdir()):
        raise InputError(
            out, "is not empty", expected="a new folder or that of an earlier demo", found="other files",
            remedy="choose another --out",
        )  # fmt: skip
    write_json(path, said)


def _plan(options: DemoOptions, part: Part, out: Path, *, jobs: int, progress: bool) -> InspectionPlan:
    from viewcov.planning.options import PlanningOptions
    from viewcov.planning.planner import plan_views

    path = out / "plan.json"
    if path.is_file():
        return read_plan(path)
    result = plan_views(
        part,
        load_rig(options.rig),
        # The plan need not be the smallest there is: the bound of the relaxation will do.
        options=PlanningOptions(coverage=COVERAGE, num_views=options.num_views, seed=options.seed, max_nodes=0),
        jobs=jobs,
        progress=progress,
    )
    write_json(out / "plan-figures.json", result.figures)
    write_plan(path, result.plan)
    return read_plan(path)


def _twin(options: DemoOptions, plan: InspectionPlan, out: Path, *, progress: bool) -> list[InspectionFolder]:
    from viewcov.synthesis.dataset import synthesize

    dataset = synthesize(
        plan,
        out / "dataset",
        num_defective=options.num_instances,
        num_defects=options.num_defects,
        num_samples=options.num_samples,
        splits=(0.0, 0.0, 1.0),
        seed=options.seed,
        progress=progress,
    )
    return dataset.inspections()


def _segment(
    options: DemoOptions, plan: InspectionPlan, folders: list[InspectionFolder], out: Path, *, progress: bool
) -> dict[str, Any]:
    """Predict with both variants; gives their figures on the demo's images."""
    from viewcov.segmentation.metrics import test_model
    from viewcov.segmentation.models import load_model
    from viewcov.segmentation.prediction import predict_inspection

    if options.train:
        _train(options, plan, out, progress=progress)
    figures = {}
    for name in MODELS:
        model = load_model(out / "models" / name if options.train else name)
        for folder in folders:
            predict_inspection(model, folder, progress=progress)
        measured = _measured(out, name)
        if not measured.is_file():
            write_record(measured, test_model(model, read_dataset(out / "dataset"), progress=progress))
        figures[name] = _flat(read_json(measured))
    return figures


def _measured(out: Path, model: str) -> Path:
    """File of a model's figures on single images."""
    return out / "results" / f"segmentation-{model}.json"


def _flat(measured: dict[str, Any]) -> dict[str, Any]:
    """The figures of a model on single images that the summary shows; times are kept elsewhere."""
    pixels = measured["pixels"]
    return {
        "images": measured["images"],
        "threshold": measured["threshold"],
        **{key: pixels[key] for key in ("precision", "recall", "f1", "iou", "f1_max")},
        "defect_recall": measured["defects"]["recall"],
        "false_alarms_per_image": measured["false_alarms"]["per_image"],
    }


def _train(options: DemoOptions, plan: InspectionPlan, out: Path, *, progress: bool) -> None:
    """Both variants, trained on other instances of the same part."""
    from viewcov.segmentation.options import TrainingOptions
    from viewcov.synthesis.dataset import synthesize
    from viewcov.workflows.calibrate import train_and_calibrate

    few = dataclasses.replace(plan, viewpoints=plan.viewpoints[:: -(-len(plan.viewpoints) // _TRAINING_VIEWS)])
    dataset = synthesize(
        few,
        out / "training",
        num_defective=_TRAINING_INSTANCES,
        num_defects=options.num_defects,
        num_samples=options.num_samples,
        splits=(2 / 3, 1 / 3, 0.0),
        seed=options.seed + 1000,
        progress=progress,
    )
    for name in MODELS:
        exposures = (0.0, 1.0, 2.0) if name == "stack" else (0.0,)
        how = TrainingOptions(name=name, exposures=exposures, steps=_TRAINING_STEPS, seed=options.seed)
        train_and_calibrate(dataset, out / "models" / name, how, progress=progress)


def _evaluate(plan: InspectionPlan, out: Path, *, jobs: int, progress: bool) -> None:
    from viewcov.planning.plan_evaluation import evaluate_plan
    from viewcov.workflows.results import write_geometric

    # The figures are written last, so they vouch for the other files.
    if not (out / "results" / "geometric.json").is_file():
        write_geometric(out / "results", evaluate_plan(plan, jobs=jobs, progress=progress))


def _cover(options: DemoOptions, folders: list[InspectionFolder], out: Path, *, jobs: int, progress: bool) -> None:
    from viewcov.coverage.effective.cover import cover_inspections
    from viewcov.coverage.effective.options import CoverOptions
    from viewcov.workflows.results import write_cover, write_fused

    if (out / "results" / "effective.json").is_file():
        return
    result = cover_inspections(folders, MODELS, CoverOptions(seed=options.seed), jobs=jobs, progress=progress)
    for each in result.fused.values():
        for fused in each:
            write_fused(fused)
    write_cover(out / "results", result)


def _versions() -> dict[str, str]:
    from viewcov.synthesis.scene import renderer_name

    packages = ("viewcov", "numpy", "scipy", "trimesh", "open3d", "numba", "mitsuba", "torch", "pyvista")
    found = {}
    for name in packages:
        for distribution in (name, f"{name}-cpu"):
            try:
                found[name] = metadata.version(distribution)
                break
            except metadata.PackageNotFoundError:
                continue
    return {"python": platform.python_version(), **found, "renderer": renderer_name()}


class _Clock:
    """Seconds per stage, added up over runs that were interrupted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = dict(read_json(path)) if path.is_file() else {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        log.info("%s ...", name.replace("_", " "))
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - start, 2)
            write_json(self.path, self.seconds)
