"""Readers of labelled images: viewcov's own data sets and published ones.

A reader is a function from a folder to a ``SampleSet``. One that is added to ``READERS`` can be trained and tested on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import read_dataset
from viewcov.segmentation.datasets.magnetic_tile import read_magnetic_tile
from viewcov.segmentation.images import SampleSet, samples_of

Reader = Callable[[Path], SampleSet]

READERS: dict[str, Reader] = {
    "viewcov": lambda root: samples_of(read_dataset(root)),
    "magnetic-tile": read_magnetic_tile,
}
"""Name of a layout to its reader."""


def open_samples(root: str | Path, reader: str = "viewcov") -> SampleSet:
    """The labelled images in a folder of that layout.

    Raises
    ------
    InputError
        If there is no such reader, or the folder does not have its layout.
    """
    if reader not in READERS:
        raise InputError(
            "reader", "no such reader", expected=f"one of {', '.join(READERS)}", found=reader, remedy="choose another"
        )
    return READERS[reader](Path(root))
