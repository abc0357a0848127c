"""DOCX: mammoth turns it into HTML, with the headings of every style that has an outline level.

So text in tables of tables, text boxes, footnotes, content controls and tracked insertions is read as well.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any
from xml.etree import ElementTree

from harness.ingest.readers.docx_parts import HEADING, STRICT_W, XML_ONLY, W, readable
from harness.ingest.readers.encodings import kind_of
from harness.ingest.readers.html import from_page
from harness.ingest.readers.parsed import Parsed, Unreadable, one_line

DC_TITLE = "{http://purl.org/dc/elements/1.1/}title"
TITLE_STYLES = ("Title", "title")
UNTOLD = re.compile(
    r"^(microsoft word\b.*|untitled\b.*|document\d*|word document|.*\.(docx?|odt|rtf|tex|dvi|indd|qxd))$", re.I
)
"""Titles in properties that a program has written, not a person."""
DAMAGED = "is damaged, or no DOCX"


def read_docx(raw: bytes, most_bytes: int) -> Parsed:
    """Return the text of a document; its title is that of its properties, else the first heading.

    `most_bytes` bounds what its parts hold when they are unpacked. Raises Unreadable beyond it, and for a damaged file.
    """
    archive = _opened(raw, most_bytes)
    try:
        styles = _heading_styles(archive)
        title = _title(archive)
        page = _page(readable(archive, raw), styles)
    except Unreadable:
        raise
    except Exception as error:
        # What a damaged file makes of the libraries that read it has no bound.
        if isinstance(error, MemoryError):
            raise
        raise Unreadable(DAMAGED, "open it in a word processor and save it again") from error
    return from_page(page, title="" if UNTOLD.match(title) else title, whole=True)


def _opened(raw: bytes, most_bytes: int) -> zipfile.ZipFile:
    if not raw:
        raise Unreadable("is empty")
    kind = kind_of(raw)
    if kind.startswith("old Office"):
        raise Unreadable("is encrypted, or an old Word file (.doc)", "save it as .docx without a password")
    if kind != "ZIP":
        raise Unreadable(f"is a file of {kind}, not DOCX" if kind else DAMAGED, "give it its right suffix")
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
        parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, OverflowError, IndexError) as error:
        raise Unreadable(DAMAGED, "open it in a word processor and save it again") from error
    if not any(part.filename.lower().endswith("document.xml") or part.filename.startswith("word/") for part in parts):
        raise Unreadable("is a ZIP file, not DOCX", "unpack it, and name the folder")
    if any(part.flag_bits & 1 for part in parts):
        raise Unreadable("is encrypted", "save it without a password")
    # What the directory of the archive says is what is read at most: a part that holds more fails its checksum.
    if sum(part.file_size for part in parts if part.filename.lower().endswith(XML_ONLY)) > most_bytes:
        raise Unreadable("is larger than --max-file-mb when it is unpacked", "raise --max-file-mb if you trust it")
    return archive


def _page(raw: bytes, styles: list[str]) -> str:
    import mammoth

    def no_image(image: Any) -> dict[str, str]:
        return {}

    result = mammoth.convert_to_html(
        io.BytesIO(raw), style_map="\n".join(styles), convert_image=mammoth.images.img_element(no_image)
    )
    return str(result.value)


def _heading_styles(archive: zipfile.ZipFile) -> list[str]:
    """Map each paragraph style with an outline level, its own or inherited, to a heading, in mammoth's notation."""
    mapped = [f"p.{HEADING}{level} => h{level}:fresh" for level in range(1, 7)]
    try:
        root = ElementTree.fromstring(archive.read("word/styles.xml"))
    except (KeyError, ElementTree.ParseError):
        return mapped
    w = STRICT_W if root.tag.startswith(STRICT_W) else W
    paragraphs = [style for style in root.iter(f"{w}style") if style.get(f"{w}type") == "paragraph"]
    styles = {style.get(f"{w}styleId", ""): style for style in paragraphs}
    for identifier, style in styles.items():
        named = style.find(f"{w}name")
        name = named.get(f"{w}val", "") if named is not None else ""
        level = 1 if name in TITLE_STYLES else _level(style, styles, w)
        if level and re.fullmatch(r"[\w-]+", identifier):
            mapped.append(f"p.{identifier} => h{level}:fresh")
    return mapped


def _level(style: Any, styles: dict[str, Any], w: str) -> int:
    """The level of a heading, from 1 to 6; 0 for body text. A style inherits it from those that it is based on."""
    for _ in range(len(styles)):
        level = style.find(f"{w}pPr/{w}outlineLvl")
        if level is not None:
            value = level.get(f"{w}val", "9")
            return min(int(value) + 1, 6) if value.isdigit() and int(value) < 9 else 0
        based = style.find(f"{w}basedOn")
        parent = styles.get(based.get(f"{w}val", "")) if based is not None else None
        if parent is None:
            return 0
        style = parent
    return 0


def _title(archive: zipfile.ZipFile) -> str:
    try:
        root = ElementTree.fromstring(archive.read("docProps/core.xml"))
    except (KeyError, ElementTree.ParseError):
        return ""
    return one_line(root.findtext(DC_TITLE) or "")
