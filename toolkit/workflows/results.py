"""Files of results: ``.vtp`` for viewers, Parquet for tables, JSON for figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.files import write_table
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.records import write_record
from viewcov.viewer.vtp import write_vtp

if TYPE_CHECKING:
    from viewcov.coverage.effective.cover import CoverResult
    from viewcov.coverage.effective.fuse import FusedInspection
    from viewcov.inspection.viewpoint import Viewpoint
    from viewcov.planning.plan_evaluation import PlanEvaluation
    from viewcov.planning.repairs import Repairs


def write_geometric(folder: Path, result: PlanEvaluation) -> None:
    """Write ``geometric.json``, ``geometric.vtp``, ``geometric.parquet`` and, with repairs, ``nearest.parquet``."""
    coverage, repairs = result.coverage, result.repairs
    rung = coverage.coverable.astype(np.int8) + coverage.covered
    lost = coverage.surface.inspected & ~coverage.covered
    arrays: dict[str, NDArray[Any]] = {
        "rung": np.where(coverage.surface.inspected, rung, np.int8(-1)),
        "num_views": coverage.num_views,
        "loss": np.where(lost, coverage.loss_idx.astype(np.int8), np.int8(-1)),
        "tests_passed": coverage.furthest,
        "coverable": coverage.coverable,
        "best_mm_per_px": coverage.best_mm_per_px.astype(np.float32),
        "best_incidence_deg": coverage.best_incidence_deg.astype(np.float32),
        "best_grey": coverage.best_grey.astype(np.float32),
    }
    if repairs is not None:
        arrays["fix"] = repairs.fix_idx
        arrays["nearest"] = repairs.nearest_idx
        arrays["nearest_distance_mm"] = repairs.distance_mm.astype(np.float32)
        _write_nearest(folder / "nearest.parquet", coverage.viewpoints, repairs)
    if result.robustness is not None:
        arrays["covered_probability"] = result.robustness.probability.astype(np.float32)
    _write_arrays(folder / "geometric", coverage.surface, arrays)
    write_record(folder / "geometric.json", result.figures())


def _write_nearest(path: Path, viewpoints: Sequence[Viewpoint], repairs: Repairs) -> None:
    """The candidates that are nearest to the plan for some element, one a row."""
    poses = np.array([view.world_from_camera[:3].ravel() for view in repairs.nearest]).reshape(-1, 12)
    columns: dict[str, Any] = {"id": [view.id for view in repairs.nearest]}
    for place, name in enumerate(f"world_from_camera_{row}{column}" for row in range(3) for column in range(4)):
        columns[name] = poses[:, place]
    columns["nearest_view"] = [viewpoints[view].id if view >= 0 else "" for view in repairs.moves.view_idx]
    columns["distance_mm"] = repairs.moves.distance_mm
    columns["angle_deg"] = repairs.moves.angle_deg
    write_table(path, columns, metadata={"units": "mm"})


def write_cover(folder: Path, result: CoverResult) -> None:
    """Write ``effective.json``, ``effective.vtp``, ``effective.parquet`` and ``trials.parquet``."""
    arrays: dict[str, NDArray[Any]] = {"visible_views": result.num_views.astype(np.float32)}
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
    write_record(folder / "effective.json", result.figures)


def write_fused(result: FusedInspection) -> None:
    """Write ``results/<model>/fused.json``, ``fused.vtp`` and ``fused.parquet`` of an inspection."""
    defect = np.zeros(result.surface.num_elements, dtype=np.int32)
    for found in result.defects:
        defect[found.element_idx] = found.id
    arrays: dict[str, NDArray[Any]] = {f"probability_{rule}": p for rule, p in result.probability.items()}
    arrays["defect"] = defect
    if result.truth is not None:
        arrays["true_share"] = result.truth.share().astype(np.float32)
    root = result.folder.results_of(result.calibration.model)
    _write_arrays(root / "fused", result.surface, arrays, main=f"probability_{result.rule}")
    write_record(root / "fused.json", result.figures)


def _write_arrays(stem: Path, surface: Surface, arrays: Mapping[str, NDArray[Any]], *, main: str | None = None) -> None:
    """The arrays per element as ``.vtp`` for viewers and as Parquet for tables."""
    inspected = {} if surface.inspected.all() else {"inspected": surface.inspected}
    write_vtp(stem.with_suffix(".vtp"), surface, {**arrays, **inspected}, main=main)
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
