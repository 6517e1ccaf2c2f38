"""From the pixels of a view to the elements of the surface, and back for elements smaller than a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Floats, Floats32, Ints, Ints32
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.fixture import Obstacles
from viewcov.inspection.viewpoint import Viewpoint

TOP_SHARE = 0.1
"""Share of an element's pixels whose mean is its ``top`` value: a scratch crosses it on a few of them."""

MAX_SUBPIXEL_INCIDENCE_DEG = 85.0
"""Elements that own no pixel centre and are seen flatter than this do not count as seen."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ViewElements:
    """Which pixels of one view show which elements.

    Elements that own pixel centres have all of these; elements that own none because they are smaller than
    a pixel have the one pixel that their centroid falls in.
    """

    ids: Ints32
    """Shape (height, width): element at each pixel centre, -1 where there is none."""

    element_idx: Ints32
    """Shape (M,): elements in view, rising."""

    num_px: Ints32
    """Shape (M,): pixel centres that each element owns; 0 for those smaller than a pixel."""

    cos_incidence: Floats32
    """Shape (M,): cosine of the angle between the normal and the direction to the camera at the centroid."""

    starts: NDArray[np.int64]
    """Shape (M + 1,): pixels of element m are ``pixel_idx[starts[m]:starts[m + 1]]``; none is empty."""

    pixel_idx: Ints32
    """Shape (P,): flat pixel indices (row * width + column) grouped by element."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PooledView:
    """One view's values, one for each of its M elements: pixels of one view are not independent votes."""

    mean: Floats32
    """Shape (M,): mean over the element's pixels."""

    max: Floats32
    """Shape (M,): largest value of the element's pixels."""

    top: Floats32
    """Shape (M,): mean of the highest ``TOP_SHARE`` of the element's pixels, rounded up to whole pixels."""


def correspond(
    surface: Surface, camera: Camera, viewpoint: Viewpoint, *, obstacles: Obstacles | None = None
) -> ViewElements:
    """The elements that one view shows, with their pixels.

    Occlusion is exact at pixel centres (z-buffer with the camera's principal point and distortion). Pixels at
    which ``obstacles`` are in front of the part show no element, nor do elements with their centroid inside
    the table.

    Examples
    --------
    >>> from viewcov import cut_surface, read_plan
    >>> plan = read_plan("plan.json")
    >>> surface = cut_surface(plan.load_part(), max_edge_mm=4.0)
    >>> shown = correspond(surface, plan.rig.camera, plan.viewpoints[0])
    >>> camera = plan.rig.camera
    >>> bool(pool(shown, np.full((camera.height_px, camera.width_px), 0.5)).mean.max() == 0.5)
    True
    """
    ids, depth_mm = triangles_in_view(
        surface.vertices_mm,
        surface.faces,
        camera,
        viewpoint,
        obstacles=Obstacles() if obstacles is None else obstacles,
        tolerance_mm=1e-5 * surface.max_edge_mm,
    )
    return elements_of_buffer(surface, camera, viewpoint, ids, depth_mm)


def triangles_in_view(
    vertices_mm: Floats, faces: Ints, camera: Camera, viewpoint: Viewpoint, *, obstacles: Obstacles, tolerance_mm: float
) -> tuple[Ints32, Floats32]:
    """The triangle of a mesh at each pixel's centre, -1 where there is none or an obstacle in front, and its depth.

    Both of shape (height, width). A triangle with its centroid deeper than ``tolerance_mm`` in the table is not
    seen, and a camera inside the table sees nothing.
    """
    from trimesh.util import append_faces

    from viewcov.coverage.rays.raster import id_buffer

    others_mm, others = obstacles.triangles()
    both_mm, joined = append_faces([vertices_mm, others_mm], [faces, others])
    ids, depth_mm = id_buffer(both_mm, joined, camera, viewpoint.camera_from_world)
    # With one more for the background, whose number -1 is the last of these.
    hidden = np.ones(len(joined) + 1, dtype=bool)
    hidden[: len(faces)] = obstacles.below_table(vertices_mm[faces].mean(axis=1), tolerance_mm=tolerance_mm)
    hidden |= obstacles.below_table(viewpoint.center_mm)
    ids[hidden[ids]] = -1
    return ids, depth_mm


