"""Which elements a camera's exposures bring out, and which lie in the light's highlight."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from viewcov.coverage.light.reflectance import MetalPoints
from viewcov.inspection.arrays import Bools, Floats
from viewcov.inspection.rig.light import Light
from viewcov.inspection.rig.requirements import Requirements

HALF_HEIGHT_SLOPE = float(np.sqrt(np.sqrt(2.0) - 1.0))
"""Slope, in units of alpha, of the microfacets of which GGX has half as many as of level ones."""


class Exposed(IntEnum):
    """What an exposure makes of an element."""

    DARK = 0
    USABLE = 1
    SATURATED = 2


def exposure_states(grey: Floats, requirements: Requirements) -> NDArray[np.uint8]:
    """``Exposed`` of elements with grey values (N,), shape (N, A), at each of the A exposures.

    Grey is in units of full scale at exposure 0, not clipped; exposure a multiplies it by 2^a.
    """
    levels = grey[:, None] * 2.0 ** np.array(requirements.exposures)
    states = np.full(levels.shape, Exposed.USABLE, dtype=np.uint8)
    states[levels < requirements.min_grey] = Exposed.DARK
    if requirements.max_grey is not None:
        states[levels > requirements.max_grey] = Exposed.SATURATED
    return states


def well_exposed(grey: Floats, requirements: Requirements) -> Bools:
    """Whether at least one exposure makes elements with grey values (N,) usable, shape (N,)."""
    return (exposure_states(grey, requirements) == Exposed.USABLE).any(axis=1)


def in_highlight(metal: MetalPoints, world_from_camera: Floats, light: Light, visible: Bools) -> Bools:
    """Whether the camera looks into the specular lobe of an unshadowed emitter, shape (N,).

    Where the half-vector of camera and emitter leans from the normal by no more than the lobe's half-width
    plus the emitter's. The lobe's is the lean of microfacets of half the peak's density, atan(0.644 alpha),
    with the alpha of the direction in which it leans; the emitter's is half the angle that its radius spans,
    because a half-vector turns by half as much as the light.

    Parameters
    ----------
    metal
        N points.
    world_from_camera
        Shape (4, 4).
    light
        Its ``emitters(M)`` are meant.
    visible
        Shape (N, M): which emitters no shadow covers.
    """
    emitters = light.emitters(visible.shape[1])
    expected = (len(metal.points_mm), len(emitters.points_mm))
    if visible.shape != expected:
        raise ValueError(f"visible must have shape {expected}, got {visible.shape}")
    center, rotation = world_from_camera[:3, 3], world_from_camera[:3, :3]
    to_camera = metal.local(center - metal.points_mm)
    found = np.zeros(len(metal.points_mm), dtype=bool)
    forward = emitters.normals @ rotation.T
    for number, place in enumerate(emitters.points_mm @ rotation.T + center):
        arm = place - metal.points_mm
        distance = np.linalg.norm(arm, axis=1)
        to_light = metal.local(arm)
        x, y, z = (to_camera + to_light).T
        sideways = np.hypot(x, y)
        # An ellipse's radius in the direction (x, y); alpha itself where the half-vector does not lean.
        stretched = np.hypot(x / metal.roughness[:, 0], y / metal.roughness[:, 1])
        alpha = np.divide(sideways, stretched, out=metal.roughness[:, 0].copy(), where=stretched > 0)
        width = np.arctan(HALF_HEIGHT_SLOPE * alpha) + 0.5 * np.arctan(emitters.radius_mm[number] / distance)
        lit = visible[:, number] & (arm @ forward[number] < 0) & (to_light[:, 2] > 0) & (to_camera[:, 2] > 0)
        found |= lit & (np.arctan2(sideways, z) <= width)
    return found


def fits_view_mode(highlight: Bools, requirements: Requirements) -> Bools:
    """Whether elements in the highlight or not, shape (N,), are what the view mode asks for, shape (N,)."""
    if requirements.view_mode == "any":
        return np.ones_like(highlight)
    return highlight if requirements.view_mode == "bright-field" else ~highlight
