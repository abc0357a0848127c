"""Which reader a file has, by its suffix."""

from __future__ import annotations

from collections.abc import Callable

from harness.ingest.readers.parsed import Parsed, Unreadable

FORMATS = {
    "markdown": (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd"),
    "text": (".txt", ".text"),
    "rst": (".rst", ".rest"),
    "html": (".html", ".htm", ".xhtml"),
    "pdf": (".pdf",),
    "docx": (".docx", ".docm"),
}
"""Name of a format -> suffixes, in lower case."""
SUFFIXES = {suffix: name for name, suffixes in FORMATS.items() for suffix in suffixes}
_HINTS = {
    "save as .docx": ".doc .odt .rtf .pages",
    "save as PDF": ".ppt .pptx .key .odp .ps",
    "convert to HTML": ".epub .tex .adoc .xml",
    "save as HTML": ".mhtml",
    "export as Markdown": ".ipynb .org",
    "save as CSV, and name that as a source": ".xls .xlsx .ods",
    "name it as a source of its own": ".csv .tsv .json .jsonl .parquet",
    "unpack it": ".zip .gz .tar .7z",
}
OTHERS = {suffix: hint for hint, suffixes in _HINTS.items() for suffix in suffixes.split()}
"""Suffixes of documents that are not read, and what to do."""
READERS_VERSION = 1
"""Raise it when a reader gives another text for the same file: an update then reads every file again."""
EXTRA = "pip install 'rag-tuning-harness[ingest]'"


def read(name: str, raw: bytes, most_bytes: int) -> Parsed:
    """Return the document that a file of a format holds. Raises Unreadable, also if the reader is not installed."""
    try:
        return _reader(name, most_bytes)(raw)
    except ModuleNotFoundError as error:
        raise Unreadable(f"needs the package {error.name or 'of its reader'}", EXTRA) from error
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    except MemoryError as error:
        raise Unreadable("needs too much memory", "split it, or raise the memory") from error


def _reader(name: str, most_bytes: int) -> Callable[[bytes], Parsed]:
    if name == "html":
        from harness.ingest.readers.html import read_html as reader
    elif name == "pdf":
        from harness.ingest.readers.pdf import read_pdf as reader
    elif name == "docx":
        from harness.ingest.readers.docx import read_docx

        return lambda raw: read_docx(raw, most_bytes)
    elif name == "markdown":
        from harness.ingest.readers.markdown import read_markdown as reader
    elif name == "rst":
        from harness.ingest.readers.text import read_rst as reader
    else:
        from harness.ingest.readers.text import read_text as reader
    return reader
