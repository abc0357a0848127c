"""A reranker at an endpoint: scores of passages for a query, cached by request. See `served`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from harness.hashing import digest_of
from harness.llm.batches import PassageBatch
from harness.llm.breaker import RetryPolicy
from harness.llm.configuration import Services
from harness.llm.served import Piece, ServedClient, shown, sound
from harness.suite.served_models import RerankerEndpoint
from harness.values.records import Progress


class EndpointReranker(ServedClient):
    """The reranker of an endpoint; see `RerankerEndpoint`."""

    too_large = "set endpoint.batch to fewer passages of a request, or let the server truncate them"

    def __init__(self, endpoint: RerankerEndpoint, services: Services, policy: RetryPolicy = RetryPolicy()) -> None:  # noqa: B008
        super().__init__("reranker", endpoint, services, policy)
        self._endpoint = endpoint

    def score(
        self, pools: Sequence[tuple[str, Sequence[str]]], progress: Progress, fresh: bool = False
    ) -> list[list[float]]:
        """Return the scores of the passages of each pool, a query with passages, in their order.

        With `fresh`, no score comes from the cache and none is put there. Raises ValueError if a pool cannot be scored.
        """
        parts = [list(self._parts(query, passages)) for query, passages in pools]
        obtained = iter(self._obtained([piece for of_pool in parts for piece in of_pool], progress, fresh))
        return [[score for _ in of_pool for score in json.loads(next(obtained))] for of_pool in parts]

    def _parts(self, query: str, passages: Sequence[str]) -> Iterable[Piece]:
        query, size = sound(query), self._endpoint.batch
        for start in range(0, len(passages), size):
            asked = query, tuple(sound(passage) for passage in passages[start : start + size])
            yield Piece(digest_of([self._endpoint.digest, *asked]), asked, shown(query))

    def _requests(self, pieces: Sequence[Piece]) -> Iterable[Sequence[Piece]]:
        return ([piece] for piece in pieces)

    def _batch(self, pieces: Sequence[Piece]) -> PassageBatch:
        (piece,) = pieces
        query, passages = piece.content
        return PassageBatch(query, passages, self._endpoint.extra_body, self._endpoint.form == "tei")

    def _texts(self, pieces: Sequence[Piece], values: Sequence[str]) -> list[str]:
        return [json.dumps([float(value) for value in values])]
