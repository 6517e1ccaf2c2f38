"""How metal reflects the light towards the camera: GGX microfacets of a rough conductor.

The same model as Mitsuba's ``roughconductor`` with its ``ggx`` distribution: Walter et al., *Microfacet Models for
Refraction through Rough Surfaces* (EGSR 2007), anisotropic and with Smith's shadowing in the separable form of
Heitz, *Understanding the Masking-Shadowing Function* (JCGT 2014), the Fresnel factor of a conductor unpolarised.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

from viewcov.inspection.arrays import Floats, Floats32, Ints
from viewcov.inspection.rig.light import Emitters, Light
from viewcov.inspection.rig.material import Material

_SPACING_PER_LOBE = 0.5
"""With samples so far apart the sum misses the ring's integral by at most 3 % in 99 % of a highlight."""

_WIDEST_SPACING_PER_LOBE = 1.0
_MAX_SAMPLES = 1024
_ALBEDO_COSINES = 24
_ALBEDO_AZIMUTHS = 9
_ALBEDO_SAMPLES = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetalPoints:
    """N points of a metal surface, with all that reflection depends on."""

    points_mm: Floats
    """Shape (N, 3), world frame."""

    frames: Floats
    """Shape (N, 3, 3): rows are the unit vectors along the lay, across it, and the normal."""

    roughness: Floats
    """Shape (N, 2): GGX alpha along and across."""

    material: Material
    """For its refractive index."""

    @classmethod
    def on(cls, points_mm: Floats, normals: Floats, tangents: Floats | None, material: Material) -> MetalPoints:
        """Points (N, 3) with unit normals (N, 3) and the lay's directions (N, 3) in the tangent planes.

        Where a direction is NaN, or if there are none, the metal has no lay and ``roughness_plain``.
        """
        least = np.eye(3)[np.argmin(np.abs(normals), axis=1)]
        anyhow = np.cross(normals, least)
        anyhow /= np.linalg.norm(anyhow, axis=1, keepdims=True)
        given = np.full_like(normals, np.nan) if tangents is None else tangents
        has_lay = np.asarray(np.isfinite(given).all(axis=1))
        along = np.where(has_lay[:, None], given, anyhow)
        frames = np.stack([along, np.cross(normals, along), normals], axis=1)
        own = [material.roughness_along, material.roughness_across]
        roughness = np.where(has_lay[:, None], own, material.roughness_plain)
        return cls(points_mm=points_mm, frames=frames, roughness=roughness, material=material)

    def rows(self, rows: Ints) -> MetalPoints:
        """Some of the points."""
        return MetalPoints(
            points_mm=self.points_mm[rows], frames=self.frames[rows], roughness=self.roughness[rows],
            material=self.material,
        )  # fmt: skip

    def local(self, directions: Floats) -> Floats:
        """Directions of any length, world frame, as unit vectors in the points' frames; shape (N, 3) both."""
        local = np.einsum("nij,nj->ni", self.frames, directions)
        return local / np.linalg.norm(local, axis=1, keepdims=True)

    def at(self, points_mm: Floats) -> MetalPoints:
        """The same metal at other places, shape (N, 3)."""
        return MetalPoints(points_mm=points_mm, frames=self.frames, roughness=self.roughness, material=self.material)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LightSamples:
    """A light as K points dense enough for a material's highlight.

    It is known of fewer *emitters* only how much of each is seen; every sample is seen like the nearest of them.
    """

    emitters: Emitters
    """K of them, camera frame."""

    alike: tuple[Ints, ...]
    """Those that shine the same way with the same lobe, which are summed up at once: all of a ring's."""

    num_emitters: int
    """M, how many those are."""

    emitter_idx: Ints
    """Shape (K,), below M: the emitter like which the sample is seen."""

    spacing_mm: float
    """Largest distance between neighbouring samples."""


