"""Pieces of the report's page: numbers as text, cards, bars, tables, pictures. All text is escaped here."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from viewcov.inspection.errors import InputError

MISSING = "–"
Tone = Literal["good", "bad", "warn", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of the report."""

    path: str | Path
    """A PNG, JPEG or SVG file."""

    title: str
    """A few words."""

    caption: str = ""
    """What it shows and how to read it."""

    section: str = ""
    """Section that it belongs to: ``effective``, ``geometric``, ``defects``, ``fusion``, ``segmentation``,
    ``plan`` or ``part``; one of their own, near the end, by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the report."""

    title: str
    """Heading."""

    header: Sequence[str]
    """Names of the columns, with units."""

    rows: Sequence[Sequence[Any]]
    """Texts, numbers, truth values or ``None``."""

    caption: str = ""
    """What it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line of a bar chart; shares are from 0 to 1."""

    name: str
    share: float
    text: str
    detail: str = ""
    before: float | None = None
    interval: tuple[float, float] | None = None
    colour: str = "var(--blue)"


def escape(value: object) -> str:
    """The value as text that is safe in HTML, attributes included."""
    return html.escape(str(value), quote=True)


def number(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits, thousands apart; a dash for what is missing or not finite."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return MISSING if value is None or value != value else str(value)
    if value in (float("inf"), float("-inf")):
        return MISSING
    if isinstance(value, int) or 10 ** (digits - 1) <= abs(value) < 1e15:
        return f"{value:,.0f}".replace(",", "\u202f").replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def percent(value: Any) -> str:
    """A share from 0 to 1 in per cent; never rounded to nothing or to all."""
    if not isinstance(value, int | float) or value != value:
        return MISSING
    if value in (0, 1):
        return f"{100 * value:.0f} %"
    for digits in (1, 2, 3):
        text = f"{100 * value:.{digits}f}"
        if float(text) not in (0.0, 100.0):
            break
    return f"{text} %".replace("-", "−")


def interval_text(interval: Any) -> str:
    """Both ends of an interval of shares, in per cent."""
    if not isinstance(interval, Sequence) or len(interval) != 2:
        return ""
    return f"{percent(interval[0]).removesuffix(' %')} to {percent(interval[1])}"


def card(title: str, value: str, unit: str, meaning: str, *, interval: str = "", accent: str = "var(--blue)") -> str:
    """A headline figure."""
    between = f'<div class="interval">95 % interval: <span>{escape(interval)}</span></div>' if interval else ""
    return (
        f'<div class="card" style="--accent: {accent}"><h3>{escape(title)}</h3>'
        f'<div class="value">{escape(value)} <small>{escape(unit)}</small></div>{between}'
        f"<p>{escape(meaning)}</p></div>"
    )


def bars(lines: Iterable[Bar]) -> str:
    """Bars with names and amounts; pale: what the line before had; whiskers: intervals."""
    parts = []
    for line in lines:
        track = ""
        if line.before is not None:
            track += f'<div class="before" style="width: {_width(line.before)}"></div>'
        track += f'<div class="fill" style="width: {_width(line.share)}; background: {line.colour}"></div>'
        if line.interval is not None:
            low, high = (min(max(end, 0.0), 1.0) for end in line.interval)
            place = f"left: {100 * low:.2f}%; width: {100 * max(high - low, 0):.2f}%"
            track += f'<div class="whisker" style="{place}"></div>'
        detail = f' <span class="muted">{escape(line.detail)}</span>' if line.detail else ""
        parts.append(
            f'<div class="name">{escape(line.name)}</div><div class="track">{track}</div>'
            f'<div class="amount">{escape(line.text)}{detail}</div>'
        )
    return f'<div class="bars">{"".join(parts)}</div>'


def _width(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def chip(text: str, tone: Tone) -> str:
    """A short word on a coloured ground."""
    return f'<span class="chip {tone}">{escape(text)}</span>'


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], *, caption: str = "", best: Iterable[int] = ()) -> str:
    """A table; columns of numbers are set flush right, rows in ``best`` are bold."""
    numeric = [
        any(_is_number(row[k]) for row in rows) and all(_is_number(row[k]) or row[k] is None for row in rows)
        for k in range(len(header))
    ]
    kinds = [' class="number"' if flag else "" for flag in numeric]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(header, kinds, strict=True))
    formats = [_format([row[k] for row in rows]) for k in range(len(header))]
    emphasised = set(best)
    body = "".join(
        f"<tr{' class=best' if k in emphasised else ''}>"
        + "".join(
            f"<td{kind or ' class=wide'}>{cell(value, places)}</td>"
            for value, kind, places in zip(row, kinds, formats, strict=True)
        )
        + "</tr>"
        for k, row in enumerate(rows)
    )
    below = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{below}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(rows: Sequence[tuple[str, Any]]) -> str:
    """Names and values, one pair a line."""
    lines = "".join(f"<tr><td>{escape(name)}</td><td class=wide>{cell(value)}</td></tr>" for name, value in rows)
    return f'<table class="facts"><tbody>{lines}</tbody></table>'


