"""The surface of a part as a rig is to inspect it."""

from __future__ import annotations

import numpy as np

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
