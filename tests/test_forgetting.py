"""Forgetting: tuned models on another dataset are scored as an independent computation scores them, and made once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pocket
import pytest
import smallsuite
import tiny

from harness.data.datasets import load_dataset
from harness.data.formats import read_run
from harness.errors import ConfigError, DataError
from harness.execution import endpoints
from harness.execution.executors import Cost, Request
from harness.execution.scheduler import Execution
from harness.execution.session import Session
from harness.experiments import forgetting
from harness.experiments.forgetting import ForgettingPlan, ForgettingResult, plan_forgetting, plan_on
from harness.planning.graph import Plan
from harness.planning.plan import build_plan
from harness.stages.retrieve import RUN_FILE
from harness.statistics import stats
from harness.suite.files import load_suite, parse_suite
from harness.suite.sources import Forgetting
from harness.suite.spec import Suite
from harness.values.measures import parse
from harness.values.records import Progress

OTHER = {"forgetting": {"dataset": {"path": "../other"}}}


class Trial:
    """A suite that was carried out on its own dataset, and the plan for the other one."""

    def __init__(self, root: Path, suite_file: Path, executor: Any = None) -> None:
        self.root, self.suite = root, load_suite(suite_file)[0]
        self.dataset = load_dataset(self.suite.dataset, "test")
        self.plan = build_plan(self.suite, self.dataset)
        session = self.session(executor)
        self.store = session.store
        self.execution: Execution = session.make(self.plan)
        there = plan_forgetting(self.plan)
        assert there is not None
        self.there: ForgettingPlan = there

    def session(self, executor: Any = None) -> Session:
        return Session(self.suite, self.root, executor=executor or smallsuite.Here())

    def scored(self, executor: Any = None) -> ForgettingResult:
        return forgetting.score(self.session(executor), self.plan, self.execution, self.there)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smallsuite.bi_encoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the other dataset in it."""
    root = tmp_path_factory.mktemp("place")
    smallsuite.other_dataset(root / "other")
    return root


@pytest.fixture(scope="module")
def trial(model: Path, place: Path) -> Trial:
    """Two candidates with two seeds; one of the four trainings fails."""
    candidates = {
        "judged": {"tune": ["retriever"]},
        "longer": {"tune": ["retriever"], "retriever": {"epochs": 3}},
    }
    gates = [{"measure": "ndcg@10", "margin": 0.02}, {"measure": "recall@10", "margin": 0.02}]
    more = {**OTHER, "candidates": candidates, "seeds": [0, 1], "gates": gates}
    return Trial(place / "kept", smallsuite.write(place / "suite", model, more), Broken())


class Broken(smallsuite.Here):
    """Fails the training of one of several seeds."""

    def run(self, request: Request, progress: Progress) -> Cost:
        epochs = request.spec["recipe"]["epochs"] if "recipe" in request.spec else 0
        self.broken = ("tune_retriever 1",) if epochs == 3 else ()
        return super().run(request, progress)


@pytest.fixture(scope="module")
def scored(trial: Trial) -> ForgettingResult:
    return trial.scored()


# The plan


def test_the_plan_trains_nothing_and_takes_the_models_of_the_first(trial: Trial) -> None:
    calls = trial.there.plan.calls.values()
    assert {planned.call.stage for planned in calls} == {"index", "retrieve"}
    assert len(calls) == 2 * (1 + 4)
    tuned = {planned.call.inputs["model"] for planned in calls if "model" in planned.call.inputs}
    assert tuned == {system.models["retriever"] for system in trial.plan.systems if system.models}
    assert [system.label for system in trial.there.plan.systems] == [
        "untuned", "judged (seed 0)", "judged (seed 1)", "longer (seed 0)", "longer (seed 1)",
    ]  # fmt: skip
    labels = [planned.label for planned in calls]
    assert len(labels) == len(set(labels))
    assert "other: retrieve test with judged, seed 1" in labels
    assert all(planned.systems for planned in calls)


def test_calls_come_after_their_inputs(trial: Trial) -> None:
    seen = {*trial.there.plan.artifacts.keys.values(), *trial.plan.calls}
    for key, planned in trial.there.plan.calls.items():
        assert set(planned.call.inputs.values()) <= seen, planned.label
        seen.add(key)


