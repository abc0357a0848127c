"""A causal reranker from suite to outcome: planned, checked before any work, run, tuned and exported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pocket
import pytest
import rankers
import test_strategies
import tiny
import yaml
from test_benchmark import Here

from harness.cli.export import export
from harness.errors import ConfigError
from harness.experiments import benchmark
from harness.models.causal_rerankers import load_causal_reranker
from harness.planning import requirements
from harness.planning.graph import Plan
from harness.planning.plan import build_plan
from harness.planning.speed import speed_of
from harness.suite.pipeline import Pipeline, Reranker

CAUSAL = {"kind": "causal-lm", "model": "embedded:smollm2-135m-instruct", "max_length": 48, "instruction": "find it"}
CHANGES: dict[str, Any] = {
    "pipeline": {"depth": 10, "rerank_depth": 4, "context": 2, "generator": None, "reranker": CAUSAL},
    "data": {"pairs": "judged"},
    "measures": ["ndcg@10"],
    "candidates": {"tuned": {"tune": ["reranker"]}, "asked": {"pipeline": {"reranker": {"instruction": "answer it"}}}},
    "baseline_rows": ["untuned"],
}


def planned(changes: dict[str, Any] | None = None) -> Plan:
    return build_plan(pocket.suite({**CHANGES, **(changes or {})}), pocket.dataset())


def of_stage(plan: Plan, run: str | None, stage: str) -> list[Any]:
    return [plan.calls[key].call for key in plan.upstream([str(run)]) if plan.calls[key].call.stage == stage]


def test_the_model_is_converted_once_and_the_tuned_one_is_an_adapter_for_it() -> None:
    plan = planned()
    by_name = {system.name: system for system in plan.systems}
    (converted,) = (key for key, planned in plan.calls.items() if planned.call.stage == "convert")
    untuned, tuned = (of_stage(plan, by_name[name].run, "rerank") for name in ("untuned", "tuned"))
    for call in [*untuned, *tuned]:
        assert (call.spec["kind"], call.spec["model"], call.spec["instruction"]) == (
            "causal-lm", CAUSAL["model"], "find it",
        )  # fmt: skip
        assert call.inputs["model"] == converted
        assert list(call.models) == [CAUSAL["model"]]
    assert not any("adapter" in call.inputs for call in untuned)
    assert {call.inputs["adapter"] for call in tuned} == {by_name["tuned"].models["reranker"]}
    training = plan.calls[by_name["tuned"].models["reranker"]].call
    assert (training.spec["kind"], training.spec["instruction"], training.spec["max_length"]) == (
        "causal-lm", "find it", 48,
    )  # fmt: skip
    assert training.inputs["model"] == converted
    assert {"labels", "dev_run"} <= {*training.inputs}
    assert {"peft", "trl"} <= {*training.packages}
    assert converted in by_name["tuned"].serving.artifacts


def test_another_instruction_is_a_candidate_without_training() -> None:
    plan = planned()
    asked = next(system for system in plan.systems if system.name == "asked")
    assert {call.spec["instruction"] for call in of_stage(plan, asked.run, "rerank")} == {"answer it"}
    assert not of_stage(plan, asked.run, "tune_reranker")


def test_speeds_of_a_causal_reranker_say_nothing_of_a_cross_encoder(tmp_path: Path) -> None:
    cross = {"model": str(tiny.cross_encoder(tmp_path, ["lime"])), "max_length": 48}
    plans = [planned(), planned({"pipeline": {**CHANGES["pipeline"], "reranker": cross}, "candidates": {}})]
    kinds = [
        {speed_of(one.call, plan.calls).kind for one in plan.calls.values() if one.call.stage == "rerank"}
        for plan in plans
    ]
    assert len(kinds[0]) == len(kinds[1]) == 1
    assert kinds[0].isdisjoint(kinds[1])


def test_a_recipe_over_lists_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigError, match="recipe listwise does not tune a reranker of kind causal-lm"):
        planned({"recipes": {"reranker": {"recipe": "listwise"}}})


def test_a_model_that_cannot_answer_is_refused_before_any_work(tmp_path: Path) -> None:
    mute = tiny.generator(tmp_path / "mute", ["lime", "kiln"])
    suite = pocket.suite({**CHANGES, "pipeline.reranker": {**CAUSAL, "model": str(mute)}, "candidates": {}})
    with pytest.raises(ConfigError) as caught:
        requirements.check(suite)
    (problem,) = caught.value.problems
    assert str(problem) == (
        f"suite.yaml:19: pipeline.reranker.model: {str(mute)!r}: the tokenizer has no single token for 'yes' and for "
        "'no', with which a causal-lm reranker answers; name another model"
    )
    able = rankers.causal(tmp_path / "able")
    requirements.check(pocket.suite({**CHANGES, "pipeline.reranker": {**CAUSAL, "model": str(able)}, "candidates": {}}))


def test_a_causal_reranker_is_tuned_run_blended_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """End to end with tiny models; the dev evaluations start with the untuned model."""
    words = test_strategies.words()
    retriever = {"model": str(tiny.bi_encoder(tmp_path / "bi", words)), "max_length": 48}
    reranker = {**CAUSAL, "model": str(rankers.causal(tmp_path / "causal", words=words))}
    changes = {
        **CHANGES,
        "pipeline": {**CHANGES["pipeline"], "retriever": retriever, "reranker": reranker},
        "recipes": {"reranker": {"batch_size": 8, "checkpoints": 2, "dev_depth": 4}},
    }
    file = tmp_path / "suite.yaml"
    file.write_text(pocket.suite_text(changes), encoding="utf-8")
    finished = benchmark.run(file, tmp_path / "store", executor=Here())
    assert [info.failed for info in finished.outcome.systems if info.failed] == []
    assert {info.name for info in finished.outcome.systems} == {"untuned", "tuned", "asked"}
    (row,) = (row for row in finished.outcome.ledger if row.stage == "tune_reranker")
    assert row.notes["ndcg@10 on dev"].startswith("step 0 ")
    assert {row.stage for row in finished.outcome.ledger} >= {"rerank", "weigh", "blend"}
    assert not any(row.stage == "convert" for row in finished.outcome.ledger)
    assert all(info.serving is not None for info in finished.outcome.systems)
    exported = tmp_path / "exported"
    assert export("tuned", exported, tmp_path / "store", str(file)) == (
        "README.md", "pipeline.yaml", "reranker-adapter",
    )  # fmt: skip
    written = yaml.safe_load((exported / "pipeline.yaml").read_text(encoding="utf-8"))
    ranking = Pipeline.model_validate(written["pipeline"]).reranker
    assert ranking is not None
    # The weight of the blend may be written as it was chosen.
    named = Reranker.model_validate({**reranker, "model": "causal"})
    assert ranking.dtype == "auto"
    assert ranking.model_dump(exclude={"blend", "dtype"}) == named.model_dump(exclude={"blend"})
    assert written["reranker_adapter"] == "./reranker-adapter"
    assert (written["pipeline"]["reranker"]["model"], written["pipeline"]["reranker"]["max_length"]) == ("causal", 48)
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in card
    assert "a LoRA adapter for a causal language model" in card
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    (exported / "causal").symlink_to(tmp_path / "causal")
    monkeypatch.chdir(exported)
    names: dict[str, Any] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    pairs = [("a question", "a passage"), ("a question", "another passage")]
    served = load_causal_reranker(tmp_path / "causal", 48, "find it", exported / "reranker-adapter")
    assert names["relevance"] == served.score(pairs)
