"""The relevance of a passage to a query, from 0 to 1, by an LLM or a cross-encoder. Knows no stages.

An LLM answers with a JSON object. What cannot be read as one is a failure with its reason, never a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from harness.llm import Ask, Chat, Reply
from harness.llm.prompt_templates import messages, shorten
from harness.models import generation
from harness.models.loaders import load_cross_encoder
from harness.models.precision import HALF, prepared
from harness.models.thoughts import before_json
from harness.models.token_batches import token_batches
from harness.suite.local_models import ServedDType
from harness.values.records import Progress, Usage

OBJECT = re.compile(r'\{\s*["}]')


class RelevanceLabel(NamedTuple):
    """A relevance from 0 to 1 with its explanation, or the reason why there is none."""

    score: float | None
    explanation: str
    suggested_query: str
    failure: str


class RelevanceLabels(NamedTuple):
    """Judgements in the order of what was asked, and what they cost: tokens, requests to an LLM, dollars.

    `known` counts those that an endpoint's cache held, `mended` those whose JSON had damage with one reading. Those of
    the cache count at what they cost when they were asked.
    """

    judged: list[RelevanceLabel]
    prompt_tokens: int = 0
    new_tokens: int = 0
    calls: int = 0
    known: int = 0
    dollars: float = 0.0
    mended: int = 0

    def usage(self, units: int, notes: Mapping[str, Any]) -> Usage:
        """Return what a stage used that has asked for nothing else."""
        known = self.known / len(self.judged) if self.judged else 0.0
        tokens = self.prompt_tokens, self.new_tokens
        return Usage(units, self.calls, *tokens, notes, self.dollars, known=known)


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a truth value is no score")
    return value


def _encodable(text: str) -> str:
    text.encode()
    return text


_Text = Annotated[str, AfterValidator(_encodable)]


class _Judgement(BaseModel):
    """What an LLM is asked for; other keys are passed over."""

    relevance_score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_no_bool)]
    explanation: _Text | None = None
    suggested_query: _Text | None = None


def parse_judgement(text: str) -> RelevanceLabel:
    """Read the first JSON object of a text; thoughts and whatever stands around it are passed over."""
    text = before_json(text)
    found = OBJECT.search(text)
    if found is None:
        return _failed("no JSON object")
    try:
        value, _ = json.JSONDecoder().raw_decode(text, found.start())
        read = _Judgement.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        return _failed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    except (ValueError, RecursionError) as error:
        return _failed(f"no JSON: {error}")
    return _told(read)


def _told(read: _Judgement) -> RelevanceLabel:
    return RelevanceLabel(read.relevance_score, _line(read.explanation), _line(read.suggested_query), "")


def _failed(reason: str) -> RelevanceLabel:
    return RelevanceLabel(None, "", "", reason)


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


INTRO = (
    "Does the passage answer the query? relevance_score is 1.0 if it holds the answer, 0.5 if a part of it, 0.0 if "
    "none; explanation is a few words; suggested_query is a short query that the passage does answer."
)


class LabelExample(NamedTuple):
    query: str
    passage: str
    score: float
    explanation: str
    suggested_query: str

    @property
    def judgement(self) -> str:
        """What a judge answers, in one line."""
        answer = (self.score, self.explanation, self.suggested_query)
        return json.dumps(dict(zip(_Judgement.model_fields, answer, strict=True)))


EXAMPLES = (
    LabelExample(
        "How often must a bell rope be waxed?",
        "A bell rope is plaited from hemp and waxed twice a year, in May and before the first frost. An unwaxed rope "
        "drinks the damp of the tower and shrinks until the bell hangs crooked.",
        1.0, "Twice a year.", "When is a bell rope waxed?",
    ),
    LabelExample(
        "What is the floor of a bakery swept with?",
        "Saffron is picked at dawn, while the flowers are closed. Three red threads are pinched out of each and dried "
        "over embers the same day.",
        0.0, "Only about saffron.", "When is saffron picked?",
    ),
    LabelExample(
        "Which wood is an oar made of and how long does it last?",
        "Oars for the lake are cut from ash. The blade is left thick at the neck, where a lever always breaks first.",
        0.5, "The wood, not how long it lasts.", "Which wood are oars made of?",
    ),
    LabelExample(
        "Why do the keepers paint hives in different colours?",
        "A hive is opened on a still day towards noon, when most of the bees are out. Smoke is blown in at the door "
        "first, and the lid is lifted a minute later.",
        0.0, "Opening hives, not painting them.", "When is a hive opened?",
    ),
    LabelExample(
        "grindstone speed for scissors",
        "grind(tool, speed=90)\nGrinds a tool on the wet stone. speed: turns a minute; 60 for scissors, 90 for axes, "
        "120 for spades. Slower stones leave a finer edge.",
        1.0, "60 turns a minute.", "How fast are scissors ground?",
    ),
)  # fmt: skip


def head() -> str:
    """The shared beginning of all prompts: plain text to be continued, as small models do best."""
    shown = (f"{tail(one.query, one.passage)} {one.judgement}\n\n" for one in EXAMPLES)
    return f"{INTRO}\n\n{''.join(shown)}"


def tail(query: str, passage: str) -> str:
    """The end of a prompt, up to where the JSON object begins."""
    return f"Passage: {passage}\nQuery: {_line(query)}\nJudgement:"


def _silent(done: int, total: int) -> None:
    pass


def by_llm(
    model: Any, tokenizer: Any, items: Sequence[tuple[str, str]], passage_tokens: int, sampling: generation.Sampling,
    progress: Progress = _silent,
) -> RelevanceLabels:  # fmt: skip
    """Ask a causal language model about pairs of query and passage; passages are cut after `passage_tokens`."""
    passages = generation.truncate(tokenizer, [passage for _, passage in items], passage_tokens)
    tails = [tail(query, passage) for (query, _), passage in zip(items, passages, strict=True)]
    written = generation.write(generation.PromptPrefix(model, tokenizer, head()), tails, sampling, progress)
    return RelevanceLabels(
        [parse_judgement(one.text) for one in written],
        sum(one.prompt_tokens for one in written),
        sum(one.new_tokens for one in written),
        len(items),
    )


def by_chat(
    chat: Chat, prompt: str, items: Sequence[tuple[str, str]], passage_tokens: int, progress: Progress = _silent
) -> RelevanceLabels:
    """Ask a chat, that nobody else has asked, about pairs of query and passage; `prompt` is the text of `label`.

    Passages are cut in words, after about `passage_tokens`.
    """
    asks = [
        Ask(messages(prompt, query=_line(query), passage=shorten(passage, passage_tokens)), _Judgement)
        for query, passage in items
    ]
    judged = [_replied(reply) for reply in chat.ask_all(asks, progress)]
    spent, cost = chat.spent, chat.spent.cost_of_answers
    return RelevanceLabels(
        judged, cost.prompt_tokens, cost.new_tokens, spent.requests, spent.known, cost.dollars, spent.mended
    )


def _replied(reply: Reply) -> RelevanceLabel:
    return _failed(reply.failure) if reply.failure else _told(reply.value)


def by_cross_encoder(
    folder: Path,
    items: Sequence[tuple[str, str]],
    max_length: int,
    progress: Progress = _silent,
    dtype: ServedDType = "float32",
) -> list[float]:
    """Ask a cross-encoder with a trained head about pairs of query and passage: its logits through a sigmoid."""
    import torch

    model = load_cross_encoder(folder, max_length, dtype=dtype)
    logits = score_pairs(prepared(model, dtype) if dtype in HALF else model, items, progress)
    scores: list[float] = torch.sigmoid(torch.tensor(logits, dtype=torch.float32)).tolist()
    return scores


def score_pairs(model: Any, pairs: Sequence[tuple[str, str]], progress: Progress = _silent) -> list[float]:
    """Logits of a loaded cross-encoder in the order of the pairs; higher is more relevant.

    Pairs of like length are scored together; see `token_batches`. Raises ValueError if the model gives no numbers.
    """
    import numpy as np
    import torch

    scores, done = np.zeros(len(pairs), dtype=np.float32), 0
    # As `predict`: a prompt that the model has by default stands before the pairs.
    prompt = model.prompts.get(model.default_prompt_name) if model.default_prompt_name else None

    def compute(features: dict[str, Any]) -> Any:
        with torch.inference_mode():
            logits = model.activation_fn(model(features)["scores"].float())
            return logits.cpu().numpy()

    model.eval()
    for numbers, logits in token_batches(model, pairs, compute, prompt=prompt):
        scores[numbers] = logits.reshape(len(numbers))
        done += len(numbers)
        progress(done, len(pairs))
    if not np.isfinite(scores).all():
        raise ValueError("the cross-encoder gives scores that are no numbers; its training diverged: lower the rate")
    found: list[float] = scores.tolist()
    return found


def count_cut(model: Any, pairs: Sequence[tuple[str, str]]) -> int:
    """How many pairs are longer than the model reads, so that their passage (or query) is cut."""
    tokenizer, ends = model.tokenizer, model.tokenizer.num_special_tokens_to_add(pair=True)
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    coded = tokenizer(texts, add_special_tokens=False, truncation=False, padding=False)["input_ids"] if texts else []
    size = dict(zip(texts, map(len, coded), strict=True))
    return sum(size[query] + size[passage] + ends > model.max_seq_length for query, passage in pairs)