def elements_of_buffer(
    surface: Surface, camera: Camera, viewpoint: Viewpoint, ids: Ints32, depth_mm: Floats32
) -> ViewElements:
    """The elements that one view shows, from its id and depth buffers, both of shape (height, width)."""
    assert ids.shape == depth_mm.shape == (camera.height_px, camera.width_px)
    # Background pixels (-1) are dropped here, before anything is indexed with their number.
    pixel = np.flatnonzero(ids.ravel() >= 0)
    owner = ids.ravel()[pixel]
    num_owned = np.bincount(owner, minlength=surface.num_elements)
    cos_incidence = _cos_incidence(surface, viewpoint)
    small, small_pixel = _smaller_than_a_pixel(
        surface, camera, viewpoint, cos_incidence, num_owned > 0, (ids, depth_mm)
    )
    # One sort of (element, pixel) packed into one integer: a stable grouping without an index sort.
    packed = np.concatenate([owner.astype(np.int64) << 32 | pixel, small.astype(np.int64) << 32 | small_pixel])
    packed.sort()
    element = packed >> 32
    starts = np.flatnonzero(np.diff(element, prepend=-1))
    element_idx = element[starts].astype(np.int32)
    return ViewElements(
        ids=ids,
        element_idx=element_idx,
        num_px=num_owned[element_idx].astype(np.int32),
        cos_incidence=cos_incidence[element_idx].astype(np.float32),
        starts=np.append(starts, len(packed)),
        pixel_idx=(packed & 0xFFFFFFFF).astype(np.int32),
    )


def pool(view: ViewElements, image: NDArray[np.floating]) -> PooledView:
    """Mean, maximum and top mean of an image with values in [0, 1] over each element's pixels.

    Raises
    ------
    ValueError
        If the image's shape is not that of the view, or a value is not in [0, 1].
    """
    if image.shape != view.ids.shape:
        raise ValueError(f"image must have the view's shape {view.ids.shape}, got {image.shape}")
    values = image.ravel()[view.pixel_idx].astype(np.float32) + np.float32(0.0)  # Turns -0.0 into 0.0.
    if values.size and not (values.min() >= 0.0 and values.max() <= 1.0):
        raise ValueError(f"image must have values in [0, 1], got {values.min()} to {values.max()}")
    counts = np.diff(view.starts)
    # Non-negative floats sort like their bits, so one integer sort orders the values within each element.
    packed = np.repeat(np.arange(len(counts)), counts) << 32 | values.view(np.uint32).astype(np.int64)
    packed.sort()
    ordered = (packed & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
    total = np.concatenate([[0.0], np.cumsum(ordered, dtype=np.float64)])
    ends = view.starts[1:]
    num_top = np.ceil(counts * TOP_SHARE - 1e-9).astype(np.int64)
    return PooledView(
        mean=_unit((total[ends] - total[view.starts[:-1]]) / counts),
        max=ordered[ends - 1],
        top=_unit((total[ends] - total[ends - num_top]) / num_top),
    )


def _unit(values: Floats) -> Floats32:
    """Differences of running sums stray from [0, 1] by rounding."""
    return np.clip(values, 0.0, 1.0).astype(np.float32)


def _cos_incidence(surface: Surface, viewpoint: Viewpoint) -> Floats:
    """Cosine between each element's normal and the direction from its centroid to the camera, shape (E,)."""
    to_camera = viewpoint.center_mm - surface.centroid_mm
    distance = np.maximum(np.sqrt(np.einsum("ij,ij->i", to_camera, to_camera)), 1e-12)
    return np.einsum("ij,ij->i", surface.normal, to_camera) / distance


def _smaller_than_a_pixel(
    surface: Surface,
    camera: Camera,
    viewpoint: Viewpoint,
    cos_incidence: Floats,
    owns_pixel: NDArray[np.bool_],
    buffers: tuple[Ints32, Floats32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Visible elements that own no pixel centre, and the flat pixel that each one's centroid falls in.

    Such an element is visible if the depth buffer, the second one, agrees at that pixel with the depth of its
    centroid. The buffer holds the depth at the pixel's centre, at most 0.71 px away: on a surface at incidence a,
    depths there differ by up to 0.71 tan(a) footprints, so 1 + tan(a) footprints are allowed.
    """
    ids, depth_mm = buffers
    flat_limit = np.cos(np.deg2rad(MAX_SUBPIXEL_INCIDENCE_DEG))
    candidate = np.flatnonzero(~owns_pixel & (cos_incidence > flat_limit))
    points = transform_points(viewpoint.camera_from_world, surface.centroid_mm[candidate])
    pixels = camera.project(points)
    # NaN (behind the camera) fails every comparison.
    inside = ((pixels >= 0) & (pixels < (camera.width_px, camera.height_px))).all(axis=1)
    candidate, pixels, z = candidate[inside], pixels[inside].astype(np.int64), points[inside, 2]
    flat = pixels[:, 1] * camera.width_px + pixels[:, 0]
    cos = cos_incidence[candidate]
    tolerance = z / camera.focal_px * (1.0 + np.sqrt(1.0 - np.minimum(cos, 1.0) ** 2) / cos)
    visible = ids.ravel()[flat] >= 0
    visible[visible] = np.abs(depth_mm.ravel()[flat] - z)[visible] <= tolerance[visible]
    return candidate[visible], flat[visible]
