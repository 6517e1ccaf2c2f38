"""The segmentation model: a network with all that is needed to use it, and its folder on disk."""

from __future__ import annotations

import importlib
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from viewcov.inspection.errors import InputError, MissingExtraError
from viewcov.inspection.files import replacing, sha256_of
from viewcov.inspection.folder import shipped_models
from viewcov.inspection.records import read_record
from viewcov.segmentation.cards import CARD_NAME, WEIGHTS_NAME, Architecture, ModelCard, Weights

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentationModel:
    """A trained network and how it is to be used."""

    card: ModelCard
    """What it is and how it was made."""

    network: torch.nn.Module
    """In evaluation mode, float32. Takes (B, C, H, W) in [-1, 1], gives logits (B, 1, H, W)."""

    folder: Path | None = None
    """Where it was loaded from."""

    @property
    def name(self) -> str:
        """Names the predictions' folder."""
        return self.card.name

    @property
    def exposures(self) -> tuple[float, ...]:
        """Exposure stack that the network takes, one channel each."""
        return self.card.exposures

    @property
    def threshold(self) -> float:
        """Probability from which a pixel counts as defective."""
        return self.card.threshold

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights file."""
        return self.card.weights.sha256


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
                package, "cannot be imported", expected="torch and torchvision from the same package index",
                found=str(error), remedy="reinstall both together: pip install --force-reinstall torch torchvision",
            ) from None  # fmt: skip


def build_network(architecture: Architecture, num_channels: int, *, seed: int) -> torch.nn.Module:
    """The network with random weights, which depend on the seed alone. Nothing is downloaded.

    Raises InputError if the installed smp or timm do not know the encoder.
    """
    require_torch()
    import segmentation_models_pytorch as smp
    import torch

    channels = architecture.encoder_channels
    # Names of our own making only, as others could name files for timm to open.
    width = {"channels": channels, "stem_width": channels[0] // 2} if channels else {}
    kinds = {"unet": smp.Unet, "unetplusplus": smp.UnetPlusPlus}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = kinds[architecture.arch](
                encoder_name=architecture.encoder,
                encoder_depth=architecture.depth,
                encoder_weights=None,
                decoder_channels=architecture.decoder_channels,
                in_channels=num_channels,
                classes=1,
                **width,
            )
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                "architecture", "cannot be built", expected="an encoder that segmentation_models_pytorch knows",
                found=f"{architecture.encoder}: {error}", remedy="update segmentation_models_pytorch and timm",
            ) from None  # fmt: skip
    with torch.no_grad():
        network.segmentation_head[0].bias.fill_(architecture.initial_logit)
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


def write_weights(folder: Path, network: torch.nn.Module) -> Weights:
    """Write ``model.safetensors`` into a model's folder; gives what its card says about the file."""
    import safetensors.torch

    data = safetensors.torch.save(half_precision(network), metadata={"format": "pt"})
    with replacing(folder / WEIGHTS_NAME) as temporary:
        temporary.write_bytes(data)
    return Weights(sha256=sha256_of(data))


def list_shipped() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in shipped_models().glob(f"*/{CARD_NAME}"))


def load_model(model: str | Path) -> SegmentationModel:
    """The shipped model of that name, or the model in that folder.

    Raises
    ------
    InputError
        If there is no such model, its files do not belong together, or one is broken.
    """
    shipped = list_shipped()
    folder = shipped_models() / str(model) if str(model) in shipped else Path(model)
    if not (folder / CARD_NAME).is_file():
        raise InputError(
            folder, "no such model", expected=f"a folder with {CARD_NAME} or one of {', '.join(shipped)}",
            found="a folder without" if folder.is_dir() else "nothing",
            remedy="check the path or finish the training with 'viewcov train'",
        )  # fmt: skip
    card = read_record(folder / CARD_NAME, ModelCard)
    network = build_network(card.architecture, len(card.exposures), seed=0)
    _load_weights(network, folder / card.weights.file, card.weights.sha256)
    return SegmentationModel(card=card, network=network.eval(), folder=folder)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a network's figures."""
    packages = ("viewcov", "torch", "torchvision", "segmentation_models_pytorch", "timm", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}


def _load_weights(network: torch.nn.Module, path: Path, sha256: str) -> None:
    """Fill the network from a safetensors file with that SHA-256."""
    import safetensors
    import safetensors.torch

    remedy = "restore the file or train again"
    data = path.read_bytes() if path.is_file() else b""
    if sha256_of(data) != sha256:
        raise InputError(
            path, "not the weights that the card names", expected=f"SHA-256 {sha256[:12]}...",
            found=f"{sha256_of(data)[:12]}..." if data else "no file", remedy=remedy,
        )  # fmt: skip
    try:
        network.load_state_dict(safetensors.torch.load(data), strict=True)
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise InputError(
            path, "does not fit the card's architecture", expected="its tensors",
            found=str(error)[:200], remedy=remedy,  # torch lists every tensor.
        ) from None  # fmt: skip
