"""Parts written in every mesh format and read again, and what is no part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import DEFAULT_PART, load_part
from viewcov.inspection.mesh.part import Part


@pytest.fixture(scope="module")
def clutch() -> Part:
    return load_part(DEFAULT_PART)


@pytest.mark.parametrize("kind", ["stl", "obj", "ply", "off", "glb"])
def test_the_clutch_half_comes_back_from_every_format(tmp_path: Path, clutch: Part, kind: str) -> None:
    # A GLB is in metres by its standard; the others have no unit and are read as millimetres.
    scale = 1e-3 if kind == "glb" else 1.0
    path = tmp_path / f"clutch.{kind}"
    trimesh.Trimesh(clutch.vertices_mm * scale, clutch.faces, process=False).export(path)
    part = load_part(path)
    assert part.name == "clutch"
    # STL, PLY and GLB have float32, OBJ and OFF some 8 digits.
    np.testing.assert_allclose(part.bounds_mm, clutch.bounds_mm, atol=1e-5)
    assert part.area_mm2 == pytest.approx(clutch.area_mm2, rel=1e-6)
    read, written = (trimesh.Trimesh(one.vertices_mm, one.faces, process=False) for one in (part, clutch))
    assert read.is_watertight
    assert read.volume == pytest.approx(written.volume, rel=1e-6)
    assert part.findings == ()
    # The sharp edges cut the surface into pieces that each lie in one true CAD face.
    assert _pieces_within_true_faces(part, clutch) > 0.99


def _pieces_within_true_faces(part: Part, truth: Part) -> float:
    """Share of the area whose CAD face, found at sharp edges, overlaps just one CAD face of the truth."""
    areas = np.linalg.norm(np.cross(*np.moveaxis(np.diff(part.corners_mm, axis=1), 1, 0)), axis=1) / 2
    # Triangles of both are the same but for their order, so a centroid finds its twin.
    distance, twin = cKDTree(truth.corners_mm.mean(axis=1)).query(part.corners_mm.mean(axis=1))
    same = distance < 1e-4
    assert areas[same].sum() > 0.9 * areas.sum()
    pure = 0.0
    for face in np.unique(part.cad_face_idx):
        mine = (part.cad_face_idx == face) & same
        if len(np.unique(truth.cad_face_idx[twin[mine]])) == 1:
            pure += areas[mine].sum()
    return float(pure / areas[same].sum())


@pytest.mark.parametrize(("units", "factor"), [("mm", 1.0), ("cm", 10.0), ("m", 1000.0), ("inch", 25.4)])
def test_units_of_a_mesh_file(tmp_path: Path, units: str, factor: float) -> None:
    path = tmp_path / "box.stl"
    trimesh.creation.box(extents=[1, 2, 3]).export(path)
    part = load_part(path, units=units)
    np.testing.assert_allclose(np.ptp(part.bounds_mm, axis=0), np.array([1, 2, 3]) * factor)
    assert part.source.units == units
    # The size wanted wins over any unit.
    assert load_part(path, units=units, scale_mm=60.0).area_mm2 == pytest.approx(22 * 20.0**2)


def test_scenes_are_put_together_in_their_world_frame(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    box = trimesh.creation.box(extents=[0.01, 0.01, 0.01])
    scene.add_geometry(box)
    scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([0.05, 0, 0]))
    scene.add_geometry(trimesh.load_path(np.array([[0, 0, 0], [9.0, 9, 9]])))
    scene.add_geometry(trimesh.PointCloud([[9.0, 9, 9]]))
    scene.export(tmp_path / "two.glb")
    part = load_part(tmp_path / "two.glb")
    np.testing.assert_allclose(part.bounds_mm, [[-5, -5, -5], [55, 5, 5]], atol=1e-5)
    assert [(finding.name, finding.count) for finding in part.findings] == [("several-bodies", 2)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("part.dwg", b"x", r"unknown kind of part file: .*ending '\.dwg'"),
        ("part", b"x", "unknown kind of part file"),
        ("empty.stl", b"", "empty file"),
        ("text.stl", b"hello", "no surface in the file|cannot read the mesh"),
        ("nothing.obj", b"# no faces\nv 0 0 0\n", "no surface in the file|cannot read the mesh"),
        ("points.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
         b"property float z\nend_header\n0 0 0\n", "no surface in the file"),
        ("flat.off", b"OFF\n3 1 0\n0 0 0\n1 1 1\n2 2 2\n3 0 1 2\n", "only triangles without"),
        ("point.off", b"OFF\n3 1 0\n1 1 1\n1 1 1\n1 1 1\n3 0 1 2\n", "the part has no size"),
        ("far.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1e9 0\n3 0 1 2\n", "coordinates are not those of a part"),
        ("nan.off", b"OFF\n3 1 0\n0 0 0\nnan 0 0\n0 1 0\n3 0 1 2\n", "coordinates are not those of a part"),
        ("high.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "a face names a vertex|cannot read the mesh"),
        ("low.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 -1\n", "a face names a vertex|cannot read the mesh"),
    ],
)  # fmt: skip
def test_what_is_no_part_is_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        load_part(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("nowhere/part.stl", {}, "no such part file"),
        ("builtin:teapot", {}, "no such built-in part: expected builtin:clutch-half"),
        (DEFAULT_PART, {"units": "furlong"}, "--units: unknown unit"),
        (DEFAULT_PART, {"scale_mm": 0.0}, "--scale-mm: not a size"),
        (DEFAULT_PART, {"scale_mm": float("nan")}, "--scale-mm: not a size"),
    ],
)
def test_wrong_names_and_options_are_one_line(path: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_part(path, **options)


def test_damaged_mesh_files_load_or_are_one_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    box = trimesh.creation.box(extents=[3, 4, 5])
    for kind in ("stl", "obj", "ply", "off", "glb"):
        whole = box.export(file_type=kind)
        data = whole.encode() if isinstance(whole, str) else whole
        path = tmp_path / f"damaged.{kind}"
        outcomes = set()
        for number in range(60):
            damaged = bytearray(data[: rng.integers(1, len(data))] if number % 3 == 0 else data)
            for place in rng.integers(0, len(damaged), number % 3 * 2):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                load_part(path)
                outcomes.add("loaded")
            except InputError as error:
                assert len(str(error).splitlines()) == 1
                outcomes.add("refused")
        assert "refused" in outcomes


def test_the_built_in_part_has_the_same_name_and_digest_in_every_process(clutch: Part) -> None:
    code = "from viewcov import load_part; print(load_part('builtin:clutch-half').source.sha256)"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True, env=environment)
    assert other.stdout.decode().strip() == clutch.source.sha256
    assert (clutch.name, clutch.source.path) == ("clutch-half", DEFAULT_PART)
