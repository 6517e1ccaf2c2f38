"""The figures of a run, gathered from its result files: the content of ``summary.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_json
from viewcov.inspection.folder import InspectionFolder, open_inspections
from viewcov.inspection.plan import InspectionPlan, read_plan

SCHEMA = "viewcov-summary/1"

NOTES = (
    "Defects and images are synthetic: what is measured here holds for the twin's material, light and defects.",
    "Effective coverage counts planted defects at sites spread evenly over the whole surface to be inspected, "
    "unseen area included; geometric coverage is a share of what the rig could inspect from anywhere.",
    "Intervals are 95 %, by bootstrap over instances and the defects on them; few instances make them rough.",
    "Single views are judged only against the defects that each of them shows; the fused views against all.",
)


def inspections_under(root: Path) -> list[InspectionFolder]:
    """The inspections of a demo folder, a data set or an inspection."""
    return open_inspections(root / "dataset" if (root / "dataset" / "dataset.json").is_file() else root)


def plan_under(root: Path) -> InspectionPlan:
    """The plan of a demo folder or inspection, or the first one of a data set."""
    path = root / "plan.json"
    return read_plan(path) if path.is_file() else inspections_under(root)[0].plan()


def summarise(root: Path) -> dict[str, Any]:
    """What the result files under a demo folder, data set or inspection say together.

    Raises
    ------
    InputError
        If there are no results.
    """
    plan = plan_under(root)
    part = plan.load_part()
    geometric = _optional(root / "results" / "geometric.json")
    effective = _optional(root / "results" / "effective.json")
    fused = list(_fused_files(root))
    if geometric is None and effective is None and not fused:
        raise InputError(
            root, "no results", expected="geometric.json, effective.json or fused.json under results/",
            found="none", remedy="run 'viewcov cover' or 'viewcov fuse' first",
        )  # fmt: skip
    figures = _optional(root / "plan-figures.json") or plan.made.get("figures", {})
    summary: dict[str, Any] = {
        "schema_version": SCHEMA,
        "elements": (geometric or effective or {}).get("elements"),
        "area_mm2": part.area_mm2,
        "viewpoints": len(plan.viewpoints),
        "part": {
            "name": part.name,
            "source": Path(part.source.path).name,
            "sha256": part.source.sha256,
            "triangles": len(part.faces),
            "cad_faces": int(part.cad_face_idx.max()) + 1,
            "area_mm2": part.area_mm2,
            "largest_extent_mm": part.largest_extent_mm,
            "findings": [asdict(finding) for finding in part.findings],
        },
        "plan": {key: value for key, value in figures.items() if key not in ("part", "seconds")},
    }
    if geometric is not None:
        summary["geometric"] = geometric
    if effective is not None:
        summary["rule"] = effective["rule"]
        summary["effective"] = _effective(effective)
    if fused:
        rule = summary.setdefault("rule", fused[0]["rule"])
        summary["fusion"] = {
            model: _fusion([one for one in fused if one["model"] == model])
            for model in dict.fromkeys(one["model"] for one in fused)
        }
        summary["defects"] = [_defect(one) for one in shown_inspection(fused)["defects"]]
        summary["notes"] = [*NOTES, *_disappointments(summary, rule)]
    return summary


def shown_inspection(fused: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The inspection whose defects are listed and drawn: the first one, by the last model."""
    model = list(dict.fromkeys(one["model"] for one in fused))[-1]
    return next(one for one in fused if one["model"] == model)


def _fused_files(root: Path) -> Iterator[dict[str, Any]]:
    for folder in inspections_under(root):
        for model in folder.models():
            value = _optional(folder.results_of(model) / "fused.json")
            if value is not None:
                yield value


