"""Records: the typed content of viewcov's files, and options with their limits; what does not fit is told in a line."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import plain_name, read_json, write_text
from viewcov.inspection.poses import FARTHEST_MM

CHECKED = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)
"""For pydantic's dataclasses: unknown names are refused."""


def _as_written(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ValueError("a number")
    return value.item() if isinstance(value, np.generic) else value


Number = Annotated[float, BeforeValidator(_as_written), Field(allow_inf_nan=False)]
"""A finite number of a rig, where nothing is taken for one that is not written as one."""

Above0 = Annotated[Number, Field(gt=0.0)]
"""Such a number above 0."""

From0 = Annotated[Number, Field(ge=0.0)]
"""Such a number from 0."""

Whole = Annotated[int, BeforeValidator(_as_written)]
"""Such a number that is whole."""

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""From 0 to 1."""

PositiveShare = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
"""Above 0, up to 1."""

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
"""A finite number above 0."""

NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
"""A finite number from 0."""

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""A whole number from 0."""

AtLeastOne = Annotated[int, Field(ge=1, lt=2**53)]
"""A whole number from 1."""

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""Start of random numbers."""

Processes = Annotated[int, Field(ge=1, le=1024)]
"""Processes on this machine."""

Jobs = int | str
"""So many processes on this machine, or the address of a Dask scheduler."""

Name = Annotated[str, AfterValidator(plain_name)]
"""What may become the name of a file or folder; see ``files.plain_name``."""

FilePath = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f]+$")]
"""The path of a file that the user has, absolute or relative to the file that names it."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a file's bytes."""

Coordinate = Annotated[float, Field(ge=-FARTHEST_MM, le=FARTHEST_MM)]
"""Millimetres."""

Point = tuple[Coordinate, Coordinate, Coordinate]
"""A point in millimetres, or a direction."""

Beside = Annotated[Any, Field(exclude=True, repr=False)]
"""An array that goes with the figures of a record, but not into its file."""

_Row = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
Transform = tuple[_Row, _Row, _Row, _Row]
"""The rows of a rigid transform."""


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("two numbers, the lower first")
    return limits


Rising = AfterValidator(_rising)
"""For pairs of numbers."""


def one_of(names: Collection[str]) -> AfterValidator:
    """For texts: one of names that are looked up each time, as more may be added to them."""

    def known(name: str) -> str:
        if name not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return name

    return AfterValidator(known)


def _none_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Known = Annotated[float | None, BeforeValidator(_none_for_nan)]
"""A number of a file, None where it is not known; NaN and infinity become None, as JSON has no number for them."""


class Record(BaseModel):
    """Values that belong together, checked once and then fixed; unknown names are refused."""

    # Built when first used: most runs use few of them, and building takes most of the time of importing.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, defer_build=True
    )


class Foreign(Record):
    """What other programs or versions wrote, who may say more."""

    model_config = ConfigDict(extra="ignore")


class FileRecord(Record):
    """The content of one kind of file. A subclass fixes ``schema_version`` by a ``Literal`` with a default."""

    REMEDY: ClassVar[str] = "make it again"
    """What a user does about a file that does not fit, such as ``make it with 'viewcov plan'``."""

    schema_version: str


class Options(Record):
    """What a function is told, the same in Python, on the command line and in a configuration file.

    Raises InputError when made with a value that is not allowed.
    """

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refusal(type(self).__name__, error, kind="option", remedy="change the option") from None


def checked_processes(num: int) -> int:
    """A number of processes; an ``InputError`` if there cannot be so many."""
    try:
        return TypeAdapter(Processes).validate_python(num)
    except ValidationError as error:
        raise _refusal("jobs", error, kind="number", remedy="correct it") from None


R = TypeVar("R", bound=FileRecord)
T = TypeVar("T")


def write_record(path: str | Path, record: FileRecord) -> None:
    """Write a record as indented JSON in one step."""
    write_text(path, record.model_dump_json(indent=2) + "\n")


def read_record(path: str | Path, kind: type[R]) -> R:
    """The record in a JSON file.

    Raises InputError if the file is missing, is no JSON, has another schema version, or a value of it is missing or
    not valid.
    """
    value = read_json(path)
    version = value.get("schema_version") if isinstance(value, dict) else None
    wanted = kind.model_fields["schema_version"].default
    if version != wanted:
        raise InputError(
            path, "another kind or version of file", expected=f"schema_version {wanted!r}", found=repr(version),
            remedy=kind.REMEDY,
        )  # fmt: skip
    return checked(value, kind, where=path, remedy=kind.REMEDY)


def checked(value: Any, kind: type[T], *, where: object, remedy: str) -> T:
    """A value read from a file as of a type; an ``InputError`` that names the field where it does not fit."""
    try:
        return kind.model_validate(value) if issubclass(kind, BaseModel) else TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise _refusal(where, error, kind="field", remedy=remedy) from None


def _refusal(where: object, error: ValidationError, *, kind: str, remedy: str) -> InputError:
    """The first thing that does not fit, in one line."""
    first = error.errors(include_url=False)[0]
    missing = first["type"] == "missing"
    found = "nothing" if missing else repr(first["input"])
    place = ".".join(str(step) for step in first["loc"])
    whole = {"field": "the content", "option": "the options"}.get(kind, f"the {kind}")
    name = f"{kind} {place!r}" if place else whole
    more = error.error_count() - 1
    return InputError(
        where, f"{name} {'is missing' if missing else 'is not valid'}",
        expected=_expected(first["type"], first["msg"]),
        found=(found if len(found) <= 80 else f"{found[:77]}...") + (f" (and {more} more)" if more else ""),
        remedy=remedy,
    )  # fmt: skip


def _expected(kind: Literal["missing"] | str, message: str) -> str:
    if kind == "missing":
        return "a value"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return "no such name"
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return text.removeprefix("Input should ").strip() or "another value"
