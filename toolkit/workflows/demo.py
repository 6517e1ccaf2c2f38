"""The whole loop on one part: plan, twin, segmentation, coverage, fusion, report."""

from __future__ import annotations

import dataclasses
import logging
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import viewcov
from viewcov.inspection import records
from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mapping.workers import checked_jobs
from viewcov.inspection.mesh.part import Part, Unit
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.records import FileRecord, Jobs, Options, read_record, write_record
from viewcov.inspection.rig.rig import Rig
from viewcov.segmentation.options import STACK

if TYPE_CHECKING:
    from viewcov.segmentation.metrics import SegmentationFigures
    from viewcov.synthesis.options import SynthesisOptions
    from viewcov.viewer.report.content import ImageFigures
    from viewcov.workflows.summary import Summary

log = logging.getLogger(__name__)

MODELS: Mapping[str, tuple[float, ...]] = {"plain": (0.0,), "stack": STACK}
"""The two variants and their exposures: the plain image, and the exposure stack."""

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

    scale_mm: records.Positive | None = None
    """Scale the part so that its largest extent becomes this many mm."""

    coverage: records.PositiveShare = 0.95
    """Share of the coverable area that the plan covers; the last per cent cost most of the views."""

    num_views: records.AtLeastOne | None = None
    """Use this many views and cover as much as they can."""

    instances: records.AtLeastOne = 4
    """Defective instances to render and inspect."""

    defects: tuple[records.AtLeastOne, records.AtLeastOne] = (30, 40)
    """Fewest and most defects of an instance."""

    samples: records.AtLeastOne = 16
    """Light paths per pixel."""

    train: bool = False
    """Train the models on freshly rendered images instead of taking the shipped ones."""

    seed: records.Seed = 0
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
    seconds: dict[str, records.NotNegative]


def run_demo(
    part: str, out: str | Path, options: DemoOptions | None = None, *, jobs: Jobs = 1, progress: bool = False
) -> Summary:
    """Run the whole loop, continue where a killed run stopped, and give the content of ``summary.json``.

    ``part`` is a file or ``builtin:NAME``; ``out`` a new folder, or that of a demo of the same part and options.

    Raises
    ------
    InputError
        If the part cannot be used, or the folder holds something else.
    """
    checked_jobs(jobs)
    # Renderer and network use all cores by themselves: processes here would not make them faster.
    elsewhere = jobs if isinstance(jobs, str) else 1
    options, out = options or DemoOptions(), Path(out)
    card = DemoCard(part=part if part.startswith("builtin:") else Path(part).resolve().as_posix(), options=options)
    _refuse_other(card, out)
    clock = _Clock(out / "seconds.json")
    _rendering(options)  # So that limits of its own are not met only after planning.
    log.info("part ...")
    start = time.monotonic()
    loaded = viewcov.load_part(part, units=options.units, scale_mm=options.scale_mm)
    rig = viewcov.load_rig(options.rig)
    from viewcov.segmentation.models import require_torch

    # Before the first off-screen render: torchvision cannot be imported after one.
    require_torch()
    # Only now that all is good is the folder taken.
    write_record(out / CARD_NAME, card)
    clock.add("part", time.monotonic() - start)
    with clock.stage("plan"):
        plan = _plan(options, loaded, rig, out, jobs=jobs, progress=progress)
    with clock.stage("synthesize"):
        dataset = viewcov.synthesize(plan, out / "dataset", _rendering(options), jobs=elsewhere, progress=progress)
        folders = dataset.inspections()
    with clock.stage("segment"):
        figures = _segment(options, plan, folders, out, jobs=elsewhere, progress=progress)
    with clock.stage("evaluate"):
        _evaluate(plan, out, jobs=jobs, progress=progress)
    with clock.stage("cover_and_fuse"):
        _cover(options, folders, out, jobs=jobs, progress=progress)
    from viewcov.workflows.summary import Summary, summarise

    summary = summarise(out).model_copy(
        update={
            "segmentation": {name: _on_images(each) for name, each in figures.items()},
            "models": {name: each.weights_sha256 for name, each in figures.items()},
            "versions": _versions(),
            "seeds": {"all": options.seed},
        }
    )
    write_record(out / "summary.json", summary)
    with clock.stage("show"):
        viewcov.report(out, progress=progress)
    write_record(out / "summary.json", summary.model_copy(update={"seconds": clock.seconds}))
    viewcov.report(out, draw=False)
    return read_record(out / "summary.json", Summary)


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


