"""A whole run with settings beside trainings: candidates, mixed levels of a factorial, seeds, gates, leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import smallsuite

from harness.errors import ConfigError
from harness.experiments import benchmark
from harness.experiments.benchmark import Finished
from harness.experiments.curve import suite_for
from harness.experiments.leaderboard import stored_boards
from harness.gates import commands
from harness.pytest_plugin import systems_of
from harness.results import outcomes
from harness.suite.files import load_suite

SUITE: dict[str, Any] = {
    "candidates": {
        "short": {"pipeline": {"retriever": {"max_length": 8}}},
        "judged": {"tune": ["retriever"]},
    },
    "factorial": {"retriever": ["untuned", "tuned", "bm25"], "depth": [20, 10]},
    "baseline_rows": ["bm25", "hybrid", "untuned"],
    "seeds": [0, 1],
    "prices": {"right_answer": 0.01},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    return smallsuite.write(folder, smallsuite.bi_encoder(folder / "model"), SUITE)


@pytest.fixture(scope="module")
def finished(path: Path, folder: Path) -> Finished:
    return benchmark.run(path, folder / "store", executor=smallsuite.Here())


def test_a_candidate_without_training_runs_once_whatever_the_seeds(finished: Finished) -> None:
    labels = [info.label for info in finished.outcome.systems if info.role == "candidate"]
    assert labels == [
        "short", "judged (seed 0)", "judged (seed 1)", "retriever (seed 0)", "retriever (seed 1)", "retriever-bm25",
        "depth-10", "retriever-depth-10 (seed 0)", "retriever-depth-10 (seed 1)", "retriever-bm25-depth-10",
    ]  # fmt: skip
    short = next(info for info in finished.outcome.systems if info.name == "short")
    assert (short.tunes, short.changes) == ((), ("retriever.max_length=8",))
    assert outcomes.run_file(finished.folder, short).name == "short.trec"
    assert outcomes.run_file(finished.folder, short).is_file()


def test_the_best_setting_is_the_best_of_dev_and_every_training_is_tested_against_it(finished: Finished) -> None:
    best = finished.outcome.best_untrained
    assert best is not None
    assert set(best.means) == {
        "bm25", "hybrid", "untuned", "short", "retriever-bm25", "depth-10", "retriever-bm25-depth-10"
    }  # fmt: skip
    assert best.means[best.system] == max(best.means.values())
    family = [row for row in finished.outcome.comparisons if row.family == "untrained"]
    trained = [(info.name, info.seed) for info in finished.outcome.systems if info.tunes]
    assert [(row.system, row.seed) for row in family] == trained
    means = {(row.system, row.seed): row.mean for row in finished.outcome.summaries if row.measure == "ndcg@10"}
    for row in family:
        mine, its = means[row.system, row.seed], means[best.system, 0]
        assert mine is not None
        assert its is not None
        assert row.difference == pytest.approx(mine - its)


def test_levels_of_the_factorial_have_effects(finished: Finished) -> None:
    outcome = finished.outcome
    assert outcome.factors == {"retriever": ("untuned", "tuned", "bm25"), "depth": ("20", "10")}
    mains = {(row.parts, row.levels): row for row in outcome.effects if row.kind == "main"}
    assert set(mains) == {
        (("retriever",), ("tuned",)), (("retriever",), ("bm25",)), (("depth",), ("10",))
    }  # fmt: skip
    means = {(row.system, row.seed): row.mean or 0.0 for row in outcome.summaries if row.measure == "ndcg@10"}
    bm25 = (means["retriever-bm25", 0] + means["retriever-bm25-depth-10", 0]) / 2
    expected = bm25 - (means["untuned", 0] + means["depth-10", 0]) / 2
    assert mains[("retriever",), ("bm25",)].difference == pytest.approx(expected)


def test_what_trains_nothing_is_gated_as_a_system_and_ranked(finished: Finished, path: Path, folder: Path) -> None:
    assert finished.outcome.roi
    commands.accept(path, "first scores", folder / "store", folder / "baselines")
    assert (folder / "baselines" / finished.outcome.suite / "short.tsv").is_file()
    about = {(row.label, row.about) for row in commands.gate(path, folder / "store", folder / "baselines").verdicts}
    assert {("short", "system"), ("untuned", "system"), ("judged (seed 0)", "checkpoint")} <= about
    (board,) = stored_boards(folder / "store")
    trains = {row.label: row.tunes for row in board.rows}
    assert (trains["short"], trains["judged (seed 0)"]) == ((), ("retriever",))


def test_pytest_has_one_item_for_what_trains_nothing(path: Path) -> None:
    labels = [system.label for system in systems_of(load_suite(path)[0])]
    assert labels[:6] == ["bm25", "hybrid", "untuned", "short", "judged (seed 0)", "judged (seed 1)"]
    assert "retriever-bm25" in labels


def test_other_seeds_leave_a_candidate_without_training_as_it_is(finished: Finished, path: Path, folder: Path) -> None:
    again = benchmark.run(path, folder / "store", seeds=[0], executor=smallsuite.Here()).outcome
    before = {info.label: info.identity for info in finished.outcome.systems}
    assert {info.label: info.identity for info in again.systems}.items() <= before.items()


def test_there_is_no_learning_curve_of_a_setting(path: Path) -> None:
    with pytest.raises(ConfigError, match="short trains nothing, so it has no curve over its training data"):
        suite_for(load_suite(path)[0], "short", [0.5, 1.0], "dev", ())
