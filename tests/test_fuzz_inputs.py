"""Damaged input of every kind: read, or refused in sentences that name the place; never a traceback, never a hang.

Real files are mutated: bytes, lines and, where they have a structure, values in it. 150 of a kind by default, 10,000
under `slow`.
"""

from __future__ import annotations

import copy
import gzip
import json
import lzma
import os
import random
import re
import resource
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import outcomes
import pocket
import pytest
import yaml

from harness.data.datasets import load_dataset
from harness.errors import HarnessError
from harness.gates.run_files import read_qrels_file
from harness.gates.run_lines import read_run
from harness.judge.labels import read_labels
from harness.llm import completions
from harness.llm.completions import Redaction
from harness.llm.faults import RequestContext
from harness.report.render.markdown import render_markdown
from harness.results import baselines
from harness.results import outcomes as kept
from harness.suite.files import load_suite
from harness.suite.sources import DatasetSource
from harness.values.measures import parse

ROOT = Path(__file__).resolve().parent.parent
SECONDS, MEGABYTES = 5.0, 1000
NASTY: tuple[Any, ...] = (
    None, True, 0, -1, 10**400, 1e308, float("nan"), float("inf"), "", " ", "\u0000", "\u202e", "é" * 300, "../../x",
    "/etc/passwd", "${HOME}", "a" * 70_000, [], {}, [[]], [None], {"": None}, {"a": {"b": {"c": []}}}, "1e999", "-0",
    "!!python/object/apply:os.system ['true']", "embedded:nothing", "hf://x/y", "s3://x/y", "{{ 7*7 }}", "<script>",
)  # fmt: skip
BYTES = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n\n", b"\t", b"{", b"}", b"[" * 3000, b'"', b"\\ud800", b"NaN",
    b"1e999", b"9" * 5000, b"&a [*a, *a]\n", b": ", b"- ", b"#", b"\xc3", b"\x1f\x8b\x08", b"PAR1", b"%s", b"\x1b[2J",
)  # fmt: skip


