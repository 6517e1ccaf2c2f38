"""Clamps and table: read with the rig, in the way of rays, pixels and the camera's body, never inspected."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.coverage.effective.evidence import gather_evidence
from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.coverage.rays.projection import correspond
from viewcov.coverage.rays.raster import id_buffer
from viewcov.coverage.rays.raycasting import OBSTACLE, RayCaster
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import sha256_of, write_grey
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.rig.fixture import Fixture, Obstacles, obstacles_of
from viewcov.inspection.rig.rig import Rig, load_rig, rig_from_dict
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.clearance import Clearance

RIG = load_rig("paper-quarter")
TABLE = Fixture(table_height_mm=-10.0)
TABLES = ((0.0, 0.0, 1.0), (0.6, 0.0, 0.8))


def part_of(mesh: trimesh.Trimesh) -> Part:
    return Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces)),
        source=PartSource(path="/parts/test.stl", sha256="0" * 64),
    )


def box_at(center_mm: list[float], extents: list[float]) -> trimesh.Trimesh:
    return trimesh.creation.box(extents=extents, transform=trimesh.transformations.translation_matrix(center_mm))


def box_surface(edge_mm: float = 5.0) -> Surface:
    """60 x 40 x 20 mm around the origin: it stands on a table at z = -10."""
    return cut_surface(part_of(box_at([0, 0, 0], [60, 40, 20])), edge_mm)


def with_fixture(fixture: Fixture) -> Rig:
    return replace(RIG, fixture=fixture)


def clamp_file(folder: Path, center_mm: list[float], extents: list[float], name: str = "clamp.stl") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    box_at(center_mm, extents).export(folder / name)
    return str(folder / name)


def rig_file(folder: Path, fixture: str) -> Path:
    rig = RIG.to_dict()
    tables = [
        f"[{key}]\n"
        + "\n".join(f"{name} = {json.dumps(value)}" for name, value in rig[key].items() if value is not None)
        for key in ("camera", "ring_light", "body", "requirements")
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rig.toml"
    path.write_text("\n".join(tables) + "\n[fixture]\n" + fixture)
    return path


def test_a_rig_finds_its_clamps_beside_its_file(tmp_path: Path) -> None:
    clamp = clamp_file(tmp_path / "meshes", [0, 0, 5], [2, 3, 4])
    path = rig_file(tmp_path / "rigs", 'meshes = ["../meshes/clamp.stl"]\nunits = "cm"\ntable_height_mm = -3')
    rig = load_rig(path)
    assert rig.fixture == Fixture(
        meshes=(clamp,), units="cm", sha256=(sha256_of(Path(clamp).read_bytes()),), table_height_mm=-3.0
    )
    obstacles = rig.fixture.load()
    np.testing.assert_allclose(obstacles.parts[0].bounds_mm, [[-10, -15, 30], [10, 15, 70]], atol=1e-4)
    vertices, faces = obstacles.triangles()
    assert (vertices.shape, faces.shape) == ((8, 3), (12, 3))
    assert rig_from_dict(json.loads(json.dumps(rig.to_dict())), where=path, name="") == rig
    clamp_file(tmp_path / "meshes", [0, 0, 5], [2, 3, 5])
    with pytest.raises(InputError, match="not the one that the rig or plan was made with") as caught:
        rig.fixture.load()
    assert len(str(caught.value).splitlines()) == 1


def test_a_plan_finds_its_clamps_after_all_have_moved(tmp_path: Path) -> None:
    clamp = clamp_file(tmp_path / "cell" / "meshes", [0, 0, 5], [2, 3, 4])
    fixture = Fixture(meshes=(clamp,), table_normal=(0.0, 0.7071, 0.7071), table_height_mm=1.5)
    plan_path = tmp_path / "cell" / "plans" / "plan.json"
    rig = with_fixture(fixture)
    write_plan(
        plan_path,
        InspectionPlan(part=box_surface().part.source, rig=rig, requirements=RIG.requirements, viewpoints=()),
    )
    text = plan_path.read_text()
    assert json.loads(text)["rig"]["fixture"]["meshes"] == ["../meshes/clamp.stl"]
    write_plan(plan_path, read_plan(plan_path))
    assert plan_path.read_text() == text
    (tmp_path / "cell").rename(tmp_path / "elsewhere")
    moved = read_plan(tmp_path / "elsewhere" / "plans" / "plan.json").rig.fixture
    assert moved is not None
    assert moved.meshes == (str(tmp_path / "elsewhere" / "meshes" / "clamp.stl"),)
    assert (moved.table_normal, moved.table_height_mm) == (fixture.table_normal, 1.5)
    assert len(moved.load().parts) == 1
    clamp_file(tmp_path / "elsewhere" / "meshes", [0, 0, 5], [2, 3, 5])
    with pytest.raises(InputError, match="not the one that the rig or plan was made with"):
        moved.load()
    (tmp_path / "elsewhere" / "meshes" / "clamp.stl").unlink()
    with pytest.raises(InputError, match="no such fixture file"):
        moved.load()


def test_a_rig_without_fixture_writes_none() -> None:
    assert "fixture" not in RIG.to_dict()


@pytest.mark.parametrize(
    ("fixture", "said"),
    [
        ('meshes = ["none.stl"]', "no such fixture file"),
        ('meshes = "clamp.stl"', r"field 'fixture\.meshes' is not valid: expected a valid tuple"),
        ("meshes = [3]", r"field 'fixture\.meshes\.0' is not valid: expected a valid string"),
        ('mesh = ["clamp.stl"]', r"field 'fixture\.mesh' is not valid: expected no such name"),
        ('units = "furlong"', r"field 'fixture\.units' is not valid: .*'mm', 'cm', 'm' or 'inch'"),
        (
            'meshes = ["clamp.stl"]\nsha256 = ["' + "a" * 64 + '", "' + "b" * 64 + '"]',
            "expected one 'sha256' for each mesh, not 2",
        ),
        ("table_normal = [0, 0, 2]", r"field 'fixture\.table_normal' is not valid: expected a vector of length 1"),
        ("table_normal = [0, 0, 0]", r"field 'fixture\.table_normal' is not valid: expected a vector of length 1"),
        ("table_normal = [0, 1]", r"field 'fixture\.table_normal\.2' is missing"),
        ('table_normal = [0, 0, "1"]', r"field 'fixture\.table_normal\.2' is not valid: expected a number"),
        ("table_height_mm = nan", r"field 'fixture\.table_height_mm' is not valid: expected a finite number"),
    ],
)
def test_wrong_fixtures_are_one_line(tmp_path: Path, fixture: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_rig(rig_file(tmp_path, fixture))
    assert len(str(caught.value).splitlines()) == 1


def test_a_mesh_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "clamp.stl").write_text("no triangles here")
    rig = load_rig(rig_file(tmp_path, 'meshes = ["clamp.stl"]'))
    with pytest.raises(InputError, match=r"clamp\.stl"):
        obstacles_of(rig.fixture)


@pytest.mark.parametrize(("height_mm", "fits"), [(9.9, True), (10.0, False), (500.0, False)])
def test_a_table_over_the_whole_part_is_refused(height_mm: float, fits: bool) -> None:
    part = box_surface().part
    if fits:
        RayCaster.of_part(part, Fixture(table_height_mm=height_mm))
        return
    with pytest.raises(InputError, match="the whole part lies inside the table"):
        RayCaster.of_part(part, Fixture(table_height_mm=height_mm))


def test_a_clamp_blocks_rays_as_if_it_were_part_of_the_part(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=20)
    # The second is a wall that is a hundred times as large as the part.
    clamps = (
        clamp_file(tmp_path, [0, 0, 25], [30, 12, 9]),
        clamp_file(tmp_path, [-2030, 0, 0], [4000] * 3, "wall.stl"),
    )
    obstacles = Fixture(meshes=clamps).load()
    mesh = trimesh.util.concatenate([ball, *(trimesh.load_mesh(clamp) for clamp in clamps)])
    caster = RayCaster(ball.vertices, ball.faces, obstacles=obstacles)
    bare = RayCaster(ball.vertices, ball.faces)
    rng = np.random.default_rng(0)
    points, face = trimesh.sample.sample_surface(ball, 1500, seed=1)
    normals = ball.face_normals[face]
    cameras = rng.normal(size=(1500, 3))
    cameras *= 200 / np.linalg.norm(cameras, axis=1, keepdims=True)
    # Brute force, in float64, one mesh after the other.
    expected = bare.blocked(points, cameras, normals=normals)
    behind = np.zeros(1500, dtype=bool)
    for box in mesh.split():
        if len(box.faces) == 12:
            behind |= _crosses_box(points, cameras, *box.bounds)
    np.testing.assert_array_equal(caster.blocked(points, cameras, normals=normals), expected | behind)
    assert 100 < (behind & ~expected).sum() < 1400
    # What the rays meet first: the part's triangles as without clamps, or an obstacle nearer than them.
    directions = points - cameras
    with_clamps, without = caster.first_hits(cameras, directions), bare.first_hits(cameras, directions)
    part_hit = with_clamps.face_idx >= 0
    np.testing.assert_array_equal(with_clamps.face_idx[part_hit], without.face_idx[part_hit])
    np.testing.assert_array_equal(with_clamps.distance_mm[part_hit], without.distance_mm[part_hit])
    hidden = with_clamps.face_idx == OBSTACLE
    np.testing.assert_array_equal(hidden, ~part_hit)
    assert (with_clamps.distance_mm[hidden] < without.distance_mm[hidden]).all()
    np.testing.assert_array_equal(hidden, _crosses_box_any(cameras, without, directions, mesh))


def _crosses_box(starts: np.ndarray, ends: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether segments meet a box, by slabs."""
    along = ends - starts
    first, second = (low - starts) / along, (high - starts) / along
    enter, leave = np.minimum(first, second).max(axis=1), np.maximum(first, second).min(axis=1)
    return (enter <= leave) & (leave >= 0) & (enter <= 1)


