"""How fast models are trained and texts embedded, on models with random weights in the shapes of real ones.

``python tests/perf/gpu.py [generators] [encoders] [--device cuda|cpu] [--smoke]``; ``--smoke`` takes tiny shapes, to
try the script itself. Training is the harness's own; medians over steps, the first two left out. MFU is 6 N tokens/s
over the card's peak in dense bf16, N without the embeddings: that LoRA needs no gradients of frozen weights, and that
checkpointing computes forward twice, is not counted.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

from rich.console import Console
from rich.table import Table
from run import timed

sys.path.insert(0, str(Path(__file__).parent.parent))
import tiny

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Operations a second in dense bf16, by a part of the card's name."""
WORDS = [f"word{number}" for number in range(400)]
WARM_UP = 2


class Llama(NamedTuple):
    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    inner: int
    vocabulary: int
    tied: bool


class Bert(NamedTuple):
    hidden: int
    layers: int
    heads: int
    inner: int


class Load(NamedTuple):
    """How much a step holds, and how many steps are made."""

    batch_size: int
    tokens: int
    steps: int


LLAMAS = {
    "1B": Llama(2048, 16, 32, 8, 8192, 128_256, True),
    "8B": Llama(4096, 32, 32, 8, 14_336, 128_256, False),
}
BERTS = {"MiniLM": Bert(384, 6, 12, 1536), "bge-base": Bert(768, 12, 12, 3072)}
SMOKE_LLAMAS = {"tiny": Llama(256, 2, 4, 2, 512, 1024, True)}
SMOKE_BERTS = {"tiny": Bert(32, 2, 4, 64)}


def tokenizer() -> Any:
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    plain = tiny.words_tokenizer(WORDS, special, "[UNK]")
    plain.post_processor = TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", eos_token="[SEP]", model_max_length=512,
    )  # fmt: skip


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


def peak_memory() -> str:
    import torch

    return f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if torch.cuda.is_available() else "-"


def forget_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def utilisation(parameters: int, tokens_a_second: float) -> str:
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((peak for part, peak in PEAKS.items() if part in name), None)
    return f"{6 * parameters * tokens_a_second / peak:.1%}" if peak else "-"


def save_llama(shape: Llama, folder: Path, device: str) -> int:
    """Save a model with random weights; return how many it has beside the embeddings."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads, intermediate_size=shape.inner, vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied, max_position_embeddings=8192, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    model.save_pretrained(folder)
    counted = {id(value): value.numel() for name, value in model.named_parameters() if "layers." in name}
    return sum(counted.values())


def generators(smoke: bool, device: str) -> Iterator[tuple[str, ...]]:
    """LoRA and QLoRA, rank 16, on prompts of one length."""
    from harness.suite.recipes import GeneratorRecipe
    from harness.training.generators import TokenizedExample, load_base, tune

    load = Load(2, 32, 5) if smoke else Load(8, 1024, 10)
    reader, rng = tokenizer(), random.Random(0)
    for size, shape in (SMOKE_LLAMAS if smoke else LLAMAS).items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            parameters = save_llama(shape, folder, device)
            for name in ("lora", "qlora"):
                forget_memory()
                examples = []
                for _ in range(load.batch_size * load.steps):
                    tokens = [rng.randrange(5, shape.vocabulary) for _ in range(load.tokens)]
                    examples.append(
                        TokenizedExample(tokens[: load.tokens * 15 // 16], tokens[load.tokens * 15 // 16 :])
                    )
                recipe = GeneratorRecipe(recipe=name, batch_size=load.batch_size)
                notes: dict[str, Any] = {}

                def train(
                    progress: Any, folder: Path = folder, recipe: Any = recipe, examples: Any = examples,
                    notes: dict[str, Any] = notes,
                ) -> None:  # fmt: skip
                    tuned = tune(lambda: load_base(folder, recipe), reader, examples, recipe, 0, progress)
                    notes.update(tuned.notes)

                seconds = steps_timed(train)
                speed = load.batch_size * load.tokens / seconds
                said = str(notes.get("out of GPU memory", ""))
                yield (
                    f"{size} {name}", f"{parameters / 1e9:.2f}", f"{load.batch_size} x {load.tokens}", f"{seconds:.3f}",
                    f"{speed:,.0f}", utilisation(parameters, speed), peak_memory(), said,
                )  # fmt: skip


def save_bert(shape: Bert, folder: Path) -> Path:
    """Save a bi-encoder with random weights and mean pooling."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30_522, hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder / "bert")
    tokenizer().save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"), max_seq_length=512)
    modules = [transformer, Pooling(shape.hidden, pooling_mode="mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"


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
            folder = save_bert(shape, Path(scratch))
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
                    yield _row(f"{size} training, {name}, {kind}", 3 * load.batch_size, load.tokens, seconds)
                model = load_bi_encoder(folder, load.tokens)
                forget_memory()
                with computing():
                    seconds = timed(lambda model=model: common.encode(model, texts, "document"), 3)
                yield _row(f"{size} encoding, {kind}", len(texts), load.tokens, seconds)


def _row(what: str, texts: int, tokens: int, seconds: float) -> tuple[str, ...]:
    return (
        what, f"{texts} x {tokens}", f"{seconds:.3f}", f"{texts / seconds:,.0f}", f"{texts * tokens / seconds:,.0f}",
        peak_memory(),
    )  # fmt: skip


COLUMNS = {
    "generators": ("model", "N, 10^9", "tokens a step", "s a step", "tokens/s", "MFU", "peak GiB", "said"),
    "encoders": ("what", "texts x tokens", "s", "texts/s", "tokens/s", "peak GiB"),
}
BENCHMARKS = {"generators": generators, "encoders": encoders}


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of training and encoding on models with random weights.")
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="generators|encoders")
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


def device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


if __name__ == "__main__":
    main()