class Kind(NamedTuple):
    """Files to damage, by name, and what reads them; it may raise HarnessError."""

    files: Callable[[], dict[str, bytes]]
    read: Callable[[Path], object]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content with one to four mutations."""
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randint(0, len(content)), chance.choice((1, 1, 3, 20, 400))
        match chance.randint(0, 6):
            case 0:
                content = content[:at] + bytes([chance.randint(0, 255)]) + content[at + 1 :]
            case 1:
                content = content[:at] + content[at + size :]
            case 2:
                content = content[:at] + chance.choice(BYTES) + content[at:]
            case 3:
                content = content[:at] + content[at : at + size] * 2 + content[at + size :]
            case 4:
                content = content[:at]
            case 5:
                lines = content.splitlines(keepends=True)
                chance.shuffle(lines)
                content = b"".join(lines)
            case _:
                content = _with_another_value(content, chance)
    return content


def _with_another_value(content: bytes, chance: random.Random) -> bytes:
    """A YAML or JSON file, or a line of JSON, with a nasty value somewhere."""
    lines = content.split(b"\n")
    number = chance.randrange(len(lines))
    for text, write, place in ((content, json.dumps, None), (lines[number], json.dumps, number)):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            continue
        new = write(_replaced(value, chance)).encode()
        return new if place is None else b"\n".join([*lines[:place], new, *lines[place + 1 :]])
    try:
        value = yaml.safe_load(content)
        return yaml.safe_dump(_replaced(value, chance), allow_unicode=True).encode()
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError):
        return content


def _replaced(value: Any, chance: random.Random) -> Any:
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return chance.choice(NASTY)
    holder, key = chance.choice(places)
    if chance.random() < 0.2:
        del holder[key]
    else:
        holder[key] = chance.choice(NASTY)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def suites() -> dict[str, bytes]:
    paths = sorted((ROOT / "suites").glob("*/suite.yaml"))
    return {f"{path.parent.name}.yaml": path.read_bytes() for path in paths} | {"toy": pocket.suite_text().encode()}


def read_suites(folder: Path) -> None:
    for path in folder.iterdir():
        load_suite(path)


def dataset() -> dict[str, bytes]:
    root = pocket.FOLDER
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def read_dataset(folder: Path) -> None:
    load_dataset(DatasetSource.model_validate({"path": str(folder)}), "test")


def accepted() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (ROOT / "baselines" / "quickstart").iterdir()}


def outcome() -> dict[str, bytes]:
    return {"outcome.json": outcomes.normal().model_dump_json(indent=1).encode()}


def read_outcome(folder: Path) -> None:
    render_markdown(kept.read(folder))


def labels() -> dict[str, bytes]:
    rows = [
        {"id": f"{number}-m", "question": "Who?", "answer": "Ada.", "context": ["Ada did."], "history": [],
         "ratings": {"faithfulness": [1, 0.5]}, "model": "m", "reference": "Ada"} for number in range(5)
    ]  # fmt: skip
    return {"labels.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}


def run_file() -> dict[str, bytes]:
    lines = [f"q{query} Q0 d{doc} {doc + 1} {10 - doc / 3} tag\n" for query in range(5) for doc in range(8)]
    return {"run.trec": "".join(lines).encode()}


def judgements() -> dict[str, bytes]:
    trec = "".join(f"q{query} 0 d{doc} {doc % 3}\n" for query in range(5) for doc in range(4))
    beir = "query-id\tcorpus-id\tscore\n" + "".join(f"q{query}\td{query}\t1\n" for query in range(5))
    rows = "".join(json.dumps({"query_id": f"q{query}", "doc_id": "d", "relevance": 1}) + "\n" for query in range(5))
    return {"a.qrels": trec.encode(), "b.tsv": beir.encode(), "c.jsonl": rows.encode()}


def replies() -> dict[str, bytes]:
    message = {"role": "assistant", "content": [{"type": "text", "text": "Ada."}], "reasoning_content": "Hm."}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    whole = {"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": message}], "usage": usage}
    part = {"choices": [{"index": 0, "delta": {"content": "Ada"}, "finish_reason": None}]}
    stream = f"data: {json.dumps(part)}\n\ndata: {json.dumps(part)}\n\ndata: [DONE]\n\n"
    fault = {"error": {"message": "too long", "type": "invalid_request_error", "code": 400}}
    return {"whole": json.dumps(whole).encode(), "stream": stream.encode(), "fault": json.dumps(fault).encode()}


def read_replies(folder: Path) -> None:
    clean = Redaction(lambda text: text, lambda text: text[:80])
    for path in folder.iterdir():
        found = completions.read(path.read_bytes(), RequestContext("model", "max_tokens"), clean)
        assert isinstance(found, tuple)


def each(read: Callable[[Path], object]) -> Callable[[Path], None]:
    def read_all(folder: Path) -> None:
        for path in folder.iterdir():
            read(path)

    return read_all


KINDS: dict[str, Kind] = {
    "suites": Kind(suites, read_suites),
    "datasets": Kind(dataset, read_dataset),
    "runs": Kind(run_file, each(read_run)),
    "judgements": Kind(judgements, each(read_qrels_file)),
    "baselines": Kind(accepted, baselines.read),
    "outcomes": Kind(outcome, read_outcome),
    "labels": Kind(labels, each(lambda path: read_labels(path, parse("faithfulness")))),
    "replies": Kind(replies, read_replies),
}


def attack(kind: Kind, folder: Path, seed: int) -> None:
    """Damage one of the files, and read them all."""
    chance = random.Random(seed)
    name = chance.choice(sorted(kind.files()))
    path = laid_out(kind, folder, name)
    path.write_bytes(damaged(path.read_bytes(), chance))
    read_or_refused(kind, folder, f"seed {seed}, {name}")


def laid_out(kind: Kind, folder: Path, name: str) -> Path:
    """Write the files that are read together with one of them, and return where it lies."""
    files = kind.files()
    # Kinds of which every file is read alone need that one only.
    shown = files if kind.read in (read_dataset, baselines.read) else {name: files[name]}
    shutil.rmtree(folder, ignore_errors=True)
    for other, content in shown.items():
        path = folder / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / name


def read_or_refused(kind: Kind, folder: Path, what: str) -> None:
    began = time.process_time()
    try:
        kind.read(folder)
    except HarnessError as error:
        told = [str(problem) for problem in error.problems] or [str(error)]
        assert all(line.strip() for line in told)
        assert "Traceback" not in "".join(told)
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    assert time.process_time() - began < SECONDS, what


def attacked(name: str, folder: Path, seeds: Iterable[int]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        attack(KINDS[name], folder / "input", seed)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024 * MEGABYTES


@pytest.mark.parametrize("name", KINDS)
def test_the_files_that_are_damaged_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    for file, content in KINDS[name].files().items():
        path = tmp_path / "input" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        # Suites on data or with prompts that are not here are refused for that reason.
        if b"${HARNESS_DATA}" not in content and b"prompts/" not in content:
            path.write_bytes(content)
    KINDS[name].read(tmp_path / "input")


# Numbers beyond floats, whole numbers as keys, mappings where names are expected, settings that do not go together.
FOUND_BEFORE = {
    "suites": (1459, 1495, 3874, 4036, 4381), "datasets": (1621, 1955, 4363), "outcomes": (7382,), "labels": (1621,),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_damaged_input_is_read_or_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    attacked(name, tmp_path, [*range(150), *FOUND_BEFORE.get(name, ())])


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", KINDS)
def test_ten_thousand_damaged_inputs(name: str, tmp_path: Path) -> None:
    attacked(name, tmp_path, range(1000, 11_000))


CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "UTF-16": lambda content: content.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda content: content.decode().encode("utf-16-le"),
    "UTF-32": lambda content: content.decode().encode("utf-32"),
    "half of a character of UTF-16": lambda content: content.decode().encode("utf-16")[:-1],
    "Latin-1": lambda content: content.replace(b"e", b"\xe9"),
    "a mark of UTF-8": lambda content: b"\xef\xbb\xbf" + content,
    "two marks of UTF-8": lambda content: b"\xef\xbb\xbf" * 2 + content,
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "CR": lambda content: content.replace(b"\n", b"\r"),
    "other line breaks": lambda content: content.replace(b"\n", "\u2028".encode()),
    "null bytes": lambda content: b"\0" * 5000,
    "null bytes between": lambda content: content.replace(b"\n", b"\0\n"),
    "null bytes at the end": lambda content: content + b"\0" * 100,
    "nothing": lambda content: b"",
    "blanks": lambda content: b" \n\t\n" * 100,
    "one line break": lambda content: b"\n",
    "gzip": gzip.compress,
    "gzip twice": lambda content: gzip.compress(gzip.compress(content)),
    "gzip cut off": lambda content: gzip.compress(content)[:-9],
    "zip": lambda content: b"PK\x03\x04" + content,
    "xz": lambda content: lzma.compress(content),
    "SQLite": lambda content: b"SQLite format 3\0" + content,
    "a page of a proxy": lambda content: b"<!doctype html><html><body>403 Forbidden</body></html>",
    "a pointer of Git LFS": lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n",
    "a merge conflict": lambda content: b"<<<<<<< HEAD\n" + content + b"=======\n" + content + b">>>>>>> x\n",
    "the same twice": lambda content: content + content,
    "NaN": lambda content: re.sub(rb"(?<=[: \t])[0-9.]+(?=[,}\s])", b"NaN", content),
    "Infinity": lambda content: re.sub(rb"(?<=[: \t])[0-9.]+(?=[,}\s])", b"-Infinity", content),
    "huge exponents": lambda content: re.sub(rb"(?<=[: \t])[0-9.]+(?=[,}\s])", b"1e99999", content),
    "numbers of 5,000 digits": lambda content: re.sub(rb"(?<=[: \t])[0-9.]+(?=[,}\s])", b"9" * 5000, content),
    "numbers as texts": lambda content: re.sub(rb"(?<=[: \t])([0-9.]+)(?=[,}\s])", rb'"\1"', content),
    "texts as numbers": lambda content: re.sub(rb'"[^"\n]*"(?=[,}\]\n])', b"5", content),
    "texts as lists": lambda content: re.sub(rb'"[^"\n]*"(?=[,}\]\n])', b"[]", content),
    "texts as null": lambda content: re.sub(rb'"[^"\n]*"(?=[,}\]\n])', b"null", content),
    "keys twice": lambda content: re.sub(rb'("[^"\n]*": *[^,{}\[\]\n]+)', rb"\1, \1", content),
    "deep lists": lambda content: b"[" * 100_000 + b"]" * 100_000,
    "deep objects": lambda content: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep lists for texts": lambda content: re.sub(rb'"[^"\n]*"(?=[,}\]])', b"[" * 900 + b"]" * 900, content, count=3),
    "a text": lambda content: b'"text"\n',
    "a number": lambda content: b"7\n",
    "null": lambda content: b"null\n",
    "an empty object": lambda content: b"{}\n",
    "an empty list": lambda content: b"[]\n",
    "one long line": lambda content: b"a" * 2_000_000,
    "tabs": lambda content: b"\t" * 200_000,
    "braces": lambda content: b"{" * 200_000,
    "quotation marks": lambda content: b'"' * 200_001,
    "half a surrogate pair": lambda content: content.replace(b'": "', b'": "\\ud800'),
    "other spaces": lambda content: content.replace(b" ", "\u00a0".encode()),
    "terminal codes": lambda content: content.replace(b" ", b"\x1b[2J"),
}  # fmt: skip
"""What people have in place of a good file."""


def folder_there(path: Path) -> None:
    path.mkdir()
    (path / "x").write_text("x")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


PLACES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a folder": folder_there,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to its folder": lambda path: path.symlink_to(path.parent),
    "a pipe": os.mkfifo,
    "a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "a device of nothing": lambda path: path.symlink_to("/dev/null"),
    "a socket": a_socket,
    "memory of a process": lambda path: path.symlink_to("/proc/self/mem"),
}
"""What may lie where a file belongs."""


def each_with_some(kinds: Iterable[str], odds: Iterable[str]) -> list[Any]:
    """Every pair; by default each odd thing is tried on a third of the kinds, and on the others under `slow`."""
    return [
        pytest.param(name, odd, marks=[] if (row + column) % 3 == 0 else pytest.mark.slow)
        for row, name in enumerate(kinds)
        for column, odd in enumerate(odds)
    ]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("name", "odd"), each_with_some(KINDS, CONTENTS))
def test_an_odd_file_is_read_or_refused_in_a_sentence(name: str, odd: str, tmp_path: Path) -> None:
    for file in sorted(KINDS[name].files())[:2]:
        path = laid_out(KINDS[name], tmp_path / "input", file)
        path.write_bytes(CONTENTS[odd](path.read_bytes()))
        read_or_refused(KINDS[name], tmp_path / "input", f"{odd}, {file}")


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("name", "odd"), each_with_some(sorted({*KINDS} - {"replies"}), PLACES))
def test_what_is_no_file_is_refused_in_a_sentence(
    name: str, odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in sorted(KINDS[name].files())[:2]:
        path = laid_out(KINDS[name], tmp_path / "input", file)
        path.unlink()
        monkeypatch.chdir(path.parent)
        PLACES[odd](Path(path.name) if odd == "a socket" else path)
        read_or_refused(KINDS[name], tmp_path / "input", f"{odd}, {file}")


@pytest.mark.timeout(30)
def test_a_pipe_that_somebody_writes_into_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "run.trec"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(run_file()["run.trec"]))
    writer.start()
    while True:
        try:
            assert len(read_run(pipe)) == 5
            break
        except HarnessError:
            # Its writer is not there yet.
            time.sleep(0.01)
    writer.join()
