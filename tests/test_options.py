"""Options from the command line, from Python and from a file: the same names, limits and defaults."""

from __future__ import annotations

import inspect
import logging
import typing
from pathlib import Path
from typing import Annotated, Any

import pytest
from cyclopts import App, Parameter
from pydantic import Field

import viewcov
from viewcov import cli
from viewcov.commands import ALL
from viewcov.inspection.errors import InputError
from viewcov.inspection.loading.part_files import MM_PER_UNIT
from viewcov.inspection.mesh.part import Unit
from viewcov.inspection.records import AtLeastOne, Options, Positive, Record, Share
from viewcov.options import FLAGS, as_command, flag
from viewcov.workflows.convert import ConvertOptions

COMMANDS = [each.load() for each in ALL.values()]
ROOT = {"plan": "plan_views", "evaluate": "evaluate_plan"}
"""Commands whose function at the root has another name."""


class Noise(Record):
    """Part of the options."""

    gain: Positive = 1.0
    """Of the sensor."""


class TwinOptions(Options):
    """Options of every kind that there is."""

    num_views: AtLeastOne | None = None
    """How many."""

    share: Share = 0.5
    """How much."""

    exposures: tuple[float, ...] = (0.0,)
    """Several numbers."""

    processes: dict[int, typing.Literal["milled", "turned"]] = Field(default={})
    """By face."""

    sizes: dict[str, tuple[Positive, Positive]] = Field(default={})
    """From and to."""

    noise: Noise = Noise()
    """A record."""


def twin(
    plan: Annotated[Path, Parameter(help="Data.")],
    /,
    *,
    options: TwinOptions,
    out: Annotated[Path, Parameter(help="Required.")],
    progress: bool = False,
) -> tuple[Path, TwinOptions, Path]:
    """What it was told."""
    assert not progress, "tests look at no terminal"
    return plan, options, out


@pytest.fixture
def app() -> App:
    app = App(result_action="return_value", default_parameter=cli.app.default_parameter)
    app.command(as_command(twin, ["plan"]))
    return app


def told(app: App, *words: object) -> Any:
    return app(["twin", "plan.json", *map(str, words)], exit_on_error=False, print_error=False)


def test_every_field_is_a_flag(app: App) -> None:
    words = ["--views", 3, "--share", 1, "--exposures", 0, 1, 2, "--processes", "3=milled", "4=turned"]
    words += ["--sizes", "scratch=1,2.5", "--noise.gain", 2, "--out", "twin"]
    plan, options, out = told(app, *words)
    assert (plan, out) == (Path("plan.json"), Path("twin"))
    assert options == TwinOptions(
        num_views=3, share=1.0, exposures=(0.0, 1.0, 2.0), processes={3: "milled", 4: "turned"},
        sizes={"scratch": (1.0, 2.5)}, noise=Noise(gain=2.0),
    )  # fmt: skip


def test_a_file_says_the_same_and_the_command_line_wins(app: App, tmp_path: Path) -> None:
    file = tmp_path / "twin.toml"
    file.write_text(
        'share = 0.25\nout = "there"\n[twin]\nnum_views = 3\nexposures = [0, 1]\nprocesses = {3 = "milled"}\n'
        'sizes = {scratch = [1, 2.5]}\nnoise = {gain = 2}\n[plan]\nnothing = "of ours"\n'
    )
    _, options, out = told(app, "--config", file, "--views", 4)
    assert out == Path("there")
    assert options == TwinOptions(
        num_views=4, share=0.25, exposures=(0.0, 1.0), processes={3: "milled"}, sizes={"scratch": (1.0, 2.5)},
        noise=Noise(gain=2.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shares = 1", ["'shares'", "no such name"]),
        ("[twin]\nviews = 1", ["'views'", "no such name"]),
        ("share = 2", ["'share'", "less than or equal to 1"]),
        ("share = nan", ["'share'", "finite"]),
        ('share = "0.5"', ["'share'", "a valid number"]),
        ("num_views = true", ["'num_views'", "integer"]),
        ("noise = {gain = 0}", ["'noise.gain'", "greater than 0"]),
        ("processes = {1 = 'bent'}", ["'processes.1'", "'milled' or 'turned'"]),
        ("share", ["not a TOML file"]),
        (None, ["no such file"]),
    ],
)
def test_a_wrong_file_is_one_line(app: App, tmp_path: Path, text: str | None, words: list[str]) -> None:
    file = tmp_path / "twin.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError) as refused:
        told(app, "--config", file, "--out", "x")
    for word in [str(file), *words]:
        assert word in str(refused.value)


