"""Tutorial 3: which of two models finds more on this part? Needs tutorial 2. About a minute.

python -P examples/03_compare_two_models.py [FOLDER]
"""

import sys
from pathlib import Path

import viewcov

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tutorial")
twin = viewcov.read_dataset(folder / "twin")

# Two models that come with the package: one sees the image, the other also sees it with longer exposures. A model of
# your own is a folder that `viewcov train` made. What was predicted before is not predicted again.
for name in ("plain", "stack"):
    model = viewcov.load_model(name)
    for inspection in twin.inspections("test"):
        viewcov.predict(model, inspection)

# Effective coverage: the share of the inspected area on which the model finds planted defects in the fused views. With
# twelve defects on one ring the intervals are wide; a study has hundreds of defects on several parts.
figures = viewcov.cover(twin, ["plain", "stack"], viewcov.CoverOptions(split="test", seed=0)).figures
for name, row in figures.models.items():
    low, high = row.interval.low, row.interval.high
    alarms = row.false_alarms.per_part
    print(f"{name:6} {row.effective_coverage:6.1%} [{low:.1%}, {high:.1%}], {alarms:.1f} false alarms a part")

# The same defects were shown to both, so that the difference is taken defect by defect.
pair = figures.paired[0]
low, high = pair.interval.low, pair.interval.high
print(f"{pair.model} minus {pair.minus}: {pair.difference:+.1%} [{low:+.1%}, {high:+.1%}]")
print(f"  found by {pair.model} only: {pair.only_model}, by {pair.minus} only: {pair.only_minus}")
print(f"next: python -P examples/04_bring_your_own_images.py {folder}")
