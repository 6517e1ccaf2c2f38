from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import (
    read_grey,
    read_json,
    read_levels,
    read_mask,
    read_table,
    replacing,
    sha256_of,
    write_grey,
    write_json,
    write_levels,
    write_table,
    write_text,
)

shapes = st.tuples(st.integers(1, 20), st.integers(1, 20))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "made" / "as needed" / "file.txt"
    write_text(path, "old")
    with path.open() as reader:
        with replacing(path) as temporary:
            assert (temporary.parent, temporary.suffix) == (path.parent, path.suffix)
            temporary.write_text("new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert reader.read() == "old"  # Whoever was reading goes on reading a whole file.
    assert _names(path.parent) == ["file.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="stop"), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("stop")
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["file.txt"]


def test_a_block_that_writes_nothing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


@pytest.mark.parametrize("death", ["os._exit(9)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_killed_run_leaves_the_old_file_and_the_next_one_cleans_up(tmp_path: Path, death: str) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    script = (
        "import os, signal, sys\n"
        "from viewcov.inspection.files import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    file = temporary.open('w')\n"
        "    file.write('half of the n')\n"
        "    file.flush()\n"
        f"    {death}\n"
    )
    ended = subprocess.run([sys.executable, "-P", "-c", script, str(path)], check=False)
    assert ended.returncode in (9, -9)
    assert path.read_text() == "old"
    assert len(_names(tmp_path)) == 2  # The half-written one has a name of its own,
    write_text(path, "new")  # which the next writer takes over.
    assert _names(tmp_path) == ["file.txt"]
    assert path.read_text() == "new"


def test_sha256_is_that_of_the_joined_bytes() -> None:
    assert sha256_of(b"ab", b"", b"c") == hashlib.sha256(b"abc").hexdigest()


@settings(max_examples=40)
@given(value=st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                          lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_json_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("again") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


@pytest.mark.parametrize("value", [float("nan"), np.float64("inf"), [1.0, float("nan")]])
def test_json_refuses_what_json_has_not(tmp_path: Path, value: object) -> None:
    path = tmp_path / "value.json"
    write_json(path, "old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"key": value})
    assert read_json(path) == "old"
    with pytest.raises(TypeError, match="complex is not JSON serializable"):
        write_json(path, 1j)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{'a': 1}", b'{"a": NaN}', b"[-Infinity]", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b'"\x00"'],
)
def test_what_is_no_json_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path}: not a JSON file: ") as caught:
        read_json(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("read", [read_json, read_levels, read_grey, read_mask, read_table])
def test_missing_files_are_one_line(tmp_path: Path, read: object) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(InputError, match=f"{path}: no such ") as caught:
            read(path)  # type: ignore[operator]
        assert len(str(caught.value).splitlines()) == 1


@settings(max_examples=40)
@given(levels=arrays(np.uint8, shapes) | arrays(np.uint16, shapes))
def test_png_levels_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, levels: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("again") / "levels.png"
    write_levels(path, levels)
    back = read_levels(path)
    assert back.dtype == levels.dtype
    np.testing.assert_array_equal(back, levels)
    np.testing.assert_array_equal(read_mask(path), levels >= (np.iinfo(levels.dtype).max + 1) // 2)


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_values_come_back_to_half_a_level(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    image = np.random.default_rng(3).random((40, 30))
    write_grey(tmp_path / "grey.png", image, bits=bits)
    back = read_grey(tmp_path / "grey.png")
    assert back.dtype == np.float32
    # Half a level, and the last bit of float32.
    np.testing.assert_allclose(back, image, atol=0.5 / top + 1e-7)
    exact = np.arange(top + 1).reshape(-1, 16) / top
    write_grey(tmp_path / "exact.png", exact, bits=bits)
    np.testing.assert_array_equal(read_grey(tmp_path / "exact.png"), exact.astype(np.float32))


def test_grey_values_are_clipped_as_by_a_sensor_but_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    write_grey(path, np.array([[-1.0, 0.0, 1.0, np.inf]]))
    np.testing.assert_array_equal(read_grey(path), [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="NaN"):
        write_grey(path, np.array([[np.nan]]))
    with pytest.raises(ValueError, match="shape"):
        write_grey(path, np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match="bits"):
        write_grey(path, np.zeros((2, 2)), bits=12)


@pytest.mark.parametrize(
    "levels",
    [np.zeros((2, 2), dtype=np.int64), np.zeros((2, 2), dtype=bool), np.zeros((2, 2, 3), dtype=np.uint8)],
)
def test_levels_of_another_kind_are_refused(tmp_path: Path, levels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="levels must be uint8 or uint16"):
        write_levels(tmp_path / "levels.png", levels)


def test_images_of_every_mode_have_the_right_grey(tmp_path: Path) -> None:
    grey = np.array([[0, 50, 100], [150, 200, 255]], dtype=np.uint8)
    image = Image.fromarray(grey)
    images = {
        "rgb": image.convert("RGB"),
        "rgba": image.convert("RGBA"),
        "la": image.convert("LA"),
        "palette": image.convert("P"),
    }
    for name, same in images.items():
        same.save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_levels(tmp_path / f"{name}.png"), grey, err_msg=name)
    # ITU-R 601 luma of pure colours: 0.299, 0.587, 0.114.
    colours = np.zeros((1, 3, 3), dtype=np.uint8)
    colours[0, [0, 1, 2], [0, 1, 2]] = 255
    Image.fromarray(colours).save(tmp_path / "colour.png")
    np.testing.assert_allclose(read_levels(tmp_path / "colour.png"), [[76, 150, 29]], atol=1)
    Image.fromarray(grey > 120).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_levels(tmp_path / "bits.png"), 255 * (grey > 120))
    np.testing.assert_array_equal(read_mask(tmp_path / "bits.png"), grey > 120)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.tiff")
    np.testing.assert_array_equal(read_levels(tmp_path / "deep.tiff"), grey.astype(np.uint16) * 257)


def test_images_that_do_not_fit_16_bits_are_refused(tmp_path: Path) -> None:
    for name, values in (
        ("wide", np.array([[70_000]], dtype=np.int32)),
        ("float", np.array([[0.5]], dtype=np.float32)),
    ):
        path = tmp_path / f"{name}.tiff"
        Image.fromarray(values).save(path)
        with pytest.raises(InputError, match="cannot read the image"):
            read_levels(path)


def test_masks_that_were_smoothed_are_cut_at_the_middle(tmp_path: Path) -> None:
    write_levels(tmp_path / "mask.png", np.array([[0, 127, 128, 255]], dtype=np.uint8))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), [[False, False, True, True]])


def test_damaged_images_are_one_line_whatever_the_damage(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    levels = rng.integers(0, 65536, (60, 50)).astype(np.uint16)
    write_levels(tmp_path / "whole.png", levels)
    whole = (tmp_path / "whole.png").read_bytes()
    path = tmp_path / "damaged.png"
    damaged = [b"", b"not an image", whole[:-100], whole[: len(whole) // 2], whole[:30]]
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 100 + int(rng.integers(1, len(data)))), 3):
            data[place] = rng.integers(256)
        damaged.append(bytes(data))
    num_refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            read_levels(path)
        except InputError as error:
            num_refused += 1
            assert str(error).startswith(f"{path}: cannot read the image")
            assert len(str(error).splitlines()) == 1
    assert num_refused > 100


def test_tables_come_back_exactly(tmp_path: Path) -> None:
    columns = {
        "face": np.array([3, 1, 2], dtype=np.int32),
        "area_mm2": np.array([0.1, np.nan, np.inf]),
        "kind": ["dent", "scratch", "Kratzer ü"],
        "seen": np.array([True, False, True]),
    }
    write_table(tmp_path / "table.parquet", columns, metadata={"unit": "mm"})
    back = read_table(tmp_path / "table.parquet")
    assert list(back) == list(columns)
    for name in columns:
        np.testing.assert_array_equal(back[name], columns[name])
    assert back["face"].dtype == np.int32
    write_table(tmp_path / "empty.parquet", {"face": np.empty(0, dtype=np.int64)})
    assert read_table(tmp_path / "empty.parquet")["face"].shape == (0,)


def test_damaged_tables_are_one_line(tmp_path: Path) -> None:
    write_table(tmp_path / "whole.parquet", {"x_mm": np.arange(2000.0), "id": np.arange(2000)})
    whole = (tmp_path / "whole.parquet").read_bytes()
    path = tmp_path / "damaged.parquet"
    for data in (
        b"",
        b"PAR1",
        whole[:-10],
        whole[len(whole) // 2 :],
        whole[: len(whole) // 2],
        json.dumps([1]).encode(),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match="not a Parquet file") as caught:
            read_table(path)
        assert len(str(caught.value).splitlines()) == 1


def test_a_table_of_unequal_columns_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="length"):
        write_table(tmp_path / "table.parquet", {"a": [1, 2], "b": [1]})
    assert _names(tmp_path) == []
