"""Model folders of every kind: what `doctor` accepts, all stages use with right numbers; what it refuses, `run` does.

The ranking of an untuned model is compared with the one that sentence-transformers makes of the same folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pocket
import pytest
import smallsuite

from harness.cli import doctor
from harness.data.formats import read_run
from harness.errors import HarnessError
from harness.experiments import benchmark
from harness.models.inspection import inspect
from harness.models.loaders import load_bi_encoder
from harness.planning import requirements
from harness.stages.index import IndexSpec, index
from harness.stages.retrieve import RUN_FILE, RetrieveSpec, retrieve
from harness.stages.shared import common
from harness.stages.tune_retriever import TuneRetrieverSpec, tune_retriever
from harness.suite.pipeline import Retriever
from harness.suite.recipes import RetrieverRecipe
from harness.values.records import Document

DOCUMENTS = {
    f"d{number}": Document(f"d{number}", "", text)
    for number, text in enumerate(
        [
            *(f"the {topic} is old and it is red" for topic in smallsuite.TOPICS),
            "lime kiln " * 50,
            "ferry",
            "mail slate",
        ]
    )
}
QUERIES = {f"q{number}": f"what is the {topic}?" for number, topic in enumerate(smallsuite.TOPICS)}
PROMPTS = {"query": ("query", "search_query", "Retrieval-query"), "document": ("passage", "search_document", "corpus")}
LONG = {"max_length": 1024}


def silent(done: int, total: int | None) -> None:
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each folder, made once: name -> path."""
    root, known = tmp_path_factory.mktemp("models"), {}

    def folder(name: str) -> Path:
        if name not in known:
            place = root / name.replace(" ", "-").replace(",", "")
            make = folders.GOOD[name] if name in folders.GOOD else folders.BAD[name][0]
            known[name] = make(place)
        return known[name]

    return folder


def own_ranking(folder: Path, queries: Sequence[str], texts: Sequence[str]) -> Any:
    """Scores of shape (queries, texts) as sentence-transformers itself gives them, in float32."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"torch_dtype": "float32"}).float()
    if isinstance(model.max_seq_length, int) and model.max_seq_length > 64:
        model.max_seq_length = 64

    def encoded(role: str, some: Sequence[str]) -> Any:
        named = next((model.prompts[name] for name in PROMPTS[role] if model.prompts.get(name)), None)
        return model.encode(list(some), prompt=named, convert_to_tensor=True, show_progress_bar=False)

    with torch.no_grad():
        return model.similarity(encoded("query", queries), encoded("document", texts)).numpy()


Found = dict[str, list[tuple[str, float]]]


def searched(root: Path, folder: Path, max_length: int = 64) -> tuple[Found, dict[str, Any]]:
    """The run of the stages `index` and `retrieve`, and what `index` noted."""
    for name in ("corpus", "queries", "index", "run"):
        (root / name).mkdir(parents=True)
    common.write_corpus(root / "corpus", DOCUMENTS)
    common.write_queries(root / "queries", QUERIES)
    rule = Retriever(model=str(folder), max_length=max_length)
    used = index(IndexSpec(kind="dense", retriever=rule), {"corpus": root / "corpus"}, root / "index", 0, silent)
    inputs = {"index": root / "index", "queries": root / "queries"}
    retrieve(RetrieveSpec(kind="dense", depth=9, retriever=rule), inputs, root / "run", 0, silent)
    return read_run(root / "run" / RUN_FILE, escaped=True), used.notes


def check_ranking(found: Found, folder: Path) -> None:
    """The lists hold the best by the model's own scores, best first; what is as good as equal may change places."""
    scores = own_ranking(folder, list(QUERIES.values()), [document.content for document in DOCUMENTS.values()])
    places = {doc_id: place for place, doc_id in enumerate(DOCUMENTS)}
    for row, hits in zip(scores, found.values(), strict=True):
        own = [row[places[doc_id]] for doc_id, _ in hits]
        assert own == pytest.approx(sorted(row, reverse=True)[: len(hits)], abs=1e-4, rel=1e-4)
    spread = np.ptp(scores, axis=1)
    assert (spread > 1e-3).all(), "all documents are as good as equal: nothing is compared here"


