"""Numbers as text, the same in the report, in pictures and in legends."""

from __future__ import annotations

import math

MISSING = "–"
"""What stands for a number that is not there."""


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, thousands apart; a dash for what is missing or not finite."""
    if value is None or not math.isfinite(value):
        return MISSING
    if isinstance(value, int) or 10 ** (digits - 1) <= abs(value) < 1e15:
        return fixed(value, 0)
    return f"{value:.{digits}g}".replace("-", "−")


def fixed(value: float | None, places: int) -> str:
    """A number with so many decimal places, thousands apart."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:,.{places}f}".replace(",", "\u202f").replace("-", "−")


def percent(share: float | None) -> str:
    """A share from 0 to 1 in per cent; never rounded to nothing or to all."""
    if share is None or not math.isfinite(share):
        return MISSING
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    text = next((t for t in (f"{100 * share:.{k}f}" for k in (1, 2, 3)) if float(t) not in (0.0, 100.0)), None)
    if text is None:
        return "< 0.001 %" if share < 0.5 else "> 99.999 %"
    return f"{text} %".replace("-", "−")


def interval(low: float, high: float) -> str:
    """Both ends of an interval of shares, in per cent."""
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def points(low: float, high: float) -> str:
    """Both ends of an interval of differences, in percentage points."""
    return f"{100 * low:+.1f} to {100 * high:+.1f}".replace("-", "−")


def mm2(area: float | None) -> str:
    """An area with its unit."""
    return f"{number(area)} mm²"


def counted(num: int, noun: str) -> str:
    """A number with its noun, which takes an s unless there is one."""
    return f"{number(num)} {noun}{'' if num == 1 else 's'}"


def sure(confidence: float) -> str:
    """What is added to a statement that holds with less than certainty."""
    return "" if confidence >= 1.0 else f", with {percent(confidence)} confidence"
