"""`pipeline.conversation` in the plan: no key changes without histories, and with them the queries do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pocket
import pytest

from harness.data.datasets import Dataset
from harness.errors import ConfigError
from harness.planning.graph import Plan, PlannedCall, SystemPlan
from harness.planning.plan import build_plan
from harness.remarks import conversations
from harness.suite.uses import candidates_of, endpoint_roles, models_used
from harness.values.records import Turn

LATE = {"kind": "late-interaction", "model": "embedded:all-minilm-l6-v2", "max_length": 64}
WAYS: dict[str, Any] = {
    "joined": {"pipeline": {"conversation": "concatenate"}},
    "reworded": {"pipeline": {"conversation": "rewrite"}},
}
SAID = (Turn("user", "What is a stone?"), Turn("assistant", "A thing to build with."))


@cache
def talking(every: int = 2) -> Dataset:
    """The dataset in which every second query of each split has earlier turns."""
    dataset = pocket.dataset()
    splits = {
        name: replace(
            split,
            queries={
                key: query._replace(history=SAID) if number % every == 0 else query
                for number, (key, query) in enumerate(split.queries.items())
            },
        )
        for name, split in dataset.splits.items()
    }
    return replace(dataset, splits=splits)


def plan(changes: dict[str, Any] | None = None, dataset: Dataset | None = None) -> Plan:
    return build_plan(pocket.suite({"candidates": WAYS, **(changes or {})}), dataset or talking())


def system(found: Plan, name: str) -> SystemPlan:
    return next(one for one in found.systems if one.name == name)


def labelled(found: Plan, label: str) -> PlannedCall:
    (call,) = [one for one in found.calls.values() if one.label == label]
    return call


def stages_of(found: Plan, keys: tuple[str, ...] | list[str]) -> list[str]:
    return [found.calls[key].call.stage for key in keys]


def test_without_histories_nothing_changes() -> None:
    found = plan(dataset=pocket.dataset())
    untuned, joined, reworded = (system(found, name) for name in ("untuned", "joined", "reworded"))
    assert (joined.run, joined.answers) == (reworded.run, reworded.answers) == (untuned.run, untuned.answers)
    assert not {"concatenate", "rewrite"} & {planned.call.stage for planned in found.calls.values()}
    assert not [name for name in found.artifacts.keys if name.endswith("history")]


def test_last_is_the_default_and_changes_no_key() -> None:
    for changes in ({"pipeline.conversation": "last"}, {"pipeline.generator": {"history_tokens": 512}}):
        assert {*plan(changes).calls} == {*plan().calls}


def test_rankings_and_keys_of_data_are_those_of_before_where_the_last_query_is_searched_with() -> None:
    """Histories change the answers, which see them, and nothing else of a pipeline as it was."""
    old, new = plan({"candidates": {}}, pocket.dataset()), plan({"candidates": {}})
    assert {planned.label for key, planned in new.calls.items() if key not in old.calls} == {
        planned.label for planned in old.calls.values() if planned.call.stage == "answer"
    }
    for name, key in old.artifacts.keys.items():
        assert new.artifacts.keys[name] == key


def test_the_index_is_shared_and_the_queries_are_not() -> None:
    found = plan()
    runs = {name: found.calls[str(system(found, name).run)].call for name in ("untuned", "joined", "reworded")}
    assert len({call.inputs["index"] for call in runs.values()}) == 1
    assert len({call.inputs["queries"] for call in runs.values()}) == 3
    made = {name: found.calls[call.inputs["queries"]].call for name, call in runs.items() if name != "untuned"}
    assert (made["joined"].stage, made["reworded"].stage) == ("concatenate", "rewrite")
    assert {call.inputs["history"] for call in made.values()} == {found.artifacts.keys["test.history"]}
    labels = [planned.label for planned in found.calls.values()]
    assert len(labels) == len({*labels})


def test_each_model_reads_as_much_of_the_turns_as_it_can() -> None:
    changes = {
        "candidates": {"joined": {"pipeline": {"conversation": "concatenate", "reranker": LATE}}},
        "pipeline.retriever": {"bm25_weight": 0.3},
    }
    found = plan(changes)
    path = [found.calls[key] for key in system(found, "joined").serving.path]
    queries = {
        one.label: found.calls[one.call.inputs["queries"]].call.spec for one in path if "queries" in one.call.inputs
    }
    dense, words, rerank = (spec["reader"] for spec in queries.values())
    assert (dense["max_length"], dense["kind"], words) == (256, "bi-encoder", None)
    assert (rerank["max_length"], rerank["kind"]) == (64, "multi-vector")


def test_a_rewrite_is_one_call_for_everything_that_searches() -> None:
    candidates = {
        "reworded": {"pipeline": {"conversation": "rewrite", "reranker": LATE, "retriever": {"bm25_weight": 0.3}}}
    }
    found = plan({"candidates": candidates})
    path = system(found, "reworded").serving.path
    assert stages_of(found, path)[0] == "rewrite"
    assert stages_of(found, path).count("rewrite") == 1
    rewritten = {
        found.calls[key].call.inputs["queries"] for key in path[1:] if "queries" in found.calls[key].call.inputs
    }
    assert rewritten == {path[0]}
    # What serves needs the model of the rewriter, and no rewrites of queries that were asked.
    keys = system(found, "reworded").serving.keys
    assert "convert" in stages_of(found, keys)
    assert not {"rewrite", "concatenate"} & {*stages_of(found, keys)}


def test_to_join_turns_is_no_part_of_the_path() -> None:
    found = plan()
    assert stages_of(found, system(found, "joined").serving.path) == ["retrieve"]
    assert "concatenate" not in stages_of(found, system(found, "joined").serving.keys)


def test_weights_are_chosen_with_the_queries_as_they_are_searched() -> None:
    candidates = {"reworded": {"pipeline": {"conversation": "rewrite", "retriever": {"bm25_weight": "dev"}}}}
    found = plan({"candidates": candidates})
    (weigh,) = [one.call for one in found.calls.values() if one.call.stage == "weigh"]
    runs = [found.calls[weigh.inputs[name]].call for name in ("first", "second")]
    dev = {found.calls[call.inputs["queries"]].call.inputs["queries"] for call in runs}
    assert dev == {found.artifacts.keys["dev.queries"]}


def test_rows_with_bm25_search_as_the_pipeline_does() -> None:
    found = plan({"pipeline.conversation": "rewrite", "candidates": {}})
    rewritten = {
        found.calls[key].call.inputs["queries"]
        for name in ("bm25", "hybrid", "untuned")
        for key in system(found, name).serving.path
        if "queries" in found.calls[key].call.inputs and found.calls[key].call.stage == "retrieve"
    }
    assert stages_of(found, [*rewritten]) == ["rewrite"]


@pytest.mark.parametrize("part", ["retriever", "reranker", "generator"])
@pytest.mark.parametrize("how", ["concatenate", "rewrite"])
def test_training_data_ignore_histories(part: str, how: str) -> None:
    tuned = {"tune": [part], "pairs": "judged"}
    changes = {
        "candidates": {"plain": tuned, "asked": {**tuned, "pipeline": {"conversation": how}}},
        "data.instruct": {"answers": "references"},
    }
    found = plan(changes)
    assert system(found, "plain").models == system(found, "asked").models
    assert system(found, "plain").run != system(found, "asked").run or part == "generator"


def test_answers_see_the_turns_and_training_examples_do_not() -> None:
    found = plan({"candidates": {}})
    for name in ("closed-book", "untuned", "few-shot", "oracle-context"):
        inputs = found.calls[str(system(found, name).answers)].call.inputs
        assert inputs["history"] == found.artifacts.keys["sample.history"]
        assert not [key for key in inputs if key.startswith("train") and "history" in key]
    none = plan({"candidates": {"blind": {"pipeline": {"generator": {"history_tokens": 0}}}}})
    assert "history" not in none.calls[str(system(none, "blind").answers)].call.inputs
    assert "history" in none.calls[str(system(none, "untuned").answers)].call.inputs


def test_the_budget_of_turns_changes_no_answer_of_a_dataset_without_any() -> None:
    other = {"pipeline.generator": {"history_tokens": 99}}
    assert {*plan(other, pocket.dataset()).calls} == {*plan(dataset=pocket.dataset()).calls}
    assert {*plan(other).calls} != {*plan().calls}


def test_it_is_a_factor_of_a_factorial() -> None:
    found = plan({"candidates": {}, "factorial": {
        "conversation": ["last", "concatenate", "rewrite"], "retriever": ["untuned", "late-interaction"],
    }})  # fmt: skip
    names = {one.name for one in found.systems if one.role == "candidate"}
    assert names == {
        "conversation-concatenate", "conversation-rewrite", "retriever-late-interaction",
        "conversation-concatenate-retriever-late-interaction", "conversation-rewrite-retriever-late-interaction",
    }  # fmt: skip


def test_the_rewriter_is_a_role_only_of_those_that_rewrite() -> None:
    served = {"model": "large", "base_url": "http://localhost:1/v1"}
    suite = pocket.suite({"candidates": WAYS, "llm": {"rewriter": served}})
    assert {one.name: one.roles for one in candidates_of(suite)} == {"joined": (), "reworded": ("rewriter",)}
    assert endpoint_roles(suite) == ["rewriter"]
    assert endpoint_roles(pocket.suite({"llm": {"rewriter": served}})) == []
    call = labelled(plan({"llm": {"rewriter": served}}), "rewrite test")
    assert (call.call.spec["endpoint"]["model"], call.call.device, call.call.models) == ("large", "any", {})
    assert call.work.llm_calls == len(talking().splits["test"].histories)
    own = [use.key for use in models_used(pocket.suite({"candidates": WAYS}))]
    assert "llm.rewriter.model" in own
    assert "llm.rewriter.model" in [use.key for use in models_used(pocket.suite({"pipeline.conversation": "rewrite"}))]
    assert "llm.rewriter.model" not in [use.key for use in models_used(pocket.suite())]


def test_another_prompt_is_another_rewrite(tmp_path: Path) -> None:
    served = {"rewriter": {"model": "large", "base_url": "http://localhost:1/v1"}}
    (tmp_path / "own.txt").write_text("Alone, please: $conversation / $question", encoding="utf-8")
    own = plan({"llm": {**served, "prompts": {"rewrite": str(tmp_path / "own.txt")}}})
    assert system(own, "reworded").run != system(plan({"llm": served}), "reworded").run
    (tmp_path / "own.txt").write_text("Alone, please: $question", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"lacks the placeholder \$conversation"):
        plan({"llm": {**served, "prompts": {"rewrite": str(tmp_path / "own.txt")}}})


@pytest.mark.parametrize("every", [1, 2, 5])
def test_only_queries_with_turns_are_counted_as_work(every: int) -> None:
    call = labelled(plan(dataset=talking(every)), "rewrite test")
    assert call.work.llm_calls == -(-len(talking(every).splits["test"].queries) // every)


# ---- remarks


def test_a_suite_is_told_that_conversations_are_groups() -> None:
    alone = {
        name: replace(split, queries={key: query._replace(group=key) for key, query in split.queries.items()})
        for name, split in talking().splits.items()
    }
    (remark,) = conversations.before(pocket.suite({"candidates": WAYS}), replace(talking(), splits=alone))
    count = f"{len(talking().splits['test'].histories)} of {len(talking().splits['test'].queries)}"
    assert remark == (
        f"{count} queries have earlier turns, and each counts as independent. Queries of one conversation are alike: "
        "give each query the id of its conversation in a field of its metadata, and that field in "
        "dataset.group.metadata."
    )
    named = {
        name: replace(
            split, queries={key: query._replace(metadata={"conv_id": "c"}) for key, query in split.queries.items()}
        )
        for name, split in alone.items()
    }
    (remark,) = conversations.before(pocket.suite({"candidates": WAYS}), replace(talking(), splits=named))
    assert remark.endswith("set dataset.group: {metadata: conv_id}.")
    assert conversations.before(pocket.suite({"candidates": WAYS}), talking()) == []


def test_a_suite_that_ignores_the_turns_or_has_none_is_told() -> None:
    (remark,) = conversations.before(pocket.suite(), talking())
    assert remark.endswith("Candidates with pipeline.conversation: concatenate and rewrite show what the turns add.")
    (remark,) = conversations.before(pocket.suite({"candidates": WAYS}), pocket.dataset())
    assert remark == (
        "No query of split 'test' has earlier turns ('history'), so candidates.joined.pipeline.conversation and "
        "candidates.reworded.pipeline.conversation change nothing."
    )
    assert conversations.before(pocket.suite(), pocket.dataset()) == []