@pytest.mark.parametrize("name", folders.GOOD)
def test_what_is_accepted_is_ranked_as_the_model_itself_ranks(name: str, made: Any, tmp_path: Path) -> None:
    folder = made(name)
    seen = inspect(folder, "bi-encoder", deep=True)
    assert seen.problems == ()
    assert seen.dimensions == load_bi_encoder(folder, 64).get_embedding_dimension()
    found, notes = searched(tmp_path, folder, 1024)
    check_ranking(found, folder)
    assert notes["cut at max_length"] == (0 if seen.static else 1)


EXPECTED: dict[str, dict[str, Any]] = {
    "plain BERT with mean pooling": {"pooling": ("mean",), "dtype": "F32", "length": 64, "similarity": "cosine"},
    "bfloat16": {"dtype": "BF16"},
    "float16": {"dtype": "F16"},
    "CLS pooling": {"pooling": ("cls",)},
    "two poolings": {"pooling": ("cls", "mean"), "raw_trains": False},
    "dot product": {"similarity": "dot"},
    "euclid of unit vectors": {"similarity": "cosine"},
    "prompts query and passage": {"prompts": ("what is ", "it is ")},
    "prompts search_query and search_document": {"prompts": ("what is ", "it is ")},
    "prompts Retrieval-query and corpus": {"prompts": ("what is ", "it is ")},
    "a default prompt": {"prompts": ("it is ", "it is ")},
    "RoBERTa": {"length": 65, "kind": "roberta"},
    "MPNet": {"length": 64},
    "static": {"length": None, "static": True, "raw_trains": False},
    "Dense": {"modules": ("Transformer", "Pooling", "Dense"), "raw_trains": False},
    "less than it takes": {"length": 16},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_inspection_says_how_a_model_is_used(name: str, made: Any) -> None:
    seen = inspect(made(name), "bi-encoder")
    assert {key: getattr(seen, key) for key in EXPECTED[name]} == EXPECTED[name]


def suite_of(folder: Path, root: Path, more: dict[str, Any] | None = None) -> Path:
    return smallsuite.write(root, folder, more or {})


def findings(suite: Path) -> list[doctor.Finding]:
    return list(doctor._suite(str(suite), suite.parent / "store"))


@pytest.mark.parametrize("name", folders.BAD)
def test_what_is_refused_is_refused_by_all_with_one_sentence(name: str, made: Any, tmp_path: Path) -> None:
    folder, said = made(name), folders.BAD[name][1]
    suite = suite_of(folder, tmp_path)
    with pytest.raises(HarnessError) as caught:
        benchmark.run(suite, tmp_path / "store", executor=smallsuite.Here())
    (problem,) = caught.value.problems
    assert said in str(problem)
    place, _, sentence = str(problem).partition(": ")
    assert re.fullmatch(rf"{re.escape(str(suite))}:\d+", place)
    assert sentence.startswith("pipeline.retriever.model: ")
    assert "; " in str(problem)
    assert str(folder) in str(problem)
    told = [f"{finding.what}: {finding.detail}" for finding in findings(suite) if finding.state in doctor.FAILING]
    assert told == [str(problem)]
    assert not (tmp_path / "store" / "store").exists()


TUNED = ("bfloat16", "T5", "static", "RoBERTa", "dot product", "prompts search_query and search_document")


def tuned(root: Path, folder: Path, recipe: dict[str, Any]) -> Path:
    """What the stage `tune_retriever` makes of a folder."""
    for name in ("corpus", "triplets", "out"):
        (root / name).mkdir(parents=True)
    common.write_corpus(root / "corpus", DOCUMENTS)
    rows = [
        {"query": text, "doc_id": f"d{number}", "negatives": [f"d{(number + 5) % 12}"]}
        for number, text in enumerate(QUERIES.values())
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "triplets" / "triplets.jsonl").write_text(text, encoding="utf-8")
    rule = {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "checkpoints": 1, **recipe}
    spec = TuneRetrieverSpec(retriever=Retriever(model=str(folder), max_length=64), recipe=RetrieverRecipe(**rule))
    inputs = {"corpus": root / "corpus", "triplets": root / "triplets"}
    tune_retriever(spec, inputs, root / "out", 0, silent)
    return root / "out"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", TUNED)
def test_a_tuned_model_is_used_as_the_untuned_one_was(name: str, made: Any, tmp_path: Path) -> None:
    folder = made(name)
    before, after = inspect(folder, "bi-encoder"), inspect(tuned(tmp_path / "a", folder, {}), "bi-encoder", deep=True)
    assert after.problems == ()
    used = ("kind", "modules", "pooling", "similarity", "prompts")
    assert [getattr(after, key) for key in used] == [getattr(before, key) for key in used]
    assert after.dtype == "F32"
    assert after.takes(64) == before.takes(64)
    one, other = (load_bi_encoder(place, 64) for place in (folder, tmp_path / "a" / "out"))
    texts = list(QUERIES.values())
    assert not np.allclose(common.encode(one, texts, "query"), common.encode(other, texts, "query"))
    found, _ = searched(tmp_path / "b", tmp_path / "a" / "out")
    scores = common.encode(other, texts, "query") @ common.encode(
        other, [document.content for document in DOCUMENTS.values()], "document"
    ).T  # fmt: skip
    places = {doc_id: place for place, doc_id in enumerate(DOCUMENTS)}
    for row, hits in zip(scores, found.values(), strict=True):
        own = [row[places[doc_id]] for doc_id, _ in hits]
        assert own == pytest.approx(sorted(row, reverse=True)[: len(hits)], abs=1e-4, rel=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", folders.GOOD)
def test_what_doctor_accepts_is_run_untuned_and_tuned(name: str, made: Any, tmp_path: Path) -> None:
    folder = made(name)
    suite = suite_of(folder, tmp_path)
    assert not [finding for finding in findings(suite) if finding.state in doctor.FAILING]
    outcome = benchmark.run(suite, tmp_path / "store", executor=smallsuite.Here()).outcome
    assert [system.failed for system in outcome.systems] == [""] * len(outcome.systems)
    assert {system.name for system in outcome.systems} == {"bm25", "untuned", "judged"}
    # Two steps change weights and lists; the mean of a measure may be the same by chance.
    assert [(system.same_weights_as, system.same_run_as) for system in outcome.systems] == [("", "")] * 3
    assert outcome.settings["retriever"]


# recipes that do not go with a kind of model


@pytest.mark.parametrize(
    ("name", "recipe", "said"),
    [
        ("static", {"recipe": "raw"}, "recipes.retriever.recipe: raw supports a transformer with mean or cls pooling"),
        ("static", {"lora_rank": 4}, "recipes.retriever.lora_rank: is not possible with static embeddings"),
        ("static", {"micro_batch_size": 4}, "recipes.retriever.micro_batch_size: is not possible with static"),
        ("max pooling", {"recipe": "raw"}, "the retriever consists of Transformer, Pooling (max)"),
        ("Dense", {"recipe": "raw"}, "the retriever consists of Transformer, Pooling, Dense (mean)"),
        ("CLS pooling", {"recipe": "raw"}, None),
        ("T5", {"lora_rank": 4}, None),
    ],
)
def test_a_recipe_that_a_model_cannot_follow_is_refused_before_any_work(
    name: str, recipe: dict[str, Any], said: str | None, made: Any, tmp_path: Path
) -> None:
    given = pocket.suite(smallsuite.changes(made(name), {"recipes": {"retriever": recipe}}))
    if said is None:
        requirements.check(given)
        return
    with pytest.raises(HarnessError) as caught:
        requirements.check(given)
    (problem,) = caught.value.problems
    assert said in str(problem)
