"""The grey value that a view gives each element of the surface, and whether an exposure brings it out."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from viewcov.coverage.light.reflectance import (
    MetalPoints,
    albedo,
    even_chance,
    light_samples,
    predicted_grey,
    sampled_reflection,
)
from viewcov.coverage.light.shadows import NUM_EMITTERS, Shadows, Sight
from viewcov.coverage.rays.raycasting import OBSTACLE, RELATIVE_OFFSET, RayCaster
from viewcov.inspection.arrays import Bools, Floats, Floats32, Ints
from viewcov.inspection.lay import face_lays, lay_directions
from viewcov.inspection.mesh.part import cad_corner_normals, interpolated_normals
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.fixture import obstacles_of
from viewcov.inspection.rig.light import AMBIENT_SHARE, MAX_REFLECTIONS, Emitters
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint

HALF_HEIGHT_SLOPE = float(np.sqrt(np.sqrt(2.0) - 1.0))
"""Slope, in units of alpha, of the microfacets of which GGX has half as many as of level ones."""

_NOTHING, _BACK = -1, -2
_PATHS_AT_ONCE = 1 << 18

_NUM_PATHS = 64
"""Paths along which an element's grey is gathered."""

_FIRST_PATHS, _ERRORS, _UNMET = 12, 4.0, 0.02
"""Paths after which most elements are seen to be well exposed or not, the standard errors that are allowed for, and
grey that paths may have missed. Of 217,000 elements in views of the plate, the clutch and the hub 99.5 % are judged by
so few at the paper's limits, and none otherwise than by all paths; at limits in the midst of the hub's grey, at worst
0.03 % are."""


