"""Read JSON of a schema out of the text that a language model wrote, and ask once more where it is wrong.

A schema is any pydantic model. Damage with one reading is repaired (see `lenient_json`). Nothing is guessed: JSON that
is cut off, contradicts itself, or gives true, NaN or Infinity for a number is an error. Must not know endpoints.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, RootModel, ValidationError

from harness.llm.lenient_json import CutOff, Mended, NoReading, mend
from harness.llm.protocol import Message
from harness.models.thoughts import before_json

SHOWN = 4000
"""Characters of a wrong answer that the model is shown to repair it."""
COMPLAINTS = 5
TIMES_READ, SHORT = 4, 20_000
"""How often a text, or a short one of so many characters, may be read in vain: hostile ones open what never ends."""
_NUMBER_CUT = re.compile(r"[-+.\deE]*\s*")
_BRACKET = re.compile(r"[{\[]")
_LOOSE = re.compile(r"\{\s*[A-Za-z_]\w*\s*:")
"""What opens JSON whose keys have no quotes, or a remark."""
_MEANT = re.compile(r"\{\s*(?:[\"'}]|\Z)|\[\s*(?:[\[{\"\]]|\Z)")
"""What opens JSON rather than a remark in brackets."""


def read(text: str, schema: type[BaseModel], strictly: bool = False) -> Any:
    """Return the first JSON value in a text that matches the schema, validated.

    Damage is repaired unless it is read `strictly`. Raises ValueError that says what is wrong with the text.
    """
    wrong = ""
    for value in values_in(text, strictly):
        try:
            return _checked(value, schema)
        except ValueError as error:
            wrong = wrong or str(error)
    raise ValueError(wrong or "no JSON")


def is_mended(text: str, schema: type[BaseModel]) -> bool:
    """Whether a text can be read only because damage is repaired."""
    try:
        read(text, schema, strictly=True)
    except ValueError:
        return True
    return False


def values_in(text: str, strictly: bool = False) -> Iterator[Any]:
    """Yield the JSON objects and lists in a text in order, without thoughts and chatter.

    Raises ValueError at JSON that is cut off or broken: nothing inside it or behind it is the answer.
    """
    text, at, in_vain = answer_in(text), 0, 0
    while (start := _opening(text, at)) is not None:
        try:
            value, at = _DECODER.raw_decode(text, start) if strictly else _decoded(text, start)
        except ValueError as error:
            if _MEANT.match(text, start):
                raise ValueError(f"broken JSON: {_fault(error, text, start)}") from None
            at = start + 1
            in_vain += _read_in_vain(error, text) - start
            if in_vain > TIMES_READ * max(len(text), SHORT):
                raise ValueError("broken JSON: too many brackets that are not closed") from None
        except RecursionError:
            raise ValueError("broken JSON: it is nested too deeply") from None
        else:
            yield value


def answer_in(text: str) -> str:
    """Return the part of a text behind its last thought, which may hold the answer.

    A text that is JSON as a whole is returned whole, whatever its strings hold. A thought that does not end is
    followed by nothing.
    """
    whole = _whole(text)
    return before_json(text) if whole is None else whole


def _whole(text: str) -> str | None:
    """Return the text if all of it is JSON, or the string if it is one JSON string; None if it is no JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) else text


def _decoded(text: str, start: int) -> tuple[Any, int]:
    """Return the value at a place and where it ends; damage with one reading is repaired."""
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        mended = _mended(text, start, error)
        try:
            return _DECODER.decode(mended.text), mended.end
        except json.JSONDecodeError:
            # What is wrong with the text itself is said, and not what is wrong with what was made of it.
            raise error from NoReading(mended.end)


def _mended(text: str, start: int, error: json.JSONDecodeError) -> Mended:
    """Return the value with its damage repaired; raise the error if that is not possible."""
    if not (_MEANT.match(text, start) or _LOOSE.match(text, start)):
        raise error
    try:
        return mend(text, start)
    except NoReading as fault:
        if isinstance(fault, CutOff) and error.msg.startswith("Invalid"):
            # An escape or a line break that JSON does not know hid that the text does not end.
            raise
        raise error from fault


def _read_in_vain(error: ValueError, text: str) -> int:
    """Up to where a text was read for an error."""
    tried = error if isinstance(error, NoReading) else error.__cause__
    if isinstance(tried, NoReading):
        return tried.end
    return error.pos if isinstance(error, json.JSONDecodeError) else len(text)


def _opening(text: str, at: int) -> int | None:
    bracket = _BRACKET.search(text, at)
    return bracket.start() if bracket else None


