from __future__ import annotations

import numpy as np
import pytest

from viewcov.segmentation.crops import CropOptions, CropSampler, varied
from viewcov.segmentation.images import LabelledImage

# Changes nothing but place, turn and mirror.
PLAIN = CropOptions(crop_px=32, exposure_jitter=(0.0, 0.0), noise_levels=0.0, blur_share=0.0)


def changed(**values: object) -> CropOptions:
    return CropOptions.model_validate({**PLAIN.model_dump(), **values})


def labelled(levels: np.ndarray, *boxes: tuple[int, int, int, int], name: str = "a/b") -> LabelledImage:
    """An image with defective boxes (first row, first column, height, width)."""
    defective = np.zeros(levels.shape, dtype=bool)
    for row, column, height, width in boxes:
        defective[row : row + height, column : column + width] = True
    return LabelledImage(name=name, levels=levels.astype(np.uint8), defective=defective)


def addressed(height: int, width: int) -> np.ndarray:
    """Levels from which one can tell where in the image a crop comes from."""
    return (np.arange(height)[:, None] * 7 + np.arange(width) * 3) % 200 + 40


def test_a_crop_is_a_turned_or_mirrored_piece_of_its_image_with_its_mask() -> None:
    image = labelled(addressed(80, 96), (20, 30, 5, 9), (60, 70, 3, 3))
    sampler = CropSampler([image], PLAIN, seed=1)
    windows = {}
    for row in range(80 - 32 + 1):
        for column in range(96 - 32 + 1):
            piece = image.levels[row : row + 32, column : column + 32]
            mask = image.defective[row : row + 32, column : column + 32]
            for turns in range(4):
                for mirror in (1, -1):
                    key = np.rot90(piece, turns)[:, ::mirror].tobytes()
                    windows.setdefault(key, []).append(np.rot90(mask, turns)[:, ::mirror].tobytes())
    for index in range(40):
        grey, defective, image_idx = sampler.sample(0, index)
        assert (grey.shape, grey.dtype, image_idx) == ((32, 32), np.float32, 0)
        assert defective.tobytes() in windows[np.rint(grey * 255).astype(np.uint8).tobytes()]


def test_a_crop_depends_on_seed_step_and_index_alone() -> None:
    images = [labelled(addressed(64, 64), (10, 10, 4, 4)), labelled(addressed(70, 90))]
    options = CropOptions(crop_px=32)
    one, two = (CropSampler(images, options, seed=5) for _ in range(2))
    forward = [one.sample(s, i) for s in range(3) for i in range(4)]
    backward = [two.sample(s, i) for s in reversed(range(3)) for i in reversed(range(4))][::-1]
    for (grey, mask, idx), (other_grey, other_mask, other_idx) in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(grey, other_grey)
        np.testing.assert_array_equal(mask, other_mask)
        assert idx == other_idx
    assert len({grey.tobytes() for grey, _, _ in forward}) == len(forward)
    assert CropSampler(images, options, seed=6).sample(0, 0)[0].tobytes() != forward[0][0].tobytes()


def test_crops_avoid_the_dark_background() -> None:
    # A lit square of 40 in a black image of 400: a blind draw hardly ever meets it.
    levels = np.zeros((400, 400))
    levels[300:340, 40:80] = 120
    sampler = CropSampler([labelled(levels)], changed(max_draws=2000), seed=0)
    lit = [np.mean(sampler.sample(0, i)[0] > 10 / 255) for i in range(25)]
    assert min(lit) >= PLAIN.min_lit_share


def test_of_too_dark_draws_the_best_lit_is_taken() -> None:
    levels = np.zeros((64, 64))
    levels[:, 40:] = 11  # Just lit, and never enough of it.
    options = changed(min_lit_share=1.0, max_draws=200)
    lit = np.mean(CropSampler([labelled(levels)], options, seed=0).sample(0, 0)[0] > 10 / 255)
    assert lit == pytest.approx(24 / 32)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_asked_share_of_crops_lies_on_defects(share: float) -> None:
    image = labelled(np.full((600, 600), 100), (300, 300, 2, 2))
    sampler = CropSampler([image], changed(positive_share=share), seed=3)
    hits = np.mean([sampler.sample(0, i)[1].any() for i in range(300)])
    # A blind crop meets the defect with probability (33 / 569)^2 < 0.4 %; 4 sigma of 300 draws is 0.12.
    assert hits == pytest.approx(share, abs=0.12 if share == 0.5 else 0.02)


