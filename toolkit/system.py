"""The operating system's share of the set-up: shared libraries and parts of Python that pip cannot install.

Run as a plain file before anything is installed, ``python3 toolkit/system.py``: standard library only, and no
syntax that an old Python would trip over before it is told that it is too old.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

OK, BAD_SYSTEM = 0, 2
OLDEST_PYTHON = (3, 11)


class Library(NamedTuple):
    """A shared library and where Debian and Ubuntu have it."""

    soname: str
    """Name by which it is loaded."""

    package: str
    """Debian package that brings it."""

    user: str
    """Who loads it."""


REQUIRED = (
    Library("libEGL.so.1", "libegl1", "Open3D, VTK"),
    Library("libGL.so.1", "libgl1", "Open3D, VTK"),
    Library("libX11.so.6", "libx11-6", "Open3D"),
    Library("libusb-1.0.so.0", "libusb-1.0-0", "Open3D"),
    Library("libudev.so.1", "libudev1", "Open3D"),
    Library("libidn2.so.0", "libidn2-0", "Open3D"),
    Library("libatomic.so.1", "libatomic1", "Mitsuba"),
)
"""Read from the wheels of open3d-cpu 0.20, VTK 9.7 and Mitsuba 3.8, and tried on a bare Debian 12."""

CURSOR = Library("libXcursor.so.1", "libxcursor1", "VTK's windows")
LLVM = Library("libLLVM", "libllvm15", "Mitsuba; rendering takes about three times as long without")

LLVM_PACKAGES = ("libllvm15", "libllvm14", "libllvm19", "libllvm15t64", "libllvm14t64")
"""In the order of preference. Mitsuba before 3.9 was tried with LLVM 14, 15 and 19."""

# Where Dr.Jit, Mitsuba's compiler, looks.
_LLVM_PLACES = ("x86_64-linux-gnu", "aarch64-linux-gnu", "wsl/lib")


def missing_libraries() -> tuple[Library, ...]:
    """The shared libraries without which viewcov does not run here; none elsewhere than on Linux."""
    if not sys.platform.startswith("linux"):
        return ()
    return tuple(library for library in REQUIRED if not can_load(library.soname))


def recommended_libraries() -> tuple[Library, ...]:
    """The shared libraries that viewcov can do without here, at a price."""
    if not sys.platform.startswith("linux"):
        return ()
    cursor = () if can_load(CURSOR.soname) else (CURSOR,)
    return cursor if has_llvm() else (*cursor, LLVM)


def remedy(libraries: Sequence[Library]) -> str:
    """One sentence with the missing libraries and what to run, for a program that met an ImportError."""
    names = ", ".join(library.soname for library in libraries)
    return f"the system lacks {names}; {_what_to_do([_package_of(library) for library in libraries], names)}"


def can_load(soname: str) -> bool:
    """Whether the dynamic loader finds a shared library and all that it needs in turn."""
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def has_llvm() -> bool:
    """Whether Dr.Jit would find an LLVM; whether that one works only a trial in its own process can say."""
    chosen = os.environ.get("DRJIT_LIBLLVM_PATH")
    if chosen:
        return os.path.isfile(chosen)  # noqa: PTH113
    return any(glob.glob(f"/usr/lib/{place}/libLLVM*.so*") for place in _LLVM_PLACES)  # noqa: PTH207


def missing_python_packages() -> tuple[str, ...]:
    """Debian packages that this Python lacks for making virtual environments."""
    if all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip")):
        return ()
    return (f"python{sys.version_info[0]}.{sys.version_info[1]}-venv",)


def is_root() -> bool:
    """Whether packages can be installed without sudo."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def has_apt() -> bool:
    """Whether this is Debian, Ubuntu or a relative."""
    return shutil.which("apt-get") is not None


def apt(*arguments: str) -> int:
    """Exit status of apt-get; its output goes to stderr."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    command = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", *arguments]
    return subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode


def apt_knows(package: str) -> bool:
    """Whether the package lists have a package that can be installed."""
    shown = subprocess.run(
        ["apt-cache", "policy", package],
        env=dict(os.environ, LC_ALL="C"),
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return "Candidate:" in shown and "Candidate: (none)" not in shown


def main() -> int:
    """Exit status of the check: 0 when all that is required is there, now or after installing it."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        found = f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})"
        _tell(f"Python 3.11 or newer is needed, this is {found}; name a newer one: make setup PYTHON=python3.11")
        return BAD_SYSTEM
    missing, recommended = _missing_packages(), recommended_libraries()
    if not missing and not recommended:
        return OK
    if has_apt() and is_root():
        return _install(missing, recommended)
    if missing:
        _tell(_complaint(missing))
        return BAD_SYSTEM
    _tell(f"recommended: {remedy(recommended)}")
    return OK


def _missing_packages() -> list[str]:
    return [*missing_python_packages(), *(library.package for library in missing_libraries())]


def _install(missing: list[str], recommended: Sequence[Library]) -> int:
    # A third party's package list that is out of order must not stop Debian's own; the install decides.
    if apt("update") != 0:
        _tell("some package lists could not be refreshed; going on with those at hand")
    if missing:
        _tell(f"installing {' '.join(missing)}")
        failed = apt("install", "-y", "--no-install-recommends", *missing) != 0
        importlib.invalidate_caches()
        still = _missing_packages()
        if failed or still:
            _tell(_complaint(still or missing))
            return BAD_SYSTEM
    # What was required may have brought what is recommended.
    for library in (library for library in recommended if library in recommended_libraries()):
        package = _package_of(library)
        if apt("install", "-y", "--no-install-recommends", package) == 0:
            _tell(f"installed {package}")
        else:
            _tell(f"going on without {library.soname} ({library.user})")
    return OK


def _package_of(library: Library) -> str:
    """The package that brings a library; of LLVM the one that this release of the system has."""
    if library is not LLVM or not has_apt():
        return library.package
    return next(filter(apt_knows, LLVM_PACKAGES), library.package)


def _complaint(packages: list[str]) -> str:
    sonames = {library.package: library.soname for library in REQUIRED}
    names = ", ".join(sonames.get(package, "Python's venv module") for package in packages)
    return f"the system lacks {names}; {_what_to_do(packages, names)}"


def _what_to_do(packages: Sequence[str], names: str) -> str:
    if not has_apt():
        return f"install what brings {names} with the system's package manager"
    if is_root():
        return f"run: apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)}"
    return f"run: sudo apt-get update && sudo apt-get install -y --no-install-recommends {' '.join(packages)}"


def _tell(message: str) -> None:
    sys.stderr.write(f"viewcov: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
