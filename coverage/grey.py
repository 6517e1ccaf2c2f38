"""The grey value that a view gives each element of the surface."""

from __future__ import annotations

import numpy as np

from viewcov.coverage.raycasting import RELATIVE_OFFSET, RayCaster
from viewcov.coverage.reflectance import (
    MetalPoints,
    albedo,
    even_chance,
    light_samples,
    predicted_grey,
    sampled_reflection,
)
from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.lay import face_lays, lay_directions
from viewcov.inspection.normals import shading_normals
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig import Rig
from viewcov.inspection.ringlight import AMBIENT_SHARE
from viewcov.inspection.surface import Surface
from viewcov.inspection.viewpoint import Viewpoint

_NOTHING, _BACK = -1, -2
_MAX_REFLECTIONS = 8


class GreyPredictor:
    """Predicts grey values of a surface without rendering; build one and use it for many viewpoints.

    Elements are taken at their centroids with the normals of the smooth CAD faces and the lay of their faces.

    Parameters
    ----------
    surface
        The part.
    rig
        Camera, ring light and material.
    num_emitters
        Shadow rays to a diffuse ring, where the caller brings none; an LED ring has its own number.
    num_threads
        Threads for the rays; 0 for one per core.
    """

    def __init__(self, surface: Surface, rig: Rig, *, num_emitters: int = 12, num_threads: int = 0) -> None:
        part = surface.part
        normals = shading_normals(part, surface.source_face_idx, surface.centroid_mm)
        tangents = lay_directions(face_lays(part), surface.cad_face_idx, surface.centroid_mm, normals)
        self._surface, self._rig = surface, rig
        self._metal = MetalPoints.on(surface.centroid_mm, normals, tangents, rig.material)
        self._caster = RayCaster(surface.vertices_mm, surface.faces, num_threads=num_threads)
        self._num_emitters = len(rig.ring_light.emitters_mm(num_emitters))
        self._shift = np.random.default_rng(0).random((surface.num_elements, 2 * _MAX_REFLECTIONS))
        self._offset_mm = RELATIVE_OFFSET * part.largest_extent_mm

    def direct(self, viewpoint: Viewpoint, element_idx: Ints, *, visible: Bools | None = None) -> Floats:
        """Grey of the elements (N,), shape (N,), by light straight from the ring and the room.

        In units of full scale at exposure 1, not clipped. Light by way of other surfaces is left out, and so
        is what of the room the part hides.

        Parameters
        ----------
        viewpoint
            The camera and its ring.
        element_idx
            Shape (N,).
        visible
            Shape (N, M): which of the ring's emitters each element sees, of ``RingLight.emitters_mm(M)``;
            shadow rays are traced if it is not given.
        """
        metal = self._metal.rows(element_idx)
        outgoing = _local(metal, viewpoint.center_mm - metal.points_mm)
        if visible is None:
            visible = self.visible(viewpoint, element_idx)
        ambient = AMBIENT_SHARE * self._rig.ring_light.radiance
        room = ambient * albedo(outgoing, metal.roughness, metal.material)
        return self._from_ring(viewpoint, metal, viewpoint.center_mm, visible) + room

    def grey(
        self,
        viewpoint: Viewpoint,
        element_idx: Ints,
        *,
        visible: Bools | None = None,
        num_paths: int = 16,
        num_reflections: int = 3,
    ) -> Floats:
        """Grey of the elements (N,), shape (N,), with the light that comes by way of other surfaces.

        Each element gathers along ``num_paths`` paths of up to ``num_reflections`` reflections, drawn from
        the metal's lobe, the same in every run. It costs about as many rays per element. See ``direct``.
        """
        metal = self._metal.rows(element_idx)
        if visible is None:
            visible = self.visible(viewpoint, element_idx)
        grey = self._from_ring(viewpoint, metal, viewpoint.center_mm, visible)
        owner = np.repeat(np.arange(len(element_idx)), num_paths)
        chance = even_chance(num_paths, 2 * num_reflections)[None] + self._shift[element_idx, None, : 2 * num_reflections]
        gathered = self._gathered(viewpoint, element_idx[owner], chance.reshape(len(owner), -1, 2) % 1.0)
        return grey + np.bincount(owner, weights=gathered, minlength=len(grey)) / num_paths

    def _gathered(self, viewpoint: Viewpoint, element_idx: Ints, chance: Floats) -> Floats:
        """Light along one path from each element (Q,) by ``chance`` (Q, reflections, 2), shape (Q,)."""
        ambient = AMBIENT_SHARE * self._rig.ring_light.radiance
        light, alive = np.zeros(len(element_idx)), np.arange(len(element_idx))
        metal, weight = self._metal.rows(element_idx), np.ones(len(element_idx))
        outgoing = _local(metal, viewpoint.center_mm - metal.points_mm)
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
            outgoing = _local(metal, -directions[on])
            visible = self._visible_at(viewpoint, element_idx)
            light[alive] += weight * self._from_ring(viewpoint, metal, places - directions[on], visible)
        return light

    def _first_hits(self, element_idx: Ints, points_mm: Floats, directions: Floats, weight: Floats) -> tuple[Ints, Floats]:
        """Element that each ray meets, or a negative number, shape (N,), and how far off, mm."""
        normals = self._surface.normal
        # Smooth normals let a reflection leave through the triangle itself; no light comes from there.
        out = np.flatnonzero((weight > 0) & (np.einsum("ni,ni->n", directions, normals[element_idx]) > 0))
        found = np.full(len(points_mm), _BACK, dtype=np.int64)
        distance = np.zeros(len(points_mm))
        hits = self._caster.first_hits(points_mm[out] + self._offset_mm * normals[element_idx[out]], directions[out])
        front = np.einsum("ni,ni->n", directions[out], normals[hits.face_idx]) < 0
        found[out] = np.where(hits.face_idx < 0, _NOTHING, np.where(front, hits.face_idx, _BACK))
        distance[out] = hits.distance_mm
        return found, distance

    def _visible_at(self, viewpoint: Viewpoint, element_idx: Ints) -> Bools:
        """``visible`` of elements that occur many times."""
        unique, back = np.unique(element_idx, return_inverse=True)
        return self.visible(viewpoint, unique)[back]

    def visible(self, viewpoint: Viewpoint, element_idx: Ints) -> Bools:
        """Which of the ring's emitters each element (N,) sees, shape (N, M)."""
        emitters = transform_points(viewpoint.world_from_camera, self._rig.ring_light.emitters_mm(self._num_emitters))
        points, normals = self._surface.centroid_mm[element_idx], self._surface.normal[element_idx]
        visible = np.zeros((len(points), len(emitters)), dtype=bool)
        for number, emitter in enumerate(emitters):
            facing = np.flatnonzero(np.einsum("ni,ni->n", emitter - points, normals) > 0)
            visible[facing, number] = ~self._caster.blocked(points[facing], emitter, normals=normals[facing])
        return visible

    def _from_ring(self, viewpoint: Viewpoint, metal: MetalPoints, towards: Floats, visible: Bools) -> Floats:
        ring, camera = self._rig.ring_light, self._rig.camera
        samples = light_samples(
            ring, metal.material, num_emitters=visible.shape[1], distance_mm=camera.focus_distance_mm
        )
        return predicted_grey(metal, towards, viewpoint.world_from_camera, ring, samples, visible)


def _local(metal: MetalPoints, directions: Floats) -> Floats:
    """Directions (N, 3) of any length as unit vectors in the frames of the metal."""
    local = np.einsum("nij,nj->ni", metal.frames, directions)
    return local / np.linalg.norm(local, axis=1, keepdims=True)
