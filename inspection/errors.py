"""The errors that a caller may catch; each message is one line."""

from __future__ import annotations

from typing import Any


class ViewcovError(Exception):
    """Base of every error that viewcov raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By its line alone, which is what a worker sends; what it was made of differs from kind to kind.
        return _with_line, (type(self), str(self))


def _with_line(kind: type[ViewcovError], line: str) -> ViewcovError:
    return kind.__new__(kind, line)


class InputError(ViewcovError):
    """Something the user gave is not usable. The command line prints it and ends with exit status 2.

    Its line says where (a file, option or field), what is wrong there, what was expected and found, and a remedy.
    """

    def __init__(self, where: object, what: str, *, expected: str, found: str, remedy: str) -> None:
        line = f"{where}: {what}: expected {expected}, found {found}; {remedy}"
        super().__init__(" ".join(line.split()))


class MissingExtraError(ViewcovError):
    """An optional dependency is not installed. The command line ends with exit status 2."""

    def __init__(self, purpose: str, *, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed; run: pip install 'viewcov[{extra}]'"
        )
