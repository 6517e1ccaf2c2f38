"""How much light the ring throws on the surface."""

from __future__ import annotations

import numpy as np

from viewcov.coverage.raycasting import RayCaster
from viewcov.inspection.arrays import Floats
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig import Rig


def ring_irradiance(
    caster: RayCaster,
    rig: Rig,
    world_from_camera: Floats,
    points_mm: Floats,
    normals: Floats,
    *,
    num_emitters: int = 16,
    enough: float = np.inf,
) -> Floats:
    """Irradiance from the ring light, shape (N,), shadows of the part included.

    1.0 is what a frontal element on the optical axis at the focus distance gets with nothing in the way. The
    ring is near: E = sum over emitters of cos(angle at emitter)^m cos(angle at element) / r^2, with a shadow
    ray for each emitter, because an element that the camera sees past an edge may see only part of the ring.

    Parameters
    ----------
    caster
        The part.
    rig
        For its ring light and focus distance.
    world_from_camera
        Shape (4, 4), of the camera that carries the light.
    points_mm, normals
        Shapes (N, 3): points on the surface and the surface's unit normals there, world frame.
    num_emitters
        Samples of a diffuse ring; an LED ring has its own number.
    enough
        Emitters are no longer added to an element once its irradiance has reached this. Its value is then a
        lower bound that is at least ``enough``; below ``enough``, values are what they are without it.
    """
    emitters = rig.ring_light.emitters_mm(num_emitters)
    exponent = rig.ring_light.lobe_exponent
    reference = _reference(emitters, exponent, rig.camera.focus_distance_mm)
    forward = world_from_camera[:3, 2]
    irradiance = np.zeros(len(points_mm))
    for emitter in transform_points(world_from_camera, emitters):
        wanting = np.flatnonzero(irradiance < enough)
        term = _unshadowed(emitter, forward, exponent, points_mm[wanting], normals[wanting])
        facing = term > 0
        wanting, term = wanting[facing], term[facing]
        lit = ~caster.blocked(points_mm[wanting], emitter, normals=normals[wanting])
        irradiance[wanting[lit]] += term[lit] / reference
    return irradiance


def _unshadowed(emitter_mm: Floats, forward: Floats, exponent: float, points_mm: Floats, normals: Floats) -> Floats:
    """cos^m cos / r^2 of one emitter, shape (N,); zero where either faces away from the other."""
    to_light = emitter_mm - points_mm
    square = np.einsum("ij,ij->i", to_light, to_light)
    # Both cosines still carry a factor r, made good in the last line.
    at_element = np.maximum(np.einsum("ij,ij->i", to_light, normals), 0.0)
    at_emitter = np.maximum(-np.einsum("ij,j->i", to_light, forward), 0.0)
    # NumPy says 0^0 = 1: an emitter without a lobe (m = 0) still sends nothing backwards.
    lobe: Floats = at_emitter if exponent == 1.0 else np.where(at_emitter > 0, at_emitter**exponent, 0.0)
    return np.divide(
        lobe * at_element, square ** ((3.0 + exponent) / 2.0), out=np.zeros(len(points_mm)), where=square > 0
    )


def _reference(emitters_mm: Floats, exponent: float, distance_mm: float) -> float:
    """The sum for a frontal, unshadowed element on the optical axis."""
    axis = np.array([0.0, 0.0, 1.0])
    terms = [_unshadowed(emitter, axis, exponent, distance_mm * axis[None], -axis[None])[0] for emitter in emitters_mm]
    reference = float(np.sum(terms))
    if not reference > 0:
        raise ValueError(
            f"ring_light.offset_mm must be below the camera's focus_distance_mm = {distance_mm}, "
            f"got {emitters_mm[0, 2]}"
        )
    return reference
