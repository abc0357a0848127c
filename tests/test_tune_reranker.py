"""Cross-encoders are tuned on soft labels and on lists, reproducibly, with a checkpoint chosen on dev."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file
from stage_inputs import silent

from harness.data.formats import write_jsonl, write_run
from harness.hashing import digest_file
from harness.models.loaders import has_trained_head, load_cross_encoder
from harness.stages import tune_reranker as tuning
from harness.stages.label import LABELS_FILE
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.shared.passage_scorers import CrossEncoderScorer, Pool
from harness.stages.shared.relevance_models import score_pairs
from harness.stages.tune_reranker import TuneRerankerSpec, dev_lists, tune_reranker, usable
from harness.suite.fields import Spec
from harness.suite.recipes import RerankerRecipe
from harness.training import rerankers
from harness.training.rerankers import GradedPassages, batching, training_columns
from harness.values.records import Document, Progress, Usage

WORDS = ["lime", "kiln", "ferry", "mail", "slate", "roof", "night", "ice", "burn", "lay", "about"]
TOPICS = ["lime", "ferry", "slate", "mail"]
DOCUMENTS = {word: Document(word, "", f"{word} by night") for word in TOPICS}
QUERIES = {f"q{number}": f"about {word}" for number, word in enumerate(TOPICS)}
QRELS = {f"q{number}": {word: 1} for number, word in enumerate(TOPICS)}


def labels(soft: float = 0.3) -> list[dict[str, Any]]:
    """Each query with its own passage, one that is a little relevant, and two that are not."""
    rows = []
    for number, word in enumerate(TOPICS):
        near = TOPICS[(number + 1) % len(TOPICS)]
        scores = {word: 1.0, near: soft}
        rows += [
            {"query": f"about {word}", "doc_id": other, "score": scores.get(other, 0.0), "positive": other == word}
            for other in TOPICS
        ]
    return rows


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def inputs(root: Path, rows: Sequence[dict[str, Any]] | None = None, dev: bool = False) -> dict[str, Path]:
    write_jsonl(folder(root, "labels") / LABELS_FILE, labels() if rows is None else rows)
    common.write_corpus(folder(root, "corpus"), DOCUMENTS)
    names = ["labels", "corpus"]
    if dev:
        run = {key: [(doc_id, -float(place)) for place, doc_id in enumerate(reversed(TOPICS))] for key in QUERIES}
        write_run(folder(root, "dev_run") / RUN_FILE, run)
        common.write_queries(folder(root, "dev_queries"), QUERIES)
        common.write_judgements(folder(root, "dev_qrels"), QRELS)
        names += ["dev_run", "dev_queries", "dev_qrels"]
    return {name: root / name for name in names}


def tuned(
    root: Path, recipe: RerankerRecipe, seed: int = 0, out: str = "out", start: Path | None = None, dev: bool = False,
    rows: Sequence[dict[str, Any]] | None = None, kind: Any = "cross-encoder",
) -> tuple[Path, Usage]:  # fmt: skip
    start = start or tiny.cross_encoder(root / "start", WORDS)
    spec = TuneRerankerSpec(recipe=recipe, model=str(start), max_length=32, kind=kind)
    usage = tune_reranker(spec, inputs(root, rows, dev), folder(root, out), seed, silent)
    return root / out, usage


def long_recipe(name: str, **changes: Any) -> RerankerRecipe:
    settings = {"recipe": name, "epochs": 60, "batch_size": 16, "learning_rate": 1e-2, "checkpoints": 1, **changes}
    return RerankerRecipe.model_validate(settings)


def scores_of(model: Path) -> dict[str, list[float]]:
    """Relevance of all documents to each topic's query, from 0 to 1."""
    loaded = load_cross_encoder(model, 32)
    found = {}
    for word in TOPICS:
        logits = score_pairs(loaded, [(f"about {word}", DOCUMENTS[other].content) for other in TOPICS])
        found[word] = torch.sigmoid(torch.tensor(logits)).tolist()
    return found


# Grades that hang on the passage alone: what so small a model learns in seconds, from any start.
GRADES = {"lime": 1.0, "ferry": 0.5, "slate": 0.0, "mail": 0.0}


def graded() -> list[dict[str, Any]]:
    return [{**row, "score": GRADES[row["doc_id"]]} for row in labels()]


