"""A run whose language models are behind an endpoint: what is asked, judged, paid, stopped and told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import judges as scripted
import llm_server
import pocket
import pytest
from llm_server import Body, Served, Server

from harness.cli import main as cli
from harness.data import formats
from harness.errors import ConfigError
from harness.execution.executors import InlineExecutor
from harness.execution.probe import WARM_UP
from harness.experiments import benchmark

KEY = "sk-sentinel-endpoints-4711"
SERVED: dict[str, Any] = {"model": "m", "timeout": 5.0, "price_in": 1.0, "price_out": 2.0}
BUDGET = 3500
"""Tokens that the answers fit into; the judge's prompts are longer."""
CHANGES: dict[str, Any] = {
    "llm": {"generator": SERVED, "judge": SERVED},
    "pipeline.generator": {"model": "llm:generator", "max_new_tokens": 12},
    "evaluate.generation_queries": 6,
    "candidates": {},
    "baseline_rows": ["closed-book", "bm25", "untuned"],
    "pipeline.retriever": {"max_length": 64},
    "measures": ["ndcg@10", "exact_match", "utility", "faithfulness", "context_recall"],
}


def answering(body: Body) -> Served:
    """An answer to a question, and what ragas' prompts of two measures ask for: two of three statements hold."""
    text = llm_server.asked(body)
    if scripted.MARK not in text:
        return llm_server.says("a short answer")
    given = scripted.given_in(text)
    if "statements" in given:
        return llm_server.says(scripted.verdicts(given["statements"], lambda one: one != "third"))
    if "answer" in given and "context" in given:
        rows = [{"statement": "one", "reason": "planted", "attributed": 1}]
        return llm_server.says(json.dumps({"classifications": rows}))
    return llm_server.says(json.dumps({"statements": ["first", "second", "third"]}))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return KEY


def suite_file(folder: Path, server: Server, **changes: Any) -> Path:
    llm = {
        role: {**one, "base_url": server.url} if isinstance(one, dict) else one
        for role, one in (changes.pop("llm", None) or CHANGES["llm"]).items()
    }
    path = folder / "suite.yaml"
    path.write_text(pocket.suite_text({**CHANGES, **changes, "llm": llm}), encoding="utf-8")
    return path


def run(path: Path, store: Path, **options: Any) -> benchmark.Finished:
    return benchmark.run(path, store=store, executor=InlineExecutor(), **options)


def scores_of(done: benchmark.Finished, measure: str, system: str) -> dict[str, Any]:
    rows = formats.read_parquet(done.folder / "scores.parquet")
    return {row["query_id"]: row for row in rows if (row["measure"], row["system"]) == (measure, system)}


def test_a_run_answers_and_judges_through_its_endpoint_and_pays_once(tmp_path: Path, key: str) -> None:
    with Server(answering) as server:
        path = suite_file(tmp_path, server)
        done = run(path, tmp_path / "store")
        asked = server.requests
        again = run(path, tmp_path / "store")
        assert server.requests == asked, "the second run asked again"
    faithful = scores_of(done, "faithfulness", "untuned")
    assert {row["value"] for row in faithful.values() if row["status"] == "ok"} == {0.666667}
    assert {row["reason"] for row in scores_of(done, "faithfulness", "closed-book").values()} == {
        "no passages were shown"
    }
    assert not again.calls_made
    assert not again.scores_computed
    paid = {row.role: row for row in done.outcome.paid}
    assert set(paid) == {"generator", "judge"}
    # One small question of each role comes before any work, and is on nobody's bill of work.
    assert sum(row.requests for row in paid.values()) == asked - 2
    assert paid["judge"].dollars == pytest.approx((10 * 1 + 5 * 2) * paid["judge"].requests / 1e6)
    counted = Counter[str]()
    for row in done.outcome.ledger:
        counted[row.role] += row.llm_calls
    assert counted["judge"] == paid["judge"].requests
    # The probe asks for both kinds of prompts, with passages and without; it is no stage call.
    assert counted["generator"] + 2 * (2 + WARM_UP) == paid["generator"].requests
    assert again.outcome.paid == ()


