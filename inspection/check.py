"""What is wrong with a file or folder, by name, with a remedy for each finding."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import computed_field

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import files_in, read_levels, sha256_of
from viewcov.inspection.folder import InspectionFolder, Split, read_dataset
from viewcov.inspection.loading.cad import STEP_SUFFIXES
from viewcov.inspection.loading.part_files import MESH_SUFFIXES, MM_PER_UNIT, load_part
from viewcov.inspection.mesh.part import Finding, Part, PartSource, Severity, tell
from viewcov.inspection.plan import InspectionPlan, read_plan
from viewcov.inspection.records import Known, Record
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.rig import PRESETS, Rig, load_rig

Kind = Literal["part", "rig", "plan", "inspection", "dataset", "image"]

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm")


class RigFigures(Record):
    """What a rig's camera sees of a frontal plane in focus."""

    field_of_view_mm: tuple[float, float]
    """Width and height of the image there."""

    mm_per_px: float
    """Edge length of a pixel there."""

    focus_distance_mm: float
    """Where it is, from the lens' principal plane."""

    sharp_from_mm: Known = None
    """Nearest distance at which the blur is within the rig's limit; none if diffraction alone exceeds it."""

    sharp_to_mm: Known = None
    """Farthest such distance; none if there is none, or all that lies farther is sharp enough."""


class CheckReport(Record):
    """Findings about one path."""

    path: str
    """The path that was checked."""

    kind: Kind
    """What it is."""

    findings: tuple[Finding, ...]
    """Worst first."""

    figures: RigFigures | None = None
    """Of a rig."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ok(self) -> bool:
        """Whether it can be used without loss: no finding is a warning or an error."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def text(self) -> str:
        """For people, in lines."""
        lines = [f"{self.path}: {self.kind}, {'ok' if self.ok else 'not ok'}"]
        if self.figures is not None:
            width, height = self.figures.field_of_view_mm
            near, far = self.figures.sharp_from_mm, self.figures.sharp_to_mm
            depth = "nowhere" if near is None else f"from {near:.1f} mm on"
            if near is not None and far is not None:
                depth = f"{near:.1f} to {far:.1f} mm, {far - near:.1f} mm deep"
            lines += [
                f"  field of view  {width:.1f} x {height:.1f} mm at {self.figures.focus_distance_mm:g} mm",
                f"  sampling       {self.figures.mm_per_px:.4f} mm/px",
                f"  sharp          {depth}",
            ]
        return "\n".join(lines + [f"  {f.severity}: {f.name} ({f.count}): {f.remedy}" for f in self.findings])


def check_path(
    path: str | Path, *, units: str | None = None, scale_mm: float | None = None, rig: str | Path = "paper"
) -> CheckReport:
    """What is wrong with a part (a file or ``builtin:NAME``), rig, plan, inspection, data set or image.

    For a part, ``units`` and ``scale_mm`` are as in ``load_part``, and its size is compared with the field of view of
    the ``rig``.

    Raises
    ------
    InputError
        If the path cannot be read as anything that viewcov knows.
    """
    kind = _kind_of(path)
    findings: list[Finding] = []
    figures = None
    if kind == "part":
        part = load_part(path, units=units, scale_mm=scale_mm)
        of_size = size_findings(part, load_rig(rig).camera)
        findings = [*part.findings, *(of_size or _unit_findings(path, part))]
    elif kind == "rig":
        figures, findings = _of_rig(load_rig(path))
    elif kind == "plan":
        findings = _plan_findings(read_plan(path))
    elif kind == "inspection":
        folder = InspectionFolder(Path(path))
        findings = [*_plan_findings(folder.plan()), *_inspection_findings(folder)]
    elif kind == "dataset":
        findings = _dataset_findings(Path(path))
    else:
        read_levels(path)
    findings.sort(key=lambda found: get_args(Severity).index(found.severity), reverse=True)
    return CheckReport(path=str(path), kind=kind, findings=tuple(findings), figures=figures)


