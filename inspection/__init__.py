"""The nouns: Part, Surface, Camera, RingLight, Rig, Viewpoint, InspectionPlan; files; errors."""

from viewcov.inspection.camera import Camera
from viewcov.inspection.errors import InputError, MissingExtraError, ViewcovError
from viewcov.inspection.fixture import Fixture
from viewcov.inspection.folder import Dataset, InspectionFolder, open_inspections, read_dataset
from viewcov.inspection.material import Material
from viewcov.inspection.part import Finding, Part, PartSource
from viewcov.inspection.part_files import DEFAULT_PART, load_part
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.requirements import Requirements
from viewcov.inspection.rig import Body, Rig, load_rig
from viewcov.inspection.ringlight import RingLight
from viewcov.inspection.surface import Surface, cut_surface
from viewcov.inspection.viewpoint import Viewpoint

__all__ = [
    "DEFAULT_PART",
    "Body",
    "Camera",
    "Dataset",
    "Finding",
    "Fixture",
    "InputError",
    "InspectionFolder",
    "InspectionPlan",
    "Material",
    "MissingExtraError",
    "Part",
    "PartSource",
    "Requirements",
    "Rig",
    "RingLight",
    "Surface",
    "ViewcovError",
    "Viewpoint",
    "cut_surface",
    "load_part",
    "load_rig",
    "open_inspections",
    "read_dataset",
    "read_plan",
    "write_plan",
]
