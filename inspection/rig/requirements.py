"""What a view must offer for an element to count as inspected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from viewcov.inspection.arrays import checked_count, checked_number

ViewMode = Literal["any", "dark-field", "bright-field"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Limits that every (element, view) pair is tested against."""

    max_incidence_deg: float = 60.0
    """Largest angle between the surface normal and the direction to the camera."""

    max_mm_per_px: float = 0.25
    """Coarsest sampling of the surface, in its worst direction."""

    smallest_defect_mm: float = 0.0
    """Extent of the smallest defect that images must resolve; 0 if nothing is asked beyond ``max_mm_per_px``."""

    smallest_defect_px: float = 3.0
    """Pixels that the smallest defect must span at least."""

    max_blur_px: float = 1.5
    """Largest diameter of the blur by defocus and diffraction, in pixels."""

    border_px: float = 8.0
    """Margin of the image in which nothing counts as seen."""

    min_light: float = 0.05
    """Least irradiance from the ring, relative to a frontal element in focus with nothing in the way."""

    min_grey: float = 0.0
    """Least grey, as a share of full scale, of an element at an exposure that counts; 0 for no limit."""

    max_grey: float | None = None
    """Largest grey at an exposure that counts, as a share of full scale; no limit if not given."""

    exposures: tuple[float, ...] = (0.0, 1.0, 2.0)
    """The exposures of the stack in stops: a multiplies the light by 2^a. One that suits an element suffices."""

    view_mode: ViewMode = "any"
    """``bright-field``: only elements in the light's highlight count; ``dark-field``: only those outside."""

    views_per_element: int = 1
    """How many views must see each element (k-coverage)."""

    face_weights: tuple[tuple[int, float], ...] = ()
    """CAD faces with how much their area counts against that of the others, which is 1; 0 leaves a face out."""

    def __post_init__(self) -> None:
        checked_number(self.max_incidence_deg, name="requirements.max_incidence_deg", above=0.0, below=90.0)
        for name in ("max_mm_per_px", "smallest_defect_px", "max_blur_px"):
            checked_number(getattr(self, name), name=f"requirements.{name}", above=0.0)
        for name in ("smallest_defect_mm", "border_px", "min_light", "min_grey"):
            checked_number(getattr(self, name), name=f"requirements.{name}", at_least=0.0)
        if self.max_grey is not None:
            checked_number(self.max_grey, name="requirements.max_grey", above=self.min_grey)
        if not isinstance(self.exposures, tuple | list) or not self.exposures:
            raise ValueError(f"requirements.exposures must be one number of stops or more, got {self.exposures!r}")
        stops = tuple(checked_number(a, name="requirements.exposures", above=-32, below=32) for a in self.exposures)
        object.__setattr__(self, "exposures", stops)
        if self.view_mode not in get_args(ViewMode):
            raise ValueError(
                f"requirements.view_mode must be one of {', '.join(get_args(ViewMode))}, got {self.view_mode!r}"
            )
        views = checked_count(self.views_per_element, name="requirements.views_per_element", at_least=1)
        object.__setattr__(self, "views_per_element", views)
        object.__setattr__(self, "face_weights", _checked_weights(self.face_weights))

    @property
    def coarsest_mm_per_px(self) -> float:
        """Coarsest sampling that is fine enough for both ``max_mm_per_px`` and the smallest defect."""
        if self.smallest_defect_mm == 0.0:
            return self.max_mm_per_px
        return min(self.max_mm_per_px, self.smallest_defect_mm / self.smallest_defect_px)

    @property
    def limits_grey(self) -> bool:
        """Whether an element can be too dark or too bright."""
        return self.min_grey > 0 or self.max_grey is not None

    @property
    def element_edge_mm(self) -> float:
        """Default bound on the edges of surface elements: six pixels at the coarsest sampling."""
        return 6.0 * self.coarsest_mm_per_px


def _checked_weights(pairs: object) -> tuple[tuple[int, float], ...]:
    name = "requirements.face_weights"
    if not isinstance(pairs, tuple | list) or any(not isinstance(one, tuple | list) or len(one) != 2 for one in pairs):
        raise ValueError(f"{name} must be pairs of a CAD face and its weight, got {pairs!r}")
    faces = [checked_count(face, name=f"{name}: face", at_least=0) for face, _ in pairs]
    weights = [checked_number(weight, name=f"{name}: weight", at_least=0.0) for _, weight in pairs]
    twice = sorted({face for face in faces if faces.count(face) > 1})
    if twice:
        raise ValueError(f"{name} must name each face once, got {twice[0]} more than once")
    return tuple(sorted(zip(faces, weights, strict=True)))