def _crosses_box_any(cameras: np.ndarray, hits: object, directions: np.ndarray, mesh: trimesh.Trimesh) -> np.ndarray:
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    ends = cameras + hits.distance_mm[:, None] * unit  # type: ignore[attr-defined]
    boxes = [box.bounds for box in mesh.split() if len(box.faces) == 12]
    return np.any([_crosses_box(cameras, ends, *bounds) for bounds in boxes], axis=0)


@pytest.mark.parametrize("normal", TABLES)
def test_a_table_blocks_what_has_an_end_in_it(normal: tuple[float, float, float]) -> None:
    obstacles = Obstacles(table_normal=np.array(normal), table_height_mm=2.0)
    # A tiny part far from every segment: only the table can be in the way.
    mesh = trimesh.creation.icosphere(subdivisions=1, radius=1.0)
    mesh.apply_translation([0, 1e4, 0])
    caster = RayCaster(mesh.vertices, mesh.faces, obstacles=obstacles)
    ends = np.random.default_rng(0).uniform(-20, 20, size=(500, 2, 3))
    below = (ends @ np.array(normal) < 2.0).any(axis=1)
    np.testing.assert_array_equal(caster.blocked(ends[:, 0], ends[:, 1]), below)
    assert 50 < below.sum() < 450
    hits = caster.first_hits(ends[:, 0], ends[:, 1] - ends[:, 0])
    heights = ends @ np.array(normal) - 2.0
    met = (heights[:, 0] < 0) | (heights[:, 1] < heights[:, 0])
    np.testing.assert_array_equal(hits.face_idx == OBSTACLE, met)
    span = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    expected = np.where(heights[:, 0] < 0, 0.0, heights[:, 0] / (heights[:, 0] - heights[:, 1]) * span)
    np.testing.assert_allclose(hits.distance_mm[met], expected[met], rtol=1e-9, atol=1e-9)
    assert np.isinf(hits.distance_mm[~met]).all()


