"""The commands: the public functions of these modules, plain, typed and thin over those at the root of the package.

A command returns False where a stated requirement was not met; bad input raises ``ViewcovError``. What takes
``options`` takes them of the type that the root function takes; the last paragraph of its docstring is an example.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

_MODULES = ("start", "planning", "data", "models", "results")
"""In the order of the work."""


class Command(NamedTuple):
    """A command whose module is imported when it is used: what all of them import takes longer than ``--help``."""

    name: str
    module: str
    doc: str

    def load(self) -> Callable[..., Any]:
        """The function."""
        return getattr(importlib.import_module(f"{__name__}.{self.module}"), self.name)


def _read(module: str) -> Iterator[Command]:
    for node in ast.parse(Path(__file__).with_name(f"{module}.py").read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield Command(node.name, module, ast.get_docstring(node) or "")


ALL = {command.name: command for module in _MODULES for command in _read(module)}
"""By name."""
