"""The report of a run: one HTML page with its pictures in it, without any outside resource."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from viewcov.inspection.files import write_text
from viewcov.viewer import palette
from viewcov.viewer.report import sections
from viewcov.viewer.report.blocks import Block, Picture, Section
from viewcov.viewer.report.content import Content
from viewcov.viewer.report.geometry import geometric
from viewcov.viewer.report.ladder import cards, ladder, lead
from viewcov.viewer.words import MISSING

_SECTIONS: dict[str, tuple[str, Callable[[Content], Iterable[Block]]]] = {
    "ladder": ("What is covered", ladder),
    "effective": ("What the models find", sections.effective),
    "geometric": ("What the plan covers", geometric),
    "defects": ("Defects on the part", sections.defects),
    "fusion": ("Fused views against single views", sections.fusion),
    "segmentation": ("Single images", sections.segmentation),
    "plan": ("Inspection plan", sections.plan),
    "part": ("Part", sections.part),
    "pictures": ("Pictures", lambda _: ()),
    "limitations": ("Notes", sections.notes),
    "about": ("Time, versions and seeds", sections.about),
}


def write_report(path: str | Path, content: Content, pictures: Sequence[Picture] = ()) -> None:
    """Write the report of a run as one HTML file that can be sent alone, in one step.

    Every section of the content may be missing. Pictures, whose files exist already, are shown in the section that each
    one names, or at the end.

    Raises
    ------
    InputError
        If a picture does not exist.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    part = content.part
    environment = Environment(
        loader=PackageLoader("viewcov.viewer.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["missing"] = MISSING
    version = content.versions.get("viewcov", "")
    page = environment.get_template("report.html.j2").render(
        title=f"Inspection of {part.name}" if part else "Inspection",
        source=part.source if part else "",
        lead=lead(content),
        cards=list(cards(content)),
        sections=list(_sections(content, pictures)),
        made=f"Made with viewcov {version}".rstrip() + ".",
        colours=palette.CSS,
    )
    write_text(Path(path), page)


def _sections(content: Content, pictures: Sequence[Picture]) -> Iterator[Section]:
    """Those that have something to show."""
    for key, (name, blocks_of) in _SECTIONS.items():
        own = [one for one in pictures if key == (one.section if one.section in _SECTIONS else "pictures")]
        blocks = [*blocks_of(content), *own]
        if blocks:
            yield Section(key=key, title=name, blocks=blocks)
