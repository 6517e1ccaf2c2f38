"""Charts: written at their size, small, with what they must show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from viewcov.coverage.effective.figures import PodBySize
from viewcov.viewer.charts import SIZE_PX, coverage_chart, pod_chart
from viewcov.viewer.figures import Sheet

SIZES_MM = np.linspace(0.1, 2, 20)
POD = PodBySize(size_mm=tuple(SIZES_MM), pod=tuple(SIZES_MM / 2), a90_mm=None)
DRAWN: list[tuple[str, Callable[[Path], None]]] = [
    ("coverage", lambda path: coverage_chart(path, {"a": [0, 0.5, 1]}, coverable=0.9)),
    ("coverage of nothing", lambda path: coverage_chart(path, {}, coverable=0.0)),
    ("pod", lambda path: pod_chart(path, {"$m$": POD})),
]


@pytest.mark.parametrize("draw", [draw for _, draw in DRAWN], ids=[name for name, _ in DRAWN])
def test_a_chart_is_a_small_picture_of_its_size(draw: Callable[[Path], None], tmp_path: Path) -> None:
    draw(tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size < 60_000
    with Image.open(tmp_path / "chart.png") as picture:
        assert picture.size == SIZE_PX
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels == 255).all(axis=2).mean() > 0.4
    assert (pixels < 90).all(axis=2).any(), "there must be text"
    assert [file.name for file in tmp_path.iterdir()] == ["chart.png"]


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
    curves = {"best view next": [0, 0.5, 0.76], "in the order of the route": [0, 0.3, 0.76]}
    texts, boxes = _texts(monkeypatch, lambda: coverage_chart(tmp_path / "a.png", curves, coverable=0.926))
    assert {"coverable 92.6 %", *curves, "share of the area to be inspected"} <= set(texts)
    curve = PodBySize(size_mm=(1, 2, 3), pod=(0.4, 0.8, 0.95), a90_mm=2.7)
    more, further = _texts(monkeypatch, lambda: pod_chart(tmp_path / "a.png", {"plain": curve}))
    assert "plain: a90 = 2.7 mm" in more
    # Ticks beyond an axis have a place, but are not drawn.
    drawn = zip([*texts, *more], [*boxes, *further], strict=True)
    for box in [box for text, box in drawn if not text.replace(".", "").isnumeric()]:
        assert box.x0 >= 0
        assert box.x1 <= 1000
        assert box.y0 >= 0
