"""The section `llm` of a suite: which language model plays which role, where it is served, what it may cost.

A model is ``embedded:<name>`` or a folder, and runs in process; any other name, and any with a `base_url`, is the name
of a model at an OpenAI-compatible endpoint. This module must not know how a model is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator, model_validator

from harness.files import is_folder
from harness.suite.addresses import Dollars, Header, Texts, Url, Variable, can_be_sent
from harness.suite.fields import Above0, Count, Place, Positive, Share, Spec
from harness.suite.local_models import LocalModel

EMBEDDED_PREFIX = "embedded:"
SMALL = "embedded:smollm2-135m-instruct"

Role = Literal["synthesizer", "labeler", "judge", "generator", "rewriter", "retriever", "reranker", "system"]
"""Who asks an endpoint. The last three are parts of a pipeline and a whole one, which say where they are served."""
ROLES: tuple[Role, ...] = ("synthesizer", "labeler", "judge", "generator", "rewriter")
PromptName = Literal["question", "keyword", "claim", "label", "instruct", "rewrite"]
"""What an endpoint is asked by a text that a suite may replace; the first three are kinds of synthetic queries."""
OWN_KEYS = {
    "model": "model", "temperature": "temperature", "seed": "seed", "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens", "reasoning_effort": "reasoning_effort", "stream": "stream",
    "stream_options": "stream",
}  # fmt: skip
"""What of a request is set by a key of the role itself."""


SERVED_KEYS = ("headers", "query", "extra_body", "reasoning_effort", "key_header", "price_cached")
"""What only a model at an endpoint can be given."""


def place_of(role: Role) -> str:
    """Return the key of a suite that says where a role is served."""
    if role == "system":
        return "external.endpoint"
    return f"llm.{role}" if role in ROLES else f"pipeline.{role}.endpoint"


def is_local(model: str) -> bool:
    """Whether a model runs in process."""
    return model.startswith(EMBEDDED_PREFIX) or is_folder(Path(model).expanduser())


class Llm(LocalModel):
    """A language model in a role.

    `base_url` defaults to `OPENAI_BASE_URL`, the key is read from the environment variable `api_key_env`; neither the
    key nor what stands for it is written anywhere. At most `max_concurrency` requests are in flight; one that has no
    answer after `timeout` seconds is asked again, up to `retries` times. `max_tokens` bounds an answer. A `temperature`
    or a `seed` of None is not sent. Prices are in dollars per million tokens; `price_cached` is that of prompt tokens
    that the server had in its cache, `price_in` if it is not given. `structured` says whether JSON is asked for by a
    schema: ``auto`` tries it and goes on without where a server refuses it. `headers`, `query` (parameters of the
    address) and `extra_body` are sent with every request; in their texts ``${NAME}`` stands for an environment
    variable. Without `system_turn`, what a system turn says stands in front of the first user turn. `stream` asks for
    the answer in pieces: ``auto`` does so where a server wants it. The settings of `LocalModel` are for a model in
    process.
    """

    model: Place = SMALL
    base_url: Url | None = None
    api_key_env: Variable = "OPENAI_API_KEY"
    max_concurrency: Positive = 8
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    seed: Count | None = 0
    max_tokens: Positive = 1024
    reasoning_effort: Annotated[str, Field(min_length=1)] | None = None
    timeout: Above0 = 40.0
    retries: Count = 5
    price_in: Dollars = 0.0
    price_out: Dollars = 0.0
    price_cached: Dollars | None = None
    structured: Literal["auto", "schema", "plain"] = "auto"
    system_turn: bool = True
    stream: bool | Literal["auto"] = "auto"
    headers: Texts = Field(default_factory=dict)
    query: Texts = Field(default_factory=dict)
    extra_body: dict[str, Any] = Field(default_factory=dict)
    key_header: Header | None = None

    @field_validator("extra_body")
    @classmethod
    def _can_be_sent(cls, body: dict[str, Any]) -> dict[str, Any]:
        for name, own in OWN_KEYS.items():
            if name in body:
                raise ValueError(f"{name!r} has a key of its own; set '{own}' of the role")
        for name in ("messages", "n"):
            if name in body:
                raise ValueError(f"{name!r} is set by the harness; leave it out")
        return can_be_sent(body)

    @model_validator(mode="after")
    def _served(self) -> Llm:
        if self.base_url is not None and self.model.startswith(EMBEDDED_PREFIX):
            raise ValueError(f"{self.model!r} runs in process, so it has no 'base_url'")
        if self.in_process and (given := [name for name in SERVED_KEYS if getattr(self, name)]):
            raise ValueError(f"{self.model!r} runs in process, so it has no {given[0]!r}")
        if not self.in_process and self.set_locally:
            raise ValueError(f"{self.model!r} is at an endpoint, so it has no {self.set_locally[0]!r}")
        return self

    @property
    def in_process(self) -> bool:
        """Whether it runs here: an embedded model or a folder, and nobody is said to serve it."""
        return self.base_url is None and is_local(self.model)

    @property
    def identity(self) -> dict[str, Any]:
        """What of it can change an answer; where it is served and how fast it is asked cannot."""
        return self.model_dump(include={"model", "temperature", "seed", "max_tokens"}) | self.extras

    @property
    def extras(self) -> dict[str, Any]:
        """What else of a request can change an answer, as it is written; only what is set."""
        found = {
            "reasoning_effort": self.reasoning_effort,
            "extra_body": self.extra_body,
            "headers": self.headers,
            "query": self.parameters,
            "system_turn": None if self.system_turn else False,
            **self.local.model_dump(exclude_defaults=True),
        }
        return {name: value for name, value in found.items() if value not in (None, {})}

    @property
    def parameters(self) -> dict[str, str]:
        """The query of the address and `query`, which counts where both name a parameter."""
        return dict(parse_qsl(urlsplit(self.base_url or "").query, keep_blank_values=True)) | self.query

    def dollars(self, prompt_tokens: int, new_tokens: int, cached_tokens: int = 0) -> float:
        """Price of so many tokens; the cached ones are part of those of the prompt."""
        cached = min(cached_tokens, prompt_tokens)
        price = self.price_in if self.price_cached is None else self.price_cached
        return ((prompt_tokens - cached) * self.price_in + cached * price + new_tokens * self.price_out) / 1e6


class Judge(Llm):
    """The LLM that judges answers; every answer `repeats` times, apart from one another.

    It may decide what is right in `utility` only if it was calibrated (`harness judge`): the AUROC at telling what
    people accepted, which is from `accepted_from` of their scale (0 to 1) on, must reach `min_auroc` with its interval.
    """

    repeats: Positive = 1
    min_auroc: Share = 0.7
    accepted_from: Share = 0.75


class Llms(Spec):
    """Roles, budgets of one run (dollars, and tokens of prompts and answers together), and texts of one's own.

    `prompts` names a text file for each prompt that is replaced; a path counts from the suite file.
    """

    synthesizer: Llm = Llm()
    labeler: Llm = Llm()
    judge: Judge | None = None
    generator: Llm | None = None
    rewriter: Llm = Llm()
    max_usd: Above0 | None = None
    max_tokens: Positive | None = None
    prompts: dict[PromptName, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _priced(self) -> Llms:
        served = [one for one in self.roles.values() if not one.in_process]
        if self.max_usd is not None and served and not any(one.price_in or one.price_out for one in served):
            raise ValueError("'max_usd' needs 'price_in' or 'price_out' of a role at an endpoint")
        return self

    @property
    def roles(self) -> dict[Role, Llm]:
        """The roles that are given."""
        return {role: one for role in ROLES if (one := getattr(self, role)) is not None}
