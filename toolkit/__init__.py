"""viewcov: plan inspection views, measure what a segmentation model really finds, fuse views into 3D defects.

Public names are loaded when first used, so that ``import viewcov`` stays light.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from viewcov.coverage.effective.cover import cover_inspections as cover
    from viewcov.coverage.effective.fuse import fuse_inspection as fuse
    from viewcov.coverage.effective.options import CalibrateOptions, CoverOptions, FuseOptions
    from viewcov.coverage.geometric.evaluation import evaluate_viewpoints
    from viewcov.inspection.check import check_path as check
    from viewcov.inspection.errors import InputError, MissingExtraError, ViewcovError
    from viewcov.inspection.folder import Dataset, InspectionFolder, joined, open_inspections, read_dataset
    from viewcov.inspection.loading.part_files import load_part
    from viewcov.inspection.mesh.part import Part
    from viewcov.inspection.mesh.surface import Surface, cut_surface
    from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
    from viewcov.inspection.rig.camera import Camera
    from viewcov.inspection.rig.requirements import Requirements
    from viewcov.inspection.rig.rig import Rig, load_rig
    from viewcov.inspection.rig.ringlight import RingLight
    from viewcov.inspection.viewpoint import Viewpoint
    from viewcov.planning.exchange.plans import export_plan, import_viewpoints
    from viewcov.planning.options import PlanningOptions
    from viewcov.planning.plan_evaluation import evaluate_plan
    from viewcov.planning.planner import plan_views
    from viewcov.planning.route.reorder import reordered as route
    from viewcov.segmentation.models import load_model
    from viewcov.segmentation.options import PredictionOptions, TestOptions, TrainingOptions
    from viewcov.segmentation.prediction import predict_inspection
    from viewcov.segmentation.prediction import predict_inspection as predict
    from viewcov.segmentation.training import train_model
    from viewcov.synthesis.dataset import synthesize
    from viewcov.synthesis.options import SynthesisOptions
    from viewcov.viewer.compare import compare
    from viewcov.viewer.window import show as view
    from viewcov.workflows.calibrate import calibrate
    from viewcov.workflows.calibrate import measured_on_split as test
    from viewcov.workflows.calibrate import train_and_calibrate as train
    from viewcov.workflows.convert import ConvertOptions
    from viewcov.workflows.convert import convert_file as convert
    from viewcov.workflows.demo import DemoOptions
    from viewcov.workflows.demo import run_demo as demo
    from viewcov.workflows.gallery import report_on as report

_HOME = {
    "CalibrateOptions": "coverage.effective.options",
    "Camera": "inspection.rig.camera",
    "ConvertOptions": "workflows.convert",
    "CoverOptions": "coverage.effective.options",
    "Dataset": "inspection.folder",
    "DemoOptions": "workflows.demo",
    "FuseOptions": "coverage.effective.options",
    "InputError": "inspection.errors",
    "InspectionFolder": "inspection.folder",
    "InspectionPlan": "inspection.plan",
    "MissingExtraError": "inspection.errors",
    "Part": "inspection.mesh.part",
    "PlanningOptions": "planning.options",
    "PredictionOptions": "segmentation.options",
    "Requirements": "inspection.rig.requirements",
    "Rig": "inspection.rig.rig",
    "RingLight": "inspection.rig.ringlight",
    "Surface": "inspection.mesh.surface",
    "SynthesisOptions": "synthesis.options",
    "TestOptions": "segmentation.options",
    "TrainingOptions": "segmentation.options",
    "ViewcovError": "inspection.errors",
    "Viewpoint": "inspection.viewpoint",
    "calibrate": "workflows.calibrate",
    "check": "inspection.check:check_path",
    "compare": "viewer.compare",
    "convert": "workflows.convert:convert_file",
    "cover": "coverage.effective.cover:cover_inspections",
    "cut_surface": "inspection.mesh.surface",
    "demo": "workflows.demo:run_demo",
    "evaluate_plan": "planning.plan_evaluation",
    "evaluate_viewpoints": "coverage.geometric.evaluation",
    "export_plan": "planning.exchange.plans",
    "fuse": "coverage.effective.fuse:fuse_inspection",
    "import_viewpoints": "planning.exchange.plans",
    "joined": "inspection.folder",
    "load_model": "segmentation.models",
    "load_part": "inspection.loading.part_files",
    "load_rig": "inspection.rig.rig",
    "open_inspections": "inspection.folder",
    "plan_views": "planning.planner",
    "predict": "segmentation.prediction:predict_inspection",
    "predict_inspection": "segmentation.prediction",
    "read_dataset": "inspection.folder",
    "read_plan": "inspection.plan",
    "report": "workflows.gallery:report_on",
    "route": "planning.route.reorder:reordered",
    "synthesize": "synthesis.dataset",
    "test": "workflows.calibrate:measured_on_split",
    "train": "workflows.calibrate:train_and_calibrate",
    "train_model": "segmentation.training",
    "view": "viewer.window:show",
    "write_plan": "inspection.plan",
}
"""Where each public name lives, and what it is called there if otherwise."""

__version__ = _version("viewcov")
__all__ = [
    "CalibrateOptions",
    "Camera",
    "ConvertOptions",
    "CoverOptions",
    "Dataset",
    "DemoOptions",
    "FuseOptions",
    "InputError",
    "InspectionFolder",
    "InspectionPlan",
    "MissingExtraError",
    "Part",
    "PlanningOptions",
    "PredictionOptions",
    "Requirements",
    "Rig",
    "RingLight",
    "Surface",
    "SynthesisOptions",
    "TestOptions",
    "TrainingOptions",
    "ViewcovError",
    "Viewpoint",
    "__version__",
    "calibrate",
    "check",
    "compare",
    "convert",
    "cover",
    "cut_surface",
    "demo",
    "evaluate_plan",
    "evaluate_viewpoints",
    "export_plan",
    "fuse",
    "import_viewpoints",
    "joined",
    "load_model",
    "load_part",
    "load_rig",
    "open_inspections",
    "plan_views",
    "predict",
    "predict_inspection",
    "read_dataset",
    "read_plan",
    "report",
    "route",
    "synthesize",
    "test",
    "train",
    "train_model",
    "view",
    "write_plan",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        module, _, there = _HOME[name].partition(":")
        return getattr(importlib.import_module(f"viewcov.{module}"), there or name)
    raise AttributeError(f"module 'viewcov' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
