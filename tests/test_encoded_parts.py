"""Vectors encoded in parts: what a run that was killed had finished is not encoded again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_stored_vectors import PRECISIONS, index_of, random_units

from harness.claims import PARTS, _boot
from harness.models import search
from harness.models.search import DenseIndex
from harness.models.token_batches import Truncations
from harness.stages.shared import encoded_parts
from harness.stages.shared.encoded_parts import EncodedParts
from harness.store import FolderStore
from harness.values.records import Document, Progress

DOCUMENTS = [Document(f"d{number}", "", f"text {number}") for number in range(10)]
VECTORS = {document.content: vector for document, vector in zip(DOCUMENTS, random_units(10, 16), strict=True)}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_parts, "PART", 4)


def encoder(asked: list[str], fails_at: str = "") -> Callable[[list[str], Progress, Truncations], np.ndarray]:
    def encode(texts: list[str], progress: Progress, truncations: Truncations) -> np.ndarray:
        if fails_at in texts:
            raise KeyboardInterrupt
        asked.extend(texts)
        truncations.count += 1
        progress(len(texts), len(texts))
        return np.stack([VECTORS[text] for text in texts])

    return encode


def test_parts_are_the_vectors_in_their_order(tmp_path: Path) -> None:
    parts, seen = EncodedParts(tmp_path), []
    parts.encode(DOCUMENTS, 10, encoder([]), lambda done, total: seen.append((done, total)))
    assert [len(array) for array in parts.arrays()] == [4, 4, 2]
    assert (np.concatenate(list(parts.arrays())) == np.stack(list(VECTORS.values()))).all()
    assert parts.doc_ids == [document.doc_id for document in DOCUMENTS]
    assert (parts.cut, parts.reused) == (3, 0)
    assert seen == [(4, 10), (8, 10), (10, 10)]


def interrupted(store: FolderStore, asked: list[str]) -> None:
    with store.claim("key") as out:
        (out / "half.bin").write_bytes(b"half")
        EncodedParts(out / PARTS).encode(DOCUMENTS, 10, encoder(asked, "text 8"), lambda done, total: None)


def test_a_claim_after_a_crash_has_the_finished_parts(tmp_path: Path) -> None:
    store, asked = FolderStore(tmp_path), list[str]()
    with pytest.raises(KeyboardInterrupt):
        interrupted(store, asked)
    assert len(asked) == 8
    with store.claim("other") as out:
        assert list(out.iterdir()) == [], "parts belong to a key"
    with store.claim("key") as out:
        assert [path.name for path in out.iterdir()] == [PARTS]
        parts = EncodedParts(out / PARTS)
        parts.encode(DOCUMENTS, 10, encoder(asked), lambda done, total: None)
        assert parts.reused == 2
        assert parts.cut == 3, "what earlier parts cut is remembered"
        notes = [json.loads((out / PARTS / f"{number:06}.json").read_text()) for number in range(2)]
        assert parts.before == sum(note["seconds"] for note in notes) > 0
        DenseIndex.save_parts(out, parts.doc_ids, parts.arrays)
        place = store.commit("key", out, {})
    assert asked == list(VECTORS)
    assert not (place / PARTS).exists()
    assert list((tmp_path / "aside").iterdir()) == []
    assert (DenseIndex(place).vectors == np.stack(list(VECTORS.values()))).all()


@pytest.mark.parametrize(
    "name", [f"{_boot()}.{2**31 - 1}-5.abc", f"{_boot()}.{os.getpid()}-5.abc"], ids=["gone", "number given again"]
)
def test_parts_of_a_process_that_was_killed_are_found(name: str, tmp_path: Path) -> None:
    """A process that is killed leaves its folder as it is; nobody has cleaned it.

    It may have been in a container of another host name, and its number may be that of another process now.
    """
    store = FolderStore(tmp_path)
    left = tmp_path / "aside" / f"key.elsewhere.{name}"
    EncodedParts(left / PARTS).encode(DOCUMENTS[:4], 10, encoder([]), lambda done, total: None)
    with store.claim("key") as out:
        parts = EncodedParts(out / PARTS)
        parts.encode(DOCUMENTS, 10, encoder([]), lambda done, total: None)
        assert parts.reused == 1
    assert not left.exists()


def test_a_damaged_part_is_encoded_again(tmp_path: Path) -> None:
    EncodedParts(tmp_path).encode(DOCUMENTS, 10, encoder([]), lambda done, total: None)
    file = tmp_path / "000001.npy"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
    asked: list[str] = []
    parts = EncodedParts(tmp_path)
    parts.encode(DOCUMENTS, 10, encoder(asked), lambda done, total: None)
    assert asked == [document.content for document in DOCUMENTS[4:8]]
    assert (np.concatenate(list(parts.arrays())) == np.stack(list(VECTORS.values()))).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_vectors_in_parts_are_stored_as_whole_ones_are(precision: search.Precision, tmp_path: Path) -> None:
    vectors, doc_ids = random_units(11, 48), [f"d{number}" for number in range(11)]
    index_of(tmp_path / "whole", vectors, precision)
    (tmp_path / "parts").mkdir()
    DenseIndex.save_parts(tmp_path / "parts", doc_ids, lambda: [vectors[:5], vectors[5:9], vectors[9:]], precision)
    whole, parts = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "parts")
    )
    assert parts == whole


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rescore", [0, 2])
def test_search_in_parts_is_search_in_the_whole(
    precision: search.Precision, rescore: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors come twice, so that ties lie across the borders of parts."""
    vectors, queries = np.repeat(random_units(30, 48), 2, axis=0), random_units(4, 48, seed=2)
    ids = [f"d{number * 7 % 60}" for number in range(60)]
    index = index_of(tmp_path, vectors, precision, ids)
    whole = index.search(queries, 9, rescore)
    monkeypatch.setattr(search, "SEARCH_PART", 7)
    parts = index.search(queries, 9, rescore)
    assert [[doc_id for doc_id, _ in hits] for hits in parts] == [[key for key, _ in hits] for hits in whole]
    for one, other in zip(parts, whole, strict=True):
        assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=1e-6)
