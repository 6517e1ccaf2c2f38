"""Off-screen views of a surface: which element each pixel shows.

VTK draws nothing but element numbers; colours, edges, hatching and labels are made from them afterwards, so
that every picture has exact colours and one drawing serves many pictures.

The drawing runs in a process of its own: importing torchvision after VTK has drawn off-screen in the same
process is a segmentation fault, and a broken graphics driver must not end a run of hours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Bools, Floats, Ints, Ints32
from viewcov.inspection.errors import ViewcovError
from viewcov.inspection.mesh.part import triangle_normals

_ID_BITS = 24
"""Of a number, those that fit in the red, green and blue of one drawing."""

_OVERSAMPLING = 2
"""Pixels drawn per pixel of the picture, along each side."""


class Mesh(Protocol):
    """What a picture needs: a ``Surface``, or what ``read_vtp`` gives."""

    @property
    def vertices_mm(self) -> Floats:
        """Shape (N, 3)."""

    @property
    def faces(self) -> Ints:
        """Shape (E, 3)."""

    @property
    def cad_face_idx(self) -> Ints32:
        """Shape (E,): between different numbers an edge is drawn."""


class Direction(NamedTuple):
    """From where a picture shows the part."""

    name: str
    """Caption, such as ``front right, above``."""

    from_part: tuple[float, float, float]
    """Points from the part to the viewer, in the CAD frame, any length."""


WHOLE_PART = (
    Direction("from the front right, above", (0.62, -1.0, 0.85)),
    Direction("from the back left, below", (-0.62, 1.0, -0.85)),
)
"""Two opposite directions: every outer face turns towards one of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One parallel projection of a surface. The image is finer than the picture that it is for."""

    name: str
    """Caption."""

    axes: Floats
    """Shape (3, 3): right, down and away from the viewer, unit vectors in the CAD frame, one a row."""

    center_mm: Floats
    """Shape (3,): the point in the middle of the image."""

    mm_per_px: float
    """Edge length of a pixel of ``element_idx``."""

    element_idx: Ints
    """Shape (H, W): element that each pixel shows, -1 = background."""

    depth_mm: Floats
    """Shape (H, W): distance along the third axis from ``center_mm``; infinite = background."""

    oversampling: int
    """Pixels of ``element_idx`` per pixel of the picture, along each side."""

    def project(self, points_mm: Floats) -> Floats:
        """Column and row in the picture and depth in mm, shape (..., 3), of points, shape (..., 3)."""
        local = (np.asarray(points_mm, dtype=np.float64) - self.center_mm) @ self.axes.T
        height, width = self.element_idx.shape
        pixels = (local[..., :2] / self.mm_per_px + np.array([width, height]) / 2) / self.oversampling
        return np.concatenate([pixels, local[..., 2:]], axis=-1)

    def unhidden(self, points_mm: Floats, *, tolerance_mm: float) -> Bools:
        """Which points, shape (N, 3), are in the image with no surface over ``tolerance_mm`` before them."""
        projected = self.project(points_mm)
        height, width = self.element_idx.shape
        column, row = (np.floor(projected[:, k] * self.oversampling).astype(np.int64) for k in (0, 1))
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        before = self.depth_mm[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        return inside & (projected[:, 2] <= before + tolerance_mm)


def draw_views(
    mesh: Mesh,
    directions: Sequence[Direction],
    *,
    width_px: int,
    height_px: int,
    margin: float = 0.04,
    extra_points_mm: Floats | None = None,
) -> tuple[View, ...]:
    """Parallel projections of the mesh, all at one scale, each ``width_px`` x ``height_px`` in the picture.

    ``margin`` is the share of width and height left free at each side; ``extra_points_mm``, shape (M, 3), such as
    camera centres, must lie in the picture too.

    Raises
    ------
    ViewcovError
        If the graphics library cannot draw here.
    """
    points = np.asarray(mesh.vertices_mm)[np.unique(mesh.faces)]
    if extra_points_mm is not None:
        points = np.concatenate([points, np.asarray(extra_points_mm, dtype=np.float64)])
    width, height = width_px * _OVERSAMPLING, height_px * _OVERSAMPLING
    axes = np.stack([_axes(direction.from_part) for direction in directions])
    local = np.einsum("vij,nj->vni", axes, points)
    low, high = local.min(axis=1), local.max(axis=1)
    free = 1 - 2 * margin
    mm_per_px = float(((high - low)[:, :2] / (np.array([width, height]) * free)).max())
    centers = np.einsum("vij,vi->vj", axes, (low + high) / 2)
    ids = _draw_in_child(mesh, axes, centers, mm_per_px, width, height)
    return tuple(
        View(
            name=direction.name, axes=axes[k], center_mm=centers[k], mm_per_px=mm_per_px, element_idx=ids[k],
            depth_mm=_depths(mesh, ids[k], axes[k], centers[k], mm_per_px), oversampling=_OVERSAMPLING,
        )
        for k, direction in enumerate(directions)
    )  # fmt: skip


def _axes(from_part: Sequence[float]) -> Floats:
    """Right, down and away from the viewer; the part's Z points up unless one looks along it, then Y does."""
    away = -np.asarray(from_part, dtype=np.float64)
    away /= np.linalg.norm(away)
    up = np.array([0.0, 0.0, 1.0]) if abs(away[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
    right = np.cross(away, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(away, right), away])


def _depths(mesh: Mesh, ids: Ints, axes: Floats, center_mm: Floats, mm_per_px: float) -> Floats:
    """Where each pixel's ray meets the plane of its element, kept within the element's range of depths."""
    depth = np.full(ids.shape, np.inf)
    row, column = np.nonzero(ids >= 0)
    shown, place = np.unique(ids[row, column], return_inverse=True)
    corners = (np.asarray(mesh.vertices_mm)[np.asarray(mesh.faces)[shown]] - center_mm) @ axes.T
    normal = triangle_normals(corners)
    x = (column + 0.5 - ids.shape[1] / 2) * mm_per_px - corners[place, 0, 0]
    y = (row + 0.5 - ids.shape[0] / 2) * mm_per_px - corners[place, 0, 1]
    slope = np.where(np.abs(normal[:, 2]) > 1e-6, normal[:, 2], np.inf)[place]
    z = corners[place, 0, 2] - (normal[place, 0] * x + normal[place, 1] * y) / slope
    depth[row, column] = np.clip(z, corners[:, :, 2].min(axis=1)[place], corners[:, :, 2].max(axis=1)[place])
    return depth


def _draw_in_child(
    mesh: Mesh, axes: Floats, centers: Floats, mm_per_px: float, width: int, height: int
) -> NDArray[np.int64]:
    """Element numbers, shape (V, height, width), -1 = background."""
    with tempfile.TemporaryDirectory(prefix="viewcov-draw-") as folder:
        task, drawn = Path(folder) / "task.npz", Path(folder) / "drawn.npy"
        middle = centers.mean(axis=0)  # The graphics card computes in float32: keep the numbers small.
        vertices = (np.asarray(mesh.vertices_mm) - middle).astype(np.float32)
        placed = {"axes": axes, "centers": centers - middle, "scale": [mm_per_px], "size": [width, height]}
        np.savez(task, vertices=vertices, faces=np.asarray(mesh.faces), **placed)
        command = [sys.executable, "-P", "-m", "viewcov.viewer.offscreen", str(task), str(drawn)]
        child = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
        if child.returncode != 0 or not drawn.is_file():
            last = (child.stderr.strip() or "no message").splitlines()[-1]
            raise ViewcovError(
                f"off-screen drawing failed (exit status {child.returncode}: {last}); "
                "on Debian or Ubuntu run: apt-get install libegl1 libgl1 libgl1-mesa-dri"
            )
        return np.asarray(np.load(drawn), dtype=np.int64)


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if sys.platform == "linux" and not environment.get("DISPLAY"):
        # Without this VTK first tries an X server and complains that there is none.
        environment.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    return environment


def _draw(task: Any) -> NDArray[np.int32]:
    """What the child process does: one image of element numbers per view."""
    import pyvista

    width, height = (int(n) for n in task["size"])
    faces, vertices = task["faces"], task["vertices"]
    mesh = pyvista.PolyData.from_regular_faces(vertices, faces)
    plotter = pyvista.Plotter(off_screen=True, window_size=(width, height), lighting="none")
    plotter.disable_anti_aliasing()
    plotter.render_window.SetMultiSamples(0)
    plotter.set_background("black")
    number = np.arange(1, len(faces) + 1)  # 0 is the background.
    reach = float(np.linalg.norm(vertices, axis=1).max() + np.linalg.norm(task["centers"], axis=1).max()) + 1.0
    views = np.zeros((len(task["axes"]), height, width), dtype=np.int64)
    for shift in range(-(-len(faces).bit_length() // _ID_BITS)):
        digits = (number >> _ID_BITS * shift) % 2**_ID_BITS
        colours = np.stack([digits >> 16, digits >> 8 & 255, digits & 255], axis=1).astype(np.uint8)
        plotter.clear_actors()
        plotter.add_mesh(mesh, scalars=colours, rgb=True, lighting=False, reset_camera=False, render=False)
        for k, (axes, center) in enumerate(zip(task["axes"], task["centers"], strict=True)):
            camera = plotter.camera
            camera.focal_point, camera.position = center, center - 2 * reach * axes[2]
            camera.up = -axes[1]
            camera.parallel_projection, camera.parallel_scale = True, float(task["scale"][0]) * height / 2
            camera.clipping_range = (0.5 * reach, 3.5 * reach)
            plotter.render()
            pixels = np.asarray(plotter.screenshot(return_img=True))[..., :3].astype(np.int64)
            read = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
            views[k] += read << (_ID_BITS * shift)
    plotter.close()
    return (views - 1).astype(np.int32)


def _main(task: str, drawn: str) -> None:
    with np.load(task) as arrays:
        np.save(drawn, _draw(arrays))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
