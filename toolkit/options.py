"""Options: those that mean the same in every command, and how a function's become flags and lines of a file.

A command is a function of data, of ``options`` of one type, and of keywords. On the command line each field of that
type is a flag as each keyword is; a configuration file names fields and keywords as Python does.
"""

from __future__ import annotations

import inspect
import json as json_module
import sys
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args, get_origin

from cyclopts import Parameter
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, create_model

from viewcov.inspection import records
from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_toml
from viewcov.inspection.mesh.part import Unit
from viewcov.inspection.records import Record
from viewcov.output import listen


def _folder(path: Path | None) -> Path | None:
    """Refused before any work, as it could not be written to after it."""
    if path is not None and path.exists() and not path.is_dir():
        raise ValueError(f"a folder, not the file {path}")
    return path


Jobs: TypeAlias = Annotated[records.Processes, Parameter(help="Processes to use.")]
Cluster: TypeAlias = Annotated[
    str | None, Parameter(help="Address of a Dask scheduler whose workers do the work, instead of processes here.")
]
Out: TypeAlias = Annotated[Path | None, Parameter(help="Where to write the result.")]
OutFolder: TypeAlias = Annotated[
    Path | None, AfterValidator(_folder), Parameter(help="Folder to write the results to.")
]
Json: TypeAlias = Annotated[bool, Parameter(help="Print one JSON object on stdout and nothing else.")]
RigName: TypeAlias = Annotated[
    str, Parameter(help="Rig file (TOML), or a shipped rig: paper, paper-half, paper-quarter.")
]
Units: TypeAlias = Annotated[Unit | None, Parameter(help="Unit of a mesh file that states none.")]
ScaleMm: TypeAlias = Annotated[
    records.Positive | None, Parameter(help="Scale the part so that its largest extent becomes this many mm.")
]
Required: TypeAlias = Annotated[
    records.Share | None, Parameter(help="Share below which the exit status is 1; none is required if not given.")
]
PartFile: TypeAlias = Annotated[str, Parameter(help="STEP, STL, OBJ, PLY, OFF or GLB file, or builtin:NAME.")]
PlanFile: TypeAlias = Annotated[Path, Parameter(help="Plan, as 'viewcov plan' writes it.")]
Inspection: TypeAlias = Annotated[Path, Parameter(help="Folder of an inspection or of a data set.")]
ModelName: TypeAlias = Annotated[str, Parameter(help="Model folder or shipped model (plain, stack).")]
ModelNames: TypeAlias = Annotated[list[str], Parameter(help="Model folders or shipped models (plain, stack).")]
Config: TypeAlias = Annotated[
    Path | None, Parameter(help="TOML file of options by their names in Python; the command line wins.")
]
Quiet: TypeAlias = Annotated[bool, Parameter(help="Show no progress and no messages but errors.")]
LogFile: TypeAlias = Annotated[Path | None, Parameter(help="File to add messages to.")]

FLAGS = {
    "face_weights": "face-weight",
    "models": "model",
    "noise_seed": "seed",
    "num_draws": "robustness",
    "num_views": "views",
    "source_format": "from",
    "time_limit_s": "time-limit",
}
"""Fields and keywords whose flag has another name."""

_CLUSTER = {"cluster": inspect.Parameter("cluster", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Cluster)}

_Told: TypeAlias = Mapping[str, inspect.Parameter]


def flag(name: str) -> str:
    """The flag of a field or keyword."""
    return "--" + FLAGS.get(name, name).replace("_", "-")


def as_command(function: Callable[..., Any], others: Collection[str] = ()) -> Callable[..., Any]:
    """A function as a command: the fields of its ``options`` are keywords, and a file may tell all of them.

    What has no default is required, from the command line or the file. ``jobs`` may be told as ``cluster``.
    ``progress`` is not told: bars are shown where someone looks at stderr. Tables of the file that are named after
    ``others`` are left to them.
    """
    own = inspect.signature(function, eval_str=True).parameters
    kind = own["options"].annotation if "options" in own else None
    told = {**_keywords(own), **(_fields(kind) if kind else {}), **(_CLUSTER if "jobs" in own else {})}

    def run(*data: Any, config: Config = None, quiet: Quiet = False, log_file: LogFile = None, **given: Any) -> Any:
        listen(quiet=quiet, log_file=log_file)
        said = _from_file(config, function.__name__, others, told) if config else {}
        said |= {name: _table(told[name], value) if _is_table(told[name]) else value for name, value in given.items()}
        _refuse_missing(function.__name__, told, said)
        if (address := said.pop("cluster", None)) is not None:
            said["jobs"] = address
        if kind is not None:
            said["options"] = kind(**{name: said.pop(name) for name in kind.model_fields if name in said})
        if "progress" in own:
            said["progress"] = not quiet and sys.stderr.isatty()
        return function(*data, **said)

    shared = _keywords(inspect.signature(run, eval_str=True).parameters)
    shown = [each for each in own.values() if each.kind is each.POSITIONAL_ONLY]
    shown += [_shown(each) for each in (*told.values(), *shared.values())]
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in shown}
    return run


