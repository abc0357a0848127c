"""Encoding of texts of many lengths, against `SentenceTransformer.encode` at its defaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from measuring import Bar, Lab, Row, alternate

MAX_LENGTH = 256


def harness_encoder(model: str) -> Any:
    """The encoder as the stages load it."""
    from harness.stages.shared import common
    from harness.suite.pipeline import Encoder

    return common.bi_encoder(Encoder(model=model, max_length=MAX_LENGTH), {})


def harness_vectors(model: Any, texts: Sequence[str]) -> Any:
    from harness.stages.shared import common

    return common.encode(model, texts, "document")


def measure(lab: Lab) -> Iterator[Row]:
    import numpy as np
    from sentence_transformers import SentenceTransformer

    texts = lab.texts.passages(lab.sized(240, 24))
    ours = harness_encoder(str(lab.encoder))
    plain = SentenceTransformer(str(lab.encoder))
    plain.max_seq_length = ours.max_seq_length
    vectors: dict[str, Any] = {}

    def harness() -> None:
        vectors["ours"] = harness_vectors(ours, texts)

    def library() -> None:
        vectors["theirs"] = plain.encode(texts, show_progress_bar=False)

    times = alternate({"ours": harness, "theirs": library}, lab.repeats)
    yield Row(
        f"{len(texts)} texts of 6 to 220 words, up to {plain.max_seq_length} tokens", times["ours"], times["theirs"],
        "SentenceTransformer.encode, defaults", work=len(texts), work_unit="texts", bar=Bar("at least", 1.25),
    )  # fmt: skip
    difference = float(np.abs(vectors["ours"] - vectors["theirs"]).max())
    yield Row("largest difference of a vector's element", (difference,), unit="", bar=Bar("at most", 1e-5))
