"""Magnetic Tile Defects (Huang et al. 2018): ``MT_<kind>/Imgs/exp<light>_num_<frame>.jpg`` with ``.png`` masks."""

from __future__ import annotations

import re
from pathlib import Path

from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import Split
from viewcov.segmentation.images import Sample, SampleSet

_NAME = re.compile(r"exp(\d+)_num_(\d+)")
_LARGEST_GAP = 120
"""Frames between two images of one tile at most: the lights follow each other."""

_SPLITS: tuple[Split, ...] = ("train", "train", "train", "validation", "test")
"""Every fifth tile is kept for the test."""


def read_magnetic_tile(root: Path) -> SampleSet:
    """The images under a folder, split by tile: the same tile under another light is no new one.

    Masks are anti-aliased; from level 128 on a pixel is defective, as in every mask of viewcov.

    Raises InputError if the folder has no such images.
    """
    found = [(int(m[2]), int(m[1]), p) for p in root.glob("MT_*/Imgs/*.jpg") if (m := _NAME.fullmatch(p.stem))]
    if not found:
        raise InputError(
            root, "no magnetic tiles", expected="MT_*/Imgs/exp*_num_*.jpg", found="none", remedy="check the path"
        )
    splits: dict[Split, list[Sample]] = {"train": [], "validation": [], "test": []}
    tile, last_frame, last_light = -1, -_LARGEST_GAP, 0
    for frame, light, path in sorted(found):
        if frame - last_frame >= _LARGEST_GAP or light <= last_light:
            tile += 1
        last_frame, last_light = frame, light
        name = f"tile-{tile:04d}"
        sample = Sample(name=f"{name}/{path.stem}", instance=name, image=path, mask=path.with_suffix(".png"))
        splits[_SPLITS[tile % len(_SPLITS)]].append(sample)
    return SampleSet(root=root, splits=splits, made={"reader": "magnetic-tile"})