@lru_cache(maxsize=64)
def light_samples(
    light: Light, material: Material, *, num_emitters: int | None = None, distance_mm: float
) -> LightSamples:
    """Samples of a light, at least one for each of ``Light.emitters(num_emitters)``, or of ``Light.pieces``.

    Seen from ``distance_mm`` they are as far apart as half the smaller roughness in radians, as far as 1024
    samples go. A highlight that is still too narrow for them is widened to their spacing, which is less than
    what an element of a millimetre or two spans in the mirror.
    """
    emitters = light.pieces() if num_emitters is None else light.emitters(num_emitters)
    total_mm2, num = float(emitters.area_mm2.sum()), len(emitters.points_mm)
    wanted = _SPACING_PER_LOBE * min(material.roughness_along, material.roughness_across) * distance_mm
    apart = max(wanted, float(np.sqrt(total_mm2 / _MAX_SAMPLES)))
    if total_mm2 <= num * apart**2:
        samples, nearest = emitters, np.arange(num)
    else:
        samples = light.samples(apart)
        nearest = np.argmin(np.linalg.norm(samples.points_mm[:, None] - emitters.points_mm, axis=2), axis=1)
    ways = np.column_stack([samples.normals, samples.exponent])
    group = np.unique(ways, axis=0, return_inverse=True)[1].ravel()
    return LightSamples(
        emitters=samples, alike=tuple(np.flatnonzero(group == number) for number in range(group.max() + 1)),
        num_emitters=num, emitter_idx=nearest, spacing_mm=float(np.sqrt(samples.area_mm2.max())),
    )  # fmt: skip


def predicted_grey(
    metal: MetalPoints,
    to_viewer: Floats,
    world_from_camera: Floats,
    light: Light,
    samples: LightSamples,
    share: Floats32,
) -> Floats:
    """Radiance that the light alone causes at N points, shape (N,), in units of the camera's full scale at exposure 1.

    L = sum over samples of f(l, v) cos(at surface) cos(at emitter)^m radiance dA / r^2.

    Parameters
    ----------
    to_viewer
        Shape (N, 3), of any length: directions to where they are looked at from, world frame.
    world_from_camera
        Shape (4, 4): the camera that carries the light.
    share
        Shape (N, M): how much of each emitter no shadow covers.
    """
    rotation, emitters = world_from_camera[:3, :3], samples.emitters
    places = emitters.points_mm @ rotation.T + world_from_camera[:3, 3]
    expected = (len(metal.points_mm), samples.num_emitters)
    if share.shape != expected:
        raise ValueError(f"share must have shape {expected}, got {share.shape}")
    toward = to_viewer / np.linalg.norm(to_viewer, axis=1, keepdims=True)
    seen = np.ascontiguousarray(share, dtype=np.float32)
    points = (metal.points_mm, metal.frames, metal.roughness, (metal.material.eta, metal.material.k))
    grey = np.zeros(len(to_viewer))
    for some in samples.alike:
        normal, exponent = rotation @ emitters.normals[some[0]], float(emitters.exponent[some[0]])
        part = np.empty(len(to_viewer))
        shining = (places[some], (emitters.weight * emitters.area_mm2)[some], samples.emitter_idx[some])
        way = (normal, exponent, samples.spacing_mm / _WIDEST_SPACING_PER_LOBE)
        _direct(points, toward, shining, way, seen, part)
        grey += part
    return grey * light.radiance


def reflectance(outgoing: Floats, incoming: Floats, roughness: Floats, material: Material) -> Floats:
    """The BRDF f, shape (N,), per steradian, for unit directions (N, 3) in the frame along, across, normal.

    Both point away from the surface; below it f is zero. ``roughness`` has shape (N, 2).
    """
    values = np.empty(len(outgoing))
    _reflectances(outgoing, incoming, roughness, (material.eta, material.k), values)
    return values


def sampled_reflection(
    outgoing: Floats, roughness: Floats, material: Material, chance: Floats
) -> tuple[Floats, Floats]:
    """Directions (N, 3) from which light comes that leaves along ``outgoing`` (N, 3), and weights (N,).

    Half-vectors are drawn from those that the viewer sees (Heitz, *Sampling the GGX Distribution of Visible
    Normals*, JCGT 2018) by ``chance`` in [0, 1), shape (N, 2): the mean of weight times radiance is the
    reflected radiance. The weight is zero for directions below the surface.
    """
    incoming, weight = np.empty_like(outgoing), np.empty(len(outgoing))
    _sample(outgoing, roughness, (material.eta, material.k), chance, incoming, weight)
    return incoming, weight


