"""Tutorial 4: images, poses and a model from elsewhere. Needs tutorial 2 for images; no PyTorch. Some seconds.

python -P examples/04_bring_your_own_images.py [FOLDER]
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import median_filter

import viewcov
from viewcov.inspection.files import read_grey, write_grey
from viewcov.planning.exchange.plans import plan_from_views

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tutorial")
twin = viewcov.read_dataset(folder / "twin")


def my_model(image: np.ndarray) -> np.ndarray:
    """Probability of a defect at each pixel, in [0, 1]; here: how much it differs from its surroundings."""
    return np.clip(4 * np.abs(image - median_filter(image, size=15)), 0, 1)


# Poses come as COLMAP, nerfstudio, BOP, ROS, CSV or XLSX. To have some, the plan's are written as CSV.
viewcov.export_plan(viewcov.read_plan(folder / "plan.json"), folder / "poses.csv", to="csv")
views = viewcov.import_viewpoints(folder / "poses.csv")

# An inspection is the poses, the part and the rig as plan.json, and the images under the names of the poses.
part = viewcov.load_part(folder / "ring.stl", units="mm")
plan = plan_from_views(views, part, viewcov.load_rig("paper-quarter"), source="poses.csv")
mine = viewcov.InspectionFolder(folder / "mine")
viewcov.write_plan(mine.plan_path, plan)
shutil.copytree(twin.inspections("test")[0].root / "images", mine.root / "images", dirs_exist_ok=True)

# Any model will do that writes its probabilities as 16-bit images: predictions/NAME/VIEW.png.
for inspection in (mine, *twin.inspections()):
    for view in plan.viewpoints:
        probability = my_model(read_grey(inspection.image_path(view.id)))
        write_grey(inspection.prediction_path("contrast", view.id), probability, bits=16)

# With a threshold of your choice this is all that it takes to have 3D defects.
chosen = viewcov.fuse(mine, "contrast", viewcov.FuseOptions(rule="mean", threshold=0.2))
print(len(chosen.defects), "defects with a threshold of 0.2")

# Inspections with known defects give thresholds (validation), and tell what the model finds (test).
calibration, file = viewcov.calibrate("contrast", twin)
print(f"calibrated on {', '.join(calibration.inspections)}: {file}")
calibrated = viewcov.fuse(mine, "contrast", viewcov.FuseOptions(calibration=(file,)))
print(len(calibrated.defects), "defects with calibrated thresholds")
row = viewcov.cover(twin, ["contrast"]).figures.models["contrast"]
print(f"effective coverage {row.effective_coverage:.1%} [{row.interval.low:.1%}, {row.interval.high:.1%}]")
print(f"false alarms a part: {row.false_alarms.per_part:.1f}")
