"""The commands: plain typed functions, thin over the functions that do the work.

A command returns False where a stated requirement was not met; bad input raises ``ViewcovError``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from viewcov.commands.planning import convert, plan, route
from viewcov.inspection.errors import InputError
from viewcov.options import (
    Jobs,
    Json,
    ModelNames,
    NoiseDeg,
    NoiseDraws,
    NoiseMm,
    NumViews,
    Out,
    RigName,
    ScaleMm,
    Seed,
    Units,
)
from viewcov.output import say

log = logging.getLogger(__name__)


def demo(
    part: str = "builtin:clutch-half",
    /,
    *,
    out: Path = Path("demo"),
    rig: RigName = "paper-quarter",
    units: Units = None,
    scale_mm: ScaleMm = None,
    views: NumViews = None,
    instances: Annotated[int, Parameter(help="Defective instances to render and inspect.")] = 4,
    train: Annotated[
        bool, Parameter(negative="", help="Train the models on freshly rendered images instead of shipped ones.")
    ] = False,
    seed: Seed = 0,
    jobs: Jobs = 2,
    json: Json = False,
) -> None:
    """Run the whole loop on a part: plan, twin, segmentation, coverage, fusion, report."""
    from viewcov.workflows.demo import DemoOptions, run_demo

    summary = run_demo(
        DemoOptions(
            part=part,
            rig=rig,
            units=units,
            scale_mm=scale_mm,
            num_views=views,
            num_instances=instances,
            train=train,
            seed=seed,
        ),
        out,
        jobs=jobs,
        progress=True,
    )
    if json:
        say(summary, json=True)
        return
    from viewcov.workflows.demo import headline, show_if_possible

    for line in headline(summary):
        say(line)
    say(f"report: {out / 'report.html'}")
    show_if_possible(out)


def check(
    path: str,
    /,
    *,
    rig: RigName = "paper",
    units: Units = None,
    scale_mm: ScaleMm = None,
    json: Json = False,
) -> bool:
    """Say what is wrong with a part, rig, plan, inspection, data set or image."""
    from viewcov.inspection.check import check_path

    report = check_path(path, units=units, scale_mm=scale_mm, rig=rig)
    say(report.model_dump(mode="json") if json else report.text, json=json)
    return report.ok


def evaluate(
    plan: Path,
    /,
    *,
    out: Out = None,
    coverage: Annotated[
        float | None, Parameter(help="Required share of the coverable area; exit status 1 below it.")
    ] = None,
    draws: NoiseDraws = 0,
    noise_mm: NoiseMm = 0.5,
    noise_deg: NoiseDeg = 0.1,
    seed: Seed = 0,
    jobs: Jobs = 2,
    json: Json = False,
) -> bool:
    """Measure the geometric coverage of any plan: areas, reasons for what is left out, and what would mend it.

    --json and the files of --out add what each view contributes, coverage against the number of views, and the
    viewpoints to add with their poses.
    """
    from viewcov.inspection.plan import read_plan
    from viewcov.planning.plan_evaluation import evaluate_plan
    from viewcov.workflows.results import write_geometric

    result = evaluate_plan(
        read_plan(plan),
        num_draws=draws,
        noise_mm=noise_mm,
        noise_deg=noise_deg,
        noise_seed=seed,
        jobs=jobs,
        progress=True,
    )
    if out is not None:
        write_geometric(out, result)
    say(result.to_json() if json else result.headline(), json=json)
    return coverage is None or result.coverage.coverage >= coverage


def synthesize(
    plan: Path,
    /,
    *,
    out: Path,
    instances: Annotated[int, Parameter(help="Defective instances.")] = 1,
    good: Annotated[int, Parameter(help="Instances without defects.")] = 0,
    defects: Annotated[tuple[int, int], Parameter(help="Fewest and most defects of a defective instance.")] = (30, 40),
    split: Annotated[
        tuple[float, float, float], Parameter(help="Shares of the instances for training, validation, test.")
    ] = (0.0, 0.0, 1.0),
    samples: Annotated[int, Parameter(help="Light paths per pixel.")] = 16,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Render inspections of defective and good instances along a plan, with masks and 3D truth."""
    from viewcov.inspection.plan import read_plan
    from viewcov.synthesis.dataset import synthesize as render

    dataset = render(
        read_plan(plan),
        out,
        num_defective=instances,
        num_good=good,
        num_defects=defects,
        splits=split,
        num_samples=samples,
        seed=seed,
        progress=True,
    )
    views = sum(len(folder.plan().viewpoints) for folder in dataset.inspections())
    say({"dataset": str(out), "inspections": len(dataset.splits), "images": views, "splits": dataset.splits}, json=json)


