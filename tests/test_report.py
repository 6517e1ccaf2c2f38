"""The report: sound HTML, all links lead somewhere, all figures shown, nothing unescaped."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import BaseModel, ValidationError

from viewcov.coverage.effective.figures import (
    Coefficient,
    DefectFigures,
    EffectiveFigures,
    FalseAlarms,
    FusedFigures,
    MeanScores,
    ModelFigures,
    PairedDifference,
    PodAreas,
    PodBySize,
    PodMapFigures,
    PodModel,
)
from viewcov.coverage.effective.intervals import Interval
from viewcov.coverage.geometric.figures import CoverageByViews, FixFigures, GeometricFigures, RobustnessFigures
from viewcov.coverage.ladder import Areas, Loss
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Finding
from viewcov.planning.figures import PlanFigures
from viewcov.viewer.report.blocks import Picture
from viewcov.viewer.report.content import (
    Content,
    FusionFigures,
    ImageFigures,
    PartFigures,
    RuleFigures,
    SingleViews,
)
from viewcov.viewer.report.page import write_report
from viewcov.viewer.words import number, percent

EVIL = "<script>alert(1)</script>\"'&"
VOID = {"meta", "img", "br"}


def _interval(low: float, high: float) -> Interval:
    return Interval(low=low, high=high, confidence=0.95, method="bootstrap")


AREAS = Areas.of(20000.0, 19000.0, 18832.8, 0.9912)
PART = PartFigures(
    name="clutch-half", source="builtin:clutch-half", sha256="0" * 64, triangles=82526, cad_faces=38, area_mm2=20345.2,
    largest_extent_mm=80.0, findings=(Finding(name="open-edges", count=12, severity="warning", remedy="closed"),),
)  # fmt: skip
PLAN = PlanFigures(
    **AREAS.model_dump(), part="clutch-half", elements=82526, most_coverage=0.995, viewpoints=58, lower_bound=55,
    confidence=1.0, unsearched_share=0.0, bound="linear program", gap=0.052, status="feasible",
    route_s=143.2, route_bound_s=140.1, route_bound="1-tree",
)  # fmt: skip
GEOMETRIC = GeometricFigures(
    **AREAS.model_dump(), elements=82526, viewpoints=58, coverable_from="pool",
    waterfall={"in_frame": 20000.0, "facing": 19800.0, "lit": 18832.8},
    uncovered={"facing": 200.0, "lit": 967.2, "resolved": 0.0}, not_coverable={"facing": 33.0},
    k_coverage=(20000.0, 18832.8, 12345.0),
    views=(), redundant_views=("v004", "v031"),
    coverage_by_views=CoverageByViews(in_order=(0.5, 0.9912), greedily=(0.6, 0.9912), greedy_order=("a", "b")),
    fixes=(
        FixFigures(
            id="s00017", world_from_camera=((1, 0, 0, 10.24), (0, 1, 0, -20.51), (0, 0, 1, 251.0), (0, 0, 0, 1)),
            gained_area_mm2=57.03, repairs={"unoccluded": 50.0, "lit": 7.03}, nearest_view="v004", distance_mm=12.34,
            angle_deg=5.67,
        ),
    ),
    robustness=RobustnessFigures(
        draws=37, noise_mm=0.55, noise_deg=0.12, seed=0, mean_coverage=0.9851, quantile_5_coverage=0.9812,
        least_coverage=0.9793, share_by_probability={"1": 0.9634, "0.5": 0.9899}, coverage_of_draws=(0.98,),
    ),
)  # fmt: skip


def _model(coverage: float, found: int) -> ModelFigures:
    return ModelFigures(
        effective_coverage=coverage, interval=_interval(coverage - 0.062, coverage + 0.058),
        clopper_pearson=_interval(0.5, 0.7), seen_area_share=0.95, found_share=0.65, num_inspections=4, num_defects=240,
        num_seen=230, num_found=found, num_found_unseen=0, threshold=0.817,
        false_alarms=FalseAlarms(
            num_false=5, num_inspections=4, inspected_area_mm2=20000.0, per_part=1.25,
            per_part_interval=_interval(0.4, 2.9), per_m2=62.5,
        ),
        pod_map=PodMapFigures(
            size_mm=1.5, pod_threshold=0.5, pod_area_mm2=PodAreas(unseen=1.0, below=2.0, reached=3.0), mean_pod=0.6,
            curve=((0.1, 0.9), (0.5, 0.777), (0.9, 0.612)),
        ),
        pod_model=PodModel(
            intercept=Coefficient(value=1.0, standard_error=0.1), slopes={}, num_trials=230, num_found=found
        ),
        pod_by_size=PodBySize(size_mm=(1.0, 2.0), pod=(0.5, 0.95), a90_mm=1.8),
    )  # fmt: skip


PAIR = PairedDifference(
    model="stack", minus="plain", difference=0.098, interval=_interval(0.031, 0.16), num_pairs=230, only_model=29,
    only_minus=7, p_value=0.001,
)  # fmt: skip
EFFECTIVE = EffectiveFigures(
    rule="log_odds", split="test", inspections=("one", "two"), elements=82526, inspected_area_mm2=20000.0,
    coverable_area_mm2=19000.0, covered_area_mm2=18832.8, seen_area_mm2=19500.0,
    models={"plain": _model(0.612, 151), "stack": _model(0.71, 173)}, paired=(PAIR,),
)  # fmt: skip
DEFECT = DefectFigures(
    id=1, num_elements=3, area_mm2=2.31, center_mm=(10.23, -3.1, 22.0), extent_mm=2.25, mean_probability=0.873,
    max_probability=0.973, cad_faces=(1,), views=("v1",), true=True,
)  # fmt: skip
REPORTED = FusedFigures(
    inspection="one", model="plain", rule="log_odds", thresholds={"log_odds": 0.5}, rules={}, single_view=None,
    defects=(DEFECT, DEFECT.model_copy(update={"views": ()})),
)  # fmt: skip
FUSION = FusionFigures(
    rules={
        "max": RuleFigures(num_planted=10, num_found=9, num_detections=18, num_true=9, threshold=0.8),
        "log_odds": RuleFigures(num_planted=10, num_found=8, num_detections=10, num_true=8, threshold=0.5),
    },
    in_view=SingleViews(
        mean=MeanScores(precision=0.6, recall=0.31, f1=0.41), best=MeanScores(precision=1.0, recall=0.99, f1=0.995)
    ),
    of_all=SingleViews(
        mean=MeanScores(precision=0.6, recall=0.1, f1=0.17), best=MeanScores(precision=1.0, recall=0.3, f1=0.46)
    ),
)
IMAGES = ImageFigures(
    images=232, threshold=0.42, precision=0.7111, recall=0.62, f1=0.66, iou=0.5, f1_max=0.67, defect_recall=0.81,
    false_alarms_per_image=0.3,
)  # fmt: skip
CONTENT = Content(
    part=PART, viewpoints=58, areas=AREAS, plan=PLAN, geometric=GEOMETRIC, effective=EFFECTIVE, rule="log_odds",
    planted=True, fusion={"stack": FUSION}, reported=REPORTED, segmentation={"plain": IMAGES},
    notes=("No real image was used.",), seconds={"plan": 33.21}, versions={"viewcov": "0.1.0"}, seeds={"plan": 12345},
    models={"plain": "ab" * 32},
)  # fmt: skip


def _with(**sections: Any) -> Content:
    return CONTENT.model_copy(update=sections)


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
    write_report(tmp_path / "report.html", CONTENT)
    text = _read(tmp_path / "report.html").text
    for expected in (
        "58 views", "95.0 %", "94.2 %", "61.2 %", "55.0 to 67.0 %", "64.8 to 76.8 %", "+9.8 points", "+3.1 to +16.0",
        "18\u202f833 mm²", "19\u202f000 mm²", "9.8 percentage points more than plain",
        "Only plain found 7; only stack found 29", "240", "151", "1.25", "77.7 %", "61.7 %", "0.711", "0.800",
        "10.2, −3.1, 22.0", "2.31", "0.873", "closed", "33.2", "0.1.0", "12345", "none by itself, only all together",
        "No real image was used.", "seen too obliquely", "967 mm²", "4.8 %", "33 mm² of it from every viewpoint",
        "no plan from these candidates has fewer", "s00017", "10.2, −20.5, 251.0", "57", "94.4 %", "99.1 %",
        "hidden by the part itself, not lit", "12.3 mm and 5.67° from v004", "2 views could be left out", "v004, v031",
        "37 draws", "0.55 mm and 0.12°", "93.6 %", "93.2 %", "93.0 %", "91.5 %", "by model plain with rule log odds",
    ):  # fmt: skip
        assert expected in text, expected


def test_each_rung_has_one_number_wherever_its_name_stands(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", CONTENT)
    text = _read(tmp_path / "report.html").text
    shares = {"coverable": {"95.0"}, "covered": {"94.2"}, "plain": {"61.2"}, "stack": {"71.0"}}
    said = {
        "coverable": re.findall(r"[Cc]overable (\d+\.\d) %", text) + re.findall(r"(\S+) % is coverable", text),
        "covered": re.findall(r"(?<![Ee]ffectively )[Cc]overed (\d+\.\d) %", text)
        + re.findall(r"views cover (\S+) %", text),
        "plain": re.findall(r"ffectively covered, plain (\S+) %", text) + re.findall(r"(\S+) % \(plain\)", text),
        "stack": re.findall(r"ffectively covered, stack (\S+) %", text) + re.findall(r"(\S+) % \(stack\)", text),
    }
    for name, values in said.items():
        assert len(values) >= 3, name
        assert set(values) == shares[name]
    assert "ffective coverage" not in text


def test_pictures_are_in_the_page_and_links_lead_to_sections(tmp_path: Path) -> None:
    names = ["heat.png", "a b#c%20?.png", "ü'\"&.png"]
    files = [_picture(tmp_path / "pictures" / name) for name in names]
    sections = ["effective", "", "plan"]
    pictures = [
        Picture(path=file, title=f"picture {k}", caption="seen", section=section)
        for k, (file, section) in enumerate(zip(files, sections, strict=True))
    ]
    write_report(tmp_path / "run" / "report.html", CONTENT, pictures)
    page = _read(tmp_path / "run" / "report.html")
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 3
    for source in sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == files[0].read_bytes()
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    jumps = [a["href"][1:] for tag, a in page.tags if tag == "a" and (a["href"] or "").startswith("#")]  # type: ignore[index]
    assert jumps
    assert set(jumps) == ids
    html = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "http" not in html
    assert "<script" not in html
    assert "<link" not in html
    assert html.index('id="effective"') < html.index("picture 0") < html.index('id="geometric"')


def test_headings_descend_by_one_and_what_scrolls_can_be_focused(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", CONTENT)
    page = _read(tmp_path / "report.html")
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    scrolling = [a for _, a in page.tags if a.get("class") == "scroll"]
    assert len(scrolling) >= 8
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in scrolling)
    names = [a["aria-label"] for a in scrolling]
    assert len(set(names)) == len(names)


def test_a_picture_that_is_not_there_is_refused_and_no_page_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such picture"):
        write_report(tmp_path / "report.html", Content(), [Picture(path=tmp_path / "no.png", title="")])
    assert list(tmp_path.iterdir()) == []


def test_any_section_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, Content())
    assert "None" not in _read(path).text
    for key in Content.model_fields:
        write_report(path, Content(**{key: getattr(CONTENT, key)}))
        assert "None" not in _read(path).text
        empty = Content.model_fields[key].get_default()
        write_report(path, _with(**{key: empty}))
        assert "None" not in _read(path).text
    write_report(path, _with(geometric=GEOMETRIC.model_copy(update={"fixes": None, "robustness": None})))
    write_report(path, _with(reported=REPORTED.model_copy(update={"defects": ()})))
    assert "No defect was reported on one, by model plain" in _read(path).text


def test_a_report_of_real_images_says_nothing_of_synthetic_ones_or_truth(tmp_path: Path) -> None:
    alone = DEFECT.model_copy(update={"true": None})
    reported = REPORTED.model_copy(update={"defects": (alone,)})
    write_report(tmp_path / "report.html", Content(part=PART, viewpoints=58, reported=reported, rule="log_odds"))
    text = _read(tmp_path / "report.html").text.lower()
    for word in ("synthetic", "planted", "truth", "true", "interval", "effective", "coverable"):
        assert word not in text, word
    assert "by model plain" in text


def _poisoned(value: Any) -> Any:
    """Every free text and every free name made as hostile as it may be."""
    if isinstance(value, dict):
        return {key if key in KEYS else _hostile(key): _poisoned(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_poisoned(part) for part in value]
    return _hostile(value) if isinstance(value, str) and value not in FIXED else value


def _hostile(text: str) -> str:
    return text if text in NAMES else text + EVIL


NAMES = {"plain", "stack"}  # Of models: their type refuses hostile ones, as they stand for files too.
KEYS = set(map(str, Loss))
FIXED = {"viewcov-geometric/1", "viewcov-effective/1", "viewcov-fused/1", "pool", "test", "feasible", "warning"}


def _field_names(value: Any) -> set[str]:
    if isinstance(value, BaseModel):
        inner = [_field_names(getattr(value, name)) for name in type(value).model_fields]
        return set(type(value).model_fields) | set(type(value).model_computed_fields) | set().union(*inner)
    if isinstance(value, dict):
        return set().union(*map(_field_names, value.values()))
    if isinstance(value, tuple):
        return set().union(*map(_field_names, value))
    return set()


KEYS |= _field_names(CONTENT) | {"count", "severity", "remedy"}


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    content = Content.model_validate(_poisoned(CONTENT.model_dump(mode="json")))
    picture = Picture(path=_picture(tmp_path / "p.png"), title=EVIL, caption=EVIL)
    write_report(tmp_path / "report.html", content, [picture])
    page = _read(tmp_path / "report.html")
    assert "script" not in {tag for tag, _ in page.tags}
    with pytest.raises(ValidationError, match="a plain name"):
        EffectiveFigures.model_validate({**EFFECTIVE.model_dump(), "models": {EVIL: _model(0.5, 1).model_dump()}})
    assert "".join(page.texts).count(EVIL) > 25
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_a_difference_that_may_be_chance_is_told_as_such(tmp_path: Path) -> None:
    pair = PAIR.model_copy(update={"difference": -0.02, "interval": _interval(-0.08, 0.03)})
    write_report(tmp_path / "report.html", Content(effective=EFFECTIVE.model_copy(update={"paired": (pair,)})))
    text = _read(tmp_path / "report.html").text
    assert "2.0 percentage points less than plain" in text
    assert "may be chance" in text


def test_the_best_of_fusion_is_in_bold_among_those_that_are_measured_alike(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", Content(fusion={"stack": FUSION}))
    html = (tmp_path / "report.html").read_text("utf-8")
    (row,) = [part for part in html.split("<tr") if part.startswith(' class="best"')]
    assert "log odds" in row  # F1 0.8: the best view's 0.995 counts only the defects that it shows.


@given(st.floats(0, 1))
def test_shares_are_never_rounded_to_nothing_or_all_but_at_the_ends(share: float) -> None:
    text = percent(share).lstrip("<> ")
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
