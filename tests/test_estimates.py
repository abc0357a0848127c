"""Estimated costs: by hand on planted facts, against the ledger of what was made, and who a quote is of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pocket
import pytest

from harness import provenance
from harness.errors import ConfigError
from harness.execution.scheduler import carry_out
from harness.hashing import digest_of
from harness.planning import ledger, speed
from harness.planning.estimates import estimates, plan_of, recipe_identity
from harness.planning.graph import Plan, PlannedCall
from harness.planning.ledger import build_cost, dollars, estimate, unknown_costs
from harness.planning.plan import build_plan
from harness.planning.speed import Speed, rates, speed_of, timed_classes
from harness.stages import STAGES, load_stage
from harness.store import FolderStore
from harness.suite.spec import Candidate
from harness.values.findings import LedgerRow, Timing
from harness.values.insights import CostEstimate
from harness.values.records import DEV_EVALUATION_SECONDS, FOUND

ENDPOINT = {"model": "large", "base_url": "http://localhost:1/v1", "price_in": 100.0, "price_out": 200.0}
UNTUNED = Timing(part="total", p50_ms=10.0, p95_ms=20.0, n=5)
LIGHT = ("weigh", "blend")
CROSS_ENCODER = {"model": "embedded:all-minilm-l6-v2"}
BASE: dict[str, Any] = {
    "pipeline.generator": None,
    "data": {"pairs": "judged"},
    "recipes": {"retriever": {"checkpoints": 1}, "reranker": {"checkpoints": 1, **CROSS_ENCODER}},
    "candidates": {"retriever": {"tune": ["retriever"]}, "reranker": {"tune": ["reranker"]}},
    "measures": ["ndcg@10"],
    "prices": {"cpu_hour": 36.0, "gpu_hour": 3600.0},
}


def planned(**changes: Any) -> Plan:
    return build_plan(pocket.suite({**BASE, **changes}), pocket.dataset())


def with_candidates(**candidates: Any) -> Plan:
    return planned(candidates={name: {"pairs": "judged", **value} for name, value in candidates.items()})


def call(plan: Plan, label: str) -> PlannedCall:
    return next(one for one in plan.calls.values() if one.label == label)


def plant(store: FolderStore, key: str, **facts: Any) -> None:
    with store.claim(key) as folder:
        (folder / "made.json").write_text("{}", encoding="utf-8")
        store.commit(key, folder, facts)


def timed(store: FolderStore, plan: Plan, label: str, units: int, seconds: float, **facts: Any) -> None:
    """Another artifact of the speed class of a call."""
    one = call(plan, label).call
    speed = list(speed_of(one, plan.calls))
    known = {"stage": one.stage, "device": one.device, "speed": speed, "units": units, "seconds": seconds, **facts}
    plant(store, digest_of(["other", label, units, seconds]), **known)


def by_name(found: tuple[CostEstimate, ...]) -> dict[str, CostEstimate]:
    return {one.candidate: one for one in found}


@pytest.fixture(autouse=True)
def _start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of a child takes 2 seconds in all that is computed by hand here."""
    for module in (speed, ledger):
        monkeypatch.setattr(module, "STARTUP_SECONDS", 2.0)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def test_a_quote_by_hand(store: FolderStore) -> None:
    plan = planned()
    index = call(plan, "index with untuned")
    assert [plan.calls[key].work.units for key in plan.upstream(plan.system("retriever (seed 0)").serving.keys)] == [
        60, 15, 30, 60,
    ]  # fmt: skip
    # The untuned index is there: 100 passages in 12 seconds, 2 of which went by before it began.
    facts = {"stage": "index", "device": "cpu", "speed": list(speed_of(index.call, plan.calls)), "llm_dollars": 0.5}
    plant(store, index.key, units=100, seconds=12.0, **facts)
    timed(store, plan, "index for bm25", 1_000_000, 3.0)
    # An artifact of a version that knew no classes, or other ones, says nothing.
    plant(store, "0" * 32, stage="tune_retriever", device="cpu", units=20, seconds=12.0)
    plant(store, "1" * 32, stage="tune_retriever", device="cpu", units=20, seconds=12.0, speed=["kind", "detail"])
    found = by_name(estimates(plan, store, UNTUNED))["retriever"]
    mine, train, again = 2 + 15 / 300, 2 + 30 / (800 / 256), 2 + 60 / 10
    assert found.seconds == pytest.approx(mine + train + again)
    assert found.seconds_in_full == pytest.approx(12 + mine + train + again)
    assert found.dollars == pytest.approx((12 + mine + train + again) / 100 + 0.5)
    assert (found.added_p95_ms, found.added_dollars_per_1000) == (0.0, 0.0)
    assert found.basis == {"index": "measured", "mine": "guessed", "tune_retriever": "guessed"}


