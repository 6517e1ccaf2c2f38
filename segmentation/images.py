"""Images of a data set with their defect masks, as the networks see them: arrays, no parts, no views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from viewcov.inspection.arrays import Bools
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_levels, read_mask, sha256_of
from viewcov.inspection.folder import Dataset, InspectionFolder, Split


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImage:
    """A grey image and where its defects are. Eight bits a pixel, so that a data set fits in memory."""

    name: str
    """Inspection and view, such as ``part-003/view-017``."""

    levels: NDArray[np.uint8]
    """Shape (height, width)."""

    defective: Bools
    """Shape (height, width)."""

    def __post_init__(self) -> None:
        if self.levels.ndim != 2 or self.levels.shape != self.defective.shape:
            raise ValueError(
                f"levels and defective must have the same shape (height, width), "
                f"got {self.levels.shape} and {self.defective.shape}"
            )


def read_labelled(folder: InspectionFolder, view_id: str) -> LabelledImage:
    """A view's image and mask.

    Raises
    ------
    InputError
        If one of them is missing or broken, or their sizes differ. A missing mask does not stand for a good
        part: a good part has masks without defects.
    """
    image_path, mask_path = folder.image_path(view_id), folder.mask_path(view_id)
    levels, defective = read_levels(image_path), read_mask(mask_path)
    check_same_size(mask_path, defective.shape, image_path, levels.shape)
    if levels.dtype != np.uint8:
        levels = np.rint(levels / (np.iinfo(levels.dtype).max / 255.0)).astype(np.uint8)
    return LabelledImage(name=f"{folder.name}/{view_id}", levels=levels, defective=defective)


def check_same_size(path: Path, shape: tuple[int, ...], image_path: Path, image_shape: tuple[int, ...]) -> None:
    """Raise InputError if a mask or label image has another size than its image."""
    if shape != image_shape:
        raise InputError(
            path,
            "not as large as its image",
            expected=f"{image_shape[1]} x {image_shape[0]} pixels as {image_path}",
            found=f"{shape[1]} x {shape[0]}",
            remedy="remake it",
        )


def views_of(dataset: Dataset, split: Split) -> Iterator[tuple[InspectionFolder, str]]:
    """The inspections and view ids of a split, in the order of the files."""
    for folder in dataset.inspections(split):
        for viewpoint in folder.plan().viewpoints:
            yield folder, viewpoint.id


def read_split(dataset: Dataset, split: Split, *, progress: bool = False) -> list[LabelledImage]:
    """All images of a split.

    Raises
    ------
    InputError
        If there are none, or one cannot be read.
    """
    views = required_views(dataset, split)
    shown = tqdm(views, desc=f"read {split}", unit="image", disable=not progress)
    return [read_labelled(folder, view_id) for folder, view_id in shown]


def identity_of(images: Sequence[LabelledImage]) -> str:
    """SHA-256 of the names, pixels and masks: the same wherever the images lie and however packed."""
    return sha256_of(
        *(
            sha256_of(
                f"{image.name} {image.levels.shape}".encode(),
                np.ascontiguousarray(image.levels).tobytes(),
                np.packbits(image.defective).tobytes(),
            ).encode()
            for image in images
        )
    )


def required_views(dataset: Dataset, split: Split) -> list[tuple[InspectionFolder, str]]:
    """All views of a split, as ``views_of`` gives them; raises InputError if there are none."""
    views = list(views_of(dataset, split))
    if not views:
        raise InputError(
            dataset.root / "dataset.json",
            f"the split {split!r} has no images",
            expected="at least one inspection with a view",
            found="none",
            remedy="choose another split or synthesize more inspections",
        )
    return views
