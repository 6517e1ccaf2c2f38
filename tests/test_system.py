"""The check of the operating system, on systems that are made up by replacing its look-ups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from viewcov import system

SCRIPT = Path(__file__).parents[1] / "toolkit" / "system.py"
SUDO = "run: sudo apt-get update && sudo apt-get install -y --no-install-recommends"


class MadeUp:
    """A system that has everything until a test takes something away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lacks: set[str] = set()
        self.llvm = True
        self.brings = {library.package: library.soname for library in (*system.REQUIRED, system.CURSOR)}
        self.calls: list[tuple[str, ...]] = []
        self.statuses: dict[str, int] = {}
        self.known = set(system.LLVM_PACKAGES[:2])
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(system, "can_load", lambda soname: soname not in self.lacks)
        monkeypatch.setattr(system, "has_llvm", lambda: self.llvm)
        monkeypatch.setattr(system, "is_root", lambda: False)
        monkeypatch.setattr(system, "has_apt", lambda: True)
        monkeypatch.setattr(system, "apt", self._apt)
        monkeypatch.setattr(system, "apt_knows", lambda package: package in self.known)

    def _apt(self, *arguments: str) -> int:
        self.calls.append(arguments)
        status = self.statuses.get(arguments[0], 0)
        if arguments[0] == "install" and status == 0:
            for package in arguments[3:]:
                self.lacks.discard(self.brings.get(package, ""))
                self.llvm |= package in system.LLVM_PACKAGES
        return status


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    return MadeUp(monkeypatch)


def test_a_whole_system_is_passed_in_silence(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    assert system.main() == 0
    assert capsys.readouterr() == ("", "")
    assert made_up.calls == []


def test_a_user_is_told_the_one_command(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    made_up.lacks = {"libusb-1.0.so.0", "libEGL.so.1"}
    assert system.main() == 2
    told = capsys.readouterr().err
    assert told == f"viewcov: the system lacks libEGL.so.1, libusb-1.0.so.0; {SUDO} libegl1 libusb-1.0-0\n"
    assert made_up.calls == []


def test_without_apt_the_libraries_are_named(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system, "has_apt", lambda: False)
    made_up.lacks = {"libGL.so.1"}
    assert system.main() == 2
    assert capsys.readouterr().err == (
        "viewcov: the system lacks libGL.so.1; install what brings libGL.so.1 with the system's package manager\n"
    )


def test_root_installs_exactly_what_is_missing(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    made_up.lacks = {"libGL.so.1", "libatomic.so.1"}
    assert system.main() == 0
    assert made_up.calls == [
        ("update",),
        ("install", "-y", "--no-install-recommends", "libgl1", "libatomic1"),
    ]
    assert system.main() == 0, "the second run has nothing to do"
    assert len(made_up.calls) == 2


def test_a_failed_list_of_packages_does_not_stop_the_install(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    made_up.lacks, made_up.statuses = {"libGL.so.1"}, {"update": 100}
    assert system.main() == 0


def test_a_failed_install_ends_with_the_command(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    made_up.lacks, made_up.statuses = {"libGL.so.1"}, {"install": 100}
    assert system.main() == 2
    assert capsys.readouterr().err.endswith(
        "run: apt-get update && apt-get install -y --no-install-recommends libgl1\n"
    )


def test_an_install_that_does_not_help_is_not_taken_for_success(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    made_up.lacks, made_up.brings = {"libGL.so.1"}, {}
    assert system.main() == 2
    assert "the system lacks libGL.so.1" in capsys.readouterr().err


def test_what_is_only_recommended_never_fails(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up.llvm, made_up.lacks = False, {"libXcursor.so.1"}
    assert system.main() == 0
    assert capsys.readouterr().err == (
        f"viewcov: recommended: the system lacks libXcursor.so.1, libLLVM; {SUDO} libxcursor1 libllvm15\n"
    )
    monkeypatch.setattr(system, "is_root", lambda: True)
    made_up.statuses = {"install": 100}
    assert system.main() == 0
    assert "going on without libLLVM" in capsys.readouterr().err


def test_root_gets_the_llvm_that_the_release_has(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    made_up.llvm, made_up.known = False, {"libllvm19"}
    assert system.main() == 0
    assert made_up.calls[-1][-1] == "libllvm19"


def test_a_python_without_venv_is_named_by_its_package(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    monkeypatch.setattr(system, "missing_python_packages", lambda: (package,))
    assert system.main() == 2
    assert capsys.readouterr().err == f"viewcov: the system lacks Python's venv module; {SUDO} {package}\n"


def test_an_old_python_is_told_so(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    assert system.main() == 2
    assert capsys.readouterr().err.startswith("viewcov: Python 3.11 or newer is needed, this is 3.9 (")


def test_the_runtime_sentence_names_libraries_and_command(made_up: MadeUp) -> None:
    made_up.lacks = {"libEGL.so.1"}
    missing = system.missing_libraries()
    assert [library.soname for library in missing] == ["libEGL.so.1"]
    assert system.remedy(missing) == f"the system lacks libEGL.so.1; {SUDO} libegl1"


def test_the_loader_decides_what_is_there() -> None:
    assert not system.can_load("libviewcov-that-nobody-has.so.1")
    assert not sys.platform.startswith("linux") or system.can_load("libc.so.6")


def test_llvm_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = tmp_path / "libLLVM-15.so.1"
    monkeypatch.setenv("DRJIT_LIBLLVM_PATH", str(library))
    assert not system.has_llvm()
    library.touch()
    assert system.has_llvm()


def test_the_file_runs_alone_and_the_way_that_it_was_asked_to(tmp_path: Path) -> None:
    """As the Makefile runs it: no package installed (-I -S), found libraries only, nothing printed."""
    if system.missing_libraries() or system.recommended_libraries() or system.missing_python_packages():
        pytest.skip("this system lacks something that the script would install or complain about")
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.skipif(os.name != "posix", reason="the loader's search path is Linux's")
def test_every_required_library_is_named_once() -> None:
    assert len({library.soname for library in system.REQUIRED}) == len(system.REQUIRED)
    assert len({library.package for library in system.REQUIRED}) == len(system.REQUIRED)
