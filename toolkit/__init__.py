"""viewcov: plan inspection views, measure what a segmentation model really finds, fuse views into 3D defects.

Public names are loaded when first used, so that ``import viewcov`` stays light.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
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

# Read rather than written again: what type checkers import is what the names stand for.
_HOME = {
    one.asname or one.name: (node.module, one.name)
    for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8")))
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("viewcov.")
    for one in node.names
}
"""Module of each public name, and what it is called there."""

__version__: str
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
        return getattr(importlib.import_module(module), there)
    if name == "__version__":
        from importlib.metadata import version

        return version("viewcov")
    raise AttributeError(f"module 'viewcov' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
