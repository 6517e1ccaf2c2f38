"""What the part is made of, as far as light is concerned."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from viewcov.inspection.records import CHECKED, Above0, From0, Number

_ALPHAS = (0.001, 1.0)
"""Below no light source is wide enough to be sampled; above, the microfacets' shadows are wrong."""

_Alpha = Annotated[Number, Field(ge=_ALPHAS[0], le=_ALPHAS[1])]


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class Material:
    """A rough metal: GGX microfacets of a conductor, with a lay; aluminium, finely machined, if not said."""

    eta: Above0 = 1.1
    """Real part of the metal's refractive index."""

    k: From0 = 6.8
    """Imaginary part of the metal's refractive index (extinction)."""

    roughness_along: _Alpha = 0.23
    """GGX alpha along the machining grooves: the slope of the microfacets in that direction."""

    roughness_across: _Alpha = 0.32
    """GGX alpha across the machining grooves."""

    @property
    def roughness_plain(self) -> float:
        """GGX alpha of a face that has no lay: the geometric mean, which keeps the height of the highlight."""
        return float((self.roughness_along * self.roughness_across) ** 0.5)

    def as_rough_as(self, along: float, across: float) -> Material:
        """The same metal with other alphas, cut to those that there can be."""
        low, high = _ALPHAS
        return replace(self, roughness_along=min(max(along, low), high), roughness_across=min(max(across, low), high))

    def evenly_rough(self, factor: float = 1.0) -> Material:
        """The same metal without a lay, and so many times as rough."""
        alpha = factor * self.roughness_plain
        return self.as_rough_as(alpha, alpha)
