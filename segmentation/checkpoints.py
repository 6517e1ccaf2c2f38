"""Checkpoints of a training run: tensors as safetensors, the rest as JSON, swapped in one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json, replacing, sha256_of, write_json

if TYPE_CHECKING:
    import torch

CHECKPOINT_SCHEMA = "viewcov-checkpoint/1"
_STATE = "state.json"


def write_checkpoint(folder: Path, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
    """Replace the checkpoint in a folder by these tensors and plain JSON values.

    The tensors go to a file of their own, which ``state.json`` names: replacing that one file is the step
    from the old checkpoint to the new, so a killed run leaves one of the two, whole.
    """
    import safetensors.torch

    data = safetensors.torch.save({key: t.detach().cpu().contiguous() for key, t in tensors.items()})
    digest = sha256_of(data)
    path = folder / f"tensors-{digest[:16]}.safetensors"
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    write_json(
        folder / _STATE,
        {"schema_version": CHECKPOINT_SCHEMA, "tensors": path.name, "sha256": digest, "values": dict(values)},
    )
    for old in folder.glob("*.safetensors"):
        if old.name != path.name:
            old.unlink()


def read_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Tensors and values of the checkpoint in a folder; None if there is none.

    Raises
    ------
    InputError
        If it is broken or of another version.
    """
    import safetensors.torch

    path = folder / _STATE
    if not path.is_file():
        return None
    state = read_json(path)
    remedy = f"remove the folder {folder} to begin the training anew"
    version = state.get("schema_version") if isinstance(state, dict) else None
    if version != CHECKPOINT_SCHEMA:
        raise InputError(
            path,
            "not a checkpoint of this version",
            expected=f"schema_version {CHECKPOINT_SCHEMA!r}",
            found=repr(version),
            remedy=remedy,
        )
    tensors = folder / Path(str(state.get("tensors"))).name
    data = tensors.read_bytes() if tensors.is_file() else b""
    if sha256_of(data) != state.get("sha256"):
        raise InputError(
            tensors,
            "not the tensors of this checkpoint",
            expected=f"SHA-256 {str(state.get('sha256'))[:12]}...",
            found=f"{sha256_of(data)[:12]}..." if data else "no file",
            remedy=remedy,
        )
    return safetensors.torch.load(data), state["values"]


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint, the file that counts first."""
    (folder / _STATE).unlink(missing_ok=True)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
