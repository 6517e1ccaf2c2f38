"""What a view must offer for an element to count as inspected, and how much each CAD face counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.mesh.surface import Surface
from viewcov.inspection.records import CHECKED, Above0, From0, Number, Whole

ViewMode = Literal["any", "dark-field", "bright-field"]


def _each_once(pairs: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
    faces = [face for face, _ in pairs]
    twice = sorted({face for face in faces if faces.count(face) > 1})
    if twice:
        raise ValueError(f"each face once, not {twice[0]} more than once")
    return tuple(sorted(pairs))


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class Requirements:
    """Limits that every (element, view) pair is tested against."""

    max_incidence_deg: Annotated[Above0, Field(lt=90.0)] = 60.0
    """Largest angle between the surface normal and the direction to the camera."""

    max_mm_per_px: Above0 = 0.25
    """Coarsest sampling of the surface, in its worst direction."""

    smallest_defect_mm: From0 = 0.0
    """Extent of the smallest defect that images must resolve; 0 if nothing is asked beyond ``max_mm_per_px``."""

    smallest_defect_px: Above0 = 3.0
    """Pixels that the smallest defect must span at least."""

    max_blur_px: Above0 = 1.5
    """Largest diameter of the blur by defocus and diffraction, in pixels."""

    border_px: From0 = 8.0
    """Margin of the image in which nothing counts as seen."""

    min_light: From0 = 0.05
    """Least irradiance from the ring, relative to a frontal element in focus with nothing in the way."""

    min_grey: From0 = 0.0
    """Least grey, as a share of full scale, of an element at an exposure that counts; 0 for no limit."""

    max_grey: Number | None = None
    """Largest grey at an exposure that counts, as a share of full scale; no limit if not given."""

    exposures: Annotated[tuple[Annotated[Number, Field(gt=-32, lt=32)], ...], Field(min_length=1)] = (0.0, 1.0, 2.0)
    """The exposures of the stack in stops: a multiplies the light by 2^a. One that suits an element suffices."""

    view_mode: ViewMode = "any"
    """``bright-field``: only elements in the light's highlight count; ``dark-field``: only those outside."""

    views_per_element: Annotated[Whole, Field(ge=1)] = 1
    """How many views must see each element (k-coverage)."""

    face_weights: Annotated[tuple[tuple[Annotated[Whole, Field(ge=0)], From0], ...], AfterValidator(_each_once)] = ()
    """CAD faces with how much their area counts against that of the others, which is 1; 0 leaves a face out."""

    def __post_init__(self) -> None:
        if self.max_grey is not None and self.max_grey <= self.min_grey:
            raise ValueError(f"max_grey above min_grey = {self.min_grey:g}, not {self.max_grey:g}")

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


def face_weights(part: Part, requirements: Requirements) -> Floats:
    """Weight of each CAD face of the part, shape (C,): 1 where the requirements name none.

    Raises InputError if the requirements name a face that the part does not have.
    """
    weights = np.ones(int(part.cad_face_idx.max()) + 1)
    for face, weight in requirements.face_weights:
        if face >= len(weights):
            raise InputError(
                part.source.path, "a weight is given to a CAD face that the part does not have",
                expected=f"a face from 0 to {len(weights) - 1}", found=str(face),
                remedy="see the column cad_face of geometric.parquet, written by 'viewcov evaluate --out'",
            )  # fmt: skip
        weights[face] = weight
    return weights


def left_out(part: Part, requirements: Requirements) -> Part:
    """The part with the faces of weight 0 not to be inspected."""
    if not requirements.face_weights:
        return part
    assert part.inspected is not None
    return replace(part, inspected=part.inspected & (face_weights(part, requirements)[part.cad_face_idx] > 0))


def weighted_areas_mm2(surface: Surface, requirements: Requirements) -> Floats:
    """Area of each element times the weight of its CAD face, shape (E,); 0 where nothing is to be inspected."""
    weights = face_weights(surface.part, requirements)[surface.cad_face_idx]
    return np.where(surface.inspected, surface.area_mm2 * weights, 0.0)
