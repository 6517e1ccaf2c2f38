"""Coverage under pose noise: what the noise is, and that its effect is what evaluating each draw gives."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from viewcov.coverage.geometric.evaluation import GeometricCoverage, evaluate_viewpoints
from viewcov.coverage.geometric.robustness import PoseNoise, robustness
from viewcov.coverage.geometric.visibility import Setup
from viewcov.inspection.mesh.part import Part, PartSource
from viewcov.inspection.mesh.surface import cut_surface
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint

RIG = load_rig("paper-quarter")
LIMITS = Requirements(max_incidence_deg=60.0, max_mm_per_px=0.5, max_blur_px=3.0, min_light=0.2)


def coverage_of(limits: Requirements = LIMITS, num: int = 4) -> GeometricCoverage:
    """A tube from a few sides; a part of its surface counts as coverable."""
    mesh = trimesh.creation.annulus(20.0, 60.0, height=40.0, sections=24)
    part = Part(
        name="test",
        vertices_mm=mesh.vertices,
        faces=mesh.faces,
        cad_face_idx=np.zeros(len(mesh.faces), dtype=np.int32),
        source=PartSource(path="test", sha256="0" * 64),
    )
    surface = cut_surface(part, 12.0)
    eyes = ([250, 0, 30], [-120, 200, 90], [0, -30, 260], [-60, -230, -60], [240, 60, 50], [40, 20, 250])
    views = [Viewpoint.looking_at(eye, [0, 0, 0], id=f"v{place}") for place, eye in enumerate(eyes[:num])]
    coverable = surface.centroid_mm[:, 1] > -20.0
    return evaluate_viewpoints(Setup(surface, RIG, limits), views, coverable=coverable, gather=False)


def test_noise_has_the_spread_that_it_says_along_every_axis_of_the_camera() -> None:
    view = Viewpoint.looking_at([100, 50, 20], [0, 0, 0], id="v", roll_deg=33.0)
    noise = PoseNoise(position_mm=0.7, rotation_deg=0.2, seed=5)
    num = 4000
    found = noise.disturbed([view] * num, draw=0)
    shift = np.stack([other.center_mm for other in found]) - view.center_mm
    rotation = np.stack([other.world_from_camera[:3, :3] for other in found])
    turn = np.rad2deg(Rotation.from_matrix(view.world_from_camera[:3, :3].T @ rotation).as_rotvec())
    # The standard error of a standard deviation of n normal numbers is sigma / (2 n)^(1/2): 1.1 %.
    np.testing.assert_allclose(shift.std(axis=0), 0.7, rtol=0.05)
    np.testing.assert_allclose(turn.std(axis=0), 0.2, rtol=0.05)
    np.testing.assert_allclose(shift.mean(axis=0), 0.0, atol=0.7 * 4 / num**0.5)
    np.testing.assert_allclose(turn.mean(axis=0), 0.0, atol=0.2 * 4 / num**0.5)
    correlation = np.corrcoef(np.hstack([shift, turn]).T)
    np.testing.assert_allclose(correlation, np.eye(6), atol=4 / num**0.5)
    other_draw = noise.disturbed([view], draw=1)[0].center_mm
    assert np.abs(other_draw - found[0].center_mm).min() > 0


def test_without_noise_every_draw_is_the_plan() -> None:
    coverage = coverage_of()
    found = robustness(coverage, RIG, num_draws=3, noise=PoseNoise(position_mm=0.0, rotation_deg=0.0))
    assert 0.1 < coverage.coverage < 0.9
    expected = coverage.covered_area_mm2 / coverage.coverable_area_mm2
    np.testing.assert_allclose(found.figures.coverage_of_draws, expected, rtol=1e-12)
    assert found.figures.mean_coverage == pytest.approx(expected)
    assert found.figures.quantile_5_coverage == pytest.approx(expected)
    np.testing.assert_array_equal(found.probability, coverage.covered)
    np.testing.assert_allclose(list(found.figures.share_by_probability.values()), expected, rtol=1e-12)


@pytest.mark.parametrize("required", [1, 2])
def test_draws_are_what_evaluating_them_gives(required: int) -> None:
    limits = Requirements(
        max_incidence_deg=60.0, max_mm_per_px=0.5, max_blur_px=3.0, min_light=0.2, views_per_element=required
    )
    coverage = coverage_of(limits, num=6)
    noise = PoseNoise(position_mm=8.0, rotation_deg=3.0, seed=7)
    found = robustness(coverage, RIG, num_draws=6, noise=noise)
    area, shares, covered = coverage.surface.area_mm2, [], []
    for draw in range(6):
        views = noise.disturbed(coverage.viewpoints, draw=draw)
        covered.append(evaluate_viewpoints(Setup(coverage.surface, RIG, limits), views, gather=False).covered)
        shares.append(area[covered[-1] & coverage.coverable].sum() / area[coverage.coverable].sum())
    np.testing.assert_allclose(found.figures.coverage_of_draws, shares, rtol=1e-12)
    np.testing.assert_allclose(found.probability, np.mean(covered, axis=0))
    first, second = sorted(shares)[:2]
    # Of six draws, 5 % lies a quarter of the way from the least to the next: 0.05 (6 - 1).
    assert found.figures.quantile_5_coverage == pytest.approx(first + 0.25 * (second - first))
    assert np.ptp(shares) > 1e-3
    for level, share in found.figures.share_by_probability.items():
        often = coverage.coverable & (found.probability >= float(level) - 1e-9)
        assert share == pytest.approx(area[often].sum() / area[coverage.coverable].sum())
    fewer = robustness(coverage, RIG, num_draws=2, noise=noise)
    np.testing.assert_array_equal(fewer.figures.coverage_of_draws, found.figures.coverage_of_draws[:2])


def test_large_noise_costs_coverage_and_small_noise_little() -> None:
    coverage = coverage_of()
    small, large = (
        robustness(coverage, RIG, num_draws=8, noise=PoseNoise(position_mm=mm, rotation_deg=deg))
        for mm, deg in ((0.01, 0.001), (30.0, 10.0))
    )
    assert small.figures.mean_coverage == pytest.approx(coverage.coverage, abs=0.01)
    assert large.figures.mean_coverage < coverage.coverage - 0.05
    assert large.figures.quantile_5_coverage <= large.figures.mean_coverage
    shares = list(large.figures.share_by_probability.values())
    assert shares == sorted(shares)
    assert max(large.figures.coverage_of_draws) <= 1.0


def test_the_number_of_processes_changes_nothing() -> None:
    coverage = coverage_of(num=2)
    noise = PoseNoise(position_mm=5.0, rotation_deg=2.0, seed=1)
    one, two = (robustness(coverage, RIG, num_draws=2, noise=noise, jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one.probability, two.probability)
    assert one.figures == two.figures


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match="position_mm"):
        PoseNoise(position_mm=-1.0)
    with pytest.raises(ValueError, match="rotation_deg"):
        PoseNoise(rotation_deg=float("nan"))
    with pytest.raises(ValueError, match="num_draws"):
        robustness(coverage_of(num=1), RIG, num_draws=0)
