"""Mitsuba: the only module that calls it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from viewcov.inspection.arrays import Floats, Floats32, Ints
from viewcov.inspection.errors import InputError, MissingExtraError
from viewcov.inspection.poses import transform_points
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.light import AMBIENT_SHARE, MAX_REFLECTIONS, Light
from viewcov.inspection.rig.material import Material

log = logging.getLogger(__name__)

VARIANTS = ("llvm_ad_mono", "scalar_rgb")
"""Tried in this order; the second needs no LLVM and is three times slower."""

PATH_DEPTH = MAX_REFLECTIONS + 1
"""Edges of the longest path of light: from the light by way of three places of the surface to the camera."""

_MAX_OVERSCAN = 4.0
_BOUNDS_REACH = 10.0

# Mitsuba's camera has +x to the left and +y up, OpenCV's +x to the right and +y down; both look along +z.
_OPENCV_FROM_MITSUBA = np.diag([-1.0, -1.0, 1.0, 1.0])

_PROBE = """
import sys
import mitsuba as mi
mi.set_variant(sys.argv[1])
scene = mi.load_dict({"type": "scene", "integrator": {"type": "path"}, "light": {"type": "constant"},
    "ball": {"type": "sphere", "bsdf": {"type": "roughconductor"}},
    "sensor": {"type": "perspective", "film": {"type": "hdrfilm", "width": 4, "height": 4},
    "to_world": mi.ScalarTransform4f().look_at([0, 0, -4], [0, 0, 0], [0, 1, 0])}})
assert float(mi.TensorXf(mi.render(scene, spp=1)).array[0]) >= 0
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneSurface:
    """Triangles of one material."""

    name: str
    """Unique in the scene."""

    corners_mm: Floats
    """Shape (G, 3, 3)."""

    normals: Floats
    """Shape (G, 3, 3), unit length: shading normals at the corners."""

    uv: Floats
    """Shape (G, 3, 2): u along the lay, v across; in tiles of ``height_mm`` where there is one."""

    material: Material
    """What it is made of."""

    height_mm: Floats32 | None = None
    """Shape (rows, columns): heights over one tile; columns run along u. None for a smooth surface."""


