"""tune_generator: examples in, an adapter for the generator out.

What is trained on is, token for token, what the stage `answer` shows the generator, followed by the answer and by the
end of the assistant's turn, as the chat template writes it. How it is trained is in `harness.training.generators`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.formats import load_jsonl
from harness.models import generation
from harness.models.chat_templates import ChatTemplate
from harness.stages import Inputs, SpeedRule, Stage, Takes
from harness.stages.answer import turns_of
from harness.stages.instruct import INSTRUCTIONS_FILE
from harness.stages.shared.answer_writers import holds
from harness.stages.shared.common import base_name, model_folder, read_corpus, seeded
from harness.stages.shared.train_share import sampled, share_notes
from harness.suite.fields import Spec
from harness.suite.recipes import GeneratorRecipe
from harness.text import ENGLISH
from harness.training.generators import TokenizedExample, load_base, load_tokenizer, optimizer_of, save_adapter, tune
from harness.values.records import Document, Progress, Usage

TAUGHT_NO_THOUGHTS = "trained on answers without thoughts"


class GeneratorPrompt(Spec):
    """What decides how a prompt of the generator reads; see `spec.Generator`."""

    model: str
    instruction: str
    passage_tokens: int
    thinking: bool | None = False


class TuneGeneratorSpec(Spec):
    """The untuned generator, the recipe, and the strings before which answers end; see `answer.Answer`.

    `language` says what the words of an answer are.
    """

    generator: GeneratorPrompt
    recipe: GeneratorRecipe
    language: str = ENGLISH
    stop: tuple[str, ...] = ()


def tune_generator(spec: TuneGeneratorSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Train and write the adapter (safetensors); raises ValueError if too many examples are too long."""
    optimizer_of(spec.recipe)
    rows = sampled(load_jsonl(inputs["instructions"] / INSTRUCTIONS_FILE), spec.recipe.train_share)
    documents = read_corpus(inputs["corpus"])
    folder = model_folder(spec.generator.model, inputs)
    tokenizer, ends, window = load_tokenizer(folder)
    made = examples_of(rows, documents, spec.generator, tokenizer, ends, spec.stop)
    examples = short_enough(made, spec.recipe, window)
    with seeded(seed):
        tuned = tune(lambda: load_base(folder, spec.recipe), tokenizer, examples, spec.recipe, seed, progress)
    save_adapter(tuned.model, out, base_name(spec.generator.model))
    notes = {
        "examples": len(examples),
        "dropped, being too long": len(made) - len(examples),
        "answers cut off with their passage": answers_cut_off(rows, documents, spec, tokenizer),
        "prompt tokens": sum(len(one.prompt) for one in examples),
        "answer tokens": sum(len(one.completion) for one in examples),
        **({TAUGHT_NO_THOUGHTS: True} if _thinks(tokenizer, spec.generator) else {}),
        **tuned.notes,
        **share_notes(spec.recipe.train_share),
    }
    return Usage(units=len(examples) * spec.recipe.epochs, notes=notes)


def examples_of(
    rows: Sequence[Mapping[str, Any]], documents: Mapping[str, Document], shown: GeneratorPrompt, tokenizer: Any,
    ends: set[int], stop: Sequence[str] = (),
) -> list[TokenizedExample]:  # fmt: skip
    """Rows of `instruct` as tokens: the prompt as answering shows it, the answer, and what ends the turn.

    `ends` are the tokens at which the model stops by itself.
    """
    template = ChatTemplate(tokenizer, shown.thinking)
    template.check(shown.instruction)
    asked = [(row["query"], row["context"]) for row in rows]
    conversations = turns_of(tokenizer, shown.instruction, [], asked, documents, shown.passage_tokens)
    prompts = [template.prompt(turns) for turns in conversations]
    completions = [
        template.completion(turns, wanted(row["answer"], stop)) for turns, row in zip(conversations, rows, strict=True)
    ]
    whole = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
    coded = (generation.tokenize(tokenizer, texts) for texts in (prompts, completions, whole))
    return [
        TokenizedExample(prompt, _ended(_after(prompt, both, apart), ends | template.ends, tokenizer))
        for prompt, apart, both in zip(*coded, strict=True)
    ]


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
    version=2,
    takes=Takes(("instructions", "corpus"), ("model",)),
    heavy=True,
    packages=("transformers", "torch", "accelerate", "datasets", "peft", "trl"),
    rate=0.5,
    unit="rows",
    speed=SpeedRule(kind=("recipe.recipe",), size=("generator.passage_tokens", "recipe.max_length")),
    more_packages=lambda spec, inputs: ("bitsandbytes",) if spec.recipe.recipe == "qlora" else (),
)
