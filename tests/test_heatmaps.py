"""Pictures of the surface: the right element at each pixel, the right colour on each element.

All drawing happens in child processes of the code under test: nothing here touches the graphics library.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from viewcov.inspection.errors import ViewcovError
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.viewer import heatmaps, offscreen
from viewcov.viewer.figures import MAX_BYTES, write_png
from viewcov.viewer.heatmaps import Look, heatmap, paint_view, panel_size
from viewcov.viewer.image_sheets import SheetImage, image_sheet
from viewcov.viewer.layers import Kind, Layer, layer_of
from viewcov.viewer.markers import Marker
from viewcov.viewer.offscreen import Direction, View, draw_views
from viewcov.viewer.palette import TRUTH
from viewcov.viewer.plan_pictures import plan_picture
from viewcov.viewer.words import percent

TOP, BOTTOM = Direction("above", (0, 0, 1)), Direction("below", (0, 0, -1))
CORNER = Direction("corner", (1, -1, 1))
SIZE = (400, 200)


def _surface(mesh: trimesh.Trimesh, edge_mm: float, offset_mm: float = 0.0) -> Surface:
    part = Part(
        name="part",
        vertices_mm=mesh.vertices + offset_mm,
        faces=mesh.faces,
        cad_face_idx=_cad_faces(mesh),
        source=PartSource(path="part.stl", sha256="0" * 64),
    )
    return cut_surface(part, edge_mm)


def _cad_faces(mesh: trimesh.Trimesh) -> NDArray[np.int64]:
    _, idx = np.unique(mesh.face_normals.round(6), axis=0, return_inverse=True)
    return np.asarray(idx).ravel()


@pytest.fixture(scope="module")
def box() -> Surface:
    return _surface(trimesh.creation.box(extents=[20, 20, 20]), 8.0)


@pytest.fixture(scope="module")
def box_views(box: Surface) -> tuple[View, ...]:
    width_px, height_px = panel_size(SIZE, 2)
    return draw_views(box, [TOP, BOTTOM, CORNER], width_px=width_px, height_px=height_px)


def _pixels(path: Path) -> NDArray[np.int64]:
    with Image.open(path) as picture:
        assert picture.size == SIZE
        return np.asarray(picture.convert("RGB")).astype(np.int64)


def _share_of(pixels: NDArray[np.int64], colour: Any, tolerance: int = 12) -> float:
    return float((np.abs(pixels - np.asarray(colour)).max(axis=-1) <= tolerance).mean())


def test_the_seen_face_has_its_colour_and_the_unseen_ones_are_grey(
    box: Surface, box_views: tuple[View, ...], tmp_path: Path
) -> None:
    values = np.where(box.normal[:, 2] > 0.5, 1.0, np.nan)
    path = tmp_path / "heat.png"
    layer = Layer(name="value", title="value", unit="mm", limits=(0, 1))
    heatmap(box, values, layer, path, title="Box", look=Look(views=box_views[:2], size_px=SIZE))
    pixels = _pixels(path)
    high, low = (np.array(mpl.colormaps["viridis"](x)[:3]) * 255 for x in (1.0, 0.0))
    width_px, height_px = panel_size(SIZE, 2)
    margin, top = 4, round(62 / 800 * SIZE[1])
    middle = slice(top + height_px // 2 - 25, top + height_px // 2 + 25)
    halves = [pixels[middle, x : x + 50] for x in (margin + width_px // 2 - 25, 2 * margin + width_px * 3 // 2 - 25)]
    # The face is lit head-on but for the light's tilt: its colour is darkened by less than a tenth.
    assert np.allclose(np.median(halves[0], axis=(0, 1)), high, atol=0.1 * 255)
    red, green, blue = np.median(halves[1], axis=(0, 1))
    assert max(red, green, blue) - min(red, green, blue) < 12
    assert 150 < green < 225
    assert halves[1].std(axis=(0, 1)).min() > 10, "unseen must be hatched"
    # Never the low end of the scale: it is in the legend's bar only.
    legend = round((1 - 0.19) * SIZE[0])
    assert _share_of(pixels[:, :legend], low) == 0.0
    assert _share_of(pixels[:, legend:], low) > 0.0


@pytest.mark.parametrize("offset_mm", [0.0, 1e5])
def test_each_pixel_shows_the_element_that_its_ray_meets_first(offset_mm: float) -> None:
    surface = _surface(trimesh.creation.annulus(8, 20, 12, sections=24), 4.0, offset_mm)
    (view,) = draw_views(surface, [Direction("oblique", (0.5, -0.8, 0.6))], width_px=90, height_px=80)
    height, width = view.element_idx.shape
    assert (height, width) == (160, 180)
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, height, 400), rng.integers(0, width, 400)
    corners = (surface.corners_mm - view.center_mm) @ view.axes.T
    for row, column in zip(rows, columns, strict=True):
        at = (np.array([column, row]) + 0.5 - np.array([width, height]) / 2) * view.mm_per_px
        inside, depth = _hits(corners, at)
        # Within a tenth of a pixel of an edge, rounding to float32 may fall to either side.
        near = _hits(corners, at, slack=0.1 * view.mm_per_px)[0]
        shown = view.element_idx[row, column]
        if inside.any() and (near == inside).all():
            first = np.flatnonzero(inside)[np.argmin(depth[inside])]
            assert depth[shown] == pytest.approx(depth[first], abs=1e-2)
            assert view.depth_mm[row, column] == pytest.approx(depth[first], abs=1e-6)
        elif not near.any():
            assert shown == -1
            assert np.isinf(view.depth_mm[row, column])


def _hits(corners: NDArray[Any], at: NDArray[Any], slack: float = 0.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Which triangles a ray along z through a point meets, and where; brute force."""
    flat = corners[:, :, :2] - at
    edge = np.roll(flat, -1, axis=1) - flat
    side = (edge[..., 0] * -flat[..., 1] + edge[..., 1] * flat[..., 0]) / np.linalg.norm(edge, axis=2)
    inside = (side >= -slack).all(axis=1) | (side <= slack).all(axis=1)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        toward = (normal[:, :2] * flat[:, 0]).sum(axis=1) / normal[:, 2]
    return inside & (np.abs(normal[:, 2]) > 1e-9), corners[:, 0, 2] + toward


