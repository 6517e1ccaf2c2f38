"""The formats that viewpoints come and go in, and which of them a file has.

Another format is a module beside this one with a `PoseFormat`, and an entry in the list here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json
from viewcov.inspection.plan import read_plan, write_plan
from viewcov.planning.exchange import bop, colmap, csv_table, nerfstudio, ros, xlsx
from viewcov.planning.exchange.views import ImportedViews, Intrinsics, PoseFormat


def _read_own(path: Path) -> ImportedViews:
    plan = read_plan(path)
    names = tuple(view.id for view in plan.viewpoints)
    return ImportedViews(viewpoints=plan.viewpoints, names=names, camera=Intrinsics.of(plan.rig.camera))


PLAN = PoseFormat(
    name="plan",
    read=_read_own,
    write=write_plan,
    members=("plan.json",),
    recognises=lambda table: str(table.get("schema_version", "")).startswith("viewcov-plan/"),
)
"""viewcov's own; docs/conventions.md, "Interchange", says what the others hold."""

FORMATS: dict[str, PoseFormat] = {
    each.name: each
    for each in (PLAN, colmap.FORMAT, nerfstudio.FORMAT, bop.FORMAT, ros.FORMAT, csv_table.FORMAT, xlsx.FORMAT)
}
"""All that are known, by name."""

if TYPE_CHECKING:
    Format: TypeAlias = str
else:
    Format: TypeAlias = Literal[tuple(FORMATS)]


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
    found = FORMATS[fmt]
    if found.is_folder:
        return fmt, place if place.is_dir() else place.parent
    if place.is_dir() and not found.members:
        raise InputError(
            place, "a folder", expected=f"a file in the format {fmt}", found="a folder", remedy="name the file"
        )
    return fmt, place / found.members[0] if place.is_dir() else place


def _of_folder(folder: Path) -> Format:
    known = {each.members[0]: each.name for each in FORMATS.values() if each.members}
    present = sorted(name for member, name in known.items() if (folder / member).is_file())
    if len(present) == 1:
        return present[0]
    if not present and (folder / "images.bin").is_file():
        raise InputError(
            folder, "a COLMAP model in binary files", expected="cameras.txt and images.txt", found="images.bin",
            remedy="run: colmap model_converter --output_type TXT",
        )  # fmt: skip
    raise InputError(
        folder, "cannot tell the format of this folder", expected=f"one of {', '.join(known)} in it",
        found=" and ".join(present) or "none", remedy="name the file, or say the format with --from",
    )  # fmt: skip


def _of_file(file: Path) -> Format:
    suffix = file.suffix.lower()
    for each in FORMATS.values():
        if suffix in each.suffixes or (file.name in each.members and suffix != ".json"):
            return each.name
    table: Any = read_json(file) if suffix == ".json" else None
    for each in FORMATS.values() if isinstance(table, dict) else ():
        if each.recognises(table):
            return each.name
    raise InputError(
        file, "cannot tell the format", expected=f"one of {', '.join(FORMATS)}",
        found=f"a {suffix or 'nameless'} file of another kind", remedy="say it with --from",
    )  # fmt: skip
