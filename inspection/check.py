"""What is wrong with a file or folder, by name, with a remedy for each finding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_levels, sha256_of
from viewcov.inspection.folder import InspectionFolder, read_dataset
from viewcov.inspection.loading.cad import STEP_SUFFIXES
from viewcov.inspection.loading.part_files import MESH_SUFFIXES, load_part
from viewcov.inspection.mesh.part import Finding, Part
from viewcov.inspection.plan import read_plan
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.rig import load_rig

Kind = Literal["part", "rig", "plan", "inspection", "dataset", "image"]

_UNIT_SLIPS = {"cm": 10.0, "inch": 25.4, "m": 1000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """Findings about one path."""

    path: str
    """The path that was checked."""

    kind: Kind
    """What it is."""

    findings: tuple[Finding, ...]
    """Worst first."""

    @property
    def ok(self) -> bool:
        """Whether it can be used without loss: no finding is a warning or an error."""
        return all(finding.severity == "note" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``check --json``."""
        return {
            "ok": self.ok,
            "kind": self.kind,
            "path": self.path,
            "findings": [asdict(finding) for finding in self.findings],
        }


def check_path(
    path: str | Path,
    *,
    units: str | None = None,
    scale_mm: float | None = None,
    rig: str | Path = "paper",
) -> CheckReport:
    """What is wrong with a part, rig, plan, inspection, data set or image.

    Parameters
    ----------
    path
        File, folder, or ``builtin:NAME``.
    units, scale_mm
        For a part, as in ``load_part``.
    rig
        For a part: the rig whose field of view its size is compared with.

    Raises
    ------
    InputError
        If the path cannot be read as anything that viewcov knows.
    """
    kind = _kind_of(path)
    findings: list[Finding] = []
    if kind == "part":
        part = load_part(path, units=units, scale_mm=scale_mm)
        of_size = size_findings(part, load_rig(rig).camera)
        findings = [*part.findings, *(of_size or _unit_findings(path, part))]
    elif kind == "rig":
        load_rig(path)
    elif kind == "plan":
        plan = read_plan(path)
        findings = [*size_findings(plan.load_part(), plan.rig.camera)]
        if not plan.viewpoints:
            findings.append(Finding(name="no-viewpoints", count=0, severity="error", remedy="plan again"))
    elif kind == "inspection":
        findings = _inspection_findings(InspectionFolder(Path(path)))
    elif kind == "dataset":
        findings = _dataset_findings(Path(path))
    else:
        read_levels(path)
    order = {"error": 0, "warning": 1, "note": 2}
    return CheckReport(
        path=str(path), kind=kind, findings=tuple(sorted(findings, key=lambda found: order[found.severity]))
    )


def size_findings(part: Part, camera: Camera) -> list[Finding]:
    """A warning with the likely units, if the part's size is implausible for the field of view.

    A part that is too large, states inches and would fit as millimetres is taken to be mislabelled.
    """
    field_mm = max(camera.width_px, camera.height_px) * camera.mm_per_px_at_focus
    size_mm = part.largest_extent_mm
    if _fits(size_mm / field_mm):
        return []
    seen = f"largest extent {size_mm:.4g} mm against a field of view of {field_mm:.0f} mm"
    as_mm = size_mm / 25.4
    if part.file_units == "inch" and size_mm > field_mm and _fits(as_mm / field_mm):
        remedy = f"{seen}: the file states inches, but its numbers look like mm; set --scale-mm {as_mm:.6g}"
        return [Finding(name="mislabelled-units", count=1, severity="warning", remedy=remedy)]
    too_small = size_mm < field_mm
    sizes = {unit: size_mm * factor if too_small else size_mm / factor for unit, factor in _UNIT_SLIPS.items()}
    likely = [
        f"in {unit}, a factor of {_UNIT_SLIPS[unit]:g}, it is {size:.4g} mm"
        if too_small
        else f"{size:.4g} mm without a factor of {_UNIT_SLIPS[unit]:g}, of mm read as {unit}"
        for unit, size in sizes.items()
        if _fits(size / field_mm)
    ]
    guess = f" ({', '.join(likely)})" if likely else ""
    remedy = f"{seen}: too {'small' if too_small else 'large'}{guess}; set --units or --scale-mm"
    return [Finding(name="implausible-size", count=1, severity="warning", remedy=remedy)]


