"""Markdown, kept as it is: only headings that are underlined or HTML become lines with ``#``, and front matter goes."""

from __future__ import annotations

import html
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.ingest.readers.encodings import decode
from harness.ingest.readers.parsed import Parsed, clean, document, heading, one_line

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TOML = re.compile(r"\A\+\+\+[ \t]*\n(.*?)\n\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title[ \t]*[:=](.*)$", re.MULTILINE | re.I)
_OPENED = re.compile(r"<h([1-6])\b", re.IGNORECASE)
_CLOSED = re.compile(r"</h([1-6])\s*+>", re.IGNORECASE)
_ANCHOR = re.compile(r"\{#[\w-]+\}\s*$")
MOST_MARKED = 4000
"""Characters of a heading whose marks are read for the title: longer ones are no titles."""


def read_markdown(raw: bytes) -> Parsed:
    """Return a text with its headings as ``#`` lines. The title is that of the front matter, else the first heading."""
    decoded = decode(raw)
    text, title = _without_front_matter(clean(decoded.text))
    lines = text.split("\n")
    first = ""
    tokens = _parser().parse(text)
    for place, token in enumerate(tokens):
        if token.map is None:
            continue
        start, end = token.map
        if token.type == "heading_open":
            words = tokens[place + 1].content
            if token.markup in ("=", "-"):
                # In a quotation or a list, the marks before the words stay.
                before = lines[start][: len(lines[start]) - len(lines[start].lstrip(" >"))]
                lines[start] = before + heading(int(token.tag[1]), words)
                lines[start + 1 : end] = [""] * (end - start - 1)
            first = first or _plain(words)
        elif token.type == "html_block" and (tagged := _tagged(token)):
            lines[start:end] = [tagged, *[""] * (end - start - 1)]
            first = first or next((words for _, _, _, words in _headings(token.content)), "")
    return document(title or first, "\n".join(lines), decoded.notes)


def _without_front_matter(text: str) -> tuple[str, str]:
    """The text below the front matter (YAML or TOML), and the title that this names."""
    match = _FRONT.match(text) or _TOML.match(text)
    # A rule may begin a text, too; front matter names something.
    if match is None or not re.search(r"^[\w-]+[ \t]*[:=]", match[1], re.MULTILINE):
        return text, ""
    named = _TITLE.search(match[1])
    rest = text[match.end() :]
    return (rest, _unquoted(named[1].strip(" \t")) if named else "") if rest.strip() else (text, "")


def _unquoted(title: str) -> str:
    """A title without the quotation marks around it."""
    quoted = title[:1] in ("'", '"') and title[:1] == title[-1:] and len(title) > 1
    return (title[1:-1] if quoted else title).strip()


def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    parser.disable("inline")
    return parser


def _tagged(token: Token) -> str:
    """The block with its headings as lines of Markdown, on one line less for each that it spanned; empty if none."""
    parts, at = list[str](), 0
    for start, end, level, words in _headings(token.content):
        parts += [token.content[at:start], f"\n\n{heading(level, words)}\n\n"]
        at = end
    return "".join([*parts, token.content[at:]]).strip("\n") if parts else ""


def _headings(block: str) -> Iterator[tuple[int, int, int, str]]:
    """Yield the HTML headings of a block: start, end, level and words."""
    closed: dict[str, list[re.Match[str]]] = {}
    for match in _CLOSED.finditer(block):
        closed.setdefault(match[1], []).append(match)
    tags = [match.end() for match in re.finditer(">", block)]
    at = 0
    for opened in _OPENED.finditer(block, 0, tags[-1] if tags else 0):
        begin, ends = tags[bisect_right(tags, opened.end())], closed.get(opened[1], [])
        number = bisect_left(ends, begin, key=lambda end: end.start())
        if opened.start() >= at and number < len(ends):
            at = ends[number].end()
            yield opened.start(), at, int(opened[1]), _words(block[begin : ends[number].start()])


def _words(markup: str) -> str:
    *ended, rest = markup.split(">")
    # A tag goes from the first sign that opens one to the next that closes one.
    parts = [(before, " " if opened else ">") for before, opened, _ in (part.partition("<") for part in ended)]
    return one_line(html.unescape("".join(text for part in parts for text in part) + rest))


def _plain(words: str) -> str:
    """The words of a heading without its marks: links, code, emphasis, images."""
    from markdown_it import MarkdownIt

    [inline] = MarkdownIt("commonmark").parseInline(words[:MOST_MARKED])
    kept = [token.content if token.type in ("text", "code_inline") else " " for token in inline.children or ()
            if token.type in ("text", "code_inline", "softbreak", "hardbreak")]  # fmt: skip
    plain = _ANCHOR.sub("", "".join(kept))
    return one_line(plain) or one_line(words)
