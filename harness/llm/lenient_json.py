r"""Rewrite JSON that has small damage with a single reading as valid JSON.

Repaired are: a backslash that begins no escape (as in LaTeX), raw line breaks and other control characters in a string,
a comma before a closing bracket, comments, True, False and None, strings in single quotes, keys without quotes, numbers
such as ``.5`` and ``+1``, and other kinds of spaces. Damage with two readings or none is left as it is, and JSON's own
rules refuse it: a quote inside a string, a missing comma or bracket, two values, NaN. No value is ever guessed.

A text with a backslash that begins no escape was written without escaping backslashes. In it, ``\b`` and ``\f`` before
a letter are no backspace and no form feed, and ``\n``, ``\r`` and ``\t`` begin a command where LaTeX has one. In all
other texts an escape means what JSON says.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

ESCAPES = '"\\/bfnrt'
LITERALS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
COMMANDS = frozenset(
    ("nu", "nabla", "neq", "neg", "not", "notin", "ni", "nmid", "nearrow", "rho", "right", "rightarrow", "rangle",
     "rceil", "rfloor", "rm", "tau", "theta", "times", "text", "textbf", "textit", "textrm", "tan", "tanh", "tfrac",
     "tilde", "to", "top", "triangle")
)  # fmt: skip
"""Commands of LaTeX that begin as a line break, a return or a tab does in JSON."""
_LONE = re.compile(r"(?<!\\)(?:\\\\)*\\(?!u[0-9a-fA-F]{4})[^\"\\/bfnrt']")
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_LETTERS = re.compile(r"[A-Za-z]+")
_SPACE = re.compile(r"\s+|\ufeff")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|#[^\n]*", re.DOTALL)
_COLON, _TEXT_ENDS = re.compile(r"\s*:"), re.compile(r"\s*[,:\]}]")
_WHOLE_U = re.compile(r"\\u[0-9a-fA-F]{4}")


class Mended(NamedTuple):
    """Valid JSON, and the place in the original text where the value ends."""

    text: str
    end: int


class NoReading(ValueError):
    """The text has no single reading; it was read up to `end`."""

    why = "it has no single reading"

    def __init__(self, end: int) -> None:
        self.end = end
        super().__init__(self.why)


class CutOff(NoReading):
    """The text ends before the value does."""

    why = "it is cut off"


def mend(text: str, start: int) -> Mended:
    """Return the object or list that begins at `start` as valid JSON.

    Raises NoReading if it has no single reading, and CutOff if the text ends before the value does.
    """
    return _Reader(text, start).whole()


class _Reader:
    """Reads one value and rewrites it token by token."""

    def __init__(self, text: str, start: int) -> None:
        self.text, self.at = text, start
        self.written: list[str] = []
        self.open: list[str] = []
        self.start = start

    def whole(self) -> Mended:
        while self.at < len(self.text):
            if not self._step():
                raise NoReading(self.at)
            if not self.open:
                return Mended("".join(self.written), self.at)
        raise CutOff(self.at)

    def _step(self) -> bool:
        """Take the next token; False if it can be none."""
        letter = self.text[self.at]
        space = _SPACE.match(self.text, self.at) or _COMMENT.match(self.text, self.at)
        if space is not None:
            self.at = space.end()
            # One for all that follow each other, so that the token before them is near.
            self.written += [" "] if self.written[-1:] != [" "] else []
            return True
        if letter in "{[":
            self.open.append("}" if letter == "{" else "]")
        elif letter in "}]":
            if self.open.pop() != letter:
                return False
            self._without_last_comma()
        elif letter in "\"'":
            return self._string(letter)
        elif letter not in ",:":
            return self._bare()
        self.written.append(letter)
        self.at += 1
        return True

    def _without_last_comma(self) -> None:
        """A comma before a closing bracket separates nothing; one alone in brackets is no list."""
        last = self._last_token(len(self.written))
        if last < 0 or self.written[last] != ",":
            return
        before = self._last_token(last)
        if before >= 0 and self.written[before] not in ("{", "[", ",", ":"):
            self.written[last] = " "

    def _last_token(self, end: int) -> int:
        """The number of the last token before another one that is no space; -1 if there is none."""
        return next((number for number in range(end - 1, -1, -1) if self.written[number] != " "), -1)

    def _bare(self) -> bool:
        """A number, a literal, or a key without quotes."""
        number = _NUMBER.match(self.text, self.at)
        if number is not None and not self._goes_on(number.end()):
            self.at = number.end()
            self.written.append(_number(number[0]))
            return True
        word = _WORD.match(self.text, self.at)
        if word is None:
            return False
        self.at = word.end()
        if self._is_key():
            self.written.append(f'"{word[0]}"')
        else:
            # Others, such as NaN, are for JSON's own rules to refuse.
            self.written.append(LITERALS.get(word[0], word[0]))
        return True

    def _goes_on(self, end: int) -> bool:
        return end < len(self.text) and (self.text[end].isalnum() or self.text[end] in "._+-%/")

    def _is_key(self) -> bool:
        """Whether what was just read is a key: in an object, after its start or a comma, before a colon."""
        last = self._last_token(len(self.written))
        before = self.written[last] if last >= 0 else ""
        after = _COLON.match(self.text, self.at)
        return self.open[-1:] == ["}"] and before in ("{", ",") and after is not None

    def _string(self, quote: str) -> bool:
        parts = ['"']
        self.at += 1
        while self.at < len(self.text):
            letter = self.text[self.at]
            if letter == quote:
                self.at += 1
                parts.append('"')
                self.written.append("".join(parts))
                # A text in single quotes may hold apostrophes: it ends only where a text can end.
                return quote == '"' or _TEXT_ENDS.match(self.text, self.at) is not None
            if letter == "\\":
                parts.append(self._escape(quote))
            else:
                parts.append(_plain(letter))
                self.at += 1
        return True

    def _escape(self, quote: str) -> str:
        """What begins with a backslash, as JSON writes it."""
        after = self.text[self.at + 1 : self.at + 2]
        if after == "'":
            self.at += 2
            return "'"
        whole_u = _WHOLE_U.match(self.text, self.at)
        if whole_u is not None:
            self.at = whole_u.end()
            return whole_u[0]
        if after and after in ESCAPES and not self._is_command(after):
            self.at += 2
            return f"\\{after}"
        self.at += 1
        return "\\\\"

    def _is_command(self, after: str) -> bool:
        """Whether an escape is none, but the beginning of a command of LaTeX."""
        letters = _LETTERS.match(self.text, self.at + 1)
        if letters is None or _last_lone(self.text) < self.start:
            return False
        return (after in "bf" and len(letters[0]) > 1) or letters[0] in COMMANDS


@lru_cache(maxsize=1)
def _last_lone(text: str) -> int:
    """Where the last backslash that begins no escape stands; -1 if there is none. Kept for all values of a text."""
    return max((match.start() for match in _LONE.finditer(text)), default=-1)


def _plain(letter: str) -> str:
    """A letter of a text, escaped where JSON wants it."""
    if letter == '"':
        return '\\"'
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return known.get(letter, f"\\u{ord(letter):04x}") if ord(letter) < 0x20 else letter


def _number(text: str) -> str:
    """A number as JSON writes it; one that begins with a zero is for JSON's own rules to refuse."""
    sign, digits = ("-" if text[0] == "-" else ""), text.lstrip("+-")
    digits = f"0{digits}" if digits.startswith(".") else digits
    return sign + re.sub(r"\.(?=$|[eE])", "", digits)
