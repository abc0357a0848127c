"""Reranking permutes the pool, leaves what is below, and refuses a cross-encoder whose head is random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage_inputs import silent

from harness.data.formats import read_run, write_run
from harness.errors import ConfigError
from harness.models.loaders import has_trained_head, load_cross_encoder, locate
from harness.models.search import Hits
from harness.stages.rerank import RerankSpec, check_pool, reordered, rerank, rerank_hits
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.shared.passage_scorers import CrossEncoderScorer
from harness.values.records import Document

WORDS = ["lime", "kiln", "ferry", "mail", "slate", "roof", "night", "ice", "burn", "lay"]
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

doc_ids = st.lists(st.text("ab1-é ", min_size=1, max_size=4), unique=True, max_size=12)
logit = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1.5, -1.5])


@st.composite
def lists(draw: st.DrawFn) -> tuple[Hits, list[float]]:
    """A list in falling order, and new scores for the first of it."""
    ids = draw(doc_ids)
    hits = [(doc_id, float(-place)) for place, doc_id in enumerate(ids)]
    depth = draw(st.integers(0, len(ids)))
    return hits, draw(st.lists(logit, min_size=depth, max_size=depth))


@quick
@given(case=lists())
def test_reranking_permutes_its_pool_and_keeps_what_is_below(case: tuple[Hits, list[float]]) -> None:
    hits, scores = case
    found = [doc_id for doc_id, _ in reordered(hits, scores)]
    before = [doc_id for doc_id, _ in hits]
    assert sorted(found[: len(scores)]) == sorted(before[: len(scores)])
    assert found[len(scores) :] == before[len(scores) :]


@quick
@given(case=lists())
def test_the_best_score_comes_first(case: tuple[Hits, list[float]]) -> None:
    hits, scores = case
    given_scores = {doc_id: score for (doc_id, _), score in zip(hits, scores, strict=False)}
    first = reordered(hits, scores)[: len(scores)]
    assert dict(first) == given_scores
    assert [score for _, score in first] == sorted(scores, reverse=True)


@quick
@given(case=lists())
def test_a_reranked_list_read_again_and_sorted_as_trec_does_is_the_same(
    case: tuple[Hits, list[float]], tmp_path: Path
) -> None:
    found = reordered(*case)
    write_run(tmp_path / RUN_FILE, {"q": found})
    again = read_run(tmp_path / RUN_FILE, escaped=True).get("q", [])
    assert again == found
    ordered = sorted(again, reverse=True)
    ordered.sort(key=lambda hit: -hit[1])
    assert ordered == found


def test_ties_are_broken_by_id_descending() -> None:
    hits = [("a", 4.0), ("c", 3.0), ("b", 2.0), ("d", 1.0)]
    assert reordered(hits, [0.5, 0.5, 0.5]) == [("c", 0.5), ("b", 0.5), ("a", 0.5), ("d", -0.5)]


@pytest.mark.parametrize(
    "after", [["b", "a"], ["b", "a", "d", "c"], ["a", "b", "c", "d", "e"], ["c", "b", "a", "d"], ["a", "a", "c", "d"]]
)
def test_a_pool_that_changed_is_refused(after: list[str]) -> None:
    before = [(doc_id, 0.0) for doc_id in "abcd"]
    check_pool(before, [(doc_id, 0.0) for doc_id in "bacd"], 2)
    with pytest.raises(ValueError, match="changed which documents"):
        check_pool(before, [(doc_id, 0.0) for doc_id in after], 2)


# the stage

DOCUMENTS = {
    "d1": Document("d1", "Lime", "burn lime in a kiln at night"),
    "d2": Document("d2", "", "the ferry lay in the ice"),
    "d 3": Document("d 3", "Roof", "slate"),
    "d4": Document("d4", "", "mail by night"),
}
QUERIES = {"q1": "burn lime", "q2": "mail", "q3": "nothing found"}
RUN = {"q1": [("d2", 0.9), ("d 3", 0.8), ("d1", 0.7), ("d4", 0.6)], "q2": [("d4", 0.5)]}


def inputs(root: Path) -> dict[str, Path]:
    for name in ("run", "queries", "corpus", "out"):
        (root / name).mkdir()
    write_run(root / "run" / RUN_FILE, RUN)
    common.write_queries(root / "queries", QUERIES)
    common.write_corpus(root / "corpus", DOCUMENTS)
    return {name: root / name for name in ("run", "queries", "corpus")}


def scorer(folder: Path) -> CrossEncoderScorer:
    return CrossEncoderScorer(load_cross_encoder(folder, 64), DOCUMENTS)


def test_the_stage_orders_the_first_of_every_list_by_the_cross_encoder(tmp_path: Path) -> None:
    folder = tiny.cross_encoder(tmp_path / "model", WORDS)
    seen: list[tuple[int, int]] = []
    spec = RerankSpec(depth=3, max_length=8, model=str(folder))
    usage = rerank(spec, inputs(tmp_path), tmp_path / "out", 0, lambda *at: seen.append(at))
    found = read_run(tmp_path / "out" / RUN_FILE, escaped=True)
    model = load_cross_encoder(folder, 8)
    logits = {key: float(model.predict([("burn lime", DOCUMENTS[key].content)])[0]) for key in ("d1", "d2", "d 3")}
    assert [doc_id for doc_id, _ in found["q1"]] == [*sorted(logits, key=lambda key: -logits[key]), "d4"]
    assert dict(found["q1"][:3]) == pytest.approx(logits, abs=1e-6)
    assert [doc_id for doc_id, _ in found["q2"]] == ["d4"]
    assert list(found) == ["q1", "q2"]
    assert usage.units == 4
    assert usage.notes == {"queries": 2, "pairs scored": 4, "pairs cut at 8 tokens": 2}
    assert seen[-1] == (4, 4)


def test_a_single_list_is_reranked_as_the_stage_does(tmp_path: Path) -> None:
    folder = tiny.cross_encoder(tmp_path / "model", WORDS)
    rerank(RerankSpec(depth=3, max_length=64, model=str(folder)), inputs(tmp_path), tmp_path / "out", 0, silent)
    found = read_run(tmp_path / "out" / RUN_FILE, escaped=True)
    single = rerank_hits(scorer(folder), QUERIES["q1"], RUN["q1"], 3)
    assert [doc_id for doc_id, _ in single] == [doc_id for doc_id, _ in found["q1"]]
    assert dict(single) == pytest.approx(dict(found["q1"]), abs=1e-6)


def test_a_tuned_model_among_the_inputs_is_the_one_used(tmp_path: Path) -> None:
    other = tiny.cross_encoder(tmp_path / "other", WORDS, seed=1)
    given_inputs = {**inputs(tmp_path), "model": other}
    rerank(RerankSpec(depth=3, max_length=64), given_inputs, tmp_path / "out", 0, silent)
    found = read_run(tmp_path / "out" / RUN_FILE, escaped=True)["q1"]
    single = rerank_hits(scorer(other), QUERIES["q1"], RUN["q1"], 3)
    assert dict(found) == pytest.approx(dict(single), abs=1e-6)


def test_no_model_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither a tuned one nor pipeline\.reranker"):
        rerank(RerankSpec(depth=3, max_length=64), inputs(tmp_path), tmp_path / "out", 0, silent)


# heads


def test_a_bi_encoder_has_no_head_and_is_refused_untuned(tmp_path: Path) -> None:
    folder = tiny.bi_encoder(tmp_path, WORDS)
    assert not has_trained_head(folder)
    with pytest.raises(ConfigError) as caught:
        load_cross_encoder(folder, 64)
    assert str(caught.value) == (
        f"{folder}: has no trained head: its scores would be random until it is tuned; "
        "name a trained one, or tune the reranker"
    )


def test_a_bi_encoder_may_be_tuned_and_its_weights_are_kept(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = tiny.bi_encoder(tmp_path, WORDS)
    torch.manual_seed(0)
    models = [load_cross_encoder(folder, 64, untrained_ok=True) for _ in range(2)]
    torch.manual_seed(0)
    again = load_cross_encoder(folder, 64, untrained_ok=True)
    start = SentenceTransformer(str(folder), device="cpu")[0].auto_model.state_dict()
    kept = models[0].model.base_model.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in start.items())
    heads = [model.model.classifier.weight for model in (*models, again)]
    assert torch.equal(heads[0], heads[2])
    assert not torch.equal(heads[0], heads[1])


def test_a_saved_cross_encoder_has_a_head(tmp_path: Path) -> None:
    folder = tiny.cross_encoder(tmp_path / "plain", WORDS)
    assert has_trained_head(folder)
    load_cross_encoder(folder, 64).save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    assert has_trained_head(tmp_path / "saved")


def test_a_classifier_of_several_classes_is_no_reranker(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    config: Any = BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, num_labels=3
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert not has_trained_head(tmp_path)
    for untrained_ok in (False, True):
        with pytest.raises(ConfigError, match="its head gives 3 scores a text; it is a classifier"):
            load_cross_encoder(tmp_path, 64, untrained_ok)


def test_a_length_beyond_the_model_is_cut_to_it(tmp_path: Path) -> None:
    folder = tiny.cross_encoder(tmp_path, WORDS)
    assert load_cross_encoder(folder, 1000).max_seq_length == 64
    assert load_cross_encoder(folder, 16).max_seq_length == 16


@pytest.mark.slow
def test_the_embedded_start_has_no_head() -> None:
    folder = locate("embedded:all-minilm-l6-v2")
    assert not has_trained_head(folder)
    with pytest.raises(ConfigError, match="has no trained head"):
        load_cross_encoder(folder, 128)
    assert load_cross_encoder(folder, 128, untrained_ok=True).num_labels == 1
