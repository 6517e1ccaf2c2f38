"""The pictures of a run, drawn from its result files, and the report that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from viewcov.coverage.effective.figures import EffectiveFigures, FusedFigures
from viewcov.coverage.geometric.figures import GeometricFigures
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_grey, read_mask
from viewcov.inspection.folder import InspectionFolder, read_predictions_card
from viewcov.inspection.planted import Truth
from viewcov.inspection.records import read_record, write_record
from viewcov.viewer import palette
from viewcov.viewer.charts import coverage_chart, pod_chart
from viewcov.viewer.compare import Side, agreement
from viewcov.viewer.figures import SIZE_PX
from viewcov.viewer.heatmaps import Look, heatmap, panel_size
from viewcov.viewer.image_sheets import SheetImage, image_sheet
from viewcov.viewer.markers import Marker
from viewcov.viewer.offscreen import WHOLE_PART, View, draw_views
from viewcov.viewer.plan_pictures import plan_picture
from viewcov.viewer.report.blocks import Picture
from viewcov.viewer.report.page import write_report
from viewcov.viewer.result_files import find_results
from viewcov.viewer.vtp import SurfaceFile, read_vtp
from viewcov.viewer.words import counted, number
from viewcov.workflows.summary import Summary, inspections_under, plan_under, summarise

_SHEET_VIEWS = 6
_BARE_THRESHOLD = 0.5
"""Of images of probabilities whose model is not known."""

_RINGS = {True: (palette.TRUE, "true"), False: (palette.FALSE, "false alarm"), None: (palette.REPORTED, "reported")}

Draw = tuple[Picture, Callable[[], None]]


def report_on(result: Path, out: Path | None = None, *, draw: bool = True, progress: bool = False) -> Path:
    """Write ``report.html`` for a demo, data set, inspection or any folder of results; gives its path.

    Parameters
    ----------
    out
        Where the page goes; ``report.html`` in the folder if not given. It holds its pictures; they are kept in
        ``pictures/`` beside it too.
    draw
        Whether to draw the pictures; otherwise those that are there are shown.

    Raises
    ------
    InputError
        If there are no results, or a file of them does not fit.
    """
    if result.is_file():
        find_results(result)
        result = result.parent
    stored = result / "summary.json"
    # A demo writes its own summary, with times and versions; elsewhere the results may be newer than the last one.
    own = (result / "demo.json").is_file() and stored.is_file()
    summary = read_record(stored, Summary) if own else summarise(result)
    page = out or result / "report.html"
    pictures = list(_pictures(result, page.parent / "pictures"))
    if draw:
        for picture, do in tqdm(pictures, desc="pictures", unit="picture", disable=not progress):
            do()
            assert Path(picture.path).is_file()
    if not own:
        write_record(stored, summary)
    write_report(page, summary, [picture for picture, _ in pictures])
    return page


def _pictures(root: Path, folder: Path) -> Iterator[Draw]:
    """Every picture that the results allow, with what draws it."""
    gallery = _Gallery(folder)
    first = {result.kind: result for result in reversed(find_results(root))}
    for result in reversed(first.values()):
        figures, mesh = result.figures(), read_vtp(result.vtp)
        try:
            if isinstance(figures, EffectiveFigures):
                yield from gallery.effective(mesh, figures)
            elif isinstance(figures, GeometricFigures):
                yield from gallery.geometric(mesh, figures)
                yield from gallery.plan(mesh, root)
            else:
                yield from gallery.fused(mesh, figures, inspections_under(root))
        except KeyError as error:
            raise InputError(
                result.vtp, "not the surface of the figures beside it", expected=f"{error} as there",
                found=", ".join(mesh.arrays), remedy="make both again with one command",
            ) from None  # fmt: skip


@dataclass(slots=True, eq=False)
class _Gallery:
    """Where pictures go, and the drawings of the surface that all of its heatmaps share."""

    folder: Path
    mesh: SurfaceFile | None = None
    views: tuple[View, ...] = ()

    def heatmap(self, mesh: SurfaceFile, side: Side, picture: Picture, markers: Sequence[Marker] = ()) -> Draw:
        """A picture of an array in its layer's words, and what draws it."""

        def draw() -> None:
            look = Look(views=self._views_of(mesh), markers=markers)
            heatmap(mesh, *side, picture.path, title=picture.title, look=look)

        return picture, draw

    def _views_of(self, mesh: SurfaceFile) -> tuple[View, ...]:
        if self.mesh is None or not self.mesh.is_same_surface(mesh):
            width, height = panel_size(SIZE_PX, len(WHOLE_PART))
            self.mesh, self.views = mesh, draw_views(mesh, WHOLE_PART, width_px=width, height_px=height)
        return self.views

    def plan(self, mesh: SurfaceFile, root: Path) -> Iterator[Draw]:
        """The cameras around the part, where the plan lies beside the results."""
        plan = plan_under(root)
        if plan is not None:
            path, title = self.folder / "plan.png", f"Plan of {counted(len(plan.viewpoints), 'viewpoint')}"
            caption = "Cameras with the directions of their frusta, coloured in the order of the route."
            yield (
                Picture(path=path, title=title, caption=caption, section="plan"),
                lambda: plan_picture(mesh, plan.viewpoints, plan.rig, path),
            )

    def geometric(self, mesh: SurfaceFile, figures: GeometricFigures) -> Iterator[Draw]:
        """What is covered, how often, what is lost, and what further views add."""
        words = {
            "rung": "The rungs of the ladder on the part: shares are those of the bars above.",
            "num_views": "How many views pass every geometric test.",
            "loss": "What the most promising view of each place fails by.",
            "covered_probability": "Share of the draws of pose noise in which each place is covered.",
        }
        for name, caption in words.items():
            if name in mesh.arrays:
                path = self.folder / f"geometric-{name.replace('_', '-')}.png"
                picture = Picture(path=path, title=mesh.layer(name).title, caption=caption, section="geometric")
                yield self.heatmap(mesh, mesh.side(name), picture)
        path, by_views = self.folder / "coverage-by-views.png", figures.coverage_by_views
        whole = figures.coverable_share
        curves = {
            "best view next": [0.0, *(whole * share for share in by_views.greedily)],
            "in the order of the route": [0.0, *(whole * share for share in by_views.in_order)],
        }
        yield (
            Picture(
                path=path, title="Covered with each further view", section="geometric",
                caption="What a part of the plan covers. Where the curve flattens, fewer views cost hardly any area.",
            ),
            lambda: coverage_chart(path, curves, coverable=whole),
        )  # fmt: skip

    def effective(self, mesh: SurfaceFile, figures: EffectiveFigures) -> Iterator[Draw]:
        """Probability of detection of each model on the part, where models differ, and by size of defect."""
        for k, (model, row) in enumerate(figures.models.items(), start=1):
            size, level = f"{number(row.pod_map.size_mm, 2)} mm", f"{row.pod_map.pod_threshold:g}"
            yield self.heatmap(
                mesh, mesh.side(f"state_{model}"),
                Picture(
                    path=self.folder / f"state-{k}.png", title=f"Where PoD reaches {level}, {model}",
                    section="effective", caption=f"Where a defect of {size} is found with a probability of at least "
                    f"{level}, by the hit/miss model fitted to the planted defects.",
                ),
            )  # fmt: skip
            yield self.heatmap(
                mesh, mesh.side(f"pod_{model}"),
                Picture(
                    path=self.folder / f"pod-{k}.png", title=f"Probability of detection (PoD), {model}",
                    section="effective", caption=f"Of a defect of {size} in the fused views, by the same model.",
                ),
            )  # fmt: skip
        if len(figures.models) > 1:
            first, last = list(figures.models)[:2]
            side = agreement(mesh.side(f"state_{first}"), mesh.side(f"state_{last}"), (first, last))
            picture = Picture(
                path=self.folder / "models.png", title=f"Where PoD reaches the level: {first} and {last}",
                caption="Where both models, only one, or neither reaches the level of the maps above.",
                section="effective",
            )  # fmt: skip
            yield self.heatmap(mesh, side, picture)
        path = self.folder / "pod-by-size.png"
        yield (
            Picture(
                path=path, title="Probability of detection by defect size", section="effective",
                caption="Mean over the surface that images show, by the hit/miss model fitted to the planted defects.",
            ),
            lambda: pod_chart(path, {name: row.pod_by_size for name, row in figures.models.items()}),
        )  # fmt: skip

    def fused(self, mesh: SurfaceFile, figures: FusedFigures, inspections: list[InspectionFolder]) -> Iterator[Draw]:
        """The defects that are reported, the truth where there is one, and some images."""
        rings = [_ring(one.id, one.center_mm, *_RINGS[one.true]) for one in figures.defects]
        title = f"Fused defect probability, {figures.inspection}, {figures.model}"
        caption = f"Evidence of all views by model {figures.model}, rule {figures.rule.replace('_', ' ')}."
        picture = Picture(path=self.folder / "fused.png", title=title, caption=caption, section="defects")
        yield self.heatmap(mesh, mesh.side(f"probability_{figures.rule}"), picture, rings)
        inspection = next((one for one in inspections if one.name == figures.inspection), None)
        if inspection is None:
            return
        if "true_share" in mesh.arrays and inspection.truth_path.is_file():
            hits = set(figures.rules[figures.rule].found_ids)
            looks = {True: (palette.TRUE, "found"), False: (palette.REPORTED, "missed")}
            planted = [
                _ring(one.id, one.center_mm, *looks[one.id in hits])
                for one in read_record(inspection.truth_path, Truth).defects
            ]
            yield self.heatmap(
                mesh, mesh.side("true_share"),
                Picture(
                    path=self.folder / "truth.png", title=f"Planted defects, {inspection.name}", section="defects",
                    caption=f"Share of each element that a planted defect covers; rings: found or missed by model "
                    f"{figures.model}.",
                ),
                planted,
            )  # fmt: skip
        yield _sheet(inspection, figures.model, self.folder)


