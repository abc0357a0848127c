"""Prompt templates for endpoints: load one, check its placeholders, fill it; and shorten the passages that fill it.

The shipped templates are ``harness/prompts/<name>.txt``; a suite may name its own files. A first line ``# version: n``
numbers the wording and is not part of the text. Must not know which stage or endpoint uses them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Literal

from harness.errors import ConfigError, Problem
from harness.files import read_whole
from harness.llm.protocol import Message
from harness.suite.roles import PromptName

_QUERIES = frozenset({"passage", "count"})
PLACEHOLDERS: Mapping[PromptName, frozenset[str]] = {
    "question": _QUERIES,
    "keyword": _QUERIES,
    "claim": _QUERIES,
    "label": frozenset({"query", "passage"}),
    "instruct": frozenset({"question", "passage", "sentence"}),
    "rewrite": frozenset({"question", "conversation"}),
}
"""The placeholders that each template must and may have. `count` is the number of queries wanted, `sentence` the reply
where the passage holds no answer."""

WORDS_A_TOKEN = 0.75
CHARACTERS_A_TOKEN = 6
"""Where words are long or not set apart by spaces, characters are counted instead."""
_DENSE = re.compile(r"[\u2e80-\u2fff\u3001-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
"""Characters of Chinese, Japanese and Korean, their punctuation included: about one token each."""
_TURN = re.compile(r"^### (user|assistant|system)[ \t]*$", re.MULTILINE)
_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "user": "user", "assistant": "assistant",
}  # fmt: skip
_VERSION = re.compile(r"# version: (\d+)[ \t]*(?:\r?\n|\Z)")


def load(name: str, path: str | Path | None = None) -> str:
    """Return the text of a template without its version line: the shipped one, or that of a file of the suite.

    Raises ConfigError if the file cannot be read.
    """
    return _VERSION.sub("", _read(name, path), count=1).strip()


def version(name: str, path: str | Path | None = None) -> int | None:
    """Return the version in the first line of a template's file; None if it has none."""
    match = _VERSION.match(_read(name, path))
    return int(match[1]) if match else None


def _read(name: str, path: str | Path | None) -> str:
    file = resources.files("harness").joinpath("prompts", f"{name}.txt") if path is None else Path(path)
    try:
        return (read_whole(file) if isinstance(file, Path) else file.read_bytes()).decode("utf-8-sig")
    except OSError as error:
        what = f"the prompt's file {str(file)!r} cannot be read ({error.strerror or type(error).__name__})"
        raise ConfigError(Problem(f"llm.prompts.{name}", what, "correct its path, or leave the key out")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            Problem(f"llm.prompts.{name}", f"{str(file)!r} is not UTF-8 text", "save it as UTF-8")
        ) from error


def check(name: PromptName, text: str) -> Problem | None:
    """Return the problem with the placeholders of a template, None if there is none."""
    template, needed = Template(text), PLACEHOLDERS[name]
    if not template.is_valid():
        what = "a '$' in the prompt begins no placeholder"
        return Problem(f"llm.prompts.{name}", what, "write '$$' for a plain dollar sign")
    if _TURN.findall(text)[-1:] not in ([], ["user"]):
        return Problem(f"llm.prompts.{name}", "the last turn of the prompt is not the user's", "end it with a question")
    used = set(template.get_identifiers())
    known = f"it takes {_named(needed)}"
    if unknown := used - needed:
        return Problem(f"llm.prompts.{name}", f"the prompt has an unknown placeholder {_named(unknown)}", known)
    if missing := needed - used:
        return Problem(f"llm.prompts.{name}", f"the prompt lacks the placeholder {_named(missing)}", known)
    return None


def _named(names: set[str] | frozenset[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names))


def fill(text: str, **values: str) -> str:
    """Return the template with its placeholders filled; a '$' inside a value is left as it is."""
    return Template(text).substitute(values)


def messages(text: str, **values: str) -> tuple[Message, ...]:
    """Return the messages of a filled template: one user message, unless the template has turns.

    A line ``### user``, ``### assistant`` or ``### system`` begins a turn: small models follow examples that are given
    as finished turns better than rules. A value that fills a placeholder cannot begin a turn.
    """
    return tuple(turn._replace(content=fill(turn.content, **values)) for turn in turns(text))


def turns(text: str) -> list[Message]:
    """Return the turns of a template, its placeholders not filled."""
    first, *rest = _TURN.split(text)
    cut = [("user", first), *zip(rest[::2], rest[1::2], strict=True)]
    return [Message(_ROLES[role], content.strip()) for role, content in cut if content.strip()]


def shorten(text: str, tokens: int) -> str:
    """Return the beginning of a text that has about `tokens` tokens, estimated as `rough_tokens` does.

    The tokenizer of an endpoint is not known here.
    """
    return _shorten_dense(text, tokens) if _DENSE.search(text) else _shorten_words(text, tokens)


def _shorten_words(text: str, tokens: int) -> str:
    most = int(tokens * WORDS_A_TOKEN)
    for number, word in enumerate(re.finditer(r"\S+", text)):
        if number == most:
            text = text[: word.start()]
            break
    return text[: tokens * CHARACTERS_A_TOKEN].strip()


def _shorten_dense(text: str, tokens: int) -> str:
    """Cut a text with Chinese, Japanese or Korean in it between two of its characters or words."""
    text = text.strip()
    ends = [
        unit.end()
        for unit in re.finditer(rf"{_DENSE.pattern}|(?:(?!{_DENSE.pattern})\S){{1,{CHARACTERS_A_TOKEN}}}", text)
    ]
    # The estimate grows with the beginning of a text, so that the longest one that fits can be bisected.
    fitting = bisect_right(ends, tokens, key=lambda end: rough_tokens(text[:end]))
    beginning = text[: ends[fitting - 1]] if fitting else ""
    return beginning if _DENSE.search(beginning) else _shorten_words(beginning, tokens)


def rough_tokens(text: str) -> int:
    """Estimate the tokens of a text by its script, at least 1; the same whichever tokenizer a model has.

    A character of Chinese, Japanese or Korean counts as one token. Of other scripts, a word counts as 4/3 tokens or six
    characters as one, whichever gives more.
    """
    other, dense = _DENSE.subn(" ", text)
    words, characters = len(other.split()), len(other) - dense
    return max(1, dense + max(round(words / WORDS_A_TOKEN), round(characters / CHARACTERS_A_TOKEN)))
