"""Cells of foreign tables as values: ids, texts, lists that were written as text, messages of a conversation.

Lists in CSV are read in every form in which libraries write them: JSON, a Python list, a NumPy array (whose items have
no commas between them), and, for DeepEval, items joined by ``|``.
"""

from __future__ import annotations

import ast
import datetime
import json
import math
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from harness.data.imports.imported import Damaged
from harness.text.decimals import is_finite

STRING = r"""'[^'\\]*+(?:\\.[^'\\]*+)*'|"[^"\\]*+(?:\\.[^"\\]*+)*\""""
STRING_LIST = re.compile(rf"\s*+(?:(?:{STRING})\s*+,?\s*+)*", re.DOTALL)
NESTED_LISTS = re.compile(rf"(?:[\[\],\s]|{STRING})*", re.DOTALL)
ARRAY = re.compile(r"\barray\(|,\s*dtype=(?:object|'[^']*')\s*\)|\)")
EXACT = 2.0**53
LONGEST = 200
"""Most characters of a cell that is kept as metadata."""
HOP = re.compile(r"\s*<\d+-hop>\s*")
"""What ragas writes before each context of a question that needs several."""
MARKER = re.compile(r"deepeval_source=(.*?),deepeval_context=(.*)", re.DOTALL)
"""How DeepEval writes a retrieved context together with its source."""
TABLE_ROW = re.compile(r"^\|(?=[^\s|]).*\|$", re.MULTILINE)
JOIN = re.compile(r"(?<=\S)\|(?=\S)|(?<=\n)\|(?=[^\s|])")
TEXT_KEYS = ("text", "content", "page_content", "contents", "context")
MESSAGES = re.compile(r"""\[\s*\{\s*['"](?:content|role|type)['"]\s*:""")
OBJECTS = re.compile(r"\}\s+\{")
ROLES = {"human": "user", "user": "user", "ai": "assistant", "assistant": "assistant", "bot": "assistant"}


def cell(cells: Mapping[str, Any], column: str | None) -> Any:
    """Return the cell of a column; None if there is no such column."""
    return None if column is None else cells.get(column)


def is_missing(value: Any) -> bool:
    """Return whether a cell holds nothing: null, NaN, or blank text."""
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, str) and not value.strip())
    )


def identifier(value: Any) -> str | None:
    """Return an id as text: ``7`` for 7 and 7.0, white space as ``_``; None if there is none."""
    if is_missing(value) or isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        value = int(value)
    if not isinstance(value, str | int):
        raise Damaged(f"the id is {kind_of(value)}", "give a text or a whole number")
    return "_".join(encodable(str(value)).split())


def encodable(text: str) -> str:
    """Return the text; raise Damaged if it holds half a surrogate pair, or bytes that were not decoded."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Damaged("characters that are not Unicode", "save the file as UTF-8") from None
    return text


def kind_of(value: Any) -> str:
    """Return what a value is, for a sentence."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    return f"the number {value!r}" if isinstance(value, int | float) else f"a value of type {type(value).__name__}"


def text_of(value: Any, column: str) -> str:
    """Return a cell as text; empty if it holds nothing. Raises Damaged for a list or an object."""
    if is_missing(value):
        return ""
    if isinstance(value, str):
        return encodable(value)
    if is_finite(value) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else str(value)
    if isinstance(value, Mapping):
        inner = next((value[key] for key in TEXT_KEYS if isinstance(value.get(key), str)), None)
        if inner is not None:
            return encodable(inner)
    raise Damaged(f"{column!r} is {kind_of(value)}", "give a text")


def strings(value: Any, column: str, *, joined: bool = False) -> list[str]:
    """Return a cell as a list of texts that are not blank: from a list, or from a text in which a list was written.

    A text that is no list is one item. With `joined`, it may hold several items joined by ``|``, as DeepEval writes.
    """
    if is_missing(value):
        return []
    if isinstance(value, Mapping) and isinstance(value.get("text"), list | tuple):
        value = value["text"]
    if isinstance(value, str):
        inner = listed(value)
        value = inner if inner is not None else _unjoined(value) if joined else [value]
    if isinstance(value, list | tuple):
        flat = [inner for item in value for inner in (item if isinstance(item, list | tuple) else [item])]
        return [text for item in flat if (text := text_of(item, column)).strip()]
    return [text_of(value, column)]


