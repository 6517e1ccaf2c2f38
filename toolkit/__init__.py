"""viewcov: plan inspection views, measure what a segmentation model really finds, fuse views into 3D defects.

Public names are loaded when first used, so that ``import viewcov`` stays light.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from viewcov.coverage.geometric.evaluation import evaluate_viewpoints
    from viewcov.inspection.errors import InputError, MissingExtraError, ViewcovError
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
    from viewcov.planning.planner import plan_views
    from viewcov.segmentation.models import load_model
    from viewcov.segmentation.prediction import predict_inspection
    from viewcov.segmentation.training import train_model
    from viewcov.synthesis.dataset import synthesize
    from viewcov.synthesis.options import SynthesisOptions

_HOME = {
    "Camera": "inspection.rig.camera",
    "InputError": "inspection.errors",
    "InspectionPlan": "inspection.plan",
    "MissingExtraError": "inspection.errors",
    "Part": "inspection.mesh.part",
    "PlanningOptions": "planning.options",
    "Requirements": "inspection.rig.requirements",
    "Rig": "inspection.rig.rig",
    "RingLight": "inspection.rig.ringlight",
    "Surface": "inspection.mesh.surface",
    "ViewcovError": "inspection.errors",
    "Viewpoint": "inspection.viewpoint",
    "cut_surface": "inspection.mesh.surface",
    "evaluate_viewpoints": "coverage.geometric.evaluation",
    "export_plan": "planning.exchange.plans",
    "import_viewpoints": "planning.exchange.plans",
    "load_model": "segmentation.models",
    "load_part": "inspection.loading.part_files",
    "load_rig": "inspection.rig.rig",
    "plan_views": "planning.planner",
    "predict_inspection": "segmentation.prediction",
    "read_plan": "inspection.plan",
    "SynthesisOptions": "synthesis.options",
    "synthesize": "synthesis.dataset",
    "train_model": "segmentation.training",
    "write_plan": "inspection.plan",
}

__version__ = _version("viewcov")
__all__ = [
    "Camera",
    "InputError",
    "InspectionPlan",
    "MissingExtraError",
    "Part",
    "PlanningOptions",
    "Requirements",
    "Rig",
    "RingLight",
    "Surface",
    "SynthesisOptions",
    "ViewcovError",
    "Viewpoint",
    "__version__",
    "cut_surface",
    "evaluate_viewpoints",
    "export_plan",
    "import_viewpoints",
    "load_model",
    "load_part",
    "load_rig",
    "plan_views",
    "predict_inspection",
    "read_plan",
    "synthesize",
    "train_model",
    "write_plan",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"viewcov.{_HOME[name]}"), name)
    raise AttributeError(f"module 'viewcov' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
