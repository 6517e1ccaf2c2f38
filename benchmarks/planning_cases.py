"""The parts that planning is measured on, each with its rig, and the candidates of each, made once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

import viewcov.coverage
import viewcov.inspection
import viewcov.planning
from viewcov.coverage.geometric.sightings import Watch
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, snapped
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.inspected import surface_to_inspect
from viewcov.inspection.rig.requirements import weighted_areas_mm2
from viewcov.inspection.rig.rig import PRESETS, Rig, load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import CandidateSearch, gather_candidates
from viewcov.planning.rows import CHECKED, SEARCHED, Rows
from viewcov.planning.selection.problem import CoverProblem

RIGS = Path(__file__).resolve().parent / "rigs"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "parts"

_POOL_MODULES = ("candidates/*.py", "making.py", "planner.py")
"""Of planning, those that decide what the candidates are; all of inspection and coverage does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A part, the size it is brought to, and the rig that looks at it."""

    name: str
    file: str
    rig: str
    why: str
    scale_mm: float | None = None

    def load(self, data: Path) -> tuple[Part, Rig]:
        """The part in millimetres, as plans are made on it, and the rig."""
        part = load_part(self.file if self.file.startswith("builtin:") else data / self.file, scale_mm=self.scale_mm)
        return snapped(part), load_rig(self.rig if self.rig in PRESETS else RIGS / f"{self.rig}.toml")


SIX = (
    Case(
        name="coupling-half",
        file="coupling-half.off",
        scale_mm=100.0,
        rig="paper-quarter",
        why="scaled to 100 mm, the size of the paper's clutch; the field of 76 x 64 mm shows half of a face",
    ),
    Case(
        name="flanged-hub",
        file="flanged-hub-88mm.stp",
        rig="paper-quarter",
        why="as large as the paper's clutch; bolt holes and groove ask for views of their own",
    ),
    Case(
        name="machined-block",
        file="machined-block-127mm.step",
        rig="paper-quarter",
        why="127 mm long, less than two fields; pockets and counterbores need most of the views",
    ),
    Case(
        name="anc101-block",
        file="anc101-block-426mm.stp",
        rig="wide-field",
        why="426 mm long: with the small field it would take a thousand views; 192 x 161 mm shows half its length",
    ),
    Case(
        name="turbine-cover",
        file="turbine-cover.off",
        scale_mm=300.0,
        rig="paper-quarter",
        why="comes without a unit; at 300 mm, a choice, the disc is four fields wide, so that rim, ring of holes and "
        "funnel take tens of views even at 95 %",
    ),
    Case(
        name="nist-ctc-05-hub",
        file="nist-ctc-05-hub.stp",
        rig="wide-field",
        why="559 mm wide, three fields across; disc, stem and bores from all sides",
    ),
)
BUILTIN = Case(
    name="clutch-half",
    file="builtin:clutch-half",
    rig="paper-quarter",
    why="the built-in part, 80 mm, after the paper's clutch",
)
CASES = {case.name: case for case in (*SIX, BUILTIN)}


def chosen_cases(names: str | None, data: Path, *, default: tuple[Case, ...]) -> list[Case]:
    """The cases with these names, comma-separated; those whose file is missing are left out, and a line says so."""
    unknown = sorted(set(names.split(",")) - set(CASES)) if names else []
    if unknown:
        raise SystemExit(f"unknown part {', '.join(unknown)}: expected some of {', '.join(CASES)}")
    wanted = [CASES[name] for name in names.split(",")] if names else list(default)
    missing = [case for case in wanted if not case.file.startswith("builtin:") and not (data / case.file).is_file()]
    there = [case for case in wanted if case not in missing]
    if missing:
        files = ", ".join(case.file for case in missing)
        if BUILTIN not in there:
            there.append(BUILTIN)
        print(f"not in {data}: {files}; going on with {', '.join(case.name for case in there)}", flush=True)
    return there


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """A case's candidates with what they see of the surface that is planned on."""

    case: Case
    surface: Surface
    rig: Rig
    viewpoints: tuple[Viewpoint, ...]
    visible: csr_array
    """Shape (V, E), sparse."""

    gathering_s: float
    """Seconds for making and testing the candidates."""

    visibility_s: float
    """Seconds for testing all of them once more, which must give the same."""

    @cached_property
    def problem(self) -> CoverProblem:
        """Covering the surface by area."""
        demand = self.rig.requirements.views_per_element
        return CoverProblem(visible=self.visible, weight=self.surface.area_mm2, demand=demand)

    @property
    def inspected_mm2(self) -> float:
        """Area to be inspected."""
        return float(self.surface.area_mm2[self.surface.inspected].sum())


