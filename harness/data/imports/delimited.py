"""Read CSV and TSV as people save them: any delimiter, encoding and line end, text over several lines.

A row that cannot be read is left out by itself: a quotation mark that is never closed costs its own line, not the file.
"""

from __future__ import annotations

import bisect
import csv
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.data.formats import read_bytes
from harness.data.imports import names
from harness.data.imports.imported import Note, Row, Table
from harness.errors import DataError, Problem

DELIMITERS = ",;\t|"
BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
SAMPLE = 1 << 18
"""Bytes and characters from which encoding and dialect are told."""
WESTERN = frozenset(
    "äöüÄÖÜßéèêëÉÈÊàâáãåÀÂÁçÇñîïíìóòôõøæœùûúÿ€°«»•§®©²½\u2018\u2019\u201c\u201d\u201e\u2013\u2014\u2026\u00b4"
)
CODEPAGES = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp932", "gb18030", "cp949", "big5")
"""Encodings that are told apart, of equally good ones the first."""
KNOWN = {
    name for group in (names.QUESTION, names.ANSWER, names.CONTEXT, names.RETRIEVED, names.TEXT, names.TITLE, names.ID,
                       names.SPLIT, names.TURNS, names.SCENARIO) for name in group
}  # fmt: skip
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def read_delimited(path: Path, stated: Sequence[str], problems: list[Problem]) -> Table:
    """Return the rows of a CSV or TSV file; `stated` are columns that the header must hold, if it can.

    Raises DataError if the file cannot be read at all.
    """
    faults: list[Problem] = []
    raw = read_bytes(path, faults)
    if faults:
        raise DataError(faults)
    text = decoded(raw, path, problems)
    separator = re.match(r"sep=(.)\r?\n", text)
    lines = re.split(r"\r\n|\n|\r", text)
    first = 1 if separator else 0
    dialect = _Dialect(separator[1] if separator else "", "\\" if _escaped(text) else None)
    delimiter = dialect.delimiter or _delimiter("\n".join(lines[:200]), stated, path)
    return _table(path, lines, first, _Dialect(delimiter, dialect.escape), problems)


def decoded(raw: bytes, path: Path, problems: list[Problem]) -> str:
    """Return bytes as text: by their byte order mark, else UTF-8, else the encoding that they look like, with a note.

    Single bytes that are not UTF-8 in a file that else is stay marked, so that only their rows are left out.
    """
    for mark, encoding in BOMS:
        if raw.startswith(mark):
            return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    foreign = [line for line in raw.split(b"\n") if not line.isascii()]
    broken = [line for line in foreign if "\ufffd" in line.decode("utf-8", "replace")]
    if len(broken) * 2 <= len(foreign):
        return raw.decode("utf-8", "surrogateescape")
    encoding = _single_bytes(b"\n".join(broken)[:SAMPLE])
    hint = "save it as UTF-8 if letters are wrong"
    problems.append(Note(str(path), f"read as {encoding}: the file is not UTF-8", hint))
    return raw.decode(encoding, "replace")


def _single_bytes(sample: bytes) -> str:
    """Return the encoding of a text that is not UTF-8: of Western Windows if the letters fit, else the likeliest."""
    text = sample.decode("cp1252", "replace")
    foreign = [character for character in text if not character.isascii()]
    if len(foreign) * 4 < len(text) and sum(character in WESTERN for character in foreign) >= 0.8 * len(foreign):
        return "cp1252"
    import charset_normalizer

    likely = charset_normalizer.from_bytes(sample, cp_isolation=[*CODEPAGES])
    ranked = [(round(one.chaos, 2), -round(one.coherence, 1), CODEPAGES.index(one.encoding)) for one in likely]
    return CODEPAGES[min(ranked)[2]] if ranked else "cp1252"


class _Dialect:
    """How fields are split and quoted."""

    def __init__(self, delimiter: str, escape: str | None) -> None:
        self.delimiter, self.escape = delimiter, escape

    def fields(self, text: str, strict: bool = True) -> list[str] | None:
        """Return the fields of one record; None if it is damaged."""
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=self.delimiter, strict=strict, escapechar=self.escape,
            doublequote=self.escape is None,
        )  # fmt: skip
        try:
            rows = list(reader)
        except csv.Error:
            return None
        return rows[0] if len(rows) == 1 else None


def _escaped(text: str) -> bool:
    """Return whether quotation marks in fields are written with a backslash, and not doubled."""
    sample = text[:SAMPLE]
    return '\\"' in sample and '""' not in sample and re.search(r'\\"(?![,;\t|\r\n]|$)', sample) is not None


def _delimiter(sample: str, stated: Sequence[str], path: Path) -> str:
    """Return the delimiter by which the header has most known columns, and rows have most often as many fields."""
    header, *rows = [line for line in sample.split("\n") if line.strip()] or [""]
    best, best_score = "\t" if path.name.lower().split(".gz")[0].endswith(".tsv") else ",", (0, 0, 0.0)
    for delimiter in dict.fromkeys([best, *DELIMITERS]):
        fields = [name.strip() for name in _Dialect(delimiter, None).fields(header, strict=False) or []]
        known = sum(name in stated for name in fields), sum(names.squashed(name) in KNOWN for name in fields)
        alike = sum(row.count(delimiter) == len(fields) - 1 for row in rows) / max(len(rows), 1)
        score = (*known, alike if len(fields) > 1 else 0.0)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _table(path: Path, lines: Sequence[str], first: int, dialect: _Dialect, problems: list[Problem]) -> Table:
    header: list[str] | None = None
    rows: list[Row] = []
    odd = [number for number in range(first, len(lines)) if _quotes(lines[number], dialect) % 2]
    number = first
    while number < len(lines):
        where, start = f"{path}:{number + 1}", number
        number += 1
        if not lines[start].strip():
            continue
        fields = dialect.fields(lines[start])
        place = bisect.bisect_right(odd, start)
        if fields is None and place and odd[place - 1] == start:
            end = odd[place] + 1 if place < len(odd) else start + 1
            fields = _fitting(dialect.fields("\n".join(lines[start:end])), header)
            if fields is None:
                problems.append(Problem(where, "a quotation mark is not closed", "double it, or remove it"))
                continue
            number = end
        elif fields is None:
            fields = dialect.fields(lines[start], strict=False)
        if header is None:
            header = [name.strip() for name in fields or []]
        elif (fitting := _fitting(fields, header)) is not None:
            rows.append(Row(where, _cells(header, fitting)))
        else:
            what = f"{len(fields or [])} fields instead of {len(header)}"
            problems.append(Problem(where, what, 'put fields that hold the delimiter between quotation marks (")'))
    return Table(str(path), "", None, list(dict.fromkeys(name for name in header or [] if name)), rows)


def _quotes(line: str, dialect: _Dialect) -> int:
    return line.count('"') - (line.count('\\"') if dialect.escape else 0)


def _fitting(fields: list[str] | None, header: Sequence[str] | None) -> list[str] | None:
    """Return the fields without empty ones beyond the header; None if their number is not that of the header."""
    if fields is None or header is None:
        return fields
    while len(fields) > len(header) and not fields[-1].strip():
        fields.pop()
    return fields if len(fields) == len(header) else None


def _cells(header: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for name, field in zip(header, fields, strict=True):
        if name:
            cells.setdefault(name, field)
    return cells