def test_what_a_judge_says_is_advisory_and_on_what_both_answered(tmp_path: Path, key: str) -> None:
    with Server(answering) as server:
        done = run(suite_file(tmp_path, server), tmp_path / "store")
    families = {(row.family, row.measure) for row in done.outcome.comparisons}
    assert ("advisory", "faithfulness") in families
    assert not any(family == "gain" and measure in ("faithfulness", "context_recall") for family, measure in families)
    report = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "Only queries that both systems answered are compared" in report
    assert "Paid to endpoints" in report


def test_utility_gates_only_once_the_judge_is_calibrated(tmp_path: Path, key: str) -> None:
    changes = {
        "utility": {"right": "faithfulness", "threshold": 0.6},
        "gates": [{"measure": "ndcg@10", "margin": 0.02}, {"measure": "utility", "margin": 0.02}],
    }
    with Server(answering) as server:
        path = suite_file(tmp_path, server, **changes)
        before = run(path, tmp_path / "store")
        calibrate(path, tmp_path / "store", bar=0.0)
        after = run(path, tmp_path / "store")
    family = {row.family for row in before.outcome.comparisons if row.measure == "utility"}
    assert family == {"advisory"}
    assert any("not calibrated" in note for note in before.outcome.notes)
    family = {row.family for row in after.outcome.comparisons if row.measure == "utility"}
    assert family == {"gain"}
    assert not any("not calibrated" in note for note in after.outcome.notes)


def calibrate(path: Path, store: Path, bar: float) -> None:
    """Put a calibration on record that reaches any bar, under the identity of this very judge."""
    from harness import scoring
    from harness.judge import judges
    from harness.judge.agreement import Agreement, AgreementEstimate
    from harness.judge.calibration import Calibration
    from harness.suite.files import load_suite
    from harness.values.measures import Measure

    suite, _ = load_suite(path)
    settings, measure = judges.settings_of(suite, store), Measure("faithfulness")
    assert suite.llm.judge is not None
    sure = AgreementEstimate(value=1.0, low=1.0, high=1.0)
    found = Calibration(
        measure="faithfulness", judge={}, settings=scoring.measurement_settings(measure, settings), rows=100,
        scored=100, failed=0, reasons={}, not_applicable={}, turns=100, raters=3, accepted=50, refused=50,
        scale=(1.0, 4.0), cut=suite.llm.judge.accepted_from, bar=bar, agreement=Agreement(), ceiling=Agreement(),
        failures_against=sure, resamples=10, seed=0,
    )  # fmt: skip
    place = judges.place_of(store, measure, settings)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(found.model_dump_json(), encoding="utf-8")


def test_without_a_judge_its_measures_are_not_run_and_nothing_else_changes(tmp_path: Path, key: str) -> None:
    with Server(answering) as server:
        (tmp_path / "with").mkdir()
        (tmp_path / "without").mkdir()
        judged = run(suite_file(tmp_path / "with", server), tmp_path / "one")
        alone = run(suite_file(tmp_path / "without", server, llm={"generator": SERVED}), tmp_path / "two")
    for measure in ("faithfulness", "context_recall"):
        assert alone.outcome.not_run[measure] == "no judge configured"
        assert measure not in judged.outcome.not_run
    kept = [
        row for row in formats.read_parquet(judged.folder / "scores.parquet")
        if row["measure"] not in ("faithfulness", "context_recall")
    ]  # fmt: skip
    assert kept == formats.read_parquet(alone.folder / "scores.parquet")
    assert alone.failed_share == 0
    report = (alone.folder / "report.md").read_text(encoding="utf-8")
    assert "no judge configured" in report


