"""Defect probability of images by a trained model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from viewcov.inspection.arrays import Floats32
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import files_in, grey_png, read_grey, write_bytes
from viewcov.inspection.folder import (
    InspectionFolder,
    PredictionsCard,
    folder_for_card,
    read_predictions_card,
    write_predictions_card,
)
from viewcov.inspection.mapping.workers import Workers, checked_jobs
from viewcov.inspection.records import Jobs
from viewcov.segmentation.exposure import exposure_stack, network_range
from viewcov.segmentation.images import check_size, image_size
from viewcov.segmentation.models import SegmentationModel
from viewcov.segmentation.options import PredictionOptions

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

DEFAULTS = PredictionOptions()


def predict_image(
    model: SegmentationModel, image: NDArray[np.floating], options: PredictionOptions = DEFAULTS
) -> Floats32:
    """Defect probability of each pixel, shape (height, width), values in [0, 1].

    The image holds grey values in [0, 1], shape (height, width), any size.

    Raises
    ------
    ValueError
        If the image is not of that shape or holds values outside [0, 1].
    """
    if image.ndim != 2 or 0 in image.shape:
        raise ValueError(f"image must have shape (height, width), got {image.shape}")
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"image must hold values in [0, 1], got {image.min()} to {image.max()}")
    return probability_map(model.network, image, model.exposures, model.card.architecture.stride_px, options)


def predict_inspection(
    model: SegmentationModel,
    inspection: InspectionFolder | Sequence[InspectionFolder],
    options: PredictionOptions = DEFAULTS,
    *,
    jobs: Jobs = 1,
    progress: bool = False,
) -> int:
    """Predict all views of an inspection, or of several; gives the number of images predicted by this call.

    Writes ``predictions/<model>/<view>.png`` with 16 bits and the card ``predictions/<model>/model.json``.
    Views predicted by the same weights are skipped, so a killed run continues; predictions by other weights of
    that name are removed first, once every image was found to be there.

    Parameters
    ----------
    jobs
        Those of ``Workers``, which take images and have as many threads each as torch has here, on which the last bits
        of sums depend.

    Raises
    ------
    InputError
        If the plan or an image is missing or broken, or an image is not as large as the plan's camera.
    """
    import torch

    checked_jobs(jobs)
    folders = [inspection] if isinstance(inspection, InspectionFolder) else list(inspection)
    views = {folder.root: _checked_views(folder) for folder in folders}
    todo: list[tuple[Path, Path]] = []
    for folder in folders:
        _claim(model, folder)
        ids = views[folder.root]
        files = [(folder.image_path(each), folder.prediction_path(model.name, each)) for each in ids]
        left = [pair for pair in files if not pair[1].is_file()]
        if len(left) < len(ids):
            log.info("%s: %d of %d views were predicted before", folder.root, len(ids) - len(left), len(ids))
        todo += left
    if not todo:
        return 0
    make = partial(_Predictor, model, options, torch.get_num_threads())
    with Workers(make, jobs) as workers:
        predicted = workers.map(_Predictor.predict, ((str(image), image.read_bytes()) for image, _ in todo))
        bar = tqdm(todo, desc=f"predict {model.name}", unit="image", disable=not progress)
        for (_, path), png in zip(bar, predicted, strict=True):
            write_bytes(path, png)
    return len(todo)


def _checked_views(folder: InspectionFolder) -> list[str]:
    """Ids of an inspection's views, all of which have an image as large as the camera's."""
    plan = folder.plan()
    camera = plan.rig.camera
    for viewpoint in plan.viewpoints:
        path = folder.image_path(viewpoint.id)
        check_size(path, image_size(path), (camera.height_px, camera.width_px), "its plan's camera")
    return [viewpoint.id for viewpoint in plan.viewpoints]


class _Predictor:
    """A model at work; with as many threads of torch as where it came from."""

    def __init__(
        self, model: SegmentationModel, options: PredictionOptions, torch_threads: int, *, num_threads: int
    ) -> None:
        self._model, self._options = model, options
        if num_threads > 0:
            import torch

            torch.set_num_threads(torch_threads)

    def predict(self, image: tuple[str, bytes]) -> bytes:
        """PNG of the probability for an image; its file is named, but may not be here."""
        path, content = image
        return grey_png(predict_image(self._model, read_grey(path, content=content), self._options), bits=16)


def stored_prediction(model: SegmentationModel, folder: InspectionFolder, view_id: str) -> Floats32 | None:
    """The probability that these very weights gave for a view before, shape (height, width); None without one."""
    path = folder.prediction_path(model.name, view_id)
    present = _card(model, folder) if path.is_file() else None
    return read_grey(path) if present and present.weights_sha256 == model.weights_sha256 else None


def probability_map(
    network: torch.nn.Module,
    image: NDArray[np.floating],
    exposures: tuple[float, ...],
    stride_px: int,
    options: PredictionOptions = DEFAULTS,
) -> Floats32:
    """Defect probability by a bare network in evaluation mode; otherwise as ``predict_image``."""
    tile_px, margin_px = options.tile_px, options.margin_px
    if max(image.shape) <= tile_px:
        return _in_one_pass(network, image, exposures, stride_px)
    probability = np.empty(image.shape, dtype=np.float32)
    for rows, inner_rows, around_rows in _tiles(image.shape[0], tile_px, margin_px):
        for columns, inner_columns, around_columns in _tiles(image.shape[1], tile_px, margin_px):
            tile = _in_one_pass(network, image[around_rows, around_columns], exposures, stride_px)
            probability[rows, columns] = tile[inner_rows, inner_columns]
    return probability


def _in_one_pass(
    network: torch.nn.Module, image: NDArray[np.floating], exposures: tuple[float, ...], stride_px: int
) -> Floats32:
    import torch

    height, width = image.shape
    pad = ((0, -height % stride_px), (0, -width % stride_px))
    # Mirrored content has the image's own texture; a side too short to be mirrored is drawn out.
    padded = np.pad(image, pad, mode="reflect" if min(height, width) >= stride_px else "edge")
    stack = torch.from_numpy(network_range(exposure_stack(padded, exposures)))[None]
    device = next(network.parameters()).device
    with torch.inference_mode():
        logits = network(stack.to(device))
        probability = torch.sigmoid(logits)[0, 0, :height, :width].cpu().numpy()
    assert probability.shape == image.shape
    return np.ascontiguousarray(probability)


def _tiles(length: int, tile_px: int, margin_px: int) -> Iterator[tuple[slice, slice, slice]]:
    """Along one axis: each tile in the image, the tile in its surroundings, the surroundings in the image.

    All begin at multiples of 32, so of the network's stride, so that its grid lies the same in every tile.
    """
    for start in range(0, length, tile_px):
        stop = min(start + tile_px, length)
        low, high = max(start - margin_px, 0), min(stop + margin_px, length)
        yield slice(start, stop), slice(start - low, stop - low), slice(low, high)


def _card(model: SegmentationModel, folder: InspectionFolder) -> PredictionsCard | None:
    """The card beside the predictions; None for a broken one too, which cannot vouch for them."""
    try:
        return read_predictions_card(folder, model.name)
    except InputError:
        return None


def _claim(model: SegmentationModel, folder: InspectionFolder) -> None:
    """Make the predictions' folder one of exactly these weights."""
    wanted = PredictionsCard(
        model=model.name,
        weights_sha256=model.weights_sha256,
        threshold=model.threshold,
        folder=folder_for_card(folder, model.name, model.folder) if model.folder else None,
    )
    present = _card(model, folder)
    if present is None or present.weights_sha256 != model.weights_sha256:
        for path in files_in(folder.predictions(model.name), "*.png"):
            path.unlink()
    if present != wanted:
        write_predictions_card(folder, wanted)
