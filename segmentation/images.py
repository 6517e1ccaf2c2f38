"""Images of a data set with their defect masks, as the networks see them: arrays, no parts, no views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from tqdm import tqdm

from viewcov.inspection.arrays import Bools, Floats32
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_levels, read_mask, sha256_of
from viewcov.inspection.folder import Dataset, InspectionFolder, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The files of an image and of its defects."""

    name: str
    """Instance and image, such as ``part-003/view-017``."""

    instance: str
    """The inspected instance, all of whose images are in one split."""

    image: Path
    """Grey image, 8 or 16 bits."""

    mask: Path
    """Mask: levels in the upper half of the range are defects."""

    labels: Path | None = None
    """Image with the number of the defect, from 1, at each pixel; the same number is the same defect."""

    view: tuple[InspectionFolder, str] | None = None
    """The inspection and view, if it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """Images to train and test on."""

    root: Path
    """Folder that messages name."""

    splits: Mapping[Split, Sequence[Sample]]
    """The samples of each split."""

    made: dict[str, JsonValue] = field(default_factory=dict)
    """How it was made."""

    def samples(self, split: Split) -> list[Sample]:
        """All samples of a split, after a look at their files.

        Raises InputError if there are none, a file is missing or no image, or a mask has another size than its
        image. A missing mask does not stand for a good part: a good part has masks without defects.
        """
        samples = list(self.splits.get(split, ()))
        if not samples:
            raise InputError(
                self.root, f"the split {split!r} has no images", expected="at least one", found="none",
                remedy="choose another split or a larger data set",
            )  # fmt: skip
        for sample in samples:
            size = image_size(sample.image)
            for path in filter(None, (sample.mask, sample.labels)):
                check_size(path, image_size(path), size)
        return samples


def samples_of(dataset: Dataset) -> SampleSet:
    """The views of a data set's inspections, in the order of the files."""
    splits: dict[Split, list[Sample]] = {}
    for split in sorted(set(dataset.splits.values())):
        views = [(one, view.id) for one in dataset.inspections(split) for view in one.plan().viewpoints]
        splits[split] = [_sample(*view) for view in views]
    return SampleSet(root=dataset.root, splits=splits, made=dataset.made)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width that an image file states; raises InputError if it is missing or no image."""
    from PIL import Image

    with suppress(OSError, SyntaxError, ValueError, Image.DecompressionBombError), Image.open(path) as image:
        return image.height, image.width
    levels = read_levels(path)  # Says what is wrong.
    return levels.shape[0], levels.shape[1]


def check_size(path: Path, shape: tuple[int, ...], expected: tuple[int, ...], owner: str = "its image") -> None:
    """Raise InputError if an image has another height and width than what it belongs to."""
    if shape != expected:
        raise InputError(
            path, f"not the size of {owner}", expected=f"{expected[1]} x {expected[0]} pixels",
            found=f"{shape[1]} x {shape[0]}", remedy="remake it",
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImage:
    """A grey image and where its defects are. Eight bits a pixel, so that a data set fits in memory."""

    name: str
    """Instance and image, such as ``part-003/view-017``."""

    levels: NDArray[np.uint8]
    """Shape (height, width)."""

    defective: Bools
    """Shape (height, width)."""

    @property
    def grey(self) -> Floats32:
        """The levels as grey values in [0, 1]."""
        return np.divide(self.levels, np.float32(255.0), dtype=np.float32)


def read_labelled(sample: Sample) -> LabelledImage:
    """A sample's image and mask; raises InputError if one of them is missing or broken, or their sizes differ."""
    levels, defective = read_levels(sample.image), read_mask(sample.mask)
    check_size(sample.mask, defective.shape, levels.shape)
    if levels.dtype != np.uint8:
        levels = np.rint(levels / (np.iinfo(levels.dtype).max / 255.0)).astype(np.uint8)
    return LabelledImage(name=sample.name, levels=levels, defective=defective)


def read_split(samples: SampleSet, split: Split, *, progress: bool = False) -> list[LabelledImage]:
    """All images of a split; raises InputError if there are none, or one cannot be read."""
    shown = tqdm(samples.samples(split), desc=f"read {split}", unit="image", disable=not progress)
    return [read_labelled(sample) for sample in shown]


def identity_of(images: Sequence[LabelledImage]) -> str:
    """SHA-256 of the names, pixels and masks: the same wherever the images lie and however packed."""
    return sha256_of(*(_digest(image).encode() for image in images))


def _digest(image: LabelledImage) -> str:
    shape = f"{image.name} {image.levels.shape}".encode()
    return sha256_of(shape, np.ascontiguousarray(image.levels).tobytes(), np.packbits(image.defective).tobytes())


def _sample(folder: InspectionFolder, view_id: str) -> Sample:
    labels = folder.label_path(view_id)
    return Sample(
        name=f"{folder.name}/{view_id}",
        instance=folder.root.as_posix(),
        image=folder.image_path(view_id),
        mask=folder.mask_path(view_id),
        labels=labels if labels.is_file() else None,
        view=(folder, view_id),
    )
