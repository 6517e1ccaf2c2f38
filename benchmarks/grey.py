"""Predicted grey of surface elements beside renders of real parts without texture.

For each part and material, over the elements seen in a few views: rank correlation, median relative error and its
90 % quantile, of the light that the surface reflects once (paths of two edges) and of all that is rendered (four).
The same of light reflected once in a bore, a slot and a pocket, over the elements in partial shadow. Then the share of
seen elements that are dark, usable or saturated at each exposure of the stack.

Run: python -P benchmarks/grey.py [--samples 144] [--paths 128] [--parts FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh
from scipy.stats import spearmanr

from viewcov.coverage.geometric.visibility import Setup, VisibilityTester
from viewcov.coverage.light.grey import GreyPredictor, well_exposed
from viewcov.coverage.rays.raster import id_buffer
from viewcov.inspection.arrays import Floats, Ints
from viewcov.inspection.lay import face_lays, lay_coordinates
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part, cad_corner_normals, unit
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.light import MAX_REFLECTIONS
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Rig, load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.synthesis.imprint import refined_for
from viewcov.synthesis.scene import InspectionScene, SceneSurface

PARTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "parts"
FILES: dict[str, tuple[str, float | None]] = {
    "clutch-half": ("builtin:clutch-half", None),
    "flanged-hub": ("flanged-hub-88mm.stp", None),
    "machined-block": ("machined-block-127mm.step", None),
    "coupling-half": ("coupling-half.off", 100.0),
}
MATERIALS = {
    "isotropic": Material(roughness_along=0.2, roughness_across=0.2),
    "anisotropic": Material(roughness_along=0.2, roughness_across=0.3),
}
DIRECTIONS = ((0.3, 0.2, 1.0), (1.0, 0.5, 0.6), (-0.6, 0.8, 0.35))
MIN_PIXELS = 3


@dataclass(frozen=True)
class Agreement:
    """Predicted and rendered grey of the (element, view) pairs that are seen and have pixels enough."""

    predicted: Floats
    rendered: Floats

    @property
    def rank_correlation(self) -> float:
        return float(spearmanr(self.predicted, self.rendered).statistic)

    def error(self, quantile: float) -> float:
        """Quantile of the relative error."""
        return float(np.quantile(np.abs(self.predicted - self.rendered) / self.rendered, quantile))

    def ratios(self, num_groups: int) -> Floats:
        """Predicted to rendered light of as many groups, by predicted grey, in which noise is averaged out."""
        groups = np.array_split(np.argsort(self.predicted), num_groups)
        return np.array([self.predicted[rows].sum() / self.rendered[rows].sum() for rows in groups])


def load(name: str, folder: Path = PARTS) -> Part:
    file, scale_mm = FILES[name]
    return load_part(file if file.startswith("builtin:") else folder / file, scale_mm=scale_mm)


def study_rig(material: Material, *, binning: int) -> Rig:
    """The rig paper-quarter with larger pixels, all of which are fine enough."""
    rig = load_rig("paper-quarter")
    camera = rig.camera.binned(binning)
    limits = replace(rig.requirements, max_mm_per_px=2.0 * camera.mm_per_px_at_focus)
    return replace(rig, camera=camera, requirements=limits, material=material)


def study_views(part: Part, rig: Rig) -> list[Viewpoint]:
    middle = part.center_mm
    arms = [np.array(d) / np.linalg.norm(d) * rig.camera.focus_distance_mm for d in DIRECTIONS]
    return [Viewpoint.looking_at(middle + arm, middle, id=f"v{number}") for number, arm in enumerate(arms)]


def open_smooth_scene(part: Part, rig: Rig, *, num_samples: int, path_depth: int) -> InspectionScene:
    """The part of the rig's material as it is: no texture, no defects, the lay in its highlights only."""
    lays = face_lays(part)
    mesh = refined_for(part, (), mm_per_px=rig.camera.mm_per_px_at_focus, lays=lays)
    cad = part.cad_face_idx[mesh.part_face]
    normals, uv = unit(mesh.at_corners(cad_corner_normals(part))), lay_coordinates(lays, cad, mesh.corners_mm)
    is_plain = np.array([lay.course == "none" for lay in lays])[cad]
    plain = rig.material.evenly_rough()
    surfaces = [
        SceneSurface(name=name, corners_mm=mesh.corners_mm[rows], normals=normals[rows], uv=uv[rows], material=material)
        for name, rows, material in (("machined", ~is_plain, rig.material), ("plain", is_plain, plain))
        if rows.any()
    ]
    return InspectionScene(surfaces, rig.camera, rig.ring_light, num_samples=num_samples, path_depth=path_depth)