def test_a_small_defect_is_drawn_as_often_as_a_large_one() -> None:
    image = labelled(np.full((300, 600), 100), (10, 10, 60, 60), (250, 500, 2, 2))
    sampler = CropSampler([image], changed(positive_share=1.0), seed=3)
    small = np.mean([sampler.sample(0, i)[1].sum() <= 4 for i in range(300)])
    assert small == pytest.approx(0.5, abs=0.12)


def test_exposure_and_noise_have_the_asked_size() -> None:
    rng = np.random.default_rng(0)
    grey, mask = np.full((64, 64), 0.3, dtype=np.float32), np.zeros((64, 64), dtype=bool)
    exposure = changed(exposure_jitter=(-0.5, 1.0))
    gains = [varied(grey, mask, exposure, rng)[0].mean() / 0.3 for _ in range(300)]
    assert 2**-0.5 <= min(gains) < 0.75
    assert 1.9 < max(gains) <= 2.0 + 1e-6
    noise = changed(noise_levels=5.0)
    sigmas = [varied(grey, mask, noise, rng)[0].std() * 255 for _ in range(300)]
    assert max(sigmas) == pytest.approx(5.0, rel=0.1)
    assert min(sigmas) < 0.2


def test_a_saturated_image_stays_within_zero_and_one() -> None:
    rng = np.random.default_rng(0)
    options = CropOptions(crop_px=32, noise_levels=20.0, blur_share=1.0)
    for level in (0.0, 1.0):
        out, _ = varied(np.full((32, 32), level, dtype=np.float32), np.zeros((32, 32), dtype=bool), options, rng)
        assert out.min() >= 0.0
        assert out.max() <= 1.0


def test_blur_is_the_binomial_kernel() -> None:
    grey = np.zeros((32, 32), dtype=np.float32)
    grey[16, 16] = 1.0
    blurred, _ = varied(grey, grey > 0, changed(blur_share=1.0), np.random.default_rng(1))
    row, column = np.unravel_index(blurred.argmax(), blurred.shape)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    np.testing.assert_allclose(blurred[row - 1 : row + 2, column - 1 : column + 2], kernel)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        CropOptions(crop_px=50)
    with pytest.raises(ValueError, match="positive_share"):
        CropOptions(positive_share=1.5)


def test_turning_and_mirroring_can_be_switched_off() -> None:
    image = labelled(addressed(80, 96))
    options = changed(turned=False, mirror_share=0.0, max_draws=1)
    sampler = CropSampler([image], options, seed=1)
    windows = {
        image.levels[row : row + 32, column : column + 32].tobytes() for row in range(49) for column in range(65)
    }
    crops = [np.rint(sampler.sample(0, i)[0] * 255).astype(np.uint8).tobytes() for i in range(40)]
    assert set(crops) <= windows
    assert not {np.rint(CropSampler([image], PLAIN, seed=1).sample(0, i)[0] * 255).astype(np.uint8).tobytes()
                for i in range(40)} <= windows  # fmt: skip


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 16, 17), (1.0, 0, 32)])
def test_a_defect_lies_in_the_asked_middle_of_a_crop(share: float, low: int, high: int) -> None:
    image = labelled(np.full((300, 300), 100), (150, 150, 1, 1))
    options = changed(positive_share=1.0, centre_share=share, turned=False, mirror_share=0.0)
    sampler = CropSampler([image], options, seed=2)
    places = np.array([np.argwhere(sampler.sample(0, i)[1])[0] for i in range(200)])
    assert places.min() >= low - 1
    assert places.max() <= high
    assert np.ptp(places) >= (high - low) * 0.9 - 1
