"""Tutorial 2: from the images of one part to its defects in 3D. Needs tutorial 1 and all extras. About a minute.

python -P examples/02_inspect_one_part.py [FOLDER]
"""

import sys
from pathlib import Path

import viewcov

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tutorial")
plan = viewcov.read_plan(folder / "plan.json")

# An inspection is a folder with plan.json and images/VIEW.png, one image a viewpoint. Your camera fills it. Here the
# twin does: it renders rings with dents and scratches, and keeps beside, in truth.json, where they are. One ring is for
# setting thresholds (validation), one for measuring (test).
options = viewcov.SynthesisOptions(instances=2, defects=(12, 12), split=(0, 0.5, 0.5), samples=8, seed=1)
twin = viewcov.synthesize(plan, folder / "twin", options)
inspection = twin.inspections("test")[0]
print("images:", *sorted(path.name for path in (inspection.root / "images").iterdir()))

# A model gives each pixel a probability of being defective: predictions/MODEL/VIEW.png, 16 bits.
viewcov.predict(viewcov.load_model("stack"), inspection)

# All views together on the surface: one probability an element of the surface, and connected ones are a defect.
fused = viewcov.fuse(inspection, "stack")
print(f"{len(fused.figures.defects)} defects found where {len(fused.truth.defects)} were planted")
for defect in fused.figures.defects:
    x, y, z = defect.center_mm
    verdict = {True: "true", False: "a false alarm", None: "unknown"}[defect.true]
    print(f"  {x:6.1f} {y:6.1f} {z:6.1f} mm, {defect.area_mm2:5.2f} mm2, {verdict}, seen by {', '.join(defect.views)}")

# Where nothing is known the probability is NaN: no image shows that element. It does not mean that it is clean.
probability = fused.probability[fused.rule]
print(f"{(probability != probability).sum()} of {len(probability)} elements are in no image")
print(f"next: python -P examples/03_compare_two_models.py {folder}")
