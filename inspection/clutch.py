"""The built-in part: one half of an aluminium clamp clutch, modelled with solid operations.

About 80 mm across, like the clutch part of Fulir et al. (CVPR workshops 2023): stepped bore, bolt holes with
countersinks, a clamping slot with its screw hole, chamfers, a turned groove, a turned and a milled side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from viewcov.inspection.arrays import Floats, Ints

_SEGMENTS = 96
_BOLT_CIRCLE_RADIUS_MM = 31.0
_NUM_BOLTS = 6

# Half profile (radius, height) of the turned body; each edge becomes one CAD face.
_BODY = ((15.0, 0.0), (38.5, 0.0), (40.0, 1.5), (40.0, 8.0), (38.0, 9.0), (38.0, 13.0), (40.0, 14.0),
         (40.0, 20.5), (38.5, 22.0), (23.0, 22.0), (22.0, 21.0), (22.0, 14.0), (16.0, 14.0), (15.0, 13.0))  # fmt: skip
_BOLT_HOLE = ((0.0, -1.0), (3.3, -1.0), (3.3, 19.3), (6.0, 22.0), (6.0, 23.0), (0.0, 23.0))


def clutch_half() -> tuple[Floats, Ints, Ints]:
    """Vertices (N, 3) in mm, faces (F, 3) and CAD face of each triangle (F,) of the built-in clutch half.

    The axis is Z; the turned side looks along +Z, the milled one along -Z.
    """
    body = _revolved(_BODY)
    for bolt in range(_NUM_BOLTS):
        angle = 2 * np.pi * (bolt + 0.5) / _NUM_BOLTS
        center = (_BOLT_CIRCLE_RADIUS_MM * np.cos(angle), _BOLT_CIRCLE_RADIUS_MM * np.sin(angle), 0.0)
        body -= _revolved(_BOLT_HOLE, segments=24).translate(center)
    # Clamping slot from the bore outward along +X, 3 mm wide, and the screw hole across it.
    body -= _box((10.0, -1.5, -1.0), (45.0, 1.5, 23.0))
    screw = _revolved(((0.0, -45.0), (2.75, -45.0), (2.75, 45.0), (0.0, 45.0)), segments=24)
    body -= screw.rotate((90.0, 0.0, 0.0)).translate((30.0, 0.0, 5.5))
    # Milled side: a key way across the face, and flats on the rim for the head and nut of the screw.
    body -= _box((-45.0, -6.0, -1.0), (-10.0, 6.0, 4.0))
    body -= _box((24.0, 32.0, -1.0), (45.0, 45.0, 11.0))
    body -= _box((24.0, -45.0, -1.0), (45.0, -32.0, 11.0))
    mesh = body.to_mesh64()
    vertices = np.array(mesh.vert_properties, dtype=np.float64)[:, :3]
    faces = np.array(mesh.tri_verts, dtype=np.int64)
    run = np.searchsorted(np.asarray(mesh.run_index)[1:] // 3, np.arange(len(faces)), side="right")
    solid = np.asarray(mesh.run_original_id)[run]
    face_id = np.asarray(mesh.face_id)
    # A CAD face is one face of one of the solids that were put together.
    _, cad_face_idx = np.unique(np.column_stack([solid, face_id]), axis=0, return_inverse=True)
    return vertices, faces, cad_face_idx.ravel().astype(np.int64)


def _revolved(profile: tuple[tuple[float, float], ...], *, segments: int = _SEGMENTS) -> Any:
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
        strip = np.concatenate(
            [np.column_stack([low, low_next, high_next]), np.column_stack([low, high_next, high])]
        )
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


def _solid(vertices: Floats, faces: Ints, face_ids: Ints) -> Any:
    import manifold3d

    mesh = manifold3d.Mesh64(
        vert_properties=np.ascontiguousarray(vertices),
        tri_verts=np.ascontiguousarray(faces, dtype=np.uint64),
        face_id=np.ascontiguousarray(face_ids, dtype=np.uint64),
        run_index=np.array([0, 3 * len(faces)], dtype=np.uint64),
        run_original_id=np.array([manifold3d.Manifold.reserve_ids(1)], dtype=np.uint32),
    )
    solid = manifold3d.Manifold(mesh)
    if solid.status() != manifold3d.Error.NoError:
        raise RuntimeError(f"solid is not closed: {solid.status()}")
    return solid
