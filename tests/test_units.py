"""The unit that a file is written in has no influence on the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.inspection.loading.part_files import MM_PER_UNIT, load_part
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.rig.rig import Rig, load_rig
from viewcov.planning.options import PlanningOptions
from viewcov.planning.planner import PlanningResult, plan_views

DATA = Path(__file__).parents[2] / "shared" / "data"
RIG = load_rig("paper-quarter")


def _ten_times_as_large(rig: Rig) -> Rig:
    """A rig that sees of a part ten times as large what this one sees of a part."""
    camera = replace(rig.camera, focal_length_mm=10 * rig.camera.focal_length_mm,
                     focus_distance_mm=10 * rig.camera.focus_distance_mm,
                     pixel_pitch_um=10 * rig.camera.pixel_pitch_um)  # fmt: skip
    light = replace(rig.ring_light, inner_radius_mm=400.0, outer_radius_mm=600.0)
    body = replace(rig.body, radius_mm=650.0, length_mm=1500.0, front_mm=50.0, clearance_mm=100.0)
    requirements = replace(rig.requirements, max_mm_per_px=10 * rig.requirements.max_mm_per_px)
    return Rig(name="large", camera=camera, ring_light=light, body=body, requirements=requirements)


def _assert_same_plan(one: PlanningResult, other: PlanningResult, *, atol_mm: float) -> None:
    assert len(one.plan.viewpoints) == len(other.plan.viewpoints)
    for view, twin in zip(one.plan.viewpoints, other.plan.viewpoints, strict=True):
        assert view.id == twin.id
        np.testing.assert_allclose(view.world_from_camera[:3, 3], twin.world_from_camera[:3, 3], atol=atol_mm)
        np.testing.assert_allclose(view.world_from_camera[:3, :3], twin.world_from_camera[:3, :3], atol=1e-5)
    assert one.figures.coverage == pytest.approx(other.figures.coverage, abs=1e-6)
    assert one.figures.coverable_area_mm2 == pytest.approx(other.figures.coverable_area_mm2, rel=1e-5)


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of public test data is not there")
def test_step_cubes_in_three_units_give_one_plan() -> None:
    # The cubes are 1 m large: a rig that sees 0.76 m at once, and elements to match.
    cubes = [load_part(DATA / "nasty" / f"units-cube-{unit}.step") for unit in ("mm", "inch", "m")]
    rig = _ten_times_as_large(RIG)
    options = PlanningOptions(coverage=0.95, edge_mm=120.0, num_candidates=150)
    results = [plan_views(cube, rig, options=options) for cube in cubes]
    assert results[0].figures.coverage >= 0.95
    assert results[0].figures.viewpoints >= 6
    for result in results[1:]:
        _assert_same_plan(results[0], result, atol_mm=1e-2)


def _in_three_units(tmp_path: Path, mesh: trimesh.Trimesh) -> list[Part]:
    parts = []
    for units in ("mm", "inch", "m"):
        path = tmp_path / f"{units}.stl"
        trimesh.Trimesh(mesh.vertices / MM_PER_UNIT[units], mesh.faces, process=False).export(path)
        parts.append(load_part(path, units=units))
    return parts


def test_stl_files_in_three_units_give_one_plan(tmp_path: Path) -> None:
    mesh = trimesh.creation.annulus(r_min=12, r_max=35, height=25, sections=32)
    options = PlanningOptions(coverage=0.95, edge_mm=8.0, num_candidates=150)
    results = [plan_views(part, RIG, options=options) for part in _in_three_units(tmp_path, mesh)]
    for result in results[1:]:
        _assert_same_plan(results[0], result, atol_mm=1e-2)


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of public test data is not there")
def test_a_block_in_three_units_takes_as_many_views(tmp_path: Path) -> None:
    # STL keeps seven digits: a few of the block's vertices differ by a hundred-thousandth of its size, and among
    # sets of views that are equally good those decide. What is seen and how few views do is the same.
    block = load_part(DATA / "parts" / "machined-block-127mm-inch.stl", units="inch")
    parts = _in_three_units(tmp_path, trimesh.Trimesh(block.vertices_mm, block.faces, process=False))
    options = PlanningOptions(coverage=0.95, edge_mm=8.0, num_candidates=150, refine=0)
    first, *others = [plan_views(part, RIG, options=options).figures for part in parts]
    for figures in others:
        assert figures.elements == first.elements
        assert figures.coverable_area_mm2 == pytest.approx(first.coverable_area_mm2, rel=1e-5)
        assert (figures.viewpoints, figures.lower_bound) == (first.viewpoints, first.lower_bound)