def albedo(outgoing: Floats, roughness: Floats, material: Material) -> Floats:
    """Share of light from all sides that leaves along unit directions (N, 3), shape (N,); see ``reflectance``.

    Interpolated in a table over the cosine and the azimuth for each pair of alphas.
    """
    from scipy.interpolate import RegularGridInterpolator

    pairs, which = np.unique(roughness, axis=0, return_inverse=True)
    cosine = np.clip(outgoing[:, 2], 0.0, 1.0)
    azimuth = np.arctan2(np.abs(outgoing[:, 1]), np.abs(outgoing[:, 0]))
    values = np.empty(len(outgoing))
    for number, pair in enumerate(pairs):
        rows = np.flatnonzero(which.ravel() == number)
        table = RegularGridInterpolator(_albedo_axes(), _albedo_table(*(float(a) for a in pair), material))
        values[rows] = table(np.stack([cosine[rows], azimuth[rows]], axis=1))
    return values


def _albedo_axes() -> tuple[Floats, Floats]:
    return np.linspace(0.0, 1.0, _ALBEDO_COSINES), np.linspace(0.0, np.pi / 2, _ALBEDO_AZIMUTHS)


@lru_cache(maxsize=16)
def _albedo_table(along: float, across: float, material: Material) -> Floats:
    cosines, azimuths = _albedo_axes()
    cosine, azimuth = (grid.ravel() for grid in np.meshgrid(np.maximum(cosines, 1e-4), azimuths, indexing="ij"))
    sine = np.sqrt(1.0 - cosine**2)
    outgoing = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)
    chance = np.tile(even_chance(_ALBEDO_SAMPLES), (len(outgoing), 1))
    outgoing = np.repeat(outgoing, _ALBEDO_SAMPLES, axis=0)
    roughness = np.broadcast_to(np.array([along, across]), (len(outgoing), 2))
    weight = sampled_reflection(outgoing, roughness, material, chance)[1]
    return weight.reshape(len(cosines), len(azimuths), _ALBEDO_SAMPLES).mean(axis=2)


def even_chance(num_samples: int, num_dimensions: int = 2) -> Floats:
    """Points that fill the unit cube evenly, shape (N, D): Roberts' sequence, powers of the root of x^(D+1) = x + 1."""
    root = 2.0
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (num_dimensions + 1))
    return (0.5 + np.arange(num_samples)[:, None] / root ** np.arange(1, num_dimensions + 1)) % 1.0


@njit(cache=True, nogil=True)
def _fresnel(cosine, metal):  # type: ignore[no-untyped-def]
    """Reflected share at a smooth conductor (eta, k), mean of both polarisations, in vacuum."""
    eta, k = metal
    cosine2 = cosine * cosine
    sine2 = 1.0 - cosine2
    real = eta * eta - k * k - sine2
    length = np.sqrt(real * real + 4.0 * eta * eta * k * k)
    a = np.sqrt(max(0.5 * (length + real), 0.0))
    sum_s, part_s = length + cosine2, 2.0 * cosine * a
    across = (sum_s - part_s) / (sum_s + part_s)
    sum_p, part_p = cosine2 * length + sine2 * sine2, part_s * sine2
    return 0.5 * across * (1.0 + (sum_p - part_p) / (sum_p + part_p))


@njit(cache=True, nogil=True)
def _unshadowed_share(direction, along, across):  # type: ignore[no-untyped-def]
    """Smith's G1 of a direction above the surface."""
    x, y, z = direction
    return 2.0 / (1.0 + np.sqrt(1.0 + ((along * x) ** 2 + (across * y) ** 2) / (z * z)))


@njit(cache=True, nogil=True)
def _brdf(outgoing, incoming, along, across, metal):  # type: ignore[no-untyped-def]
    """D G F / (4 cos cos), of directions as tuples of three numbers."""
    (ox, oy, oz), (ix, iy, iz) = outgoing, incoming
    if oz <= 0.0 or iz <= 0.0:
        return 0.0
    hx, hy, hz = ox + ix, oy + iy, oz + iz
    length = np.sqrt(hx * hx + hy * hy + hz * hz)
    hx, hy, hz = hx / length, hy / length, hz / length
    stretched = (hx / along) ** 2 + (hy / across) ** 2 + hz * hz
    density = 1.0 / (np.pi * along * across * stretched * stretched)
    shadow = _unshadowed_share(outgoing, along, across) * _unshadowed_share(incoming, along, across)
    return density * shadow * _fresnel(ox * hx + oy * hy + oz * hz, metal) / (4.0 * oz * iz)


