"""Bytes to text: byte order marks, UTF-8, what the file declares, and a guess for the rest; no binary files."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from harness.ingest.readers.parsed import Unreadable

MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""
KINDS = (
    (b"%PDF-", "PDF"), (b"PK\x03\x04", "ZIP"), (b"PK\x05\x06", "ZIP"), (b"\xd0\xcf\x11\xe0", "old Office (OLE)"),
    (b"\x1f\x8b", "gzip"), (b"\x89PNG", "PNG"), (b"GIF8", "GIF"), (b"\xff\xd8\xff", "JPEG"), (b"\x7fELF", "ELF"),
    (b"{\\rtf", "RTF"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"7z\xbc\xaf", "7z"),
    (b"SQLite format 3", "SQLite"), (b"PAR1", "Parquet"), (b"%!PS", "PostScript"), (b"AT&TFORM", "DjVu"),
)  # fmt: skip
"""First bytes -> what the file is, whatever its name says."""
IN_LETTERS = frozenset(("PDF", "RTF", "PostScript"))
"""Kinds that may be made of letters alone, and are no text to read."""
CONTROL_SHARE = 0.005
"""The largest share of control characters in a text."""
BAD_SHARE = 0.001
"""The largest share of bytes that are not UTF-8 in a file that is read as UTF-8 anyway."""
GUESSED, AROUND = 1 << 16, 80
"""Bytes by which an encoding is guessed, and those that are taken on each side of what is telling."""
ALIASES = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "ascii": "cp1252", "us-ascii": "cp1252"}
"""What is declared -> what is meant, as browsers read it."""
UTF_16 = ("utf-16-le", "utf-16-be")
FEW_SHARE = 0.03
"""Share of bytes beyond ASCII, below which a text is in a Latin script and tells little of its encoding."""
ENCODINGS = (
    "cp1252", "latin_1", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874",
    "iso8859_2", "iso8859_5", "iso8859_7", "iso8859_9", "koi8_r", "koi8_u", "cp866", "cp850", "cp437", "mac_roman",
    "cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949", "euc_kr",
)  # fmt: skip
"""Encodings that are guessed: rarer ones are more often a wrong guess than a right one."""
_BEYOND = re.compile(rb"[\x80-\xff]+")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x7f]")


class Decoded(NamedTuple):
    """A text, and a note if its encoding was guessed or bytes were replaced."""

    text: str
    notes: tuple[str, ...] = ()


def kind_of(raw: bytes) -> str:
    """Return what a file is by its first bytes, such as ``PDF``; empty for text and for the unknown."""
    return next((name for start, name in KINDS if raw.startswith(start)), "")


def decode(raw: bytes, declared: str = "") -> Decoded:
    """Return the text of a file. `declared` is the encoding that it names, used if the file is not UTF-8.

    Raises Unreadable for an empty or a binary file, and for one whose encoding is not recognised.
    """
    if not raw.strip(b" \t\r\n\0\x0c"):
        raise Unreadable("is empty")
    kind = kind_of(raw)
    decoded = _marked(raw) or _utf_8(raw) or _wide(raw)
    if kind in IN_LETTERS or (decoded is None and (kind or b"\0" in raw)):
        raise _binary(raw)
    decoded = decoded or _declared(raw, declared) or _mostly_utf_8(raw) or _guessed(raw)
    if len(_CONTROL.findall(decoded.text)) > max(CONTROL_SHARE * len(decoded.text), 3):
        raise _binary(raw)
    return decoded


def _binary(raw: bytes) -> Unreadable:
    kind = kind_of(raw)
    what = f"is a file of {kind}, not text" if kind else "is a binary file, not text"
    return Unreadable(what, "give it its right suffix" if kind == "PDF" else "save it as text in UTF-8")


def _marked(raw: bytes) -> Decoded | None:
    for mark, name in MARKS:
        if raw.startswith(mark):
            text = raw[len(mark) :].decode("utf-8", "replace") if name == "utf-8" else raw.decode(name, "replace")
            bad = text.count("\ufffd")
            if bad > max(BAD_SHARE * len(text), 3):
                return None
            return Decoded(text, (_replaced(name),) if bad else ())
    return None


def _replaced(name: str) -> str:
    return f"bytes that are not {name.upper()} were replaced"


def _utf_8(raw: bytes) -> Decoded | None:
    try:
        return Decoded(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return None


def _wide(raw: bytes) -> Decoded | None:
    """UTF-16 without a mark: a zero byte at every second place of what is mostly Latin."""
    part = raw[: 1 << 16]
    for name, zeros in zip(UTF_16, (part[1::2], part[::2]), strict=True):
        if len(part) >= 8 and zeros.count(0) >= 0.4 * len(zeros) > 0 and part.count(0) <= 0.55 * len(part):
            text = raw[: len(raw) // 2 * 2].decode(name, "replace")
            if text.count("\ufffd") <= BAD_SHARE * len(text):
                return Decoded(text, (f"read as {name.upper()} by its zero bytes",))
    return None


def _declared(raw: bytes, declared: str) -> Decoded | None:
    name = ALIASES.get(declared.lower(), declared.lower())
    if not name or name.replace("-", "").replace("_", "") in ("utf8", "utf16", "utf32"):
        return None
    try:
        codec = codecs.lookup(name)
        text = raw.decode(codec.name, "replace") if codec._is_text_encoding else ""
    except (LookupError, ValueError):
        return None
    return Decoded(text) if text and text.count("\ufffd") <= BAD_SHARE * len(text) else None


def _mostly_utf_8(raw: bytes) -> Decoded | None:
    """UTF-8 with a few damaged bytes, and some whole characters beyond ASCII; else nothing says that it is UTF-8."""
    text = raw.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    beyond = sum(len(run) for run in re.findall("[^\x00-\x7f\ufffd]+", text))
    return Decoded(text, (_replaced("utf-8"),)) if bad <= BAD_SHARE * len(text) and beyond >= bad else None


def _guessed(raw: bytes) -> Decoded:
    """The text in the encoding that is most likely; few letters beyond ASCII tell nothing, but most are Western."""
    sample = _sample(raw)
    few = sum(map(len, _BEYOND.findall(raw))) < FEW_SHARE * len(raw)
    for name in (["cp1252"] if few else []) + _likely(sample):
        text = raw.decode(name, "replace")
        if text.count("\ufffd") <= BAD_SHARE * len(text):
            note = f"read as {name.replace('_', '-')}, which is a guess; save it as UTF-8 if letters are wrong"
            return Decoded(text, (note,))
    raise Unreadable("has an encoding that is not recognised", "save it as UTF-8")


def _likely(sample: bytes) -> list[str]:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=list(ENCODINGS)).best()
    if best is None:
        return []
    return ["cp1252"] if best.encoding == "latin_1" else [best.encoding]


def _sample(raw: bytes) -> bytes:
    """The bytes beyond ASCII with what stands around them, from all over the file: plain ASCII tells no encoding."""
    if len(raw) <= GUESSED:
        return raw
    parts, length, end = list[bytes](), 0, 0
    for match in _BEYOND.finditer(raw):
        if match.end() <= end:
            continue
        start, end = max(match.start() - AROUND, end), match.end() + AROUND
        parts.append(raw[start:end])
        length += end - start
        if length > GUESSED:
            break
    return b"\n".join(parts)[:GUESSED]
