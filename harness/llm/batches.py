"""Requests to embed texts and to score passages, and how their responses are read: checked, and in the order asked.

Embeddings are those of OpenAI (``data[].index/embedding``). Scores are those of Cohere, Jina, vLLM, Infinity and
llama.cpp (``results[].index/relevance_score``), of Voyage (``data[]``), or of Text Embeddings Inference (a list of
``index`` and ``score``). Places count from 0. A response that has another number of results, a place twice, or what is
no finite number, is a fault: nothing is guessed. Must not make requests.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.hashing import digest_of
from harness.llm.address import EMBEDDINGS, RERANK, filled
from harness.llm.completions import Redaction, no_answer
from harness.llm.dialects import Dialect
from harness.llm.faults import Completion, Fault, RequestContext
from harness.llm.requests import rough_tokens
from harness.llm.usage import token_counts
from harness.suite.roles import Llm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LITTLE_ENDIAN = "<f4"
LARGEST = 3.4e38
SCORES = ("relevance_score", "score")


class TextBatch(NamedTuple):
    """Texts to embed in one request, with what else of its body is set; see `requests.Sendable`.

    Each value of the answer is a vector as text; see `vector_of`.
    """

    texts: tuple[str, ...]
    more: Mapping[str, Any] = {}
    schema: None = None
    max_tokens: int = 0

    @property
    def key(self) -> str:
        """See `Sendable`."""
        return digest_of(["texts", list(self.texts)])

    @property
    def path(self) -> str:
        """See `Sendable`."""
        return EMBEDDINGS

    def body(self, llm: Llm, dialect: Dialect, send_schema: bool) -> dict[str, Any]:
        """See `Sendable`."""
        return {**filled(self.more), "model": llm.model, "input": list(self.texts)}

    def prompt_tokens(self, body: dict[str, Any]) -> int:
        """See `Sendable`."""
        return sum(map(rough_tokens, self.texts))

    def read(self, content: bytes, asked: RequestContext, clean: Redaction) -> Completion | Fault:
        """See `Sendable`."""
        whole = _parsed(content)
        rows = _rows(whole.get("data") if isinstance(whole, Mapping) else None)
        if rows is None:
            return no_answer(content, asked, clean, "embeddings", "data")
        paid = Completion("", prompt_tokens=_tokens(whole), new_tokens=0)
        placed = _placed(rows, len(self.texts), "texts", needs_places=False)
        if isinstance(placed, str):
            return Fault("again", placed, paid=paid)
        values = []
        for row, text in zip(placed, self.texts, strict=True):
            vector = _vector(row.get("embedding"))
            if isinstance(vector, str):
                return Fault("again", f"{vector} for {clean.short(text)!r}", paid=paid)
            values.append(_as_text(vector))
        return paid._replace(values=tuple(values))


class PassageBatch(NamedTuple):
    """Passages to score for a query in one request; see `requests.Sendable`. `tei` is the form of the body.

    Each value of the answer is a number as text; higher is more relevant.
    """

    query: str
    passages: tuple[str, ...]
    more: Mapping[str, Any] = {}
    tei: bool = False
    schema: None = None
    max_tokens: int = 0

    @property
    def key(self) -> str:
        """See `Sendable`."""
        return digest_of(["passages", self.query, list(self.passages)])

    @property
    def path(self) -> str:
        """See `Sendable`."""
        return RERANK

    def body(self, llm: Llm, dialect: Dialect, send_schema: bool) -> dict[str, Any]:
        """See `Sendable`; `tei` has no model, gives logits, and truncates as models do that run here."""
        if self.tei:
            asked: dict[str, Any] = {"raw_scores": True, "truncate": True}
            return {**asked, **filled(self.more), "query": self.query, "texts": list(self.passages)}
        return {**filled(self.more), "model": llm.model, "query": self.query, "documents": list(self.passages)}

    def prompt_tokens(self, body: dict[str, Any]) -> int:
        """See `Sendable`; the query is read with each passage."""
        return sum(map(rough_tokens, self.passages)) + len(self.passages) * rough_tokens(self.query)

    def read(self, content: bytes, asked: RequestContext, clean: Redaction) -> Completion | Fault:
        """See `Sendable`."""
        whole = _parsed(content)
        rows = _rows((whole.get("results") or whole.get("data")) if isinstance(whole, Mapping) else whole)
        if rows is None:
            return no_answer(content, asked, clean, "scores of a reranker", "results")
        paid = Completion("", prompt_tokens=_tokens(whole), new_tokens=0)
        placed = _placed(rows, len(self.passages), "documents", needs_places=True)
        if isinstance(placed, str):
            return Fault("again", placed, paid=paid)
        scores: list[Any] = [next((row[name] for name in SCORES if name in row), None) for row in placed]
        if not all(map(_is_finite, scores)):
            wrong = next(score for score in scores if not _is_finite(score))
            return Fault("again", f"gives the score {wrong!r}, which is no finite number", paid=paid)
        return paid._replace(values=tuple(repr(float(score)) for score in scores))


def vector_of(text: str) -> NDArray[np.float32]:
    """Return a vector that was cached as text."""
    import numpy as np

    return np.frombuffer(base64.b64decode(text), dtype=LITTLE_ENDIAN).astype(np.float32, copy=False)


def _as_text(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype(LITTLE_ENDIAN).tobytes()).decode("ascii")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _rows(value: Any) -> list[Mapping[str, Any]] | None:
    """Return the results of a response; None if it holds none."""
    if not isinstance(value, list) or not value or not all(isinstance(row, Mapping) for row in value):
        return None
    return value


def _placed(
    rows: Sequence[Mapping[str, Any]], count: int, what: str, needs_places: bool
) -> list[Mapping[str, Any]] | str:
    """Return the results in the order of what was asked, or what is wrong with them.

    Vectors without places are in that order already; scores may be sorted, so they need places.
    """
    if len(rows) != count:
        return f"gives {len(rows):,} results for {count:,} {what}"
    places = [row.get("index") for row in rows]
    if not needs_places and all(place is None for place in places):
        return list(rows)
    numbers = [place for place in places if isinstance(place, int) and not isinstance(place, bool)]
    if sorted(numbers) != list(range(count)):
        odd = next((place for place in places if places.count(place) > 1 or place not in range(count)), None)
        return f"numbers its {count:,} results wrongly (index {odd!r}), so nobody knows what they belong to"
    return [row for _, row in sorted(zip(numbers, rows, strict=True), key=lambda pair: pair[0])]


def _vector(value: Any) -> NDArray[np.float32] | str:
    """Return an embedding as float32, or what is wrong with it; it may be a list, or base64 of float32."""
    import numpy as np

    try:
        with np.errstate(over="ignore"):
            vector = vector_of(value) if isinstance(value, str) else np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError):
        return "gives no vector"
    if vector.ndim != 1 or not len(vector):
        return "gives no vector"
    if not np.isfinite(vector).all():
        return "gives a vector with numbers that are not finite"
    return vector if vector.any() else "gives a vector of zeros"


def _is_finite(score: Any) -> bool:
    """Whether it is a number that single precision can hold, as vectors are held."""
    return isinstance(score, int | float) and not isinstance(score, bool) and abs(score) <= LARGEST


def _tokens(whole: Any) -> int | None:
    """Return the tokens that a server counted; Cohere has them under `meta`."""
    if not isinstance(whole, Mapping):
        return None
    meta = whole.get("meta")
    usage = whole.get("usage") or (meta.get("tokens") if isinstance(meta, Mapping) else None)
    total = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    return token_counts(usage).prompt or (total if isinstance(total, int) and total > 0 else None)
