from __future__ import annotations

import numpy as np
import pytest
import trimesh

from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, triangle_normals

# The radii of the cylinders about the axis, and the heights between which they run.
BORE, COUNTERBORE = 15.0, 22.0


@pytest.fixture(scope="module")
def clutch() -> Part:
    return load_part("builtin:clutch-half")


@pytest.fixture(scope="module")
def shape(clutch: Part) -> trimesh.Trimesh:
    return trimesh.Trimesh(clutch.vertices_mm, clutch.faces, process=False)


def test_it_is_one_closed_solid_without_findings(clutch: Part, shape: trimesh.Trimesh) -> None:
    assert clutch.findings == ()
    assert shape.is_watertight
    assert shape.is_winding_consistent
    assert shape.body_count == 1


def test_it_is_80_mm_across_and_22_high(clutch: Part) -> None:
    np.testing.assert_allclose(clutch.bounds_mm, [[-40, -40, 0], [40, 40, 22]], atol=0.05)
    assert np.hypot(*clutch.vertices_mm[:, :2].T).max() == pytest.approx(40.0)


def test_its_holes_are_those_of_the_drawing(shape: trimesh.Trimesh) -> None:
    # The slot opens the ring, so that the bore is no hole any more: genus 0. Bolt holes at 90, 150, 210 and 270
    # degrees: one each, 4. On each side of the slot the screw hole, at x = 30, cuts the bolt hole at +-30 degrees,
    # which reaches from x = 23.5 to 30.2: one cavity with four mouths, which adds 4 - 1 = 3. Key way, flats,
    # groove and chamfers are open notches and add none. 4 + 2 x 3 = 10, and Euler's number is 2 - 2 x 10.
    assert shape.euler_number == 2 - 2 * 10


def _in_the_drawing(points: np.ndarray) -> np.ndarray:
    """Whether points lie in the solid, from the drawing's dimensions alone; cylinders are round here."""
    x, y, z = points.T
    radius = np.hypot(x, y)
    rim = np.interp(z, [0, 1.5, 8, 9, 13, 14, 20.5, 22], [38.5, 40, 40, 38, 38, 40, 40, 38.5])
    bore = np.where(z < 14, np.interp(z, [13, 14], [15, 16]), np.interp(z, [21, 22], [22, 23]))
    inside = (radius > bore) & (radius < rim) & (z > 0) & (z < 22)
    for angle in np.deg2rad(30 + 60 * np.arange(6)):
        hole = np.interp(z, [19.3, 22], [3.3, 6.0])
        inside &= np.hypot(x - 31 * np.cos(angle), y - 31 * np.sin(angle)) > hole
    inside &= ~((x > 10) & (np.abs(y) < 1.5))
    inside &= np.hypot(x - 30, z - 5.5) > 2.75
    inside &= ~((x < -10) & (np.abs(y) < 6) & (z < 4))
    inside &= ~((x > 23) & (x < 37) & (np.abs(y) > 25) & (z < 11))
    return inside


def test_its_volume_is_that_of_the_drawing(shape: trimesh.Trimesh) -> None:
    rng = np.random.default_rng(0)
    box = np.array([80.0, 80.0, 22.0])
    points = rng.random((400_000, 3)) * box - [40, 40, 0]
    share = _in_the_drawing(points).mean()
    # The standard error of the share is 0.08 %; polygons of 96 and 24 sides lack 0.07 % and 1.1 % of their circles.
    assert shape.volume == pytest.approx(share * box.prod(), rel=5e-3)


def test_every_cad_face_of_the_drawing_is_there_and_flat_ones_are_flat(clutch: Part) -> None:
    # 14 edges of the turned profile, wall and countersink of 6 bolt holes, 2 walls of the slot, the screw hole,
    # 3 faces of the key way and 3 of each flat.
    assert clutch.cad_face_idx.max() + 1 == 14 + 6 * 2 + 2 + 1 + 3 + 2 * 3
    normal = triangle_normals(clutch.corners_mm)
    num_flat = 0
    for face in np.unique(clutch.cad_face_idx):
        mine = clutch.cad_face_idx == face
        if np.ptp(normal[mine], axis=0).max() > 1e-6:
            continue
        num_flat += 1
        height = clutch.corners_mm[mine].reshape(-1, 3) @ normal[mine][0]
        assert np.ptp(height) < 1e-9
    # Two rings on top, one below, and the slot's, key way's and flats' faces; the rest is curved.
    assert num_flat == 3 + 2 + 3 + 2 * 3


def test_bore_and_rim_are_cylinders_about_the_axis(clutch: Part) -> None:
    normal = triangle_normals(clutch.corners_mm)
    middle = clutch.corners_mm.mean(axis=1)
    along = np.einsum("ij,ij->i", normal[:, :2], middle[:, :2]) / np.hypot(*middle[:, :2].T)
    radius = np.hypot(*np.moveaxis(clutch.corners_mm[:, :, :2], -1, 0))
    for wanted, outward in ((15.0, -1), (22.0, -1), (40.0, 1), (38.0, 1)):
        # Corners lie on the circle or, where something was cut off, on a chord of a 96th of it.
        on_circle = (radius > wanted * np.cos(np.pi / 96) - 1e-6).all(axis=1) & (radius < wanted + 1e-6).all(axis=1)
        wall = on_circle & (np.abs(normal[:, 2]) < 1e-9)
        assert wall.any()
        # Chords of a 96th turn no more than 1.9 degrees away from the radius.
        np.testing.assert_allclose(along[wall], outward, atol=1e-3)