@njit(cache=True, nogil=True)
def _reflectances(outgoing, incoming, roughness, metal, values):  # type: ignore[no-untyped-def]
    for n in range(len(values)):
        o, i, a = outgoing[n], incoming[n], roughness[n]
        values[n] = _brdf((o[0], o[1], o[2]), (i[0], i[1], i[2]), a[0], a[1], metal)


@njit(cache=True, nogil=True)
def _direct(metal_points, to_viewer, samples, way, share, values):  # type: ignore[no-untyped-def]
    """Sum over samples, all of which shine the same way, of f cos cos^m dA / r^2."""
    (points, frames, roughness, metal), (places, area, emitter_idx) = metal_points, samples
    forward, exponent, least_mm = way
    for n in range(len(points)):
        t, b, s, v = frames[n, 0], frames[n, 1], frames[n, 2], to_viewer[n]
        ox = v[0] * t[0] + v[1] * t[1] + v[2] * t[2]
        oy = v[0] * b[0] + v[1] * b[1] + v[2] * b[2]
        oz = v[0] * s[0] + v[1] * s[1] + v[2] * s[2]
        values[n] = 0.0
        for j in range(len(places)):
            seen = share[n, emitter_idx[j]]
            if seen == 0.0:
                continue
            lx, ly, lz = places[j, 0] - points[n, 0], places[j, 1] - points[n, 1], places[j, 2] - points[n, 2]
            square = lx * lx + ly * ly + lz * lz
            distance = np.sqrt(square)
            at_emitter = -(lx * forward[0] + ly * forward[1] + lz * forward[2]) / distance
            iz = (lx * s[0] + ly * s[1] + lz * s[2]) / distance
            if at_emitter <= 0.0 or iz <= 0.0:
                continue
            ix = (lx * t[0] + ly * t[1] + lz * t[2]) / distance
            iy = (lx * b[0] + ly * b[1] + lz * b[2]) / distance
            # A lobe that would fall between the samples is taken as wide as their spacing.
            along = max(roughness[n, 0], least_mm / distance)
            across = max(roughness[n, 1], least_mm / distance)
            lobe = at_emitter if exponent == 1.0 else at_emitter**exponent
            values[n] += _brdf((ox, oy, oz), (ix, iy, iz), along, across, metal) * iz * lobe * seen * area[j] / square


@njit(cache=True, nogil=True)
def _sample(outgoing, roughness, metal, chance, incoming, weight):  # type: ignore[no-untyped-def]
    for n in range(len(outgoing)):
        along, across = roughness[n]
        ox, oy, oz = outgoing[n]
        incoming[n], weight[n] = (0.0, 0.0, 1.0), 0.0
        if oz <= 0.0:
            continue
        # The direction in the space where the distribution is that of a hemisphere, and a basis around it.
        vx, vy, vz = along * ox, across * oy, oz
        length = np.sqrt(vx * vx + vy * vy + vz * vz)
        vx, vy, vz = vx / length, vy / length, vz / length
        flat = np.sqrt(vx * vx + vy * vy)
        ax, ay = (-vy / flat, vx / flat) if flat > 1e-12 else (1.0, 0.0)
        bx, by, bz = -vz * ay, vz * ax, vx * ay - vy * ax
        radius, angle = np.sqrt(chance[n, 0]), 2.0 * np.pi * chance[n, 1]
        p, q = radius * np.cos(angle), radius * np.sin(angle)
        tilt = 0.5 * (1.0 + vz)
        q = (1.0 - tilt) * np.sqrt(1.0 - p * p) + tilt * q
        r = np.sqrt(max(0.0, 1.0 - p * p - q * q))
        hx, hy = along * (p * ax + q * bx + r * vx), across * (p * ay + q * by + r * vy)
        hz = max(0.0, q * bz + r * vz)
        length = np.sqrt(hx * hx + hy * hy + hz * hz)
        hx, hy, hz = hx / length, hy / length, hz / length
        cosine = ox * hx + oy * hy + oz * hz
        ix, iy, iz = 2.0 * cosine * hx - ox, 2.0 * cosine * hy - oy, 2.0 * cosine * hz - oz
        if iz > 0.0:
            incoming[n] = (ix, iy, iz)
            weight[n] = _fresnel(cosine, metal) * _unshadowed_share((ix, iy, iz), along, across)
