"""What the command line prints: results on stdout, as one JSON object or lines for people; messages on stderr."""

from __future__ import annotations

import json as json_module
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

_handlers: list[logging.Handler] = []


@contextmanager
def listening() -> Iterator[None]:
    """Show on stderr what modules log while the block runs, and where `listen` says."""
    _hear(logging.StreamHandler(sys.stderr), "viewcov: %(message)s")
    logging.getLogger("viewcov").setLevel(logging.INFO)
    try:
        yield
    finally:
        while _handlers:
            handler = _handlers.pop()
            logging.getLogger().removeHandler(handler)
            handler.close()


def listen(*, quiet: bool, log_file: Path | None) -> None:
    """Add messages to a file as well, below the command itself; if quiet, show only errors on stderr."""
    if quiet:
        for handler in _handlers:
            handler.setLevel(logging.ERROR)
    if log_file is not None:
        _hear(logging.FileHandler(log_file, encoding="utf-8"), "%(asctime)s %(levelname)s %(name)s: %(message)s")
        _handlers[-1].handle(_record(logging.INFO, " ".join(["viewcov", *sys.argv[1:]])))


def complain(message: object) -> None:
    """Say why the command ends, wherever messages go."""
    for handler in _handlers:
        handler.handle(_record(logging.ERROR, message))


def _record(level: int, message: object) -> logging.LogRecord:
    return logging.LogRecord("viewcov", level, "", 0, str(message), None, None)


def _hear(handler: logging.Handler, form: str) -> None:
    handler.setFormatter(logging.Formatter(form))
    logging.getLogger().addHandler(handler)
    _handlers.append(handler)


def say(value: Any, *, json: bool = False) -> None:
    """Print a value on stdout: as one JSON object, or as aligned lines."""
    value = to_jsonable_python(value, by_alias=True, inf_nan_mode="null", fallback=_plain)
    if json:
        sys.stdout.write(json_module.dumps(value, indent=2, allow_nan=False) + "\n")
    elif isinstance(value, dict):
        sys.stdout.write("\n".join(_lines(value, indent=0)) + "\n")
    else:
        sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _lines(table: dict[Any, Any], *, indent: int) -> list[str]:
    width = max((len(str(key)) for key in table), default=0)
    lines = []
    for key, value in table.items():
        if isinstance(value, dict) and value:
            lines += [f"{' ' * indent}{key}", *_lines(value, indent=indent + 2)]
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            rows = [", ".join(f"{name} {_text(item)}" for name, item in row.items()) for row in value]
            lines += [f"{' ' * indent}{key}", *(f"{' ' * indent}  {row}" for row in rows)]
        else:
            lines.append(f"{' ' * indent}{key!s:<{width}}  {_text(value)}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 100 else f"{value:,.1f}"
    if isinstance(value, list | tuple):
        shown = ", ".join(_text(item) for item in value[:8])
        return f"{shown}, ... ({len(value)})" if len(value) > 8 else shown
    return "-" if value is None else str(value)
