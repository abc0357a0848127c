"""Adapters of causal rerankers are trained on soft labels, and the best checkpoint on dev is kept, the start included.

One test is a report of another project, by kind: a training whose scores were not those of serving (ms-swift 8386).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import rankers
import torch
from stage_inputs import silent

from harness.data.formats import read_run, write_jsonl, write_run
from harness.hashing import digest_file
from harness.models.causal_rerankers import CausalReranker, load_causal_reranker
from harness.models.language_models import load_language_model
from harness.stages import load_stage
from harness.stages import tune_reranker as tuning
from harness.stages.label import LABELS_FILE
from harness.stages.rerank import RerankSpec, rerank
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.tune_reranker import TuneRerankerSpec, tune_reranker
from harness.suite.recipes import RerankerRecipe
from harness.training import causal_rerankers as training
from harness.training.causal_rerankers import LabelledPrompt, Run, soft_label_loss
from harness.values.records import Usage

GRADES = {"lime": 1.0, "ferry": 0.5, "slate": 0.0, "mail": 0.0}
LEARNS = RerankerRecipe(epochs=40, batch_size=4, learning_rate=2e-3, checkpoints=1)
SHORT = RerankerRecipe(epochs=2, batch_size=8, learning_rate=2e-3, checkpoints=1)


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def own_passage(query: str, word: str) -> float:
    return float(query.split()[-1] == word)


def inputs(root: Path, grades: Mapping[str, float] | None = None, dev: bool = False) -> dict[str, Path]:
    """Labels of each passage for each query: whether it is the query's own, or its grade."""
    rows = [
        {"query": query, "doc_id": word, "score": grades[word] if grades else own_passage(query, word),
         "positive": own_passage(query, word) == 1}
        for query in rankers.QUERIES.values()
        for word in rankers.TOPICS
    ]  # fmt: skip
    write_jsonl(folder(root, "labels") / LABELS_FILE, rows)
    common.write_corpus(folder(root, "corpus"), rankers.DOCUMENTS)
    names = ["labels", "corpus"]
    if dev:
        run = {
            key: [(word, -float(place)) for place, word in enumerate(reversed(rankers.TOPICS))]
            for key in rankers.QUERIES
        }
        write_run(folder(root, "dev_run") / RUN_FILE, run)
        common.write_queries(folder(root, "dev_queries"), rankers.QUERIES)
        qrels = {key: {word: 1} for key, word in zip(rankers.QUERIES, rankers.TOPICS, strict=True)}
        common.write_judgements(folder(root, "dev_qrels"), qrels)
        names += ["dev_run", "dev_queries", "dev_qrels"]
    return {name: root / name for name in names}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rankers.causal(tmp_path_factory.mktemp("start"), hidden=64)


def tuned(
    root: Path, start: Path, recipe: RerankerRecipe, out: str = "out", seed: int = 0, **given: Any
) -> tuple[Path, Usage]:
    spec = TuneRerankerSpec(kind="causal-lm", recipe=recipe, model=str(start), max_length=32)
    usage = tune_reranker(spec, inputs(root, **given), folder(root, out), seed, silent)
    return root / out, usage


def trainable(start: Path) -> CausalReranker:
    """The reranker with its layers as they are saved: those that serve cannot be trained."""
    return CausalReranker(*load_language_model(start), 32, folder=start)


def probabilities(start: Path, adapter: Path | None = None) -> list[list[float]]:
    """The probability of yes for each passage, query after query."""
    reranker = load_causal_reranker(start, 32, adapter=adapter)
    pairs = [(query, item.content) for query in rankers.QUERIES.values() for item in rankers.DOCUMENTS.values()]
    return torch.sigmoid(torch.tensor(reranker.score(pairs))).view(4, 4).tolist()  # type: ignore[no-any-return]


