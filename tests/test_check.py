from __future__ import annotations

import dataclasses
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import trimesh

from viewcov.inspection.check import check_path, size_findings
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import write_grey
from viewcov.inspection.folder import Dataset, InspectionFolder, write_dataset
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint

NASTY = Path(__file__).parents[2] / "shared" / "data" / "nasty"
RIG = load_rig("paper-quarter")
SHAPE = (RIG.camera.height_px, RIG.camera.width_px)


def box(size_mm: float) -> Part:
    mesh = trimesh.creation.box(extents=[size_mm, size_mm / 2, size_mm / 3])
    source = PartSource(path="box", sha256="0" * 64)
    return Part(
        name="box", vertices_mm=mesh.vertices, faces=mesh.faces, cad_face_idx=np.zeros(12, np.int32), source=source
    )


def inspection(root: Path, *, num_views: int = 3, seed: int = 0, part: str = "builtin:clutch-half") -> InspectionFolder:
    folder = InspectionFolder(root)
    views = tuple(Viewpoint.looking_at([250, k, 0], [0, k, 0], id=f"v{k}") for k in range(num_views))
    write_plan(
        folder.plan_path,
        InspectionPlan(part=load_part(part).source, rig=RIG, requirements=RIG.requirements, viewpoints=views),
    )
    rng = np.random.default_rng(seed)
    for view in views:
        write_grey(folder.image_path(view.id), rng.random(SHAPE))
    return folder


def names(path: Path | str) -> dict[str, int]:
    return {finding.name: finding.count for finding in check_path(path).findings}


@pytest.mark.parametrize(
    ("size_mm", "words"),
    [
        (0.08, "in m, a factor of 1000, it is 80 mm"),
        (0.9, "in inch, a factor of 25.4, it is 22.86 mm"),
        (80.0, None),
        (2000.0, None),
        (80_000.0, "80 mm without a factor of 1000"),
    ],
)
def test_an_implausible_size_names_the_likely_factor(size_mm: float, words: str | None) -> None:
    findings = size_findings(box(size_mm), RIG.camera)
    if words is None:
        assert findings == []
    else:
        assert words in findings[0].remedy


def test_a_part_in_inches_with_the_numbers_of_one_in_mm_is_mislabelled() -> None:
    too_large = box(200.0 * 25.4)
    assert [finding.name for finding in size_findings(too_large, RIG.camera)] == ["implausible-size"]
    in_inch = dataclasses.replace(too_large, file_units="inch")
    (found,) = size_findings(in_inch, RIG.camera)
    assert (found.name, found.severity) == ("mislabelled-units", "warning")
    assert "--scale-mm 200" in found.remedy
    # In inches and of a plausible size, or of one that no slip explains.
    assert size_findings(dataclasses.replace(box(558.8), file_units="inch"), RIG.camera) == []
    huge = dataclasses.replace(box(2e6), file_units="inch")
    assert [finding.name for finding in size_findings(huge, RIG.camera)] == ["implausible-size"]


def test_an_assumed_unit_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ball.stl"
    trimesh.creation.icosphere(radius=30).export(path)
    assert names(path) == {"assumed-units": 1}
    assert check_path(path).ok
    for said in ({"units": "mm"}, {"scale_mm": 60.0}):
        assert check_path(path, **said).findings == ()  # type: ignore[arg-type]
    glb = tmp_path / "ball.glb"
    trimesh.creation.icosphere(radius=0.03).export(glb)
    assert names(glb) == {}


# What each file is known for; test_part_files has every finding, and the drive of a hundred bodies.
KNOWN_FOR = {
    "spider-degenerate-duplicate.stl": {"mixed-winding", "degenerate-faces", "open-edges"},
    "capsule-degenerate.obj": {"degenerate-faces"},
    "chair-double-sided.obj": {"double-sided", "implausible-size"},
    "offset-39-bodies-slivers.obj": {"far-from-origin", "degenerate-faces"},
    "nonmanifold-edges.obj": {"non-manifold-edges"},
    "self-intersecting.obj": {"self-intersections"},
    "boeing-mixed-winding.off": {"mixed-winding", "inside-out"},
    "holes-open-surface.off": {"open-edges"},
    "bolt-with-cracks.stl": {"cracks", "far-from-origin"},
    "nist-ftc-08-tessellated.stp": {"inside-out"},
    "as1-assembly-mislabelled-inch.stp": {"mislabelled-units"},
    "terrain-utm-offset.stl": {"far-from-origin"},
}


@pytest.mark.skipif(not NASTY.is_dir(), reason="the folder of public test data is not there")
@pytest.mark.parametrize("name", KNOWN_FOR)
def test_the_troubles_of_broken_files_are_named(name: str) -> None:
    report = check_path(NASTY / name, rig="paper-quarter")
    assert KNOWN_FOR[name] <= {finding.name for finding in report.findings}
    assert all(finding.remedy and finding.count > 0 for finding in report.findings)