def test_looks_at_dev_are_as_fast_as_the_tuned_model_is_used(store: FolderStore) -> None:
    recipes = {
        "retriever": {"checkpoints": 3, "batch_size": 4, "epochs": 2},
        "reranker": {**CROSS_ENCODER, "checkpoints": 2, "batch_size": 4, "dev_queries": 5, "dev_depth": 4},
    }
    plan = planned(recipes=recipes)
    trained = call(plan, "tune retriever of retriever, seed 0"), call(plan, "tune reranker of reranker, seed 0")
    queries = len(pocket.dataset().splits["dev"].judged)
    pool = 60 * (1 - math.exp(-11 * queries / 60))
    assert [one.work.evaluations for one in trained] == [3 * (queries + round(pool)), (2 + 1) * min(queries, 5) * 4]
    timed(store, plan, "index with retriever, seed 0", 120, 12.0)
    timed(store, plan, "rerank test with reranker, seed 0", 50, 12.0)
    # What a training looked at dev says nothing of how fast it trains.
    noted = {"notes": {DEV_EVALUATION_SECONDS: 100.0}}
    timed(store, plan, "tune retriever of retriever, seed 0", 20, 112.0, **noted)
    timed(store, plan, "tune reranker of reranker, seed 0", 40, 112.0, **noted)
    guesses = [estimate(plan, store)[one.key].seconds for one in trained]
    works = [one.work for one in trained]
    assert guesses[0] == pytest.approx(2 + works[0].units / 2 + works[0].evaluations / 12)
    assert guesses[1] == pytest.approx(2 + works[1].units / 4 + works[1].evaluations / 5)


def test_a_training_of_one_look_or_one_step_looks_at_nothing() -> None:
    for rules in ({"checkpoints": 1}, {"checkpoints": 3, "batch_size": 64}):
        plan = planned(recipes={"retriever": rules, "reranker": rules})
        assert {one.work.evaluations for one in plan.calls.values()} == {0}


def test_a_reranker_adds_its_mean_in_dollars_and_its_tail_in_time(store: FolderStore) -> None:
    plan = planned()
    timed(store, plan, "rerank test with reranker, seed 0", 400, 12.0)
    found = by_name(estimates(plan, store, UNTUNED))["reranker"]
    # 30 passages (the pool is no deeper) at 40 a second; a second costs a cent.
    assert found.added_p95_ms == pytest.approx(1.1 * 750)
    assert found.added_dollars_per_1000 == pytest.approx(750 / 100)
    assert found.basis["rerank"] == "measured"
    assert by_name(estimates(plan, store, None))["reranker"].added_p95_ms is None


def test_what_is_added_is_a_guess_until_this_reranker_was_timed(store: FolderStore) -> None:
    plan = with_candidates(short={"tune": ["reranker"], "reranker": {"max_length": 64}}, long={"tune": ["reranker"]})
    timed(store, plan, "rerank test with short, seed 0", 400, 12.0)
    found = by_name(estimates(plan, store, UNTUNED))
    assert {name: one.basis["rerank"] for name, one in found.items()} == {"short": "measured", "long": "guessed"}
    assert "rerank" not in by_name(estimates(planned(), store, UNTUNED))["retriever"].basis


