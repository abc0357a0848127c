"""Tuning a bi-encoder by every recipe, on a model of a few thousand weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from stage_inputs import silent

from harness.data.formats import write_jsonl, write_run
from harness.stages import tune_retriever as stage_module
from harness.stages.label import LABELS_FILE
from harness.stages.mine import TRIPLETS_FILE
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.shared.dev_evaluation import ndcg
from harness.stages.shared.known_positives import Known
from harness.stages.tune_retriever import TuneRetrieverSpec, tune_retriever
from harness.suite.pipeline import Retriever
from harness.suite.recipes import RetrieverRecipe
from harness.training import raw, retrievers
from harness.training.batches import RankedPassages
from harness.training.checkpoints import Checkpoints, evaluation_steps
from harness.values.records import DEV_EVALUATION_SECONDS, Document, Usage

TOPICS = ("lime", "kiln", "ferry", "mail", "slate", "roof", "bell", "tower", "wheat", "mill", "tin", "mine")
WORDS = [*TOPICS, "what", "of", "about", "is", "the", "it"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bi_encoder(tmp_path_factory.mktemp("bi"), WORDS)


def query(topic: str) -> str:
    return f"what about {topic}"


def artifacts(root: Path) -> dict[str, Path]:
    """A document for each topic; queries ask for it; the negative is the next topic's document."""
    documents = {topic: Document(topic, "", f"the {topic} is it") for topic in TOPICS}
    folders = {name: root / name for name in ("corpus", "triplets", "labels", "dev_queries", "dev_qrels", "dev_run")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    common.write_corpus(folders["corpus"], documents)
    following = dict(zip(TOPICS, (*TOPICS[1:], TOPICS[0]), strict=True))
    rows = [
        {"query": query(topic), "doc_id": topic, "negatives": [following[topic]], "origin": "judged"}
        for topic in TOPICS
    ]
    write_jsonl(folders["triplets"] / TRIPLETS_FILE, rows)
    labels = []
    for topic in TOPICS:
        shown = (topic, following[topic], following[following[topic]])
        for doc_id, score in zip(shown, (1.0, 0.4, 0.0), strict=True):
            labels.append({"query": query(topic), "doc_id": doc_id, "score": score, "positive": doc_id == topic})
    write_jsonl(folders["labels"] / LABELS_FILE, labels)
    common.write_queries(folders["dev_queries"], {topic: query(topic) for topic in TOPICS})
    common.write_judgements(folders["dev_qrels"], {topic: {topic: 1} for topic in TOPICS})
    write_run(folders["dev_run"] / RUN_FILE, {topic: [(other, 1.0) for other in TOPICS] for topic in TOPICS})
    return folders


def tuned(root: Path, model: Path, seed: int = 0, name: str = "out", **changes: Any) -> tuple[Path, Usage]:
    folders = artifacts(root)
    given = {"epochs": 8, "batch_size": 6, "learning_rate": 0.005, **changes}
    recipe = RetrieverRecipe.model_validate(given)
    used = "labels" if recipe.recipe == "distill" else "triplets"
    names = ["corpus", used, *(name for name in folders if name.startswith("dev") and recipe.checkpoints > 1)]
    spec = TuneRetrieverSpec(retriever=Retriever(model=str(model), max_length=32), recipe=recipe)
    out = root / name
    out.mkdir()
    usage = tune_retriever(spec, {key: folders[key] for key in names}, out, seed, silent)
    return out, usage


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    found: dict[str, Any] = load_file(folder / "model.safetensors")
    return found


def right(folder: Path) -> float:
    """Share of queries whose own document is nearest, by the model as SentenceTransformer loads it."""
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    queries = loaded.encode([query(topic) for topic in TOPICS], show_progress_bar=False)
    passages = loaded.encode([f"the {topic} is it" for topic in TOPICS], show_progress_bar=False)
    return float(np.mean((queries @ passages.T).argmax(axis=1) == np.arange(len(TOPICS))))


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": "mnrl"},
        {"recipe": "mnrl", "micro_batch_size": 2},
        {"recipe": "raw"},
        {"recipe": "raw", "micro_batch_size": 5},
        {"recipe": "triplet"},
        {"recipe": "distill"},
        {"recipe": "mnrl", "lora_rank": 4, "learning_rate": 0.02},
        {"recipe": "raw", "lora_rank": 4, "learning_rate": 0.02},
        {"recipe": "mnrl", "lora_rank": 4, "learning_rate": 0.02, "micro_batch_size": 2},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_every_recipe_learns_and_leaves_a_model_that_loads(
    changes: dict[str, Any], tmp_path: Path, model: Path
) -> None:
    out, usage = tuned(tmp_path, model, **changes)
    assert usage.notes["mean loss, last third"] < usage.notes["mean loss, first third"]
    assert right(out) > right(model) + 0.2
    assert weights(out).keys() == weights(model).keys()


@pytest.mark.parametrize("recipe", ["mnrl", "raw", "triplet", "distill"])
def test_a_seed_gives_the_same_weights_and_another_seed_others(recipe: str, tmp_path: Path, model: Path) -> None:
    runs = [tuned(tmp_path / str(n), model, seed, recipe=recipe, epochs=1)[0] for n, seed in enumerate((0, 0, 1))]
    first, again, other = (weights(folder) for folder in runs)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_raw_and_mnrl_agree_in_loss_and_gradients(pooling: str, tmp_path: Path) -> None:
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from harness.models.loaders import load_bi_encoder

    folder = tiny.bi_encoder(tmp_path, WORDS, pooling=pooling)
    batch = [
        raw.ContrastiveExample(query(topic), f"the {topic} is it of the {topic}", (f"about {TOPICS[place - 1]}",))
        for place, topic in enumerate(TOPICS[:5])
    ]
    found = {}
    for name in ("mnrl", "raw", "raw in parts"):
        model = load_bi_encoder(folder, 32)
        if name == "mnrl":
            loss = MultipleNegativesRankingLoss(model, scale=1 / 0.05)
            rows = [(one.query, one.positive, *one.negatives) for one in batch]
            columns = [list(column) for column in zip(*rows, strict=True)]
            value = loss([model.preprocess(texts) for texts in columns], None)
            value.backward()
            number = float(value.detach())
        else:
            number = raw.backward(retrievers.raw_encoder(model), batch, 0.05, 15 if name == "raw" else 4)
        gradients = {key: weight.grad.clone() for key, weight in model.named_parameters() if weight.grad is not None}
        found[name] = number, gradients
    loss, gradients = found["mnrl"]
    assert len(gradients) > 10
    for name in ("raw", "raw in parts"):
        assert found[name][0] == pytest.approx(loss, abs=1e-5)
        assert found[name][1].keys() == gradients.keys()
        for key, gradient in gradients.items():
            assert torch.allclose(found[name][1][key], gradient, atol=1e-5), key


def test_the_best_checkpoint_on_dev_is_taken_and_every_look_is_told(tmp_path: Path, model: Path) -> None:
    # A rate this high ruins the model in the end; the best look must not be the last by default.
    out, usage = tuned(tmp_path, model, checkpoints=4, learning_rate=0.02)
    evaluations = [float(part.split()[-1]) for part in usage.notes["ndcg@10 on dev"].split(", ")]
    steps = [int(part.split()[1]) for part in usage.notes["ndcg@10 on dev"].split(", ")]
    taken = int(usage.notes["checkpoint"].split()[-1])
    assert len(evaluations) == 4
    assert steps[int(np.argmax(evaluations))] == taken
    assert right(out) > 0.5


def test_checkpoints_restore_the_best_weights_and_stop_without_gain() -> None:
    import torch

    module = torch.nn.Linear(1, 1, bias=False)
    scores = iter([0.5, 0.9, 0.4, 0.3, 0.2])

    def measure() -> float:
        time.sleep(0.05)
        return next(scores)

    evaluations = Checkpoints(module, 10, 5, measure, patience=2)
    stopped = None
    for step in range(1, 11):
        with torch.no_grad():
            module.weight.fill_(float(step))
        if evaluations.after(step):
            stopped = step
            break
    evaluations.restore()
    assert (evaluations.best_step, stopped) == (4, 8)
    assert evaluations.notes()[DEV_EVALUATION_SECONDS] >= 4 * 0.05
    assert float(module.weight.item()) == 4.0


@given(steps=st.integers(1, 500), times=st.integers(1, 20))
def test_looks_are_distinct_and_end_at_the_last_step(steps: int, times: int) -> None:
    found = evaluation_steps(steps, times)
    assert found == sorted(set(found))
    assert found[-1] == steps
    assert found[0] >= 1


@given(steps=st.integers(1, 200), warmup=st.integers(0, 50))
def test_the_schedule_rises_then_falls_within_zero_and_one(steps: int, warmup: int) -> None:
    rates = [raw.schedule(step, steps, warmup) for step in range(steps)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


def test_ndcg_by_hand() -> None:
    assert ndcg(["a", "b", "c"], {"a": 2, "c": 1}, 10) == pytest.approx((2 + 1 / 2) / (2 + 1 / np.log2(3)))
    assert ndcg(["b"], {"a": 1}, 10) == 0.0
    assert ndcg(["b", "a"], {"a": 1}, 1) == 0.0
    assert ndcg(["a"], {}, 10) == 0.0


def test_raw_refuses_a_model_that_it_would_not_compute_rightly(tmp_path: Path) -> None:
    from harness.models.loaders import load_bi_encoder

    model = load_bi_encoder(tiny.bi_encoder(tmp_path, WORDS, pooling="max"), 32)
    with pytest.raises(ValueError, match=r"mean or cls pooling.*use recipe mnrl"):
        retrievers.raw_encoder(model)


def test_triplet_has_a_row_for_each_negative() -> None:
    rows = retrievers.rows_of(
        [RankedPassages("q", ("p", "n1", "n2")), RankedPassages("r", ("p",))], RetrieverRecipe(recipe="triplet")
    )
    assert [row.passages for row in rows] == [("p", "n1"), ("p", "n2")]


def test_triplet_without_negatives_is_refused() -> None:
    with pytest.raises(ValueError, match="none were mined"):
        retrievers.rows_of([RankedPassages("q", ("p",))], RetrieverRecipe(recipe="triplet"))


def test_half_of_a_batch_is_tried_when_memory_is_short_and_that_is_said() -> None:
    import torch

    from harness.training.memory import until_it_fits

    tried = []

    def train(micro_batch: int) -> str:
        tried.append(micro_batch)
        if micro_batch > 5:
            raise torch.OutOfMemoryError("no room")
        return "done"

    fitted = until_it_fits(train, 32)
    assert (tried, fitted.value, fitted.micro_batch) == ([32, 16, 8, 4], "done", 4)
    assert "a micro-batch of 32 did not fit" in str(fitted.notes)
    with pytest.raises(ValueError, match="a training example does not fit even alone; lower max_length"):
        until_it_fits(lambda micro_batch: (_ for _ in ()).throw(torch.OutOfMemoryError("none")), 4)


@pytest.mark.parametrize("recipe", ["mnrl", "raw", "triplet", "distill"])
def test_a_batch_in_parts_still_learns(recipe: str, tmp_path: Path, model: Path, monkeypatch: Any) -> None:
    from harness.stages import tune_retriever as stage
    from harness.training.memory import Fitted

    monkeypatch.setattr(stage, "until_it_fits", lambda train, size: Fitted(train(size // 3), size // 3, {}))
    out, _ = tuned(tmp_path, model, recipe=recipe)
    assert right(out) > right(model) + 0.2


# Lists of unequal length


@pytest.mark.parametrize("recipe", ["mnrl", "raw", "triplet", "distill"])
def test_one_short_list_shortens_no_other(recipe: str, tmp_path: Path, model: Path, monkeypatch: Any) -> None:
    folders, given = artifacts(tmp_path), []
    following = dict(zip(TOPICS, (*TOPICS[1:], TOPICS[0]), strict=True))
    rows = [
        {"query": query(topic), "doc_id": topic, "negatives": [other for other in TOPICS if other != topic][:place]}
        for place, topic in enumerate(TOPICS[:4])
    ]
    write_jsonl(folders["triplets"] / TRIPLETS_FILE, rows)
    labels = [
        {"query": row["query"], "doc_id": doc_id, "score": 1.0 - place / 20, "positive": place == 0}
        for row in rows
        for place, doc_id in enumerate((row["doc_id"], *row["negatives"]))
    ]
    # A query whose positive could not be labelled.
    labels.append({"query": "what of it", "doc_id": following["tin"], "score": 0.1, "positive": False})
    write_jsonl(folders["labels"] / LABELS_FILE, labels)
    plain = stage_module.train
    monkeypatch.setattr(
        stage_module, "train", lambda model, lists, *rest: (given.extend(lists), plain(model, lists, *rest))[1]
    )
    used = "labels" if recipe == "distill" else "triplets"
    spec = TuneRetrieverSpec(
        retriever=Retriever(model=str(model), max_length=32),
        recipe=RetrieverRecipe(recipe=recipe, epochs=3, batch_size=3, checkpoints=1),
    )
    out = tmp_path / "out"
    out.mkdir()
    usage = tune_retriever(spec, {name: folders[name] for name in ("corpus", used)}, out, 0, silent)
    lengths = [2, 3, 4] if recipe == "distill" else [1, 2, 3, 4]
    assert [len(one.passages) for one in given] == lengths
    assert usage.notes["lists"] == len(lengths)
    assert (usage.notes["passages a list"], usage.notes["lists with fewer passages"]) == (4, len(lengths) - 1)
    trained = 3 if recipe in ("distill", "triplet") else 4
    assert usage.units == 3 * trained
    assert usage.notes["rows trained on"] == 3 * (1 + 2 + 3 if recipe == "triplet" else trained)
    left_out = usage.notes.get("queries left out, fewer than two passages are labelled")
    assert left_out == (2 if recipe == "distill" else None)
    assert usage.notes.get("lists left out, having no negative") == (1 if recipe == "triplet" else None)


def test_what_is_known_beside_the_triplets_is_masked(tmp_path: Path, model: Path) -> None:
    """A pair that mining dropped, and a document of another id with the same text."""
    folders = artifacts(tmp_path)
    documents = {topic: Document(topic, "", f"the {topic} is it") for topic in TOPICS}
    documents["twin"] = Document("twin", "", "The  kiln is it")
    common.write_corpus(folders["corpus"], documents)
    rows = [
        {"query": query("lime"), "doc_id": "lime", "negatives": []},
        {"query": query("ferry"), "doc_id": "twin", "negatives": []},
        {"query": query("slate"), "doc_id": "slate", "negatives": []},
    ]
    write_jsonl(folders["triplets"] / TRIPLETS_FILE, rows)
    spec = TuneRetrieverSpec(
        retriever=Retriever(model=str(model), max_length=32),
        recipe=RetrieverRecipe(epochs=1, batch_size=3, checkpoints=1),
    )
    masked = {}
    for name, pairs in {"none": [], "known": [("WHAT about lime", "kiln"), ("what about lime", "gone")]}.items():
        Known(pairs).write(folders["triplets"])
        out = tmp_path / name
        out.mkdir()
        usage = tune_retriever(spec, {key: folders[key] for key in ("corpus", "triplets")}, out, 0, silent)
        masked[name] = usage.notes.get("known positives masked in batches", 0)
    assert masked == {"none": 0, "known": 1}


@pytest.mark.parametrize("recipe", ["mnrl", "raw", "triplet", "distill"])
def test_a_pair_that_has_nothing_to_be_told_from_changes_nothing_and_is_said(
    recipe: str, tmp_path: Path, model: Path
) -> None:
    """One document in the corpus: every row is trained on, and none has a negative."""
    folders = artifacts(tmp_path)
    rows = [{"query": f"what about {word}", "doc_id": "lime", "negatives": []} for word in WORDS[:5]]
    write_jsonl(folders["triplets"] / TRIPLETS_FILE, rows)
    spec = TuneRetrieverSpec(
        retriever=Retriever(model=str(model), max_length=32),
        recipe=RetrieverRecipe(recipe=recipe, epochs=1, batch_size=2, checkpoints=1),
    )
    if recipe in ("triplet", "distill"):
        if recipe == "distill":
            write_jsonl(folders["labels"] / LABELS_FILE, [{**row, "score": 1.0, "positive": True} for row in rows])
        names = ("corpus", "labels" if recipe == "distill" else "triplets")
        with pytest.raises(ValueError, match=r"none were mined|no pairs are left"):
            tune_retriever(spec, {name: folders[name] for name in names}, tmp_path, 0, silent)
        return
    usage = tune_retriever(spec, {name: folders[name] for name in ("corpus", "triplets")}, tmp_path, 0, silent)
    assert (usage.units, usage.notes["rows trained on"]) == (5, 5)
    assert usage.notes["rows whose batch holds no negative for them"] == 5
