"""Answers of a generator on a GPU, by the harness and by vLLM if it is installed: prompts of one length, greedy."""

from __future__ import annotations

import importlib.util
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gpu_models import LLAMAS, SMOKE_LLAMAS, forget_memory, peak_memory, save_llama, tokenizer
from measuring import seconds_of


class AnswerLoad(NamedTuple):
    """How many prompts of how many tokens, how many tokens are written at most, and how many prompts at once."""

    prompts: int
    tokens: int
    new_tokens: int
    batch_size: int


def harness_answers(model: Any, reader: Any, prompts: Sequence[list[int]], load: AnswerLoad) -> int:
    """Write the answers as the stage `answer` does; return how many tokens were written."""
    from harness.models import generation

    prefix = generation.PromptPrefix(model, reader, "")
    sampling = generation.Sampling(load.new_tokens, load.batch_size)
    return sum(text.new_tokens for text in generation.write(prefix, list(prompts), sampling))


def harness_model(folder: Path, device: str) -> Any:
    """The generator as answering loads it, in bf16 on CUDA."""
    import torch

    from harness.models import language_models

    model, _ = language_models.load_generator(folder)
    return model.to(torch.bfloat16) if device == "cuda" else model


def harness_speed(folder: Path, prompts: Sequence[list[int]], load: AnswerLoad, device: str) -> tuple[float, int]:
    """Seconds and new tokens of the harness, without loading."""
    model, reader = harness_model(folder, device), tokenizer()
    harness_answers(model, reader, prompts[:2], load)
    written: list[int] = []
    seconds = seconds_of(lambda: written.append(harness_answers(model, reader, prompts, load)))
    return seconds, written[0]


def vllm_answers(folder: Path, prompts: Sequence[list[int]], load: AnswerLoad) -> tuple[float, int]:
    """Seconds and new tokens of vLLM's own batching, without loading."""
    from vllm import LLM, SamplingParams

    engine = LLM(model=str(folder), dtype="bfloat16", skip_tokenizer_init=True, max_model_len=8192)
    sampling = SamplingParams(temperature=0.0, max_tokens=load.new_tokens, detokenize=False)
    asked = [{"prompt_token_ids": prompt} for prompt in prompts]
    engine.generate(asked[:2], sampling)
    made: list[Any] = []
    seconds = seconds_of(lambda: made.extend(engine.generate(asked, sampling)))
    return seconds, sum(len(output.outputs[0].token_ids) for output in made)


def answers(smoke: bool, device: str) -> Iterator[tuple[str, ...]]:
    """Answers to prompts of one length that share no prefix."""
    load = AnswerLoad(6, 40, 8, 4) if smoke else AnswerLoad(1000, 1500, 64, 64)
    rng = random.Random(0)
    for size, shape in (SMOKE_LLAMAS if smoke else LLAMAS).items():
        prompts = [[rng.randrange(5, shape.vocabulary) for _ in range(load.tokens)] for _ in range(load.prompts)]
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            save_llama(shape, folder, device)
            tokenizer().save_pretrained(folder)
            forget_memory()
            yield _row(f"{size} harness", load, *harness_speed(folder, prompts, load, device))
            forget_memory()
            if device == "cuda" and importlib.util.find_spec("vllm") is not None:
                yield _row(f"{size} vLLM", load, *vllm_answers(folder, prompts, load))
            else:
                yield (f"{size} vLLM: needs CUDA and vllm", "", "", "", "", "")


def _row(what: str, load: AnswerLoad, seconds: float, written: int) -> tuple[str, ...]:
    return (
        what, f"{load.prompts} x {load.tokens}", f"{seconds:.3f}", f"{load.prompts / seconds:,.1f}",
        f"{written / seconds:,.0f}", peak_memory(),
    )  # fmt: skip
