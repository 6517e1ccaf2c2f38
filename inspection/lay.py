"""How each CAD face was machined, and texture coordinates along its lay.

Turning leaves grooves around an axis, milling straight ones. The texture coordinate u runs along the grooves
and v across them, both in millimetres: an anisotropic material and a bump map act as on the real face.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from viewcov.inspection.arrays import Floats, Ints, Ints32
from viewcov.inspection.mesh.part import Part, cad_corner_normals, triangle_areas, triangle_normals, unit

_FLAT_RMS_DEG = 1.0
_ROUND_RMS_DEG = 4.0
_MAX_MERIDIAN_SPAN_DEG = 120.0
_MIN_RING_SHARE = 0.5
_MIN_MAIN_SHARE = 0.1


Course = Literal["around", "straight", "none"]
"""How grooves run: about an axis, along a direction, or there are none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceLay:
    """The machining of one CAD face."""

    course: Course
    """How its grooves run."""

    process: str = "plain"
    """One of ``PROCESSES``."""

    flat: bool
    """Whether the face is a plane."""

    origin_mm: Floats
    """Shape (3,). A point on the axis, or the middle of the face."""

    axis: Floats
    """Shape (3,), unit length. Axis of rotation, or the normal of a milled face."""

    along: Floats
    """Shape (3,). Milled: direction of the grooves. Round: (radial, axial, 0) of the meridian."""

    radius_mm: float
    """Round: mean distance to the axis, by which angles become millimetres. 0 otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Line:
    origin: Floats
    axis: Floats

    def same_as(self, other: _Line, size_mm: float) -> bool:
        off = np.linalg.norm(np.cross(other.origin - self.origin, self.axis))
        return bool(abs(self.axis @ other.axis) > np.cos(np.deg2rad(1.0)) and off < 0.005 * size_mm)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MachinedFace:
    """A CAD face, of which a process tells whether it made it.

    Of its triangles: corners (T, 3, 3), smooth normals there, own normals (T, 3), areas (T,).
    """

    corners: Floats
    smooth: Floats
    normal: Floats
    area: Floats

    own: _Line | None = None
    """The axis about which it is one of rotation."""

    main: _Line | None = None
    """The part's main axis."""

    wished: bool = False
    """Whether the user says that it was made by the process."""

    @property
    def points(self) -> Floats:
        """The corners one by one, shape (3 T, 3)."""
        return self.corners.reshape(-1, 3)

    @property
    def is_flat(self) -> bool:
        """Whether it is a plane."""
        mean = np.average(self.normal, axis=0, weights=self.area)
        # The mean of unit vectors that lean by a (rms) has length 1 - a^2 / 2.
        return bool(np.linalg.norm(mean) > 1.0 - 0.5 * np.deg2rad(_FLAT_RMS_DEG) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """How faces are machined: where, which way the grooves run, and what they look like."""

    lay_of: Callable[[MachinedFace], FaceLay | None]
    """The lay of a face, None if it cannot have been made so."""

    grooved: bool = True
    """Whether it leaves grooves; else grain, the same in all directions."""

    coarseness: float = 1.0
    """Distance of the visible grooves, by that of turned ones."""

    streak: float = 1.0
    """Length over which a groove keeps its depth, by that of turned ones."""

    columns: int = 1024
    """Of a height tile, along the lay: around a hole only a short tile closes without being squeezed."""


def face_lays(part: Part, *, processes: Mapping[int, str] | None = None) -> tuple[FaceLay, ...]:
    """The machining of each CAD face, by its shape.

    ``processes`` has CAD face numbers and their process, one of ``PROCESSES``, where the user knows better: ``milled``
    or ``plain`` always apply, ``turned`` and ``drilled`` only where the face is one of rotation.
    """
    faces = _faces(part)
    main = _main_axis(part.largest_extent_mm, faces)
    wishes = processes or {}
    return tuple(_lay_of(replace(face, main=main), wishes.get(cad)) for cad, face in enumerate(faces))


def lay_coordinates(lays: tuple[FaceLay, ...], cad_face_idx: Ints32, corners_mm: Floats) -> Floats:
    """Texture coordinates (u along, v across the lay) in mm, shape (G, 3, 2), of triangles (G, 3, 3).

    The angle about an axis is unwrapped within each triangle, so none spans the seam.
    """
    uv = np.zeros((*corners_mm.shape[:2], 2))
    for lay, rows in zip(lays, _rows_by_face(cad_face_idx, len(lays)), strict=True):
        if rows.size:
            uv[rows] = _coordinates(lay, corners_mm[rows])
    return uv


def lay_directions(lays: tuple[FaceLay, ...], cad_face_idx: Ints32, points_mm: Floats, normals: Floats) -> Floats:
    """Unit vectors along the machining grooves, shape (N, 3), in the planes with the unit normals (N, 3).

    At points (N, 3) of the CAD faces (N,); NaN where a face has no lay, and on the axis of a turned one.
    """
    directions = np.full(points_mm.shape, np.nan)
    for cad in np.unique(cad_face_idx):
        lay, rows = lays[cad], np.flatnonzero(cad_face_idx == cad)
        if lay.course == "none":
            continue
        around = np.cross(lay.axis, points_mm[rows] - lay.origin_mm)
        along = np.broadcast_to(lay.along, around.shape) if lay.course == "straight" else around
        tangent = along - np.einsum("ni,ni->n", along, normals[rows])[:, None] * normals[rows]
        length = np.linalg.norm(tangent, axis=1, keepdims=True)
        directions[rows] = np.divide(tangent, length, out=np.full_like(tangent, np.nan), where=length > 1e-9)
    return directions


def polar_edge_limit_mm(lays: tuple[FaceLay, ...], cad_face_idx: Ints32, corners_mm: Floats, error_mm: float) -> Floats:
    """Longest edge, shape (G,), at which the lay of triangles (G, 3, 3) bends less than ``error_mm``.

    A chord of length e misses a circle of radius r by e^2 / 8 r; only flat turned faces have such triangles,
    the limit of others is infinity.
    """
    limit = np.full(len(corners_mm), np.inf)
    for cad, lay in enumerate(lays):
        if lay.flat and lay.course == "around":
            rows = np.flatnonzero(cad_face_idx == cad)
            radius = _radius_height(lay, corners_mm[rows])[0].mean(axis=1)
            limit[rows] = np.sqrt(8.0 * error_mm * np.maximum(radius, 4.0 * error_mm))
    return limit


def _rows_by_face(cad_face_idx: Ints32, num_faces: int) -> list[Ints]:
    """The rows of each CAD face."""
    order = np.argsort(cad_face_idx, kind="stable")
    return np.split(order, np.searchsorted(cad_face_idx[order], np.arange(1, num_faces)))


def _faces(part: Part) -> list[MachinedFace]:
    """The CAD faces, of triangles that have an area, with their axes."""
    smooth, area = cad_corner_normals(part), triangle_areas(part.corners_mm)
    made = []
    for all_rows in _rows_by_face(part.cad_face_idx, int(part.cad_face_idx.max()) + 1):
        rows = all_rows[area[all_rows] > 0]
        corners = part.corners_mm[rows]
        face = MachinedFace(corners=corners, smooth=smooth[rows], normal=triangle_normals(corners), area=area[rows])
        made.append(replace(face, own=_axis_of(face)))
    return made


def _axis_of(face: MachinedFace) -> _Line | None:
    """The axis about which a face is one of rotation; None for planes and others.

    Every normal line of such a face meets the axis: (c x n) . a + n . m = 0 with the axis' Plücker
    coordinates (a, m). The best pair in the least-squares sense with |a| = 1 is an eigenvector.
    """
    if len(face.area) < 4 or face.is_flat:
        return None
    points, normals, weights = face.points, face.smooth.reshape(-1, 3), np.repeat(face.area, 3)
    base = np.average(points, axis=0, weights=weights)
    size = max(float(np.ptp(points, axis=0).max()), 1e-9)
    c = (points - base) / size
    rows = np.hstack([np.cross(c, normals), normals]) * np.sqrt(weights / weights.sum())[:, None]
    moments = rows.T @ rows
    aa, am, mm = moments[:3, :3], moments[:3, 3:], moments[3:, 3:]
    inverse = np.linalg.pinv(mm, rcond=1e-5, hermitian=True)
    values, vectors = np.linalg.eigh(aa - am @ inverse @ am.T)
    if values[1] < 1e-9:  # A sphere is one of rotation about many axes.
        return None
    axis = vectors[:, 0]
    axis = axis * (1.0 if axis[np.argmax(np.abs(axis))] > 0 else -1.0)
    moment = -inverse @ am.T @ axis
    moment -= (moment @ axis) * axis  # A screw's pitch is dropped.
    line = _Line(origin=base + size * np.cross(axis, moment), axis=axis)
    return line if _round_error_deg(line, face) <= _ROUND_RMS_DEG else None


def _round_error_deg(line: _Line, face: MachinedFace) -> float:
    """Root mean square angle by which normals leave the planes through the axis, degrees."""
    around = unit(np.cross(line.axis, face.points - line.origin))
    lean = np.clip(np.einsum("ni,ni->n", around, face.smooth.reshape(-1, 3)), -1.0, 1.0)
    return float(np.rad2deg(np.sqrt(np.average(np.arcsin(lean) ** 2, weights=np.repeat(face.area, 3)))))


def _main_axis(size_mm: float, faces: list[MachinedFace]) -> _Line | None:
    """The axis with the largest curved area about it, if that is a good share of the part."""
    best: list[MachinedFace] = []
    best_area = 0.0
    for axis in (face.own for face in faces if face.own):
        about = [face for face in faces if face.own and axis.same_as(face.own, size_mm)]
        about_area = sum(float(face.area.sum()) for face in about)
        if about_area > best_area + 1e-9:
            best, best_area = about, about_area
    if best_area < _MIN_MAIN_SHARE * sum(float(face.area.sum()) for face in faces):
        return None
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(face, name) for face in best]) for name in ("corners", "smooth", "normal", "area")
    }
    return _axis_of(MachinedFace(**joined))