@pytest.mark.parametrize("height_mm", [-10.0, -9.99, -10.0 + 1e-9, -10.0 - 1e-9])
def test_the_base_of_a_part_on_a_table_is_seen_from_nowhere(height_mm: float) -> None:
    surface = box_surface()
    below = Viewpoint.looking_at([0, 0, -260], [0, 0, 0], id="below")
    base = surface.normal[:, 2] < -0.9
    assert VisibilityTester(Setup(surface, RIG, RIG.requirements)).test(below).seen[base].all()
    rig = with_fixture(Fixture(table_height_mm=height_mm))
    tester = VisibilityTester(Setup(surface, rig, RIG.requirements))
    assert not tester.test(below).seen.any()
    assert len(tester.seen_elements(below)) == 0
    rng = np.random.default_rng(0)
    for _ in range(40):
        away = rng.normal(size=3)
        eye = Viewpoint.looking_at(250 * away / np.linalg.norm(away), [0, 0, 0], id="eye")
        seen = tester.test(eye).seen
        assert not seen[base].any()
        if eye.center_mm[2] > 60:
            # The table hides nothing else from a rig above it: no emitter is below.
            np.testing.assert_array_equal(seen, VisibilityTester(Setup(surface, RIG, RIG.requirements)).test(eye).seen)


