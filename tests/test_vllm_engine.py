"""A generator that vLLM runs: what it is asked with, where its texts end, and what is said if it is missing.

vLLM is played by a module of the same surface that continues prompts by the model itself, so texts can be compared.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tiny

from harness.errors import ConfigError
from harness.models import vllm_engine
from harness.models.generation import PromptPrefix, Sampling, write
from harness.models.language_models import load_generator
from harness.models.stop_rules import StopRules
from harness.models.vllm_engine import MOST_ON_CPU, _reserved_rank
from harness.suite.local_models import LocalModel
from harness.suite.pipeline import Generator
from harness.suite.roles import Llm

BY_VLLM = LocalModel(engine="vllm", dtype="float32")
SUFFIXES = ["stone", "wall stone wall", "wall"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.generator(tmp_path / "generator", ["stone", "wall"])


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands for vLLM; holds what it was asked with."""
    asked: dict[str, Any] = {}

    class LLM:
        def __init__(self, **settings: Any) -> None:
            asked["settings"] = settings
            self.model, _ = load_generator(Path(settings["model"]))

        def generate(self, prompts: Any, params: Any, *, use_tqdm: bool, lora_request: Any) -> list[Any]:
            asked.update(params=params, lora=lora_request)
            return [
                self._continued(prompt["prompt_token_ids"], one) for prompt, one in zip(prompts, params, strict=True)
            ]

        def _continued(self, prompt: list[int], params: Any) -> Any:
            import torch

            tokens = list(prompt)
            with torch.inference_mode():
                while len(tokens) < len(prompt) + params.max_tokens and not (
                    len(tokens) > len(prompt) and tokens[-1] in params.stop_token_ids
                ):
                    tokens.append(int(self.model(torch.tensor([tokens])).logits[0, -1].argmax()))
            return SimpleNamespace(outputs=[SimpleNamespace(token_ids=tuple(tokens[len(prompt) :]))])

    monkeypatch.delenv("VLLM_ENABLE_V1_MULTIPROCESSING", raising=False)
    vllm, lora, request = ModuleType("vllm"), ModuleType("vllm.lora"), ModuleType("vllm.lora.request")
    vllm.LLM, vllm.SamplingParams = LLM, lambda **settings: SimpleNamespace(**settings)  # type: ignore[attr-defined]
    request.LoRARequest = lambda *names: names  # type: ignore[attr-defined]
    for module in (vllm, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


def test_texts_are_those_of_transformers(folder: Path, engine: dict[str, Any]) -> None:
    plain, tokenizer = load_generator(folder)
    served, _ = load_generator(folder, local=BY_VLLM)
    (first, *_) = write(PromptPrefix(plain, tokenizer, "wall"), SUFFIXES, Sampling(9))
    word = first.text.split()[2]
    for rules in (None, StopRules(stop=(word,)), StopRules(frozenset(tokenizer.encode(word)))):
        expected = write(PromptPrefix(plain, tokenizer, "wall"), SUFFIXES, Sampling(9), rules=rules)
        assert write(PromptPrefix(served, tokenizer, "wall"), SUFFIXES, Sampling(9), rules=rules) == expected
        assert expected[0].cut == (rules is None)
    assert write(PromptPrefix(served, tokenizer, "wall"), [], Sampling(9)) == []


def test_the_engine_is_greedy_and_shares_prefixes(folder: Path, engine: dict[str, Any]) -> None:
    served, tokenizer = load_generator(folder, local=BY_VLLM)
    write(PromptPrefix(served, tokenizer, "wall"), SUFFIXES, Sampling(4))
    settings, params = engine["settings"], engine["params"][0]
    assert (settings["dtype"], settings["enable_prefix_caching"], settings["trust_remote_code"]) == (
        "float32", True, False,
    )  # fmt: skip
    assert "enable_lora" not in settings
    assert engine["lora"] is None
    assert (params.temperature, params.max_tokens, params.seed) == (0, 4, None)
    assert settings["enforce_eager"], "on a CPU nothing is compiled"
    assert 0 < settings["gpu_memory_utilization"] <= MOST_ON_CPU
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0", "a stage's process may have no children"


def test_an_adapter_is_loaded_beside_the_model(folder: Path, engine: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 12}), encoding="utf-8")
    served, tokenizer = load_generator(folder, tmp_path, BY_VLLM)
    write(PromptPrefix(served, tokenizer, ""), SUFFIXES, Sampling(2, temperature=0.5, seed=7))
    assert (engine["settings"]["enable_lora"], engine["settings"]["max_lora_rank"]) == (True, 16)
    assert engine["lora"] == ("adapter", 1, str(tmp_path))
    seeds = [one.seed for one in engine["params"]]
    assert {one.temperature for one in engine["params"]} == {0.5}
    assert len(set(seeds)) == len(SUFFIXES), "equal prompts get other texts"
    write(PromptPrefix(served, tokenizer, ""), SUFFIXES, Sampling(2, temperature=0.5, seed=7))
    assert [one.seed for one in engine["params"]] == seeds
    write(PromptPrefix(served, tokenizer, ""), SUFFIXES, Sampling(2, temperature=0.5, seed=8))
    assert seeds[0] not in [one.seed for one in engine["params"]]


@pytest.mark.parametrize(("free", "share"), [(80, 0.9), (40, 0.45)])
def test_no_more_memory_is_asked_for_than_is_free(free: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(vllm_engine, "device_class", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 80))
    assert vllm_engine._memory_share() == share


def test_a_rank_that_vllm_does_not_offer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 513}), encoding="utf-8")
    with pytest.raises(ValueError, match="up to rank 512, and this one has 513"):
        _reserved_rank(tmp_path)


def test_without_vllm_the_error_says_how_to_install_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match=r"engine: vllm: vLLM cannot be imported .*; pip install .*\[vllm\]"):
        load_generator(folder, local=BY_VLLM)
    with pytest.raises(ValueError, match="engine: vllm does not compute in dtype: int8"):
        load_generator(folder, local=LocalModel(engine="vllm", dtype="int8"))


def test_a_model_at_an_endpoint_has_no_engine() -> None:
    assert Llm().set_locally == []
    assert Llm(dtype="int8").identity["dtype"] == "int8"
    assert Generator(engine="vllm").local == LocalModel(engine="vllm")
    with pytest.raises(ValueError, match="is at an endpoint, so it has no 'engine'"):
        Llm(model="gpt", base_url="http://localhost:1/v1", engine="vllm")


@pytest.mark.gpu
def test_vllm_writes_what_transformers_does(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    from harness.models.loaders import convert_gguf, locate

    convert_gguf(locate("embedded:smollm2-135m-instruct"), tmp_path)
    texts = ["The capital of France is", "One, two, three,", "A dog is an"]
    written = []
    for local in (BY_VLLM, LocalModel(dtype="float32")):
        model, tokenizer = load_generator(tmp_path, local=local)
        written.append([one.text for one in write(PromptPrefix(model, tokenizer, "Go on: "), texts, Sampling(8))])
    assert written[0] == written[1]
