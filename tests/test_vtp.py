"""Surface files: what is written is read, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.viewer import layers
from viewcov.viewer.layers import Layer, layer_of
from viewcov.viewer.vtp import SCHEMA, read_vtp, write_vtp


def _box() -> Surface:
    mesh = trimesh.creation.box(extents=[10, 20, 30])
    mesh.apply_translation([1e5 + 1 / 3, 0, 0])  # Float32 could not keep this.
    part = Part(
        name="box",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.arange(12) // 2,
        source=PartSource(path="box.stl", sha256="ab" * 32),
    )
    return cut_surface(part, 25.0)


SURFACE = _box()
NUM = SURFACE.num_elements
DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9 _.()/%-]{0,20}", fullmatch=True).filter(lambda n: n != "cad_face_idx")
COLUMNS = st.dictionaries(
    NAMES, st.sampled_from(DTYPES).flatmap(lambda kind: hnp.arrays(np.dtype(kind), NUM)), max_size=5
)


def _same_bits(first: NDArray[Any], second: NDArray[Any]) -> None:
    assert first.dtype == second.dtype
    assert first.tobytes() == second.tobytes()


@settings(max_examples=60, deadline=None)
@given(arrays=COLUMNS)
def test_reading_gives_what_was_written_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, NDArray[Any]]
) -> None:
    path = tmp_path_factory.mktemp("vtp") / "surface.vtp"
    write_vtp(path, SURFACE, arrays)
    vertices_mm, faces, found, texts, words, main = read_vtp(path)
    _same_bits(vertices_mm, np.asarray(SURFACE.vertices_mm))
    _same_bits(faces, np.asarray(SURFACE.faces))
    assert list(found) == ["cad_face_idx", *arrays]
    for name, values in arrays.items():
        _same_bits(found[name], values)
    _same_bits(found["cad_face_idx"], SURFACE.cad_face_idx)
    assert texts == {"schema_version": SCHEMA, "units": "mm", "part_sha256": "ab" * 32}
    assert set(words) == set(found)
    assert main in found


def test_unseen_is_nan_in_both_float_widths(tmp_path: Path) -> None:
    values = np.where(np.arange(NUM) % 2, np.nan, 0.25)
    write_vtp(tmp_path / "a.vtp", SURFACE, {"wide": values, "narrow": values.astype(np.float32)})
    arrays = read_vtp(tmp_path / "a.vtp").arrays
    np.testing.assert_array_equal(np.isnan(arrays["wide"]), np.arange(NUM) % 2 == 1)
    np.testing.assert_array_equal(arrays["narrow"], values.astype(np.float32))


def test_a_layer_from_outside_is_one_entry_and_its_words_travel_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Layer(name="dust_{place}", title="Dust, {place}", unit="g", nothing="not weighed", main=True)
    monkeypatch.setattr(layers, "LAYERS", [*layers.LAYERS, entry])
    write_vtp(tmp_path / "a.vtp", SURFACE, {"num_views": np.arange(NUM), "dust_top_side": np.full(NUM, np.nan)})
    monkeypatch.undo()
    file = read_vtp(tmp_path / "a.vtp")
    assert file.main == "dust_top_side"
    assert file.layer(file.main).label == "Dust, top side (g)"
    assert file.layer(file.main).text(np.nan) == "not weighed"
    assert file.layer("num_views").text(0) == "no view inspects it"
    assert file.layer("num_views").text(3) == "3"
    assert file.layer("of nobody").title == "of nobody"


def test_arrays_of_results_say_what_their_gaps_mean() -> None:
    assert layer_of("pod_my_model").title == "Probability of detection (PoD), my_model"
    assert "needs no move" in layer_of("nearest_distance_mm").nothing
    assert layer_of("state_m").text(2) == "PoD at the level or above"
    assert layer_of("probability_log_odds").title.endswith("log odds")
    told = {layer.nothing for layer in layers.LAYERS if layer.kind != "category"}
    assert told > {"no view inspects it", "no image shows it", "no defect reported"}


def test_pyvista_reads_the_file_as_it_reads_any(tmp_path: Path) -> None:
    import pyvista

    write_vtp(tmp_path / "a.vtp", SURFACE, {"probability": np.linspace(0, 1, NUM)})
    mesh = pyvista.read(tmp_path / "a.vtp")
    assert mesh.n_cells == NUM
    assert mesh.area == pytest.approx(2200.0)
    np.testing.assert_array_equal(mesh.cell_data["probability"], np.linspace(0, 1, NUM))
    assert list(mesh.field_data["units"]) == ["mm"]


def test_big_endian_and_strided_arrays_keep_their_values(tmp_path: Path) -> None:
    values = np.arange(2 * NUM, dtype=">f8")[::2]
    write_vtp(tmp_path / "a.vtp", SURFACE, {"a": values})
    np.testing.assert_array_equal(read_vtp(tmp_path / "a.vtp").arrays["a"], values)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"a": np.zeros(NUM + 1)}, "must have shape"),
        ({"a": np.zeros((NUM, 2))}, "must have shape"),
        ({"a": np.zeros(NUM, dtype=np.complex128)}, "truth values"),
        ({"a": np.zeros(NUM, dtype=np.float16)}, "truth values"),
        ({'a"<b>': np.zeros(NUM)}, "array name"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_written(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        write_vtp(tmp_path / "a.vtp", SURFACE, arrays)
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    import pyvista

    with pytest.raises(InputError, match="no such file"):
        read_vtp(tmp_path / "none.vtp")
    (tmp_path / "text.vtp").write_text("hello")
    pyvista.Sphere().save(tmp_path / "foreign.vtp")
    write_vtp(tmp_path / "whole.vtp", SURFACE, {"a": np.arange(NUM)})
    data = (tmp_path / "whole.vtp").read_bytes()
    (tmp_path / "cut.vtp").write_bytes(data[: len(data) // 2])
    mesh = pyvista.read(tmp_path / "whole.vtp")
    mesh.cell_data.pop("a")
    mesh.save(tmp_path / "less.vtp")
    mesh = pyvista.read(tmp_path / "whole.vtp")
    mesh.field_data["arrays"] = ["{}"]
    mesh.save(tmp_path / "card.vtp")
    for name in ("text", "foreign", "cut", "less", "card"):
        with pytest.raises(InputError, match="not a surface file"):
            read_vtp(tmp_path / f"{name}.vtp")
