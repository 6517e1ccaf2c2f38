"""A workbook for people: the viewpoints, the plan in words and figures, and what stays uncovered, with reasons."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import replacing
from viewcov.inspection.plan import InspectionPlan
from viewcov.planning.exchange.csv_table import Row, table_of, views_from_rows
from viewcov.planning.exchange.views import ImportedViews, PoseFormat

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

    from viewcov.coverage.geometric.evaluation import GeometricCoverage

VIEWPOINTS, PLAN, UNCOVERED = "Viewpoints", "Plan", "Uncovered"
"""The sheets."""

FRAME = (
    "world = CAD frame, mm, right-handed; camera = OpenCV (+x right, +y down, +z forward); "
    "position and quaternion (w, x, y, z) are world_from_camera"
)

_MOST_CELLS, _MOST_BYTES = 2_000_000, 1 << 28
"""Of a sheet and of all its files unpacked: others hold a stray cell or a trap."""

_Rows = list[list[Any]]


def write_xlsx(path: Path, plan: InspectionPlan, evaluation: GeometricCoverage | None = None) -> None:
    """Write the workbook; with what the plan covers, also a sheet of uncovered area, and areas beside the views."""
    from openpyxl import Workbook

    book = Workbook()
    sheets = {VIEWPOINTS: _viewpoint_rows(plan, evaluation), PLAN: _plan_rows(plan, evaluation)}
    if evaluation is not None:
        sheets[UNCOVERED] = uncovered_rows(evaluation)
    for number, (title, rows) in enumerate(sheets.items()):
        sheet = book.create_sheet(title, number)
        _fill(sheet, rows)
    book.remove(book.worksheets[-1])  # The empty one that every new workbook has.
    with replacing(path) as temporary:
        book.save(temporary)


def read_xlsx(path: Path) -> ImportedViews:
    """The poses in the sheet ``Viewpoints``, or in the only sheet; columns as in a CSV file.

    Raises
    ------
    InputError
        If the file is no workbook, has no such sheet, or its rows are no poses.
    """
    book = _opened(path)
    if VIEWPOINTS not in book.sheetnames and len(book.worksheets) != 1:
        raise InputError(
            path, f"no sheet {VIEWPOINTS}", expected=f"a sheet {VIEWPOINTS}, or one sheet only",
            found=", ".join(book.sheetnames), remedy="name the sheet with the poses so",
        )  # fmt: skip
    sheet = book[VIEWPOINTS] if VIEWPOINTS in book.sheetnames else book.worksheets[0]
    if sheet.max_row * sheet.max_column > _MOST_CELLS:
        raise InputError(
            f"{path} sheet {sheet.title}", "reaches too far", expected=f"a table of at most {_MOST_CELLS:,} cells",
            found=f"a cell in row {sheet.max_row}, column {sheet.max_column}", remedy="delete cells far from the table",
        )  # fmt: skip
    rows = [
        (f"{path} sheet {sheet.title} row {number}", ["" if value is None else value for value in row])
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1)
        if any(value is not None for value in row)
    ]
    return views_from_rows(path, rows)


def _opened(path: Path) -> Workbook:
    from zipfile import ZipFile

    from openpyxl import load_workbook

    try:
        content = io.BytesIO(path.read_bytes())  # openpyxl leaves damaged files open.
        with ZipFile(content) as archive:
            if (size := sum(member.file_size for member in archive.infolist())) > _MOST_BYTES:
                raise ValueError(f"{size / 2**20:,.0f} MiB unpacked, more than {_MOST_BYTES >> 20}")
        # Values instead of formulas. Not read_only, which trusts the stated extent.
        return load_workbook(content, data_only=True)
    except Exception as error:  # openpyxl raises whatever the malformed data provokes.
        raise InputError(
            path, "cannot read it", expected="an .xlsx workbook", found=(str(error) or type(error).__name__)[:160],
            remedy="save it as .xlsx",
        ) from None  # fmt: skip


def uncovered_rows(evaluation: GeometricCoverage) -> _Rows:
    """Areas in mm2 of each CAD face with something uncovered, by reason, the worst first, and their sum.

    The reasons are those of `GeometricCoverage.uncovered`, and the last row is what it gives.
    """
    from viewcov.coverage.geometric.evaluation import REASONS

    totals = evaluation.uncovered()
    surface = evaluation.surface
    left = surface.inspected & ~evaluation.covered
    by_reason = [left & (evaluation.loss_idx == REASONS.index(reason)) for reason in totals]
    inspected, coverable, *uncovered_by = (
        np.bincount(surface.cad_face_idx, weights=np.where(counted, surface.area_mm2, 0.0))
        for counted in (surface.inspected, left & evaluation.coverable, *by_reason)
    )
    reasons = np.column_stack(uncovered_by)
    uncovered = reasons.sum(axis=1)
    faces = np.argsort(-uncovered, kind="stable")[: np.count_nonzero(uncovered)]
    rows: _Rows = [["cad_face", "inspected_mm2", "uncovered_mm2", "of_it_coverable_mm2", *totals]]
    for face in faces.tolist():
        rows.append([face, *map(float, (inspected[face], uncovered[face], coverable[face])), *reasons[face].tolist()])
    sums = (inspected.sum(), sum(totals.values()), coverable.sum())
    return [*rows, ["all faces", *map(float, sums), *totals.values()]]


def _viewpoint_rows(plan: InspectionPlan, evaluation: GeometricCoverage | None) -> _Rows:
    from viewcov.coverage.geometric.contributions import contributions

    if evaluation is None:
        return table_of([Row(view=view) for view in plan.viewpoints], "workbook")
    measured = zip(plan.viewpoints, _standoffs_mm(plan, evaluation), contributions(evaluation).views, strict=True)
    rows = [
        Row(view=view, standoff_mm=mm, seen_mm2=added.seen_area_mm2, newly_covered_mm2=added.newly_covered_area_mm2)
        for view, mm, added in measured
    ]
    return table_of(rows, "workbook", "evaluated")


def _standoffs_mm(plan: InspectionPlan, evaluation: GeometricCoverage) -> list[float | None]:
    """Distance from each camera to the part along its optical axis; None where the axis misses the part."""
    from viewcov.coverage.rays.raycasting import RayCaster

    if not plan.viewpoints:
        return []
    part = evaluation.surface.part
    origins = np.stack([view.center_mm for view in plan.viewpoints])
    forward = np.stack([view.forward for view in plan.viewpoints])
    distances = RayCaster(part.vertices_mm, part.faces).first_hits(origins, forward).distance_mm
    return [float(distance) if np.isfinite(distance) else None for distance in distances]


def _plan_rows(plan: InspectionPlan, evaluation: GeometricCoverage | None) -> _Rows:
    part = {key: value for key, value in dataclasses.asdict(plan.part).items() if value is not None}
    rig = plan.rig.to_dict()
    del rig["requirements"]
    said: dict[str, Any] = {
        "frame": FRAME,
        "viewpoints": len(plan.viewpoints),
        "part": part,
        "rig": rig,
        "requirements": dataclasses.asdict(plan.requirements),
        "made": plan.made,
    }
    if evaluation is not None:
        said["evaluated"] = dict(evaluation.areas) | {
            "elements": evaluation.surface.num_elements,
            "waterfall": evaluation.waterfall(),
            "uncovered": evaluation.uncovered(),
            "k_coverage": evaluation.k_coverage(),
        }
    return [["what", "value"], *map(list, _flat(said))]


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names, joined where tables are nested, and values that fit a cell."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from ((f"{key} {name}", inner) for name, inner in _flat(value))
        elif isinstance(value, list | tuple):
            yield key, ", ".join(f"{item:.6g}" if isinstance(item, float) else str(item) for item in value)
        else:
            yield key, value


def _fill(sheet: Worksheet, rows: Sequence[Sequence[Any]]) -> None:
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    for row in rows:
        sheet.append(list(row))
    for cells in sheet.iter_rows():
        for cell in cells:
            if isinstance(cell.value, str):
                cell.data_type = "s"  # A text that begins with = stays one.
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"
    for number in range(1, len(rows[0]) + 1):
        longest = max(len(str(row[number - 1])) for row in rows if len(row) >= number)
        sheet.column_dimensions[get_column_letter(number)].width = min(max(longest + 2, 10), 70)


FORMAT = PoseFormat(name="xlsx", read=read_xlsx, write=write_xlsx, suffixes=(".xlsx",), is_measured=True)
