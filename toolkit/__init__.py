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
    from viewcov.inspection.folder import Dataset, InspectionFolder, open_inspections, read_dataset
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
    from viewcov.planning.kept_pool import KnownCandidates
    from viewcov.planning.options import EvaluationOptions, PlanningOptions, RouteOptions
    from viewcov.planning.plan_evaluation import evaluate_plan
    from viewcov.planning.planner import plan_views
    from viewcov.planning.route.reorder import reordered as route
    from viewcov.segmentation.datasets import open_data
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
    from viewcov.workflows.calibrate import measure_model as test
    from viewcov.workflows.calibrate import train_and_calibrate as train
    from viewcov.workflows.convert import ConvertOptions
    from viewcov.workflows.convert import convert_file as convert
    from viewcov.workflows.demo import DemoOptions
    from viewcov.workflows.demo import run_demo as demo
    from viewcov.workflows.gallery import report_on as report

_MODULES = {
    "coverage.effective.cover": "cover=cover_inspections",
    "coverage.effective.fuse": "fuse=fuse_inspection",
    "coverage.effective.options": "CalibrateOptions CoverOptions FuseOptions",
    "coverage.geometric.evaluation": "evaluate_viewpoints",
    "inspection.check": "check=check_path",
    "inspection.errors": "InputError MissingExtraError ViewcovError",
    "inspection.folder": "Dataset InspectionFolder open_inspections read_dataset",
    "inspection.loading.part_files": "load_part",
    "inspection.mesh.part": "Part",
    "inspection.mesh.surface": "Surface cut_surface",
    "inspection.plan": "InspectionPlan read_plan write_plan",
    "inspection.rig.camera": "Camera",
    "inspection.rig.requirements": "Requirements",
    "inspection.rig.rig": "Rig load_rig",
    "inspection.rig.ringlight": "RingLight",
    "inspection.viewpoint": "Viewpoint",
    "planning.exchange.plans": "export_plan import_viewpoints",
    "planning.kept_pool": "KnownCandidates",
    "planning.options": "EvaluationOptions PlanningOptions RouteOptions",
    "planning.plan_evaluation": "evaluate_plan",
    "planning.planner": "plan_views",
    "planning.route.reorder": "route=reordered",
    "segmentation.datasets": "open_data",
    "segmentation.models": "load_model",
    "segmentation.options": "PredictionOptions TestOptions TrainingOptions",
    "segmentation.prediction": "predict=predict_inspection predict_inspection",
    "segmentation.training": "train_model",
    "synthesis.dataset": "synthesize",
    "synthesis.options": "SynthesisOptions",
    "viewer.compare": "compare",
    "viewer.window": "view=show",
    "workflows.calibrate": "calibrate test=measure_model train=train_and_calibrate",
    "workflows.convert": "ConvertOptions convert=convert_file",
    "workflows.demo": "DemoOptions demo=run_demo",
    "workflows.gallery": "report=report_on",
}
"""The public names in each module, and what they are called there if otherwise."""

_HOME = {
    name.partition("=")[0]: (module, name.rpartition("=")[2])
    for module, names in _MODULES.items()
    for name in names.split()
}

__version__ = _version("viewcov")
__all__ = [
    "CalibrateOptions", "Camera", "ConvertOptions", "CoverOptions", "Dataset", "DemoOptions", "EvaluationOptions",
    "FuseOptions", "InputError", "InspectionFolder", "InspectionPlan", "KnownCandidates", "MissingExtraError", "Part",
    "PlanningOptions", "PredictionOptions", "Requirements", "Rig", "RingLight", "RouteOptions", "Surface",
    "SynthesisOptions", "TestOptions", "TrainingOptions", "ViewcovError", "Viewpoint", "__version__", "calibrate",
    "check", "compare", "convert", "cover", "cut_surface", "demo", "evaluate_plan", "evaluate_viewpoints",
    "export_plan", "fuse", "import_viewpoints", "load_model", "load_part", "load_rig", "open_data",
    "open_inspections", "plan_views", "predict", "predict_inspection", "read_dataset", "read_plan", "report",
    "route", "synthesize", "test", "train", "train_model", "view", "write_plan",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        module, there = _HOME[name]
        return getattr(importlib.import_module(f"viewcov.{module}"), there)
    raise AttributeError(f"module 'viewcov' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
