"""The whole chain with every option of every stage away from its default: what is said at one end arrives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from viewcov.coverage.effective.figures import EffectiveFigures, FusedFigures
from viewcov.coverage.effective.options import CalibrateOptions, CoverOptions, FuseOptions
from viewcov.coverage.geometric.figures import GeometricFigures
from viewcov.inspection.folder import open_inspections, read_dataset
from viewcov.inspection.plan import read_plan
from viewcov.inspection.records import Options, read_record
from viewcov.planning.options import EvaluationOptions, PlanningOptions, RouteOptions
from viewcov.segmentation.options import PredictionOptions, TestOptions, TrainingOptions
from viewcov.synthesis.options import SynthesisOptions

pytestmark = pytest.mark.slow

RIG = """
name = "coarse"

[camera]
width_px = 160
height_px = 128
focal_length_mm = 25.0
pixel_pitch_um = 55.2
f_number = 8.0
focus_distance_mm = 250.0

[ring_light]
inner_radius_mm = 40.0
outer_radius_mm = 60.0
radiance = 9.0

[material]
roughness_along = 0.2
roughness_across = 0.3

[requirements]
max_incidence_deg = 60.0
max_mm_per_px = 1.0
max_blur_px = 2.0
border_px = 2.0
min_grey = 0.02
"""

SAID: dict[str, tuple[type[Options], dict[str, Any]]] = {
    "plan": (
        PlanningOptions,
        {"coverage": 0.6, "num_views": 5, "objective": "cycle", "closed": True, "overlap": 2, "seed": 5,
         "edge_mm": 3.0, "num_candidates": 80, "refine": 20, "time_limit_s": 45.0, "max_nodes": 3},
    ),
    "route": (
        RouteOptions, {"times": "times.csv", "closed": True, "start": "v002", "time_limit_s": 2.0, "seed": 3},
    ),
    "evaluate": (EvaluationOptions, {"num_draws": 2, "noise_mm": 0.3, "noise_deg": 0.2, "noise_seed": 4}),
    "synthesize": (
        SynthesisOptions,
        {"instances": 3, "good": 1, "defects": [3, 5], "split": [0.34, 0.33, 0.33], "samples": 4, "bounces": 2,
         "seed": 7, "dent_radius_mm": [1.5, 2.5], "dent_depth": [0.2, 0.4], "scratch_length_mm": [4.0, 8.0],
         "scratch_width_mm": [0.8, 1.2], "scratch_depth": [0.2, 0.4], "scratch_share": 0.4, "torn_share": 0.7,
         "processes": {"0": "plain"},
         "finish": {"pitch_px": [2.5, 4.0], "slope": [0.9, 2.0], "roughness_spread": 0.1},
         "jitter_mm": 0.2, "jitter_deg": 0.1, "exposure": 1.2, "sensor": {"full_well": 9000.0, "read_noise": 5.0},
         "bits": 16},
    ),
    "train": (
        TrainingOptions,
        {"name": "other", "exposures": [0.0, 1.0], "seed": 2, "steps": 6, "batch": 2, "learning_rate": 0.01,
         "warmup_share": 0.3, "warmup_start": 0.1, "weight_decay": 0.001, "positive_weight": 2.0, "dice_weight": 0.5,
         "validate_every": 3, "validation_share": 0.9, "checkpoint_every": 2, "max_minutes": 9.0, "threads": 1,
         "crop_px": 64, "positive_share": 0.7, "centre_share": 0.4, "min_grey": 0.02, "min_lit_share": 0.1,
         "max_draws": 5, "turned": False, "mirror_share": 0.4, "exposure_jitter": [-0.4, 0.8], "noise_levels": 2.0,
         "blur_share": 0.1, "arch": "unetplusplus", "encoder": "tu-resnet14t", "depth": 2,
         "encoder_channels": [16, 16, 16, 16], "decoder_channels": [16, 8], "initial_logit": -3.0},
    ),
    "test": (TestOptions, {"tile_px": 96, "margin_px": 32, "split": "validation", "threshold": 0.4}),
    "predict": (PredictionOptions, {"tile_px": 96, "margin_px": 32}),
    "calibrate": (CalibrateOptions, {"split": "train"}),
    "cover": (
        CoverOptions,
        {"rule": "noisy_or", "threshold": 0.3, "calibration": ["calibration.json"], "split": "all", "seed": 8},
    ),
    "fuse": (FuseOptions, {"rule": "mean", "threshold": 0.2, "calibration": ["calibration.json"]}),
}  # fmt: skip

COMMANDS = [
    ["plan", "ring.stl", "--out", "plan.json", "--rig", "rig.toml", "--units", "cm", "--scale-mm", "42"]
    + ["--face-weight", "0=2", "--candidates", "own.csv", "--jobs", "1"],
    ["route", "plan.json", "--out", "ordered.json"],
    ["evaluate", "ordered.json", "--out", "geometric", "--coverage", "0", "--jobs", "1"],
    ["synthesize", "ordered.json", "--out", "twin"],
    ["train", "twin", "--out", "model"],
    ["test", "model", "twin"],
    ["predict", "model", "twin"],
    ["calibrate", "other", "twin", "--out", "calibration.json", "--jobs", "1"],
    ["cover", "twin", "--model", "other", "--out", "effective", "--coverage", "0", "--jobs", "1"],
    ["fuse", "twin", "--model", "other"],
    ["report", "twin", "--out", "report.html"],
]

# In a process of its own: the report draws, and torchvision cannot be imported after that.
RUN = """
import json, sys
from pathlib import Path
from viewcov.cli import run
for command in json.loads(sys.argv[1]):
    if command[0] == "route":
        ids = [view["id"] for view in json.loads(Path("plan.json").read_text())["viewpoints"]]
        rows = [[id, *(str(abs(i - j)) for j in range(len(ids)))] for i, id in enumerate(ids)]
        Path("times.csv").write_text("\\n".join(",".join(row) for row in [["", *ids], *rows]))
    config = [] if command[0] == "report" else ["--config", "chain.toml"]
    status = run([*command, *config, "--json"])
    assert status == 0, (command, status)
