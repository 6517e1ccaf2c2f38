"""Array types of the public signatures, and the checks at public borders."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Floats32: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Ints32: TypeAlias = NDArray[np.int32]
Bools: TypeAlias = NDArray[np.bool_]


def locked_floats(values: ArrayLike, *, name: str, shape: tuple[int | None, ...]) -> Floats:
    """Read-only float64 copy of finite ``values`` of ``shape``; ``None`` stands for any length."""
    array: Floats = locked(values, name=name, shape=shape, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(array))} other values")
    return array


def locked(values: ArrayLike, *, name: str, shape: tuple[int | None, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """Read-only copy of ``values`` as ``dtype`` and of ``shape``; ``None`` stands for any length."""
    array = np.array(values).astype(dtype, copy=True)
    if array.ndim != len(shape) or any(want not in (None, have) for have, want in zip(array.shape, shape, strict=True)):
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    array.flags.writeable = False
    return array