def _format(column: Sequence[Any]) -> int | None:
    """Decimal places that all numbers of a column with fractions get, by the largest of them."""
    numbers = [abs(x) for x in column if isinstance(x, int | float) and not isinstance(x, bool) and x == x]
    if all(isinstance(x, int) for x in numbers):
        return None
    return next((places for limit, places in ((1.0, 3), (100.0, 2), (1000.0, 1)) if max(numbers) <= limit), 0)


def _is_number(value: Any) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)) or isinstance(value, Quantity)


class Quantity(str):
    """A number that is formatted already."""

    __slots__ = ()


class Markup(str):
    """HTML that this module made."""

    __slots__ = ()


def cell(value: Any, places: int | None = None) -> str:
    """Any value of a JSON file as the HTML of a table's cell, numbers with so many decimal places."""
    if isinstance(value, Markup):
        return str(value)
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return chip("yes", "good") if value else chip("no", "plain")
    if isinstance(value, int | float):
        fixed = places is not None and abs(value) < float("inf")
        return escape(f"{value:,.{places}f}".replace(",", "\u202f").replace("-", "−") if fixed else number(value))
    if isinstance(value, Mapping):
        return "; ".join(f"{escape(name)}: {cell(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(cell(part) for part in value) or MISSING
    return escape(value)


def label(key: str) -> str:
    """The name of a JSON key for people: units in brackets, no underscores."""
    units = {"_mm2": "mm²", "_mm": "mm", "_deg": "°", "_px": "px", "_s": "s"}
    for suffix, unit in units.items():
        if key.endswith(suffix):
            return f"{label(key.removesuffix(suffix))} ({unit})"
    return {"f1": "F1", "center": "centre"}.get(key, key.replace("_", " ").replace("num ", "number of "))


def records(rows: Sequence[Mapping[str, Any]], *, first: Sequence[str] = (), caption: str = "") -> str:
    """A table of JSON records; the columns named in ``first`` lead, the others follow as they come."""
    keys = list(
        dict.fromkeys([*(k for k in first if any(k in row for row in rows)), *(k for row in rows for k in row)])
    )
    return table([label(key) for key in keys], [[row.get(key) for key in keys] for row in rows], caption=caption)


def figure(picture: Picture, page: Path, *, embed: bool) -> str:
    """The picture with its caption, linked relative to the page or put into it.

    Raises
    ------
    InputError
        If there is no such file.
    """
    file = Path(picture.path)
    if not file.is_file():
        raise InputError(
            file,
            "no such picture",
            expected="a picture file",
            found="nothing",
            remedy="draw it before the report",
        )
    if embed:
        kind = {".svg": "svg+xml", ".jpg": "jpeg"}.get(file.suffix.lower(), file.suffix.lower().lstrip("."))
        source = f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
    else:
        source = quote(Path(os.path.relpath(file.resolve(), page.resolve().parent)).as_posix())
    image = f'<img src="{escape(source)}" alt="{escape(picture.title)}">'
    shown = image if embed else f'<a href="{escape(source)}">{image}</a>'
    words = f"<b>{escape(picture.title)}.</b> {escape(picture.caption)}"
    return f"<figure>{shown}<figcaption>{words}</figcaption></figure>"
