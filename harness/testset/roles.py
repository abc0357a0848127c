"""Who writes: the model of a command line or of a suite, in this process or at an endpoint."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from harness.errors import ConfigError, Problem
from harness.execution.endpoints import FOLDER
from harness.execution.executors import DEFAULT_EXECUTOR, executor_named
from harness.execution.making import make
from harness.llm.configuration import Services
from harness.models.loaders import locate, model_digest
from harness.planning.calls import conversion
from harness.provenance import now
from harness.remote.places import store_in
from harness.suite.files import load_suite
from harness.suite.roles import Llm, Role
from harness.testset.drafts import Similarity, Writer
from harness.testset.endpoint import EndpointWriter
from harness.testset.folder import STATE
from harness.testset.local import LocalWriter
from harness.testset.passages import Passage
from harness.testset.similarity import similarity_of

ENCODER = "embedded:all-minilm-l6-v2"
WRITTEN = "written.jsonl"


class Asked(NamedTuple):
    """The model that a command line asks for; what is None is left to the suite, or to the default.

    `max_tokens` bounds what one run may use, prompts and answers together.
    """

    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    suite: str | None = None
    max_tokens: int | None = None


class Author(NamedTuple):
    """The role that writes and the one that checks, what a run may spend, and the encoder of the suite."""

    author: Llm
    examiner: Llm
    max_usd: float | None = None
    max_tokens: int | None = None
    encoder: str = ENCODER

    @property
    def capable(self) -> bool:
        """Whether an endpoint writes, which can be asked to check as well."""
        return not self.author.in_process


def author_of(asked: Asked) -> Author:
    """Return who writes. Raises ConfigError with all that is wrong."""
    base = Author(Llm(), Llm())
    if asked.suite is not None:
        suite = load_suite(asked.suite)[0]
        llm = suite.llm
        examiner = llm.synthesizer if llm.labeler.in_process else llm.labeler
        base = Author(llm.synthesizer, examiner, llm.max_usd, llm.max_tokens, suite.pipeline.retriever.model)
    given = {"model": asked.model, "base_url": asked.base_url, "api_key_env": asked.api_key_env}
    given = {name: value for name, value in given.items() if value is not None}
    if asked.base_url and not asked.model and asked.suite is None:
        raise ConfigError(Problem("--base-url", "without a model", "add --model, the name that its server knows"))
    if given:
        try:
            author = Llm.model_validate({**base.author.model_dump(exclude_defaults=True), **given})
        except ValidationError as error:
            raise ConfigError(
                [Problem(f"--{_option(one)}", str(one["msg"]).removeprefix("Value error, ")) for one in error.errors()]
            ) from error
        base = base._replace(author=author, examiner=author if base.examiner.in_process else base.examiner)
    return base._replace(max_tokens=asked.max_tokens or base.max_tokens)


def _option(error: object) -> str:
    place = error.get("loc") if isinstance(error, dict) else ()
    return str(place[0]).replace("_", "-") if place else "model"


def services_of(author: Author, root: Path, replay: bool) -> Services:
    """Return the services of one run, which has a budget of its own."""
    roles: dict[Role, Llm] = {"synthesizer": author.author, "labeler": author.examiner}
    run = f"{now()} {os.getpid()} {uuid.uuid4().hex[:8]}"
    return Services(
        roles=roles, folder=(root / FOLDER).absolute(), run=run, max_usd=author.max_usd,
        max_tokens=author.max_tokens, replay=replay,
    )  # fmt: skip


def writer_of(
    author: Author, services: Services, place: Path, root: Path, seed: int, checked: bool = True
) -> Callable[[Sequence[Passage]], Writer]:
    """Return what makes the writer, once the passages are known; `checked` asks its endpoint a small question first.

    What it returns raises ConfigError if an endpoint cannot be used, and ModelMissing if a model is not here.
    """

    def served(passages: Sequence[Passage]) -> Writer:
        from harness.llm.endpoint import EndpointChat

        if checked:
            _check(services)
        return EndpointWriter(EndpointChat("synthesizer", services), EndpointChat("labeler", services))

    def local(passages: Sequence[Passage]) -> Writer:
        llm = author.author
        return LocalWriter(
            lambda: _plain(llm.model, root), llm.model, model_digest(llm.model), place / STATE / WRITTEN, passages,
            similarity_of(author.encoder), llm.local, seed,
        )  # fmt: skip

    return served if author.capable else local


def similarity(author: Author) -> Similarity | None:
    """Return what decides in place of a writer that cannot be asked to check; None for one that can."""
    return None if author.capable else similarity_of(author.encoder)


def _check(services: Services) -> None:
    from harness.llm import preflight

    problems = [problem for role in services.roles if (problem := preflight.check(role, services))]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _plain(model: str, root: Path) -> Path:
    """Return the folder of a model with plain weights; a GGUF model is converted once, into the store."""
    call, store = conversion(model), store_in(root)
    if call is None:
        return locate(model)
    if not store.has(call.key):
        make(call, store, executor_named(DEFAULT_EXECUTOR))
    folder = store.get(call.key)
    assert folder is not None
    return folder


RECOMMENDED = (
    "A small model in this process writes simple questions, and words alone decide what is kept. A capable model at an "
    "endpoint is recommended: --model NAME --base-url URL."
)
"""What is said on screen of a model in this process."""
