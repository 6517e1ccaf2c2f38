"""Results side by side: figures beside the same figures, surfaces subtracted only where they are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.viewer.compare import _flat, compare, difference_picture, surface_file
from viewcov.viewer.vtp import write_vtp


def _box(edge_mm: float = 12.0) -> Surface:
    mesh = trimesh.creation.box(extents=[20, 20, 20])
    source = PartSource(path="box.stl", sha256="0" * 64)
    cad_face_idx = np.unique(mesh.face_normals.round(6), axis=0, return_inverse=True)[1].ravel()
    return cut_surface(
        Part(name="box", vertices_mm=mesh.vertices, faces=mesh.faces, cad_face_idx=cad_face_idx, source=source),
        edge_mm,
    )


def _json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def test_figures_stand_beside_each_other_and_missing_ones_are_none(tmp_path: Path) -> None:
    first = _json(tmp_path / "a.json", {"coverage": 0.5, "status": "optimal", "areas": {"lit": 10}, "old": True})
    second = _json(tmp_path / "b.json", {"coverage": 0.75, "areas": {"lit": 14}, "interval": [0.6, 0.9]})
    result = compare([first, second])
    assert result.names == ("a", "b")
    assert result.figures == {
        "coverage": (0.5, 0.75),
        "status": ("optimal", None),
        "areas.lit": (10, 14),
        "old": (True, None),
        "interval.first": (None, 0.6),
        "interval.last": (None, 0.9),
    }
    assert result.differences() == {
        "coverage": (0.0, 0.25),
        "areas.lit": (0, 4),
        "interval.first": (None, None),
        "interval.last": (None, None),
    }
    assert json.loads(json.dumps(result.to_json()))["figures"]["areas.lit"] == [10, 14]


def test_folders_give_their_summary_or_all_of_their_results(tmp_path: Path) -> None:
    _json(tmp_path / "one" / "summary.json", {"views": 3})
    _json(tmp_path / "one" / "results" / "ignored.json", {"views": 9})
    _json(tmp_path / "two" / "results" / "cover.json", {"views": 4})
    assert compare([tmp_path / "one", tmp_path / "two"]).figures == {"views": (3, 4)}
    _json(tmp_path / "two" / "results" / "fuse.json", {"defects": [{}, {}]})
    figures = compare([tmp_path / "one", tmp_path / "two"]).figures
    assert figures == {"views": (3, None), "cover.views": (None, 4), "fuse.defects.length": (None, 2)}


def test_results_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [_json(tmp_path / name / "summary.json", {}) for name in ("plain", "stack")]
    assert compare(paths).names == ("plain/summary", "stack/summary")
    assert len(set(compare([paths[0], paths[0]]).names)) == 2


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
    good = _json(tmp_path / "a.json", {})
    with pytest.raises(InputError, match="too few results"):
        compare([good])
    with pytest.raises(InputError, match="no such file"):
        compare([good, tmp_path / "none.json"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no results here"):
        compare([good, tmp_path / "empty"])
    with pytest.raises(InputError, match="no surface to compare"):
        compare([good, good], picture=tmp_path / "p.png")


def test_the_difference_is_last_minus_first_on_the_surface(tmp_path: Path) -> None:
    box = _box()
    up = box.normal[:, 2] > 0.5
    first = np.where(up, 1.0, np.nan)
    write_vtp(tmp_path / "a.vtp", box, {"pod": first, "seen": up})
    write_vtp(tmp_path / "b.vtp", box, {"other": first, "pod": np.where(up, 0.25, 0.5)})
    for name in ("a", "b"):
        _json(tmp_path / f"{name}.json", {"n": 1})
    result = compare([tmp_path / "a.json", tmp_path / "b.json"], picture=tmp_path / "p.png")
    assert result.picture == tmp_path / "p.png"
    with Image.open(tmp_path / "p.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)[70:700, :1250]
    # All seen differences are -0.75: the lowest colour, darkened by the light; the highest is nowhere.
    low, high = (np.array(mpl.colormaps["RdBu"](x)[:3]) * 255 for x in (0.0, 1.0))
    assert (np.abs(pixels - 0.95 * low).max(axis=2) < 16).mean() > 0.02
    assert not (np.abs(pixels - 0.95 * high).max(axis=2) < 16).any()


def test_surfaces_that_are_not_the_same_are_refused(tmp_path: Path) -> None:
    coarse, fine = _box(), _box(6.0)
    write_vtp(tmp_path / "coarse.vtp", coarse, {"pod": np.zeros(coarse.num_elements)})
    write_vtp(tmp_path / "fine.vtp", fine, {"pod": np.zeros(fine.num_elements)})
    with pytest.raises(InputError, match="not the same surface"):
        difference_picture(tmp_path / "coarse.vtp", tmp_path / "fine.vtp", tmp_path / "p.png")
    with pytest.raises(InputError, match="no such array in both"):
        difference_picture(tmp_path / "fine.vtp", tmp_path / "fine.vtp", tmp_path / "p.png", array="none")
    assert not (tmp_path / "p.png").exists()


def test_the_surface_of_a_result_is_found_beside_it(tmp_path: Path) -> None:
    result = _json(tmp_path / "run" / "results" / "cover.json", {})
    (tmp_path / "run" / "results" / "cover.vtp").touch()
    assert surface_file(result) == result.with_suffix(".vtp")
    assert surface_file(tmp_path / "run") == result.with_suffix(".vtp")
    assert surface_file("x.vtp") == Path("x.vtp")
    (tmp_path / "run" / "results" / "fuse.vtp").touch()
    with pytest.raises(InputError, match="which surface is meant is not clear"):
        surface_file(tmp_path / "run")