def test_one_guessed_call_makes_a_stage_a_guess(store: FolderStore) -> None:
    plan = planned(candidates={"both": {"tune": ["retriever"], "pairs": "both"}})
    timed(store, plan, "index with untuned", 100, 12.0)
    assert by_name(estimates(plan, store, UNTUNED))["both"].basis["index"] == "guessed"  # that of bm25 is not known
    timed(store, plan, "index for bm25", 100, 12.0)
    assert by_name(estimates(plan, store, UNTUNED))["both"].basis["index"] == "measured"


def test_what_an_older_artifact_took_was_measured(store: FolderStore) -> None:
    plan = planned()
    key = call(plan, "mine (judged pairs)").key
    plant(store, key, stage="mine", device="cpu", units=15, seconds=5.0)
    found = by_name(estimates(plan, store, UNTUNED))["retriever"]
    assert (found.basis["mine"], found.basis["tune_retriever"]) == ("measured", "guessed")
    assert found.seconds_in_full == pytest.approx(found.seconds + 5)


def test_before_anything_is_made_the_same_calls_are_counted_as_afterwards(tmp_path: Path, store: FolderStore) -> None:
    plan = planned(seeds=[3, 4])
    before = by_name(estimates(plan, store, UNTUNED))
    guesses = estimate(plan, store)
    plan.artifacts.publish(store)
    rows = carry_out(plan, store, pocket.Pretender(), pocket.Pretender()).rows
    after = by_name(estimates(plan, store, UNTUNED))
    for name in ("retriever", "reranker"):
        system = plan.system(f"{name} (seed 3)")
        guessed = {
            key: rows[key].model_copy(update={"seconds": guesses[key].seconds, "llm_dollars": guesses[key].dollars})
            for key in rows
        }
        cost = (before[name].seconds_in_full, before[name].dollars)
        assert cost == pytest.approx(build_cost(plan, system, guessed, plan.suite.prices))
        assert before[name].seconds == before[name].seconds_in_full
        cost = (after[name].seconds_in_full, after[name].dollars)
        assert cost == pytest.approx(build_cost(plan, system, rows, plan.suite.prices))
        assert after[name].seconds == 0
        assert set(after[name].basis.values()) == {"measured"}


def test_dollars_are_those_of_the_ledger_where_a_call_needs_no_gpu(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "device_class", lambda: "H100")
    plan = planned(
        candidates={"written": {"tune": ["retriever"], "pairs": "synthetic"}}, **{"llm.synthesizer": ENDPOINT}
    )
    guesses = estimate(plan, store)
    keys = plan.upstream(plan.system("written (seed 0)").serving.keys)
    devices = {plan.calls[key].call.device for key in keys}
    assert devices == {"any", "H100"}
    rows = [
        LedgerRow(
            key=key, stage=plan.calls[key].call.stage, label="", device=plan.calls[key].call.device, reused=False,
            peak_memory_mb=0.0, seconds=guesses[key].seconds, llm_dollars=guesses[key].dollars,
        )
        for key in keys
    ]  # fmt: skip
    found = by_name(estimates(plan, store, UNTUNED))["written"]
    assert found.dollars == pytest.approx(sum(dollars(row, plan.suite.prices) for row in rows))
    assert sum(row.llm_dollars for row in rows) > 0