def test_what_neither_says_is_missing(app: App) -> None:
    with pytest.raises(InputError, match="--out: is missing"):
        told(app, "--views", 1)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_file(
    command: typing.Callable[..., Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "options.toml"
    file.write_text("nonsense = 1")
    data = [each for each in inspect.signature(command).parameters.values() if each.kind is each.POSITIONAL_ONLY]
    models = ["--model", "plain"] if "models" in inspect.signature(command).parameters else []
    assert cli.run([command.__name__, *["x" for _ in data], *models, "--config", str(file)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "'nonsense' is not valid" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_is_explained(command: typing.Callable[..., Any]) -> None:
    shown = cli.app[command.__name__].assemble_argument_collection()
    assert len(shown) >= 4
    for argument in shown:
        assert (argument.parameter.help or "").strip(), argument.name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_function_at_the_root(command: typing.Callable[..., Any]) -> None:
    """Of the same options, whose type is at the root too."""
    root = getattr(viewcov, ROOT.get(command.__name__, command.__name__))
    assert ROOT.get(command.__name__, command.__name__) in viewcov.__all__
    own = inspect.signature(command, eval_str=True).parameters
    theirs = inspect.signature(root).parameters
    assert ("jobs" in own) <= ("jobs" in theirs)
    assert ("progress" in own) == ("progress" in theirs)
    kind = own["options"].annotation if "options" in own else None
    if kind is not None:
        assert theirs["options"].annotation in (kind.__name__, f"{kind.__name__} | None")
        assert getattr(viewcov, kind.__name__) is kind


@pytest.mark.parametrize("call", ["evaluate_plan", "plan_views", "cover", "calibrate", "demo", "convert"])
def test_every_function_refuses_processes_that_cannot_be(call: str) -> None:
    """At once, before it looks at its data."""
    function: Any = getattr(viewcov, call)
    options = {"options": ConvertOptions(to="csv")} if call == "convert" else {}
    with pytest.raises(InputError, match="jobs: the number is not valid"):
        function("x", *([] if call == "evaluate_plan" else ["x"]), **options, jobs=0)


def test_flags_and_units_have_one_owner() -> None:
    assert flag("num_views") == "--views"
    assert flag("noise_mm") == "--noise-mm"
    assert len(FLAGS) == len(set(FLAGS))
    assert set(typing.get_args(Unit)) == set(MM_PER_UNIT)


def test_quiet_and_log_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def speaks(*_: object, **__: object) -> None:
        logging.getLogger("viewcov.somewhere").info("stage one")
        raise InputError("here", "what", expected="this", found="that", remedy="do it")

    monkeypatch.setattr("viewcov.inspection.check.check_path", speaks)
    log = tmp_path / "log.txt"
    assert cli.run(["check", "x"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == "viewcov: stage one"
    assert cli.run(["check", "x", "--quiet", "--log-file", str(log)]) == 2
    assert capsys.readouterr().err == "viewcov: here: what: expected this, found that; do it\n"
    lines = log.read_text().splitlines()
    assert len(lines) == 3
    assert "INFO viewcov.somewhere: stage one" in lines[1]
    assert "ERROR viewcov: here: what" in lines[2]
    assert logging.getLogger().handlers == [h for h in logging.getLogger().handlers if "pytest" in type(h).__module__]


@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "Permission denied", "a"), OSError(28, "No space left on device"), IsADirectoryError()],
)
def test_what_the_system_refuses_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("viewcov.inspection.check.check_path", fails)
    assert cli.run(["check", "x"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(error.strerror or "cannot be read or written") in err


def test_completion_is_installed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert cli.run(["--install-completion"]) == 0
    (script,) = tmp_path.rglob("completions/viewcov")
    assert "--num-candidates" in script.read_text()
