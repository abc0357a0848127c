"""Successive halving: its rounds, what a search does to a suite that is run for real, and its error rates."""

from __future__ import annotations

import json
import re
import tempfile
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import smallsuite
import yaml
from command import Leave, runner
from hypothesis import given
from hypothesis import strategies as st

from harness.data.formats import write_run
from harness.errors import ConfigError
from harness.execution.session import Session
from harness.experiments import benchmark, halving
from harness.experiments import rounds as rounds_of
from harness.planning.graph import Plan
from harness.planning.plan import build_plan
from harness.report.content import outcome as outcome_content
from harness.report.content import rounds as rounds_content
from harness.report.view import view
from harness.stages.pool import PoolSpec, pool
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.statistics import stats
from harness.suite.files import load_suite
from harness.suite.search import Halving, Search, expanded
from harness.values.measures import Measure, parse
from harness.values.records import Document

ETAS = st.integers(2, 5)
RATES = ("0.03", "0.01", "0.001", "0.0001")


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Leave:
    """Run the command."""
    return runner(monkeypatch, capsys)


@given(candidates=st.integers(1, 60), eta=ETAS, rounds=st.none() | st.integers(2, 5))
def test_rounds_end_with_the_whole_and_grow_by_eta(candidates: int, eta: int, rounds: int | None) -> None:
    shares = rounds_of.shares(candidates, Halving(eta=eta, rounds=rounds))
    assert shares[-1] == 1
    assert all(later == pytest.approx(eta * before) for before, later in pairwise(shares))
    left = candidates
    for _ in shares[1:]:
        assert rounds_of.go_on(left, eta) <= left
        left = rounds_of.go_on(left, eta)
    assert left >= 1
    if rounds is None:
        assert left == 1


@given(values=st.dictionaries(st.text("abc", min_size=1), st.none() | st.floats(0, 1), min_size=1), eta=ETAS)
def test_the_best_of_a_round_go_on(values: dict[str, float | None], eta: int) -> None:
    ranked, kept = rounds_of.halved(values, eta)
    assert sorted(ranked) == sorted(values)
    assert set(kept) <= set(ranked)
    # A failure is seen in the report, not hidden by being stopped.
    assert {name for name, value in values.items() if value is None} <= set(kept)
    scored = {name: value for name, value in values.items() if value is not None}
    went = [scored[name] for name in kept if name in scored]
    stopped = [value for name, value in scored.items() if name not in kept]
    assert not scored or len(went) == rounds_of.go_on(len(scored), eta)
    assert not stopped or min(went) >= max(stopped)


COLUMNS = st.dictionaries(st.sampled_from("pqrs"), st.none() | st.floats(0, 1), max_size=4)


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(COLUMNS, min_size=1, max_size=2), min_size=1), st.floats(0, 1))
def test_a_mean_is_of_the_queries_that_all_have(
    columns: dict[str, list[dict[str, float | None]]], limit: float
) -> None:
    found = rounds_of.means(columns, limit)
    assert found.keys() == columns.keys()
    for name, seeds in columns.items():
        values = [value for seed in seeds for value in seed.values()]
        if not values or values.count(None) / len(values) > limit:
            assert found[name] is None
        elif (mean := found[name]) is not None:
            assert min(value for value in values if value is not None) - 1e-9 <= mean <= 1 + 1e-9


def test_a_query_that_fails_for_one_is_left_out_for_all() -> None:
    columns = {"a": [{"p": 1.0, "q": None, "r": 0.0}], "b": [{"p": 0.5, "q": 1.0, "r": 0.1}], "c": [{"p": None}]}
    found = rounds_of.means(columns, 0.4)
    assert found == {"a": 0.5, "b": pytest.approx(0.3), "c": None}
    assert rounds_of.halved(found, 3) == (["a", "b", "c"], ["a", "c"])
    assert rounds_of.means(columns, 0.0) == {"a": None, "b": pytest.approx(1.6 / 3), "c": None}


