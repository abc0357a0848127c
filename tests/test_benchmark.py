"""A whole run on the fixture `pocket` with a tiny bi-encoder and no generator, and runs in which things fail."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pocket
import pytest
import smallsuite
from command import exit_code

from harness.data import formats
from harness.errors import StageFailed
from harness.execution.child_processes import ChildExecutor
from harness.execution.executors import Cost, Executor, InlineExecutor, Request, SynchronousExecutor, run
from harness.experiments import benchmark
from harness.models.loaders import locate
from harness.planning.graph import Plan
from harness.planning.plan import build_plan
from harness.results import outcomes
from harness.store import FolderStore
from harness.values.records import Progress, Usage

CHANGES: dict[str, Any] = {
    "pipeline.generator": None,
    "pipeline.retriever": {},
    "pipeline.depth": 20,
    "data": {"pairs": "judged"},
    "candidates": {"judged": {"tune": ["retriever"]}},
    "recipes": {"retriever": {"epochs": 1, "batch_size": 8}},
    "baseline_rows": ["bm25", "hybrid", "untuned"],
    "measures": ["ndcg@10", "recall@10", "mrr@10"],
}


@pytest.fixture(scope="module", autouse=True)
def retriever(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the suite its retriever, which is made here."""
    model = smallsuite.bi_encoder(tmp_path_factory.mktemp("model"))
    CHANGES["pipeline.retriever"] = {"model": str(model), "max_length": 64}


