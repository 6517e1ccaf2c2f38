"""Files on disk: whole or not there at all, read with one-line errors."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Bools, Floats32
from viewcov.inspection.errors import InputError

_PARTIAL = ".partial-"

_IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "PPM")  # Others, such as EPS, may start programs.

_PLAIN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff/\\:*?\"<>|]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def is_plain(name: str) -> bool:
    """Whether a file or folder can bear the name everywhere and stays where it is put."""
    plain = _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name) and len(name.encode()) <= 200
    return bool(plain) and not name.startswith((".", " ", "-")) and not name.endswith((".", " "))


def plain_name(name: str) -> str:
    """The name, if it is plain; ValueError if not."""
    if not is_plain(name):
        raise ValueError(
            "a plain name of at most 200 bytes, without separators or quotes and not beginning with '.' or '-', "
            f"got {name!r}"
        )
    return name


def inside(folder: str | Path, *steps: str, what: str = "name") -> Path:
    """The path within ``folder`` that names from files and options lead to, one name a step.

    Every such name becomes a path here, so that none leaves its folder.

    Raises InputError if a step is no plain name, or a symbolic link on the way leads out of the folder.
    """
    for step in steps:
        try:
            plain_name(step)
        except ValueError as error:
            raise InputError(
                folder, f"{what} {_short(step)} is not allowed", expected=str(error).split(", got ")[0],
                found=_short(step), remedy="name it otherwise",
            ) from None  # fmt: skip
    path = Path(folder, *steps)
    real = os.path.realpath(path)
    if not Path(real).is_relative_to(os.path.realpath(folder)):
        raise InputError(
            path, f"{what} {steps[-1]!r} leads out of its folder", expected=f"a file or folder in {folder}",
            found=f"a link to {_short(real)}", remedy="put a copy in the link's place",
        )  # fmt: skip
    return path


def files_in(folder: str | Path, pattern: str) -> list[Path]:
    """Files and folders that match, sorted, without hidden ones: what is being written has hidden names."""
    return sorted(path for path in Path(folder).glob(pattern) if not path.name.startswith("."))


def found_from(folder: Path, path: str) -> str:
    """Absolute path of a file that a file in ``folder`` names; where it is gone, of one of its name beside that.

    A folder that was copied without its surroundings finds what was copied into it. The reader compares hashes.
    """
    named = (folder / path).resolve()
    beside = folder / named.name
    return str(beside if beside.is_file() and not named.exists() else named)


def path_from(folder: Path, target: str | Path) -> str:
    """The path of ``target`` as seen from ``folder``: it still holds when both are moved together."""
    return Path(os.path.relpath(Path(target).resolve(), folder.resolve())).as_posix()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error.

    A killed run leaves the old file, the new one, or none; never half of one. The temporary name is new, so
    that no link can stand there, and keeps the suffix, because many writers choose the format by it. A
    link at ``path`` itself is replaced, not what it points to. What killed runs left of this file goes.
    """
    target = Path(path)
    try:
        if target.exists() and not target.is_file():
            raise FileExistsError(0, "a folder or device")
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        # The end of the name, which holds the suffix: all of it may be too long with more in front of it.
        temporary = target.with_name(f"{_PARTIAL}{secrets.token_hex(4)}-{target.name[-40:]}")
        lock = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    except (OSError, ValueError) as error:
        raise InputError(
            target, "cannot be written", expected="a path for a new file", remedy="choose another path",
            found=getattr(error, "strerror", None) or str(error),
        ) from None  # fmt: skip
    try:
        with suppress(OSError):  # Some file systems have no locks or times: what is left there stays.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.utime(lock, (0, 0))  # Tells whether the block writes anything.
        yield temporary
        with temporary.open("rb") as written:
            if os.fstat(written.fileno()).st_mtime_ns == 0:
                raise FileNotFoundError(f"nothing was written to {temporary}")
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(lock)


def _sweep(target: Path) -> None:
    """Remove what killed runs left of a file. What another run writes just now is locked and stays."""
    for left in target.parent.glob(f"{_PARTIAL}*"):
        if left.name[len(_PARTIAL) + 8 :] != f"-{target.name[-40:]}":
            continue
        with suppress(OSError):
            lock = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(lock)


def sha256_of(*chunks: bytes) -> str:
    """SHA-256 of the joined bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(b"".join(chunks)).hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file in one step."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | Path, value: Any) -> None:
    """Write plain values as indented JSON in one step. NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file.

    Raises InputError if there is no such file or it does not hold JSON, a name stands in it twice, or a number is
    not finite.
    """
    parse = partial(
        json.loads, parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_once_each
    )
    return _parsed(path, "JSON", parse)


def read_text(path: str | Path, kind: str) -> str:
    """The UTF-8 text in a file, named by its kind where it is refused; raises InputError if it cannot be read."""
    return _parsed(path, kind, str)


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables in a TOML file; raises InputError if there is no such file or it does not hold TOML."""
    return _parsed(path, "TOML", tomllib.loads)


