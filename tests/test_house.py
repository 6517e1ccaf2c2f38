"""The size of rooms, files and functions, and what functions give: the house stays easy to find one's way in."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("toolkit", "inspection", "coverage", "planning", "synthesis", "segmentation", "viewer")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files() -> list[Path]:
    return [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]


def functions() -> Iterator[tuple[str, Function]]:
    for file in files():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, Function):
                yield f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", node


def body_lines(function: Function) -> int:
    """Lines from the first statement behind the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def num_arguments(function: Function) -> int:
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_no_room_has_more_than_fourteen_modules() -> None:
    rooms = {file.parent for file in files()}
    full = {str(room.relative_to(ROOT)): len([f for f in room.glob("*.py") if f.stem != "__init__"]) for room in rooms}
    assert not {room: num for room, num in full.items() if num > 14}


def test_files_and_functions_are_short() -> None:
    long = {str(f.relative_to(ROOT)): len(f.read_text("utf-8").splitlines()) for f in files()}
    assert not {name: num for name, num in long.items() if num > 400}
    lengths = sorted(body_lines(function) for _, function in functions())
    assert statistics.median(lengths) <= 8
    assert lengths[int(0.9 * len(lengths))] <= 25


def test_few_functions_take_many_arguments() -> None:
    many = [name for name, function in functions() if num_arguments(function) > 6]
    assert len(many) <= 10, many


def test_results_are_types() -> None:
    """A dictionary whose keys nobody can look up is what a function gives where the content is not ours."""
    loose = [
        name
        for name, function in functions()
        if function.returns is not None and "dict[str, Any]" in ast.unparse(function.returns)
    ]
    assert len(loose) <= 8, loose
