"""`train_share`: nested samples of the training questions, and no trace of it where the whole is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pocket
import pytest
import test_tune_generator as generators
import test_tune_reranker as rerankers
import test_tune_retriever as retrievers
import tiny
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.data.formats import write_jsonl
from harness.errors import ConfigError
from harness.planning.plan import build_plan
from harness.stages.instruct import INSTRUCTIONS_FILE
from harness.stages.shared import common
from harness.stages.shared.train_share import sampled
from harness.stages.tune_retriever import training_lists
from harness.suite.recipes import GeneratorRecipe, Recipe, RerankerRecipe, RetrieverRecipe, changed

RECIPES = (RetrieverRecipe, RerankerRecipe, GeneratorRecipe)
questions = st.lists(st.text(max_size=5), max_size=40)
shares = st.floats(0.001, 1.0)


def rows_of(asked: list[str]) -> list[dict[str, Any]]:
    return [{"query": query, "number": number} for number, query in enumerate(asked)]


@given(questions, shares, shares)
def test_a_smaller_share_lies_inside_a_larger_one(asked: list[str], one: float, other: float) -> None:
    less, more = (sampled(rows_of(asked), share) for share in sorted((one, other)))
    assert [row for row in more if row in less] == list(less)


@given(questions, shares)
def test_rows_keep_their_order_and_those_of_a_question_stay_together(asked: list[str], share: float) -> None:
    rows = rows_of(asked)
    kept = sampled(rows, share)
    assert [row["number"] for row in kept] == sorted(row["number"] for row in kept)
    chosen = {row["query"] for row in kept}
    assert list(kept) == [row for row in rows if row["query"] in chosen]
    wanted = max(1, round(share * len(set(asked)))) if asked else 0
    assert len(chosen) == (len(set(asked)) if share == 1 else wanted)


@given(questions)
def test_the_whole_is_what_was_given(asked: list[str]) -> None:
    rows = rows_of(asked)
    assert sampled(rows, 1.0) is rows


@given(st.permutations([f"question {number}" for number in range(12)]))
def test_which_questions_are_taken_does_not_hang_on_their_order(asked: list[str]) -> None:
    taken = {row["query"] for row in sampled(rows_of(asked), 0.25)}
    assert taken == {row["query"] for row in sampled(rows_of(sorted(asked)), 0.25)}
    assert len(taken) == 3


# Keys


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_whole_is_in_no_key(recipe: type[Recipe]) -> None:
    for whole in (recipe(), recipe(train_share=1.0), recipe.model_validate({"train_share": 1})):
        assert whole.key_settings() == {}
    assert recipe(train_share=0.5).key_settings() == {"train_share": 0.5}


def specs(changes: dict[str, Any]) -> dict[str, Any]:
    """The recipe in the call of each training, by its stage."""
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    calls = (planned.call for planned in plan.calls.values())
    return {call.stage: call.spec["recipe"] for call in calls if call.stage.startswith("tune")}


def keys(changes: dict[str, Any]) -> list[str]:
    return list(build_plan(pocket.suite(changes), pocket.dataset()).calls)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A suite of tiny models that tunes every part."""
    root = tmp_path_factory.mktemp("models")
    return {
        "pipeline.retriever": {"model": str(tiny.bi_encoder(root / "bi", ["pane"]))},
        "pipeline.generator": {"model": str(tiny.generator(root / "writer", ["pane"]))},
        "data": {"pairs": "judged"},
        "recipes.reranker": {"model": str(tiny.bi_encoder(root / "cross", ["pane"], seed=1))},
        "candidates": {"all": {"tune": ["retriever", "reranker", "generator"]}},
    }


def test_a_plan_of_the_whole_has_the_keys_that_it_had(base: dict[str, Any]) -> None:
    assert specs(base).keys() == {"tune_retriever", "tune_reranker", "tune_generator"}
    said = {"tune": ["retriever", "reranker", "generator"], "retriever": {"train_share": 1.0}}
    assert keys({**base, "candidates": {"all": said}}) == keys(base)


