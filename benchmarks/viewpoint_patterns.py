"""Regular patterns of viewpoints, as baselines lay them and as experts do: spheres, rings, one a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from viewcov.inspection.arrays import Floats, locked_floats
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.poses import tangents
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.maker import spread_elements, working_range


def view_sphere(
    part: Part, rig: Rig, requirements: Requirements, *, num: int, prefix: str = "sphere-"
) -> list[Viewpoint]:
    """Viewpoints in even directions around the part's centre, all looking at it.

    Directions are those of a Fibonacci lattice. Each camera stands the best working distance away from where
    its axis meets the part's bounding box: a sphere would have the sides of a long part out of focus.

    Parameters
    ----------
    part
        Its bounding box gives centre and extents.
    rig, requirements
        Give the working distance.
    num
        Number of viewpoints.
    prefix
        Of their ids.
    """
    directions = fibonacci_sphere(num)
    low, high = part.bounds_mm
    # Where the ray from the middle leaves the box.
    side_mm = np.min(((high - low) / 2) / np.maximum(np.abs(directions), 1e-12), axis=1)
    distance = working_range(rig, requirements).best + side_mm
    return _looking_inwards(part.center_mm + distance[:, None] * directions, -directions, prefix)


def views_per_sample(
    surface: Surface,
    rig: Rig,
    requirements: Requirements,
    *,
    num: int,
    rng: np.random.Generator,
    prefix: str = "sample-",
) -> list[Viewpoint]:
    """One viewpoint straight above each of ``num`` samples of the surface, thinned to blue noise: a baseline.

    Whether the camera has room there, or sees its sample at all, is not asked.
    """
    samples = spread_elements(surface, np.flatnonzero(surface.inspected), num, rng=rng)
    normals = surface.normal[samples]
    centers = surface.centroid_mm[samples] + working_range(rig, requirements).best * normals
    return _looking_inwards(centers, -normals, prefix)


def ring_pattern(
    axis: ArrayLike,
    center_mm: ArrayLike,
    *,
    elevations_deg: Sequence[float],
    num_each: int,
    standoff_mm: float,
    prefix: str = "ring-",
) -> list[Viewpoint]:
    """Rings of viewpoints around an axis, as an expert lays them for a part on a turntable.

    All look at the centre from the same distance. A ring at +90 or -90 degrees is a single view along the
    axis, into a bore from above or below.

    Parameters
    ----------
    axis
        Shape (3,), any length: the turntable's axis, up.
    center_mm
        Shape (3,): what the views look at.
    elevations_deg
        Of each ring over the plane across the axis, -90 to 90.
    num_each
        Views of each ring, at even angles.
    standoff_mm
        Distance of the cameras from the centre.
    prefix
        Of the ids.

    Raises
    ------
    ValueError
        If the axis has no length, an elevation is out of range or a number is not positive.
    """
    along = locked_floats(axis, name="axis", shape=(3,))
    if not np.linalg.norm(along) > 0:
        raise ValueError(f"axis must have a length, got {along.tolist()}")
    if num_each < 1:
        raise ValueError(f"num_each must be at least 1, got {num_each}")
    if not standoff_mm > 0.0:
        raise ValueError(f"standoff_mm must be above 0, got {standoff_mm}")
    along = along / np.linalg.norm(along)
    first, second = (vector[0] for vector in tangents(along[None]))
    directions = []
    for elevation_deg in elevations_deg:
        if not -90.0 <= elevation_deg <= 90.0:
            raise ValueError(f"elevations_deg must be from -90 to 90, got {elevation_deg}")
        elevation = np.deg2rad(elevation_deg)
        upright = abs(abs(elevation_deg) - 90.0) < 1e-9
        azimuth = 2 * np.pi * np.arange(1 if upright else num_each) / num_each
        around = np.cos(azimuth)[:, None] * first + np.sin(azimuth)[:, None] * second
        directions.append(np.cos(elevation) * around + np.sin(elevation) * along)
    toward = np.concatenate(directions) if directions else np.empty((0, 3))
    centers = locked_floats(center_mm, name="center_mm", shape=(3,)) + standoff_mm * toward
    return _looking_inwards(centers, -toward, prefix)


def fibonacci_sphere(num: int) -> Floats:
    """Unit vectors even on the sphere, shape (N, 3): equal steps along z, turned by the golden angle each."""
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    z = 1.0 - 2.0 * (np.arange(num) + 0.5) / num
    azimuth = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(num)
    radius = np.sqrt(1.0 - z**2)
    return np.column_stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z])


def _looking_inwards(centers_mm: Floats, forward: Floats, prefix: str) -> list[Viewpoint]:
    return [
        Viewpoint.looking_at(center, center + axis, id=f"{prefix}{number:05d}")
        for number, (center, axis) in enumerate(zip(centers_mm, forward, strict=True), start=1)
    ]