class Here(SynchronousExecutor):
    """Runs calls in this process, which is quicker; a library's warning is no error. `broken` stages fail instead.

    Training is left to `children` if there are any.
    """

    def __init__(self, *broken: str, children: Executor | None = None) -> None:
        self.broken = broken
        self.children = children
        self.asked: list[str] = []

    def run(self, request: Request, progress: Progress) -> Cost:
        stage = request.function.split(":")[1]
        self.asked.append(stage)
        if stage in self.broken:
            raise StageFailed(f"{stage}: its process was killed by SIGKILL")
        if self.children is not None and stage == "tune_retriever":
            return run(self.children, request, progress)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return InlineExecutor().run(request, progress)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "suite.yaml"
    path.write_text(pocket.suite_text(CHANGES), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("harness")


@pytest.fixture(scope="module")
def first(suite: Path, store: Path) -> benchmark.Finished:
    """The only run of this module whose training has a process of its own."""
    return benchmark.run(suite, store, executor=Here(children=ChildExecutor()))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(pocket.suite(CHANGES), pocket.dataset())


def scores(done: benchmark.Finished) -> list[dict[str, Any]]:
    return formats.read_parquet(done.folder / "scores.parquet")


def test_every_call_was_made_and_nothing_failed(first: benchmark.Finished, plan: Plan) -> None:
    assert first.calls_made == len(plan.calls) == len(first.outcome.ledger)
    assert first.failed_share == 0.0
    assert first.outcome.not_run == {"LLM-judged measures of ragas": "no judge configured"}
    assert not [system.failed for system in first.outcome.systems if system.failed]


def test_the_outcome_is_written_whole(first: benchmark.Finished, store: Path) -> None:
    names = {path.relative_to(first.folder).as_posix() for path in first.folder.rglob("*") if path.is_file()}
    assert {
        "outcome.json", "report.md", "scores.parquet", "failures.parquet", "ledger.parquet", "answers.parquet",
        "runs/untuned.trec", "runs/bm25.trec", "runs/hybrid.trec",
    } <= names  # fmt: skip
    assert sum(name.startswith("runs/judged") for name in names) == 1
    assert outcomes.read(first.folder) == first.outcome
    assert (store / "outcomes" / "toy" / "latest").resolve() == first.folder.resolve()
    assert formats.read_parquet(first.folder / "failures.parquet") == []
    assert formats.read_parquet(first.folder / "answers.parquet") == []
    assert len(formats.read_parquet(first.folder / "ledger.parquet")) == first.calls_made


def test_every_measure_has_a_row_for_every_query(first: benchmark.Finished) -> None:
    splits = pocket.dataset().splits
    wanted = {
        (system, split, measure, query_id)
        for system, scored in {
            "bm25": ["test", "dev"], "hybrid": ["test", "dev"], "untuned": ["test", "dev"], "judged": ["test", "dev"],
        }.items()
        for split in scored
        for measure in CHANGES["measures"]
        for query_id in splits[split].queries
    }  # fmt: skip
    rows = scores(first)
    assert {(row["system"], row["split"], row["measure"], row["query_id"]) for row in rows} == wanted
    assert len(rows) == len(wanted)
    for row in rows:
        judged = row["query_id"] in splits[row["split"]].judged
        assert row["status"] == ("ok" if judged else "not_applicable")
        assert (row["value"] is not None) == judged
        assert judged or row["reason"]
        assert row["group"] == splits[row["split"]].queries[row["query_id"]].group


def test_the_table_says_what_the_rows_say(first: benchmark.Finished) -> None:
    for summary in first.outcome.summaries:
        values = [
            row["value"]
            for row in scores(first)
            if (row["system"], row["measure"], row["split"]) == (summary.system, summary.measure, "test")
            and row["value"] is not None
        ]
        assert summary.n == len(values) == len(pocket.dataset().splits["test"].judged)
        assert summary.mean == pytest.approx(sum(values) / len(values))
    assert len(first.outcome.summaries) == 4 * 3


def test_gains_are_one_family_against_untuned(first: benchmark.Finished) -> None:
    gains = {(one.system, one.measure) for one in first.outcome.comparisons if one.family == "gain"}
    assert gains == {(name, "ndcg@10") for name in ("bm25", "hybrid", "judged")}


def test_what_serves_was_timed_and_what_was_made_has_its_cost(first: benchmark.Finished) -> None:
    systems = {system.name: system for system in first.outcome.systems}
    serving = {name: system.serving for name, system in systems.items()}
    assert all(one is not None and one.total is not None and one.total.n == 5 for one in serving.values())
    assert {name: len(one.parts) for name, one in serving.items() if one} == {
        "bm25": 1, "hybrid": 3, "untuned": 1, "judged": 1,
    }  # fmt: skip
    assert systems["judged"].build_seconds > systems["untuned"].build_seconds > 0
    assert all(row.peak_memory_mb > 10 for row in first.outcome.ledger)


def test_nobody_was_asked_where_there_is_no_generator(first: benchmark.Finished) -> None:
    assert first.outcome.dataset.answered == 0
    assert first.outcome.abstentions == ()


def test_a_second_run_computes_nothing_and_says_the_same(first: benchmark.Finished, suite: Path, store: Path) -> None:
    executor = Here()
    second = benchmark.run(suite, store, executor=executor)
    assert executor.asked == []
    assert (second.calls_made, second.scores_computed) == (0, 0)
    assert scores(second) == scores(first)
    assert second.folder != first.folder
    same = {"created", "seconds", "ledger", "provenance"}
    assert second.outcome.model_dump(exclude=same) == first.outcome.model_dump(exclude=same)
    assert all(row.reused for row in second.outcome.ledger)


@pytest.fixture(scope="module")
def elsewhere(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[benchmark.Finished, Path]:
    """The same run in an empty store, with two seeds."""
    root = tmp_path_factory.mktemp("elsewhere")
    return benchmark.run(suite, root, seeds=[0, 1], executor=Here()), root


def test_the_same_seed_in_an_empty_store_gives_identical_rows(
    first: benchmark.Finished, elsewhere: tuple[benchmark.Finished, Path]
) -> None:
    assert [row for row in scores(elsewhere[0]) if row["seed"] == 0] == scores(first)


def test_another_seed_gives_another_model(
    first: benchmark.Finished, elsewhere: tuple[benchmark.Finished, Path], store: Path
) -> None:
    def models(done: benchmark.Finished, root: Path) -> dict[str, str]:
        store = FolderStore(root / "store")
        return {
            row.label: store.content_digest(row.key) for row in done.outcome.ledger if row.stage == "tune_retriever"
        }

    one, both = models(first, store), models(*elsewhere)
    assert both["tune retriever of judged, seed 0"] == one["tune retriever of judged, seed 0"]
    assert both["tune retriever of judged, seed 1"] != both["tune retriever of judged, seed 0"]


def test_a_look_at_the_split_is_counted_once_for_each_set_of_systems(
    first: benchmark.Finished, suite: Path, store: Path, tmp_path: Path
) -> None:
    assert first.outcome.times_scored == 1
    fewer = tmp_path / "suite.yaml"
    fewer.write_text(pocket.suite_text({**CHANGES, "candidates": {}}), encoding="utf-8")
    done = benchmark.run(fewer, store, executor=Here())
    assert done.calls_made == 0
    assert done.outcome.times_scored == 2


def test_a_candidate_that_changes_nothing_is_a_duplicate_of_the_untuned_pipeline(
    suite: Path, store: Path, first: benchmark.Finished, tmp_path: Path
) -> None:
    """Its training writes the start again, so its run is made by another call and equals that of `untuned`."""

    class Unchanged(Here):
        def run(self, request: Request, progress: Progress) -> Cost:
            if request.stage != "tune_retriever":
                return super().run(request, progress)
            shutil.copytree(locate(request.spec["retriever"]["model"]), request.out, dirs_exist_ok=True)
            return Cost(1.0, 1.0, Usage(units=1))

    done = benchmark.run(suite, store, [5], executor=Unchanged())
    same = {system.label: (system.same_run_as, system.same_weights_as) for system in done.outcome.systems}
    assert same["judged (seed 5)"] == ("untuned", "the untuned retriever")
    assert {label for label, (run, weights) in same.items() if run or weights} == {"judged (seed 5)"}
    runs = {path.stem: path.read_bytes() for path in (done.folder / "runs").iterdir()}
    assert runs["judged-5"] == runs["untuned"]
    assert not any(system.same_run_as or system.same_weights_as for system in first.outcome.systems)


# Failures. Each starts from a store that the first run filled, with other seeds.


def run_cli(monkeypatch: pytest.MonkeyPatch, executor: Here, *arguments: object) -> int:
    monkeypatch.setattr("harness.execution.session.executor_named", lambda name, jobs: executor)
    return exit_code(monkeypatch, *arguments)


def test_a_failed_training_is_failed_rows_a_verdict_and_exit_code_3(
    first: benchmark.Finished,
    suite: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run_cli(
        monkeypatch, Here("tune_retriever"), "run", suite, "--store", store, "--seed", 8, "--seed", 0, "--quiet",
        "--json",
    )  # fmt: skip
    told = capsys.readouterr()
    assert code == 3
    assert "failure_limit" in told.err
    assert "Traceback" not in told.err
    outcome = json.loads(told.out)
    folder = (store / "outcomes" / "toy" / "latest").resolve()
    rows = formats.read_parquet(folder / "scores.parquet")
    failed = [row for row in rows if row["status"] == "failed"]
    splits = pocket.dataset().splits
    assert {(row["system"], row["seed"]) for row in failed} == {("judged", 8)}
    assert len(failed) == 3 * (len(splits["test"].judged) + len(splits["dev"].judged))
    assert {row["reason"] for row in failed} == {
        "tune retriever of judged, seed 8: tune_retriever: its process was killed by SIGKILL"
    }
    assert {row["value"] for row in failed} == {None}
    assert formats.read_parquet(folder / "failures.parquet") == failed
    assert [row for row in rows if row["seed"] == 0] == scores(first)
    verdicts = {(one["system"], one["seed"]): one["verdict"] for one in outcome["comparisons"]}
    assert verdicts.pop(("judged", 8)) == "failed"
    assert "failed" not in verdicts.values()
    (broken,) = [system for system in outcome["systems"] if system["seed"] == 8]
    assert broken["failed"].startswith("tune retriever of judged, seed 8")
    assert broken["serving"] is None


def changed(folder: Path, changes: dict[str, Any]) -> Path:
    (folder / "suite.yaml").write_text(pocket.suite_text({**CHANGES, **changes}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("stage", ["index", "retrieve"])
def test_if_everything_fails_there_is_an_outcome_all_the_same(
    stage: str, first: benchmark.Finished, store: Path, tmp_path: Path
) -> None:
    changes = {
        "index": {"pipeline.retriever": {**CHANGES["pipeline.retriever"], "max_length": 63}},
        "retrieve": {"pipeline.depth": 19},
    }[stage]
    executor = Here(stage)
    done = benchmark.run(changed(tmp_path, changes), store, executor=executor)
    assert set(executor.asked) - {"probe"} == {stage}
    assert (done.folder / "report.md").is_file()
    failed = {row["system"] for row in scores(done) if row["status"] == "failed"}
    # Another length of text changes nothing for bm25.
    assert failed == {"hybrid", "untuned", "judged"} | ({"bm25"} if stage == "retrieve" else set())
    assert {one.verdict for one in done.outcome.comparisons} == {"failed"}


def test_a_failed_probe_costs_the_times_and_no_score(first: benchmark.Finished, store: Path, tmp_path: Path) -> None:
    done = benchmark.run(changed(tmp_path, {"evaluate": {"probe_queries": 4}}), store, executor=Here("probe"))
    assert scores(done) == scores(first)
    assert done.outcome.timings == ()
    assert {system.serving for system in done.outcome.systems} == {None}
    told = {key for key in done.outcome.not_run if key.startswith("probe ")}
    assert {"probe dense", "probe bm25", "probe fuse"} == told


@pytest.mark.parametrize(("limit", "over"), [(0.9, True), (1.0, False)])
def test_one_failed_system_counts_whole_against_the_limit(
    limit: float, over: bool, first: benchmark.Finished, store: Path, tmp_path: Path
) -> None:
    patient = tmp_path / "suite.yaml"
    patient.write_text(pocket.suite_text({**CHANGES, "failure_limit": limit}), encoding="utf-8")
    done = benchmark.run(patient, store, seeds=[9], executor=Here("tune_retriever"))
    assert done.failed_share == 1.0
    assert (done.failed_share > done.limit) is over
