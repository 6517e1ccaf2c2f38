from __future__ import annotations

import html.parser
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from viewcov.coverage.geometric.visibility import TESTS
from viewcov.inspection.files import read_grey, read_json, read_mask, read_table
from viewcov.inspection.folder import open_inspections
from viewcov.segmentation.models import list_shipped

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(set(list_shipped()) < {"plain", "stack"}, reason="no shipped models: run 'make models'"),
]

OPTIONS = ["--views", "4", "--instances", "1", "--seed", "3", "--jobs", "1", "--json"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], list[str]]:
    """The demo on a small ring, into a folder."""
    part = tmp_path_factory.mktemp("part") / "ring.stl"
    trimesh.creation.annulus(r_min=8.0, r_max=20.0, height=15.0, sections=64).export(part)
    # In a process of its own: the demo draws, and torchvision cannot be imported after that.
    start = [sys.executable, "-P", "-c", "from viewcov.cli import main; main()", "demo", str(part), *OPTIONS]
    return lambda out: [*start, "--out", str(out)]


def without_times(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key != "seconds"}


@pytest.fixture(scope="module")
def demo(command: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("demo") / "out"
    done = subprocess.run(command(out), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return out, json.loads(done.stdout)


def test_summary_says_what_was_done(demo: tuple[Path, dict[str, Any]]) -> None:
    out, summary = demo
    assert summary == read_json(out / "summary.json")
    assert summary["viewpoints"] == 4
    geometric = summary["geometric"]
    assert list(geometric["waterfall"]) == list(TESTS)
    areas = list(geometric["waterfall"].values())
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] == pytest.approx(geometric["covered_area_mm2"])
    assert 0 < geometric["covered_area_mm2"] <= geometric["coverable_area_mm2"] <= geometric["inspected_area_mm2"]
    assert geometric["coverage"] == pytest.approx(geometric["covered_area_mm2"] / geometric["coverable_area_mm2"])
    assert geometric["inspected_area_mm2"] == pytest.approx(summary["part"]["area_mm2"])
    assert {key: geometric[key] for key in summary["areas"]} == summary["areas"]
    models = summary["effective"]["models"]
    assert set(models) == set(summary["segmentation"]) == set(summary["models"]) == {"plain", "stack"}
    for row in models.values():
        low, high = row["interval"]["low"], row["interval"]["high"]
        # No model finds defects where no image shows the surface.
        share = row["effective_coverage"]
        assert 0 <= low <= share <= high <= row["seen_area_share"] + 1e-12
        assert share == pytest.approx(row["seen_area_share"] * row["num_found"] / row["num_seen"])
    (pair,) = summary["effective"]["paired"]
    plain, stack = (models[name]["effective_coverage"] for name in ("plain", "stack"))
    assert pair["difference"] == pytest.approx(stack - plain)
    for figures in summary["fusion"].values():
        assert {"max", "mean", "log_odds"} <= set(figures["rules"])
        assert set(figures["in_view"]) == set(figures["of_all"]) == {"mean", "best"}
    assert summary["planted"]
    assert summary["reported"]["inspection"] == "defective-001"
    assert {"part", "plan", "synthesize", "segment", "evaluate", "cover_and_fuse", "show"} <= set(summary["seconds"])
    assert summary["seeds"]["all"] == 3


def test_truth_agrees_with_masks_and_the_surface(demo: tuple[Path, dict[str, Any]]) -> None:
    out, _ = demo
    (folder,) = open_inspections(out / "dataset")
    truth = read_json(folder.truth_path)["defects"]
    samples = read_table(folder.truth_samples_path)
    area = np.bincount(samples["defect_id"], weights=samples["area_mm2"], minlength=len(truth) + 1)
    assert 30 <= len(truth) <= 40
    for defect in truth:
        assert area[defect["id"]] == pytest.approx(defect["area_mm2"], rel=1e-6)
    for view in folder.plan().viewpoints:
        image, mask = read_grey(folder.image_path(view.id)), read_mask(folder.mask_path(view.id))
        assert image.shape == mask.shape == (512, 612)
        assert image.max() > 0.1


def test_recounted_figures_agree(demo: tuple[Path, dict[str, Any]]) -> None:
    out, summary = demo
    trials = read_table(out / "results" / "trials.parquet")
    for name, row in summary["effective"]["models"].items():
        assert row["num_found"] == np.count_nonzero(trials[f"found_{name}"] & trials["seen"])
    elements = read_table(out / "results" / "geometric.parquet")
    covered = elements["num_views"] > 0
    assert elements["area_mm2"][covered].sum() == pytest.approx(summary["geometric"]["covered_area_mm2"])
    fused = read_table(out / "dataset" / "defective-001" / "results" / "stack" / "fused.parquet")
    seen = ~np.isnan(fused["probability_log_odds"])
    # What passes all tests is in an image; the converse does not hold.
    assert seen[covered].mean() > 0.99


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value for key, value in attrs if tag == "img" and key == "src" and value]


def test_report_shows_every_picture(demo: tuple[Path, dict[str, Any]]) -> None:
    out, summary = demo
    page = (out / "report.html").read_text("utf-8")
    links = _Links()
    links.feed(page)
    assert len(links.sources) >= 10
    for source in links.sources:
        assert source.startswith("data:image/png;base64,")
        assert len(source) > 1000
    assert len(list((out / "pictures").iterdir())) == len(links.sources)
    assert summary["part"]["name"] in page


def test_same_command_again_changes_nothing(
    command: Callable[[Path], list[str]], demo: tuple[Path, dict[str, Any]]
) -> None:
    out, summary = demo
    images = {path: path.stat().st_mtime_ns for path in (out / "dataset").rglob("*.png")}
    done = subprocess.run(command(out), capture_output=True, text=True, check=True, timeout=600)
    assert without_times(json.loads(done.stdout)) == without_times(summary)
    assert {path: path.stat().st_mtime_ns for path in (out / "dataset").rglob("*.png")} == images


def test_other_options_are_refused_and_nothing_is_lost(
    command: Callable[[Path], list[str]], demo: tuple[Path, dict[str, Any]]
) -> None:
    out, _ = demo
    before = (out / "summary.json").read_bytes()
    other = [*command(out), "--scale-mm", "50"]
    done = subprocess.run(other, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 2
    assert "scale_mm" in done.stderr.splitlines()[-1]
    assert (out / "summary.json").read_bytes() == before


def test_killed_in_every_stage_it_ends_alike(
    command: Callable[[Path], list[str]], demo: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Killed (SIGKILL) as soon as each stage has left its first file, then run to the end."""
    _, undisturbed = demo
    out = tmp_path / "out"
    first_files = [
        "plan.json",
        "dataset/defective-001/images/*.png",
        "dataset/defective-001/predictions/plain/*.png",
        "dataset/defective-001/predictions/stack/*.png",
        "results/geometric.vtp",
        "dataset/defective-001/results/plain/evidence.parquet",
        "pictures/*.png",
    ]
    for pattern in first_files:
        process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 300
        while not list(out.glob(pattern)) and process.poll() is None:
            assert time.monotonic() < limit, pattern
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert list(out.glob(pattern)), pattern
    done = subprocess.run(command(out), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert without_times(json.loads(done.stdout)) == without_times(undisturbed)
    assert list(out.rglob(".partial-*")) == []
