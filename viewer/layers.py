"""The layers of results: what each array per element is called, how it is drawn, and what its gaps mean.

An array that has no entry here is shown under its own name; to give it words, add a `Layer` to ``LAYERS``.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from viewcov.coverage.ladder import LOSSES, Loss
from viewcov.inspection.arrays import Floats
from viewcov.inspection.records import Record
from viewcov.viewer import palette

Kind = Literal["number", "share", "count", "category", "label"]
"""``label`` numbers things without order, such as defects: each has a colour, none a place on a scale."""


class Layer(Record):
    """An array of numbers per element, in words."""

    name: str
    """The array's name. One word may stand for any: ``pod_{model}`` is ``pod_plain`` and all others of its form."""

    title: str
    """A few words, which may use the name's word."""

    unit: str = ""
    """Of its numbers, such as ``mm``."""

    kind: Kind = "number"
    """How it is drawn."""

    nothing: str = "no value"
    """What a gap means: NaN, or the value ``blank``."""

    blank: int | None = None
    """A number that stands for no value, in arrays that cannot hold NaN."""

    limits: tuple[float, float] | None = None
    """Range of its scale; that of the values if not given, and 0 to 1 for shares."""

    categories: tuple[str, ...] = ()
    """Of kind ``category``: what the values 0, 1, 2, ... mean."""

    colours: tuple[str, ...] = ()
    """Of kind ``category``: theirs, ``#rrggbb``."""

    main: bool = False
    """Whether a result opens on it."""

    reached: int | None = None
    """Value from which it is so: what results are compared by."""

    verb: str = ""
    """What it is then, such as ``covered``."""

    @property
    def label(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def values(self, array: ArrayLike) -> Floats:
        """The array as floats, its gaps as NaN."""
        values = np.array(array, dtype=np.float64)
        if self.blank is not None:
            values[values == self.blank] = np.nan
        return values

    def text(self, value: Any) -> str:
        """A value in words."""
        (number,) = self.values([value])
        if np.isnan(number):
            return self.nothing
        if self.kind == "category":
            return self.categories[int(number)] if 0 <= number < len(self.categories) else f"{number:g}"
        if self.kind == "share":
            return f"{100 * number:.4g} %"
        digits = f"{number:.0f}" if self.kind in ("count", "label") else f"{number:.4g}"
        return f"{digits} {self.unit}".rstrip()

    def named(self, name: str, words: dict[str, str]) -> Layer:
        """The layer of one array, its pattern's word filled in; names of models stay as they are."""
        said = {key: word if key == "model" else word.replace("_", " ") for key, word in words.items()}
        return self.model_copy(update={"name": name, "title": self.title.format(**said)})


_NO_VIEW = "no view inspects it"
_NO_IMAGE = "no image shows it"

LAYERS: list[Layer] = [
    Layer(
        name="rung", title="Covered by the plan", kind="category", blank=-1, main=True, nothing="not to be inspected",
        reached=2, verb="covered",
        categories=("no viewpoint could cover it", "coverable, not covered", "covered"),
        colours=(palette.LOST, palette.ALMOST, palette.COVERED),
    ),
    Layer(name="num_views", title="Views that inspect it", kind="count", blank=0, nothing=_NO_VIEW),
    Layer(
        name="loss", title="What is lost, and why", kind="category", blank=-1, nothing="nothing lost",
        categories=tuple(LOSSES[loss] for loss in Loss), colours=tuple(palette.LOSSES[loss] for loss in Loss),
    ),
    Layer(name="tests_passed", title="Tests that its most promising view passes", kind="count"),
    Layer(name="coverable", title="Coverable", kind="category", categories=("no", "yes"),
          colours=(palette.LOST, palette.COVERED)),
    Layer(name="inspected", title="To be inspected", kind="category", categories=("no", "yes"),
          colours=(palette.EXCLUDED, palette.BLUE)),
    Layer(name="best_mm_per_px", title="Finest sampling", unit="mm/px", nothing=_NO_VIEW),
    Layer(name="best_incidence_deg", title="Smallest incidence angle", unit="°", nothing=_NO_VIEW, limits=(0.0, 90.0)),
    Layer(name="best_grey", title="Best grey level", unit="of full scale", nothing=_NO_VIEW, limits=(0.0, 1.0)),
    Layer(name="fix", title="Viewpoint to add for it", kind="label", blank=-1, nothing="none does, or needs to"),
    Layer(
        name="nearest", title="Nearest viewpoint that would cover it", kind="label", blank=-1,
        nothing="covered already, or out of reach",
    ),
    Layer(
        name="nearest_distance_mm", title="Way to a viewpoint that would cover it", unit="mm",
        nothing="covered already, or out of reach: needs no move",
    ),
    Layer(name="covered_probability", title="Coverage under pose noise", kind="share", nothing="not to be inspected"),
    Layer(name="visible_views", title="Views that show it", kind="count", blank=0, nothing=_NO_IMAGE),
    Layer(
        name="state_{model}", title="Where PoD reaches the level, {model}", kind="category", main=True, blank=0,
        reached=2, verb="found", nothing=_NO_IMAGE,
        categories=(_NO_IMAGE, "shown, but PoD below the level", "PoD at the level or above"),
        colours=(palette.NOTHING, palette.ALMOST, palette.COVERED),
    ),
    Layer(name="pod_{model}", title="Probability of detection (PoD), {model}", kind="share", nothing=_NO_IMAGE),
    Layer(name="probability_{rule}", title="Fused defect probability, {rule}", kind="share", nothing=_NO_IMAGE),
    Layer(name="defect", title="Reported defects", kind="label", blank=0, nothing="no defect reported",
          reached=1, verb="reported"),
    Layer(name="true_share", title="Share that planted defects cover", kind="share"),
    Layer(name="cad_face_idx", title="CAD face", kind="label"),
]  # fmt: skip
"""Every layer that viewcov's results hold; the first entry that fits an array's name counts."""


def layer_of(name: str) -> Layer:
    """The layer of an array; a plain one of that name where there is no entry."""
    for layer in LAYERS:
        words = re.split(r"\{(\w+)\}", layer.name)
        pattern = "".join(f"(?P<{w}>.+)" if k % 2 else re.escape(w) for k, w in enumerate(words))
        match = re.fullmatch(pattern, name)
        if match is not None:
            return layer.named(name, match.groupdict())
    return Layer(name=name, title=name.replace("_", " "))
