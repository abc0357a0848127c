"""Split the text of a language model into thoughts and answer, for all common marks of thoughts.

The rule: a thought stands at the beginning of what was written, up to its closing mark; others may follow it. A closing
mark without an opening one ends a thought that began in the prompt. A tag further down is the answer's own text (a
document on XML), unless it is one that only models write, outside of code, on a line of its own or at the very end.
What was begun and never ended is no answer. Must not know models, endpoints or forms.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from typing import NamedTuple

from harness.models.thought_marks import ONLY_MODELS, OTHERS, PAIRS, TAG, Mark, Marked, marks_in

STILL_THINKING = "the model was still thinking at {limit}; raise it or switch thinking off"
NEVER_ENDED = "the model began a thought and never ended it; switch thinking off"
ONLY_THOUGHT = "the model wrote a thought and no answer"

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
_BRACKET = re.compile(r"[{\[]")
DEEPEST = 1000
"""About so many lists in one another are read."""
TIMES_READ = 10
"""How often a text is read over, at most, for JSON in it: hostile ones open a thousand lists and close none."""


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


def split_thoughts(text: str, opening: str = "") -> SplitText:
    """Split a text into answer and thoughts; `opening` is the opening mark at the end of the prompt, if any."""
    whole = opening + text
    channels = _channels(whole)
    if channels is not None:
        return channels
    marked = Marked(whole)
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
    mark = next((mark for mark in marks_in(prompt) if mark.opens and mark.end == end), None)
    return prompt[mark.start : mark.end] if mark is not None else ""


def closing_of(opening: str) -> str:
    """Return the closing mark that belongs to an opening one."""
    tag = TAG.fullmatch(opening)
    if tag is not None:
        return f"</{tag['name']}>"
    return next(closes for (opens, _), (*_, closes) in zip(OTHERS, PAIRS, strict=True) if opens.fullmatch(opening))


def before_json(text: str) -> str:
    """Return the part of a text that may hold the JSON of the answer: behind the last thought, before an open one.

    A mark inside of a string of the JSON itself is a part of it.
    """
    rest = split_thoughts(text).answer
    marks = _outside_json(rest, [mark for mark in marks_in(rest) if not mark.quoted])
    last = max((mark.end for mark in marks if not mark.opens), default=0)
    left = min((mark.start for mark in marks if mark.opens and mark.start >= last), default=len(rest))
    return rest[last:left]


def holds_mark(text: str) -> bool:
    """Whether a text holds a mark of a thought, quoted or not."""
    return next(marks_in(text), None) is not None


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


def _without_blocks(marked: Marked, at: int) -> SplitText:
    """Remove the later thoughts of a text: on lines of their own or at its end, with marks that only models write."""
    text = marked.text
    thoughts, answer_parts, start = [text[:at].strip()] if at else [], [], at
    for mark in marked.marks:
        only = mark.kind.isdigit() or ONLY_MODELS.fullmatch(mark.kind)
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


def _outside_json(text: str, marks: list[Mark]) -> list[Mark]:
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
