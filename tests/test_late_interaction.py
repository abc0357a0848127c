"""The stages with late interaction: token indexes, retrieving, reranking and tuning by MaxSim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from staged import CORPUS, documents, folder, random_corpus, silent

from harness.data.formats import read_run, write_jsonl, write_run
from harness.models.token_encoders import encode_tokens, load_token_encoder
from harness.models.token_vectors import TokenIndex, max_sim
from harness.stages import Asked, load_stage
from harness.stages.index import IndexSpec, index
from harness.stages.mine import TRIPLETS_FILE
from harness.stages.rerank import RerankSpec, rerank
from harness.stages.retrieve import RUN_FILE, RetrieveSpec, retrieve
from harness.stages.shared import common
from harness.stages.tune_reranker import TuneRerankerSpec, tune_reranker
from harness.suite.pipeline import Retriever
from harness.suite.recipes import RerankerRecipe
from harness.values.records import Document, Run, Usage

WORDS = ["lime", "kiln", "ferry", "mail", "slate", "roof", "night", "ice", "about"]
QUERIES = {"q1": "lime kiln", "q2": "mail over ice", "q3": "roof"}
some = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bi_encoder(tmp_path_factory.mktemp("model"), WORDS)


def stored(root: Path, corpus: Mapping[str, Document], model: Path, precision: Any = "float16") -> dict[str, Path]:
    common.write_corpus(folder(root, "corpus"), corpus)
    common.write_queries(folder(root, "queries"), QUERIES)
    spec = IndexSpec(kind="tokens", retriever=Retriever(model=str(model)), precision=precision)
    index(spec, {"corpus": root / "corpus"}, folder(root, "tokens"), 0, silent)
    return {name: root / name for name in ("corpus", "queries", "tokens")}


def retrieved(root: Path, inputs: Mapping[str, Path], model: Path, depth: int, **changes: Any) -> Run:
    spec = RetrieveSpec(kind="late-interaction", depth=depth, retriever=Retriever(model=str(model)), **changes)
    given_inputs = {"index": inputs["tokens"], "queries": inputs["queries"]}
    retrieve(spec, given_inputs, folder(root, "retrieved"), 0, silent)
    return read_run(root / "retrieved" / RUN_FILE, escaped=True)


def reranked(root: Path, inputs: Mapping[str, Path], run: Run, model: Path | None, depth: int) -> tuple[Run, Usage]:
    write_run(folder(root, "run") / RUN_FILE, run)
    spec = RerankSpec(kind="late-interaction", depth=depth, max_length=256, model=str(model) if model else None)
    usage = rerank(spec, {**inputs, "run": root / "run"}, folder(root, "reranked"), 0, silent)
    return read_run(root / "reranked" / RUN_FILE, escaped=True), usage


@pytest.mark.parametrize(("precision", "tolerance"), [("float16", 2**-11), ("int8", 1 / 254)])
def test_stored_token_vectors_are_those_computed(precision: str, tolerance: float, model: Path, tmp_path: Path) -> None:
    inputs = stored(tmp_path, CORPUS, model, precision)
    loaded = load_token_encoder(model, 256)
    computed = encode_tokens(loaded, [document.content for document in CORPUS.values()], "document")
    kept = TokenIndex(inputs["tokens"])
    assert sorted(kept.doc_ids) == sorted(CORPUS)
    for doc_id, vectors in zip(CORPUS, computed, strict=True):
        assert kept.vectors(doc_id) == pytest.approx(vectors, abs=tolerance * 1.001)


def test_the_ledger_knows_the_size_of_an_index(model: Path, tmp_path: Path) -> None:
    inputs = stored(tmp_path, CORPUS, model)
    spec = IndexSpec(kind="tokens", retriever=Retriever(model=str(model), max_length=8))
    usage = index(spec, inputs, folder(tmp_path, "other"), 0, silent)
    tokens = 3 * 6
    assert usage.units == 3
    assert usage.notes == {
        "passages": 3, "cut at max_length": 3, "tokens read of a passage": 8, "token vectors": tokens,
        "size_bytes": tokens * 32 * 2,
    }  # fmt: skip


def test_an_index_does_not_depend_on_the_order_of_the_corpus(model: Path, tmp_path: Path) -> None:
    corpus = random_corpus(30)
    backwards = dict(reversed(corpus.items()))
    runs = [
        retrieved(tmp_path / name, stored(tmp_path / name, given_corpus, model), model, 10)
        for name, given_corpus in (("a", corpus), ("b", backwards))
    ]
    for key in QUERIES:
        assert dict(runs[0][key]) == pytest.approx(dict(runs[1][key]), abs=1e-6)


@pytest.mark.parametrize("with_index", [True, False])
def test_reranking_at_full_depth_is_retrieving(with_index: bool, model: Path, tmp_path: Path) -> None:
    corpus = random_corpus(25) | CORPUS
    inputs = stored(tmp_path, corpus, model)
    first = retrieved(tmp_path, inputs, model, len(corpus))
    given_inputs = inputs if with_index else {name: inputs[name] for name in ("corpus", "queries")}
    pool = {key: [(doc_id, float(-place)) for place, doc_id in enumerate(sorted(corpus))] for key in QUERIES}
    second, usage = reranked(tmp_path, given_inputs, pool, model, len(corpus))
    for key in QUERIES:
        assert dict(second[key]) == pytest.approx(dict(first[key]), abs=2e-4)
        assert second[key] == sorted(second[key], key=lambda hit: (hit[1], hit[0]), reverse=True)
    assert usage.units == len(corpus) * len(QUERIES)
    assert usage.notes["token vectors"] == ("stored" if with_index else "computed for the pools")
    assert usage.notes.get("passages encoded") == (None if with_index else len(corpus))


def test_scores_are_mean_largest_cosines(model: Path, tmp_path: Path) -> None:
    run = retrieved(tmp_path, stored(tmp_path, CORPUS, model), model, 3)
    loaded = load_token_encoder(model, 256)
    (query,) = encode_tokens(loaded, [QUERIES["q1"]], "query")
    for doc_id, score in run["q1"]:
        (vectors,) = encode_tokens(loaded, [CORPUS[doc_id].content], "document")
        assert score == pytest.approx(np.mean([max(token @ other for other in vectors) for token in query]), abs=1e-3)
        assert score == pytest.approx(max_sim(query, [vectors])[0], abs=1e-3)


@some
@given(
    pools=st.lists(st.lists(st.sampled_from(sorted(CORPUS)), unique=True), min_size=3, max_size=3),
    depth=st.integers(1, 4),
    with_index=st.booleans(),
)
def test_reranking_never_changes_a_pool(
    pools: list[list[str]], depth: int, with_index: bool, model: Path, tmp_path: Path
) -> None:
    inputs = stored(tmp_path, CORPUS, model)
    run = {
        key: [(doc_id, float(-place)) for place, doc_id in enumerate(pool)]
        for key, pool in zip(QUERIES, pools, strict=True)
    }
    given_inputs = inputs if with_index else {name: inputs[name] for name in ("corpus", "queries")}
    after, _ = reranked(tmp_path, given_inputs, run, model, depth)
    for key, hits in run.items():
        before, now = [doc_id for doc_id, _ in hits], [doc_id for doc_id, _ in after.get(key, [])]
        assert sorted(before[:depth]) == sorted(now[:depth])
        assert before[depth:] == now[depth:]


def test_one_query_is_served_as_the_stages_rank(model: Path, tmp_path: Path) -> None:
    inputs = stored(tmp_path, CORPUS, model)
    first = retrieved(tmp_path, inputs, model, 3)
    second, _ = reranked(tmp_path, inputs, first, model, 2)
    specs = {
        "retrieve": RetrieveSpec(kind="late-interaction", depth=3, retriever=Retriever(model=str(model))),
        "rerank": RerankSpec(kind="late-interaction", depth=2, max_length=256, model=str(model)),
    }
    serving_inputs = {**inputs, "index": inputs["tokens"]}
    for (name, spec), run in zip(specs.items(), (first, second), strict=True):
        serve = load_stage(name).serve
        assert serve is not None
        step = serve(spec, serving_inputs)
        for key, text in QUERIES.items():
            hits = step(Asked(text, lists={"run": first[key]} if name == "rerank" else {}))
            assert isinstance(hits, list)
            assert dict(hits) == pytest.approx(dict(run[key]), abs=1e-5)


def test_without_any_model_reranking_says_so(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ValueError, match="neither a tuned one nor"):
        reranked(tmp_path, stored(tmp_path, CORPUS, model), {"q1": [("d1", 1.0)]}, None, 3)


# tuning

TOPICS = ["lime", "ferry", "slate", "mail"]
TOPIC_CORPUS = documents({word: f"{word} by night" for word in TOPICS})


def training_inputs(root: Path, dev: bool = False) -> dict[str, Path]:
    """Queries about the passage of another topic, which no token tells; a passage has one mined negative."""
    rows = [
        {"query": f"about {word}", "doc_id": TOPICS[number - 1], "negatives": [word]}
        for number, word in enumerate(TOPICS)
    ]
    write_jsonl(folder(root, "triplets") / TRIPLETS_FILE, rows)
    common.write_corpus(folder(root, "corpus"), TOPIC_CORPUS)
    names = ["triplets", "corpus"]
    if dev:
        queries = {f"q{number}": f"about {word}" for number, word in enumerate(TOPICS)}
        write_run(
            folder(root, "dev_run") / RUN_FILE,
            {key: [(doc_id, -float(place)) for place, doc_id in enumerate(TOPICS)] for key in queries},
        )
        common.write_queries(folder(root, "dev_queries"), queries)
        qrels = {f"q{number}": {TOPICS[number - 1]: 1} for number in range(len(TOPICS))}
        common.write_judgements(folder(root, "dev_qrels"), qrels)
        names += ["dev_run", "dev_queries", "dev_qrels"]
    return {name: root / name for name in names}


def tuned(root: Path, model: Path, out: str = "out", seed: int = 0, dev: bool = False, **recipe: Any) -> Usage:
    written = {"epochs": 40, "batch_size": 4, "learning_rate": 1e-2, "checkpoints": 1, **recipe}
    spec = TuneRerankerSpec(
        kind="late-interaction", recipe=RerankerRecipe.model_validate(written), model=str(model), max_length=32
    )
    return tune_reranker(spec, training_inputs(root, dev), folder(root, out), seed, silent)


def first_of(model: Path) -> list[str]:
    """The best passage for the query of each topic."""
    loaded = load_token_encoder(model, 32)
    vectors = encode_tokens(loaded, [document.content for document in TOPIC_CORPUS.values()], "document")
    queries = encode_tokens(loaded, [f"about {word}" for word in TOPICS], "query")
    return [TOPICS[int(np.argmax(max_sim(query, vectors)))] for query in queries]


WANTED = [TOPICS[number - 1] for number in range(len(TOPICS))]


@pytest.mark.parametrize("start", ["bi-encoder", "colbert"])
def test_training_learns_what_no_word_tells(start: str, model: Path, tmp_path: Path) -> None:
    folder_of_start = model if start == "bi-encoder" else tiny.colbert(tmp_path / "start", WORDS)
    assert first_of(folder_of_start) != WANTED
    usage = tuned(tmp_path, folder_of_start, epochs=100)
    assert first_of(tmp_path / "out") == WANTED
    assert usage.units == 100 * 4
    assert usage.notes["mean loss, last third"] < usage.notes["mean loss, first third"]
    assert (usage.notes["lists"], usage.notes["passages a list"]) == (4, 2)
    assert {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()} <= {".json", ".safetensors"}


def test_training_is_reproducible_and_the_same_in_parts(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    from harness.training import late_interaction

    def weights(out: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = load_file(tmp_path / out / "model.safetensors")
        return found

    tuned(tmp_path, model, "first", epochs=5)
    tuned(tmp_path, model, "second", epochs=5)
    assert all(weights("second")[name].equal(value) for name, value in weights("first").items())
    train = late_interaction.train

    def short(*given_arguments: Any) -> Any:
        arguments = list(given_arguments)
        arguments[2] = arguments[2]._replace(micro_batch=1)
        return train(*arguments)

    monkeypatch.setattr(late_interaction, "train", short)
    tuned(tmp_path, model, "parts", epochs=5)
    for name, value in weights("first").items():
        assert weights("parts")[name].numpy() == pytest.approx(value.numpy(), abs=2e-3), name


def test_the_start_is_a_checkpoint_and_the_best_is_kept(model: Path, tmp_path: Path) -> None:
    usage = tuned(tmp_path, model, dev=True, checkpoints=4)
    evaluations = [look.split() for look in usage.notes["ndcg@10 on dev"].split(", ")]
    assert [look[1] for look in evaluations] == ["0", "10", "20", "30", "40"]
    best = max(evaluations, key=lambda look: float(look[2]))
    assert usage.notes["checkpoint"] == f"step {best[1]}"
    assert first_of(tmp_path / "out") == WANTED


def test_a_tuned_encoder_reranks_as_the_input_model(model: Path, tmp_path: Path) -> None:
    tuned(tmp_path, model)
    inputs = stored(tmp_path, TOPIC_CORPUS, model)
    common.write_queries(inputs["queries"], {word: f"about {word}" for word in TOPICS})
    pool = {word: [(doc_id, float(-place)) for place, doc_id in enumerate(TOPICS)] for word in TOPICS}
    run, _ = reranked(tmp_path, {**inputs, "model": tmp_path / "out"} | {"tokens": inputs["tokens"]}, pool, None, 4)
    del inputs["tokens"]
    fresh, _ = reranked(tmp_path, {**inputs, "model": tmp_path / "out"}, pool, None, 4)
    assert [fresh[word][0][0] for word in TOPICS] == WANTED
    assert run != fresh


def losses(model: Any, rows: Sequence[Any], included: Any) -> float:
    from harness.training.late_interaction import batch_loss

    return float(batch_loss(model, rows, 0.05, included).detach())


def test_known_positives_are_no_negatives(model: Path) -> None:
    import torch

    from harness.training.batches import Batches, RankedPassages, text_key

    loaded = load_token_encoder(model, 32)
    other = "ferry by night"
    rows = [RankedPassages("about lime", ("lime",), known={text_key(other)}), RankedPassages("about mail", (other,))]
    mask = Batches(rows).mask([0, 1])
    assert mask.included == [[True, False], [True, True]]
    queries = encode_tokens(loaded, [row.query for row in rows], "query")
    passages = encode_tokens(loaded, ["lime", other], "document")
    scores = torch.tensor([max_sim(query, passages) for query in queries]) / 0.05
    right = torch.nn.functional.cross_entropy(scores.masked_fill(~mask.tensor("cpu"), float("-inf")), torch.arange(2))
    assert losses(loaded, rows, mask.tensor("cpu")) == pytest.approx(float(right), abs=1e-4)
