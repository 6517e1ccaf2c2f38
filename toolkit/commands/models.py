"""The commands about segmentation models: train, test, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import viewcov
from viewcov.inspection.folder import Split
from viewcov.inspection.records import AtLeastOne
from viewcov.options import Inspection, Json, ModelName, Seed
from viewcov.output import say


def train(
    datasets: Annotated[list[Path], Parameter(help="Folders of data sets.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of the model.")],
    name: Annotated[str | None, Parameter(help="The model's name; the folder's if not given.")] = None,
    stack: Annotated[bool, Parameter(help="Feed the exposure stack (x 1, 2, 4) instead of the plain image.")] = False,
    num_steps: Annotated[AtLeastOne, Parameter(help="Optimiser steps.")] = 2500,
    seed: Seed = 0,
    json: Json = False,
    progress: bool = False,
) -> None:
    """Train a segmentation model and set its thresholds on the validation inspections.

    Example: viewcov train twin --out models/stack --stack --steps 5000
    """
    figures = viewcov.train(
        viewcov.joined([viewcov.read_dataset(path) for path in datasets]),
        out,
        name=name or out.name,
        exposures=(0.0, 1.0, 2.0) if stack else (0.0,),
        num_steps=num_steps,
        seed=seed,
        progress=progress,
    )
    say(figures, json=json)


def test(
    model: ModelName,
    dataset: Annotated[Path, Parameter(help="Folder of a data set.")],
    /,
    *,
    split: Annotated[Split, Parameter(help="Inspections to measure on.")] = "test",
    json: Json = False,
    progress: bool = False,
) -> None:
    """Measure a model on a split of a data set: pixels, defects in images, defects on the surface.

    Example: viewcov test stack twin --split validation
    """
    say(viewcov.test(model, viewcov.read_dataset(dataset), split=split, progress=progress), json=json)


def predict(model: ModelName, inspection: Inspection, /, *, json: Json = False, progress: bool = False) -> None:
    """Write a model's defect probability for every image of an inspection or data set.

    Example: viewcov predict stack twin
    """
    loaded = viewcov.load_model(model)
    folders = viewcov.open_inspections(inspection)
    num_new = sum(viewcov.predict(loaded, folder, progress=progress) for folder in folders)
    say({"model": loaded.name, "inspections": len(folders), "images_predicted": num_new}, json=json)
