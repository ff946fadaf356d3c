"""Where settings come from, and how each is named and described there: flags, environment, YAML file.

The command line wins over the environment, that over the YAML file, that over the default. Everything here is
derived from the fields of :class:`modules.settings.Settings`, so that a setting is written down once.
"""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast, get_args, get_origin

import yaml
from annotated_types import Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from modules.errors import UsageError
from modules.settings import MIB, MOST, Folder, Note, Settings, redact

ENV_PREFIX = "IMGSIEVE_"
CONFIG_ENV = "IMGSIEVE_CONFIG"
CONFIG_FILE = "config.yaml"
#: Environment names that the container job has always had; every other one has ENV_PREFIX before its name.
PLAIN_ENV = frozenset(
    {
        "num_azure_connections",
        "min_download_workers",
        "max_download_workers",
        "num_process_workers",
        "batch_size",
        "max_requests_per_second",
    }
)


def env_name(field: str) -> str:
    """The environment variable of a setting."""
    return field.upper() if field in PLAIN_ENV else ENV_PREFIX + field.upper()


def flag_names(field: str) -> tuple[str, ...]:
    """The command line flags of a setting; ``source`` has none, it is the argument."""
    return () if field == "source" else ("--" + field.replace("_", "-"), *note_of(field).flags)


def note_of(field: str) -> Note:
    """The :class:`Note` of a setting."""
    return next(item for item in _field(field).metadata if isinstance(item, Note))


def choices(field: str) -> tuple[str, ...]:
    """The words that a setting may be, empty where it is free."""
    annotation = _field(field).annotation
    kinds = (annotation, *get_args(annotation))
    return next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())


def is_list(field: str) -> bool:
    """Whether a setting is a list of names."""
    return get_origin(_field(field).annotation) is tuple


def metavar(field: str) -> str:
    """How ``--help`` shows the value of a setting."""
    if choices(field):
        return "|".join(choices(field))
    if _number(field):
        return "SIZE" if _is_size(field) else "N"
    return note_of(field).form or ("NAME,..." if is_list(field) else "PLACE")


def allowed(field: str) -> str:
    """What a setting may be, in words, derived from its type."""
    annotation = _field(field).annotation
    if choices(field):
        return ("one or more of " if is_list(field) else "one of ") + ", ".join(choices(field))
    most = next((item.le for item in _bounds(field) if isinstance(item, Le)), None)
    if _number(field) is int:
        return (
            "a size such as 64 MiB or a number of bytes"
            if _is_size(field)
            else f"a whole number, 1 to {most or MOST:,}"
        )
    if is_list(field):
        return f"{note_of(field).form or 'one or more names'}, comma-separated"
    if annotation is float:
        return "a number above 0" if most is None else f"a number above 0, up to {most:,}"
    if annotation == Folder | None:
        return "an existing folder that may be written to"
    return "true or false" if annotation is bool else "a text that is not empty"


def _bounds(field: str) -> list[object]:
    """What a setting's type says of its values, also where it may be left out."""
    bounds: list[object] = list(_field(field).metadata)
    for kind in get_args(_field(field).annotation):
        for note in getattr(kind, "__metadata__", ()):
            bounds += getattr(note, "metadata", [note])
    return bounds


def default_text(field: str) -> str:
    """The default of a setting as help and docs show it."""
    value = _field(field).get_default()
    if note_of(field).default:
        return note_of(field).default
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and _is_size(field):
        return f"{value // MIB} MiB"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(field: str) -> type[int] | type[float] | None:
    """The kind of number that a setting is, whether or not it may be left out."""
    annotation = _field(field).annotation
    kinds = {annotation, *(get_args(kind)[0] if get_args(kind) else kind for kind in get_args(annotation))}
    return int if int in kinds else float if float in kinds else None


def _is_size(field: str) -> bool:
    return field.endswith("_bytes")


