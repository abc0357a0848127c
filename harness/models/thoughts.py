"""Split the text of a language model into thoughts and answer, for all common marks of thoughts.

The rule: a thought stands at the beginning of what was written, up to its closing mark; others may follow it. A closing
mark without an opening one ends a thought that began in the prompt. A tag further down is the answer's own text (a
document on XML), unless it is one that only models write, outside of code, on a line of its own or at the very end.
What was begun and never ended is no answer. Must not know models, endpoints or forms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
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
_CHANNEL = re.compile(r"<\|channel\|>\s*(?P<name>\w+)[^<]*(?:<\|[a-z_]+\|>[^<]*)*?<\|message\|>")
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
    marks = list(_marks(whole))
    at = 0
    while (mark := _opening_at(whole, marks, at)) is not None:
        closing = _closing(marks, mark)
        if closing is None:
            return SplitText("", whole[at:].strip(), True)
        at = closing.end
    lone = _lone_closing(whole, marks, at)
    at = lone.end if lone is not None else at
    return _without_blocks(whole, marks, at)


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
    marks = [mark for mark in _marks(rest) if not mark.quoted and not _in_json(rest, mark)]
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


def _channels(text: str) -> SplitText | None:
    """Split the channels of gpt-oss ("harmony"), with or without their marks; None if there are none."""
    marks = list(_CHANNEL.finditer(text))
    if marks and text[: marks[0].start()].replace("<|start|>assistant", "").strip() == "":
        bodies = [(match["name"], _CHANNEL_END.split(text[match.end() :], maxsplit=1)[0].strip()) for match in marks]
        finals = [body for name, body in bodies if name == "final"]
        thought = "\n".join(body for name, body in bodies if name != "final")
        return SplitText(finals[-1], thought) if finals else SplitText("", thought or text.strip(), True)
    if text.lstrip().startswith("<|channel|>") and not marks:
        return SplitText("", text.strip(), True)
    bare = _BARE_CHANNELS.match(text)
    if bare is not None:
        return SplitText(bare["answer"].strip(), bare["thought"].strip())
    return SplitText("", text.strip(), True) if _BARE_ANALYSIS.match(text) else None


def _opening_at(text: str, marks: list[_Mark], at: int) -> _Mark | None:
    """Return the opening mark that comes next, after white space only."""
    start = at + len(text[at:]) - len(text[at:].lstrip("\ufeff \t\r\n"))
    return next((mark for mark in marks if mark.opens and mark.start == start and not mark.quoted), None)


def _closing(marks: list[_Mark], opening: _Mark) -> _Mark | None:
    """Return the mark that ends a thought: the balancing one, else the last of its kind, else the last of any kind.

    A mark in quotes counts only if there is no other.
    """
    later = [mark for mark in marks if mark.start >= opening.end]
    return _ending([mark for mark in later if not mark.quoted], opening) or _ending(later, opening)


def _ending(later: list[_Mark], opening: _Mark) -> _Mark | None:
    depth = 1
    for mark in later:
        if mark.kind == opening.kind:
            depth += 1 if mark.opens else -1
            if depth == 0:
                return mark
    closings = [mark for mark in later if not mark.opens]
    same = [mark for mark in closings if mark.kind == opening.kind]
    return next(reversed(same or closings), None)


def _lone_closing(text: str, marks: list[_Mark], at: int) -> _Mark | None:
    """Return the last closing mark without an opening one that ends a thought and is not a part of the prose."""
    opened: set[str] = set()
    last = None
    for mark in marks:
        if mark.start < at or mark.quoted:
            continue
        if mark.opens:
            opened.add(mark.kind)
        elif mark.kind not in opened and not _in_code(text, at, mark) and _ends_thought(text, at, mark):
            last = mark
    return last


def _ends_thought(text: str, at: int, mark: _Mark) -> bool:
    if _on_edge(text, mark):
        return True
    if at or (mark.kind.isalpha() and re.fullmatch(_SOFT, mark.kind, re.I)):
        return False
    if mark.kind.isdigit():
        return True
    before = text[: mark.start]
    told_of = before[-1:].isspace() and before.rstrip()[-1:] not in _SENTENCE_ENDS
    return not told_of or _BEGINS_THINKING.match(text) is not None


def _on_edge(text: str, mark: _Mark) -> bool:
    """Whether a mark is the first or the last thing on its line."""
    before = text[: mark.start].rpartition("\n")[2]
    after = text[mark.end :].partition("\n")
    return not before.strip() or (not after[0].strip() and bool(after[1]))


def _in_code(text: str, at: int, mark: _Mark) -> bool:
    """Whether a mark stands in a fenced block, or in a span of code of its line."""
    before = text[at : mark.start]
    fences = re.findall(r"^\s*(?:```|~~~)", before, re.M)
    return len(fences) % 2 == 1 or before.rpartition("\n")[2].count("`") % 2 == 1


def _without_blocks(text: str, marks: list[_Mark], at: int) -> SplitText:
    """Remove the later thoughts of a text: on lines of their own or at its end, with marks that only models write."""
    thoughts, answer_parts, start = [text[:at].strip()] if at else [], [], at
    for mark in marks:
        only = mark.kind.isdigit() or _ONLY_MODELS.fullmatch(mark.kind)
        if mark.quoted or not (mark.opens and mark.start >= start and only) or _in_code(text, at, mark):
            continue
        closing = _closing(marks, mark)
        if text[: mark.start].rpartition("\n")[2].strip():
            # Text before it on its line may be about marks: only a thought that ends the whole text is removed.
            if closing is None or not _ends_text(text, mark, closing):
                continue
        elif closing is None:
            return SplitText("", text.strip(), True)
        if _on_edge(text, closing) or closing.end == len(text.rstrip()):
            answer_parts.append(text[start : mark.start].rstrip())
            thoughts.append(text[mark.start : closing.end])
            start = closing.end
    answer_parts.append(text[start:])
    answer = "".join(answer_parts).strip()
    wrapped = _WRAPPED.match(answer) if thoughts else None
    return SplitText(wrapped["inner"].strip() if wrapped else answer, "\n".join(thoughts))


def _ends_text(text: str, opening: _Mark, closing: _Mark) -> bool:
    """Whether a thought of at least `FEWEST_WORDS` words is the last thing in a text."""
    words = text[opening.end : closing.start].split()
    return closing.end == len(text.rstrip()) and len(words) >= FEWEST_WORDS and not text[opening.start - 1].isalnum()


def _in_json(text: str, mark: _Mark) -> bool:
    """Whether a mark stands inside of a JSON value that begins before it and ends after it."""
    decoder = json.JSONDecoder(strict=False)
    for bracket in re.finditer(r"[{\[]", text[: mark.start]):
        try:
            _, end = decoder.raw_decode(text, bracket.start())
        except (ValueError, RecursionError):
            continue
        if end > mark.start:
            return True
    return False
