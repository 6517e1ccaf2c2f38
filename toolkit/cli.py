"""The command line: options in, files and figures out; the work is done by the functions behind it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from cyclopts import App, CycloptsError, Parameter

from viewcov.commands import ALL
from viewcov.inspection.errors import ViewcovError
from viewcov.output import complain, listening
from viewcov.system import missing_libraries, remedy

OK, NOT_MET, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="viewcov",
    help="Plan inspection views, measure what a model really finds on the part, fuse all views into 3D defects.",
    help_format="plaintext",
    version_flags=["--version"],
    result_action="return_value",
    default_parameter=Parameter(consume_multiple=True, negative=()),
)
app.register_install_completion_command(help="Install the completion of commands and options for this shell.")

for _command in ALL.values():
    _text, _, _example = _command.doc.rpartition("\n\n")
    app.command(f"{__name__}:{_command.name}", name=_command.name, help=_text, help_epilogue=_example)


def __getattr__(name: str) -> Callable[..., Any]:
    """The command of that name as cyclopts takes it, made when it is asked for."""
    if name not in ALL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from viewcov.options import as_command

    return as_command(ALL[name].load(), ALL)


def run(arguments: Sequence[str] | None = None) -> int:
    """Exit status of one command line; messages go to stderr, results to stdout."""
    with listening():
        try:
            met = app(arguments, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            complain(_one_line(error))
            return BAD_INPUT
        except ViewcovError as error:
            complain(error)
            return BAD_INPUT
        except OSError as error:
            where = error.filename or "the system"
            complain(f"{where}: cannot be read or written: {error.strerror or error}; check the path, rights and space")
            return BAD_INPUT
        except ImportError as error:
            # A package that is installed but lacks a system library; anything else is a defect of viewcov.
            libraries = missing_libraries()
            if not libraries:
                raise
            complain(f"{error}: {remedy(libraries)}")
            return BAD_INPUT
        except KeyboardInterrupt:
            complain("interrupted; the same command continues where it stopped")
            return INTERRUPTED
    return NOT_MET if met is False else OK


def main() -> NoReturn:
    """Run the command line and leave with its exit status."""
    # A reader that goes away, such as `head`, ends the program quietly as it does other tools.
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(run())


def _one_line(error: CycloptsError) -> str:
    """What cyclopts complains about; limits in the words of the type that has them."""
    from pydantic import ValidationError

    text, cause = str(error), error.__cause__
    if isinstance(cause, ValidationError):
        text = f"{text.partition(str(cause))[0]}{cause.errors()[0]['msg']}"
    return " ".join(text.split())
