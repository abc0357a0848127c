"""`harness curve`: what is trained at each share, what is scored and compared, and that no outcome comes of it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from statistics import fmean
from typing import Any

import pocket
import pytest
import smallsuite
import yaml
from command import exit_code

from harness.cli import main as cli
from harness.data import formats
from harness.data.datasets import load_dataset
from harness.errors import ConfigError, DataError
from harness.experiments import benchmark, curve, reports
from harness.planning.plan import build_plan
from harness.suite.files import load_suite
from harness.suite.spec import Suite
from harness.values.insights import LearningCurve

DOC = Path(__file__).resolve().parent.parent / "docs" / "curve.md"
ALONE = {"dataset": {"path": "fixture:pocket"}}
"""Every question is a group of its own: enough of them for intervals."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smallsuite.bi_encoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def suite(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smallsuite.write(tmp_path_factory.mktemp("suite"), model, ALONE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def grew(suite: Path, store: Path) -> curve.CurveResult:
    return curve.curve(suite, "judged", store, executor=smallsuite.Here())


# The suite that is run


def derived(changes: dict[str, Any], name: str, *shares: float) -> Suite:
    return curve.suite_for(pocket.suite(changes), name, shares or curve.SHARES, "dev")


def test_the_suite_holds_one_candidate_at_every_share_and_untuned_alone() -> None:
    found = derived({"slices": ["query_length"], "seeds": [0, 3]}, "written", 1, 0.125, 0.5)
    assert found.name == "toy-curve-written"
    assert list(found.all_candidates) == ["written-at-12-5", "written-at-50", "written-at-100"]
    assert [found.recipe(one, "retriever").train_share for one in found.all_candidates.values()] == [0.125, 0.5, 1.0]
    assert (found.baseline_rows, found.slices, found.forgetting) == (("untuned",), (), None)
    assert (found.evaluate.split, found.seeds) == ("dev", (0, 3))
    assert found.measures == tuple(found.margins)
    assert found == Suite.model_validate(found.model_dump(by_alias=True))


def test_other_recipes_of_a_candidate_are_as_they_were() -> None:
    change = {"written": {"tune": ["retriever"], "retriever": {"epochs": 7, "train_share": 0.5}}}
    found = derived({"candidates": change, "recipes.retriever": {"batch_size": 9}}, "written", 0.5, 1)
    half, whole = (found.recipe(one, "retriever") for one in found.candidates.values())
    assert (half.train_share, whole.train_share) == (0.25, 0.5)
    assert half.model_copy(update={"train_share": 0.5}) == whole
    assert (half.epochs, half.batch_size) == (7, 9)


def test_every_part_of_a_staged_candidate_has_its_share_and_combinations_are_candidates_too() -> None:
    found = derived({"factorial": ["retriever", "reranker"]}, "retriever-reranker", 0.5, 1)
    half, whole = found.candidates.values()
    assert {found.recipe(half, part).train_share for part in half.tune} == {0.5}
    assert {found.recipe(whole, part).train_share for part in whole.tune} == {1.0}
    assert found.factorial == {}


def test_the_whole_is_the_candidate_of_the_suite_itself(suite: Path) -> None:
    """So a curve on the split of the suite trains nothing again for it."""
    spec, _ = load_suite(suite)
    dataset = load_dataset(spec.dataset, "test")
    shares = build_plan(curve.suite_for(spec, "judged", [0.5, 1], "test"), dataset)
    own = build_plan(spec, dataset)
    models = {system.name: system.models["retriever"] for system in (*shares.systems, *own.systems) if system.models}
    assert models["judged-at-100"] == models["judged"]
    assert models["judged-at-50"] != models["judged"]


@pytest.mark.parametrize("shares", [[1.0], [], [0.5, 0.5], [0.0, 1.0], [0.5, 1.5], [-0.5, 1.0], [float("nan"), 1.0]])
def test_shares_that_make_no_curve_are_refused(shares: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"--shares: a curve needs at least two shares, above 0 and at most 1"):
        curve.suite_for(pocket.suite(), "written", shares, "dev")


def test_a_candidate_that_there_is_not_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"toy has no candidate 'judgd'; did you mean 'judged'\?"):
        derived({}, "judgd")


