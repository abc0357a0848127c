"""Candidates with settings in curves, on another dataset, in slices, and in what `plan`, `list` and `doctor` print."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pocket
import pytest
import smallsuite
import yaml
from rich.console import Console

from harness.cli import doctor
from harness.cli import list as listing
from harness.cli.export import export
from harness.cli.plan import as_json, describe
from harness.data.datasets import load_dataset
from harness.data.formats import read_run
from harness.errors import ConfigError
from harness.experiments import benchmark, curve
from harness.experiments.forgetting import plan_forgetting, plan_on
from harness.experiments.preview import preview_of
from harness.planning.plan import build_plan
from harness.suite.files import load_suite
from harness.suite.sources import Forgetting
from harness.values.findings import Outcome

MIXED = {"pipeline": {"retriever": {"bm25_weight": "dev"}}}
LATE = {"pipeline": {"reranker": {"kind": "late-interaction"}}}
CANDIDATES: dict[str, Any] = {"mixed": MIXED, "both": {"tune": ["retriever"], **MIXED}, "late": LATE}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("settings")
    smallsuite.other_dataset(root / "other")
    model = smallsuite.bi_encoder(root / "model")
    more = {"candidates": CANDIDATES, "forgetting": {"dataset": {"path": "../other"}}, "slices": ["query_length"]}
    return smallsuite.write(root / "suite", model, more)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def finished(suite: Path, store: Path) -> benchmark.Finished:
    return benchmark.run(suite, store, executor=smallsuite.Here())


@pytest.fixture(scope="module")
def outcome(finished: benchmark.Finished) -> Outcome:
    return finished.outcome


# ---- another dataset


def test_weights_elsewhere_are_those_that_were_chosen_at_home(suite: Path) -> None:
    spec = load_suite(suite)[0]
    plan = build_plan(spec, load_dataset(spec.dataset, "test"))
    there = plan_forgetting(plan)
    assert there is not None
    assert [system.name for system in there.plan.systems] == ["untuned", "both"]
    assert not [one.label for one in there.plan.calls.values() if one.call.stage == "weigh"]
    own, other = ({system.name: system for system in one.systems}["both"] for one in (plan, there.plan))
    assert other.run is not None
    weight = there.plan.calls[other.run].call.inputs["weight"]
    assert weight in own.serving.artifacts
    assert plan.calls[weight].call.stage == "weigh"


def test_the_weight_of_a_reranker_is_kept_too() -> None:
    candidates = {"late": {"tune": ["retriever"], "pipeline": {"reranker": {"kind": "late-interaction"}}}}
    plan = build_plan(pocket.suite({"candidates": candidates, "data.pairs": "judged"}), pocket.dataset())
    rule = Forgetting.model_validate({"dataset": pocket.SUITE["dataset"]})
    there = plan_on(plan, pocket.dataset(), rule)
    late, own = there.plan.systems[-1], {system.name: system for system in plan.systems}["late"]
    # On the same data the other plan is a part of the first one.
    assert late.run == own.run
    assert not [one.label for one in there.plan.calls.values() if one.call.stage == "weigh"]


def test_answers_with_own_examples_are_not_written_elsewhere() -> None:
    candidates = {
        "shown": {"tune": ["retriever"], "pipeline": {"generator": {"shots": 2}}},
        "plain": {"tune": ["retriever"]},
    }
    gates = [{"measure": "exact_match", "margin": 0.02}]
    plan = build_plan(
        pocket.suite({"candidates": candidates, "data.pairs": "judged", "gates": gates}), pocket.dataset()
    )
    rule = Forgetting.model_validate({"dataset": pocket.SUITE["dataset"], "generation_queries": 5})
    there = plan_on(plan, pocket.dataset(), rule)
    answers = {system.name: system.answers for system in there.plan.systems}
    assert answers["shown"] is None
    assert answers["plain"] is not None
    assert any("own examples: shown" in note for note in there.notes)


def test_only_what_is_trained_can_forget(suite: Path, store: Path, outcome: Outcome) -> None:
    assert {row.system for row in outcome.forgotten} == {"both"}
    assert all(row.verdict != "failed" for row in outcome.forgotten)


# ---- exports


@pytest.mark.parametrize("name", CANDIDATES)
def test_an_exported_pipeline_gives_the_same_run(
    name: str, suite: Path, finished: benchmark.Finished, store: Path, tmp_path: Path
) -> None:
    export(name, tmp_path / "out", store, str(suite))
    section = yaml.safe_load((tmp_path / "out" / "pipeline.yaml").read_text(encoding="utf-8"))["pipeline"]
    model = section["retriever"]["model"]
    section["retriever"]["model"] = str(
        tmp_path / "out" / model if "./" in model else suite.parent.parent / "model" / "model"
    )
    more = {"pipeline": section, "candidates": {}, "baseline_rows": ["untuned"]}
    path = smallsuite.write(tmp_path / "again", suite.parent.parent / "model" / "model", more)
    again = benchmark.run(path, tmp_path / "store", executor=smallsuite.Here())
    (measured,) = [one for one in (finished.folder / "runs").glob("*.trec") if one.stem.split("-")[0] == name]
    assert read_run(again.folder / "runs" / "untuned.trec") == read_run(measured)


# ---- slices


def test_settings_have_slices_like_trained_candidates(outcome: Outcome) -> None:
    assert {row.system for row in outcome.slices} >= {"mixed", "both"}
    assert not [info.failed for info in outcome.systems if info.failed]


# ---- curves


def test_the_curve_of_settings_alone_is_one_sentence(suite: Path, store: Path) -> None:
    with pytest.raises(ConfigError, match="mixed trains nothing, so it has no curve") as caught:
        curve.curve(suite, "mixed", store, executor=smallsuite.Here())
    assert len(caught.value.problems) == 1


def test_the_curve_of_a_training_with_settings_keeps_the_settings(suite: Path, store: Path) -> None:
    done = curve.curve(suite, "both", store, [0.5, 1.0], executor=smallsuite.Here())
    assert not done.failed
    assert [point.share for point in done.curve.points if point.measure == "ndcg@10"] == [0.5, 1.0]
    assert all(point.mean is not None for point in done.curve.points)
    assert any("Weights were chosen" in note for note in done.curve.notes)
    derived = curve.suite_for(load_suite(suite)[0], "both", [0.5, 1.0], "dev")
    pipelines = [derived.pipeline_of(candidate) for candidate in derived.candidates.values()]
    assert [pipeline.retriever.bm25_weight for pipeline in pipelines] == ["dev", "dev"]


# ---- what is printed


def printed(show: Any, width: int = 80) -> str:
    screen = Console(width=width, record=True, file=io.StringIO())
    show(screen)
    return screen.export_text()


def test_a_plan_says_what_each_candidate_changes(suite: Path, tmp_path: Path) -> None:
    forecast = preview_of(str(suite), tmp_path)
    text = printed(lambda screen: describe(forecast, screen))
    assert "3 candidates (1 trained)" in text
    assert "no training; retriever.bm25_weight=dev" in text
    assert "tunes retriever; retriever.bm25_weight=dev" in text
    assert max(map(len, text.splitlines())) <= 80
    written = as_json(forecast)
    assert len(written["trained"]) == 1
    assert {tuple(changes) for changes in written["changed"].values()} == {
        ("retriever.bm25_weight=dev",), ("reranker.kind=late-interaction",),
    }  # fmt: skip


def test_a_list_says_what_each_candidate_changes(suite: Path) -> None:
    spec = load_suite(suite)[0]
    text = printed(lambda screen: listing.describe({"toy": spec}, {}, screen, True))
    assert "mixed" in text
    assert "no training; retriever.bm25_weight=dev" in text


def test_doctor_counts_candidates_without_training(suite: Path, tmp_path: Path) -> None:
    details = {finding.what: finding.detail for finding in doctor.find(str(suite), tmp_path)}
    assert details["candidates"] == "1 trained, 2 with other settings and no training"
