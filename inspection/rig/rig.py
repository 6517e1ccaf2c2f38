"""The rig: camera, ring light, their body, what they look at and what holds it, what views must offer; a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, PlainValidator, TypeAdapter
from pydantic.dataclasses import dataclass

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_toml
from viewcov.inspection.records import CHECKED, Above0, From0, Number, checked, one_of
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.fixture import Fixture
from viewcov.inspection.rig.light import Light
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.motion import MotionModel
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.ringlight import RingLight, RingSegments

PRESETS = ("paper", "paper-half", "paper-quarter")
"""Rigs that ship with the package: the paper's camera at full size and with 2 x 2 and 4 x 4 binning."""

LIGHTS: dict[str, type[Light]] = {"diffuse": RingLight, "led": RingLight, "segments": RingSegments}
"""``kind`` of a rig's light to its type: a light of another kind is a type like these under its name."""


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class Body:
    """The solid that must stay clear of the part: a cylinder around the optical axis."""

    radius_mm: Above0 = 65.0
    """Radius of the cylinder; at least the ring light's outer radius."""

    length_mm: Above0 = 150.0
    """How far it reaches back from its front."""

    front_mm: Number = 5.0
    """Where its front lies on the optical axis, from the lens' principal plane towards the part."""

    clearance_mm: From0 = 10.0
    """Distance it must keep from the part."""


class _Kind(BaseModel):
    kind: Annotated[str, one_of(LIGHTS)] = "diffuse"


def _light(value: Any) -> Light:
    """A light as it is, or the one that a table describes."""
    if hasattr(value, "emitters"):
        return value
    return TypeAdapter(LIGHTS[_Kind.model_validate(value).kind]).validate_python(value)


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class Rig:
    """Camera and ring light, moved together."""

    name: str
    """Preset name or file stem."""

    camera: Camera
    """Sensor and lens."""

    ring_light: Annotated[Light, PlainValidator(_light)]
    """The light that moves with the camera: a ring around the lens, or any other."""

    body: Body = field(default_factory=Body)
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
        return {key: value for key, value in asdict(self).items() if value is not None}


def rig_from_dict(table: dict[str, Any], *, where: object, name: str, folder: Path | None = None) -> Rig:
    """The rig that nested plain values describe, with relative paths taken from ``folder`` on.

    Raises InputError if a table or key is missing or unknown, or a value is out of range.
    """
    remedy = "correct the rig; the shipped rig 'paper' is an example"
    rig = checked({"name": name} | table, Rig, where=where, remedy=remedy)
    return rig if rig.fixture is None else replace(rig, fixture=rig.fixture.located(folder or Path()))


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
    read = rig_from_dict(read_toml(path), where=path, name=path.stem, folder=path.resolve().parent)
    return read if read.fixture is None else replace(read, fixture=read.fixture.identified())