def test_a_measure_that_what_is_tuned_cannot_move_is_no_answer() -> None:
    """The lists of a tuned generator are those of the untuned one: the step is 0 whatever the data."""
    generator = {"candidates": {"writer": {"tune": ["generator"]}, "all": {"tune": ["retriever", "generator"]}}}
    with pytest.raises(ConfigError, match="no gated measure depends on the generator"):
        derived(generator, "writer")
    gates = [{"measure": "ndcg@10", "margin": 0.02}, {"measure": "exact_match", "margin": 0.1}]
    assert list(map(str, derived({**generator, "gates": gates}, "writer").measures)) == ["exact_match"]
    assert list(map(str, derived({**generator, "gates": gates}, "all").measures)) == ["ndcg@10", "exact_match"]
    with pytest.raises(ConfigError, match="gates: no gated measure"):
        derived({"gates": [{"probe": "p95_ms", "relative": 0.5}]}, "written")


# What comes of it


def test_points_are_what_the_scores_say(grew: curve.CurveResult) -> None:
    rows = formats.read_parquet(grew.folder / "scores.parquet")
    assert {row["split"] for row in rows} == {"dev"}
    scores: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["status"] == "ok":
            scores.setdefault(row["system"], {})[row["query_id"]] = row["value"]
    assert {row["measure"] for row in rows} == {"ndcg@10"}
    judged = load_dataset(pocket.suite(ALONE).dataset, "dev").splits["dev"].judged
    assert all(set(found) == set(judged) for found in scores.values())
    means = {name: fmean(found.values()) for name, found in scores.items()}
    assert [point.system for point in grew.curve.points] == ["judged-at-25", "judged-at-50", "judged-at-100"]
    before = None
    for point in grew.curve.points:
        assert point.mean == pytest.approx(means[point.system])
        assert point.gain == pytest.approx(means[point.system] - means["untuned"])
        assert point.step == (None if before is None else pytest.approx(means[point.system] - means[before]))
        assert point.gain_low is not None
        before = point.system


def test_shares_are_of_the_examples_that_there_are(grew: curve.CurveResult) -> None:
    judged = load_dataset(pocket.suite(ALONE).dataset, "dev").splits["train"].judged
    assert len(judged) == 13
    quarter, half, whole = grew.curve.points
    assert whole.examples == sum(len(docs) for docs in pocket.dataset().splits["train"].qrels.values())
    assert quarter.examples < half.examples < whole.examples
    assert min(point.seconds for point in grew.curve.points) > 0


def test_the_curve_is_written_whole_and_is_no_outcome(grew: curve.CurveResult, store: Path) -> None:
    assert grew.folder.parent == store / "curves" / "toy" / "judged"
    written = (grew.folder / reports.CURVE_FILE).read_text(encoding="utf-8")
    assert LearningCurve.model_validate_json(written) == grew.curve
    assert (grew.folder.parent / "latest").resolve() == grew.folder.resolve()
    assert any(path.suffix == ".md" for path in grew.folder.iterdir())
    assert not (store / "outcomes").exists()
    assert not grew.failed
    assert grew.curve.said.keys() == {"ndcg@10"}
    assert grew.curve.margins == {"ndcg@10": 0.02}


def test_a_second_curve_makes_nothing_and_says_the_same(grew: curve.CurveResult, suite: Path, store: Path) -> None:
    executor = smallsuite.Here()
    again = curve.curve(suite, "judged", store, [1, 0.5, 0.25], executor=executor)
    assert executor.asked == []
    assert again.calls_made == 0
    same = {"created", "seconds"}
    assert again.curve.model_dump(exclude=same) == grew.curve.model_dump(exclude=same)
    assert again.folder != grew.folder


def test_only_a_new_share_is_trained(grew: curve.CurveResult, suite: Path, store: Path) -> None:
    executor = smallsuite.Here()
    curve.curve(suite, "judged", store, [0.75, 1], executor=executor)
    assert executor.asked == ["tune_retriever", "index", "retrieve"]


def test_an_outcome_counts_the_look_that_a_curve_took(grew: curve.CurveResult, suite: Path, store: Path) -> None:
    found = curve.curve(suite, "judged", store, [0.5, 1], "test", executor=smallsuite.Here())
    assert any("test split" in note for note in found.curve.notes)
    done = benchmark.run(suite, store, executor=smallsuite.Here())
    assert done.outcome.times_scored == 2
    assert {system.name for system in done.outcome.systems} == {"bm25", "untuned", "judged"}
    assert [path.name for path in (store / "outcomes").iterdir()] == ["toy"]


def test_several_seeds_are_averaged(grew: curve.CurveResult, suite: Path, store: Path) -> None:
    one, both = (
        curve.curve(suite, "judged", store, [0.5, 1], seeds=seeds, executor=smallsuite.Here())
        for seeds in ([1], [0, 1])
    )
    means = [{point.share: point.mean for point in found.curve.points} for found in (grew, one, both)]
    for share in (0.5, 1.0):
        first, second, mean = (found[share] for found in means)
        assert first is not None
        assert second is not None
        assert mean == pytest.approx((first + second) / 2)
    assert any("averaged over 2 seeds" in note for note in both.curve.notes)
    assert any("with seed 1" in note for note in one.curve.notes)


