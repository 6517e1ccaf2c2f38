from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from viewcov.inspection.errors import InputError
from viewcov.inspection.rig.rig import PRESETS, Body, Rig, load_rig, rig_from_dict

VALID = """
name = "cell 7"
[camera]
width_px = 640
height_px = 480
focal_length_mm = 16.0
pixel_pitch_um = 5
f_number = 4.0
focus_distance_mm = 200.0
distortion = [-0.1, 0.01, 0, 0, 0]
[ring_light]
inner_radius_mm = 20.0
outer_radius_mm = 30.0
kind = "led"
led_count = 12
"""


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load_and_come_back_from_json(preset: str) -> None:
    rig = load_rig(preset)
    assert rig.name == preset
    assert rig_from_dict(json.loads(json.dumps(rig.to_dict())), where="here", name="other") == rig


def test_binned_presets_are_the_full_camera_binned() -> None:
    full, half, quarter = (load_rig(preset) for preset in PRESETS)
    assert full.camera.binned(2) == half.camera
    assert quarter.camera.mm_per_px_at_focus == pytest.approx(4 * full.camera.mm_per_px_at_focus)
    assert full.ring_light == half.ring_light == quarter.ring_light
    assert full.body == half.body == quarter.body


def test_presets_can_meet_their_own_requirements() -> None:
    for preset in PRESETS:
        rig = load_rig(preset)
        assert rig.camera.mm_per_px_at_focus < rig.requirements.max_mm_per_px
        assert rig.body.radius_mm >= rig.ring_light.outer_radius_mm
        near, far = rig.camera.depth_of_field_mm(rig.requirements.max_blur_px) or (0.0, 0.0)
        assert far - near > 5.0
        # Binning changes nothing of what is in focus.
        paper = load_rig("paper")
        assert (near, far) == pytest.approx(paper.camera.depth_of_field_mm(paper.requirements.max_blur_px))


def test_a_written_rig_loads(tmp_path: Path) -> None:
    path = tmp_path / "cell.toml"
    path.write_text(VALID)
    rig = load_rig(path)
    assert (rig.name, rig.camera.width_px, rig.camera.distortion[0]) == ("cell 7", 640, -0.1)
    assert (rig.ring_light.led_count, rig.body) == (12, Body())
    assert rig_from_dict(rig.to_dict(), where=path, name="") == rig
    path.write_text(VALID.replace('name = "cell 7"', ""))
    assert load_rig(str(path)).name == "cell"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (VALID + "led_cuont = 12", r"field 'ring_light\.led_cuont' is not valid: expected no such name"),
        (VALID + "[lens]\nx = 1", "field 'lens' is not valid: expected no such name"),
        (VALID.replace("[camera]", "[body]\n[camara]"), r"field 'camera' is missing.*\(and 1 more\)"),
        (VALID.split("[ring_light]")[0], "field 'ring_light' is missing"),
        ("", "field 'camera' is missing"),
        ("camera = 3\n[ring_light]", "field 'camera' is not valid"),
        (VALID.replace("width_px = 640", "width_px = 4"), r"field 'camera\.width_px"),
        (VALID.replace("width_px = 640", "width_px = inf"), r"field 'camera\.width_px"),
        (VALID.replace("width_px = 640", "width_px = 1979-05-27"), r"field 'camera\.width_px"),
        (VALID.replace("width_px = 640", "width_px = [640, 480]"), r"field 'camera\.width_px"),
        (VALID.replace("width_px = 640", ""), r"field 'camera\.width_px' is missing"),
        (VALID.replace("focal_length_mm = 16.0", 'focal_length_mm = "16"'), r"field 'camera\.focal_length_mm"),
        (VALID.replace("f_number = 4.0", "f_number = nan"), r"field 'camera\.f_number"),
        (VALID.replace("[-0.1, 0.01, 0, 0, 0]", "[[1], 2, 3, 4, 5]"), r"field 'camera\.distortion"),
        (VALID.replace('"led"', "[1]"), r"field 'ring_light\.kind"),
        (VALID + "[body]\nradius_mm = -1.0", r"field 'body\.radius_mm"),
        (VALID + "[body]\nclearance_mm = nan", r"field 'body\.clearance_mm"),
        (VALID + "[requirements]\nmax_incidence_deg = 95", r"field 'requirements\.max_incidence_deg"),
        ("[camera\nwidth", "not a TOML file"),
        ("\x00\x01", "not a TOML file"),
    ],
)
def test_wrong_rigs_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        load_rig(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    binary = tmp_path / "rig.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, said in ((binary, "not a TOML file"), (tmp_path / "none.toml", "no such rig"), (tmp_path, "no such rig")):
        with pytest.raises(InputError, match=said):
            load_rig(path)


def test_nested_tables_in_place_of_values() -> None:
    table: dict[str, Any] = tomllib.loads(VALID)
    table["camera"]["f_number"] = {"value": 4}
    with pytest.raises(InputError, match=r"field 'camera\.f_number"):
        rig_from_dict(table, where="plan.json", name="rig")


def test_a_rig_needs_no_body_or_requirements() -> None:
    rig = load_rig("paper")
    assert Rig(name="bare", camera=rig.camera, ring_light=rig.ring_light).requirements.max_incidence_deg == 60.0