def seen_pairs(surface: Surface, rig: Rig, views: list[Viewpoint]) -> list[Ints]:
    tester = VisibilityTester(Setup(surface, rig, rig.requirements))
    return [tester.seen_elements(view) for view in views]


def block_with(cutter: trimesh.Trimesh, folder: Path) -> Part:
    """A block of 60 x 60 x 40 mm whose top is z = 0, less the cutter."""
    block = trimesh.creation.box(bounds=[[-30, -30, -40], [30, 30, 0]])
    trimesh.boolean.difference([block, cutter]).export(folder / "block.stl")
    return load_part(folder / "block.stl")


@dataclass(frozen=True)
class Opening:
    """A part with a hole, its floor's half extents off the wall, which pixels at the wall show too, and their norm."""

    part: Part
    half_mm: tuple[float, float]
    order: float


def openings(folder: Path, *, depth_mm: float = 30.0) -> dict[str, Opening]:
    """Blocks with holes of that depth."""
    found = {}
    for name, sides, order in (
        ("bore 12", (12.0, 12.0), 2),
        ("slot 8", (8.0, 99.0), np.inf),
        ("pocket 18 x 28", (18.0, 28.0), np.inf),
    ):
        cutter = trimesh.creation.box(extents=(*sides, 2.0 * depth_mm))
        if order == 2:
            cutter = trimesh.creation.cylinder(radius=sides[0] / 2, height=2.0 * depth_mm, sections=180)
        half = (sides[0] / 2 - 0.3, sides[1] / 2 - 0.3)
        found[f"{name} x {depth_mm:g}"] = Opening(block_with(cutter, folder), half, order)
    return found


def opening_agreement(opening: Opening, *, num_samples: int, depth_mm: float = 30.0) -> Agreement:
    """Of light reflected once, at elements of the floor that see a part of the light."""
    rig = study_rig(MATERIALS["isotropic"], binning=1)
    # Without the depth of field in which an opening's edge hides a part of the lens, and not of the light.
    rig = replace(rig, camera=replace(rig.camera, width_px=200, height_px=200, f_number=100.0))
    rig = replace(rig, requirements=replace(rig.requirements, max_blur_px=50.0, max_incidence_deg=60.0, min_light=0.0))
    floor = np.array([0.0, 0.0, -depth_mm])
    arms = [rig.camera.focus_distance_mm * np.array([s, 0.6 * s, np.sqrt(1 - 1.36 * s**2)]) for s in (0.0, 0.03, 0.06)]
    views = [Viewpoint.looking_at(floor + arm, floor, id=f"v{number}") for number, arm in enumerate(arms)]
    return agreement(
        opening.part, rig, views=views, num_samples=num_samples, num_paths=128, num_reflections=1, opening=opening
    )


def agreement(
    part: Part, rig: Rig, *, num_samples: int, num_paths: int, num_reflections: int = MAX_REFLECTIONS,
    views: list[Viewpoint] | None = None, opening: Opening | None = None,
) -> Agreement:  # fmt: skip
    """In the study's views, or others; of all seen elements, or of an opening's that see a part of the light."""
    surface = cut_surface(part, 6.0 * rig.camera.mm_per_px_at_focus)
    predictor = GreyPredictor(surface, rig)
    depth = num_reflections + 1
    scene = open_smooth_scene(part, rig, num_samples=num_samples, path_depth=depth)
    predicted, rendered = [], []
    views = study_views(part, rig) if views is None else views
    for view, seen in zip(views, seen_pairs(surface, rig, views), strict=True):
        image = scene.render(view.world_from_camera, seed=1)
        ids, _ = id_buffer(surface.vertices_mm, surface.faces, rig.camera, view.camera_from_world)
        shown = ids >= 0
        pixels = np.bincount(ids[shown], minlength=surface.num_elements)
        light = np.bincount(ids[shown], weights=image[shown], minlength=surface.num_elements)
        seen = seen[pixels[seen] >= MIN_PIXELS]
        if opening is not None:
            shares = predictor.sight(view, seen).shares().mean(axis=1)
            off_wall = np.linalg.norm(surface.centroid_mm[seen, :2] / opening.half_mm, ord=opening.order, axis=1) < 1.0
            seen = seen[(shares > 0.0) & (shares < 1.0) & off_wall]
        predicted.append(predictor.grey(view, seen, num_paths=num_paths, num_reflections=num_reflections))
        rendered.append(light[seen] / pixels[seen])
    return Agreement(np.concatenate(predicted), np.concatenate(rendered))


