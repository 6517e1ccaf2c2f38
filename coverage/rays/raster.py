"""Which triangle each pixel of a view shows: a z-buffer."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit

from viewcov.inspection.arrays import Floats, Floats32, Ints, Ints32
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.camera import Camera


def id_buffer(vertices_mm: Floats, faces: Ints, camera: Camera, camera_from_world: Floats) -> tuple[Ints32, Floats32]:
    """The nearest triangle on the ray through each pixel's centre, and its depth along the optical axis.

    Triangles are rasterised in homogeneous coordinates (Olano and Greer 1997): the ray d of a pixel meets the
    triangle a, b, c where d . (a x b), d . (b x c), d . (c x a) have the sign of a . (b x c). Nothing has to
    be clipped, triangles may reach behind the camera, and with lens distortion each pixel simply has another
    ray. The same edge gives its two triangles exactly opposite numbers, and what is zero but for rounding
    counts as inside: no pixel falls between triangles that share an edge or a corner. Both sides of a
    triangle count.

    Parameters
    ----------
    vertices_mm, faces, camera_from_world
        Shapes (N, 3), (F, 3) and (4, 4). The ids are rows of ``faces``.

    Returns
    -------
    ids, depth_mm
        Shape (height, width) each; -1 and infinity where there is no triangle. Of triangles at the same depth
        (to float32) the one with the lower id is shown.
    """
    if len(faces) > np.iinfo(np.int32).max:
        raise ValueError(f"faces must be fewer than 2^31, got {len(faces)}")
    vertices = np.ascontiguousarray(transform_points(camera_from_world, vertices_mm))
    triangles = np.ascontiguousarray(faces, dtype=np.int64)
    ray_x, ray_y = _pixel_rays(camera)
    if camera.has_distortion:
        boxes = _distorted_boxes(vertices[triangles], camera, ray_x, ray_y)
    else:
        boxes = np.empty((len(triangles), 4), dtype=np.int32)
        _pinhole_boxes(vertices, triangles, (camera.focal_px, *camera.center_px), (ray_x[0], ray_y[:, 0]), boxes)
    ids = np.full((camera.height_px, camera.width_px), -1, dtype=np.int32)
    depth_mm = np.full(ids.shape, np.inf, dtype=np.float32)
    _fill(vertices, triangles, boxes, (ray_x, ray_y), ids, depth_mm)
    return ids, depth_mm


@lru_cache(maxsize=2)  # Undoing the distortion of all pixels takes longer than drawing the part.
def _pixel_rays(camera: Camera) -> tuple[Floats, Floats]:
    """Coordinates x and y of the ray (x, y, 1) through each pixel's centre.

    Shape (height, width) each with distortion; without it (1, width) and (height, 1), which broadcast to it.
    """
    columns: Floats = np.arange(camera.width_px, dtype=np.float64) + 0.5
    rows: Floats = np.arange(camera.height_px, dtype=np.float64) + 0.5
    if not camera.has_distortion:
        cx, cy = camera.center_px
        ray_x: Floats = (columns - cx) / camera.focal_px
        ray_y: Floats = (rows - cy) / camera.focal_px
        return ray_x[None], ray_y[:, None]
    rays = camera.rays(np.stack(np.meshgrid(columns, rows), axis=-1))
    return np.ascontiguousarray(rays[..., 0]), np.ascontiguousarray(rays[..., 1])


@njit(cache=True, nogil=True)
def _pinhole_boxes(vertices, faces, intrinsics, rays, boxes):  # type: ignore[no-untyped-def]
    """First and last column, first and last row of the pixels that each triangle may cover."""
    (focal_px, cx, cy), (ray_x, ray_y) = intrinsics, rays
    width, height = len(ray_x), len(ray_y)
    for face in range(len(faces)):
        x_low, x_high, y_low, y_high = np.inf, -np.inf, np.inf, -np.inf
        left = right = above = below = behind = 0
        for corner in range(3):
            x, y, z = vertices[faces[face, corner]]
            # A triangle lies wholly beyond a side of the frame if all corners do, whatever the sign of z.
            left += x < ray_x[0] * z
            right += x > ray_x[width - 1] * z
            above += y < ray_y[0] * z
            below += y > ray_y[height - 1] * z
            if z > 0.0:
                x_low, x_high = min(x_low, x / z), max(x_high, x / z)
                y_low, y_high = min(y_low, y / z), max(y_high, y / z)
            else:
                behind += 1
        boxes[face, 0], boxes[face, 1], boxes[face, 2], boxes[face, 3] = 0, -1, 0, -1
        if left == 3 or right == 3 or above == 3 or below == 3 or behind == 3:
            continue
        boxes[face, 1], boxes[face, 3] = width - 1, height - 1
        if behind == 0:
            # Rounding may put a corner on the wrong side of a pixel's centre by 1e-9 px: a slack of 1e-6.
            boxes[face, 0] = max(0.0, np.ceil(x_low * focal_px + cx - 0.5 - 1e-6))
            boxes[face, 1] = min(width - 1.0, np.floor(x_high * focal_px + cx - 0.5 + 1e-6))
            boxes[face, 2] = max(0.0, np.ceil(y_low * focal_px + cy - 0.5 - 1e-6))
            boxes[face, 3] = min(height - 1.0, np.floor(y_high * focal_px + cy - 0.5 + 1e-6))


def _distorted_boxes(corners: Floats, camera: Camera, ray_x: Floats, ray_y: Floats) -> Ints32:
    """The same boxes, shape (F, 4), for a lens with distortion.

    The rectangle around a triangle's undistorted image is cut to the part of the plane that the frame shows,
    where the distortion polynomial is one-to-one. Its distorted image lies in the box around its distorted
    corners, widened by the error bound of bilinear interpolation, (w^2 |f_xx| + h^2 |f_yy|) / 8.
    """
    frame_low = np.array([ray_x.min(), ray_y.min()])
    frame_high = np.array([ray_x.max(), ray_y.max()])
    z = corners[..., 2]
    at_back = np.less_equal(z, 0.0)
    behind = np.asarray(at_back.any(axis=1))
    normalized = corners[..., :2] / np.where(z > 0, z, 1.0)[..., None]
    low = np.where(behind[:, None], frame_low, np.maximum(normalized.min(axis=1), frame_low))
    high = np.where(behind[:, None], frame_high, np.minimum(normalized.max(axis=1), frame_high))
    # A triangle lies wholly beyond a side of the frame if all corners do, whatever the sign of z.
    above_low = np.max(corners[..., :2] - frame_low * z[..., None], axis=1)
    above_high = np.min(corners[..., :2] - frame_high * z[..., None], axis=1)
    beyond = (np.less(above_low, 0.0) | np.greater(above_high, 0.0)).any(axis=1)
    empty = beyond | at_back.all(axis=1) | (low > high).any(axis=1)

    ends = np.stack([low, high], axis=1)
    rectangle = np.stack([ends[:, [0, 0, 1, 1], 0], ends[:, [0, 1, 0, 1], 1]], axis=-1)
    distorted = camera.distort(rectangle)
    bend_xx, bend_yy = _distortion_bend(camera, frame_low, frame_high)
    span = np.maximum(high - low, 0.0) ** 2
    pad = (span[:, :1] * bend_xx + span[:, 1:] * bend_yy) / 8.0
    center = np.array(camera.center_px) - 0.5
    first = np.ceil((distorted.min(axis=1) - pad) * camera.focal_px + center - 1e-6)
    last = np.floor((distorted.max(axis=1) + pad) * camera.focal_px + center + 1e-6)
    size = np.array([camera.width_px, camera.height_px])
    boxes = np.empty((len(corners), 4), dtype=np.int32)
    boxes[:, [0, 2]] = np.clip(first, 0, size)
    boxes[:, [1, 3]] = np.clip(last, -1, size - 1)
    boxes[empty] = (0, -1, 0, -1)
    return boxes


def _distortion_bend(camera: Camera, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Bounds, shape (2,) each for x and y, on the distortion's second derivatives along x and along y.

    Largest second differences on a grid over the frame, with a quarter more for what lies between.
    """
    num = 65
    xs, ys = (np.linspace(low[axis], high[axis], num) for axis in range(2))
    grid = camera.distort(np.stack(np.meshgrid(xs, ys), axis=-1))
    step_x, step_y = xs[1] - xs[0], ys[1] - ys[0]
    bend_xx = np.abs(np.diff(grid, n=2, axis=1)).max(axis=(0, 1)) / step_x**2
    bend_yy = np.abs(np.diff(grid, n=2, axis=0)).max(axis=(0, 1)) / step_y**2
    return 1.25 * bend_xx, 1.25 * bend_yy