def test_a_stopped_candidate_is_compared_with_the_last_that_went_on() -> None:
    queries = [f"q{number}" for number in range(40)]
    groups, measure = {query: query for query in queries}, parse("ndcg@10")
    rng = np.random.default_rng(0)

    def column(worse: float) -> dict[str, float | None]:
        return {query: float(np.clip(0.6 - worse + 0.1 * rng.standard_normal(), 0, 1)) for query in queries}

    columns = {"best": [column(-0.2)], "last": [column(0.0)], "near": [column(0.0)], "bad": [column(0.4)]}
    found = rounds_of.behind(columns, ["best", "last"], groups, measure, 0.0)
    assert found.keys() == {"near", "bad"}
    near, bad = found["near"], found["bad"]
    assert near.low is not None
    assert near.high is not None
    assert bad.high is not None
    assert near.low < 0 < near.high
    assert bad.high < -0.2
    # Seeds count by their mean; one that failed for good is not what others are compared with.
    columns = {"last": [column(0.0), column(0.0)], "broken": [{"q0": None}, {"q0": None}], "bad": [column(0.4)] * 2}
    found = rounds_of.behind(columns, ["last", "broken"], groups, measure, 0.0)
    assert found.keys() == {"bad"}
    assert rounds_of.behind(columns, [*columns], groups, measure, 0.0) == {}


def test_less_may_be_better() -> None:
    assert rounds_of.halved({"a": 0.2, "b": 0.1, "c": None}, 2, less_is_better=True) == (["b", "a", "c"], ["b", "c"])


