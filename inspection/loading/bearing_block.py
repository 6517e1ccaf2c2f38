"""A second built-in part: a milled bearing block of about 90 x 60 x 43 mm.

Beside the turned clutch half it gives models that are trained on built-in parts milled faces, pockets, a boss
and inclined faces to learn from.
"""

from __future__ import annotations

from typing import Any

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.loading.solids import box, revolved, triangles_of


def bearing_block() -> tuple[Floats, Ints, Ints]:
    """Vertices (N, 3) in mm, faces (F, 3) and CAD face of each triangle (F,) of the built-in bearing block.

    It lies with its foot on z = 0; the bearing's bore runs along Y.
    """
    block = box((-45.0, -30.0, 0.0), (45.0, 30.0, 24.0))
    # Inclined shoulders, and the boss with the stepped bore.
    for side in (-1, 1):
        wedge = box((-20.0, -40.0, 0.0), (20.0, 40.0, 20.0)).rotate((0.0, 22.0 * side, 0.0))
        block -= wedge.translate((side * 47.0, 0.0, 18.0))
    block += _bore(((0.0, -24.0), (21.0, -24.0), (21.0, 24.0), (0.0, 24.0)))
    block -= _bore(_BORE)
    # Pockets in both end faces and a slot in the foot.
    for side in (-1, 1):
        block -= box((-12.0, 22.0, 3.0), (12.0, 40.0, 12.0)).translate((side * 27.0, 0.0, 0.0))
        block -= box((-9.0, -40.0, 3.0), (9.0, -24.0, 12.0)).translate((side * 27.0, 0.0, 0.0))
        block -= revolved(_HOLE, segments=24).translate((side * 34.0, 12.0, 0.0))
        block -= revolved(_HOLE, segments=24).translate((side * 34.0, -12.0, 0.0))
    block -= box((-8.0, -40.0, -1.0), (8.0, 40.0, 3.0))
    return triangles_of(block)


# fmt: off
_BORE = (
    (0.0, -40.0), (11.0, -40.0), (11.0, 10.0), (15.0, 10.0), (15.0, 23.0), (16.0, 24.0),
    (16.0, 40.0), (0.0, 40.0),
)
# fmt: on
_HOLE = ((0.0, -1.0), (2.75, -1.0), (2.75, 6.0), (5.0, 6.0), (5.0, 40.0), (0.0, 40.0))


def _bore(profile: tuple[tuple[float, float], ...]) -> Any:
    """Solid of revolution about the bearing's axis: along Y, 22 mm above the foot."""
    return revolved(profile).rotate((-90.0, 0.0, 0.0)).translate((0.0, 0.0, 22.0))
