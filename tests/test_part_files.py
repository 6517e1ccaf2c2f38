from __future__ import annotations

import hashlib
import io
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.inspection.errors import InputError
from viewcov.inspection.loading import cad as step_files
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, triangle_normals

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of public test data is not there")

# File, extents as stated in the data folder's README, and what the file is known to suffer from.
PARTS: dict[str, tuple[tuple[float, float, float], set[str]]] = {
    "coupling-half.off": ((1, 1, 0.3648), set()),
    "flanged-hub-88mm.stp": ((31, 88, 87.9), set()),
    "machined-block-127mm.step": ((127, 63.5, 34.92), set()),
    "machined-block-127mm-inch.stl": ((5, 2.5, 1.375), set()),
    "anc101-block-426mm.stp": ((426.3, 201.5, 190.5), set()),
    "nist-ctc-01-plate.stp": ((800, 450, 150), {"degenerate-faces"}),
    "nist-ctc-05-hub.stp": ((527.1, 558.8, 482.6), {"degenerate-faces"}),
    "nist-ctc-02-housing.stp": ((680, 860, 400), {"degenerate-faces", "cracks"}),
    "nist-ftc-06-cover.stp": ((304.8, 97.79, 247.6), {"degenerate-faces"}),
    "turbine-cover.off": ((0.2303, 1, 1), set()),
    "anchor-bracket.off": ((1, 0.625, 0.8566), set()),
    "pinion.off": ((1.663, 1.694, 1.773), set()),
    "as1-assembly-mm.stp": ((200, 150, 84), {"several-bodies", "hidden-interior", "overlapping-bodies"}),
    "bunny.off": ((0.9982, 0.9872, 0.7726), set()),
    "armadillo.off": ((127, 151.3, 115.4), set()),
    "stanford-dragon-res3.ply": (
        (0.2037, 0.1439, 0.09088),
        {"contact-faces", "cracks", "double-sided", "duplicate-faces", "hidden-bodies", "hidden-interior",
         "mixed-winding", "non-manifold-edges", "open-edges", "overlapping-bodies", "self-intersections",
         "several-bodies"},
    ),
}  # fmt: skip
NASTY: dict[str, tuple[tuple[float, float, float], set[str]]] = {
    "cycloidal-drive-100-bodies.ply": (
        (1.875, 1.875, 1.107),
        {"hidden-bodies", "hidden-interior", "non-manifold-edges", "overlapping-bodies", "several-bodies"},
    ),
    "spider-degenerate-duplicate.stl": (
        (6.23, 8, 3.299),
        {"cracks", "degenerate-faces", "hidden-interior", "mixed-winding", "open-edges", "overlapping-bodies",
         "several-bodies"},
    ),
    "capsule-degenerate.obj": ((2, 2, 3), {"degenerate-faces"}),
    "chair-double-sided.obj": (
        (0.531, 0.6638, 0.5267),
        {"cracks", "double-sided", "duplicate-faces", "hidden-bodies", "hidden-interior", "inside-out", "mixed-winding",
         "non-manifold-edges", "open-edges", "overlapping-bodies", "self-intersections", "several-bodies"},
    ),
    "offset-39-bodies-slivers.obj": (
        (716.3, 1384, 3967),
        {"cracks", "degenerate-faces", "double-sided", "far-from-origin", "hidden-bodies", "hidden-interior",
         "non-manifold-edges", "open-edges", "several-bodies"},
    ),
    "nonmanifold-edges.obj": (
        (2, 18, 13),
        {"cracks", "degenerate-faces", "double-sided", "duplicate-faces", "far-from-origin", "hidden-bodies",
         "hidden-interior", "non-manifold-edges", "open-edges", "overlapping-bodies", "self-intersections",
         "several-bodies"},
    ),
    "self-intersecting.obj": ((1.639, 0.9751, 1.991), {"hidden-interior", "self-intersections"}),
    "boeing-mixed-winding.off": ((12, 24, 5), {"mixed-winding", "inside-out"}),
    "holes-open-surface.off": ((1, 0.9882, 0.9783), {"cracks", "open-edges"}),
    "bolt-with-cracks.stl": ((18.85, 42.5, 20.37), {"cracks", "far-from-origin", "open-edges", "several-bodies"}),
    "nist-ftc-08-tessellated.stp": ((311.6, 222.7, 48.26), {"degenerate-faces", "inside-out"}),
    "anc101-colour-split.stp": ((426.3, 201.5, 190.5), set()),
    "as1-assembly-mislabelled-inch.stp": (
        (5080, 2210, 3810),
        {"contact-faces", "hidden-interior", "non-manifold-edges", "several-bodies"},
    ),
    "terrain-utm-offset.stl": ((990, 1070, 107.3), {"far-from-origin", "open-edges"}),
    "units-cube-inch.step": ((1000, 1000, 1000), set()),
    "units-cube-m.step": ((1000, 1000, 1000), set()),
    "units-cube-mm.step": ((1000, 1000, 1000), set()),
    "unreadable-utf16.obj": ((1, 1, 1), set()),
}  # fmt: skip
UNREADABLE = {
    "cray-float-max.obj": "coordinates are not those of a part",
    "unreadable-index-out-of-range.obj": "cannot read the mesh: .*IndexError",
    "unreadable-huge-count.off": "cannot read the mesh",
}
CAD_FACES = {
    "machined-block-127mm.step": 96,
    "anc101-block-426mm.stp": 87,
    "nist-ctc-05-hub.stp": 156,
    "nist-ctc-02-housing.stp": 635,
    "nist-ftc-06-cover.stp": 187,
}


