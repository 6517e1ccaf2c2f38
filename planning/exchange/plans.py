"""Plans and viewpoints to and from the files of other programs.

What each format holds, and how, is in docs/conventions.md under "Interchange".
"""

from __future__ import annotations

import importlib.metadata
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.rig.rig import Rig
from viewcov.planning.exchange.formats import FORMATS, Format, locate
from viewcov.planning.exchange.views import ImportedViews, Intrinsics

if TYPE_CHECKING:
    from viewcov.coverage.geometric.evaluation import GeometricCoverage

log = logging.getLogger(__name__)

ROUNDING_PX = 0.01
"""Cameras that put every point within this distance are the same camera, written with few digits."""

TOLERATED_PX = 1.0
"""Up to here a calibrated camera differs from its data sheet; beyond it is another one."""


def export_plan(
    plan: InspectionPlan, path: str | Path, *, to: Format, evaluation: GeometricCoverage | None = None
) -> None:
    """Write a plan for another program; COLMAP's model is a folder, all others are one file.

    Parameters
    ----------
    evaluation
        What the plan covers. Only ``xlsx`` uses it: for the uncovered area by reason and the views' areas.

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

    Poses come out in viewcov's frames and millimetres, whatever the file's.

    Parameters
    ----------
    fmt
        Its format; found by name and content if not given.

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
