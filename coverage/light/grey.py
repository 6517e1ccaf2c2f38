"""The grey value that a view gives each element of the surface, and whether an exposure brings it out."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from viewcov.coverage.light.lighting import NUM_EMITTERS
from viewcov.coverage.light.reflectance import (
    MetalPoints,
    albedo,
    even_chance,
    light_samples,
    predicted_grey,
    sampled_reflection,
)
from viewcov.coverage.rays.raycasting import OBSTACLE, RELATIVE_OFFSET, RayCaster
from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.lay import face_lays, lay_directions
from viewcov.inspection.mesh.part import cad_corner_normals, interpolated_normals
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.fixture import obstacles_of
from viewcov.inspection.rig.light import AMBIENT_SHARE, MAX_REFLECTIONS, Light
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
        self.num_elements, self.num_emitters = surface.num_elements, len(rig.ring_light.emitters_mm(NUM_EMITTERS))
        self._num_threads, self._given_caster = num_threads, shadow_caster
        self._offset_mm = RELATIVE_OFFSET * part.largest_extent_mm
        # Every element draws its own paths, or errors would come in patterns.
        self._shift = np.random.default_rng(0).random((surface.num_elements, 2 * MAX_REFLECTIONS), dtype=np.float32)

    @functools.cached_property
    def _caster(self) -> RayCaster:
        """Rays that meet elements and the fixture; made only where rays are needed."""
        surface, obstacles = self._surface, obstacles_of(self._rig.fixture)
        return RayCaster(surface.vertices_mm, surface.faces, obstacles=obstacles, num_threads=self._num_threads)

    def direct(self, viewpoint: Viewpoint, element_idx: Ints, *, visible: Bools | None = None) -> Floats:
        """Grey of the elements (N,), shape (N,), by light straight from the ring and the room.

        In units of full scale at exposure 1, not clipped. Light by way of other surfaces is left out, and so
        is what of the room the part hides. ``visible``, shape (N, M), says which of the ring's emitters each
        element sees, of ``Light.emitters(M)``; shadow rays are traced if it is not given.
        """
        metal = self._metal.rows(element_idx)
        outgoing = metal.local(viewpoint.center_mm - metal.points_mm)
        if visible is None:
            visible = self.visible(viewpoint, element_idx)
        ambient = AMBIENT_SHARE * self._rig.ring_light.radiance
        room = ambient * albedo(outgoing, metal.roughness, metal.material)
        return self._from_ring(viewpoint, element_idx, visible) + room

    def grey(
        self,
        viewpoint: Viewpoint,
        element_idx: Ints,
        *,
        visible: Bools | None = None,
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
        shadows = _Shadows(self, viewpoint)
        straight = self._from_ring(viewpoint, element_idx, shadows.of(element_idx) if visible is None else visible)
        return straight + self._along_paths(shadows, element_idx, num_paths, num_reflections).mean

    def usable(self, viewpoint: Viewpoint, element_idx: Ints, requirements: Requirements, *, visible: Bools) -> Bools:
        """Whether ``well_exposed`` holds for the ``grey`` of elements (N,), shape (N,), by as few paths as tell it."""
        shadows = _Shadows(self, viewpoint)
        straight = self._from_ring(viewpoint, element_idx, visible)
        few = self._along_paths(shadows, element_idx, _FIRST_PATHS, MAX_REFLECTIONS)
        least = straight + np.maximum(few.mean - _ERRORS * few.error, 0.0)
        most = straight + few.mean + _ERRORS * few.error + _UNMET
        low, high = usable_ranges(requirements)
        passed = ((least[:, None] >= low) & (most[:, None] <= high)).any(axis=1)
        failed = ((most[:, None] < low) | (least[:, None] > high)).all(axis=1)
        left = np.flatnonzero(~passed & ~failed)
        passed[left] = well_exposed(self.grey(viewpoint, element_idx[left], visible=visible[left]), requirements)
        return np.asarray(passed)

    def _along_paths(self, shadows: _Shadows, element_idx: Ints, num_paths: int, num_reflections: int) -> _Gathered:
        """Light by way of other surfaces and from the room that elements (N,) reflect."""
        sequence = even_chance(num_paths, 2 * num_reflections)
        block = max(1, _PATHS_AT_ONCE // num_paths)
        mean, error = np.zeros((2, len(element_idx)))
        for start in range(0, len(element_idx), block):
            some = element_idx[start : start + block]
            chance = (sequence + self._shift[some, None, : 2 * num_reflections]) % 1.0
            light = self._gathered(shadows, np.repeat(some, num_paths), chance.reshape(-1, num_reflections, 2))
            light = light.reshape(-1, num_paths)
            mean[start : start + block] = light.mean(axis=1)
            error[start : start + block] = light.std(axis=1) / np.sqrt(max(num_paths - 1, 1))
        return _Gathered(mean, error)

    def highlight(self, viewpoint: Viewpoint, element_idx: Ints, *, visible: Bools | None = None) -> Bools:
        """Whether elements (N,) lie in the ring's highlight, shape (N,); see ``in_highlight``."""
        if visible is None:
            visible = self.visible(viewpoint, element_idx)
        metal = self._metal.rows(element_idx)
        return in_highlight(metal, viewpoint.world_from_camera, self._rig.ring_light, visible)

    def exposed(
        self, viewpoint: Viewpoint, element_idx: Ints, requirements: Requirements, *, visible: Bools, gather: bool
    ) -> Bools:
        """Whether elements (N,) are well exposed and in the view mode's light, shape (N,).

        By all light, or by that straight from ring and room unless it is to ``gather``; ``visible`` is as in
        ``direct``.
        """
        passed = np.ones(len(element_idx), dtype=bool)
        if requirements.limits_grey and gather:
            passed &= self.usable(viewpoint, element_idx, requirements, visible=visible)
        elif requirements.limits_grey:
            passed &= well_exposed(self.direct(viewpoint, element_idx, visible=visible), requirements)
        if requirements.view_mode != "any":
            highlight = self.highlight(viewpoint, element_idx, visible=visible)
            passed &= highlight if requirements.view_mode == "bright-field" else ~highlight
        return passed

    def _gathered(self, shadows: _Shadows, element_idx: Ints, chance: Floats) -> Floats:
        """Light along one path from each element (Q,) by ``chance`` (Q, reflections, 2), shape (Q,)."""
        viewpoint, ambient = shadows.viewpoint, AMBIENT_SHARE * self._rig.ring_light.radiance
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
            light[alive] += weight * self._reflected(viewpoint, metal, -directions[on], shadows.of(element_idx))
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

    def visible(self, viewpoint: Viewpoint, element_idx: Ints) -> Bools:
        """Which of the ring's emitters each element (N,) sees, shape (N, M)."""
        emitters = transform_points(viewpoint.world_from_camera, self._rig.ring_light.emitters_mm(self.num_emitters))
        points, normals = self._surface.centroid_mm[element_idx], self._surface.normal[element_idx]
        visible = np.zeros((len(points), len(emitters)), dtype=bool)
        caster = self._caster if self._given_caster is None else self._given_caster
        for number, emitter in enumerate(emitters):
            facing = np.flatnonzero(np.einsum("ni,ni->n", emitter - points, normals) > 0)
            visible[facing, number] = ~caster.blocked(points[facing], emitter, normals=normals[facing])
        return visible

    def _from_ring(self, viewpoint: Viewpoint, element_idx: Ints, visible: Bools) -> Floats:
        metal = self._metal.rows(element_idx)
        return self._reflected(viewpoint, metal, viewpoint.center_mm - metal.points_mm, visible)

    def _reflected(self, viewpoint: Viewpoint, metal: MetalPoints, to_viewer: Floats, visible: Bools) -> Floats:
        light, distance_mm = self._rig.ring_light, self._rig.camera.focus_distance_mm
        samples = light_samples(
            light,  # type: ignore[arg-type] # Lights are frozen, and so have a hash.
            metal.material,
            num_emitters=visible.shape[1],
            distance_mm=distance_mm,
        )
        return predicted_grey(metal, to_viewer, viewpoint.world_from_camera, light, samples, visible)


