"""The surface of a part as a rig is to inspect it."""

from __future__ import annotations

import numpy as np

from viewcov.inspection.mesh.part import Part
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig

FINEST_ELEMENTS, MOST_ELEMENTS = 3_000_000, 250_000
"""If the requirements' edge makes more elements than the first, it is lengthened until there are about the second:
they are tested at five points each, and large parts take room and time."""

MIN_EDGES_PER_IMAGE = 16
"""Elements get no longer than this part of the shorter side of an image in focus."""

_PROBED = 30_000
"""Elements by which their number at shorter edges is estimated."""


def surface_to_inspect(part: Part, rig: Rig, requirements: Requirements, *, edge_mm: float | None = None) -> Surface:
    """The one surface of a part that plans are made for, proven about and evaluated on.

    Its elements have edges up to ``edge_mm``. If that is not given, the edge is the requirements' own. Only where
    that makes more than ``FINEST_ELEMENTS`` it is lengthened so that there are about ``MOST_ELEMENTS``, but no
    further than to a ``MIN_EDGES_PER_IMAGE``-th of the image's shorter side.
    """
    if edge_mm is not None:
        return cut_surface(part, edge_mm)
    edge_mm = requirements.element_edge_mm
    square, linear = _elements_by_edge(part, edge_mm)
    if square / edge_mm**2 + linear / edge_mm <= FINEST_ELEMENTS:
        return cut_surface(part, edge_mm)
    camera = rig.camera
    side_mm = min(camera.width_px, camera.height_px) * camera.mm_per_px_at_focus
    wanted_mm = 2.0 * square / (np.sqrt(linear**2 + 4.0 * square * MOST_ELEMENTS) - linear)
    return cut_surface(part, float(np.clip(wanted_mm, edge_mm, max(edge_mm, side_mm / MIN_EDGES_PER_IMAGE))))


def _elements_by_edge(part: Part, edge_mm: float) -> tuple[float, float]:
    """S and L with which a cut at the edge e makes about S / e^2 + L / e elements: faces and slivers.

    Two cuts at longer edges tell.
    """
    # No triangle is larger than an equilateral one.
    least = part.area_mm2 / (np.sqrt(3.0) / 4.0)
    probe_mm = max(4.0 * edge_mm, float(np.sqrt(least / _PROBED)))
    fine, coarse = (cut_surface(part, factor * probe_mm).num_elements for factor in (1.0, 2.0))
    square = max(2.0 * probe_mm**2 * (fine - 2 * coarse), least)
    return square, max(probe_mm * (fine - square / probe_mm**2), 0.0)
