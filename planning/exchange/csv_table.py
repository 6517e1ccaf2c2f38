"""Poses as rows: CSV, and the rows that a spreadsheet has too.

Columns id, x_mm, y_mm, z_mm, qw, qx, qy, qz: world_from_camera in millimetres, camera axes OpenCV's.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import write_text
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.views import ImportedViews, imported, pose, quaternion_wxyz, rotation_of

NUMBERS = ("x_mm", "y_mm", "z_mm", "qw", "qx", "qy", "qz")
"""Columns that every table of poses must have."""

COLUMNS = ("id", *NUMBERS)
"""Columns of viewcov's own tables; the id may be missing in others'."""

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")


def pose_row(view: Viewpoint) -> list[str | float]:
    """A viewpoint's values of ``COLUMNS``."""
    quaternion = quaternion_wxyz(view.world_from_camera[:3, :3])
    return [view.id, *view.center_mm.tolist(), *quaternion.tolist()]


def write_csv(path: Path, plan: InspectionPlan) -> None:
    """Write one row a viewpoint, in the order of the plan, after a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(pose_row(view) for view in plan.viewpoints)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> ImportedViews:
    """The poses of a CSV file with a header; fields end with a comma, a semicolon or a tab.

    Raises
    ------
    InputError
        If a column is missing, a number has a decimal comma or is none, or a quaternion is far from a unit one.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            path, "cannot read it", expected="CSV in UTF-8", found=str(error), remedy="save it as CSV UTF-8"
        ) from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(f"{path} line {reader.line_num}", row) for row in reader if any(row)]
    except csv.Error as error:
        raise InputError(
            path, "not a CSV file", expected="rows of fields", found=str(error), remedy="export it again"
        ) from None
    return views_from_rows(path, rows)


def views_from_rows(where: object, rows: Iterable[tuple[str, Sequence[Any]]]) -> ImportedViews:
    """The views in rows of fields, the first of them the header; each row comes with where it is.

    Columns are found by their names, whatever their order and case; others are ignored.

    Raises
    ------
    InputError
        As `read_csv`.
    """
    lines = iter(rows)
    _, head = next(lines, ("", []))
    header = [str(field).strip().lower() for field in head]
    for column in NUMBERS:
        if header.count(column) != 1:
            raise InputError(
                where,
                f"no column {column}" if column not in header else f"column {column} twice",
                expected=f"the header {','.join(COLUMNS)} (id is optional)",
                found=",".join(header) or "an empty file",
                remedy="name the columns so; lengths in mm, quaternion of world_from_camera",
            )
    places = [header.index(column) for column in NUMBERS]
    id_place = header.index("id") if "id" in header else None
    names, poses = [], []
    for number, (line, row) in enumerate(lines, start=1):
        if len(row) != len(header):
            raise InputError(
                line,
                "a row of another length",
                expected=f"{len(header)} fields as in the header",
                found=f"{len(row)}",
                remedy="write decimals with a point, and all fields",
            )
        numbers = [_number(row[place], f"{line} {column}") for place, column in zip(places, NUMBERS, strict=True)]
        given = "" if id_place is None or row[id_place] is None else str(row[id_place]).strip()
        names.append(given or f"pose-{number:03d}")
        poses.append(_pose(np.array(numbers), line))
    return imported(where, names, poses)


def _pose(numbers: Floats, where: str) -> Floats:
    return pose(rotation_of(numbers[3:], where=where), numbers[:3])


def _number(field: Any, where: str) -> float:
    try:
        number = float(field)
    except (TypeError, ValueError):
        comma = isinstance(field, str) and _DECIMAL_COMMA.fullmatch(field.strip())
        raise InputError(
            where,
            "a decimal comma" if comma else "not a number",
            expected="a number with a decimal point" if comma else "a number",
            found=repr(field),
            remedy="replace the commas in numbers by points" if comma else "mend it or export it again",
        ) from None
    if not np.isfinite(number):
        raise InputError(where, "not a finite number", expected="a number", found=repr(field), remedy="mend it")
    return number