def test_a_part_right_on_a_clamp_hides_what_touches_it(tmp_path: Path) -> None:
    rig = with_fixture(Fixture(meshes=(clamp_file(tmp_path, [0, 0, -30], [60, 40, 40]),)))
    surface = box_surface()
    tester = VisibilityTester(Setup(surface, rig, RIG.requirements))
    for eye in ([0, 0, -300], [100, 20, -250], [-80, -150, -190]):
        assert not tester.test(Viewpoint.looking_at(eye, [0, 0, 0], id="eye")).seen[surface.normal[:, 2] < -0.9].any()
    top = surface.normal[:, 2] > 0.9
    assert tester.test(Viewpoint.looking_at([0, 0, 260], [0, 0, 0], id="eye")).seen[top].all()


def test_emitters_in_the_table_give_no_light() -> None:
    surface = box_surface()
    view = Viewpoint.looking_at([250, 0, 35], [30, 0, 5], id="eye")
    light = []
    for rig in (RIG, with_fixture(TABLE)):
        seen = VisibilityTester(Setup(surface, rig, RIG.requirements)).test(view)
        side = (surface.normal[seen.element_idx, 0] > 0.9) & np.isfinite(seen.light)
        light.append(seen.light[side])
        points = surface.centroid_mm[seen.element_idx[side]]
    # E = sum cos(at element) cos(at emitter) / r^2: the table takes the terms of the emitters in it.
    emitters = RIG.ring_light.emitters_mm(2000) @ view.world_from_camera[:3, :3].T + view.center_mm
    to_light = emitters - points[:, None]
    square = np.einsum("nmi,nmi->nm", to_light, to_light)
    terms = to_light[:, :, 0] * -(to_light @ view.forward) / square**2
    above = emitters[:, 2] > -10.0
    assert 0 < above.sum() < len(above)
    np.testing.assert_allclose(light[1] / light[0], terms[:, above].sum(axis=1) / terms.sum(axis=1), rtol=5e-3)


def test_pixels_of_a_clamp_show_no_element(tmp_path: Path) -> None:
    surface, camera = box_surface(), RIG.camera
    clamp = clamp_file(tmp_path, [10, 0, 30], [15, 80, 10])
    obstacles = Fixture(meshes=(clamp,)).load()
    view = Viewpoint.looking_at([40, 30, 240], [0, 0, 0], id="eye")
    seen = correspond(surface, camera, view, obstacles=obstacles)
    bare = correspond(surface, camera, view)
    # Where the clamp alone is drawn, it is in front of the box: it lies wholly above it.
    ids, _ = id_buffer(*obstacles.triangles(), camera, view.camera_from_world)
    np.testing.assert_array_equal(seen.ids, np.where(ids >= 0, -1, bare.ids))
    assert ((ids >= 0) & (bare.ids >= 0)).sum() > 1000
    assert set(seen.element_idx.tolist()) < set(bare.element_idx.tolist())
    np.testing.assert_array_equal(np.unique(seen.pixel_idx), np.flatnonzero(seen.ids.ravel() >= 0))


def test_elements_in_the_table_have_no_pixels() -> None:
    surface, camera = box_surface(), RIG.camera
    for eye, height_mm in (([240, 0, 40], 1.0), ([40, 0, -240], -10.0)):
        view = Viewpoint.looking_at(eye, [0, 0, 0], id="eye")
        obstacles = Fixture(table_height_mm=height_mm).load()
        bare = correspond(surface, camera, view)
        seen = correspond(surface, camera, view, obstacles=obstacles)
        hidden = np.append((surface.centroid_mm[:, 2] < height_mm) | (eye[2] < height_mm), True)
        np.testing.assert_array_equal(seen.ids, np.where(hidden[bare.ids], -1, bare.ids))
        assert (seen.ids >= 0).any() == (eye[2] > 0)


