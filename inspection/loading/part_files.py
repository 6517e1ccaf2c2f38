"""Reading parts: STEP, STL, OBJ, PLY, OFF, GLB and the built-in ones."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import require_file, sha256_of
from viewcov.inspection.loading.builtin import bearing_block, clutch_half
from viewcov.inspection.loading.cad import STEP_SUFFIXES, glb_of_step, length_unit
from viewcov.inspection.mesh.mesh_health import find_hidden, mend
from viewcov.inspection.mesh.part import Finding, Part, PartSource, Unit
from viewcov.inspection.mesh.winding import Mesh
from viewcov.inspection.poses import FARTHEST_MM

if TYPE_CHECKING:
    import trimesh

log = logging.getLogger(__name__)

MM_PER_UNIT: dict[str, float] = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}
"""Millimetres in each unit that a user can name for a mesh file (see ``Unit``)."""

MESH_SUFFIXES = (".stl", ".obj", ".ply", ".off", ".glb", ".gltf")
DEFAULT_PART = "builtin:clutch-half"
BUILTIN_PARTS = {DEFAULT_PART: clutch_half, "builtin:bearing-block": bearing_block}

_FAR = 4.0
"""A part is far from the origin if the middle of its box lies this many times its largest extent away."""


def load_part(path: str | Path, *, units: str | None = None, scale_mm: float | None = None) -> Part:
    """The part in a file, or the built-in one named ``builtin:NAME``, in millimetres.

    STEP files state their unit and GLB is in metres by its standard; other meshes have none and are taken for
    millimetres unless ``units`` says otherwise: mm, cm, m or inch. If ``scale_mm`` is given, the part is scaled so that
    its largest extent becomes this many millimetres.

    Raises
    ------
    InputError
        If the file is missing, of an unknown kind, unreadable, without triangles or of impossible size.
    """
    if units is not None and units not in MM_PER_UNIT:
        raise InputError(
            "--units", "unknown unit", expected=" or ".join(MM_PER_UNIT), found=repr(units), remedy="use one of them"
        )
    if scale_mm is not None and not (np.isfinite(scale_mm) and scale_mm > 0):
        raise InputError(
            "--scale-mm", "not a size", expected="a positive number", found=repr(scale_mm), remedy="correct it"
        )
    if str(path).startswith("builtin:"):
        mesh, digest = _builtin(str(path))
        file_units = None
        name, source_path = str(path).removeprefix("builtin:"), str(path)
    else:
        file = Path(path)
        data = _bytes_of(file)
        digest, name, source_path = sha256_of(data), file.stem, str(file.resolve())
        mesh, file_units = _mesh_of(file, data, units)
    findings = _refuse_impossible(mesh, str(path), MM_PER_UNIT[units or "mm"])
    mesh, mended = mend(mesh)
    if not len(mesh.faces):
        raise InputError(
            source_path, "no surface in the file", expected="triangles with an area", found="only triangles without",
            remedy="export it again",
        )  # fmt: skip
    if scale_mm is not None:
        mesh = replace(mesh, vertices=mesh.vertices * (scale_mm / float(np.ptp(mesh.vertices, axis=0).max())))
    hidden, found = find_hidden(mesh)
    return Part(
        name=name,
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=mesh.cad_face_idx.astype(np.int32),
        source=PartSource(path=source_path, sha256=digest, units=cast("Unit | None", units), scale_mm=scale_mm),
        findings=tuple(findings + mended + found),
        inspected=~hidden,
        file_units=file_units,
    )


def _bytes_of(file: Path) -> bytes:
    suffixes = STEP_SUFFIXES + MESH_SUFFIXES
    if file.suffix.lower() not in suffixes:
        raise InputError(
            file, "unknown kind of part file", expected=f"a file ending in {', '.join(suffixes)}",
            found=f"ending {file.suffix!r}", remedy="export the part as STEP",
        )  # fmt: skip
    require_file(file, "part file", "part")
    data = file.read_bytes()
    if not data:
        raise InputError(file, "empty file", expected="a part", found="0 bytes", remedy="export it again")
    return data


def _builtin(path: str) -> tuple[Mesh, str]:
    if path not in BUILTIN_PARTS:
        raise InputError(
            path, "no such built-in part", expected=" or ".join(BUILTIN_PARTS), found=path, remedy="correct the name"
        )
    vertices, faces, cad_face_idx = BUILTIN_PARTS[path]()
    # Hashed rounded to a nanometre: the last bits of the solid modeller may differ between machines.
    digest = sha256_of(np.rint(vertices * 1e6).astype("<i8").tobytes(), faces.astype("<i8").tobytes())
    return Mesh(vertices=vertices, faces=faces, cad_face_idx=cad_face_idx), digest


def _mesh_of(file: Path, data: bytes, units: str | None) -> tuple[Mesh, str | None]:
    """The mesh in millimetres, and the unit that the file states if its kind states one."""
    if file.suffix.lower() not in STEP_SUFFIXES:
        stated = "m" if file.suffix.lower() in (".glb", ".gltf") else None
        solids = _read_solids(file, data, file_type=file.suffix.lower().lstrip("."))
        return _joined(file, solids, MM_PER_UNIT[units or stated or "mm"]), stated
    if units is not None:
        raise InputError(
            "--units", f"{file.name} states its own unit", expected="no --units for a STEP file", found=units,
            remedy="leave it out, or set the size with --scale-mm",
        )  # fmt: skip
    import cascadio  # noqa: F401  # Lets trimesh read the CAD faces.

    solids = _read_solids(file, glb_of_step(file, data), file_type="glb")
    return _joined(file, _without_annotations(solids), MM_PER_UNIT["m"]), length_unit(data)


def _read_solids(file: Path, data: bytes, *, file_type: str) -> list[trimesh.Trimesh]:
    """The triangle meshes of a file in its world frame, without curves and points such as annotations."""
    import trimesh

    # glTF primitives are kept apart: merging them fails on annotation curves beside a solid.
    extra: dict[str, Any] = {"merge_primitives": False} if file_type in ("glb", "gltf") else {}
    try:
        scene = trimesh.load_scene(io.BytesIO(data), file_type=file_type, process=False, **extra)
        return [mesh for mesh in scene.dump() if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)]
    except Exception as error:  # trimesh's readers raise whatever the malformed data provokes.
        raise InputError(
            file, "cannot read the mesh", expected=f"a valid {file_type.upper()} file",
            found=f"{type(error).__name__}: {error}", remedy="export it again",
        ) from None  # fmt: skip


def _without_annotations(meshes: list[trimesh.Trimesh]) -> list[trimesh.Trimesh]:
    """Flat sheets beside a solid are drawing annotations (PMI), not part surface.

    A flat face of a solid that has a colour of its own comes as a mesh of its own, too; but its corners are
    corners of the solid's other faces.
    """
    from scipy.spatial import cKDTree

    if not meshes:
        return meshes
    tolerance = 1e-6 * max(float(np.ptp(mesh.vertices, axis=0).max()) for mesh in meshes)
    solid = [mesh for mesh in meshes if _thickness(mesh) > tolerance]
    if not solid:
        return meshes
    tree = cKDTree(np.concatenate([mesh.vertices for mesh in solid]))
    # A corner of a solid is no distance from itself.
    kept = [mesh for mesh in meshes if np.mean(tree.query(mesh.vertices)[0] <= tolerance) > 0.5]
    if len(kept) < len(meshes):
        log.info("left out %d flat annotation meshes", len(meshes) - len(kept))
    return kept


def _thickness(mesh: trimesh.Trimesh) -> float:
    """Extent across the plane that fits the vertices best."""
    centered = np.asarray(mesh.vertices) - np.mean(mesh.vertices, axis=0)
    _, axes = np.linalg.eigh(centered.T @ centered)
    return float(np.ptp(centered @ axes[:, 0]))


def _joined(file: Path, meshes: list[trimesh.Trimesh], mm_per_unit: float) -> Mesh:
    from trimesh.util import append_faces

    if not meshes:
        raise InputError(
            file, "no surface in the file", expected="triangles or solids", found="none", remedy="export a solid"
        )
    cad_faces, num_cad_faces = [], 0
    for mesh in meshes:
        _refuse_stray_faces(file, mesh)
        index = mesh.face_attributes.get("brep_index")
        if index is None or len(index) != len(mesh.faces):
            cad_faces.append(np.full(len(mesh.faces), -1, dtype=np.int64))
        else:
            cad_faces.append(np.asarray(index, dtype=np.int64) + num_cad_faces)
            num_cad_faces += int(index.max()) + 1
    vertices, faces = append_faces(
        [np.asarray(mesh.vertices, dtype=np.float64) for mesh in meshes],
        [np.asarray(mesh.faces, dtype=np.int64) for mesh in meshes],
    )
    return Mesh(vertices=vertices * mm_per_unit, faces=faces, cad_face_idx=np.concatenate(cad_faces))


def _refuse_stray_faces(file: Path, mesh: trimesh.Trimesh) -> None:
    if mesh.vertices.shape[1:] != (3,) or mesh.faces.shape[1:] != (3,):
        raise InputError(
            file, "vertices and faces do not fit together", expected="three coordinates and three corners each",
            found=f"{mesh.vertices.shape[1:]} and {mesh.faces.shape[1:]}", remedy="export it again",
        )  # fmt: skip
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise InputError(
            file, "a face names a vertex that is not there", expected=f"vertex numbers below {len(mesh.vertices)}",
            found=f"{mesh.faces.min()} to {mesh.faces.max()}", remedy="export it again",
        )  # fmt: skip


def _refuse_impossible(mesh: Mesh, where: str, mm_per_unit: float) -> list[Finding]:
    """Findings about the coordinates; raises InputError where they cannot be worked with."""
    used = mesh.vertices[np.unique(mesh.faces)]
    largest = float(np.abs(used).max()) if np.isfinite(used).all() else float("inf")
    if not largest <= FARTHEST_MM:
        raise InputError(
            where, "coordinates are not those of a part", expected=f"numbers up to {FARTHEST_MM:g} mm",
            found=f"up to {largest:g} mm", remedy="check the file and its unit (--units)",
        )  # fmt: skip
    extent = float(np.ptp(used, axis=0).max())
    if extent <= 0:
        raise InputError(
            where, "the part has no size", expected="a positive extent", found="0 mm", remedy="export it again"
        )
    return _origin_findings(used, extent, mm_per_unit)


def _origin_findings(used: Floats, extent: float, mm_per_unit: float) -> list[Finding]:
    """A finding on a part far from the origin: a warning if its coordinates have lost digits there.

    Single precision has steps of 2^-23 of a coordinate. A file that was written with it, or with as few digits,
    has nothing but such numbers.
    """
    distance = float(np.abs(used.min(axis=0) + used.max(axis=0)).max()) / 2
    if distance <= _FAR * extent:
        return []
    step = max(_single_step(column / mm_per_unit) for column in used.T) * mm_per_unit
    lossy = step > 1e-5 * extent
    remedy = f"{distance:.4g} mm from the origin, {distance / extent:.0f} times the part's size of {extent:.4g} mm: "
    remedy += (
        f"the file's single precision has steps of {step:.2g} mm there: export it near the origin"
        if lossy
        else "results are computed near the part in double precision, and the frame is kept"
    )
    return [Finding(name="far-from-origin", count=1, severity="warning" if lossy else "note", remedy=remedy)]


def _single_step(values: Floats) -> float:
    """The step of single precision at the largest of the values, 0 if they are not all of that precision."""
    largest = float(np.abs(values).max())
    rounded = np.float32(values).astype(np.float64)
    # Not equal to the last bit: a unit other than mm was multiplied in and divided out.
    single = (np.abs(rounded - values) <= 1e-15 * largest).all()
    return float(np.spacing(np.float32(largest))) if single else 0.0
