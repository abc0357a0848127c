"""How a language model in this process is computed: followed where it runs, and refused where it cannot be."""

from __future__ import annotations

from typing import Any

import pocket
import pytest
from test_requirements import problems

from harness import provenance
from harness.errors import ConfigError
from harness.planning import requirements
from harness.planning.plan import build_plan

SMALL = "embedded:smollm2-135m-instruct"
SERVED: dict[str, Any] = {"model": "org/served", "base_url": "http://localhost:1/v1"}


def installed(monkeypatch: pytest.MonkeyPatch, vllm: bool) -> None:
    real = requirements._installed
    monkeypatch.setattr(requirements, "_installed", lambda package: vllm if package == "vllm" else real(package))


@pytest.mark.parametrize(
    "where", ["pipeline.generator", "llm.synthesizer", "llm.labeler", "candidates.other.pipeline.generator"]
)
@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("engine", "vllm", "needs the package vllm, which is not installed; pip install"),
        ("dtype", "float16", "float16 is slower than float32 on a CPU, and no CUDA device is used; leave it out"),
        ("dtype", "int8", ""),
        ("dtype", "bfloat16", ""),
    ],
)
def test_what_this_machine_cannot_compute_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, where: str, setting: str, value: str, said: str
) -> None:
    monkeypatch.setattr(provenance, "_cuda_device", lambda: "cpu")
    installed(monkeypatch, vllm=False)
    if where.startswith("candidates"):
        changes: dict[str, Any] = {"candidates": {"other": {"pipeline": {"generator": {setting: value}}}}}
    else:
        changes = {where: {"model": SMALL, setting: value}}
    if not said:
        requirements.check(pocket.suite(changes))
        return
    (problem,) = problems(changes)
    assert problem.startswith(f"{where}.{setting}: {said}")


def test_int8_is_refused_on_a_gpu_and_by_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_cuda_device", lambda: "H200")
    installed(monkeypatch, vllm=True)
    (problem,) = problems({"llm.synthesizer": {"model": SMALL, "dtype": "int8"}})
    assert problem.startswith("llm.synthesizer.dtype: int8 layers run on a CPU only")
    (problem,) = problems({"llm.synthesizer": {"model": SMALL, "dtype": "int8", "engine": "vllm"}})
    assert problem.startswith("llm.synthesizer.dtype: engine: vllm does not compute in int8")


@pytest.mark.parametrize(
    ("of_pipeline", "used"), [({}, "int8"), ({"dtype": "float32"}, "float32"), ({"dtype": "int8"}, "int8")]
)
def test_the_role_says_how_its_model_is_computed_unless_the_pipeline_does(
    of_pipeline: dict[str, Any], used: str
) -> None:
    suite = pocket.suite(
        {
            "llm.generator": {"model": SMALL, "dtype": "int8", "max_tokens_per_batch": 900},
            "pipeline.generator": {"model": "llm:generator", **of_pipeline},
        }
    )
    assert suite.generator is not None
    assert (suite.generator.model, suite.generator.dtype, suite.generator.max_tokens_per_batch) == (SMALL, used, 900)
    answers = [planned.call for planned in build_plan(suite, pocket.dataset()).calls.values()]
    found = {call.spec["generator"].get("dtype", "auto") for call in answers if call.stage == "answer"}
    assert found == {used}


@pytest.mark.parametrize("setting", [{"dtype": "int8"}, {"engine": "vllm"}, {"max_tokens_per_batch": 9}])
@pytest.mark.parametrize("candidate", [False, True])
def test_settings_of_a_model_here_are_refused_at_an_endpoint(setting: dict[str, Any], candidate: bool) -> None:
    (name,) = setting
    own = {} if candidate else setting
    changes: dict[str, Any] = {"llm.generator": SERVED, "pipeline.generator": {"model": "llm:generator", **own}}
    if candidate:
        changes["candidates"] = {"other": {"pipeline": {"generator": setting}}}
    where = f"{'candidates.other.' if candidate else ''}pipeline.generator.{name}"
    with pytest.raises(ConfigError, match=f"{where}: applies to a model that runs here, and the generator is at an"):
        pocket.suite(changes)
