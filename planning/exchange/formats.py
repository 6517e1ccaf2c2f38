"""The formats that viewpoints come and go in, and which of them a file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json

Format: TypeAlias = Literal["plan", "colmap", "nerfstudio", "bop", "ros", "csv", "xlsx"]
"""``plan`` is viewcov's own; docs/conventions.md, "Interchange", says what the others hold."""

FORMATS: tuple[Format, ...] = get_args(Format)

_BY_SUFFIX: dict[str, Format] = {".csv": "csv", ".xlsx": "xlsx", ".yaml": "ros", ".yml": "ros"}
_BY_MEMBER: dict[str, Format] = {
    "images.txt": "colmap",
    "transforms.json": "nerfstudio",
    "scene_camera.json": "bop",
    "plan.json": "plan",
}


def locate(path: str | Path, fmt: Format | None = None) -> tuple[Format, Path]:
    """Format of what the user named, and the file (for COLMAP the folder) that a reader of it opens.

    Raises
    ------
    InputError
        If there is nothing, or neither name nor content tells the format.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(place, "no such file", expected="a plan or poses", found="nothing", remedy="check the path")
    fmt = fmt or (_of_folder(place) if place.is_dir() else _of_file(place))
    if fmt == "colmap":
        return fmt, place if place.is_dir() else place.parent
    if place.is_dir():
        member = next((name for name, format_ in _BY_MEMBER.items() if format_ == fmt), None)
        if member is None:
            raise InputError(
                place, "a folder", expected=f"a file in the format {fmt}", found="a folder", remedy="name the file"
            )
        return fmt, place / member
    return fmt, place


def _of_folder(folder: Path) -> Format:
    present = [fmt for name, fmt in _BY_MEMBER.items() if (folder / name).is_file()]
    if len(present) == 1:
        return present[0]
    if not present and (folder / "images.bin").is_file():
        raise InputError(
            folder, "a COLMAP model in binary files", expected="cameras.txt and images.txt", found="images.bin",
            remedy="run: colmap model_converter --output_type TXT",
        )  # fmt: skip
    raise InputError(
        folder,
        "cannot tell the format of this folder",
        expected=f"one of {', '.join(_BY_MEMBER)} in it",
        found=" and ".join(present) or "none",
        remedy="name the file, or say the format with --from",
    )


def _of_file(file: Path) -> Format:
    suffix = file.suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if file.name in ("cameras.txt", "images.txt"):
        return "colmap"
    if suffix == ".json":
        found = _of_json(read_json(file))
        if found is not None:
            return found
    raise InputError(
        file,
        "cannot tell the format",
        expected=f"one of {', '.join(FORMATS)}",
        found=f"a {suffix or 'nameless'} file of another kind",
        remedy="say it with --from",
    )


def _of_json(value: Any) -> Format | None:
    if not isinstance(value, dict):
        return None
    if str(value.get("schema_version", "")).startswith("viewcov-plan/"):
        return "plan"
    if "frames" in value:
        return "nerfstudio"
    if value and all(isinstance(entry, dict) and "cam_K" in entry for entry in value.values()):
        return "bop"
    return None