def listed(text: str) -> list[str] | None:
    """Return the items of a list of texts that was written as text; None if the text is no such list."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        body = text[1:-1]
        match = STRING_LIST.fullmatch(body)
        return None if match is None else _literals(re.findall(STRING, body, re.DOTALL))
    good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return value if good else None


def nested_ids(value: Any) -> list[str]:
    """Return the ids of a list of lists in order, however deep, also if it was written as text; each id once."""
    if isinstance(value, str):
        text = ARRAY.sub(" ", value.strip()) if "array(" in value else value.strip()
        if text.startswith("[") and text.endswith("]") and NESTED_LISTS.fullmatch(text):
            value = _literals(re.findall(STRING, text, re.DOTALL)) or []
    items = [value] if not isinstance(value, list | tuple) else list(_leaves(value))
    return list(dict.fromkeys(key for item in items if (key := identifier(item)) is not None))


def _leaves(value: Any, depth: int = 0) -> Iterable[Any]:
    if isinstance(value, list | tuple) and depth < 20:
        for item in value:
            yield from _leaves(item, depth + 1)
    else:
        yield value


def _literals(literals: Iterable[str]) -> list[str] | None:
    """Return the texts that string literals stand for; None if one of them stands for none."""
    texts = []
    for literal in literals:
        if "\\" not in literal and "\n" not in literal:
            texts.append(literal[1:-1])
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                texts.append(str(ast.literal_eval(literal.replace("\n", "\\n"))))
        except (ValueError, SyntaxError):
            return None
    return texts


def _unjoined(text: str) -> list[str]:
    """Return the items of a text that were joined by ``|``.

    A sign with blanks around it, or in a table, belongs to the text. In a compact Markdown table the two cannot be
    told apart, and the text is one item.
    """
    if "|" not in text or TABLE_ROW.search(text):
        return [text]
    return [item for item in JOIN.split(text) if item.strip()]


def context_of(text: str) -> tuple[str, str]:
    """Return the text of a context without the signs that libraries write into it, and the source that they name."""
    hop = HOP.match(text)
    text = text[hop.end() :] if hop else text
    match = MARKER.fullmatch(text)
    return (match[2], match[1]) if match else (text, "")


def messages(value: Any) -> list[dict[str, str]] | None:
    """Return the messages of a conversation by users and assistants, oldest first; None if the cell is none.

    Read are lists of messages with ``role`` or ``type`` and ``content``, also if they were written as text. Messages of
    tools and systems, and empty ones, are left out.
    """
    if isinstance(value, str):
        text = value
        value = _written(text)
        if value is None and MESSAGES.match(text):
            raise Damaged("a conversation that was saved as text and cannot be read", "save it as JSON Lines")
    if not isinstance(value, list | tuple) or not value or not all(isinstance(item, Mapping) for item in value):
        return None
    if not all("content" in item and ("role" in item or "type" in item) for item in value):
        return None
    turns = []
    for item in value:
        role = ROLES.get(str(item.get("role") or item.get("type")).lower())
        content = item["content"]
        if isinstance(content, list | tuple):
            content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
        content = encodable(content) if isinstance(content, str) else ""
        if role is not None and content.strip():
            turns.append({"role": role, "content": content})
    return turns


def _written(text: str) -> Any:
    """Return the list of objects that was written as text: as JSON, as Python, or as NumPy; None if it is none."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]") and "{" in text):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    for form in (text, OBJECTS.sub("}, {", ARRAY.sub(" ", text))):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.literal_eval(form)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return None


def metadata_of(cells: Mapping[str, Any], used: Iterable[str]) -> dict[str, Any]:
    """Return the short plain values of the other columns, for slices and groups."""
    skipped = set(used)
    kept: dict[str, Any] = {}
    for name, value in cells.items():
        if name in skipped or not str(name).strip() or is_missing(value) or str(name).startswith("Unnamed:"):
            continue
        if isinstance(value, datetime.date | datetime.time):
            value = value.isoformat()
        plain = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
        if plain or (isinstance(value, str) and len(value) <= LONGEST and _clean(value) and _clean(str(name))):
            kept[str(name)] = value
    return kept


def _clean(text: str) -> bool:
    try:
        encodable(text)
    except Damaged:
        return False
    return True
