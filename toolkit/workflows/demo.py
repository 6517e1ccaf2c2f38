"""The whole loop on one part: plan, twin, segmentation, coverage, fusion, report."""

from __future__ import annotations

import dataclasses
import logging
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import finite, read_json, write_json
from viewcov.inspection.folder import InspectionFolder, read_dataset
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, Unit
from viewcov.inspection.plan import InspectionPlan, read_plan
from viewcov.inspection.records import (
    AtLeastOne,
    FileRecord,
    NotNegative,
    Options,
    Positive,
    PositiveShare,
    Seed,
    read_record,
    write_record,
)
from viewcov.inspection.rig.rig import Rig, load_rig

log = logging.getLogger(__name__)

MODELS = ("plain", "stack")
"""The two variants: the plain image, and the exposure stack."""

CARD_NAME = "demo.json"

_TRAINING_VIEWS = 16
_TRAINING_INSTANCES = 6
_TRAINING_STEPS = 600


class DemoOptions(Options):
    """What the demo is told; a folder holds the demo of one part and one set of options."""

    rig: str = "paper-quarter"
    """Rig file (TOML), or a shipped rig: paper, paper-half, paper-quarter."""

    units: Unit | None = None
    """Unit of a mesh file that states none."""

    scale_mm: Positive | None = None
    """Scale the part so that its largest extent becomes this many mm."""

    coverage: PositiveShare = 0.95
    """Share of the coverable area that the plan covers; the last per cent cost most of the views."""

    num_views: AtLeastOne | None = None
    """Use this many views and cover as much as they can."""

    num_instances: AtLeastOne = 4
    """Defective instances to render and inspect."""

    num_defects: tuple[AtLeastOne, AtLeastOne] = (30, 40)
    """Fewest and most defects of an instance."""

    num_samples: AtLeastOne = 16
    """Light paths per pixel."""

    train: bool = False
    """Train the models on freshly rendered images instead of taking the shipped ones."""

    seed: Seed = 0
    """Start of the random numbers; same seed, same result."""


class DemoCard(FileRecord):
    """``demo.json``: whose demo a folder holds."""

    REMEDY = "choose another --out, or remove the folder"

    schema_version: Literal["viewcov-demo/1"] = "viewcov-demo/1"
    part: str
    options: DemoOptions


class StageSeconds(FileRecord):
    """``seconds.json``: how long the stages of a demo took."""

    REMEDY = "remove it"

    schema_version: Literal["viewcov-seconds/1"] = "viewcov-seconds/1"
    seconds: dict[str, NotNegative]


def run_demo(
    part: str, out: str | Path, options: DemoOptions | None = None, *, jobs: int = 1, progress: bool = False
) -> dict[str, Any]:
    """Run the whole loop, continue where a killed run stopped, and give the content of ``summary.json``.

    Parameters
    ----------
    part
        File of the part, or ``builtin:NAME``.
    out
        Folder of the demo: a new one, or one of the same part and options.
    options
        What else the demo is told.
    jobs
        Processes to use.
    progress
        Whether to show progress bars on stderr.

    Raises
    ------
    InputError
        If the part cannot be used, or the folder holds something else.
    """
    options, out = options or DemoOptions(), Path(out)
    card = DemoCard(part=part if part.startswith("builtin:") else Path(part).resolve().as_posix(), options=options)
    _refuse_other(card, out)
    from viewcov.segmentation.models import require_torch

    # Before the first off-screen render: torchvision cannot be imported after one.
    require_torch()
    start = time.monotonic()
    loaded = load_part(part, units=options.units, scale_mm=options.scale_mm)
    rig = load_rig(options.rig)
    # Only now that both are good is the folder taken.
    write_record(out / CARD_NAME, card)
    clock = _Clock(out / "seconds.json")
    clock.add("part", time.monotonic() - start)
    with clock.stage("plan"):
        plan = _plan(options, loaded, rig, out, jobs=jobs, progress=progress)
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
    from viewcov.viewer.result_files import surface_files
    from viewcov.viewer.window import has_display, show

    if has_display():
        show(*surface_files(out / "results"))


def _refuse_other(card: DemoCard, out: Path) -> None:
    """Refuse a folder that holds anything but the demo of this part and these options."""
    if (out / CARD_NAME).is_file():
        before, said = (
            {"part": each.part, **each.options.model_dump()} for each in (read_record(out / CARD_NAME, DemoCard), card)
        )
        other = next((name for name in said if before[name] != said[name]), None)
        if other:
            raise InputError(
                out, "holds a demo with other options", expected=f"{other} = {before[other]!r}",
                found=repr(said[other]), remedy=card.REMEDY,
            )  # fmt: skip
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            out, "is not empty", expected="a new folder or that of an earlier demo", found="other files",
            remedy="choose another --out",
        )  # fmt: skip


def _plan(options: DemoOptions, part: Part, rig: Rig, out: Path, *, jobs: int, progress: bool) -> InspectionPlan:
    from viewcov.planning.options import PlanningOptions
    from viewcov.planning.planner import plan_views

    path = out / "plan.json"
    if path.is_file():
        return read_plan(path)
    result = plan_views(
        part,
        rig,
        # The plan need not be the smallest there is: the bound of the relaxation will do.
        options=PlanningOptions(coverage=options.coverage, num_views=options.num_views, seed=options.seed, max_nodes=0),
        jobs=jobs,
        progress=progress,
    )
    result.write(path)
    return read_plan(path)


def _twin(options: DemoOptions, plan: InspectionPlan, out: Path, *, progress: bool) -> list[InspectionFolder]:
    from viewcov.synthesis.dataset import synthesize
    from viewcov.synthesis.options import SynthesisOptions

    asked = SynthesisOptions(
        instances=options.num_instances,
        defects=options.num_defects,
        samples=options.num_samples,
        split=(0.0, 0.0, 1.0),
        seed=options.seed,
    )
    dataset = synthesize(plan, out / "dataset", asked, progress=progress)
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
    from viewcov.synthesis.dataset import synthesize
    from viewcov.synthesis.options import SynthesisOptions
    from viewcov.workflows.calibrate import train_and_calibrate

    few = dataclasses.replace(plan, viewpoints=plan.viewpoints[:: -(-len(plan.viewpoints) // _TRAINING_VIEWS)])
    asked = SynthesisOptions(
        instances=_TRAINING_INSTANCES,
        defects=options.num_defects,
        samples=options.num_samples,
        split=(2 / 3, 1 / 3, 0.0),
        seed=options.seed + 1000,
    )
    dataset = synthesize(few, out / "training", asked, progress=progress)
    for name in MODELS:
        train_and_calibrate(
            dataset,
            out / "models" / name,
            name=name,
            exposures=(0.0, 1.0, 2.0) if name == "stack" else (0.0,),
            num_steps=_TRAINING_STEPS,
            seed=options.seed,
            progress=progress,
        )


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
        self.seconds = dict(read_record(path, StageSeconds).seconds) if path.is_file() else {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        log.info("%s ...", name.replace("_", " "))
        start = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - start)

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 2)
        write_record(self.path, StageSeconds(seconds=self.seconds))
