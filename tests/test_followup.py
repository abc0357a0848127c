"""What an outcome says after a diagnosis: prediction beside outcome, slices, returns, another dataset."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import planted
import pytest
from rich.console import Console

from harness.cli.doctor import examine
from harness.cli.plan import describe
from harness.data.formats import write_run
from harness.errors import ConfigError
from harness.experiments import benchmark
from harness.experiments.diagnose import diagnose
from harness.experiments.preview import preview_of
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.values.findings import Outcome


class Tuned(planted.Planted):
    """A retriever that knows nothing before it is tuned, and everything after; other parts stay as they are."""

    def _retrieve(self, request: Any) -> None:
        before, self.rank = self.rank, planted.first if "model" in request.inputs else self.rank
        super()._retrieve(request)
        self.rank = before

    def _rerank(self, request: Any) -> None:
        queries = common.read_queries(request.inputs["queries"])
        write_run(request.out / RUN_FILE, {key: [(f"g{int(key[-3:]):03d}-1", 1.0)] for key in queries})


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("aftermath")
    planted.write_dataset(folder / "data")
    planted.write_dataset(folder / "other", "Section")
    changes: dict[str, Any] = {
        "factorial": [],
        "candidates": {"retriever": {"tune": ["retriever"]}, "reranker": {"tune": ["reranker"]}},
        # A start without a trained head, which is advised against.
        "recipes": {"reranker": {"model": "embedded:all-minilm-l6-v2"}},
        "evaluate": {"split": "test", "probe_queries": 5, "probe_generations": 2},
        "forgetting": {"dataset": {"path": "other"}, "split": "dev"},
        "prices": {"right_answer": 0.01},
        "slices": ["query_kind", "half"],
    }
    path = planted.write_suite(folder, **changes)
    diagnose(path, folder / "store", executor=planted.Planted(planted.shuffled))
    return benchmark.run(path, folder / "store", executor=Tuned(planted.shuffled)).outcome


def test_the_prediction_stands_beside_the_outcome(outcome: Outcome) -> None:
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.spec == {}
    told = {(one.system, one.measure): one for one in outcome.predictions}
    assert set(told) == {(name, measure) for name in ("retriever", "reranker") for measure in ("ndcg@10", "utility")}
    held = told["retriever", "ndcg@10"]
    assert (held.rank, held.against, held.verdict) == (1, False, "improved")
    assert held.conclusion.startswith("the advice held")
    assert held.could_buy is not None
    assert held.could_buy > 0.9
    assert held.estimated_seconds is not None
    assert held.paid_seconds == next(one.build_seconds for one in outcome.systems if one.name == "retriever")
    assert told["reranker", "ndcg@10"].against


def test_a_return_says_when_it_has_paid(outcome: Outcome) -> None:
    told = {(one.system, one.measure): one for one in outcome.roi}
    paid = told["retriever", "utility"]
    assert paid.per_dollar is not None
    assert paid.break_even is not None
    assert paid.break_even > 0
    assert paid.front
    assert told["reranker", "ndcg@10"].dominated_by


def test_slices_are_told_for_every_candidate(outcome: Outcome) -> None:
    assert {(row.field, row.value) for row in outcome.slices} == {("half", "even"), ("half", "odd")}
    assert {row.system for row in outcome.slices} >= {"retriever", "reranker"}
    said = "Slice query_kind: every query is in 'question', so there is nothing to compare."
    assert said in outcome.notes


def test_the_other_data_set_is_scored_with_each_tuned_model(outcome: Outcome) -> None:
    told = {(row.system, row.measure): row for row in outcome.forgotten}
    assert told["retriever", "ndcg@10"].verdict == "improved"
    assert told["reranker", "ndcg@10"].split == "dev"


def test_the_plan_shows_the_work_on_the_other_data_set(tmp_path: Path) -> None:
    planned = planted.write_suite(tmp_path, forgetting={"dataset": {"path": "other"}, "split": "dev"})
    planted.write_dataset(tmp_path / "data")
    planted.write_dataset(tmp_path / "other", "Section")
    screen = Console(file=io.StringIO(), width=160)
    describe(preview_of(str(planned), tmp_path / "store"), screen, verbose=True)
    assert "other: retrieve dev with retriever, seed 0" in screen.file.getvalue()


def test_the_doctor_looks_at_the_other_data_set(tmp_path: Path) -> None:
    path = planted.write_suite(tmp_path, forgetting={"dataset": {"path": "other"}, "split": "dev"})
    planted.write_dataset(tmp_path / "data")
    planted.write_dataset(tmp_path / "other", "Section")
    (tmp_path / "other" / "qrels" / "dev.tsv").unlink()
    screen = Console(file=io.StringIO(), width=1000)  # the path of the dataset may be long
    assert not examine(str(path), tmp_path / "store", screen)
    assert "no judged query in split 'dev'" in screen.file.getvalue()


def test_a_diagnosis_of_another_pipeline_predicts_nothing(tmp_path: Path) -> None:
    planted.write_dataset(tmp_path / "data")
    diagnose(planted.write_suite(tmp_path), tmp_path / "store", executor=planted.Planted(planted.shuffled))
    path = planted.write_suite(tmp_path, pipeline={"depth": 20, "context": 2}, factorial=["retriever", "reranker"])
    found = benchmark.run(path, tmp_path / "store", executor=Tuned(planted.shuffled)).outcome
    assert not found.predictions
    assert found.diagnosis is None
    assert any("another pipeline" in note for note in found.notes)


def test_a_measure_that_is_worded_anew_is_not_predicted(tmp_path: Path) -> None:
    planted.write_dataset(tmp_path / "data")
    candidates = {"retriever": {"tune": ["retriever"]}}
    before = planted.write_suite(tmp_path, candidates=candidates, factorial=[])
    diagnose(before, tmp_path / "store", executor=planted.Planted(planted.shuffled))
    after = planted.write_suite(
        tmp_path, candidates={"retriever": {"tune": ["retriever"], "retriever": {"epochs": 5}}}, factorial=[],
        utility={"right": "exact_match", "wrong_cost": 0},
    )  # fmt: skip
    found = benchmark.run(after, tmp_path / "store", executor=Tuned(planted.shuffled)).outcome
    assert {one.measure for one in found.predictions} == {"ndcg@10"}
    assert [one.estimated_seconds for one in found.predictions] == [None]
    assert any("No prediction of utility is checked" in note for note in found.notes)
    assert any("its recipe has changed" in note for note in found.notes)


def test_a_look_at_test_is_counted_whoever_took_it(tmp_path: Path) -> None:
    planted.write_dataset(tmp_path / "data")
    path = planted.write_suite(tmp_path, factorial=["retriever"])
    diagnose(path, tmp_path / "store", executor=planted.Planted())
    assert benchmark.run(path, tmp_path / "store", executor=Tuned()).outcome.times_scored == 1
    diagnose(path, tmp_path / "store", split="test", executor=planted.Planted())
    assert benchmark.run(path, tmp_path / "store", executor=Tuned()).outcome.times_scored == 2


def test_an_unknown_slice_is_told_before_any_work(tmp_path: Path) -> None:
    planted.write_dataset(tmp_path / "data")
    executor = Tuned()
    with pytest.raises(ConfigError, match="colour"):
        benchmark.run(planted.write_suite(tmp_path, slices=["colour"]), tmp_path / "store", executor=executor)
    assert not executor.asked
