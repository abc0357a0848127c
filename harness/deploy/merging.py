"""Merge the adapter of a tuned generator into its base, and check that what is saved still predicts the same."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.deploy.portable import write_portable
from harness.errors import ConfigError, Problem
from harness.models.language_models import load_language_model
from harness.text.decimals import percent
from harness.values.exported import MergedGenerator

LEAST_AGREEMENT = 0.95
"""Where weights are rounded to 16 bits, a few tokens that were nearly as likely as others change places."""
MOST_TEXTS, MOST_TOKENS = 16, 128
BESIDE = (".json", ".jinja", ".model", ".txt")
"""What lies beside the weights of a base and goes with them: its tokenizer and chat template."""


def write_merged(base: Path, adapter: Path, out: Path, texts: Sequence[str]) -> MergedGenerator:
    """Write base and adapter as one model, in the type of the base, and return how often both predict the same token.

    The adapter is merged in float32: in 16 bits, small changes would be rounded away one by one. Raises ConfigError if
    the saved model predicts other tokens too often.
    """
    import torch
    from transformers import AutoConfig

    merged, tokenizer = load_language_model(base, adapter, "float32")
    said = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False).dtype
    kind = said if isinstance(said, torch.dtype) else torch.float32
    expected = [_predicted(merged, tokenizer, text) for text in texts[:MOST_TEXTS]]
    merged.to(kind)
    merged.config.dtype = kind
    merged.save_pretrained(out, safe_serialization=True)
    _copy_beside(base, out)
    write_portable(out)
    del merged
    saved, tokenizer = load_language_model(out, None, _name(kind))
    found = [_predicted(saved, tokenizer, text) for text in texts[:MOST_TEXTS]]
    same = torch.cat([left == right for left, right in zip(expected, found, strict=True)])
    agreement = float(same.double().mean())
    if agreement < LEAST_AGREEMENT:
        what = f"predicts another token than the tuned one at {percent(1 - agreement, 1)} of {len(same)} positions"
        raise ConfigError(Problem("--format merged", what, "leave it out, and serve the adapter beside its base"))
    return MergedGenerator(folder=out.name, dtype=_name(kind), positions=len(same), agreement=agreement)


def _name(kind: Any) -> Any:
    return str(kind).removeprefix("torch.")


def _predicted(model: Any, tokenizer: Any, text: str) -> Any:
    """The most likely next token after each token of a text."""
    import torch

    asked = tokenizer(text, truncation=True, max_length=MOST_TOKENS, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        logits = model(input_ids=asked["input_ids"], attention_mask=asked["attention_mask"]).logits
    return logits[0].argmax(dim=-1).cpu()


def _copy_beside(base: Path, out: Path) -> None:
    for path in sorted(base.iterdir()):
        wanted = path.is_file() and path.suffix in BESIDE and not path.name.endswith(".index.json")
        if wanted and not (out / path.name).exists():
            shutil.copyfile(path, out / path.name)
