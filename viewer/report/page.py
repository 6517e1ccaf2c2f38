"""The report of a run: one HTML page beside its pictures, without any outside resource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from viewcov.inspection.files import write_text
from viewcov.viewer.report.cards import cards, mapping, of
from viewcov.viewer.report.geometry import geometric
from viewcov.viewer.report.html import Picture, Table, escape, figure, percent, table
from viewcov.viewer.report.sections import (
    about,
    defects,
    effective,
    fusion,
    notes,
    part,
    plan,
    segmentation,
)
from viewcov.viewer.report.style import CSS

__all__ = ["Picture", "Table", "write_report"]

_SECTIONS = {
    "effective": ("Effective visual coverage", effective),
    "geometric": ("Geometric coverage", geometric),
    "defects": ("Defects on the part", defects),
    "fusion": ("Fused views against single views", fusion),
    "segmentation": ("Segmentation models", segmentation),
    "plan": ("Inspection plan", plan),
    "part": ("Part", part),
}


def write_report(
    path: str | Path,
    summary: Mapping[str, Any],
    pictures: Sequence[Picture] = (),
    tables: Sequence[Table] = (),
    *,
    title: str | None = None,
    embed: bool = False,
) -> None:
    """Write the report of a run as one HTML file, in one step.

    Parameters
    ----------
    path
        The HTML file.
    summary
        The content of ``summary.json``. Every part of it may be missing; its section is left out then.
    pictures
        Files that exist already, shown in the section each one names, or at the end.
    tables
        Further tables.
    title
        Heading; by default the part's name.
    embed
        Put the pictures into the page, so that it can be sent alone; otherwise they are linked relatively.

    Raises
    ------
    InputError
        If a picture does not exist.
    """
    page = Path(path)
    heading = title or f"Inspection of {mapping(summary.get('part')).get('name', 'the part')}"
    blocks: list[tuple[str, str, str]] = []
    for key, (name, content) in _SECTIONS.items():
        shown = "".join(figure(p, page, embed=embed) for p in pictures if p.section == key)
        body = content(summary) + shown
        if body:
            blocks.append((key, name, body))
    rest = [p for p in pictures if p.section not in _SECTIONS]
    if rest:
        blocks.append(("pictures", "Pictures", "".join(figure(p, page, embed=embed) for p in rest)))
    for k, one in enumerate(tables):
        blocks.append((f"table-{k}", one.title, table(one.header, one.rows, caption=one.caption)))
    for key, name, body in (
        ("limitations", "Limitations and notes", notes(summary)),
        ("about", "Time, versions and seeds", about(summary)),
    ):
        if body:
            blocks.append((key, name, body))
    write_text(page, _page(heading, summary, blocks))


def _page(heading: str, summary: Mapping[str, Any], blocks: Sequence[tuple[str, str, str]]) -> str:
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, name, _ in blocks)
    sections = "".join(f'<section id="{key}"><h2>{escape(name)}</h2>{body}</section>' for key, name, body in blocks)
    lead = _lead(summary)
    source = mapping(summary.get("part")).get("source")
    version = mapping(summary.get("versions")).get("viewcov")
    made = f"Made with viewcov {version}." if version else "Made with viewcov."
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(heading)}</title><style>{CSS}</style></head><body><main>\n"
        f"<header><h1>{escape(heading)}</h1>"
        + (f'<div class="muted">{escape(source)}</div>' if source else "")
        + (f'<p class="lead">{escape(lead)}</p>' if lead else "")
        + (f"<nav>{links}</nav>" if len(blocks) > 1 else "")
        + f"</header>\n{cards(summary)}\n{sections}\n<footer>{escape(made)}</footer></main></body></html>\n"
    )


def _lead(summary: Mapping[str, Any]) -> str:
    """The run in a sentence or two."""
    sentences = []
    planned, seen = mapping(summary.get("plan")), mapping(summary.get("geometric"))
    coverage = seen.get("coverage", planned.get("coverage"))
    if coverage is not None and "viewpoints" in planned:
        sentences.append(f"{planned['viewpoints']} views see {percent(coverage)} of the surface that can be covered.")
    variants = mapping(of(summary, "effective", "variants"))
    known = {name: v["coverage"] for name, v in variants.items() if isinstance(v, Mapping) and "coverage" in v}
    if known:
        best = max(known, key=lambda name: known[name] or 0.0)
        sentences.append(f"The model “{best}” finds {percent(known[best])} of defects planted evenly over its surface.")
    found = summary.get("defects")
    if isinstance(found, list):
        sentences.append(f"{len(found)} defect{'' if len(found) == 1 else 's'} reported on this part.")
    return " ".join(sentences)
