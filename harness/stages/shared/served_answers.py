"""Answers to one question at a time, as the stage `answer` writes them: for the latency probe and for served systems.

What all prompts begin with is read once and kept, as a server would keep it. Requests to an endpoint are always sent,
none is answered from the cache, so each is paid for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from harness.llm import Reply, services
from harness.llm.prompt_templates import rough_tokens, shorten
from harness.models import generation
from harness.models.chat_templates import ChatTemplate
from harness.models.chat_templates import Turn as Said
from harness.models.language_models import load_generator
from harness.models.stop_rules import before_stop
from harness.stages import Asked, Inputs, Step
from harness.stages.answer import LIMIT, AnswerSpec, EndpointPrompts
from harness.stages.retrieve import silent
from harness.stages.shared import common, remote
from harness.stages.shared.generator_prompts import last_turn, solved_examples, turns_of
from harness.stages.shared.turns import Shown, alternating, recent
from harness.suite.local_models import LocalModel
from harness.values.records import Turn


def answering(spec: AnswerSpec, inputs: Inputs) -> Step:
    """Open the generator of a spec. The inputs are those of the stage that belong to no query.

    A step replies with the answer, or with the reason of the failure. Raises ValueError if a prompt is longer than the
    window of a model that runs here.
    """
    return _AtEndpoint(spec, inputs) if spec.endpoint is not None else _Here(spec, inputs)


def _shown(asked: Asked) -> list[str]:
    return [doc_id for doc_id, _ in asked.lists.get("run", [])]


class _Loaded:
    """A generator in memory."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer


_LOADED: WeakValueDictionary[tuple[str, ...], _Loaded] = WeakValueDictionary()
"""Those that something answers with. Systems that search other passages write with the same one."""


def _loaded(folder: Path, adapter: Path | None, local: LocalModel) -> _Loaded:
    key = (str(folder), str(adapter), local.model_dump_json())
    loaded = _LOADED.get(key)
    if loaded is None:
        _LOADED[key] = loaded = _Loaded(*load_generator(folder, adapter, local))
    return loaded


class _Here:
    """A generator in this process."""

    def __init__(self, spec: AnswerSpec, inputs: Inputs) -> None:
        rule = spec.generator
        self.spec, self.documents = spec, common.read_corpus(inputs["corpus"])
        self.loaded = _loaded(common.model_folder(rule.model, inputs), inputs.get("adapter"), rule.local)
        model, self.tokenizer = self.loaded.model, self.loaded.tokenizer
        self.window = generation.window_of(model)
        template = ChatTemplate(self.tokenizer, rule.thinking)
        template.check(rule.instruction)
        self.examples = solved_examples(spec.few_shot, spec.sentence, self.documents, inputs, self._cut)
        self.chat = generation.Conversations(model, template, self._beginnings(), spec.stop)
        self.sampling = generation.Sampling(rule.max_new_tokens, 1)

    def __call__(self, asked: Asked) -> Reply:
        written = self.chat.answer(self._fitting(asked, _shown(asked)), self.sampling)
        return Reply(
            remote.sound(written.text), failure=written.fault(LIMIT), prompt_tokens=written.prompt_tokens,
            new_tokens=written.new_tokens, thought=written.thought, cut=written.cut,
        )  # fmt: skip

    def _cut(self, texts: Sequence[str]) -> list[str]:
        return generation.truncate(self.tokenizer, texts, self.spec.generator.passage_tokens)

    def _beginnings(self) -> list[list[Said]]:
        """Two conversations that have in common what all have: one with earlier turns, if a prompt may show some."""
        begun: list[Said] = [("system", self.spec.generator.instruction)]
        for example in self.examples:
            begun += [("user", example.question), ("assistant", example.reply)]
        some = self.spec.source != "none"
        one, other = (last_turn(Shown([]), word, [word] * some) for word in ("first", "second"))
        before: list[Said] = [("user", "second"), ("assistant", "second")] if self.spec.generator.history_tokens else []
        return [[*begun, ("user", one)], [*begun, *before, ("user", other)]]

    def _fitting(self, asked: Asked, context: Sequence[str]) -> list[Said]:
        """The conversation up to the question, with as many earlier turns as the window has room for."""
        rule = self.spec.generator
        count, cut = generation.token_count(self.tokenizer), generation.token_cut(self.tokenizer)
        kept = recent(asked.turns, rule.history_tokens, count, cut)
        while True:
            turns = self._conversation(asked.text, context, kept)
            if self.window is None or not kept or self.chat.size(turns) + rule.max_new_tokens <= self.window:
                return turns
            kept = kept[1:]

    def _conversation(self, text: str, context: Sequence[str], kept: Sequence[Turn]) -> list[Said]:
        rule = self.spec.generator
        (turns,) = turns_of(
            self.tokenizer, rule.instruction, self.examples, [(text, context)], self.documents, rule.passage_tokens,
            self.spec.context_order, [alternating(kept)],
        )  # fmt: skip
        return turns


class _AtEndpoint:
    """A generator at an endpoint."""

    def __init__(self, spec: AnswerSpec, inputs: Inputs) -> None:
        self.spec, self.chat = spec, services.chat("generator")
        self.prompts = EndpointPrompts(spec, common.read_corpus(inputs["corpus"]), inputs, 0)

    def __call__(self, asked: Asked) -> Reply:
        kept = recent(asked.turns, self.spec.generator.history_tokens, rough_tokens, shorten)
        ask = self.prompts.after(kept, asked.text, _shown(asked), remote.fresh())
        (reply,) = self.chat.ask_all([ask], silent)
        return reply._replace(text=before_stop(remote.sound(reply.text), self.spec.stop))
