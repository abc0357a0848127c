"""Every combination of tuned parts, end to end on the fixture `pocket`, with models of a few thousand weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pocket
import pytest
import tiny
from test_benchmark import Here

from harness.data.datasets import load_dataset
from harness.data.formats import read_run
from harness.execution.latency import Latencies
from harness.execution.making import no_display
from harness.experiments import benchmark
from harness.planning.plan import build_plan
from harness.report.render.markdown import outcome_pictures, render_markdown
from harness.store import FolderStore
from harness.suite.files import load_suite
from harness.values.findings import Outcome

PARTS = ("retriever", "reranker", "generator")
STAGES = (
    "index", "retrieve", "fuse", "mine", "label", "instruct", "tune_retriever", "tune_reranker", "tune_generator",
    "rerank", "answer", "probe",
)  # fmt: skip


def words() -> list[str]:
    """Every word of the dataset, so that the tokenizers of the tiny models need no letters."""
    instruction = "answer the question from passages as briefly possible none system user assistant"
    return sorted({*pocket.words(), *instruction.split()})


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, known = tmp_path_factory.mktemp("strategies"), words()
    changes: dict[str, Any] = {
        "pipeline": {
            "retriever": {"model": str(tiny.bi_encoder(root / "bi", known)), "max_length": 48},
            "generator": {
                "model": str(tiny.generator(root / "generator", known)), "max_new_tokens": 6, "passage_tokens": 30,
                "instruction": "Answer the question.",
            },
            "depth": 20, "rerank_depth": 5, "context": 2,
        },
        "data": {"pairs": "judged", "mine": {"hard": 1, "random": 1}, "instruct": {"distractors": 1, "examples": 8}},
        "candidates": {"turned": {"tune": ["reranker", "retriever"]}},
        "factorial": list(PARTS),
        "recipes": {
            "retriever": {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "checkpoints": 2},
            "reranker": {
                "model": str(tiny.cross_encoder(root / "cross", known)), "epochs": 1, "batch_size": 8,
                "max_length": 48, "learning_rate": 0.01, "checkpoints": 1,
            },
            "generator": {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "rank": 4},
        },
        "measures": ["ndcg@10", "recall@5", "token_f1", "utility"],
        "utility": {"right": "token_f1", "threshold": 0.5},
        "gates": [{"measure": "ndcg@10", "margin": 0.02}, {"measure": "utility", "margin": 0.05}],
    }  # fmt: skip
    path = root / "suite.yaml"
    path.write_text(pocket.suite_text(changes), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def executor() -> Here:
    return Here()


@pytest.fixture(scope="module")
def done(suite: Path, executor: Here, tmp_path_factory: pytest.TempPathFactory) -> benchmark.Finished:
    return benchmark.run(suite, tmp_path_factory.mktemp("store"), executor=executor)


def names(outcome: Outcome) -> dict[str, Any]:
    return {info.name: info for info in outcome.systems}


def test_every_combination_was_made_and_nothing_failed(done: benchmark.Finished, executor: Here) -> None:
    outcome = done.outcome
    candidates = {info.name: info.tunes for info in outcome.systems if info.role == "candidate"}
    assert len(candidates) == 8
    assert candidates["retriever-reranker-generator"] == PARTS
    assert [info.failed for info in outcome.systems if info.failed] == []
    assert done.failed_share == 0
    assert set(executor.asked) >= set(STAGES) - {"fuse"}
    assert outcome.calls_planned == len(outcome.ledger)
    assert outcome.calls_without_sharing > 2 * outcome.calls_planned


def test_every_training_was_made_once(executor: Here) -> None:
    asked = {stage: executor.asked.count(stage) for stage in executor.asked}
    # Two rerankers and the turned one; the turned order shares both of its parts with others.
    assert (asked["tune_retriever"], asked["tune_reranker"], asked["tune_generator"]) == (1, 2, 4)


def test_a_reranked_list_holds_the_same_documents(done: benchmark.Finished) -> None:
    runs = done.folder / "runs"
    for before, after in (("untuned", "reranker-0"), ("retriever-0", "retriever-reranker-0")):
        one, other = read_run(runs / f"{before}.trec"), read_run(runs / f"{after}.trec")
        assert one.keys() == other.keys()
        for query_id, hits in one.items():
            ids, again = [doc_id for doc_id, _ in hits], [doc_id for doc_id, _ in other[query_id]]
            assert sorted(ids[:5]) == sorted(again[:5])
            assert ids[5:] == again[5:]
        assert one != other


def test_effects_are_told_for_all_parts_and_pairs(done: benchmark.Finished) -> None:
    found = {(one.kind, one.parts, one.measure) for one in done.outcome.effects if one.finding != "not computed"}
    for part in PARTS:
        assert ("main", (part,), "ndcg@10") in found
    assert ("interaction", ("retriever", "reranker"), "ndcg@10") in found
    inert = [one for one in done.outcome.effects if one.parts == ("generator",) and one.measure == "ndcg@10"]
    assert [one.finding for one in inert if one.kind == "main"] == ["changes nothing"]


def test_only_what_is_made_alike_is_known_not_to_differ(done: benchmark.Finished) -> None:
    rows = {(row.system, row.measure): row for row in done.outcome.comparisons if row.family == "gain"}
    lists = rows["generator", "ndcg@10"]
    assert (lists.low, lists.high, lists.reason) == (0.0, 0.0, "its output is the same as the baseline's")
    # Models of a few thousand weights get nothing right, before and after: which does not say that nothing changed.
    answers = rows["retriever", "utility"]
    assert answers.difference == 0
    assert answers.low != 0


def test_serving_times_each_shape_once(done: benchmark.Finished) -> None:
    """What tuning changes in an encoder takes no time; what a generator writes does."""
    parts = {name: info.serving.parts for name, info in names(done.outcome).items() if info.serving}
    assert parts["untuned"] == ("dense", "generator")
    assert parts["retriever"] == ("dense", "generator")
    assert parts["reranker"] == ("dense", "rerank:reranker (seed 0)", "blend", "generator")
    assert parts["turned"] == parts["reranker"]
    own = "generator:retriever-reranker-generator (seed 0)"
    assert parts["retriever-reranker-generator"] == ("dense", "rerank:reranker (seed 0)", "blend", own)
    assert parts["bm25"] == ("bm25", "generator")
    added = {one.system: one.added_p95_ms for one in done.outcome.roi if one.measure == "ndcg@10"}
    assert added["retriever"] == 0


def test_a_shape_is_timed_with_what_was_made(suite: Path, tmp_path: Path) -> None:
    """A training that failed does not take the times of all that are shaped like it."""
    spec = load_suite(suite)[0]
    plan = build_plan(spec, load_dataset(spec.dataset, spec.evaluate.split))
    store = FolderStore(tmp_path)
    latencies = Latencies(plan, store, Here(), no_display)
    alike = [system for system in plan.systems if "reranker" in system.models]
    assert latencies._plainest(alike).name == "reranker"
    made = next(system for system in alike if system.name == "retriever-reranker")
    for key in (*made.serving.artifacts, *made.serving.path, *made.models.values()):
        with store.claim(str(key)) as folder:
            store.commit(str(key), folder, {})
    assert latencies._plainest(alike) is made


def test_what_a_tuned_part_costs_is_in_the_cost_to_make_of_those_that_have_it(done: benchmark.Finished) -> None:
    cost = {name: info.build_seconds for name, info in names(done.outcome).items()}
    spent: dict[str, float] = {}
    for row in done.outcome.ledger:
        if "reranker (seed 0)" in row.systems and row.stage == "tune_reranker":
            spent["reranker"] = row.seconds
        if "generator (seed 0)" in row.systems and row.stage == "tune_generator":
            spent["generator"] = row.seconds
    assert set(spent) == {"reranker", "generator"}
    for name, seconds in spent.items():
        assert cost[name] >= cost["untuned"] + seconds > cost["untuned"]
    assert cost["retriever-reranker"] > cost["retriever"]
    assert cost["retriever-reranker-generator"] > cost["retriever-reranker"]


def test_the_report_says_whether_gains_add_up(done: benchmark.Finished) -> None:
    text = render_markdown(done.outcome, outcome_pictures(done.outcome, "charts"))
    assert "Do the gains add up?" in text
    assert f"{done.outcome.calls_planned} distinct" in text
    assert (done.folder / "report.md").read_text(encoding="utf-8") == text


def test_the_same_again_makes_nothing(done: benchmark.Finished, suite: Path) -> None:
    again = benchmark.run(suite, done.folder.parents[2], executor=Here())
    assert (again.calls_made, again.scores_computed) == (0, 0)
    assert again.outcome.summaries == done.outcome.summaries
    assert again.outcome.effects == done.outcome.effects