def test_an_ordinal_reads_as_people_write_it() -> None:
    assert [halving.ordinal(rank) for rank in (1, 2, 3, 4, 11, 12, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "112th",
    ]  # fmt: skip


def searched(folder: Path, **more: Any) -> Path:
    """A suite with four learning rates of one retriever, and a search among them."""
    rates = {f"rate-{number}": {"tune": ["retriever"], "retriever": {"learning_rate": float(rate)}}
             for number, rate in enumerate(RATES)}  # fmt: skip
    recipes = {"retriever": {"epochs": 1, "batch_size": 4, "checkpoints": 1}}
    changed = {"candidates": rates, "search": {"halving": {"eta": 2}}, "recipes": recipes, **more}
    return smallsuite.write(folder / "suite", smallsuite.bi_encoder(folder / "model"), changed)


class Halved(NamedTuple):
    """A suite that was run with its search, in a store that others take its trainings from."""

    suite: Path
    store: Path
    done: benchmark.Finished


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Halved:
    root = tmp_path_factory.mktemp("search")
    suite, store = searched(root), root / "store"
    return Halved(suite, store, benchmark.run(suite, store, executor=smallsuite.Here()))


@pytest.fixture
def store(halved: Halved) -> Path:
    return halved.store


def test_a_search_stops_candidates_on_dev_and_keeps_them_in_the_table(halved: Halved) -> None:
    done, outcome = halved.done, halved.done.outcome
    assert [(row.round, row.share) for row in outcome.rounds] == [(1, 0.25)] * 4 + [(2, 0.5)] * 2
    systems = {info.name: info for info in outcome.systems}
    stopped = {name: info for name, info in systems.items() if info.stopped}
    assert len(stopped) == 3
    assert {row.candidate for row in outcome.rounds if not row.kept} == set(stopped)
    for row in outcome.rounds:
        assert row.kept == (row.rank <= (2 if row.round == 1 else 1))
        if not row.kept:
            assert f"retriever.train_share={row.share:g}" in systems[row.candidate].training
            assert f"{100 * row.share:.0f} % of its training data" in systems[row.candidate].stopped
    # In the family and in the table, with scores of their own and no verdict on what they would have become.
    gains = [row for row in outcome.comparisons if row.family == "gain"]
    assert {row.system for row in gains} == set(systems) - {"untuned"}
    assert {row.verdict for row in gains if row.system in stopped} == {"stopped"}
    assert all(row.difference is not None for row in gains if row.system in stopped)
    assert {row.system for row in outcome.summaries} >= set(stopped)
    # Nobody would serve them: they have no return, and nothing on the Pareto front is beaten by them.
    assert outcome.roi
    assert not {row.system for row in outcome.roi} & set(stopped)
    assert not {name for row in outcome.roi for name in row.dominated_by} & {info.label for info in stopped.values()}
    # What the rounds trained is paid for: two trainings of those that went on once, three of the one that won.
    trained = [row for row in outcome.ledger if row.stage == "tune_retriever"]
    assert len(trained) == 4 + 2 + 1
    assert len({row.key for row in trained}) == len(trained)
    assert done.calls_made >= len(trained)
    # What several rounds share was made once, in this run, and serves all of them.
    assert [row.label for row in outcome.ledger if row.reused] == []
    shared = max((row for row in outcome.ledger), key=lambda row: len(row.systems))
    assert {f"{one.candidate} (seed 0)" for one in outcome.rounds} <= {*shared.systems}
    text = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "Which candidates were trained to the end?" in text
    assert "stopped after 25 % of its training data: 4th of 4 on dev, ndcg@10" in text
    for row in outcome.rounds:
        assert (row.difference is None) == row.kept
    assert "Dev has too few groups to show that any of them is worse than the last that went on." in text
    again = benchmark.run(halved.suite, halved.store, executor=smallsuite.Here())
    assert again.calls_made == 0
    assert [row.model_dump() for row in again.outcome.rounds] == [row.model_dump() for row in outcome.rounds]


def test_stopped_candidates_need_not_be_scored(tmp_path: Path, store: Path, leave: Leave) -> None:
    suite = searched(tmp_path, search={"halving": {"eta": 2, "score_stopped": False}})
    baselines = tmp_path / "baselines"
    done = benchmark.run(suite, store, executor=smallsuite.Here())
    outcome, stopped = done.outcome, {row.candidate for row in done.outcome.rounds if not row.kept}
    assert len(stopped) == 3
    assert not {info.name for info in outcome.systems} & stopped
    assert {row.system for row in outcome.comparisons if row.family == "gain"} == {"bm25", "rate-0", "rate-1", "rate-2",
                                                                                   "rate-3"} - stopped  # fmt: skip
    text = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "Successive halving on dev stopped 3 of 4 candidates" in text
    assert "were not scored on test" in text
    places = ["--store", str(store), "--baselines", str(baselines)]
    assert leave("accept", str(suite), "--reason", "first", *places)[0] == 0
    code, told, _ = leave("gate", str(suite), *places, "--json")
    assert code == 0, told
    verdicts = {row["system"]: row for row in json.loads(told)["verdicts"]}
    assert {verdicts[name]["verdict"] for name in stopped} == {"not compared"}
    assert all("and not scored" in verdicts[name]["reason"] for name in stopped)


def test_a_round_with_less_than_a_batch_is_left_out(tmp_path: Path, store: Path) -> None:
    # Half of the judged pairs is less than one batch of 512, so nothing can be stopped before the whole.
    recipes = {"retriever": {"epochs": 1, "batch_size": 512, "learning_rate": 0.01, "checkpoints": 1}}
    done = benchmark.run(searched(tmp_path, recipes=recipes), store, executor=smallsuite.Here())
    assert done.outcome.rounds == ()
    assert not any(info.stopped for info in done.outcome.systems)


def test_a_stopped_candidate_is_not_accepted_and_does_not_gate(tmp_path: Path, store: Path, leave: Leave) -> None:
    suite = searched(tmp_path)
    baselines = tmp_path / "baselines"
    outcome = benchmark.run(suite, store, executor=smallsuite.Here()).outcome
    stopped = {info.name for info in outcome.systems if info.stopped}
    places = ["--store", str(store), "--baselines", str(baselines)]
    assert leave("accept", str(suite), "--reason", "first", *places)[0] == 0
    name = load_suite(suite)[0].name
    kept = json.loads((baselines / name / "accepted.json").read_text(encoding="utf-8"))
    assert {system["info"]["name"] for system in kept["systems"]} == {"bm25", "untuned"} | (
        {info.name for info in outcome.systems if info.role == "candidate"} - stopped
    )
    code, told, _ = leave("gate", str(suite), *places, "--json")
    assert code == 0, told
    verdicts = {row["system"]: row for row in json.loads(told)["verdicts"]}
    assert {verdicts[name]["verdict"] for name in stopped} == {"not compared"}
    assert all("of its training data" in verdicts[name]["reason"] for name in stopped)


def test_a_candidate_that_was_accepted_and_is_stopped_now_is_missing(tmp_path: Path, store: Path, leave: Leave) -> None:
    baselines = tmp_path / "baselines"
    places = ["--store", str(store), "--baselines", str(baselines)]
    whole = searched(tmp_path, search=None)
    benchmark.run(whole, store, executor=smallsuite.Here())
    assert leave("accept", str(whole), "--reason", "all", *places)[0] == 0
    suite = searched(tmp_path / "again")
    stopped = {
        info.name for info in benchmark.run(suite, store, executor=smallsuite.Here()).outcome.systems if info.stopped
    }
    code, told, _ = leave("gate", str(suite), *places, "--json")
    assert code == 1, told
    assert stopped == {row["system"] for row in json.loads(told)["verdicts"] if row["verdict"] == "missing"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"candidates": {"judged": {"tune": ["retriever"]}}}, "fewer than two"),
        ({"evaluate": {"split": "dev"}}, "also the split that is scored"),
        ({"search": {"halving": {"eta": 1}}}, "eta"),
        ({"search": {"halving": {"measure": "recall@10"}}}, "recall@10 is not gated"),
    ],
)
def test_a_search_that_cannot_be_is_one_sentence(tmp_path: Path, leave: Leave, more: dict[str, Any], said: str) -> None:
    suite = searched(tmp_path, **more)
    code, _, told = leave("plan", str(suite), "--store", str(tmp_path / "store"))
    assert code == 2
    assert said in " ".join(told.split())


