"""What is to be inspected of a part: the surface as elements, and how much the area of each CAD face counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig

FINEST_ELEMENTS, MOST_ELEMENTS = 2_000_000, 500_000
"""If the requirements' edge makes more elements than the first, it is lengthened until there are at most the second:
they are tested at five points each, and large parts take room and time."""

MIN_EDGES_PER_IMAGE = 16
"""Elements get no longer than this part of the shorter side of an image in focus."""


def surface_to_inspect(part: Part, rig: Rig, requirements: Requirements, *, edge_mm: float | None = None) -> Surface:
    """The one surface of a part that plans are made for, proven about and evaluated on.

    Its elements have edges up to ``edge_mm``. If that is not given, the edge is the requirements' own. Only where that
    makes more than ``FINEST_ELEMENTS`` it is lengthened until there are at most ``MOST_ELEMENTS``, the part's own
    triangles are no longer cut, or the edge is a ``MIN_EDGES_PER_IMAGE``-th of the image's shorter side.
    """
    if edge_mm is not None:
        return cut_surface(part, edge_mm)
    edge_mm = requirements.element_edge_mm
    # No cut has fewer elements: none is larger than an equilateral triangle.
    fewest = part.area_mm2 / (np.sqrt(3.0) / 4.0 * edge_mm**2)
    if fewest <= FINEST_ELEMENTS:
        surface = cut_surface(part, edge_mm)
        if surface.num_elements <= FINEST_ELEMENTS:
            return surface
    camera, wanted = rig.camera, max(MOST_ELEMENTS, len(part.faces))
    side_mm = min(camera.width_px, camera.height_px) * camera.mm_per_px_at_focus
    longest_mm = max(edge_mm, side_mm / MIN_EDGES_PER_IMAGE)
    surface = cut_surface(part, float(np.clip(edge_mm * np.sqrt(fewest / wanted), edge_mm, longest_mm)))
    while surface.num_elements > wanted and surface.max_edge_mm < longest_mm:
        factor = max(1.1, np.sqrt(surface.num_elements / wanted))
        surface = cut_surface(part, min(float(factor * surface.max_edge_mm), longest_mm))
    return surface


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
