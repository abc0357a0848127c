"""What a generator is shown, the same in answering, in training and in the probe: the instruction, solved examples, the
earlier turns of a conversation, and the question below its passages. A change here is a change of the versions of
`answer` and `tune_generator`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.models import generation
from harness.models.chat_templates import Turn
from harness.stages import Inputs
from harness.stages.shared import common
from harness.stages.shared.prompts import question_turn
from harness.stages.shared.turns import Shown
from harness.suite.pipeline import ContextOrder
from harness.values.records import Document

Cutter = Callable[[Sequence[str]], list[str]]
"""Cuts passages to the length at which a prompt shows them."""


class SolvedExample(NamedTuple):
    """A query of the train split as a prompt shows it, below its passage, with its answer."""

    query_id: str
    question: str
    reply: str


def ordered(passages: Sequence[str], order: ContextOrder) -> list[str]:
    """Return the passages of a question, which come best first, in the order of the prompt."""
    return list(passages) if order == "best-first" else list(reversed(passages))


def turns_of(
    tokenizer: Any, instruction: str, examples: Sequence[SolvedExample], asked: Sequence[tuple[str, Sequence[str]]],
    documents: Mapping[str, Document], passage_tokens: int, order: ContextOrder = "best-first",
    earlier: Sequence[Shown] = (),
) -> list[list[Turn]]:  # fmt: skip
    """Return conversations up to the question, one for each question and the ids of its passages, best first.

    `earlier` holds the turns before each question, if there are any.
    """
    used = list(dict.fromkeys(doc_id for _, context in asked for doc_id in context))
    texts = generation.truncate(tokenizer, [documents[doc_id].content for doc_id in used], passage_tokens)
    shown = dict(zip(used, texts, strict=True))
    begun: list[Turn] = [("system", instruction)]
    for example in examples:
        begun += [("user", example.question), ("assistant", example.reply)]
    before = earlier or [Shown([])] * len(asked)
    return [
        [*begun, *said.turns, ("user", last_turn(said, text, [shown[key] for key in ordered(context, order)]))]
        for (text, context), said in zip(asked, before, strict=True)
    ]


def last_turn(earlier: Shown, question: str, passages: Sequence[str]) -> str:
    """Return what the user asks: the passages and the question, below what they said without having an answer."""
    asked = question_turn(question, passages)
    return f"{earlier.asked}\n\n{asked}" if earlier.asked else asked


def solved_examples(
    count: int, sentence: str, documents: Mapping[str, Document], inputs: Inputs, cut: Cutter, seed: int = 0
) -> list[SolvedExample]:
    """Draw examples from the train split: answered ones, and one that must be declined where the split has any.

    The declined one is answered by `sentence`. The inputs are `train_queries`, `train_qrels` and `train_references`;
    none is read for a count of 0.
    """
    if not count:
        return []
    queries = common.read_queries(inputs["train_queries"])
    qrels = common.read_judgements(inputs["train_qrels"])
    references = common.read_references(inputs["train_references"])
    dice = random.Random(seed)
    answered = sorted(
        key for key in queries if key in references and references[key].answers and any(qrels.get(key, {}).values())
    )
    declined = sorted(key for key in queries if key in references and not references[key].answerable)
    dice.shuffle(answered)
    dice.shuffle(declined)
    kept = max(count - bool(declined), 1)
    examples = []
    for query_id in (answered[:kept] + declined[:1])[:count]:
        passages = common.relevant_passages(query_id, qrels, references)[:1]
        passages = passages or [dice.choice(sorted(documents))]
        texts = cut([documents[key].content for key in passages])
        reply = references[query_id].answers[0] if references[query_id].answerable else sentence
        examples.append(SolvedExample(query_id, question_turn(queries[query_id], texts), reply))
    return examples
