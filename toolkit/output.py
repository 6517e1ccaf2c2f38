"""What the command line prints on stdout: one JSON object, or lines for people."""

from __future__ import annotations

import json as json_module
import sys
from typing import Any

from viewcov.inspection.files import finite


def say(value: Any, *, json: bool = False) -> None:
    """Print a value on stdout: as one JSON object, or as aligned lines."""
    if json:
        sys.stdout.write(json_module.dumps(finite(value), indent=2, allow_nan=False, default=str) + "\n")
    elif isinstance(value, dict):
        sys.stdout.write("\n".join(_lines(value, indent=0)) + "\n")
    else:
        sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def _lines(table: dict[Any, Any], *, indent: int) -> list[str]:
    width = max((len(str(key)) for key in table), default=0)
    lines = []
    for key, value in table.items():
        if isinstance(value, dict) and value:
            lines += [f"{' ' * indent}{key}", *_lines(value, indent=indent + 2)]
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
