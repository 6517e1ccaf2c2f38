"""Where results lie: what ``evaluate``, ``cover`` and ``fuse`` wrote, named by file or by folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from viewcov.coverage.effective.figures import EffectiveFigures, FusedFigures
from viewcov.coverage.geometric.figures import GeometricFigures
from viewcov.inspection.errors import InputError
from viewcov.inspection.records import read_record

Figures = EffectiveFigures | GeometricFigures | FusedFigures

_TYPES: dict[str, type[Figures]] = {
    "effective": EffectiveFigures, "geometric": GeometricFigures, "fused": FusedFigures,
}  # fmt: skip
"""Type of a result's figures by the name of its files, the most telling first."""

_NAMES = [f"{kind}{suffix}" for kind in _TYPES for suffix in (".json", ".vtp")]
_PLACES = ("results", "results/*", "*", "*/results/*", "dataset/*/results/*")
"""Below a folder of results, an inspection, a data set or a demo."""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One result: figures as JSON, arrays as ``.vtp`` beside them."""

    kind: str
    """Name of its files."""

    stem: Path
    """Path without suffix."""

    @property
    def vtp(self) -> Path:
        """Arrays per element."""
        return self.stem.with_suffix(".vtp")

    @property
    def json(self) -> Path:
        """Figures."""
        return self.stem.with_suffix(".json")

    def figures(self) -> Figures:
        """The figures; raises InputError if the file is missing or does not fit."""
        return read_record(self.json, _TYPES[self.kind])


def find_results(path: str | Path) -> list[ResultFile]:
    """The results that a file or a folder holds, by kind, then by place.

    Raises
    ------
    InputError
        If there is none.
    """
    root = Path(path)
    if root.is_file():
        found = [ResultFile(root.stem, root.with_suffix(""))] if root.name in _NAMES else []
    else:
        folders = dict.fromkeys([root, *(folder for place in _PLACES for folder in sorted(root.glob(place)))])
        there = [ResultFile(kind, folder / kind) for kind in _TYPES for folder in folders]
        found = [one for one in there if one.vtp.is_file() or one.json.is_file()]
    if not found:
        raise InputError(
            root, "no result", expected="what 'viewcov evaluate', 'cover' or 'fuse' wrote, or its folder",
            found="another file" if root.is_file() else "none" if root.exists() else "nothing",
            remedy="run one of them first",
        )  # fmt: skip
    return found


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