def train(
    datasets: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    out: Path,
    name: Annotated[str | None, Parameter(help="The model's name; the folder's if not given.")] = None,
    stack: Annotated[
        bool, Parameter(negative="", help="Feed the exposure stack (x 1, 2, 4) instead of the plain image.")
    ] = False,
    steps: Annotated[int, Parameter(help="Optimiser steps.")] = 2500,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train a segmentation model and set its thresholds on the validation inspections."""
    from viewcov.inspection.folder import joined, read_dataset
    from viewcov.segmentation.options import TrainingOptions
    from viewcov.workflows.calibrate import train_and_calibrate

    exposures = (0.0, 1.0, 2.0) if stack else (0.0,)
    options = TrainingOptions(name=name, exposures=exposures, steps=steps, seed=seed)
    data = joined([read_dataset(path) for path in datasets])
    say(train_and_calibrate(data, out, options, progress=True).model_dump(mode="json"), json=json)


def test(
    model: str,
    dataset: Path,
    /,
    *,
    split: Literal["train", "validation", "test"] = "test",
    json: Json = False,
) -> None:
    """Measure a model on a split of a data set: pixels, defects in images, defects on the surface."""
    from viewcov.inspection.folder import read_dataset
    from viewcov.segmentation.options import TestOptions
    from viewcov.workflows.calibrate import measure_model

    figures = measure_model(model, read_dataset(dataset), TestOptions(split=split), progress=True)
    say(figures.model_dump(mode="json"), json=json)


def predict(model: str, inspection: Path, /, *, json: Json = False) -> None:
    """Write a model's defect probability for every image of an inspection or data set."""
    from viewcov.inspection.folder import open_inspections
    from viewcov.segmentation.models import load_model
    from viewcov.segmentation.prediction import predict_inspection

    loaded = load_model(model)
    folders = open_inspections(inspection)
    num_new = sum(predict_inspection(loaded, folder, progress=True) for folder in folders)
    say({"model": loaded.name, "inspections": len(folders), "images_predicted": num_new}, json=json)


def cover(
    inspection: Path,
    /,
    *,
    model: ModelNames,
    out: Out = None,
    coverage: Annotated[
        float | None, Parameter(help="Required effective coverage of every model; exit status 1 below it.")
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = 2,
    json: Json = False,
) -> bool:
    """Measure what the models really find: effective visual coverage of an inspection or data set with truth."""
    from viewcov.coverage.effective.cover import cover_inspections
    from viewcov.coverage.effective.options import CoverOptions
    from viewcov.workflows.results import write_cover

    result = cover_inspections(inspection, model, CoverOptions(seed=seed), jobs=jobs, progress=True)
    write_cover(out or inspection / "results", result)
    say(result.figures.model_dump(mode="json"), json=json)
    return coverage is None or all(one.effective_coverage >= coverage for one in result.figures.models.values())


def fuse(
    inspection: Path,
    /,
    *,
    model: ModelNames,
    rule: str = "log_odds",
    threshold: Annotated[
        float | None, Parameter(help="Fused probability of a defect; the model's own for the rule if not given.")
    ] = None,
    json: Json = False,
) -> None:
    """Fuse the evidence of all views into 3D defects."""
    from viewcov.coverage.effective.fuse import fuse_inspection
    from viewcov.coverage.effective.options import FuseOptions
    from viewcov.inspection.folder import open_inspections
    from viewcov.workflows.results import write_fused

    figures: dict[str, Any] = {}
    for folder in open_inspections(inspection):
        for name in model:
            result = fuse_inspection(folder, name, FuseOptions(rule=rule, threshold=threshold), progress=True)
            write_fused(result)
            figures.setdefault(folder.name, {})[name] = result.figures.model_dump(mode="json")
    say(figures, json=json)


def compare(
    results: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    out: Out = None,
    json: Json = False,
) -> None:
    """Set the figures of several results side by side."""
    if len(results) < 2:
        raise InputError(
            "compare", "too few results", expected="at least two", found=str(len(results)), remedy="name two results"
        )
    from viewcov.viewer.compare import compare_results

    say(compare_results(results, picture=out), json=json)


def view(result: Path, /) -> None:
    """Show a result (.vtp) in a window."""
    from viewcov.viewer.window import has_display, show
    from viewcov.workflows.results import result_files

    files = result_files(result)
    if not has_display():
        raise InputError(
            result,
            "there is no display",
            expected="an X server at DISPLAY",
            found="none",
            remedy="use 'viewcov report', or open the .vtp in ParaView",
        )
    show(*files)


def report(result: Path, /, *, out: Out = None, json: Json = False) -> None:
    """Write the HTML report of a demo folder or of an inspection's or data set's results."""
    from viewcov.workflows.gallery import report_on

    say({"report": str(report_on(result, out))}, json=json)


ALL: tuple[Callable[..., Any], ...] = (
    demo,
    check,
    plan,
    route,
    evaluate,
    convert,
    synthesize,
    train,
    test,
    predict,
    cover,
    fuse,
    compare,
    view,
    report,
)
"""In the order of the work."""