DIFFERENT = {
    "kind of index": ("index with untuned", "index for bm25", "both", {}, {}),
    "labeler": ("label by mined (judged pairs)", "label by llm (judged pairs)", "reranker", {},
                {"label": {"by": "llm"}}),
    "recipe": ("tune retriever of a, seed 0", "tune retriever of b, seed 0", "retriever", {},
               {"retriever": {"recipe": "triplet"}}),
    "length": ("tune reranker of a, seed 0", "tune reranker of b, seed 0", "reranker", {},
               {"reranker": {"max_length": 64}}),
    "negatives": ("tune retriever of a, seed 0", "tune retriever of b, seed 0", "retriever", {}, {"mine": {"hard": 7}}),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_makes_another_speed_class(name: str) -> None:
    first, second, tune, a, b = DIFFERENT[name]
    pairs = "both" if tune == "both" else "judged"
    part = "retriever" if tune == "both" else tune
    plan = planned(candidates={"a": {"tune": [part], "pairs": pairs, **a}, "b": {"tune": [part], "pairs": pairs, **b}})
    assert speed_of(call(plan, first).call, plan.calls) != speed_of(call(plan, second).call, plan.calls)


@pytest.mark.parametrize(
    "change", [{"epochs": 7}, {"learning_rate": 0.5}, {"train_share": 0.1}, {"checkpoints": 9}, {"warmup": 0.3}]
)
def test_what_makes_none(change: Mapping[str, Any]) -> None:
    plan = with_candidates(a={"tune": ["retriever"]}, b={"tune": ["retriever"], "retriever": change})
    a, b = (call(plan, f"tune retriever of {name}, seed 0").call for name in "ab")
    assert a != b
    assert speed_of(a, plan.calls) == speed_of(b, plan.calls)


def test_the_model_the_device_and_the_machine_make_another_class(monkeypatch: pytest.MonkeyPatch) -> None:
    def speeds(plan: Plan) -> dict[str, Speed]:
        return {
            one.label: speed_of(one.call, plan.calls)
            for one in plan.calls.values()
            if "seed 0" in one.label and one.call.stage not in LIGHT
        }

    first = speeds(planned())
    monkeypatch.setattr(provenance, "machine_class", lambda: "a larger machine")
    elsewhere = speeds(planned())
    assert all(first[label] != elsewhere[label] and first[label].kind == elsewhere[label].kind for label in first)
    monkeypatch.setattr(provenance, "device_class", lambda: "H100")
    assert {one.kind for one in speeds(planned()).values()}.isdisjoint(one.kind for one in first.values())
    monkeypatch.undo()
    monkeypatch.setattr("harness.planning.calls.model_digest", lambda name: "f" * 32)
    larger = speeds(planned())
    # A tuned reranker names no model: it is known by the one that it was tuned from.
    assert all(first[label] != larger[label] for label in first if "with" in label or "tune" in label)


def test_a_run_keeps_the_class_of_what_it_made(store: FolderStore) -> None:
    plan = planned()
    plan.artifacts.publish(store)
    carry_out(plan, store, pocket.Pretender(), pocket.Pretender())
    assert timed_classes(store) == {speed_of(one.call, plan.calls) for one in plan.calls.values()}
    assert all(rates(store).of(one.call, plan.calls).measured for one in plan.calls.values())


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [([12.0], 10.0), ([12.0, 2.5], 200 / 11.25), ([0.5], 400.0), ([2.0], 100.0), ([3.0], 100 / 1.5)],
)  # fmt: skip
def test_what_a_child_needs_to_begin_is_taken_off_but_never_more_than_half(
    seconds: list[float], rate: float, store: FolderStore
) -> None:
    plan = planned()
    for each in seconds:
        timed(store, plan, "index with untuned", 100, each)
    assert rates(store).of(call(plan, "index with untuned").call, plan.calls) == (pytest.approx(rate), True)


def test_another_kind_of_work_tells_nothing_and_another_size_is_a_guess(store: FolderStore) -> None:
    plan = with_candidates(
        a={"tune": ["reranker"]}, b={"tune": ["reranker"], "label": {"by": "llm"}, "reranker": {"max_length": 64}}
    )
    timed(store, plan, "label by mined (judged pairs)", 300_000, 3.0)
    timed(store, plan, "index for bm25", 300_000, 3.0)
    timed(store, plan, "tune reranker of a, seed 0", 100, 12.0)
    known = rates(store)
    assert known.of(call(plan, "label by llm (judged pairs)").call, plan.calls) == (0.7, False)
    assert known.of(call(plan, "index with untuned").call, plan.calls) == (9_000 / 256, False)
    assert known.of(call(plan, "tune reranker of b, seed 0").call, plan.calls) == (pytest.approx(10.0), False)


