"""What holds the part: fixture meshes and a table, which hide it and must not be touched."""

from __future__ import annotations

import dataclasses
from dataclasses import field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import found_from, require_file, sha256_of
from viewcov.inspection.loading.cad import STEP_SUFFIXES
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, Unit
from viewcov.inspection.records import CHECKED, FilePath, Number, Sha256


def _unit(normal: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = normal
    length = float(np.linalg.norm(normal))
    # The height counts along the normal: with another length it would be unclear what it means.
    if abs(length - 1.0) > 1e-3:
        raise ValueError(f"a vector of length 1, not {length:g}")
    # A vector that is of unit length to rounding stays as it is, so that files come back to the last bit.
    return normal if abs(length - 1.0) < 1e-15 else (x / length, y / length, z / length)


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class Fixture:
    """Clamps and table, in the part's CAD frame (millimetres, not scaled with the part).

    They throw shadows and hide the part, and the camera's body keeps clear of them; nothing of them is
    inspected.
    """

    meshes: tuple[FilePath, ...] = ()
    """Files of the clamps. Relative to the rig's or plan's file in files, absolute in memory."""

    units: Unit | None = None
    """Unit of mesh files that have none: mm, cm, m or inch. STEP files keep their own."""

    sha256: tuple[Sha256, ...] = ()
    """SHA-256 of each mesh file; other content is refused. Empty: not checked."""

    table_normal: Annotated[tuple[Number, Number, Number], AfterValidator(_unit)] = (0.0, 0.0, 1.0)
    """Unit vector out of the table, towards the part."""

    table_height_mm: Number | None = None
    """Points x with ``table_normal . x`` at most this are inside the table; no table if not given."""

    def __post_init__(self) -> None:
        if len(self.sha256) not in (0, len(self.meshes)):
            raise ValueError(f"one 'sha256' for each mesh, not {len(self.sha256)}")

    def located(self, folder: Path) -> Fixture:
        """The same with the meshes' paths taken from ``folder`` on."""
        return replace(self, meshes=tuple(found_from(folder, mesh) for mesh in self.meshes))

    def identified(self) -> Fixture:
        """The same with the SHA-256 of each mesh file, where they were not given.

        Raises InputError if a mesh file is missing.
        """
        known = self.sha256 or self in _brought
        return self if known else replace(self, sha256=tuple(_digest(mesh) for mesh in self.meshes))

    def load(self) -> Obstacles:
        """The meshes and the table, or what was brought of them.

        Raises InputError if a mesh file is missing, cannot be read, or has another SHA-256 than is said here.
        """
        if self in _brought:
            return _brought[self]
        found = tuple(_digest(mesh) for mesh in self.meshes)
        for mesh, said, digest in zip(self.meshes, self.sha256, found, strict=bool(self.sha256)):
            if said != digest:
                raise InputError(
                    mesh, "the fixture is not the one that the rig or plan was made with",
                    expected=f"SHA-256 {said[:12]}...", found=f"{digest[:12]}...",
                    remedy="restore the file, or plan again",
                )  # fmt: skip
        parts = (_mesh_part(mesh, self.units, digest) for mesh, digest in zip(self.meshes, found, strict=True))
        return Obstacles(
            parts=tuple(parts), table_normal=np.array(self.table_normal), table_height_mm=self.table_height_mm
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Obstacles:
    """A fixture's meshes as loaded, and its table; without either if there is none."""

    parts: tuple[Part, ...] = ()
    """The meshes."""

    table_normal: Floats = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    """Shape (3,): unit vector out of the table."""

    table_height_mm: float | None = None
    """Points x with ``table_normal . x`` at most this are inside the table, if there is one."""

    def triangles(self) -> tuple[Floats, Ints]:
        """Vertices in mm and faces of all meshes, shapes (N, 3) and (F, 3)."""
        from trimesh.util import append_faces

        return append_faces([part.vertices_mm for part in self.parts], [part.faces for part in self.parts])

    def below_table(self, points_mm: Floats, *, tolerance_mm: float = 0.0) -> Bools:
        """Whether points, shape (..., 3), lie deeper than the tolerance in the table; never if there is none."""
        if self.table_height_mm is None:
            return np.zeros(points_mm.shape[:-1], dtype=bool)
        return np.less(points_mm @ self.table_normal, self.table_height_mm - tolerance_mm)

    def check_holds(self, part: Part) -> None:
        """Refuse a table that the whole part is sunk in.

        Raises InputError if no point of the part stands out of the table.
        """
        if self.table_height_mm is None:
            return
        highest = float((part.corners_mm @ self.table_normal).max())
        if highest <= self.table_height_mm:
            raise InputError(
                "fixture.table_height_mm", "the whole part lies inside the table",
                expected=f"less than {highest:g} mm along the table's normal", found=f"{self.table_height_mm:g} mm",
                remedy="correct the height, or turn table_normal towards the part",
            )  # fmt: skip


def obstacles_of(fixture: Fixture | None) -> Obstacles:
    """What a rig's fixture puts in the way; nothing where it has none.

    Raises InputError as ``Fixture.load`` does.
    """
    return Obstacles() if fixture is None else fixture.load()


_brought: dict[Fixture, Obstacles] = {}


def bring(fixture: Fixture | None, obstacles: Obstacles) -> None:
    """From now on take this for what is in a fixture's files, as a worker does whose machine has none of them."""
    if fixture is not None:
        _brought[fixture] = obstacles


def _digest(mesh: str) -> str:
    require_file(mesh, "fixture file", "mesh")
    return sha256_of(Path(mesh).read_bytes())


@lru_cache(maxsize=16)  # The tester, the candidates and the clearance all need it; the digest keeps it honest.
def _mesh_part(mesh: str, units: str | None, digest: str) -> Part:
    return load_part(mesh, units=None if Path(mesh).suffix.lower() in STEP_SUFFIXES else units)
