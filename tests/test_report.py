"""The report: sound HTML, all links lead somewhere, all figures shown, nothing unescaped."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from viewcov.inspection.errors import InputError
from viewcov.viewer.report.html import number, percent
from viewcov.viewer.report.page import Picture, Table, write_report

EVIL = "<script>alert(1)</script>\"'&"
VOID = {"meta", "img", "br"}
SUMMARY: dict[str, Any] = {
    "part": {
        "name": "clutch-half",
        "source": "builtin:clutch-half",
        "elements": 82526,
        "area_mm2": 20345.2,
        "inspected_area_mm2": 20000.0,
        "findings": [{"name": "open-edges", "count": 12, "severity": "warning", "remedy": "closed"}],
    },
    "plan": {
        "viewpoints": 58,
        "coverage": 0.9912,
        "coverable_area_mm2": 19000.0,
        "covered_area_mm2": 18832.8,
        "inspected_area_mm2": 20000.0,
        "lower_bound": 55,
        "gap": 0.052,
        "status": "feasible",
        "route_s": 143.2,
    },
    "geometric": {
        "coverage": 0.9912,
        "covered_area_mm2": 18832.8,
        "coverable_area_mm2": 19000.0,
        "inspected_area_mm2": 20000.0,
        "waterfall": {"in_frame": 20000.0, "facing": 19800.0, "lit": 18832.8},
        "uncovered": {"facing": 200.0, "lit": 967.2, "resolved": 0.0},
        "k_coverage": [20000.0, 18832.8, 12345.0],
        "redundant_views": ["v004", "v031"],
        "fixes": [
            {
                "id": "s00017",
                "world_from_camera": [[1.0, 0, 0, 10.24], [0, 1.0, 0, -20.51], [0, 0, 1.0, 251.0], [0, 0, 0, 1.0]],
                "gained_area_mm2": 57.03,
                "repairs": {"unoccluded": 50.0, "lit": 7.03},
                "nearest_view": "v004",
                "distance_mm": 12.34,
                "angle_deg": 5.67,
            }
        ],
        "robustness": {
            "draws": 37,
            "noise_mm": 0.55,
            "noise_deg": 0.12,
            "mean_coverage": 0.9851,
            "quantile_5_coverage": 0.9812,
            "least_coverage": 0.9793,
            "share_by_probability": {"1": 0.9634, "0.5": 0.9899},
        },
    },
    "segmentation": {"plain": {"threshold": 0.42, "precision": 0.7111, "recall": 0.62, "f1": 0.66}},
    "effective": {
        "variants": {
            "plain": {
                "coverage": 0.612,
                "interval": [0.55, 0.67],
                "num_defects": 240,
                "num_found": 151,
                "false_alarms_per_part": 1.25,
                "curve": [[0.0, 1.0], [0.5, 0.777], [0.9, 0.612]],
            },
            "stack": {"coverage": 0.71, "interval": [0.66, 0.76]},
        },
        "paired": {
            "first": "plain",
            "second": "stack",
            "difference": 0.098,
            "interval": [0.031, 0.16],
            "only_first": 7,
            "only_second": 29,
        },
    },
    "fusion": {
        "stack": {
            "max": {"precision": 0.5, "recall": 0.9, "f1": 0.643, "threshold": 0.8},
            "log_odds": {"precision": 0.82, "recall": 0.79, "f1": 0.805, "threshold": 0.5},
            "single_view": {"mean": {"precision": 0.6, "recall": 0.31, "f1": 0.41}},
        }
    },
    "defects": [
        {
            "id": 1,
            "center_mm": [10.23, -3.1, 22.0],
            "area_mm2": 2.31,
            "probability": 0.973,
            "views": ["v1"],
            "true": True,
        }
    ],
    "seconds": {"plan": 33.21},
    "versions": {"viewcov": "0.1.0"},
    "seeds": {"plan": 12345},
    "notes": ["No real image was used."],
}


class _Page(HTMLParser):
    """Checks nesting while it reads; collects texts, links and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[ \n]+", " ", " ".join(self.texts))


def _picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 4), "red").save(path)
    return path


def _read(path: Path) -> _Page:
    return _Page(path.read_text("utf-8"))


