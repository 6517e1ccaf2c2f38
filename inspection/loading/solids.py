"""Solid modelling of the built-in parts: solids of revolution and boxes whose faces keep their identity."""

from __future__ import annotations

from typing import Any

import numpy as np

from viewcov.inspection.arrays import Floats, Ints

SEGMENTS = 96
"""Facets of a full circle of a large radius."""


def revolved(profile: tuple[tuple[float, float], ...], *, segments: int = SEGMENTS) -> Any:
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


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Any:
    """Axis-aligned box between two corners; each side is one CAD face."""
    corner = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    vertices = np.array(low) + corner * (np.array(high) - np.array(low))
    sides = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = np.array([tri for a, b, c, d in sides for tri in ((a, b, c), (a, c, d))])
    return _solid(vertices, faces, np.repeat(np.arange(6), 2))


def triangles_of(solid: Any) -> tuple[Floats, Ints, Ints]:
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
    solid = manifold3d.Manifold(mesh)
    if solid.status() != manifold3d.Error.NoError:
        raise RuntimeError(f"solid is not closed: {solid.status()}")
    return solid
