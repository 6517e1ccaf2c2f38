"""How much light the rig's light throws on the surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

from viewcov.coverage.light.shadows import NUM_EMITTERS, Shadows, Sight, first_places_mm, sure_pieces
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Floats
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.light import Light
from viewcov.inspection.rig.rig import Rig

_FEW = 3
"""Of the first places of a light, the first that are looked for where the question is whether it is enough."""

_SURE = 1.02
"""By so much must pieces that are seen for sure exceed what is enough: sums over emitters and pieces differ by less."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PosedLight:
    """The rig's light where a camera carries it.

    Rows have eight numbers: place and direction of an emitter, world frame, the exponent of its lobe, and what its
    cos^m cos / r^2 is divided by. The sum is 1 for a frontal element on the optical axis at the focus distance.
    """

    light: Light
    world_from_camera: Floats

    emitters: Floats
    """Shape (M, 8): few, of ``Light.emitters``, for points that see all of them."""

    pieces: Floats
    """Shape (P, 8): ``Light.pieces``, for points that see a part of the light."""


def posed_light(rig: Rig, world_from_camera: Floats, *, num_emitters: int = NUM_EMITTERS) -> PosedLight:
    """The rig's light where a camera with a pose (4, 4) carries it.

    Raises
    ------
    ValueError
        If the light does not reach the place in focus on the optical axis.
    """
    light, focus_mm = rig.ring_light, rig.camera.focus_distance_mm
    emitters, pieces = (_posed(_rows(light, num, focus_mm), world_from_camera) for num in (num_emitters, None))
    return PosedLight(light=light, world_from_camera=world_from_camera, emitters=emitters, pieces=pieces)


@lru_cache(maxsize=64)
def _rows(light: Light, num_emitters: int | None, focus_mm: float) -> Floats:
    """Rows of a `PosedLight` in the camera frame."""
    emitters = light.pieces() if num_emitters is None else light.emitters(num_emitters)
    power = emitters.weight * emitters.area_mm2
    # Only the shares count: those of equal emitters are exactly 1.
    power = power / power.max()
    rows = np.column_stack([emitters.points_mm, emitters.normals, emitters.exponent, 1.0 / power])
    axis = np.array([[0.0, 0.0, 1.0]])
    total = _sums(rows, np.ones((1, len(rows)), dtype=np.float32), focus_mm * axis, -axis)[0]
    if not total > 0:
        raise ValueError(
            f"the light must reach the optical axis at focus_distance_mm = {focus_mm}: a ring's offset_mm must be "
            f"below, got emitters at {emitters.points_mm[0, 2]}"
        )
    rows[:, 7] *= total
    return rows


def _posed(rows: Floats, world_from_camera: Floats) -> Floats:
    places, ways = transform_points(world_from_camera, rows[:, :3]), rows[:, 3:6] @ world_from_camera[:3, :3].T
    return np.column_stack([places, ways, rows[:, 6:]])


def irradiance_of(light: PosedLight, sight: Sight, points_mm: Floats, normals: Floats) -> Floats:
    """Irradiance from a light, shape (N,), at points that see so much of it.

    1.0 is what a frontal element on the optical axis at the focus distance gets with nothing in the way. The
    light is near: E = sum over emitters of cos(angle at emitter)^m cos(angle at element) / r^2, over few of them
    where all are seen, and by the seen share over the light's pieces otherwise.

    Parameters
    ----------
    points_mm, normals
        Shapes (N, 3): points on the surface and the surface's unit normals there, world frame.
    """
    irradiance, whole, part = np.zeros(len(points_mm)), sight.whole, sight.part
    every = np.ones((1, len(light.emitters)), dtype=np.float32)
    irradiance[whole] = _sums(light.emitters, every, points_mm[whole], normals[whole])
    irradiance[part] = _sums(light.pieces, sight.share[sight.row[part]], points_mm[part], normals[part])
    return irradiance


def irradiance_up_to(
    enough: float, caster: RayCaster, light: PosedLight, points_mm: Floats, normals: Floats, *, in_view: bool = False
) -> Floats:
    """Irradiance with shadows, shape (N,), that is only as exact as the question whether it is ``enough`` needs.

    Where it is enough, a lower bound that is enough, too: rays end with the guards between which that much is
    seen. Elsewhere it is ``irradiance_of`` by the sight of ``Shadows``, whose other arguments these are.
    """
    shadows = Shadows(caster, light.light, light.world_from_camera, points_mm, normals, in_view=in_view)
    if not in_view or not np.isfinite(enough):
        return irradiance_of(light, shadows.sight(), points_mm, normals)
    places, irradiance, wanting = first_places_mm(light.light), np.zeros(len(points_mm)), np.arange(len(points_mm))
    seen = np.zeros((len(points_mm), len(places)), dtype=bool)
    for start, end in ((0, _FEW), (_FEW, len(places))):
        seen[wanting, start:end] = shadows.see(wanting, places[start:end])
        pieces, needed = sure_pieces(light.light, end)
        sure = seen[wanting][:, needed].all(axis=2).astype(np.float32)
        irradiance[wanting] = _sums(light.pieces[pieces], sure, points_mm[wanting], normals[wanting])
        wanting = wanting[irradiance[wanting] < _SURE * enough]
    sight = shadows.sight_past(wanting, seen[wanting])
    irradiance[wanting] = irradiance_of(light, sight, points_mm[wanting], normals[wanting])
    return irradiance


@njit(cache=True, nogil=True)
def _sums(emitters, share, points, normals):  # type: ignore[no-untyped-def]
    """Sums over emitters (M, 8) of cos^m cos / r^2, by its reference, as far as each is seen, (N, M) or (1, M).

    Nothing where either faces away from the other.
    """
    sums = np.zeros(len(points))
    for n in range(len(points)):
        seen = share[n if len(share) > 1 else 0]
        for m in range(len(emitters)):
            emitter = emitters[m]
            x, y, z = emitter[0] - points[n, 0], emitter[1] - points[n, 1], emitter[2] - points[n, 2]
            # Both cosines still carry a factor r, made good in the last lines.
            at_element = x * normals[n, 0] + y * normals[n, 1] + z * normals[n, 2]
            at_emitter = -(x * emitter[3] + y * emitter[4] + z * emitter[5])
            if seen[m] == 0.0 or at_element <= 0.0 or at_emitter <= 0.0:
                continue
            exponent, square = emitter[6], x * x + y * y + z * z
            # A power of a variable exponent costs as much as the rest together.
            lobe, fall = (
                (at_emitter, square * square)
                if exponent == 1.0
                else (at_emitter**exponent, square ** ((3.0 + exponent) / 2.0))
            )
            sums[n] += seen[m] * lobe * at_element / fall / emitter[7]
    return sums
