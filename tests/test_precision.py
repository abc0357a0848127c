"""Number types and attention by device: what `auto` stands for, what is refused, and that keys on a CPU stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folders
import numpy as np
import pocket
import pytest
import rankers
import smallsuite
import tiny

from harness import provenance
from harness.models import precision
from harness.models.causal_rerankers import load_causal_reranker
from harness.models.loaders import load_bi_encoder, load_cross_encoder
from harness.models.precision import attention, dtype_here, loading_options, prepared, refusal
from harness.planning import requirements
from harness.planning.plan import build_plan
from harness.stages.shared.common import bi_encoder, encode
from harness.stages.shared.relevance_models import score_pairs
from harness.suite.pipeline import DataEncoder, Encoder

WORDS = smallsuite.vocabulary()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "device_class", lambda: "NVIDIA H200")


def specs(changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The specs of the calls that encode, by the name of the stage and of the split."""
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    calls = [planned.call for planned in plan.calls.values()]
    return {f"{call.stage} {number}": call.spec for number, call in enumerate(calls) if call.stage in STAGES}


STAGES = ("index", "retrieve", "rerank")


def keys(changes: dict[str, Any]) -> set[str]:
    return {*build_plan(pocket.suite(changes), pocket.dataset()).calls}


def test_auto_is_float32_on_a_cpu() -> None:
    assert dtype_here("auto") == "float32"
    assert [dtype_here(dtype) for dtype in ("float32", "int8")] == ["float32", "int8"]
    assert precision.summary() == "float32, PyTorch's attention (SDPA)"


def test_auto_is_bfloat16_on_a_gpu(gpu: None) -> None:
    assert dtype_here("auto") == "bfloat16"
    assert [dtype_here(dtype) for dtype in ("float32", "float16")] == ["float32", "float16"]
    assert precision.summary().startswith("bfloat16, ")


