"""Training a segmentation model on the inspections of a data set."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json
from viewcov.inspection.folder import Dataset
from viewcov.segmentation.checkpoints import read_checkpoint, remove_checkpoint, write_checkpoint
from viewcov.segmentation.crops import CropSampler
from viewcov.segmentation.exposure import checked_exposures, exposure_stack, network_range
from viewcov.segmentation.images import LabelledImage, identity_of, read_split
from viewcov.segmentation.metrics import ScoreHistogram
from viewcov.segmentation.models import (
    CARD_NAME,
    SegmentationModel,
    build_network,
    checked_name,
    half_precision,
    load_model,
    require_torch,
    save_model,
    versions,
)
from viewcov.segmentation.options import TrainingOptions, learning_rate_at
from viewcov.segmentation.prediction import probability_map

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def train_model(
    dataset: Dataset,
    out: str | Path,
    *,
    name: str,
    exposures: Sequence[float] = (0,),
    seed: int = 0,
    options: TrainingOptions | None = None,
    max_minutes: float | None = None,
    progress: bool = False,
) -> SegmentationModel:
    """Train on the split ``train``, choose weights and threshold on ``validation``, save to ``out``.

    The weights kept are those of the best pixel F1 over the whole validation split, and the threshold is the
    one that reaches it. A killed run is taken up at its last validation by the same call and ends with the
    weights of an undisturbed one; a finished model is loaded, not trained again.

    Parameters
    ----------
    dataset
        Splits hold whole inspections, so no instance is in two of them.
    out
        Folder of the model; ``checkpoint/`` in it while training.
    name
        The model's name, which predictions are filed under.
    exposures
        Exposure stack that the network takes; ``(0,)`` is the plain image.
    seed
        At least 0.
    options
        Further options.
    max_minutes
        Ends the training at the last validation that fits, all runs of it counted. The result then depends on
        the machine's speed.
    progress
        Show a progress bar.

    Raises
    ------
    InputError
        If the data set cannot be trained on, or ``out`` holds a model or checkpoint of other options or data,
        or the loss is no longer finite.
    MissingExtraError
        If torch or the like is not installed.
    """
    checked_name(name)
    require_torch()
    wanted = options or TrainingOptions()
    stack = checked_exposures(exposures)
    training = read_split(dataset, "train", progress=progress)
    validation = read_split(dataset, "validation", progress=progress)
    _check_images(dataset, training, validation, wanted)
    request = {
        "name": name,
        "exposures": stack,
        "seed": seed,
        "options": dataclasses.asdict(wanted),
        "data": {"train": identity_of(training), "validation": identity_of(validation)},
    }
    request = json.loads(json.dumps(request))  # As it will be read back: tuples become lists.
    folder = Path(out)
    if (folder / CARD_NAME).is_file():
        _check_same(folder, read_json(folder / CARD_NAME).get("training", {}).get("request"), request)
        log.info("%s is finished already", folder)
    else:
        with _repeatable(wanted.num_threads):
            run = _Run(training, validation, exposures=stack, seed=seed, options=wanted)
            run.take_up(folder, request)
            run.train(folder, request, max_minutes=max_minutes, progress=progress)
            run.finish(folder, request, dataset, name=name)
    remove_checkpoint(folder / "checkpoint")
    return load_model(folder)


class _Run:
    """A training run: the network, its optimiser, and the best weights so far."""

    def __init__(
        self,
        training: Sequence[LabelledImage],
        validation: Sequence[LabelledImage],
        *,
        exposures: tuple[float, ...],
        seed: int,
        options: TrainingOptions,
    ) -> None:
        import torch

        self._training, self._validation = training, validation
        self._exposures, self._options = exposures, options
        self._sampler = CropSampler(training, options.crops, seed=seed)
        self._network = build_network(options.architecture, len(exposures), seed=seed)
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self._best: dict[str, torch.Tensor] = {}
        self._values: dict[str, Any] = {
            "step": 0,
            "best_step": 0,
            "best_f1": 0.0,
            "seconds": 0.0,
            "history": [],
        }

    def take_up(self, folder: Path, request: dict[str, Any]) -> None:
        """Continue from the folder's checkpoint if there is one."""
        import torch

        checkpoint = read_checkpoint(folder / "checkpoint")
        if checkpoint is None:
            return
        tensors, values = checkpoint
        _check_same(folder, values.pop("request"), request)
        parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
        for key, tensor in tensors.items():
            part, _, rest = key.partition("/")
            parts[part][rest] = tensor
        self._network.load_state_dict(parts["network"], strict=True)
        self._best = parts["best"]
        for key, parameter in self._network.named_parameters():
            self._optimiser.state[parameter] = {
                "step": parts["optimiser"][f"{key}/step"],
                **{
                    moment: torch.empty_like(parameter).copy_(parts["optimiser"][f"{key}/{moment}"]).detach()
                    for moment in ("exp_avg", "exp_avg_sq")
                },
            }
        self._values = values
        log.info("%s: taken up at step %d", folder, values["step"])

    def train(self, folder: Path, request: dict[str, Any], *, max_minutes: float | None, progress: bool) -> None:
        """Take the remaining steps, with a checkpoint after each validation."""
        options = self._options
        num_steps, before = options.num_steps, self._values["seconds"]
        start = last = time.perf_counter()
        losses: list[float] = []
        with tqdm(
            total=num_steps, initial=self._values["step"], desc="train", unit="step", disable=not progress
        ) as bar:
            while self._values["step"] < num_steps:
                losses.append(self._take_step(self._values["step"]))
                self._values["step"] += 1
                bar.update()
                if self._values["step"] % options.validate_every and self._values["step"] < num_steps:
                    continue
                self._validate(float(np.mean(losses)))
                losses.clear()
                bar.set_postfix(f1=f"{self._values['history'][-1]['f1']:.3f}")
                now = time.perf_counter()
                self._values["seconds"] = before + now - start
                self._write(folder, request)
                if max_minutes is not None and self._values["seconds"] + now - last > 60.0 * max_minutes:
                    log.info("stopped at step %d by the time limit", self._values["step"])
                    break
                last = now

    def finish(self, folder: Path, request: dict[str, Any], dataset: Dataset, *, name: str) -> None:
        """Save the best weights as they are stored, with the threshold that fits them."""
        chosen = None
        if self._best:
            self._network.load_state_dict(self._best, strict=True)
            self._network.load_state_dict(half_precision(self._network), strict=True)
            chosen = self._best_threshold()
        if chosen is None:
            raise InputError(
                folder,
                "the model found no defect in the validation split",
                expected="a best F1 above 0",
                found=f"0 after {self._values['step']} steps",
                remedy="remove the folder and train with more steps or another learning rate",
            )
        threshold, f1 = chosen
        figures = {key: self._values[key] for key in ("best_step", "seconds", "history")}
        figures |= {"steps": self._values["step"], "validation_f1": f1}
        card = {
            "training": {"request": request, "figures": figures},
            "dataset": {
                "folder": dataset.root.resolve().name,
                "train_images": len(self._training),
                "validation_images": len(self._validation),
                "made": dataset.made,
            },
            "versions": versions(),
        }
        model = SegmentationModel(
            name=name,
            exposures=self._exposures,
            threshold=threshold,
            architecture=self._options.architecture,
            network=self._network.eval(),
            weights_sha256="",
            card=card,
        )
        save_model(folder, model)

    def _take_step(self, step: int) -> float:
        import torch

        options = self._options
        crops = [self._sampler.sample(step, index) for index in range(options.batch)]
        stack = np.stack([network_range(exposure_stack(grey, self._exposures)) for grey, _, _ in crops])
        mask = np.stack([defective for _, defective, _ in crops])[:, None].astype(np.float32)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate_at(step, options)
        self._network.train()
        self._optimiser.zero_grad()
        logits = self._network(torch.from_numpy(stack))
        loss = _loss(logits, torch.from_numpy(mask), options)
        value = float(loss.detach())
        if not math.isfinite(value):
            names = sorted({self._training[image_idx].name for _, _, image_idx in crops})
            raise InputError(
                "training",
                f"the loss of step {step} is not finite",
                expected="a number",
                found=f"{value} on crops of {', '.join(names)}",
                remedy="lower the learning rate, or look at these images",
            )
        loss.backward()
        self._optimiser.step()
        return value

    def _best_threshold(self) -> tuple[float, float] | None:
        """Threshold of the best F1 over the validation split, and that F1."""
        self._network.eval()
        histogram = ScoreHistogram()
        for image in self._validation:
            probability = probability_map(
                self._network,
                image.levels / np.float32(255.0),
                exposures=self._exposures,
                stride_px=self._options.architecture.stride_px,
            )
            histogram.add(probability, image.defective)
        return histogram.best()

    def _validate(self, loss: float) -> None:
        threshold, f1 = self._best_threshold() or (None, 0.0)
        step = self._values["step"]
        self._values["history"].append({"step": step, "loss": loss, "f1": f1, "threshold": threshold})
        log.info("step %d: loss %.4f, validation F1 %.4f", step, loss, f1)
        if f1 > self._values["best_f1"]:
            self._values |= {"best_f1": f1, "best_step": step}
            self._best = {key: tensor.detach().clone() for key, tensor in self._network.state_dict().items()}

    def _write(self, folder: Path, request: dict[str, Any]) -> None:
        tensors = {f"network/{key}": tensor for key, tensor in self._network.state_dict().items()}
        tensors |= {f"best/{key}": tensor for key, tensor in self._best.items()}
        for key, parameter in self._network.named_parameters():
            state = self._optimiser.state[parameter]
            tensors |= {f"optimiser/{key}/{part}": state[part] for part in ("step", "exp_avg", "exp_avg_sq")}
        write_checkpoint(folder / "checkpoint", tensors, {**self._values, "request": request})


