"""Priority zones: how much the area of each CAD face counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.requirements import Requirements


def face_weights(part: Part, requirements: Requirements) -> Floats:
    """Weight of each CAD face of the part, shape (C,): 1 where the requirements name none.

    Raises InputError if the requirements name a face that the part does not have.
    """
    weights = np.ones(int(part.cad_face_idx.max()) + 1)
    for face, weight in requirements.face_weights:
        if face >= len(weights):
            raise InputError(
                part.source.path, "a weight is given to a CAD face that the part does not have",
                expected=f"a face from 0 to {len(weights) - 1}", found=str(face),
                remedy="see the column cad_face of geometric.parquet, written by 'viewcov evaluate --out'",
            )  # fmt: skip
        weights[face] = weight
    return weights


def left_out(part: Part, requirements: Requirements) -> Part:
    """The part with the faces of weight 0 not to be inspected."""
    if not requirements.face_weights:
        return part
    assert part.inspected is not None
    return replace(part, inspected=part.inspected & (face_weights(part, requirements)[part.cad_face_idx] > 0))


def weighted_areas_mm2(surface: Surface, requirements: Requirements) -> Floats:
    """Area of each element times the weight of its CAD face, shape (E,); 0 where nothing is to be inspected."""
    weights = face_weights(surface.part, requirements)[surface.cad_face_idx]
    return np.where(surface.inspected, surface.area_mm2 * weights, 0.0)
