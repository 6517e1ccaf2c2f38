"""Weights of CAD faces: what they do to a plan, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.plan import read_plan, write_plan
from viewcov.inspection.rig.requirements import Requirements, face_weights, left_out, weighted_areas_mm2
from viewcov.inspection.rig.rig import load_rig
from viewcov.planning.options import PlanningOptions
from viewcov.planning.planner import plan_views

RIG = load_rig("paper-quarter")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Part:
    path = tmp_path_factory.mktemp("box") / "box.stl"
    trimesh.creation.box(extents=[60, 50, 40]).export(path)
    return load_part(path)


def side(part: Part, normal: list[float]) -> int:
    """The CAD face that looks that way."""
    facing = np.flatnonzero(trimesh.Trimesh(part.vertices_mm, part.faces, process=False).face_normals @ normal > 0.99)
    return int(part.cad_face_idx[facing[0]])


def test_weights_multiply_areas_and_zero_leaves_a_face_out(box: Part) -> None:
    top, front = side(box, [0, 0, 1]), side(box, [1, 0, 0])
    requirements = Requirements(face_weights=((top, 3.0), (front, 0.0)))
    assert face_weights(box, requirements).tolist().count(1.0) == 4
    part = left_out(box, requirements)
    assert not part.inspected[part.cad_face_idx == front].any()
    assert part.inspected[part.cad_face_idx != front].all()
    areas = weighted_areas_mm2(cut_surface(part, 10.0), requirements)
    assert areas.sum() == pytest.approx(2 * 60 * 50 + 2 * 60 * 40 + 2 * 50 * 40 + 2 * (60 * 50) - 50 * 40)


def test_the_few_views_there_are_go_where_the_weight_is(box: Part, tmp_path: Path) -> None:
    front, back = side(box, [1, 0, 0]), side(box, [-1, 0, 0])
    options = PlanningOptions(num_views=1, edge_mm=4.0, num_candidates=120, max_nodes=0)
    for heavy, sign in ((front, 1.0), (back, -1.0)):
        requirements = replace(RIG.requirements, face_weights=((heavy, 50.0),))
        result = plan_views(box, RIG, requirements, options)
        (view,) = result.plan.viewpoints
        assert sign * view.center_mm[0] > 100.0
        seen = result.num_views > 0
        weights = weighted_areas_mm2(result.surface, requirements)
        assert result.figures.coverage == pytest.approx(weights[seen].sum() / weights[result.coverable].sum())
        assert result.figures.covered_area_mm2 == pytest.approx(result.surface.area_mm2[seen].sum())
    write_plan(tmp_path / "plan.json", result.plan)
    assert read_plan(tmp_path / "plan.json").requirements.face_weights == ((back, 50.0),)


def test_a_face_left_out_stays_out_when_the_plan_is_read(box: Part, tmp_path: Path) -> None:
    bottom = side(box, [0, 0, -1])
    requirements = replace(RIG.requirements, face_weights=((bottom, 0.0),))
    options = PlanningOptions(coverage=0.9, edge_mm=4.0, num_candidates=120, max_nodes=0)
    result = plan_views(box, RIG, requirements, options)
    assert result.figures.inspected_area_mm2 == pytest.approx(2 * (60 * 50 + 60 * 40 + 50 * 40) - 60 * 50)
    write_plan(tmp_path / "plan.json", result.plan)
    part = read_plan(tmp_path / "plan.json").load_part()
    assert not part.inspected[part.cad_face_idx == bottom].any()


def test_a_face_that_is_not_there_is_refused(box: Part) -> None:
    with pytest.raises(InputError, match="expected a face from 0 to 5, found 6"):
        face_weights(box, Requirements(face_weights=((6, 2.0),)))


@pytest.mark.parametrize(
    "pairs",
    [((1,),), 3, ((1, 2, 3),), ((-1, 2.0),), ((1.5, 2.0),), ((1, -2.0),), ((1, float("nan")),), ((1, 2.0), (1, 3.0))],
)
def test_weights_that_are_none_are_refused(pairs: object) -> None:
    with pytest.raises(ValueError, match=r"for Requirements\nface_weights"):
        Requirements(face_weights=pairs)  # type: ignore[arg-type]
