"""The segmentation model: a network with all that is needed to use it, and its folder on disk."""

from __future__ import annotations

import dataclasses
import importlib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from viewcov.inspection.errors import InputError, MissingExtraError
from viewcov.inspection.files import read_json, replacing, sha256_of, write_json
from viewcov.segmentation.exposure import checked_exposures

if TYPE_CHECKING:
    import torch

MODEL_SCHEMA = "viewcov-model/1"
WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "model.json"
_NORMALISATION = {"0": -1.0, "1": 1.0}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A U-Net of segmentation_models_pytorch with random initial weights; one output channel.

    The default, which the shipped models have, is the first half of a ResNet-10 with a slim decoder: 3.3 MB of
    weights, few enough to be trained on two CPU cores.
    """

    encoder_name: str = "tu-resnet10t"
    """Encoder by smp's name; ``tu-`` names come from timm."""

    encoder_depth: int = 4
    """Number of halvings of the resolution."""

    decoder_channels: tuple[int, ...] = (64, 48, 32, 16)
    """Channels of the decoder's stages, from the coarsest to full resolution."""

    encoder_options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the encoder. Plain JSON values."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder_channels", tuple(self.decoder_channels))  # JSON has lists.
        # A name with a colon or slash would make timm ask the Hugging Face hub.
        if not re.fullmatch(r"[a-z0-9_-]+", self.encoder_name):
            raise ValueError(f"encoder_name must be a built-in or tu- encoder, got {self.encoder_name!r}")
        if len(self.decoder_channels) != self.encoder_depth:
            raise ValueError(
                f"decoder_channels must have encoder_depth = {self.encoder_depth} values, "
                f"got {list(self.decoder_channels)}"
            )

    @property
    def stride_px(self) -> int:
        """Image sides must be multiples of this."""
        return int(2**self.encoder_depth)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentationModel:
    """A trained network and how it is to be used."""

    name: str
    """Names the predictions' folder: letters, digits, ``_``, ``.`` and ``-``."""

    exposures: tuple[float, ...]
    """Exposure stack that the network takes, one channel each."""

    threshold: float
    """Probability from which a pixel counts as defective: that of the best F1 on the validation split."""

    architecture: Architecture
    """What the network is built as."""

    network: torch.nn.Module
    """In evaluation mode, float32. Takes (B, C, H, W) in [-1, 1], gives logits (B, 1, H, W)."""

    weights_sha256: str
    """SHA-256 of the weights file."""

    card: dict[str, Any] = field(default_factory=dict)
    """How it was made: training options and figures, data set, versions. Plain JSON values."""

    def __post_init__(self) -> None:
        checked_name(self.name)
        checked_exposures(self.exposures)
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold must lie in (0, 1), got {self.threshold}")


def checked_name(name: str) -> str:
    """The name if it can name a model and the folder of its predictions; raises ValueError if not."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"name must be letters, digits, '_', '.' or '-' (at most 64), got {name!r}")
    return name


def require_torch() -> None:
    """Import torch, torchvision and segmentation_models_pytorch, or say how to install them.

    Importing torchvision after VTK has rendered off-screen in the same process is a segmentation fault:
    a program that does both calls this before its first render.

    Raises
    ------
    MissingExtraError
        If one of them is not installed.
    InputError
        If torch and torchvision are installed but do not belong together.
    """
    for package in ("torch", "torchvision", "segmentation_models_pytorch", "safetensors"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            missing = (error.name or package).partition(".")[0]
            raise MissingExtraError("segmentation", package=missing, extra="train") from None
        except RuntimeError as error:
            # "operator torchvision::nms does not exist": a CPU-only torch with PyPI's torchvision.
            raise InputError(
                package,
                "cannot be imported",
                expected="torch and torchvision from the same package index",
                found=str(error),
                remedy="reinstall both together: pip install --force-reinstall torch torchvision",
            ) from None


def build_network(architecture: Architecture, num_channels: int, *, seed: int) -> torch.nn.Module:
    """The network with random weights, which depend on the seed alone. Nothing is downloaded.

    Raises
    ------
    InputError
        If smp or timm do not know the encoder or its options.
    """
    require_torch()
    import segmentation_models_pytorch as smp
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = smp.Unet(
                encoder_name=architecture.encoder_name,
                encoder_depth=architecture.encoder_depth,
                encoder_weights=None,
                decoder_channels=architecture.decoder_channels,
                in_channels=num_channels,
                classes=1,
                **architecture.encoder_options,
            )
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                "architecture",
                "cannot be built",
                expected="an encoder and options that segmentation_models_pytorch knows",
                found=f"{architecture.encoder_name} {architecture.encoder_options}: {error}",
                remedy="correct its name or options",
            ) from None
    with torch.no_grad():
        # Most pixels are good: starting at a probability near their share saves the first few hundred steps.
        network.segmentation_head[0].bias.fill_(-4.0)
    grouped = any(isinstance(m, torch.nn.Conv2d) and m.groups > 1 for m in network.modules())
    # Channels last is a third faster on CPUs, and what the kernels have the inputs follow. But the backward
    # pass of mobileone_s0, whose convolutions are grouped, then ends torch 2.14 with a segmentation fault.
    return network if grouped else network.to(memory_format=torch.channels_last)


def half_precision(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The network's state as it is stored: convolution kernels in float16, the rest as it is.

    Kernels survive the rounding; means and variances of batch normalisation can leave float16's range.
    """
    import torch

    stored = {}
    for key, tensor in network.state_dict().items():
        kernel = tensor.dim() > 1 and tensor.is_floating_point()
        stored[key] = (tensor.to(torch.float16) if kernel else tensor).detach().cpu().contiguous()
    return stored


