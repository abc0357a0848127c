"""How alike two texts are, by an encoder in this process; each text is encoded once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from harness.stages.shared.common import bi_encoder, encode
from harness.suite.pipeline import Encoder
from harness.testset.drafts import Similarity

KEPT = 10_000


def similarity_of(model: str) -> Similarity:
    """Return the cosine of the vectors of two texts by an encoder, which is loaded when it is first needed.

    Raises ModelMissing then if there is no such model.
    """

    @lru_cache(maxsize=1)
    def loaded() -> Any:
        return bi_encoder(Encoder(model=model), {})

    @lru_cache(maxsize=KEPT)
    def vector(text: str) -> Any:
        (found,) = encode(loaded(), [text], "query")
        return found

    def similarity(first: str, second: str) -> float:
        return float(vector(first) @ vector(second))

    return similarity
