"""A model in this process that answers chats as an endpoint would: for a judge that needs no server.

Must not know roles, caches or budgets. Small models write poor JSON: an answer that does not match its schema is a
failure with its reason.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.llm.protocol import Ask, Message, Reply, Spent
from harness.llm.structured import json_schema_of, read
from harness.models import generation
from harness.models.chat_templates import ChatTemplate
from harness.models.generation import GeneratedText, PromptPrefix, Sampling
from harness.models.language_models import load_generator
from harness.models.stop_rules import StopRules
from harness.models.thoughts import begun_by
from harness.suite.local_models import AUTOMATIC, LocalModel
from harness.values.records import Progress


class LocalChat:
    """Implements `Chat` with a causal language model from a folder, by its own chat template.

    At temperature 0 decoding is greedy, and every repeat of a question has the same answer. Above it, a repeat is drawn
    with `seed` plus its number. `max_tokens` limits an answer and counts against the context window.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        max_tokens: int = 1024,
        temperature: float = 0.0,
        seed: int = 0,
        local: LocalModel = AUTOMATIC,
    ) -> None:
        self.name = name
        self.spent = Spent()
        self.stopped = ""
        self._max_tokens, self._temperature, self._seed, self._local = max_tokens, temperature, seed, local
        model, self._tokenizer = load_generator(folder, local=local)
        self._template = ChatTemplate(self._tokenizer)
        self._head = PromptPrefix(model, self._tokenizer, "")
        self._window: int | None = generation.window_of(model)
        self._lock = threading.Lock()

    async def ask(self, ask: Ask) -> Reply:
        """Answer one question in a thread; concurrent questions wait for their turn."""
        (reply,) = await asyncio.to_thread(self.ask_all, [ask], lambda done, total: None)
        return reply

    def ask_all(self, asks: Sequence[Ask], progress: Progress) -> list[Reply]:
        """Answer questions in their order, in batches; equal ones once."""
        with self._lock:
            replies_by_ask = self._answer(list(dict.fromkeys(asks)), progress)
            replies: list[Reply] = []
            answered: set[Ask] = set()
            for ask in asks:
                reply = replies_by_ask[ask]
                replies.append(reply._replace(prompt_tokens=0, new_tokens=0, requests=0) if ask in answered else reply)
                answered.add(ask)
                self.spent = self.spent.plus(replies[-1])
        return replies

    def _answer(self, asks: Sequence[Ask], progress: Progress) -> dict[Ask, Reply]:
        replies_by_ask: dict[Ask, Reply] = {}
        jobs: dict[Sampling, dict[Ask, str]] = defaultdict(dict)
        for ask in asks:
            sampling = self._sampling(ask)
            try:
                jobs[sampling][ask] = self._prompt(ask, sampling)
            except ValueError as error:
                replies_by_ask[ask] = Reply("", failure=str(error))
        for sampling, prompts in jobs.items():
            base = len(replies_by_ask)
            opening = begun_by(next(iter(prompts.values())))
            written = generation.write(
                self._head, list(prompts.values()), sampling,
                lambda done, _, base=base: progress(base + done, len(asks)),  # type: ignore[misc]
                StopRules(frozenset(self._template.ends), opening=opening),
            )  # fmt: skip
            replies_by_ask |= {ask: _reply(ask, text) for ask, text in zip(prompts, written, strict=True)}
        progress(len(asks), len(asks))
        return replies_by_ask

    def _sampling(self, ask: Ask) -> Sampling:
        temperature = self._temperature if ask.temperature is None else ask.temperature
        limit = self._max_tokens if ask.max_tokens is None else ask.max_tokens
        return Sampling(
            limit, temperature=temperature, seed=self._seed + ask.repeat if temperature else 0,
            max_tokens_per_batch=self._local.max_tokens_per_batch,
        )  # fmt: skip

    def _prompt(self, ask: Ask, sampling: Sampling) -> str:
        """Return the prompt of a question; raises ValueError if the template or the context window does not take it."""
        from jinja2 import TemplateError

        try:
            text = self._template.prompt([(message.role, message.content) for message in _with_schema(ask)])
        except TemplateError as error:
            raise ValueError(f"the chat template of {self.name} does not take this chat: {error}") from error
        size = len(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        if self._window is not None and size + sampling.max_new_tokens > self._window:
            raise ValueError(
                f"a prompt of {size} tokens with an answer of up to {sampling.max_new_tokens} does not fit the window "
                f"of {self._window} tokens of {self.name}"
            )
        return text


def _with_schema(ask: Ask) -> Iterable[Message]:
    """Return the messages; the last one gives the schema of the answer, if there is one."""
    if ask.schema is None:
        return ask.messages
    json_schema = json.dumps(json_schema_of(ask.schema), ensure_ascii=False)
    *before, last = ask.messages
    asked = f"{last.content}\n\nAnswer with one JSON object of this schema, and with nothing else:\n{json_schema}"
    return (*before, last._replace(content=asked))


def _reply(ask: Ask, written: GeneratedText) -> Reply:
    """Return the checked reply of a generated text."""
    counted = Reply("", None, "", written.prompt_tokens, written.new_tokens, requests=1, cut=written.cut)
    counted = counted._replace(thought=written.thought)
    text = written.text.strip()
    if fault := written.fault("max_tokens"):
        return counted._replace(failure=fault)
    if not text:
        return counted._replace(failure="the answer is empty")
    if ask.schema is None:
        return counted._replace(text=text)
    try:
        return counted._replace(text=text, value=read(text, ask.schema))
    except ValueError as error:
        return counted._replace(failure=str(error))
