"""Where results lie: what ``evaluate``, ``cover`` and ``fuse`` wrote, named by file or by folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from viewcov.coverage.effective.figures import EffectiveFigures, FusedFigures
from viewcov.coverage.geometric.figures import GeometricFigures
from viewcov.inspection.errors import InputError
from viewcov.inspection.records import read_record

ResultKind = Literal["effective", "geometric", "fused"]
"""Name of a result's files, the most telling first."""

Figures = EffectiveFigures | GeometricFigures | FusedFigures

_TYPES: dict[ResultKind, type[Figures]] = {
    "effective": EffectiveFigures, "geometric": GeometricFigures, "fused": FusedFigures,
}  # fmt: skip
_PLACES = ("results", "results/*", "*", "*/results/*", "dataset/*/results/*")
"""Below a folder of results, an inspection, a data set or a demo."""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One result: figures as JSON, arrays as ``.vtp`` beside them."""

    kind: ResultKind
    stem: Path
    """Path without suffix."""

    @property
    def vtp(self) -> Path:
        """Arrays per element."""
        return self.stem.with_suffix(".vtp")

    def figures(self) -> Figures:
        """The figures; raises InputError if the file is missing or does not fit."""
        return read_record(self.stem.with_suffix(".json"), _TYPES[self.kind])


def find_results(path: str | Path) -> list[ResultFile]:
    """The results that a file or a folder holds, by kind, then by place.

    Raises
    ------
    InputError
        If there is none.
    """
    root = Path(path)
    found = list(_named(root)) if root.is_file() else list(_below(root))
    if not found:
        raise InputError(
            root, "no result", expected="what 'viewcov evaluate', 'cover' or 'fuse' wrote, or its folder",
            found="another file" if root.is_file() else "none" if root.exists() else "nothing",
            remedy="run one of them first",
        )  # fmt: skip
    return found


def _named(file: Path) -> Iterator[ResultFile]:
    for kind in get_args(ResultKind):
        if file.stem == kind and file.suffix in (".json", ".vtp"):
            yield ResultFile(kind, file.with_suffix(""))


def _below(root: Path) -> Iterator[ResultFile]:
    for kind in get_args(ResultKind):
        for folder in dict.fromkeys([root, *(found for place in _PLACES for found in sorted(root.glob(place)))]):
            if any((folder / f"{kind}{suffix}").is_file() for suffix in (".json", ".vtp")):
                yield ResultFile(kind, folder / kind)


def surface_files(path: str | Path) -> list[Path]:
    """The ``.vtp`` files of a result, or the one that is named, whatever wrote it.

    Raises
    ------
    InputError
        If there is none.
    """
    file = Path(path)
    if file.suffix == ".vtp" and file.is_file():
        return [file]
    found = [result.vtp for result in find_results(file) if result.vtp.is_file()]
    if not found:
        raise InputError(
            file, "no surface to show", expected="a .vtp file beside the figures", found="none",
            remedy="run 'viewcov evaluate', 'viewcov cover' or 'viewcov fuse' again",
        )  # fmt: skip
    return found
