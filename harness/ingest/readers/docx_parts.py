"""Parts of a DOCX that mammoth passes over, rewritten as parts that it reads, so that no text is lost.

These are text boxes without the older notation beside them, fields, formulas, and paragraphs that are headings by their
own outline level instead of by their style.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
STRICT_W = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
TOLD = (b"txbxContent", b"fldSimple", b"oMath", b"outlineLvl")
"""Names without which a part needs no rewriting."""
XML_ONLY = (".xml", ".rels")
"""Ends of the names of parts that hold text, or say where it is."""
HEADING = "harness-heading-"
"""Style of a paragraph that is a heading by itself, with its level behind."""
PARTS = ("word/document.xml", "word/footnotes.xml", "word/endnotes.xml")


def readable(archive: zipfile.ZipFile, raw: bytes) -> bytes:
    """Return the bytes of a document in which mammoth finds all of the text; the same bytes if it does already."""
    changed = {
        name: _rewritten(content)
        for name in PARTS
        if name in archive.NameToInfo and any(word in (content := archive.read(name)) for word in TOLD)
    }
    if not changed:
        return raw
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as new:
        for part in archive.infolist():
            # Pictures, fonts and what is embedded are not read, and are in no bound.
            if part.filename.lower().endswith(XML_ONLY):
                new.writestr(part.filename, changed.get(part.filename) or archive.read(part))
    return stream.getvalue()


def _rewritten(content: bytes) -> bytes:
    root = ElementTree.fromstring(content)
    w = STRICT_W if root.tag.startswith(STRICT_W) else W
    parents = {child: parent for parent in root.iter() for child in parent}
    for element in list(root.iter()):
        if element.tag == f"{w}fldSimple":
            element.tag = f"{w}smartTag"
        elif element.tag == f"{M}oMath":
            _as_run(element, w)
        elif element.tag == f"{M}oMathPara":
            element.tag = f"{w}smartTag"
        elif element.tag == f"{w}pPr":
            _mark_heading(element, w)
        elif element.tag == f"{w}txbxContent" and not _is_read(element, parents, w):
            _move_out(element, parents, w)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _as_run(formula: Any, w: str) -> None:
    """Make a formula a run of its letters, in the order in which they are stored."""
    text = "".join(part.text or "" for part in formula.iter(f"{M}t"))
    formula.tag = f"{w}r"
    formula[:] = []
    ElementTree.SubElement(formula, f"{w}t").text = text


def _mark_heading(properties: Any, w: str) -> None:
    level = properties.find(f"{w}outlineLvl")
    value = level.get(f"{w}val", "") if level is not None else ""
    if not value.isdigit() or int(value) > 8:
        return
    style = properties.find(f"{w}pStyle")
    if style is None:
        style = ElementTree.Element(f"{w}pStyle")
        properties.insert(0, style)
    style.set(f"{w}val", f"{HEADING}{min(int(value) + 1, 6)}")


def _above(element: Any, parents: dict[Any, Any]) -> Iterator[Any]:
    while (element := parents.get(element)) is not None:
        yield element


def _is_read(box: Any, parents: dict[Any, Any], w: str) -> bool:
    """Whether a text box is read as it is, or beside it one with the same text in the older notation."""
    for element in _above(box, parents):
        if element.tag == f"{MC}Fallback" or element.tag == f"{w}pict":
            return True
        if element.tag == f"{MC}AlternateContent":
            old = element.find(f"{MC}Fallback")
            return old is not None and old.find(f".//{w}txbxContent") is not None
    return False


def _move_out(box: Any, parents: dict[Any, Any], w: str) -> None:
    """Put the paragraphs of a text box behind the paragraph that it hangs on."""
    holder = next((element for element in _above(box, parents) if element.tag == f"{w}p"), None)
    if holder is None or (outer := parents.get(holder)) is None:
        return
    place = list(outer).index(holder) + 1
    for child in list(box):
        box.remove(child)
        outer.insert(place, child)
        parents[child] = outer
        place += 1
