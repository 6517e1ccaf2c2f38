"""Reading STEP files: B-rep solids tessellated by OpenCASCADE, in a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from viewcov.inspection.errors import InputError

STEP_SUFFIXES = (".stp", ".step")

_CHORD_MM = 0.05
_ANGLE_RAD = 0.3

# OpenCASCADE prints to the standard output, where a caller may want nothing but JSON, and some damaged files
# end it with a segmentation fault: neither may reach the caller. Hiding trimesh, of which the tessellator only
# wants to register itself with, makes the start six times as fast.
_TESSELLATE = """
import sys
sys.modules["trimesh"] = None
import cascadio
from pathlib import Path
glb = cascadio.load(
    sys.stdin.buffer.read(),
    file_type="step",
    tol_linear=float(sys.argv[2]),
    tol_angular=float(sys.argv[3]),
    include_brep=True,
)
Path(sys.argv[1]).write_bytes(glb)
"""


def glb_of_step(file: Path, data: bytes) -> bytes:
    """The STEP file's solids as GLB in metres, with the CAD face of each triangle as ``brep_index``.

    Raises InputError that names the file if OpenCASCADE finds no solid in its bytes, or ends on them.
    """
    with tempfile.TemporaryDirectory(prefix="viewcov-step-") as folder:
        glb_path = Path(folder) / "part.glb"
        ended = subprocess.run(
            [sys.executable, "-P", "-c", _TESSELLATE, str(glb_path), str(_CHORD_MM), str(_ANGLE_RAD)],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        glb = glb_path.read_bytes() if ended.returncode == 0 and glb_path.is_file() else b""
    if not glb:
        raise InputError(
            file, "cannot read the STEP file", expected="a whole STEP file with a solid",
            found=_complaint(ended.returncode, ended.stdout.decode("utf-8", "replace")), remedy="export it again",
        )  # fmt: skip
    return glb


def length_unit(data: bytes) -> str:
    """The unit of length that a STEP file states, such as ``mm`` or ``inch``; ``unknown`` if none is found.

    A unit made by conversion, such as the inch, stands before the one that it is made from.
    """
    text = re.sub(rb"\s+", b"", data)
    units = [unit for unit in re.findall(rb"#\d+=\(([^;]*)\);", text) if b"LENGTH_UNIT()" in unit]
    for unit in units:
        if named := re.search(rb"CONVERSION_BASED_UNIT\('([^']*)'", unit):
            return named[1].decode("latin-1").lower()
    for unit in units:
        if si := re.search(rb"SI_UNIT\((?:\.(\w+)\.|\$),\.METRE\.\)", unit):
            prefix = (si[1] or b"").decode("latin-1")
            return {"": "m", "MILLI": "mm", "CENTI": "cm"}.get(prefix, f"{prefix.lower()}metre")
    return "unknown"


def _complaint(returncode: int, printed: str) -> str:
    """What OpenCASCADE said of the file, without its colours and stars."""
    if returncode < 0:
        return f"that the reader ended on it ({signal.Signals(-returncode).name})"
    lines = [re.sub(r"\x1b\[[0-9;]*m|\*", "", line).strip() for line in printed.splitlines()]
    wrong = [line for line in lines if "ERR" in line or "Error" in line]
    return repr(wrong[0].split("ERR")[-1].strip(" :")) if wrong else "none"