def test_a_share_changes_the_training_and_what_follows_from_it_and_no_data(base: dict[str, Any]) -> None:
    less = {**base, "recipes.retriever": {"train_share": 0.5}}
    assert specs(less)["tune_retriever"]["train_share"] == 0.5
    assert specs(less)["tune_reranker"]["train_share"] == 1.0
    before, after = (build_plan(pocket.suite(changes), pocket.dataset()) for changes in (base, less))
    shared = {after.calls[key].call.stage for key in before.calls.keys() & after.calls.keys()}
    assert {"mine", "index", "retrieve"} <= shared
    assert "tune_retriever" not in shared
    work = {
        name: next(planned.work.units for planned in plan.calls.values() if planned.call.stage == "tune_retriever")
        for name, plan in (("whole", before), ("half", after))
    }
    assert work["half"] == pytest.approx(work["whole"] / 2, abs=2)


def test_a_candidate_changes_the_share_of_one_part() -> None:
    suite = pocket.suite({"candidates": {"few": {"tune": ["retriever"], "retriever": {"train_share": 0.3}}}})
    assert suite.recipe(suite.candidates["few"], "retriever").train_share == 0.3
    whole = changed(
        RetrieverRecipe(train_share=0.3), suite.candidates["few"].retriever.model_copy(update={"train_share": 1.0})
    )
    assert whole == RetrieverRecipe()


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_share_is_above_0_and_at_most_1(share: float) -> None:
    with pytest.raises(ValidationError):
        RetrieverRecipe(train_share=share)
    with pytest.raises(ConfigError, match=r"recipes\.generator\.train_share"):
        pocket.suite({"recipes.generator": {"train_share": share}})


# Stages


def test_a_retriever_is_trained_on_its_share(tmp_path: Path) -> None:
    model = tiny.bi_encoder(tmp_path / "model", retrievers.WORDS)
    counts = {}
    for name in ("mnrl", "distill"):
        for share in (0.25, 1.0):
            root = tmp_path / f"{name}-{share}"
            out, usage = retrievers.tuned(root, model, recipe=name, epochs=1, checkpoints=1, train_share=share)
            counts[name, share] = usage.notes["lists"]
            assert usage.units == usage.notes["lists"]
            assert usage.notes.get("share of the questions", 1.0) == share
            assert retrievers.weights(out)
    assert counts == {("mnrl", 0.25): 3, ("mnrl", 1.0): 12, ("distill", 0.25): 3, ("distill", 1.0): 12}


def test_lists_of_a_share_are_among_those_of_the_whole(tmp_path: Path) -> None:
    folders = retrievers.artifacts(tmp_path)
    for names in (("corpus", "triplets"), ("corpus", "labels")):
        inputs = {name: folders[name] for name in names}
        whole, half = training_lists(inputs)[0], training_lists(inputs, 0.5)[0]
        assert [item for item in whole if item in half] == half
        assert len(half) == len(whole) / 2


@pytest.mark.parametrize("recipe", ["bce", "listwise"])
def test_a_reranker_is_trained_on_its_share(recipe: str, tmp_path: Path) -> None:
    quick = rerankers.long_recipe(recipe, epochs=1)
    _, usage = rerankers.tuned(tmp_path / "half", quick.model_copy(update={"train_share": 0.5}))
    assert (usage.notes["queries"], usage.notes["pairs"], usage.units) == (2, 8, 8)
    assert usage.notes["share of the questions"] == 0.5


def test_a_generator_is_trained_on_its_share(tmp_path: Path) -> None:
    common.write_corpus(generators.part(tmp_path, "corpus"), generators.CORPUS)
    write_jsonl(generators.part(tmp_path, "instructions") / INSTRUCTIONS_FILE, generators.ROWS)
    tiny.generator(generators.part(tmp_path, "model"), generators.WORDS)
    inputs = {name: tmp_path / name for name in ("corpus", "instructions", "model")}
    recipe = generators.QUICK.model_copy(update={"train_share": 0.5})
    usage = generators.tuned(inputs, tmp_path / "half", recipe)
    assert usage.notes["examples"] == 5
    generators.tuned(inputs, tmp_path / "whole")
    half, whole = (next((tmp_path / name).rglob("*.safetensors")).read_bytes() for name in ("half", "whole"))
    assert half != whole
