"""Split the text of a language model into thoughts and answer, for all common marks of thoughts.

The rule: a thought stands at the beginning of what was written, up to its closing mark; others may follow it. A closing
mark without an opening one ends a thought that began in the prompt. A tag further down is the answer's own text (a
document on XML), unless it is one that only models write, outside of code, on a line of its own or at the very end.
What was begun and never ended is no answer. Must not know models, endpoints or forms.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

STILL_THINKING = "the model was still thinking at {limit}; raise it or switch thinking off"
NEVER_ENDED = "the model began a thought and never ended it; switch thinking off"
ONLY_THOUGHT = "the model wrote a thought and no answer"

FEWEST_WORDS = 3
"""Words of a thought behind an answer on the same line: "<think> and </think>" tells of marks."""
_HARD = r"think(?:ing)?|thoughts?"
_SOFT = r"reason(?:ing)?|reflect(?:ion)?|analysis|scratchpad|cot|monologue|rationale"
_NAME = rf"(?:[\w.-]+[:_])?(?:{_HARD}|{_SOFT})(?:_\w+)?"
_PAIRS: tuple[tuple[str, str, str], ...] = (
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
_ONLY_MODELS = re.compile(r"(?:[\w.-]+[:_])?think", re.I)
"""Names of tags that only models write."""
_TAG = re.compile(rf"<(?P<close>/?)(?P<name>{_NAME})(?:\s[^<>\n]*)?>", re.I)
_OTHERS = tuple((re.compile(opens, re.M), re.compile(closes, re.M)) for opens, closes, _ in _PAIRS)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_TOKEN = re.compile(r"<(?:\|[a-z_]+\|>)?")
"""A token of gpt-oss, or a sign that is none."""
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_BARE_CHANNELS = re.compile(r"\s*analysis(?P<thought>.*?)assistant\s?final(?P<answer>.*)", re.S)
_BARE_ANALYSIS = re.compile(r"\s*analysis(?=[A-Z])")
_WRAPPED = re.compile(
    r"(?:<(?P<tag>answer|output|response|final|final_answer|solution)>"
    r"|<\|(?:begin_of_solution|START_RESPONSE|START_TEXT)\|>)(?P<inner>.*?)"
    r"(?:</(?P=tag)>|<\|(?:end_of_solution|END_RESPONSE|END_TEXT)\|>|\Z)\s*\Z",
    re.S | re.I,
)
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
_BRACKET = re.compile(r"[{\[]")
DEEPEST = 1000
"""About so many lists in one another are read."""
TIMES_READ = 10
"""How often a text is read over, at most, for JSON in it: hostile ones open a thousand lists and close none."""
_SENTENCE_ENDS = ".!?…:;)]}\"'\u3002\uff01\uff1f"


class SplitText(NamedTuple):
    """An answer and the thoughts that were removed; if the last thought did not end (`open`), there is no answer."""

    answer: str
    thought: str = ""
    open: bool = False

    def fault(self, cut: bool, limit: str) -> str:
        """Return why this is no answer; empty if it is one.

        `cut` says that it was cut at the setting `limit`.
        """
        if self.open:
            return STILL_THINKING.format(limit=limit) if cut else NEVER_ENDED
        return ONLY_THOUGHT if self.thought and not self.answer else ""


class _Mark(NamedTuple):
    kind: str
    opens: bool
    start: int
    end: int
    quoted: bool = False


def split_thoughts(text: str, opening: str = "") -> SplitText:
    """Split a text into answer and thoughts; `opening` is the opening mark at the end of the prompt, if any."""
    whole = opening + text
    channels = _channels(whole)
    if channels is not None:
        return channels
    marked = _Marked(whole)
    at = 0
    while (mark := marked.opening_at(at)) is not None:
        closing = marked.closing(mark)
        if closing is None:
            return SplitText("", whole[at:].strip(), True)
        at = closing.end
    lone = marked.lone_closing(at)
    at = lone.end if lone is not None else at
    return _without_blocks(marked, at)


def begun_by(prompt: str) -> str:
    """Return the opening mark of a thought at the end of a prompt, before white space; empty if there is none."""
    end = len(prompt.rstrip())
    mark = next((mark for mark in _marks(prompt) if mark.opens and mark.end == end), None)
    return prompt[mark.start : mark.end] if mark is not None else ""


def closing_of(opening: str) -> str:
    """Return the closing mark that belongs to an opening one."""
    tag = _TAG.fullmatch(opening)
    if tag is not None:
        return f"</{tag['name']}>"
    return next(closes for (opens, _), (*_, closes) in zip(_OTHERS, _PAIRS, strict=True) if opens.fullmatch(opening))


def before_json(text: str) -> str:
    """Return the part of a text that may hold the JSON of the answer: behind the last thought, before an open one.

    A mark inside of a string of the JSON itself is a part of it.
    """
    rest = split_thoughts(text).answer
    marks = _outside_json(rest, [mark for mark in _marks(rest) if not mark.quoted])
    last = max((mark.end for mark in marks if not mark.opens), default=0)
    left = min((mark.start for mark in marks if mark.opens and mark.start >= last), default=len(rest))
    return rest[last:left]


def holds_mark(text: str) -> bool:
    """Whether a text holds a mark of a thought, quoted or not."""
    return next(_marks(text), None) is not None


def _marks(text: str) -> Iterator[_Mark]:
    """Yield the marks of thoughts in a text in order."""
    marks = [
        _Mark(match["name"].casefold(), not match["close"], *match.span(), _quoted(text, *match.span()))
        for match in _TAG.finditer(text)
    ]
    for number, (opens, closes) in enumerate(_OTHERS):
        marks += [_Mark(str(number), True, match.start(), match.end()) for match in opens.finditer(text)]
        marks += [_Mark(str(number), False, match.start(), match.end()) for match in closes.finditer(text)]
    yield from sorted(marks, key=lambda mark: mark.start)


def _quoted(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return (before, after) in (("`", "`"), ('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u2018", "\u2019"))


class _Header(NamedTuple):
    """What begins the text of a channel."""

    name: str
    start: int
    end: int


def _headers(text: str) -> list[_Header]:
    """The headers of channels in a text: from ``<|channel|>`` over any tokens to ``<|message|>``."""
    ends: dict[int, int] = {}
    message = -1
    for token in reversed(list(_TOKEN.finditer(text)) if "<|message|>" in text else []):
        if token[0] == "<|message|>":
            message = token.end()
        elif token[0] == "<":
            message = -1
        elif token[0] == "<|channel|>" and message >= 0:
            ends[token.start()] = message
    headers: list[_Header] = []
    for match in _CHANNEL.finditer(text):
        end = ends.get(match.start())
        if end is not None and (not headers or match.start() >= headers[-1].end):
            headers.append(_Header(match[1], match.start(), end))
    return headers


def _channels(text: str) -> SplitText | None:
    """Split the channels of gpt-oss ("harmony"), with or without their marks; None if there are none."""
    headers = _headers(text)
    if headers and text[: headers[0].start].replace("<|start|>assistant", "").strip() == "":
        ends = [_CHANNEL_END.search(text, header.end) for header in headers]
        bodies = [
            (header.name, text[header.end : end.start() if end else len(text)].strip())
            for header, end in zip(headers, ends, strict=True)
        ]
        finals = [body for name, body in bodies if name == "final"]
        thought = "\n".join(body for name, body in bodies if name != "final")
        return SplitText(finals[-1], thought) if finals else SplitText("", thought or text.strip(), True)
    if text.lstrip().startswith("<|channel|>") and not headers:
        return SplitText("", text.strip(), True)
    bare = _BARE_CHANNELS.match(text)
    if bare is not None:
        return SplitText(bare["answer"].strip(), bare["thought"].strip())
    return SplitText("", text.strip(), True) if _BARE_ANALYSIS.match(text) else None


class _Closings:
    """Which marks end the thoughts that others begin."""

    def __init__(self, marks: Iterable[_Mark]) -> None:
        self._balanced: dict[_Mark, _Mark] = {}
        self._last: dict[str, _Mark] = {}
        """Of each kind, and of all together under the empty name."""
        begun: dict[str, list[_Mark]] = {}
        for mark in marks:
            if mark.opens:
                begun.setdefault(mark.kind, []).append(mark)
                continue
            self._last[mark.kind] = self._last[""] = mark
            if begun.get(mark.kind):
                self._balanced[begun[mark.kind].pop()] = mark

    def of(self, opening: _Mark) -> _Mark | None:
        """Return the balancing mark, else the last of its kind, else the last of any kind."""
        if opening in self._balanced:
            return self._balanced[opening]
        last = (self._last[kind] for kind in (opening.kind, "") if kind in self._last)
        return next((mark for mark in last if mark.start >= opening.end), None)


class _Marked:
    """A text with its marks in order, and what is around them.

    A hostile text is all marks, so that nothing here reads the text once for each of them.
    """

    def __init__(self, text: str) -> None:
        self.text, self.marks = text, list(_marks(text))
        self.end = len(text.rstrip())
        self._filled: dict[int, int] = {}

    def opening_at(self, at: int) -> _Mark | None:
        """Return the opening mark that comes next, after white space only."""
        blanks = _BLANKS.match(self.text, at)
        return self._openings.get(blanks.end()) if blanks else None

    def closing(self, opening: _Mark) -> _Mark | None:
        """Return the mark that ends a thought; one in quotes counts only if there is no other."""
        return self._unquoted.of(opening) or self._all.of(opening)

    def lone_closing(self, at: int) -> _Mark | None:
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

    def in_code(self, at: int, mark: _Mark) -> bool:
        """Whether a mark stands in a fenced block, or in a span of code of its line, read from `at`."""
        fences = bisect_right(self._fences, mark.start - 3) - bisect_left(self._fences, at)
        here = _FENCE_HERE.match(self.text, at, mark.start) if at else None
        ticks = bisect_left(self._ticks, mark.start) - bisect_left(self._ticks, max(at, self._line(mark)))
        return (fences + (here is not None)) % 2 == 1 or ticks % 2 == 1

    def begins_line(self, mark: _Mark) -> bool:
        """Whether nothing stands before a mark on its line."""
        line = self._line(mark)
        if line not in self._filled:
            first = _FILLED.search(self.text, line)
            self._filled[line] = first.start() if first else len(self.text)
        return self._filled[line] >= mark.start

    def on_edge(self, mark: _Mark) -> bool:
        """Whether a mark is the first or the last thing on its line."""
        return self.begins_line(mark) or _LINE_ENDS.match(self.text, mark.end) is not None

    def ends_text(self, opening: _Mark, closing: _Mark) -> bool:
        """Whether a thought of at least `FEWEST_WORDS` words is the last thing in a text."""
        if closing.end != self.end or self.text[opening.start - 1].isalnum():
            return False
        # What follows the mark without a space is a word of its own.
        joined = opening.end < closing.start and not self.text[opening.end].isspace()
        words = bisect_left(self._words, closing.start) - bisect_left(self._words, opening.end)
        return words + joined >= FEWEST_WORDS

    def _ends_thought(self, at: int, mark: _Mark) -> bool:
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

    def _line(self, mark: _Mark) -> int:
        """Where the line of a mark begins."""
        number = bisect_left(self._breaks, mark.start)
        return self._breaks[number - 1] + 1 if number else 0

    @cached_property
    def _begins_thinking(self) -> bool:
        return _BEGINS_THINKING.match(self.text) is not None

    @cached_property
    def _openings(self) -> dict[int, _Mark]:
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


def _without_blocks(marked: _Marked, at: int) -> SplitText:
    """Remove the later thoughts of a text: on lines of their own or at its end, with marks that only models write."""
    text = marked.text
    thoughts, answer_parts, start = [text[:at].strip()] if at else [], [], at
    for mark in marked.marks:
        only = mark.kind.isdigit() or _ONLY_MODELS.fullmatch(mark.kind)
        if mark.quoted or not (mark.opens and mark.start >= start and only) or marked.in_code(at, mark):
            continue
        closing = marked.closing(mark)
        if not marked.begins_line(mark):
            # Text before it on its line may be about marks: only a thought that ends the whole text is removed.
            if closing is None or not marked.ends_text(mark, closing):
                continue
        elif closing is None:
            return SplitText("", text.strip(), True)
        if marked.on_edge(closing) or closing.end == marked.end:
            answer_parts.append(text[start : mark.start].rstrip())
            thoughts.append(text[mark.start : closing.end])
            start = closing.end
    answer_parts.append(text[start:])
    answer = "".join(answer_parts).strip()
    wrapped = _WRAPPED.match(answer) if thoughts else None
    return SplitText(wrapped["inner"].strip() if wrapped else answer, "\n".join(thoughts))


def _outside_json(text: str, marks: list[_Mark]) -> list[_Mark]:
    """Return the marks that do not stand inside of a JSON value that begins before them and ends after them."""
    spans = _json_spans(text, marks[-1].start) if marks else []
    starts = [start for start, _ in spans]
    outside = []
    for mark in marks:
        number = bisect_left(starts, mark.start) - 1
        if number < 0 or spans[number][1] <= mark.start:
            outside.append(mark)
    return outside


def _json_spans(text: str, end: int) -> list[tuple[int, int]]:
    """Return the outermost JSON values that begin before `end`, by their places."""
    decoder = json.JSONDecoder(strict=False)
    spans: list[tuple[int, int]] = []
    at = read = 0
    while (bracket := _BRACKET.search(text, at, end)) is not None and read <= TIMES_READ * max(len(text), DEEPEST):
        at = bracket.start() + 1
        try:
            _, at = decoder.raw_decode(text, bracket.start())
        except json.JSONDecodeError as error:
            read += error.pos - bracket.start()
        except (ValueError, RecursionError):
            read += DEEPEST
        else:
            spans.append((bracket.start(), at))
    return spans