def _optional(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _effective(effective: Mapping[str, Any]) -> dict[str, Any]:
    variants = {
        name: {
            "coverage": row["effective_coverage"],
            "interval": _ends(row["interval"]),
            "num_defects": row["num_defects"],
            "num_found": row["num_found"],
            "num_seen": row["num_seen"],
            "seen_area_share": row["seen_area_share"],
            "false_alarms_per_part": row["false_alarms"]["per_part"],
            "mean_pod": row["pod_map"]["mean_pod"],
            "covered_area_mm2": row["pod_map"]["pod_area_mm2"]["reached"],
            "reference_size_mm": row["pod_map"]["size_mm"],
            "curve": row["pod_map"]["curve"],
            "pod_by_size": list(zip(row["pod_by_size"]["size_mm"], row["pod_by_size"]["pod"], strict=True)),
        }
        for name, row in effective["models"].items()
    }
    pairs = [
        {
            "first": pair["minus"],
            "second": pair["model"],
            "difference": pair["difference"],
            "interval": _ends(pair["interval"]),
            "only_first": pair["only_minus"],
            "only_second": pair["only_model"],
            "p_value": pair["p_value"],
        }
        for pair in effective["paired"]
    ]
    result: dict[str, Any] = {"variants": variants, "all_pairs": pairs}
    if pairs:
        result["paired"] = pairs[0]
    return result


def _ends(interval: Mapping[str, float]) -> list[float]:
    return [interval["low"], interval["high"]]


def _fusion(inspections: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of one model over inspections: counts add up, single views are averaged."""
    rules: dict[str, Any] = {}
    for rule in inspections[0]["rules"]:
        counts = [one["rules"][rule] for one in inspections]
        total = {
            key: sum(count[key] for count in counts)
            for key in ("num_planted", "num_found", "num_detections", "num_true")
        }
        rules[rule] = total | _scores(**total) | {"threshold": inspections[0]["thresholds"][rule]}
    singles = [one["single_view"] for one in inspections if one["single_view"] and one["single_view"]["in_view"]]
    for key, name in (("in_view", "single_view"), ("of_all", "single_view_of_all")):
        if singles:
            rules[name] = {which: _mean([single[key][which] for single in singles]) for which in ("mean", "best")}
    return rules


def _scores(*, num_planted: int, num_found: int, num_detections: int, num_true: int) -> dict[str, float | None]:
    precision = num_true / num_detections if num_detections else None
    recall = num_found / num_planted if num_planted else None
    both = (precision or 0.0) + (recall or 0.0)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * (precision or 0.0) * (recall or 0.0) / both if both else 0.0,
    }


def _mean(values: Sequence[Mapping[str, Any] | None]) -> dict[str, float | None]:
    """Mean of each score over inspections that have it."""
    result: dict[str, float | None] = {}
    for key in ("precision", "recall", "f1"):
        known = [value[key] for value in values if value is not None and value[key] is not None]
        result[key] = float(np.mean(known)) if known else None
    return result


def _defect(defect: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": defect["id"],
        "center_mm": [round(x, 1) for x in defect["center_mm"]],
        "area_mm2": defect["area_mm2"],
        "size_mm": defect["extent_mm"],
        "probability": defect["mean_probability"],
        "views": defect["views"],
        "true": defect["true"],
    }


def _disappointments(summary: Mapping[str, Any], rule: str) -> list[str]:
    """Results that did not come out as one hopes, said as they are."""
    notes = []
    for model, rules in summary["fusion"].items():
        fused, single = rules.get(rule), rules.get("single_view")
        if not fused or not single or single["mean"]["f1"] is None:
            continue
        if fused["f1"] <= single["mean"]["f1"]:
            notes.append(
                f"{model}: fusing the views ({rule}, F1 {fused['f1']:.3f}) is not better than the mean single view "
                f"(F1 {single['mean']['f1']:.3f})."
            )
    for pair in summary.get("effective", {}).get("all_pairs", []):
        low, high = pair["interval"]
        if low <= 0.0 <= high:
            notes.append(
                f"The difference between {pair['second']} and {pair['first']} is not distinguishable from none "
                f"({pair['only_second']} defects found only by {pair['second']}, {pair['only_first']} only by "
                f"{pair['first']})."
            )
    return notes
