"""How much light the rig's light throws on the surface."""

from __future__ import annotations

import numpy as np
from numba import njit

from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Floats
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.rig import Rig

NUM_EMITTERS = 12
"""Samples of a light that is not made of single emitters."""


def posed_light(rig: Rig, world_from_camera: Floats, *, num_emitters: int = NUM_EMITTERS) -> Floats:
    """The M emitters of the rig's light, shape (M, 8), where a camera with a pose (4, 4) carries them.

    Place and direction of each, world frame, the exponent of its lobe, and what its cos^m cos / r^2 is divided by.
    The sum is 1 for a frontal element on the optical axis at the focus distance.

    Raises
    ------
    ValueError
        If the light does not reach the place in focus on the optical axis.
    """
    emitters = rig.ring_light.emitters(num_emitters)
    power = emitters.weight * emitters.area_mm2
    # Only the shares count: those of equal emitters are exactly 1.
    power = power / power.max()
    rows = np.column_stack([emitters.points_mm, emitters.normals, emitters.exponent, 1.0 / power])
    axis, total = np.array([[0.0, 0.0, 1.0]]), np.zeros(1)
    for row in rows:
        _add_unshadowed(row, rig.camera.focus_distance_mm * axis, -axis, total)
    if not total[0] > 0:
        raise ValueError(
            f"the light must reach the optical axis at focus_distance_mm = {rig.camera.focus_distance_mm}: a ring's "
            f"offset_mm must be below, got emitters at {emitters.points_mm[0, 2]}"
        )
    rows[:, :3] = transform_points(world_from_camera, emitters.points_mm)
    rows[:, 3:6] = emitters.normals @ world_from_camera[:3, :3].T
    rows[:, 7] = total[0] / power
    return rows


def light_terms(caster: RayCaster, light: Floats, points_mm: Floats, normals: Floats) -> Floats:
    """What each emitter of a `posed_light` adds to each point's irradiance, shape (M, N); 0 where it is in shadow.

    The sum over the emitters, ``light_terms(...).sum(axis=0)``, is `irradiance_of`. A term times a
    reflectance for the directions of its emitter and of the camera adds up to the reflected radiance. Memory is
    8 M N bytes: chunk the points, shape (N, 3), where they are many.
    """
    return np.stack([_term(caster, emitter, points_mm, normals) for emitter in light])


def irradiance_of(
    caster: RayCaster, light: Floats, points_mm: Floats, normals: Floats, *, enough: float = np.inf
) -> Floats:
    """Irradiance from a `posed_light`, shape (N,), shadows of the part included.

    1.0 is what a frontal element on the optical axis at the focus distance gets with nothing in the way. The
    light is near: E = sum over emitters of cos(angle at emitter)^m cos(angle at element) / r^2, with a shadow
    ray for each emitter, because an element that the camera sees past an edge may see only part of it.

    Parameters
    ----------
    points_mm, normals
        Shapes (N, 3): points on the surface and the surface's unit normals there, world frame.
    enough
        Emitters are no longer added to an element once its irradiance has reached this. Its value is then a
        lower bound that is at least ``enough``; below ``enough``, values are what they are without it.
    """
    irradiance = np.zeros(len(points_mm))
    # Shares of the points that still want light; all of them at first.
    wanting, points, facing_to = np.arange(len(points_mm)), points_mm, normals
    for emitter in light:
        irradiance[wanting] += _term(caster, emitter, points, facing_to)
        left = np.flatnonzero(irradiance[wanting] < enough)
        if len(left) < len(wanting):
            wanting, points, facing_to = wanting[left], points[left], facing_to[left]
    return irradiance


def _term(caster: RayCaster, emitter: Floats, points_mm: Floats, normals: Floats) -> Floats:
    term = np.zeros(len(points_mm))
    _add_unshadowed(emitter, points_mm, normals, term)
    facing = np.flatnonzero(term)
    term[facing[caster.blocked(points_mm[facing], emitter[:3], normals=normals[facing])]] = 0.0
    return term


@njit(cache=True, nogil=True)
def _add_unshadowed(emitter, points, normals, sums):  # type: ignore[no-untyped-def]
    """Add cos^m cos / r^2 of one emitter, by its reference; nothing where either faces away from the other."""
    exponent, reference = emitter[6], emitter[7]
    for place in range(len(points)):
        x, y, z = emitter[0] - points[place, 0], emitter[1] - points[place, 1], emitter[2] - points[place, 2]
        # Both cosines still carry a factor r, made good in the last lines.
        at_element = x * normals[place, 0] + y * normals[place, 1] + z * normals[place, 2]
        at_emitter = -(x * emitter[3] + y * emitter[4] + z * emitter[5])
        if at_element <= 0.0 or at_emitter <= 0.0:
            continue
        square = x * x + y * y + z * z
        if exponent == 1.0:
            sums[place] += at_emitter * at_element / (square * square) / reference
        else:
            sums[place] += at_emitter**exponent * at_element / square ** ((3.0 + exponent) / 2.0) / reference