def _plan(options: DemoOptions, part: Part, rig: Rig, out: Path, *, jobs: Jobs, progress: bool) -> InspectionPlan:
    path = out / "plan.json"
    if path.is_file():
        return viewcov.read_plan(path)
    # The plan need not be the smallest there is: the bound of the relaxation will do.
    asked = viewcov.PlanningOptions(
        coverage=options.coverage, num_views=options.num_views, seed=options.seed, max_nodes=0
    )
    viewcov.plan_views(part, rig, options=asked, jobs=jobs, progress=progress).write(path)
    return viewcov.read_plan(path)


def _rendering(options: DemoOptions, **more: Any) -> SynthesisOptions:
    said = options.model_dump(include={"instances", "defects", "samples", "seed"})
    return viewcov.SynthesisOptions(**said | more)


def _segment(
    options: DemoOptions,
    plan: InspectionPlan,
    folders: list[InspectionFolder],
    out: Path,
    *,
    jobs: Jobs,
    progress: bool,
) -> dict[str, SegmentationFigures]:
    """Predict with both variants; gives their figures on the demo's images."""
    from viewcov.segmentation.metrics import SegmentationFigures, test_model

    if options.train:
        _train(options, plan, out, jobs=jobs, progress=progress)
    figures = {}
    for name in MODELS:
        model = viewcov.load_model(out / "models" / name if options.train else name)
        viewcov.predict(model, folders, jobs=jobs, progress=progress)
        path = out / "results" / f"segmentation-{name}.json"
        if not path.is_file():
            write_record(path, test_model(model, viewcov.read_dataset(out / "dataset"), progress=progress))
        figures[name] = read_record(path, SegmentationFigures)
    return figures


def _on_images(measured: SegmentationFigures) -> ImageFigures:
    """The figures of a model on single images that the summary shows; times are kept elsewhere."""
    from viewcov.viewer.report.content import ImageFigures

    return ImageFigures(
        images=measured.images, threshold=measured.threshold, defect_recall=measured.defects.recall,
        false_alarms_per_image=measured.false_alarms.per_image,
        **measured.pixels.model_dump(include={"precision", "recall", "f1", "iou", "f1_max"}),
    )  # fmt: skip


def _train(options: DemoOptions, plan: InspectionPlan, out: Path, *, jobs: Jobs, progress: bool) -> None:
    """Both variants, trained on other instances of the same part."""
    few = dataclasses.replace(plan, viewpoints=plan.viewpoints[:: -(-len(plan.viewpoints) // _TRAINING_VIEWS)])
    asked = _rendering(options, instances=_TRAINING_INSTANCES, split=(2 / 3, 1 / 3, 0.0), seed=options.seed + 1000)
    dataset = viewcov.synthesize(few, out / "training", asked, jobs=jobs, progress=progress)
    for name, exposures in MODELS.items():
        asked_of = viewcov.TrainingOptions(name=name, exposures=exposures, steps=_TRAINING_STEPS, seed=options.seed)
        viewcov.train(dataset, out / "models" / name, asked_of, progress=progress)


def _evaluate(plan: InspectionPlan, out: Path, *, jobs: Jobs, progress: bool) -> None:
    from viewcov.workflows.results import write_geometric

    # The figures are written last, so they vouch for the other files.
    if not (out / "results" / "geometric.json").is_file():
        write_geometric(out / "results", viewcov.evaluate_plan(plan, jobs=jobs, progress=progress))


def _cover(options: DemoOptions, folders: list[InspectionFolder], out: Path, *, jobs: Jobs, progress: bool) -> None:
    from viewcov.workflows.results import write_cover, write_fused

    if (out / "results" / "effective.json").is_file():
        return
    result = viewcov.cover(folders, list(MODELS), viewcov.CoverOptions(seed=options.seed), jobs=jobs, progress=progress)
    for each in result.fused.values():
        for fused in each:
            write_fused(fused)
    write_cover(out / "results", result)


def _versions() -> dict[str, str]:
    from viewcov.synthesis.scene import renderer_name

    packages = ("viewcov", "numpy", "scipy", "trimesh", "open3d", "open3d-cpu", "numba", "mitsuba", "torch", "pyvista")
    found = {each.name.lower(): each.version for each in metadata.distributions()}
    there = {name.removesuffix("-cpu"): found[name] for name in packages if name in found}
    return {"python": platform.python_version(), **there, "renderer": renderer_name()}


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
