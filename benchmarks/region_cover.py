"""Region-wise cover, the way of the nearest public planner, written from its description.

cacton77/ViewpointGeneration (research/planning.md, section 1.1) grows regions of like normals, samples each, covers
each region by greedy choice among views along the normals of samples, searches at random for what those miss, and
drops redundant views. It knows a circular field of view and a depth of field, the incidence of the normal on the axis,
and the part in the line of sight; neither light nor sampling, nor the room that the camera takes, and a view of one
region counts for no other. Written anew here; unlike there, no small region is dropped as noise, and the thresholds of
growth are those that covered most of the clutch half (normals 30 to 50 degrees, curvature 15 to 180).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack
from scipy.spatial import cKDTree

from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.arrays import Bools, Floats, Ints
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.maker import spread_elements, working_range
from viewcov.planning.selection.problem import CoverProblem, greedy_cover

_NORMAL_DEG = 40.0
"""A neighbour joins the region if its normal differs by less."""

_CURVATURE_DEG = 40.0
"""Elements whose neighbours' normals differ by more on average are joined, but not grown from."""

_SAMPLES_PER_RADIUS = 6.0
"""Spacing of the samples to be covered, by the radius of the field of view."""

_RESCUE_TRIES = 128
"""Random directions for a sample that nothing covers, over the whole sphere, folded to the outer side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundField:
    """What that planner knows of camera and lens: numbers put in by hand, here taken from the rig."""

    radius_mm: float
    """Of the circle within the image in focus."""

    depth_mm: float
    """Depth of field, half of it on either side of the plane in focus."""

    distance_mm: float
    """From the camera to that plane."""

    max_incidence_deg: float

    @classmethod
    def of(cls, rig: Rig) -> RoundField:
        """The largest circle in the image and the depth that lies evenly about the distance."""
        limits, camera = rig.requirements, rig.camera
        span = working_range(rig, limits)
        side_px = min(camera.width_px, camera.height_px) / 2 - limits.border_px
        return cls(
            radius_mm=side_px * camera.mm_per_px_at_focus * span.best / camera.focus_distance_mm,
            depth_mm=2 * min(span.best - span.near, span.in_focus - span.best),
            distance_mm=span.best,
            max_incidence_deg=limits.max_incidence_deg,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Looks:
    """A views: what each looks at, and the unit vector from there to the camera."""

    target_mm: Floats
    """Shape (A, 3)."""

    axis: Floats
    """Shape (A, 3)."""


def _joined(looks: Sequence[_Looks]) -> _Looks:
    return _Looks(
        target_mm=np.concatenate([some.target_mm for some in looks]), axis=np.concatenate([some.axis for some in looks])
    )


def region_cover(surface: Surface, rig: Rig, *, rng: np.random.Generator, prefix: str = "region-") -> list[Viewpoint]:
    """Viewpoints that cover the samples of every region, as far as such views can."""
    field = RoundField.of(rig)
    caster = RayCaster.of_part(surface.part, rig.fixture)
    region = np.where(surface.inspected, grow_regions(surface), -1)
    chosen: list[_Looks] = []
    for number in np.unique(region[region >= 0]):
        members = np.flatnonzero(region == number)
        samples = _samples(surface, members, field.radius_mm / _SAMPLES_PER_RADIUS, rng)
        anchors = _samples(surface, members, field.radius_mm, rng)
        chosen.append(_covering(surface, caster, field, samples, anchors, rng))
    looks = _joined(chosen)
    centers = looks.target_mm + field.distance_mm * looks.axis
    return [
        Viewpoint.looking_at(center, target, id=f"{prefix}{number:05d}")
        for number, (center, target) in enumerate(zip(centers, looks.target_mm, strict=True), start=1)
    ]


def grow_regions(surface: Surface) -> Ints:
    """The region of each element, shape (E,), grown from the flattest element that has none yet."""
    pairs = surface.neighbours()
    normals = surface.normal
    angle = np.degrees(np.arccos(np.clip(np.einsum("ij,ij->i", normals[pairs[:, 0]], normals[pairs[:, 1]]), -1, 1)))
    ends, others = np.concatenate([pairs, pairs[:, ::-1]]).T
    angle = np.tile(angle, 2)
    num = surface.num_elements
    links = csr_array((np.where(angle < _NORMAL_DEG, 1.0, 0.0), (ends, others)), shape=(num, num))
    links.eliminate_zeros()
    degree = np.maximum(np.bincount(ends, minlength=num), 1)
    curvature_deg = np.bincount(ends, weights=angle, minlength=num) / degree
    region = np.full(num, -1, dtype=np.int64)
    for seed in np.argsort(curvature_deg, kind="stable"):
        if region[seed] < 0:
            _grow(region, int(seed), links, curvature_deg <= _CURVATURE_DEG)
    return region


def _grow(region: Ints, seed: int, links: csr_array, grown_from: Bools) -> None:
    """Write the region of the seed and of all that grows from it into ``region``."""
    number = int(region.max()) + 1
    region[seed] = number
    front = deque([seed])
    while front:
        element = front.popleft()
        near = links.indices[links.indptr[element] : links.indptr[element + 1]]
        joined = near[region[near] < 0]
        region[joined] = number
        front.extend(joined[grown_from[joined]])


def _samples(surface: Surface, members: Ints, spacing_mm: float, rng: np.random.Generator) -> Ints:
    """Elements spread evenly over the region, about ``spacing_mm`` from each other, at least one."""
    num = round(float(surface.area_mm2[members].sum()) / spacing_mm**2)
    return spread_elements(surface, members, max(num, 1), rng=rng)


def _covering(
    surface: Surface, caster: RayCaster, field: RoundField, samples: Ints, anchors: Ints, rng: np.random.Generator
) -> _Looks:
    """Views that cover the samples: along the normals of the anchors and of samples that those do not cover.

    For samples that even their own view does not cover, a direction with free sight is searched at random. What
    has none stays uncovered.
    """
    tried = _along_normals(surface, anchors)
    covers = _covers(surface, caster, field, tried, samples)
    for further in (_along_normals, lambda part, left: _rescued(part, left, caster, field, rng)):
        left = samples[np.asarray(covers.sum(axis=0)) < 0.5]
        more = further(surface, left)
        covers = csr_array(vstack([covers, _covers(surface, caster, field, more, samples)], format="csr"))
        tried = _joined([tried, more])
    # By number of samples, as that planner counts them.
    problem = CoverProblem(visible=covers, weight=np.ones(len(samples)))
    chosen = _without_redundant(problem, greedy_cover(problem, target=problem.coverable_weight))
    return _Looks(target_mm=tried.target_mm[chosen], axis=tried.axis[chosen])


def _along_normals(surface: Surface, elements: Ints) -> _Looks:
    return _Looks(target_mm=surface.centroid_mm[elements], axis=surface.normal[elements])


def _rescued(
    surface: Surface, elements: Ints, caster: RayCaster, field: RoundField, rng: np.random.Generator
) -> _Looks:
    """For each element the view of least tilt with free sight among random ones, none where all are blocked."""
    points, normals = surface.centroid_mm[elements], surface.normal[elements]
    axes = rng.standard_normal((len(elements), _RESCUE_TRIES, 3))
    axes /= np.linalg.norm(axes, axis=2, keepdims=True)
    cosine = np.einsum("nki,ni->nk", axes, normals)
    axes, cosine = np.where(cosine[..., None] < 0, -axes, axes), np.abs(cosine)
    element, way = np.nonzero(cosine >= np.cos(np.deg2rad(field.max_incidence_deg)))
    centers = points[element] + field.distance_mm * axes[element, way]
    free = ~caster.blocked(points[element], centers, normals=normals[element])
    element, way = element[free], way[free]
    order = np.lexsort((-cosine[element, way], element))
    element, way = element[order], way[order]
    _, first = np.unique(element, return_index=True)
    return _Looks(target_mm=points[element[first]], axis=axes[element[first], way[first]])


def _covers(surface: Surface, caster: RayCaster, field: RoundField, looks: _Looks, samples: Ints) -> csr_array:
    """Which samples each view covers, shape (A, S), sparse."""
    points, normals = surface.centroid_mm[samples], surface.normal[samples]
    reach_mm = np.hypot(field.radius_mm, field.depth_mm / 2)
    near = cKDTree(points).query_ball_point(looks.target_mm, reach_mm, return_sorted=True)
    view = np.repeat(np.arange(len(near)), [len(found) for found in near])
    sample = np.concatenate([np.asarray(found, dtype=np.int64) for found in [*near, []]])
    axis = looks.axis[view]
    away = points[sample] - looks.target_mm[view]
    along = np.einsum("ij,ij->i", away, axis)
    aside = np.linalg.norm(away - along[:, None] * axis, axis=1)
    facing = np.einsum("ij,ij->i", normals[sample], axis) >= np.cos(np.deg2rad(field.max_incidence_deg))
    left = np.flatnonzero((np.abs(along) <= field.depth_mm / 2) & (aside <= field.radius_mm) & facing)
    view, sample = view[left], sample[left]
    centers = looks.target_mm[view] + field.distance_mm * looks.axis[view]
    free = ~caster.blocked(points[sample], centers, normals=normals[sample])
    shape = (len(near), len(samples))
    return csr_array((np.ones(int(free.sum())), (view[free], sample[free])), shape=shape)


def _without_redundant(problem: CoverProblem, chosen: Ints) -> Ints:
    """The views without those all of whose samples the others cover; later ones are dropped first."""
    counts = problem.counts(chosen)
    kept = []
    for view in chosen[::-1]:
        rows = problem.rows_seen(int(view))
        if (counts[rows] > 1).all():
            counts[rows] -= 1
        else:
            kept.append(view)
    return np.array(kept[::-1], dtype=np.int64)
