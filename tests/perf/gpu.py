"""How fast models are trained, embed texts and write answers on a GPU: random weights in the shapes of real models.

``python tests/perf/gpu.py [generators] [encoders] [answers] [--device cuda|cpu] [--smoke]``; ``--smoke`` takes tiny
shapes, to try the script itself. All code is the harness's own; medians over steps, the first two left out. MFU is 6 N
tokens/s (2 N without training) over the card's peak in dense bf16, N without the embeddings: that LoRA needs no
gradients of frozen weights, and that checkpointing computes forward twice, is not counted.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

from gpu_answers import answers
from gpu_models import (
    BERTS,
    LLAMAS,
    SMOKE_BERTS,
    SMOKE_LLAMAS,
    WORDS,
    device_name,
    forget_memory,
    peak_memory,
    save_bert,
    save_llama,
    tokenizer,
    utilisation,
)
from rich.console import Console
from rich.table import Table
from run import timed

WARM_UP = 2


class Load(NamedTuple):
    """How much a step holds, and how many steps are made."""

    batch_size: int
    tokens: int
    steps: int


def steps_timed(train: Callable[[Callable[[int, int], None]], Any]) -> float:
    """Median seconds of a training's steps."""
    ends: list[float] = []

    def note(done: int, total: int) -> None:
        # After a shortage of memory a training begins anew.
        if done == 1:
            ends.clear()
        ends.append(time.perf_counter())

    train(note)
    gaps = [after - before for before, after in pairwise(ends)]
    return median(gaps[WARM_UP - 1 :])


def generators(smoke: bool, device: str) -> Iterator[tuple[str, ...]]:
    """LoRA and QLoRA, rank 16, on prompts of one length."""
    loads = [Load(2, 32, 5)] if smoke else [Load(8, 1024, 10), Load(4, 4096, 10)]
    for size, shape in (SMOKE_LLAMAS if smoke else LLAMAS).items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            parameters = save_llama(shape, folder, device)
            for load in loads:
                for name in ("lora", "qlora"):
                    forget_memory()
                    seconds, said = harness_tuning(folder, name, load, shape.vocabulary)
                    speed = load.batch_size * load.tokens / seconds
                    yield (
                        f"{size} {name}", f"{parameters / 1e9:.2f}", f"{load.batch_size} x {load.tokens}",
                        f"{seconds:.3f}", f"{speed:,.0f}", utilisation(6 * parameters * speed), peak_memory(), said,
                    )  # fmt: skip