def test_all_figures_are_shown_with_units_and_intervals(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", SUMMARY)
    text = _read(tmp_path / "report.html").text
    for expected in (
        "58 views", "99.1 %", "61.2 %", "55.0 to 67.0 %", "66.0 to 76.0 %", "+9.8 points", "+3.1 to +16.0",
        "18\u202f833 mm²", "19\u202f000 mm²", "9.8 percentage points more than plain",
        "only plain found: 7; only stack: 29", "240", "151", "1.25", "77.7 %", "61.7 %", "0.711", "0.805",
        "10.2, −3.1, 22.0", "2.31", "0.973", "unknown", "closed", "33.2", "0.1.0", "12345",
        "No real image was used.", "seen too obliquely", "967 mm²", "94.2 %", "−967",
        "no plan from these candidates has fewer views", "s00017", "10.2, −20.5, 251.0", "57", "99.4 %",
        "hidden by the part itself, not lit", "12.3 mm, 5.67°, v004", "2 views could be left out", "v004, v031",
        "37 draws", "0.55 mm and 0.12°", "98.5 %", "98.1 %", "97.9 %", "96.3 %", "99.0 %",
    ):  # fmt: skip
        assert expected in text, expected


def test_links_lead_to_files_and_sections(tmp_path: Path) -> None:
    names = ["heat.png", "a b#c%20?.png", "ü'\"&.png"]
    files = [_picture(tmp_path / "pictures" / name) for name in names]
    sections = ["effective", "", "plan"]
    pictures = [
        Picture(path=file, title=f"picture {k}", caption="seen", section=section)
        for k, (file, section) in enumerate(zip(files, sections, strict=True))
    ]
    write_report(tmp_path / "run" / "report.html", SUMMARY, pictures)
    page = _read(tmp_path / "run" / "report.html")
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 3
    for source in sources:
        assert source is not None
        assert (tmp_path / "run" / unquote(source)).is_file()
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    jumps = [a["href"][1:] for tag, a in page.tags if tag == "a" and (a["href"] or "").startswith("#")]  # type: ignore[index]
    assert jumps
    assert set(jumps) == ids
    html = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "http" not in html
    assert "<script" not in html
    assert html.index('id="effective"') < html.index("picture 0") < html.index('id="geometric"')


def test_an_embedded_report_needs_no_other_file(tmp_path: Path) -> None:
    picture = Picture(path=_picture(tmp_path / "p.png"), title="p")
    write_report(tmp_path / "report.html", SUMMARY, [picture], embed=True)
    page = _read(tmp_path / "report.html")
    (source,) = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert source is not None
    assert source.startswith("data:image/png;base64,")


def test_a_picture_that_is_not_there_is_refused_and_no_page_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such picture"):
        write_report(tmp_path / "report.html", {}, [Picture(path=tmp_path / "no.png", title="")])
    assert list(tmp_path.iterdir()) == []


def test_any_section_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, {})
    assert "None" not in _read(path).text
    for key in SUMMARY:
        write_report(path, {key: SUMMARY[key]})
        assert "None" not in _read(path).text
        write_report(path, {other: SUMMARY[other] for other in SUMMARY if other != key})
        assert "None" not in _read(path).text
    for key, value in SUMMARY.items():
        if isinstance(value, dict):
            for inner in value:
                less = copy.deepcopy(SUMMARY)
                del less[key][inner]
                write_report(path, less)
                assert "None" not in _read(path).text


def _poisoned(value: Any) -> Any:
    """Every text and every name made hostile."""
    if isinstance(value, dict):
        known = set(SUMMARY) | {"variants", "paired", "findings", "waterfall", "single_view", "mean"}
        return {key if key in known else key + EVIL: _poisoned(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_poisoned(part) for part in value]
    return value + EVIL if isinstance(value, str) else value


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    for summary in (_poisoned(SUMMARY), {key: _texts_poisoned(value) for key, value in SUMMARY.items()}):
        picture = Picture(path=_picture(tmp_path / "p.png"), title=EVIL, caption=EVIL)
        table = Table(title=EVIL, header=[EVIL, "n"], rows=[[EVIL, 1]], caption=EVIL)
        write_report(tmp_path / "report.html", summary, [picture], [table], title=EVIL)
        page = _read(tmp_path / "report.html")
        assert "script" not in {tag for tag, _ in page.tags}
        assert EVIL in "".join(page.texts)
        assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)


def _texts_poisoned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts_poisoned(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_texts_poisoned(part) for part in value]
    return value + EVIL if isinstance(value, str) else value


def test_a_difference_that_may_be_chance_is_told_as_such(tmp_path: Path) -> None:
    summary = copy.deepcopy(SUMMARY)
    summary["effective"]["paired"].update(difference=-0.02, interval=[-0.08, 0.03])
    write_report(tmp_path / "report.html", summary)
    text = _read(tmp_path / "report.html").text
    assert "2.0 percentage points less than plain" in text
    assert "may be chance" in text


def test_the_best_rule_of_fusion_is_the_one_in_bold(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", {"fusion": SUMMARY["fusion"]})
    html = (tmp_path / "report.html").read_text("utf-8")
    (row,) = [part for part in html.split("<tr") if part.startswith(" class=best")]
    assert "log odds" in row


@given(st.floats(0, 1))
def test_shares_are_never_rounded_to_nothing_or_all_but_at_the_ends(share: float) -> None:
    text = percent(share)
    if 1e-5 <= share <= 1 - 1e-5:
        assert float(text.removesuffix(" %")) not in (0.0, 100.0)
    assert float(text.removesuffix(" %")) == pytest.approx(100 * share, abs=0.051)


FLOATS = st.floats(-1e300, 1e300) | st.sampled_from([float("nan"), float("inf"), -float("inf")])


@settings(max_examples=200)
@given(FLOATS | st.integers(-(10**12), 10**12))
def test_numbers_are_readable_again_within_their_digits(value: float) -> None:
    text = number(value)
    if text == "–":
        assert value != value or abs(value) == float("inf")
    else:
        assert float(text.replace("\u202f", "").replace("−", "-")) == pytest.approx(value, rel=0.006)