def _lay_of(face: MachinedFace, wish: str | None) -> FaceLay:
    """By the first process, from the one wished for on, that can have made the face."""
    if not len(face.area):
        return _plain(np.zeros(3))
    names = list(PROCESSES)
    for name in names[names.index(wish) if wish else 0 :]:
        lay = PROCESSES[name].lay_of(replace(face, wished=wish == name))
        if lay is not None:
            return replace(lay, process=name)
    return _plain(face.points.mean(axis=0))


def turned_lay(face: MachinedFace) -> FaceLay | None:
    """About the part's main axis: faces of rotation, and rings across it."""
    if face.main is None:
        return None
    lay = round_lay(face, face.main)
    if face.is_flat:
        return lay if (_fills_ring(face.main, face) or face.wished) and _is_across(face.main, face) else None
    return lay if _follows(lay, face.main, face) else None


def drilled_lay(face: MachinedFace) -> FaceLay | None:
    """About the face's own axis."""
    if face.own is None:
        return None
    lay = round_lay(face, face.own)
    return lay if _follows(lay, face.own, face) else None


def _follows(lay: FaceLay, line: _Line, face: MachinedFace) -> bool:
    """Whether a curved face is one of rotation about the line and its meridian fairly straight."""
    return _round_error_deg(line, face) <= _ROUND_RMS_DEG and _meridian_span_deg(lay, face) <= _MAX_MERIDIAN_SPAN_DEG


