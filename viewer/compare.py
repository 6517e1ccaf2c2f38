"""Results side by side: the same figures, and on the surface where they differ in meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import triangle_areas
from viewcov.inspection.records import Record
from viewcov.viewer import palette
from viewcov.viewer.heatmaps import heatmap
from viewcov.viewer.layers import Layer
from viewcov.viewer.result_files import ResultFile, find_results
from viewcov.viewer.vtp import SurfaceFile, read_vtp

Figure = float | int | str | bool | None
Side = tuple[ArrayLike, Layer]
"""An array with its words."""


class Agreement(Record):
    """Where on the surface two results agree."""

    arrays: tuple[str, str]
    """Compared, of the first and of the last result."""

    area_mm2: dict[str, float]
    """Area to be inspected by who has it so, in words."""

    picture: str | None
    """File of the picture, if one was drawn."""


class Comparison(Record):
    """The same figures of several results; what ``compare --json`` prints."""

    results: tuple[str, ...]
    """Names, one a result, unique."""

    figures: dict[str, tuple[Figure, ...]]
    """Figure, its place in the file joined by dots, to its value in each result; None = missing."""

    differences: dict[str, tuple[float | None, ...]]
    """How much each number exceeds that of the first result."""

    surface: Agreement | None
    """Of the first result and the last, where they are of the same elements."""


def compare(results: Sequence[str | Path], *, picture: str | Path | None = None) -> Comparison:
    """The figures of results side by side, and where on the part the first and the last differ.

    What is compared on the surface is what says most: covered by the plan, found by the model, reported as a defect.

    Parameters
    ----------
    results
        What ``evaluate``, ``cover`` and ``fuse`` wrote, or folders with it. Kinds that not all of them hold are left
        out.
    picture
        A PNG of where the first result and the last agree.

    Raises
    ------
    InputError
        If there are fewer than two results, one is missing or no result, they are of different kinds, or a picture
        is asked for and cannot be drawn.
    """
    if len(results) < 2:
        raise InputError(
            "compare", "too few results", expected="at least two", found=str(len(results)), remedy="name another"
        )
    paths = [Path(result) for result in results]
    held = [{one.kind: one for one in reversed(find_results(path))} for path in paths]
    kinds = [kind for kind in reversed(held[0]) if all(kind in other for other in held)]
    if not kinds:
        raise InputError(
            paths[-1], "not the same kind of result", expected=f"like {paths[0]}: {', '.join(held[0])}",
            found=", ".join(held[-1]), remedy="compare results of the same command",
        )  # fmt: skip
    tables = [dict(_figures([own[kind] for kind in kinds])) for own in held]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    figures = {key: tuple(table.get(key) for table in tables) for key in keys}
    names = _names(paths)
    return Comparison(
        results=names,
        figures=figures,
        differences={
            key: tuple(_minus(value, values[0]) for value in values)
            for key, values in figures.items()
            if any(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        },
        surface=_on_surface(held[0][kinds[0]], held[-1][kinds[0]], names, picture),
    )


def _on_surface(
    first: ResultFile, last: ResultFile, names: Sequence[str], picture: str | Path | None
) -> Agreement | None:
    """Where two results agree; None where they cannot be compared and nobody asked for it."""
    if picture is None and not (first.vtp.is_file() and last.vtp.is_file()):
        return None
    before, after = read_vtp(first.vtp), read_vtp(last.vtp)
    try:
        _same_surface(before, after, first.vtp, last.vtp)
        pair = _pair(before, after, last.vtp)
    except InputError:
        if picture is not None:
            raise
        return None
    # Two models are told apart by their names, two results of one model by theirs.
    said = (names[0], names[-1]) if pair[0] == pair[1] else (_model(pair[0]), _model(pair[1]))
    values, layer = agreement(before.side(pair[0]), after.side(pair[1]), said)
    if picture is not None:
        heatmap(before, values, layer, picture)
    area = triangle_areas(before.vertices_mm[before.faces]) * before.inspected
    areas = {words: float(area[values == k].sum()) for k, words in enumerate(layer.categories)}
    if np.isnan(values).any():
        areas[layer.nothing] = float(area[np.isnan(values)].sum())
    return Agreement(arrays=pair, area_mm2=areas, picture=None if picture is None else Path(picture).as_posix())


def _model(array: str) -> str:
    """What follows the first underscore: the model of ``state_plain``."""
    return array.partition("_")[2] or array


def agreement(first: Side, last: Side, names: tuple[str, str]) -> tuple[Floats, Layer]:
    """Values per element with the layer that draws them: so by both, by only one, by neither."""
    (array, layer), (after, after_layer), (a, b) = first, last, names
    one, other = layer.values(array), after_layer.values(after)
    assert layer.reached is not None
    assert after_layer.reached is not None
    with np.errstate(invalid="ignore"):
        values = np.where(one >= layer.reached, 0.0, 2.0) + np.where(other >= after_layer.reached, 0.0, 1.0)
    if layer.kind == "category":
        values[np.isnan(one) & np.isnan(other)] = np.nan
    verb = layer.verb
    return values, Layer(
        name="agreement", title=f"{verb.capitalize()}: {a} and {b}", kind="category", nothing=layer.nothing,
        categories=(f"{verb} by both", f"{verb} only by {a}", f"{verb} only by {b}", f"{verb} by neither"),
        colours=(palette.BOTH, palette.ONLY_FIRST, palette.ONLY_LAST, palette.NEITHER),
    )  # fmt: skip


def _same_surface(before: SurfaceFile, after: SurfaceFile, first: Path, last: Path) -> None:
    if not before.is_same_surface(after):
        raise InputError(
            last, "not the same surface", expected=f"the {len(before.faces):,} elements of {first}",
            found=f"{len(after.faces):,} elements" if len(before.faces) != len(after.faces) else "others",
            remedy="evaluate both with the same part, rig and element size",
        )  # fmt: skip


def _pair(before: SurfaceFile, after: SurfaceFile, where: Path) -> tuple[str, str]:
    """The arrays that say most: one that both have, or the first of each of the same form (two models)."""
    sets = [[name for name in file.arrays if file.layer(name).reached is not None] for file in (before, after)]
    both = [name for name in sets[0] if name in sets[1]]
    if both:
        return both[0], both[0]
    if not all(sets):
        raise InputError(
            where, "nothing to compare on the surface", expected="arrays of the same kind in both results",
            found=", ".join(after.arrays), remedy="compare results of the same command",
        )  # fmt: skip
    return sets[0][0], sets[1][0]


def _figures(results: Sequence[ResultFile]) -> Iterator[tuple[str, Figure]]:
    """Every single value of the results with its place."""
    for result in results:
        value = result.figures().model_dump(mode="json", exclude={"schema_version"})
        yield from _flat(value, f"{result.kind}." if len(results) > 1 else "")


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


def _minus(value: Figure, first: Figure) -> float | None:
    if isinstance(value, bool | str | None) or isinstance(first, bool | str | None):
        return None
    return value - first
