"""Charts: written at the size asked for, small, with what they must show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from viewcov.viewer import charts
from viewcov.viewer.charts import (
    BLUE,
    GREY,
    ORANGE,
    TEAL,
    PodCurve,
    Share,
    coverage_chart,
    effective_chart,
    pod_chart,
    share_curve_chart,
    waterfall_chart,
)
from viewcov.viewer.figures import Sheet

SIZE = (400, 224)
WATERFALL = {"in_frame": 100.0, "facing": 80.0, "lit": 40.0}
SIZES_MM = np.linspace(0.1, 2, 20)
DRAWN: list[tuple[str, Callable[[Path], None]]] = [
    ("waterfall", lambda path: waterfall_chart(path, WATERFALL, 100.0, size_px=SIZE)),
    ("coverage", lambda path: coverage_chart(path, {"a": [0, 0.5, 1]}, goal=0.9, size_px=SIZE)),
    ("coverage of nothing", lambda path: coverage_chart(path, {}, size_px=SIZE)),
    ("effective", lambda path: effective_chart(path, 0.9, [Share(name="$x$", value=0.4)], size_px=SIZE)),
    (
        "pod",
        lambda path: pod_chart(path, [PodCurve(name="m", size_mm=SIZES_MM, pod=SIZES_MM / 2)], size_px=SIZE),
    ),
    ("share curve", lambda path: share_curve_chart(path, {"m": [[0, 1], [1, 0]]}, size_px=SIZE)),
]


@pytest.mark.parametrize("draw", [draw for _, draw in DRAWN], ids=[name for name, _ in DRAWN])
def test_a_chart_is_a_small_picture_of_the_size_asked_for(draw: Callable[[Path], None], tmp_path: Path) -> None:
    draw(tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size < 60_000
    with Image.open(tmp_path / "chart.png") as picture:
        assert picture.size == SIZE
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels == 255).all(axis=2).mean() > 0.4
    assert (pixels < 90).all(axis=2).any(), "there must be text"
    assert [file.name for file in tmp_path.iterdir()] == ["chart.png"]


def _longest_run(path: Path, colour: str) -> int:
    """Widest stretch of a colour in any row of a picture."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    rows = (np.abs(pixels - wanted).max(axis=2) <= 8).astype(int)
    ends = np.diff(np.pad(rows, ((0, 0), (1, 1))), axis=1)
    return int((np.nonzero(ends == -1)[1] - np.nonzero(ends == 1)[1]).max())


def test_bars_are_as_long_as_their_shares(tmp_path: Path) -> None:
    waterfall_chart(tmp_path / "a.png", WATERFALL, 100.0, size_px=(1000, 560))
    whole, facing, last = (_longest_run(tmp_path / "a.png", colour) for colour in (GREY, BLUE, TEAL))
    assert last == pytest.approx(0.4 * whole, abs=2)
    assert facing == pytest.approx(whole, abs=2)
    shares = [Share(name="plain", value=0.25), Share(name="stack", value=0.5, interval=(0.45, 0.58))]
    effective_chart(tmp_path / "b.png", 0.6, shares, size_px=(1000, 560))
    seen, plain, stack = (_longest_run(tmp_path / "b.png", colour) for colour in (GREY, BLUE, ORANGE))
    assert plain / seen == pytest.approx(0.25 / 0.6, abs=0.01)
    assert stack / seen == pytest.approx(0.5 / 0.6, abs=0.02)


def _texts(monkeypatch: pytest.MonkeyPatch, draw: Callable[[], None]) -> tuple[list[str], list[Any]]:
    """All texts of a chart, and their boxes in pixels."""
    sheets: list[Sheet] = []
    monkeypatch.setattr(Sheet, "save", lambda self, path: sheets.append(self))
    draw()
    from matplotlib.text import Text

    (sheet,) = sheets
    sheet.canvas.draw()
    found = [text for text in sheet.figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    return [text.get_text() for text in found], [text.get_window_extent() for text in found]


def test_texts_lie_inside_the_chart_and_say_the_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    waterfall = {"in_frame": 19876.5, "facing": 18000.0, "lit": 9123.0}
    texts, boxes = _texts(monkeypatch, lambda: waterfall_chart(tmp_path / "a.png", waterfall, 20000.0))
    assert any(text.startswith("45.6 %   9\u202f123 mm²  (−8\u202f877)") for text in texts)
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= 1000
        assert box.y0 >= 0


def test_a_difference_whose_interval_holds_zero_is_not_sold_as_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variants = [Share(name="plain", value=0.6, interval=(0.5, 0.7)), Share(name="stack", value=0.62)]
    for interval, open_question in (((-0.03, 0.07), True), ((0.01, 0.07), False)):
        difference = Share(name="stack minus plain", value=0.02, interval=interval)
        texts, _ = _texts(
            monkeypatch, lambda d=difference: effective_chart(tmp_path / "a.png", 0.9, variants, difference=d)
        )
        (told,) = [text for text in texts if "percentage points" in text]
        assert "+2.0" in told
        assert ("no difference shown" in told) == open_question


def test_an_area_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inspected_area_mm2 must be positive"):
        charts.waterfall_chart(tmp_path / "a.png", {}, 0.0)
