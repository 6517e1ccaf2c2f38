"""Defect probability of images by a trained model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from viewcov.inspection.arrays import Floats32
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import files_in, read_grey, write_grey
from viewcov.inspection.folder import (
    InspectionFolder,
    PredictionsCard,
    folder_for_card,
    read_predictions_card,
    write_predictions_card,
)
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
    model: SegmentationModel, folder: InspectionFolder, options: PredictionOptions = DEFAULTS, *, progress: bool = False
) -> int:
    """Predict all views of an inspection; gives the number of images predicted by this call.

    Writes ``predictions/<model>/<view>.png`` with 16 bits and the card ``predictions/<model>/model.json``.
    Views predicted by the same weights are skipped, so a killed run continues; predictions by other weights of
    that name are removed first, once every image was found to be there.

    Raises
    ------
    InputError
        If the plan or an image is missing or broken, or an image is not as large as the plan's camera.
    """
    plan = folder.plan()
    views = [viewpoint.id for viewpoint in plan.viewpoints]
    camera = plan.rig.camera
    for view_id in views:
        path = folder.image_path(view_id)
        check_size(path, image_size(path), (camera.height_px, camera.width_px), "its plan's camera")
    _claim(model, folder)
    todo = [view_id for view_id in views if not folder.prediction_path(model.name, view_id).is_file()]
    if len(todo) < len(views):
        log.info("%s: %d of %d views were predicted before", folder.root, len(views) - len(todo), len(views))
    for view_id in tqdm(todo, desc=f"predict {folder.name}", unit="image", disable=not progress):
        probability = predict_image(model, read_grey(folder.image_path(view_id)), options)
        write_grey(folder.prediction_path(model.name, view_id), probability, bits=16)
    return len(todo)


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