def _fault(error: ValueError, text: str, start: int) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    cut_off = (
        error.pos >= len(text.rstrip())
        or _NUMBER_CUT.fullmatch(text, error.pos)
        or error.msg.startswith("Unterminated string")
    )
    return "it is cut off" if cut_off else f"{error.msg} at character {error.pos - start}"


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no number")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for key, value in pairs:
        if key in whole and whole[key] != value:
            raise ValueError(f"{key!r} is given twice, differently")
        whole[key] = value
    return whole


_DECODER = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_once)


def _checked(value: Any, schema: type[BaseModel]) -> Any:
    try:
        made = schema.model_validate(value)
        _compare(value, made, "")
    except ValidationError as error:
        raise ValueError("; ".join(_complaint(detail) for detail in error.errors()[:COMPLAINTS])) from None
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None
    except ValueError:
        raise
    except Exception as error:
        # Validators of forms that are not ours may raise anything.
        raise ValueError(f"not of the form {schema.__name__} ({type(error).__name__})") from None
    return made


def _complaint(one: Mapping[str, Any]) -> str:
    at = ".".join(str(part) for part in one["loc"])
    message = str(one["msg"]).removeprefix("Value error, ")
    return f"{at}: {message}" if at else message


def _compare(value: Any, made: Any, at: str) -> None:
    """Raise ValueError where pydantic was more lenient with a value than a score can bear."""
    made = made.root if isinstance(made, RootModel) else made
    if isinstance(value, bool) and isinstance(made, int | float) and not isinstance(made, bool):
        raise ValueError(f"{at}: {json.dumps(value)} is no number")
    if isinstance(made, float) and not math.isfinite(made):
        raise ValueError(f"{at}: not a finite number")
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict):
        for key, inner in value.items():
            key.encode()
            _compare(inner, _member(made, key), f"{at}.{key}" if at else key)
    elif isinstance(value, list):
        parts: Sequence[Any] = (
            made if isinstance(made, list | tuple) and len(made) == len(value) else [None] * len(value)
        )
        for number, (inner, part) in enumerate(zip(value, parts, strict=True)):
            _compare(inner, part, f"{at}.{number}" if at else str(number))


def _member(made: Any, key: str) -> Any:
    if isinstance(made, dict):
        return made.get(key)
    if isinstance(made, BaseModel):
        fields = type(made).model_fields
        aliases = {info.validation_alias or info.alias or name: name for name, info in fields.items()}
        return getattr(made, aliases.get(key, key), None)
    return None


@lru_cache(maxsize=256)
def json_schema_of(schema: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a pydantic model, which is part of a question's key; only its name if it has none."""
    try:
        return schema.model_json_schema()
    except Exception:
        # Forms that are not ours may hold types for which pydantic knows no schema.
        return {"title": schema.__name__}


@lru_cache(maxsize=256)
def response_format(schema: type[BaseModel]) -> dict[str, Any] | None:
    """Return the `response_format` to send; None if the model has no JSON schema.

    It is strict where the rules of strict schemas allow it: every key of every object is named.
    """
    from openai import pydantic_function_tool

    json_schema, strict = json_schema_of(schema), False
    if "properties" not in json_schema:
        return None
    if not _open(json_schema):
        try:
            json_schema, strict = dict(pydantic_function_tool(schema)["function"]["parameters"]), True
        except (TypeError, ValueError, KeyError, AssertionError):
            strict = False
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", schema.__name__)[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": json_schema, "strict": strict}}


def _open(json_schema: Any) -> bool:
    """Whether an object of a schema may have keys that the schema does not name."""
    if isinstance(json_schema, list):
        return any(_open(inner) for inner in json_schema)
    if not isinstance(json_schema, dict):
        return False
    unnamed = json_schema.get("type") == "object" and "properties" not in json_schema
    return (
        unnamed or bool(json_schema.get("additionalProperties")) or any(_open(inner) for inner in json_schema.values())
    )


def repair_messages(
    messages: tuple[Message, ...], answer: str, wrong: str, schema: type[BaseModel]
) -> tuple[Message, ...]:
    """Return the messages that ask once more, with the wrong answer and what is wrong with it."""
    json_schema = json.dumps(json_schema_of(schema), ensure_ascii=False)
    shown = answer.encode("utf-8", "replace").decode()[:SHOWN]
    again = (
        f"That answer cannot be used: {wrong}. Answer once more, with one JSON object of this schema and with nothing "
        f"else:\n{json_schema}"
    )
    return (*messages, Message("assistant", shown), Message("user", again.encode("utf-8", "replace").decode()))
