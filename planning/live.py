"""A line on stderr about a plan in the making: what is done, its views, their bound and the time left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from viewcov.planning.clock import left_s

_REFRESHED_S = 0.5


@dataclass(slots=True)
class _Line:
    until: float
    doing: str = ""
    views: int | None = None
    bound: int | None = None

    def __str__(self) -> str:
        said = [self.doing]
        if self.views is not None:
            said.append(f"{self.views} views")
        if self.bound is not None and self.views:
            said.append(f"bound {self.bound}, gap {max(self.views - self.bound, 0) / self.views:.1%}")
        return ", ".join([*said, f"{left_s(self.until):.0f} s left"])


_line: _Line | None = None
"""What is shown now, if anything is."""


def tell(doing: str | None = None, *, views: int | None = None, bound: int | None = None) -> None:
    """Say what is done now, or what was found, where a line is shown."""
    if _line is not None:
        _line.doing = _line.doing if doing is None else doing
        _line.views = _line.views if views is None else views
        _line.bound = _line.bound if bound is None else bound


@contextmanager
def live_line(until: float, *, shown: bool) -> Iterator[None]:
    """Show the line, if it is to be ``shown``, until the block ends; the time left is that before ``until``."""
    global _line
    if not shown:
        yield
        return
    _line, ended = _Line(until=until), threading.Event()
    with tqdm(bar_format="{desc}", leave=False) as bar:

        def refresh() -> None:
            while not ended.wait(_REFRESHED_S):
                bar.set_description_str(str(_line))

        shower = threading.Thread(target=refresh, daemon=True)
        shower.start()
        try:
            yield
        finally:
            ended.set()
            shower.join()
            _line = None