def test_a_sphere_fills_its_disc_in_every_direction() -> None:
    radius = 10.0
    surface = _surface(trimesh.creation.icosphere(subdivisions=4, radius=radius), 2.0)
    directions = [TOP, BOTTOM, Direction("side", (1, 0, 0)), Direction("oblique", (-1, 2, 0.3))]
    for view in draw_views(surface, directions, width_px=60, height_px=60):
        area_mm2 = float((view.element_idx >= 0).sum()) * view.mm_per_px**2
        # The inscribed polyhedron is smaller by less than 1 %, the pixels' rounding adds as much.
        assert area_mm2 == pytest.approx(np.pi * radius**2, rel=0.015)
        assert view.depth_mm.min() == pytest.approx(-radius, abs=0.1)


def test_points_behind_the_part_are_hidden(box_views: tuple[View, ...]) -> None:
    points = np.array([[0.0, 0, 10], [0, 0, -10], [3, 4, 10.5], [100, 0, 0]])
    above, below = (view.unhidden(points, tolerance_mm=0.01) for view in box_views[:2])
    np.testing.assert_array_equal(above, [True, False, True, False])
    np.testing.assert_array_equal(below, [False, True, False, False])


def test_projecting_a_point_finds_the_pixel_that_shows_its_element(box: Surface, box_views: tuple[View, ...]) -> None:
    view = box_views[0]
    up = np.flatnonzero(box.normal[:, 2] > 0.5)
    pixels = np.floor(view.project(box.centroid_mm[up])[:, :2] * view.oversampling).astype(int)
    np.testing.assert_array_equal(view.element_idx[pixels[:, 1], pixels[:, 0]], up)


def test_edges_between_cad_faces_are_dark_and_those_within_are_not_drawn(
    box: Surface, box_views: tuple[View, ...]
) -> None:
    view = box_views[2]
    painted = paint_view(box, view, np.full((box.num_elements, 3), 230.0), np.zeros(box.num_elements, dtype=bool))
    grey = painted.mean(axis=2)
    corner = view.project(np.array([10.0, -10, 10]))[:2].astype(int)  # Three CAD faces meet here.
    assert grey[corner[1] - 1 : corner[1] + 2, corner[0] - 1 : corner[0] + 2].min() < 150
    middle = view.project(np.array([0.0, 0, 10]))[:2].astype(int)  # Elements meet here, but no CAD faces.
    assert grey[middle[1] - 4 : middle[1] + 5, middle[0] - 4 : middle[0] + 5].min() > 180