class GreyPredictor:
    """Predicts grey values of a surface without rendering; build one and use it for many viewpoints.

    Elements are taken at their centroids with the normals of the smooth CAD faces and the lay of their faces.

    Parameters
    ----------
    rig
        Camera, ring light, material and fixture, which throws shadows and reflects nothing.
    num_threads
        Threads for the rays; 0 for one per core.
    shadow_caster
        Rays against the part and the fixture, where the caller has them already.
    """

    def __init__(
        self, surface: Surface, rig: Rig, *, num_threads: int = 0, shadow_caster: RayCaster | None = None
    ) -> None:
        part = surface.part
        normals = interpolated_normals(part, cad_corner_normals(part), surface.source_face_idx, surface.centroid_mm)
        tangents = lay_directions(face_lays(part), surface.cad_face_idx, surface.centroid_mm, normals)
        self._surface, self._rig = surface, rig
        self._metal = MetalPoints.on(surface.centroid_mm, normals, tangents, rig.material)
        self.num_elements = surface.num_elements
        self._num_threads, self._given_caster = num_threads, shadow_caster
        self._offset_mm = RELATIVE_OFFSET * part.largest_extent_mm
        # Every element draws its own paths, or errors would come in patterns.
        self._shift = np.random.default_rng(0).random((surface.num_elements, 2 * MAX_REFLECTIONS), dtype=np.float32)

    @functools.cached_property
    def _caster(self) -> RayCaster:
        """Rays that meet elements and the fixture; made only where rays are needed."""
        surface, obstacles = self._surface, obstacles_of(self._rig.fixture)
        return RayCaster(surface.vertices_mm, surface.faces, obstacles=obstacles, num_threads=self._num_threads)

    def direct(self, viewpoint: Viewpoint, element_idx: Ints, *, sight: Sight | None = None) -> Floats:
        """Grey of the elements (N,), shape (N,), by light straight from the ring and the room.

        In units of full scale at exposure 1, not clipped. Light by way of other surfaces is left out, and so
        is what of the room the part hides. ``sight`` is how much of the ring each element sees; shadow rays are
        traced if it is not given.
        """
        metal = self._metal.rows(element_idx)
        outgoing = metal.local(viewpoint.center_mm - metal.points_mm)
        sight = self.sight(viewpoint, element_idx) if sight is None else sight
        ambient = AMBIENT_SHARE * self._rig.ring_light.radiance
        room = ambient * albedo(outgoing, metal.roughness, metal.material)
        return self._from_ring(viewpoint, element_idx, sight) + room

    def grey(
        self,
        viewpoint: Viewpoint,
        element_idx: Ints,
        *,
        sight: Sight | None = None,
        num_paths: int = _NUM_PATHS,
        num_reflections: int = MAX_REFLECTIONS,
    ) -> Floats:
        """Grey of the elements (N,), shape (N,), with the light that comes by way of other surfaces.

        What ``direct`` says of the ring, and what an element reflects of the room and of the part, gathered
        along ``num_paths`` paths of up to ``num_reflections`` reflections. They are drawn from the metal's
        lobe, the same in every run. A path costs about as much as a shadow ray or two.
        """
        if not 1 <= num_reflections <= MAX_REFLECTIONS:
            raise ValueError(f"num_reflections must be from 1 to {MAX_REFLECTIONS}, got {num_reflections}")
        seen = _Seen(self, viewpoint)
        straight = self._from_ring(viewpoint, element_idx, seen.of(element_idx) if sight is None else sight)
        return straight + self._along_paths(seen, element_idx, num_paths, num_reflections).mean

    def usable(self, viewpoint: Viewpoint, element_idx: Ints, requirements: Requirements, *, sight: Sight) -> Bools:
        """Whether ``well_exposed`` holds for the ``grey`` of elements (N,), shape (N,), by as few paths as tell it."""
        seen = _Seen(self, viewpoint)
        straight = self._from_ring(viewpoint, element_idx, sight)
        few = self._along_paths(seen, element_idx, _FIRST_PATHS, MAX_REFLECTIONS)
        least = straight + np.maximum(few.mean - _ERRORS * few.error, 0.0)
        most = straight + few.mean + _ERRORS * few.error + _UNMET
        low, high = usable_ranges(requirements)
        passed = _within(least, most, requirements)
        failed = ((most[:, None] < low) | (least[:, None] > high)).all(axis=1)
        left = np.flatnonzero(~passed & ~failed)
        passed[left] = well_exposed(self.grey(viewpoint, element_idx[left], sight=sight.of(left)), requirements)
        return passed

    def _along_paths(self, seen: _Seen, element_idx: Ints, num_paths: int, num_reflections: int) -> _Gathered:
        """Light by way of other surfaces and from the room that elements (N,) reflect."""
        sequence = even_chance(num_paths, 2 * num_reflections)
        block = max(1, _PATHS_AT_ONCE // num_paths)
        mean, error = np.zeros((2, len(element_idx)))
        for start in range(0, len(element_idx), block):
            some = element_idx[start : start + block]
            chance = (sequence + self._shift[some, None, : 2 * num_reflections]) % 1.0
            light = self._gathered(seen, np.repeat(some, num_paths), chance.reshape(-1, num_reflections, 2))
            light = light.reshape(-1, num_paths)
            mean[start : start + block] = light.mean(axis=1)
            error[start : start + block] = light.std(axis=1) / np.sqrt(max(num_paths - 1, 1))
        return _Gathered(mean, error)

    def highlight(self, viewpoint: Viewpoint, element_idx: Ints, *, sight: Sight | None = None) -> Bools:
        """Whether elements (N,) lie in the ring's highlight, shape (N,); see ``in_highlight``."""
        sight = self.sight(viewpoint, element_idx) if sight is None else sight
        metal = self._metal.rows(element_idx)
        return in_highlight(metal, viewpoint.world_from_camera, self._rig.ring_light.pieces(), sight.shares())

    def exposed(
        self, viewpoint: Viewpoint, element_idx: Ints, requirements: Requirements, *, sight: Sight, gather: bool
    ) -> Bools:
        """Whether elements (N,) are well exposed and in the view mode's light, shape (N,).

        By all light, or by that straight from ring and room unless it is to ``gather``; ``sight`` is as in
        ``direct``.
        """
        passed = np.ones(len(element_idx), dtype=bool)
        if requirements.limits_grey and gather:
            passed &= self.usable(viewpoint, element_idx, requirements, sight=sight)
        elif requirements.limits_grey:
            passed &= well_exposed(self.direct(viewpoint, element_idx, sight=sight), requirements)
        if requirements.view_mode != "any":
            highlight = self.highlight(viewpoint, element_idx, sight=sight)
            passed &= highlight if requirements.view_mode == "bright-field" else ~highlight
        return passed

    def _gathered(self, seen: _Seen, element_idx: Ints, chance: Floats) -> Floats:
        """Light along one path from each element (Q,) by ``chance`` (Q, reflections, 2), shape (Q,)."""
        viewpoint, ambient = seen.viewpoint, AMBIENT_SHARE * self._rig.ring_light.radiance
        light, alive = np.zeros(len(element_idx)), np.arange(len(element_idx))
        metal, weight = self._metal.rows(element_idx), np.ones(len(element_idx))
        outgoing = metal.local(viewpoint.center_mm - metal.points_mm)
        for step in range(chance.shape[1]):
            incoming, share = sampled_reflection(outgoing, metal.roughness, metal.material, chance[alive, step])
            directions = np.einsum("ni,nij->nj", incoming, metal.frames)
            weight = weight * share
            hit_idx, distance = self._first_hits(element_idx, metal.points_mm, directions, weight)
            light[alive[hit_idx == _NOTHING]] += ambient * weight[hit_idx == _NOTHING]
            on = np.flatnonzero(hit_idx >= 0)
            if step + 1 == chance.shape[1] or not on.size:
                break
            places = metal.points_mm[on] + distance[on, None] * directions[on]
            element_idx, alive, weight = hit_idx[on], alive[on], weight[on]
            metal = self._metal.rows(element_idx).at(places)
            outgoing = metal.local(-directions[on])
            light[alive] += weight * self._reflected(viewpoint, metal, -directions[on], seen.of(element_idx))
        return light

    def _first_hits(
        self, element_idx: Ints, points_mm: Floats, directions: Floats, weight: Floats
    ) -> tuple[Ints, Floats]:
        """Element that each ray meets, or a negative number, shape (N,), and how far off, mm."""
        normals = self._surface.normal
        # Smooth normals let a reflection leave through the triangle itself; no light comes from there.
        out = np.flatnonzero((weight > 0) & (np.einsum("ni,ni->n", directions, normals[element_idx]) > 0))
        found = np.full(len(points_mm), _BACK, dtype=np.int64)
        distance = np.zeros(len(points_mm))
        hits = self._caster.first_hits(points_mm[out] + self._offset_mm * normals[element_idx[out]], directions[out])
        front = np.einsum("ni,ni->n", directions[out], normals[hits.face_idx]) < 0
        found[out] = np.where(hits.face_idx == OBSTACLE, _BACK, np.where(front, hits.face_idx, _BACK))
        found[out[hits.face_idx == -1]] = _NOTHING
        distance[out] = hits.distance_mm
        return found, distance

    def sight(self, viewpoint: Viewpoint, element_idx: Ints) -> Sight:
        """How much of the ring each element (N,) sees."""
        points, normals = self._surface.centroid_mm[element_idx], self._surface.normal[element_idx]
        caster = self._caster if self._given_caster is None else self._given_caster
        return Shadows(caster, self._rig.ring_light, viewpoint.world_from_camera, points, normals).sight()

    def _from_ring(self, viewpoint: Viewpoint, element_idx: Ints, sight: Sight) -> Floats:
        metal = self._metal.rows(element_idx)
        return self._reflected(viewpoint, metal, viewpoint.center_mm - metal.points_mm, sight)

    def _reflected(self, viewpoint: Viewpoint, metal: MetalPoints, to_viewer: Floats, sight: Sight) -> Floats:
        light, distance_mm = self._rig.ring_light, self._rig.camera.focus_distance_mm
        few, pieces = (
            light_samples(light, metal.material, num_emitters=num, distance_mm=distance_mm)
            for num in (NUM_EMITTERS, None)
        )
        every = np.ones((len(sight.whole), few.num_emitters), dtype=np.float32)
        grey, pose = np.empty(len(to_viewer)), viewpoint.world_from_camera
        for rows, samples, share in (
            (sight.whole, few, every),
            (sight.part, pieces, sight.share[sight.row[sight.part]]),
        ):
            grey[rows] = predicted_grey(metal.rows(rows), to_viewer[rows], pose, light, samples, share)
        return grey


class _Gathered(NamedTuple):
    """Light gathered along paths from N elements."""

    mean: Floats
    """Shape (N,)."""

    error: Floats
    """Shape (N,): standard error of the mean, were the paths drawn independently."""


class _Seen:
    """How much of the light the elements see in one view, traced once for each element that is asked for."""

    def __init__(self, predictor: GreyPredictor, viewpoint: Viewpoint) -> None:
        self.viewpoint = viewpoint
        self._predictor = predictor
        self._row = np.full(predictor.num_elements, -1, dtype=np.int64)
        self._sight = predictor.sight(viewpoint, np.zeros(0, dtype=np.int64))

    def of(self, element_idx: Ints) -> Sight:
        """That of elements (N,), which may repeat."""
        new = np.unique(element_idx[self._row[element_idx] < 0])
        self._row[new] = len(self._sight.row) + np.arange(len(new))
        self._sight = self._sight.with_more(self._predictor.sight(self.viewpoint, new))
        return self._sight.of(self._row[element_idx])


def usable_ranges(requirements: Requirements) -> Floats:
    """Least and largest grey that some exposure makes usable, shape (2, R), for R ranges that do not meet."""
    scale = 2.0 ** -np.sort(np.unique(requirements.exposures))[::-1]
    highest = np.inf if requirements.max_grey is None else requirements.max_grey
    ranges = [[requirements.min_grey * scale[0], highest * scale[0]]]
    for low, high in zip(requirements.min_grey * scale[1:], highest * scale[1:], strict=True):
        if low <= ranges[-1][1]:
            ranges[-1][1] = high
        else:
            ranges.append([low, high])
    return np.array(ranges).T


def well_exposed(grey: Floats, requirements: Requirements) -> Bools:
    """Whether at least one exposure makes elements with grey values (N,) usable, shape (N,).

    Grey is in units of full scale at exposure 0, not clipped; exposure a multiplies it by 2^a.
    """
    return _within(grey, grey, requirements)


def _within(least: Floats, most: Floats, requirements: Requirements) -> Bools:
    """Whether one of the usable ranges holds all from the least to the largest grey, shape (N,)."""
    low, high = usable_ranges(requirements)
    return np.asarray(((least[:, None] >= low) & (most[:, None] <= high)).any(axis=1))


def in_highlight(metal: MetalPoints, world_from_camera: Floats, emitters: Emitters, share: Floats32) -> Bools:
    """Whether the camera looks into the specular lobe of an emitter that is not all in shadow, shape (N,).

    Where the half-vector of camera and emitter leans from the normal by no more than the lobe's half-width
    plus the emitter's. The lobe's is the lean of microfacets of half the peak's density, atan(0.644 alpha),
    with the alpha of the direction in which it leans; the emitter's is half the angle that its radius spans,
    because a half-vector turns by half as much as the light.

    ``world_from_camera`` has shape (4, 4); ``share``, shape (N, M), says how much of each emitter no shadow covers.
    """
    expected = (len(metal.points_mm), len(emitters.points_mm))
    if share.shape != expected:
        raise ValueError(f"share must have shape {expected}, got {share.shape}")
    center, rotation = world_from_camera[:3, 3], world_from_camera[:3, :3]
    to_camera = metal.local(center - metal.points_mm)
    found = np.zeros(len(metal.points_mm), dtype=bool)
    forward = emitters.normals @ rotation.T
    for number, place in enumerate(emitters.points_mm @ rotation.T + center):
        arm = place - metal.points_mm
        distance = np.linalg.norm(arm, axis=1)
        to_light = metal.local(arm)
        x, y, z = (to_camera + to_light).T
        sideways = np.hypot(x, y)
        # An ellipse's radius in the direction (x, y); alpha itself where the half-vector does not lean.
        stretched = np.hypot(x / metal.roughness[:, 0], y / metal.roughness[:, 1])
        alpha = np.divide(sideways, stretched, out=metal.roughness[:, 0].copy(), where=stretched > 0)
        width = np.arctan(HALF_HEIGHT_SLOPE * alpha) + 0.5 * np.arctan(emitters.radius_mm[number] / distance)
        lit = (share[:, number] > 0) & (arm @ forward[number] < 0) & (to_light[:, 2] > 0) & (to_camera[:, 2] > 0)
        found |= lit & (np.arctan2(sideways, z) <= width)
    return found
