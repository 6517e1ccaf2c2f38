"""The inspection plan and its JSON file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import found_from, path_from
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import FileSource, Part, PartSource, snapped
from viewcov.inspection.records import FileRecord, Record, Transform, read_record, write_record
from viewcov.inspection.rig.requirements import Requirements, left_out
from viewcov.inspection.rig.rig import Rig, rig_from_dict
from viewcov.inspection.viewpoint import Viewpoint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InspectionPlan:
    """Ordered viewpoints for one part and one rig."""

    part: PartSource
    """The part that was planned for; ``path`` is absolute here and relative to the plan in its file."""

    rig: Rig
    """Camera, ring light, body, and what holds the part; paths of its meshes are absolute here, too."""

    requirements: Requirements
    """What a view had to offer."""

    viewpoints: tuple[Viewpoint, ...]
    """In the order of the route; ids are unique."""

    made: dict[str, Any] = field(default_factory=dict)
    """How it was made: options, seed, version, figures. Plain JSON values."""

    pool: FileSource | None = None
    """Its candidates, if they are kept; ``path`` is absolute here and relative to the plan in its file."""

    def __post_init__(self) -> None:
        ids = [view.id for view in self.viewpoints]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"viewpoint ids must be unique, got {twice[0]!r} more than once")

    def load_part(self) -> Part:
        """The plan's part as it was planned on.

        Its vertices are on a grid (see `snapped`), and CAD faces that the requirements leave out are not to be
        inspected. Raises InputError if its file is gone or has other content than when the plan was made.
        """
        part = self.part
        if not part.path.startswith("builtin:") and not Path(part.path).is_file():
            raise InputError(
                part.path, "no such part file, for which the plan was made", expected="it there or beside the plan",
                found="neither", remedy=f"copy {Path(part.path).name} into the plan's folder, or plan again",
            )  # fmt: skip
        loaded = load_part(part.path, units=part.units, scale_mm=part.scale_mm)
        if loaded.source.sha256 != part.sha256:
            raise InputError(
                part.path, "the part is not the one that the plan was made for",
                expected=f"SHA-256 {part.sha256[:12]}...", found=f"{loaded.source.sha256[:12]}...",
                remedy="restore the file or plan again",
            )  # fmt: skip
        return left_out(snapped(loaded), self.requirements)


class _View(Record):
    id: str
    world_from_camera: Transform


class _PlanFile(FileRecord):
    """The content of ``plan.json``. Rig and requirements are checked as those of a rig's file are."""

    REMEDY: ClassVar[str] = "mend it or make it with 'viewcov plan'"

    schema_version: Literal["viewcov-plan/1"] = "viewcov-plan/1"
    frame: str = "world = CAD frame, mm, right-handed; camera = OpenCV (+x right, +y down, +z forward)"
    part: PartSource
    rig: dict[str, Any]
    requirements: dict[str, Any]
    viewpoints: tuple[_View, ...]
    made: dict[str, Any] = Field(default_factory=dict)
    pool: FileSource | None = None


def write_plan(path: str | Path, plan: InspectionPlan) -> None:
    """Write the plan as JSON that a person can read and compare line by line."""
    rig = plan.rig.to_dict()
    del rig["requirements"]
    if plan.rig.fixture is not None:
        rig["fixture"]["meshes"] = [_relative(mesh, path) for mesh in plan.rig.fixture.meshes]
        rig["fixture"]["sha256"] = plan.rig.fixture.identified().sha256
    write_record(
        path,
        _PlanFile(
            part=dataclasses.replace(plan.part, path=_relative(plan.part.path, path)),
            rig=rig,
            requirements=dataclasses.asdict(plan.requirements),
            viewpoints=tuple(
                _View(id=view.id, world_from_camera=view.world_from_camera.tolist()) for view in plan.viewpoints
            ),
            made=plan.made,
            pool=plan.pool and dataclasses.replace(plan.pool, path=_relative(plan.pool.path, path)),
        ),
    )


def _relative(target: str, path: str | Path) -> str:
    """The path of ``target`` as seen from the folder of the file ``path``."""
    return target if target.startswith("builtin:") else path_from(Path(path).resolve().parent, target)


def read_plan(path: str | Path) -> InspectionPlan:
    """The plan in a JSON file.

    Files that it names are looked for where it says, and then beside it under their own names.

    Raises
    ------
    InputError
        If the file is missing, is not a plan, has another schema version, or a value is not valid.
    """
    record = read_record(path, _PlanFile)
    folder = Path(path).resolve().parent
    table = dict(record.rig, requirements=record.requirements)
    try:
        rig = rig_from_dict(table, where=path, name="rig", folder=folder)
        part = record.part
        if not part.path.startswith("builtin:"):
            part = dataclasses.replace(part, path=found_from(folder, part.path))
        views = tuple(Viewpoint(id=v.id, world_from_camera=np.array(v.world_from_camera)) for v in record.viewpoints)
        pool = record.pool and dataclasses.replace(record.pool, path=found_from(folder, record.pool.path))
        return InspectionPlan(
            part=part, rig=rig, requirements=rig.requirements, viewpoints=views, made=record.made, pool=pool
        )
    except ValueError as error:
        raise InputError(
            path, "not a valid plan", expected="valid values", found=str(error), remedy=_PlanFile.REMEDY
        ) from None