def test_soft_labels_are_learned_as_they_are(tmp_path: Path) -> None:
    model, usage = tuned(tmp_path, long_recipe("bce", epochs=40, batch_size=4, learning_rate=5e-3), rows=graded())
    assert usage.notes["mean loss, last third"] < 0.6 * usage.notes["mean loss, first third"]
    for scores in scores_of(model).values():
        assert scores == pytest.approx(list(GRADES.values()), abs=0.15)


def test_listwise_learns_the_order_of_graded_labels(tmp_path: Path) -> None:
    model, usage = tuned(tmp_path, long_recipe("listwise", epochs=40), rows=graded())
    assert usage.notes["mean loss, last third"] < 0.6 * usage.notes["mean loss, first third"]
    for lime, ferry, slate, mail in scores_of(model).values():
        assert lime > ferry > max(slate, mail)


@pytest.mark.parametrize("name", ["bce", "listwise"])
def test_a_seed_gives_the_same_weights_again_and_another_seed_others(name: str, tmp_path: Path) -> None:
    recipe = long_recipe(name, epochs=2, batch_size=8)
    start = tiny.bi_encoder(tmp_path / "start", WORDS)
    files = [tuned(tmp_path, recipe, seed, out, start)[0] for seed, out in ((0, "a"), (0, "b"), (1, "c"))]
    weights = [digest_file(path / "model.safetensors") for path in files]
    assert weights[0] == weights[1] != weights[2]


