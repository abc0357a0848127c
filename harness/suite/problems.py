"""Problems of a suite file: in words what the check of a spec found, with the place of each.

Knows the shape of specs and nothing of what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from harness.errors import Problem, nearest
from harness.suite import secrets
from harness.suite.fields import NAME_PATTERN, NAME_SHAPE
from harness.suite.renamed import SCHEMA, KeyPath, suggestion
from harness.suite.spec import Suite
from harness.suite.written import SuiteFile

SHAPES = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "too_short": "a list that is not empty",
    "none_required": "null",
}


def problems_of(details: Sequence[ErrorDetails], file: SuiteFile) -> list[Problem]:
    """Return what a failed check found, in the words of the file; a misspelt key is not told as missing, too."""
    told = [(detail, _problem_of(detail, file)) for detail in details]
    meant = {(detail["loc"][:-1], problem.hint) for detail, problem in told if detail["type"] == "extra_forbidden"}

    def misspelt(detail: ErrorDetails) -> bool:
        if detail["type"] != "missing":
            return False
        *section, key = detail["loc"]
        return (tuple(section), f"did you mean {key!r}?") in meant

    return [problem for detail, problem in told if not misspelt(detail)]


def _problem_of(detail: ErrorDetails, file: SuiteFile) -> Problem:
    """Return what a detail of a failed check says, in the words of the file."""
    at, kind, given = detail["loc"], detail["type"], detail.get("input")
    where = file.where(at)
    if kind == "extra_forbidden":
        return Problem(where, "unknown key", suggestion(at[:-1], str(at[-1]), _keys_at(at[:-1])))
    if kind == "missing":
        return Problem(where, "missing", f"add 'schema: {SCHEMA}'" if at == ("schema",) else f"add '{at[-1]}:'")
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", detail["msg"])
        return Problem(where, f"{_shown(given, at)} is not allowed", nearest(str(given), expected))
    if kind == "value_error":
        return Problem(where, detail["msg"].removeprefix("Value error, "))
    shape = NAME_SHAPE if detail.get("ctx", {}).get("pattern") == NAME_PATTERN else SHAPES.get(kind)
    wanted = f"should be {shape}" if shape else detail["msg"].removeprefix("Input ")
    return Problem(where, f"{wanted[0].lower()}{wanted[1:]}, not {_shown(given, at)}")


def _shown(given: Any, at: KeyPath) -> str:
    """What was given, as it may be printed: of a role neither a whole section nor what may be a key."""
    if at[:1] == ("llm",) and isinstance(given, dict | list):
        return "a list" if isinstance(given, list) else "a mapping"
    if at[:1] == ("llm",) and isinstance(given, str) and secrets.looks_like_key(given):
        return f"{given[: secrets.SHOWN]}{secrets.MASK}"
    return repr(given)


def _keys_at(at: KeyPath) -> list[str]:
    """The keys that are known at a path of a suite."""
    kind: Any = Suite
    for part in at:
        kind = _kind_inside(kind, part)
    return list(_fields_of(kind))


def _kind_inside(kind: Any, part: str | int) -> Any:
    """The type of what stands at a key or at a number of a value of this type."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    if get_origin(kind) is tuple:
        return get_args(kind)[0]
    return _fields_of(kind).get(str(part))


def _fields_of(kind: Any) -> dict[str, Any]:
    """The keys and their types of a spec class, also if it stands in something like ``RoundTrip | None``."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {info.alias or name: info.annotation for name, info in kind.model_fields.items()}
    return next((fields for inner in get_args(kind) if (fields := _fields_of(inner))), {})
