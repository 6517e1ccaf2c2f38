"""Training a segmentation model on labelled images."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import Dataset
from viewcov.inspection.records import read_record, write_record
from viewcov.segmentation.cards import (
    CARD_NAME,
    Architecture,
    ModelCard,
    Request,
    TrainingData,
    TrainingFigures,
    Validation,
)
from viewcov.segmentation.checkpoints import Progress, read_checkpoint, remove_checkpoint, write_checkpoint
from viewcov.segmentation.crops import CropSampler
from viewcov.segmentation.exposure import exposure_stack, network_range
from viewcov.segmentation.images import LabelledImage, SampleSet, identity_of, read_split, samples_of
from viewcov.segmentation.metrics import ScoreHistogram
from viewcov.segmentation.models import (
    SegmentationModel,
    build_network,
    half_precision,
    load_model,
    require_torch,
    versions,
    write_weights,
)
from viewcov.segmentation.options import TrainingOptions, learning_rate_at
from viewcov.segmentation.prediction import probability_map

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_DEFAULTS = TrainingOptions()
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps for each parameter."""


def train_model(
    data: Dataset | SampleSet, out: str | Path, options: TrainingOptions = _DEFAULTS, *, progress: bool = False
) -> SegmentationModel:
    """Train on the split ``train``, choose weights and threshold on ``validation``, save to ``out``.

    The weights kept are those of the best pixel F1 over the validation split, and the threshold is the
    one that reaches it. A killed run is taken up at its last checkpoint by the same call and ends with the
    weights of an undisturbed one; a finished model is loaded, not trained again.

    Splits hold whole inspections, so no instance is in two of them. While training, ``checkpoint/`` is in the folder.

    Raises
    ------
    InputError
        If the data cannot be trained on, or ``out`` cannot name the model or holds a model or checkpoint of other
        options or data, or the loss is no longer finite.
    MissingExtraError
        If torch or the like is not installed.
    """
    folder = Path(out)
    options = _named(options, folder)
    require_torch()
    samples = samples_of(data) if isinstance(data, Dataset) else data
    training = read_split(samples, "train", progress=progress)
    validation = read_split(samples, "validation", progress=progress)
    _check_images(samples.root, training, validation, options)
    # Without what decides when it stops and starts again.
    request: Request = options.model_dump(mode="json", exclude={"max_minutes", "checkpoint_every"})
    request |= {"training data": identity_of(training), "validation data": identity_of(validation)}
    if (folder / CARD_NAME).is_file():
        _check_same(folder, read_record(folder / CARD_NAME, ModelCard).request, request)
        log.info("%s is finished already", folder)
    else:
        with _repeatable(options.threads):
            run = _Run(training, validation, folder, request, options)
            run.take_up()
            run.train(progress=progress)
            run.finish(samples)
    remove_checkpoint(folder / "checkpoint")
    return load_model(folder)


