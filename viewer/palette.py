"""Every colour: charts, heatmaps, markers, the window and the report take theirs from here."""

from __future__ import annotations

from viewcov.coverage.ladder import Loss

INK, MUTED, PAPER = "#1c2530", "#55626f", "#ffffff"
"""Text, lesser text, and what they stand on."""

BACK, LINE, GRID, GREY = "#f5f7f9", "#e1e6ec", "#dde2e8", "#9aa3ae"
"""Behind cards, between rows, in charts, and what is neither good nor bad."""

BLUE, ORANGE, TEAL, RED, PALE = "#3b6fb6", "#e0903a", "#1f8a70", "#b5383d", "#f3d9c0"
PURPLE, PINK, OLIVE = "#7a5fc0", "#b04a8c", "#6b8e23"

MODELS = (BLUE, ORANGE, PURPLE, PINK, OLIVE, TEAL)
"""One a model, the same in cards, bars and charts."""

CATEGORIES = (BLUE, ORANGE, "#2f9e77", PINK, "#d9c23c", "#64b5e6", "#a0522d", PURPLE, "#c8504b", OLIVE)
"""Of classes without colours of their own; further ones begin again."""

COVERED, ALMOST, LOST = TEAL, "#e9a23b", "#c8504b"
"""Of the rungs of the ladder: reached, within reach, out of reach."""

LOSSES: dict[Loss, str] = {
    Loss.IN_FRAME: PURPLE,
    Loss.FACING: LOST,
    Loss.UNOCCLUDED: "#3a3f4a",
    Loss.FIXTURE: "#8a6d52",
    Loss.TABLE: "#a0522d",
    Loss.IN_FOCUS: BLUE,
    Loss.RESOLVED: "#64b5e6",
    Loss.LIT: ORANGE,
    Loss.EXPOSED: "#d9c84a",
    Loss.TOO_FEW_VIEWS: PINK,
}
"""One a loss."""

BOTH, ONLY_FIRST, ONLY_LAST, NEITHER = TEAL, BLUE, ORANGE, LOST
"""Of two results compared on the surface."""

TRUE, FALSE, REPORTED = TEAL, "#d11f5a", BLUE
"""Rings around reported defects: confirmed by truth, refuted by it, and without any."""

TRUTH, PREDICTION = "#18b7c9", "#ff7a1a"
"""On images: what is true, and what a model says."""

AXES = ("#c0392b", "#2e8b57", "#2a5fb0")
"""The part's x, y and z."""

NOTHING, EXCLUDED, PART = "#d2d4d9", "#f0f1f3", "#d0d6de"
"""Elements without a value (hatched), those not to be inspected, and the part in pictures of the plan."""

SCALE, ORDER = "viridis", "plasma"
"""Colour maps of matplotlib: amounts, and the order of a route."""

CSS = {
    "ink": INK, "muted": MUTED, "paper": PAPER, "back": BACK, "line": LINE, "grey": GREY, "blue": BLUE,
    "orange": ORANGE, "teal": TEAL, "red": RED, "pale": PALE, "track": "#eef1f4",
    "good": "#12604d", "good-back": "#def1ea", "bad": "#8d2529", "bad-back": "#f8e1e1", "warn": "#744706",
    "warn-back": "#fbecd8", "plain": "#44505c", "plain-back": "#e9edf1",
}  # fmt: skip
"""Variables of the report's stylesheet."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of ``#rrggbb``."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
