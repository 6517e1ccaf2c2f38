"""Planted defects of a synthesized inspection: ``truth.json``, which synthesis writes and coverage reads."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from viewcov.inspection.records import Count, FileRecord, NotNegative, Point, Record

DefectKind = Literal["dent", "scratch"]


class PlantedDefect(Record):
    """One defect. What only its making needs has defaults, for truth that was measured on a real part."""

    id: Annotated[int, Field(ge=1, lt=2**31)]
    """Number of the defect, from 1."""

    kind: DefectKind
    """What it is."""

    center_mm: Point
    """The site on the part's surface."""

    normal: Point | None = None
    """Outward normal of the CAD face there."""

    size_mm: NotNegative
    """Largest extent on the surface."""

    depth_mm: NotNegative
    """Largest depth."""

    width_mm: NotNegative
    """Extent across."""

    area_mm2: NotNegative
    """Area on the surface."""

    part_face: Count | None = None
    """Triangle of the part that the site lies on."""

    cad_face: Annotated[int, Field(ge=-1)]
    """CAD face of the site, -1 if it is not known."""

    rim: NotNegative = 0.0
    """Height of the raised rim or burr around it, as a share of the depth."""

    path_mm: tuple[Point, ...] = ()
    """The groove's path on the surface; one point for a dent."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    """What it was made with."""


def _numbered_once(defects: tuple[PlantedDefect, ...]) -> tuple[PlantedDefect, ...]:
    numbers = [defect.id for defect in defects]
    twice = [number for number in set(numbers) if numbers.count(number) > 1]
    if twice:
        raise ValueError(f"defects with numbers of their own, got {min(twice)} more than once")
    return defects


class Truth(FileRecord):
    """The content of ``truth.json``."""

    REMEDY: ClassVar[str] = "make it again with 'viewcov synthesize'"

    schema_version: Literal["viewcov-truth/1"] = "viewcov-truth/1"

    defects: Annotated[tuple[PlantedDefect, ...], AfterValidator(_numbered_once)]
    """In the order of their making."""

    rejected_sites: dict[str, Count] = Field(default_factory=dict)
    """Sites that were drawn and given up, by reason."""

    seed: Count | None = None
    """What chance was drawn from."""

    texture: dict[str, Any] = Field(default_factory=dict)
    """Finish of the surface."""
