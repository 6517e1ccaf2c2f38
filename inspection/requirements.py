"""What a view must offer for an element to count as inspected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Limits that every (element, view) pair is tested against."""

    max_incidence_deg: float = 60.0
    """Largest angle between the surface normal and the direction to the camera."""

    max_mm_per_px: float = 0.25
    """Coarsest sampling of the surface, in its worst direction."""

    max_blur_px: float = 1.5
    """Largest circle of confusion, in pixels."""

    border_px: float = 8.0
    """Margin of the image in which nothing counts as seen."""

    min_light: float = 0.05
    """Least irradiance from the ring, relative to a frontal element in focus with nothing in the way."""

    views_per_element: int = 1
    """How many views must see each element (k-coverage)."""

    def __post_init__(self) -> None:
        if not 0 < self.max_incidence_deg < 90:
            raise ValueError(f"requirements.max_incidence_deg must lie in (0, 90), got {self.max_incidence_deg}")
        for name in ("max_mm_per_px", "max_blur_px"):
            if not getattr(self, name) > 0:
                raise ValueError(f"requirements.{name} must be positive, got {getattr(self, name)}")
        for name in ("border_px", "min_light"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"requirements.{name} must be at least 0, got {getattr(self, name)}")
        if self.views_per_element < 1:
            raise ValueError(f"requirements.views_per_element must be at least 1, got {self.views_per_element}")

    @property
    def element_edge_mm(self) -> float:
        """Default bound on the edges of surface elements: six pixels at the coarsest sampling."""
        return 6.0 * self.max_mm_per_px