class _Run:
    """A training run: the network, its optimiser, and the best weights so far."""

    def __init__(
        self,
        training: Sequence[LabelledImage],
        validation: Sequence[LabelledImage],
        folder: Path,
        request: Request,
        options: TrainingOptions,
    ) -> None:
        import torch

        self._training, self._validation = training, validation
        self._folder, self._request, self._options = folder, request, options
        self._sampler = CropSampler(training, options, seed=options.seed)
        self._network = build_network(options, len(options.exposures), seed=options.seed)
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self._best: dict[str, torch.Tensor] = {}
        self._done = Progress()

    def take_up(self) -> None:
        """Continue from the folder's checkpoint if there is one."""
        import torch

        checkpoint = read_checkpoint(self._folder / "checkpoint")
        if checkpoint is None:
            return
        tensors, state = checkpoint
        _check_same(self._folder, state.request, self._request)
        parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
        for key, tensor in tensors.items():
            part, _, rest = key.partition("/")
            parts[part][rest] = tensor
        self._network.load_state_dict(parts["network"], strict=True)
        self._best = parts["best"]
        for key, parameter in self._network.named_parameters():
            if f"{key}/step" not in parts["optimiser"]:
                continue  # Some encoders have layers that a network of this depth does not use.
            step, *moments = (parts["optimiser"][f"{key}/{part}"] for part in _MOMENTS)
            # In the parameter's own memory format, on which the last bits depend.
            laid = [torch.empty_like(parameter).copy_(moment).detach() for moment in moments]
            self._optimiser.state[parameter] = dict(zip(_MOMENTS, (step, *laid), strict=True))
        self._done = state.progress
        log.info("%s: taken up at step %d", self._folder, self._done.step)

    def train(self, *, progress: bool) -> None:
        """Take the remaining steps, with a checkpoint now and then and after each validation."""
        options, done = self._options, self._done
        last = time.perf_counter()
        start = last - done.seconds
        with tqdm(total=options.steps, initial=done.step, desc="train", unit="step", disable=not progress) as bar:
            while self._done.step < options.steps:
                step = self._done.step + 1
                self._note(losses=(*self._done.losses, self._take_step(step - 1)), step=step)
                bar.update()
                validated = step % options.validate_every == 0 or step == options.steps
                if validated:
                    self._validate()
                    bar.set_postfix(f1=f"{self._done.history[-1].f1:.3f}")
                now = time.perf_counter()
                self._note(seconds=now - start)
                if validated or step % options.checkpoint_every == 0:
                    self._write()
                if validated and options.max_minutes and self._done.seconds + now - last > 60.0 * options.max_minutes:
                    log.info("stopped at step %d by the time limit", step)
                    break
                last = now if validated else last

    def finish(self, samples: SampleSet) -> None:
        """Save the best weights as they are stored, with the threshold that fits them."""
        chosen = None
        if self._best:
            self._network.load_state_dict(self._best, strict=True)
            self._network.load_state_dict(half_precision(self._network), strict=True)
            chosen = self._best_threshold(self._validation)
        done, options = self._done, self._options
        if chosen is None:
            raise InputError(
                self._folder, "the model found no defect in the validation split", expected="a best F1 above 0",
                found=f"0 after {done.step} steps",
                remedy="remove the folder and train with more --steps or another --learning-rate",
            )  # fmt: skip
        threshold, f1 = chosen
        card = ModelCard(
            name=str(options.name),
            architecture=Architecture(**options.model_dump(include=set(Architecture.model_fields))),
            exposures=options.exposures,
            threshold=threshold,
            weights=write_weights(self._folder, self._network),
            request=self._request,
            figures=TrainingFigures(
                steps=done.step, best_step=done.best_step, validation_f1=f1, seconds=done.seconds, history=done.history
            ),
            data=TrainingData(
                folder=samples.root.resolve().name,
                train_images=len(self._training),
                validation_images=len(self._validation),
                made=samples.made,
            ),
            versions=versions(),
        )
        # After the weights: a killed run leaves no card that does not fit.
        write_record(self._folder / CARD_NAME, card)

    def _note(self, **values: object) -> None:
        self._done = self._done.model_copy(update=values)

    def _take_step(self, step: int) -> float:
        import torch

        options = self._options
        crops = [self._sampler.sample(step, index) for index in range(options.batch)]
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate_at(step, options)
        self._network.train()
        self._optimiser.zero_grad()
        stack = np.stack([network_range(exposure_stack(grey, options.exposures)) for grey, _, _ in crops])
        mask = np.stack([defective for _, defective, _ in crops])[:, None].astype(np.float32)
        loss = _loss(self._network(torch.from_numpy(stack)), torch.from_numpy(mask), options)
        value = float(loss.detach())
        if not math.isfinite(value):
            names = sorted({self._training[image_idx].name for _, _, image_idx in crops})
            raise InputError(
                "training", f"the loss of step {step} is not finite", expected="a number",
                found=f"{value} on crops of {', '.join(names)}",
                remedy="lower --learning-rate, or look at these images",
            )  # fmt: skip
        loss.backward()
        self._optimiser.step()
        return value

    def _best_threshold(self, images: Sequence[LabelledImage]) -> tuple[float, float] | None:
        """Threshold of the best F1 over images, and that F1."""
        self._network.eval()
        histogram = ScoreHistogram()
        for image in images:
            probability = probability_map(self._network, image.grey, self._options.exposures, self._options.stride_px)
            histogram.add(probability, image.defective)
        return histogram.best()

    def _validate(self) -> None:
        num = math.ceil(self._options.validation_share * len(self._validation))
        places = np.linspace(0, len(self._validation) - 1, num).astype(int)
        threshold, f1 = self._best_threshold([self._validation[i] for i in places]) or (None, 0.0)
        done = self._done
        entry = Validation(step=done.step, loss=float(np.mean(done.losses)), f1=f1, threshold=threshold)
        self._note(history=(*done.history, entry), losses=())
        log.info("step %d: loss %.4f, validation F1 %.4f", entry.step, entry.loss, f1)
        if f1 > done.best_f1:
            self._note(best_f1=f1, best_step=done.step)
            self._best = {key: tensor.detach().clone() for key, tensor in self._network.state_dict().items()}

    def _write(self) -> None:
        tensors = {f"network/{key}": tensor for key, tensor in self._network.state_dict().items()}
        tensors |= {f"best/{key}": tensor for key, tensor in self._best.items()}
        for key, parameter in self._network.named_parameters():
            state = self._optimiser.state.get(parameter, {})
            tensors |= {f"optimiser/{key}/{part}": tensor for part, tensor in state.items()}
        write_checkpoint(self._folder / "checkpoint", tensors, self._request, self._done)


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


def _named(options: TrainingOptions, folder: Path) -> TrainingOptions:
    """The options with the name of the model, which is that of its folder if they have none."""
    try:
        return TrainingOptions(**{**options.model_dump(), "name": options.name or folder.resolve().name})
    except InputError:
        raise InputError(
            folder, "the folder's name cannot name a model", expected="letters, digits, '_', '.' or '-', at most 64",
            found=repr(folder.resolve().name), remedy="choose another folder or give --name",
        ) from None  # fmt: skip


def _check_images(
    root: Path, training: Sequence[LabelledImage], validation: Sequence[LabelledImage], options: TrainingOptions
) -> None:
    """Raise InputError if one cannot train on these images or choose a threshold on them."""
    for split, images in (("train", training), ("validation", validation)):
        if not any(image.defective.any() for image in images):
            raise InputError(
                root, f"the split {split!r} has no defective pixel",
                expected="masks with defects, without which there is no threshold to choose",
                found=f"{len(images)} images without", remedy="synthesize more defective inspections",
            )  # fmt: skip
    smallest = min(training, key=lambda image: min(image.levels.shape))
    height, width = smallest.levels.shape
    if min(height, width) < options.crop_px:
        raise InputError(
            f"{root}/{smallest.name}", "smaller than a training crop",
            expected=f"at least {options.crop_px} x {options.crop_px} pixels", found=f"{width} x {height}",
            remedy="train with a smaller --crop-px, at least 32",
        )  # fmt: skip


def _check_same(folder: Path, present: Request, wanted: Request) -> None:
    """Raise InputError if the folder's model or checkpoint was asked for otherwise."""
    for key, value in wanted.items():
        if present.get(key) != value:
            raise InputError(
                folder, f"holds a model or checkpoint of another {key}", expected=str(value),
                found=str(present.get(key)), remedy="choose another folder, or remove this one to train anew",
            )  # fmt: skip
