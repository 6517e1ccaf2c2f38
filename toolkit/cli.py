"""The command line: options in, files and figures out; the work is done by the functions behind it."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from cyclopts import App, CycloptsError

from viewcov.commands import stages
from viewcov.inspection.errors import ViewcovError
from viewcov.system import missing_libraries, remedy

OK, NOT_MET, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="viewcov",
    help="Plan inspection views, measure what a model really finds on the part, fuse all views into 3D defects.",
    help_format="plaintext",
    version_flags=["--version"],
    result_action="return_value",
)
for _command in stages.ALL:
    app.command(_command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Exit status of one command line; messages go to stderr, results to stdout."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="viewcov: %(message)s")
    logging.getLogger("viewcov").setLevel(logging.INFO)
    try:
        met = app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain(" ".join(str(error).split()))
        return BAD_INPUT
    except ViewcovError as error:
        _complain(str(error))
        return BAD_INPUT
    except ImportError as error:
        # A package that is installed but lacks a system library; anything else is a defect of viewcov.
        libraries = missing_libraries()
        if not libraries:
            raise
        _complain(f"{error}: {remedy(libraries)}")
        return BAD_INPUT
    except KeyboardInterrupt:
        _complain("interrupted; the same command continues where it stopped")
        return INTERRUPTED
    return NOT_MET if met is False else OK


def main() -> NoReturn:
    """Run the command line and leave with its exit status."""
    # A reader that goes away, such as `head`, ends the program quietly as it does other tools.
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(run())


def _complain(message: Any) -> None:
    sys.stderr.write(f"viewcov: {message}\n")
