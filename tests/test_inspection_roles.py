"""Cross-encoders and generators: what is accepted works, what is refused is refused in one sentence, tuned or not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import folders
import pocket
import pytest
import smallsuite
import tiny

from harness.errors import HarnessError
from harness.models.inspection import inspect
from harness.models.language_models import load_generator
from harness.models.loaders import load_cross_encoder
from harness.planning import requirements

HEAD = {"task": "ForSequenceClassification", "num_labels": 1}
PAIRS = [("what is the lime?", "the lime is old"), ("what is the lime?", "the mill is red " * 60)]


def judge(folder: Path, **more: Any) -> Path:
    return folders.plain(folder, **{**HEAD, **more})


def roberta_judge(folder: Path) -> Path:
    sizes = {"max_position_embeddings": 66, "pad_token_id": 1}
    return judge(folder, kind="XLMRoberta", length=10**30, **sizes)


JUDGES: dict[str, Callable[[Path], Path]] = {
    "one score": judge,
    "bfloat16": lambda folder: folders.stored_as(judge(folder), "bfloat16"),
    "XLM-R, 66 positions": roberta_judge,
    "DistilBERT": lambda folder: judge(folder, kind="DistilBert", dim=32, n_layers=1, n_heads=2, hidden_dim=64),
    "DeBERTa": lambda folder: judge(folder, kind="DebertaV2"),
}


@pytest.mark.parametrize("name", JUDGES)
def test_a_cross_encoder_scores_as_its_own_class_does(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = JUDGES[name](tmp_path / "judge")
    seen = inspect(folder, "cross-encoder", deep=True)
    assert (seen.problems, seen.trained_head, seen.scores, seen.length) == ((), True, 1, 64)
    model = load_cross_encoder(folder, 1024)
    found = model.predict(PAIRS, show_progress_bar=False)
    plain = AutoModelForSequenceClassification.from_pretrained(folder, dtype="float32").eval()
    words = folders.tokenizer()
    with torch.no_grad():
        given = [words(*pair, truncation=True, max_length=64, return_tensors="pt") for pair in PAIRS]
        own = [float(plain(**one).logits[0, 0]) for one in given]
    assert list(found) == pytest.approx(own, abs=1e-4)
    requirements.check(suite(tmp_path, reranker=folder))


def suite(root: Path, reranker: Path | None = None, start: Path | None = None, generator: Path | None = None) -> Any:
    """A suite with a good retriever and this reranker, start of a reranker's training, or generator."""
    encoder = root / "encoder" / "model"
    if not encoder.is_dir():
        smallsuite.bi_encoder(root / "encoder")
    more: dict[str, Any] = {}
    if reranker is not None:
        more["pipeline.reranker"] = {"model": str(reranker)}
    if start is not None:
        more |= {"candidates": {"sorted": {"tune": ["reranker"]}}, "recipes": {"reranker": {"model": str(start)}}}
    if generator is not None:
        more |= {"pipeline.generator": {"model": str(generator)}, "measures": ["ndcg@10", "exact_match"]}
    return pocket.suite(smallsuite.changes(encoder, more))


def refused(given: Any) -> str:
    with pytest.raises(HarnessError) as caught:
        requirements.check(given)
    (problem,) = caught.value.problems
    return str(problem)


TWO = "its head gives 2 scores a text; it is a classifier, and a reranker gives one; use a cross-encoder"
NO_JUDGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "two classes": (lambda folder: judge(folder, num_labels=2), TWO),
    "static": (folders.static, "is made of static embeddings and is not a cross-encoder"),
    "own code": (lambda folder: folders.own_code(judge(folder), "bert"), "needs code that ships with it"),
    "lost weights": (
        lambda folder: folders.renamed(judge(folder), lambda name: None if ".encoder." in name else name),
        "that a BertForSequenceClassification needs are missing",
    ),
    "a language model": (
        lambda folder: tiny.generator(folder, ["lime"]),
        "is a causal language model (LlamaForCausalLM), not a cross-encoder",
    ),
    "the encoder of T5": (folders.t5, "that a T5ForSequenceClassification needs are missing (transformer.decoder."),
    "pickled": (lambda folder: folders.pickled(judge(folder)), "its weights are pickled (pytorch_model.bin)"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_JUDGES)
def test_what_is_no_cross_encoder_is_refused_tuned_or_not(name: str, tmp_path: Path) -> None:
    make, said = NO_JUDGES[name]
    folder = make(tmp_path / "judge")
    as_is, to_tune = refused(suite(tmp_path, reranker=folder)), refused(suite(tmp_path, start=folder))
    assert said in as_is
    (place, why), (other_place, other_why) = (one.split(".reranker.model: ", 1) for one in (as_is, to_tune))
    assert why == other_why
    assert place.endswith(": pipeline")
    assert other_place.endswith(": recipes")


def test_a_trained_head_on_a_lost_pooler_is_refused(tmp_path: Path) -> None:
    folder = folders.renamed(judge(tmp_path / "judge"), lambda name: None if "pooler" in name else name)
    assert "2 weights that a BertForSequenceClassification needs are missing" in refused(suite(tmp_path, folder))


def test_a_plain_encoder_may_be_tuned_and_not_used(tmp_path: Path) -> None:
    folder = folders.plain(tmp_path / "plain")
    requirements.check(suite(tmp_path, start=folder))
    assert "has no trained head, so it may be tuned but not used untuned" in refused(suite(tmp_path, reranker=folder))


# generators


def llama(folder: Path, **more: Any) -> Path:
    tiny.generator(folder, smallsuite.vocabulary())
    return folders.edited(folder, "config.json", lambda config: {**config, **more})


def tied(folder: Path) -> Path:
    """A language model whose head is the table of its tokens: the file holds no lm_head."""
    rename: Callable[[str], str | None] = lambda name: None if name == "lm_head.weight" else name  # noqa: E731
    return folders.renamed(llama(folder, tie_word_embeddings=True), rename)


@pytest.mark.parametrize(
    "make", [llama, tied, lambda folder: folders.stored_as(llama(folder), "bfloat16")], ids=["plain", "tied", "bf16"]
)
def test_a_generator_is_accepted_and_loaded(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    assert inspect(folder, "generator", deep=True).problems == ()
    requirements.check(suite(tmp_path, generator=folder))
    model, _ = load_generator(folder)
    assert {str(weight.dtype) for weight in model.parameters()} == {"torch.float32"}


NO_GENERATORS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "an encoder": (folders.plain, "'bert' is an encoder, which cannot generate text"),
    "a bi-encoder": (folders.bert, "is a sentence-transformers model, which cannot generate text"),
    "own code": (lambda folder: folders.own_code(llama(folder), "llama"), "needs code that ships with it"),
    "no head": (
        lambda folder: folders.renamed(llama(folder), lambda name: None if name == "lm_head.weight" else name),
        "1 weight that a LlamaForCausalLM needs is missing (lm_head.weight",
    ),
    "lost weights": (
        lambda folder: folders.renamed(llama(folder), lambda name: f"policy.{name}"), "needs are missing",
    ),
    "pickled": (lambda folder: folders.pickled(llama(folder)), "its weights are pickled (pytorch_model.bin)"),
    "T5": (folders.t5, "'t5' is not a causal language model"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_GENERATORS)
def test_what_writes_no_text_is_refused_as_generator(name: str, tmp_path: Path) -> None:
    make, said = NO_GENERATORS[name]
    found = refused(suite(tmp_path, generator=make(tmp_path / "model")))
    assert re.match(r"suite\.yaml:\d+: pipeline\.generator\.model", found)
    assert said in found
