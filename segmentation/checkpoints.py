"""Checkpoints of a training run: tensors as safetensors, the rest as JSON, swapped in one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import replacing, sha256_of
from viewcov.inspection.records import Count, FileRecord, NotNegative, Record, Sha256, Share, read_record, write_record
from viewcov.segmentation.cards import Request, Validation

if TYPE_CHECKING:
    import torch

_STATE = "state.json"


class Progress(Record):
    """How far a training run is, with the losses since its last validation."""

    step: Count = 0
    best_step: Count = 0
    best_f1: Share = 0.0
    seconds: NotNegative = 0.0
    losses: tuple[float, ...] = ()
    history: tuple[Validation, ...] = ()


class Checkpoint(FileRecord):
    """``checkpoint/state.json``."""

    REMEDY: ClassVar[str] = "remove the folder 'checkpoint' to begin the training anew"

    schema_version: Literal["viewcov-checkpoint/2"] = "viewcov-checkpoint/2"

    tensors: Annotated[str, Field(pattern=r"^tensors-[0-9a-f]{16}\.safetensors$")]
    """File of the weights and the optimiser's state, in the same folder."""

    sha256: Sha256
    request: Request
    progress: Progress


def write_checkpoint(folder: Path, tensors: Mapping[str, torch.Tensor], request: Request, progress: Progress) -> None:
    """Replace the checkpoint in a folder.

    The tensors go to a file of their own, which ``state.json`` names: replacing that one file is the step
    from the old checkpoint to the new, so a killed run leaves one of the two, whole.
    """
    import safetensors.torch

    data = safetensors.torch.save({key: t.detach().cpu().contiguous() for key, t in tensors.items()})
    digest = sha256_of(data)
    path = folder / f"tensors-{digest[:16]}.safetensors"
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    state = Checkpoint(tensors=path.name, sha256=digest, request=request, progress=progress)
    write_record(folder / _STATE, state)
    for old in folder.glob("*.safetensors"):
        if old.name != path.name:
            old.unlink()


def read_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], Checkpoint] | None:
    """Tensors and state of the checkpoint in a folder; None if there is none, InputError if it is broken."""
    import safetensors.torch

    path = folder / _STATE
    if not path.is_file():
        return None
    state = read_record(path, Checkpoint)
    tensors = folder / state.tensors
    data = tensors.read_bytes() if tensors.is_file() else b""
    if sha256_of(data) != state.sha256:
        raise InputError(
            tensors, "not the tensors of this checkpoint", expected=f"SHA-256 {state.sha256[:12]}...",
            found=f"{sha256_of(data)[:12]}..." if data else "no file", remedy=Checkpoint.REMEDY,
        )  # fmt: skip
    return safetensors.torch.load(data), state


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint, the file that counts first."""
    (folder / _STATE).unlink(missing_ok=True)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
