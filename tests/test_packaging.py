"""What is installed, what an import brings along, and which way imports point."""

import importlib.metadata
import importlib.resources
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
HEAVY = {
    *("cascadio", "drjit", "manifold3d", "matplotlib", "mitsuba", "networkx", "numba", "open3d", "pyarrow"),
    *("pyvista", "scipy", "segmentation_models_pytorch", "timm", "torch", "torchvision", "trimesh", "vtk"),
    "vtkmodules",
}


def python(code: str, *, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A Python of its own that runs the code, with nothing but ``path`` in front of what is installed."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def imported_by(code: str, *, cwd: Path) -> set[str]:
    run = python(f"import json, sys\n{code}\nsys.stderr.write(json.dumps(sorted(sys.modules)))", cwd=cwd)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stderr))


def test_only_viewcov_is_installed() -> None:
    distribution = importlib.metadata.distribution("viewcov")
    assert (distribution.read_text("top_level.txt") or "").split() == ["viewcov"]
    assert distribution.files
    tops = {file.parts[0] for file in distribution.files}
    assert not [top for top in tops if top.startswith(("coverage", "toolkit", "inspection", "planning"))]


def test_every_file_of_the_rooms_is_installed() -> None:
    installed = importlib.resources.files("viewcov")
    for package, room in SETUPTOOLS["package-dir"].items():
        assert package in SETUPTOOLS["packages"]
        inside = importlib.resources.files(package)
        for file in (ROOT / room).rglob("*"):
            relative = file.relative_to(ROOT / room)
            hidden = any(part.startswith((".", "__pycache__")) for part in relative.parts)
            if file.is_file() and not hidden:
                there = inside.joinpath(*relative.parts)
                assert there.is_file(), f"{relative} of {package} is not installed: see pyproject.toml, or make setup"
                assert there.read_bytes() == file.read_bytes(), f"{relative} of {package} is out of date: make setup"
    assert installed.joinpath("py.typed").is_file()


def test_importing_viewcov_stays_light(tmp_path: Path) -> None:
    assert not imported_by("import viewcov", cwd=tmp_path) & {*HEAVY, "numpy", "pydantic", "cyclopts"}


@pytest.mark.parametrize(
    ("arguments", "more"),
    [(["--help"], {"numpy", "pydantic"}), (["--version"], {"numpy", "pydantic"}), (["plan", "--help"], set())],
)
def test_help_stays_light(tmp_path: Path, arguments: list[str], more: set[str]) -> None:
    code = f"from viewcov.cli import run\nassert run({arguments!r}) == 0"
    imported = imported_by(code, cwd=tmp_path)
    assert not imported & (HEAVY | more)
    assert not {name for name in imported if name.startswith("viewcov.workflows")}


def test_every_public_name_is_there() -> None:
    import viewcov

    for name in viewcov.__all__:
        assert getattr(viewcov, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'plan_veiws'"):
        _ = viewcov.plan_veiws


def test_the_folder_coverage_refuses_to_pass_for_coverage_py(tmp_path: Path) -> None:
    run = python("import coverage", cwd=tmp_path, path=ROOT)
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: this folder is viewcov.coverage, not coverage.py")
    assert "PYTHONSAFEPATH=1" in last


def test_numba_imports_with_the_repository_on_the_path(tmp_path: Path) -> None:
    """numba asks for coverage.py and takes an ImportError as "not installed"."""
    run = python("import numba; import viewcov.coverage.rays.raster", cwd=tmp_path, path=ROOT)
    assert run.returncode == 0, run.stderr


def test_imports_point_down(tmp_path: Path) -> None:
    """Checked on a tree laid out as installed, which an editable install has nowhere."""
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("import-linter is not installed; it comes with the extra dev")
    for package, room in SETUPTOOLS["package-dir"].items():
        shutil.copytree(ROOT / room, tmp_path.joinpath(*package.split(".")), dirs_exist_ok=True)
    run = subprocess.run(
        [str(command), "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=tmp_path,  # Which import-linter puts first on the path.
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " 0 broken" in run.stdout


def test_no_registry_is_named() -> None:
    """Packages come from wherever pip is set up to find them."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml", ".ci/run"):
        text = (ROOT / name).read_text("utf-8")
        assert "://" not in text, name
        assert "--index-url" not in text, name


def test_constraints_pin_every_direct_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    for line in importlib.metadata.requires("viewcov") or []:
        requirement = Requirement(line)
        needed = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", "render", "train", "dev")
        )
        assert not needed or canonicalize_name(requirement.name) in pinned, f"{line} has no pin"
