from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import write_grey, write_levels
from viewcov.inspection.folder import Dataset, write_dataset
from viewcov.segmentation.datasets import READERS, open_data
from viewcov.segmentation.images import Sample, SampleSet, read_labelled
from viewcov.segmentation.metrics import test_model as model_figures
from viewcov.segmentation.options import TrainingOptions
from viewcov.segmentation.training import train_model

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "defects" / "mtd"


def opened(root: Path, reader: str) -> SampleSet:
    data = open_data([root], reader)
    assert isinstance(data, SampleSet)
    return data


def write_tile(root: Path, kind: str, light: int, frame: int, mask: np.ndarray) -> None:
    """A bright defect on grey; JPEG by its name as the published files are."""
    path = root / f"MT_{kind}" / "Imgs" / f"exp{light}_num_{frame}.jpg"
    write_grey(path, 0.3 + 0.4 * (mask > 127))
    write_levels(path.with_suffix(".png"), mask)


def spots(rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:48, :64]
    row, column = rng.integers(10, 38, size=2)
    return np.where(np.hypot(rows - row, columns - column) < 6, 255, 0).astype(np.uint8)


def test_the_lights_of_a_tile_stay_in_one_split(tmp_path: Path) -> None:
    frames = (26106, 26130, 26146, 26163, 26212, 26244)  # The lights of one tile, as published.
    for tile in range(10):
        for light, frame in enumerate(frames, start=1):  # The next tile follows soon.
            kind = "Crack" if light % 2 else "Free"
            write_tile(tmp_path, kind, light, frame + 200 * tile, np.zeros((48, 64), dtype=np.uint8))
    samples = opened(tmp_path, "magnetic-tile")
    assert {split: len(samples.samples(split)) for split in samples.splits} == {
        "train": 36,
        "validation": 12,
        "test": 12,
    }
    owners = {split: {one.instance for one in samples.samples(split)} for split in samples.splits}
    assert not owners["train"] & owners["validation"]
    assert not owners["test"] & (owners["train"] | owners["validation"])
    assert len(set.union(*owners.values())) == 10


def test_anti_aliased_masks_are_cut_at_128(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[0, :4] = (1, 127, 128, 255)
    write_tile(tmp_path, "Break", 1, 5, mask)
    (sample,) = opened(tmp_path, "magnetic-tile").samples("train")
    assert read_labelled(sample).defective[0, :4].tolist() == [False, False, True, True]
    with pytest.raises(InputError, match="the split 'test' has no images"):
        opened(tmp_path, "magnetic-tile").samples("test")


def test_all_files_are_looked_at_before_the_first_is_read(tmp_path: Path) -> None:
    for frame in (0, 1000, 2000):
        write_tile(tmp_path, "Break", 1, frame, np.zeros((48, 64), dtype=np.uint8))
    last = tmp_path / "MT_Break" / "Imgs" / "exp1_num_2000.png"
    write_levels(last, np.zeros((48, 60), dtype=np.uint8))
    with pytest.raises(
        InputError, match=r"exp1_num_2000\.png: not the size of its image: expected 64 x 48 .* found 60 x 48"
    ):
        opened(tmp_path, "magnetic-tile").samples("train")
    last.unlink()
    with pytest.raises(InputError, match=r"exp1_num_2000\.png: no such image"):
        opened(tmp_path, "magnetic-tile").samples("train")


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs the published images")
def test_the_published_images_are_all_read() -> None:
    samples = opened(PUBLISHED, "magnetic-tile")
    every = [sample for split in samples.splits for sample in samples.samples(split)]
    assert len(every) == 1344
    # About 259 tiles under 6 lights, some of them not under all.
    assert 224 <= len({sample.instance for sample in every}) <= 400
    free = [sample for sample in every if sample.image.parts[-3] == "MT_Free"]
    assert len(free) == 952
    assert not any(read_labelled(sample).defective.any() for sample in free[:20])


def test_what_has_not_the_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no magnetic tiles"):
        opened(tmp_path, "magnetic-tile")
    with pytest.raises(InputError, match="no such reader: expected one of viewcov, magnetic-tile, found 'other'"):
        opened(tmp_path, "other")
    write_tile(tmp_path, "Break", 1, 5, np.zeros((48, 64), dtype=np.uint8))
    with pytest.raises(InputError, match="'magnetic-tile' reads one folder: expected 1, found 2"):
        open_data([tmp_path, tmp_path], "magnetic-tile")


def test_our_own_data_sets_are_joined(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_dataset(Dataset(root=tmp_path / name, splits={}))
    data = open_data([tmp_path / "a", tmp_path / "b"])
    assert isinstance(data, Dataset)
    assert data.root == tmp_path


def test_a_reader_from_outside_can_be_trained_and_tested_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for i in range(12):
        write_tile(tmp_path / "data", "Break", 1, i, spots(rng))

    def read_pairs(root: Path) -> SampleSet:
        """Images and masks side by side, the last third to validate and test on."""
        paths = sorted(root.rglob("*.jpg"))
        samples = [Sample(name=p.stem, instance=p.stem, image=p, mask=p.with_suffix(".png")) for p in paths]
        return SampleSet(root=root, splits={"train": samples[:8], "validation": samples[8:], "test": samples[8:]})

    monkeypatch.setitem(READERS, "pairs", read_pairs)
    samples = opened(tmp_path / "data", "pairs")
    options = TrainingOptions(
        steps=60, batch=8, learning_rate=1e-2, crop_px=32, threads=1, depth=2, decoder_channels=(16, 8),
        encoder_channels=(16, 16, 16, 16), exposure_jitter=(0, 0),
    )  # fmt: skip
    model = train_model(samples, tmp_path / "pairs", options)
    figures = model_figures(model, samples)
    assert (figures.images, figures.inspections, figures.instances.count) == (4, 4, 0)
    assert figures.pixels.f1 is not None
    assert figures.pixels.f1 > 0.5
