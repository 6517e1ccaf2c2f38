"""Steps that may better a view: where it could go, and what would then lie in its frame and limits."""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.spatial.transform import Rotation

from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.planning.candidates.maker import working_range

_RANDOM, _CENTRED, _AIMED = 16, 8, 8
"""Steps proposed at a time: at random around the pose; to the middle of what is wanted; towards it, and tilted."""

_STEP = 0.25
"""Spread of a random step at scale 1: of half the field, half the working range, ``_TILT_RAD`` and ``_ROLL_RAD``."""

_TILT_RAD, _ROLL_RAD = 0.35, 1.0
_AIMED_TILT_RAD, _AIMED_ROLL_RAD = 0.2, 0.8

_REACH = 1.5
"""How far beyond the frame a wanted element may lie, as a share of half the field; and of the working range."""

_LEAST_FACING = 0.2
"""Least cosine between a wanted element's normal and the direction back along the axis."""


class Proposer:
    """Proposes poses near a given one and screens them without rays."""

    def __init__(self, surface: Surface, rig: Rig, requirements: Requirements) -> None:
        self._surface, self._camera, self._requirements = surface, rig.camera, requirements
        self._range = working_range(rig, requirements)
        # A depth of field may have no far end: no part is looked at from more than twice the focus distance.
        far = min(float(self._range.far()), 2.0 * rig.camera.focus_distance_mm)
        self._depth_mm = far - self._range.near
        size = np.array([rig.camera.width_px, rig.camera.height_px])
        self._half_mm: Floats = size * self._range.best / (2.0 * rig.camera.focal_px)

    def in_reach(self, pose: Floats, element_idx: Ints) -> Ints:
        """Those of the elements that lie in or around the working volume of a pose and face it."""
        reach_mm = (1.0 + _REACH) * np.array([*self._half_mm, self._depth_mm])
        middle_mm = pose[:3, 3] + self._range.best * pose[:3, 2]
        surface = self._surface
        return element_idx[
            _in_box(surface.centroid_mm, surface.normal, element_idx, middle_mm, pose[:3, :3].copy(), reach_mm)
        ]

    def steps(
        self, pose: Floats, element_idx: Ints, worth: Floats, *, scale: float, rng: np.random.Generator
    ) -> Floats:
        """``world_from_camera`` of views one step away from a pose, shape (K, 4, 4).

        The view should see M elements, each of some worth; ``scale`` is the size of the random steps, up to 1.
        """
        middles = self._middles(pose, element_idx, worth, rng) - (0.0, 0.0, self._range.best)
        num = _RANDOM + len(middles)
        shift, turn = np.zeros((num, 3)), np.zeros((num, 3))
        step = scale * _STEP * rng.normal(size=(_RANDOM, 6))
        shift[:_RANDOM] = step[:, :3] * (*self._half_mm, self._depth_mm / 2.0)
        turn[:_RANDOM] = step[:, 3:] * (_TILT_RAD, _TILT_RAD, _ROLL_RAD)
        shift[_RANDOM:] = middles
        shift[-_AIMED:] *= rng.uniform(0.3, 1.0, size=(_AIMED, 1))
        turn[-_AIMED:] = rng.normal(size=(_AIMED, 3)) * (_AIMED_TILT_RAD, _AIMED_TILT_RAD, _AIMED_ROLL_RAD) * scale
        return self._moved(pose, shift, turn)

    def within_limits(self, poses: Floats, element_idx: Ints) -> Bools:
        """Which elements lie in each view's frame and keep the limits of incidence, focus and sampling, (K, M).

        Sampling is judged by distance and incidence, as candidates are made.
        """
        points, normals = self._surface.centroid_mm[element_idx], self._surface.normal[element_idx]
        centers, camera_from_world = poses[:, :3, 3], np.swapaxes(poses[:, :3, :3], 1, 2)
        # Small products one by one: einsum takes five times as long.
        place = camera_from_world @ points.T - (camera_from_world @ centers[..., None])
        along = centers @ normals.T - np.einsum("mi,mi->m", points, normals)
        cosine = along / np.sqrt(np.einsum("kim,kim->km", place, place))
        near_enough = place[:, 2] <= self._range.far(np.maximum(cosine, 0.0))
        in_frame = self._camera.in_frame(
            self._camera.project(np.moveaxis(place, 1, 2)), border_px=self._requirements.border_px
        )
        squarely = cosine >= np.cos(np.deg2rad(self._requirements.max_incidence_deg))
        return np.asarray(in_frame & squarely & near_enough & (place[:, 2] >= self._range.near))

    def _middles(self, pose: Floats, element_idx: Ints, worth: Floats, rng: np.random.Generator) -> Floats:
        """Middles of what is wanted in frames around random wanted elements or less far off, camera frame, (K, 3)."""
        place = np.einsum("mi,ij->mj", self._surface.centroid_mm[element_idx] - pose[:3, 3], pose[:3, :3])
        share = worth / worth.sum()
        drawn = place[rng.choice(len(place), size=_CENTRED + _AIMED, p=share), :2]
        drawn = drawn * rng.uniform(0.0, 1.0, size=drawn.shape)
        inside = (np.abs(place[:, :2] - drawn[:, None]) <= self._half_mm).all(axis=2) * share
        total = inside.sum(axis=1)
        filled = total > 0
        middles = np.column_stack([drawn, np.full(len(drawn), self._range.best)])
        middles[filled] = np.einsum("km,mi->ki", inside[filled], place) / total[filled, None]
        return middles

    def _moved(self, pose: Floats, shift: Floats, turn: Floats) -> Floats:
        """The pose rolled, tilted about its point in focus and shifted, all in its own frame, shape (K, 4, 4)."""
        tilt = Rotation.from_rotvec(turn * (1.0, 1.0, 0.0))
        rotation = (tilt * Rotation.from_rotvec(turn * (0.0, 0.0, 1.0))).as_matrix()
        pivot = np.array([0.0, 0.0, self._range.best])
        moved = np.tile(np.eye(4), (len(shift), 1, 1))
        moved[:, :3, :3] = np.einsum("ij,kjl->kil", pose[:3, :3], rotation)
        local = pivot + shift - np.einsum("kij,j->ki", rotation, pivot)
        moved[:, :3, 3] = pose[:3, 3] + np.einsum("ij,kj->ki", pose[:3, :3], local)
        return moved


@njit(cache=True, nogil=True)
def _in_box(points, normals, element_idx, middle, axes, reach):  # type: ignore[no-untyped-def]
    """Which elements lie in a box around ``middle`` along the columns of ``axes`` and face back along the last."""
    inside = np.empty(len(element_idx), dtype=np.bool_)
    for place in range(len(element_idx)):
        element = element_idx[place]
        facing = 0.0
        for row in range(3):
            facing -= normals[element, row] * axes[row, 2]
        inside[place] = facing >= _LEAST_FACING
        for column in range(3):
            if not inside[place]:
                break
            offset = 0.0
            for row in range(3):
                offset += (points[element, row] - middle[row]) * axes[row, column]
            inside[place] = abs(offset) <= reach[column]
    return inside