def test_an_endpoint_is_timed_by_what_it_was_asked_only(store: FolderStore) -> None:
    plan = planned(candidates={"w": {"tune": ["retriever"], "pairs": "synthetic"}}, **{"llm.synthesizer": ENDPOINT})
    one = call(plan, "synthesize").call
    plant(store, "0" * 32, stage="synthesize", device="any", units=1000, seconds=3.0)
    timed(store, plan, "synthesize", 1000, 3.0, llm_calls=0)  # all of it was in the cache
    assert rates(store).of(one, plan.calls) == (load_stage("synthesize").first_guess(one.spec), False)
    timed(store, plan, "synthesize", 20, 12.0, llm_calls=10)
    assert rates(store).of(one, plan.calls) == (pytest.approx(2.0), True)
    timed(store, plan, "synthesize", 200, 12.0, llm_calls=10, known=0.9)  # a second attempt
    assert rates(store).of(one, plan.calls) == (pytest.approx(2.0), True)


def test_a_candidate_that_cannot_be_planned_leaves_the_others_their_quotes(store: FolderStore) -> None:
    lost = {"tune": ["reranker"], "reranker": {"model": "embedded:no-such"}}
    suite = pocket.suite({**BASE, "candidates": BASE["candidates"]})
    broken = Candidate.model_validate(lost)
    suite = suite.model_copy(update={"candidates": {"lost": broken, **suite.candidates}})
    found = plan_of(suite, pocket.dataset())
    assert list(by_name(estimates(found.plan, store, UNTUNED))) == ["retriever", "reranker"]
    (note,) = found.notes
    assert note.startswith("No cost estimate for lost: ")
    assert "no-such" in note
    assert found.plan.calls.keys() == planned().calls.keys()


def test_without_train_no_candidate_is_planned_and_the_reason_is_told() -> None:
    dataset = pocket.dataset()
    dataset = replace(dataset, splits={name: part for name, part in dataset.splits.items() if name != "train"})
    suite = pocket.suite({**BASE, "baseline_rows": ["untuned"]})
    with pytest.raises(ConfigError):
        build_plan(suite, dataset)
    found = plan_of(suite, dataset)
    assert [one.label for one in found.plan.systems] == ["untuned"]
    assert set(found.left_out) == {"retriever", "reranker"}


SAME: list[dict[str, Any]] = [
    {"seeds": [5]}, {"evaluate.generation_queries": 3}, {"data.instruct": {"distractors": 1}},
    {"recipes.reranker": {"epochs": 4}}, {"llm.labeler": ENDPOINT}, {"data.synthesize": {"max_documents": 5}},
    {"prices": {"cpu_hour": 1.0}},
]  # fmt: skip
OTHER: list[dict[str, Any]] = [
    {"recipes.retriever": {"epochs": 4}}, {"data.mine": {"hard": 3}}, {"data.pairs": "both"}, {"data.data_seed": 2},
    {"pipeline.retriever": {"model": "somewhere/else"}}, {"candidates.retriever.tune": ["retriever", "reranker"]},
    {"candidates.retriever.retriever": {"epochs": 4}}, {"data.mine": {"hard": 1, "relabel": {"by": "llm"}}},
]  # fmt: skip


def identity(*changes: Mapping[str, Any]) -> str:
    merged: dict[str, Any] = {"pipeline.generator": None, "data": {"pairs": "judged"}, "measures": ["ndcg@10"]}
    merged["candidates"] = {"retriever": {"tune": ["retriever"]}}
    for change in changes:
        merged |= change
    suite = pocket.suite(merged)
    return recipe_identity(suite, suite.candidates["retriever"])


@pytest.mark.parametrize("change", SAME, ids=str)
def test_what_leaves_a_candidate_what_it_was(change: dict[str, Any]) -> None:
    assert identity(change) == identity()


