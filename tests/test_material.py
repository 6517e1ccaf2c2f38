from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import PartSource
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import load_rig, rig_from_dict


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("eta", 0.0),
        ("eta", float("nan")),
        ("k", -1.0),
        ("k", "much"),
        ("roughness_along", 0.0),
        ("roughness_along", 1.5),
        ("roughness_across", float("inf")),
    ],
)
def test_impossible_materials_are_refused_by_the_name_of_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"\b{field}\b"):
        Material(**{field: value})  # type: ignore[arg-type]


def test_a_face_without_lay_has_the_peak_of_one_with() -> None:
    # GGX of level microfacets is 1 / (pi along across).
    rough = Material(roughness_along=0.1, roughness_across=0.4)
    assert rough.roughness_plain**2 == pytest.approx(0.1 * 0.4)


def test_the_rig_says_what_the_part_is_made_of(tmp_path: Path) -> None:
    rig = load_rig("paper-quarter")
    assert rig.material == Material()
    table = rig.to_dict()
    del table["material"]
    assert rig_from_dict(table, where="here", name="") == rig
    table["material"] = {"eta": 2.9, "k": 3.1, "roughness_across": 0.5}
    steel = rig_from_dict(table, where="here", name="")
    assert steel.material == Material(eta=2.9, k=3.1, roughness_across=0.5)
    table["material"] = {"roughness": 0.5}
    with pytest.raises(InputError, match=r"field \'material\.roughness\' is not valid: expected no such name"):
        rig_from_dict(table, where="here", name="")


def test_plans_keep_material_and_grey_limits(tmp_path: Path) -> None:
    limits = Requirements(min_grey=0.05, max_grey=0.9, exposures=(0.0, 3.5), view_mode="dark-field")
    rig = replace(load_rig("paper-quarter"), material=Material(eta=2.9, k=3.1), requirements=limits)
    source = PartSource(path="builtin:clutch-half", sha256="0" * 64)
    plan = InspectionPlan(part=source, rig=rig, requirements=limits, viewpoints=())
    write_plan(tmp_path / "plan.json", plan)
    again = read_plan(tmp_path / "plan.json")
    assert again.rig.material == rig.material
    assert again.requirements == limits
    write_plan(tmp_path / "plan.json", replace(plan, requirements=Requirements()))
    assert read_plan(tmp_path / "plan.json").requirements == Requirements()