@cache
def _loaded(name: str) -> Part:
    """A part of the data folder, loaded once."""
    path = DATA / ("parts" if name in PARTS else "nasty") / name
    started = time.process_time()
    part = load_part(path)
    assert time.process_time() - started < 30.0
    return part


def _shape(part: Part) -> trimesh.Trimesh:
    return trimesh.Trimesh(part.vertices_mm, part.faces, process=False)


def _extents(part: Part) -> np.ndarray:
    return np.ptp(part.bounds_mm, axis=0)


@needs_data
@pytest.mark.parametrize("name", [*PARTS, *NASTY])
def test_parts_of_others_load_with_their_size_and_known_troubles(name: str) -> None:
    part = _loaded(name)
    extents, troubles = (PARTS | NASTY)[name]
    # The table has four digits; STEP tessellations may lie a chord height of 0.1 mm inside each side.
    slack = 0.2 if name.endswith(("stp", "step")) else 0.0
    if name == "bolt-with-cracks.stl":
        slack = 0.05  # Stitching cracks moves their corners.
    np.testing.assert_allclose(_extents(part), extents, rtol=6e-4, atol=slack)
    assert troubles == {finding.name for finding in part.findings}
    data = (DATA / ("parts" if name in PARTS else "nasty") / name).read_bytes()
    assert part.source.sha256 == hashlib.sha256(data).hexdigest()
    # Whatever it was, it is usable: no empty faces, no repeated corners.
    assert np.linalg.norm(triangle_normals(part.corners_mm), axis=1) == pytest.approx(1.0)
    np.testing.assert_array_equal(np.unique(part.cad_face_idx), np.arange(part.cad_face_idx.max() + 1))


@needs_data
@pytest.mark.parametrize(
    "name",
    [
        *[name for name, (_, troubles) in PARTS.items() if "double-sided" not in troubles],
        *["capsule-degenerate.obj", "boeing-mixed-winding.off", "nist-ftc-08-tessellated.stp"],
        *["anc101-colour-split.stp", "units-cube-inch.step", "self-intersecting.obj"],
    ],
)
def test_closed_parts_are_watertight_and_outward(name: str) -> None:
    shape = _shape(_loaded(name))
    assert shape.is_watertight
    assert shape.is_winding_consistent
    assert shape.volume > 0
    for body in shape.split(only_watertight=False):
        assert body.volume > 0


@needs_data
@pytest.mark.parametrize("name", [name for name, (_, troubles) in (PARTS | NASTY).items() if "open-edges" in troubles])
def test_open_parts_enclose_a_positive_volume_too(name: str) -> None:
    part = _loaded(name)
    middle = part.corners_mm - part.corners_mm.reshape(-1, 3).mean(axis=0)
    assert np.einsum("ij,ij->", middle[:, 0], np.cross(middle[:, 1], middle[:, 2])) > 0


@needs_data
@pytest.mark.parametrize("name", CAD_FACES)
def test_step_files_keep_their_cad_faces(name: str) -> None:
    assert _loaded(name).cad_face_idx.max() + 1 == CAD_FACES[name]


