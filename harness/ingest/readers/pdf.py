"""PDF: its paragraphs in reading order, with headings by its outline and by the size of letters.

What a page shows is kept, but for lines that stand at the same place of most pages. A page that cannot be read costs
nothing but itself. pdfium reads the file; positions are points from the lower left corner of a page.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

from harness.ingest.readers.docx import UNTOLD
from harness.ingest.readers.encodings import kind_of
from harness.ingest.readers.parsed import MOST_TITLE, Parsed, Unreadable, document, heading, no_heading, one_line
from harness.ingest.readers.pdf_lines import HYPHEN, Line, lines_of

LARGER = 1.14
"""Of the size of body text, from which on a line may be a heading."""
MOST_HEADING = 120
"""Characters of a heading."""
MOST_LARGE = 0.3
"""Share of the letters that size may make headings: with more of them, size means something else."""
RUNNING_PAGES, RUNNING_SHARE = 3, 0.6
"""Pages, and the share of them, at which a line that stands at the same place of them is a running one."""
SPACED = 1.6
"""Distance of two lines, in sizes of letters, above which a paragraph ends."""
FULL = 0.8
"""Share of the width of its page's longest line, below which a line ends a paragraph."""
UNMAPPED_SHARE = 0.3
HEAD = 1024
"""Bytes in which a PDF begins; some programs write a few before it."""
_PAGE = re.compile(rb"<!doctype html|<html", re.IGNORECASE)
_UNMAPPED = re.compile("[\ufffd\ue000-\uf8ff]")
_DIGITS, _ROMAN = re.compile(r"[0-9]{1,6}"), re.compile(r"^[ivxlc]+$")
_BULLET = re.compile(r"(?:[\u2022\u2023\u25aa\u25cf\u25e6\u2043\u2219*\u2013-]|\(?(?:\d{1,2}|[a-z])[.)])\s+\S")
_NUMBER = re.compile(r"^\W*(?:(?:chapter|section|appendix)\s+)?(?:[\dA-Z]{1,3}[.\d]*[.:)]?\s+)?", re.IGNORECASE)
_ENDS = (".", "!", "?", ":", ";", "\u3002", "\uff01", "\uff1f")


def read_pdf(raw: bytes) -> Parsed:
    """Return the text of a PDF; its title is the first heading of its first page, else that of its properties.

    Raises Unreadable for one that is encrypted, damaged or scanned, or whose fonts do not say what they show.
    """
    import pypdfium2 as pdfium

    if not raw:
        raise Unreadable("is empty")
    if b"%PDF-" not in raw[:HEAD]:
        kind = kind_of(raw)
        what = f"is a file of {kind}, not PDF" if kind else "is no PDF"
        page = _PAGE.search(raw[:HEAD]) is not None
        raise Unreadable("is HTML, not PDF" if page else what, "give it its right suffix")
    try:
        file = pdfium.PdfDocument(raw)
    except pdfium.PdfiumError as error:
        if "assword" in str(error) or "ecurity" in str(error):
            raise Unreadable("is encrypted", "save it without a password") from error
        raise Unreadable("is damaged, or no PDF", "open it in a reader and print it to a new PDF") from error
    try:
        return _read(file, pdfium.PdfiumError)
    finally:
        file.close()


def _read(file: Any, fault: type[Exception]) -> Parsed:
    pages: list[list[Line]] = []
    blank = failed = 0
    for number in range(len(file)):
        try:
            lines = lines_of(file[number])
        except (fault, ValueError, OverflowError):
            failed += 1
            lines = []
        else:
            blank += not lines
        pages.append(lines)
    if not any(pages):
        if failed == len(pages):
            raise Unreadable("is damaged, or no PDF", "open it in a reader and print it to a new PDF")
        raise Unreadable("has no text layer (scanned, or pictures only)", "run OCR on it, such as ocrmypdf")
    shown = "".join(line.text for page in pages for line in page)
    if len(_UNMAPPED.findall(shown)) > UNMAPPED_SHARE * len(shown):
        raise Unreadable("has fonts that do not say which letters they show", "run OCR on it, such as ocrmypdf")
    notes = ["pages that cannot be read were left out"] if failed else []
    notes += ["pages without a text layer were left out (scanned?)"] if blank > 0.1 * len(pages) else []
    _drop_running(pages)
    marked, title = _marked(pages, _outline(file, fault))
    named = _property(file, fault)
    return document(title or ("" if UNTOLD.match(named) else named), _written(pages, marked), tuple(notes))


def _property(file: Any, fault: type[Exception]) -> str:
    try:
        return one_line(file.get_metadata_value("Title") or "")
    except (fault, ValueError):
        return ""


def _outline(file: Any, fault: type[Exception]) -> dict[str, int]:
    """Titles of the bookmarks, as `_key` writes them -> their level from 1; empty if there are none."""
    levels: dict[str, int] = {}
    try:
        for mark in file.get_toc():
            key = _key(mark.get_title() or "")
            if key:
                levels.setdefault(key, mark.level + 1)
    except (fault, ValueError, RecursionError):
        pass
    return levels


def _key(text: str) -> str:
    """A title without what bookmarks and pages write differently: case, spaces, signs, and the number in front."""
    plain = _NUMBER.sub("", one_line(text))
    return re.sub(r"\W+", "", plain or text).lower()


