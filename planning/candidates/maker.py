"""Viewpoints worth considering: aimed at points spread over the surface, clear of the part, with free sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.poses import tangents
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.clearance import Clearance

_RINGS = ((0.0, 1), (0.25, 6), (0.5, 8), (0.75, 12), (0.92, 12))
"""Tilts as shares of the largest incidence angle, and how many azimuths each is tried at."""

_LEAST_MOVE = 0.01
"""Of the standoff: a view that lies nearer to another that looks the same way shows the same."""

_THINNING = 8
"""Random points drawn for each point kept."""


class CandidateMaker:
    """Makes candidate viewpoints for one surface and rig; the caster's rays meet the part and what holds it."""

    def __init__(
        self, surface: Surface, rig: Rig, requirements: Requirements, caster: RayCaster, clearance: Clearance
    ) -> None:
        self._surface, self._rig, self._requirements = surface, rig, requirements
        self._caster, self._clearance = caster, clearance
        self._standoffs_mm, self._range = standoffs_mm(rig, requirements), working_range(rig, requirements)

    def views_of(self, element_idx: Ints, *, num_each: int, rng: np.random.Generator, prefix: str) -> list[Viewpoint]:
        """Up to ``num_each`` viewpoints aimed at each of the elements, none where no camera can look at it.

        The first looks as squarely at the element as the part allows; the others are drawn at random, each
        tilt as likely as any other. Ids are ``prefix`` and a number.
        """
        centers, forward, tilt_ring, possible = self._aims(element_idx, rng)
        sizes = np.bincount(tilt_ring)[tilt_ring]
        # Exponential arrival times with these rates choose ways with probabilities in proportion to them.
        arrival = rng.exponential(size=possible.shape) * sizes
        upright = np.argmax(np.where(possible, -tilt_ring - 1.0, -np.inf), axis=1)
        arrival[np.arange(len(element_idx)), upright] = -1.0
        arrival[~possible] = np.inf
        order = np.argsort(arrival, axis=1, kind="stable")[:, :num_each]
        rolled = rng.random(order.shape) < 0.5
        square = self._rig.camera.width_px == self._rig.camera.height_px
        views: list[Viewpoint] = []
        for row, ways in enumerate(order):
            for place, way in enumerate(ways):
                if np.isfinite(arrival[row, way]):
                    center = centers[row, way]
                    views.append(
                        Viewpoint.looking_at(
                            center,
                            center + forward[row, way],
                            id=f"{prefix}{len(views) + 1:05d}",
                            roll_deg=90.0 if rolled[row, place] and not square else 0.0,
                        )
                    )
        return views

    def centred(self, viewpoints: Sequence[Viewpoint], middle_mm: Floats, *, prefix: str) -> list[Viewpoint]:
        """The V viewpoints moved, not turned, until they look at ``middle_mm``.

        Only those that keep clear, and that move by more than ``_LEAST_MOVE`` of the standoff: others would be
        candidates twice. ``middle_mm``, shape (V, 3), is what each shall have on its axis and in focus.
        """
        if not viewpoints:
            return []
        rotations = np.stack([view.world_from_camera[:3, :3] for view in viewpoints])
        forward = rotations[:, :, 2]
        centers = middle_mm - self._standoffs_mm[0] * forward
        world_from_camera = np.tile(np.eye(4), (len(viewpoints), 1, 1))
        world_from_camera[:, :3, :3], world_from_camera[:, :3, 3] = rotations, centers
        moved_mm = np.linalg.norm(centers - [view.center_mm for view in viewpoints], axis=1)
        moved = np.flatnonzero(moved_mm > _LEAST_MOVE * self._standoffs_mm[0])
        clear = moved[self._clearance.clear(centers[moved], forward[moved])]
        return [
            Viewpoint(id=f"{prefix}{number:05d}", world_from_camera=world_from_camera[place])
            for number, place in enumerate(clear, start=1)
        ]

    def _aims(self, element_idx: Ints, rng: np.random.Generator) -> tuple[Floats, Floats, Ints, Bools]:
        """K ways to look at each of N elements: camera centres and axes, rings of tilts, and which ways are possible.

        Shapes (N, K, 3) twice, (K,) and (N, K). Where it is possible, the camera keeps clear and sees the centroid.
        """
        points = self._surface.centroid_mm[element_idx]
        normals = self._surface.normal[element_idx]
        directions, tilt_ring = _cone(normals, self._requirements.max_incidence_deg, rng)
        shape = directions.shape[:2]
        standoff = rng.choice(self._standoffs_mm, size=shape)
        standoff[:, 0] = self._standoffs_mm[0]
        cosine = np.einsum("nki,ni->nk", directions, normals)
        far = self._range.far(cosine)
        standoff = np.minimum(standoff, far)
        centers = points[:, None] + standoff[..., None] * directions
        flat = centers.reshape(-1, 3)
        possible = ~self._caster.blocked(
            np.repeat(points, shape[1], axis=0), flat, normals=np.repeat(normals, shape[1], axis=0)
        )
        possible &= far.ravel() >= self._range.near
        free = np.flatnonzero(possible)
        possible[free] = self._clearance.clear(flat[free], -directions.reshape(-1, 3)[free])
        return centers, -directions, tilt_ring, possible.reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingRange:
    """Distances along the axis from which a surface is in focus and finely enough sampled, in mm."""

    near: float
    """Nearest in focus."""

    best: float
    """The one in focus, or the nearest to it that is fine enough."""

    in_focus: float
    """Farthest in focus."""

    fine: float
    """Farthest from which a surface that faces the camera is fine enough."""

    def far(self, cosine: ArrayLike = 1.0) -> Floats:
        """Farthest distance for a surface with that cosine of the incidence angle, which samples it more coarsely."""
        return np.minimum(self.in_focus, self.fine * np.asarray(cosine, dtype=np.float64))


