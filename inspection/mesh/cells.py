"""Triangles sorted into cells of a plane, so that only those near a line across it need be looked at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from viewcov.inspection.arrays import Floats, Ints


class Cells(NamedTuple):
    """Triangles by cell: c has ``entry[start[c]:start[c + 1]]`` and lies at column c % columns of row c // columns.

    The cells begin at ``low`` (2,), ``per_unit`` (2,) of them to the unit, and are ``num`` (2,) columns and rows.
    """

    low: Floats
    per_unit: Floats
    num: Ints
    start: Ints
    entry: Ints


_ENTRIES_PER_FACE = 16


def unit_points(vertices: Floats) -> Floats:
    """Vertices moved and scaled so that the part has size 1, the shortest side of its box along z."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    # Turned and not mirrored, which would turn the normals round.
    turn = np.eye(3)[np.argsort(low - high, kind="stable")]
    turn[2] *= np.linalg.det(turn)
    return np.ascontiguousarray((vertices - (low + high) / 2) / (high - low).max() @ turn.T)


def cells_of(corners: Floats) -> Cells:
    """Triangles (F, 3, 3) in square cells of the xy plane, about as many as there are triangles."""
    boxes = np.stack([corners[..., :2].min(axis=1), corners[..., :2].max(axis=1)])
    low, high = boxes[0].min(axis=0), boxes[1].max(axis=0)
    across = int(np.clip(np.sqrt(len(corners)), 1, 2048))
    while True:
        num = np.array([across, across])
        per_unit = num / np.maximum(high - low, 1e-12)
        first, last = np.clip(((boxes - low) * per_unit).astype(np.int64), 0, across - 1)
        entries = int(np.prod(last - first + 1, axis=1).sum())
        # Large triangles fill many cells: fewer cells then, so that memory stays in proportion to the faces.
        if across == 1 or entries <= _ENTRIES_PER_FACE * len(corners):
            break
        across = max(1, int(across / 1.5))
    start, entry = _filled(first, last, across, entries)
    return Cells(low, per_unit, num, start, entry)


@njit(cache=True, nogil=True)
def _filled(first, last, across, entries):  # type: ignore[no-untyped-def]
    """Start of each cell's entries, and the entries."""
    start = np.zeros(across * across + 1, np.int64)
    for face in range(len(first)):
        for row in range(first[face, 1], last[face, 1] + 1):
            for column in range(first[face, 0], last[face, 0] + 1):
                start[row * across + column + 1] += 1
    start = np.cumsum(start)
    place = start[:-1].copy()
    entry = np.empty(entries, np.int64)
    for face in range(len(first)):
        for row in range(first[face, 1], last[face, 1] + 1):
            for column in range(first[face, 0], last[face, 0] + 1):
                cell = row * across + column
                entry[place[cell]] = face
                place[cell] += 1
    return start, entry


@njit(cache=True, nogil=True)
def faces_at(x, y, cells):  # type: ignore[no-untyped-def]
    """The triangles of the cell at a place, none beside the cells."""
    low, per_unit, num, start, entry = cells
    column, row = int((x - low[0]) * per_unit[0]), int((y - low[1]) * per_unit[1])
    if x < low[0] or y < low[1] or column >= num[0] or row >= num[1]:
        return entry[:0]
    cell = row * num[0] + column
    return entry[start[cell] : start[cell + 1]]
