"""The time that planning may take, its end by Ctrl-C, and the line that tells of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.cli import run
from viewcov.inspection.plan import read_plan
from viewcov.planning import live
from viewcov.planning.clock import ended_by_interrupt, left_s, over, part_way
from viewcov.planning.live import live_line, tell
from viewcov.planning.plan_evaluation import evaluate_plan


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    # Handlers run between two steps of the interpreter.
    time.sleep(0.01)


def test_the_clock_tells_what_is_left() -> None:
    now = time.monotonic()
    assert over(now)
    assert left_s(now - 5.0) == 0.0
    assert not over(np.inf)
    assert left_s(now + 100.0) == pytest.approx(100.0, abs=1.0)
    assert part_way(now + 100.0, 0.25) - now == pytest.approx(25.0, abs=1.0)
    assert part_way(now - 3.0, 0.25) == now - 3.0
    assert part_way(np.inf, 0.25) == np.inf


def test_the_first_interrupt_ends_the_time_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ended_by_interrupt():
        assert not over(np.inf)
        interrupt()
        assert over(np.inf)
        assert left_s(np.inf) == 0.0
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert not over(np.inf)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_other_threads_leave_interrupts_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with ended_by_interrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_an_interrupted_plan_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for much, of which what was found so far is kept: it covers what it says, by an evaluation too."""
    trimesh.creation.annulus(r_min=20.0, r_max=45.0, height=30.0, sections=96).export(tmp_path / "ring.stl")
    asked = ["plan", str(tmp_path / "ring.stl"), "--units", "mm", "--rig", "paper-quarter", "--coverage", "0.995"]
    began = time.monotonic()
    timer = threading.Timer(3.0, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    try:
        status = run([*asked, "--out", str(tmp_path / "plan.json"), "--jobs", "1", "--time-limit", "600"])
    finally:
        timer.cancel()
    assert status == 0
    assert time.monotonic() - began < 120.0
    assert "the best found so far is taken" in capsys.readouterr().err
    plan = read_plan(tmp_path / "plan.json")
    figures = plan.made["figures"]
    assert figures["coverage"] >= 0.995
    assert figures["status"] == "feasible"
    assert figures["unsearched_share"] > 0.0
    again = evaluate_plan(plan).coverage
    assert again.coverage == pytest.approx(figures["coverage"], abs=1e-9)
    assert again.areas.covered_area_mm2 == pytest.approx(figures["covered_area_mm2"], abs=1e-6)


def test_the_line_says_what_is_done(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_REFRESHED_S", 0.01)
    tell("nobody listens", views=3)
    with live_line(time.monotonic() + 90.5, shown=True):
        tell("choosing", views=20)
        time.sleep(0.2)
        tell(bound=18)
        time.sleep(0.2)
    said = capsys.readouterr().err
    assert "choosing, 20 views, 90 s left" in said
    assert "choosing, 20 views, bound 18, gap 10.0%, 90 s left" in said
    assert "nobody" not in said
    with live_line(np.inf, shown=False):
        tell("nothing is shown")
    assert capsys.readouterr().err == ""
