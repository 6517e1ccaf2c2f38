"""Pieces that sections of a report are made of; the templates draw them, and escape all text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from viewcov.inspection.errors import InputError
from viewcov.viewer import palette
from viewcov.viewer.words import MISSING

Tone = Literal["good", "bad", "warn", "plain"]


class Quantity(str):
    """A number as text, set flush right."""

    __slots__ = ()


class Kept(str):
    """Text that is never broken across lines, such as coordinates."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Chip:
    """A word on a coloured ground."""

    text: str
    tone: Tone


Cell: TypeAlias = str | Chip | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A headline figure."""

    title: str
    value: str
    unit: str
    meaning: str
    interval: str = ""
    accent: str = palette.BLUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line of a bar chart; shares are from 0 to 1."""

    name: str
    share: float
    text: str
    detail: str = ""
    before: float | None = None
    """Share of the line before, drawn pale."""

    interval: tuple[float, float] | None = None
    colour: str = palette.BLUE


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars below each other."""

    lines: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph or heading; ``note`` is smaller, ``sure`` and ``open`` are statements."""

    text: str
    tone: Literal["", "heading", "note", "sure", "open"] = ""


@dataclass(frozen=True, slots=True)
class Points:
    """A list."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; columns of quantities are flush right, rows in ``best`` are bold."""

    title: str
    """What it holds, for those who do not see it."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    best: frozenset[int] = frozenset()

    @property
    def numeric(self) -> list[bool]:
        """Whether each column is one of quantities."""
        columns = [[row[k] for row in self.rows] for k in range(len(self.header))]
        return [
            any(isinstance(cell, Quantity) for cell in column)
            and all(cell in (None, MISSING) or isinstance(cell, Quantity) for cell in column)
            for column in columns
        ]

    def style(self, cell: Cell, column: int) -> str:
        """Class of a cell."""
        return "number" if self.numeric[column] else "keep" if isinstance(cell, Kept) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture, put into the page."""

    path: str | Path
    """A PNG, JPEG or SVG file."""

    title: str
    """A few words."""

    caption: str = ""
    """What it shows and how to read it."""

    section: str = ""
    """Section that it belongs to, such as ``effective``; one of their own, near the end, by default."""

    @property
    def source(self) -> str:
        """The file as a data URI.

        Raises
        ------
        InputError
            If there is no such file.
        """
        file = Path(self.path)
        if not file.is_file():
            raise InputError(
                file, "no such picture", expected="a picture file", found="nothing",
                remedy="draw it before the report",
            )  # fmt: skip
        suffix = file.suffix.lower().lstrip(".")
        kind = {"svg": "svg+xml", "jpg": "jpeg"}.get(suffix, suffix)
        return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


Block: TypeAlias = Bars | Text | Points | Table | Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page with a heading."""

    key: str
    title: str
    blocks: Sequence[Block]