@njit(cache=True, nogil=True)
def _inside(slope, level, ray_x, first, last):  # type: ignore[no-untyped-def]
    """The part of the columns first to last with slope x + level >= 0, and a column more for rounding."""
    if slope == 0.0:
        return (first, last) if level >= 0.0 else (first, first - 1)
    column = (-level / slope - ray_x[0]) / (ray_x[1] - ray_x[0])
    if slope > 0.0:
        return int(max(float(first), min(column - 1.0, last + 1.0))), last
    return first, int(min(float(last), max(column + 2.0, first - 1.0)))


@njit(cache=True, nogil=True)
def _fill(vertices, faces, boxes, rays, ids, depth_mm):  # type: ignore[no-untyped-def]
    """Draw each triangle into ``ids`` and ``depth_mm``, in place."""
    ray_x, ray_y = rays
    # Steps of 0 make (1, width) and (height, 1) behave like (height, width).
    row_step, column_step = min(1, len(ray_x) - 1), min(1, ray_y.shape[1] - 1)
    is_pinhole = row_step == 0 and column_step == 0
    noise = 2.0**-49 * (1.0 + np.abs(ray_x).max() + np.abs(ray_y).max())
    for face in range(len(faces)):
        if boxes[face, 0] > boxes[face, 1] or boxes[face, 2] > boxes[face, 3]:
            continue
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        bx, by, bz = vertices[b, 0], vertices[b, 1], vertices[b, 2]
        cx, cy, cz = vertices[c, 0], vertices[c, 1], vertices[c, 2]
        # Normals of the planes through the camera centre and each edge.
        ux, uy, uz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        vx, vy, vz = cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax
        wx, wy, wz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        volume = ax * ux + ay * uy + az * uz
        if volume == 0.0:
            continue
        if volume < 0.0:
            ux, uy, uz, vx, vy, vz = -ux, -uy, -uz, -vx, -vy, -vz
            wx, wy, wz, volume = -wx, -wy, -wz, -volume
        # Below these the three numbers are rounding. On the zero side of it all count as inside: otherwise
        # a pixel's centre on a vertex may fall out of every triangle around it.
        size_a, size_b, size_c = (abs(ax) + abs(ay) + abs(az), abs(bx) + abs(by) + abs(bz), abs(cx) + abs(cy) + abs(cz))
        u_low, v_low, w_low = -noise * size_b * size_c, -noise * size_c * size_a, -noise * size_a * size_b
        z_low, z_high = min(az, bz, cz), max(az, bz, cz)
        for row in range(boxes[face, 2], boxes[face, 3] + 1):
            first, last = boxes[face, 0], boxes[face, 1]
            if is_pinhole and last - first > 16:
                y = ray_y[row, 0]
                first, last = _inside(ux, uy * y + uz - u_low, ray_x[0], first, last)
                first, last = _inside(vx, vy * y + vz - v_low, ray_x[0], first, last)
                first, last = _inside(wx, wy * y + wz - w_low, ray_x[0], first, last)
            for column in range(first, last + 1):
                x, y = ray_x[row * row_step, column], ray_y[row, column * column_step]
                u = ux * x + uy * y + uz
                v = vx * x + vy * y + vz
                w = wx * x + wy * y + wz
                total = u + v + w
                if u >= u_low and v >= v_low and w >= w_low and total > 0.0:
                    # Rounding must not move a sliver seen edge-on out of its own range of depths.
                    z = np.float32(min(max(volume / total, z_low), z_high))
                    if z > 0.0 and z < depth_mm[row, column]:
                        depth_mm[row, column] = z
                        ids[row, column] = face