def test_a_replay_asks_nobody_and_names_what_is_missing(tmp_path: Path, key: str) -> None:
    with Server(answering) as server:
        path = suite_file(tmp_path, server)
        first = run(path, tmp_path / "store")
    # The store of artifacts is gone, the answers of the endpoint are not; and nobody listens any more.
    import shutil

    shutil.rmtree(tmp_path / "store" / "store")
    again = run(path, tmp_path / "store", replay=True)
    assert scores_of(again, "faithfulness", "untuned") == scores_of(first, "faithfulness", "untuned")
    missing = run(path, tmp_path / "empty", replay=True)
    assert missing.failed_share == 1.0
    reasons = {row["reason"] for row in scores_of(missing, "exact_match", "untuned").values()}
    assert any("no answer is cached for" in reason for reason in reasons)


def test_a_budget_stops_a_run_that_goes_on_when_it_is_raised(tmp_path: Path, key: str) -> None:
    with Server(answering) as server:
        path = suite_file(tmp_path, server, llm={**CHANGES["llm"], "max_tokens": BUDGET})
        done = run(path, tmp_path / "store")
        assert done.failed_share > 0
        stopped = {row["reason"] for row in formats.read_parquet(done.folder / "failures.parquet")}
        assert any("llm.max_tokens" in reason for reason in stopped)
        spent = sum(row.prompt_tokens + row.new_tokens for row in done.outcome.paid)
        assert 0 < spent <= BUDGET
        path = suite_file(tmp_path, server)
        rest = run(path, tmp_path / "store")
    assert rest.failed_share == 0
    answered = {row.role: row.requests for row in done.outcome.paid}
    assert answered
    (tmp_path / "whole").mkdir()
    with Server(answering) as server:
        whole = run(suite_file(tmp_path / "whole", server), tmp_path / "other")
    total = sum(row.requests for row in whole.outcome.paid)
    both = sum(row.requests for one in (done, rest) for row in one.outcome.paid)
    # Probes of a run that was stopped are asked anew; nothing else is.
    assert total <= both <= total + 2 * (2 + 2)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (lambda body: llm_server.error(401, f"Incorrect API key provided: {KEY}"), "key"),
        (lambda body: llm_server.error(404, "The model `m` does not exist", "model_not_found"), "'m'"),
        (lambda body: Served(200, b"<html>hello</html>", {"content-type": "text/html"}), "llm."),
    ],
)
def test_a_wrong_endpoint_is_told_in_a_sentence_before_any_work(
    trouble: Any, said: str, tmp_path: Path, key: str
) -> None:
    with Server(trouble) as server:
        file = suite_file(tmp_path, server)
        with pytest.raises(ConfigError) as error:
            run(file, tmp_path / "store")
    line = 1 + [text.strip() for text in file.read_text(encoding="utf-8").splitlines()].index("judge:")
    told = [str(problem) for problem in error.value.problems]
    assert len(told) == 1, "both roles have the same trouble"
    assert told[0].startswith(f"{file}:{line}: llm.judge, llm.generator: ")
    assert said in told[0]
    assert "\n" not in told[0]
    assert KEY not in told[0]
    assert not (tmp_path / "store" / "outcomes").exists()


def test_no_key_is_in_anything_that_is_written_or_printed(
    tmp_path: Path, key: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0

    def moody(body: Body) -> Served:
        nonlocal refused
        refused += 1
        # The first are the small questions before any work.
        return llm_server.error(400, f"no, {KEY}") if refused > 4 and refused % 3 == 0 else answering(body)

    with Server(moody) as server:
        path = suite_file(tmp_path, server, failure_limit=1.0)
        monkeypatch.setattr("sys.argv", ["harness", "doctor", str(path), "--store", str(tmp_path / "store")])
        with pytest.raises(SystemExit):
            cli.main()
        done = run(path, tmp_path / "store")
        assert any(row.failed for row in done.outcome.summaries), "what was refused is a failure"
        assert any(KEY in one.headers.get("authorization", "") for one in server.seen), "the key was sent"
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) > 20
    assert not [file for file in written if KEY.encode() in file.read_bytes()]
    told = capfd.readouterr()
    assert KEY not in told.out + told.err
