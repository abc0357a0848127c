"""Plain text, as it is; reStructuredText with its underlined titles as headings."""

from __future__ import annotations

import re

from harness.ingest.readers.encodings import decode
from harness.ingest.readers.parsed import Parsed, clean, document, heading, no_heading

_ALL_ONE_SIGN = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*$")
_ROLE = re.compile(
    r":[\w:.+-]{1,100}:`(?P<role>[^`<]*+)(?P<target><[^`>]*>)?`|``(?P<code>[^`]+)``"
    r"|`(?P<link>[^`<]++)(?P<address><[^`>]*>)?`_*"
)


def read_text(raw: bytes) -> Parsed:
    """Return a text as it is, without a title."""
    decoded = decode(raw)
    return document("", decoded.text, decoded.notes)


def read_rst(raw: bytes) -> Parsed:
    """Return a text whose underlined titles are headings; levels are in the order in which their rules appear."""
    decoded = decode(raw)
    lines = clean(decoded.text).expandtabs().split("\n")
    levels: dict[tuple[str, bool], int] = {}
    written: list[str] = []
    title, number = "", 0
    while number < len(lines):
        over = _is_over(lines, number)
        place = number + 1 if over else number
        if over or _is_title(lines, place):
            level = levels.setdefault((lines[place + 1][0], over), len(levels) + 1)
            words = _ROLE.sub(_shown, lines[place])
            title = title or words
            written += ["", heading(level, words.replace("\\", "")), ""]
            number = place + 2
        else:
            written.append(no_heading(lines[number]))
            number += 1
    return document(title, "\n".join(written), decoded.notes)


def _shown(marked: re.Match[str]) -> str:
    """What a page shows of marked words: no targets and addresses."""
    words = marked["role"] or marked["code"] or marked["link"] or ""
    return words.rstrip() if marked["target"] or marked["address"] else words


def _is_title(lines: list[str], place: int) -> bool:
    """Whether a line stands above a rule that is as long as it, and is neither a rule itself nor inside a table."""
    if place + 1 >= len(lines):
        return False
    line, rule = lines[place], lines[place + 1].rstrip()
    if not line.strip() or line[0] == " " or _ALL_ONE_SIGN.match(line) or not _ALL_ONE_SIGN.match(rule):
        return False
    # The rule of a table's head has text above it too, but stands among rules with gaps.
    return len(rule) >= min(len(line.rstrip()), 4) and any(map(str.isalnum, line)) and not _ends_table(lines, place)


def _ends_table(lines: list[str], place: int) -> bool:
    return place > 0 and bool(re.fullmatch(r"=+(\s+=+)+\s*", lines[place - 1]))


def _is_over(lines: list[str], number: int) -> bool:
    """Whether a line is the rule above a title."""
    if number + 2 >= len(lines) or not _ALL_ONE_SIGN.match(lines[number]):
        return False
    over, words, under = (line.rstrip() for line in lines[number : number + 3])
    return (
        over == under
        and bool(words.strip())
        and not _ALL_ONE_SIGN.match(words)
        and len(over) >= min(len(words.strip()), 4)
    )
