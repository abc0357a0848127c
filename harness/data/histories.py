"""Read the turns before a query, in the forms that chat tools and datasets write.

The form of the harness is ``"history": [{"role": "user", "content": "..."}, {"role": "assistant", ...}]``, the oldest
turn first, without the query. Others are read and counted; what has two readings, or none, is a problem.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from harness.data.objects import TEXT_FIELDS, RawRow
from harness.errors import Problem
from harness.values.records import Turn
from harness.values.repairs import Repairing

FIELDS = ("history", "messages", "turns", "conversation", "chat_history", "dialog", "dialogue", "conversations")
"""Where turns are, in the order in which a field is taken. All but the first may hold the query too."""
USERS = {"user", "human", "customer", "client", "questioner", "asker", "seeker", "usr", "prompter", "q"}
ASSISTANTS = {"assistant", "ai", "agent", "bot", "model", "gpt", "chatgpt", "chatbot", "answerer", "responder", "a"}
OTHERS = {"system", "developer", "tool", "function", "observation", "ipython"}
NAMES = USERS | ASSISTANTS | OTHERS
ROLE_KEYS = ("role", "speaker", "from", "author", "sender", "type")
TEXT_KEYS = ("content", "text", "value", "message", "utterance", "body")
ROUNDS = (("question", "answer"), ("query", "answer"), ("query", "response"), ("user", "assistant"), ("human", "ai"))
"""Keys of an object that holds what both said: what the user asked, and the answer to it."""
FORM = 'write "history": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]'
_LABEL = re.compile(r"^[ \t]*\|?([A-Za-z]{1,12})\|?[ \t]*:[ \t]*", re.MULTILINE)


class RawHistory(NamedTuple):
    """Turns as they stand, the field that holds them, and the query if only the turns have it."""

    turns: tuple[Turn, ...] = ()
    field: str = FIELDS[0]
    query: str = ""


class _Unread(ValueError):
    """What is wrong with a history, in words."""


def read_history(row: RawRow, problems: list[Problem], repairing: Repairing) -> RawHistory:
    """Return the turns of a line of queries; none, with a problem, if they cannot be read.

    A line without a text is asked what the last turn asks.
    """
    named = [name for name in FIELDS if _holds_turns(row.fields.get(name), name)]
    if not named:
        return RawHistory()
    field = named[0]
    try:
        if len(named) > 1 and field != FIELDS[0]:
            raise _Unread(f"several fields could be the history ({', '.join(map(repr, named))})")
        reader = _Reader(row.where, repairing)
        turns = tuple(reader.turns(row.fields[field]))
    except _Unread as error:
        problems.append(Problem(row.where, f"{field!r}: {error}", FORM))
        return RawHistory()
    if field != FIELDS[0] or reader.other:
        repairing.note("other-history", row.where, repr(field))
    asks = (
        turns and turns[-1].role == "user" and not any(name in row.fields for name in ("text", *TEXT_FIELDS["query"]))
    )
    if asks and field != FIELDS[0]:
        return RawHistory(turns, field, turns[-1].content)
    return RawHistory(turns, field)


def before(history: RawHistory, text: str, where: str, repairing: Repairing) -> tuple[Turn, ...]:
    """Return the turns before the query `text`: one that is the query itself ends them.

    A whole conversation may also hold what was answered to the query, which must not be shown.
    """
    turns = history.turns
    last = len(turns) - 1
    if turns and turns[-1].role == "assistant" and history.field != FIELDS[0]:
        last -= 1
    if last >= 0 and turns[last].role == "user" and _same(turns[last].content, text):
        if not history.query:
            repairing.note("query-in-history", where, f"{text[:40]!r}")
        return turns[:last]
    return turns


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _holds_turns(value: Any, name: str) -> bool:
    """Whether a field holds turns or should: a number or a short text in one of the others is an id."""
    if value is None or value in ("", [], {}) or (isinstance(value, float) and math.isnan(value)):
        return False
    return name == FIELDS[0] or isinstance(value, list | dict) or (isinstance(value, str) and _names_role(value))


def _names_role(text: str) -> bool:
    """Whether a text begins with who says it, as ``user: ...``."""
    match = _LABEL.match(text)
    return match is not None and match[1].casefold() in NAMES


def _labelled(label: re.Match[str], end: int | None = None) -> dict[str, str]:
    """A turn whose text stands behind the label, up to `end`."""
    return {"role": label[1], "content": label.string[label.end() : end]}


class _Reader:
    """Reads the turns of one line. `other` says that they have another form than that of the harness."""

    def __init__(self, where: str, repairing: Repairing) -> None:
        self.where, self.repairing, self.other = where, repairing, False

    def turns(self, value: Any) -> Iterator[Turn]:
        """Yield the turns with their texts. Raises _Unread."""
        for role, text in self._said(value):
            if role is None or not text.strip():
                self.repairing.note("other-turn", self.where, repr(text[:40]))
            else:
                yield Turn(role, text.strip())

    def _said(self, value: Any) -> Iterator[tuple[Literal["user", "assistant"] | None, str]]:
        if isinstance(value, str):
            value = self._from_text(value)
        if isinstance(value, Mapping):
            inner = [name for name in ("messages", "turns", "history", "conversation") if name in value]
            if len(inner) != 1:
                raise _Unread("is an object, and no list of turns")
            self.other, value = True, value[inner[0]]
        if not isinstance(value, list):
            raise _Unread("is no list of turns")
        if value and all(isinstance(item, str) for item in value):
            if not all(map(_names_role, value)):
                yield from self._alternating(value)
                return
            # Each text says who speaks: MTRAG's, and what LangChain writes as a buffer.
            self.other = True
            value = [_labelled(match) for item in value if (match := _LABEL.match(item))]
        for item in value:
            if isinstance(item, Mapping):
                yield from self._object(item)
            elif (
                isinstance(item, list | tuple)
                and len(item) == 2
                and all(one is None or isinstance(one, str) for one in item)
            ):
                self.other = True
                yield from (("user", item[0] or ""), ("assistant", item[1] or ""))
            else:
                raise _Unread(f"a turn is {json.dumps(item, ensure_ascii=False)[:40]}")

    def _alternating(self, texts: Sequence[str]) -> Iterator[tuple[Literal["user", "assistant"], str]]:
        """Texts in turn: the user's first, and an answer last."""
        if len(texts) % 2:
            raise _Unread(f"{len(texts)} texts without roles do not say who begins and who ends")
        self.other = True
        for place, text in enumerate(texts):
            yield ("assistant" if place % 2 else "user"), text

    def _from_text(self, text: str) -> Any:
        """The turns of a text of lines ``User: ...``, or of JSON."""
        if text.lstrip().startswith(("[", "{")):
            try:
                self.other = True
                return json.loads(text)
            except (ValueError, RecursionError):
                raise _Unread("is a text that begins like JSON and is none") from None
        places = [match for match in _LABEL.finditer(text) if match[1].casefold() in NAMES]
        if not places or text[: places[0].start()].strip():
            raise _Unread("is a text, and no list of turns")
        self.other = True
        ends = [*(place.start() for place in places[1:]), len(text)]
        return [_labelled(place, end) for place, end in zip(places, ends, strict=True)]

    def _object(self, item: Mapping[str, Any]) -> Iterator[tuple[Literal["user", "assistant"] | None, str]]:
        role_key = next((name for name in ROLE_KEYS if isinstance(item.get(name), str)), None)
        if role_key is None:
            yield from self._round(item)
            return
        # LangChain writes {"type": "human", "data": {"content": "..."}}.
        inside = item["data"] if isinstance(item.get("data"), Mapping) else item
        text_key = next((name for name in TEXT_KEYS if name in inside), None)
        role = self._role(item[role_key], role_key)
        if text_key is None:
            if role is None or item.get("tool_calls"):
                yield None, ""
                return
            raise _Unread(f"a turn has no 'content', but {', '.join(map(str, list(item)[:6]))}")
        self.other |= (role_key, text_key) != ("role", "content") or item[role_key] not in ("user", "assistant")
        yield role, self._text(inside[text_key])

    def _round(self, item: Mapping[str, Any]) -> Iterator[tuple[Literal["user", "assistant"], str]]:
        for asked, answered in ROUNDS:
            if asked in item and answered in item:
                self.other = True
                yield from (("user", self._text(item[asked])), ("assistant", self._text(item[answered])))
                return
        raise _Unread(f"a turn has no 'role', but {', '.join(map(str, list(item)[:6])) or 'nothing'}")

    @staticmethod
    def _role(name: str, key: str) -> Literal["user", "assistant"] | None:
        """The role of a name; None for one whose turns are no part of the conversation."""
        plain = name.strip().casefold()
        if plain in USERS:
            return "user"
        # Where speakers are named, the system is the one that answers; a role of that name gives instructions.
        if plain in ASSISTANTS or (plain == "system" and key in ("speaker", "author", "sender")):
            return "assistant"
        if plain in OTHERS:
            return None
        raise _Unread(f"{key} {name!r} is neither the user's nor the assistant's")

    def _text(self, value: Any) -> str:
        if value is None or isinstance(value, str):
            return value or ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.other = True
            return str(value)
        if isinstance(value, list):
            # Parts of a message; pictures and files have no text.
            self.other = True
            parts = [part.get("text") if isinstance(part, Mapping) else part for part in value]
            return "\n".join(part for part in parts if isinstance(part, str))
        raise _Unread(f"the text of a turn is {json.dumps(value, ensure_ascii=False)[:40]}")
