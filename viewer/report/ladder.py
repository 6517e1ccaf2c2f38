"""The ladder of areas at the head of the report: cards, a sentence, and a bar for each rung."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from viewcov.coverage.ladder import MEANINGS, RUNGS, Rung
from viewcov.viewer import palette
from viewcov.viewer.report.blocks import Bar, Bars, Block, Card, Text
from viewcov.viewer.report.content import Content
from viewcov.viewer.words import counted, interval, mm2, number, percent, points, sure

OF = "of the surface to be inspected"
"""What every share of the ladder is a share of."""


def model_colours(content: Content) -> dict[str, str]:
    """One colour a model, the same wherever it is shown."""
    names = list(content.effective.models) if content.effective else []
    return {name: palette.MODELS[k % len(palette.MODELS)] for k, name in enumerate(names)}


def lead(content: Content) -> str:
    """The run in a few sentences."""
    said = []
    if content.areas is not None:
        views = counted(content.viewpoints, "view") if content.viewpoints else "The views"
        verb = "covers" if content.viewpoints == 1 else "cover"
        areas = content.areas
        said.append(
            f"{views} {verb} {percent(areas.covered_share)} {OF}; "
            f"{percent(areas.coverable_share)} is coverable from some viewpoint."
        )
    if content.effective is not None:
        found = [f"{percent(row.effective_coverage)} ({name})" for name, row in content.effective.models.items()]
        said.append(f"Effectively covered, because a model finds the defects there: {', '.join(found)}.")
    if content.reported is not None:
        of = content.reported
        said.append(f"{counted(len(of.defects), 'defect')} reported on {of.inspection} by model {of.model}.")
    return " ".join(said)


def cards(content: Content) -> Iterator[Card]:
    """The headline figures."""
    if content.viewpoints is not None:
        plan = content.plan
        least = (
            f" At least {number(plan.lower_bound)} are needed to cover as much{sure(plan.confidence)}." if plan else ""
        )
        unit = "view" if content.viewpoints == 1 else "views"
        yield Card(title="Viewpoints", value=number(content.viewpoints), unit=unit, meaning=f"Camera positions.{least}")
    if content.areas is not None:
        areas = content.areas
        yield _rung("coverable", areas.coverable_share, f" {mm2(areas.coverable_area_mm2)}.", palette.GREY)
        yield _rung("covered", areas.covered_share, f" {mm2(areas.covered_area_mm2)}.", palette.COVERED)
    if content.effective is not None:
        colours = model_colours(content)
        for name, row in content.effective.models.items():
            yield Card(
                title=f"{_upper(RUNGS['effectively_covered'])}, {name}", value=_bare(row.effective_coverage), unit="%",
                meaning=f"{_upper(MEANINGS['effectively_covered'])}: {percent(row.effective_coverage)} {OF}.",
                interval=interval(row.interval.low, row.interval.high), accent=colours[name],
            )  # fmt: skip
        for pair in content.effective.paired:
            yield Card(
                title=f"{pair.model} over {pair.minus}", value=f"{100 * pair.difference:+.1f}".replace("-", "−"),
                unit="points", meaning=f"How much more {pair.model} finds than {pair.minus}, on the same defects.",
                interval=points(pair.interval.low, pair.interval.high), accent=palette.TEAL,
            )  # fmt: skip
    if content.reported is not None:
        where = f"On {content.reported.inspection}, by model {content.reported.model} in all views together."
        num = len(content.reported.defects)
        unit = "defect" if num == 1 else "defects"
        yield Card(title="Reported", value=number(num), unit=unit, meaning=where, accent=palette.RED)


def _rung(rung: Rung, share: float, area: str, accent: str) -> Card:
    meaning = f"{_upper(MEANINGS[rung])}: share {OF}.{area}"
    return Card(title=_upper(RUNGS[rung]), value=_bare(share), unit="%", meaning=meaning, accent=accent)


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


def _bare(share: float) -> str:
    return percent(share).removesuffix(" %")


def ladder(content: Content) -> Sequence[Block]:
    """A bar for each rung, each beside the one before it."""
    areas = content.areas
    lines: list[Bar] = []
    if areas is not None:
        coverable, covered = areas.coverable_share, areas.covered_share
        lines = [
            _bar("inspected", 1.0, areas.inspected_area_mm2, palette.GREY),
            _bar("coverable", coverable, areas.coverable_area_mm2, palette.ALMOST, before=1.0),
            _bar("covered", covered, areas.covered_area_mm2, palette.COVERED, before=coverable),
        ]
    if content.effective is not None:
        colours = model_colours(content)
        lines += [
            Bar(
                name=f"{RUNGS['effectively_covered']}, {name}", share=row.effective_coverage,
                text=percent(row.effective_coverage), before=areas.covered_share if areas else None,
                detail=f"[{interval(row.interval.low, row.interval.high)}]",
                interval=(row.interval.low, row.interval.high), colour=colours[name],
            )
            for name, row in content.effective.models.items()
        ]  # fmt: skip
    if not lines:
        return []
    whiskers = " Whiskers and brackets: 95 % intervals." if content.effective is not None else ""
    rungs = [f"{RUNGS[r]}: {MEANINGS[r]}" for r in ("coverable", "covered")] if areas is not None else []
    if content.effective is not None:
        rungs.append(f"{RUNGS['effectively_covered']}: {MEANINGS['effectively_covered']}")
    words = f"{_upper('; '.join(rungs))}. Each is a share {OF}. Pale: what the rung before has.{whiskers}"
    return [Bars(lines), Text(words, "note")]


def _bar(rung: Rung, share: float, area_mm2: float, colour: str, *, before: float | None = None) -> Bar:
    return Bar(name=RUNGS[rung], share=share, text=percent(share), detail=mm2(area_mm2), before=before, colour=colour)
