"""The built-in parts: a clamp clutch and a bearing block, put together from solids whose faces keep their identity."""

from __future__ import annotations

from typing import Any

import numpy as np

from viewcov.inspection.arrays import Floats, Ints

# Half profile (radius, height) of the turned body; each edge becomes one CAD face.
# fmt: off
_CLUTCH_BODY = (
    (15.0, 0.0), (38.5, 0.0), (40.0, 1.5), (40.0, 8.0), (38.0, 9.0), (38.0, 13.0), (40.0, 14.0),
    (40.0, 20.5), (38.5, 22.0), (23.0, 22.0), (22.0, 21.0), (22.0, 14.0), (16.0, 14.0), (15.0, 13.0),
)
_BORE = (
    (0.0, -40.0), (11.0, -40.0), (11.0, 10.0), (15.0, 10.0), (15.0, 23.0), (16.0, 24.0),
    (16.0, 40.0), (0.0, 40.0),
)
# fmt: on
_BOLT_HOLE = ((0.0, -1.0), (3.3, -1.0), (3.3, 19.3), (6.0, 22.0), (6.0, 23.0), (0.0, 23.0))
_HOLE = ((0.0, -1.0), (2.75, -1.0), (2.75, 6.0), (5.0, 6.0), (5.0, 40.0), (0.0, 40.0))


def clutch_half() -> tuple[Floats, Ints, Ints]:
    """Vertices (N, 3) in mm, faces (F, 3) and CAD face of each triangle (F,) of one half of an aluminium clamp clutch.

    About 80 mm across, like the clutch part of Fulir et al. (CVPR workshops 2023): stepped bore, bolt holes with
    countersinks, a clamping slot with its screw hole, chamfers, a turned groove, a turned and a milled side. The axis
    is Z; the turned side looks along +Z, the milled one along -Z.
    """
    body = _revolved(_CLUTCH_BODY)
    # Six bolts on a circle of 31 mm radius.
    for bolt in range(6):
        angle = 2 * np.pi * (bolt + 0.5) / 6
        center = (31.0 * np.cos(angle), 31.0 * np.sin(angle), 0.0)
        body -= _revolved(_BOLT_HOLE, segments=24).translate(center)
    # Clamping slot from the bore outward along +X, 3 mm wide, and the screw hole across it.
    body -= _box((10.0, -1.5, -1.0), (45.0, 1.5, 23.0))
    screw = _revolved(((0.0, -45.0), (2.75, -45.0), (2.75, 45.0), (0.0, 45.0)), segments=24)
    body -= screw.rotate((90.0, 0.0, 0.0)).translate((30.0, 0.0, 5.5))
    # Milled side: a key way across the face, and flats on the rim for the head and nut of the screw.
    body -= _box((-45.0, -6.0, -1.0), (-10.0, 6.0, 4.0))
    body -= _box((23.0, 25.0, -1.0), (37.0, 45.0, 11.0))
    body -= _box((23.0, -45.0, -1.0), (37.0, -25.0, 11.0))
    return _triangles_of(body)


def bearing_block() -> tuple[Floats, Ints, Ints]:
    """Vertices (N, 3) in mm, faces (F, 3) and CAD face of each triangle (F,) of a milled bearing block.

    Beside the turned clutch half it gives models that are trained on built-in parts milled faces, pockets, a boss and
    inclined faces to learn from. About 90 x 60 x 43 mm, with its foot on z = 0; the bearing's bore runs along Y.
    """
    block = _box((-45.0, -30.0, 0.0), (45.0, 30.0, 24.0))
    # Inclined shoulders, and the boss with the stepped bore.
    for side in (-1, 1):
        wedge = _box((-20.0, -40.0, 0.0), (20.0, 40.0, 20.0)).rotate((0.0, 22.0 * side, 0.0))
        block -= wedge.translate((side * 47.0, 0.0, 18.0))
    block += _bore(((0.0, -24.0), (21.0, -24.0), (21.0, 24.0), (0.0, 24.0)))
    block -= _bore(_BORE)
    # Pockets in both end faces and a slot in the foot.
    for side in (-1, 1):
        block -= _box((-12.0, 22.0, 3.0), (12.0, 40.0, 12.0)).translate((side * 27.0, 0.0, 0.0))
        block -= _box((-9.0, -40.0, 3.0), (9.0, -24.0, 12.0)).translate((side * 27.0, 0.0, 0.0))
        block -= _revolved(_HOLE, segments=24).translate((side * 34.0, 12.0, 0.0))
        block -= _revolved(_HOLE, segments=24).translate((side * 34.0, -12.0, 0.0))
    block -= _box((-8.0, -40.0, -1.0), (8.0, 40.0, 3.0))
    return _triangles_of(block)


