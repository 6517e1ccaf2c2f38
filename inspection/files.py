"""Files on disk: whole or not there at all, read with one-line errors."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Bools, Floats32
from viewcov.inspection.errors import InputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error.

    A killed run leaves the old file, the new one, or none; never half of one. The temporary name keeps the
    suffix, because many writers choose the format by it, and is always the same, so that the next run
    overwrites what a killed one left.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".partial-{target.name}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of(*chunks: bytes) -> str:
    """SHA-256 of the joined bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON in one step. NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, default=_plain) + "\n")


def finite(value: Any) -> Any:
    """The value with None for NaN and infinity, for which JSON has no number."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def read_json(path: str | Path) -> Any:
    """The value in a JSON file.

    Raises
    ------
    InputError
        If there is no such file or it does not hold JSON.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(file, "no such file", expected="a JSON file", found="nothing", remedy="check the path")
    try:
        return json.loads(file.read_text("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(
            file, "not a JSON file", expected="valid JSON", found=str(error), remedy="mend or remake it"
        ) from None


def write_grey(path: str | Path, image: NDArray[np.floating], *, bits: int = 8) -> None:
    """Write a grey image with values in [0, 1], shape (height, width), as an 8- or 16-bit PNG.

    Values outside [0, 1] are clipped, as a sensor does; NaN is refused.
    """
    if image.ndim != 2:
        raise ValueError(f"image must have shape (height, width), got {image.shape}")
    if bits not in (8, 16):
        raise ValueError(f"bits must be 8 or 16, got {bits}")
    if np.isnan(image).any():
        raise ValueError(f"image must not hold NaN, got {np.count_nonzero(np.isnan(image))}")
    top = 2**bits - 1
    levels = np.rint(np.clip(image, 0.0, 1.0) * top)
    write_levels(path, levels.astype(np.uint8 if bits == 8 else np.uint16))


def write_levels(path: str | Path, levels: NDArray[np.unsignedinteger]) -> None:
    """Write whole numbers, uint8 or uint16 of shape (height, width), as a PNG of that depth."""
    from PIL import Image

    if levels.ndim != 2 or levels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"levels must be uint8 or uint16 of shape (height, width), got {levels.dtype} {levels.shape}")
    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(levels)).save(temporary, format="PNG", compress_level=3)


def read_levels(path: str | Path) -> NDArray[np.unsignedinteger]:
    """The whole numbers of a grey 8- or 16-bit image, shape (height, width); colour becomes luma.

    Raises
    ------
    InputError
        If there is no such file or it cannot be decoded.
    """
    from PIL import Image, UnidentifiedImageError

    file = Path(path)
    if not file.is_file():
        raise InputError(file, "no such image", expected="an image file", found="nothing", remedy="check the path")
    try:
        with Image.open(file) as image:
            image.load()
            if image.mode.startswith("I"):
                levels = np.asarray(image)
                if levels.min() < 0 or levels.max() > 65535:
                    raise ValueError(f"{levels.min()} to {levels.max()} do not fit 16 bits")
                return levels.astype(np.uint16)
            if image.mode == "F":
                raise ValueError("floating-point pixels")
            return np.asarray(image if image.mode == "L" else image.convert("L"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise InputError(
            file,
            "cannot read the image",
            expected="a whole PNG or JPEG",
            found=str(error),
            remedy="remake it",
        ) from None


def read_grey(path: str | Path) -> Floats32:
    """A grey image as float32 in [0, 1], shape (height, width); raises as ``read_levels``."""
    levels = read_levels(path)
    return (levels / np.float32(np.iinfo(levels.dtype).max)).astype(np.float32)


def read_mask(path: str | Path) -> Bools:
    """A defect mask, shape (height, width): levels in the upper half of the range are defects."""
    levels = read_levels(path)
    return levels > np.iinfo(levels.dtype).max // 2


def write_table(path: str | Path, columns: Mapping[str, Any], *, metadata: Mapping[str, str] | None = None) -> None:
    """Write named columns of equal length as a Parquet file in one step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    if metadata:
        table = table.replace_schema_metadata(dict(metadata))
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: str | Path) -> dict[str, NDArray[Any]]:
    """The columns of a Parquet file as arrays.

    Raises
    ------
    InputError
        If there is no such file or it is not Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = Path(path)
    if not file.is_file():
        raise InputError(file, "no such table", expected="a Parquet file", found="nothing", remedy="check the path")
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            file, "not a Parquet file", expected="a whole table", found=str(error), remedy="remake it"
        ) from None
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is not JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"cannot write a {type(value).__name__} as JSON")
