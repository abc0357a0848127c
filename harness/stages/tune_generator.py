"""tune_generator: examples in, an adapter for the generator out.

What is trained on is, token for token, what the stage `answer` shows the generator, followed by the answer and by the
end of the assistant's turn, as the chat template writes it. How it is trained is in `harness.training.generators`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.formats import load_jsonl, read_run
from harness.models import generation
from harness.models.chat_templates import ChatTemplate, Turn
from harness.stages import TRAINS_ADAPTER, Inputs, SpeedRule, Stage, Takes, setting
from harness.stages.instruct import INSTRUCTIONS_FILE
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.answer_writers import holds
from harness.stages.shared.common import base_name, model_folder, read_corpus, read_queries, read_references, seeded
from harness.stages.shared.dev_answers import DEV_ANSWER_INPUTS, DevAnswering, DevAnswers, DevQuestion
from harness.stages.shared.dev_evaluation import sample_with_references
from harness.stages.shared.generator_prompts import SolvedExample, solved_examples, turns_of
from harness.stages.shared.train_share import sampled, share_notes
from harness.suite.fields import Count, Spec
from harness.suite.pipeline import ContextOrder
from harness.suite.recipes import ABSTENTION, GeneratorRecipe
from harness.text import ENGLISH
from harness.training.generators import (
    Monitor,
    TokenizedExample,
    load_base,
    load_tokenizer,
    optimizer_of,
    save_adapter,
    tune,
)
from harness.values.records import Document, Progress, Usage

TAUGHT_NO_THOUGHTS = "trained on answers without thoughts"


class GeneratorPrompt(Spec):
    """What decides how a prompt of the generator reads; see `pipeline.Generator` and `pipeline.Pipeline`.

    `shots` solved examples stand before the question; `sentence` answers the one that must be declined.
    """

    model: str
    instruction: str
    passage_tokens: int
    thinking: bool | None = False
    shots: Count = 0
    sentence: str = ABSTENTION
    context_order: ContextOrder = "best-first"


class TuneGeneratorSpec(Spec):
    """The untuned generator, the recipe, and the strings before which answers end; see `answer.Answer`.

    `language` says what the words of an answer are. `dev` says how answers to dev queries are written and scored, where
    a checkpoint is chosen by them.
    """

    generator: GeneratorPrompt
    recipe: GeneratorRecipe
    language: str = ENGLISH
    stop: tuple[str, ...] = ()
    dev: DevAnswering | None = None


class Prompts:
    """The prompts of a generator in training: token for token those that `answer` shows when it serves."""

    def __init__(
        self, spec: TuneGeneratorSpec, inputs: Inputs, documents: Mapping[str, Document], tokenizer: Any
    ) -> None:
        self.shown, self.stop, self.documents = spec.generator, spec.stop, documents
        self.template = ChatTemplate(tokenizer, self.shown.thinking)
        self.template.check(self.shown.instruction)
        self.solved = self._solved(inputs)

    def _solved(self, inputs: Inputs) -> list[SolvedExample]:
        tokenizer, tokens = self.template.tokenizer, self.shown.passage_tokens
        return solved_examples(
            self.shown.shots, self.shown.sentence, self.documents, inputs,
            lambda texts: generation.truncate(tokenizer, texts, tokens),
        )  # fmt: skip

    def turns(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[Turn]]:
        """Return a conversation for each question and the ids of its passages, best first."""
        shown = self.shown
        return turns_of(
            self.template.tokenizer, shown.instruction, self.solved, asked, self.documents, shown.passage_tokens,
            shown.context_order,
        )  # fmt: skip

    def tokenized(self, rows: Sequence[Mapping[str, Any]], ends: set[int]) -> list[TokenizedExample]:
        """Return rows of `instruct` as tokens: the prompt, the answer, and what ends the turn.

        `ends` are the tokens at which the model stops by itself.
        """
        tokenizer = self.template.tokenizer
        conversations = self.turns([(row["query"], row["context"]) for row in rows])
        prompts = [self.template.prompt(turns) for turns in conversations]
        completions = [
            self.template.completion(turns, wanted(row["answer"], self.stop))
            for turns, row in zip(conversations, rows, strict=True)
        ]
        whole = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        coded = (generation.tokenize(tokenizer, texts) for texts in (prompts, completions, whole))
        return [
            TokenizedExample(prompt, _ended(_after(prompt, both, apart), ends | self.template.ends, tokenizer))
            for prompt, apart, both in zip(*coded, strict=True)
        ]


def tune_generator(spec: TuneGeneratorSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Train and write the adapter (safetensors); raises ValueError if too many examples are too long."""
    optimizer_of(spec.recipe)
    sample = sampled(load_jsonl(inputs["instructions"] / INSTRUCTIONS_FILE), spec.recipe.train_share)
    documents = read_corpus(inputs["corpus"])
    folder = model_folder(spec.generator.model, inputs)
    tokenizer, ends, window = load_tokenizer(folder)
    prompts = Prompts(spec, inputs, documents, tokenizer)
    # A query that every prompt shows solved would teach to copy its answer.
    solved = {example.query_id for example in prompts.solved}
    rows = [row for row in sample if row["query_id"] not in solved]
    made = prompts.tokenized(rows, ends)
    examples = short_enough(made, spec.recipe, window)
    dev = dev_answers(spec, inputs, prompts)
    monitor = Monitor(progress, dev.measure, dev.rule.measured) if dev is not None else Monitor(progress)
    with seeded(seed):
        tuned = tune(lambda: load_base(folder, spec.recipe), tokenizer, examples, spec.recipe, seed, monitor)
    save_adapter(tuned.model, out, base_name(spec.generator.model))
    notes = {
        "examples": len(examples),
        "dropped, being too long": len(made) - len(examples),
        **({"dropped, being shown as solved examples": len(sample) - len(rows)} if len(rows) < len(sample) else {}),
        "answers cut off with their passage": answers_cut_off(rows, documents, spec, tokenizer),
        "prompt tokens": sum(len(one.prompt) for one in examples),
        "answer tokens": sum(len(one.completion) for one in examples),
        **({TAUGHT_NO_THOUGHTS: True} if _thinks(tokenizer, spec.generator) else {}),
        **(dev.notes() if dev is not None else {}),
        **tuned.notes,
        **share_notes(spec.recipe.train_share),
    }
    return Usage(units=len(examples) * spec.recipe.epochs, notes=notes)


