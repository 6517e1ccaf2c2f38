"""The exposure stack: one image as a camera would have taken it with longer and longer exposures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Floats32


def exposure_stack(image: NDArray[np.floating], exposures: Sequence[float] = (0, 1, 2)) -> Floats32:
    """The image at each exposure, shape (C, height, width), values in [0, 1].

    The image has shape (height, width), values in [0, 1]. At ``a`` stops a channel is ``min(1, x * 2**a)`` (Fulir et
    al. 2023): dark regions gain contrast and bright ones saturate, as on a sensor; negative stops darken.

    Raises
    ------
    ValueError
        If the image is not of that shape, or the exposures are none, not finite or not distinct.

    Examples
    --------
    >>> exposure_stack(np.array([[0.125, 0.5]]), (0, 2)).tolist()
    [[[0.125, 0.5]], [[0.5, 1.0]]]
    """
    if image.ndim != 2:
        raise ValueError(f"image must have shape (height, width), got {image.shape}")
    gains = np.exp2(np.asarray(checked_exposures(exposures), dtype=np.float32))
    stack = image.astype(np.float32)[None] * gains[:, None, None]
    return np.minimum(stack, np.float32(1.0))


def checked_exposures(exposures: Sequence[float]) -> tuple[float, ...]:
    """The exposures as a tuple; raises ValueError if they are none, not finite or not distinct."""
    checked = tuple(exposures)
    if not checked or not np.isfinite(checked).all() or len(set(checked)) != len(checked):
        raise ValueError(f"exposures must be finite and distinct, at least one, got {list(checked)}")
    return checked


def network_range(stack: Floats32) -> Floats32:
    """Values in [0, 1] moved to the networks' input range [-1, 1]."""
    return stack * np.float32(2.0) - np.float32(1.0)
