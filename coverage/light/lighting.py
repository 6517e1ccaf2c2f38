"""How much light the ring throws on the surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Floats
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.rig import Rig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PosedRing:
    """M samples of a ring light where a view has them."""

    emitters_mm: Floats
    """Shape (M, 3), world frame."""

    forward: Floats
    """Shape (3,): the direction that all of them look in, unit length."""

    exponent: float
    """Exponent of the lobe."""

    reference: float
    """The sum over the emitters for a frontal element on the optical axis at the focus distance."""


def posed_ring(rig: Rig, world_from_camera: Floats, *, num_emitters: int = 16) -> PosedRing:
    """The rig's ring light at a camera pose.

    Parameters
    ----------
    rig
        For its ring light and focus distance.
    world_from_camera
        Shape (4, 4), of the camera that carries the light.
    num_emitters
        Samples of a diffuse ring; an LED ring has its own number.
    """
    emitters, exponent = rig.ring_light.emitters_mm(num_emitters), rig.ring_light.lobe_exponent
    return PosedRing(
        emitters_mm=transform_points(world_from_camera, emitters),
        forward=np.ascontiguousarray(world_from_camera[:3, 2]),
        exponent=exponent,
        reference=_reference(emitters, exponent, rig.camera.focus_distance_mm),
    )


def ring_terms(caster: RayCaster, ring: PosedRing, points_mm: Floats, normals: Floats) -> Floats:
    """What each emitter adds to each point's irradiance, shape (M, N); 0 where it is in shadow.

    The sum over the emitters, ``ring_terms(...).sum(axis=0)``, is `ring_irradiance`. A term times a
    reflectance for the directions of its emitter and of the camera adds up to the reflected radiance.

    Parameters
    ----------
    caster
        What throws shadows.
    ring
        The light.
    points_mm, normals
        Shapes (N, 3): points on the surface and the surface's unit normals there, world frame. Memory is
        8 M N bytes: chunk the points where they are many.
    """
    terms = np.zeros((len(ring.emitters_mm), len(points_mm)))
    for emitter, row in zip(ring.emitters_mm, terms, strict=True):
        _add_unshadowed(emitter, ring.forward, ring.exponent, ring.reference, points_mm, normals, row)
        facing = np.flatnonzero(row)
        row[facing[caster.blocked(points_mm[facing], emitter, normals=normals[facing])]] = 0.0
    return terms


def ring_irradiance(
    caster: RayCaster, ring: PosedRing, points_mm: Floats, normals: Floats, *, enough: float = np.inf
) -> Floats:
    """Irradiance from the ring light, shape (N,), shadows of the part included.

    1.0 is what a frontal element on the optical axis at the focus distance gets with nothing in the way. The
    ring is near: E = sum over emitters of cos(angle at emitter)^m cos(angle at element) / r^2, with a shadow
    ray for each emitter, because an element that the camera sees past an edge may see only part of the ring.

    Parameters
    ----------
    caster
        What throws shadows.
    ring
        The light.
    points_mm, normals
        Shapes (N, 3): points on the surface and the surface's unit normals there, world frame.
    enough
        Emitters are no longer added to an element once its irradiance has reached this. Its value is then a
        lower bound that is at least ``enough``; below ``enough``, values are what they are without it.
    """
    irradiance = np.zeros(len(points_mm))
    # Shares of the points that still want light; all of them at first.
    wanting, points, facing_to = np.arange(len(points_mm)), points_mm, normals
    for emitter in ring.emitters_mm:
        term = np.zeros(len(wanting))
        _add_unshadowed(emitter, ring.forward, ring.exponent, ring.reference, points, facing_to, term)
        facing = np.flatnonzero(term)
        blocked = caster.blocked(points[facing], emitter, normals=facing_to[facing])
        term[facing[blocked]] = 0.0
        irradiance[wanting] += term
        left = np.flatnonzero(irradiance[wanting] < enough)
        if len(left) < len(wanting):
            wanting, points, facing_to = wanting[left], points[left], facing_to[left]
    return irradiance


@njit(cache=True, nogil=True)
def _add_unshadowed(emitter, forward, exponent, reference, points, normals, sums):  # type: ignore[no-untyped-def]
    """Add cos^m cos / r^2 of one emitter, by the reference; nothing where either faces away from the other."""
    for place in range(len(points)):
        x, y, z = emitter[0] - points[place, 0], emitter[1] - points[place, 1], emitter[2] - points[place, 2]
        # Both cosines still carry a factor r, made good in the last lines.
        at_element = x * normals[place, 0] + y * normals[place, 1] + z * normals[place, 2]
        at_emitter = -(x * forward[0] + y * forward[1] + z * forward[2])
        if at_element <= 0.0 or at_emitter <= 0.0:
            continue
        square = x * x + y * y + z * z
        if exponent == 1.0:
            sums[place] += at_emitter * at_element / (square * square) / reference
        else:
            sums[place] += at_emitter**exponent * at_element / square ** ((3.0 + exponent) / 2.0) / reference


def _reference(emitters_mm: Floats, exponent: float, distance_mm: float) -> float:
    """The sum for a frontal, unshadowed element on the optical axis."""
    axis = np.array([0.0, 0.0, 1.0])
    total = np.zeros(1)
    for emitter in emitters_mm:
        _add_unshadowed(emitter, axis, exponent, 1.0, distance_mm * axis[None], -axis[None], total)
    if not total[0] > 0:
        raise ValueError(
            f"ring_light.offset_mm must be below the camera's focus_distance_mm = {distance_mm}, "
            f"got {emitters_mm[0, 2]}"
        )
    return float(total[0])
