"""The commands: plain typed functions, thin over the functions at the root of the package, in the order of the work.

A command returns False where a stated requirement was not met; bad input raises ``ViewcovError``. What takes
``options`` takes them of the type that the root function takes; the last paragraph of its docstring is an example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from viewcov.commands.data import check, synthesize
from viewcov.commands.demo import demo
from viewcov.commands.models import calibrate, predict, test, train
from viewcov.commands.planning import convert, evaluate, plan, route
from viewcov.commands.results import compare, cover, fuse, report, view

ALL: tuple[Callable[..., Any], ...] = (
    *(demo, check, plan, route, evaluate, convert, synthesize),
    *(train, test, predict, calibrate, cover, fuse, compare, view, report),
)
