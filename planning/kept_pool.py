"""The candidates of a plan, kept in a file beside it, so that everyone knows the same surface to be coverable.

An npz archive without pickles: ``header`` (JSON: schema version, what the pool was made for, number of elements),
``ids`` and ``world_from_camera`` of V viewpoints, ``indptr`` and ``indices`` of what they see, and ``complete`` and
``coverable`` for each of E elements.
"""

from __future__ import annotations

import dataclasses
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
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.plan import InspectionPlan, PoolSource
from viewcov.inspection.records import Count, FileRecord
from viewcov.inspection.viewpoint import Viewpoint

log = logging.getLogger(__name__)

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
    """Shape (V,): the plan's views, of which all that they see is known."""

    def rows_of(self, viewpoints: Sequence[Viewpoint]) -> csr_array | None:
        """All that viewpoints see, shape (M, E), if each stands where one of the plan's views did."""
        place = {self.viewpoints[row].world_from_camera.tobytes(): row for row in np.flatnonzero(self.measured)}
        rows = [place.get(view.world_from_camera.tobytes(), -1) for view in viewpoints]
        return None if -1 in rows else csr_array(self.visible[rows])


class _Header(FileRecord):
    """``header`` in ``PLAN.pool.npz``, the candidates of a plan."""

    REMEDY: ClassVar[str] = "plan again, or delete it: candidates are then searched for anew"

    schema_version: Literal["viewcov-pool/1"] = "viewcov-pool/1"
    made_for: str
    elements: Count


def keep_pool(path: Path, pool: KeptPool, plan: InspectionPlan, surface: Surface) -> PoolSource:
    """Write the pool of a plan on the surface that it is measured on, and say where it is."""
    header = _Header(made_for=_made_for(plan, surface), elements=surface.num_elements)
    visible = csr_array(pool.visible)
    visible.sort_indices()
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        header=np.frombuffer(header.model_dump_json().encode(), dtype=np.uint8),
        ids=np.array([view.id for view in pool.viewpoints], dtype=np.str_),
        world_from_camera=np.reshape([view.world_from_camera for view in pool.viewpoints], (-1, 4, 4)),
        indptr=visible.indptr.astype(np.int64),
        indices=visible.indices.astype(np.int32),
        complete=pool.complete,
        coverable=pool.coverable,
        measured=pool.measured,
    )
    with replacing(path) as temporary:
        temporary.write_bytes(stream.getvalue())
    return PoolSource(path=str(path.resolve()), sha256=sha256_of(stream.getvalue()))


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
            if sha256_of(content) != plan.pool.sha256:
                why = f"{path} is not the one that the plan was made with"
            elif header.made_for == _made_for(plan, surface) and header.elements == surface.num_elements:
                return found
            else:
                why = f"{path} was made for another part, rig or other requirements"
    log.warning("%s: candidates are searched for anew, which may find other surface to be coverable", why)
    return None


def _made_for(plan: InspectionPlan, surface: Surface) -> str:
    """What surface is coverable depends on, in one number: part, rig, requirements, and what is to be inspected."""
    rig = plan.rig.to_dict()
    del rig["requirements"]
    if plan.rig.fixture is not None:
        # Wherever the meshes lie.
        rig["fixture"] |= {"meshes": None, "sha256": plan.rig.fixture.identified().sha256}
    part = dataclasses.asdict(plan.part) | {"path": None}
    said = json.dumps([part, rig, dataclasses.asdict(plan.requirements)], sort_keys=True, default=list)
    return sha256_of(said.encode(), np.packbits(surface.inspected).tobytes())


def _read(path: Path, content: bytes) -> tuple[KeptPool, _Header]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                raise ValueError("more than 2 GiB unpacked")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            header = _Header.model_validate_json(arrays["header"].tobytes())
            return _pool(dict(arrays), header.elements), header
    except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            path, "not a whole pool of candidates", expected="what 'viewcov plan' wrote",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__, remedy=_Header.REMEDY,
        ) from None  # fmt: skip


def _pool(arrays: dict[str, NDArray[Any]], num_elements: int) -> KeptPool:
    """The pool of arrays that fit together.

    Raises
    ------
    ValueError
        If they do not.
    """
    ids, poses, indptr, indices = (arrays[name] for name in ("ids", "world_from_camera", "indptr", "indices"))
    by_element = arrays["complete"], arrays["coverable"]
    if any(flags.shape != (num_elements,) or flags.dtype != np.bool_ for flags in by_element):
        raise ValueError(f"complete and coverable must hold {num_elements} flags")
    if ids.ndim != 1 or poses.shape != (len(ids), 4, 4):
        raise ValueError(f"world_from_camera must have shape ({ids.size}, 4, 4), got {poses.shape}")
    visible = csr_array((np.ones(len(indices)), indices, indptr), shape=(len(ids), num_elements))
    visible.check_format(full_check=True)
    views = tuple(Viewpoint(id=str(name), world_from_camera=pose) for name, pose in zip(ids, poses, strict=True))
    measured = arrays["measured"]
    if measured.shape != (len(ids),) or measured.dtype != np.bool_:
        raise ValueError(f"measured must hold {len(ids)} flags")
    return KeptPool(
        viewpoints=views, visible=visible, complete=by_element[0], coverable=by_element[1], measured=measured
    )