def _bore(profile: tuple[tuple[float, float], ...]) -> Any:
    """Solid of revolution about the bearing's axis: along Y, 22 mm above the foot."""
    return _revolved(profile).rotate((-90.0, 0.0, 0.0)).translate((0.0, 0.0, 22.0))


def _revolved(profile: tuple[tuple[float, float], ...], *, segments: int = 96) -> Any:
    """Solid of revolution about Z of a closed counter-clockwise half profile (radius, height).

    Each profile edge off the axis becomes one CAD face. Points on the axis (radius 0) become one vertex.
    """
    angle = 2 * np.pi * np.arange(segments) / segments
    vertices: list[Any] = []
    rings: list[Any] = []
    for radius, height in profile:
        count = segments if radius > 0 else 1
        first = sum(len(block) for block in vertices)
        x, y = radius * np.cos(angle[:count]), radius * np.sin(angle[:count])
        vertices.append(np.column_stack([x, y, np.full(count, height)]))
        rings.append(first + np.arange(segments) % count)
    faces, face_ids = [], []
    for edge in range(len(profile)):
        low, high = rings[edge], rings[(edge + 1) % len(profile)]
        low_next, high_next = np.roll(low, -1), np.roll(high, -1)
        strip = np.concatenate([np.column_stack([low, low_next, high_next]), np.column_stack([low, high_next, high])])
        a, b, c = strip.T
        strip = strip[(a != b) & (b != c) & (c != a)]
        faces.append(strip)
        face_ids.append(np.full(len(strip), edge))
    return _solid(np.concatenate(vertices), np.concatenate(faces), np.concatenate(face_ids))


def _box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Any:
    """Axis-aligned box between two corners; each side is one CAD face."""
    corner = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    vertices = np.array(low) + corner * (np.array(high) - np.array(low))
    sides = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = np.array([tri for a, b, c, d in sides for tri in ((a, b, c), (a, c, d))])
    return _solid(vertices, faces, np.repeat(np.arange(6), 2))


def _triangles_of(solid: Any) -> tuple[Floats, Ints, Ints]:
    """Vertices (N, 3), faces (F, 3) and CAD face of each triangle (F,) of a solid that was put together.

    A CAD face is one face of one of the solids that went into it.
    """
    mesh = solid.to_mesh64()
    vertices = np.array(mesh.vert_properties, dtype=np.float64)[:, :3]
    faces = np.array(mesh.tri_verts, dtype=np.int64)
    run = np.searchsorted(np.asarray(mesh.run_index)[1:] // 3, np.arange(len(faces)), side="right")
    origin = np.column_stack([np.asarray(mesh.run_original_id)[run], np.asarray(mesh.face_id)])
    _, cad_face_idx = np.unique(origin, axis=0, return_inverse=True)
    return vertices, faces, cad_face_idx.ravel().astype(np.int64)


def _solid(vertices: Floats, faces: Ints, face_ids: Ints) -> Any:
    import manifold3d

    mesh = manifold3d.Mesh64(
        vert_properties=np.ascontiguousarray(vertices),
        tri_verts=np.ascontiguousarray(faces, dtype=np.uint64),
        face_id=np.ascontiguousarray(face_ids, dtype=np.uint64),
        run_index=np.array([0, 3 * len(faces)], dtype=np.uint64),
        run_original_id=np.array([manifold3d.Manifold.reserve_ids(1)], dtype=np.uint32),
    )
    return manifold3d.Manifold(mesh)
