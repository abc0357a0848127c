"""HTML: its text with headings, lists, tables and code as Markdown, without scripts, styles and navigation.

Nothing else is dropped: text that stands outside of known elements is text all the same. The tree is walked without
recursion, as pages may be nested deeply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.ingest.readers.blocks import Blocks
from harness.ingest.readers.encodings import decode
from harness.ingest.readers.parsed import Parsed, Unreadable, clean, document, one_line

SCRIPTS = frozenset(
    "script style template noscript svg canvas iframe object embed audio video map head title textarea select datalist "
    "annotation annotation-xml".split()
)
"""Elements whose content is never read."""
BOILERPLATE = frozenset(("nav", "footer", "menu"))
ROLES = frozenset(("navigation", "contentinfo", "search", "menu", "menubar"))
BLOCKS = frozenset(
    "address article aside blockquote body center details dialog dd div dl dt fieldset figcaption figure footer form "
    "header hgroup hr html legend li main nav menu ol optgroup option p pre section summary table tbody tfoot thead tr "
    "td th caption ul h1 h2 h3 h4 h5 h6".split()
)
LAYOUT = ":is(td, th) :is(table, h1, h2, h3, h4, h5, h6, ul, ol, pre, p + p, div + div)"
"""What a cell of a table of data does not hold."""
FEW, MUCH = 20, 5
"""Words that are too few for a page, if without its boilerplate it lost at least so many times as many."""
DECLARED = re.compile(rb"""(?:charset\s*=\s*|<\?xml[^>]*encoding\s*=\s*)["']?\s*([\w.:-]+)""", re.IGNORECASE)
HEAD = 4096
_EMPTY = re.compile(
    r"<(script|title|style|iframe|textarea|noscript|template|a|b|i|em|span|div|p|td|th|li|h[1-6])\b([^<>]*)/>", re.I
)
SIGNS = frozenset(("\u00b6", "\u00a7", "\u2693", "\U0001f517", "#", "\uf0c1"))
"""Texts of links by which documentation generators mark a place of a page."""


def read_html(raw: bytes) -> Parsed:
    """Return the text of a page; its title is the first heading of level 1, else the element `title`."""
    match = DECLARED.search(raw[:HEAD])
    decoded = decode(raw, match[1].decode("ascii", "ignore") if match else "")
    page = clean(decoded.text)
    if page.lstrip()[:5].lower() == "<?xml":
        # In XML an element may close itself; a browser's parser would take the rest of the page for its content.
        page = _EMPTY.sub(r"<\1\2></\1>", page)
    return from_page(page, decoded.notes)


def from_page(page: str, notes: tuple[str, ...] = (), title: str = "", whole: bool = False) -> Parsed:
    """Return the text of a page that is text already. `title` is used before any other; `whole` drops no boilerplate.

    Raises Unreadable if there is no text, saying so if scripts would have to write it.
    """
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(page)
    root = tree.body or tree.root
    kept = _written(_main(tree) or root, not whole) if root is not None else Blocks()
    if not whole and root is not None and kept.words < FEW:
        # A page that is all navigation, or whose navigation was never closed.
        everything = _written(root, False)
        if everything.words >= MUCH * max(kept.words, 1):
            kept = everything
    named = tree.css_first("head > title") or tree.css_first("title")
    title = title or kept.first(1) or one_line(named.text() if named is not None else "") or kept.first(6)
    if not kept.words:
        scripts = tree.css_first("script") is not None
        raise Unreadable("holds no text but scripts that write it" if scripts else "holds no text",
                         "save the page as a browser shows it" if scripts else "")  # fmt: skip
    return document(title, kept.text(), notes)


def _main(tree: Any) -> Any:
    """The one element that says that it is the content; None if there is none, or it has hardly any text."""
    mains = tree.css("main, [role=main]")
    if len(mains) != 1:
        return None
    return mains[0] if len(mains[0].text(separator=" ").split()) >= FEW else None


def _written(root: Any, clear: bool) -> Blocks:
    blocks = Blocks()
    for node, leaving in _walk(root, clear):
        tag = node.tag
        if tag == "-text":
            blocks.add(node.text_content or "")
        elif tag == "br":
            blocks.line()
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            blocks.close_heading() if leaving else blocks.open_heading(int(tag[1]))
        elif tag == "pre":
            blocks.close_code() if leaving else blocks.open_code()
        elif tag == "table" and not leaving:
            blocks.open_table(_is_data(node))
        elif tag == "table":
            blocks.close_table()
        elif tag == "tr":
            blocks.row()
        elif tag in ("td", "th"):
            blocks.cell()
        elif tag in ("ul", "ol"):
            blocks.close_list() if leaving else blocks.open_list(tag == "ol")
        elif tag == "li" and not leaving:
            blocks.item()
        elif tag in BLOCKS:
            blocks.block()
    blocks.block()
    return blocks


def _is_data(table: Any) -> bool:
    """Whether a table holds data, not the layout of a page."""
    # A table inside another one is found among its own contents.
    inner = [found for found in table.css(LAYOUT) if found.mem_id != table.mem_id]
    return len(table.css("td, th")) > 1 and not inner


def _walk(root: Any, clear: bool) -> Iterator[tuple[Any, bool]]:
    """Yield every element that is read, twice: when it begins, and when it ends; texts once."""
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        node, leaving = stack.pop()
        yield node, leaving
        if leaving:
            continue
        if node.tag != "-text" and node.tag != "br":
            stack.append((node, True))
        children = []
        child = node.first_child
        while child is not None:
            if _is_read(child, clear):
                children.append((child, False))
            child = child.next
        stack += reversed(children)


def _is_read(node: Any, clear: bool) -> bool:
    tag = node.tag or ""
    if tag == "-text":
        return True
    if tag in SCRIPTS or not tag or tag[0] in "-!_":
        return False
    if not clear:
        return True
    attributes = node.attributes
    return (
        tag not in BOILERPLATE
        and (attributes.get("role") or "").lower() not in ROLES
        and not (tag == "a" and (node.text() or "").strip() in SIGNS)
    )
