"""The plan: each call once, inputs first, and keys that change with what can change a result and with nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pocket
import pytest

from harness import plan as planning
from harness import provenance
from harness.datasets import Dataset, Split
from harness.graph import Plan
from harness.plan import build_plan
from harness.stages import STAGES

DATA_STAGES = {"synthesize", "sift", "mine"}
TRAINED = {"tune_retriever", "index", "retrieve", "answer"}


def plan(changes: dict[str, Any] | None = None, dataset: Dataset | None = None) -> Plan:
    return build_plan(pocket.suite(changes), dataset or pocket.dataset())


def keys(found: Plan) -> dict[str, str]:
    """Key by label; labels name one call each in these suites."""
    labels = {planned.label: key for key, planned in found.calls.items()}
    assert len(labels) == len(found.calls)
    return labels


def changed(first: Plan, second: Plan) -> set[str]:
    """Labels, common to two plans, under which the keys differ."""
    one, other = keys(first), keys(second)
    return {label for label in one.keys() & other.keys() if one[label] != other[label]}


def stages(found: Plan, labels: set[str]) -> set[str]:
    return {found.calls[keys(found)[label]].call.stage for label in labels}


def test_planning_twice_gives_the_same_plan() -> None:
    assert keys(plan()) == keys(plan())


def test_calls_come_after_their_inputs() -> None:
    found = plan({"seeds": [0, 1]})
    seen = set(found.parts.keys.values())
    for key, planned in found.calls.items():
        assert set(planned.call.inputs.values()) <= seen, planned.label
        seen.add(key)


def test_calls_that_systems_share_are_planned_once_and_know_their_systems() -> None:
    found = plan({"seeds": [0, 1]})
    labels = [planned.label for planned in found.calls.values()]
    counts = {stage: sum(planned.call.stage == stage for planned in found.calls.values()) for stage in STAGES}
    assert len(labels) == len(set(labels))
    # Two candidates with two seeds; mining once for each kind of pairs; 6 reference rows.
    assert counts["tune_retriever"] == 4
    assert counts["mine"] == 2
    assert counts["synthesize"] == counts["sift"] == counts["unpack"] == counts["fuse"] == 1
    assert counts["index"] == 1 + 1 + 4
    assert counts["retrieve"] == 1 + 2 + 2 * 4
    assert counts["answer"] == 6 + 4
    by_label = {planned.label: planned.systems for planned in found.calls.values()}
    judged = [system.label for system in found.systems if system.name == "judged"]
    assert by_label["tune judged, seed 1"] == judged[1:]
    assert by_label["mine (judged pairs)"] == judged
    assert set(by_label["retrieve test with untuned"]) == {"untuned", "hybrid", "few-shot"}


def test_candidates_with_the_same_triplets_share_all_work_on_data() -> None:
    found = plan({"candidates": {
        "short": {"tune": ["retriever"]},
        "long": {"tune": ["retriever"], "retriever": {"epochs": 4}},
        "hard": {"tune": ["retriever"], "mine": {"hard": 3}},
    }})  # fmt: skip
    tuned = {planned.label: planned.call for planned in found.calls.values() if planned.call.stage == "tune_retriever"}
    assert tuned["tune short, seed 0"].inputs == tuned["tune long, seed 0"].inputs
    assert tuned["tune hard, seed 0"].inputs["triplets"] != tuned["tune short, seed 0"].inputs["triplets"]
    assert len(tuned) == 3


def test_candidates_that_are_alike_share_their_model() -> None:
    found = plan({"candidates": {"one": {"tune": ["retriever"]}, "two": {"tune": ["retriever"]}}})
    one, two = found.systems[-2:]
    assert (one.run, one.answers) == (two.run, two.answers)
    assert sum(planned.call.stage == "tune_retriever" for planned in found.calls.values()) == 1


def test_a_training_seed_changes_the_training_and_what_follows_and_no_data() -> None:
    # Labels hold the seed, so compare by what they are called without it.
    first, second = plan({"seeds": [1]}), plan({"seeds": [2]})
    one = {label.replace("seed 1", "seed"): key for label, key in keys(first).items()}
    two = {label.replace("seed 2", "seed"): key for label, key in keys(second).items()}
    assert one.keys() == two.keys()
    differing = {label for label in one if one[label] != two[label]}
    assert differing == {label for label in one if "seed" in label}
    assert {first.calls[one[label]].call.stage for label in differing} == TRAINED


def test_seeds_never_share_a_model() -> None:
    found = plan({"seeds": [1, 2]})
    models = {(one.name, one.seed): one.serving.model for one in found.systems if one.role == "candidate"}
    assert len(models) == len(set(models.values())) == 4
    runs = [one.run for one in found.systems if one.role == "candidate"]
    assert len(set(runs)) == 4


def test_the_data_seed_changes_the_data_and_what_is_trained_on_it() -> None:
    first, second = plan(), plan({"data.data_seed": 1})
    differing = changed(first, second)
    assert stages(first, differing) == DATA_STAGES | TRAINED
    assert not {label for label in differing if "untuned" in label or "bm25" in label or "unpack" in label}
    assert first.calls[keys(first)["tune judged, seed 0"]].call.seed == 0


def test_a_recipe_changes_the_training_and_what_follows() -> None:
    first, second = plan(), plan({"recipes.retriever": {"epochs": 3}})
    differing = changed(first, second)
    assert differing == {label for label in keys(first) if "seed 0" in label}


def test_the_generators_settings_change_the_answers_only() -> None:
    first, second = plan(), plan({"pipeline.generator": {"max_new_tokens": 9}})
    assert stages(first, changed(first, second)) == {"answer"}


def test_the_sample_of_questions_changes_the_answers_only() -> None:
    first, second = plan(), plan({"evaluate.generation_queries": 5})
    answers = {planned.label for planned in first.calls.values() if planned.call.stage == "answer"}
    assert changed(first, second) == answers


def test_the_count_of_examples_changes_the_row_few_shot_only() -> None:
    assert changed(plan(), plan({"pipeline.generator": {"few_shot": 1}})) == {"answer as few-shot"}


@pytest.mark.parametrize("stage", ["mine", "index", "answer"])
def test_the_version_of_a_stage_changes_it_and_what_follows(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan()
    monkeypatch.setitem(STAGES, stage, STAGES[stage]._replace(version=99))
    differing = changed(first, plan())
    own = {planned.label for planned in first.calls.values() if planned.call.stage == stage}
    assert own <= differing
    follows = {"mine": {"mine", *TRAINED}, "index": set(STAGES) - {"unpack", "synthesize"}, "answer": {"answer"}}
    assert stages(first, differing) == follows[stage]


def test_the_version_of_a_package_changes_the_stages_that_declare_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first, version = plan(), provenance.package_version
    monkeypatch.setattr(provenance, "package_version", lambda name: "0" if name == "gguf" else version(name))
    labels = keys(first)
    judged = {label for label in labels if "judged" in label and "answer" not in label}
    searched = {label for label in labels if "untuned" in label or "bm25" in label} - {
        "answer as untuned",
        "answer as bm25",
    }
    assert changed(first, plan()) == set(labels) - judged - searched


def test_the_content_of_a_model_changes_what_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first, digest = plan(), planning.model_digest
    monkeypatch.setattr(planning, "model_digest", lambda name: "new" if "minilm" in name else digest(name))
    differing = changed(first, plan())
    assert keys(first).keys() - differing == {
        "unpack embedded:smollm2-135m-instruct", "synthesize", "index for bm25", "retrieve test with bm25",
        "answer as bm25", "answer as closed-book", "answer as oracle-context",
    }  # fmt: skip


def test_the_device_changes_heavy_stages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan()
    monkeypatch.setattr(provenance, "device_class", lambda: "some GPU")
    second = plan()
    assert all(planned.call.device == "some GPU" for planned in second.calls.values() if planned.call.stage != "fuse")
    (fused,) = [planned.call for planned in second.calls.values() if planned.call.stage == "fuse"]
    assert fused.device == "any"
    assert changed(first, second) == set(keys(first))


def with_split(name: str, split: Split) -> Dataset:
    return dataclasses.replace(pocket.dataset(), splits={**pocket.dataset().splits, name: split})


def with_other_query(name: str) -> Dataset:
    split = pocket.dataset().splits[name]
    query_id = split.judged[0]
    query = split.queries[query_id]._replace(text="How is a thing done that nobody ever asked about?")
    return with_split(name, dataclasses.replace(split, queries={**split.queries, query_id: query}))


def test_a_test_query_changes_retrieval_and_the_audit_and_no_index_of_the_untuned() -> None:
    first, second = plan(), plan(dataset=with_other_query("test"))
    differing = changed(first, second)
    assert {"retrieve test with untuned", "retrieve test with bm25", "sift"} <= differing
    same = keys(first).keys() - differing
    assert {
        "index with untuned", "index for bm25", "synthesize", "retrieve dev with untuned", "mine (judged pairs)",
        "tune judged, seed 0", "index with judged, seed 0",
    } <= same  # fmt: skip


def test_a_train_query_changes_what_is_trained_on_it_and_few_shot() -> None:
    first, second = plan(), plan(dataset=with_other_query("train"))
    assert changed(first, second) == {"answer as few-shot", *(label for label in keys(first) if "judged" in label)}


def test_judgements_of_the_scored_split_reach_only_the_row_that_is_shown_them() -> None:
    split = pocket.dataset().splits["test"]
    query_id = split.judged[0]
    qrels = {**split.qrels, query_id: {next(iter(pocket.dataset().documents)): 1}}
    second = plan(dataset=with_split("test", dataclasses.replace(split, qrels=qrels)))
    assert changed(plan(), second) == {"answer as oracle-context"}


def test_if_test_documents_are_barred_their_judgements_reach_synthesis() -> None:
    barred = {"data.synthesize": {"max_documents": 10, "test_documents": False}}
    found = plan(barred)
    call = found.calls[keys(found)["synthesize"]].call
    assert call.inputs["barred"] == found.parts.keys["test.qrels"]
    assert "barred" not in plan().calls[keys(plan())["synthesize"]].call.inputs


def test_without_a_generator_only_rows_that_rank_are_planned() -> None:
    found = plan({"pipeline.generator": None, "measures": ["ndcg@10"]})
    assert [one.name for one in found.systems] == ["bm25", "hybrid", "untuned", "written", "judged"]
    assert all(one.answers is None for one in found.systems)
    assert not any(planned.call.stage == "answer" for planned in found.calls.values())


def test_calls_that_no_system_needs_are_left_out() -> None:
    found = plan({"reference_rows": ["untuned"], "candidates": {}, "pipeline.generator": None, "measures": ["ndcg@10"]})
    labels = set(keys(found))
    assert labels == {"index with untuned", "retrieve test with untuned", "retrieve dev with untuned"}


def test_no_list_is_deeper_than_the_corpus() -> None:
    found = plan({"pipeline.depth": 100_000})
    assert found.calls[keys(found)["retrieve test with untuned"]].call.spec["depth"] == len(pocket.dataset().documents)


def test_upstream_is_all_that_goals_need_in_the_order_of_the_plan() -> None:
    found = plan()
    judged = next(one for one in found.systems if one.name == "judged")
    labels = [found.calls[key].label for key in found.upstream([str(judged.run)])]
    assert labels == [
        "index with untuned", "mine (judged pairs)", "tune judged, seed 0", "index with judged, seed 0",
        "retrieve test with judged, seed 0",
    ]  # fmt: skip