def test_predictions_on_a_clamp_are_no_evidence(tmp_path: Path) -> None:
    surface = box_surface()
    clamp = clamp_file(tmp_path, [0, 0, 40], [30, 100, 10])
    view = Viewpoint.looking_at([0, 0, 250], [0, 0, 0], id="v1")
    found = {}
    for name, fixture in (("bare", None), ("clamped", Fixture(meshes=(clamp,)))):
        folder = InspectionFolder(tmp_path / name)
        rig = replace(RIG, fixture=fixture)
        write_plan(
            folder.plan_path,
            InspectionPlan(part=surface.part.source, rig=rig, requirements=RIG.requirements, viewpoints=(view,)),
        )
        shape = (RIG.camera.height_px, RIG.camera.width_px)
        write_grey(folder.prediction_path("model", "v1"), np.full(shape, 0.5), bits=16)
        found[name] = gather_evidence(surface, folder, "model").evidence.seen
    # The clamp's lower edges, 35 mm up and 15 mm aside, are seen 15 * 240 / 215 = 16.7 mm aside on the top.
    top = surface.normal[:, 2] > 0.9
    far = np.abs(surface.corners_mm[:, :, 0]).min(axis=1) > 16.8
    near = np.abs(surface.corners_mm[:, :, 0]).max(axis=1) < 16.7
    assert found["bare"][top].all()
    assert found["clamped"][top & far].all()
    assert not found["clamped"][top & near].any()


@pytest.mark.parametrize("normal", TABLES)
@pytest.mark.parametrize("offset_mm", [0.0, 70.0])
def test_clearance_of_the_table_is_that_of_the_lowest_point(
    normal: tuple[float, float, float], offset_mm: float
) -> None:
    # A part of next to nothing: only the table can be too near.
    surface = cut_surface(part_of(box_at([0, 0, 0], [0.1, 0.1, 0.1])), 1.0)
    ring = replace(RIG.ring_light, offset_mm=offset_mm, outer_radius_mm=80.0)
    rig = replace(RIG, ring_light=ring, fixture=Fixture(table_normal=normal, table_height_mm=-30.0))
    rng = np.random.default_rng(0)
    forward = rng.normal(size=(400, 3))
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    center = rng.uniform(-30, 30, size=(400, 3)) + rng.uniform(0, 250, size=(400, 1)) * np.array(normal)
    angle = np.linspace(0, 2 * np.pi, 721)
    rim = np.column_stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)])
    front = rig.body.front_mm
    discs = [(80.0, front - rig.body.length_mm), (80.0, front)] + [(80.0, offset_mm)] * (offset_mm > front)
    lowest = np.empty(400)
    for place in range(400):
        turn = trimesh.geometry.align_vectors([0, 0, 1], forward[place])[:3, :3]
        points = np.concatenate([radius * rim + [0, 0, along] for radius, along in discs])
        lowest[place] = ((points @ turn.T + center[place]) @ np.array(normal)).min() + 30.0
    clear = Clearance(surface, replace(rig, fixture=None)).clear(center, forward)
    # Points every half degree miss the lowest one by at most r (1 - cos(0.25 deg)) = 0.8 um.
    sure = np.abs(lowest - rig.body.clearance_mm) > 1e-3
    expected = clear & (lowest >= rig.body.clearance_mm)
    np.testing.assert_array_equal(Clearance(surface, rig).clear(center, forward)[sure], expected[sure])
    assert (clear & ~expected).sum() > 10
    assert expected.sum() > 10


def test_the_body_keeps_clear_of_a_clamp(tmp_path: Path) -> None:
    surface = box_surface(edge_mm=4.0)
    clamp = clamp_file(tmp_path, [0, 0, 100], [40, 40, 20])
    clearance = Clearance(surface, with_fixture(Fixture(meshes=(clamp,))))
    down = np.array([[0.0, 0.0, -1.0]])
    # The clamp ends at z = 110 and x = 20; the body's front is 5 mm ahead and its side 65 mm aside. 10 mm must
    # stay, and at most 4 / sqrt(3) = 2.3 mm are added for the edges of the elements.
    for center, expected in (
        ([0, 0, 110 + 5 + 10 - 0.1], False),
        ([0, 0, 110 + 5 + 10 + 2.4], True),
        ([20 + 65 + 10 - 0.1, 0, 100], False),
        ([20 + 65 + 10 + 2.4, 0, 100], True),
    ):
        assert clearance.clear(np.array([center], dtype=float), down).tolist() == [expected]