def harness_tuning(folder: Path, name: str, load: Load, vocabulary: int) -> tuple[float, str]:
    """Seconds of a step of the harness's own training, and what it said about memory."""
    from harness.suite.recipes import GeneratorRecipe
    from harness.training.generators import Monitor, TokenizedExample, load_base, tune

    rng, examples = random.Random(0), []
    for _ in range(load.batch_size * load.steps):
        tokens = [rng.randrange(5, vocabulary) for _ in range(load.tokens)]
        examples.append(TokenizedExample(tokens[: load.tokens * 15 // 16], tokens[load.tokens * 15 // 16 :]))
    recipe = GeneratorRecipe(recipe=name, batch_size=load.batch_size)
    notes: dict[str, Any] = {}

    def train(progress: Callable[[int, int], None]) -> None:
        tuned = tune(lambda: load_base(folder, recipe), tokenizer(), examples, recipe, 0, Monitor(progress))
        notes.update(tuned.notes)

    return steps_timed(train), str(notes.get("out of memory", ""))


def encoders(smoke: bool, device: str) -> Iterator[tuple[str, ...]]:
    """A bi-encoder's training (pairs with one negative) and encoding, computing in float32 and in bf16."""
    import torch

    from harness.models.loaders import load_bi_encoder
    from harness.stages.shared import common
    from harness.suite.recipes import RetrieverRecipe
    from harness.training import raw, retrievers
    from harness.training.batches import RankedPassages

    load = Load(4, 16, 6) if smoke else Load(64, 128, 20)
    rng = random.Random(0)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=load.tokens - 2))

    lists = [RankedPassages(text(), (text(), text())) for _ in range(load.batch_size * load.steps)]
    texts = [text() for _ in range(load.batch_size * load.steps)]
    plain = retrievers.quiet_arguments
    for size, shape in (SMOKE_BERTS if smoke else BERTS).items():
        with tempfile.TemporaryDirectory() as scratch:
            folder, parameters = save_bert(shape, Path(scratch))
            for short in (False, True):
                kind = "bf16" if short else "fp32"

                def computing(_: str = "", short: bool = short) -> Any:
                    return torch.autocast(device, dtype=torch.bfloat16, enabled=short)

                def arguments(seed: int, short: bool = short) -> dict[str, Any]:
                    return {**plain(seed), "bf16": short}

                for name in ("mnrl", "raw"):
                    forget_memory()
                    model = load_bi_encoder(folder, load.tokens)
                    recipe = RetrieverRecipe(recipe=name, epochs=1, batch_size=load.batch_size)

                    def train(progress: Any, model: Any = model, recipe: Any = recipe) -> None:
                        retrievers.train(model, lists, recipe, 0, load.batch_size, progress, None)

                    with (
                        patch.object(retrievers, "quiet_arguments", arguments),
                        patch.object(raw, "autocast", computing),
                    ):
                        seconds = steps_timed(train)
                    work = Work(3 * load.batch_size, load.tokens, 6 * parameters)
                    yield work.row(f"{size} training, {name}, {kind}", seconds)
                forget_memory()
                model = encoding_in(load_bi_encoder(folder, load.tokens), short)
                seconds = timed(lambda model=model: common.encode(model, texts, "document"), 3)
                yield Work(len(texts), load.tokens, 2 * parameters).row(f"{size} encoding, {kind}", seconds)


def encoding_in(model: Any, short: bool) -> Any:
    """The encoder with weights in bf16, as indexing has them on CUDA, or in float32."""
    import torch

    return model.to(torch.bfloat16 if short else torch.float32)


class Work(NamedTuple):
    """Texts of one length, and the operations that a token takes."""

    texts: int
    tokens: int
    operations: int

    def row(self, what: str, seconds: float) -> tuple[str, ...]:
        speed = self.texts * self.tokens / seconds
        return (
            what, f"{self.texts} x {self.tokens}", f"{seconds:.3f}", f"{self.texts / seconds:,.0f}", f"{speed:,.0f}",
            utilisation(self.operations * speed), peak_memory(),
        )  # fmt: skip


COLUMNS = {
    "generators": ("model", "N, 10^9", "tokens a step", "s a step", "tokens/s", "MFU", "peak GiB", "said"),
    "encoders": ("what", "texts x tokens", "s", "texts/s", "tokens/s", "MFU", "peak GiB"),
    "answers": ("what", "prompts x tokens", "s", "prompts/s", "new tokens/s", "peak GiB"),
}
BENCHMARKS = {"generators": generators, "encoders": encoders, "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of training, encoding and answering.")
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="|".join(BENCHMARKS))
    parser.add_argument("--device", choices=["cuda", "cpu"], help="where; CUDA if there is one, if not given")
    parser.add_argument("--smoke", action="store_true", help="tiny shapes, to try the script itself")
    given = parser.parse_args()
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from harness.models.loaders import quiet, torch_device

    quiet()
    device = torch_device()
    if given.device == "cuda" and device != "cuda":
        parser.error("no CUDA device is visible; use --device cpu")
    for name in given.names or BENCHMARKS:
        table = Table(*COLUMNS[name], title=f"{BENCHMARKS[name].__doc__} Device: {device_name(device)}")
        for row in BENCHMARKS[name](given.smoke, device):
            table.add_row(*row)
        Console(width=160).print(table)


if __name__ == "__main__":
    main()