@needs_data
@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_files_are_one_line(name: str) -> None:
    path = DATA / "nasty" / name
    with pytest.raises(InputError, match=UNREADABLE[name]) as caught:
        load_part(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


@needs_data
def test_every_file_of_the_data_folder_is_spoken_for() -> None:
    assert {path.name for path in (DATA / "parts").iterdir()} == set(PARTS)
    assert {path.name for path in (DATA / "nasty").iterdir()} == set(NASTY) | set(UNREADABLE)


@needs_data
def test_step_units_are_read_from_the_file() -> None:
    cubes = [_loaded(f"units-cube-{unit}.step") for unit in ("inch", "mm", "m")]
    for cube in cubes:
        np.testing.assert_allclose(cube.bounds_mm, cubes[0].bounds_mm, rtol=1e-6, atol=1e-3)
        assert cube.area_mm2 == pytest.approx(6e6, rel=1e-6)


@needs_data
@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("nasty/units-cube-inch.step", "inch"),
        ("nasty/units-cube-m.step", "m"),
        ("nasty/units-cube-mm.step", "mm"),
        ("nasty/as1-assembly-mislabelled-inch.stp", "inch"),
        ("parts/machined-block-127mm.step", "inch"),
        ("parts/nist-ctc-05-hub.stp", "inch"),
        ("parts/flanged-hub-88mm.stp", "mm"),
        ("parts/as1-assembly-mm.stp", "mm"),
    ],
)
def test_the_unit_that_a_step_file_states(name: str, units: str) -> None:
    assert step_files.length_unit((DATA / name).read_bytes()) == units


def test_the_unit_of_what_states_none() -> None:
    assert step_files.length_unit(b"ISO-10303-21; DATA; ENDSEC;") == "unknown"
    foot = b"#1=(CONVERSION_BASED_UNIT('FOOT',#2)LENGTH_UNIT()NAMED_UNIT(#3));\n"
    base = b"#4 = ( LENGTH_UNIT() NAMED_UNIT(*) SI_UNIT($,.METRE.) );\n"
    degree = b"#5=(CONVERSION_BASED_UNIT('DEGREE',#6)NAMED_UNIT(#7)PLANE_ANGLE_UNIT());\n"
    assert step_files.length_unit(degree + base + foot) == "foot"
    assert step_files.length_unit(degree + base) == "m"


@pytest.mark.parametrize(
    ("offset", "dtype", "severity"),
    [
        (0.0, np.float32, None),
        (35.0, np.float32, None),
        (50.0, np.float32, "note"),
        # Steps of 0.03 at 3e5, in a part of 10: more than a hundred-thousandth of it.
        (3e5, np.float32, "warning"),
        (3e5, np.float64, "note"),
    ],
)
@pytest.mark.parametrize("units", ["mm", "inch"])
def test_a_part_far_from_the_origin(
    tmp_path: Path, offset: float, dtype: type[np.floating], severity: str | None, units: str
) -> None:
    ball = trimesh.creation.icosphere(subdivisions=1, radius=5)
    vertices = (ball.vertices + [offset, 0, 0]).astype(dtype).astype(np.float64)
    path = tmp_path / "far.off"
    rows = [f"{x!r} {y!r} {z!r}" for x, y, z in vertices.tolist()]
    faces = [f"3 {a} {b} {c}" for a, b, c in ball.faces]
    path.write_text("\n".join([f"OFF\n{len(rows)} {len(faces)} 0", *rows, *faces]))
    found = {finding.name: finding.severity for finding in load_part(path, units=units).findings}
    assert found == ({} if severity is None else {"far-from-origin": severity})


@needs_data
def test_step_and_stl_of_one_block_agree() -> None:
    step = _loaded("machined-block-127mm.step")
    stl = load_part(DATA / "parts" / "machined-block-127mm-inch.stl", units="inch")
    np.testing.assert_allclose(_extents(stl), _extents(step), atol=0.05)
    # Flat faces are exact. Holes of radius r as polygons with steps of 0.3 rad lose 0.3^2 / 24 of their area.
    assert stl.area_mm2 == pytest.approx(step.area_mm2, rel=4e-3)
    assert _shape(stl).volume == pytest.approx(_shape(step).volume, rel=4e-3)
    assert stl.source.units == "inch"