def test_a_training_that_fails_is_named_and_has_no_numbers(suite: Path, store: Path, grew: curve.CurveResult) -> None:
    found = curve.curve(suite, "judged", store, [0.4, 1], executor=smallsuite.Here("tune_retriever"), seeds=[0])
    broken, whole = found.curve.points
    assert (broken.mean, broken.gain, broken.step, broken.seconds) == (None, None, None, 0.0)
    assert whole.mean == grew.curve.points[-1].mean
    assert whole.step_verdict == "failed"
    assert found.curve.said["ndcg@10"].startswith("unknown")
    assert any(note.startswith("judged-at-40 (seed 0) failed: tune retriever") for note in found.curve.notes)
    assert found.failed


@pytest.mark.parametrize(("checkpoints", "split", "told"), [(3, "dev", True), (1, "dev", False), (3, "test", False)])
def test_checkpoints_chosen_on_the_questions_scored_are_told(
    checkpoints: int, split: curve.Where, told: bool, model: Path, tmp_path: Path
) -> None:
    recipe = {"epochs": 1, "batch_size": 8, "checkpoints": checkpoints}
    path = smallsuite.write(tmp_path, model, {**ALONE, "recipes": {"retriever": recipe}})
    found = curve.curve(path, "judged", tmp_path / "store", [0.5, 1], split, executor=smallsuite.Here())
    assert any(note.startswith("Checkpoints were chosen") for note in found.curve.notes) is told


def test_a_split_without_judged_questions_is_refused(model: Path, tmp_path: Path) -> None:
    smallsuite.other_dataset(tmp_path / "other")
    path = smallsuite.write(tmp_path / "suite", model, {"dataset": {"path": "../other"}})
    with pytest.raises(DataError, match="no judged query in split 'dev'"):
        curve.curve(path, "judged", tmp_path / "store", executor=smallsuite.Here())


# The command


def left(monkeypatch: pytest.MonkeyPatch, executor: smallsuite.Here, *arguments: object) -> int:
    monkeypatch.setattr("harness.execution.session.executor_named", lambda name, jobs: executor)
    monkeypatch.setenv("COLUMNS", "200")
    return exit_code(monkeypatch, "curve", *arguments)


def test_the_command_prints_the_answer(
    grew: curve.CurveResult,
    suite: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert left(monkeypatch, smallsuite.Here(), suite, "judged", "--store", store, "--quiet") == 0
    out = capsys.readouterr().out
    assert "ndcg@10" in out
    assert " ".join(grew.curve.said["ndcg@10"].split()[:4]).lower() in " ".join(out.split()).lower()
    assert "25 %" in out


def test_the_command_prints_json(
    grew: curve.CurveResult,
    suite: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ("--json", "--shares", "0.5,1", "--quiet")
    assert left(monkeypatch, smallsuite.Here(), suite, "judged", "--store", store, *more) == 0
    value = json.loads(capsys.readouterr().out)
    assert [point["share"] for point in value["points"]] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "error: toy has no candidate 'nobody'; known here: judged"),
        (
            ["judged", "--shares", "all"],
            "error: --shares: expected numbers separated by commas, not 'all'",
        ),
        (["judged", "--shares", "1"], "error: --shares: a curve needs at least two shares"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    arguments: list[str], said: str, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert left(monkeypatch, smallsuite.Here(), suite, *arguments, "--store", tmp_path) == 2
    assert capsys.readouterr().err.startswith(said)


def test_the_command_leaves_with_3_if_the_curve_has_a_hole(
    grew: curve.CurveResult,
    suite: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = smallsuite.Here("tune_retriever")
    assert left(monkeypatch, broken, suite, "judged", "--store", store, "--shares", "0.3,1", "--quiet") == 3
    told = capsys.readouterr()
    assert "the learning curve is incomplete: tune retriever of judged-at-30, seed 0" in told.err
    assert "ndcg@10: Unknown" in told.out


def test_every_command_of_the_page_is_one_that_there_is() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("harness ")]
    assert len(commands) >= 3
    for line in commands:
        name, *arguments = shlex.split(line)[1:]
        command = cli.load(name)
        command.make_context(name, arguments)


def test_the_page_explains_every_answer_and_shows_a_recipe() -> None:
    text = DOC.read_text(encoding="utf-8")
    for answer in ("would pay", "would hardly pay", "would not pay"):
        assert f"| `more data {answer}` |" in text
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    assert pocket.suite(yaml.safe_load(example[1])).recipes.retriever.train_share == 0.5
