"""Models with random weights in the shapes of real ones, and what a GPU has: memory, its name, its peak."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

# Tiny tokenizers are helpers of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import tiny

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Operations a second in dense bf16, by a part of the card's name."""
WORDS = [f"word{number}" for number in range(400)]


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


def utilisation(operations_a_second: float) -> str:
    """The share of the card's peak in dense bf16; ``-`` where the peak is not known."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((peak for part, peak in PEAKS.items() if part in name), None)
    return f"{100 * operations_a_second / peak:.1f} %" if peak else "-"


def device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


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


def save_bert(shape: Bert, folder: Path) -> tuple[Path, int]:
    """Save a bi-encoder with random weights and mean pooling; return where, and how many it has beside embeddings."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30_522, hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
    )  # fmt: skip
    bert = BertModel(config)
    bert.save_pretrained(folder / "bert")
    tokenizer().save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"), max_seq_length=512)
    modules = [transformer, Pooling(shape.hidden, pooling_mode="mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model", sum(value.numel() for value in bert.encoder.parameters())
