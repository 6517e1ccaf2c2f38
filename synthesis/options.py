"""What a data set of rendered inspections depends on besides the plan."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from viewcov.inspection.lay import PROCESSES
from viewcov.inspection.records import (
    AtLeastOne,
    Count,
    NotNegative,
    Options,
    Positive,
    Record,
    Rising,
    Seed,
    Share,
    one_of,
)
from viewcov.inspection.rig.light import MAX_REFLECTIONS


def _numbered(processes: object) -> object:
    """With the faces' numbers as text, as TOML and JSON have keys."""
    if not isinstance(processes, dict):
        return processes
    wrong = [key for key in processes if not str(key).isdecimal()]
    if wrong:
        raise ValueError(f"CAD face numbers, not {wrong[0]!r}")
    return {str(int(key)): process for key, process in processes.items()}


Range = Annotated[tuple[Positive, Positive], Rising]
"""Lowest and highest value, both positive."""


class Sensor(Record):
    """Noise of a camera's sensor."""

    full_well: Positive = 10_000.0
    """Electrons at full scale: the shot noise at a level L is sqrt(L / full_well)."""

    read_noise: NotNegative = 8.0
    """Standard deviation of the read-out, in electrons."""


class FinishRanges(Record):
    """What an instance's surface finish is drawn from, around the rig's material."""

    pitch_px: Range = (2.0, 4.5)
    """Least and greatest distance of the visible grooves in pixels; turned ones, others in proportion."""

    slope: Range = (0.8, 2.8)
    """Least and greatest steepness of the grooves, by that of grooves 4.5 um high at 0.22 mm."""

    roughness_spread: Annotated[Share, Field(lt=1.0)] = 0.2
    """How far an instance's roughness lies from the rig's at most, as a share of it."""


class SynthesisOptions(Options):
    """What a data set depends on besides the plan."""

    instances: Count = 1
    """Defective instances."""

    good: Count = 0
    """Instances without defects."""

    defects: Annotated[tuple[AtLeastOne, AtLeastOne], Rising] = (30, 40)
    """Fewest and most defects of a defective instance."""

    split: tuple[Share, Share, Share] = (0.0, 0.0, 1.0)
    """Shares of the instances for training, validation and test."""

    samples: AtLeastOne = 16
    """Light paths per pixel."""

    bounces: Annotated[int, Field(ge=1, le=64)] = MAX_REFLECTIONS
    """Most reflections of a light path on its way from the light to the camera."""

    seed: Seed = 0
    """The same seed gives the same bytes."""

    dent_radius_mm: Range | None = None
    """Least and greatest radius of dents; not given, they follow the rig's sampling and the part's size."""

    dent_depth: Range | None = None
    """Least and greatest depth of a dent by its radius."""

    scratch_length_mm: Range | None = None
    """Least and greatest length of scratches; not given, they follow the rig's sampling and the part's size."""

    scratch_width_mm: Range | None = None
    """Least and greatest width of scratches; not given, they follow the rig's sampling and the part's size."""

    scratch_depth: Range | None = None
    """Least and greatest depth of a scratch by its width."""

    scratch_share: Share | None = None
    """Chance that a defect is a scratch and not a dent."""

    torn_share: Share | None = None
    """Chance that a scratch is torn, rougher than the surface around it, and not burnished."""

    processes: Annotated[dict[str, Annotated[str, one_of(PROCESSES)]], BeforeValidator(_numbered)] = Field(
        default_factory=dict
    )
    """CAD face numbers and how they were machined (turned, drilled, milled, plain), where the shape does not tell."""

    finish: FinishRanges = FinishRanges()
    """What the surface finish of an instance is drawn from."""

    jitter_mm: NotNegative = 0.0
    """Standard deviation of the camera's position about the planned one, along each axis."""

    jitter_deg: NotNegative = 0.0
    """Standard deviation of the camera's rotation about the planned one, about each axis."""

    exposure: Positive = 1.0
    """Factor on the light for all images; 1 is the exposure that the rig's radiance is given for."""

    sensor: Sensor = Sensor()
    """Noise of the camera."""

    bits: Literal[8, 16] = 8
    """Depth of the images."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.instances + self.good == 0:
            raise ValueError("at least one instance, defective or good")
        if abs(sum(self.split) - 1.0) > 1e-6:
            raise ValueError("shares 'split' that add up to 1")
        return self

    def names(self) -> list[str]:
        """Names of the instances, good ones first."""
        good = [f"good-{number:03d}" for number in range(1, self.good + 1)]
        return good + [f"defective-{number:03d}" for number in range(1, self.instances + 1)]
