"""Results side by side: figures beside the same figures, surfaces subtracted only where they are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from viewcov.coverage.effective.figures import FusedFigures
from viewcov.coverage.geometric.figures import CoverageByViews, GeometricFigures
from viewcov.coverage.ladder import Areas
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.records import write_record
from viewcov.viewer import palette
from viewcov.viewer.compare import Comparison, _flat, agreement, compare
from viewcov.viewer.layers import layer_of
from viewcov.viewer.result_files import find_results, surface_files
from viewcov.viewer.vtp import write_vtp


def _box(edge_mm: float = 12.0) -> Surface:
    mesh = trimesh.creation.box(extents=[20, 20, 20])
    source = PartSource(path="box.stl", sha256="0" * 64)
    cad_face_idx = np.unique(mesh.face_normals.round(6), axis=0, return_inverse=True)[1].ravel()
    return cut_surface(
        Part(name="box", vertices_mm=mesh.vertices, faces=mesh.faces, cad_face_idx=cad_face_idx, source=source),
        edge_mm,
    )


def _areas(covered: float) -> dict[str, Any]:
    areas = Areas.of(100.0, 90.0, covered, covered / 90.0).model_dump()
    by_views = CoverageByViews(in_order=(0.5,), greedily=(0.5,), greedy_order=("v1",))
    return {
        **areas, "elements": 3, "viewpoints": 2, "coverable_from": None, "waterfall": {"lit": covered}, "uncovered": {},
        "not_coverable": {}, "k_coverage": (100.0, covered, 1.0), "views": (), "redundant_views": ("v1",),
        "coverage_by_views": by_views,
    }  # fmt: skip


def _geometric(folder: Path, covered: float = 50.0, rung: NDArray[Any] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / "geometric.json", GeometricFigures(**_areas(covered)))
    if rung is not None:
        write_vtp(folder / "geometric.vtp", BOX, {"rung": rung.astype(np.int8)})
    return folder / "geometric.json"


def _fused(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    figures = FusedFigures(
        inspection=name, model="m", rule="max", thresholds={"max": 0.5}, rules={}, single_view=None, defects=()
    )
    write_record(folder / "fused.json", figures)
    return folder / "fused.json"


BOX = _box()


def test_figures_stand_beside_each_other_and_missing_ones_are_none(tmp_path: Path) -> None:
    first, second = _geometric(tmp_path / "a", 45.0), _geometric(tmp_path / "b", 81.0)
    result = compare([first, second])
    assert result.results == ("a/geometric", "b/geometric")
    assert result.figures["covered_area_mm2"] == (45.0, 81.0)
    assert result.figures["coverable_share"] == (0.9, 0.9)
    assert result.figures["redundant_views.first"] == ("v1", "v1")
    assert result.figures["k_coverage.length"] == (3, 3)
    assert result.differences["covered_share"] == pytest.approx((0.0, 0.36))
    assert "redundant_views.first" not in result.differences
    assert result.surface is None
    assert Comparison.model_validate_json(result.model_dump_json()) == result


def test_folders_give_the_results_that_all_of_them_hold(tmp_path: Path) -> None:
    _geometric(tmp_path / "one" / "results", 45.0)
    _fused(tmp_path / "one" / "results" / "m", "one")
    _geometric(tmp_path / "two", 81.0)
    assert compare([tmp_path / "one", tmp_path / "two"]).figures["covered_area_mm2"] == (45.0, 81.0)
    _fused(tmp_path / "two" / "m", "two")
    figures = compare([tmp_path / "one", tmp_path / "two"]).figures
    assert figures["geometric.covered_area_mm2"] == (45.0, 81.0)
    assert figures["fused.inspection"] == ("one", "two")


def test_results_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [_geometric(tmp_path / name) for name in ("plain", "stack")]
    assert compare(paths).results == ("plain/geometric", "stack/geometric")
    assert len(set(compare([paths[0], paths[0]]).results)) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("ab", min_size=1, max_size=3), JSON, max_size=4))
def test_every_result_is_the_same_as_itself(value: dict[str, Any]) -> None:
    flat = list(_flat(value, ""))
    assert len({key for key, _ in flat}) == len(flat), "no figure hides another"
    assert all(part is None or isinstance(part, bool | int | float | str) for _, part in flat)


def test_what_cannot_be_compared_is_told_in_one_line(tmp_path: Path) -> None:
    good = _geometric(tmp_path / "a")
    with pytest.raises(InputError, match="too few results"):
        compare([good])
    with pytest.raises(InputError, match="no result"):
        compare([good, tmp_path / "none.json"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no result"):
        compare([good, tmp_path / "empty"])
    (tmp_path / "plan.json").write_text('{"schema_version": "viewcov-plan/1"}')
    with pytest.raises(InputError, match=r"no result.*what 'viewcov evaluate'.*another file"):
        compare([good, tmp_path / "plan.json"])
    with pytest.raises(InputError, match="not the same kind of result"):
        compare([good, _fused(tmp_path / "f", "f")])
    with pytest.raises(InputError, match="no such file"):
        compare([good, good], picture=tmp_path / "p.png")
    (tmp_path / "a" / "geometric.vtp").write_text("damaged")
    with pytest.raises(InputError, match="not a surface file"):
        compare([good, good])
    (tmp_path / "a" / "geometric.json").write_text("{}")
    with pytest.raises(InputError, match="another kind or version of file"):
        compare([good, good])


COLOURS = (palette.BOTH, palette.ONLY_FIRST, palette.ONLY_LAST, palette.NEITHER)


def test_plans_are_compared_by_what_both_only_one_or_neither_covers(tmp_path: Path) -> None:
    up, left, back = BOX.normal[:, 2] > 0.5, BOX.normal[:, 0] < -0.5, BOX.normal[:, 1] > 0.5
    first = np.where(up | left, 2, np.where(back, -1, 0))
    last = np.where(up, 2, np.where(back, -1, 1))
    paths = [_geometric(tmp_path / "a", 45.0, first), _geometric(tmp_path / "b", 40.0, last)]
    result = compare(paths, picture=tmp_path / "p.png")
    assert result.surface is not None
    assert result.surface.arrays == ("rung", "rung")
    assert result.surface.area_mm2 == pytest.approx({
        "covered by both": 400.0, "covered only by a/geometric": 400.0, "covered only by b/geometric": 0.0,
        "covered by neither": 1200.0, "not to be inspected": 400.0,
    })  # fmt: skip
    with Image.open(tmp_path / "p.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)[70:700, :1250]
    shown = [(np.abs(pixels - 0.95 * np.array(palette.rgb(colour))).max(axis=2) < 16).mean() for colour in COLOURS]
    assert shown[0] > 0.02
    assert shown[2] == 0.0
    assert shown[3] > 0.02


def test_two_models_are_compared_by_what_they_find_and_what_no_image_shows_is_neither() -> None:
    layer = layer_of("state_plain")
    values, drawn = agreement(([0, 0, 1, 2, 2, 1], layer), ([0, 2, 2, 1, 2, 1], layer_of("state_stack")), ("A", "B"))
    np.testing.assert_array_equal(values, [np.nan, 2, 2, 1, 0, 3])
    assert drawn.categories == ("found by both", "found only by A", "found only by B", "found by neither")
    assert drawn.nothing == "no image shows it"


def test_surfaces_that_are_not_the_same_are_compared_by_figures_only(tmp_path: Path) -> None:
    fine = _box(6.0)
    paths = [_geometric(tmp_path / "a", 45.0, np.zeros(BOX.num_elements)), _geometric(tmp_path / "b")]
    write_vtp(tmp_path / "b" / "geometric.vtp", fine, {"rung": np.zeros(fine.num_elements, dtype=np.int8)})
    assert compare(paths).surface is None
    with pytest.raises(InputError, match="not the same surface"):
        compare(paths, picture=tmp_path / "p.png")
    assert not (tmp_path / "p.png").exists()


def test_results_are_found_by_file_by_folder_and_below(tmp_path: Path) -> None:
    file = _geometric(tmp_path / "run" / "results", 45.0, np.zeros(BOX.num_elements))
    for path in (file, file.with_suffix(".vtp"), file.parent, tmp_path / "run"):
        assert surface_files(path) == [file.with_suffix(".vtp")]
    _fused(tmp_path / "run" / "dataset" / "one" / "results" / "m", "one")
    assert [result.kind for result in find_results(tmp_path / "run")] == ["geometric", "fused"]
    with pytest.raises(InputError, match="no surface to show"):
        surface_files(tmp_path / "run" / "dataset" / "one")
    other = tmp_path / "other.vtp"
    other.write_bytes(file.with_suffix(".vtp").read_bytes())
    assert surface_files(other) == [other]