def save_model(folder: str | Path, model: SegmentationModel) -> SegmentationModel:
    """Write ``model.safetensors`` and ``model.json``; gives the model as it will be loaded.

    The card is written last and names the weights' SHA-256: a killed run leaves no card that does not fit.
    """
    import safetensors.torch

    weights = safetensors.torch.save(half_precision(model.network), metadata={"format": "pt"})
    digest = sha256_of(weights)
    with replacing(Path(folder) / WEIGHTS_NAME) as temporary:
        temporary.write_bytes(weights)
    card = {
        "schema_version": MODEL_SCHEMA,
        "name": model.name,
        "architecture": dataclasses.asdict(model.architecture),
        "exposures": model.exposures,
        "normalisation": _NORMALISATION,
        "threshold": model.threshold,
        "weights": {"file": WEIGHTS_NAME, "sha256": digest},
        **model.card,
    }
    write_json(Path(folder) / CARD_NAME, card)
    return load_model(folder)


def list_shipped() -> list[str]:
    """Names of the models that come with the package."""
    folder = _shipped()
    return sorted(p.name for p in folder.iterdir() if (p / CARD_NAME).is_file()) if folder.is_dir() else []


def load_model(model: str | Path) -> SegmentationModel:
    """The shipped model of that name, or the model in that folder.

    Raises
    ------
    InputError
        If there is no such model, its files do not belong together, or one is broken.
    MissingExtraError
        If torch or the like is not installed.
    """
    shipped = list_shipped()
    folder = _shipped() / str(model) if str(model) in shipped else Path(model)
    if not (folder / CARD_NAME).is_file():
        raise InputError(
            folder,
            "no such model",
            expected=f"a folder with {CARD_NAME}" + (f" or one of {', '.join(shipped)}" if shipped else ""),
            found="a folder without" if folder.is_dir() else "nothing",
            remedy="check the path or finish the training with 'viewcov train'",
        )
    card = _read_card(folder / CARD_NAME)
    made = Architecture(**card.architecture)
    network = build_network(made, len(card.exposures), seed=0)
    _load_weights(network, folder / card.weights.file, card.weights.sha256)
    return SegmentationModel(
        name=card.name,
        exposures=tuple(card.exposures),
        threshold=card.threshold,
        architecture=made,
        network=network.eval(),
        weights_sha256=card.weights.sha256,
        card=dict(card.model_extra or {}),
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a network's figures."""
    packages = ("viewcov", "torch", "torchvision", "segmentation_models_pytorch", "timm", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}


class _Weights(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: str = Field(pattern=r"^[A-Za-z0-9_-]+\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Card(BaseModel):
    # Training figures and the like are kept as they are.
    model_config = ConfigDict(extra="allow")

    schema_version: str
    name: str = Field(pattern=f"^{_NAME.pattern}$")
    architecture: dict[str, Any]
    exposures: list[int | float] = Field(min_length=1)
    normalisation: dict[str, float]
    threshold: float = Field(gt=0, lt=1)
    weights: _Weights


def _shipped() -> Path:
    return Path(str(resources.files("viewcov.segmentation"))) / "shipped"


def _read_card(path: Path) -> _Card:
    """The checked content of ``model.json``."""
    value = read_json(path)
    version = value.get("schema_version") if isinstance(value, Mapping) else None
    if version != MODEL_SCHEMA:
        raise InputError(
            path,
            "not a model of this version",
            expected=f"schema_version {MODEL_SCHEMA!r}",
            found=repr(version),
            remedy="train it with 'viewcov train'",
        )
    try:
        card = _Card.model_validate(value)
        checked_exposures(card.exposures)
        Architecture(**card.architecture)
        if card.normalisation != _NORMALISATION:
            raise ValueError(f"normalisation must be {_NORMALISATION}, got {card.normalisation}")
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    except (TypeError, ValueError) as error:
        found = str(error)
    else:
        return card
    raise InputError(
        path,
        "not a valid model card",
        expected="valid fields",
        found=found,
        remedy="restore it or train again",
    )


def _load_weights(network: torch.nn.Module, path: Path, sha256: str) -> None:
    """Fill the network from a safetensors file with that SHA-256."""
    import safetensors
    import safetensors.torch

    remedy = "restore the file or train again"
    if not path.is_file():
        raise InputError(path, "no such weights", expected="a safetensors file", found="nothing", remedy=remedy)
    data = path.read_bytes()
    digest = sha256_of(data)
    if digest != sha256:
        raise InputError(
            path,
            "not the weights that the card names",
            expected=f"SHA-256 {sha256[:12]}...",
            found=f"{digest[:12]}...",
            remedy=remedy,
        )
    try:
        network.load_state_dict(safetensors.torch.load(data), strict=True)
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise InputError(
            path,
            "does not fit the card's architecture",
            expected="its tensors",
            found=str(error)[:200],  # torch lists every tensor.
            remedy=remedy,
        ) from None
