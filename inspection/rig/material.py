"""What the part is made of, as far as light is concerned."""

from __future__ import annotations

from dataclasses import dataclass, replace

from viewcov.inspection.arrays import checked_number

_ALPHAS = (0.001, 1.0)
"""Below no light source is wide enough to be sampled; above, the microfacets' shadows are wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A rough metal: GGX microfacets of a conductor, with a lay; aluminium, finely machined, if not said."""

    eta: float = 1.1
    """Real part of the metal's refractive index."""

    k: float = 6.8
    """Imaginary part of the metal's refractive index (extinction)."""

    roughness_along: float = 0.23
    """GGX alpha along the machining grooves: the slope of the microfacets in that direction."""

    roughness_across: float = 0.32
    """GGX alpha across the machining grooves."""

    def __post_init__(self) -> None:
        checked_number(self.eta, name="material.eta", above=0.0)
        checked_number(self.k, name="material.k", at_least=0.0)
        for name in ("roughness_along", "roughness_across"):
            checked_number(getattr(self, name), name=f"material.{name}", at_least=_ALPHAS[0], at_most=_ALPHAS[1])

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
