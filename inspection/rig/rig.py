"""The rig: camera, ring light, their body, what they look at and what holds it, what views must offer; a TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from viewcov.inspection.arrays import checked_number
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_toml
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.fixture import Fixture
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.motion import MotionModel
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.ringlight import RingLight

PRESETS = ("paper", "paper-half", "paper-quarter")
"""Rigs that ship with the package: the paper's camera at full size and with 2 x 2 and 4 x 4 binning."""

_T = TypeVar("_T", bound=object)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The solid that must stay clear of the part: a cylinder around the optical axis."""

    radius_mm: float = 65.0
    """Radius of the cylinder; at least the ring light's outer radius."""

    length_mm: float = 150.0
    """How far it reaches back from its front."""

    front_mm: float = 5.0
    """Where its front lies on the optical axis, from the lens' principal plane towards the part."""

    clearance_mm: float = 10.0
    """Distance it must keep from the part."""

    def __post_init__(self) -> None:
        for name in ("radius_mm", "length_mm"):
            checked_number(getattr(self, name), name=f"body.{name}", above=0.0)
        checked_number(self.front_mm, name="body.front_mm")
        checked_number(self.clearance_mm, name="body.clearance_mm", at_least=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """Camera and ring light, moved together."""

    name: str
    """Preset name or file stem."""

    camera: Camera
    """Sensor and lens."""

    ring_light: RingLight
    """The light around the lens."""

    body: Body = Body()
    """What must not touch the part."""

    requirements: Requirements = field(default_factory=Requirements)
    """What each view must offer."""

    fixture: Fixture | None = None
    """What holds the part."""

    material: Material = field(default_factory=Material)
    """What the parts that it looks at are made of."""

    motion: MotionModel = field(default_factory=MotionModel)
    """How fast it is moved from view to view."""

    def to_dict(self) -> dict[str, Any]:
        """The rig as nested plain values, the way its TOML file has it."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


def rig_from_dict(table: dict[str, Any], *, where: object, name: str, folder: Path | None = None) -> Rig:
    """The rig that nested plain values describe, with relative paths taken from ``folder`` on.

    Raises
    ------
    InputError
        If a table or key is missing or unknown, or a value is out of range.
    """
    known = {
        "camera": Camera,
        "ring_light": RingLight,
        "body": Body,
        "requirements": Requirements,
        "material": Material,
        "motion": MotionModel,
        "fixture": Fixture,
    }
    extra = sorted(set(table) - set(known) - {"name"})
    if extra:
        raise InputError(
            where, "unknown table", expected=f"one of {', '.join(known)}", found=extra[0], remedy="rename it"
        )
    for required in ("camera", "ring_light"):
        if required not in table:
            raise InputError(
                where,
                "table missing",
                expected=f"[{required}]",
                found=f"tables {', '.join(sorted(table)) or 'none'}",
                remedy="add it; the shipped rig 'paper' is an example",
            )
    made: dict[str, Any] = {
        key: _from_table(kind, table[key], where=where, key=key) for key, kind in known.items() if key in table
    }
    if "fixture" in made:
        made["fixture"] = made["fixture"].located(folder or Path())
    return Rig(name=str(table.get("name", name)), **made)


def load_rig(rig: str | Path) -> Rig:
    """The shipped rig of that name, or the rig in that TOML file.

    Raises
    ------
    InputError
        If there is no such preset or file, the file is not a valid rig, or a mesh of its fixture is missing.
    """
    if str(rig) in PRESETS:
        text = (resources.files("viewcov.inspection.rig") / "rigs" / f"{rig}.toml").read_text("utf-8")
        return rig_from_dict(tomllib.loads(text), where=rig, name=str(rig))
    path = Path(rig)
    if not path.is_file():
        raise InputError(
            path, "no such rig", expected=f"a TOML file or one of {', '.join(PRESETS)}", found="neither",
            remedy="check the name",
        )  # fmt: skip
    table = read_toml(path)
    read = rig_from_dict(table, where=path, name=path.stem, folder=path.resolve().parent)
    return read if read.fixture is None else dataclasses.replace(read, fixture=read.fixture.identified())


def _from_table(kind: type[_T], table: object, *, where: object, key: str) -> _T:
    names = [entry.name for entry in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if not isinstance(table, dict):
        raise InputError(
            where,
            f"[{key}] is not a table",
            expected="keys and values",
            found=repr(table),
            remedy="make it a table",
        )
    extra = sorted(set(table) - set(names))
    if extra:
        raise InputError(
            where,
            f"[{key}] has an unknown key",
            expected=f"one of {', '.join(names)}",
            found=extra[0],
            remedy="rename or remove it",
        )
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise InputError(
            where,
            f"[{key}] is not valid",
            expected="values in range",
            found=str(error),
            remedy="correct the value",
        ) from None
