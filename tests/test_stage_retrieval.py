"""The stages `fuse`, `index` and `retrieve`; a fake embeds by words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import smallsuite
import tiny
from hypothesis import HealthCheck, settings
from staged import documents, folder, indexes, silent

from harness.data.formats import read_run, write_run
from harness.models.fakes import FakeBiEncoder
from harness.stages import Asked
from harness.stages.fuse import FuseSpec, fuse, reciprocal_rank_fusion
from harness.stages.index import IndexSpec, index
from harness.stages.retrieve import RUN_FILE, RetrieveSpec, retrieve, serve
from harness.stages.shared import common
from harness.suite.pipeline import Retriever

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mine", "sift", "index", "retrieve"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", lambda spec, inputs: FakeBiEncoder())


# fuse


def test_fusion_sums_reciprocal_ranks() -> None:
    first = {"q": [("a", 9.0), ("b", 8.0), ("c", 7.0)]}
    second = {"q": [("c", 0.3), ("a", 0.2), ("d", 0.1)]}
    (found,) = reciprocal_rank_fusion([first, second], k=60, depth=10).values()
    right = [("a", 1 / 61 + 1 / 62), ("c", 1 / 63 + 1 / 61), ("b", 1 / 62), ("d", 1 / 63)]
    assert [doc_id for doc_id, _ in found] == [doc_id for doc_id, _ in right]
    assert [score for _, score in found] == pytest.approx([score for _, score in right])


def test_fusion_breaks_ties_by_id_descending_and_cuts_afterwards() -> None:
    runs = [{"q": [("a", 1.0), ("c", 0.5)]}, {"q": [("b", 1.0), ("d", 0.5)]}]
    assert [doc_id for doc_id, _ in reciprocal_rank_fusion(runs, 60, 10)["q"]] == ["b", "a", "d", "c"]
    assert [doc_id for doc_id, _ in reciprocal_rank_fusion(runs, 60, 1)["q"]] == ["b"]


def test_a_small_k_lets_the_first_rank_win() -> None:
    runs = [{"q": [("top", 1.0), ("mid", 0.9)]}, {"q": [("x", 1.0), ("mid", 0.9)]}]
    assert reciprocal_rank_fusion(runs, 60, 1)["q"][0][0] == "mid"
    assert reciprocal_rank_fusion(runs, 1, 1)["q"][0][0] == "mid"
    deeper = [{"q": [*run["q"][:1], ("y", 0.95), ("z", 0.92), *run["q"][1:]]} for run in runs[:1]] + runs[1:]
    assert reciprocal_rank_fusion(deeper, 60, 3)["q"][0][0] == "mid"
    assert reciprocal_rank_fusion([deeper[0], deeper[0]], 1, 1)["q"][0][0] == "top"


def test_the_stage_fuses_queries_that_only_one_run_has(tmp_path: Path) -> None:
    write_run(folder(tmp_path, "a") / RUN_FILE, {"q1": [("d1", 1.0)]})
    write_run(folder(tmp_path, "b") / RUN_FILE, {"q2": [("d 2", 1.0)]})
    usage = fuse(FuseSpec(depth=5, k=60), {"run0": tmp_path / "a", "run1": tmp_path / "b"}, tmp_path, 0, silent)
    assert read_run(tmp_path / RUN_FILE, escaped=True) == {"q1": [("d1", 1 / 61)], "q2": [("d 2", 1 / 61)]}
    assert usage.units == 2


# index and retrieve


@pytest.mark.parametrize("kind", ["dense", "bm25"])
def test_a_document_is_found_by_its_own_words(kind: str, tmp_path: Path) -> None:
    corpus = documents({"d1": "lime kiln at night", "d2": "ferry mail on ice", "d3": "slate roof"})
    inputs = indexes(tmp_path, corpus)
    common.write_queries(folder(tmp_path, "queries"), {"q1": "mail by ferry", "q2": "roof slate", "q3": "zzyzx"})
    given = {"index": inputs[kind], "queries": tmp_path / "queries"}
    usage = retrieve(RetrieveSpec(kind=kind, depth=2, retriever=Retriever()), given, folder(tmp_path, "out"), 0, silent)
    found = read_run(tmp_path / "out" / RUN_FILE, escaped=True)
    assert [found[query_id][0][0] for query_id in ("q1", "q2")] == ["d2", "d3"]
    assert usage.notes == {"queries": 3, "empty lists": int(kind == "bm25")}
    assert all(len(hits) <= 2 for hits in found.values())


# kinds of stored vectors, and learned sparse weights


CORPUS = documents({f"d{number}": f"{word} is old" for number, word in enumerate(smallsuite.vocabulary()[:40])})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, known = tmp_path_factory.mktemp("models"), smallsuite.vocabulary()
    return {"dense": tiny.bi_encoder(root / "bi", known), "sparse": tiny.sparse_encoder(root / "splade", known)}


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("index", "retrieve"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", common.bi_encoder)


QUERIES = {f"q{number}": f"what is {document.text}?" for number, document in enumerate(CORPUS.values())}
Run = dict[str, list[tuple[str, float]]]


def searched(root: Path, kind: str, rule: Retriever) -> tuple[Run, dict[str, Any]]:
    """The run of both stages, and the notes of `index`; every query that is served by itself has the same list."""
    common.write_corpus(folder(root, "corpus"), CORPUS)
    common.write_queries(folder(root, "queries"), QUERIES)
    made = {name: getattr(rule, name) for name in ("model", "max_length", "dimensions", "precision", "dtype")}
    stored = IndexSpec(kind="tokens" if kind == "late-interaction" else kind, retriever=Retriever(**made))
    used = index(stored, {"corpus": root / "corpus"}, folder(root, "index"), 0, silent)
    spec = RetrieveSpec(kind=kind, depth=5, retriever=rule)
    inputs = {"index": root / "index", "queries": root / "queries"}
    retrieve(spec, inputs, folder(root, "run"), 0, silent)
    run = read_run(root / "run" / RUN_FILE, escaped=True)
    step = serve(spec, inputs)
    for query_id, text in list(QUERIES.items())[:5]:
        alone = step(Asked(text))
        assert [score for _, score in alone] == pytest.approx([score for _, score in run[query_id]], abs=0.01)
    return run, used.notes


def overlap(run: Run, other: Run) -> float:
    shares = [len({key for key, _ in run[name]} & {key for key, _ in other[name]}) / len(other[name]) for name in other]
    return sum(shares) / len(shares)


@pytest.mark.usefixtures("real")
def test_what_is_stored_changes_size_and_lists_as_expected(models: dict[str, Path], tmp_path: Path) -> None:
    rules: dict[str, dict[str, Any]] = {
        "whole": {}, "float32": {"precision": "float32"}, "float16": {"precision": "float16"},
        "int8": {"precision": "int8"}, "unscored": {"precision": "int8", "rescore": 0},
        "binary": {"precision": "binary"}, "bare": {"precision": "binary", "rescore": 0},
        "short": {"dimensions": 8}, "encoder": {"dtype": "int8"},
    }  # fmt: skip
    made = {
        name: searched(tmp_path / name, "dense", Retriever(model=str(models["dense"]), max_length=64, **rule))
        for name, rule in rules.items()
    }
    runs = {name: run for name, (run, _) in made.items()}
    sizes = {name: notes["size_bytes"] for name, (_, notes) in made.items()}
    assert runs["float32"] == runs["whole"]
    assert sizes["float32"] == sizes["whole"] == sizes["encoder"] > sizes["float16"] > sizes["int8"] > sizes["binary"]
    assert sizes["unscored"] == sizes["int8"], "rescoring needs nothing but the index"
    assert sizes["short"] == 128 + 4 * 8 * len(CORPUS)
    assert overlap(runs["float16"], runs["whole"]) > 0.99
    assert overlap(runs["int8"], runs["whole"]) > 0.9
    assert overlap(runs["encoder"], runs["whole"]) > 0.9
    assert runs["encoder"] != runs["whole"]
    assert runs["unscored"] != runs["int8"]
    assert runs["bare"] != runs["binary"]


def test_token_vectors_are_those_of_int8_layers_too(models: dict[str, Path], tmp_path: Path) -> None:
    rules: dict[str, Any] = {"whole": {}, "encoder": {"dtype": "int8"}}
    whole, encoder = (
        searched(tmp_path / name, "late-interaction", Retriever(model=str(models["dense"]), max_length=64, **rule))
        for name, rule in rules.items()
    )
    assert overlap(encoder[0], whole[0]) > 0.9
    assert encoder[0] != whole[0]
    assert encoder[1]["size_bytes"] == whole[1]["size_bytes"]


@pytest.mark.usefixtures("real")
def test_fewer_dimensions_are_those_of_the_encoder_itself(models: dict[str, Path], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    run, _ = searched(tmp_path, "dense", Retriever(model=str(models["dense"]), max_length=64, dimensions=8))
    own = SentenceTransformer(str(models["dense"]), device="cpu", truncate_dim=8)
    texts = (list(QUERIES.values()), [document.content for document in CORPUS.values()])
    queries, passages = (own.encode(some, normalize_embeddings=True, show_progress_bar=False) for some in texts)
    for row, hits in zip(queries @ passages.T, run.values(), strict=True):
        assert [score for _, score in hits] == pytest.approx(sorted(row, reverse=True)[:5], abs=1e-5)


@pytest.mark.usefixtures("real")
def test_more_dimensions_than_there_are_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dimensions: 33 are asked for, and the model has 32"):
        searched(tmp_path, "dense", Retriever(model=str(models["dense"]), dimensions=33))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_sparse_index_is_searched_as_its_model_ranks(dtype: Any, models: dict[str, Path], tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder

    run, notes = searched(tmp_path, "sparse", Retriever(model=str(models["sparse"]), max_length=64, dtype=dtype))
    own = SparseEncoder(str(models["sparse"]), device="cpu")
    texts = (list(QUERIES.values()), [document.content for document in CORPUS.values()])
    queries, passages = (own.encode(some, convert_to_sparse_tensor=False) for some in texts)
    places = {doc_id: place for place, doc_id in enumerate(CORPUS)}
    for row, hits in zip(own.similarity(queries, passages).numpy(), run.values(), strict=True):
        close = 1e-4 if dtype == "float32" else 0.05
        assert [score for _, score in hits] == pytest.approx(sorted(row, reverse=True)[:5], rel=close)
        assert [row[places[doc_id]] for doc_id, _ in hits] == pytest.approx(sorted(row, reverse=True)[:5], rel=close)
    # A weight and the number of its document are 8 bytes.
    assert notes["size_bytes"] > 8 * int((passages > 0).sum())