def _is_across(line: _Line, face: MachinedFace) -> bool:
    """Whether a flat face is perpendicular to the line."""
    return bool(abs(np.average(face.normal @ line.axis, weights=face.area)) > np.cos(np.deg2rad(_FLAT_RMS_DEG)))


def _fills_ring(line: _Line, face: MachinedFace) -> bool:
    """Facing on a lathe makes whole rings; a key way's floor fills little of the ring it lies in."""
    radius = np.linalg.norm(np.cross(face.points - line.origin, line.axis), axis=1)
    edge = np.roll(face.corners, -1, axis=1) - face.corners
    side = np.cross(edge, line.origin - face.corners) @ line.axis
    has_middle = ((side >= 0).all(axis=1) | (side <= 0).all(axis=1)).any()
    inner = 0.0 if has_middle else float(radius.min())
    return bool(face.area.sum() >= _MIN_RING_SHARE * np.pi * (float(radius.max()) ** 2 - inner**2))


def round_lay(face: MachinedFace, line: _Line) -> FaceLay:
    """The lay of grooves about an axis."""
    arm = face.points - line.origin
    meridian = np.column_stack([np.linalg.norm(np.cross(arm, line.axis), axis=1), arm @ line.axis])
    weights = np.repeat(face.area, 3)
    center = np.average(meridian, axis=0, weights=weights)
    spread = ((meridian - center).T * weights) @ (meridian - center)
    radial, axial = np.linalg.eigh(spread)[1][:, 1]
    sign = 1.0 if (abs(axial) < 1e-6 and radial > 0) or axial >= 1e-6 else -1.0
    return FaceLay(
        course="around", flat=face.is_flat, origin_mm=line.origin, axis=line.axis,
        along=np.array([sign * radial, sign * axial, 0.0]), radius_mm=float(center[0]),
    )  # fmt: skip