@functools.cache
def renderer_variant() -> str:
    """The Mitsuba variant to render with: the LLVM one if it works on this machine.

    A wrong LLVM aborts the interpreter, so each variant is first tried in a process of its own.

    Raises MissingExtraError if Mitsuba is not installed.
    """
    if importlib.util.find_spec("mitsuba") is None:
        raise MissingExtraError("rendering", package="mitsuba", extra="render")
    for variant in VARIANTS:
        command = [sys.executable, "-P", "-c", _PROBE, variant]
        tried = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if tried.returncode == 0:
            log.info("rendering with Mitsuba's variant %s", variant)
            return variant
        reason = (tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"])[-1]
        log.warning("Mitsuba's variant %s does not work here: %s", variant, reason)
    raise InputError(
        "mitsuba", "no variant can render on this machine", expected=" or ".join(VARIANTS), found="neither",
        remedy="install libllvm15 (Debian, Ubuntu) or another release of mitsuba",
    )  # fmt: skip


def renderer_name() -> str:
    """Renderer, version and variant; images made by the same one with the same seed are bit-identical."""
    return f"mitsuba {_mitsuba().__version__} {renderer_variant()}"


def limit_threads(number: int) -> None:
    """Render with so many threads; images do not depend on it."""
    _mitsuba()
    importlib.import_module("drjit").set_thread_count(number)


class InspectionScene:
    """A part under a light that moves with the camera.

    The geometry is loaded once; a view moves only the sensor and the light, so that the compiled kernel and
    the part's acceleration structure serve all views.

    Parameters
    ----------
    surfaces
        The part, in the world frame.
    camera, light
        The rig. A camera without distortion and with a central principal point is rendered as it is, through
        a thin lens; others through a wider central one whose image is resampled along the true rays.
    num_samples
        Samples per pixel.
    path_depth
        Longest path of light, in edges: 2 for light that the surface reflects once, on its way to the camera.

    Raises
    ------
    InputError
        If the rig is one that cannot be rendered.
    """

    def __init__(
        self,
        surfaces: Sequence[SceneSurface],
        camera: Camera,
        light: Light,
        *,
        num_samples: int,
        path_depth: int = PATH_DEPTH,
    ) -> None:
        mi = _mitsuba()
        self._camera, self._num_samples = camera, num_samples
        self._lens = _central_lens(camera)
        # Single precision: the part's middle is the scene's origin.
        points = np.concatenate([s.corners_mm.reshape(-1, 3) for s in surfaces])
        self._origin = 0.5 * (points.min(axis=0) + points.max(axis=0))
        shapes = {s.name: _part_mesh(s, self._origin) for s in surfaces}
        self._light_mm, faces, weights = _lambertian(light).mesh()
        self._lights = {f"light-{number}": weight for number, weight in enumerate(np.unique(weights))}
        for name, weight in self._lights.items():
            shapes[name] = _mesh(
                name,
                self._light_mm,
                faces[weights == weight],
                mesh_bsdf=mi.load_dict({"type": "diffuse", "reflectance": 0.0}),
                mesh_emitter=mi.load_dict({"type": "area", "radiance": float(weight * light.radiance)}),
            )
        reach = _BOUNDS_REACH * (camera.focus_distance_mm + float(np.ptp(points, axis=0).max()))
        shapes["bounds"] = _bounds(reach)
        self._scene = mi.load_dict(
            {
                "type": "scene",
                # The light itself is never in the picture, only what it shines on.
                "integrator": {"type": "path", "max_depth": path_depth, "hide_emitters": True},
                "ambient": {"type": "constant", "radiance": AMBIENT_SHARE * float(light.radiance)},
                "sensor": self._sensor(),
                **shapes,
            }
        )
        self._params = mi.traverse(self._scene)
        self._params.keep(["sensor.to_world", *(f"{name}.vertex_positions" for name in self._lights)])

    def render(self, world_from_camera: Floats, *, seed: int) -> Floats32:
        """Image of one view, shape (height, width), in units of the camera's full scale.

        Without the sensor's noise. The same view, seed and scene give the same image to the last bit.
        """
        scene_from_camera = np.array(world_from_camera)
        scene_from_camera[:3, 3] -= self._origin
        self._place(scene_from_camera)
        image = np.array(_mitsuba().render(self._scene, spp=self._num_samples, seed=seed))[:, :, 0]
        return self._resampled(image)

    def _place(self, scene_from_camera: Floats) -> None:
        to_world = _mitsuba().ScalarTransform4f((scene_from_camera @ _OPENCV_FROM_MITSUBA).tolist())
        self._params["sensor.to_world"] = to_world
        for name in self._lights:
            self._params[f"{name}.vertex_positions"] = _flat(transform_points(scene_from_camera, self._light_mm))
        self._params.update()

    def _sensor(self) -> dict[str, object]:
        camera = self._camera
        width, height, focal_px = self._lens
        return {
            "type": "thinlens",
            "fov_axis": "x",
            "fov": float(np.rad2deg(2.0 * np.arctan(width / (2.0 * focal_px)))),
            "aperture_radius": camera.focal_length_mm / (2.0 * camera.f_number),
            "focus_distance": camera.focus_distance_mm,
            "near_clip": 0.05 * camera.focus_distance_mm,
            "far_clip": 100.0 * camera.focus_distance_mm,
            "film": {
                "type": "hdrfilm",
                "width": width,
                "height": height,
                "pixel_format": "luminance",
                "component_format": "float32",
                # With any other filter neighbouring samples add up in an order that changes from run to run.
                "rfilter": {"type": "box"},
            },
            "sampler": {"type": "multijitter", "sample_count": self._num_samples},
        }

    def _resampled(self, image: Floats32) -> Floats32:
        camera = self._camera
        width, height, focal_px = self._lens
        if _is_central(camera):
            return np.ascontiguousarray(image)
        from scipy.ndimage import map_coordinates

        column, row = np.meshgrid(np.arange(camera.width_px) + 0.5, np.arange(camera.height_px) + 0.5)
        ray = camera.rays(np.stack([column, row], axis=-1))
        at = [ray[..., 1] * focal_px + 0.5 * height - 0.5, ray[..., 0] * focal_px + 0.5 * width - 0.5]
        return map_coordinates(image, at, order=1, mode="nearest").astype(np.float32)


def _lambertian(light: Light) -> Light:
    exponents = light.emitters(1).exponent
    if (exponents != 1.0).any():
        raise InputError(
            "ring_light", "the renderer has Lambertian emitters only", expected="led_exponent 1",
            found=f"{exponents.max():g}", remedy="set it to 1 or use a diffuse ring",
        )  # fmt: skip
    return light


def _is_central(camera: Camera) -> bool:
    return not camera.has_distortion and camera.center_px == (camera.width_px / 2, camera.height_px / 2)


def _central_lens(camera: Camera) -> tuple[int, int, float]:
    """Width, height and focal length, all in pixels, of the undistorted central camera to render with."""
    if _is_central(camera):
        return camera.width_px, camera.height_px, camera.focal_px
    from viewcov.coverage.rays.screening import border_rays

    half = np.abs(border_rays(camera, num=33)).max(axis=0) * camera.focal_px
    width, height = (2 * int(np.ceil(h)) + 2 for h in half)
    if width * height > _MAX_OVERSCAN * camera.width_px * camera.height_px:
        raise InputError(
            "camera", "distortion or principal point too strong to render",
            expected=f"at most {_MAX_OVERSCAN:g} times the image's pixels undistorted",
            found=f"{width} x {height} for {camera.width_px} x {camera.height_px}",
            remedy="check camera.distortion and camera.principal_x_px, principal_y_px",
        )  # fmt: skip
    return width, height, camera.focal_px


def _mitsuba() -> Any:
    variant = renderer_variant()
    # Mitsuba's type stubs are not valid Python, so type checkers must not see the import.
    mi: Any = importlib.import_module("mitsuba")
    if mi.variant() != variant:
        mi.set_variant(variant)
    return mi


def _part_mesh(surface: SceneSurface, origin_mm: Floats) -> Any:
    mi, material = _mitsuba(), surface.material
    metal = {
        "type": "roughconductor",
        "distribution": "ggx",
        "eta": material.eta,
        "k": material.k,
        "alpha_u": material.roughness_along,
        "alpha_v": material.roughness_across,
    }
    if surface.height_mm is not None:
        heights = mi.Bitmap(np.ascontiguousarray(surface.height_mm[:, :, None], dtype=np.float32))
        tile = {"type": "bitmap", "bitmap": heights, "raw": True, "wrap_mode": "repeat"}
        metal = {"type": "bumpmap", "heights": tile, "metal": metal}
    count = len(surface.corners_mm)
    return _mesh(
        surface.name,
        surface.corners_mm.reshape(-1, 3) - origin_mm,
        np.arange(3 * count).reshape(-1, 3),
        normals=surface.normals.reshape(-1, 3),
        uv=surface.uv.reshape(-1, 2),
        mesh_bsdf=mi.load_dict(metal),
    )


def _mesh(
    name: str, vertices: Floats, faces: Ints, *, normals: Floats | None = None, uv: Floats | None = None, **objects: Any
) -> Any:
    mi = _mitsuba()
    props = mi.Properties()
    for key, value in objects.items():
        props[key] = value
    has = {"has_vertex_normals": normals is not None, "has_vertex_texcoords": uv is not None}
    mesh = mi.Mesh(name, len(vertices), len(faces), props=props, **has)
    params = mi.traverse(mesh)
    params["vertex_positions"] = _flat(vertices)
    params["faces"] = np.ascontiguousarray(faces, dtype=np.uint32).ravel()
    if normals is not None:
        params["vertex_normals"] = _flat(normals)
    if uv is not None:
        params["vertex_texcoords"] = _flat(uv)
    params.update()
    return mesh


def _bounds(reach_mm: float) -> Any:
    """Two specks at opposite corners of a cube that holds every place of the light.

    Mitsuba's ambient light takes the size of the scene from before the last move, so that an image would
    depend on the view rendered before; with these the size is always the same.
    """
    speck = 1e-3 * np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    corners = reach_mm * np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
    black = _mitsuba().load_dict({"type": "diffuse", "reflectance": 0.0})
    vertices = (corners[:, None] + speck[None]).reshape(-1, 3)
    return _mesh("bounds", vertices, np.arange(6).reshape(2, 3), mesh_bsdf=black)


def _flat(values: Floats) -> Floats32:
    return np.ascontiguousarray(values, dtype=np.float32).ravel()
