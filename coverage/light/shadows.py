"""How much of the rig's light points of the surface see: all of it, none, or a share of each of its pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.light import NUM_PIECES, Light, Tiles

NUM_EMITTERS = 12
"""Samples of a light that is seen as a whole."""

_FINER_BELOW = 0.3
"""A point that sees less than this share of a light has its shadows followed on tiles half as wide."""

_HALVINGS = 4
"""Of an edge of a tile across a shadow's border: the border is then known to 3 % of a tile's width."""

_LEVELS = (NUM_PIECES, 4 * NUM_PIECES, 16 * NUM_PIECES)
"""Emitters that are looked for in turn where a light has no tiles."""

_STABLE = 0.01
"""Levels are enough if the last one changes the seen share by no more than this part of it."""

_AT_ONCE = 2048
_RAYS_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sight:
    """How much N points see of a light."""

    row: Ints
    """Shape (N,): each point's row of ``share``, -1 for one that sees the whole light."""

    share: Floats32
    """Shape (R, M): how much of the area of each of ``Light.pieces`` is seen. Single emitters are seen or not."""

    @property
    def whole(self) -> Ints:
        """Which points see the whole light."""
        return np.flatnonzero(self.row < 0)

    @property
    def part(self) -> Ints:
        """Which points do not."""
        return np.flatnonzero(self.row >= 0)

    def of(self, points: Ints | Bools) -> Sight:
        """That of some of the points, which may repeat."""
        return Sight(row=self.row[points], share=self.share)

    def shares(self) -> Floats32:
        """How much of each piece each point sees, shape (N, M)."""
        shares = np.ones((len(self.row), self.share.shape[1]), dtype=np.float32)
        shares[self.part] = self.share[self.row[self.part]]
        return shares

    def with_more(self, other: Sight) -> Sight:
        """That of these points and then the others."""
        row = np.where(other.row < 0, -1, other.row + len(self.share))
        return Sight(row=np.concatenate([self.row, row]), share=np.concatenate([self.share, other.share]))


class Grid(NamedTuple):
    """Tiles of a light with what follows from them: G guards, E edges between neighbouring corners."""

    tiles: Tiles

    guards: Ints
    """Shape (G,): the corners that guard any."""

    guard: Ints
    """Shape (K, 2): the places in ``guards`` of those of each corner."""

    edges: Ints
    """Shape (E, 2): the corners at the ends of each."""

    edge: Ints
    """Shape (T, 4): the edges of each tile, in turn around it."""


@lru_cache(maxsize=64)
def grid_of(light: Light, cuts: int = 1) -> Grid | None:
    """A light's tiles, if it has any."""
    tiles = light.tiles(cuts)
    if tiles is None:
        return None
    guards, guard = np.unique(tiles.guard_idx, return_inverse=True)
    sides = np.stack([tiles.corner_idx, np.roll(tiles.corner_idx, -1, axis=1)], axis=2)
    edges, edge = np.unique(np.sort(sides, axis=2).reshape(-1, 2), axis=0, return_inverse=True)
    return Grid(tiles, guards, guard.reshape(-1, 2), edges, edge.reshape(-1, 4))