def working_range(rig: Rig, requirements: Requirements) -> WorkingRange:
    """Where the rig works.

    Raises
    ------
    InputError
        If no distance is both in focus and fine enough.
    """
    camera = rig.camera
    in_focus = camera.depth_of_field_mm(requirements.max_blur_px)
    if in_focus is None:
        raise InputError(
            f"rig {rig.name!r}", "diffraction alone blurs more than is allowed",
            expected=f"an Airy disc of at most requirements.max_blur_px = {requirements.max_blur_px:g} px",
            found=f"{camera.airy_disc_px:.3g} px at f/{camera.f_number:g} on pixels of {camera.pixel_pitch_um:g} um",
            remedy="open the aperture, use larger pixels or binning, or raise requirements.max_blur_px",
        )  # fmt: skip
    near, far = in_focus
    fine = requirements.coarsest_mm_per_px * camera.focal_px
    if near > min(far, fine):
        raise InputError(
            f"rig {rig.name!r}",
            "no distance is both in focus and fine enough",
            expected=f"at most {requirements.coarsest_mm_per_px:g} mm/px within the depth of field",
            found=f"{near / camera.focal_px:.3g} mm/px at its near end",
            remedy="focus nearer, use a longer lens or smaller pixels, or raise requirements.max_mm_per_px"
            " or smallest_defect_mm",
        )
    best = min(max(camera.focus_distance_mm, near), far, fine)
    return WorkingRange(near=near, best=best, in_focus=far, fine=fine)


def standoffs_mm(rig: Rig, requirements: Requirements) -> Floats:
    """Distances at which a camera is aimed, shape (3,): in focus first, then nearer and farther.

    The others lie halfway to the limits that blur and sampling set.
    """
    span = working_range(rig, requirements)
    return np.array([span.best, (span.best + span.near) / 2, (span.best + float(span.far())) / 2])


def spread_elements(surface: Surface, among: Ints, num: int, *, rng: np.random.Generator) -> Ints:
    """At most ``num`` of the elements ``among``, spread evenly over their area.

    Elements are drawn at random by area and thinned to those farthest from each other; elements that face
    different ways count as farther apart, so that both sides of a wall and both faces of an edge get some.
    """
    weight = surface.area_mm2[among]
    if num <= 0 or not weight.sum() > 0:
        return np.empty(0, dtype=np.int64)
    pool = rng.choice(among, size=num * _THINNING, replace=True, p=weight / weight.sum())
    pool = pool[np.sort(np.unique(pool, return_index=True)[1])]
    # The distance that `num` points have from each other on that area.
    spacing = np.sqrt(weight.sum() / num)
    places = np.column_stack([surface.centroid_mm[pool], spacing * surface.normal[pool]])
    kept = np.zeros(min(num, len(pool)), dtype=np.int64)
    nearest = np.full(len(pool), np.inf)
    for step in range(1, len(kept)):
        gap = places - places[kept[step - 1]]
        nearest = np.minimum(nearest, np.einsum("ij,ij->i", gap, gap))
        kept[step] = np.argmax(nearest)
    return pool[kept]


def _cone(normals: Floats, max_deg: float, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Unit directions around each normal, shape (N, K, 3), and the ring of tilts of each, shape (K,).

    Azimuths are even on each ring and start at random.
    """
    first, second = tangents(normals)
    directions, ring_of = [], []
    for ring, (share, num) in enumerate(_RINGS):
        tilt = np.deg2rad(share * max_deg)
        start = rng.uniform(0.0, 2 * np.pi, size=(len(normals), 1))
        azimuth = start + 2 * np.pi * np.arange(num) / num
        aside = np.cos(azimuth)[..., None] * first[:, None] + np.sin(azimuth)[..., None] * second[:, None]
        directions.append(np.cos(tilt) * normals[:, None] + np.sin(tilt) * aside)
        ring_of += [ring] * num
    return np.concatenate(directions, axis=1), np.array(ring_of)
