"""Damaged files of other programs, and our own that other libraries read: one line, no crash, no hang."""

from __future__ import annotations

import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from openpyxl import Workbook, load_workbook

from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.planning.exchange.ros import read_ros
from viewcov.planning.exchange.xlsx import read_xlsx
from viewcov.viewer.vtp import read_vtp, write_vtp


def workbook(path: Path, *, far: str = "A2") -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["id", "x_mm", "y_mm", "z_mm", "qw", "qx", "qy", "qz"])
    sheet.append(["a", 0.0, 0.0, 250.0, 0.0, 1.0, 0.0, 0.0])
    sheet[far].value = "a"
    book.save(path)
    return path


def repacked(path: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    """The workbook with one member of its archive changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, change(data) if name == member else data)
    return path


def refused(path: Path, read: Callable[[Path], object]) -> None:
    """Refused in one line within seconds."""
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        read(path)
    assert len(str(caught.value).splitlines()) == 1
    assert time.monotonic() - start < 5.0


def test_a_cell_far_from_the_table_is_told_instead_of_waited_for(tmp_path: Path) -> None:
    refused(workbook(tmp_path / "far.xlsx", far="XFD1048576"), read_xlsx)
    refused(workbook(tmp_path / "low.xlsx", far="H1000000"), read_xlsx)


def test_a_whole_workbook_is_read_and_a_damaged_one_refused(tmp_path: Path) -> None:
    whole = workbook(tmp_path / "whole.xlsx", far="J40")
    load_workbook(whole)
    damages: dict[str, Callable[[bytes], bytes]] = {
        "[Content_Types].xml": lambda data: data.replace(b"PartName", b"Part"),
        "xl/workbook.xml": lambda data: data[: len(data) // 2],
        "xl/styles.xml": lambda data: data.replace(b"<fonts", b"<fontz"),
        "xl/worksheets/sheet1.xml": lambda data: data.replace(b'r="A1"', b'r="1A"'),
        "docProps/core.xml": lambda data: b"",
        "xl/theme/theme1.xml": lambda data: bytes(300 << 20),  # A trap: small packed, large unpacked.
    }
    for number, (member, change) in enumerate(damages.items()):
        path = tmp_path / f"{number}.xlsx"
        shutil.copy(whole, path)
        refused(repacked(path, member, change), read_xlsx)


def test_bytes_of_a_workbook_may_be_anything(tmp_path: Path) -> None:
    data, rng = workbook(tmp_path / "whole.xlsx").read_bytes(), np.random.default_rng(3)
    path = tmp_path / "changed.xlsx"
    for place in rng.integers(len(data), size=25):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            read_xlsx(path)
        except InputError as error:
            assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["poses: !!int y", "!!timestamp noon", "!!float q", "? [a]\n: 1", "poses: 2001-99-99", "!!binary =", "*a"]
)
def test_yaml_that_stands_for_no_value_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "poses.yaml").write_text(text)
    refused(tmp_path / "poses.yaml", read_ros)


@pytest.mark.parametrize(("field", "number"), [("x: 0.0}", "x: 1.0e+300}"), ("w: 1.0", "w: 1.0e+300")])
def test_poses_beyond_all_parts_are_refused(tmp_path: Path, field: str, number: str) -> None:
    text = "poses:\n- {position: {y: 0.0, z: 0.1, x: 0.0}, orientation: {x: 0.0, y: 0.0, z: 0.0, w: 1.0}}\n"
    (tmp_path / "poses.yaml").write_text(text)
    assert len(read_ros(tmp_path / "poses.yaml").viewpoints) == 1
    (tmp_path / "poses.yaml").write_text(text.replace(field, number))
    refused(tmp_path / "poses.yaml", read_ros)


def test_no_byte_of_a_surface_may_change(tmp_path: Path) -> None:
    trimesh.creation.box(extents=[10, 10, 10]).export(tmp_path / "box.stl")
    surface = cut_surface(load_part(tmp_path / "box.stl"), 5.0)
    write_vtp(tmp_path / "whole.vtp", surface, {"num_views": np.arange(surface.num_elements)})
    assert read_vtp(tmp_path / "whole.vtp").faces.shape == (surface.num_elements, 3)
    data = (tmp_path / "whole.vtp").read_bytes()
    path = tmp_path / "changed.vtp"
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        refused(path, read_vtp)
    for length in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        refused(path, read_vtp)