def test_soft_labels_are_learned_as_they_are(tmp_path: Path, start: Path) -> None:
    adapter, usage = tuned(tmp_path, start, LEARNS, grades=GRADES)
    assert usage.notes["mean loss, last third"] < 0.6 * usage.notes["mean loss, first third"]
    for found in probabilities(start, adapter):
        assert found == pytest.approx(list(GRADES.values()), abs=0.1)


def test_training_on_planted_labels_raises_ndcg_on_dev(tmp_path: Path, start: Path) -> None:
    adapter, usage = tuned(tmp_path, start, LEARNS.model_copy(update={"checkpoints": 4}), dev=True)
    evaluations = [entry.split() for entry in usage.notes["ndcg@10 on dev"].split(", ")]
    assert [entry[1] for entry in evaluations[:2]] == ["0", "40"]
    first, best = float(evaluations[0][2]), max(float(entry[2]) for entry in evaluations)
    assert best == 1.0 > first + 0.1
    assert usage.notes["ndcg@10 on dev without a reranker"] < 1
    # The stage that serves it gives the same order.
    given = {name.removeprefix("dev_"): path for name, path in inputs(tmp_path, dev=True).items() if name != "labels"}
    del given["qrels"]
    spec = RerankSpec(kind="causal-lm", depth=4, max_length=32, model=str(start))
    rerank(spec, {**given, "adapter": adapter}, folder(tmp_path, "ranked"), 0, silent)
    ranked = read_run(tmp_path / "ranked" / RUN_FILE, escaped=True)
    assert [ranked[key][0][0] for key in rankers.QUERIES] == rankers.TOPICS


def scored_on_dev(monkeypatch: pytest.MonkeyPatch, values: Sequence[float]) -> list[float]:
    """Let dev evaluations give these values, then the last of them; return the evaluations made."""
    made: list[float] = []

    def reranked(self: Any, scorer: Any) -> float:
        made.append(values[min(len(made), len(values) - 1)])
        return made[-1]

    monkeypatch.setattr(tuning.DevLists, "reranked", reranked)
    return made