def _meridian_span_deg(lay: FaceLay, face: MachinedFace) -> float:
    """Range of the angle between the meridian's tangent and its mean, degrees."""
    arm = face.corners.mean(axis=1) - lay.origin_mm
    outward = unit(arm - (arm @ lay.axis)[:, None] * lay.axis)
    radial, axial = np.einsum("ni,ni->n", face.normal, outward), face.normal @ lay.axis
    # The normal leans as the tangent does.
    angle = np.arctan2(axial, radial) - np.arctan2(axial.mean(), radial.mean())
    return float(np.rad2deg(np.ptp((angle + np.pi) % (2 * np.pi))))


def straight_lay(face: MachinedFace) -> FaceLay:
    """The lay of grooves along the face's longest extent."""
    axis = unit(np.average(face.normal, axis=0, weights=face.area))
    center = np.average(face.corners.mean(axis=1), axis=0, weights=face.area)
    # Second moment of the area: of a triangle with corners p it is A / 12 (sum p p' + (sum p)(sum p)').
    arm = face.corners - center
    arms = np.concatenate([arm, arm.sum(axis=1, keepdims=True)], axis=1)
    moment = np.einsum("t,tki,tkj->ij", face.area / 12.0, arms, arms)
    along = np.linalg.eigh(moment)[1][:, 2]
    along = unit(along - (along @ axis) * axis)
    along = along * (1.0 if along[np.argmax(np.abs(along))] > 0 else -1.0)
    return FaceLay(course="straight", flat=True, origin_mm=center, axis=axis, along=along, radius_mm=0.0)


def _plain(center: Floats) -> FaceLay:
    along, _, up = np.eye(3)
    return FaceLay(course="none", flat=False, origin_mm=center, axis=up, along=along, radius_mm=0.0)


def _radius_height(lay: FaceLay, points: Floats) -> tuple[Floats, Floats]:
    arm = points - lay.origin_mm
    return np.linalg.norm(np.cross(arm, lay.axis), axis=-1), arm @ lay.axis


def _coordinates(lay: FaceLay, corners: Floats) -> Floats:
    if lay.course == "around":
        start = np.eye(3)[np.argmin(np.abs(lay.axis))]
        x = unit(np.cross(lay.axis, start))
        y = np.cross(lay.axis, x)
        arm = corners - lay.origin_mm
        angle = np.arctan2(arm @ y, arm @ x)
        center = arm.mean(axis=1)
        middle = np.arctan2(center @ y, center @ x)[:, None]
        angle = middle + (angle - middle + np.pi) % (2 * np.pi) - np.pi
        radius, height = _radius_height(lay, corners)
        return np.stack([angle * lay.radius_mm, lay.along[0] * radius + lay.along[1] * height], axis=-1)
    arm = corners - lay.origin_mm
    if lay.course == "straight":
        return np.stack([arm @ lay.along, arm @ np.cross(lay.axis, lay.along)], axis=-1)
    # Plain faces have no lay, and their texture no direction: each is seen along the axis it faces most.
    normal = np.abs(triangle_normals(corners))
    drop = np.argmax(normal, axis=1)
    keep = np.array([[1, 2], [2, 0], [0, 1]])[drop]
    return np.take_along_axis(corners, np.repeat(keep[:, None, :], 3, axis=1), axis=2)


PROCESSES: dict[str, Process] = {
    "turned": Process(lay_of=turned_lay, columns=512),
    "drilled": Process(lay_of=drilled_lay, coarseness=0.8, streak=0.25, columns=256),
    "milled": Process(lay_of=lambda face: straight_lay(face) if face.is_flat or face.wished else None, coarseness=1.5),
    "plain": Process(lay_of=lambda face: _plain(face.points.mean(axis=0)), grooved=False, coarseness=0.8),
}
"""Tried in this order; what stands behind ``plain`` is found only where the user says so."""