class _Gathered(NamedTuple):
    """Light gathered along paths from N elements."""

    mean: Floats
    """Shape (N,)."""

    error: Floats
    """Shape (N,): standard error of the mean, were the paths drawn independently."""


class _Shadows:
    """Which emitters the elements see in one view, traced once for each element that is asked for."""

    def __init__(self, predictor: GreyPredictor, viewpoint: Viewpoint) -> None:
        self.viewpoint = viewpoint
        self._predictor = predictor
        self._row = np.full(predictor.num_elements, -1, dtype=np.int64)
        self._visible = np.zeros((0, predictor.num_emitters), dtype=bool)

    def of(self, element_idx: Ints) -> Bools:
        """Shape (N, M), for elements (N,), which may repeat."""
        new = np.unique(element_idx[self._row[element_idx] < 0])
        self._row[new] = len(self._visible) + np.arange(len(new))
        self._visible = np.concatenate([self._visible, self._predictor.visible(self.viewpoint, new)])
        return self._visible[self._row[element_idx]]


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
    levels = grey[:, None] * 2.0 ** np.array(requirements.exposures)
    highest = np.inf if requirements.max_grey is None else requirements.max_grey
    dark, saturated = levels < requirements.min_grey, levels > highest
    return np.asarray((~(dark | saturated)).any(axis=1))


def in_highlight(metal: MetalPoints, world_from_camera: Floats, light: Light, visible: Bools) -> Bools:
    """Whether the camera looks into the specular lobe of an unshadowed emitter, shape (N,).

    Where the half-vector of camera and emitter leans from the normal by no more than the lobe's half-width
    plus the emitter's. The lobe's is the lean of microfacets of half the peak's density, atan(0.644 alpha),
    with the alpha of the direction in which it leans; the emitter's is half the angle that its radius spans,
    because a half-vector turns by half as much as the light.

    ``world_from_camera`` has shape (4, 4); ``visible``, shape (N, M), says which of ``light.emitters(M)`` no shadow
    covers.
    """
    emitters = light.emitters(visible.shape[1])
    expected = (len(metal.points_mm), len(emitters.points_mm))
    if visible.shape != expected:
        raise ValueError(f"visible must have shape {expected}, got {visible.shape}")
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
        lit = visible[:, number] & (arm @ forward[number] < 0) & (to_light[:, 2] > 0) & (to_camera[:, 2] > 0)
        found |= lit & (np.arctan2(sideways, z) <= width)
    return found
