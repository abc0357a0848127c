"""Cut a text into chunks: by tokens, by sentences, or by headings.

Chunks cover every character of the text, in order; only an overlap is covered twice. This module must not know
documents or models: the caller says what a token is.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from harness.text.prose import sentences

By = Literal["tokens", "sentences", "headings"]
Spans = list[tuple[int, int]]
Tokenize = Callable[[str], Spans]
"""Returns the character span of every token of a text, in order."""
PART = 16_384
"""Characters that are tokenized at once, so that memory does not grow with the text."""
LEAST = 8
"""Tokens that a chunk holds at least, however long its title is."""
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})(.*)")
_HEADING = re.compile(r"[ ]{0,3}(#{1,6})(?!#)(?:[ \t](.*))?$")
_UNDERLINE = re.compile(r"[ ]{0,3}(?:=+|-{2,})[ \t]*$")
_NO_TITLE = re.compile(r"[ ]*(?:[-*+>|=]|[0-9]+[.)])[ \t]|[ ]{4}|\t|[ ]*\|")
_SPACE = re.compile(r"\s")


class Heading(NamedTuple):
    """A heading line in Markdown (ATX): where its marks start, its level from 1, and its words.

    `parent` is the number, in the list of all, of the heading that it stands under; -1 if there is none.
    """

    start: int
    level: int
    title: str
    parent: int = -1


class Piece(NamedTuple):
    """The span of a chunk in its text, and the headings that it stands under, the outermost first."""

    start: int
    end: int
    headings: tuple[str, ...] = ()


def words(text: str) -> Spans:
    """The spans of the words of a text, and of characters that are no letters: the default meaning of a token."""
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def split(
    text: str, by: By = "tokens", tokens: int = 256, overlap: int = 0, tokenize: Tokenize | None = None
) -> list[Piece]:
    """Cut a text into chunks of at most `tokens` tokens; one piece if it is blank.

    ``tokens``: windows, cut between words; ``sentences``: whole sentences and lines, as many as fit; ``headings``: the
    same, and no chunk crosses a heading. A sentence that is too long is cut by tokens. A chunk begins with the last
    `overlap` tokens of the one before it, or with as many whole sentences as fit into these; never across a heading.
    Raises ValueError unless 0 <= overlap < tokens.
    """
    if not 0 <= overlap < tokens:
        raise ValueError(f"overlap should be from 0 to {tokens - 1}, below the {tokens} tokens of a chunk")
    spans = token_spans(text, tokenize or words)
    if not spans:
        return [Piece(0, len(text))]
    starts = [start for start, _ in spans]
    found = headings(text)
    if by == "tokens":
        cut = _windows(text, starts, 0, len(starts), tokens, overlap)
    else:
        sections = _sections(found, starts) if by == "headings" else [(0, len(starts))]
        bounds = _bounds(text, starts)
        cut = [one for first, last in sections for one in _packed(text, starts, bounds, first, last, tokens, overlap)]
    places = [0, *starts[1:], len(text)]
    pieces = _without_blanks(text, [(places[a], places[b]) for a, b in cut])
    return [Piece(start, end, above(found, start)) for start, end in pieces]


def _without_blanks(text: str, spans: Spans) -> Spans:
    """Join pieces of nothing but white space, which some tokenizers count, to the one before; the first to the next."""
    kept: Spans = []
    for start, end in spans:
        if kept and (text[start:end].isspace() or text[kept[-1][0] : kept[-1][1]].isspace()):
            kept[-1] = (kept[-1][0], end)
        else:
            kept.append((start, end))
    return kept


def token_spans(text: str, tokenize: Tokenize) -> Spans:
    """The spans of all tokens of a text, which is tokenized in parts that end at white space; empty spans left out."""
    spans: Spans = []
    for start, end in _parts(text):
        spans += [(start + a, start + b) for a, b in tokenize(text[start:end]) if b > a]
    return spans


def _parts(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        match = _SPACE.search(text, start + PART) if start + PART < len(text) else None
        # A text without white space is cut anyway.
        end = len(text) if match is None else match.end()
        end = min(end, start + 2 * PART)
        yield start, end
        start = end


def headings(text: str) -> list[Heading]:
    """The Markdown headings of a text, marked (ATX) or underlined (Setext, of one line), without those in code fences."""
    place, fence = 0, ""
    above_that, above_it = "", ""
    marked = list[tuple[int, int, str]]()
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        mark = _FENCE.match(bare)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""
        elif not fence and (match := _HEADING.match(bare)):
            marked.append((place + match.start(1), len(match[1]), _words_of(match)))
        elif not fence and _UNDERLINE.match(bare) and _is_title(above_it) and not above_that.strip():
            begin = place - len(above_it) + len(above_it) - len(above_it.lstrip())
            marked.append((begin, 1 if "=" in bare else 2, above_it.strip()))
        above_that, above_it = above_it, line
        place += len(line)
    return _nested(marked)


def heading_words(line: str) -> str:
    """The words of a heading that is marked (ATX); empty if the line is none."""
    match = _HEADING.match(line)
    return _words_of(match) if match else ""


def _words_of(heading: re.Match[str]) -> str:
    """The words of a heading without the marks that may close it."""
    words = (heading[2] or "").strip(" \t")
    open_words = words.rstrip("#")
    return (open_words if open_words.endswith((" ", "\t")) else words).strip()


def _nested(marked: Sequence[tuple[int, int, str]]) -> list[Heading]:
    """Headings with their parents, from the start, level and words of each."""
    found, path = list[Heading](), list[int]()
    for start, level, title in marked:
        while path and found[path[-1]].level >= level:
            path.pop()
        found.append(Heading(start, level, title, path[-1] if path else -1))
        path.append(len(found) - 1)
    return found


def _is_title(line: str) -> bool:
    """Whether an underlined line can be a heading: text that is no heading, list, quote or table."""
    return bool(line.strip()) and not _HEADING.match(line.rstrip()) and _NO_TITLE.match(line) is None


def above(found: Sequence[Heading], place: int) -> tuple[str, ...]:
    """The titles of the headings that a place stands under, the outermost first; a heading does not count for itself.

    `found` holds the headings of the text, as `headings` returns them.
    """
    number = bisect_left(found, place, key=lambda heading: heading.start)
    begins = number < len(found) and found[number].start == place
    number = found[number].parent if begins else number - 1
    path: list[str] = []
    while number >= 0:
        path += [found[number].title] if found[number].title else []
        number = found[number].parent
    return tuple(reversed(path))


def _sections(found: Sequence[Heading], starts: Sequence[int]) -> list[tuple[int, int]]:
    """Token ranges between headings; headings with nothing between them stay together."""
    firsts: list[int] = []
    for heading in found:
        first = bisect_left(starts, heading.start)
        firsts += [first] if 0 < first < len(starts) else []
    edges = [0, *dict.fromkeys(firsts), len(starts)]
    lines = {bisect_left(starts, one.start): one for one in found}
    kept = [0]
    for before, here in pairwise(edges[:-1]):
        outer, inner = lines.get(before), lines.get(here)
        # A section of nothing but its heading goes with the one below it.
        bare = outer is not None and starts[here - 1] < outer.start + outer.level + len(outer.title) + 4
        nested = outer is not None and inner is not None and inner.level > outer.level
        kept += [] if bare and nested else [here]
    return list(zip(kept, [*kept[1:], len(starts)], strict=True))


def _bounds(text: str, starts: Sequence[int]) -> list[int]:
    """Numbers of the tokens that a sentence begins with, or a line that is no part of a sentence."""
    whole = list(sentences(text))
    begins = [one.start for one in whole]
    places = [one.end for one in whole]
    for match in re.finditer(r"\n", text):
        number = bisect_right(begins, match.start()) - 1
        if number < 0 or whole[number].end <= match.start():
            places.append(match.end())
    found = {bisect_left(starts, place) for place in places}
    return sorted(number for number in found if 0 < number < len(starts))


def _windows(
    text: str, starts: Sequence[int], first: int, last: int, tokens: int, overlap: int
) -> list[tuple[int, int]]:
    """Ranges of tokens from `first` to `last`, each of at most `tokens`, the next `overlap` before the end of it."""
    cut: list[tuple[int, int]] = []
    begin = first
    while not cut or cut[-1][1] < last:
        end = min(begin + tokens, last)
        if end < last:
            end = _between_words(text, starts, end, max(begin + tokens // 2, begin + overlap) + 1)
            end = _whole_character(starts, begin, end, last)
        if cut and end <= cut[-1][1]:
            # The overlap leaves no room for the next character.
            begin = cut[-1][1]
            continue
        cut.append((begin, end))
        again = end
        if overlap and end < last:
            again = _between_words(text, starts, end - overlap, max(begin + 1, end - 2 * overlap))
        begins_character = again < end and starts[begin] < starts[again] != starts[again - 1]
        begin = again if begins_character else end
    return cut


def _whole_character(starts: Sequence[int], begin: int, end: int, last: int) -> int:
    """The end of a window that cuts no character in two: some tokenizers write one in several tokens."""
    whole = end
    while whole > begin and starts[whole] == starts[whole - 1]:
        whole -= 1
    if whole > begin:
        return whole
    while end < last and starts[end] == starts[end - 1]:
        end += 1
    return end


def _between_words(text: str, starts: Sequence[int], number: int, least: int) -> int:
    """The last token up to `number`, and not before `least`, that follows white space; else one that begins a word.

    `number` if there is neither, as in a script without spaces.
    """
    for one in range(number, least - 1, -1):
        if text[starts[one] - 1].isspace():
            return one
    for one in range(number, least - 1, -1):
        if not (text[starts[one] - 1].isalnum() and text[starts[one]].isalnum()):
            return one
    return number


def _packed(
    text: str, starts: Sequence[int], bounds: Sequence[int], first: int, last: int, tokens: int, overlap: int
) -> list[tuple[int, int]]:
    """Ranges of whole sentences from token `first` to `last`; see `split`."""
    inner = bounds[bisect_right(bounds, first) : bisect_left(bounds, last)]
    edges = [first, *inner, last]
    units = list(pairwise(edges))
    cut: list[tuple[int, int]] = []
    held: list[tuple[int, int]] = []
    for unit in units:
        if held and unit[1] - held[0][0] > tokens:
            cut.append((held[0][0], held[-1][1]))
            held = _repeated(held, overlap, tokens - (unit[1] - unit[0]))
        if unit[1] - unit[0] > tokens:
            cut += [(held[0][0], held[-1][1])] if held and held[-1][1] > (cut[-1][1] if cut else first) else []
            cut += _windows(text, starts, *unit, tokens, overlap)
            held = []
        else:
            held.append(unit)
    return [*cut, (held[0][0], held[-1][1])] if held else cut


def _repeated(held: Sequence[tuple[int, int]], overlap: int, free: int) -> list[tuple[int, int]]:
    """The last units of a chunk that the next one begins with: within the overlap, and beside its own first unit."""
    kept: list[tuple[int, int]] = []
    for unit in reversed(held[1:]):
        if held[-1][1] - unit[0] > min(overlap, free):
            break
        kept.insert(0, unit)
    return kept
