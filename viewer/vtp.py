"""Results per element as ``.vtp`` files, which ParaView and PyVista open."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Floats, Ints, Ints32
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import replacing
from viewcov.inspection.mesh.surface import Surface

SCHEMA = "viewcov-surface/1"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _.()/%-]{0,99}")
_KINDS = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
_BOOLS = "bool_arrays"
"""Metadata entry with the names of arrays of truth values, which VTK keeps as bytes."""


class SurfaceFile(NamedTuple):
    """What a ``.vtp`` file of this package holds."""

    vertices_mm: Floats
    """Shape (N, 3), in the part's CAD frame."""

    faces: Ints
    """Shape (E, 3)."""

    arrays: dict[str, NDArray[Any]]
    """Arrays of shape (E,) by name; NaN = unseen. ``cad_face_idx`` is one of them."""

    metadata: dict[str, str]
    """``schema_version``, ``units`` ("mm"), ``part_sha256``, and what the writer added."""

    @property
    def cad_face_idx(self) -> Ints32:
        """Shape (E,): CAD face of each element."""
        return self.arrays["cad_face_idx"]


def write_vtp(
    path: str | Path,
    surface: Surface,
    arrays: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays per element as a compressed ``.vtp`` file, in one step, each with its own dtype.

    Parameters
    ----------
    path
        The file, with suffix ``.vtp``.
    surface
        The elements. Their CAD faces are written too, as ``cad_face_idx``.
    arrays
        Arrays of shape (E,): truth values, whole numbers of 8 to 64 bits, float32 or float64; NaN = unseen.
    metadata
        Texts kept beside them; schema version, units and the part's SHA-256 are added.

    Raises
    ------
    ValueError
        If a name, shape or dtype does not fit.
    """
    import pyvista

    if Path(path).suffix != ".vtp":
        raise ValueError(f"path must end with .vtp, got {path}")
    columns = {"cad_face_idx": np.asarray(surface.cad_face_idx), **arrays}
    texts = {
        **(metadata or {}),
        "schema_version": SCHEMA,
        "units": "mm",
        "part_sha256": surface.part.source.sha256,
        _BOOLS: json.dumps([name for name, values in columns.items() if np.asarray(values).dtype == np.bool_]),
    }
    mesh = pyvista.PolyData.from_regular_faces(np.array(surface.vertices_mm), np.array(surface.faces))
    for name, values in columns.items():
        mesh.cell_data[name] = _checked(name, np.asarray(values), surface.num_elements)
    for name, text in texts.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"metadata name must match {_NAME.pattern}, got {name!r}")
        # VTK ends texts at a null and readers differ in how they take other letters: keep to printable ASCII.
        mesh.field_data[name] = [json.dumps(text)[1:-1]]
    with replacing(path) as temporary:
        mesh.save(temporary)


def _checked(name: str, values: NDArray[Any], num_elements: int) -> NDArray[Any]:
    if not _NAME.fullmatch(name):
        raise ValueError(f"array name must match {_NAME.pattern}, got {name!r}")
    if values.shape != (num_elements,):
        raise ValueError(f"array {name!r} must have shape ({num_elements},), got {values.shape}")
    if values.dtype.str[1:] not in _KINDS:
        raise ValueError(f"array {name!r} must hold truth values, whole numbers or floats, got {values.dtype}")
    native = values.astype(values.dtype.newbyteorder("="))
    return native.view(np.uint8) if native.dtype == np.bool_ else native


def read_vtp(path: str | Path) -> SurfaceFile:
    """What ``write_vtp`` wrote: vertices, faces, arrays, metadata.

    Raises
    ------
    InputError
        If there is no such file or ``write_vtp`` did not write it.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(file, "no such file", expected="a .vtp file", found="nothing", remedy="check the path")
    mesh, complaint = _read(file)
    texts = {name: json.loads(f'"{_text(mesh, name)}"') for name in _text_names(mesh)} if mesh is not None else {}
    if mesh is None or texts.get("schema_version") != SCHEMA:
        raise InputError(
            file,
            "not a surface file of this version",
            expected=f"schema_version {SCHEMA!r}",
            found=complaint or repr(texts.get("schema_version")),
            remedy="make it again with 'viewcov evaluate', 'viewcov cover' or 'viewcov fuse'",
        )
    bools = set(json.loads(texts.pop(_BOOLS)))
    arrays = {name: np.array(mesh.cell_data[name]) for name in mesh.cell_data}
    return SurfaceFile(
        vertices_mm=np.array(mesh.points, dtype=np.float64),
        faces=np.array(mesh.regular_faces, dtype=np.int64),
        arrays={name: values.view(np.bool_) if name in bools else values for name, values in arrays.items()},
        metadata=texts,
    )


def _read(file: Path) -> tuple[Any | None, str]:
    """The mesh, or ``None`` and what VTK complained of; VTK prints errors instead of raising them."""
    import pyvista
    from vtkmodules.vtkCommonCore import vtkCommand
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    complaints: list[str] = []
    reader = vtkXMLPolyDataReader()
    reader.AddObserver(vtkCommand.ErrorEvent, lambda *_: complaints.append("damaged content"))
    reader.AddObserver(vtkCommand.WarningEvent, lambda *_: complaints.append("damaged content"))
    parser = reader.CanReadFile(str(file))
    if not parser:
        return None, "no VTK XML polygon data"
    reader.SetFileName(str(file))
    reader.Update()
    if complaints:
        return None, complaints[0]
    return pyvista.wrap(reader.GetOutput()), ""


def _text_names(mesh: Any) -> list[str]:
    fields = mesh.GetFieldData()
    arrays = [fields.GetAbstractArray(k) for k in range(fields.GetNumberOfArrays())]
    return [array.GetName() for array in arrays if array.GetClassName() == "vtkStringArray"]


def _text(mesh: Any, name: str) -> str:
    return str(mesh.GetFieldData().GetAbstractArray(name).GetValue(0))
