"""What training, testing and predicting can be told."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field

from viewcov.inspection.folder import ModelName, PixelThreshold, Split
from viewcov.inspection.records import AtLeastOne, NotNegative, Options, Positive, PositiveShare, Seed, Share
from viewcov.segmentation.cards import Architecture, Exposures
from viewcov.segmentation.crops import CropOptions

STACK: Exposures = (0.0, 1.0, 2.0)
"""The exposure stack that models are usually given."""


class TrainingOptions(Options, CropOptions, Architecture):
    """How a model is trained. Equal options and data give equal weights on the same machine."""

    name: ModelName | None = None
    """The model's name, which predictions are filed under; that of its folder if not given."""

    exposures: Exposures = (0.0,)
    """Stops of the exposure stack that the network takes; 0 alone is the plain image."""

    seed: Seed = 0
    """Start of the random numbers."""

    steps: AtLeastOne = 2500
    """Steps of the optimiser."""

    batch: Annotated[int, Field(ge=2, le=4096)] = 8
    """Crops a step."""

    learning_rate: Positive = 3e-3
    """Its highest value: it rises over the first steps and falls to 0 along a cosine."""

    warmup_share: Share = 0.2
    """Share of the steps over which the learning rate rises."""

    warmup_start: Share = 0.04
    """Share of the learning rate that the first step has."""

    weight_decay: NotNegative = 1e-4
    """Decoupled weight decay of AdamW."""

    positive_weight: Positive = 1.0
    """Weight of defective pixels in the binary cross-entropy. 1 keeps the probabilities honest."""

    dice_weight: NotNegative = 0.0
    """Weight of an added Dice loss over each batch."""

    validate_every: AtLeastOne = 250
    """Steps between validations."""

    validation_share: PositiveShare = 1.0
    """Share of the validation images that these look at; the last threshold is chosen on all."""

    checkpoint_every: AtLeastOne = 50
    """Steps between checkpoints, from which a broken-off run continues; each validation leaves one too."""

    max_minutes: Positive | None = None
    """Ends the training at the last validation that fits, all runs of it counted: no longer repeatable."""

    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """Threads of torch. The last bits of sums depend on it, so the machine does not choose."""


class PredictionOptions(Options):
    """How images are predicted."""

    tile_px: Annotated[int, Field(ge=32, multiple_of=32)] = 1024
    """Images with a longer side are cut into tiles of this size, which bounds the memory."""

    margin_px: Annotated[int, Field(ge=0, multiple_of=32)] = 160
    """Surroundings that a tile is given on each side and that are cut off from its result. Once it reaches
    as far as the network looks, the tiles agree with the whole image."""


class TestOptions(PredictionOptions):
    """How a model is measured."""

    __test__: ClassVar[bool] = False  # pytest would take it for tests.

    split: Split = "test"
    """Inspections to measure on."""

    threshold: PixelThreshold | None = None
    """Probability from which a pixel is found; the model's own if not given."""


def learning_rate_at(step: int, options: TrainingOptions) -> float:
    """Learning rate of a step: a function of the step alone, so that nothing is lost with a killed run."""
    warm = max(1, int(options.steps * options.warmup_share))
    if step < warm:
        rise = (1 - math.cos(math.pi * step / warm)) / 2
        return options.learning_rate * (options.warmup_start + (1 - options.warmup_start) * rise)
    done = (step - warm) / max(1, options.steps - warm)
    return options.learning_rate * (1 + math.cos(math.pi * done)) / 2
