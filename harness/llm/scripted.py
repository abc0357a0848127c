"""A deterministic stand-in for a language model, for tests and examples."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ValidationError

from harness.errors import LlmStopped
from harness.llm.protocol import Ask, Reply, Spent
from harness.values.records import Progress


class ScriptedChat:
    """Answers as a function says, and records the questions in `asks`.

    The function returns a text, a value of the schema, or a whole reply (a failure, say). A text that does not match
    the schema is a failure. `most_at_once` is the largest number of concurrent questions.
    """

    def __init__(self, answer: Callable[[Ask], str | BaseModel | Reply], name: str = "scripted") -> None:
        self.answer, self.name = answer, name
        self.asks: list[Ask] = []
        self.spent = Spent()
        self.stopped = ""
        self.most_at_once = self._at_once = 0

    async def ask(self, ask: Ask) -> Reply:
        """Answer one question."""
        self.asks.append(ask)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0)
        self._at_once -= 1
        reply = Reply("", failure=self.stopped) if self.stopped else _checked(ask, self.answer(ask))
        self.spent = self.spent.plus(reply)
        return reply

    def ask_all(self, asks: Sequence[Ask], progress: Progress) -> list[Reply]:
        """Answer questions in their order. Raises LlmStopped if `stopped`."""

        async def all_of_them() -> list[Reply]:
            return [await self.ask(ask) for ask in asks]

        replies = asyncio.run(all_of_them())
        progress(len(replies), len(asks))
        if self.stopped:
            raise LlmStopped(self.stopped)
        return replies


def _checked(ask: Ask, answer: str | BaseModel | Reply) -> Reply:
    """Return the reply that an endpoint would give: of the schema that was asked for, or a failure."""
    if isinstance(answer, Reply):
        return answer
    text = answer.model_dump_json() if isinstance(answer, BaseModel) else answer
    if ask.schema is None:
        return Reply(text, requests=1)
    try:
        return Reply(text, ask.schema.model_validate_json(text), requests=1)
    except ValidationError as error:
        return Reply("", failure=f"not of the form asked for: {error.errors()[0]['msg']}", requests=1)
