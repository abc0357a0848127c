"""The section `llm` of a suite: which language model plays which role, where it is served, what it may cost.

A model is ``embedded:<name>`` or a folder, and runs in process; any other name, and any with a `base_url`, is the name
of a model at an OpenAI-compatible endpoint. This module must not know how a model is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from harness.suite.fields import Above0, Count, Positive, Share, Spec

EMBEDDED_PREFIX = "embedded:"
SMALL = "embedded:smollm2-135m-instruct"

Role = Literal["synthesizer", "labeler", "judge", "generator"]
ROLES: tuple[Role, ...] = get_args(Role)
PromptName = Literal["question", "keyword", "claim", "label", "instruct"]
"""What an endpoint is asked by a text that a suite may replace; the first three are kinds of synthetic queries."""
Dollars = Annotated[float, Field(ge=0)]


class Llm(Spec):
    """A language model in a role.

    `base_url` defaults to `OPENAI_BASE_URL`, the key is read from the environment variable `api_key_env`; neither is
    written anywhere. At most `max_concurrency` requests are in flight; one that has no answer after `timeout` seconds
    is asked again, up to `retries` times. `max_tokens` bounds an answer. Prices are in dollars per million tokens.
    `structured` says whether JSON is asked for by a schema: ``auto`` tries it and goes on without where a server
    refuses it.
    """

    model: Annotated[str, Field(min_length=1)] = SMALL
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    max_concurrency: Positive = 8
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: Count | None = 0
    max_tokens: Positive = 1024
    timeout: Above0 = 40.0
    retries: Count = 5
    price_in: Dollars = 0.0
    price_out: Dollars = 0.0
    structured: Literal["auto", "schema", "plain"] = "auto"

    @model_validator(mode="after")
    def _served(self) -> Llm:
        if self.base_url is not None and self.model.startswith(EMBEDDED_PREFIX):
            raise ValueError(f"{self.model!r} runs in process, so it has no 'base_url'")
        if self.base_url is not None and "@" in urlsplit(self.base_url).netloc:
            raise ValueError("'base_url' holds a user or a password, which would be written down; use 'api_key_env'")
        return self

    @property
    def in_process(self) -> bool:
        """Whether it runs here: an embedded model or a folder, and nobody is said to serve it."""
        return self.base_url is None and is_local(self.model)

    @property
    def identity(self) -> dict[str, Any]:
        """What of it can change an answer; where it is served and how fast it is asked cannot."""
        return self.model_dump(include={"model", "temperature", "seed", "max_tokens"})

    def dollars(self, prompt_tokens: int, new_tokens: int) -> float:
        """Price of so many tokens."""
        return (prompt_tokens * self.price_in + new_tokens * self.price_out) / 1e6


class Judge(Llm):
    """The LLM that judges answers; every answer `repeats` times, apart from one another.

    It may decide what is right in `utility` only if it was calibrated (`harness judge`): the AUROC at telling what
    people accepted, at `cut` of their scale (0 to 1), from what they did not must surely (its interval) reach `bar`.
    """

    repeats: Positive = 1
    bar: Share = 0.7
    cut: Share = 0.75


class Llms(Spec):
    """Roles, budgets of one run (dollars, and tokens of prompts and answers together), and texts of one's own.

    `prompts` names a text file for each prompt that is replaced; a path counts from the suite file.
    """

    synthesizer: Llm = Llm()
    labeler: Llm = Llm()
    judge: Judge | None = None
    generator: Llm | None = None
    max_usd: Above0 | None = None
    max_tokens: Positive | None = None
    prompts: dict[PromptName, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _priced(self) -> Llms:
        served = [one for one in self.roles.values() if not one.in_process]
        if self.max_usd is not None and served and not any(one.price_in or one.price_out for one in served):
            raise ValueError("'max_usd' bounds nothing as no role has 'price_in' or 'price_out'")
        return self

    @property
    def roles(self) -> dict[Role, Llm]:
        """The roles that are given."""
        return {role: one for role in ROLES if (one := getattr(self, role)) is not None}


def is_local(model: str) -> bool:
    """Whether a model runs in process."""
    return model.startswith(EMBEDDED_PREFIX) or Path(model).expanduser().is_dir()
