"""Results per element as ``.vtp`` files, which ParaView and PyVista open."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import replacing, sha256_of
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.records import Record
from viewcov.viewer.layers import Layer, layer_of

SCHEMA = "viewcov-surface/2"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _.()/%-]{0,99}")
_KINDS = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
_CARD = "arrays"
"""Metadata entry with what the file says of its arrays: a ``_Card`` in JSON."""


class _Card(Record):
    """What a file says of its arrays."""

    main: str
    """Array that a viewer opens on."""

    bools: list[str]
    """Arrays of truth values, which VTK keeps as bytes."""

    layers: dict[str, Layer]
    """Title, unit, colours and what NaN means, of each array."""


class SurfaceFile(NamedTuple):
    """What a ``.vtp`` file of this package holds."""

    vertices_mm: Floats
    """Shape (N, 3), in the part's CAD frame."""

    faces: Ints
    """Shape (E, 3)."""

    arrays: dict[str, NDArray[Any]]
    """Arrays of shape (E,) by name; what NaN means, each one's layer says. ``cad_face_idx`` is one of them."""

    metadata: dict[str, str]
    """``schema_version``, ``units`` ("mm") and ``part_sha256``."""

    layers: Mapping[str, Layer] = {}
    """The arrays in words, by name."""

    main: str = "cad_face_idx"
    """The array that says most."""

    @property
    def cad_face_idx(self) -> Ints32:
        """Shape (E,): CAD face of each element."""
        return self.arrays["cad_face_idx"]

    @property
    def inspected(self) -> Bools:
        """Shape (E,): elements to be inspected; all of them where the file does not say."""
        return np.asarray(self.arrays.get("inspected", np.ones(len(self.faces))), dtype=bool)

    def layer(self, name: str) -> Layer:
        """An array in words."""
        return self.layers.get(name) or layer_of(name)

    def side(self, name: str) -> tuple[NDArray[Any], Layer]:
        """An array with its words; raises KeyError if there is none of that name."""
        return self.arrays[name], self.layer(name)

    def is_same_surface(self, other: SurfaceFile) -> bool:
        """Whether both have the same elements."""
        return np.array_equal(self.faces, other.faces) and np.array_equal(self.vertices_mm, other.vertices_mm)


def write_vtp(
    path: str | Path, surface: Surface, arrays: Mapping[str, NDArray[Any]], *, main: str | None = None
) -> None:
    """Write arrays per element as a compressed ``.vtp`` file, in one step, each with its own dtype.

    Arrays have shape (E,) and hold truth values, whole numbers of 8 to 64 bits, float32 or float64. Words for them, and
    what their NaN means, are taken from ``LAYERS`` and written too, as are the elements' CAD faces (``cad_face_idx``).
    A viewer opens on the array ``main``, by default the first whose layer is a main one, or the first.

    Raises
    ------
    ValueError
        If a name, shape or dtype does not fit.
    """
    import pyvista

    if Path(path).suffix != ".vtp":
        raise ValueError(f"path must end with .vtp, got {path}")
    columns = {"cad_face_idx": np.asarray(surface.cad_face_idx), **arrays}
    layers = {name: layer_of(name) for name in columns}
    card = _Card(
        main=main or next((name for name in layers if layers[name].main), [*arrays, "cad_face_idx"][0]),
        bools=[name for name, values in columns.items() if np.asarray(values).dtype == np.bool_],
        layers=layers,
    )
    texts = {"schema_version": SCHEMA, "units": "mm", "part_sha256": surface.part.source.sha256}
    mesh = pyvista.PolyData.from_regular_faces(np.array(surface.vertices_mm), np.array(surface.faces))
    for name, values in columns.items():
        mesh.cell_data[name] = _checked(name, np.asarray(values), surface.num_elements)
    for name, text in {**texts, _CARD: card.model_dump_json()}.items():
        # VTK ends texts at a null and readers differ in how they take other letters: keep to printable ASCII.
        mesh.field_data[name] = [json.dumps(text)[1:-1]]
    with replacing(path) as temporary:
        mesh.save(temporary)
        temporary.write_bytes((body := temporary.read_bytes()) + _seal(body))


def _checked(name: str, values: NDArray[Any], num_elements: int) -> NDArray[Any]:
    if not _NAME.fullmatch(name):
        raise ValueError(f"array name must match {_NAME.pattern}, got {name!r}")
    if values.shape != (num_elements,):
        raise ValueError(f"array {name!r} must have shape ({num_elements},), got {values.shape}")
    if values.dtype.str[1:] not in _KINDS:
        raise ValueError(f"array {name!r} must hold truth values, whole numbers or floats, got {values.dtype}")
    native = values.astype(values.dtype.newbyteorder("="))
    return native.view(np.uint8) if native.dtype == np.bool_ else native


def _seal(body: bytes) -> bytes:
    """The comment at a file's end that tells a whole one: damaged ones can end VTK, and Python with it."""
    return f"<!-- {SCHEMA} sha256 {sha256_of(body)} -->\n".encode()


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
    content = file.read_bytes()
    body = content[: content.rfind(b"<!--")]
    if content != body + _seal(body):
        raise InputError(
            file, "not a surface file of this version", expected=f"a whole {SCHEMA!r}",
            found="a file that is damaged, of another version or of another program",
            remedy="make it again with 'viewcov evaluate', 'viewcov cover' or 'viewcov fuse'",
        )  # fmt: skip
    import pyvista

    mesh = pyvista.read(file)
    texts = {name: json.loads(f'"{mesh.field_data[name][0]}"') for name in mesh.field_data}
    card = _Card.model_validate_json(texts.pop(_CARD))
    arrays = {name: np.array(mesh.cell_data[name]) for name in mesh.cell_data}
    return SurfaceFile(
        vertices_mm=np.array(mesh.points, dtype=np.float64),
        faces=np.array(mesh.regular_faces, dtype=np.int64).reshape(-1, 3),
        arrays={name: values.view(np.bool_) if name in card.bools else values for name, values in arrays.items()},
        metadata=texts,
        layers=card.layers,
        main=card.main,
    )