def _of_rig(rig: Rig) -> tuple[RigFigures, list[Finding]]:
    camera = rig.camera
    sharp = camera.depth_of_field_mm(rig.requirements.max_blur_px)
    figures = RigFigures(
        field_of_view_mm=(camera.width_px * camera.mm_per_px_at_focus, camera.height_px * camera.mm_per_px_at_focus),
        mm_per_px=camera.mm_per_px_at_focus,
        focus_distance_mm=camera.focus_distance_mm,
        sharp_from_mm=sharp[0] if sharp else None,
        sharp_to_mm=sharp[1] if sharp else None,
    )
    remedy = (
        f"diffraction alone blurs {camera.airy_disc_px:.2f} px, and max_blur_px is {rig.requirements.max_blur_px:g}: "
        "open the aperture (f_number), or allow more blur"
    )
    return figures, [] if sharp else [Finding(name="nowhere-sharp", count=1, severity="error", remedy=remedy)]


def _plan_findings(plan: InspectionPlan) -> list[Finding]:
    """What keeps a plan from being used: its part is gone, another or of an implausible size, or it has no views."""
    findings: list[Finding] = []
    tell(findings, "no-viewpoints", int(not plan.viewpoints), "error", "plan again")
    try:
        findings += size_findings(plan.load_part(), plan.rig.camera)
    except InputError as error:
        tell(findings, "unusable-part", 1, "error", str(error))
    return findings


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
    likely = [
        f"in {unit}, a factor of {factor:g}, it is {size_mm * factor:.4g} mm"
        if too_small
        else f"{size_mm / factor:.4g} mm without a factor of {factor:g}, of mm read as {unit}"
        for unit, factor in sorted(MM_PER_UNIT.items(), key=lambda item: item[1])
        if factor != 1.0 and _fits((size_mm * factor if too_small else size_mm / factor) / field_mm)
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
        if (file / "dataset.json").is_file():
            return "dataset"
        if (file / "plan.json").is_file():
            return "inspection"
    elif suffix == ".toml" or str(path) in PRESETS:
        return "rig"
    elif suffix == ".json":
        return "plan"
    elif suffix in _IMAGE_SUFFIXES:
        return "image"
    raise InputError(
        path, "nothing that viewcov can check", remedy="check the path",
        expected="a part, rig (.toml), plan (.json), image, or a folder with plan.json or dataset.json",
        found="another kind of path" if file.exists() else "nothing",
    )  # fmt: skip


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
    strays = [path.name for path in files_in(folder.root / "images", "*.png") if path.name not in known]
    rows: tuple[tuple[str, list[str], Severity, str], ...] = (
        ("missing-images", missing, "error", "take or synthesize them again"),
        ("unreadable-images", unreadable, "error", "replace them"),
        ("wrong-image-size", wrong_size, "error", f"the plan's camera has {want[1]} x {want[0]} pixels"),
        ("wrong-mask-size", wrong_mask, "error", "masks must have the size of their images"),
        ("images-without-view", strays, "warning", "they belong to no view of the plan and are not used"),
    )
    findings: list[Finding] = []
    for name, names, severity, remedy in rows:
        tell(findings, name, len(names), severity, f"{folder.name}: {_three(names)}: {remedy}")
    return findings


def _three(names: list[str]) -> str:
    """The first three names."""
    return f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _dataset_findings(root: Path) -> list[Finding]:
    findings: list[Finding] = []
    split_of: dict[str, Split] = {}
    parts: dict[PartSource, str] = {}
    shas: dict[str, str] = {}
    leaks, others = [], []
    dataset = read_dataset(root)
    for (name, split), folder in zip(dataset.splits.items(), dataset.inspections(), strict=True):
        plan = folder.plan()
        if parts.setdefault(plan.part, name) == name:
            findings += _plan_findings(plan)
        if shas.setdefault(plan.part.sha256, name) != next(iter(dataset.splits)):
            others.append(name)
        findings += _inspection_findings(folder)
        for image in files_in(folder.root / "images", "*.png"):
            if split_of.setdefault(sha256_of(image.read_bytes()), split) != split:
                leaks.append(f"{name}/{image.name}")
    remedy = f"{_three(leaks)}: the same image is in two splits: keep whole instances in one split"
    tell(findings, "split-leak", len(leaks), "error", remedy)
    remedy = f"{_three(others)}: of another part than the first: train on all, but cover each part's by themselves"
    tell(findings, "several-parts", len(others), "warning", remedy)
    for split in get_args(Split):
        absent = split not in dataset.splits.values()
        tell(findings, "empty-split", int(absent), "note", f"no inspection is in split {split!r}")
    return findings
