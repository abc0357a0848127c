"""Settings of prompts and checkpoints on dev in a plan: which keys they change, and what a training is given."""

from __future__ import annotations

import dataclasses
from typing import Any

import pocket
import pytest

from harness.data.datasets import Dataset
from harness.errors import ConfigError
from harness.planning.graph import Plan, PlannedCall
from harness.planning.plan import build_plan
from harness.suite.sources import Forgetting
from harness.suite.uses import reading_elsewhere, reading_of

CANDIDATES: dict[str, Any] = {
    "tuned": {"tune": ["generator"]},
    "last": {"pipeline": {"context_order": "best-last"}},
    "shots": {"pipeline": {"generator": {"shots": 2}}},
    "both": {"tune": ["retriever", "generator"], "pipeline": {"generator": {"shots": 2}, "context_order": "best-last"}},
}


def plan(changes: dict[str, Any] | None = None, dataset: Dataset | None = None) -> Plan:
    return build_plan(pocket.suite({"candidates": CANDIDATES, **(changes or {})}), dataset or pocket.dataset())


def call(found: Plan, label: str) -> PlannedCall:
    (one,) = (planned for planned in found.calls.values() if planned.label == label)
    return one


def test_prompts_are_candidates_without_training() -> None:
    found = plan()
    untuned, last, shots = (call(found, f"answer as {name}") for name in ("untuned", "last", "shots"))
    assert last.call.inputs == untuned.call.inputs
    assert last.call.spec == {**untuned.call.spec, "context_order": "best-last"}
    assert (shots.call.spec["few_shot"], untuned.call.spec["few_shot"]) == (2, 0)
    assert shots.call.spec["generator"] == untuned.call.spec["generator"]
    assert shots.call.inputs.keys() - untuned.call.inputs.keys() == {"train_queries", "train_qrels", "train_references"}
    labels = {planned.label for planned in found.calls.values() if "last" in planned.systems}
    assert labels - {planned.label for planned in found.calls.values() if "untuned" in planned.systems} == {last.label}


def test_as_many_shots_as_the_row_few_shot_has_are_that_row() -> None:
    found = plan({"candidates": {"three": {"pipeline": {"generator": {"shots": 3}}}}})
    by_name = {system.name: system.answers for system in found.systems}
    assert by_name["three"] == by_name["few-shot"] != by_name["untuned"]


def test_a_generator_is_trained_on_the_prompts_that_it_serves() -> None:
    found = plan()
    trained, answers = call(found, "tune generator of both, seed 0"), call(found, "answer as both, seed 0")
    assert trained.call.spec["generator"]["shots"] == answers.call.spec["few_shot"] == 2
    assert trained.call.spec["generator"]["context_order"] == answers.call.spec["context_order"] == "best-last"
    assert trained.call.spec["generator"]["sentence"] == answers.call.spec["sentence"]
    for part in ("train_queries", "train_qrels", "train_references"):
        assert trained.call.inputs[part] == answers.call.inputs[part]
    plain = call(found, "tune generator of tuned, seed 0")
    assert set(plain.call.inputs) == {"instructions", "corpus", "model"}


def test_shots_without_examples_are_refused() -> None:
    dataset = pocket.dataset()
    train = dataclasses.replace(dataset.splits["train"], references={})
    bare = dataclasses.replace(dataset, splits={**dataset.splits, "train": train})
    with pytest.raises(ConfigError, match=r"shots needs answered queries in split 'train'.*set shots: 0"):
        plan({"candidates": {"shots": CANDIDATES["shots"]}}, bare)


def test_dev_is_read_only_where_a_checkpoint_is_chosen() -> None:
    plain, chosen = plan(), plan({"recipes.generator": {"checkpoints": 2, "dev_queries": 5}})
    label = "tune generator of both, seed 0"
    assert call(plain, label).call.spec["dev"] is None
    assert not any(name.startswith("dev_") for name in call(plain, label).call.inputs)
    trained = call(chosen, label).call
    assert {"dev_queries", "dev_references", "dev_run"} < set(trained.inputs)
    run = chosen.calls[trained.inputs["dev_run"]]
    assert run.label == "retrieve dev with both, seed 0"
    dev = trained.spec["dev"]
    assert (dev["context"], dev["max_new_tokens"], dev["utility"]["right"]) == (2, 48, "exact_match")
    asked = min(5, len(pocket.dataset().splits["dev"].references))
    assert asked
    assert call(chosen, label).work.evaluations == 3 * asked
    assert call(plain, label).work.evaluations == 0


def test_a_setting_of_dev_answers_changes_no_training_without_dev() -> None:
    label = "tune generator of tuned, seed 0"
    settings = {"utility": {"right": "token_f1", "threshold": 0.5}}
    assert call(plan(), label).key == call(plan(settings), label).key
    chosen: dict[str, Any] = {"recipes.generator": {"checkpoints": 2}}
    assert call(plan(chosen), label).key != call(plan({**chosen, **settings}), label).key


def test_the_train_split_is_read_where_examples_are_shown() -> None:
    bare: dict[str, Any] = {"candidates": {}, "baseline_rows": ["untuned"]}
    assert "train" not in reading_of(pocket.suite(bare)).splits
    assert "train" in reading_of(pocket.suite({**bare, "pipeline.generator": {"shots": 1}})).splits
    rule = Forgetting.model_validate({"dataset": {"path": "fixture:pocket"}, "split": "test", "generation_queries": 3})
    assert "train" not in reading_elsewhere(rule).splits
    assert "train" in reading_elsewhere(rule, examples=True).splits
