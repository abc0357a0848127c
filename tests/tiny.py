"""Models with random weights, a few thousand parameters each, in the formats of real ones: what trains in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def words_tokenizer(words: list[str], special: list[str], unknown: str) -> Any:
    """A WordPiece tokenizer that knows these words, single characters, and nothing else."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pieces = [*special, *words, *LETTERS, *(f"##{letter}" for letter in LETTERS), ".", ",", "?", ":"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _bert(folder: Path, words: list[str], labels: int | None, hidden: int, seed: int) -> Path:
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = words_tokenizer(words, special, "[UNK]")
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ends)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
    )  # fmt: skip
    config = BertConfig(
        vocab_size=len(fast), hidden_size=hidden, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=2 * hidden, max_position_embeddings=64, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, **({"num_labels": labels} if labels else {}),
    )  # fmt: skip
    torch.manual_seed(seed)
    model = BertForSequenceClassification(config) if labels else BertModel(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def bi_encoder(folder: Path, words: list[str], hidden: int = 32, seed: int = 0, pooling: str = "mean") -> Path:
    """A folder that SentenceTransformer loads: a one-layer BERT with mean or cls pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    _bert(folder / "bert", words, None, hidden, seed)
    transformer = Transformer(str(folder / "bert"), max_seq_length=64)
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"


def cross_encoder(folder: Path, words: list[str], hidden: int = 32, seed: int = 0) -> Path:
    """A folder that CrossEncoder loads, with a head of one label (random, but saved: it passes for trained)."""
    return _bert(folder, words, 1, hidden, seed)


def generator(folder: Path, words: list[str], hidden: int = 32, seed: int = 0) -> Path:
    """A folder with a one-layer Llama, its tokenizer and a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<|im_start|>", "<|im_end|>"]
    tokenizer = words_tokenizer(words, special, "<unk>")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<|im_start|>",
        eos_token="<|im_end|>", model_max_length=512,
    )  # fmt: skip
    fast.chat_template = CHAT_TEMPLATE
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=hidden, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=2 * hidden, max_position_embeddings=512, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def colbert(folder: Path, words: list[str], hidden: int = 32, dim: int = 8, seed: int = 0) -> Path:
    """A folder as PyLate saves a ColBERT: a projection, markers before texts, and queries expanded to 12 tokens."""
    import json

    import torch
    from safetensors.torch import save_file

    _bert(folder, [*words, "[unused0]", "[unused1]"], None, hidden, seed)
    (folder / "1_Dense").mkdir()
    weight = torch.randn(dim, hidden, generator=torch.Generator().manual_seed(seed))
    save_file({"linear.weight": weight}, folder / "1_Dense" / "model.safetensors")
    types = ["sentence_transformers.models.Transformer", "pylate.models.Dense.Dense"]
    files = {
        "1_Dense/config.json": {
            "in_features": hidden, "out_features": dim, "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": kind}
            for number, (path, kind) in enumerate(zip(("", "1_Dense"), types, strict=True))
        ],
        "config_sentence_transformers.json": {
            "model_type": "ColBERT", "query_prefix": "[unused0] ", "document_prefix": "[unused1] ",
            "query_length": 12, "document_length": 24, "do_query_expansion": True,
            "attend_to_expansion_tokens": False, "skiplist_words": [".", ","],
        },
        "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": False},
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