def pool_of(
    case: Case,
    data: Path,
    *,
    seed: int,
    cache: Path | None = None,
    num_candidates: int | None = None,
    edge_mm: float | None = None,
) -> Pool:
    """The case's candidates: those kept in ``cache`` if nothing that decides them has changed, else new ones."""
    part, rig = case.load(data)
    whole = surface_to_inspect(part, rig, rig.requirements, edge_mm=edge_mm)
    weight = weighted_areas_mm2(whole, rig.requirements)
    num = SEARCHED + CHECKED
    rows = Rows.all_of(weight) if whole.num_elements <= num else Rows.drawn(weight, num, seed=seed)
    surface = rows.surface(whole, weight)
    key = _key(part, rig, surface, seed=seed, num_candidates=num_candidates)
    kept = None if cache is None else cache / f"{case.name}-{key}.npz"
    if kept is None or not kept.is_file():
        made = _gathered(surface, rig, seed=seed, num_candidates=num_candidates)
        if kept is not None:
            _write(kept, made)
    else:
        with np.load(kept, allow_pickle=False) as file:
            made = dict(file)
    num_views = len(made["id"])
    ones = np.ones(len(made["indices"]))
    return Pool(
        case=case,
        surface=surface,
        rig=rig,
        viewpoints=tuple(
            Viewpoint(id=str(name), world_from_camera=pose)
            for name, pose in zip(made["id"], made["world_from_camera"], strict=True)
        ),
        visible=csr_array((ones, made["indices"], made["indptr"]), shape=(num_views, surface.num_elements)),
        gathering_s=float(made["seconds"][0]),
        visibility_s=float(made["seconds"][1]),
    )


def _gathered(surface: Surface, rig: Rig, *, seed: int, num_candidates: int | None) -> dict[str, np.ndarray]:
    start = time.perf_counter()
    pool = gather_candidates(surface, rig, rig.requirements, CandidateSearch(num_candidates=num_candidates, seed=seed))
    gathered = time.perf_counter()
    with Watch(Setup(surface, rig, rig.requirements)) as watch:
        again = watch.seen_from(pool.viewpoints)
    tested = time.perf_counter()
    if (again != pool.visible).nnz:
        raise RuntimeError("the same views of the same surface do not see the same when tested again")
    return {
        "id": np.array([view.id for view in pool.viewpoints]),
        "world_from_camera": np.stack([view.world_from_camera for view in pool.viewpoints]),
        "indptr": pool.visible.indptr,
        "indices": pool.visible.indices,
        "seconds": np.array([gathered - start, tested - gathered]),
    }


def _key(part: Part, rig: Rig, surface: Surface, *, seed: int, num_candidates: int | None) -> str:
    """Changes with the part, the rig, the options and the code that the candidates come from."""
    values = [part.source.sha256, part.largest_extent_mm, rig.to_dict(), surface.max_edge_mm, seed, num_candidates]
    key = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    for package, names in (
        (viewcov.inspection, ("**/*.py",)),
        (viewcov.coverage, ("**/*.py",)),
        (viewcov.planning, _POOL_MODULES),
    ):
        folder = Path(package.__path__[0])
        for file in sorted(file for name in names for file in folder.glob(name)):
            key.update(file.read_bytes())
    return key.hexdigest()[:16]


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """All or nothing: an interrupted run leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.unfinished.npz")
    np.savez_compressed(unfinished, **arrays)
    unfinished.replace(path)
