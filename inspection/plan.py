"""The inspection plan and its JSON file."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json, write_json
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, PartSource, snapped
from viewcov.inspection.priority import left_out
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig, rig_from_dict
from viewcov.inspection.viewpoint import Viewpoint

SCHEMA = "viewcov-plan/1"


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

    def __post_init__(self) -> None:
        ids = [view.id for view in self.viewpoints]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"viewpoint ids must be unique, got {twice[0]!r} more than once")

    def load_part(self) -> Part:
        """The plan's part as it was planned on.

        Its vertices are on a grid (see `snapped`), and CAD faces that the requirements leave out are not to be
        inspected.

        Raises
        ------
        InputError
            If its file is gone or has other content than when the plan was made.
        """
        part = load_part(self.part.path, units=self.part.units, scale_mm=self.part.scale_mm)
        if part.source.sha256 != self.part.sha256:
            raise InputError(
                self.part.path,
                "the part is not the one that the plan was made for",
                expected=f"SHA-256 {self.part.sha256[:12]}...",
                found=f"{part.source.sha256[:12]}...",
                remedy="restore the file or plan again",
            )
        return left_out(snapped(part), self.requirements)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _PartModel(_Strict):
    path: str
    sha256: str
    units: str | None = None
    scale_mm: float | None = None


class _ViewpointModel(_Strict):
    id: str
    world_from_camera: list[list[float]]


class _PlanModel(_Strict):
    schema_version: str
    frame: str = ""
    part: _PartModel
    rig: dict[str, Any]
    requirements: dict[str, Any]
    viewpoints: list[_ViewpointModel]
    made: dict[str, Any] = {}


def write_plan(path: str | Path, plan: InspectionPlan) -> None:
    """Write the plan as JSON that a person can read and compare line by line."""
    part = dataclasses.asdict(plan.part)
    if not plan.part.path.startswith("builtin:"):
        part["path"] = _relative(plan.part.path, path)
    rig = plan.rig.to_dict()
    del rig["requirements"]
    if plan.rig.fixture is not None:
        rig["fixture"]["meshes"] = [_relative(mesh, path) for mesh in plan.rig.fixture.meshes]
        rig["fixture"]["sha256"] = plan.rig.fixture.identified().sha256
    write_json(
        path,
        {
            "schema_version": SCHEMA,
            "frame": "world = CAD frame, mm, right-handed; camera = OpenCV (+x right, +y down, +z forward)",
            "part": part,
            "rig": rig,
            "requirements": dataclasses.asdict(plan.requirements),
            "viewpoints": [
                {"id": view.id, "world_from_camera": view.world_from_camera.tolist()} for view in plan.viewpoints
            ],
            "made": plan.made,
        },
    )


def _relative(target: str, path: str | Path) -> str:
    """The path of ``target`` as seen from the folder of the file ``path``."""
    return Path(os.path.relpath(Path(target).resolve(), Path(path).resolve().parent)).as_posix()


def read_plan(path: str | Path) -> InspectionPlan:
    """The plan in a JSON file.

    Raises
    ------
    InputError
        If the file is missing, is not a plan, has another schema version, or a value is not valid.
    """
    value = read_json(path)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA:
        raise InputError(
            path,
            "not a plan of this version",
            expected=f"schema_version {SCHEMA!r}",
            found=repr(version),
            remedy="make it with 'viewcov plan'",
        )
    try:
        model = _PlanModel.model_validate(value)
        rig_table = dict(model.rig, requirements=model.requirements)
        rig = rig_from_dict(rig_table, where=path, name="rig", folder=Path(path).resolve().parent)
        viewpoints = tuple(
            Viewpoint(id=v.id, world_from_camera=np.array(v.world_from_camera)) for v in model.viewpoints
        )
        part_path = model.part.path
        if not part_path.startswith("builtin:"):
            part_path = str((Path(path).resolve().parent / part_path).resolve())
        return InspectionPlan(
            part=PartSource(**dict(model.part.model_dump(), path=part_path)),
            rig=rig,
            requirements=rig.requirements,
            viewpoints=viewpoints,
            made=model.made,
        )
    except ValidationError as error:
        first = error.errors()[0]
        field_name = ".".join(str(step) for step in first["loc"])
        raise InputError(
            path,
            f"field {field_name!r} is not valid",
            expected="a plan's field",
            found=first["msg"],
            remedy="mend it or plan again",
        ) from None
    except ValueError as error:
        raise InputError(
            path,
            "not a valid plan",
            expected="valid values",
            found=str(error),
            remedy="mend it or plan again",
        ) from None
