"""The commands about segmentation models: train, test, predict, calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import viewcov
from viewcov.coverage.effective.options import CalibrateOptions
from viewcov.options import Inspection, Jobs, Json, ModelName, Out
from viewcov.output import say
from viewcov.segmentation.options import STACK, PredictionOptions, TestOptions, TrainingOptions

ReaderName = Annotated[str, Parameter(help="Layout of the data: viewcov's own, or that of a published data set.")]


def train(
    datasets: Annotated[list[Path], Parameter(help="Folders of data sets; those of viewcov may be several.")],
    /,
    *,
    options: TrainingOptions,
    out: Annotated[Path, Parameter(help="Folder of the model.")],
    reader: ReaderName = "viewcov",
    stack: Annotated[bool, Parameter(help="Feed the exposure stack: short for --exposures 0 1 2.")] = False,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Train a segmentation model and set its thresholds on the validation inspections.

    Example: viewcov train twin --out models/stack --stack --steps 5000
    """
    if stack:
        options = options.model_copy(update={"exposures": STACK})
    say(viewcov.train(viewcov.open_data(datasets, reader), out, options, progress=progress), json=json)


def test(
    model: ModelName,
    dataset: Annotated[Path, Parameter(help="Folder of a data set.")],
    /,
    *,
    options: TestOptions,
    reader: ReaderName = "viewcov",
    json: Json = False,
    progress: bool = False,
) -> None:
    """Measure a model on a split of a data set: pixels, defects in images, defects on the surface.

    Example: viewcov test stack twin --split validation
    """
    say(viewcov.test(model, viewcov.open_data([dataset], reader), options, progress=progress), json=json)


def predict(
    model: ModelName,
    inspection: Inspection,
    /,
    *,
    options: PredictionOptions,
    jobs: Jobs = 1,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Write a model's defect probability for every image of an inspection or data set.

    Example: viewcov predict stack twin
    """
    loaded = viewcov.load_model(model)
    folders = viewcov.open_inspections(inspection)
    num_new = viewcov.predict(loaded, folders, options, jobs=jobs, progress=progress)
    say({"model": loaded.name, "inspections": len(folders), "images_predicted": num_new}, json=json)


def calibrate(
    model: Annotated[str, Parameter(help="Name of the predictions: a folder under predictions/.")],
    inspection: Inspection,
    /,
    *,
    options: CalibrateOptions,
    out: Out = None,
    jobs: Jobs = 2,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Set a model's thresholds by its predictions for inspections with truth, for 'cover' and 'fuse' to use.

    Example: viewcov calibrate mine twin --split validation
    """
    calibration, path = viewcov.calibrate(model, inspection, options, out=out, jobs=jobs, progress=progress)
    say({"calibration": str(path), **calibration.model_dump(mode="json")}, json=json)
