"""The nouns: Part, Surface, Camera, RingLight, Rig, Viewpoint, InspectionPlan; files; errors."""

from viewcov.inspection.errors import InputError, MissingExtraError, ViewcovError
from viewcov.inspection.folder import Dataset, InspectionFolder, open_inspections, read_dataset
from viewcov.inspection.loading.part_files import DEFAULT_PART, load_part
from viewcov.inspection.mesh.part import Finding, Part, PartSource
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.plan import InspectionPlan, read_plan, write_plan
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.fixture import Fixture
from viewcov.inspection.rig.material import Material
from viewcov.inspection.rig.requirements import Requirements
from viewcov.inspection.rig.rig import Body, Rig, load_rig
from viewcov.inspection.rig.ringlight import RingLight
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