@pytest.mark.parametrize("change", OTHER, ids=str)
def test_what_makes_another_candidate_of_it(change: dict[str, Any]) -> None:
    assert identity(change) != identity()


def test_the_llm_that_is_asked_is_part_of_a_candidate() -> None:
    relabel = {"data.mine": {"hard": 1, "relabel": {"by": "llm"}}}
    other = {"llm.labeler": ENDPOINT}
    dear = {"llm.labeler": {**ENDPOINT, "price_in": 3.0, "max_concurrency": 2}}
    assert len({identity(relabel), identity(relabel, other)}) == 2
    assert identity(relabel, other) == identity(relabel, dear)


def test_a_quote_names_the_candidate_it_is_of(store: FolderStore) -> None:
    plan = planned()
    for name, one in by_name(estimates(plan, store, UNTUNED)).items():
        assert one.identity == recipe_identity(plan.suite, plan.suite.candidates[name])


MEASURED: list[tuple[str, dict[str, Any], float]] = [
    ("index", {"kind": "dense", "retriever": {"max_length": 128}}, 72.0),
    ("index", {"kind": "bm25"}, 3000.0),
    ("retrieve", {"kind": "dense", "retriever": {"max_length": 128}}, 410.0),
    ("rerank", {"kind": "late-interaction", "max_length": 128}, 14_000.0),
    ("rerank", {"kind": "cross-encoder", "max_length": 128}, 60.0),
    ("tune_retriever", {"retriever": {"max_length": 128}, "recipe": {"max_length": None}}, 6.2),
    ("tune_reranker", {"kind": "cross-encoder", "max_length": 128}, 16.0),
    ("tune_reranker", {"kind": "late-interaction", "max_length": 128}, 5.4),
    ("tune_generator", {"generator": {"passage_tokens": 64}}, 1.25),
    ("synthesize", {"passage_tokens": 100, "max_new_tokens": 24}, 2.9),
    ("answer", {"source": "run", "context": 2, "generator": {"passage_tokens": 64, "max_new_tokens": 20}}, 2.9),
]
"""Units a second of runs of the shipped suites on two cores (2026-11-29), the machine otherwise idle."""


@pytest.mark.parametrize(("stage", "spec", "rate"), MEASURED)
def test_first_guesses_are_within_a_factor_of_two_of_what_was_measured(
    stage: str, spec: dict[str, Any], rate: float
) -> None:
    assert rate / 2 < load_stage(stage).first_guess(spec) < rate * 2


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_first_guess_for_any_spec(stage: str) -> None:
    assert load_stage(stage).first_guess({}) > 0


def test_longer_texts_take_longer() -> None:
    index, answer = load_stage("index"), load_stage("answer")
    lengths = [index.first_guess({"retriever": {"max_length": length}}) for length in (128, 256, 512)]
    assert lengths == sorted(lengths, reverse=True)
    contexts = [answer.first_guess({"source": "run", "context": context}) for context in (1, 5, 10)]
    assert contexts == sorted(contexts, reverse=True)
    assert answer.first_guess({"source": "none", "context": 10}) > contexts[0]


def test_a_cost_that_nobody_knows_is_left_out_by_name() -> None:
    plan = planned()
    system = next(one for one in plan.systems if one.name == "untuned")
    keys = list(plan.upstream(system.serving.keys))
    rows = {
        key: LedgerRow(key=key, stage="x", label="x", seconds=1.0, device="cpu", peak_memory_mb=1.0, units=1)
        for key in keys
    }
    assert unknown_costs(plan, system, rows) == []
    there = rows[keys[0]].model_copy(update={"units": 0, "notes": {FOUND: True}})
    label = plan.calls[keys[0]].label
    assert unknown_costs(plan, system, {**rows, keys[0]: there}) == [f"{label} (found on the server)"]
    # With its units, its server knew what it took.
    assert unknown_costs(plan, system, {**rows, keys[0]: there.model_copy(update={"units": 1})}) == []
    del rows[keys[0]]
    assert unknown_costs(plan, system, rows) == [f"{label} (no longer in the store)"]
