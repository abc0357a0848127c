"""Planted faults: each pipeline gets the right place in the funnel and the right first advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import planted
import pytest

from harness.errors import ConfigError, Incomplete, StageFailed
from harness.experiments.diagnose import diagnose
from harness.results.diagnoses import latest, read
from harness.values.insights import Advice, Diagnosis, PlaceName


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    planted.write_dataset(folder / "data")
    return folder


def diagnosed(data: Path, store: Path, rank: planted.Rank, write: planted.Write, **changes: Any) -> Diagnosis:
    path = planted.write_suite(data, **changes)
    return diagnose(path, store, executor=planted.Planted(rank, write)).diagnosis


def share(found: Diagnosis, kind: Any, name: PlaceName, population: Any = "answerable") -> float:
    funnel = found.funnel(kind)
    assert funnel is not None
    place = funnel.place(name, population)
    assert place is not None
    assert place.low <= place.share <= place.high
    return place.share


def tuning(found: Diagnosis) -> list[Advice]:
    return [one for one in found.advice if one.kind == "tune" and not one.against]


def gain(found: Diagnosis, oracle: Any, measure: str) -> float:
    oracle_gains = found.oracle_gain(oracle, measure)
    assert oracle_gains is not None
    assert oracle_gains.difference is not None
    return oracle_gains.difference


def trained(data: Path) -> dict[str, Any]:
    """Recipes whose reranker starts from a model with a trained head."""
    import tiny

    folder = data / "cross-encoder"
    if not folder.is_dir():
        tiny.cross_encoder(folder, ["value", "article"])
    return {"recipes": {"reranker": {"model": str(folder)}}}


def test_a_retriever_that_knows_nothing(data: Path, tmp_path: Path) -> None:
    found = diagnosed(data, tmp_path, planted.shuffled, planted.attentive)
    assert share(found, "retrieval", "not in the pool") > 0.8
    assert share(found, "answers", "not in the pool") > 0.8
    assert gain(found, "oracle-retriever", "ndcg@10") > 0.9
    assert gain(found, "oracle-reranker", "ndcg@10") < 0.2
    assert found.advice[0].tunes == ("retriever",)
    assert found.advice[0] in tuning(found)
    assert not any("generator" in one.tunes for one in tuning(found))


def test_a_perfect_retriever_before_a_generator_that_ignores_its_passages(data: Path, tmp_path: Path) -> None:
    found = diagnosed(data, tmp_path, planted.first, planted.inattentive)
    assert share(found, "retrieval", "in the context") == 1
    assert share(found, "answers", "answered wrongly") == 1
    assert share(found, "answers", "invented", "unanswerable") == 1
    assert gain(found, "oracle-retriever", "ndcg@10") == gain(found, "oracle-reranker", "ndcg@10") == 0
    assert gain(found, "oracle-generator", "utility") == 2
    assert found.advice[0].tunes == ("generator",)
    assert [one.tunes for one in tuning(found)] == [("generator",)]


def test_a_pool_that_holds_everything_in_the_wrong_order(data: Path, tmp_path: Path) -> None:
    found = diagnosed(data, tmp_path, planted.last_of_pool, planted.attentive, **trained(data))
    assert share(found, "retrieval", "not in the context") == 1
    assert share(found, "answers", "not in the context") == 1
    assert gain(found, "oracle-reranker", "ndcg@10") == 1
    assert found.advice[0].tunes == ("reranker",)
    assert found.advice[0] in tuning(found)


def test_the_same_pool_where_no_cross_encoder_is_trained_or_allowed(data: Path, tmp_path: Path) -> None:
    headless = {"recipes": {"reranker": {"model": "embedded:all-minilm-l6-v2"}}}
    found = diagnosed(data, tmp_path, planted.last_of_pool, planted.attentive, **headless)
    assert found.advice[0].rule == "add-trained-reranker"
    assert any(one.against and one.tunes == ("reranker",) for one in found.advice)
    slow = diagnosed(
        data, tmp_path, planted.last_of_pool, planted.attentive, **trained(data), limits={"max_p95_ms": 811}
    )
    assert tuning(slow)[0].tunes == ("retriever",)
    assert not any("reranker" in one.tunes for one in tuning(slow))


def test_a_generator_that_never_abstains(data: Path, tmp_path: Path) -> None:
    found = diagnosed(data, tmp_path, planted.first, planted.reckless)
    assert share(found, "answers", "right") == 1
    assert share(found, "answers", "invented", "unanswerable") == 1
    assert found.advice[0].tunes == ("generator",)
    assert any("unanswerable queries get an answer" in why for why in found.advice[0].why)


def test_a_generator_that_is_right_in_the_wrong_format(data: Path, tmp_path: Path) -> None:
    found = diagnosed(data, tmp_path, planted.first, planted.wordy)
    assert share(found, "answers", "wrong format") == 1
    assert share(found, "answers", "invented", "unanswerable") == 0
    assert found.advice[0].tunes == ("generator",)
    assert any("wrong format" in why for why in found.advice[0].why)


def test_a_format_that_utility_does_not_ask_for_is_still_a_loss(data: Path, tmp_path: Path) -> None:
    """The key is right, so `utility` is 1 everywhere; the suite has an answer format, and nobody keeps it."""
    changes: dict[str, Any] = {
        "measures": ["ndcg@10", "key_match", "utility"],
        "utility": {"right": "key_match", "wrong_cost": 1},
        "answer_format": {"pattern": r"(?P<key>\d+ kelvin)"},
    }
    found = diagnosed(data, tmp_path, planted.first, planted.wordy, **changes)
    assert share(found, "answers", "wrong format") == 1
    assert found.advice[0].tunes == ("generator",)


def test_a_reranker_that_ruins_a_perfect_pool(data: Path, tmp_path: Path) -> None:
    model = trained(data)["recipes"]["reranker"]["model"]
    # A blend would not use it.
    pipeline = {"depth": 20, "context": 3, "reranker": {"model": model, "blend": False}, "rerank_depth": 20}
    found = diagnosed(data, tmp_path, planted.first, planted.attentive, pipeline=pipeline)
    assert share(found, "retrieval", "not in the context") == 1
    assert gain(found, "without-reranker", "ndcg@10") == gain(found, "oracle-reranker", "ndcg@10") > 0.7
    assert (found.advice[0].kind, found.advice[0].tunes) == ("change", ())
    assert "reranker" in found.advice[0].action
    assert not any(one.kind == "leave" and "retriever" in one.tunes for one in found.advice)


def test_a_pipeline_without_a_fault(data: Path, tmp_path: Path) -> None:
    found = diagnosed(data, tmp_path, planted.first, planted.attentive)
    assert share(found, "answers", "right") == 1
    assert all(one.difference == one.low == one.high == 0 for one in found.oracle_gains if one.bound)
    assert not tuning(found)
    assert found.advice[0].kind == "leave"


def test_what_is_written_can_be_read_and_is_not_made_twice(data: Path, tmp_path: Path) -> None:
    path, first = planted.write_suite(data), planted.Planted()
    done = diagnose(path, tmp_path, executor=first)
    again = planted.Planted()
    second = diagnose(path, tmp_path, executor=again)
    assert not again.asked
    assert read(done.folder) == done.diagnosis
    assert latest(tmp_path, "planted") == second.diagnosis
    assert [one.rule for one in second.diagnosis.advice] == [one.rule for one in done.diagnosis.advice]
    names = {path.name for path in done.folder.iterdir()}
    assert {"diagnosis.json", "scores.parquet"} < names
    estimates = {estimate.candidate: estimate for estimate in done.diagnosis.estimates}
    assert estimates["retriever-reranker"].seconds_in_full > estimates["retriever"].seconds_in_full > 0
    assert set(estimates["retriever"].basis.values()) == {"measured"}
    assert estimates["reranker"].added_p95_ms


def test_a_suite_without_answers_has_the_retrieval_steps(data: Path, tmp_path: Path) -> None:
    changes = {
        "pipeline": {"depth": 20, "generator": None},
        "measures": ["ndcg@10"],
        "factorial": ["retriever", "reranker"],
    }
    found = diagnosed(data, tmp_path, planted.shuffled, planted.attentive, **changes, gates=[])
    assert [funnel.kind for funnel in found.funnels] == ["retrieval"]
    assert {one.oracle for one in found.oracle_gains} == {"oracle-retriever", "oracle-reranker"}
    assert found.advice[0].tunes == ("retriever",)


def test_an_ideal_that_fails_is_left_out_and_said(data: Path, tmp_path: Path) -> None:
    class Broken(planted.Planted):
        def _answer(self, request: Any) -> None:
            if request.spec["source"] == "relevant":
                raise StageFailed("answer: out of memory")
            super()._answer(request)

    found = diagnose(planted.write_suite(data), tmp_path, executor=Broken()).diagnosis
    assert any("out of memory" in note for note in found.notes)
    failed = found.oracle_gain("oracle-context", "utility")
    assert failed is not None
    assert (failed.difference, failed.low) == (None, None)
    assert failed.reason


def test_what_failed_is_not_taken_for_nothing(data: Path, tmp_path: Path) -> None:
    class Broken(planted.Planted):
        def _retrieve(self, request: Any) -> None:
            if request.spec["depth"] > 20 or request.spec["kind"] == "bm25":
                raise StageFailed("retrieve: out of memory")
            super()._retrieve(request)

    found = diagnose(planted.write_suite(data), tmp_path, executor=Broken()).diagnosis
    recall = next(curve for curve in found.curves if curve.measure == "recall")
    assert {point.mean for point in recall.points} == {1.0}
    assert not any(sign.name == "agreement" for sign in found.signs)


def test_only_a_reranker_with_a_trained_start_is_advised(data: Path, tmp_path: Path) -> None:
    model = trained(data)["recipes"]["reranker"]["model"]
    candidates = {
        "from-biencoder": {"tune": ["reranker"], "reranker": {"model": "embedded:all-minilm-l6-v2"}},
        "from-trained": {"tune": ["reranker"], "reranker": {"model": model}},
    }
    found = diagnosed(data, tmp_path, planted.last_of_pool, planted.attentive, candidates=candidates, factorial=[])
    assert found.advice[0].candidates == ("from-trained",)
    assert any("from-biencoder is not advised" in note for note in found.notes)


def test_questions_without_an_answer_are_no_gain_of_retrieval(data: Path, tmp_path: Path) -> None:
    """The perfect generator declines whatever lacks the passage; shown nothing, it would decline too."""
    found = diagnosed(data, tmp_path, planted.first, planted.reckless)
    assert gain(found, "oracle-context", "utility") == 0


def test_a_pipeline_that_fails_is_no_diagnosis(data: Path, tmp_path: Path) -> None:
    class Broken(planted.Planted):
        def _retrieve(self, request: Any) -> None:
            raise StageFailed("retrieve: out of memory")

    with pytest.raises(Incomplete, match=r"nothing to diagnose.*out of memory"):
        diagnose(planted.write_suite(data), tmp_path, executor=Broken())
    assert latest(tmp_path, "planted") is None


def test_a_split_without_judgements(data: Path, tmp_path: Path) -> None:
    unjudged = tmp_path / "unjudged"
    planted.write_dataset(unjudged / "data")
    (unjudged / "data" / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no judged query in split .dev."):
        diagnose(planted.write_suite(unjudged), tmp_path, executor=planted.Planted())
