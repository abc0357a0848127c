"""Damaged files of every format: no traceback, one sentence each, and no other file is lost.

By default 200 of them; all 2,000 with the marker `slow`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import documents
import pytest
from ingesting import ids, run

from harness.ingest.apart import Limits

ALL, SOME = 2000, 200
Damage = Callable[[random.Random, bytes], bytes]


def cut(chance: random.Random, raw: bytes) -> bytes:
    return raw[: chance.randrange(len(raw))]


def head_lost(chance: random.Random, raw: bytes) -> bytes:
    return raw[chance.randrange(1, len(raw)) :]


def bits(chance: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(chance.choice((1, 5, 50, 500))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def zeros(chance: random.Random, raw: bytes) -> bytes:
    start = chance.randrange(len(raw))
    length = chance.choice((1, 16, 512))
    return raw[:start] + b"\0" * length + raw[start + length :]


def noise(chance: random.Random, raw: bytes) -> bytes:
    start = chance.randrange(len(raw))
    return raw[:start] + chance.randbytes(chance.choice((4, 64, 1024))) + raw[start:]


def replaced(chance: random.Random, raw: bytes) -> bytes:
    return chance.randbytes(chance.choice((1, 10, 1000, 5000)))


def repeated(chance: random.Random, raw: bytes) -> bytes:
    start = chance.randrange(len(raw))
    part = raw[start : start + chance.choice((3, 30, 300))]
    return raw[:start] + part * chance.choice((2, 20, 200)) + raw[start:]


def shuffled(chance: random.Random, raw: bytes) -> bytes:
    size = max(1, len(raw) // 20)
    parts = [raw[start : start + size] for start in range(0, len(raw), size)]
    chance.shuffle(parts)
    return b"".join(parts)


def numbers(chance: random.Random, raw: bytes) -> bytes:
    """Other digits: lengths, offsets and counts that are wrong."""
    return bytes(chance.choice(b"0123456789") if 48 <= byte <= 57 and chance.random() < 0.3 else byte for byte in raw)


def inside(chance: random.Random, raw: bytes) -> bytes:
    """A DOCX that is a sound archive with a damaged part; of another format, cut bits."""
    if not raw.startswith(b"PK"):
        return bits(chance, raw)
    wanted = chance.choice(("word/document.xml", "word/styles.xml", "docProps/core.xml", "[Content_Types].xml"))
    damage = chance.choice((cut, bits, zeros, repeated, shuffled, numbers))
    return documents.changed_docx(lambda name, content: damage(chance, content) if name == wanted else content)


def other_encoding(chance: random.Random, raw: bytes) -> bytes:
    text = raw.decode("latin-1")
    return text.encode(chance.choice(("utf-16", "utf-16-le", "utf-32", "cp037", "utf-8")))


def emptied(chance: random.Random, raw: bytes) -> bytes:
    return chance.choice((b"", b" ", b"\n\n", b"\0", b"\xef\xbb\xbf", b"\xff\xfe"))


def same(chance: random.Random, raw: bytes) -> bytes:
    """Nothing, so that only a wrong suffix is what is wrong."""
    return raw


DAMAGES: tuple[Damage, ...] = (
    cut, head_lost, bits, zeros, noise, replaced, repeated, shuffled, numbers, inside, other_encoding, emptied, same,
)  # fmt: skip


def damaged_folder(folder: Path, count: int) -> Path:
    """A folder of damaged files, and the whole files that they are made of."""
    chance = random.Random(18)
    whole = {suffix: make() for suffix, make in documents.MAKERS.items()}
    whole |= {".htm": documents.html(sections=[("A & B", "<table><tr><td>x<td>y</table><pre>code")] * 3)}
    files = {f"whole/guide{suffix}": raw for suffix, raw in whole.items()}
    suffixes = [*whole, ".docm", ".xhtml"]
    for number in range(count):
        suffix, raw = chance.choice(list(whole.items()))
        named = suffix if chance.random() < 0.8 else chance.choice(suffixes)
        damage = DAMAGES[number % len(DAMAGES)]
        files[f"{damage.__name__}/{number}{named}"] = damage(chance, raw)
    return documents.write(folder, files)


def check(folder: Path, count: int) -> None:
    docs = damaged_folder(folder / "docs", count)
    report = run(docs, into=folder / "data", limits=Limits(seconds=100))
    value = report.as_json()
    lost = [name for one in value["unreadable"] for name in one["files"]]
    found = set(ids(folder / "data"))
    assert {f"whole/guide{suffix}" for suffix in documents.MAKERS} <= found
    assert len(found) + len(lost) == count + len(documents.MAKERS) + 1
    assert not found & set(lost)
    assert 0.2 * count < len(found) < 0.8 * count
    for one in value["unreadable"]:
        assert "\n" not in one["reason"], one
        assert "Error" not in one["reason"] or "cannot be parsed" in one["reason"], one
        assert "took longer" not in one["reason"], one
        assert "crashed" not in one["reason"], one
    # A library's own exception is a fault that a reader should know by name.
    unknown = [name for one in value["unreadable"] if "cannot be parsed" in one["reason"] for name in one["files"]]
    assert not unknown, value["unreadable"]
    digest = (folder / "data" / "corpus.jsonl").read_bytes()
    assert run(docs, into=folder / "data").changes == {"unchanged": len(found)}
    assert (folder / "data" / "corpus.jsonl").read_bytes() == digest


def test_two_hundred_damaged_files_cost_nothing_but_themselves(tmp_path: Path) -> None:
    check(tmp_path, SOME)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_damaged_files_cost_nothing_but_themselves(tmp_path: Path) -> None:
    check(tmp_path, ALL)
