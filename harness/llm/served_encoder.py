"""An encoder at an endpoint: vectors of texts, each cached under its text. See `served`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from harness.hashing import digest_of
from harness.llm.batches import TextBatch, vector_of
from harness.llm.breaker import RetryPolicy
from harness.llm.configuration import Services
from harness.llm.requests import rough_tokens
from harness.llm.served import Piece, ServedClient, shown, sound
from harness.suite.roles import place_of
from harness.suite.served_models import EncoderEndpoint
from harness.values.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

TextKind = Literal["query", "document"]


class EndpointEncoder(ServedClient):
    """The encoder of an endpoint; see `EncoderEndpoint`."""

    def __init__(self, endpoint: EncoderEndpoint, services: Services, policy: RetryPolicy = RetryPolicy()) -> None:  # noqa: B008
        super().__init__("retriever", endpoint, services, policy)
        self._endpoint = endpoint
        self._kind: TextKind = "document"
        self.unit_length = endpoint.similarity == "cosine"
        """Whether vectors have length 1."""

    def embed(self, texts: Sequence[str], kind: TextKind, progress: Progress, fresh: bool = False) -> Floats:
        """Return the vectors of texts, shape (texts, dim), of length 1 unless they are ranked by dot product.

        With `fresh`, no vector comes from the cache and none is put there. Raises ValueError if a text gets no vector,
        or if vectors have different dimensions.
        """
        import numpy as np

        self._kind = kind
        prompt = self._endpoint.query_prompt if kind == "query" else self._endpoint.document_prompt
        named = [self._endpoint.digest, kind] if self._more(kind) != self._more(None) else [self._endpoint.digest]
        pieces = [
            Piece(digest_of([*named, text]), text, shown(text)) for text in (sound(prompt + one) for one in texts)
        ]
        vectors = [vector_of(text) for text in self._obtained(pieces, progress, fresh)]
        widths = sorted({len(vector) for vector in vectors})
        if len(widths) > 1:
            what = f"{place_of(self.part)}: {self.name} gives vectors of {widths[0]} and of {widths[-1]} numbers"
            raise ValueError(
                f"{what}, so the model behind the address has changed; set endpoint.revision to a new name"
            )
        whole: Floats = np.stack(vectors) if vectors else np.empty((0, 0), dtype=np.float32)
        if self.unit_length and len(whole):
            whole = whole / np.linalg.norm(whole, axis=1, keepdims=True)
        return whole

    def _more(self, kind: TextKind | None) -> Mapping[str, Any]:
        rule = self._endpoint
        of_kind = {"query": rule.query_body, "document": rule.document_body}
        return {**rule.extra_body, **(of_kind[kind] if kind else {})}

    def _requests(self, pieces: Sequence[Piece]) -> Iterable[Sequence[Piece]]:
        batch: list[Piece] = []
        tokens = 0
        for piece in pieces:
            size = rough_tokens(piece.content)
            if batch and (len(batch) == self._endpoint.batch or tokens + size > self._endpoint.batch_tokens):
                yield batch
                batch, tokens = [], 0
            batch.append(piece)
            tokens += size
        if batch:
            yield batch

    def _batch(self, pieces: Sequence[Piece]) -> TextBatch:
        return TextBatch(tuple(piece.content for piece in pieces), self._more(self._kind))

    def _texts(self, pieces: Sequence[Piece], values: Sequence[str]) -> list[str]:
        return list(values)