def _fits(ratio: float) -> bool:
    """Whether a part may be this many times as large as the field of view."""
    return 0.02 <= ratio <= 30.0


def _unit_findings(path: str | Path, part: Part) -> list[Finding]:
    """A note where a unit was assumed."""
    source = part.source
    if str(path).startswith("builtin:") or part.file_units or source.units or source.scale_mm:
        return []
    remedy = f"the file states no unit and was taken to be in mm, {part.largest_extent_mm:.4g} mm large; set --units"
    return [Finding(name="assumed-units", count=1, severity="note", remedy=remedy)]


def _kind_of(path: str | Path) -> Kind:
    file = Path(path)
    suffix = file.suffix.lower()
    if str(path).startswith("builtin:") or suffix in STEP_SUFFIXES + MESH_SUFFIXES:
        return "part"
    if file.is_dir():
        for name, kind in (("dataset.json", "dataset"), ("plan.json", "inspection")):
            if (file / name).is_file():
                return kind  # type: ignore[return-value]
    elif suffix == ".toml" or str(path) in ("paper", "paper-half", "paper-quarter"):
        return "rig"
    elif suffix == ".json":
        return "plan"
    elif suffix in (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm"):
        return "image"
    raise InputError(
        path,
        "nothing that viewcov can check",
        expected="a part, rig (.toml), plan (.json), image, or a folder with plan.json or dataset.json",
        found="another kind of path" if file.exists() else "nothing",
        remedy="check the path",
    )


def _inspection_findings(folder: InspectionFolder) -> list[Finding]:
    plan = folder.plan()
    want = (plan.rig.camera.height_px, plan.rig.camera.width_px)
    missing, unreadable, wrong_size, wrong_mask = [], [], [], []
    for view in plan.viewpoints:
        image = folder.image_path(view.id)
        if not image.is_file():
            missing.append(view.id)
            continue
        try:
            if read_levels(image).shape != want:
                wrong_size.append(view.id)
            mask = folder.mask_path(view.id)
            if mask.is_file() and read_levels(mask).shape != want:
                wrong_mask.append(view.id)
        except InputError:
            unreadable.append(view.id)
    known = {f"{view.id}.png" for view in plan.viewpoints}
    images = folder.root / "images"
    strays = [p.name for p in images.glob("*.png") if p.name not in known] if images.is_dir() else []
    rows = (
        ("missing-images", missing, "error", "take or synthesize them again"),
        ("unreadable-images", unreadable, "error", "replace them"),
        ("wrong-image-size", wrong_size, "error", f"the plan's camera has {want[1]} x {want[0]} pixels"),
        ("wrong-mask-size", wrong_mask, "error", "masks must have the size of their images"),
        ("images-without-view", strays, "warning", "they belong to no view of the plan and are not used"),
    )
    return [
        Finding(
            name=name,
            count=len(names),
            severity=severity,  # type: ignore[arg-type]
            remedy=f"{folder.name}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}: {remedy}",
        )
        for name, names, severity, remedy in rows
        if names
    ]


def _dataset_findings(root: Path) -> list[Finding]:
    dataset = read_dataset(root)
    findings: list[Finding] = []
    split_of: dict[str, tuple[str, str]] = {}
    leaks = []
    for name, split in dataset.splits.items():
        folder = InspectionFolder(root / name)
        findings += _inspection_findings(folder)
        for image in sorted((folder.root / "images").glob("*.png")):
            digest = sha256_of(image.read_bytes())
            other = split_of.setdefault(digest, (split, image.name))
            if other[0] != split:
                leaks.append(f"{name}/{image.name}")
    if leaks:
        remedy = f"{', '.join(leaks[:3])}: the same image is in two splits: keep whole instances in one split"
        findings.append(Finding(name="split-leak", count=len(leaks), severity="error", remedy=remedy))
    findings += [
        Finding(name="empty-split", count=1, severity="note", remedy=f"no inspection is in split {split!r}")
        for split in ("train", "validation", "test")
        if split not in dataset.splits.values()
    ]
    return findings