def test_a_start_without_a_head_becomes_a_model_with_one(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    start = tiny.bi_encoder(tmp_path / "start", WORDS)
    model, usage = tuned(tmp_path, long_recipe("bce", epochs=1), start=start)
    assert has_trained_head(model)
    assert load_cross_encoder(model, 32).max_seq_length == 32
    assert CrossEncoder(str(model), device="cpu", local_files_only=True).num_labels == 1
    assert {path.suffix for path in model.iterdir()} == {".json", ".safetensors"}
    assert usage.units == 16
    assert usage.notes == {
        "queries": 4, "pairs": 16, "queries left out, whose passages are labelled alike": 0,
        "pairs cut at 32 tokens": 0, "steps": 1, "checkpoint": "the last: dev was not evaluated",
        "mean loss, first third": usage.notes["mean loss, first third"],
        "mean loss, last third": usage.notes["mean loss, last third"],
    }  # fmt: skip


# dev


def scored_on_dev(monkeypatch: pytest.MonkeyPatch, values: Sequence[float]) -> list[float]:
    """Let looks at dev give these values, then the last of them; return the looks made."""
    made: list[float] = []

    class Dev:
        def reranked(self, model: Any) -> float:
            made.append(values[min(len(made), len(values) - 1)])
            return made[-1]

        def as_they_come(self) -> float:
            return 0.25

    monkeypatch.setattr(tuning, "dev_lists", lambda *given: Dev())
    return made


def test_training_stops_when_dev_does_not_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations = scored_on_dev(monkeypatch, [0.4, 0.5, 0.9, 0.8])
    recipe = long_recipe("bce", epochs=20, checkpoints=10, patience=2)
    _, usage = tuned(tmp_path, recipe)
    assert evaluations == [0.4, 0.5, 0.9, 0.8, 0.8]
    assert usage.notes["steps"] == 8
    assert usage.notes["stopped early"] == "after 8 of 20 steps"
    # A step has all pairs, and what was not trained on is not counted.
    assert usage.units == 8 * usage.notes["pairs"]
    assert usage.notes["checkpoint"] == "step 4"
    assert usage.notes["ndcg@10 on dev without a reranker"] == 0.25


def test_the_weights_of_the_best_look_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best_first = long_recipe("bce", epochs=4, checkpoints=4, patience=4)
    scored_on_dev(monkeypatch, [0.2, 0.9, 0.1])
    first, usage = tuned(tmp_path, best_first, out="first")
    assert usage.notes["checkpoint"] == "step 1"
    assert "stopped early" not in usage.notes
    scored_on_dev(monkeypatch, [0.0, 0.1, 0.2, 0.3, 0.4])
    last, _ = tuned(tmp_path, best_first, out="last")
    monkeypatch.undo()
    plain, _ = tuned(tmp_path, best_first.model_copy(update={"checkpoints": 1}), out="plain")
    digests = [digest_file(path / "model.safetensors") for path in (first, last, plain)]
    assert digests[0] != digests[1] == digests[2]


@pytest.mark.parametrize("kind", ["cross-encoder", "late-interaction"])
def test_a_start_that_training_does_not_better_is_kept(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluations = scored_on_dev(monkeypatch, [0.9, 0.1, 0.9])
    start = tiny.cross_encoder(tmp_path, WORDS) if kind == "cross-encoder" else tiny.bi_encoder(tmp_path, WORDS)
    recipe = long_recipe("bce", epochs=4, checkpoints=4, patience=3)
    model, usage = tuned(tmp_path, recipe, start=start, kind=kind)
    assert evaluations == [0.9, 0.1, 0.9, 0.9]
    assert usage.notes["checkpoint"] == "step 0: training gained nothing on dev"
    assert usage.notes["ndcg@10 on dev"].startswith("step 0 0.9000, step 1 0.1000")
    before, after = (load_file(folder / "model.safetensors") for folder in (start, model))
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_a_random_head_is_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations = scored_on_dev(monkeypatch, [0.9, 0.1])
    recipe = long_recipe("bce", epochs=2, checkpoints=2, patience=3)
    _, usage = tuned(tmp_path, recipe, start=tiny.bi_encoder(tmp_path, WORDS))
    assert evaluations == [0.9, 0.1]
    assert usage.notes["checkpoint"] == "step 1"


def test_dev_is_the_mean_ndcg_of_the_reranked_lists_as_they_are(tmp_path: Path) -> None:
    given = inputs(tmp_path, dev=True)
    # The relevant passage of q0 was not found, that of q1 is third before reranking.
    run = {"q0": [("ferry", 3.0)], "q1": [("lime", 3.0), ("mail", 2.0), ("ferry", 1.0)]}
    write_run(given["dev_run"] / RUN_FILE, run)
    common.write_queries(given["dev_queries"], {key: QUERIES[key] for key in ("q0", "q1")})
    wanted = {"lime by night": 0.0, "mail by night": 1.0, "ferry by night": 2.0}

    class Wanted(CrossEncoderScorer):
        def score(self, pools: Sequence[Pool], progress: Progress = silent) -> list[list[float]]:
            return [[wanted[self.documents[doc_id].content] for doc_id in pool.doc_ids] for pool in pools]

    def measured(**changes: Any) -> float:
        dev = dev_lists(RerankerRecipe(**changes), given)
        assert dev is not None
        assert dev.as_they_come() == pytest.approx(0 if changes.get("dev_depth") == 2 else by_itself(dev), abs=1e-6)
        return dev.reranked(Wanted(None, DOCUMENTS))

    def by_itself(dev: Any) -> float:
        """The third of q1's list is the relevant one."""
        return sum(0.5 if key == "q1" else 0.0 for key in dev.lists) / len(dev.lists)

    assert measured() == pytest.approx((0 + 1) / 2)
    wanted["mail by night"] = 3.0
    assert measured() == pytest.approx((0 + 0.6309298) / 2)
    assert measured(dev_depth=2) == 0
    assert measured(dev_queries=1) in (0.0, pytest.approx(0.6309298))


def test_dev_is_not_looked_at_without_judged_queries(tmp_path: Path) -> None:
    given = inputs(tmp_path, dev=True)
    common.write_judgements(given["dev_qrels"], {"q0": {"lime": 0}})
    assert dev_lists(RerankerRecipe(), given) is None
    assert dev_lists(RerankerRecipe(), inputs(tmp_path)) is None


def test_a_training_with_dev_looks_at_it(tmp_path: Path) -> None:
    _, usage = tuned(tmp_path, long_recipe("listwise", epochs=6, checkpoints=3), dev=True)
    evaluations = [look.split() for look in usage.notes["ndcg@10 on dev"].split(", ")]
    assert [look[1] for look in evaluations] == ["0", "2", "4", "6"]
    assert all(0 < float(look[2]) <= 1 for look in evaluations)


# batches


@pytest.mark.parametrize(
    ("name", "batch_size", "micro_batch", "right"),
    [
        ("bce", 8, 8, (8, 1, 16, 2 * 2)),
        ("bce", 8, 4, (4, 2, 16, 2 * 2)),
        ("bce", 8, 1, (1, 8, 16, 2 * 2)),
        ("bce", 10, 10, (10, 1, 16, 2 * 2)),
        ("listwise", 8, 8, (2, 1, 4, 2 * 2)),
        ("listwise", 8, 4, (1, 2, 4, 2 * 2)),
        ("listwise", 8, 1, (1, 2, 4, 2 * 2)),
        ("listwise", 3, 3, (1, 1, 4, 2 * 4)),
        ("listwise", 99, 99, (24, 1, 4, 2 * 1)),
    ],
)
def test_batches_are_kept_when_less_is_in_memory(
    name: Any, batch_size: int, micro_batch: int, right: tuple[int, int, int, int]
) -> None:
    lists = [GradedPassages("q", ("a", "b", "c", "d"), (1.0, 0.0, 0.0, 0.0))] * 4
    found = batching(lists, RerankerRecipe(recipe=name, batch_size=batch_size, epochs=2), micro_batch)
    assert (found.at_once, found.parts, found.rows, found.steps) == right


@pytest.mark.parametrize("micro_batch", [12, 6])
@pytest.mark.parametrize("name", ["bce", "listwise"])
def test_the_trainer_makes_as_many_steps_as_are_announced(name: str, micro_batch: int, tmp_path: Path) -> None:
    recipe = long_recipe(name, epochs=2, batch_size=12)
    model = load_cross_encoder(tiny.cross_encoder(tmp_path, WORDS), 32)
    lists = tuning.graded_lists(labels(), DOCUMENTS)
    seen: list[tuple[int, int]] = []
    trained = rerankers.train(model, lists, recipe, 0, micro_batch, lambda *at: seen.append(at), None)
    steps = batching(lists, recipe, micro_batch).steps
    assert (len(trained.losses), seen[-1]) == (steps, (steps, steps))


@pytest.mark.parametrize("name", ["bce", "listwise"])
def test_when_memory_is_short_the_same_batches_are_made_of_smaller_parts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = long_recipe(name, epochs=3, batch_size=8)
    whole, _ = tuned(tmp_path, recipe, out="whole")
    tried: list[int] = []
    train = rerankers.train

    def short(model: Any, lists: Any, recipe: Any, seed: int, micro_batch: int, *rest: Any) -> Any:
        tried.append(micro_batch)
        if micro_batch > 4:
            raise torch.OutOfMemoryError("too much")
        return train(model, lists, recipe, seed, micro_batch, *rest)

    monkeypatch.setattr(tuning, "train", short)
    parts, usage = tuned(tmp_path, recipe, out="parts")
    assert tried == [8, 4]
    assert usage.notes["out of memory"] == "a micro-batch of 8 did not fit, trained with 4"
    assert usage.notes["steps"] == 6
    for one, other in zip(scores_of(whole).values(), scores_of(parts).values(), strict=True):
        assert one == pytest.approx(other, abs=0.02)


# rows


def test_columns_stand_in_the_order_that_the_losses_expect() -> None:
    lists = [GradedPassages("q", ("a", "b"), (0.5, 0.0)), GradedPassages("r", ("c",), (1.0,))]
    pairs = training_columns(lists, RerankerRecipe(recipe="bce"))
    assert list(pairs) == ["query", "passage", "label"]
    assert list(zip(*pairs.values(), strict=True)) == [("q", "a", 0.5), ("q", "b", 0.0), ("r", "c", 1.0)]
    whole = training_columns(lists, RerankerRecipe(recipe="listwise"))
    assert list(whole) == ["query", "passages", "label"]
    assert list(zip(*whole.values(), strict=True)) == [("q", ["a", "b"], [0.5, 0.0]), ("r", ["c"], [1.0])]


def test_lists_with_nothing_to_order_are_left_out_of_listwise_only() -> None:
    mixed, alike = GradedPassages("q", ("a", "b"), (1.0, 0.0)), GradedPassages("r", ("a", "b"), (0.5, 0.5))
    assert usable([mixed, alike], RerankerRecipe(recipe="listwise")) == [mixed]
    assert usable([mixed, alike], RerankerRecipe(recipe="bce")) == [mixed, alike]


@pytest.mark.parametrize(
    ("lists", "name", "said"),
    [
        ([], "bce", "no two labels differ"),
        ([GradedPassages("q", ("a", "b"), (1.0, 1.0))], "bce", "no two labels differ"),
        ([GradedPassages("q", ("a",), (1.0,)), GradedPassages("r", ("b",), (0.0,))], "listwise", "use bce"),
    ],
)
def test_labels_that_teach_nothing_are_refused(lists: list[GradedPassages], name: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        usable(lists, RerankerRecipe(recipe=name))


def test_the_spec_is_what_the_plan_asks_for() -> None:
    given: Spec = TuneRerankerSpec.model_validate(
        {"recipe": RerankerRecipe().model_dump(), "model": "embedded:all-minilm-l6-v2", "max_length": 256}
    )
    assert given.model_dump()["recipe"]["recipe"] == "auto"
