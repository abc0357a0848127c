"""Candidates as sets of changes: how they are merged and named, and what is refused, in one sentence each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pocket
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli.layout import what_changes
from harness.errors import ConfigError
from harness.execution.latency import Latencies
from harness.execution.making import no_display
from harness.planning.plan import build_plan
from harness.store import FolderStore
from harness.suite.files import parse_suite
from harness.suite.pipeline import settings_of

LATE = {"reranker": {"kind": "late-interaction"}}


def problems(changes: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_suite(pocket.suite_text(changes), Path("s.yaml"))
    return [f"{one.where.partition(': ')[2]}: {one.what}" for one in caught.value.problems]


def candidate(pipeline: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": {"a": {"pipeline": pipeline, **more}}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (candidate({"retriever": {"bm25_weight": 1.5}}),
         "candidates.a.pipeline.retriever.bm25_weight: should be 'dev' or a number from 0 to 1"),
        (candidate({"retriever": {"bm25_weight": -0.1}}),
         "candidates.a.pipeline.retriever.bm25_weight: should be 'dev' or a number from 0 to 1"),
        (candidate({"retriever": {"bm25_weight": "test"}}),
         "candidates.a.pipeline.retriever.bm25_weight: should be 'dev' or a number from 0 to 1"),
        (candidate({"retriever": {"bm25_weight": True}}),
         "candidates.a.pipeline.retriever.bm25_weight: should be 'dev' or a number from 0 to 1"),
        (candidate({"reranker": {**LATE["reranker"], "blend": 2}}),
         "candidates.a.pipeline.reranker.blend: should be 'dev', a number from 0 to 1, or false"),
        (candidate({"reranker": {**LATE["reranker"], "blend": True}}),
         "candidates.a.pipeline.reranker.blend: should be 'dev', a number from 0 to 1, or false"),
        (candidate({}), "candidates.a: changes nothing"),
        (candidate({"reranker": None}), "candidates.a: changes nothing"),
        (candidate({"retriever": {"kind": "dense"}}), "candidates.a: changes nothing"),
        (candidate({}, tune=[]), "candidates.a: changes nothing"),
        (candidate({"depth": 5}), "candidates.a.pipeline.depth: 5 is less than the cutoff of ndcg@10"),
        (candidate({"depth": 5}, tune=["retriever"]),
         "candidates.a.pipeline.depth: 5 is less than the cutoff of ndcg@10"),
        ({"factorial": {"x": {"one": {}, "two": {}}}}, "factorial: x-two changes nothing"),
        ({"factorial": {"x": {"one": {}, "two": {"pipeline": {"depth": 5}}}}},
         "factorial: 5 is less than the cutoff of ndcg@10"),
        ({"factorial": {"retriever": ["untuned"]}},
         "factorial: factor 'retriever' needs two levels or more, the first as the pipeline has it"),
        ({"factorial": {"retriever": "tuned"}},
         "factorial: factor 'retriever' needs a list of levels, such as [untuned, tuned], or a mapping of them"),
        ({"factorial": {"reranker": ["late-interaction", "none"]}},
         "factorial.reranker: its first level, 'late-interaction', is not what the pipeline has"),
        ({"factorial": {"chunking": ["none", "64-40"]}},
         "factorial: the level '64-40' of 'chunking' repeats more than half of its 64 tokens; write 64-32 at most"),
    ],
)  # fmt: skip
def test_what_a_candidate_cannot_be_is_said_once(changes: dict[str, Any], said: str) -> None:
    assert problems({"candidates": {}, "measures": ["ndcg@10"], **changes}) == [said]


def test_an_unknown_key_of_a_level_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'context'"):
        parse_suite(pocket.suite_text({"factorial": {"contex": [2, 5]}}), Path("s.yaml"))


FACTORS: dict[str, list[Any]] = {
    "retriever": ["untuned", "tuned", "late-interaction", "hybrid"],
    "reranker": ["none", "late-interaction", "tuned"],
    "generator": ["untuned", "tuned"],
    "context": [5, 2, 3],
}


@settings(max_examples=40)
@given(counts=st.fixed_dictionaries({}, optional={name: st.integers(2, len(all_)) for name, all_ in FACTORS.items()}))
def test_a_factorial_has_as_many_systems_as_its_table(counts: dict[str, int]) -> None:
    factors = {name: FACTORS[name][:count] for name, count in counts.items()}
    suite = pocket.suite({"candidates": {}, "factorial": factors, "pipeline.context": 5})
    assert len(suite.crossed) == math.prod(counts.values()) - 1
    levels = [tuple(at.values()) for at in suite.design.systems.values()]
    assert len(set(levels)) == len(levels) == len(suite.crossed)
    for name, crossed in suite.crossed.items():
        at = suite.design.systems[name]
        assert set(crossed.tune) == {part for part, level in at.items() if level == "tuned"}
        pipeline = suite.pipeline_of(crossed)
        assert pipeline.context == int(at.get("context", "5"))
        assert (pipeline.retriever.bm25_weight == "dev") == (at.get("retriever") == "hybrid")
        assert (pipeline.reranker is not None) == (at.get("reranker") == "late-interaction")


def test_a_change_keeps_the_other_keys_of_a_section() -> None:
    suite = pocket.suite({
        "pipeline.retriever": {"model": "embedded:all-minilm-l6-v2", "max_length": 48},
        **candidate({"retriever": {"kind": "late-interaction", "precision": "int8"}, "context": 2}),
    })  # fmt: skip
    (changed,) = suite.candidates.values()
    pipeline = suite.pipeline_of(changed)
    assert (pipeline.retriever.max_length, pipeline.retriever.kind, pipeline.context) == (48, "late-interaction", 2)
    assert suite.pipeline.retriever.kind == "dense"
    assert settings_of(changed.pipeline) == ["retriever.kind=late-interaction", "retriever.precision=int8", "context=2"]


def test_prompts_of_another_form_are_timed_on_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: dict[str, tuple[int, int]] = {}

    def record(self: Latencies, name: str, spec: dict[str, Any], inputs: Any) -> str:
        if reply := spec.get("reply"):
            timed.setdefault(name, (reply["context"], reply["few_shot"]))
            assert timed[name] == (reply["context"], reply["few_shot"])
        return name

    monkeypatch.setattr(Latencies, "_time", record)
    suite = pocket.suite({
        "candidates": {
            "wide": {"pipeline": {"context": 4}},
            "wide-late": {"pipeline": {"context": 4, **LATE}},
            "late": {"pipeline": LATE},
            "shots": {"pipeline": {"generator": {"shots": 2}}},
            "tuned": {"tune": ["generator"], "pairs": "judged"},
            "tuned-wide": {"tune": ["generator"], "pairs": "judged", "pipeline": {"context": 4}},
        },
        "baseline_rows": ["bm25", "untuned", "few-shot"],
    })  # fmt: skip
    plan = build_plan(suite, pocket.dataset())
    latencies = Latencies(plan, FolderStore(tmp_path), pocket.Pretender(), no_display)
    names = {system.name: latencies._parts(system)[-1] for system in plan.systems}
    assert names["untuned"] == names["late"] == names["bm25"] == "generator"
    assert names["wide"] == names["wide-late"] == "generator:wide"
    assert (names["shots"], names["few-shot"]) == ("generator:shots", "generator:few-shot")
    assert (names["tuned"], names["tuned-wide"]) == ("generator:tuned (seed 0)", "generator:tuned-wide (seed 0)")
    context = suite.pipeline.context
    assert timed["generator"] == (context, 0)
    assert timed["generator:wide"] == timed["generator:tuned-wide (seed 0)"] == (4, 0)
    assert timed["generator:shots"] == (context, 2)


def test_what_differs_in_training_is_told_beside_the_parts() -> None:
    """Candidates that train the same part on other data or by another recipe are not shown as alike."""
    suite = pocket.suite({"candidates": {
        "plain": {"tune": ["retriever"]},
        "sentences": {"tune": ["retriever"], "pairs": "structure", "mine": {"hard": 2}},
        "nested": {"tune": ["retriever"], "retriever": {"matryoshka": [64, 32], "epochs": 3}},
        "cut": {"tune": ["retriever"], "pipeline": {"retriever": {"dimensions": 32}}},
    }})  # fmt: skip
    plan = build_plan(suite, pocket.dataset())
    told = {
        system.name: what_changes(system.tunes, system.training, system.changes)
        for system in plan.systems
        if system.role == "candidate"
    }
    assert told == {
        "plain": "tunes retriever",
        "sentences": "tunes retriever (pairs=structure, mine.hard=2)",
        "nested": "tunes retriever (retriever.epochs=3, retriever.matryoshka=[64, 32])",
        "cut": "tunes retriever; retriever.dimensions=32",
    }
    assert len(set(told.values())) == len(told)