@needs_data
def test_an_assembly_with_a_wrong_unit_is_too_large_by_an_inch() -> None:
    ratio = _extents(_loaded("as1-assembly-mislabelled-inch.stp")) / _extents(_loaded("as1-assembly-mm.stp"))
    assert ratio[0] == pytest.approx(25.4, rel=1e-3)


@needs_data
def test_a_part_in_several_colours_is_the_part_in_one() -> None:
    plain, coloured = _loaded("anc101-block-426mm.stp"), _loaded("anc101-colour-split.stp")
    assert len(coloured.faces) == len(plain.faces)
    assert coloured.area_mm2 == pytest.approx(plain.area_mm2, rel=1e-9)
    assert _shape(coloured).volume == pytest.approx(_shape(plain).volume, rel=1e-9)


@needs_data
def test_annotations_are_not_part_of_the_part() -> None:
    path = DATA / "parts" / "nist-ctc-02-housing.stp"
    glb = step_files.glb_of_step(path, path.read_bytes())
    scene = trimesh.load_scene(io.BytesIO(glb), file_type="glb", process=False, merge_primitives=False)
    flat = [mesh for mesh in scene.geometry.values() if isinstance(mesh, trimesh.Trimesh) and mesh.extents.min() == 0]
    assert flat  # There are such sheets in the file,
    total = sum(mesh.area for mesh in scene.geometry.values() if isinstance(mesh, trimesh.Trimesh)) * 1e6
    sheets = sum(mesh.area for mesh in flat) * 1e6
    assert _loaded(path.name).area_mm2 == pytest.approx(total - sheets, rel=1e-6)  # and they are left out.


_RED = """
#90001 = COLOUR_RGB('',1.,0.,0.);
#90002 = FILL_AREA_STYLE_COLOUR('',#90001);
#90003 = FILL_AREA_STYLE('',(#90002));
#90004 = SURFACE_STYLE_FILL_AREA(#90003);
#90005 = SURFACE_SIDE_STYLE('',(#90004));
#90006 = SURFACE_STYLE_USAGE(.BOTH.,#90005);
#90007 = PRESENTATION_STYLE_ASSIGNMENT((#90006));
#90008 = STYLED_ITEM('',(#90007),#35);
#90009 = MECHANICAL_DESIGN_GEOMETRIC_PRESENTATION_REPRESENTATION('',(#90008),#363);
ENDSEC;
END-ISO"""


@needs_data
def test_a_flat_face_with_a_colour_of_its_own_is_no_annotation(tmp_path: Path) -> None:
    # Face #35 of the cube in context #363 is painted red, and comes as a mesh of its own.
    text = (DATA / "nasty" / "units-cube-mm.step").read_text()
    assert "#35 = ADVANCED_FACE" in text
    head, tail = text.rsplit("ENDSEC;\nEND-ISO", 1)
    path = tmp_path / "red.step"
    path.write_text(head + _RED + tail)
    scene = trimesh.load_scene(io.BytesIO(step_files.glb_of_step(path, path.read_bytes())), file_type="glb")
    assert sorted(mesh.extents.min() for mesh in scene.geometry.values()) == [0.0, 1.0]
    part = load_part(path)
    assert part.findings == ()
    assert _shape(part).is_watertight
    assert part.area_mm2 == pytest.approx(6e6)
    assert part.cad_face_idx.max() + 1 == 6


@needs_data
def test_a_damaged_step_file_is_one_line_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = (DATA / "nasty" / "units-cube-mm.step").read_bytes()
    path = tmp_path / "damaged.step"
    for data in (b"no STEP", whole[:5000], whole.replace(b"DATA;", b"DATE;"), bytes(range(256)) * 20):
        path.write_bytes(data)
        with pytest.raises(InputError, match="cannot read the STEP file") as caught:
            load_part(path)
        assert len(str(caught.value).splitlines()) == 1
        assert "\x1b" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@needs_data
def test_a_reader_that_crashes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_files, "_TESSELLATE", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(InputError, match="the reader ended on it"):
        load_part(DATA / "nasty" / "units-cube-mm.step")


@needs_data
def test_step_files_take_no_unit_but_a_size() -> None:
    path = DATA / "nasty" / "units-cube-inch.step"
    with pytest.raises(InputError, match=r"--units: units-cube-inch\.step states its own unit"):
        load_part(path, units="inch")
    assert load_part(path, scale_mm=80.0).largest_extent_mm == pytest.approx(80.0)
