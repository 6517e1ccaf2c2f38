"""One camera pose of a plan."""

from __future__ import annotations

import re
from dataclasses import dataclass

from numpy.typing import ArrayLike

from viewcov.inspection.arrays import Floats
from viewcov.inspection.files import plain_name
from viewcov.inspection.poses import inverse, look_at, rigid

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Viewpoint:
    """One camera pose. Camera frame is OpenCV's: +x right, +y down, +z forward."""

    id: str
    """Name of the view and of its files: letters, digits, ``_`` and ``-``."""

    world_from_camera: Floats
    """Shape (4, 4), millimetres. Maps camera coordinates to part coordinates."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"viewpoint id must be letters, digits, '_' or '-' (at most 64), got {self.id!r}")
        plain_name(self.id)
        object.__setattr__(self, "world_from_camera", rigid(self.world_from_camera, name="world_from_camera"))

    @classmethod
    def looking_at(cls, center_mm: ArrayLike, target_mm: ArrayLike, *, id: str, roll_deg: float = 0.0) -> Viewpoint:  # noqa: A002
        """The viewpoint at ``center_mm`` whose optical axis meets ``target_mm``; see ``poses.look_at``."""
        return cls(id=id, world_from_camera=look_at(center_mm, target_mm, roll_deg=roll_deg))

    @property
    def center_mm(self) -> Floats:
        """Camera centre in the world frame, shape (3,)."""
        return self.world_from_camera[:3, 3]

    @property
    def forward(self) -> Floats:
        """Direction of the optical axis in the world frame, shape (3,)."""
        return self.world_from_camera[:3, 2]

    @property
    def camera_from_world(self) -> Floats:
        """Shape (4, 4), millimetres. Maps part coordinates to camera coordinates."""
        return inverse(self.world_from_camera)
