"""The built-in part: one half of an aluminium clamp clutch, modelled with solid operations.

About 80 mm across, like the clutch part of Fulir et al. (CVPR workshops 2023): stepped bore, bolt holes with
countersinks, a clamping slot with its screw hole, chamfers, a turned groove, a turned and a milled side.
"""

from __future__ import annotations

import numpy as np

from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.loading.solids import box, revolved, triangles_of

_BOLT_CIRCLE_RADIUS_MM = 31.0
_NUM_BOLTS = 6

# Half profile (radius, height) of the turned body; each edge becomes one CAD face.
# fmt: off
_BODY = (
    (15.0, 0.0), (38.5, 0.0), (40.0, 1.5), (40.0, 8.0), (38.0, 9.0), (38.0, 13.0), (40.0, 14.0),
    (40.0, 20.5), (38.5, 22.0), (23.0, 22.0), (22.0, 21.0), (22.0, 14.0), (16.0, 14.0), (15.0, 13.0),
)
# fmt: on
_BOLT_HOLE = ((0.0, -1.0), (3.3, -1.0), (3.3, 19.3), (6.0, 22.0), (6.0, 23.0), (0.0, 23.0))


def clutch_half() -> tuple[Floats, Ints, Ints]:
    """Vertices (N, 3) in mm, faces (F, 3) and CAD face of each triangle (F,) of the built-in clutch half.

    The axis is Z; the turned side looks along +Z, the milled one along -Z.
    """
    body = revolved(_BODY)
    for bolt in range(_NUM_BOLTS):
        angle = 2 * np.pi * (bolt + 0.5) / _NUM_BOLTS
        center = (_BOLT_CIRCLE_RADIUS_MM * np.cos(angle), _BOLT_CIRCLE_RADIUS_MM * np.sin(angle), 0.0)
        body -= revolved(_BOLT_HOLE, segments=24).translate(center)
    # Clamping slot from the bore outward along +X, 3 mm wide, and the screw hole across it.
    body -= box((10.0, -1.5, -1.0), (45.0, 1.5, 23.0))
    screw = revolved(((0.0, -45.0), (2.75, -45.0), (2.75, 45.0), (0.0, 45.0)), segments=24)
    body -= screw.rotate((90.0, 0.0, 0.0)).translate((30.0, 0.0, 5.5))
    # Milled side: a key way across the face, and flats on the rim for the head and nut of the screw.
    body -= box((-45.0, -6.0, -1.0), (-10.0, 6.0, 4.0))
    body -= box((23.0, 25.0, -1.0), (37.0, 45.0, 11.0))
    body -= box((23.0, -45.0, -1.0), (37.0, -25.0, 11.0))
    return triangles_of(body)