def _keywords(own: _Told) -> dict[str, inspect.Parameter]:
    hidden = ("options", "progress")
    return {name: each for name, each in own.items() if each.kind is each.KEYWORD_ONLY and name not in hidden}


def _fields(kind: type[Record]) -> dict[str, inspect.Parameter]:
    """A keyword for each field of a type, with the field's limits, default and words."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        name: inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True),
            annotation=Annotated[hints[name], Parameter(help=_plain(field.description or ""))],
        )
        for name, field in kind.model_fields.items()
    }


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "").split())


def _shown(told: inspect.Parameter) -> inspect.Parameter:
    """A keyword as the command line has it: under its flag, a table as NAME=VALUE, and nothing required yet."""
    annotation, words, default = told.annotation, _words(told), told.default
    if _is_table(told):
        annotation, words, default = list[str] | None, f"{_form(told)}: {words}", None
    if default is told.empty:
        annotation, words, default = annotation | None, f"{words} Required.", None
    show = None if default or (default == 0 and default is not False) else False
    negative = f"--no-{flag(told.name)[2:]}" if default is True else ()
    own = Parameter(name=flag(told.name), negative=negative, help=words, show_default=show)
    return told.replace(annotation=Annotated[annotation, own], default=default)


def _words(told: inspect.Parameter) -> str:
    """The help of a keyword."""
    metadata = getattr(told.annotation, "__metadata__", ())
    return next((each.help for each in reversed(metadata) if isinstance(each, Parameter) and each.help), "")


def _is_table(told: inspect.Parameter) -> bool:
    """Whether a keyword takes names with values."""
    kinds = [told.annotation]
    for kind in kinds:
        kinds += get_args(kind)[:1] if get_origin(kind) is Annotated else get_args(kind)
        if get_origin(kind) in (dict, Mapping):
            return True
    return False


def _table(told: inspect.Parameter, given: list[str]) -> dict[Any, Any]:
    """NAME=VALUE, NAME=VALUE, ... as a table; a value is a word, a number, or several of them between commas."""
    pairs = dict(pair.split("=", 1) for pair in given if "=" in pair)
    table = {key.strip(): tuple(value.split(",")) if "," in value else value.strip() for key, value in pairs.items()}
    try:
        if len(pairs) == len(given):
            return dict(TypeAdapter(told.annotation).validate_python(table))
        why = f"{_form(told)}, such as 12=3"
    except ValidationError as error:
        why = f"{_form(told)}, whose {error.errors()[0]['msg'].lower()}"
    raise InputError(
        flag(told.name), "not a name and its value", expected=why, found=repr(" ".join(given)), remedy="correct it"
    )


def _form(told: inspect.Parameter) -> str:
    """How an entry of a table is written: --face-weight takes FACE=WEIGHT."""
    words = flag(told.name).strip("-").upper().split("-")
    return "=".join(words) if len(words) == 2 else "NAME=VALUE"


def _refuse_missing(command: str, told: _Told, said: Mapping[str, Any]) -> None:
    for name, each in told.items():
        if each.default is each.empty and said.get(name) is None:
            raise InputError(
                flag(name), "is missing", expected="a value", found="none", remedy=f"see 'viewcov {command} --help'"
            )


class _Table(Record):
    """Options of a file, as strictly typed as TOML is."""

    model_config = ConfigDict(strict=True)

    @classmethod
    def model_validate(cls, obj: Any, **_: Any) -> Any:
        # A file has lists and words where Python has tuples and paths, as JSON has.
        return cls.model_validate_json(json_module.dumps(obj, default=str))


def _from_file(path: Path, command: str, others: Collection[str], told: _Told) -> dict[str, Any]:
    """What a configuration file says to a command: at its top, and in the table of the command's name."""
    content = read_toml(path)
    names = {command, *others} - set(told)
    tables = {name: value for name, value in content.items() if isinstance(value, dict) and name in names}
    said = {name: value for name, value in content.items() if name not in tables} | tables.get(command, {})
    types: dict[str, Any] = {name: (each.annotation, None) for name, each in told.items() if name != "json"}
    table = records.checked(said, create_model("Options", __base__=_Table, **types), where=path, remedy="mend it")
    return {name: getattr(table, name) for name in said}
