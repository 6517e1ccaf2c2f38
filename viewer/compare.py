"""Results side by side."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json
from viewcov.viewer.heatmaps import heatmap
from viewcov.viewer.vtp import SurfaceFile, read_vtp

log = logging.getLogger(__name__)

Figure = float | int | str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The same figures of several results."""

    names: tuple[str, ...]
    """One a result, unique."""

    figures: dict[str, tuple[Figure, ...]]
    """Figure, its place in the file joined by dots, to its value in each result; ``None`` = missing."""

    picture: Path | None = None
    """Difference of the surfaces, where one was drawn."""

    def differences(self) -> dict[str, tuple[float | None, ...]]:
        """How much each number exceeds that of the first result."""
        return {
            key: tuple(_minus(value, values[0]) for value in values)
            for key, values in self.figures.items()
            if any(_is_number(value) for value in values)
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "results": list(self.names),
            "figures": {key: list(values) for key, values in self.figures.items()},
            "differences": {key: list(values) for key, values in self.differences().items()},
            "picture": None if self.picture is None else self.picture.as_posix(),
        }


def compare(
    results: Sequence[str | Path], *, picture: str | Path | None = None, array: str | None = None
) -> Comparison:
    """The figures of results side by side, and on request where on the part the last differs from the first.

    Parameters
    ----------
    results
        JSON files, or folders with ``summary.json`` or with JSON files under ``results/``.
    picture
        A PNG of the difference of ``array`` (last minus first), drawn if both results have a ``.vtp`` file of
        the same elements.
    array
        The array that is compared on the surface; by default the first of numbers that both have.

    Raises
    ------
    InputError
        If a result is missing, holds no figures, or a picture is asked for and cannot be drawn.
    """
    if len(results) < 2:
        raise InputError(
            "compare",
            "too few results",
            expected="at least two",
            found=str(len(results)),
            remedy="name another",
        )
    paths = [Path(result) for result in results]
    tables = [dict(_figures(path)) for path in paths]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    drawn = None
    if picture is not None:
        drawn = Path(picture)
        difference_picture(surface_file(paths[0]), surface_file(paths[-1]), drawn, array=array)
    return Comparison(
        names=_names(paths),
        figures={key: tuple(table.get(key) for table in tables) for key in keys},
        picture=drawn,
    )


def compare_results(
    results: Sequence[str | Path], *, picture: str | Path | None = None, array: str | None = None
) -> dict[str, Any]:
    """The comparison as plain values for ``compare --json``; arguments and errors of ``compare``."""
    return compare(results, picture=picture, array=array).to_json()


def difference_picture(first: str | Path, last: str | Path, path: str | Path, *, array: str | None = None) -> str:
    """Write a PNG of an array of the last ``.vtp`` file minus that of the first; the array's name.

    Elements that either of them did not see stay hatched.

    Raises
    ------
    InputError
        If the files have other elements or no such array in common.
    """
    before, after = read_vtp(first), read_vtp(last)
    same = np.array_equal(before.faces, after.faces) and np.array_equal(before.vertices_mm, after.vertices_mm)
    if not same:
        raise InputError(
            last,
            "not the same surface",
            expected=f"the {len(before.faces):,} elements of {first}",
            found=f"{len(after.faces):,} elements" if len(before.faces) != len(after.faces) else "others",
            remedy="evaluate both with the same part, rig and element size",
        )
    name = _common_array(before, after, array, last)
    values = after.arrays[name].astype(np.float64) - before.arrays[name].astype(np.float64)
    heatmap(
        before,
        values,
        path,
        title=f"{name}: {Path(last).stem} minus {Path(first).stem}",
        label=f"difference of {name.replace('_', ' ')}",
        kind="difference",
    )
    return name


def surface_file(result: str | Path) -> Path:
    """The ``.vtp`` file of a result: itself, that of the same name beside it, or the only one in its folder.

    Raises
    ------
    InputError
        If there is none, or more than one to choose from.
    """
    path = Path(result)
    if path.suffix == ".vtp":
        return path
    if path.is_file() and path.with_suffix(".vtp").is_file():
        return path.with_suffix(".vtp")
    folder = path if path.is_dir() else path.parent
    found = sorted(folder.glob("*.vtp")) or sorted((folder / "results").glob("*.vtp"))
    if len(found) != 1:
        raise InputError(
            path,
            "which surface is meant is not clear" if found else "no surface to compare",
            expected="one .vtp file",
            found=", ".join(file.name for file in found) or "none",
            remedy="name the .vtp files themselves",
        )
    return found[0]


def _common_array(before: SurfaceFile, after: SurfaceFile, array: str | None, where: object) -> str:
    both = [name for name in before.arrays if name in after.arrays and name != "cad_face_idx"]
    if array is None and both:
        return both[0]
    if array not in both or array is None:
        raise InputError(
            where,
            "no such array in both surfaces",
            expected=f"one of {', '.join(both) or 'no common arrays'}",
            found=repr(array),
            remedy="choose another",
        )
    return array


def _figures(path: Path) -> Iterator[tuple[str, Figure]]:
    """Every single value of a result with its place."""
    files = [path]
    if path.suffix == ".vtp":
        return
    if path.is_dir():
        summary = path / "summary.json"
        files = [summary] if summary.is_file() else sorted((path / "results").glob("*.json"))
        if not files:
            raise InputError(
                path,
                "no results here",
                expected="summary.json or results/*.json",
                found="neither",
                remedy="run 'viewcov evaluate', 'viewcov cover' or 'viewcov fuse' first",
            )
    for file in files:
        yield from _flat(read_json(file), f"{file.stem}." if len(files) > 1 else "")


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Figure]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{prefix}{key}.")
    elif isinstance(value, list):
        # Short lists are figures, such as the ends of an interval; long ones are data.
        if len(value) <= 2 and all(not isinstance(part, Mapping | list) for part in value):
            for end, part in zip(("first", "last"), value, strict=False):
                yield f"{prefix}{end}", part
        else:
            yield f"{prefix}length", len(value)
    else:
        yield prefix.removesuffix("."), value


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Short names: stems, with as many folders before them as tell them apart."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join([*path.with_suffix("").parts[-depth:]]) for path in paths]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(f"{path} ({k + 1})" for k, path in enumerate(paths))


def _is_number(value: Figure) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _minus(value: Figure, first: Figure) -> float | None:
    if not (_is_number(value) and _is_number(first)):
        return None
    assert isinstance(value, int | float)
    assert isinstance(first, int | float)
    return value - first