def load(
    flags: Mapping[str, object],
    *,
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    folder: Path = Path("."),
    needs_source: bool = True,
) -> Settings:
    """The settings of a job from all their places.

    flags: field name to value as given on the command line (None: not given). config: the YAML file, else the
    one that IMGSIEVE_CONFIG names, else config.yaml in ``folder`` if there. needs_source: False for a command that
    reads no pictures, whose settings then name ``folder``. Raises UsageError, in one line, for an unknown setting and
    for a bad value, naming it, its value, where it came from and what is allowed.
    """
    named = config or _named_config(environ)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for origin, layer in (
        ("in {file}", _read_yaml(named, folder)),
        ("from environment variable {env}", _read_environment(environ)),
        ("from {flag}", {name: value for name, value in flags.items() if value is not None}),
    ):
        for field, value in layer.items():
            flag = next(iter(flag_names(field)), "the SOURCE argument")
            values[field] = value
            origins[field] = origin.format(file=named or CONFIG_FILE, env=env_name(field), flag=flag)
    if not needs_source:
        values.setdefault("source", str(folder))
    if "source" not in values:
        raise UsageError(
            "no source given: name a folder or container (imgsieve SOURCE), or set IMGSIEVE_SOURCE, "
            f"or source: in {named or CONFIG_FILE}; see imgsieve --help"
        )
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise UsageError(_one_line(error, values, origins)) from None


def wants_json(arguments: Sequence[str], *, environ: Mapping[str, str] = os.environ, folder: Path = Path(".")) -> bool:
    """Whether ``log_format`` is json, told before anything is parsed: errors of parsing have that form too.

    Looks where :func:`load` does, in the same order, and raises nothing: what is wrong there load says.
    """
    asked = _last_value(arguments, "--log-format") or environ.get(env_name("log_format"), "").strip()
    if asked:
        return asked == "json"
    config = _last_value(arguments, "--config")
    try:
        content = _yaml_content(Path(config) if config else _named_config(environ), folder)
    except UsageError:
        return False
    return content.get("log_format") == "json"


def _last_value(arguments: Sequence[str], flag: str) -> str | None:
    """The value that counts of a flag on a command line: the last one before ``--``."""
    found = None
    for word, following in itertools.zip_longest(arguments, arguments[1:]):
        if word == "--":
            break
        if word == flag:
            found = following
        elif word.startswith(flag + "="):
            found = word.partition("=")[2]
    return found


def _named_config(environ: Mapping[str, str]) -> Path | None:
    return Path(environ[CONFIG_ENV]) if environ.get(CONFIG_ENV) else None


def _field(name: str) -> FieldInfo:
    return Settings.model_fields[name]


def _read_environment(environ: Mapping[str, str]) -> dict[str, object]:
    names = {env_name(field): field for field in Settings.model_fields}
    for variable in environ:
        if variable.startswith(ENV_PREFIX) and variable not in names and variable != CONFIG_ENV:
            known = {name.removeprefix(ENV_PREFIX): name for name in names}
            raise UsageError(f"unknown setting {variable} in the environment{_nearest(variable, known)}")
    return {field: environ[name] for name, field in names.items() if environ.get(name, "").strip()}


def _read_yaml(named: Path | None, folder: Path) -> dict[str, object]:
    content = _yaml_content(named, folder)
    for key in content:
        if key not in Settings.model_fields:
            path = named or folder / CONFIG_FILE
            raise UsageError(f"unknown setting {key} in {path}{_nearest(str(key).lower(), Settings.model_fields)}")
    return {key: value for key, value in content.items() if value is not None}


def _yaml_content(named: Path | None, folder: Path) -> dict[str, object]:
    """What the file holds, empty where there is none that need be there; keys are not looked at."""
    path = named or folder / CONFIG_FILE
    if named is None and not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"config file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"config file {path} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise UsageError(f"config file {path} is not valid YAML{_place(error)}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"config file {path} holds a date or number that is none, or is nested too deeply") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"config file {path} must hold lines of the form 'setting: value'")
    return cast("dict[str, object]", content)


def _place(error: yaml.YAMLError) -> str:
    """Where the YAML breaks; the library's own text quotes the line, which may be a part of a secret."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f": {redact(error.problem or 'broken')} (line {mark.line + 1}, column {mark.column + 1})"
    return ": it holds a character that YAML does not allow"


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name.removeprefix(ENV_PREFIX), list(known), n=1)
    if not near:
        return ": docs/settings.md lists all of them"
    return f": did you mean {env_name(near[0].lower()) if near[0].isupper() else near[0]}?"


def _one_line(error: ValidationError, values: Mapping[str, object], origins: Mapping[str, str]) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    field = str(first["loc"][0])
    shown = values.get(field)
    text = ",".join(map(str, shown)) if isinstance(shown, (list, tuple)) else str(shown)
    origin = origins.get(field, "as given")
    return f"{field} = {redact(text)!r} {origin} is not usable: it must be {allowed(field)}"
