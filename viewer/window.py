"""The window for looking at results: arrays to choose from, elements to click on, two arrays side by side."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viewcov.inspection.arrays import Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.mesh.part import triangle_areas
from viewcov.viewer import palette
from viewcov.viewer.vtp import SurfaceFile, read_vtp
from viewcov.viewer.words import percent

log = logging.getLogger(__name__)

_HELP = "n / b: next or previous array    click: values of an element    r: whole part    q: close"


def has_display() -> bool:
    """Whether a window can be opened: on Linux, whether an X server answers at DISPLAY."""
    if sys.platform in ("darwin", "win32"):
        return True
    match = re.fullmatch(r"(?:unix|([^:/]*)(?:/unix)?):(\d+)(?:\.\d+)?", os.environ.get("DISPLAY", ""))
    if match is None:
        return False
    host, server = match.group(1) or "", int(match.group(2))
    if host:
        return _answers(socket.AF_INET, (host, 6000 + server))
    path = f"/tmp/.X11-unix/X{server}"
    return any(_answers(socket.AF_UNIX, address) for address in (path, f"\0{path}"))


def _answers(family: int, address: Any) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.settimeout(2.0)
        try:
            link.connect(address)
        except OSError:
            return False
        return True


def show(path: str | Path, *more: str | Path, array: str | None = None) -> bool:
    """Open a window on ``.vtp`` files and wait until it is closed; False at once where there is no display.

    Parameters
    ----------
    path, more
        Files that ``write_vtp`` wrote. Arrays of files of the same surface share a window, each named after
        its file; other surfaces follow in windows of their own.
    array
        The array shown first; by default the main one.

    Raises
    ------
    InputError
        If a file is not such a file or none has an array of that name.
    """
    surfaces = _merged([Path(path), *map(Path, more)])
    known = [name for surface in surfaces for name in surface.arrays]
    if array is not None and array not in known:
        raise InputError(
            path, "no such array", expected=f"one of {', '.join(known)}", found=repr(array), remedy="choose another"
        )
    if not has_display():
        return False
    for surface in surfaces:
        Inspector(surface, array=array if array in surface.arrays else None, title=str(path)).plotter.show()
    return True


def _merged(paths: Sequence[Path]) -> list[SurfaceFile]:
    """The files, those of the same elements as one with the arrays of all."""
    surfaces: list[SurfaceFile] = []
    for path in paths:
        file = read_vtp(path)
        before = "" if len(paths) == 1 else f"{path.stem}: "
        arrays = {before + name: values for name, values in file.arrays.items()}
        layers = {
            before + name: layer.model_copy(update={"title": before + layer.title})
            for name, layer in file.layers.items()
        }
        same = [surface for surface in surfaces if surface.is_same_surface(file)]
        if same:
            same[0].arrays.update(arrays)
            surfaces[surfaces.index(same[0])] = same[0]._replace(layers={**same[0].layers, **layers})
        else:
            surfaces.append(file._replace(arrays=arrays, layers=layers, main=before + file.main))
    return surfaces


class Inspector:
    """A window on a surface file, and the array that it shows at the moment."""

    def __init__(
        self, file: SurfaceFile, *, array: str | None = None, title: str = "viewcov", off_screen: bool = False
    ) -> None:
        import pyvista

        self.file, self.names, self.shown = file, list(file.arrays), array or file.main
        self.plotter: Any = pyvista.Plotter(title=title, off_screen=off_screen, window_size=(1400, 800))
        self.plotter.set_background(palette.PAPER)
        self._mesh = pyvista.PolyData.from_regular_faces(file.vertices_mm, file.faces)
        self._slider: Any = None
        self._draw()
        self.plotter.add_axes(color=palette.INK, viewport=(0.85, 0.0, 1.0, 0.2))
        self.plotter.add_text(_HELP, position="lower_left", font_size=9, color=palette.MUTED, name="help")
        self.plotter.add_key_event("n", lambda: self.step(1))
        self.plotter.add_key_event("b", lambda: self.step(-1))
        self.plotter.enable_point_picking(
            self._picked, picker="cell", use_picker=True, left_clicking=True, show_message=False, show_point=False
        )
        if len(self.names) > 1:
            self._slider = self.plotter.add_text_slider_widget(
                self.choose, data=self.names, value=self.names.index(self.shown), pointa=(0.5, 0.93),
                pointb=(0.95, 0.93), color=palette.INK, style="modern", interaction_event="always",
            )  # fmt: skip

    def step(self, by: int) -> None:
        """Show the array that is so many places further in the file."""
        self.choose(self.names[(self.names.index(self.shown) + by) % len(self.names)])

    def choose(self, name: str) -> None:
        """Show this array."""
        self.shown = name
        self._draw()
        if self._slider is not None:  # Chosen by key: the slider follows.
            self._slider.GetRepresentation().SetValue(self.names.index(name))
            self._slider.GetRepresentation().SetTitleText(name)
        self.plotter.render()

    def describe(self, element: int) -> str:
        """All values of an element, one a line."""
        center = self.file.vertices_mm[self.file.faces[element]].mean(axis=0)
        place = ", ".join(f"{x:.2f}" for x in center)
        lines = [f"element {element} at ({place}) mm"]
        layers = {name: self.file.layer(name) for name in self.names}
        lines += [f"{layer.title}: {layer.text(self.file.arrays[name][element])}" for name, layer in layers.items()]
        return "\n".join(lines)

    def heading(self, name: str) -> str:
        """What an array is, and how much of the surface to be inspected it says nothing of."""
        layer = self.file.layer(name)
        gaps = np.isnan(layer.values(self.file.arrays[name])) & self.file.inspected
        area = triangle_areas(self.file.vertices_mm[self.file.faces])
        share = float(area[gaps].sum() / max(area[self.file.inspected].sum(), 1e-300))
        return f"{layer.label}\ngrey: {layer.nothing}, {percent(share)}" if gaps.any() else layer.label

    def _draw(self) -> None:
        layer = self.file.layer(self.shown)
        values = layer.values(self.file.arrays[self.shown])
        low, high = layer.limits or ((0.0, 1.0) if layer.kind == "share" else _limits(values))
        colours: Any = palette.SCALE
        steps = 256
        if layer.kind in ("category", "label"):
            colours = list(layer.colours or palette.CATEGORIES)
            steps = len(colours)
            values, low, high = values % steps, -0.5, steps - 0.5
        elif layer.kind == "count":  # One colour a count.
            low, high = low - 0.5, high + 0.5
            steps = int(np.clip(high - low, 1, 256))
        named = dict(enumerate(layer.categories))
        if layer.kind == "count":
            whole = np.arange(low + 0.5, high, max(1, steps // 12))
            named = {int(count): f"{count:.0f}" for count in whole}
        self._mesh.cell_data["shown"] = values
        self.plotter.add_mesh(
            self._mesh, scalars="shown", name="surface", clim=(low, high), cmap=colours, n_colors=steps,
            annotations=named, nan_color=palette.NOTHING, smooth_shading=False, show_scalar_bar=False,
            reset_camera=False, copy_mesh=False,
        )  # fmt: skip
        for title in list(self.plotter.scalar_bars.keys()):
            self.plotter.remove_scalar_bar(title)
        if layer.kind != "label":  # Numbers of things have no place on a scale.
            self.plotter.add_scalar_bar(
                layer.unit, mapper=self.plotter.actors["surface"].mapper, color=palette.INK, vertical=True,
                position_x=0.92, position_y=0.25, width=0.03, height=0.5, title_font_size=14, label_font_size=14,
                n_labels=0 if named else 5, fmt="%.3g",
            )  # fmt: skip
        heading = self.heading(self.shown)
        self.plotter.add_text(heading, position="upper_left", font_size=11, color=palette.INK, name="heading")

    def _picked(self, _: NDArray[Any], picker: Any) -> None:
        element = int(picker.GetCellId())
        if element < 0:
            return
        text = self.describe(element)
        log.info("%s", text.replace("\n", "; "))
        # It grows upwards from here: headings stay free.
        self.plotter.add_text(
            text, position=(0.01, 0.05), viewport=True, font_size=9, color=palette.INK, name="picked"
        )  # fmt: skip


def _limits(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0
