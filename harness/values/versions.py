"""Read values that any version of the harness wrote: older ones are upgraded, newer ones refused with their version.

A field with a default may be added at any time: older files are still read, and an older harness reports that the file
is newer. To remove a field, or to change its meaning, raise the version of the form.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from harness import __version__
from harness.errors import ConfigError, Problem
from harness.files import read_text
from harness.values.upgrades import upgraded

Value = TypeVar("Value", bound=BaseModel)
MOST_NAMED = 3


class FileKind(NamedTuple):
    """A kind of file: its name, the prefix of its `schema_version`, and the newest version that is read.

    `hints` are shown if there is no file, and if it cannot be read.
    """

    name: str
    schema: str
    newest: int
    hints: tuple[str, str]


def read_value(path: Path, model: type[Value], kind: FileKind) -> Value:
    """Read a value of a kind; raise ConfigError for a file that is missing, damaged or newer."""
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(Problem(str(path), f"no {kind.name} here", kind.hints[0])) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(str(path), f"not the text of an {kind.name}", kind.hints[1])) from error
    try:
        return model.model_validate_json(_in_names_of_today(text, kind))
    except ValidationError as error:
        raise ConfigError(_why(path, text, error, kind)) from error


def _in_names_of_today(text: str, kind: FileKind) -> str:
    """Return the text of a value, upgraded if an earlier version of the form wrote it."""
    try:
        value = json.loads(text)
        stated = _stated(value, kind) if isinstance(value, dict) else None
        if stated is None or stated >= kind.newest:
            return text
        return json.dumps({**upgraded(value), "schema_version": f"{kind.schema}{kind.newest}"})
    except (ValueError, RecursionError):
        return text  # the caller reports the problem


def _stated(value: dict[str, Any], kind: FileKind) -> int | None:
    """Return the version of the form that a value states; 1 if it states none, None if it is of another kind."""
    stated = re.fullmatch(re.escape(kind.schema) + r"(\d{1,6})", str(value.get("schema_version", f"{kind.schema}1")))
    return int(stated[1]) if stated else None


def _why(path: Path, text: str, error: ValidationError, kind: FileKind) -> Problem:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as damage:
        what = f"damaged: cut off or not JSON ({damage.msg} at column {damage.colno})"
        return Problem(f"{path}:{damage.lineno}", what, kind.hints[1])
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return Problem(str(path), f"not the text of an {kind.name}", kind.hints[1])
    stated, writer = _stated(value, kind), _writer(value)
    newer = stated is not None and stated > kind.newest
    unknown = [_dotted(fault["loc"]) for fault in error.errors() if fault["type"] == "extra_forbidden"]
    if newer or _later(writer) or (unknown and len(unknown) == error.error_count()):
        by = f"harness {writer}" if writer else "another harness"
        more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
        holds = f", with what this one does not know ({', '.join(unknown[:MOST_NAMED])}{more})" if unknown else ""
        what = f"written by {by} as {value.get('schema_version', kind.name)}{holds}; this is harness {__version__}"
        return Problem(str(path), what, f"upgrade the harness, or {kind.hints[1]}")
    first = error.errors()[0]
    what = f"not an {kind.name} that harness {__version__} reads ({_dotted(first['loc'])}: {first['msg'].lower()})"
    return Problem(str(path), what, kind.hints[1])


def _writer(value: dict[str, Any]) -> str:
    """Return the version of the harness that wrote a value; empty if it is not stated."""
    provenance = value.get("provenance")
    writer = provenance.get("harness") if isinstance(provenance, dict) else None
    return writer if isinstance(writer, str) else ""


def _later(version: str) -> bool:
    """Return whether a version is later than this one, by its numbers."""
    theirs, ours = ([int(number) for number in re.findall(r"\d+", text)[:3]] for text in (version, __version__))
    return theirs > ours


def _dotted(at: tuple[int | str, ...]) -> str:
    return ".".join(map(str, at)) or "the whole"