def test_a_dev_split_without_judgements_is_refused() -> None:
    suite = SimpleNamespace(
        search=SimpleNamespace(halving=Halving()), margins={Measure("ndcg", 10): 0.01},
        candidates={"a": SimpleNamespace(tune=("retriever",))},
    )  # fmt: skip
    with pytest.raises(ConfigError, match="split 'dev' has no judged queries"):
        halving.check(suite, SimpleNamespace(name="data", splits={}))  # type: ignore[arg-type]


def test_a_plan_says_how_many_are_trained(tmp_path: Path, leave: Leave) -> None:
    suite = searched(tmp_path)
    _, told, _ = leave("plan", str(suite), "--store", str(tmp_path / "store"))
    said = " ".join(told.split())
    rounds = "4 with 25 %, 2 with 50 %, 1 with 100 %"
    assert re.search(rf"Halving trains {rounds} of the training data, in about \S+ \w+", said)


def test_a_round_searches_a_pool_and_trains_on_all_passages(tmp_path: Path) -> None:
    suite = load_suite(searched(tmp_path))[0]
    dataset = Session.load(suite)
    measure = halving.measure_of(suite, Halving(eta=2))
    asked = halving.round_of(suite, list(suite.candidates), 0.25, measure)
    whole, pooled = build_plan(asked, dataset), build_plan(asked, dataset, pool=halving.POOL)

    def keys(plan: Plan, stage: str) -> set[str]:
        return {key for key, planned in plan.calls.items() if planned.call.stage == stage}

    # All candidates share one pool, and their trainings and its data are those of a run without it.
    assert len(keys(pooled, "pool")) == 1
    assert keys(pooled, "tune_retriever") == keys(whole, "tune_retriever")
    assert keys(pooled, "mine") == keys(whole, "mine")
    for system in pooled.systems:
        indexes = [key for key in pooled.upstream([str(system.run)]) if key in keys(pooled, "index")]
        of_model = [key for key in indexes if "model" in pooled.calls[key].call.inputs]
        assert bool(of_model) == (system.role == "candidate")
        assert {pooled.calls[key].call.inputs["corpus"] for key in of_model} <= keys(pooled, "pool")
    untuned = next(system for system in pooled.systems if system.role == "baseline")
    assert untuned.run == next(system for system in whole.systems if system.role == "baseline").run


@given(
    judged=st.dictionaries(st.sampled_from("xyz"), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2))),
    run=st.dictionaries(st.sampled_from("xyz"), st.lists(st.sampled_from("abcdef"), unique=True)),
    depth=st.integers(1, 4),
)
def test_a_pool_holds_what_is_judged_and_what_runs_find_first(
    judged: dict[str, dict[str, int]], run: dict[str, list[str]], depth: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder) / name for name in ("corpus", "qrels", "run0", "out")}
        for place in places.values():
            place.mkdir()
        common.write_corpus(places["corpus"], {key: Document(key, "", f"text of {key}") for key in "abcdef"})
        common.write_judgements(places["qrels"], judged)
        ranked = {key: [(doc_id, float(-place)) for place, doc_id in enumerate(ids)] for key, ids in run.items()}
        write_run(places["run0"] / RUN_FILE, ranked)
        pool(PoolSpec(depth=depth), places, places["out"], 0, lambda done, total: None)
        kept = common.read_corpus(places["out"])
    wanted = {doc_id for docs in judged.values() for doc_id in docs}
    wanted |= {doc_id for ids in run.values() for doc_id in ids[:depth]}
    assert list(kept) == sorted(wanted)
    assert all(kept[key].text == f"text of {key}" for key in kept)