def _drop_running(pages: list[list[Line]]) -> None:
    """Remove running titles and page numbers: lines in the margin of most pages, equal but for the page's number."""
    groups: dict[tuple[str, int], list[tuple[int, Line]]] = {}
    for number, page in enumerate(pages):
        for line in page:
            if line.margin:
                groups.setdefault(_place(line), []).append((number, line))
    # Left and right pages may have two of them.
    least = max(RUNNING_SHARE / 2 * sum(map(bool, pages)), RUNNING_PAGES)
    running = {id(line) for group in groups.values() if _is_running(group, least) for _, line in group}
    for page in pages:
        page[:] = [line for line in page if id(line) not in running]


def _is_running(group: list[tuple[int, Line]], least: float) -> bool:
    """Whether lines are the same on enough pages, or count the pages: numbers of invoices differ otherwise."""
    if len({number for number, _ in group}) < least:
        return False
    if len({line.text for _, line in group}) == 1:
        return True
    counts = [{int(digits) - number for digits in _DIGITS.findall(line.text)} for number, line in group]
    return bool(set.intersection(*counts)) or not any(counts)


def _place(line: Line) -> tuple[str, int]:
    return (_ROMAN.sub("0", _DIGITS.sub("0", line.text.lower())), round(line.bottom / 3))


def _marked(pages: list[list[Line]], outline: dict[str, int]) -> tuple[dict[int, int], str]:
    """The headings, as id of a line -> level, and the first one of the first page."""
    every = [line for page in pages for line in page]
    sizes = Counter[float]()
    for line in every:
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0]
    large = [line for line in every if line.size >= LARGER * body and _may_head(line.text)]
    large = large if sum(len(line.text) for line in large) <= MOST_LARGE * sizes.total() else []
    levels = {size: min(step, 6) for step, size in enumerate(sorted({line.size for line in large}, reverse=True), 1)}
    marked = {id(line): levels[line.size] for line in large}
    for line in every:
        level = outline.get(_key(line.text)) if outline and _may_head(line.text) and line.size >= body else None
        if level:
            marked[id(line)] = min(level, 6)
    front = [line for line in pages[0] if id(line) in marked]
    largest = max((line.size for line in front), default=0.0)
    title: list[str] = []
    for line in front:
        if line.size == largest and len(" ".join(title)) + len(line.text) < MOST_TITLE:
            title.append(line.text)
        elif title:
            break
    return marked, " ".join(title) if largest >= LARGER * body else ""


def _may_head(text: str) -> bool:
    """Whether a line may be a heading: short, with letters, no end of a sentence, in no table of contents."""
    ends = text.endswith((".", ",", ";")) or "... " in text
    return not ends and len(text) <= MOST_HEADING and sum(map(str.isalpha, text)) >= 2


def _written(pages: list[list[Line]], marked: dict[int, int]) -> str:
    """The text: lines joined to paragraphs, headings as lines of Markdown."""
    blocks: list[_Block] = []
    for page in pages:
        widest = max((line.right for line in page), default=0.0)
        before: Line | None = None
        for line in page:
            level = marked.get(id(line), 0)
            above = marked.get(id(before), 0) if before is not None else 0
            if level and before is not None and above == level and before.size == line.size and _follows(before, line):
                blocks[-1].lines.append(line.text)
            elif level:
                blocks.append(_Block([line.text], level))
            elif before is None:
                _continue(blocks, line)
            elif above or not _same_paragraph(before, line, widest):
                blocks.append(_Block([no_heading(line.text)]))
            else:
                blocks[-1].lines.append(line.text)
            before = line
    return "\n\n".join(block.text for block in blocks)


def _follows(before: Line, line: Line) -> bool:
    return 0 < before.bottom - line.top <= SPACED * max(before.size, line.size)


def _alike(before: Line, line: Line) -> bool:
    return max(before.size, line.size) < LARGER * max(min(before.size, line.size), 0.5)


def _same_paragraph(before: Line, line: Line, widest: float) -> bool:
    if not _alike(before, line) or not _follows(before, line) or _BULLET.match(line.text):
        return False
    return not (before.right < FULL * widest and before.text.endswith(_ENDS))


def _continue(blocks: list[_Block], line: Line) -> None:
    """Begin a page: with the rest of a sentence, if the last page ended inside one."""
    last = blocks[-1] if blocks else None
    if last and not last.is_heading and not last.lines[-1].endswith(_ENDS) and line.text[:1].islower():
        last.lines.append(line.text)
    else:
        blocks.append(_Block([no_heading(line.text)]))


class _Block(NamedTuple):
    """The lines of a paragraph, or of a heading with its level."""

    lines: list[str]
    level: int = 0

    @property
    def is_heading(self) -> bool:
        return bool(self.level) or self.lines[0].startswith("#")

    @property
    def text(self) -> str:
        """The lines as one; a word that was divided at a line's end is whole again."""
        if self.level:
            return heading(self.level, " ".join(self.lines))
        whole = [_before(line, more) for line, more in pairwise(self.lines)]
        return "".join([*whole, self.lines[-1]])


def _before(line: str, more: str) -> str:
    """A line in front of another one: without the hyphen that divides a word, else with a space."""
    divided = line.endswith("-") and more[:1].islower() and len(line) > 1 and line[-2].isalpha()
    return line[:-1] if divided or line.endswith(HYPHEN) else f"{line} "