class Shadows:
    """Shadows that part and fixture throw on N points from a light, posed by a camera with a pose (4, 4).

    Where a light has tiles, rays go to the guards of their corners, for a ring twelve around its outer border. A
    point that sees all of them sees the whole light. For others, corners that are not between two seen guards
    are looked for too, then the borders of shadows by halving the edges of tiles that they cross; what a tile
    shows is cut straight between them. Where less than 0.3 of the light is seen, tiles are half as wide.

    Parameters
    ----------
    points_mm, normals
        Shapes (N, 3): points on the surface and the surface's unit normals there, world frame.
    in_view
        Whether all of the points are known to see the camera. Others have a ray to it: without free sight to
        the camera, seen guards say nothing of what is between them.
    """

    def __init__(
        self, caster: RayCaster, light: Light, world_from_camera: Floats, points_mm: Floats, normals: Floats,
        *, in_view: bool = False,
    ) -> None:  # fmt: skip
        self._caster, self._light, self._world_from_camera = caster, light, world_from_camera
        self._points_mm, self._normals, self._in_view = points_mm, normals, in_view

    def sight(self) -> Sight:
        """What all points see."""
        every = np.arange(len(self._points_mm))
        return self.sight_past(every, self.see(every, first_places_mm(self._light)))

    def sight_past(self, points: Ints, firsts: Bools) -> Sight:
        """What points (Q,) see if it is known which of the ``first_places_mm`` of the light they do, shape (Q, G)."""
        whole = np.asarray(firsts.all(axis=1))
        if grid_of(self._light) is not None:
            framed = np.ones(len(points), dtype=bool) if self._in_view else self.see(points, np.zeros((1, 3)))[:, 0]
            return _sight_of(
                self._light, whole & framed, lambda some: self._by_tiles(points[some], firsts[some], framed[some])
            )
        if is_single(self._light):
            return _sight_of(self._light, whole, lambda some: firsts[some])
        return _sight_of(self._light, whole, lambda some: self._by_levels(points[some]))

    def see(self, points: Ints, places_mm: Floats) -> Bools:
        """Which places (M, 3), camera frame, each of the points (Q,) faces and sees, shape (Q, M)."""
        num = len(places_mm)
        seen = np.empty((len(points), num), dtype=bool)
        step = max(1, _RAYS_AT_ONCE // num)
        for start in range(0, len(points), step):
            some = points[start : start + step]
            row, column = np.repeat(some, num), np.tile(np.arange(num), len(some))
            seen[start : start + step] = self._see(row, column, places_mm).reshape(-1, num)
        return seen

    def _see(self, row: Ints, column: Ints, places_mm: Floats) -> Bools:
        """Whether points face and see places (M, 3), camera frame, in pairs of both, shape (Q,)."""
        places = transform_points(self._world_from_camera, places_mm)
        seen: Bools = _facing(self._points_mm, self._normals, places, row, column)
        seen[seen] = ~self._caster.blocked_between(
            self._points_mm, places, row[seen], column[seen], normals=self._normals
        )
        return seen

    def _by_tiles(self, points: Ints, guards_seen: Bools, framed: Bools, *, cuts: int = 1) -> Floats32:
        grid = grid_of(self._light, cuts)
        assert grid is not None
        corners = guards_seen[:, grid.guard].all(axis=2) & framed[:, None]
        known = corners.copy()
        corners[:, grid.guards], known[:, grid.guards] = guards_seen, True
        rows, columns = np.nonzero(~known)
        corners[rows, columns] = self._see(points[rows], columns, grid.tiles.corners_mm)
        share = np.zeros((len(points), grid.tiles.piece_idx.max() + 1), dtype=np.float32)
        _add_shown(
            corners, self._cuts(points, corners, grid), grid.tiles.corner_idx, grid.edge, grid.tiles.piece_idx, share
        )
        share /= cuts**2
        seen = share.mean(axis=1)
        # A slit between corners is looked for where there is one, to the camera.
        little = np.flatnonzero((seen < _FINER_BELOW) & ((seen > 0.0) | framed))
        if cuts == 1 and len(little):
            share[little] = self._by_tiles(points[little], guards_seen[little], framed[little], cuts=2)
        return share

    def _cuts(self, points: Ints, corners: Bools, grid: Grid) -> Floats32:
        """How far along each edge a shadow's border crosses it, shape (Q, E); 0 where none does."""
        first, second = corners[:, grid.edges[:, 0]], corners[:, grid.edges[:, 1]]
        rows, columns = np.nonzero(first != second)
        start, end = grid.tiles.corners_mm[grid.edges[columns]].swapaxes(0, 1)
        low, high, each = np.zeros(len(rows)), np.ones(len(rows)), np.arange(len(rows))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            seen = self._see(points[rows], each, _on_edges(start, end, middle))
            before = seen == first[rows, columns]
            low, high = np.where(before, middle, low), np.where(before, high, middle)
        cuts = np.zeros(first.shape, dtype=np.float32)
        cuts[rows, columns] = (low + high) / 2
        return cuts

    def _by_levels(self, points: Ints) -> Floats32:
        """Of a light without tiles: ever more emitters, until the share that is seen changes no more."""
        pieces = self._light.pieces()
        share, total = np.zeros((len(points), len(pieces.points_mm)), dtype=np.float32), np.zeros(len(points))
        going = np.arange(len(points))
        for num in _LEVELS:
            emitters = self._light.emitters(num)
            seen = self.see(points[going], emitters.points_mm)
            share[going] = np.dot(seen * emitters.area_mm2, _belonging(self._light, num))
            now = share[going] @ pieces.area_mm2
            changing = np.abs(now - total[going]) > _STABLE * now
            total[going] = now
            going = going[changing]
        return share


def is_single(light: Light) -> bool:
    """Whether a light is made of single emitters, as many as there are however many are asked for."""
    return len(light.emitters_mm(_LEVELS[0])) == len(light.emitters_mm(_LEVELS[1]))


def _sight_of(light: Light, whole: Bools, shares_of: Callable[[Ints], Floats32 | Bools]) -> Sight:
    """Sight of points of which some see the whole light, and the others what is asked for, some at a time."""
    part = np.flatnonzero(~whole)
    row = np.full(len(whole), -1, dtype=np.int64)
    row[part] = np.arange(len(part))
    share = np.empty((len(part), len(light.pieces().points_mm)), dtype=np.float32)
    for start in range(0, len(part), _AT_ONCE):
        share[start : start + _AT_ONCE] = shares_of(part[start : start + _AT_ONCE])
    return Sight(row=row, share=share)


def _on_edges(start_mm: Floats, end_mm: Floats, along: Floats) -> Floats:
    """Where so much of each edge's length, and of the area beside it, is left behind, shape (Q, 3)."""
    places = start_mm + along[:, None] * (end_mm - start_mm)
    first, second, here = (np.sum(ends[:, :2] ** 2, axis=1) for ends in (start_mm, end_mm, places))
    wanted = first + along * (second - first)
    places[:, :2] *= np.sqrt(np.divide(wanted, here, out=np.ones_like(here), where=here > 0))[:, None]
    return places


def first_places_mm(light: Light) -> Floats:
    """What is looked for first: guards of tiles, single emitters, or some far apart; shape (G, 3), camera frame."""
    grid = grid_of(light)
    if grid is not None:
        return grid.tiles.corners_mm[grid.guards]
    return light.emitters_mm(NUM_EMITTERS) if is_single(light) else _outlying_mm(light)


@lru_cache(maxsize=64)
def sure_pieces(light: Light, num: int) -> tuple[Ints, Ints]:
    """Pieces (P,) that are seen for sure if some of the first ``num`` of ``first_places_mm`` are: which, (P, W).

    Those are the guards of all of a piece's corners, or a single emitter itself.
    """
    grid = grid_of(light)
    if grid is None:
        single = np.arange(num if is_single(light) else 0)
        return single, single[:, None]
    needs = [np.unique(grid.guard[corners]) for corners in grid.tiles.corner_idx]
    widest = max(map(len, needs))
    needed = np.array([np.resize(some, widest) for some in needs])
    sure = (needed < num).all(axis=1)
    return grid.tiles.piece_idx[sure], needed[sure]


@lru_cache(maxsize=64)
def _outlying_mm(light: Light) -> Floats:
    """Emitters far from each other, those first that lie farthest out, shape (M, 3), camera frame."""
    points = light.emitters_mm(_LEVELS[-1])
    chosen = [int(np.argmax(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    apart = np.full(len(points), np.inf)
    while len(chosen) < min(NUM_EMITTERS, len(points)):
        apart = np.minimum(apart, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(apart)))
    return points[chosen]


@lru_cache(maxsize=64)
def _belonging(light: Light, num: int) -> Floats:
    """Shape (M, P): in each emitter's row, its nearest piece has 1 by the area of all that belongs to this piece."""
    emitters, pieces = light.emitters(num), light.pieces().points_mm
    nearest = np.argmin(np.linalg.norm(emitters.points_mm[:, None] - pieces, axis=2), axis=1)
    belongs = (nearest[:, None] == np.arange(len(pieces))).astype(float)
    return np.asarray(belongs / np.maximum(emitters.area_mm2 @ belongs, np.finfo(float).tiny))


@njit(cache=True, nogil=True)
def _facing(points, normals, places, row, column):  # type: ignore[no-untyped-def]
    facing = np.empty(len(row), dtype=np.bool_)
    for n in range(len(row)):
        p, q, normal = points[row[n]], places[column[n]], normals[row[n]]
        facing[n] = (q[0] - p[0]) * normal[0] + (q[1] - p[1]) * normal[1] + (q[2] - p[2]) * normal[2] > 0.0
    return facing


@njit(cache=True, nogil=True)
def _add_shown(corners, cuts, corner_idx, edge, piece_idx, share):  # type: ignore[no-untyped-def]
    """Add to pieces which share of each tile is seen: a unit square's polygon of seen corners and cut edges."""
    square = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    x, y = np.zeros(8), np.zeros(8)
    for n in range(len(corners)):
        for t in range(len(corner_idx)):
            num = 0
            for side in range(4):
                here, after = corner_idx[t, side], corner_idx[t, (side + 1) % 4]
                (x0, y0), (x1, y1) = square[side], square[(side + 1) % 4]
                if corners[n, here]:
                    x[num], y[num] = x0, y0
                    num += 1
                if corners[n, here] != corners[n, after]:
                    # Cuts are counted from the edge's lower corner.
                    along = cuts[n, edge[t, side]] if here < after else 1.0 - cuts[n, edge[t, side]]
                    x[num], y[num] = x0 + along * (x1 - x0), y0 + along * (y1 - y0)
                    num += 1
            doubled = 0.0
            for k in range(num):
                after = (k + 1) % num
                doubled += x[k] * y[after] - x[after] * y[k]
            share[n, piece_idx[t]] += 0.5 * doubled