def _parsed(path: str | Path, kind: str, parse: Callable[[str], Any]) -> Any:
    require_file(path, "file", kind)
    try:
        return parse(Path(path).read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            path, f"not a {kind} file", expected=f"valid {kind}", found=str(error)[:160], remedy="mend or remake it"
        ) from None


def require_file(path: str | Path, what: str, kind: str) -> None:
    """Raise InputError if there is no such file."""
    if not os.path.isfile(path):  # noqa: PTH113 - pathlib raises where a name is too long.
        raise InputError(path, f"no such {what}", expected=f"a {kind} file", found="nothing", remedy="check the path")


def write_grey(path: str | Path, image: NDArray[np.floating], *, bits: int = 8) -> None:
    """Write a grey image as ``grey_png`` has it."""
    write_bytes(path, grey_png(image, bits=bits))


def grey_png(image: NDArray[np.floating], *, bits: int = 8) -> bytes:
    """A grey image with values in [0, 1], shape (height, width), as an 8- or 16-bit PNG.

    Values outside [0, 1] are clipped, as a sensor does; NaN is refused.
    """
    if bits not in (8, 16):
        raise ValueError(f"bits must be 8 or 16, got {bits}")
    if np.isnan(image).any():
        raise ValueError(f"image must not hold NaN, got {np.count_nonzero(np.isnan(image))}")
    levels = np.rint(np.clip(image, 0.0, 1.0) * (2**bits - 1))
    return levels_png(levels.astype(np.uint8 if bits == 8 else np.uint16))


def write_levels(path: str | Path, levels: NDArray[np.unsignedinteger]) -> None:
    """Write whole numbers as ``levels_png`` has them."""
    write_bytes(path, levels_png(levels))


def levels_png(levels: NDArray[np.unsignedinteger]) -> bytes:
    """Whole numbers, uint8 or uint16 of shape (height, width), as a PNG of that depth."""
    from PIL import Image

    if levels.ndim != 2 or levels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"levels must be uint8 or uint16 of shape (height, width), got {levels.dtype} {levels.shape}")
    found = BytesIO()
    Image.fromarray(np.ascontiguousarray(levels)).save(found, format="PNG", compress_level=3)
    return found.getvalue()


def read_levels(path: str | Path, *, content: bytes | None = None) -> NDArray[np.unsignedinteger]:
    """The whole numbers of a grey 8- or 16-bit image, shape (height, width); colour becomes luma.

    Raises InputError if there is no such file or it cannot be decoded.
    """
    from PIL import Image, UnidentifiedImageError

    if content is None:
        require_file(path, "image", "PNG or JPEG")
    try:
        with Image.open(path if content is None else BytesIO(content), formats=_IMAGE_FORMATS) as image:
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
            path, "cannot read the image", expected="a whole PNG or JPEG", found=str(error), remedy="remake it"
        ) from None


def read_grey(path: str | Path, *, content: bytes | None = None) -> Floats32:
    """A grey image as float32 in [0, 1], shape (height, width); otherwise as ``read_levels``."""
    levels = read_levels(path, content=content)
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


def read_table(
    path: str | Path, *, integers: Sequence[str] = (), numbers: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """The columns of a Parquet file as arrays.

    Those named as ``integers`` and ``numbers`` must be there, with whole or with finite numbers, and come as int64 and
    float64. Raises InputError if one is missing or holds something else, or there is no such Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_file(path, "table", "Parquet")
    try:
        table = pq.read_table(path)
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise InputError(
            path, "not a Parquet file", expected="a whole table", found=str(error), remedy="remake it"
        ) from None
    for name in (*integers, *numbers):
        values = columns.get(name)
        kinds, dtype = ("iu", np.int64) if name in integers else ("iuf", np.float64)
        if values is None or values.dtype.kind not in kinds or not np.isfinite(values).all():
            raise InputError(
                path, f"column {name!r} is {'missing' if values is None else 'not valid'}", remedy="remake it",
                expected="whole numbers" if name in integers else "finite numbers",
                found="nothing" if values is None else f"{table[name].type}, or values that are not finite",
            )  # fmt: skip
        columns[name] = values.astype(dtype)
    return columns


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is not JSON")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits}, which no floating-point number can be")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r} twice")
    return values


def _short(text: str) -> str:
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return repr(shown if len(shown) <= 80 else f"{shown[:77]}...")
