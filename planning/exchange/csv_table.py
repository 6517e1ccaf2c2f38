"""Poses as rows: CSV, and the rows that a spreadsheet has too.

Columns id, x_mm, y_mm, z_mm, qw, qx, qy, qz: world_from_camera in millimetres, camera axes OpenCV's.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_text, write_text
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.exchange.views import AGAIN, ImportedViews, PoseFormat, imported, quaternion_pose, quaternion_wxyz


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A viewpoint and, in a workbook of a plan that was evaluated, what is known of it."""

    view: Viewpoint
    standoff_mm: float | None = None
    seen_mm2: float | None = None
    newly_covered_mm2: float | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of tables of poses."""

    name: str

    value: Callable[[Row], str | float | None]
    """What it says of a viewpoint."""

    place: Literal["everywhere", "workbook", "evaluated"] = "everywhere"
    """Which tables have it: all, workbooks, or workbooks of plans that were evaluated."""


def _column(name: str, matrix: tuple[Any, ...], place: Literal["everywhere", "workbook"] = "everywhere") -> Column:
    return Column(name, lambda row: float(row.view.world_from_camera[matrix]), place)


def _turn(name: str, number: int) -> Column:
    return Column(name, lambda row: float(quaternion_wxyz(row.view.world_from_camera[:3, :3])[number]))


COLUMNS: list[Column] = [
    Column("id", lambda row: row.view.id),
    *(_column(f"{axis}_mm", (number, 3)) for number, axis in enumerate("xyz")),
    *(_turn(f"q{axis}", number) for number, axis in enumerate("wxyz")),
    *(_column(f"look_{axis}", (number, 2), "workbook") for number, axis in enumerate("xyz")),
    Column("standoff_mm", lambda row: row.standoff_mm, "evaluated"),
    Column("seen_mm2", lambda row: row.seen_mm2, "evaluated"),
    Column("newly_covered_mm2", lambda row: row.newly_covered_mm2, "evaluated"),
]
"""All columns that viewcov writes, in their order. A column more is an entry more."""

NUMBERS = ("x_mm", "y_mm", "z_mm", "qw", "qx", "qy", "qz")
"""Columns that others' tables must have; the id may be missing there."""


def table_of(rows: Sequence[Row], *places: str) -> list[list[str | float | None]]:
    """A header and the rows of a table with the columns everywhere and those of some kinds of tables."""
    columns = [column for column in COLUMNS if column.place in ("everywhere", *places)]
    return [[column.name for column in columns], *([column.value(row) for column in columns] for row in rows)]


_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")


def write_csv(path: Path, plan: InspectionPlan) -> None:
    """Write one row a viewpoint, in the order of the plan, after a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(table_of([Row(view=view) for view in plan.viewpoints]))
    write_text(path, text.getvalue())


def read_csv(path: Path) -> ImportedViews:
    """The poses of a CSV file with a header; fields end with a comma, a semicolon or a tab.

    Raises
    ------
    InputError
        If a column is missing, a number has a decimal comma or is none, or a quaternion is far from a unit one.
    """
    text = read_text(path, "UTF-8 CSV")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(f"{path} line {reader.line_num}", row) for row in reader if any(row)]
    except csv.Error as error:
        raise InputError(path, "not a CSV file", expected="rows of fields", found=str(error), remedy=AGAIN) from None
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
                where, f"no column {column}" if column not in header else f"column {column} twice",
                expected=f"the header id,{','.join(NUMBERS)} (id is optional)",
                found=",".join(header) or "an empty file",
                remedy="name the columns so; lengths in mm, quaternion of world_from_camera",
            )  # fmt: skip
    places = [header.index(column) for column in NUMBERS]
    id_place = header.index("id") if "id" in header else None
    names, poses = [], []
    for number, (line, row) in enumerate(lines, start=1):
        if len(row) != len(header):
            raise InputError(
                line, "a row of another length", expected=f"{len(header)} fields as in the header",
                found=f"{len(row)}", remedy="write decimals with a point, and all fields",
            )  # fmt: skip
        numbers = [_number(row[place], f"{line} {column}") for place, column in zip(places, NUMBERS, strict=True)]
        given = "" if id_place is None or row[id_place] is None else str(row[id_place]).strip()
        names.append(given or f"pose-{number:03d}")
        poses.append(quaternion_pose(numbers[3:], numbers[:3], where=line))
    return imported(where, names, poses)


def _number(field: Any, where: str) -> float:
    try:
        number = float(field)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        comma = isinstance(field, str) and _DECIMAL_COMMA.fullmatch(field.strip())
        raise InputError(
            where, "a decimal comma" if comma else "not a finite number",
            expected="a number with a decimal point" if comma else "a number", found=repr(field),
            remedy="replace the commas in numbers by points" if comma else AGAIN,
        )  # fmt: skip
    return number


FORMAT = PoseFormat(name="csv", read=read_csv, write=write_csv, suffixes=(".csv",))
