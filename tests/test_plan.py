"""The plan: each call once, inputs first, and keys that change with what can change a result and with nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pocket
import pytest
import tiny

from harness import provenance
from harness.data.datasets import Dataset, Split
from harness.planning import calls as planning
from harness.planning.graph import Plan
from harness.planning.plan import build_plan
from harness.stages import STAGES, load_stage

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
    seen = set(found.artifacts.keys.values())
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
    assert counts["synthesize"] == counts["sift"] == counts["convert"] == 1
    # The row hybrid is also scored on dev.
    assert counts["fuse"] == 2
    assert counts["index"] == 1 + 1 + 4
    # bm25 and untuned on test and dev, and each candidate.
    assert counts["retrieve"] == 2 + 2 + 2 * 4
    assert counts["answer"] == 6 + 4
    by_label = {planned.label: planned.systems for planned in found.calls.values()}
    judged = [system.label for system in found.systems if system.name == "judged"]
    assert by_label["tune retriever of judged, seed 1"] == judged[1:]
    assert by_label["mine (judged pairs)"] == judged
    assert set(by_label["retrieve test with untuned"]) == {"untuned", "hybrid", "few-shot"}


def test_candidates_with_the_same_triplets_share_all_work_on_data() -> None:
    found = plan({"candidates": {
        "short": {"tune": ["retriever"]},
        "long": {"tune": ["retriever"], "retriever": {"epochs": 4}},
        "hard": {"tune": ["retriever"], "mine": {"hard": 3}},
    }})  # fmt: skip
    tuned = {planned.label: planned.call for planned in found.calls.values() if planned.call.stage == "tune_retriever"}
    assert tuned["tune retriever of short, seed 0"].inputs == tuned["tune retriever of long, seed 0"].inputs
    assert (
        tuned["tune retriever of hard, seed 0"].inputs["triplets"]
        != tuned["tune retriever of short, seed 0"].inputs["triplets"]
    )
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
    models = {(one.name, one.seed): one.models["retriever"] for one in found.systems if one.role == "candidate"}
    assert len(models) == len(set(models.values())) == 4
    runs = [one.run for one in found.systems if one.role == "candidate"]
    assert len(set(runs)) == 4


def test_the_data_seed_changes_the_data_and_what_is_trained_on_it() -> None:
    first, second = plan(), plan({"data.data_seed": 1})
    differing = changed(first, second)
    assert stages(first, differing) == DATA_STAGES | TRAINED
    assert not {label for label in differing if "untuned" in label or "bm25" in label or "convert" in label}
    assert first.calls[keys(first)["tune retriever of judged, seed 0"]].call.seed == 0


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
    declared = load_stage(stage)
    monkeypatch.setattr(f"{STAGES[stage]}.STAGE", dataclasses.replace(declared, version=99))
    differing = changed(first, plan())
    own = {planned.label for planned in first.calls.values() if planned.call.stage == stage}
    assert own <= differing
    follows = {
        "mine": {"mine", *TRAINED},
        "index": {"sift", "index", "fuse", "retrieve", "answer", "mine", "tune_retriever"},
        "answer": {"answer"},
    }
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
        "convert embedded:smollm2-135m-instruct", "synthesize", "index for bm25", "retrieve test with bm25",
        "retrieve dev with bm25", "answer as bm25", "answer as closed-book", "answer as oracle-context",
    }  # fmt: skip


def test_the_device_changes_heavy_stages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan()
    monkeypatch.setattr(provenance, "device_class", lambda: "some GPU")
    second = plan()
    assert all(planned.call.device == "some GPU" for planned in second.calls.values() if planned.call.stage != "fuse")
    fused = [planned.call for planned in second.calls.values() if planned.call.stage == "fuse"]
    assert {call.device for call in fused} == {"any"}
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
        "tune retriever of judged, seed 0", "index with judged, seed 0",
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


def test_if_test_documents_are_excluded_their_judgements_reach_synthesis() -> None:
    excluded = {"data.synthesize": {"max_documents": 10, "test_documents": False}}
    found = plan(excluded)
    call = found.calls[keys(found)["synthesize"]].call
    assert call.inputs["excluded"] == found.artifacts.keys["test.qrels"]
    assert "excluded" not in plan().calls[keys(plan())["synthesize"]].call.inputs


def test_pairs_out_of_the_structure_need_no_language_model() -> None:
    candidates = {"free": {"tune": ["retriever"], "pairs": "structure"}}
    found = plan({"candidates": candidates, "pipeline.generator": None, "measures": ["ndcg@10"]})
    by_stage = {planned.call.stage: planned for planned in found.calls.values()}
    assert not {"synthesize", "convert", "answer"} & by_stage.keys()
    assert all(planned.work.llm_calls == 0 for planned in found.calls.values())
    assert by_stage["extract"].work.units == pocket.suite().data.synthesize.max_documents
    assert by_stage["sift"].call.inputs["pairs"] == keys(found)["extract"]
    assert by_stage["mine"].call.inputs["pairs"] == keys(found)["sift (structure pairs)"]
    assert "train_queries" not in by_stage["mine"].call.inputs
    excluded = plan({"candidates": candidates, "data.synthesize": {"test_documents": False, "max_documents": 7}})
    call = excluded.calls[keys(excluded)["extract"]].call
    assert call.inputs["excluded"] == excluded.artifacts.keys["test.qrels"]
    assert call.spec["max_documents"] == 7


def test_a_round_trip_by_late_interaction_needs_token_vectors_of_the_untuned_encoder() -> None:
    found = plan({"data.synthesize": {"max_documents": 10, "round_trip": {"by": "late-interaction"}}})
    labels = keys(found)
    call = found.calls[labels["sift"]].call
    assert call.inputs["tokens"] == labels["index tokens with untuned"]
    assert found.calls[call.inputs["tokens"]].call.spec["kind"] == "tokens"
    assert "tokens" not in plan().calls[keys(plan())["sift"]].call.inputs


def test_without_a_generator_only_rows_that_rank_are_planned() -> None:
    found = plan({"pipeline.generator": None, "measures": ["ndcg@10"]})
    assert [one.name for one in found.systems] == ["bm25", "hybrid", "untuned", "written", "judged"]
    assert all(one.answers is None for one in found.systems)
    assert not any(planned.call.stage == "answer" for planned in found.calls.values())


def test_calls_that_no_system_needs_are_left_out() -> None:
    found = plan({"baseline_rows": ["untuned"], "candidates": {}, "pipeline.generator": None, "measures": ["ndcg@10"]})
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
        "index with untuned", "retrieve dev with untuned", "mine (judged pairs)", "tune retriever of judged, seed 0",
        "index with judged, seed 0", "retrieve test with judged, seed 0",
    ]  # fmt: skip


# Every strategy

CROSS_ENCODER = {"model": "embedded:all-minilm-l6-v2"}
WHOLE: dict[str, Any] = {
    "candidates": {},
    "factorial": ["retriever", "reranker", "generator"],
    "data.pairs": "judged",
    "measures": ["ndcg@10", "utility"],
    "recipes.reranker": CROSS_ENCODER,
}


def alone(name: str, tune: list[str]) -> set[str]:
    """Keys of the calls of a plan with this one candidate."""
    return set(plan({**WHOLE, "factorial": [], "candidates": {f"{name}-alone": {"tune": tune}}}).calls)


def test_a_factorial_is_every_combination_and_each_call_of_it_once() -> None:
    found = plan(WHOLE)
    names = [one.name for one in found.systems if one.role == "candidate"]
    assert names == [
        "retriever", "reranker", "generator", "retriever-reranker", "retriever-generator", "reranker-generator",
        "retriever-reranker-generator",
    ]  # fmt: skip
    assert set(found.calls) == set().union(*(alone(name, name.split("-")) for name in names))
    goals = [key for one in found.systems for key in one.goals]
    assert list(found.calls) == found.upstream(goals)
    counts = {stage: sum(planned.call.stage == stage for planned in found.calls.values()) for stage in STAGES}
    # A reranker for each retriever, a generator for each pair of both.
    assert (counts["tune_retriever"], counts["tune_reranker"], counts["tune_generator"]) == (1, 2, 4)
    assert found.calls_without_sharing > len(found.calls)
    assert found.calls_without_sharing == sum(len(found.upstream(one.goals)) for one in found.systems)


def test_each_part_trains_on_what_the_parts_before_it_produce() -> None:
    found = plan({**WHOLE, "factorial": [], "candidates": {
        "staged": {"tune": ["retriever", "reranker", "generator"]},
        "turned": {"tune": ["reranker", "retriever"]},
    }})  # fmt: skip
    staged, turned = found.systems[-2:]
    mined = {name: upstream(found, one.models["reranker"], "mine") for name, one in (("s", staged), ("t", turned))}
    assert staged.models["retriever"] in found.upstream([staged.models["reranker"]])
    assert turned.models["retriever"] not in found.upstream([turned.models["reranker"]])
    assert turned.models["retriever"] == staged.models["retriever"]
    assert mined["s"] != mined["t"]
    generator = found.upstream([staged.models["generator"]])
    assert {staged.models["retriever"], staged.models["reranker"]} <= set(generator)


def upstream(found: Plan, goal: str, stage: str) -> set[str]:
    return {key for key in found.upstream([goal]) if found.calls[key].call.stage == stage}


def test_no_training_sees_the_scored_split() -> None:
    found = plan(WHOLE)
    secret = {key for name, key in found.artifacts.keys.items() if name.startswith("test.")}
    for one in found.systems:
        for key in found.upstream(list(one.models.values())):
            assert not secret & set(found.calls[key].call.inputs.values()), found.calls[key].label


def test_a_seed_never_reads_the_model_of_another() -> None:
    found = plan({**WHOLE, "seeds": [0, 1]})
    for one in found.systems:
        if one.role == "candidate":
            trained = [found.calls[key].call for key in found.upstream(one.goals)]
            assert {call.seed for call in trained if call.stage.startswith("tune_")} == {one.seed}
    models = [set(one.models.values()) for one in found.systems if one.seed == 0 and one.role == "candidate"]
    others = [set(one.models.values()) for one in found.systems if one.seed == 1]
    assert not set().union(*models) & set().union(*others)


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "reranker recipe": ({"recipes.reranker": {**CROSS_ENCODER, "epochs": 2}}, {"tune_reranker"}),
    "generator recipe": ({"recipes.generator": {"rank": 4}}, {"tune_generator"}),
    "examples": ({"data.instruct": {"distractors": 1}}, {"instruct"}),
    "labels": ({"data.label": {"by": "bm25"}}, {"label"}),
    "instruction": ({"pipeline.generator": {"instruction": "Answer."}}, {"tune_generator", "answer"}),
    "negatives": ({"data.mine": {"hard": 2}}, {"mine"}),
    "rerank depth": ({"pipeline.rerank_depth": 10}, {"rerank"}),
    "prices": ({"prices": {"gpu_hour": 9.0}}, set()),
    "cluster": ({"execution": {"slurm": {"partition": "long"}}}, set()),
    "gates": ({"gates": [{"measure": "ndcg@10", "margin": 0.5}]}, set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_key_changes_if_and_only_if_something_it_depends_on_does(name: str) -> None:
    changes, direct = CHANGES[name]
    first, second = plan(WHOLE), plan({**WHOLE, **changes})
    kept, gone = set(first.calls) & set(second.calls), set(first.calls) - set(second.calls)
    changed_keys = {key for key in gone if first.calls[key].call.stage in direct}
    assert {key for key in gone if not set(first.calls[key].call.inputs.values()) & gone} <= changed_keys
    assert not [key for key in kept if set(first.calls[key].call.inputs.values()) & gone]
    if direct:
        assert changed_keys
    assert bool(gone) == bool(direct)


def test_level_zero_of_the_reranker_is_the_one_of_the_pipeline(tmp_path: Any) -> None:
    model = tiny.cross_encoder(tmp_path / "cross", ["a"])
    found = plan({**WHOLE, "pipeline.reranker": {"model": str(model)}})
    by_name = {one.name: one for one in found.systems}
    blends = [found.calls[str(by_name[name].run)].call for name in ("untuned", "retriever", "reranker")]
    assert {call.stage for call in blends} == {"blend"}
    untuned, retriever, reranker = (found.calls[call.inputs["second"]].call for call in blends)
    assert untuned.stage == retriever.stage == reranker.stage == "rerank"
    assert untuned.spec["model"] == str(model)
    assert reranker.spec["model"] is None
    assert reranker.inputs["model"] == by_name["reranker"].models["reranker"]
    assert by_name["untuned"].serving.pool == by_name["reranker"].serving.pool
    assert by_name["bm25"].serving.pool is None


def test_synthetic_pairs_may_be_what_a_generator_learns_from() -> None:
    found = plan({**WHOLE, "data.pairs": "synthetic", "data.instruct": {"answers": "llm"}})
    (first, *_) = [planned.call for planned in found.calls.values() if planned.call.stage == "instruct"]
    assert found.calls[first.inputs["queries"]].call.stage == "sift"
    assert found.calls[first.inputs["run"]].call.inputs["queries"] == first.inputs["queries"]


def test_generators_may_be_trained_once_for_all_candidates() -> None:
    candidates = {
        "generator": {"tune": ["generator"]},
        "staged": {"tune": ["retriever", "generator"], "pipeline": {"reranker": {"kind": "late-interaction"}}},
    }
    whole = {**WHOLE, "factorial": [], "candidates": candidates}
    apart, shared = (
        {
            system.name: system.models["generator"]
            for system in plan({**whole, "data.instruct": {"retrieved_by": by}}).systems
            if "generator" in system.models
        }
        for by in ("pipeline", "untuned")
    )
    assert apart["generator"] != apart["staged"]
    assert shared["generator"] == shared["staged"] == apart["generator"]
