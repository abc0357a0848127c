"""Training-free candidates in a diagnosis: which are measured, what is computed, and what is advised and shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import diagnosed
import planted
import pocket
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnosis.advice import advise
from harness.diagnosis.facts import Setting, facts
from harness.diagnosis.rules import load_rules
from harness.diagnosis.training_free import Column, best, settings_gains
from harness.errors import StageFailed
from harness.experiments.diagnose import diagnose
from harness.planning.oracles import build_diagnosis_plan, suite_for
from harness.planning.training_free import STANDARD, affordable, chosen
from harness.report.render.html import render_diagnosis_html
from harness.report.render.markdown import render_diagnosis_markdown
from harness.stages.retrieve import RUN_FILE
from harness.store import FolderStore
from harness.suite.files import parse_suite
from harness.suite.spec import Candidate
from harness.values.insights import Diagnosis
from harness.values.measures import parse
from harness.values.records import Turn
from harness.values.training_free import LostShare, SettingsGain, TrainingFree

LATE: dict[str, Any] = {"reranker": {"kind": "late-interaction"}}
MEASURED: dict[str, Any] = {"diagnose": {"generation_queries": 96}}
SETTING = Setting({"ndcg@10": 0.02})


# ---- which are measured


def test_the_suite_s_own_come_first_and_standard_ones_only_if_no_other_is_alike() -> None:
    suite = pocket.suite({
        "candidates": {
            "mixed": {"pipeline": {"retriever": {"bm25_weight": 0.3}}},
            "trained": {"tune": ["retriever"], "pipeline": LATE},
        }
    })  # fmt: skip
    found = chosen(suite)
    assert list(found.candidates) == ["mixed", *(name for name in STANDARD if name != "retriever-hybrid")]
    assert found.standard == frozenset(STANDARD) - {"retriever-hybrid"}
    assert found.left_out == {}


def test_levels_of_a_factorial_without_training_are_measured_once_each() -> None:
    factors = {"retriever": ["untuned", "tuned", "hybrid"], "reranker": ["none", "late-interaction"]}
    suite = pocket.suite({"candidates": {}, "factorial": factors})
    assert len(suite.crossed) == 5
    assert list(chosen(suite).candidates) == [
        "retriever-hybrid", "reranker-late-interaction", "retriever-hybrid-reranker-late-interaction",
        "retriever-late-interaction", "retriever-late-interaction-hybrid",
    ]  # fmt: skip
    assert chosen(suite).standard == {"retriever-late-interaction", "retriever-late-interaction-hybrid"}


def test_a_name_that_a_trained_candidate_has_is_not_taken() -> None:
    suite = pocket.suite({"candidates": {"retriever-hybrid": {"tune": ["retriever"]}}})
    assert next(iter(chosen(suite).candidates)) == "retriever-hybrid-untrained"


def test_joining_turns_is_a_standard_candidate_only_where_queries_have_some_and_nothing_searches_with_them() -> None:
    name = "conversation-concatenate"
    suite = pocket.suite({"candidates": {}})
    assert name not in chosen(suite).candidates
    found = chosen(suite, has_turns=True)
    assert list(found.candidates) == [name, *STANDARD]
    assert found.candidates[name].pipeline.model_dump(mode="json") == {"conversation": "concatenate"}
    joined = pocket.suite({"candidates": {}, "pipeline.conversation": "concatenate"})
    assert name not in chosen(joined, has_turns=True).candidates
    own = pocket.suite({"candidates": {"mine": {"pipeline": {"conversation": "concatenate"}}}})
    assert list(chosen(own, has_turns=True).candidates) == ["mine", *STANDARD]
    dataset = pocket.dataset()
    part = dataset.splits["dev"]
    turns = (Turn("user", "Which pump?"), Turn("assistant", "The second."))
    queries = {key: query._replace(history=turns) for key, query in part.queries.items()}
    talking = replace(dataset, splits={**dataset.splits, "dev": replace(part, queries=queries)})
    for given_dataset, planned in ((dataset, False), (talking, True)):
        free = build_diagnosis_plan(suite_for(suite, "dev"), given_dataset).free
        assert (name in free.candidates) == planned


def test_bm25_is_not_mixed_into_bm25() -> None:
    suite = pocket.suite({"pipeline.retriever": {"kind": "bm25"}, "candidates": {}})
    assert [name for name in chosen(suite).candidates if name.startswith("retriever-hybrid")] == []


def test_a_candidate_whose_model_is_missing_is_left_out_with_the_reason() -> None:
    suite = pocket.suite({"candidates": {"other": {"pipeline": {"retriever": {"model": "/no/such/folder"}}}}})
    found = chosen(suite)
    assert "other" not in found.candidates
    assert "/no/such/folder" in found.left_out["other"]


def test_answers_are_planned_only_where_they_alone_can_show_a_gain() -> None:
    suite = pocket.suite({"candidates": {"short": {"pipeline": {"generator": {"shots": 2}}}}})
    plan = build_diagnosis_plan(suite_for(suite, "dev"), pocket.dataset()).plan
    answers = {system.name: system.answers for system in plan.systems if system.role == "candidate"}
    assert answers["short"] is not None
    assert {name for name, key in answers.items() if key} == {"short"}


def test_what_takes_too_long_is_left_out_and_the_rest_stays_whole(tmp_path: Path) -> None:
    planned = build_diagnosis_plan(suite_for(pocket.suite({"candidates": {}}), "dev"), pocket.dataset()).plan
    store = FolderStore(tmp_path)
    everything = affordable(planned, store, 1e9)
    assert (everything.left_out, everything.plan) == ({}, planned)
    few = affordable(planned, store, 10.0)
    nothing = affordable(planned, store, 0.0)
    assert set(nothing.left_out) == set(STANDARD)
    assert {system.role for system in nothing.plan.systems} == {"baseline"}
    kept = {system.name for system in few.plan.systems if system.role == "candidate"}
    assert kept == set(STANDARD) - set(few.left_out)
    for plan in (few.plan, nothing.plan):
        assert all(call.systems for call in plan.calls.values())
        for system in plan.systems:
            assert set(system.goals) <= set(plan.calls)


# ---- what is computed


groups = {f"q{number}": f"g{number // 2}" for number in range(40)}
values = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=40, max_size=40)


@given(values, values)
def test_a_gain_is_the_mean_difference_and_what_is_left_adds_up_to_the_oracle(
    mine: list[float], own: list[float]
) -> None:
    ids = list(groups)
    column = Column(
        "mixed", parse("ndcg@10"), dict(zip(ids, mine, strict=True)), dict(zip(ids, own, strict=True)), 0.02,
        dict.fromkeys(ids, 1.0),
    )  # fmt: skip
    (gain,) = settings_gains([column], groups, failure_limit=0.0, alpha=0.05, resamples=200)["mixed"]
    mean, untuned = sum(mine) / 40, sum(own) / 40
    assert gain.difference == pytest.approx(mean - untuned)
    assert (gain.mean, gain.untuned) == (pytest.approx(mean), pytest.approx(untuned))
    assert gain.left == pytest.approx(1 - mean)
    assert gain.low is None or gain.low <= (gain.difference or 0.0) + 1e-9


def test_nothing_measured_is_no_gain() -> None:
    assert settings_gains([], groups, failure_limit=0.0, alpha=0.05, resamples=200) == {}


# ---- what is advised


JOINED = {"change": {"conversation": "concatenate"}, "changes": ("conversation=concatenate",)}
TALKING = SETTING._replace(turns=0.5, concatenate_open=True, rewrite_open=True)


def advised_with(setting: Setting, *measured: TrainingFree) -> dict[str, Any]:
    seen = diagnosed.diagnosis(training_free=measured)
    known = seen.model_copy(update={"facts": facts(seen, setting)})
    return {one.rule: one for one in advise(known, load_rules(), {})}


def test_searching_with_turns_is_proposed_unless_it_was_measured_not_to_help() -> None:
    both = {"search-with-turns", "rewrite-with-turns"}
    assert not both & set(advised_with(SETTING._replace(turns=0.0, concatenate_open=True, rewrite_open=True)))
    assert both <= set(advised_with(TALKING))
    joining = advised_with(TALKING)["search-with-turns"]
    assert joining.why[0].startswith("50 % of the judged queries have earlier turns")
    assert yaml.safe_load(joining.paste) == {
        "candidates": {"concatenate": {"pipeline": {"conversation": "concatenate"}}}
    }
    assert both & set(advised_with(TALKING._replace(rewrite_open=False))) == {"search-with-turns"}
    assert both & set(advised_with(TALKING._replace(concatenate_open=False))) == {"rewrite-with-turns"}
    harmful = advised_with(TALKING, free("joined", -0.3, -0.4, **JOINED))
    assert both & set(harmful) == {"rewrite-with-turns"}
    assert any(
        "Joining the turns, measured on these queries, changes retrieval by -0.300" in line
        for line in harmful["rewrite-with-turns"].why
    )
    # The best of all is advised as such, with its own settings.
    best_of_all = advised_with(TALKING, free("joined", 0.3, 0.2, **JOINED))
    assert (set(best_of_all) & (both | {"settings-gain"})) == {"settings-gain", "rewrite-with-turns"}
    second = advised_with(TALKING, free("joined", 0.1, 0.05, **JOINED), free("mixed", 0.3, 0.2))
    assert both <= set(second)
    assert any("gains +0.100" in line for line in second["search-with-turns"].why)


def free(name: str, difference: float, low: float, added: float | None = 0.0, **changes: Any) -> TrainingFree:
    gain = SettingsGain(
        measure="ndcg@10", mean=0.55 + difference, untuned=0.55, margin=0.02, difference=difference, low=low,
        high=2 * difference - low, verdict="improved" if low > 0 else "inconclusive", left=0.45 - difference,
        left_low=0.44 - difference, left_high=0.46 - difference,
    )  # fmt: skip
    some = LostShare(share=0.2, low=0.15, high=0.25)
    return TrainingFree(**{
        "name": name, "origin": "standard", "change": LATE, "changes": ("reranker.kind=late-interaction",),
        "gains": (gain,), "added_p95_ms": added, "index_bytes": 1000, "pool": some, "context": some,
    } | changes)  # fmt: skip


def advised(*candidates: TrainingFree, **changes: Any) -> Diagnosis:
    seen = diagnosed.diagnosis(**{"training_free": candidates, "estimates": ()} | changes)
    seen = seen.model_copy(update={"facts": facts(seen, SETTING)})
    return seen.model_copy(update={"advice": advise(seen, load_rules(), {"retriever": ("retriever",)})})


def test_a_sure_gain_without_training_comes_before_any_training_and_before_a_better_test_set() -> None:
    seen = advised(free("late", 0.1, 0.05))
    first = seen.advice[0]
    assert (first.rule, first.kind, first.could_buy[0].difference) == ("settings-gain", "change", 0.1)
    assert "late" in first.action
    assert yaml.safe_load(first.paste) == {"candidates": {"late": {"pipeline": LATE}}}
    assert {row.kind for row in seen.advice[1:]} > {"tune"}


def test_a_gain_within_the_margin_is_not_advised_first() -> None:
    rules = [row.rule for row in advised(free("late", 0.04, 0.01)).advice]
    assert "settings-gain" not in rules
    assert "settings-may-gain" in rules
    assert not {"settings-gain", "settings-may-gain"} & {row.rule for row in advised(free("late", 0.04, -0.01)).advice}


def test_training_is_advised_on_top_of_the_change_and_by_what_it_leaves() -> None:
    seen = advised(free("late", 0.1, 0.05))
    tuning = next(row for row in seen.advice if row.tunes == ("retriever",) and row.kind == "tune")
    (candidate,) = yaml.safe_load(tuning.paste)["candidates"].values()
    assert candidate == {"tune": ["retriever"], "pipeline": LATE}
    Candidate.model_validate(candidate)
    (worth,) = [worth for worth in tuning.could_buy if worth.measure == "ndcg@10"]
    oracle = seen.oracle_gain("oracle-retriever", "ndcg@10")
    assert oracle is not None
    assert oracle.difference is not None
    assert worth.difference == pytest.approx(oracle.difference - 0.1)
    assert any("late" in why for why in tuning.why)


def test_training_that_could_gain_nothing_more_is_not_advised() -> None:
    none = LostShare(share=0.01, low=0.0, high=0.02)
    seen = advised(free("late", 0.45, 0.40, pool=none, context=none))
    assert not [row for row in seen.advice if row.kind == "tune" and {"retriever", "reranker"} & {*row.tunes}]
    assert "leave-retrieval-after" in {row.rule for row in seen.advice}


def test_of_candidates_within_the_margin_the_cheapest_is_advised_and_none_over_the_limit() -> None:
    slow, fast = free("slow", 0.11, 0.05, 400.0), free("fast", 0.1, 0.05, 10.0)
    assert advised(slow, fast).advice[0].action.endswith("fast")
    far = free("far", 0.2, 0.1, 400.0)
    assert advised(far, fast).advice[0].action.endswith("far")
    seen = diagnosed.diagnosis(training_free=(far, fast), p95_ms=900.0)
    chosen_one = best(seen, "ndcg@10", 1000.0)
    assert chosen_one is not None
    assert chosen_one.name == "fast"


def test_one_of_the_suite_is_pasted_as_a_change_of_its_pipeline_and_named() -> None:
    first = advised(free("late", 0.1, 0.05, origin="suite")).advice[0]
    assert yaml.safe_load(first.paste) == {"pipeline": LATE}
    assert first.candidates == ("late",)


def test_what_the_suite_lacks_is_pasted_where_nothing_free_is_advised() -> None:
    seen = advised()
    pasted = {row.tunes: row.paste for row in seen.advice if row.kind == "tune" and not row.against}
    assert pasted["retriever",] == ""
    assert yaml.safe_load(pasted["generator",]) == {"candidates": {"tuned-generator": {"tune": ["generator"]}}}


def test_the_report_shows_gains_and_what_to_paste() -> None:
    text = render_diagnosis_markdown(
        advised(free("late", 0.1, 0.05), free("broken", 0.0, 0.0, failed="it fell", gains=()))
    )
    page = render_diagnosis_html(advised(free("late", 0.1, 0.05)))
    assert "reranker: {kind: late-interaction}</pre>" in page
    assert "What changes without training gain" in text
    assert "candidates:\n  late:\n    pipeline:" in text
    assert "broken failed: it fell." in text


# ---- as a whole


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    planted.write_dataset(folder / "data")
    return folder


class Late(planted.Planted):
    """Late interaction puts the relevant document first; everything else is as planted."""

    def _rerank(self, request: Any) -> None:
        from harness.data.formats import read_run, write_run

        run = read_run(request.inputs["run"] / RUN_FILE, escaped=True)
        write_run(
            request.out / RUN_FILE, {key: self._first(key, [doc_id for doc_id, _ in hits]) for key, hits in run.items()}
        )

    def _first(self, query_id: str, documents: list[str]) -> list[tuple[str, float]]:
        ranked = planted.first(query_id, planted._relevant(query_id), documents)
        return [(doc_id, 1.0 / place) for place, doc_id in enumerate(ranked, 1) if doc_id in documents]


def test_a_reranker_without_training_that_mends_the_order_is_advised_first(data: Path, tmp_path: Path) -> None:
    executor = Late(planted.last_of_pool, planted.attentive)
    seen = diagnose(planted.write_suite(data, **MEASURED), tmp_path, executor=executor).diagnosis
    by_name = {one.name: one for one in seen.training_free}
    assert set(by_name) == set(STANDARD)
    late = by_name["reranker-late-interaction"]
    gain = late.gain("ndcg@10")
    assert gain is not None
    assert gain.difference == pytest.approx(1.0)
    assert (late.weights.keys(), late.context and late.context.share) == ({"reranker.blend"}, 0.0)
    assert late.index_bytes
    assert late.added_p95_ms == pytest.approx(210.0)
    assert seen.advice[0].rule == "settings-gain"
    assert not [row for row in seen.advice if row.kind == "tune" and "retriever" in row.tunes]
    assert any("Weights were chosen on dev" in note for note in seen.notes)
    assert any("no answers were written" in note for note in seen.notes)


def test_what_is_pasted_is_a_suite_that_can_be_read(data: Path, tmp_path: Path) -> None:
    path = planted.write_suite(data, **MEASURED)
    seen = diagnose(path, tmp_path, executor=Late(planted.last_of_pool)).diagnosis
    value = yaml.safe_load(planted.write_suite(data).read_text(encoding="utf-8"))
    pasted = [row.paste for row in seen.advice if row.paste]
    assert pasted
    for text in pasted:
        added = yaml.safe_load(text)
        changed = value | {key: {**value.get(key, {}), **section} for key, section in added.items()}
        assert parse_suite(yaml.safe_dump(changed, sort_keys=False), data / "suite.yaml")


def test_a_candidate_that_fails_is_said_and_the_others_are_measured(data: Path, tmp_path: Path) -> None:
    class Broken(Late):
        def _rerank(self, request: Any) -> None:
            raise StageFailed("rerank: out of memory")

    path = planted.write_suite(data, **MEASURED)
    seen = diagnose(path, tmp_path, executor=Broken(planted.last_of_pool)).diagnosis
    failed = {one.name for one in seen.training_free if one.failed}
    assert failed == {name for name in STANDARD if "reranker" in name}
    assert all("out of memory" in one.failed for one in seen.training_free if one.failed)


def test_a_suite_with_a_prompt_as_candidate_is_measured_on_answers(data: Path, tmp_path: Path) -> None:
    class Obedient(planted.Planted):
        def _answer(self, request: Any) -> None:
            self.write = (
                planted.attentive if request.spec["generator"]["instruction"] == "Look." else planted.inattentive
            )
            super()._answer(request)

    candidates = {"look": {"pipeline": {"generator": {"instruction": "Look."}}}}
    path = planted.write_suite(data, **MEASURED | {"candidates": candidates, "factorial": []})
    seen = diagnose(path, tmp_path, executor=Obedient(planted.first)).diagnosis
    (look,) = [one for one in seen.training_free if one.name == "look"]
    gain = look.gain("utility")
    assert gain is not None
    assert gain.difference == pytest.approx(2.0)
    assert look.gain("ndcg@10") is None
    assert seen.advice[0].rule == "settings-gain-answers"
