"""tune_retriever: triplets in, a tuned bi-encoder out.

Recipe `mnrl`: MultipleNegativesRankingLoss (in-batch negatives and the mined ones) with sentence-transformers' own
trainer, in float32, no batch with one text twice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.fields import Spec
from harness.formats import load_jsonl
from harness.recipes import RetrieverRecipe
from harness.records import Progress, Usage
from harness.spec import Retriever
from harness.stages import Inputs
from harness.stages.common import bi_encoder, read_corpus, seeded


class TuneRetriever(Spec):
    """The untuned bi-encoder and the recipe."""

    retriever: Retriever
    recipe: RetrieverRecipe


def tune_retriever(spec: TuneRetriever, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Train and write the model (safetensors) as sentence-transformers saves it."""
    triplets = load_jsonl(inputs["triplets"] / "triplets.jsonl")
    columns = training_columns(triplets, inputs)
    length = spec.recipe.max_length or spec.retriever.max_length
    with seeded(seed):
        model = bi_encoder(spec.retriever.model_copy(update={"max_length": length}), inputs)
        losses = _train(model, columns, spec, seed, progress)
    model.max_seq_length = min(spec.retriever.max_length, model[0].auto_model.config.max_position_embeddings)
    model.save_pretrained(str(out), create_model_card=False, safe_serialization=True)
    third = max(len(losses) // 3, 1)
    notes = {
        "triplets": len(triplets),
        "steps": len(losses),
        "mean loss, first third": round(sum(losses[:third]) / third, 4),
        "mean loss, last third": round(sum(losses[-third:]) / third, 4),
    }
    return Usage(units=len(triplets) * spec.recipe.epochs, notes=notes)


def training_columns(triplets: list[dict[str, Any]], inputs: Inputs) -> dict[str, list[str]]:
    """Texts by column. The trainer goes by the order of the columns: anchor, positive, then the negatives."""
    documents = read_corpus(inputs["corpus"])
    fewest = min(len(row["negatives"]) for row in triplets)
    columns = {
        "anchor": [row["query"] for row in triplets],
        "positive": [documents[row["doc_id"]].content for row in triplets],
    }
    for number in range(fewest):
        columns[f"negative_{number + 1}"] = [documents[row["negatives"][number]].content for row in triplets]
    return columns


def warmup_steps(triplets: int, recipe: RetrieverRecipe) -> int:
    """Steps of warm-up, rounded down: the first of them has learning rate 0, which a training of few steps would miss.

    transformers rounds a share up, so that a training of one step would change nothing.
    """
    return int(recipe.warmup * recipe.epochs * max(triplets // recipe.batch_size, 1))


def training_prompts(columns: Mapping[str, list[str]], retriever: Retriever) -> dict[str, str] | None:
    """The prompts that encoding will use, by column; the trainer takes none from the model."""
    prompts = {name: retriever.query_prompt if name == "anchor" else retriever.document_prompt for name in columns}
    return prompts if any(prompts.values()) else None


def _train(
    model: Any, columns: dict[str, list[str]], spec: TuneRetriever, seed: int, progress: Progress
) -> list[float]:
    """Run the trainer; return the loss of every step."""
    from datasets import Dataset
    from sentence_transformers.base.sampler import BatchSamplers
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
    from transformers import TrainerCallback

    losses: list[float] = []

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Passes progress and losses on; the trainer's own bars and logs are off."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            progress(state.global_step, state.max_steps)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            losses.extend([logs["loss"]] if logs and "loss" in logs else [])

    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            num_train_epochs=spec.recipe.epochs,
            per_device_train_batch_size=spec.recipe.batch_size,
            learning_rate=spec.recipe.learning_rate,
            warmup_steps=warmup_steps(len(columns["anchor"]), spec.recipe),
            lr_scheduler_type="linear",
            weight_decay=0.0,
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            seed=seed,
            data_seed=seed,
            logging_steps=1,
            logging_first_step=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            prompts=training_prompts(columns, spec.retriever),
        )
        trainer = SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict(columns),
            loss=MultipleNegativesRankingLoss(model),
            callbacks=[Watch()],
        )
        _silence(trainer)
        trainer.train()
    return losses


def _silence(trainer: Any) -> None:
    """Take away the callback that prints a line of numbers for every step."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
