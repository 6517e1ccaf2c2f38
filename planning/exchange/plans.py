"""Plans and viewpoints to and from the files of other programs.

What each format holds, and how, is in docs/conventions.md under "Interchange". Another format is a module beside this
one with a `PoseFormat`, and an entry in ``FORMATS``.
"""

from __future__ import annotations

import importlib.metadata
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.rig.rig import Rig
from viewcov.planning.exchange import bop, colmap, csv_table, nerfstudio, ros, xlsx
from viewcov.planning.exchange.views import ImportedViews, Intrinsics, PoseFormat

if TYPE_CHECKING:
    from viewcov.coverage.geometric.evaluation import GeometricCoverage

log = logging.getLogger(__name__)

ROUNDING_PX = 0.01
"""Cameras that put every point within this distance are the same camera, written with few digits."""

TOLERATED_PX = 1.0
"""Up to here a calibrated camera differs from its data sheet; beyond it is another one."""


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
"""viewcov's own."""

FORMATS: dict[str, PoseFormat] = {
    each.name: each
    for each in (PLAN, colmap.FORMAT, nerfstudio.FORMAT, bop.FORMAT, ros.FORMAT, csv_table.FORMAT, xlsx.FORMAT)
}
"""All that are known, by name."""

if TYPE_CHECKING:
    Format: TypeAlias = str
else:
    Format: TypeAlias = Literal[tuple(FORMATS)]


def export_plan(
    plan: InspectionPlan, path: str | Path, *, to: Format, evaluation: GeometricCoverage | None = None
) -> None:
    """Write a plan for another program; COLMAP's model is a folder, all others are one file.

    The ``evaluation``, what the plan covers, is for ``xlsx`` alone: uncovered area by reason, and the views' areas.

    Raises
    ------
    InputError
        If the format cannot hold the plan, or nothing can be written there.

    Examples
    --------
    >>> from viewcov import read_plan
    >>> export_plan(read_plan("plan.json"), "poses.csv", to="csv")
    """
    target, form = Path(path), FORMATS[to]
    if not form.is_folder and target.is_dir():
        raise InputError(
            target, "a folder", expected=f"a file to write as {to}", found="a folder", remedy="name a file in it"
        )
    try:
        form.write(target, plan, *((evaluation,) if form.is_measured else ()))
    except OSError as error:
        raise InputError(
            target, "cannot write", expected="a place to write to", found=error.strerror or str(error),
            remedy="name another",
        ) from None  # fmt: skip


def import_viewpoints(path: str | Path, *, fmt: Format | None = None) -> ImportedViews:
    """Viewpoints from a file of any of the formats, a plan included, in its order.

    Poses come out in viewcov's frames and millimetres, whatever the file's. The format, if not given, is found by name
    and content.

    Raises
    ------
    InputError
        If the file is missing, is of no known format, or says something that no viewpoint can be.

    Examples
    --------
    >>> [view.id for view in import_viewpoints("poses.csv").viewpoints]
    ['v001', 'v002']
    """
    found, place = locate(path, fmt)
    return FORMATS[found].read(place)


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


def plan_from_views(views: ImportedViews, part: Part, rig: Rig, *, source: str | Path) -> InspectionPlan:
    """A plan of foreign viewpoints, to be evaluated like one of viewcov's own.

    Raises
    ------
    InputError
        If the file names a camera and it is not the rig's. A smaller difference, as between a calibration and a
        data sheet, is a warning.
    """
    if views.camera is not None:
        _compare_cameras(views.camera, rig, source)
    made = {
        "imported_from": Path(source).name,
        "renamed": views.renamed,
        "version": importlib.metadata.version("viewcov"),
    }
    return InspectionPlan(
        part=part.source, rig=rig, requirements=rig.requirements, viewpoints=views.viewpoints, made=made
    )


def _compare_cameras(theirs: Intrinsics, rig: Rig, source: str | Path) -> None:
    ours = rig.camera
    remedy = "name the rig of these poses with --rig"
    if theirs.width_px is not None and (theirs.width_px, theirs.height_px) != (ours.width_px, ours.height_px):
        raise InputError(
            source, f"images of another size than those of rig {rig.name}",
            expected=f"{ours.width_px} x {ours.height_px} px", found=f"{theirs.width_px} x {theirs.height_px} px",
            remedy=remedy,
        )  # fmt: skip
    shift = theirs.largest_shift_px(ours)
    said = f"focal length {theirs.focal_x_px:.6g} px, points up to {shift:.3g} px off"
    if shift > TOLERATED_PX:
        raise InputError(
            source, f"another camera than that of rig {rig.name}",
            expected=f"focal length {ours.focal_px:.6g} px and points within {TOLERATED_PX:g} px", found=said,
            remedy=remedy,
        )  # fmt: skip
    if shift > ROUNDING_PX:
        log.warning("%s: not quite the camera of rig %s, whose own is used: %s", source, rig.name, said)
