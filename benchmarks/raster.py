"""Id buffer: viewcov's rasteriser beside Open3D's (Embree's) rays, in one run on one machine.

Run: python -P benchmarks/raster.py [--repeats N]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import open3d
import trimesh

from viewcov.coverage.rays.raster import id_buffer
from viewcov.inspection.arrays import Floats
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint


def best_seconds(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The shortest time of some runs, and the work's result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def rays_of_view(camera: Any, viewpoint: Viewpoint, scale: float) -> Floats:
    """Open3D's rays, float32, through the pixels' centres; made once and not counted in its time."""
    columns, rows = np.meshgrid(np.arange(camera.width_px) + 0.5, np.arange(camera.height_px) + 0.5)
    directions = camera.rays(np.stack([columns, rows], axis=-1)) @ viewpoint.world_from_camera[:3, :3].T
    origins = np.broadcast_to(viewpoint.center_mm / scale, directions.shape)
    return np.concatenate([origins, directions], axis=-1).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    radius = 30.0
    viewpoint = Viewpoint.looking_at([10, 20, -250], [0.3, 0.2, 0.1], id="v")
    print(f"icosphere of radius {radius:g} mm, best of {repeats}, {os.cpu_count()} cores")
    print("Open3D's time is cast_rays alone, with its rays made beforehand")
    head = (
        "image",
        "triangles",
        "viewcov",
        "Open3D, 1 thread",
        "Open3D, all",
        "ratio 1",
        "ratio all",
        "ids differ",
    )
    print("{:>10} {:>9} {:>10} {:>17} {:>12} {:>8} {:>9} {:>11}".format(*head))
    for preset in ("paper-quarter", "paper"):
        camera = load_rig(preset).camera
        for subdivisions in (3, 5, 7):
            mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
            vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
            pose = viewpoint.camera_from_world
            id_buffer(vertices, faces, camera, pose)  # Compiles, or loads what was compiled.
            ours, (ids, _) = best_seconds(lambda: id_buffer(vertices, faces, camera, pose), repeats)  # noqa: B023

            scene = open3d.t.geometry.RaycastingScene()
            as_tensor = open3d.core.Tensor.from_numpy
            scene.add_triangles(as_tensor((vertices / radius).astype(np.float32)), as_tensor(faces.astype(np.uint32)))
            rays = as_tensor(rays_of_view(camera, viewpoint, radius))
            one, _ = best_seconds(lambda: scene.cast_rays(rays, nthreads=1), repeats)  # noqa: B023
            every, answer = best_seconds(lambda: scene.cast_rays(rays), repeats)  # noqa: B023
            theirs = answer["primitive_ids"].numpy().astype(np.int64)
            theirs[np.isinf(answer["t_hit"].numpy())] = -1
            print(
                f"{camera.width_px:>5}x{camera.height_px:<4} {len(faces):>9} {ours * 1e3:>7.1f} ms "
                f"{one * 1e3:>14.1f} ms {every * 1e3:>9.1f} ms {one / ours:>8.1f} {every / ours:>9.1f} "
                f"{np.mean(ids != theirs):>11.1e}"
            )


if __name__ == "__main__":
    main()
