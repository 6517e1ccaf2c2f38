"""The pictures of a run, drawn from its result files, and the report that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from viewcov.inspection.files import finite, inside, read_grey, read_json, read_mask, write_json
from viewcov.inspection.folder import InspectionFolder
from viewcov.viewer.charts import PodCurve, coverage_chart, pod_chart
from viewcov.viewer.heatmaps import heatmap, panel_size
from viewcov.viewer.image_sheets import SheetImage, image_sheet
from viewcov.viewer.markers import Marker, marker
from viewcov.viewer.offscreen import WHOLE_PART, View, draw_views
from viewcov.viewer.plan_pictures import plan_picture
from viewcov.viewer.report.page import Picture, write_report
from viewcov.viewer.vtp import SurfaceFile, read_vtp
from viewcov.workflows.summary import inspections_under, plan_under, summarise

_SIZE = (1600, 800)
_SHEET_VIEWS = 6
_FOUND, _FALSE, _MISSED = "#1f8a70", "#d11f5a", "#3b6fb6"
_REASONS = ("out of frame", "too steep", "occluded", "out of focus", "too coarse", "unlit", "exposure", "inspected")

Draw = tuple[Picture, Callable[[], None]]


def report_on(result: Path, out: Path | None = None, *, draw: bool = True, progress: bool = False) -> Path:
    """Write ``report.html`` and its pictures for a demo folder, data set or inspection; gives its path.

    Parameters
    ----------
    result
        Folder with results.
    out
        Where the page goes; ``report.html`` in the folder if not given. Pictures go to ``pictures/`` beside it.
    draw
        Whether to draw the pictures; otherwise those that are there are shown.

    Raises
    ------
    InputError
        If there are no results.
    """
    stored = result / "summary.json"
    # A demo writes its own summary, with times and versions; elsewhere the results may be newer than the last one.
    own = (result / "demo.json").is_file() and stored.is_file()
    summary = read_json(stored) if own else finite(summarise(result))
    page = out or result / "report.html"
    pictures = list(_pictures(result, summary, page.parent / "pictures"))
    if draw:
        for picture, do in tqdm(pictures, desc="pictures", unit="picture", disable=not progress):
            do()
            assert Path(picture.path).is_file()
    if not own:
        write_json(stored, summary)
    write_report(page, summary, [picture for picture, _ in pictures])
    return page


def _pictures(root: Path, summary: Mapping[str, Any], folder: Path) -> Iterator[Draw]:
    """Every picture that the results allow, with what draws it."""
    folder.mkdir(parents=True, exist_ok=True)
    views = _ViewsOf()
    results = root / "results"
    if (results / "geometric.vtp").is_file():
        yield from _geometric(results / "geometric.vtp", summary, plan_under(root), folder, views)
    if (results / "effective.vtp").is_file():
        yield from _effective(results / "effective.vtp", summary, folder, views)
    models = list(summary.get("fusion", {}))
    if models:
        shown = inspections_under(root)[0]
        yield from _fused(shown, models[-1], summary["rule"], folder, views)
        yield _sheet(shown, models[-1], folder)


class _ViewsOf:
    """Drawings of surfaces, kept, because every heatmap of one surface shares them."""

    def __init__(self) -> None:
        self._mesh: SurfaceFile | None = None
        self._views: tuple[View, ...] = ()

    def heatmap(self, mesh: SurfaceFile, values: ArrayLike, path: Path, **options: Any) -> Callable[[], None]:
        """What draws a heatmap, to be called when it is wanted."""

        def draw() -> None:
            heatmap(mesh, values, path, views=self._of(mesh), **options)

        return draw

    def _of(self, mesh: SurfaceFile) -> tuple[View, ...]:
        known = self._mesh
        if known is None or not (
            np.array_equal(known.faces, mesh.faces) and np.array_equal(known.vertices_mm, mesh.vertices_mm)
        ):
            width, height = panel_size(_SIZE, len(WHOLE_PART))
            self._mesh, self._views = mesh, draw_views(mesh, WHOLE_PART, width_px=width, height_px=height)
        return self._views


def _geometric(vtp: Path, summary: Mapping[str, Any], plan: Any, folder: Path, views: _ViewsOf) -> Iterator[Draw]:
    mesh = read_vtp(vtp)
    num = len(plan.viewpoints)
    yield (
        Picture(
            path=folder / "plan.png", title=f"{num} viewpoints and the route through them", section="plan",
            caption="Cameras with the directions of their frusta, coloured in the order of the route.",
        ),
        lambda: plan_picture(mesh, plan.viewpoints, plan.rig, folder / "plan.png", title=f"Plan: {num} viewpoints"),
    )  # fmt: skip
    seen = mesh.arrays["num_views"].astype(float)
    seen[seen == 0] = np.nan
    yield (
        Picture(
            path=folder / "geometric-coverage.png", title="Views that inspect each element", section="geometric",
            caption="How many views pass every geometric test. Hatched grey: none does.",
        ),
        views.heatmap(
            mesh, seen, folder / "geometric-coverage.png", title="Geometric coverage", label="views per element",
            kind="count",
        ),
    )  # fmt: skip
    yield (
        Picture(
            path=folder / "geometric-reasons.png", title="Why the rest is not inspected", section="geometric",
            caption="The test that the most promising view of each element failed.",
        ),
        views.heatmap(
            mesh, mesh.arrays["tests_passed"], folder / "geometric-reasons.png",
            title="Which test fails where no view inspects", label="most promising view", kind="categories",
            categories=_REASONS,
            colours=("#7a5fc0", "#c8504b", "#3a3f4a", "#3b6fb6", "#64b5e6", "#e0903a", "#d9c84a", "#cfe6d8"),
        ),
    )  # fmt: skip
    by_views = summary["geometric"]["coverage_by_views"]
    curves = {
        "best view next": [0.0, *by_views["greedily"]],
        "in the order of the route": [0.0, *by_views["in_order"]],
    }
    yield (
        Picture(
            path=folder / "coverage-by-views.png", title="Coverage against the number of views", section="geometric",
            caption="What a part of the plan covers. The last views add little: where the curve flattens, fewer views "
            "cost hardly any area.",
        ),
        lambda: coverage_chart(folder / "coverage-by-views.png", curves),
    )  # fmt: skip
    if "covered_probability" in mesh.arrays:
        path = folder / "covered-probability.png"
        yield (
            Picture(
                path=path, title="Coverage under pose noise", section="geometric",
                caption="Share of the draws in which each element is covered.",
            ),
            views.heatmap(
                mesh, mesh.arrays["covered_probability"], path, limits=(0.0, 1.0), title="Coverage under pose noise",
                label="share of draws",
            ),
        )  # fmt: skip


def _effective(vtp: Path, summary: Mapping[str, Any], folder: Path, views: _ViewsOf) -> Iterator[Draw]:
    mesh = read_vtp(vtp)
    effective = summary["effective"]
    for model, row in effective["variants"].items():
        size = f"{row['reference_size_mm']:.1f} mm"
        state, pod = inside(folder, f"effective-{model}.png"), inside(folder, f"pod-{model}.png")
        yield (
            Picture(
                path=state, title=f"Effective coverage, {model}", section="effective",
                caption=f"Where a defect of {size} is found with a probability of at least one half, by the hit/miss "
                "model fitted to the planted defects. Visible in no view: unseen.",
            ),
            views.heatmap(
                mesh, mesh.arrays[f"state_{model}"].astype(float), state, kind="states",
                title=f"Effective visual coverage, model {model!r}", label=f"defect of {size}",
            ),
        )  # fmt: skip
        yield (
            Picture(
                path=pod, title=f"Probability of detection, {model}", section="effective",
                caption=f"Modelled probability that a defect of {size} at each element is found in the fused views.",
            ),
            views.heatmap(
                mesh, mesh.arrays[f"pod_{model}"], pod, limits=(0.0, 1.0),
                title=f"Probability of detection, model {model!r}", label=f"PoD of {size} (1)",
            ),
        )  # fmt: skip
    curves = [
        PodCurve(name=name, size_mm=[mm for mm, _ in row["pod_by_size"]], pod=[pod for _, pod in row["pod_by_size"]])
        for name, row in effective["variants"].items()
    ]
    yield (
        Picture(
            path=folder / "pod-by-size.png", title="Probability of detection by defect size", section="effective",
            caption="Mean over the visible surface, by the hit/miss model fitted to the planted defects.",
        ),
        lambda: pod_chart(folder / "pod-by-size.png", curves),
    )  # fmt: skip


def _fused(inspection: InspectionFolder, model: str, rule: str, folder: Path, views: _ViewsOf) -> Iterator[Draw]:
    mesh = read_vtp(inspection.results_of(model) / "fused.vtp")
    figures = read_json(inspection.results_of(model) / "fused.json")
    looks = {True: (_FOUND, "true"), False: (_FALSE, "false alarm"), None: (_MISSED, "reported defect")}
    found = [_ring(one, *looks[one["true"]]) for one in figures["defects"]]
    path = folder / "fused.png"
    yield (
        Picture(
            path=path, title=f"Fused defect probability, {inspection.name}", section="defects",
            caption=f"Evidence of all views by model {model!r}, rule {rule.replace('_', ' ')}.",
        ),
        views.heatmap(
            mesh, mesh.arrays[f"probability_{rule}"], path, limits=(0.0, 1.0), markers=found,
            title=f"Fused defect probability, {inspection.name}, model {model!r}",
            label="defect probability (1)",
        ),
    )  # fmt: skip
    if "true_share" not in mesh.arrays:
        return
    truth = read_json(inspection.truth_path)["defects"]
    hits = set(figures["rules"][rule]["found_ids"])
    looks = {True: (_FOUND, "found"), False: (_MISSED, "missed")}
    planted = [_ring(one, *looks[one["id"] in hits]) for one in truth]
    yield (
        Picture(
            path=folder / "truth.png", title=f"Planted defects, {inspection.name}", section="defects",
            caption="Share of each element that a planted defect covers.",
        ),
        views.heatmap(
            mesh, mesh.arrays["true_share"], folder / "truth.png", limits=(0.0, 1.0),
            markers=planted, title=f"Planted defects, {inspection.name}",
            label="covered share (1)",
        ),
    )  # fmt: skip


def _ring(defect: Mapping[str, Any], colour: str, meaning: str) -> Marker:
    return marker(defect["center_mm"], str(defect["id"]), colour=colour, meaning=meaning)


def _sheet(inspection: InspectionFolder, model: str, folder: Path) -> Draw:
    """The views with the most to see: most defect pixels, or most predicted ones where there is no truth."""
    path = folder / "views.png"

    def draw() -> None:
        images = []
        for view in inspection.plan().viewpoints:
            mask = inspection.mask_path(view.id)
            images.append(
                SheetImage(
                    title=view.id,
                    image=read_grey(inspection.image_path(view.id)),
                    probability=read_grey(inspection.prediction_path(model, view.id)),
                    mask=read_mask(mask) if mask.is_file() else None,
                )
            )
        images.sort(key=lambda one: -float((one.probability if one.mask is None else one.mask).sum()))  # type: ignore[union-attr]
        threshold = read_json(inspection.prediction_path(model, "x").with_name("model.json"))["threshold"]
        image_sheet(
            images[:_SHEET_VIEWS], path, title=f"Views of {inspection.name} with predictions of model {model!r}",
            threshold=threshold,
        )  # fmt: skip

    return (
        Picture(
            path=path, title="Images, truth and prediction", section="segmentation",
            caption="The views that show most defect pixels: outlines of planted defects, tint where the model's "
            "probability reaches its threshold.",
        ),
        draw,
    )  # fmt: skip
