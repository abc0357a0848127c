"""What a reader returns, how it says that it cannot, and the form of text that all readers share."""

from __future__ import annotations

import re
from typing import NamedTuple

from harness.text.chunks import heading_words

_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff]")
_BREAKS = re.compile("\r\n?|[\x0b\x0c\x1c-\x1f\x85\u2028\u2029]")
_ATX = re.compile(r"^[ ]{0,3}(?=#{1,6}(?:[ \t]|$))", re.MULTILINE)
_SURROGATE = re.compile("[\ud800-\udfff]")
MOST_TITLE = 300
"""Characters of a title: longer ones are paragraphs that were marked as a heading."""


class Parsed(NamedTuple):
    """A document. `notes` say what was guessed or lost on the way, each a short sentence that holds for many files."""

    title: str
    text: str
    notes: tuple[str, ...] = ()


class Unreadable(Exception):
    """A file that gives no document: why, in words that are the same for every file with this fault, and what to do."""

    def __init__(self, reason: str, hint: str = "") -> None:
        self.reason, self.hint = reason, hint
        super().__init__(reason, hint)


def clean(text: str) -> str:
    """Return a text with line feeds as its only line breaks, and without control characters and half surrogates."""
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _BREAKS.sub("\n", text)))


def one_line(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return " ".join(text.split())


def heading(level: int, words: str) -> str:
    """Return a heading line of Markdown; empty if there are no words."""
    line = one_line(words)
    return f"{'#' * max(1, min(level, 6))} {line}" if line else ""


def no_heading(text: str) -> str:
    """Indent lines that look like a heading and are none, such as ``# a comment``, so that nobody cuts there."""
    return _ATX.sub("    ", text) if "#" in text else text


def document(title: str, text: str, notes: tuple[str, ...] = ()) -> Parsed:
    """Return a document with clean title and text; its first line is dropped if it is the title as a heading.

    Raises Unreadable if there is no text.
    """
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in clean(text).split("\n"))).strip("\n")
    name = one_line(clean(title))[:MOST_TITLE].rstrip()
    first, _, rest = body.partition("\n")
    if name and one_line(heading_words(first)) == name and rest.strip():
        body = rest.strip("\n")
    if not body.strip():
        raise Unreadable("holds no text")
    return Parsed(name, body, notes)
