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
    if array.ndim != len(shape) or any(
        want is not None and have != want for have, want in zip(array.shape, shape, strict=True)
    ):
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    array.flags.writeable = False
    return array


def checked_number(
    value: float, *, name: str, above: float = -np.inf, at_least: float = -np.inf, at_most: float = np.inf
) -> float:
    """``value`` as a finite float within the limits; ValueError if it is not one."""
    limits = {"above": above, "at least": at_least, "at most": at_most}
    said = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if np.isfinite(limit))
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not (is_number and np.isfinite(value) and above < value and at_least <= value <= at_most):
        raise ValueError(f"{name} must be a finite number{' ' if said else ''}{said}, got {value!r}")
    return float(value)


def checked_count(value: float, *, name: str, at_least: int) -> int:
    """``value`` as an int within the limits; ValueError if it is not a whole number or outside."""
    number = checked_number(value, name=name, at_least=at_least, at_most=2**31)
    if number != int(number):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(number)
