"""Tiny causal language models as rerankers: a short template of their own, and planted relevance to learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tiny

from harness.values.records import Document

WORDS = [
    "yes", "no", "lime", "ferry", "slate", "mail", "kiln", "about", "by", "night", "judge", "whether", "the", "query",
    "document", "answer", "a", "instruct", "given",
]  # fmt: skip
TOPICS = ["lime", "ferry", "slate", "mail"]
DOCUMENTS = {word: Document(word, "", f"{word} by night") for word in TOPICS}
QUERIES = {f"q{number}": f"about {word}" for number, word in enumerate(TOPICS)}
BY_ROLES = (
    "{% set ns = namespace(s='a query', q='', d='') %}{% for m in messages %}{% if m.role == 'system' %}"
    "{% set ns.s = m.content %}{% elif m.role == 'query' %}{% set ns.q = m.content %}{% elif m.role == 'document' %}"
    "{% set ns.d = m.content %}{% endif %}{% endfor %}"
    "<|im_start|>{{ ns.s }} : {{ ns.q }} : {{ ns.d }} ?<|im_end|>{% if add_generation_prompt %}answer{% endif %}"
)
"""A template with roles of its own for query and document, as rerankers come with; its prompts are short."""


def causal(
    folder: Path, template: str | None = BY_ROLES, seed: int = 0, hidden: int = 32, words: Sequence[str] = (),
    **config: Any,
) -> Path:  # fmt: skip
    """A folder with a one-layer Llama whose embeddings are large enough that a word changes what it says.

    It knows `words` beside its own.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny.generator(folder, [*WORDS, *words], hidden, seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    if template is None:
        (folder / "chat_template.jinja").unlink(missing_ok=True)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for name, weights in model.named_parameters():
            if "norm" not in name:
                weights.normal_(0.0, 0.1)
    for name, value in config.items():
        setattr(model.config, name, value)
    model.save_pretrained(folder)
    return folder