def test_shares_in_the_legend_are_by_area_and_leave_out_what_is_not_inspected() -> None:
    values = np.array([np.nan, 1.0, 2.0, np.nan, 2.0])
    area = np.array([1.0, 2.0, 5.0, 100.0, 2.0])
    excluded = np.array([False, False, False, True, False])
    layer = layer_of("state_m")
    painted = heatmaps._paint(layer.values(values), area, excluded, layer)
    assert [text for text, _ in painted.entries] == [
        "shown, but PoD below the level\n(20.0 %)",
        "PoD at the level or above\n(70.0 %)",
        "no image shows it\n(10.0 %)",
        "not to be inspected",
    ]
    np.testing.assert_array_equal(painted.nothing, [True, False, False, False, False])


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (1.0, "100 %"), (0.0004, "0.04 %"), (0.99997, "99.997 %")])
def test_a_little_is_never_rounded_to_nothing(share: float, text: str) -> None:
    assert percent(share) == text


TWO = Layer(name="two", title="two", kind="category", categories=("a", "b"))


@pytest.mark.parametrize(
    ("values", "layer", "match"),
    [
        (np.zeros(3), Layer(name="x", title="x"), "must have shape"),
        (None, Layer(name="x", title="x", kind="category"), "colours must be one a category"),
        (None, TWO.model_copy(update={"colours": ("#ff0000",)}), "colours must be one a category"),
        (3.0, layer_of("state_plain"), "whole numbers from 0 to 2"),
        (2.0, TWO, "whole numbers from 0 to 1"),
        (0.5, TWO, "whole numbers from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(box: Surface, tmp_path: Path, values: Any, layer: Layer, match: str) -> None:
    if values is None or np.isscalar(values):
        values = np.full(box.num_elements, 0.0 if values is None else values)
    with pytest.raises(ValueError, match=match):
        heatmap(box, values, layer, tmp_path / "no.png", look=Look(size_px=SIZE))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_is_drawn_even_with_nothing_seen(
    box: Surface, box_views: tuple[View, ...], tmp_path: Path, kind: Kind
) -> None:
    names = ("one", "two") if kind == "category" else ()
    layer = Layer(name="n", title="n", kind=kind, categories=names)
    for k, values in enumerate((np.full(box.num_elements, np.nan), np.ones(box.num_elements))):
        path = tmp_path / f"{k}.png"
        where = [Marker(point_mm=np.array(place), label="1") for place in ([0.0, 0, 10], [0.0, 0, 0])]
        look = Look(views=box_views[:2], markers=where, size_px=SIZE)
        heatmap(box, values, layer, path, title="A title with $ and ünïcode", look=look)
        assert _share_of(_pixels(path), (255, 255, 255), 0) < 0.9


def test_files_stay_small_whatever_is_in_them(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 700, 1), dtype=np.uint8).repeat(3, axis=2)
    write_png(tmp_path / "noise.png", noise)
    assert (tmp_path / "noise.png").stat().st_size <= MAX_BYTES
    flat = np.full((300, 700, 3), (17, 99, 201), dtype=np.uint8)
    write_png(tmp_path / "flat.png", flat)
    with Image.open(tmp_path / "flat.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), flat)


def test_the_graphics_library_stays_out_of_the_calling_process(tmp_path: Path) -> None:
    # Importing torchvision after an off-screen drawing in the same process is a segmentation fault.
    code = (
        "import sys, numpy as np\n"
        "from viewcov.viewer.heatmaps import Look, heatmap\n"
        "from viewcov.viewer.layers import layer_of\n"
        "from viewcov.viewer.vtp import SurfaceFile\n"
        "mesh = SurfaceFile(np.eye(3), np.array([[0, 1, 2]]), {'cad_face_idx': np.zeros(1, np.int32)}, {})\n"
        f"heatmap(mesh, [1.0], layer_of('a'), {str(tmp_path / 'a.png')!r}, look=Look(size_px=(100, 50)))\n"
        "sys.exit(any(name.split('.')[0] in ('pyvista', 'vtkmodules') for name in sys.modules))\n"
    )
    child = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert (tmp_path / "a.png").is_file()


def test_a_failing_drawing_is_told_in_one_line(box: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offscreen.sys, "executable", "/bin/false")
    with pytest.raises(ViewcovError, match=r"off-screen drawing failed.*apt-get install"):
        draw_views(box, [TOP], width_px=20, height_px=20)


def test_more_elements_than_three_bytes_can_number_are_told_apart(
    box: Surface, box_views: tuple[View, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a base of 7 the numbers of this small box need several drawings, as 2**24 elements would.
    command = "import viewcov.viewer.offscreen as o, sys; o._ID_BASE = 7; o._main(*sys.argv[-2:])"
    real = subprocess.run
    monkeypatch.setattr(
        offscreen.subprocess,
        "run",
        lambda args, **options: real([args[0], "-P", "-c", command, *args[-2:]], **options),
    )
    width_px, height_px = panel_size(SIZE, 2)
    (*_, several) = draw_views(box, [TOP, BOTTOM, CORNER], width_px=width_px, height_px=height_px)
    np.testing.assert_array_equal(several.element_idx, box_views[2].element_idx)
    assert several.element_idx.max() > 49


def test_a_plan_shows_every_camera_inside_the_picture(
    box: Surface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = load_rig("paper-quarter")
    centers = np.array([[250.0, 0, 0], [0, 250, 50], [0, -200, 150], [0, 0, 260]])
    viewpoints = [Viewpoint.looking_at(c, [0, 0, 0], id=f"v{k}") for k, c in enumerate(centers)]
    drawn: list[View] = []

    def recorded(*args: Any, **options: Any) -> tuple[View, ...]:
        drawn.extend(draw_views(*args, **options))
        return tuple(drawn)

    monkeypatch.setattr("viewcov.viewer.plan_pictures.draw_views", recorded)
    plan_picture(box, viewpoints, rig, tmp_path / "plan.png", size_px=SIZE)
    pixels = _pixels(tmp_path / "plan.png")
    last = np.array(mpl.colormaps["plasma"](0.85)[:3]) * 255
    assert _share_of(pixels[:, : SIZE[0] // 2], last, 40) > 0
    width_px, height_px = panel_size(SIZE, 2)
    assert len(drawn) == 2
    for view in drawn:
        places = view.project(centers)[:, :2]
        assert ((places >= 0) & (places <= (width_px, height_px))).all()
    with pytest.raises(ValueError, match="viewpoints must not be empty"):
        plan_picture(box, [], rig, tmp_path / "none.png")


def test_the_outline_of_a_true_defect_lies_where_the_mask_has_its_border(tmp_path: Path) -> None:
    mask = np.zeros((40, 80), dtype=bool)
    mask[10:20, 30:60] = True
    image = SheetImage(title="view", image=np.full((40, 80), 0.5, dtype=np.float32), mask=mask)
    image_sheet([image], tmp_path / "sheet.png", title="Views", size_px=SIZE)
    pixels = _pixels(tmp_path / "sheet.png")
    truth = np.array([int(TRUTH[k : k + 2], 16) for k in (1, 3, 5)])
    rows, columns = np.nonzero(np.abs(pixels - truth).max(axis=2) < 60)
    drawn = rows > 26  # Below the key.
    grey_rows, grey_columns = np.nonzero(np.abs(pixels - 128).max(axis=2) < 3)
    top, left = grey_rows.min(), grey_columns.min()
    scale = (grey_columns.max() + 1 - left) / 80
    # The outline runs between pixel centres: off by half a pixel of the mask, and one of the picture.
    expected = np.array([10, 20, 30, 60]) * scale + np.array([top, top, left, left])
    found = np.array([rows[drawn].min(), rows[drawn].max() + 1, columns[drawn].min(), columns[drawn].max() + 1])
    np.testing.assert_allclose(found, expected, atol=0.5 * scale + 1.5)


def test_sheets_take_images_of_all_proportions_and_refuse_other_shapes(tmp_path: Path) -> None:
    shapes = [(30, 90), (90, 30), (50, 50), (1, 1), (40, 60)]
    images = [
        SheetImage(title=f"{h} x {w}", image=np.zeros((h, w), np.float32), probability=np.ones((h, w), np.float32))
        for h, w in shapes
    ]
    image_sheet(images, tmp_path / "sheet.png", size_px=SIZE)
    _pixels(tmp_path / "sheet.png")
    with pytest.raises(ValueError, match="mask must have shape"):
        SheetImage(title="", image=np.zeros((2, 2), np.float32), mask=np.zeros((2, 3), dtype=bool))
