"""Lens models: how a lens moves image points. A new one is an object like these in ``LENSES``, under its name."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np

from viewcov.inspection.arrays import Floats

T = TypeVar("T", float, Floats)

_ITERATIONS = 50
Coefficients = tuple[float, ...]


class LensModel(Protocol):
    """Maps undistorted image coordinates x / z, y / z to distorted ones; the others follow from these."""

    num_coefficients: int
    """How many numbers ``camera.distortion`` has."""

    def distort(self, x: T, y: T, coefficients: Coefficients) -> tuple[T, T]:
        """The distorted coordinates."""

    def jacobian(self, x: T, y: T, coefficients: Coefficients) -> tuple[T, T, T]:
        """Derivatives of ``distort``: of x by x, of x by y, which is that of y by x, and of y by y."""

    def is_straight(self, coefficients: Coefficients) -> bool:
        """Whether nothing is distorted."""
        return False

    def turning_radius(self, coefficients: Coefficients) -> float:
        """Undistorted radius up to which the distorted one grows; infinite if it always does."""
        return float("inf")

    def largest_stretch(self, coefficients: Coefficients, radius: float) -> float:
        """A bound on the singular values of the Jacobian up to a radius; infinity bounds everything."""
        return float("inf")

    def undistort(self, distorted: Floats, coefficients: Coefficients) -> Floats:
        """Coordinates, shape (..., 2), that ``distort`` maps to ``distorted``; NaN where none is found.

        By fixed-point iteration, which converges for the mild distortion of machine-vision lenses.
        """
        normalized, error = distorted, np.full_like(distorted, np.inf)
        with np.errstate(over="ignore", invalid="ignore"):  # A point that diverges ends as NaN.
            for _ in range(_ITERATIONS):
                x, y = normalized[..., 0], normalized[..., 1]
                error = distorted - np.stack(self.distort(x, y, coefficients), axis=-1)
                if not (np.abs(error) > 1e-14).any():
                    break
                normalized = normalized + error
        converged = (np.abs(error) < 1e-9).all(axis=-1, keepdims=True)
        return np.where(converged, normalized, np.nan)


class BrownConrady(LensModel):
    """OpenCV's k1, k2, p1, p2, k3."""

    num_coefficients = 5

    # Arithmetic alone, with no ``self``: compiled code and arrays run the same lines.
    @staticmethod
    def distort(x: T, y: T, coefficients: Coefficients) -> tuple[T, T]:  # noqa: D102
        k1, k2, p1, p2, k3 = coefficients
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return (
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
        )

    @staticmethod
    def jacobian(x: T, y: T, coefficients: Coefficients) -> tuple[T, T, T]:  # noqa: D102
        k1, k2, p1, p2, k3 = coefficients
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = 2.0 * (k1 + r2 * (2.0 * k2 + r2 * 3.0 * k3))
        return (
            radial + x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x,
            x * y * slope + 2.0 * (p1 * x + p2 * y),
            radial + y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x,
        )

    def is_straight(self, coefficients: Coefficients) -> bool:  # noqa: D102
        return not any(coefficients)

    def turning_radius(self, coefficients: Coefficients) -> float:
        """Of the radial part alone."""
        k1, k2, _, _, k3 = coefficients
        # The derivative 1 + 3 k1 r^2 + 5 k2 r^4 + 7 k3 r^6, in s = 1 / r^2 so that the leading term is never 0.
        roots = np.roots([1.0, 3 * k1, 5 * k2, 7 * k3])
        turns = roots.real[(np.abs(roots.imag) < 1e-12) & (roots.real > 1e-12)]
        return float(1 / np.sqrt(turns.max())) if turns.size else float("inf")

    def largest_stretch(self, coefficients: Coefficients, radius: float) -> float:  # noqa: D102
        k1, k2, p1, p2, k3 = np.abs(coefficients)
        return float(1 + 3 * k1 * radius**2 + 5 * k2 * radius**4 + 7 * k3 * radius**6 + 8 * (p1 + p2) * radius)


LENSES: dict[str, LensModel] = {"brown-conrady": BrownConrady()}
"""Name of a lens model, as rigs have it in ``camera.lens``, to the model."""
