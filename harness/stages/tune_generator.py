"""tune_generator: examples in, an adapter for the generator out.

What is trained on is, token for token, what the stage `answer` shows the generator, followed by the answer and by the
end of the assistant's turn. How it is trained is in `harness.training.generators`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.data.formats import load_jsonl
from harness.models import generation
from harness.stages import Inputs
from harness.stages.answer import prompt_tails
from harness.stages.answering import holds
from harness.stages.common import model_folder, read_corpus, seeded
from harness.stages.instruct import INSTRUCTIONS_FILE
from harness.stages.train_share import sampled, share_notes
from harness.suite.fields import Quiet, Spec
from harness.suite.recipes import GeneratorRecipe
from harness.suite.roles import EMBEDDED_PREFIX
from harness.text import ENGLISH
from harness.training.generators import Example, load_base, load_tokenizer, optimizer_of, save_adapter, tune
from harness.values.records import Document, Progress, Usage


class Prompted(Spec):
    """What decides how a prompt of the generator reads; see `spec.Generator`."""

    model: str
    instruction: str
    passage_tokens: int


class TuneGenerator(Quiet):
    """The untuned generator and the recipe; `language` says what the words of an answer are."""

    QUIET: ClassVar[tuple[str, ...]] = ("language",)

    language: str = ENGLISH
    generator: Prompted
    recipe: GeneratorRecipe


def tune_generator(spec: TuneGenerator, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Train and write the adapter (safetensors); raises ValueError if too many examples are too long."""
    optimizer_of(spec.recipe)
    rows = sampled(load_jsonl(inputs["instructions"] / INSTRUCTIONS_FILE), spec.recipe.train_share)
    documents = read_corpus(inputs["corpus"])
    folder = model_folder(spec.generator.model, inputs)
    tokenizer, ends, window = load_tokenizer(folder)
    made = examples_of(rows, documents, spec.generator, tokenizer, ends)
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
        **tuned.notes,
        **share_notes(spec.recipe.train_share),
    }
    return Usage(units=len(examples) * spec.recipe.epochs, notes=notes)


def examples_of(
    rows: Sequence[Mapping[str, Any]], documents: Mapping[str, Document], shown: Prompted, tokenizer: Any,
    ends: set[int],
) -> list[Example]:  # fmt: skip
    """Rows of `instruct` as tokens. Head, tail and answer are coded apart, as they are when the generator writes."""
    asked = [(row["query"], row["context"]) for row in rows]
    tails = prompt_tails(tokenizer, asked, documents, shown.passage_tokens)
    (head,) = coded(tokenizer, [generation.chat_parts(tokenizer, shown.instruction, [])])
    replies = coded(tokenizer, [" ".join(row["answer"].split()) for row in rows])
    end, prompts = end_of_turn(tokenizer, ends), coded(tokenizer, tails)
    return [Example(head + tail, reply + end) for tail, reply in zip(prompts, replies, strict=True)]


def coded(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of texts, and nothing that a tokenizer likes to put around them."""
    return [list(row) for row in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []


def end_of_turn(tokenizer: Any, ends: set[int]) -> list[int]:
    """Tokens with which the chat template ends an assistant's turn, up to the first at which generation stops."""
    marker = "ANSWER"
    after = generation.chat_parts(tokenizer, "", [("", marker)]).rpartition(marker)[2]
    (tokens,) = coded(tokenizer, [after])
    for number, token in enumerate(tokens, start=1):
        if token in ends:
            return tokens[:number]
    return [tokenizer.eos_token_id]


def short_enough(examples: Sequence[Example], recipe: GeneratorRecipe, window: int | None) -> list[Example]:
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
    rows: Sequence[Mapping[str, Any]], documents: Mapping[str, Document], spec: TuneGenerator, tokenizer: Any
) -> int:
    """How many answers stand in a whole passage of their example, but not in what `passage_tokens` leaves of it."""
    answered = [row for row in rows if row["kind"] == "oracle"]
    used = list(dict.fromkeys(doc_id for row in answered for doc_id in row["context"]))
    texts = generation.cut(tokenizer, [documents[doc_id].content for doc_id in used], spec.generator.passage_tokens)
    left = dict(zip(used, texts, strict=True))
    return sum(
        any(holds(documents[doc_id].content, row["answer"], spec.language) for doc_id in row["context"])
        and not any(holds(left[doc_id], row["answer"], spec.language) for doc_id in row["context"])
        for row in answered
    )


def base_name(model: str) -> str:
    """The name of a model without the path of this machine: of a folder, its last part."""
    if model.startswith(EMBEDDED_PREFIX):
        return model
    folder = Path(model).expanduser()
    return folder.resolve().name if folder.is_dir() else model