def test_whole_things_are_ok(tmp_path: Path) -> None:
    folder = inspection(tmp_path / "one")
    for path, kind in (
        ("builtin:clutch-half", "part"),
        ("paper", "rig"),
        (folder.plan_path, "plan"),
        (folder.root, "inspection"),
        (folder.image_path("v0"), "image"),
    ):
        report = check_path(path)
        assert (report.kind, report.ok, report.findings) == (kind, True, ())


def test_what_is_wrong_with_an_inspection_is_named_and_counted(tmp_path: Path) -> None:
    folder = inspection(tmp_path / "one", num_views=4)
    folder.image_path("v0").unlink()
    folder.image_path("v1").write_bytes(folder.image_path("v1").read_bytes()[:2000])
    write_grey(folder.image_path("v2"), np.zeros((10, 10)))
    write_grey(folder.mask_path("v3"), np.zeros((10, 10)))
    write_grey(folder.image_path("stranger"), np.zeros(SHAPE))
    assert names(folder.root) == {
        "missing-images": 1,
        "unreadable-images": 1,
        "wrong-image-size": 1,
        "wrong-mask-size": 1,
        "images-without-view": 1,
    }
    assert not check_path(folder.root).ok


def test_an_image_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    inspection(tmp_path / "a", seed=1)
    other = inspection(tmp_path / "b", seed=2)
    write_dataset(Dataset(root=tmp_path, splits={"a": "train", "b": "test"}))
    assert names(tmp_path) == {"empty-split": 1}
    assert check_path(tmp_path).ok
    data = InspectionFolder(tmp_path / "a").image_path("v0").read_bytes()
    other.image_path("v1").write_bytes(data)
    assert names(tmp_path) == {"split-leak": 1, "empty-split": 1}


def test_a_plan_is_not_ok_without_its_part(tmp_path: Path) -> None:
    stl = tmp_path / "parts" / "box.stl"
    stl.parent.mkdir()
    trimesh.creation.box(extents=[60, 20, 30]).export(stl)
    root = tmp_path / "set"
    for name in ("a", "b"):
        inspection(root / name, part=str(stl))
    write_dataset(Dataset(root=root, splits={"a": "test", "b": "test"}))
    assert names(root / "a") == {}
    assert names(root) == {"empty-split": 1}
    stl.unlink()
    for path, count in ((root / "a", 1), (root / "a" / "plan.json", 1), (root, 1)):
        report = check_path(path)
        assert {found.name: found.count for found in report.findings if found.severity == "error"} == {
            "unusable-part": count
        }
        assert not report.ok
    assert "copy box.stl into the plan's folder" in check_path(root / "a").findings[0].remedy


def test_inspections_of_different_parts_are_told(tmp_path: Path) -> None:
    stl = tmp_path / "box.stl"
    trimesh.creation.box(extents=[60, 20, 30]).export(stl)
    for seed, name in enumerate("abc"):
        inspection(tmp_path / name, seed=seed, part=str(stl) if name == "b" else "builtin:clutch-half")
    write_dataset(Dataset(root=tmp_path, splits=dict.fromkeys("abc", "test")))  # type: ignore[arg-type]
    assert names(tmp_path) == {"several-parts": 1, "empty-split": 1}
    assert check_path(tmp_path).findings[0].remedy.startswith("b: of another part than the first")


def test_a_rig_is_told_with_what_its_camera_sees(tmp_path: Path) -> None:
    report = check_path("paper-quarter")
    camera = RIG.camera
    assert report.figures is not None
    assert report.figures.mm_per_px == pytest.approx(camera.mm_per_px_at_focus)
    assert report.figures.field_of_view_mm[0] == pytest.approx(camera.width_px * camera.mm_per_px_at_focus)
    sharp = camera.depth_of_field_mm(RIG.requirements.max_blur_px)
    assert (report.figures.sharp_from_mm, report.figures.sharp_to_mm) == sharp
    assert f"{camera.mm_per_px_at_focus:.4f} mm/px" in report.text
    assert report.model_dump(mode="json")["figures"]["focus_distance_mm"] == camera.focus_distance_mm
    toml = (resources.files("viewcov.inspection.rig") / "rigs" / "paper.toml").read_text("utf-8")
    blurred = tmp_path / "blurred.toml"
    blurred.write_text(re.sub(r"(?m)^f_number = .*", "f_number = 90", toml))
    report = check_path(blurred)
    assert [found.name for found in report.findings] == ["nowhere-sharp"]
    assert "sharp          nowhere" in report.text
    endless = tmp_path / "endless.toml"
    endless.write_text(re.sub(r"(?m)^max_blur_px = .*", "max_blur_px = 1e6", toml))
    assert re.search(r"sharp +from \d+\.\d mm on", check_path(endless).text)


@pytest.mark.parametrize("name", ["absent", "absent.xyz", "folder"])
def test_what_cannot_be_checked_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="nothing that viewcov can check"):
        check_path(tmp_path / name)
