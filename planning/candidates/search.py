"""Looking for any pose at all that could inspect single elements: the last word on what is coverable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.poses import tangents
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.planning.candidates.clearance import Clearance
from viewcov.planning.candidates.maker import working_range

Defeat = Literal["no sight", "no room", "no light", "not seen", "not searched"]
"""What stops the best way to look at an element: nothing leaves free sight; the camera's body has no place where
the sight is free; the ring throws no light there; the views that were tried fail another test; time or number of
candidates were used up before it was looked for."""

DEFEATS: tuple[Defeat, ...] = get_args(Defeat)

_DIRECTIONS = 256
"""Directions within the largest incidence angle, each tried at some standoffs."""

_STANDOFFS = 2
_EMITTERS = 12

_PLACES = 6
"""Places in the image, beside its middle, that the element is brought to where the body lacks room."""

_ASIDE = 0.75
"""How far off the middle they are, as a share of the way to the nearer border."""

_MOST_FREE = 16
"""Ways with free sight of one element that are looked into first."""

_MOST_CRAMPED = 96
_CRAMPED_IN_ALL = 100_000
"""Ways that are turned aside where none of those has room: of one element, and of all together."""

_AT_ONCE = 128
"""Elements at a time, which bounds the memory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundPoses:
    """What a search proposes for each of N elements; the most promising first."""

    center_mm: Floats
    """Shape (N, K, 3): camera centres, world frame; NaN where there are fewer than K poses."""

    forward: Floats
    """Shape (N, K, 3): optical axes."""

    defeat: NDArray[np.int8]
    """Shape (N,): index into ``DEFEATS``; ``not seen`` for elements with a pose."""

    @property
    def num_poses(self) -> Ints:
        """Shape (N,): poses proposed for each element."""
        return np.isfinite(self.center_mm[:, :, 0]).sum(axis=1)


@dataclass(slots=True, kw_only=True, eq=False)
class _Ways:
    """P ways to look at some elements."""

    element: Ints
    point_mm: Floats
    normal: Floats
    center_mm: Floats
    forward: Floats

    def of(self, rows: Ints | Bools) -> _Ways:
        return _Ways(**{name: getattr(self, name)[rows] for name in self.__slots__})


