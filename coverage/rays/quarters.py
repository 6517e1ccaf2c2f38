"""More than one sample of a triangle."""

from __future__ import annotations

import numpy as np

from viewcov.inspection.arrays import Floats


def quarter_centroids(corners_mm: Floats) -> Floats:
    """Centroids of four pieces of equal area of each triangle, shape (N, 4, 3), for corners of shape (N, 3, 3).

    The longest edge is halved from the opposite corner, then each half by the middle of its other long side,
    so that slivers are cut across. The first two pieces lie in one half, the last two in the other.
    """
    first = np.argmax(_edges(corners_mm), axis=1)
    a, b, tip = (corners_mm[np.arange(len(first)), (first + step) % 3] for step in range(3))
    middle = (a + b) / 2
    pieces = [
        piece
        for end in (a, b)
        for piece in ((end + middle + (end + tip) / 2) / 3, (middle + (end + tip) / 2 + tip) / 3)
    ]
    return np.stack(pieces, axis=1)


def longest_edge(corners_mm: Floats) -> Floats:
    """Length of each triangle's longest edge, shape (N,)."""
    longest: Floats = _edges(corners_mm).max(axis=1, initial=0.0)
    return longest


def _edges(corners_mm: Floats) -> Floats:
    """Lengths of the edges from each corner to the next, shape (N, 3)."""
    lengths: Floats = np.linalg.norm(np.roll(corners_mm, -1, axis=1) - corners_mm, axis=2)
    return lengths