"""


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain")
    trimesh.creation.annulus(r_min=0.8, r_max=2.0, height=1.5, sections=48).export(root / "ring.stl")
    (root / "rig.toml").write_text(RIG, "utf-8")
    (root / "own.csv").write_text("id,x_mm,y_mm,z_mm,qw,qx,qy,qz\nmine,0,0,260,0,1,0,0\n", "utf-8")
    tables = [
        "\n".join([f"[{command}]", *(f"{name} = {toml(value)}" for name, value in said.items())])
        for command, (_, said) in SAID.items()
    ]
    (root / "chain.toml").write_text("\n\n".join(tables) + "\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, json.dumps(COMMANDS)],
        cwd=root, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.mark.parametrize("command", SAID)
def test_every_option_is_away_from_its_default(command: str) -> None:
    kind, said = SAID[command]
    assert said.keys() == kind.model_fields.keys()
    options, usual = kind(**said), kind()
    assert not [name for name in said if getattr(options, name) == getattr(usual, name)]


def test_the_plan_is_made_as_it_was_asked_for(chain: Path) -> None:
    plan = read_plan(chain / "plan.json")
    said = SAID["plan"][1]
    assert {name: plan.made["options"][name] for name in said} == said
    assert len(plan.viewpoints) == 5
    assert plan.requirements.views_per_element == 2
    assert plan.requirements.face_weights == ((0, 2.0),)
    assert (plan.part.units, plan.part.scale_mm) == ("cm", 42.0)
    ordered = read_plan(chain / "ordered.json")
    assert ordered.viewpoints[0].id == "v002"
    assert {view.id for view in ordered.viewpoints} == {view.id for view in plan.viewpoints}


def test_evaluation_speaks_of_the_same_areas(chain: Path) -> None:
    planned = read_plan(chain / "plan.json").made["figures"]
    found = read_record(chain / "geometric" / "geometric.json", GeometricFigures)
    assert found.coverable_from == "pool"
    for name in ("inspected_area_mm2", "coverable_area_mm2", "covered_area_mm2", "coverable_share", "coverage"):
        assert getattr(found, name) == pytest.approx(planned[name], rel=1e-9), name
    assert found.robustness is not None
    noise = found.robustness
    assert (noise.draws, noise.noise_mm, noise.noise_deg, noise.seed) == (2, 0.3, 0.2, 4)


def test_the_images_are_taken_as_they_were_asked_for(chain: Path) -> None:
    dataset = read_dataset(chain / "twin")
    assert sorted(dataset.splits.values()) == ["test", "train", "train", "validation"]
    planned = read_plan(chain / "ordered.json").viewpoints
    for folder in open_inspections(chain / "twin"):
        views = folder.plan().viewpoints
        moved = [np.linalg.norm(a.center_mm - b.center_mm) for a, b in zip(views, planned, strict=True)]
        assert 0 < max(moved) < 2.0
        with Image.open(folder.image_path(views[0].id)) as image:
            assert image.mode.startswith("I")
            assert image.size == (160, 128)


def test_the_model_is_what_was_asked_for(chain: Path) -> None:
    card = json.loads((chain / "model" / "model.json").read_text("utf-8"))
    text = json.dumps(card)
    for value in ('"unetplusplus"', '"tu-resnet14t"', '"other"'):
        assert value in text
    assert card["exposures"] == [0.0, 1.0]


def test_cover_and_fuse_say_what_they_were_told(chain: Path) -> None:
    effective = read_record(chain / "effective" / "effective.json", EffectiveFigures)
    assert (effective.rule, len(effective.inspections)) == ("noisy_or", 4)
    assert list(effective.models) == ["other"]
    for folder in open_inspections(chain / "twin"):
        fused = read_record(folder.results / "other" / "fused.json", FusedFigures)
        assert fused.rule == "mean"
    page = (chain / "report.html").read_text("utf-8")
    assert "other" in page
