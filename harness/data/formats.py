"""Files in and out: JSONL, BEIR tables, TREC runs and qrels, Parquet.

Readers report file and line of what they cannot read, and go on with the next line. This module must not know what
the rows mean.
"""

from __future__ import annotations

import itertools
import json
import math
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError, Problem, json_fault
from harness.files import UnpacksTooLarge, gunzipped, read_whole, write_atomically, written
from harness.values.records import Qrels, Run
from harness.values.repairs import Repairing

TREC_TAG = "harness"
PACKED = {"zstd": b"\x28\xb5\x2f\xfd", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0", "zip": b"PK\x03\x04", "Parquet": b"PAR1"}
"""What is packed in a way that is not read here, by its first bytes."""
LFS = b"version https://git-lfs"


def read_lines(path: Path, problems: list[Problem], repairing: Repairing | None = None) -> Iterator[tuple[int, str]]:
    """Yield (line number, line) of the lines that are not blank; note a line that is not UTF-8 and go on.

    A file that is compressed with gzip is decompressed, whatever its name; a byte order mark of UTF-16 is honoured.
    """
    raw = read_bytes(path, problems)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            raw = raw.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            problems.append(Problem(str(path), f"not UTF-16 at byte {error.start}", "save the file as UTF-8"))
            return
        if repairing is not None:
            repairing.note("utf-16", str(path))
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = line.decode("utf-8").strip("\r")
        except UnicodeDecodeError as error:
            problems.append(Problem(f"{path}:{number}", f"not UTF-8 at byte {error.start}", "save the file as UTF-8"))
            continue
        if text.strip():
            yield number, text


def read_bytes(path: Path, problems: list[Problem]) -> bytes:
    """Return the bytes of a file, decompressed if it is gzip; empty, with a problem, if it cannot be read."""
    try:
        raw = read_whole(path)
    except OSError as error:
        problems.append(Problem(str(path), f"cannot be read ({error.strerror})", "give a readable file"))
        return b""
    if raw.startswith(b"\x1f\x8b"):
        try:
            return gunzipped(raw)
        except UnpacksTooLarge as error:
            problems.append(Problem(str(path), f"a gzip file that {error}", "unpack it yourself if you trust it"))
            return b""
        except (OSError, EOFError, zlib.error):
            problems.append(Problem(str(path), "a gzip file that is damaged or cut off", "download or pack it again"))
            return b""
    if raw.startswith(LFS):
        problems.append(Problem(str(path), "a pointer of Git LFS, not the file itself", "run 'git lfs pull'"))
        return b""
    packed = next((name for name, start in PACKED.items() if raw.startswith(start)), None)
    if packed is not None:
        problems.append(Problem(str(path), f"a file of {packed}", "unpack it, or pack it with gzip; both are read"))
        return b""
    return raw


def read_jsonl(
    path: Path, problems: list[Problem], repairing: Repairing | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a JSON Lines file; note a line that is no JSON object and go on.

    With `repairing`, other JSON that holds objects is read too (see `json_objects`), an object counting as a line.
    """
    lines = read_lines(path, problems, repairing)
    if repairing is not None:
        first = next(lines, None)
        lines = lines if first is None else itertools.chain([first], lines)
        if first is not None and not _is_row(first[1]):
            kept_lines = list(lines)
            items = json_objects("\n".join(line for _, line in kept_lines))
            if items is not None:
                repairing.note("json-list", str(path))
                yield from enumerate(items, start=1)
                return
            lines = iter(kept_lines)
    for number, line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            what = json_fault(error)
            hint = "remove the comma at its end" if line.rstrip().endswith("},") else ""
            problems.append(Problem(f"{path}:{number}", f"not JSON: {what}", hint))
            continue
        if not isinstance(value, dict):
            problems.append(Problem(f"{path}:{number}", "not a JSON object", 'write {"_id": ...} on each line'))
        elif "\\ud" in line.lower() and not _encodable(value):
            problems.append(Problem(f"{path}:{number}", "half of a surrogate pair (\\ud...)", "write whole characters"))
        elif repairing is not None and (twice := _named_twice(line)):
            problems.append(Problem(f"{path}:{number}", f"{twice!r} is named twice in one object", "keep one"))
        else:
            yield number, value


def _is_row(line: str) -> bool:
    """Return whether a line is an object with any value that is not an object."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and not (value and all(isinstance(item, dict) for item in value.values()))


def _named_twice(line: str) -> str | None:
    """Return a key that an object of a line has twice, of which JSON readers silently keep the last; None if none.

    Only lines that hold an important name twice are parsed again.
    """
    if all(line.count(f'"{name}"') < 2 for name in ("_id", "id", "title", "text", "answers", "score")):
        return None
    repeated: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> None:
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                repeated.append(name)
            seen.add(name)

    json.loads(line, object_pairs_hook=check)
    return repeated[0] if repeated else None


def json_objects(text: str) -> list[dict[str, Any]] | None:
    """Return the objects of a JSON text: a list of objects, objects over several lines, or an object of objects by id.

    None for any other text.
    """
    decoder, values, place = json.JSONDecoder(), [], 0
    try:
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            values.append(value)
            while place < len(text) and text[place].isspace():
                place += 1
    except (ValueError, RecursionError):
        return None
    whole = values[0] if len(values) == 1 else values
    if isinstance(whole, dict) and whole and all(isinstance(item, dict) for item in whole.values()):
        whole = [item if "_id" in item else {"_id": key, **item} for key, item in whole.items()]
    good = isinstance(whole, list) and all(isinstance(item, dict) for item in whole) and _encodable(whole)
    return whole if good else None


def _encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_table(path: Path, columns: Sequence[str], problems: list[Problem]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line number, fields) of a tab-separated file with these columns; a header line is skipped."""
    for number, line in read_lines(path, problems):
        fields = tuple(field.strip() for field in line.split("\t"))
        if number == 1 and fields[0].lower().replace("_", "-") == columns[0]:
            continue
        if len(fields) != len(columns):
            what = f"{len(fields)} fields instead of {len(columns)} ({', '.join(columns)}, split by tabs)"
            problems.append(Problem(f"{path}:{number}", what))
            continue
        yield number, fields


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON Lines, keys in the order of the row."""
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def load_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a JSON Lines file that the harness itself wrote; raise DataError if it is damaged."""
    problems: list[Problem] = []
    rows = [row for _, row in read_jsonl(path, problems)]
    if problems:
        raise DataError(problems)
    return rows


def write_run(path: Path, run: Run) -> None:
    """Write ranked lists as a TREC run file, in the order given.

    TREC splits at white space, so white space in an id is written as in a URL. An empty list has no line.
    """
    lines = []
    for query_id, hits in run.items():
        query = _token(query_id)
        for rank, (doc_id, score) in enumerate(hits, start=1):
            lines.append(f"{query} Q0 {_token(doc_id)} {rank} {float(score)!r} {TREC_TAG}\n")
    write_atomically(path, "".join(lines))


def _token(identifier: str) -> str:
    if identifier.isprintable() and "%" not in identifier and " " not in identifier:
        return identifier
    return "".join(urllib.parse.quote(char) if char in "% " or not char.isprintable() else char for char in identifier)


def read_run(path: Path, *, escaped: bool = False) -> Run:
    """Read a TREC run file. `escaped` says that `write_run` wrote it, so that ``%20`` stands for a space.

    Raises DataError with file and line for a line that has not six fields, a score that is no finite number, or a
    document that a list holds twice.
    """
    problems: list[Problem] = []
    run: dict[str, dict[str, float]] = {}
    for number, line in read_lines(path, problems):
        fields = line.split()
        score = finite(fields[4]) if len(fields) == 6 else None
        if score is None:
            problems.append(Problem(f"{path}:{number}", "not 'query_id Q0 doc_id rank score tag' with a finite score"))
            continue
        query_id, doc_id = fields[0], fields[2]
        if escaped and "%" in line:
            query_id, doc_id = urllib.parse.unquote(query_id), urllib.parse.unquote(doc_id)
        hits = run.setdefault(query_id, {})
        if doc_id in hits:
            problems.append(Problem(f"{path}:{number}", f"query {query_id!r} lists document {doc_id!r} twice"))
        hits[doc_id] = score
    if problems:
        raise DataError(problems)
    return {query_id: list(hits.items()) for query_id, hits in run.items()}


def finite(text: str) -> float | None:
    """Return the number that a text holds; None if it is not a finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write judgements as a BEIR table."""
    rows = [f"{query}\t{doc}\t{grade}\n" for query, docs in qrels.items() for doc, grade in docs.items()]
    write_atomically(path, "query-id\tcorpus-id\tscore\n" + "".join(rows))


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Write rows as Parquet with the given columns (name -> Arrow type), also when there are no rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    with written(path) as aside:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), aside)


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Read a Parquet file as a list of rows."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
