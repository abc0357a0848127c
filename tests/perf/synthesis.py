"""Synthetic queries by `generation.write`, against transformers' `generate`, one by one and batched; and in int8.

All are greedy, write at most as many tokens, and end at the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from measuring import Bar, Lab, Row, alternate

NEW_TOKENS, BATCH, PASSAGE_WORDS = 24, 16, 60


def harness_texts(model: Any, tokenizer: Any, head: str, tails: Sequence[str], size: int = BATCH) -> list[str]:
    from harness.models import generation

    prefix = generation.PromptPrefix(model, tokenizer, head)
    sampling = generation.Sampling(NEW_TOKENS, size, one_line=True)
    return [generated.text for generated in generation.write(prefix, list(tails), sampling)]


def generated(
    model: Any, tokenizer: Any, prompts: Sequence[str], ends: Sequence[int], most: int = NEW_TOKENS
) -> list[str]:
    """What `generate` writes for prompts that are read together, padded on the left."""
    import torch

    inputs = tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        tokens = model.generate(
            **inputs, max_new_tokens=most, do_sample=False, eos_token_id=list(ends),
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
    new = tokens[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]


def measure(lab: Lab) -> Iterator[Row]:
    from harness.models import language_models, loaders
    from harness.models.decoding import end_tokens
    from harness.stages.shared.prompts import synthesis_head, synthesis_tail
    from harness.suite.local_models import LocalModel

    served, tokenizer = language_models.load_generator(lab.generator)
    plain, _ = language_models.load_language_model(lab.generator)
    tokenizer.padding_side = "left"
    ends = sorted(end_tokens(plain, tokenizer, one_line=True))
    small = None
    if loaders.torch_device() == "cpu":
        small, _ = language_models.load_generator(lab.generator, local=LocalModel(dtype="int8"))
    count = lab.sized(16, 4)
    head = synthesis_head("question") if not lab.smoke else "what is the value of the array . "
    passages = lab.texts.pairs(count, shortest=lab.sized(40, 5), longest=lab.sized(80, 10))
    tails = [synthesis_tail("question", text) for _, text in passages]
    prompts = [head + tail for tail in tails]
    written: dict[str, list[str]] = {}

    def ours() -> None:
        written["ours"] = harness_texts(served, tokenizer, head, tails)

    def single() -> None:
        written["single"] = [generated(plain, tokenizer, [prompt], ends)[0] for prompt in prompts]

    def batched() -> None:
        written["batched"] = [
            text
            for start in range(0, count, BATCH)
            for text in generated(plain, tokenizer, prompts[start : start + BATCH], ends)
        ]

    def rounded() -> None:
        written["int8"] = harness_texts(small, tokenizer, head, tails)

    sides = {"ours": ours, "single": single, "batched": batched, **({"int8": rounded} if small is not None else {})}
    times = alternate(sides, lab.repeats, warm_up=lab.smoke)
    what = (
        f"{count} queries of up to {NEW_TOKENS} tokens, a prompt prefix of {len(tokenizer(head)['input_ids'])} tokens"
    )
    for name, against, least in (
        ("single", "transformers generate, one by one", 4.0),
        ("batched", f"transformers generate, batches of {BATCH}", 1.5),
    ):
        yield Row(
            what, times["ours"], times[name], against, work=count, work_unit="queries", bar=Bar("at least", least),
            note=equal(written["ours"], written[name]),
        )  # fmt: skip
    if small is not None:
        yield Row(
            f"{what}, int8", times["int8"], times["ours"], "generation.write in float32", work=count,
            work_unit="queries", bar=Bar("at least", 1.6), note=equal(written["int8"], written["ours"]),
        )  # fmt: skip


def equal(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """How many texts are the same; rounding of sums decides between tokens that are nearly as likely."""
    alike = sum(mine == other for mine, other in zip(ours, theirs, strict=True))
    return f"{alike} of {len(ours)} texts equal"
