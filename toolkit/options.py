"""Options that mean the same in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

Out: TypeAlias = Annotated[Path | None, Parameter(help="Where to write the result.")]
Seed: TypeAlias = Annotated[int, Parameter(help="Start of the random numbers; same seed, same result.")]
Jobs: TypeAlias = Annotated[int, Parameter(help="Processes to use.")]
Json: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON object on stdout and nothing else.")
]
RigName: TypeAlias = Annotated[
    str, Parameter(name="--rig", help="Rig file (TOML), or a shipped rig: paper, paper-half, paper-quarter.")
]
Units: TypeAlias = Annotated[
    Literal["mm", "cm", "m", "inch"] | None, Parameter(help="Unit of a mesh file that states none.")
]
ScaleMm: TypeAlias = Annotated[
    float | None, Parameter(help="Scale the part so that its largest extent becomes this many mm.")
]
CoverageTarget: TypeAlias = Annotated[
    float, Parameter(name="--coverage", help="Share of the coverable area that the plan must cover.")
]
NumViews: TypeAlias = Annotated[
    int | None, Parameter(name="--views", help="Use this many views and cover as much as they can.")
]
Overlap: TypeAlias = Annotated[
    int | None, Parameter(help="Views that must see each element; from the rig's requirements if not given.")
]
TimeLimit: TypeAlias = Annotated[float, Parameter(name="--time-limit", help="Seconds for the proof.")]
NoiseDraws: TypeAlias = Annotated[
    int,
    Parameter(name="--robustness", help="Draws of pose noise to measure coverage under, each one an evaluation more."),
]
NoiseMm: TypeAlias = Annotated[float, Parameter(help="Pose noise of the camera centre: mm, 1 sigma, each axis.")]
NoiseDeg: TypeAlias = Annotated[float, Parameter(help="Pose noise of the rotation: degrees, 1 sigma, each axis.")]
ModelNames: TypeAlias = Annotated[
    list[str],
    Parameter(
        name="--model", negative="", help="Model folder or shipped model (plain, stack); may be given several times."
    ),
]
