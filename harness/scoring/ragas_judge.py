"""Adapt a chat to the interface through which ragas' judged metrics, and the rubric of a suite, ask an LLM.

Forms with stricter checks refuse invalid judgements, which ragas itself turns into a NaN, a zero, or a mean over fewer
statements. This module must not know what is judged, or how often.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, get_origin

from pydantic import BaseModel, Field, create_model, model_validator

from harness.hashing import digest_of
from harness.llm import prompt_templates
from harness.llm.protocol import Ask, Chat, Message
from harness.scoring.ragas_measures import Embeddings

RAGAS_CLASSES = {
    "faithfulness": "Faithfulness",
    "factual_correctness": "FactualCorrectness",
    "answer_relevancy": "AnswerRelevancy",
    "context_recall": "ContextRecall",
    "context_precision": "ContextPrecision",
    "noise_sensitivity": "NoiseSensitivity",
}
DRAWS = {"answer_relevancy": 3}  # the questions that ragas draws from one prompt
VERDICTS = ("verdict", "attributed", "noncommittal")


def metric_class(name: str) -> Any:
    """Return the ragas class of a measure, made to accept our judge and embeddings."""
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"  # read by ragas when it is imported
    from ragas.embeddings.base import BaseRagasEmbedding
    from ragas.llms.base import InstructorBaseRagasLLM
    from ragas.metrics import collections

    InstructorBaseRagasLLM.register(JudgeLlm)
    BaseRagasEmbedding.register(OneByOne)
    return getattr(collections, RAGAS_CLASSES[name])


class Unanswered(Exception):
    """The chat gave no answer; the message says why."""


class JudgeLlm:
    """One repeat of a judgement, in the interface of ragas' LLMs.

    ragas asks some prompts several times for several answers: the `draws` of each repeat. Other equal prompts are
    asked once.
    """

    def __init__(self, chat: Chat, repeat: int, draws: int = 1) -> None:
        self.chat, self.repeat, self.draws = chat, repeat, draws
        self.times: Counter[str] = Counter()

    def generate(self, prompt: str, response_model: type[BaseModel]) -> BaseModel:
        """Part of ragas' interface; nothing here calls it."""
        raise TypeError("a judge is asked from a coroutine only")

    async def agenerate(self, prompt: str, response_model: type[BaseModel]) -> Any:
        """Ask for an answer in a form; raise Unanswered with the reason if there is none."""
        draw = self.times[prompt] % self.draws
        self.times[prompt] += 1
        form = checked_form(response_model, getattr(prompt, "statements", None))
        message = Message("user", str(prompt))
        reply = await self.chat.ask(Ask((message,), schema=form, repeat=self.repeat * self.draws + draw))
        if reply.failure:
            raise Unanswered(reply.failure)
        return reply.value


class RubricVerdict(BaseModel):
    """How well an answer meets a rubric, 0 to 1."""

    explanation: str
    score: Annotated[float, Field(ge=0, le=1)]


class RubricScore(NamedTuple):
    """The value of a judgement, as a ragas metric returns it."""

    value: float


class Rubric:
    """A judgement by a rubric, in the interface of a ragas metric.

    ragas' own metric takes five descriptions, one for each integer score, does not bound the score, and shows a
    reference in its examples even if there is none. A suite has one text.
    """

    def __init__(self, llm: JudgeLlm, rubric: str) -> None:
        self.llm, self.rubric = llm, rubric

    async def ascore(self, user_input: str, response: str) -> RubricScore:
        prompt = prompt_templates.fill(
            prompt_templates.load("rubric"), rubric=self.rubric, question=user_input, answer=response
        )
        return RubricScore((await self.llm.agenerate(prompt, RubricVerdict)).score)


class OneByOne:
    """Embeddings in ragas' interface, one text at a time and each once, so that no vector depends on its batch."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self.turn = asyncio.Lock()
        self.known: dict[str, Any] = {}

    async def aembed_text(self, text: str) -> Any:
        async with self.turn:
            if text not in self.known:
                self.known[text] = await asyncio.to_thread(self.embeddings.embed_text, text, show_progress_bar=False)
        return self.known[text]

    async def aembed_texts(self, texts: list[str]) -> list[Any]:
        return [await self.aembed_text(text) for text in texts]


class _Prompt(str):
    """A prompt with the number of statements it asks verdicts for; None if it asks for none."""

    statements: int | None = None


class _Counting(NamedTuple):
    """A prompt of ragas whose texts carry the number of statements in them."""

    prompt: Any

    def to_string(self, data: BaseModel) -> str:
        text = _Prompt(self.prompt.to_string(data))
        statements = getattr(data, "statements", None)
        text.statements = None if statements is None else len(statements)
        return text


def with_counts(metric: Any) -> Any:
    """Return a ragas metric whose prompts carry the number of verdicts they ask for."""
    for name, value in list(vars(metric).items()):
        if hasattr(value, "to_string"):
            setattr(metric, name, _Counting(value))
    return metric


@lru_cache(maxsize=256)
def checked_form(form: type[BaseModel], statements: int | None) -> type[BaseModel]:
    """Return a form of the same schema that refuses invalid judgements, so that they are repaired or fail."""

    def check(value: BaseModel) -> BaseModel:
        if faults := list(_faults(value, statements)):
            raise ValueError("; ".join(faults))
        return value

    checks: dict[str, Any] = {"judgement": model_validator(mode="after")(check)}
    return create_model(form.__name__, __base__=form, __doc__=form.__doc__, __validators__=checks)


def _faults(value: BaseModel, statements: int | None) -> Iterator[str]:
    for name, entry in value:
        if isinstance(entry, list):
            if not entry:
                yield f"{name!r} is empty"
            elif statements is not None and len(entry) != statements:
                yield f"{name!r} has {len(entry)} entries where {statements} were asked for"
            for item in entry:
                yield from _faults(item, None) if isinstance(item, BaseModel) else _blank(name, item)
        elif name in VERDICTS and entry not in (0, 1):
            yield f"{name!r} is {entry}, neither 0 nor 1"
        elif name in ("question", "statement"):
            yield from _blank(name, entry)


def _blank(name: str, text: Any) -> Iterator[str]:
    if isinstance(text, str) and not text.strip():
        yield f"{name!r} holds a blank text"


@lru_cache(maxsize=16)
def prompts_digest(name: str) -> str:
    """Return the digest of a measure's prompts apart from the case: instructions, examples, forms."""
    if name == "rubric":
        return digest_of([prompt_templates.load("rubric"), RubricVerdict.model_json_schema()])
    from ragas.prompt.metrics.base_prompt import BasePrompt

    module = vars(sys.modules[metric_class(name).__module__])
    classes = [member for member in module.values() if isinstance(member, type) and issubclass(member, BasePrompt)]
    prompts = [member() for member in sorted(classes, key=lambda member: member.__name__) if member is not BasePrompt]
    return digest_of([prompt.to_string(_empty(prompt.input_model)) for prompt in prompts])


def _empty(form: type[BaseModel]) -> BaseModel:
    """Return an empty value of a form, to render a prompt with it."""
    fields = form.model_fields.items()
    blank: dict[str, Any] = {
        name: [] if get_origin(field.annotation) is list else "" for name, field in fields if field.is_required()
    }
    return form.model_construct(**blank)