EVERY_PART: dict[str, Any] = {
    "data": {"pairs": "judged"},
    "candidates": {
        "lists": {"tune": ["retriever", "reranker"]}, "order": {"tune": ["reranker"]}, "words": {"tune": ["generator"]},
        "all": {"tune": ["retriever", "reranker", "generator"], "reranker": {"max_length": 77}},
    },
    "gates": [{"measure": "ndcg@10", "margin": 0.02}, {"measure": "exact_match", "margin": 0.02}],
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan of tiny models that tunes every part, alone and together."""
    root = tmp_path_factory.mktemp("whole")
    return build_plan(
        pocket.suite({
            **EVERY_PART,
            "pipeline.retriever": {"model": str(tiny.bi_encoder(root / "bi", ["pane"]))},
            "pipeline.generator": {"model": str(tiny.generator(root / "writer", ["pane"]))},
            "recipes.reranker": {"model": str(tiny.bi_encoder(root / "cross", ["pane"], seed=1)), "max_length": 55},
        }),
        pocket.dataset(),
    )  # fmt: skip


def elsewhere(plan: Plan, queries: int = 6, **changes: Any) -> ForgettingPlan:
    rule = Forgetting.model_validate({"dataset": pocket.SUITE["dataset"], "generation_queries": queries, **changes})
    return plan_on(plan, pocket.dataset(), rule)


def test_on_the_same_data_set_every_call_is_one_of_the_first_plan(whole: Plan) -> None:
    """So keys hold what they should: chains, rerankers of their own length, adapters, the sample."""
    there = elsewhere(whole)
    assert {planned.call.stage for planned in there.plan.calls.values()} == {"index", "retrieve", "rerank", "answer"}
    assert there.plan.calls.keys() <= whole.calls.keys()
    own = {system.label: system for system in whole.systems}
    for system in there.plan.systems:
        assert (system.run, system.answers) == (own[system.label].run, own[system.label].answers)
        assert system.models == own[system.label].models
    assert not any(planned.label.startswith("pocket:") for planned in there.plan.calls.values())


def test_another_split_makes_new_lists_and_no_new_index(whole: Plan) -> None:
    there = elsewhere(whole, queries=0, split="dev")
    new = [planned for key, planned in there.plan.calls.items() if key not in whole.calls]
    assert {planned.call.stage for planned in there.plan.calls.values()} == {"index", "retrieve", "rerank"}
    assert {planned.call.stage for planned in new} <= {"retrieve", "rerank"}


def test_no_answers_are_planned_unless_asked_for(whole: Plan) -> None:
    there = elsewhere(whole, queries=0)
    assert not any(system.answers for system in there.plan.systems)
    assert list(map(str, there.plan.suite.measures)) == ["ndcg@10"]
    assert (there.plan.sample, there.notes) == ([], ())


def test_a_data_set_without_references_is_told_of(whole: Plan, place: Path) -> None:
    rule = Forgetting.model_validate({"dataset": {"path": str(place / "other")}, "generation_queries": 5})
    there = plan_on(whole, load_dataset(rule.dataset, "test"), rule)
    assert there.notes == ("other has no reference answers in split test: forgetting covers retrieval only.",)
    assert not any(system.answers for system in there.plan.systems)


def test_passages_that_a_suite_fixes_are_fixed_on_its_own_data_alone(whole: Plan) -> None:
    fixed = whole.suite.evaluate.model_copy(update={"contexts": {"lacking": 0.5}})
    whole = Plan(
        whole.suite.model_copy(update={"evaluate": fixed}),
        whole.artifacts,
        whole.generation_sample,
        whole.calls,
        whole.systems,
    )
    there = elsewhere(whole)
    assert there.plan.generation_sample.contexts == {}
    assert there.plan.suite.evaluate.contexts is None
    assert {planned.call.spec["source"] for planned in there.plan.calls.values() if planned.call.stage == "answer"} == {
        "run"
    }


def test_nothing_is_prepared_where_nothing_is_asked_or_tuned(model: Path, place: Path) -> None:
    for more in ({}, {**OTHER, "candidates": {}}):
        path = smallsuite.write(place / "none", model, more)
        suite = load_suite(path)[0]
        assert plan_forgetting(build_plan(suite, load_dataset(suite.dataset, "test"))) is None


def test_what_is_wrong_with_the_other_data_set_is_found_at_the_door(model: Path, place: Path) -> None:
    path = smallsuite.write(place / "door", model, {"forgetting": {"dataset": {"path": "../other"}, "split": "dev"}})
    suite = load_suite(path)[0]
    with pytest.raises(DataError, match="no judged query in split 'dev'"):
        plan_forgetting(build_plan(suite, load_dataset(suite.dataset, "test")))


# The scores


def independent(model: Path, place: Path) -> dict[str, float]:
    """ndcg@10 by query with sentence-transformers and trec_eval: not a line of what is tested."""
    import numpy as np
    import pytrec_eval
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(model), device="cpu", local_files_only=True)
    loaded.max_seq_length = 48
    documents, queries = (
        [json.loads(line) for line in (place / "other" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("corpus", "queries")
    )
    passages, asked = (
        loaded.encode([row["text"] for row in rows], normalize_embeddings=True) for rows in (documents, queries)
    )
    qrels = {row["_id"]: {f"doc {row['_id'].split()[1]}": 1} for row in queries}
    scores = np.asarray(asked, dtype=np.float32) @ np.asarray(passages, dtype=np.float32).T
    run = {
        row["_id"]: {document["_id"]: float(value) for document, value in zip(documents, line, strict=True)}
        for row, line in zip(queries, scores, strict=True)
    }
    found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10"}).evaluate(run)
    return {query: value["ndcg_cut_10"] for query, value in found.items()}


def test_scores_agree_with_an_independent_computation(
    trial: Trial, scored: ForgettingResult, model: Path, place: Path
) -> None:
    untuned, own = independent(model, place), {}
    for system in trial.plan.systems:
        place_of = trial.store.get(system.models["retriever"]) if system.models else None
        if place_of is not None:
            own[system.name, system.seed] = independent(place_of, place)
    rows = {(row.system, row.seed): row for row in scored.forgotten if row.measure == "ndcg@10"}
    assert len(own) == 3
    for key, values in own.items():
        row = rows[key]
        assert row.untuned == pytest.approx(sum(untuned.values()) / 24, abs=1e-6)
        assert row.tuned == pytest.approx(sum(values.values()) / 24, abs=1e-6)
        assert row.tuned != row.untuned
        assert row.tuned is not None
        assert row.untuned is not None
        assert row.difference == pytest.approx(row.tuned - row.untuned)
        assert (row.n_queries, row.n_groups) == (24, 24)
        assert (row.dataset, row.split) == ("other", "test")


def test_the_intervals_are_those_of_one_family_over_all_systems_and_measures(
    trial: Trial, scored: ForgettingResult
) -> None:
    from harness import scoring

    part = trial.there.dataset.splits["test"]
    margins = trial.suite.margins

    def values(key: str | None) -> Any:
        folder = trial.store.get(str(key))
        assert folder is not None
        return scoring.score_run(read_run(folder / RUN_FILE, escaped=True), part.qrels, list(margins))

    untuned, *candidates = trial.there.plan.systems
    baseline = values(untuned.run)
    pairs = [
        stats.Paired(
            system=one.name, seed=one.seed, measure=measure, margin=margin, values=values(one.run)[measure],
            baseline=baseline[measure], groups=part.groups,
        )
        for measure, margin in margins.items()
        for one in candidates
        if (one.name, one.seed) != ("longer", 1)
    ]  # fmt: skip
    wanted = {(row.system, row.seed, row.measure): row for row in stats.compare("gain", pairs)}
    made = [row for row in scored.forgotten if row.verdict != "failed"]
    assert len(made) == len(wanted) == 6
    for row in made:
        other = wanted[row.system, row.seed, row.measure]
        assert (row.difference, row.low, row.high, row.verdict) == (
            other.difference, other.low, other.high, other.verdict,
        )  # fmt: skip


def test_a_training_that_failed_is_told_with_its_reason_and_no_number(scored: ForgettingResult) -> None:
    failed = [row for row in scored.forgotten if row.verdict == "failed"]
    assert [(row.system, row.seed, row.measure) for row in failed] == [
        ("longer", 1, "ndcg@10"), ("longer", 1, "recall@10"),
    ]  # fmt: skip
    for row in failed:
        assert row.reason == "tune retriever of longer, seed 1: tune_retriever: its process was killed by SIGKILL"
        assert (row.untuned, row.tuned, row.difference, row.low, row.n_queries) == (None, None, None, None, 0)


def test_a_failed_training_is_not_tried_again(trial: Trial, scored: ForgettingResult) -> None:
    executor = smallsuite.Here()
    again = trial.scored(executor)
    assert executor.asked == []
    assert (again.calls_made, again.scores_computed) == (0, 0)
    assert again.forgotten == scored.forgotten


def test_the_ledger_has_a_row_for_each_new_call(trial: Trial, scored: ForgettingResult) -> None:
    assert len(scored.ledger) == scored.calls_made == 2 * (1 + 3)
    assert not {row.key for row in scored.ledger} & {row.key for row in trial.execution.rows.values()}
    assert all(row.label.startswith("other: ") for row in scored.ledger)
    assert {name for row in scored.ledger for name in row.systems} == {
        "untuned", "judged (seed 0)", "judged (seed 1)", "longer (seed 0)",
    }  # fmt: skip
    assert scored.scores_computed == 2 * 4


class Picky(smallsuite.Here):
    """Fails where a stage reads a tuned model, or where it does not."""

    def __init__(self, stage: str, tuned: bool) -> None:
        super().__init__()
        self.stage, self.tuned = stage, tuned

    def run(self, request: Request, progress: Progress) -> Cost:
        self.broken = (self.stage,) if ("model" in request.inputs) is self.tuned else ()
        return super().run(request, progress)


@pytest.mark.parametrize("tuned", [True, False])
def test_a_call_that_fails_there_is_told(tuned: bool, model: Path, place: Path, tmp_path: Path) -> None:
    trial = Trial(tmp_path, smallsuite.write(place / "fails", model, OTHER))
    (row,) = trial.scored(Picky("index", tuned)).forgotten
    assert row.verdict == "failed"
    who = "other: index with judged, seed 0" if tuned else "untuned: other: index with untuned"
    assert row.reason == f"{who}: index: its process was killed by SIGKILL"
    assert (row.difference, row.tuned, row.untuned, row.n_queries) == (None, None, None, 0)
    # A later run makes what was missing.
    (row,) = trial.scored().forgotten
    assert row.verdict != "failed"


def at_home(trial: Trial) -> Trial:
    """The trial with its own dataset in the place of the other one: all calls are those of the first plan."""
    rule = Forgetting.model_validate({"dataset": pocket.SUITE["dataset"] | {"path": str(pocket.FOLDER)}})
    trial.there = plan_on(trial.plan, trial.dataset, rule)
    return trial


def test_where_untuned_failed_before_nothing_is_compared(model: Path, place: Path, tmp_path: Path) -> None:
    trial = at_home(Trial(tmp_path, smallsuite.write(place / "shared", model, OTHER), Picky("retrieve", False)))
    own = {system.name: system.run for system in trial.there.plan.systems}
    assert [own[name] in trial.execution.failed for name in ("untuned", "judged")] == [True, False]
    executor = smallsuite.Here()
    (row,) = trial.scored(executor).forgotten
    assert row.verdict == "failed"
    assert row.reason == ("untuned: retrieve test with untuned: retrieve: its process was killed by SIGKILL")
    assert executor.asked == []


def test_what_both_plans_need_is_made_and_booked_once(model: Path, place: Path, tmp_path: Path) -> None:
    trial = at_home(Trial(tmp_path, smallsuite.write(place / "once", model, OTHER)))
    executor = smallsuite.Here()
    found = trial.scored(executor)
    assert executor.asked == []
    assert (found.calls_made, found.ledger) == (0, ())
    assert [row.verdict for row in found.forgotten] != ["failed"]


def test_answers_are_compared_where_they_are_asked_for(model: Path, place: Path, tmp_path: Path) -> None:
    """A tuned generator moves no list, so only its answers are told; a tuned retriever moves both."""
    smallsuite.other_dataset(tmp_path / "other", answers=True)
    writer = tiny.generator(tmp_path / "writer", smallsuite.vocabulary(50))
    more = {
        "forgetting": {"dataset": {"path": "../other"}, "generation_queries": 10},
        "pipeline.generator": {"model": str(writer), "max_new_tokens": 4, "passage_tokens": 8},
        "evaluate": {"generation_queries": 4},
        "data": {"pairs": "judged", "instruct": {"examples": 4, "distractors": 1}},
        "recipes": {"retriever": {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "checkpoints": 1}},
        "candidates": {"judged": {"tune": ["retriever"]}, "words": {"tune": ["generator"]}},
        "measures": ["ndcg@10", "token_f1"],
        "gates": [{"measure": "ndcg@10", "margin": 0.02}, {"measure": "token_f1", "margin": 0.02}],
    }
    trial = Trial(tmp_path / "kept", smallsuite.write(tmp_path / "suite", model, more))
    assert not trial.execution.failed
    assert trial.scored().notes == ()
    rows = trial.scored().forgotten
    assert [(row.system, row.measure, row.n_queries) for row in rows] == [
        ("judged", "ndcg@10", 24), ("judged", "token_f1", 10), ("words", "token_f1", 10),
    ]  # fmt: skip
    assert all(row.verdict != "failed" for row in rows)
    judging = trial.there.measurements(trial.session()).lacks_judgements()
    assert endpoints.roles_needed(trial.there.plan, trial.store, judging) == []


def test_a_measure_without_a_question_there_is_told_of_and_fails_nothing(
    model: Path, place: Path, tmp_path: Path
) -> None:
    """All questions of the other dataset are unanswerable, and token_f1 is of answerable ones."""
    folder = smallsuite.other_dataset(tmp_path / "other", answers=True)
    lines = [json.loads(line) for line in (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    declined = [{**line, "answers": [], "answerable": False} for line in lines]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in declined), encoding="utf-8")
    more = {
        "forgetting": {"dataset": {"path": "../other"}, "generation_queries": 2},
        "pipeline.generator": {"model": str(tiny.generator(tmp_path / "writer", ["red"])), "max_new_tokens": 2},
        "evaluate": {"generation_queries": 1},
        "measures": ["ndcg@10", "token_f1"],
        "gates": [{"measure": "ndcg@10", "margin": 0.02}, {"measure": "token_f1", "margin": 0.02}],
    }
    found = Trial(tmp_path / "kept", smallsuite.write(tmp_path / "suite", model, more)).scored()
    assert [row.measure for row in found.forgotten] == ["ndcg@10"]
    assert found.notes == ("Forgetting is not measured on token_f1: the other dataset has no answerable query.",)


# The suite


def problems(more: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        pocket.suite(more)
    return [str(problem).split(": ", 1)[1] for problem in caught.value.problems]


def test_the_path_is_relative_to_the_suite_and_variables_are_replaced(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = smallsuite.write(place / "paths", model, {"forgetting": {"dataset": {"path": "${ELSEWHERE}/other"}}})
    text = path.read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"forgetting\.dataset\.path: the environment variable ELSEWHERE is not set"):
        parse_suite(text, path)
    monkeypatch.setenv("ELSEWHERE", "..")
    suite: Suite = parse_suite(text, path)
    assert suite.forgetting is not None
    assert Path(str(suite.forgetting.dataset.path)).samefile(place / "other")
    monkeypatch.setenv("ELSEWHERE", "nowhere")
    with pytest.raises(ConfigError, match=r"forgetting\.dataset\.path: no folder"):
        parse_suite(text, path)


def test_an_unknown_key_is_named() -> None:
    said = problems({"forgetting": {"dataset": {"builder": "scipy-api", "grup": 1}, "splits": "dev"}})
    assert sorted(said) == [
        "forgetting.dataset.grup: unknown key; did you mean 'group'?",
        "forgetting.splits: unknown key; did you mean 'split'?",
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"forgetting": {"dataset": {"path": "fixture:pocket"}}},
            "forgetting.dataset: forgetting needs another dataset than the suite's own; name another",
        ),
        (
            {"forgetting": {"dataset": {"builder": "scipy-api"}}, "gates": []},
            "forgetting: forgetting is measured by gated measures, and none of them applies there; "
            "gate a rank measure, or set generation_queries",
        ),
        (
            {
                "forgetting": {"dataset": {"builder": "scipy-api"}},
                "gates": [{"measure": "exact_match", "margin": 0.1}],
            },
            "forgetting: forgetting is measured by gated measures, and none of them applies there; "
            "gate a rank measure, or set generation_queries",
        ),
        (
            {
                "forgetting": {"dataset": {"builder": "scipy-api"}, "generation_queries": 5},
                "pipeline.generator": None, "measures": ["ndcg@10"],
            },
            "forgetting.generation_queries: there is no generator to ask; add pipeline.generator, or set it to 0",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together(more: dict[str, Any], said: str) -> None:
    (found,) = problems(more)
    assert found == said


def test_what_goes_together() -> None:
    rule = {"dataset": {"builder": "scipy-api"}, "generation_queries": 5}
    found = pocket.suite({"forgetting": rule, "gates": [{"measure": "exact_match", "margin": 0.1}]})
    assert found.forgetting is not None
    assert found.margins == {parse("exact_match"): 0.1}
