"""The card of a model, ``model.json``: what the network is, and how it was made."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from viewcov.inspection.folder import ModelName, PixelThreshold
from viewcov.inspection.records import AtLeastOne, Count, FileRecord, NotNegative, Record, Sha256, Share
from viewcov.segmentation.exposure import checked_exposures

CARD_NAME = "model.json"
WEIGHTS_NAME = "model.safetensors"

Encoder = Literal[
    "tu-resnet10t", "tu-resnet14t", "tu-resnet18", "tu-resnet26t", "tu-resnet34", "tu-resnet50", "tu-resnet101",
    "tu-lcnet_050", "tu-mobilenetv3_large_100", "tu-regnety_008", "tu-convnext_tiny",
]  # fmt: skip
"""The encoders, by segmentation_models_pytorch's names. Any other, let alone that of a file or a hub, is refused."""

Channels = Annotated[int, Field(ge=4, le=1024)]
Exposures = Annotated[
    tuple[Annotated[float, Field(ge=-8.0, le=8.0)], ...], Field(max_length=8), AfterValidator(checked_exposures)
]
"""Stops of an exposure stack, one channel each."""


class Architecture(Record):
    """A network of segmentation_models_pytorch with random initial weights; one output channel.

    The default, which the shipped models have, is the first half of a ResNet-10 with a slim decoder: 3.3 MB of
    weights, few enough to be trained on two CPU cores.
    """

    arch: Literal["unet", "unetplusplus"] = "unet"
    """Kind of decoder."""

    encoder: Encoder = "tu-resnet10t"
    """Encoder; ``tu-`` names come from timm."""

    depth: Annotated[int, Field(ge=2, le=5)] = 4
    """Number of halvings of the resolution."""

    encoder_channels: Annotated[tuple[Channels, ...], Field(min_length=4, max_length=4)] | None = None
    """Channels of the four stages of an encoder ``tu-resnet...t``; its own if not given."""

    decoder_channels: tuple[Channels, ...] = (64, 48, 32, 16)
    """Channels of the decoder's stages, from the coarsest to full resolution: as many as ``depth``."""

    initial_logit: Annotated[float, Field(ge=-20.0, le=20.0)] = -4.0
    """Where a new network starts. Most pixels are good: near their share it saves the first few hundred steps."""

    @model_validator(mode="after")
    def _fits(self) -> Architecture:
        if len(self.decoder_channels) != self.depth:
            raise ValueError(f"as many decoder_channels as depth, {self.depth}")
        if self.encoder_channels and not self.encoder.endswith("t"):
            raise ValueError("encoder_channels for an encoder tu-resnet...t only")
        return self

    @property
    def stride_px(self) -> int:
        """Image sides must be multiples of this."""
        return int(2**self.depth)


class Weights(Record):
    """The file of a model's weights, in the card's folder, and what it must hold."""

    file: Literal["model.safetensors"] = "model.safetensors"
    sha256: Sha256


Request = dict[str, JsonValue]
"""What decides the weights of a training run: its options by name, and the identity of its data."""


class Validation(Record):
    """Mean loss since the validation before, and the best pixel F1 with its threshold, None if nothing was found."""

    step: AtLeastOne
    loss: float
    f1: Share
    threshold: PixelThreshold | None


class TrainingFigures(Record):
    """How a training run went: steps taken, the one whose weights were kept, F1 of the stored weights."""

    steps: AtLeastOne
    best_step: AtLeastOne
    validation_f1: Share
    seconds: NotNegative
    history: tuple[Validation, ...]


class TrainingData(Record):
    """What a model was trained on: name of the data set's folder, images, how the data set was made."""

    folder: str
    train_images: Count
    validation_images: Count
    made: dict[str, JsonValue]


class ModelCard(FileRecord):
    """``model.json``."""

    REMEDY: ClassVar[str] = "restore it or train again with 'viewcov train'"

    schema_version: Literal["viewcov-model/2"] = "viewcov-model/2"

    name: ModelName
    architecture: Architecture
    exposures: Exposures

    normalisation: Literal["[0, 1] to [-1, 1]"] = "[0, 1] to [-1, 1]"
    """What is done with grey values before the network."""

    threshold: PixelThreshold
    """Probability from which a pixel counts as defective: that of the best F1 on the validation split."""

    weights: Weights
    request: Request = Field(default_factory=dict)
    figures: TrainingFigures | None = None
    data: TrainingData | None = None

    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages that decide its figures."""
