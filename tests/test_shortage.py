"""Where the memory is short, batches are halved, nothing is lost or moved, and a text that never fits is named."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import folders
import pytest
import smallsuite
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.models.loaders import load_bi_encoder, load_cross_encoder
from harness.models.shortage import batch_by_batch, is_shortage
from harness.models.sparse_encoder import encode_sparse, load_sparse_encoder
from harness.models.token_encoders import encode_tokens, load_token_encoder
from harness.stages.shared.common import encode
from harness.stages.shared.relevance_models import score_pairs

WORDS = smallsuite.vocabulary()
TEXTS = [" ".join(WORDS[: 1 + number % 9]) for number in range(40)]


def dense(folder: Path) -> tuple[Any, Callable[[Any], Any]]:
    return load_bi_encoder(folders.normalized(folder), 16), lambda model: encode(model, TEXTS, "query")


def tokens(folder: Path) -> tuple[Any, Callable[[Any], Any]]:
    model = load_token_encoder(tiny.bi_encoder(folder, WORDS), 16)
    return model, lambda model: encode_tokens(model, TEXTS, "document")


def sparse(folder: Path) -> tuple[Any, Callable[[Any], Any]]:
    model = load_sparse_encoder(tiny.sparse_encoder(folder, WORDS), 16)
    return model, lambda model: encode_sparse(model, TEXTS, "document").toarray()


def pairs(folder: Path) -> tuple[Any, Callable[[Any], Any]]:
    model = load_cross_encoder(tiny.cross_encoder(folder, WORDS), 32)
    return model, lambda model: score_pairs(model, [(text, TEXTS[3]) for text in TEXTS])


def static(folder: Path) -> tuple[Any, Callable[[Any], Any]]:
    return load_bi_encoder(folders.static(folder), 16), lambda model: encode(model, TEXTS, "query")


class Short:
    """The first module of a model, on a device that holds so many tokens of a batch; the largest batch is noted."""

    def __init__(self, model: Any, room: int, error: Exception) -> None:
        self.module, self.room, self.error, self.held, self.failures = model[0], room, error, 0, 0

    def __call__(self, features: dict[str, Any], **options: Any) -> Any:
        ids = features["input_ids"]
        if ids.numel() > self.room:
            self.failures += 1
            raise self.error
        self.held = max(self.held, ids.numel())
        return self.module.__class__.forward(self.module, features, **options)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]


@pytest.mark.parametrize("make", [dense, tokens, sparse, pairs, static])
@pytest.mark.parametrize("error", ERRORS, ids=range(len(ERRORS)))
def test_what_does_not_fit_is_encoded_in_halves(
    make: Callable[..., Any], error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, work = make(tmp_path / "model")
    whole = work(model)
    short = Short(model, 40, error)
    monkeypatch.setattr(model[0], "forward", short)
    halved = work(model)
    assert short.failures
    assert 0 < short.held <= 40
    assert len(halved) == len(whole) == len(TEXTS)
    for part, expected in zip(halved, whole, strict=True):
        assert part == pytest.approx(expected, abs=1e-5)
    short.room, failures = 0, short.failures
    with pytest.raises(ValueError, match=r"out of memory: a text of \d+ tokens does not fit even alone; lower max_"):
        work(model)
    assert short.failures > failures


def test_other_errors_are_not_taken_for_a_shortage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, work = dense(tmp_path / "model")
    short = Short(model, 0, RuntimeError("CUDA error: device-side assert triggered"))
    monkeypatch.setattr(model[0], "forward", short)
    with pytest.raises(RuntimeError, match="device-side assert"):
        work(model)
    assert short.failures == 1
    assert not is_shortage(ValueError("out of memory"))


@given(st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=12)), st.integers(50, 400))
def test_every_entry_is_computed_once_and_in_order(batches: list[list[int]], room: int) -> None:
    failed: list[int] = []

    def compute(batch: Any) -> list[int]:
        if sum(batch) > room:
            failed.append(sum(batch))
            raise torch.OutOfMemoryError
        return [-size for size in batch]

    done = list(batch_by_batch(batches, compute, sum, "say less"))
    assert [size for batch, _ in done for size in batch] == [size for batch in batches for size in batch]
    assert all(result == [-size for size in batch] for batch, result in done)
    # The bound is halved with each failure, so that few batches fail.
    assert all(later <= earlier // 2 for earlier, later in pairwise(failed))
