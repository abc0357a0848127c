"""Remarks on a learned sparse index: one whose terms are not sparse, and one that is empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import smallsuite
import tiny
from stage_inputs import silent

from harness.remarks import models
from harness.stages.index import IndexSpec, index
from harness.stages.shared import common
from harness.suite.pipeline import Retriever
from harness.values.findings import LedgerRow
from harness.values.records import Document

ROW: dict[str, Any] = {"key": "k", "label": "l", "seconds": 1.0, "device": "any", "peak_memory_mb": 1.0}


def row(notes: dict[str, Any], stage: str = "index") -> LedgerRow:
    return LedgerRow.model_validate({**ROW, "stage": stage, "systems": ("untuned",), "notes": notes})


def of_terms(mean: int, of: int = 30_522) -> list[str]:
    notes = {"terms with a weight, mean of a passage": mean, "terms of the model": of}
    return models.sparse_terms([row(notes), row(notes), row(notes, stage="retrieve"), row({"passages": 3})])


def test_an_index_that_is_not_sparse_is_told_once() -> None:
    (told,) = of_terms(30_000)
    assert told.startswith("The sparse retriever gives a passage weights for 30,000 of 30,522 terms (mean): ")
    assert told.endswith("Use a SPLADE model.")


def test_an_index_without_terms_finds_nothing() -> None:
    (told,) = of_terms(0)
    assert "so it finds nothing" in told


@pytest.mark.parametrize("mean", [1, 180, 3_000])
def test_a_sparse_index_is_not_remarked_on(mean: int) -> None:
    assert of_terms(mean) == []


def test_the_stage_counts_terms(tmp_path: Path) -> None:
    """The tiny model is not trained, so about half of all terms have weights."""
    folder = tiny.sparse_encoder(tmp_path / "model", smallsuite.vocabulary())
    for name in ("corpus", "out"):
        (tmp_path / name).mkdir()
    common.write_corpus(tmp_path / "corpus", {"d": Document("d", "", "lime kiln"), "e": Document("e", "", "ferry")})
    spec = IndexSpec(kind="sparse", retriever=Retriever(kind="sparse", model=str(folder)))
    usage = index(spec, {"corpus": tmp_path / "corpus"}, tmp_path / "out", 0, silent)
    (told,) = models.sparse_terms([row(dict(usage.notes))])
    assert "hardly trained to be sparse" in told
