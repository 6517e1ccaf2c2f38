"""Write the tables of keys and options in docs/ from viewcov's types: `make tables`, after a type has changed."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import JsonValue
from pydantic.fields import FieldInfo

import viewcov
from viewcov.inspection.records import FileRecord, Options, Record
from viewcov.viewer.layers import LAYERS, Layer

DOCS = Path(__file__).parent
MARK = "<!-- What follows is made by `make tables`. -->\n"
R = TypeVar("R", bound=Record)
_WORDS = {float: "number", int: "whole number", str: "text", bool: "true or false", type(None): "null"}
_LIMITS = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}


class Page(NamedTuple):
    """A page that ends in made tables."""

    path: Path
    text: str


def pages() -> list[Page]:
    """The pages as they should be: what stands before the mark, and the tables of every type below it."""
    for module in pkgutil.walk_packages(viewcov.__path__, "viewcov."):
        importlib.import_module(module.name)
    # Of one kind of file, the type that has most.
    files = {schema(kind): kind for kind in sorted(_below(FileRecord), key=lambda kind: len(kind.__mro__))}
    options = {kind.__name__: kind for kind in _below(Options)}
    return [
        _page(DOCS / "files.md", [_arrays(), *_sections(files, defaults=False)]),
        _page(DOCS / "options.md", _sections(options, defaults=True)),
    ]


def schema(kind: type[FileRecord]) -> str:
    """Name and version of a kind of file."""
    return str(kind.model_fields["schema_version"].default)


def _page(path: Path, sections: Iterable[str]) -> Page:
    head = path.read_text("utf-8").partition(MARK)[0]
    return Page(path, head + MARK + "".join(f"\n{section}" for section in sections))


def _arrays() -> str:
    """What viewer and legends call each array of a result."""
    head = ["array", "in words", "unit", "where there is no value"]
    rows = [[f"`{one.name}`", one.title, one.unit, _gap(one.blank, one.nothing)] for one in LAYERS]
    return f"## Arrays of results\n\n{_lines(head, rows)}"


def _gap(blank: int | None, nothing: str) -> str:
    if nothing == Layer.model_fields["nothing"].default:
        return ""
    return f"{'NaN' if blank is None else blank}: {nothing}"


def _below(kind: type[R]) -> set[type[R]]:
    direct = {one for one in kind.__subclasses__() if one.__module__.startswith("viewcov.")}
    return direct.union(*(_below(one) for one in direct))


def _sections(kinds: Mapping[str, type[Record]], *, defaults: bool) -> Iterator[str]:
    """Heading, place in the code and tables of each type; those of the records within it once, where first met."""
    told: list[type[Record]] = []
    for title, kind in sorted(kinds.items()):
        where = "" if kind.__name__.startswith("_") else f" In Python: `{kind.__module__}.{kind.__name__}`."
        yield f"## {title}\n\n{_sentence(kind.__doc__)}{where}\n\n{_table(kind, defaults=defaults)}"
        for one in _within(kind):
            if one not in told and one not in kinds.values():
                told.append(one)
                yield f"### {one.__name__}\n\n{_sentence(one.__doc__)}\n\n{_table(one, defaults=defaults)}"
    assert len({one.__name__ for one in told}) == len(told), "links lead to names, so that two types cannot share one"


def _within(kind: type[Record]) -> list[type[Record]]:
    """The records within a record, each once, in the order in which they come up."""
    found = [kind]
    for record in found:  # Grows while it is read.
        for field in record.model_fields.values():
            found += [part for part in _records_of(field.annotation) if part not in found]
    return found[1:]


def _records_of(annotation: Any) -> Iterator[type[Record]]:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        yield annotation
    for argument in get_args(annotation):
        yield from _records_of(argument)


def _table(record: type[Record], *, defaults: bool) -> str:
    record.model_rebuild()  # Types are built when they are first used, and what is computed has its type then.
    rows = []
    for key, field in record.model_fields.items():
        kind, default = _limited(words(field.annotation), field.metadata), [_default(field)] if defaults else []
        rows.append([f"`{key}`", kind, *default, _cell(field.description)])
    for key, computed in record.model_computed_fields.items():
        rows.append([f"`{key}`", words(computed.return_type), _cell(computed.description)])
    head = ["key", "is", *(["if not said"] if defaults else []), "means"]
    return _lines(head, rows)


def _lines(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def words(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _limited(words(arguments[0]), arguments[1:])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(words(one) for one in sorted(arguments, key=lambda one: one is type(None)))
    if origin in (dict, Mapping):
        return f"{words(arguments[1])} by {words(arguments[0])}"
    if origin in (list, tuple):
        kinds = [words(one) for one in arguments if one is not Ellipsis]
        return f"list of {kinds[0]}" if Ellipsis in arguments or origin is list else f"({', '.join(kinds)})"
    if isinstance(annotation, type) and issubclass(annotation, Record):
        title = schema(annotation) if issubclass(annotation, FileRecord) else annotation.__name__
        return f"[{annotation.__name__}](#{re.sub('[^a-z0-9_-]', '', title.lower())})"
    if annotation in (Any, JsonValue):
        return "anything"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return annotation.__name__.lower()
    return _WORDS.get(annotation) or getattr(annotation, "__name__", str(annotation)).lower()


def _limited(name: str, metadata: Iterable[Any]) -> str:
    """The words with the limits of a number beside them."""
    inside = [inner for one in metadata for inner in (one.metadata if isinstance(one, FieldInfo) else [one])]
    said = [(getattr(one, key), words) for one in inside for key, words in _LIMITS.items() if hasattr(one, key)]
    limits = [words.format(f"{limit:g}") for limit, words in said if abs(limit) < 1e9]  # Beyond: what fits in memory.
    return " ".join([name, *limits])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be said"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Record):
        return "its own"
    shown = "" if value in (None, (), {}) else f"`{value}`"
    return shown.replace("True", "true").replace("False", "false")


def _sentence(doc: str | None) -> str:
    return _cell((doc or "").partition("\n\n")[0])


def _cell(text: str | None) -> str:
    """Text for one line of a table, in the words of files instead of Python's."""
    line = " ".join((text or "").split()).replace("``", "`").replace("|", "\\|")
    return re.sub(r"\bNone\b", "null", line)


if __name__ == "__main__":
    changed = [page for page in pages() if page.path.read_text("utf-8") != page.text]
    for page in changed:
        page.path.write_text(page.text, "utf-8")
        sys.stderr.write(f"{page.path.name} has changed\n")