def _ring(number: int, center_mm: object, colour: str, meaning: str) -> Marker:
    return Marker(point_mm=np.asarray(center_mm, dtype=np.float64), label=str(number), colour=colour, meaning=meaning)


def _sheet(inspection: InspectionFolder, model: str, folder: Path) -> Draw:
    """The views with the most to see: most defect pixels, or most predicted ones where there is no truth."""
    path = folder / "views.png"
    views = [view.id for view in inspection.plan().viewpoints]
    known = any(inspection.mask_path(view).is_file() for view in views)
    card = read_predictions_card(inspection, model)

    def draw() -> None:
        images = []
        for view in views:
            files = inspection.image_path(view), inspection.prediction_path(model, view)
            mask = inspection.mask_path(view)
            if all(file.is_file() for file in files):
                image, probability = map(read_grey, files)
                truth = read_mask(mask) if mask.is_file() else None
                images.append(SheetImage(title=view, image=image, probability=probability, mask=truth))
        images.sort(key=lambda one: -float((one.probability if one.mask is None else one.mask).sum()))  # type: ignore[union-attr]
        threshold = card.threshold if card else _BARE_THRESHOLD
        title = f"Views of {inspection.name} with predictions of model {model}"
        image_sheet(images[:_SHEET_VIEWS], path, title=title, threshold=threshold)

    said = "most defect pixels: outlines where a defect truly is, tint" if known else "most predicted pixels: tint"
    return (
        Picture(
            path=path, section="segmentation",
            title="Images, truth and prediction" if known else "Images and prediction",
            caption=f"The views with the {said} where the probability of model {model} reaches its threshold.",
        ),
        draw,
    )  # fmt: skip
