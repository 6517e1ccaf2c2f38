"""Tutorial 1: where must the camera go to see a part? Makes tutorial/plan.json. About half a minute.

python -P examples/01_plan_a_part.py [FOLDER]
"""

import sys
from pathlib import Path

import trimesh

import viewcov
from viewcov.coverage.ladder import LOSSES

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tutorial")
folder.mkdir(exist_ok=True)

# A part is a file: STEP, STL, OBJ, PLY, OFF or GLB. This one is a ring of 30 mm. STL has no unit, so we say it.
trimesh.creation.annulus(r_min=9, r_max=15, height=8, sections=64).export(folder / "ring.stl")
part = viewcov.load_part(folder / "ring.stl", units="mm")

# A rig is camera, ring light and what is asked of a view. Three come with the package; your own is a TOML file.
rig = viewcov.load_rig("paper-quarter")
camera, limits = rig.camera, rig.requirements
print(f"{camera.width_px} x {camera.height_px} px; a pixel at most {limits.max_mm_per_px:.3f} mm on the part")

# The best ten views. With PlanningOptions(coverage=0.99) instead: as many views as 99 % of the coverable area takes.
# Few candidates and no proof make this quick; leave these options out for a plan that is to be carried out.
options = viewcov.PlanningOptions(num_views=10, num_candidates=100, refine=0, max_nodes=0, seed=0)
plan = viewcov.plan_views(part, rig, options=options).write(folder / "plan.json")
for view in plan.viewpoints:
    x, y, z = view.center_mm
    print(f"{view.id}: camera at {x:7.1f} {y:7.1f} {z:7.1f} mm")

# What the plan covers, and what happens to the rest. The same for any plan, also one that another program made.
figures = viewcov.evaluate_plan(viewcov.read_plan(folder / "plan.json")).figures()
print(f"inspected  {figures.inspected_area_mm2:8.1f} mm2")
print(f"coverable  {figures.coverable_area_mm2:8.1f} mm2 {figures.coverable_share:6.1%} of the inspected area")
print(f"covered    {figures.covered_area_mm2:8.1f} mm2 {figures.covered_share:6.1%} of the inspected area")
for loss, area in figures.uncovered.items():
    if area > 0:
        print(f"  lost     {area:8.1f} mm2: {LOSSES[loss]}")
print(f"next: python -P examples/02_inspect_one_part.py {folder}")