class PoseSearch:
    """Searches the poses from which single elements could be inspected.

    Directions are spread over the whole cone of allowed incidence, standoffs over all that is in focus and fine
    enough. Where the body has no room with the element in the middle of the image, it is turned away until the
    element lies near the border. The caster's rays meet the part and what holds it.
    """

    def __init__(
        self, surface: Surface, rig: Rig, requirements: Requirements, caster: RayCaster, clearance: Clearance
    ) -> None:
        self._surface, self._rig, self._limits = surface, rig, requirements
        self._caster, self._clearance = caster, clearance
        self._range = working_range(rig, requirements)

    def poses(
        self, element_idx: Ints, *, num_each: int, rng: np.random.Generator, late: Callable[[], bool] = bool
    ) -> FoundPoses:
        """Up to ``num_each`` poses for each element, those first from which most of the ring lights it.

        For the first elements only, if it gets ``late`` before all are searched.
        """
        num = len(element_idx)
        center, forward = np.full((2, num, num_each, 3), np.nan)
        defeat = np.zeros(num, dtype=np.int8)
        most_cramped = int(np.clip(_CRAMPED_IN_ALL // max(num, 1), _MOST_FREE, _MOST_CRAMPED))
        for start in range(0, num, _AT_ONCE):
            if start and late():
                return FoundPoses(center_mm=center[:start], forward=forward[:start], defeat=defeat[:start])
            some = slice(start, start + _AT_ONCE)
            ways, lit, defeat[some] = self._ways(element_idx[some], most_cramped, rng)
            order = np.lexsort((-lit, ways.element))
            ways = ways.of(order)
            rank = np.arange(len(order)) - np.searchsorted(ways.element, ways.element)
            kept = np.flatnonzero(rank < num_each)
            center[start + ways.element[kept], rank[kept]] = ways.center_mm[kept]
            forward[start + ways.element[kept], rank[kept]] = ways.forward[kept]
        return FoundPoses(center_mm=center, forward=forward, defeat=defeat)

    def _ways(
        self, element_idx: Ints, most_cramped: int, rng: np.random.Generator
    ) -> tuple[_Ways, Floats, NDArray[np.int8]]:
        """Ways with free sight, room and light, the share of the ring that lights each, and the defeats."""
        num = len(element_idx)
        free, rank = self._with_sight(element_idx, rng)
        clear = self._with_room(free.of(rank < _MOST_FREE))
        # Where none of a few has room, more are tried, and each of them turned aside, too.
        cramped = ~_occurs(clear.element, num)[free.element] & (rank < most_cramped)
        clear = _joined(clear, self._with_room(self._turned_aside(free.of(cramped), rng)))
        lit = self._lit_share(clear)
        bright = clear.of(lit > 0)
        defeat = sum(_occurs(stage.element, num).astype(np.int8) for stage in (free, clear, bright))
        return bright, lit[lit > 0], np.asarray(defeat, dtype=np.int8)

    def _with_sight(self, element_idx: Ints, rng: np.random.Generator) -> tuple[_Ways, Ints]:
        """Ways with free sight of each element in the middle of the image, and each one's rank by chance."""
        points, normals = self._surface.centroid_mm[element_idx], self._surface.normal[element_idx]
        directions, cosine = _cap(normals, self._limits.max_incidence_deg, rng)
        near, far = self._range.near, self._range.far(cosine)
        share = (np.arange(_STANDOFFS) + 0.5) / _STANDOFFS
        reach = near + share * np.maximum(far - near, 0.0)[:, None]
        element, direction, place = np.nonzero(np.broadcast_to((far > near)[:, None], (len(points), *reach.shape)))
        order = np.lexsort((rng.random(len(element)), element))
        direction, place = direction[order], place[order]
        toward = directions[element, direction]
        ways = _Ways(
            element=element,
            point_mm=points[element],
            normal=normals[element],
            center_mm=points[element] + reach[direction, place, None] * toward,
            forward=-toward,
        )
        ways = ways.of(~self._caster.blocked(ways.point_mm, ways.center_mm, normals=ways.normal))
        return ways, np.arange(len(ways.element)) - np.searchsorted(ways.element, ways.element)

    def _with_room(self, ways: _Ways) -> _Ways:
        return ways.of(self._clearance.clear(ways.center_mm, ways.forward))

    def _turned_aside(self, ways: _Ways, rng: np.random.Generator) -> _Ways:
        """The same camera centres with the element in the middle of the image and at ``_PLACES`` places beside it."""
        camera = self._rig.camera
        slope = np.full(_PLACES + 1, _ASIDE * min(camera.width_px, camera.height_px) / (2.0 * camera.focal_px))
        slope[0] = 0.0
        azimuth = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(_PLACES + 1) / _PLACES
        first, second = tangents(ways.forward)
        turned = ways.forward[:, None] + slope[:, None] * (
            np.cos(azimuth)[:, None] * first[:, None] + np.sin(azimuth)[:, None] * second[:, None]
        )
        turned /= np.linalg.norm(turned, axis=2, keepdims=True)
        all_ways = ways.of(np.repeat(np.arange(len(ways.element)), _PLACES + 1))
        all_ways.forward = turned.reshape(-1, 3)
        depth = np.einsum("ij,ij->i", all_ways.point_mm - all_ways.center_mm, all_ways.forward)
        return all_ways.of((depth >= self._range.near) & (depth <= self._range.in_focus))

    def _lit_share(self, ways: _Ways) -> Floats:
        """Share of the ring that each element faces and has free sight to, shape (P,)."""
        ring = self._rig.ring_light.emitters_mm(_EMITTERS)
        first, second = tangents(ways.forward)
        basis = np.stack([first, second, ways.forward], axis=1)
        emitters = ways.center_mm[:, None] + np.einsum("ej,pji->pei", ring, basis)
        facing = np.einsum("pei,pi->pe", emitters - ways.point_mm[:, None], ways.normal) > 0
        way, emitter = np.nonzero(facing)
        facing[way, emitter] = ~self._caster.blocked(
            ways.point_mm[way], emitters[way, emitter], normals=ways.normal[way]
        )
        return np.asarray(facing.mean(axis=1))


def _cap(normals: Floats, max_deg: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Unit directions evenly spread around each normal, shape (N, K, 3), and their cosines with it, shape (K,).

    A Fibonacci spiral over the cap, turned at random about each normal.
    """
    place = (np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS
    cosine = 1.0 - place * (1.0 - np.cos(np.deg2rad(max_deg)))
    sine = np.sqrt(1.0 - cosine**2)
    azimuth = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(_DIRECTIONS) + rng.uniform(0, 2 * np.pi, (len(normals), 1))
    first, second = tangents(normals)
    aside = np.cos(azimuth)[..., None] * first[:, None] + np.sin(azimuth)[..., None] * second[:, None]
    return cosine[:, None] * normals[:, None] + sine[:, None] * aside, cosine


def _occurs(element: Ints, num: int) -> Bools:
    return np.bincount(element, minlength=num) > 0


def _joined(one: _Ways, other: _Ways) -> _Ways:
    names = _Ways.__slots__
    return _Ways(**{name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in names})