def dev_answers(spec: TuneGeneratorSpec, inputs: Inputs, prompts: Prompts) -> DevAnswers | None:
    """Return what scores a checkpoint on dev; None if no checkpoint is chosen, or no dev query has a reference."""
    if spec.dev is None or spec.recipe.checkpoints < 2:
        return None
    queries, references = read_queries(inputs["dev_queries"]), read_references(inputs["dev_references"])
    run = read_run(inputs["dev_run"] / RUN_FILE, escaped=True)
    chosen = sample_with_references(queries, references, spec.recipe.dev_queries)
    shown = [[doc_id for doc_id, _ in run.get(query_id, [])[: spec.dev.context]] for query_id in chosen]
    turns = prompts.turns([(queries[query_id], context) for query_id, context in zip(chosen, shown, strict=True)])
    questions = [DevQuestion(asked, references[key]) for asked, key in zip(turns, chosen, strict=True)]
    return DevAnswers(prompts.template, questions, spec.dev, spec.stop, spec.language) if questions else None


def _thinks(tokenizer: Any, shown: GeneratorPrompt) -> bool:
    """Whether the untuned generator thinks before it answers, as far as its template says."""
    return shown.thinking is not False and ChatTemplate(tokenizer, shown.thinking).facts().thinks


def wanted(answer: str, stop: Sequence[str] = ()) -> str:
    """An answer as it is to be written: in its lines, or in one where generation ends at a line break."""
    lines = [" ".join(line.split()) for line in answer.strip().splitlines()]
    return (" " if any(not one.strip() and "\n" in one for one in stop) else "\n").join(lines)


def _after(prompt: list[int], whole: list[int], apart: list[int]) -> list[int]:
    """The tokens of an answer behind its prompt; coded apart where both together would make another prompt."""
    return whole[len(prompt) :] if whole[: len(prompt)] == prompt else apart


def _ended(completion: list[int], ends: set[int], tokenizer: Any) -> list[int]:
    """A completion with a token at its end at which the model stops."""
    return completion if completion and completion[-1] in ends else [*completion, tokenizer.eos_token_id]


def short_enough(
    examples: Sequence[TokenizedExample], recipe: GeneratorRecipe, window: int | None
) -> list[TokenizedExample]:
    """The examples that fit; raises ValueError if more than `drop_limit` of them do not."""
    limit = min((size for size in (recipe.max_length, window) if size is not None), default=None)
    kept = [one for one in examples if limit is None or len(one) <= limit]
    lost = len(examples) - len(kept)
    if not kept or lost > recipe.drop_limit * len(examples):
        raise ValueError(
            f"{lost} of {len(examples)} training examples of the generator are longer than {limit} tokens, and "
            f"drop_limit is {recipe.drop_limit:g}; lower instruct.distractors or generator.passage_tokens, or raise "
            "max_length"
        )
    return kept


def answers_cut_off(
    rows: Sequence[Mapping[str, Any]], documents: Mapping[str, Document], spec: TuneGeneratorSpec, tokenizer: Any
) -> int:
    """How many answers stand in a whole passage of their example, but not in what `passage_tokens` leaves of it."""
    answered = [row for row in rows if row["kind"] == "oracle"]
    used = list(dict.fromkeys(doc_id for row in answered for doc_id in row["context"]))
    texts = generation.truncate(
        tokenizer, [documents[doc_id].content for doc_id in used], spec.generator.passage_tokens
    )
    left = dict(zip(used, texts, strict=True))
    return sum(
        any(holds(documents[doc_id].content, row["answer"], spec.language) for doc_id in row["context"])
        and not any(holds(left[doc_id], row["answer"], spec.language) for doc_id in row["context"])
        for row in answered
    )


STAGE = Stage(
    run=tune_generator,
    spec=TuneGeneratorSpec,
    version=4,
    takes=Takes(
        ("instructions", "corpus"),
        ("model", "train_queries", "train_qrels", "train_references", *DEV_ANSWER_INPUTS),
    ),
    heavy=True,
    packages=("transformers", "torch", "accelerate", "datasets", "peft", "trl"),
    # An instruction and a question, and the passages of an example, of which two are usual.
    rate=lambda spec: 280 / (100 + 2 * setting(spec, "generator.passage_tokens", 160)),
    unit="rows",
    memory=TRAINS_ADAPTER,
    speed=SpeedRule(kind=("recipe.recipe",), size=("generator.passage_tokens", "generator.shots", "recipe.max_length")),
    more_packages=lambda spec, inputs: ("bitsandbytes",) if spec.recipe.recipe == "qlora" else (),
)
