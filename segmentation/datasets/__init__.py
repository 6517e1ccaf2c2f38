"""Readers of labelled images: viewcov's own data sets and published ones.

A reader is a function from a folder to a ``SampleSet``. One that is added to ``READERS`` can be trained and tested on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from viewcov.inspection.errors import InputError
from viewcov.inspection.folder import Dataset, joined, read_dataset
from viewcov.segmentation.datasets.magnetic_tile import read_magnetic_tile
from viewcov.segmentation.images import SampleSet

READERS: dict[str, Callable[[Path], Dataset | SampleSet]] = {
    "viewcov": read_dataset,
    "magnetic-tile": read_magnetic_tile,
}
"""Name of a layout to its reader."""


def open_data(roots: Sequence[Path], reader: str = "viewcov") -> Dataset | SampleSet:
    """The labelled images in folders of a layout, for ``train_model`` and ``test_model``.

    Raises
    ------
    InputError
        If there is no such reader, a folder does not have its layout, or several cannot be taken together.
    """
    if reader not in READERS:
        raise InputError(
            "option 'reader'", "no such reader", expected=f"one of {', '.join(READERS)}", found=repr(reader),
            remedy="choose one of these",
        )  # fmt: skip
    found = [READERS[reader](root) for root in roots]
    own = [data for data in found if isinstance(data, Dataset)]
    if len(own) == len(found):
        return joined(own)
    if len(found) > 1:
        raise InputError(
            "option 'reader'", f"{reader!r} reads one folder", expected="1", found=str(len(found)), remedy="name one"
        )
    return found[0]
