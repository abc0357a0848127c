"""Marks of thoughts in the text of a language model, and what stands around them.

A hostile text is all marks, so that nothing here reads the text once for each of them. Must not know models, endpoints
or forms.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

FEWEST_WORDS = 3
"""Words of a thought behind an answer on the same line: "<think> and </think>" tells of marks."""
_HARD = r"think(?:ing)?|thoughts?"
_SOFT = r"reason(?:ing)?|reflect(?:ion)?|analysis|scratchpad|cot|monologue|rationale"
_NAME = rf"(?:[\w.-]+[:_])?(?:{_HARD}|{_SOFT})(?:_\w+)?"
PAIRS: tuple[tuple[str, str, str], ...] = (
    (r"\[THINK\]", r"\[/THINK\]", "[/THINK]"),
    ("◁think▷", "◁/think▷", "◁/think▷"),
    (r"\|startthink\|", r"\|endthink\|", "|endthink|"),
    (r"<unused94>(?:thought)?", "<unused95>", "<unused95>"),
    (r"<\|channel>(?:thought|analysis)", r"<channel\|>", "<channel|>"),
    (r"<[|\uff5c]begin_of_thought[|\uff5c]>", r"<[|\uff5c]end_of_thought[|\uff5c]>", "<|end_of_thought|>"),
    (r"<[|\uff5c]START_THINKING[|\uff5c]>", r"<[|\uff5c]END_THINKING[|\uff5c]>", "<|END_THINKING|>"),
    (r"<[|\uff5c]inner_prefix[|\uff5c]>", r"<[|\uff5c]inner_suffix[|\uff5c]>", "<|inner_suffix|>"),
    (rf"<[|\uff5c](?:{_HARD})[|\uff5c]>", rf"<[|\uff5c]/(?:{_HARD})[|\uff5c]>", "<|/think|>"),
    (
        r"\AHere(?: is|'s|\u2019s) my thought process:",
        r"^[ \t*#]*Here(?: is|'s|\u2019s) my response:",
        "Here is my response:",
    ),
)
"""Marks that are no tags in pointed brackets: opening, closing, and the closing one as text."""
ONLY_MODELS = re.compile(r"(?:[\w.-]+[:_])?think", re.I)
"""Names of tags that only models write."""
TAG = re.compile(rf"<(?P<close>/?)(?P<name>{_NAME})(?:\s[^<>\n]*)?>", re.I)
OTHERS = tuple((re.compile(opens, re.M), re.compile(closes, re.M)) for opens, closes, _ in PAIRS)
_BEGINS_THINKING = re.compile(
    r"\s*(?:ok(?:ay)?|let(?:'s| me| us)|hmm+|alright|first|the (?:user|question)|we (?:need|have|must|are)|"
    r"i (?:need|should|have|must|will|think)|i'll|to answer|wait|thinking|so)\b",
    re.I,
)
_FENCE = re.compile(r"^[^\S\n]*+(?:```|~~~)", re.M)
_FENCE_HERE = re.compile(r"[^\S\n]*+(?:```|~~~)")
_FILLED, _WORD = re.compile(r"\S"), re.compile(r"\S+")
_BLANKS = re.compile("[\ufeff \t\r\n]*")
_LINE_ENDS = re.compile(r"[^\S\n]*+\n")
_SENTENCE_ENDS = ".!?…:;)]}\"'\u3002\uff01\uff1f"


class Mark(NamedTuple):
    kind: str
    opens: bool
    start: int
    end: int
    quoted: bool = False


def marks_in(text: str) -> Iterator[Mark]:
    """Yield the marks of thoughts in a text in order."""
    marks = [
        Mark(match["name"].casefold(), not match["close"], *match.span(), _quoted(text, *match.span()))
        for match in TAG.finditer(text)
    ]
    for number, (opens, closes) in enumerate(OTHERS):
        marks += [Mark(str(number), True, match.start(), match.end()) for match in opens.finditer(text)]
        marks += [Mark(str(number), False, match.start(), match.end()) for match in closes.finditer(text)]
    yield from sorted(marks, key=lambda mark: mark.start)


def _quoted(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return (before, after) in (("`", "`"), ('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u2018", "\u2019"))


class _Closings:
    """Which marks end the thoughts that others begin."""

    def __init__(self, marks: Iterable[Mark]) -> None:
        self._balanced: dict[Mark, Mark] = {}
        self._last: dict[str, Mark] = {}
        """Of each kind, and of all together under the empty name."""
        begun: dict[str, list[Mark]] = {}
        for mark in marks:
            if mark.opens:
                begun.setdefault(mark.kind, []).append(mark)
                continue
            self._last[mark.kind] = self._last[""] = mark
            if begun.get(mark.kind):
                self._balanced[begun[mark.kind].pop()] = mark

    def of(self, opening: Mark) -> Mark | None:
        """Return the balancing mark, else the last of its kind, else the last of any kind."""
        if opening in self._balanced:
            return self._balanced[opening]
        last = (self._last[kind] for kind in (opening.kind, "") if kind in self._last)
        return next((mark for mark in last if mark.start >= opening.end), None)


class Marked:
    """A text with its marks in order, and what is around them."""

    def __init__(self, text: str) -> None:
        self.text, self.marks = text, list(marks_in(text))
        self.end = len(text.rstrip())
        self._filled: dict[int, int] = {}

    def opening_at(self, at: int) -> Mark | None:
        """Return the opening mark that comes next, after white space only."""
        blanks = _BLANKS.match(self.text, at)
        return self._openings.get(blanks.end()) if blanks else None

    def closing(self, opening: Mark) -> Mark | None:
        """Return the mark that ends a thought; one in quotes counts only if there is no other."""
        return self._unquoted.of(opening) or self._all.of(opening)

    def lone_closing(self, at: int) -> Mark | None:
        """Return the last closing mark without an opening one that ends a thought and is not a part of the prose."""
        opened: set[str] = set()
        last = None
        for mark in self.marks:
            if mark.start < at or mark.quoted:
                continue
            if mark.opens:
                opened.add(mark.kind)
            elif mark.kind not in opened and not self.in_code(at, mark) and self._ends_thought(at, mark):
                last = mark
        return last

    def in_code(self, at: int, mark: Mark) -> bool:
        """Whether a mark stands in a fenced block, or in a span of code of its line, read from `at`."""
        fences = bisect_right(self._fences, mark.start - 3) - bisect_left(self._fences, at)
        here = _FENCE_HERE.match(self.text, at, mark.start) if at else None
        ticks = bisect_left(self._ticks, mark.start) - bisect_left(self._ticks, max(at, self._line(mark)))
        return (fences + (here is not None)) % 2 == 1 or ticks % 2 == 1

    def begins_line(self, mark: Mark) -> bool:
        """Whether nothing stands before a mark on its line."""
        line = self._line(mark)
        if line not in self._filled:
            first = _FILLED.search(self.text, line)
            self._filled[line] = first.start() if first else len(self.text)
        return self._filled[line] >= mark.start

    def on_edge(self, mark: Mark) -> bool:
        """Whether a mark is the first or the last thing on its line."""
        return self.begins_line(mark) or _LINE_ENDS.match(self.text, mark.end) is not None

    def ends_text(self, opening: Mark, closing: Mark) -> bool:
        """Whether a thought of at least `FEWEST_WORDS` words is the last thing in a text."""
        if closing.end != self.end or self.text[opening.start - 1].isalnum():
            return False
        # What follows the mark without a space is a word of its own.
        joined = opening.end < closing.start and not self.text[opening.end].isspace()
        words = bisect_left(self._words, closing.start) - bisect_left(self._words, opening.end)
        return words + joined >= FEWEST_WORDS

    def _ends_thought(self, at: int, mark: Mark) -> bool:
        if self.on_edge(mark):
            return True
        if at or (mark.kind.isalpha() and re.fullmatch(_SOFT, mark.kind, re.I)):
            return False
        if mark.kind.isdigit():
            return True
        before = mark.start
        while before > 0 and self.text[before - 1].isspace():
            before -= 1
        told_of = before < mark.start and self.text[max(before - 1, 0) : before] not in _SENTENCE_ENDS
        return not told_of or self._begins_thinking

    def _line(self, mark: Mark) -> int:
        """Where the line of a mark begins."""
        number = bisect_left(self._breaks, mark.start)
        return self._breaks[number - 1] + 1 if number else 0

    @cached_property
    def _begins_thinking(self) -> bool:
        return _BEGINS_THINKING.match(self.text) is not None

    @cached_property
    def _openings(self) -> dict[int, Mark]:
        return {mark.start: mark for mark in reversed(self.marks) if mark.opens and not mark.quoted}

    @cached_property
    def _unquoted(self) -> _Closings:
        return _Closings(mark for mark in self.marks if not mark.quoted)

    @cached_property
    def _all(self) -> _Closings:
        return _Closings(self.marks)

    @cached_property
    def _breaks(self) -> list[int]:
        return [match.start() for match in re.finditer("\n", self.text)]

    @cached_property
    def _ticks(self) -> list[int]:
        return [match.start() for match in re.finditer("`", self.text)]

    @cached_property
    def _fences(self) -> list[int]:
        return [match.end() - 3 for match in _FENCE.finditer(self.text)]

    @cached_property
    def _words(self) -> list[int]:
        return [match.start() for match in _WORD.finditer(self.text)]
