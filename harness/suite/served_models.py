"""Models at an endpoint that embed or rerank: values of `pipeline.retriever.endpoint` and `pipeline.reranker.endpoint`.

A whole RAG system at an address is one too: `candidates.NAME.external.endpoint`.

Where a model is served and how fast it is asked changes no result, and is part of no key. Must not make requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from harness.hashing import digest_of
from harness.suite.addresses import Dollars, Header, Texts, Url, Variable, can_be_sent
from harness.suite.fields import Above0, Count, Place, Positive, Spec

OF_CLIENT = frozenset(
    ("base_url", "api_key_env", "key_header", "batch", "batch_tokens", "max_concurrency", "timeout", "retries",
     "price_in", "price_request")
)  # fmt: skip
"""Settings that change no result."""
Body = Annotated[dict[str, Any], AfterValidator(can_be_sent)]
SET_HERE = frozenset(("model", "input", "query", "documents", "texts", "question", "top_k", "answer", "history"))
"""What a request holds anyway."""


def _not_set_here(body: dict[str, Any]) -> dict[str, Any]:
    if wrong := sorted(SET_HERE & body.keys()):
        raise ValueError(f"{wrong[0]!r} is set by the harness; leave it out")
    return body


MoreBody = Annotated[Body, AfterValidator(_not_set_here)]


class ServedModel(Spec):
    """A model that a server has under the name `model`.

    `revision` is your word for its present weights: change it when the server gets others under the same name, so that
    nothing that the old ones gave is used again. The key is read from the environment variable `api_key_env`. At most
    `max_concurrency` requests are in flight, and one without an answer after `timeout` seconds is sent again, up to
    `retries` times. `headers`, `query` (parameters of the address) and `extra_body` are sent with every request;
    ``${NAME}`` in them is an environment variable. `price_in` is in dollars per million tokens.
    """

    model: Place
    base_url: Url | None = None
    revision: str = ""
    api_key_env: Variable = "OPENAI_API_KEY"
    key_header: Header | None = None
    headers: Texts = Field(default_factory=dict)
    query: Texts = Field(default_factory=dict)
    extra_body: MoreBody = Field(default_factory=dict)
    max_concurrency: Positive = 4
    timeout: Above0 = 40.0
    retries: Count = 5
    price_in: Dollars = 0.0

    @property
    def identity(self) -> dict[str, Any]:
        """What of it can change a result, as it is written; only what is set."""
        return self.model_dump(mode="json", exclude=set(OF_CLIENT), exclude_defaults=True)

    @property
    def digest(self) -> str:
        """A digest of its identity, by which a stage finds where it is served."""
        return digest_of([type(self).__name__, self.identity])

    @property
    def label(self) -> str:
        """The name of the model, with its revision if it has one."""
        return f"{self.model} ({self.revision})" if self.revision else self.model

    @property
    def bodies(self) -> dict[str, Any]:
        """Everything that its requests hold beside texts."""
        return dict(self.extra_body)

    def dollars(self, tokens: int, requests: int) -> float:
        """Price of so many requests with so many tokens together."""
        return tokens * self.price_in / 1e6


class EncoderEndpoint(ServedModel):
    """A model behind ``POST {base_url}/embeddings``, as OpenAI's; `base_url` defaults to `OPENAI_BASE_URL`.

    `query_prompt` and `document_prompt` are put before texts here; `query_body` and `document_body` are sent with
    requests of that kind, for servers that ask for a task. A request holds at most `batch` texts, and about as many
    tokens as `batch_tokens`.
    `similarity` is what texts are ranked by: ``cosine`` scales vectors to length 1.
    """

    batch: Positive = 32
    batch_tokens: Positive = 100_000
    query_prompt: str = ""
    document_prompt: str = ""
    query_body: MoreBody = Field(default_factory=dict)
    document_body: MoreBody = Field(default_factory=dict)
    similarity: Literal["cosine", "dot"] = "cosine"

    @property
    def bodies(self) -> dict[str, Any]:
        """Everything that its requests hold beside texts."""
        return {**self.extra_body, **self.query_body, **self.document_body}


class RerankerEndpoint(ServedModel):
    """A model behind ``POST {base_url}/rerank``.

    `form` is that of the request: ``cohere`` (also Jina, vLLM, Infinity, llama.cpp) or ``tei`` (Text Embeddings
    Inference). All documents of a query go into one request unless there are more than `batch`: scores may depend on
    the other documents of a request. `price_request` is in dollars per 1,000 requests.
    """

    form: Literal["cohere", "tei"] = "cohere"
    batch: Positive = 100
    price_request: Dollars = 0.0

    @property
    def identity(self) -> dict[str, Any]:
        """As of every served model, and how many documents are scored together."""
        return super().identity | self.model_dump(include={"batch"}, exclude_defaults=True)

    def dollars(self, tokens: int, requests: int) -> float:
        """Price of so many requests with so many tokens together."""
        return super().dollars(tokens, requests) + requests * self.price_request / 1000


class SystemEndpoint(ServedModel):
    """A whole RAG system that answers questions by ``POST {base_url}``; see docs/served.md for what it is sent.

    It has no name but that of its candidate. `price_request` is in dollars per 1,000 requests.
    """

    model: str = ""
    timeout: Above0 = 120.0
    retries: Count = 2
    price_request: Dollars = 0.0

    def dollars(self, tokens: int, requests: int) -> float:
        """Price of so many requests with so many tokens together."""
        return super().dollars(tokens, requests) + requests * self.price_request / 1000


def check_kind(kind: str, endpoint: ServedModel | None) -> None:
    """Raise ValueError unless just a part of kind ``endpoint`` has an endpoint, and that of a reranker an address."""
    if kind == "endpoint" and endpoint is None:
        raise ValueError("kind endpoint needs 'endpoint', such as {model: NAME, base_url: \"http://host:port/v1\"}")
    if kind != "endpoint" and endpoint is not None:
        raise ValueError(f"'endpoint' has no meaning for kind {kind}; set kind: endpoint")
    if isinstance(endpoint, RerankerEndpoint) and endpoint.base_url is None:
        raise ValueError("'endpoint' of a reranker needs 'base_url'")


def without_client(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the key settings of a pipeline, or of a stage, without what of an endpoint changes no result."""
    return {
        name: {key: value for key, value in inner.items() if key not in OF_CLIENT}
        if name == "endpoint" and isinstance(inner, Mapping)
        else without_client(dict(inner))
        if isinstance(inner, Mapping)
        else inner
        for name, inner in settings.items()
    }
