"""A chat that replies by a script, and what stages need to ask it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from harness.errors import LlmStopped
from harness.llm import Ask, Reply, Spent, prompt_templates
from harness.stages.shared import common
from harness.stages.shared.remote import Endpoint
from harness.suite.pipeline import Encoder
from harness.suite.roles import PromptName
from harness.values.records import Document, Progress, Usage

PROMPTS = {name: prompt_templates.load(name) for name in get_args(PromptName)}
ENDPOINT = Endpoint(model="large", temperature=0.0, seed=0, max_tokens=500, prompts=PROMPTS)
RETRIEVER = Encoder().model_dump()
CORPUS = {
    "d1": Document("d1", "Lime", "lime is burned in a kiln at night for 3 $ a day"),
    "d2": Document("d2", "", "the ferry carries mail over the ice"),
    "d3": Document("d3", "", "slate roofs are laid from the eaves"),
    "d4": Document("d4", "", "a kiln for bread is no kiln for lime"),
}


def silent(done: int, total: int) -> None:
    pass


class ScriptedChat:
    """Replies by a function of what is asked; an exception in place of a text is a failure of that wording.

    A question asked before is known and costs nothing, as from a cache; one costs 10 tokens in, 3 out, and a cent.
    """

    def __init__(self, script: Callable[[Ask], Any]) -> None:
        self.name, self.stopped, self.spent = "scripted", "", Spent()
        self.script, self.asks, self.known = script, list[Ask](), set[Ask]()

    async def ask(self, ask: Ask) -> Reply:
        return self._reply(ask)

    def ask_all(self, asks: Sequence[Ask], progress: Progress) -> list[Reply]:
        if self.stopped:
            raise LlmStopped(self.stopped)
        replies = [self._reply(ask) for ask in asks]
        progress(len(asks), len(asks))
        return replies

    def _reply(self, ask: Ask) -> Reply:
        self.asks.append(ask)
        text = self.script(ask)
        cost = () if ask in self.known else (10, 3, 0.01, 1)
        reply = Reply(str(text), None, "", *cost)
        if isinstance(text, Exception):
            reply = Reply("", None, str(text), *cost)
        elif ask.schema is not None:
            try:
                reply = reply._replace(value=ask.schema.model_validate_json(str(text)))
            except ValidationError as error:
                reply = Reply("", None, error.errors()[0]["msg"], *cost)
        self.known |= set() if reply.failure else {ask}
        self.spent = self.spent.plus(reply)
        return reply


Scripted = Callable[[Callable[[Ask], Any]], ScriptedChat]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Make a scripted chat the one of every role; `roles` on it says who was asked for."""

    def made(script: Callable[[Ask], Any]) -> ScriptedChat:
        chat = ScriptedChat(script)
        monkeypatch.setattr("harness.llm.services.chat", lambda role: roles.append(role) or chat)
        chat.roles = roles  # type: ignore[attr-defined]
        return chat

    roles: list[str] = []
    return made


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def corpus(root: Path) -> dict[str, Path]:
    common.write_corpus(folder(root, "corpus"), CORPUS)
    return {"corpus": root / "corpus"}


def accounted(usage: Usage, chat: ScriptedChat) -> None:
    """What a stage says it used is what was asked."""
    spent = chat.spent
    assert (usage.llm_calls, usage.prompt_tokens, usage.new_tokens) == (spent.requests, 10 * spent.requests, 3 * spent.requests)  # fmt: skip  # noqa: E501
    assert usage.dollars == pytest.approx(0.01 * spent.requests)
