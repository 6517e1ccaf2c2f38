"""The time that planning may take; Ctrl-C can end it too."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)

_stopped = threading.Event()


def over(until: float) -> bool:
    """Whether the monotonic clock reads ``until`` or later, or searching and proving were asked to end."""
    return _stopped.is_set() or time.monotonic() >= until


def left_s(until: float) -> float:
    """Seconds before it is over; never less than 0."""
    return 0.0 if over(until) else until - time.monotonic()


def part_way(until: float, share: float) -> float:
    """Reading of the clock when this share of what is left will have passed."""
    return until if over(until) else time.monotonic() + share * left_s(until)


@contextmanager
def ended_by_interrupt() -> Iterator[None]:
    """Within it, a first Ctrl-C ends searching and proving as if the time were up; a second one interrupts.

    Only where it is the main thread's, which alone hears of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        _stopped.set()
        log.warning("the best found so far is taken; interrupt again to leave without it")

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _stopped.clear()
