"""The candidates of a plan, kept in a file beside it, so that everyone knows the same surface to be coverable.

An npz archive without pickles: ``header`` (JSON), ``ids`` and ``world_from_camera`` of V viewpoints, ``indptr`` and
``steps`` (from each index to the next) of what they see, and ``complete`` and ``coverable`` for each of E elements.
``gathered_indptr`` and ``gathered_steps`` are all that the candidates see, as they were found, of what was planned on.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from viewcov.inspection.arrays import Bools
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import replacing, sha256_of
from viewcov.inspection.mesh.part import FileSource, PartSource
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.records import Count, FileRecord, NotNegative
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.pool import CandidatePool, CandidateSearch
from viewcov.planning.candidates.search import Defeat

log = logging.getLogger(__name__)

_SUFFIX = ".pool.npz"

_MOST_BYTES = 1 << 31
"""Larger archives, unpacked, are taken for damaged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptPool:
    """V candidates of a plan and what they see of the E elements that the plan is measured on."""

    viewpoints: tuple[Viewpoint, ...]
    """The candidates, those that were chosen and moved among them."""

    visible: csr_array
    """Shape (V, E), sparse: 1.0 where a candidate is known to see an element."""

    complete: Bools
    """Shape (E,): elements that every candidate was tested on; of the others only the plan's views are known."""

    coverable: Bools
    """Shape (E,): elements that enough candidates see."""

    measured: Bools
    """Shape (V,): views of which all that they see is known, the plan's among them."""

    gathered: CandidatePool
    """The first of the candidates, as they were found, and what they see of the elements that were planned on."""

    search: str = ""
    """What found them (see `search_key`)."""

    def rows_of(self, viewpoints: Sequence[Viewpoint]) -> csr_array | None:
        """All that viewpoints see, shape (M, E), if each stands where one of the plan's views did."""
        place = {self.viewpoints[row].world_from_camera.tobytes(): row for row in np.flatnonzero(self.measured)}
        rows = [place.get(view.world_from_camera.tobytes(), -1) for view in viewpoints]
        return None if -1 in rows else csr_array(self.visible[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCandidates:
    """Candidates known before planning."""

    views: tuple[Viewpoint, ...] = ()
    """Viewpoints to choose from beside the planner's own, such as those of a plan made by hand."""

    plan: Path | None = None
    """File of an earlier plan: the candidates beside it are taken where a search would find the same."""


class _Header(FileRecord):
    """``header`` in ``PLAN.pool.npz``, the candidates of a plan."""

    REMEDY: ClassVar[str] = "delete it: candidates are then searched for anew"

    schema_version: Literal["viewcov-pool/1"] = "viewcov-pool/1"
    made_for: str
    elements: Count
    search: str
    gathered: Count
    planned_elements: Count
    given_up_mm2: dict[Defeat, NotNegative]


def keep_pool(plan_path: Path, pool: KeptPool, plan: InspectionPlan, surface: Surface) -> FileSource:
    """Write the pool beside a plan, on the surface that it is measured on, and say where it is."""
    path = plan_path.with_suffix(_SUFFIX)
    gathered = pool.gathered
    header = _Header(
        made_for=_made_for(plan.part, plan.rig, plan.requirements, surface), elements=surface.num_elements,
        search=pool.search, gathered=len(gathered.viewpoints), planned_elements=gathered.visible.shape[1],
        given_up_mm2=gathered.given_up_mm2,
    )  # fmt: skip
    arrays = {
        "header": np.frombuffer(header.model_dump_json().encode(), dtype=np.uint8),
        "ids": np.array([view.id for view in pool.viewpoints], dtype=np.str_),
        "world_from_camera": np.reshape([view.world_from_camera for view in pool.viewpoints], (-1, 4, 4)),
        "complete": pool.complete,
        "coverable": pool.coverable,
        "measured": pool.measured,
    }
    arrays |= _packed(pool.visible, "") | _packed(gathered.visible, "gathered_")
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    with replacing(path) as temporary:
        temporary.write_bytes(stream.getvalue())
    return FileSource(path=str(path.resolve()), sha256=sha256_of(stream.getvalue()))


def kept_pool(plan: InspectionPlan, surface: Surface) -> KeptPool | None:
    """The pool beside a plan; None, with a warning, where it is not there or was made for something else.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    why = "the plan names no pool of candidates"
    if plan.pool is not None:
        path = Path(plan.pool.path)
        content = path.read_bytes() if path.is_file() else None
        if content is None:
            why = f"{path} is not there"
        else:
            found, header = _read(path, content)
            made_for = _made_for(plan.part, plan.rig, plan.requirements, surface)
            if sha256_of(content) != plan.pool.sha256:
                why = f"{path} is not the one that the plan was made with"
            elif header.made_for == made_for and header.elements == surface.num_elements:
                return found
            else:
                why = f"{path} was made for another part, rig or other requirements"
    log.warning("%s: candidates are searched for anew, which may find other surface to be coverable", why)
    return None


def search_key(surface: Surface, rig: Rig, requirements: Requirements, search: CandidateSearch) -> str:
    """All that the candidates found depend on, in one number; another version may find others."""
    extra = [[view.id, *view.world_from_camera.ravel().tolist()] for view in search.extra]
    said = [importlib.metadata.version("viewcov"), surface.max_edge_mm, search.num_candidates, search.seed, extra]
    made_for = _made_for(surface.part.source, rig, requirements, surface)
    return sha256_of(made_for.encode(), json.dumps(said).encode())


def gathered_before(plan_path: Path | None, key: str) -> CandidatePool | None:
    """The candidates beside an earlier plan, if its search was the same; None otherwise, or where there are none.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    if plan_path is None or not (path := plan_path.with_suffix(_SUFFIX)).is_file():
        return None
    found, header = _read(path, path.read_bytes())
    if header.search != key:
        return None
    log.info("the %d candidates of the same search are taken from %s", len(found.gathered.viewpoints), path)
    return found.gathered


def _made_for(source: PartSource, rig: Rig, requirements: Requirements, surface: Surface) -> str:
    """What surface is coverable depends on, in one number: part, rig, requirements, and what is to be inspected."""
    table = rig.to_dict()
    del table["requirements"]
    if rig.fixture is not None:
        # Wherever the meshes lie.
        table["fixture"] |= {"meshes": None, "sha256": rig.fixture.identified().sha256}
    part = dataclasses.asdict(source) | {"path": None}
    said = json.dumps([part, table, dataclasses.asdict(requirements)], sort_keys=True, default=list)
    return sha256_of(said.encode(), np.packbits(surface.inspected).tobytes())


def _packed(visible: csr_array, prefix: str) -> dict[str, NDArray[Any]]:
    """Steps between neighbours repeat, and so take little room."""
    steps = np.diff(visible.indices, prepend=0).astype(np.int32)
    return {f"{prefix}indptr": visible.indptr, f"{prefix}steps": steps}


def _unpacked(arrays: dict[str, NDArray[Any]], prefix: str, *, shape: tuple[int, int]) -> csr_array:
    indptr, steps = arrays[f"{prefix}indptr"], arrays[f"{prefix}steps"]
    visible = csr_array((np.ones(len(steps)), np.cumsum(steps).astype(indptr.dtype), indptr), shape=shape)
    visible.check_format(full_check=True)
    return visible


def _read(path: Path, content: bytes) -> tuple[KeptPool, _Header]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                raise ValueError("more than 2 GiB unpacked")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            header = _Header.model_validate_json(arrays["header"].tobytes())
            return _pool(dict(arrays), header), header
    except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            path, "not a whole pool of candidates", expected="what 'viewcov plan' wrote",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__, remedy=_Header.REMEDY,
        ) from None  # fmt: skip


def _pool(arrays: dict[str, NDArray[Any]], header: _Header) -> KeptPool:
    """The pool in these arrays; raises ValueError if they do not fit together."""
    ids, poses, complete, coverable = (arrays[name] for name in ("ids", "world_from_camera", "complete", "coverable"))
    if any(flags.shape != (header.elements,) or flags.dtype != np.bool_ for flags in (complete, coverable)):
        raise ValueError(f"complete and coverable must hold {header.elements} flags")
    if ids.ndim != 1 or poses.shape != (len(ids), 4, 4):
        raise ValueError(f"world_from_camera must have shape ({ids.size}, 4, 4), got {poses.shape}")
    measured = arrays["measured"]
    if measured.shape != ids.shape or measured.dtype != np.bool_:
        raise ValueError(f"measured must hold {len(ids)} flags")
    if header.gathered > len(ids):
        raise ValueError(f"{header.gathered} gathered candidates of {len(ids)}")
    seen = _unpacked(arrays, "gathered_", shape=(header.gathered, header.planned_elements))
    views = tuple(Viewpoint(id=str(name), world_from_camera=pose) for name, pose in zip(ids, poses, strict=True))
    return KeptPool(
        viewpoints=views,
        visible=_unpacked(arrays, "", shape=(len(ids), header.elements)),
        complete=complete,
        coverable=coverable,
        measured=measured,
        gathered=CandidatePool(
            viewpoints=views[: header.gathered], visible=seen, given_up_mm2=dict(header.given_up_mm2)
        ),
        search=header.search,
    )
