"""The window: opened only where there is a display; what it shows follows keys and clicks."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.viewer.vtp import read_vtp, write_vtp
from viewcov.viewer.window import _merged, has_display, show


@pytest.fixture
def result(tmp_path: Path) -> Path:
    mesh = trimesh.creation.box(extents=[10, 10, 10])
    source = PartSource(path="box.stl", sha256="0" * 64)
    part = Part(
        name="box",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.arange(12) // 2,
        source=source,
    )
    surface = cut_surface(part, 20.0)
    pod = np.where(np.arange(12) < 6, np.nan, 0.5)
    write_vtp(tmp_path / "box.vtp", surface, {"pod": pod, "num_views": np.arange(12)})
    return tmp_path / "box.vtp"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has DISPLAY")
def test_a_display_is_one_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "nonsense", ":4711", "localhost:4711"):
        monkeypatch.setenv("DISPLAY", value)
        assert not has_display()
    monkeypatch.delenv("DISPLAY")
    assert not has_display()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind("\0/tmp/.X11-unix/X4712")
        server.listen()
        monkeypatch.setenv("DISPLAY", ":4712.0")
        assert has_display()


def test_without_a_display_nothing_is_opened_but_the_file_is_checked(
    result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viewcov.viewer.window.has_display", lambda: False)
    assert show(result, array="pod") is False
    assert show(result, result, array="box: pod") is False
    with pytest.raises(InputError, match="no such array"):
        show(result, array="none")
    with pytest.raises(InputError, match="no such file"):
        show(result.with_name("none.vtp"))


def test_files_of_one_surface_share_a_window_and_others_do_not(result: Path, tmp_path: Path) -> None:
    file = read_vtp(result)
    twin, other = tmp_path / "twin.vtp", tmp_path / "other.vtp"
    twin.write_bytes(result.read_bytes())
    part = Part(
        name="triangle",
        vertices_mm=np.eye(3),
        faces=np.array([[0, 1, 2]]),
        cad_face_idx=np.zeros(1),
        source=PartSource(path="triangle.stl", sha256="1" * 64),
    )
    write_vtp(other, cut_surface(part, 20.0), {"pod": np.ones(1)})
    both, alone = _merged([result, other, twin])
    assert set(both.arrays) == {f"{stem}: {name}" for stem in ("box", "twin") for name in file.arrays}
    assert set(alone.arrays) == {"other: cad_face_idx", "other: pod"}


def test_keys_change_the_array_and_clicks_tell_the_values(result: Path) -> None:
    # In a process of its own: drawing here would break a later import of torchvision.
    code = (
        "import sys\n"
        "from viewcov.viewer.vtp import read_vtp\n"
        "from viewcov.viewer.window import Inspector\n"
        "window = Inspector(read_vtp(sys.argv[1]), array='pod', off_screen=True)\n"
        "window.plotter.reset_camera()\n"
        "first = window.plotter.screenshot(return_img=True)\n"
        "window.step(1)\n"
        "assert window.shown == 'num_views', window.shown\n"
        "window.step(1)\n"
        "assert window.shown == 'cad_face_idx', window.shown\n"
        "window.step(-2)\n"
        "assert window.shown == 'pod', window.shown\n"
        "assert 'pod: no value' in window.describe(0) and 'Views that inspect it: 7' in window.describe(7)\n"
        "assert 'pod: 0.5' in window.describe(7)\n"
        "class Picker:\n"
        "    def GetCellId(self):\n"
        "        return 7\n"
        "window._picked(None, Picker())\n"
        "assert 'Views that inspect it: 7' in window.plotter.actors['picked'].input\n"
        "assert window.heading('pod') == 'pod\\ngrey: no value, 50.0 %', window.heading('pod')\n"
        "assert window.heading('cad_face_idx') == 'CAD face'\n"
        "for name in window.names:\n"
        "    window.choose(name)\n"
        "assert Inspector(read_vtp(sys.argv[1]), off_screen=True).shown == 'pod'\n"
        "window.plotter.render()\n"
        "assert first.shape[2] == 3 and 0 < (first < 250).any(axis=2).mean() < 0.9\n"
    )
    command = [sys.executable, "-P", "-c", code, str(result)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