def print_agreement(args: argparse.Namespace) -> None:
    print(
        f"{'part':>15} {'material':>12} {'edges':>5} {'pairs':>6} {'rank corr.':>10} {'median':>7} {'90 %':>7} {'s':>5}"
    )
    for name in FILES:
        part = load(name, args.parts)
        for label, material in MATERIALS.items():
            rig = study_rig(material, binning=2)
            for reflections in (1, MAX_REFLECTIONS):
                start = time.perf_counter()
                found = agreement(
                    part, rig, num_samples=args.samples, num_paths=args.paths, num_reflections=reflections
                )
                print(
                    f"{name:>15} {label:>12} {reflections + 1:>5} {len(found.rendered):>6} "
                    f"{found.rank_correlation:>10.3f} {found.error(0.5):>7.1%} {found.error(0.9):>7.1%} "
                    f"{time.perf_counter() - start:>5.0f}",
                    flush=True,
                )


def print_openings(args: argparse.Namespace) -> None:
    print(f"\n{'opening':>20} {'pairs':>6} {'median':>7}  predicted to rendered light of fifths by predicted grey")
    with tempfile.TemporaryDirectory() as folder:
        for name, opening in openings(Path(folder)).items():
            found = opening_agreement(opening, num_samples=args.samples)
            said = " ".join(f"{ratio:.3f}" for ratio in found.ratios(5))
            print(f"{name:>20} {len(found.rendered):>6} {found.error(0.5):>7.1%}  {said}", flush=True)


def print_exposures(args: argparse.Namespace) -> None:
    limits = Requirements(min_grey=0.02, max_grey=0.98)
    rig = study_rig(Material(), binning=1)
    print(f"\nshare of seen pairs dark / usable / saturated, limits {limits.min_grey} and {limits.max_grey}")
    print(f"{'part':>15} {'light':>8} " + " ".join(f"{f'x {2.0**a:g}':>20}" for a in limits.exposures) + "  at some")
    for name in ("clutch-half", "flanged-hub"):
        part = load(name, args.parts)
        surface = cut_surface(part, 6.0 * rig.camera.mm_per_px_at_focus)
        predictor = GreyPredictor(surface, rig)
        views = study_views(part, rig)
        pairs = list(zip(views, seen_pairs(surface, rig, views), strict=True))
        for label, levels in (("direct", predictor.direct), ("all", predictor.grey)):
            grey = np.concatenate([levels(view, seen) for view, seen in pairs])
            exposed = [grey * 2.0**stops for stops in limits.exposures]
            dark, saturated = ([limits.min_grey > one for one in exposed], [limits.max_grey < one for one in exposed])
            kinds = zip(dark, saturated, strict=True)
            shares = [[low.mean(), 1.0 - low.mean() - high.mean(), high.mean()] for low, high in kinds]
            said = " ".join(f"{' / '.join(f'{share:.1%}' for share in row):>20}" for row in shares)
            print(f"{name:>15} {label:>8} {said}  {well_exposed(grey, limits).mean():.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=144, help="light paths per pixel of the renders")
    parser.add_argument("--paths", type=int, default=128, help="paths per element of the prediction")
    parser.add_argument("--parts", type=Path, default=PARTS, help="folder of the real parts")
    args = parser.parse_args()
    print_agreement(args)
    print_openings(args)
    print_exposures(args)


if __name__ == "__main__":
    main()