def test_a_start_that_training_makes_worse_is_kept(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scored_on_dev(monkeypatch, [0.9, 0.2])
    recipe = SHORT.model_copy(update={"epochs": 5, "checkpoints": 5, "patience": 2})
    adapter, usage = tuned(tmp_path, start, recipe, dev=True)
    assert made == [0.9, 0.2, 0.2]
    assert usage.notes["checkpoint"] == "step 0: training gained nothing on dev"
    assert usage.notes["stopped early"] == "after 4 of 10 steps"
    assert usage.units == 4 * 8
    for found, before in zip(probabilities(start, adapter), probabilities(start), strict=True):
        assert found == pytest.approx(before, abs=1e-6)


def test_the_best_checkpoint_is_kept(tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = SHORT.model_copy(update={"checkpoints": 4, "patience": 9})
    scored_on_dev(monkeypatch, [0.1, 0.2, 0.3, 0.4, 0.5])
    last, usage = tuned(tmp_path, start, recipe, "last", dev=True)
    assert usage.notes["checkpoint"] == "step 4"
    scored_on_dev(monkeypatch, [0.1, 0.9, 0.3])
    first, usage = tuned(tmp_path, start, recipe, "first", dev=True)
    assert usage.notes["checkpoint"] == "step 1"
    monkeypatch.undo()
    plain, _ = tuned(tmp_path, start, SHORT, "plain", dev=True)
    digests = [digest_file(path / "adapter_model.safetensors") for path in (last, plain, first)]
    assert digests[0] == digests[1] != digests[2]


def test_the_artifact_is_an_adapter_without_paths(tmp_path: Path, start: Path) -> None:
    adapter, usage = tuned(tmp_path, start, SHORT)
    assert sorted(path.name for path in adapter.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == start.name
    assert (config["r"], config["lora_alpha"]) == (16, 32)
    notes = usage.notes
    assert (notes["queries"], notes["pairs"], notes["pairs cut at 32 tokens"], notes["steps"]) == (4, 16, 0, 4)
    assert notes["checkpoint"] == "the last: dev was not evaluated"
    assert usage.units == 32


def test_a_seed_gives_the_same_adapter_again_and_another_seed_another(tmp_path: Path, start: Path) -> None:
    made = [tuned(tmp_path, start, SHORT, out, seed)[0] for seed, out in ((0, "a"), (0, "b"), (1, "c"))]
    digests = [digest_file(path / "adapter_model.safetensors") for path in made]
    assert digests[0] == digests[1] != digests[2]


def test_the_loss_is_the_cross_entropy_of_the_scores_that_serving_gives(start: Path) -> None:
    reranker = load_causal_reranker(start, 32)
    pairs = [("about lime", "lime by night"), ("lime", "slate"), ("mail", "the mail by the ferry by night")]
    prompts, labels = reranker.prompts(pairs).coded, [1.0, 0.3, 0.0]
    inputs = training._padded(
        [{"input_ids": row, "relevance": label} for row, label in zip(prompts, labels, strict=True)]
    )
    with torch.no_grad():
        loss = float(soft_label_loss(reranker.model, inputs, reranker.answers))
    chances = torch.sigmoid(torch.tensor(reranker.score(pairs))).double()
    wanted = torch.tensor(labels).double()
    entropy = -(wanted * chances.log() + (1 - wanted) * (1 - chances).log()).mean()
    assert loss == pytest.approx(float(entropy), abs=1e-5)


@pytest.mark.parametrize("micro_batch", [8, 3, 1])
def test_steps_are_the_same_whatever_is_in_memory_at_once(start: Path, micro_batch: int) -> None:
    reranker = trainable(start)
    pairs = [(query, item.content) for query in rankers.QUERIES.values() for item in rankers.DOCUMENTS.values()]
    rows = [LabelledPrompt(row, float(place % 3) / 2) for place, row in enumerate(reranker.prompts(pairs).coded)]
    seen: list[tuple[int, int]] = []
    recipe = SHORT.model_copy(update={"learning_rate": 1e-3})
    with common.seeded(0):
        run = Run(0, micro_batch, lambda *at: seen.append(at))
        found = training.train(reranker.model, rows, reranker.answers, recipe, run)
    assert seen[-1] == (4, 4)
    assert len(found.losses) == 4
    with common.seeded(0):
        other = trainable(start).model
        whole = training.train(other, rows, reranker.answers, recipe, Run(0, 8, silent))
    assert found.losses == pytest.approx(whole.losses, abs=2e-3)


def test_a_recipe_over_lists_is_refused(tmp_path: Path, start: Path) -> None:
    with pytest.raises(
        ValueError, match="recipe listwise does not tune a reranker of kind causal-lm; use recipe: auto"
    ):
        tuned(tmp_path, start, RerankerRecipe(recipe="listwise"))


def test_a_training_whose_loss_is_no_number_ends(start: Path) -> None:
    reranker = trainable(start)
    rows = [LabelledPrompt(row, 1.0) for row in reranker.prompts([("lime", "lime")] * 8).coded]
    with torch.no_grad():
        reranker.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"NaN or infinite; lower recipes.reranker.learning_rate"), common.seeded(0):
        training.train(reranker.model, rows, reranker.answers, SHORT, Run(0, 8, silent))


def test_learning_rates_are_those_of_what_is_trained() -> None:
    assert RerankerRecipe().rate(adapter=False) == 2e-5
    assert RerankerRecipe().rate(adapter=True) == training.as_generator_recipe(RerankerRecipe()).learning_rate == 2e-4
    given = RerankerRecipe(learning_rate=1e-3)
    assert given.rate(adapter=False) == given.rate(adapter=True) == 1e-3


@pytest.mark.parametrize("name", ["rerank", "tune_reranker"])
def test_first_guesses_say_that_causal_rerankers_are_slower(name: str) -> None:
    stage = load_stage(name)
    guesses = [stage.first_guess({"kind": kind}) for kind in ("causal-lm", "cross-encoder")]
    assert guesses[0] * 5 < guesses[1] == stage.first_guess({})