def simulated(rng: np.random.Generator, true_gain: float) -> tuple[set[str], float, str]:
    """One suite of nine recipes whose scores grow with data: improved verdicts, cost of training, and the winner.

    Eight recipes gain nothing; the ninth gains `true_gain` once it has all data, and its share of it before.
    """
    names, queries = [f"recipe-{number}" for number in range(9)], [f"q{number}" for number in range(60)]
    gains = {name: true_gain if name == names[-1] else 0.0 for name in names}
    left, cost, stopped = names, 0.0, dict[str, float]()
    for share in rounds_of.shares(9, Halving())[:-1]:
        cost += share * len(left)
        dev = {name: float(gains[name] * share + rng.normal(0, 0.3, 60).mean()) for name in left}
        _, kept = rounds_of.halved(dev, 3)
        stopped |= {name: share for name in left if name not in kept}
        left = [name for name in left if name in kept]
    cost += len(left)
    base = rng.uniform(0.2, 0.8, 60)
    untuned = dict(zip(queries, base, strict=True))
    pairs = [
        stats.Paired(
            system=name, seed=0, measure=Measure("ndcg", 10), margin=0.01, baseline=untuned,
            values=dict(zip(queries, base + gains[name] * stopped.get(name, 1) + rng.normal(0, 0.3, 60), strict=True)),
            groups={query: query for query in queries}, same=False,
        )
        for name in names
    ]  # fmt: skip
    rows = stats.compare("gain", pairs, failure_limit=0, alpha=0.05, resamples=400)
    improved = {row.system for row in rows if row.verdict == "improved" and row.system not in stopped}
    return improved, cost / 9, left[0]


def test_error_rates_hold_and_training_is_saved() -> None:
    rng = np.random.default_rng(7)
    null = [simulated(rng, 0.0) for _ in range(200)]
    # The family holds all nine, and what was stopped gets no verdict: false claims are at most as frequent as alpha.
    assert sum(bool(improved) for improved, _, _ in null) / len(null) <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
    assert all(cost == pytest.approx(1 / 3) for _, cost, _ in null)
    real = [simulated(rng, 0.5) for _ in range(100)]
    assert sum(winner == "recipe-8" for _, _, winner in real) > 60
    assert sum("recipe-8" in improved for improved, _, _ in real) > 60


def test_the_report_says_how_many_were_shown_to_be_worse(halved: Halved) -> None:
    highs = iter([-0.1, 0.1, 0.1])
    rows = tuple(
        row if row.kept else row.model_copy(update={"difference": -0.2, "low": -0.3, "high": next(highs)})
        for row in halved.done.outcome.rounds
    )
    table = rounds_content.rounds(view(halved.done.outcome.model_copy(update={"rounds": rows})))
    assert table is not None
    assert "Dev shows 1 of the 3 stopped to be worse than the last that went on" in table.caption


def test_no_table_of_rounds_without_a_search(tmp_path: Path, store: Path) -> None:
    suite = smallsuite.write(tmp_path / "suite", smallsuite.bi_encoder(tmp_path / "model"))
    done = benchmark.run(suite, store, executor=smallsuite.Here())
    assert done.outcome.rounds == ()
    titles = [table.title for table in outcome_content.contents(done.outcome).answer]
    assert titles
    assert "Which candidates were trained to the end?" not in titles


def test_the_page_shows_what_a_suite_takes_and_the_rounds_that_it_makes() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "halving.md").read_text(encoding="utf-8")
    section, larger = (part.split("```")[0] for part in text.split("```yaml\n")[1:])
    assert list(expanded(yaml.safe_load(larger))["candidates"])[1:] == [f"retriever-{number}" for number in range(1, 9)]
    rule = Search.model_validate(yaml.safe_load(section)["search"]).halving
    rows = [line.split("|")[2:4] for line in text.splitlines() if line.startswith(("| 1 |", "| 2 |", "| last |"))]
    left, found = 9, []
    for share in rounds_of.shares(left, rule):
        found.append((str(left), "all" if share == 1 else f"1/{round(1 / share)}"))
        left = rounds_of.go_on(left, rule.eta)
    assert [tuple(cell.strip() for cell in row) for row in rows] == found
    assert {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")} == set(Halving.model_fields)
