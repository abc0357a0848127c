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
CELLS = frozenset(("td", "th"))
LAYOUT, NEIGHBOURS = frozenset("table h1 h2 h3 h4 h5 h6 ul ol pre".split()), frozenset(("p", "div"))
"""What no cell of a table of data holds as its own child; of the second, not two after each other."""
LOOKED_AT = 20
"""Nodes of a link that are looked at for a sign."""
FEW, MUCH = 20, 5
"""Words that are too few for a page, if without its boilerplate it lost at least so many times as many."""
DECLARED = re.compile(rb"""(?:charset\s*=|<\?xml[^<>]*\bencoding\s*=)\s*+["']?\s*+([\w.:-]+)""", re.IGNORECASE)
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
    data = _data_tables(tree.root) if tree.css_first("table") is not None else frozenset[int]()
    kept = _written(_main(tree) or root, not whole, data) if root is not None else Blocks()
    if not whole and root is not None and kept.words < FEW:
        # A page that is all navigation, or whose navigation was never closed.
        everything = _written(root, False, data)
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


def _written(root: Any, clear: bool, data: frozenset[int]) -> Blocks:
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
            blocks.open_table(node.mem_id in data)
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


class _Table:
    """What a table holds, with the tables inside of it."""

    def __init__(self) -> None:
        self.cells, self.layout = 0, False

    def take(self, inner: _Table) -> None:
        self.cells += inner.cells
        self.layout |= inner.layout


def _data_tables(root: Any) -> frozenset[int]:
    """The tables that hold data, not the layout of a page, found in one pass: tables may be nested deeply."""
    data, tables = set[int](), list[_Table]()
    stack: list[tuple[Any, bool, bool]] = [(root, False, False)]
    while stack:
        node, leaving, is_layout = stack.pop()
        tag = node.tag
        if leaving:
            table = tables.pop()
            data |= {node.mem_id} if table.cells > 1 and not table.layout else set()
            if tables:
                tables[-1].take(table)
            continue
        if tables:
            tables[-1].layout |= is_layout
            tables[-1].cells += tag in CELLS
        if tag == "table":
            tables.append(_Table())
            stack.append((node, True, False))
        stack += reversed(list(_elements(node)))
    return frozenset(data)


def _elements(node: Any) -> Iterator[tuple[Any, bool, bool]]:
    """Yield the elements in a node, with whether they are the layout of a page in a cell."""
    before, child, in_cell = "", node.first_child, node.tag in CELLS
    while child is not None:
        tag = child.tag or ""
        if tag[:1] not in ("", "-", "!", "_"):
            yield child, False, in_cell and (tag in LAYOUT or (tag in NEIGHBOURS and before == tag))
            before = tag
        child = child.next


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
        and not (tag == "a" and _is_sign(node))
    )


def _is_sign(link: Any) -> bool:
    """Whether a link shows nothing but a sign; links may hold a page."""
    shown, stack = "", [link]
    for _ in range(LOOKED_AT):
        if not stack:
            return shown.strip() in SIGNS
        node = stack.pop()
        if node.tag == "-text":
            shown += node.text_content or ""
            continue
        children, child = list[Any](), node.first_child
        while child is not None and len(children) < LOOKED_AT:
            children.append(child)
            child = child.next
        stack += reversed(children)
    return False