def test_a_gpu_without_bfloat16_computes_in_float32(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, dtype in (((7, 5), "float32"), ((8, 0), "bfloat16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda capability=capability: capability)
        assert dtype_here("auto") == dtype


def test_what_is_written_with_the_default_of_a_cpu_changes_no_key() -> None:
    reranker = {"kind": "late-interaction"}
    whole = keys({"pipeline.reranker": reranker})
    for dtype in ("auto", "float32"):
        written = {"pipeline.retriever": {"dtype": dtype}, "pipeline.reranker": {**reranker, "dtype": dtype}}
        assert keys(written) == whole
    assert keys({"pipeline.reranker": {**reranker, "dtype": "int8"}}) != whole
    assert keys({"max_tokens_per_batch": 100, "pipeline.reranker": reranker}) == whole


def test_the_number_type_is_part_of_keys_on_a_gpu(gpu: None) -> None:
    assert keys({"pipeline.retriever": {"dtype": "bfloat16"}}) == keys({})
    assert keys({"pipeline.retriever": {"dtype": "float32"}}) != keys({})
    dtypes = {spec["retriever"]["dtype"] for spec in specs({}).values() if spec.get("retriever")}
    assert dtypes == {"bfloat16"}


TRAINED = {
    "candidates": {"mixed": {"tune": ["retriever", "reranker"], "retriever": {"recipe": "distill"}}},
    "data.pairs": "synthetic",
    "data.synthesize.round_trip": {"by": "late-interaction"},
    "pipeline.reranker": {"kind": "late-interaction"},
}
"""A suite in which all stages that make training data encode."""
MAKE_DATA = ("index", "sift", "mine", "label")


def test_training_data_is_made_in_the_number_type_of_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    def dtypes() -> dict[str, set[Any]]:
        made: dict[str, set[Any]] = {}
        for planned in build_plan(pocket.suite(TRAINED), pocket.dataset()).calls.values():
            encoder = planned.call.spec.get("retriever")
            if planned.call.stage in MAKE_DATA and encoder:
                made.setdefault(planned.call.stage, set()).add(encoder["dtype"])
        return made

    assert dtypes() == {stage: {"float32"} for stage in MAKE_DATA}
    monkeypatch.setattr(provenance, "device_class", lambda: "NVIDIA H200")
    assert dtypes() == {stage: {"bfloat16"} for stage in MAKE_DATA}
    # In keys, float32 is left out: those of a CPU are as they were before there were number types.
    assert DataEncoder(dtype="float32").key_settings() == Encoder().key_settings() == {}
    assert DataEncoder(dtype="bfloat16").key_settings() == {"dtype": "bfloat16"}


def test_the_encoder_of_training_data_computes_in_its_number_type(tmp_path: Path) -> None:
    folder = str(folders.normalized(tmp_path / "model"))
    encoders = DataEncoder(model=folder, dtype="bfloat16"), DataEncoder(model=folder), Encoder(model=folder)
    types = [{str(weight.dtype) for weight in bi_encoder(one, {}).parameters()} for one in encoders]
    assert types == [{"torch.bfloat16"}, {"torch.float32"}, {"torch.float32"}]


@pytest.mark.parametrize(("dtype", "cuda", "what"), [
    ("auto", False, ""), ("auto", True, ""), ("float32", True, ""), ("bfloat16", True, ""), ("int8", False, ""),
    ("float16", False, "float16 is slower than float32 on a CPU, and no CUDA device is used"),
    ("bfloat16", False, "bfloat16 is slower than float32 on a CPU, and no CUDA device is used"),
    ("int8", True, "int8 layers run on a CPU only, and a CUDA device is used"),
])  # fmt: skip
def test_what_a_device_cannot_do_is_refused(dtype: Any, cuda: bool, what: str) -> None:
    assert (refusal(dtype, cuda) or ("",))[0] == what


def test_half_precision_is_refused_at_the_door_on_a_cpu(tmp_path: Path) -> None:
    cross = str(tiny.cross_encoder(tmp_path, WORDS))
    suite = pocket.suite({
        "pipeline.retriever": {"dtype": "float16"},
        "pipeline.reranker": {"kind": "cross-encoder", "model": cross, "dtype": "bfloat16"},
    })  # fmt: skip
    with pytest.raises(Exception) as caught:  # noqa: PT011
        requirements.check(suite)
    assert "pipeline.retriever.dtype: float16 is slower than float32 on a CPU" in str(caught.value)
    assert "pipeline.reranker.dtype: bfloat16 is slower than float32 on a CPU" in str(caught.value)


def test_flash_attention_is_used_where_it_can_be(gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers.utils

    bert, t5 = folders.normalized(tmp_path / "bert"), folders.modules(tmp_path / "st5", folders.t5(tmp_path / "t5"))
    monkeypatch.setattr(transformers.utils, "is_flash_attn_2_available", lambda: False)
    assert attention("bfloat16") == "sdpa"
    assert "attn_implementation" not in loading_options(bert, "bfloat16")
    monkeypatch.setattr(transformers.utils, "is_flash_attn_2_available", lambda: True)
    assert [attention(dtype) for dtype in ("bfloat16", "float16")] == ["flash_attention_2"] * 2
    assert [attention("float32"), attention("bfloat16", supported=False)] == ["sdpa", "sdpa"]
    assert loading_options(bert, "bfloat16")["attn_implementation"] == "flash_attention_2"
    assert "attn_implementation" not in loading_options(bert, "float32")
    assert "attn_implementation" not in loading_options(t5, "bfloat16")
    assert "attn_implementation" not in loading_options(folders.static(tmp_path / "static"), "bfloat16")
    monkeypatch.setattr(provenance, "device_class", lambda: "cpu")
    assert attention("bfloat16") == "sdpa"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_models_load_in_the_type_that_is_asked_for(dtype: str, tmp_path: Path) -> None:
    encoder = load_bi_encoder(folders.dense(tmp_path / "dense"), 64, dtype=dtype)
    cross = load_cross_encoder(tiny.cross_encoder(tmp_path / "cross", WORDS), 64, dtype=dtype)
    for model in (encoder, cross):
        assert {str(weight.dtype) for weight in model.parameters()} == {f"torch.{dtype}"}
    vectors = encode(prepared(encoder, dtype), WORDS, "query")
    assert vectors.dtype == np.float32
    exact = encode(load_bi_encoder(tmp_path / "dense", 64), WORDS, "query")
    assert ((vectors * exact).sum(axis=1) > 0.999).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_scores_in_half_precision_are_of_float32(dtype: str, tmp_path: Path) -> None:
    """The last layer in half precision would give hundreds of passages the same few scores."""
    import torch

    folder = tiny.cross_encoder(tmp_path / "cross", WORDS)
    cross = prepared(load_cross_encoder(folder, 64, dtype=dtype), dtype)
    pairs = [("lime", f"{word} {other}") for word in WORDS[:12] for other in WORDS[:12]]
    scores = score_pairs(cross, pairs)
    rounded = torch.tensor(scores).to(getattr(torch, dtype)).float().tolist()
    assert len(set(scores)) > 2 * len(set(rounded))
    assert scores == pytest.approx(score_pairs(load_cross_encoder(folder, 64), pairs), abs=0.02)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_a_causal_reranker_in_less_precision_scores_nearly_alike(dtype: str, tmp_path: Path) -> None:
    folder = rankers.causal(tmp_path, rankers.BY_ROLES)
    pairs = [("burn lime", "lime kiln"), ("mail", "ferry"), ("burn lime", "ferry mail ferry")]
    exact, near = (load_causal_reranker(folder, 64, dtype=kind).score(pairs) for kind in ("float32", dtype))
    assert near == pytest.approx(exact, abs=0.15)
    assert near != exact


@pytest.mark.gpu
def test_bfloat16_ranks_nearly_as_float32() -> None:
    from harness.models.loaders import locate

    folder = locate("embedded:all-minilm-l6-v2")
    texts = [f"{document.content} {number}" for number, document in enumerate(pocket.dataset().documents.values())]
    found = {}
    for dtype in ("float32", "bfloat16"):
        vectors = encode(load_bi_encoder(folder, 256, dtype=dtype), texts, "document")
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
        found[dtype] = vectors, np.argsort(-(vectors @ vectors.T), axis=1)[:, 1:11]
    assert ((found["float32"][0] * found["bfloat16"][0]).sum(axis=1) > 0.999).all()
    shared = [
        len({*one} & {*other}) / len(one) for one, other in zip(*(rows for _, rows in found.values()), strict=True)
    ]
    assert np.mean(shared) > 0.9
