"""What the part is made of, as far as light is concerned."""

from __future__ import annotations

from dataclasses import dataclass

from viewcov.inspection.arrays import checked_number


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
        # Below 0.001 no light source is wide enough to be sampled; above 1 the microfacets' shadows are wrong.
        for name in ("roughness_along", "roughness_across"):
            checked_number(getattr(self, name), name=f"material.{name}", at_least=0.001, at_most=1.0)

    @property
    def roughness_plain(self) -> float:
        """GGX alpha of a face that has no lay: the geometric mean, which keeps the height of the highlight."""
        return float((self.roughness_along * self.roughness_across) ** 0.5)
