"""Small real files of every format that is ingested, made by the libraries that people make them with."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

GUIDE = (
    ("Pumps", "A pump moves water through the pipes of the house. It needs oil once a year."),
    ("Valves", "A valve stops the water. The red one belongs to the kitchen."),
)
"""Sections of the document that is made in every format, as heading and paragraph."""
TITLE = "House guide"


def markdown(title: str = TITLE, sections: Sequence[tuple[str, str]] = GUIDE) -> bytes:
    return "\n\n".join([f"# {title}", *(f"## {name}\n\n{text}" for name, text in sections)]).encode()


def plain(title: str = TITLE, sections: Sequence[tuple[str, str]] = GUIDE) -> bytes:
    return "\n\n".join([title, *(f"{name}\n\n{text}" for name, text in sections)]).encode()


def rst(title: str = TITLE, sections: Sequence[tuple[str, str]] = GUIDE) -> bytes:
    parts = [f"{title}\n{'=' * len(title)}", *(f"{name}\n{'-' * len(name)}\n\n{text}" for name, text in sections)]
    return "\n\n".join(parts).encode()


def html(title: str = TITLE, sections: Sequence[tuple[str, str]] = GUIDE) -> bytes:
    body = "".join(f"<h2>{name}</h2><p>{text}</p>" for name, text in sections)
    page = (
        f"<!doctype html><html><head><title>{title} - Site</title><style>p {{color: red}}</style></head><body>"
        f"<nav><a href='/'>Home page</a></nav><h1>{title}</h1>{body}<script>track()</script>"
        "<footer>Imprint</footer></body></html>"
    )
    return page.encode()


def pdf(
    title: str = TITLE,
    sections: Sequence[tuple[str, str]] = GUIDE,
    password: str = "",
    pages: int = 1,
    running: str = "",
) -> bytes:
    """A PDF with headings in larger letters; with `running`, that line and a number stand on each page."""
    from fpdf import FPDF

    class Paper(FPDF):
        def header(self) -> None:
            if running:
                self.set_font("helvetica", size=9)
                self.cell(0, 8, f"{running} {self.page_no()}", new_x="LMARGIN", new_y="NEXT")

    file = Paper()
    if password:
        file.set_encryption(owner_password="owner", user_password=password)
    for number in range(pages):
        file.add_page()
        if number == 0:
            file.set_font("helvetica", size=24)
            file.multi_cell(0, 12, title, new_x="LMARGIN", new_y="NEXT")
        for name, text in sections:
            file.set_font("helvetica", size=16)
            file.cell(0, 14, name, new_x="LMARGIN", new_y="NEXT")
            file.set_font("helvetica", size=11)
            file.multi_cell(0, 6, text, new_x="LMARGIN", new_y="NEXT")
    return bytes(file.output())


def scan() -> bytes:
    """A PDF with a picture and no text."""
    from fpdf import FPDF

    file = FPDF()
    file.add_page()
    file.rect(10, 10, 100, 100)
    return bytes(file.output())


def docx(title: str = TITLE, sections: Sequence[tuple[str, str]] = GUIDE) -> bytes:
    from docx import Document

    document = Document()
    document.core_properties.title = ""
    document.add_heading(title, 0)
    for name, text in sections:
        document.add_heading(name, 2)
        document.add_paragraph(text)
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def changed_docx(change: Callable[[str, bytes], bytes], more: Mapping[str, bytes] = {}) -> bytes:
    """The guide as DOCX with its parts changed, and with more parts."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx())) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, change(part.filename, old.read(part)))
        for name, content in more.items():
            new.writestr(name, content)
    return stream.getvalue()


MAKERS: dict[str, Callable[[], bytes]] = {
    ".md": markdown, ".txt": plain, ".rst": rst, ".html": html, ".pdf": pdf, ".docx": docx,
}  # fmt: skip
"""Suffix -> the guide in this format."""


def write(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files below a folder, which is made; return it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
