from __future__ import annotations

import pytest

from viewcov.inspection.rig.requirements import Requirements


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_incidence_deg", 0.0),
        ("max_incidence_deg", 90.0),
        ("max_incidence_deg", "60"),
        ("max_mm_per_px", 0.0),
        ("max_mm_per_px", float("inf")),
        ("max_blur_px", float("nan")),
        ("smallest_defect_mm", -0.1),
        ("smallest_defect_mm", float("inf")),
        ("smallest_defect_px", 0.0),
        ("border_px", -1.0),
        ("min_light", -0.1),
        ("min_grey", -0.1),
        ("min_grey", None),
        ("max_grey", 0.0),
        ("max_grey", float("inf")),
        ("exposures", ()),
        ("exposures", 2.0),
        ("exposures", (0.0, float("nan"))),
        ("exposures", (0.0, 99.0)),
        ("view_mode", "darkfield"),
        ("view_mode", ["any"]),
        ("views_per_element", 0),
        ("views_per_element", 1.5),
        ("views_per_element", float("nan")),
        ("views_per_element", True),
    ],
)
def test_impossible_requirements_are_refused_by_the_name_of_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"\b{field}\b"):
        Requirements(**{field: value})  # type: ignore[arg-type]


def test_elements_are_a_few_of_the_coarsest_pixels_wide() -> None:
    assert Requirements(max_mm_per_px=0.1).element_edge_mm == pytest.approx(0.6)


def test_the_smallest_defect_only_tightens_the_sampling() -> None:
    assert Requirements(max_mm_per_px=0.1).coarsest_mm_per_px == 0.1
    assert Requirements(max_mm_per_px=0.1, smallest_defect_mm=0.6).coarsest_mm_per_px == 0.1
    fine = Requirements(max_mm_per_px=0.1, smallest_defect_mm=0.2, smallest_defect_px=4.0)
    assert fine.coarsest_mm_per_px == pytest.approx(0.05)
    assert fine.element_edge_mm == pytest.approx(0.3)


def test_grey_is_not_limited_unless_asked_for() -> None:
    assert not Requirements().limits_grey
    assert Requirements(min_grey=0.02).limits_grey
    assert Requirements(max_grey=0.98).limits_grey
    with pytest.raises(ValueError, match=r"max_grey above min_grey = 0\.5, not 0\.4"):
        Requirements(min_grey=0.5, max_grey=0.4)
    # TOML and JSON have lists; whole stops are stops.
    assert Requirements(exposures=[0, 1]).exposures == (0.0, 1.0)  # type: ignore[arg-type]
