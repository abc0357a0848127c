"""Markdown, kept as it is: only headings that are underlined or HTML become lines with ``#``, and front matter goes."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from harness.ingest.readers.encodings import decode
from harness.ingest.readers.parsed import Parsed, clean, document, heading, one_line

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TOML = re.compile(r"\A\+\+\+[ \t]*\n(.*?)\n\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"""^title[ \t]*[:=][ \t]*(?P<quote>["']?)(?P<title>.*?)(?P=quote)[ \t]*$""", re.MULTILINE | re.I)
_TAGGED = re.compile(r"<h([1-6])\b[^>]*>(.*?)</h\1\s*>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")


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
            match = _TAGGED.search(token.content)
            first = first or (_words(match[2]) if match else "")
    return document(title or first, "\n".join(lines), decoded.notes)


def _without_front_matter(text: str) -> tuple[str, str]:
    """The text below the front matter (YAML or TOML), and the title that this names."""
    match = _FRONT.match(text) or _TOML.match(text)
    # A rule may begin a text, too; front matter names something.
    if match is None or not re.search(r"^[\w-]+[ \t]*[:=]", match[1], re.MULTILINE):
        return text, ""
    named = _TITLE.search(match[1])
    rest = text[match.end() :]
    return (rest, named["title"].strip() if named else "") if rest.strip() else (text, "")


def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    parser.disable("inline")
    return parser


def _tagged(token: Token) -> str:
    """The block with its headings as lines of Markdown, on one line less for each that it spanned; empty if none."""
    if not _TAGGED.search(token.content):
        return ""
    return _TAGGED.sub(lambda match: f"\n\n{heading(int(match[1]), _words(match[2]))}\n\n", token.content).strip("\n")


def _words(markup: str) -> str:
    return one_line(html.unescape(_TAG.sub(" ", markup)))


def _plain(words: str) -> str:
    """The words of a heading without its marks: links, code, emphasis, images."""
    from markdown_it import MarkdownIt

    [inline] = MarkdownIt("commonmark").parseInline(words)
    kept = [token.content if token.type in ("text", "code_inline") else " " for token in inline.children or ()
            if token.type in ("text", "code_inline", "softbreak", "hardbreak")]  # fmt: skip
    plain = re.sub(r"\s*\{#[\w-]+\}\s*$", "", "".join(kept))
    return one_line(plain) or one_line(words)
