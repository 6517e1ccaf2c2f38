"""Files of results: ``.vtp`` for viewers, Parquet for tables, JSON for figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import finite, write_json, write_table
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.surface import Surface

if TYPE_CHECKING:
    from viewcov.coverage.cover import CoverResult
    from viewcov.coverage.evaluation import GeometricCoverage
    from viewcov.coverage.fused import FusedInspection


def write_geometric(folder: Path, result: GeometricCoverage) -> None:
    """Write ``geometric.json``, ``geometric.vtp`` and ``geometric.parquet``."""
    arrays: dict[str, NDArray[Any]] = {
        "num_views": result.num_views,
        "tests_passed": result.furthest,
        "coverable": result.coverable,
        "best_mm_per_px": result.best_mm_per_px.astype(np.float32),
        "best_incidence_deg": result.best_incidence_deg.astype(np.float32),
    }
    _write_arrays(folder / "geometric", result.surface, arrays)
    write_json(folder / "geometric.json", result.to_json())


def write_cover(folder: Path, result: CoverResult) -> None:
    """Write ``effective.json``, ``effective.vtp``, ``effective.parquet`` and ``trials.parquet``."""
    arrays: dict[str, NDArray[Any]] = {"visible_views": result.visible.num_views}
    for model, mapped in result.pod_maps.items():
        arrays[f"pod_{model}"] = mapped.pod
        arrays[f"state_{model}"] = mapped.state
    _write_arrays(folder / "effective", result.surface, arrays)
    trials = result.trials
    columns: dict[str, Any] = {
        "inspection": trials.inspection,
        "defect_id": trials.defect_id,
        "kind": list(trials.kind),
        "size_mm": trials.size_mm,
        "seen": trials.seen,
        **{f"found_{model}": found for model, found in trials.found.items()},
    }
    write_table(folder / "trials.parquet", columns)
    write_json(folder / "effective.json", finite(result.to_json()))


def write_fused(folder: InspectionFolder, result: FusedInspection) -> None:
    """Write ``results/<model>/fused.json``, ``fused.vtp`` and ``fused.parquet`` of an inspection."""
    defect = np.zeros(result.surface.num_elements, dtype=np.int32)
    for found in result.defects:
        defect[found.element_idx] = found.id
    arrays: dict[str, NDArray[Any]] = {f"probability_{rule}": p for rule, p in result.probability.items()}
    arrays["defect"] = defect
    if result.truth is not None:
        arrays["true_share"] = result.truth.share().astype(np.float32)
    root = folder.results / result.model
    _write_arrays(root / "fused", result.surface, arrays)
    write_json(root / "fused.json", finite({"inspection": folder.name, **result.to_json()}))


def result_files(path: Path) -> list[Path]:
    """The ``.vtp`` files of a result: the file itself, or those under a folder, the most telling first.

    Raises
    ------
    InputError
        If there is none.
    """
    if path.suffix == ".vtp" and path.is_file():
        return [path]
    order = ("effective.vtp", "geometric.vtp", "fused.vtp")
    found = sorted(path.rglob("*.vtp"), key=lambda file: (order.index(file.name) if file.name in order else 9, file))
    if not found:
        raise InputError(
            path, "no result to show", expected="a .vtp file or a folder with one",
            found="none" if path.exists() else "nothing", remedy="run 'viewcov cover' or 'viewcov fuse' first",
        )  # fmt: skip
    return found


def _write_arrays(stem: Path, surface: Surface, arrays: Mapping[str, NDArray[Any]]) -> None:
    """The arrays per element as ``.vtp`` for viewers and as Parquet for tables."""
    from viewcov.viewer.vtp import write_vtp

    write_vtp(stem.with_suffix(".vtp"), surface, arrays)
    place = {f"{axis}_mm": surface.centroid_mm[:, k] for k, axis in enumerate("xyz")}
    columns = {
        **place,
        "area_mm2": surface.area_mm2,
        "cad_face": surface.cad_face_idx,
        "part_face": surface.source_face_idx,
        **arrays,
    }
    write_table(
        stem.with_suffix(".parquet"), columns, metadata={"units": "mm", "part_sha256": surface.part.source.sha256}
    )
