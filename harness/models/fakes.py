"""A deterministic stand-in for a model, for tests and examples that must not wait for a real one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


class FakeBiEncoder:
    """Embeds a text as the normalised sum of a fixed random vector for each of its words.

    Texts are similar if they share words, on every machine. It offers what the stages use of a
    SentenceTransformer, and has no prompts.
    """

    def __init__(self, dims: int = 64) -> None:
        self.dims = dims
        self.max_seq_length = 256
        self.prompts: dict[str, str] = {}
        self.similarity_fn_name = "cosine"

    def get_embedding_dimension(self) -> int:
        return self.dims

    def encode(self, texts: Sequence[str], **options: Any) -> Floats:
        """Embed texts as unit vectors (zero for a text without words); options are ignored."""
        import numpy as np

        vectors: Floats = np.zeros((len(texts), self.dims), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            total = sum((_direction(word, self.dims) for word in words(text)), np.zeros(self.dims))
            row[:] = total / max(float(np.linalg.norm(total)), 1e-12)
        return vectors

    def eval(self) -> FakeBiEncoder:
        """Do nothing."""
        return self

    def preprocess(self, texts: Sequence[str], **options: Any) -> dict[str, Any]:
        """Return the texts as what the model reads; options are ignored."""
        return {"texts": texts}

    def __call__(self, features: dict[str, Any]) -> dict[str, Any]:
        """Embed what `preprocess` returned."""
        import torch

        return {"sentence_embedding": torch.from_numpy(self.encode(features["texts"]))}

    def tokenizer(self, texts: Sequence[str], **options: Any) -> dict[str, list[list[int]]]:
        """Number the words of each text."""
        return {"input_ids": [list(range(len(words(text)))) for text in texts]}


def words(text: str) -> list[str]:
    """Lower-case words of a text."""
    return re.findall(r"\w+", text.lower())


@lru_cache(maxsize=10_000)
def _direction(word: str, dims: int) -> Any:
    import numpy as np

    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(dims)