def _loss(logits: torch.Tensor, mask: torch.Tensor, options: TrainingOptions) -> torch.Tensor:
    """Binary cross-entropy of the batch, with the weighted Dice loss if asked for."""
    import torch

    weight = torch.tensor(options.positive_weight)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, mask, pos_weight=weight)
    if options.dice_weight > 0:
        probability = torch.sigmoid(logits)
        overlap = 2.0 * (probability * mask).sum() + 1.0
        loss = loss + options.dice_weight * (1.0 - overlap / (probability.sum() + mask.sum() + 1.0))
    return loss


@contextmanager
def _repeatable(num_threads: int) -> Iterator[None]:
    """Fix what decides the last bits of torch's sums, and put it back afterwards."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(num_threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _check_images(
    dataset: Dataset,
    training: Sequence[LabelledImage],
    validation: Sequence[LabelledImage],
    options: TrainingOptions,
) -> None:
    """Raise InputError if one cannot train on these images or choose a threshold on them."""
    for split, images in (("train", training), ("validation", validation)):
        if not any(image.defective.any() for image in images):
            raise InputError(
                dataset.root,
                f"the split {split!r} has no defective pixel",
                expected="masks with defects, without which there is no threshold to choose",
                found=f"{len(images)} images without",
                remedy="synthesize more defective inspections",
            )
    smallest = min(training, key=lambda image: min(image.levels.shape))
    if min(smallest.levels.shape) < options.crops.crop_px:
        raise InputError(
            f"{dataset.root}/{smallest.name}",
            "smaller than a training crop",
            expected=f"at least {options.crops.crop_px} x {options.crops.crop_px} pixels",
            found=f"{smallest.levels.shape[1]} x {smallest.levels.shape[0]}",
            remedy="choose a smaller crop_px",
        )


def _check_same(folder: Path, present: Any, request: dict[str, Any]) -> None:
    """Raise InputError if the folder's model or checkpoint was asked for otherwise."""
    known = present if isinstance(present, dict) else {}
    keys = [key for key in request if known.get(key) != request[key]]
    if not keys:
        return
    if keys[0] == "options" and isinstance(known.get("options"), dict):
        changed = [k for k, v in request["options"].items() if known["options"].get(k) != v] or keys
        differs, old, new = changed[0], known["options"].get(changed[0]), request["options"].get(changed[0])
    else:
        differs, old, new = keys[0], known.get(keys[0]), request[keys[0]]
    raise InputError(
        folder,
        f"holds a model or checkpoint of another {differs}",
        expected=str(new),
        found=str(old),
        remedy="choose another folder, or remove this one to train anew",
    )
