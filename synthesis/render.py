"""Images of an imprinted part: what the camera reads out, and which defect is at each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Floats, Floats32, Ints
from viewcov.inspection.lay import FaceLay, lay_coordinates
from viewcov.inspection.mesh.part import triangle_areas, triangle_normals
from viewcov.inspection.poses import tangents
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.fixture import Fixture, obstacles_of
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.rig import Rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.synthesis.imprint import Imprint
from viewcov.synthesis.options import Sensor
from viewcov.synthesis.scene import PATH_DEPTH, InspectionScene, SceneSurface
from viewcov.synthesis.textures import Finish, Texture, height_tile

FIXTURE_METAL = Material(eta=1.5, k=0.5, roughness_along=0.6, roughness_across=0.6)
"""Of clamps and table: dark and dull like black anodised aluminium, with 8 % reflectance head-on."""

_TABLE_REACH = 4.0
"""Half the side of the piece of table that is rendered, in extents of the part and focus distances together."""


def open_scene(
    imprint: Imprint,
    lays: tuple[FaceLay, ...],
    finish: Finish,
    rig: Rig,
    *,
    num_samples: int = 16,
    path_depth: int = PATH_DEPTH,
) -> InspectionScene:
    """The imprinted part with its machining textures, on its fixture, loaded for rendering many views.

    Each process is a mesh of its own. So is the groove of each scratch, without texture, because a scratch
    destroys it; a dent bends it.
    """
    cad, corners = imprint.cad_face_idx, imprint.vertices_mm[imprint.mesh.faces]
    process = np.array([lay.process for lay in lays])[cad]
    kinds = np.array([False] + [defect.kind == "scratch" for defect in imprint.defects])
    torn = kinds[imprint.defect_id]
    uv_mm = lay_coordinates(lays, cad, imprint.mesh.corners_mm)

    def surface(name: str, rows: Ints, uv: Floats, metal: Material, height_mm: Floats32 | None = None) -> SceneSurface:
        normals = imprint.corner_normals[rows]
        return SceneSurface(
            name=name, corners_mm=corners[rows], normals=normals, uv=uv, material=metal, height_mm=height_mm
        )

    surfaces = []
    for texture in finish.textures:
        rows = np.flatnonzero((process == texture.process) & ~torn)
        if not rows.size:
            continue
        # Each CAD face shows another place of the tile, and those of rotation whole tiles around.
        shift = np.random.default_rng(texture.seed).random((len(lays), 1, 2))
        tile_mm = np.array([_tile_mm(texture, lay) for lay in lays])[:, None]
        uv = uv_mm[rows] / tile_mm[cad[rows]] + shift[cad[rows]]
        metal = rig.material.as_rough_as(texture.roughness_along, texture.roughness_across)
        surfaces.append(surface(texture.process, rows, uv, metal, height_tile(texture)))
    for defect in imprint.defects:
        rows = np.flatnonzero(torn & (imprint.defect_id == defect.id))
        if rows.size:
            metal = rig.material.evenly_rough(defect.roughness)
            surfaces.append(surface(f"scratch-{defect.id}", rows, uv_mm[rows], metal))
    surfaces += fixture_surfaces(rig, imprint.vertices_mm)
    return InspectionScene(surfaces, rig.camera, rig.ring_light, num_samples=num_samples, path_depth=path_depth)


def fixture_surfaces(rig: Rig, part_mm: Floats) -> list[SceneSurface]:
    """What holds a part with these vertices, shape (N, 3): clamps, and the table as far as it is of any account.

    Raises InputError if the rig's fixture cannot be loaded.
    """
    obstacles = obstacles_of(rig.fixture)
    bodies = [clamp.corners_mm for clamp in obstacles.parts]
    if obstacles.table_height_mm is not None:
        normal = obstacles.table_normal
        middle = (part_mm.min(axis=0) + part_mm.max(axis=0)) / 2
        middle = middle + (obstacles.table_height_mm - middle @ normal) * normal
        half_mm = _TABLE_REACH * (float(np.ptp(part_mm, axis=0).max()) + rig.camera.focus_distance_mm)
        first, second = (half_mm * side[0] for side in tangents(normal[None]))
        square = middle + np.array([-first - second, first - second, first + second, second - first])
        bodies.append(square[[[0, 1, 2], [0, 2, 3]]])
    # Any chart will do for a metal without a lay.
    chart = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    return [
        SceneSurface(
            name=f"fixture-{number}",
            corners_mm=corners,
            normals=np.repeat(triangle_normals(corners)[:, None], 3, axis=1),
            uv=np.tile(chart, (len(corners), 1, 1)),
            material=FIXTURE_METAL,
        )
        for number, corners in enumerate(body[triangle_areas(body) > 0] for body in bodies)
    ]


def _tile_mm(texture: Texture, lay: FaceLay) -> tuple[float, float]:
    along, across = texture.tile_mm
    if lay.radius_mm > 0:
        along = texture.tile_around_mm(2.0 * np.pi * lay.radius_mm)
    return along, across


def render_view(
    scene: InspectionScene, world_from_camera: Floats, *, seed: int, exposure: float = 1.0, sensor: Sensor | None = None
) -> Floats32:
    """Grey image of one view in [0, 1], shape (height, width), as the camera reads it out.

    ``exposure`` is a factor on the light that the rig's radiance gives, the same for all views of an inspection;
    the seed is that of the rendering and of the noise of the sensor, the default one if none is given.
    """
    # The radiance is rendered once whatever the exposure: that keeps stacks and twins free of new noise.
    light = scene.render(world_from_camera, seed=seed) * np.float32(exposure)
    return read_out(light, sensor or Sensor(), np.random.default_rng(seed))


def read_out(image: Floats32, sensor: Sensor, rng: np.random.Generator) -> Floats32:
    """A noise-free image (1.0 = full scale) as a sensor reads it out: noisy and clipped to [0, 1]."""
    electrons = np.clip(image, 0.0, 1.5).astype(np.float64) * sensor.full_well
    noise = rng.standard_normal(image.shape) * np.sqrt(electrons + sensor.read_noise**2)
    return np.clip((electrons + noise) / sensor.full_well, 0.0, 1.0).astype(np.float32)


def label_image(
    imprint: Imprint, camera: Camera, viewpoint: Viewpoint, *, fixture: Fixture | None = None
) -> NDArray[np.uint16]:
    """Number of the defect at each pixel's centre, 0 for none or with a fixture in front, shape (height, width)."""
    from viewcov.coverage.rays.projection import triangles_in_view

    ids, _ = triangles_in_view(
        imprint.vertices_mm, imprint.mesh.faces, camera, viewpoint, obstacles=obstacles_of(fixture), tolerance_mm=0.0
    )
    return np.where(ids >= 0, imprint.defect_id[ids], 0).astype(np.uint16)
